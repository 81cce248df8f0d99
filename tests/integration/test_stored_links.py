"""Links: whose they are, for which host, until when; what becomes of the objects behind them."""
import base64
import datetime
import glob
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

import botocore.exceptions
import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import links
import mails
from dialog import send
from gateway import environment, lan
from ports import free_port
from waiting import wait_until

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_NOPERM = 64, 65, 66, 77
DAY = 86400
REPORT = mails.File("Übersicht 2026.pdf", "application/pdf", b"%PDF-1.4\n" + mails.noise(3000))
PAGE = mails.File("page.html", "text/html", b"<script>alert(1)</script>")


@pytest.fixture
def linked(gateway, make_settings, sink):
    """Starts a gateway with these settings of s3 and links; deliver() gives its mail's links."""
    def start(s3, env=None, **how):
        listener = lan()
        one = gateway(make_settings(sink.settings(), s3, [listener], links=how),
                      env=environment(**(env or {})))

        def deliver(*files):
            before = len(sink.messages)
            one.message = send(listener.address, mails.with_files(list(files)).raw)
            text = sink.wait_messages(before + 1)[-1].data
            one.wait_for("message.sent", id=one.message)
            one.wait_state(one.message, "sent")  # so that the record has its links
            return links.in_text(text), text
        one.deliver = deliver
        return one
    return start


@pytest.fixture
def directory(tmp_path):
    """The settings of a directory store that the gateway itself serves."""
    port = free_port()
    return {"directory": str(tmp_path / "store"), "directory_url": f"http://127.0.0.1:{port}",
            "listen": f"127.0.0.1:{port}"}


def command(one, verb, *arguments, code=0):
    """stowage links VERB --json: its lines."""
    done = one.command("links", verb, "--json", *arguments)
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    one.complaint = done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def parameters(url):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


def objects(directory):
    return [path for path in glob.glob(directory["directory"] + "/objects/**", recursive=True)
            if os.path.isfile(path)]


# ---- the record and its commands ----

def test_links_are_listed_extended_and_revoked(linked, directory):
    one = linked(directory, expiry="1h")
    (pdf, page), _ = one.deliver(REPORT, PAGE)
    wait_until(lambda: len(command(one, "list")) == 2, "both links in the record")
    listed = command(one, "list")
    assert [entry["file_name"] for entry in listed] == [REPORT.name, PAGE.name]
    assert {entry["state"] for entry in listed} == {"good"}
    assert abs(seconds(listed[0]["expires_at"]) - time.time() - 3600) < 60
    assert not any("url" in entry for entry in listed), "a URL is a secret"
    assert command(one, "list", "--expiring", "30m") == []
    assert len(command(one, "list", "--expiring", "2h")) == 2
    assert len(command(one, "list", "--sender", "ALICE@client.test")) == 2
    assert len(command(one, "list", "--newer-than", "1h")) == 2
    assert command(one, "list", "--recipient", "nobody@example.com") == []
    assert command(one, "show", one.message[:20], str(listed[1]["number"])) == listed[1:]

    extended = command(one, "extend", one.message)
    assert [links.fetch(entry["url"]).content for entry in extended] == \
        [REPORT.content, PAGE.content]

    revoked = command(one, "revoke", one.message, str(listed[0]["number"]))
    assert [entry["state"] for entry in revoked] == ["revoked"]
    assert links.fetch(pdf).status == links.fetch(extended[0]["url"]).status == 404
    assert links.fetch(page).status == 200
    assert len(objects(directory)) == 1
    assert [entry["file_name"] for entry in command(one, "list")] == [PAGE.name]
    assert [entry["state"] for entry in command(one, "list", "--all")] == ["revoked", "good"]
    command(one, "revoke", one.message)  # again, and the other
    assert objects(directory) == []
    assert command(one, "extend", one.message, code=EX_DATAERR) == []
    assert "was revoked" in one.complaint


def test_links_commands_say_what_is_wrong(linked, directory):
    one = linked(directory, expiry="1h")
    one.deliver(REPORT)
    for arguments, code in [(("show", "00000000000000000000000000"), EX_NOINPUT),
                            (("show", one.message, "99"), EX_NOINPUT),
                            (("show", one.message, "x"), EX_USAGE),
                            (("show",), EX_USAGE),
                            (("list", "--expiring", "soon"), EX_USAGE),
                            (("revoke", one.message, "--all"), EX_USAGE),
                            (("burn", one.message), EX_USAGE)]:
        done = one.command("links", *arguments)
        assert (done.returncode, bool(done.stderr)) == (code, True), arguments


def test_a_message_still_to_be_sent_is_not_revoked(linked, directory, sink):
    one = linked(directory, expiry="1h")
    sink.script["MAIL"] = lambda argument: "451 4.3.0 later"
    listener = one.settings["listeners"][0]["address"].rsplit(":", 1)
    identity = send((listener[0], int(listener[1])), mails.with_files([REPORT]).raw)
    wait_until(lambda: one.command("links", "show", identity).returncode == 0,
               "its links in the record")
    command(one, "revoke", identity, code=EX_DATAERR)
    assert len(objects(directory)) == 1


def test_no_new_link_to_what_is_gone(linked, directory):
    one = linked(directory, expiry="1h")
    one.deliver(REPORT, PAGE)
    wait_until(lambda: len(command(one, "list")) == 2, "both links in the record")
    os.unlink(os.path.join(directory["directory"], "objects", command(one, "list")[0]["key"]))
    (line,) = command(one, "extend", one.message, code=EX_NOINPUT)
    assert line["file_name"] == PAGE.name
    assert "no longer in the store" in one.complaint


def test_an_object_that_cannot_be_asked_for_gets_a_link_and_a_word(linked, store, monkeypatch):
    def denied(request):
        request.send_response(403)
        request.end_headers()
    one = linked(store.settings(), expiry="1h")
    one.deliver(REPORT)
    wait_until(lambda: len(command(one, "list")) == 1, "the link in the record")
    with monkeypatch.context() as patch:
        patch.setattr(store, "head", denied)
        (line,) = command(one, "extend", one.message)
    assert line["url"] and "not known whether" in one.complaint
    store.objects.clear()
    assert command(one, "extend", one.message, code=EX_NOINPUT) == []


# ---- what the store itself says of its objects ----

def rules(days, prefix="", tags=()):
    """An answer to GetBucketLifecycleConfiguration."""
    filters = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>"
                      for name, value in tags)
    return (f"<LifecycleConfiguration><Rule><ID>x</ID><Filter><And><Prefix>{prefix}</Prefix>"
            f"{filters}</And></Filter><Status>Enabled</Status><Expiration><Days>{days}</Days>"
            "</Expiration></Rule></LifecycleConfiguration>").encode()


def test_links_end_with_the_objects_that_lifecycle_rules_delete(linked, radosgw):
    client = radosgw.client()
    client.put_bucket_lifecycle_configuration(Bucket=radosgw.bucket, LifecycleConfiguration={
        "Rules": [{"ID": "kept", "Filter": {"Prefix": "kept/"}, "Status": "Enabled",
                   "Expiration": {"Days": 2}}]})
    try:
        one = linked(radosgw.settings(prefix="kept"), expiry="7d")
        warning = one.wait_for("library.message", level="warning")["reason"]
        assert "168 h" in warning and "delete objects after 2 d" in warning
        (url,), text = one.deliver(REPORT)
        assert 2 * DAY - 60 < int(parameters(url)["X-Amz-Expires"]) <= 2 * DAY
        (new,) = command(one, "extend", one.message)
        assert 2 * DAY - 60 < int(parameters(new["url"])["X-Amz-Expires"]) <= 2 * DAY
        assert links.fetch(new["url"]).content == REPORT.content
    finally:
        client.delete_bucket_lifecycle(Bucket=radosgw.bucket)


def end_of(url):
    """The moment in Unix time at which a link ends."""
    signed = parameters(url)
    began = datetime.datetime.strptime(signed["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    return began.timestamp() + int(signed["X-Amz-Expires"])


def midnight(days):
    """That of UTC which begins the day so many days from now."""
    return (int(time.time()) // DAY + days) * DAY


def test_links_end_on_the_date_of_a_lifecycle_rule(linked, radosgw):
    client, end = radosgw.client(), midnight(3)
    date = datetime.datetime.fromtimestamp(end, datetime.timezone.utc)
    client.put_bucket_lifecycle_configuration(Bucket=radosgw.bucket, LifecycleConfiguration={
        "Rules": [{"ID": "dated", "Filter": {"Prefix": "dated/"}, "Status": "Enabled",
                   "Expiration": {"Date": date}}]})
    try:
        one = linked(radosgw.settings(prefix="dated"), expiry="7d")
        warning = one.wait_for("library.message", level="warning")["reason"]
        assert f"delete objects on {date:%Y-%m-%d}: " in warning
        (url,), _ = one.deliver(REPORT)
        assert end - 5 <= end_of(url) <= end
        (new,) = command(one, "extend", one.message)
        assert end - 5 <= end_of(new["url"]) <= end
    finally:
        client.delete_bucket_lifecycle(Bucket=radosgw.bucket)


def test_rules_whose_date_is_past_run_each_night(linked, store, monkeypatch):
    get = store.get
    answer = rules(1, "mail/").replace(b"<Days>1</Days>", b"<Date>2020-01-01T00:00:00Z</Date>")
    monkeypatch.setattr(store, "get", lambda request: (
        store.answer(request, 200, answer, "application/xml")
        if "lifecycle=" in request.path else get(request)))
    one = linked(store.settings(prefix="mail"), expiry="7d")
    warning = one.wait_for("library.message", level="warning")["reason"]
    assert "in the night after they came, since 2020-01-01" in warning
    before = midnight(1)
    (url,), _ = one.deliver(REPORT)
    assert before - 5 <= end_of(url) <= midnight(1)


def test_rules_are_asked_for_again_in_the_region_learnt(linked, store, monkeypatch):
    elsewhere = (b"<Error><Code>AuthorizationHeaderMalformed</Code>"
                 b"<Region>eu-north-1</Region></Error>")
    get, put = store.get, store.put

    def refuse(request):
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        store.answer(request, 400, elsewhere, "application/xml")

    def answer_get(request):
        if "lifecycle=" not in request.path:
            get(request)
        elif "eu-north-1" not in request.path:
            refuse(request)
        else:
            store.answer(request, 200, rules(3, "mail/"), "application/xml")

    monkeypatch.setattr(store, "get", answer_get)
    monkeypatch.setattr(store, "put", lambda request: (
        put if "/eu-north-1/" in request.headers["Authorization"] else refuse)(request))
    one = linked(store.settings(prefix="mail"), expiry="7d")
    (url,), _ = one.deliver(REPORT)
    assert 3 * DAY - 60 < int(parameters(url)["X-Amz-Expires"]) <= 3 * DAY


@pytest.mark.parametrize("answer, life", [
    ((200, rules(3, "mail/")), 3 * DAY),
    ((200, rules(3, "mail/", [("origin", "mail")])), 3 * DAY),
    ((200, rules(3, "mail/", [("origin", "fax")])), 7 * DAY),
    ((200, rules(3, "other/")), 7 * DAY),
    ((200, rules(90, "")), 7 * DAY),
    ((403, b"<Error><Code>AccessDenied</Code></Error>"), 7 * DAY),
    ((404, b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>"), 7 * DAY),
    ((200, b"<html>"), 7 * DAY),
    ((200, rules(3, "mail/") + b" " * 70000), 7 * DAY),
], ids=["ours", "our tag", "another tag", "another prefix", "later", "denied", "none", "page",
        "huge"])
def test_only_rules_for_the_objects_shorten_links(linked, store, monkeypatch, answer, life):
    """Asked by both identities where the first is not told."""
    asked = []
    get = store.get

    def with_lifecycle(request):
        if "lifecycle=" not in request.path:
            return get(request)
        asked.append(parameters(request.path)["X-Amz-Credential"].split("/")[0])
        return store.answer(request, answer[0], answer[1], "application/xml")
    monkeypatch.setattr(store, "get", with_lifecycle)
    one = linked(store.settings(prefix="mail", tags=["origin=mail"]), expiry="7d",
                 access_key_id="AKIDLINKS", secret_access_key="other")
    if life < 7 * DAY:
        one.wait_for("library.message", level="warning")
    else:
        wait_until(lambda: asked, "the question")
    (url,), _ = one.deliver(REPORT)
    assert life - 60 < int(parameters(url)["X-Amz-Expires"]) <= life
    told = answer[0] == 200 and len(answer[1]) < 65536 and answer[1].startswith(b"<Life")
    wait_until(lambda: asked == ["AKIDLINKS"] + ([] if told else ["AKIDTEST"]), "who asks")
    if life == 7 * DAY:
        assert not one.find("library.message")


@pytest.mark.parametrize("wait_s, life", [(2, 3 * DAY), (30, 7 * DAY)], ids=["slow", "hung"])
def test_the_first_links_wait_for_the_rules_but_not_for_ever(linked, store, monkeypatch,
                                                             wait_s, life):
    get, ended = store.get, threading.Event()

    def late(request):
        if "lifecycle=" not in request.path:
            return get(request)
        ended.wait(wait_s)
        return store.answer(request, 200, rules(3, "mail/"), "application/xml")
    monkeypatch.setattr(store, "get", late)
    one = linked(store.settings(prefix="mail"), expiry="7d")
    (url,), _ = one.deliver(REPORT)
    ended.set()
    assert life - 60 < int(parameters(url)["X-Amz-Expires"]) <= life


def test_extending_asks_for_the_object_as_readers_do(linked, radosgw, identities):
    """The upload key may not read: whether the file is there the links' key is asked."""
    writer, reader = identities
    one = linked(radosgw.settings(prefix="asked", **writer), expiry="1h", **reader)
    one.deliver(REPORT)
    wait_until(lambda: len(command(one, "list")) == 1, "the link in the record")
    (line,) = command(one, "extend", one.message)
    assert one.complaint == "" and links.fetch(line["url"]).content == REPORT.content


def test_a_404_of_no_store_revokes_nothing(linked, store, monkeypatch):
    one = linked(store.settings(), expiry="1h")
    one.deliver(REPORT)
    wait_until(lambda: len(command(one, "list")) == 1, "the link in the record")
    for body in b"<Error><Code>NoSuchBucket</Code></Error>", b"<html>":
        with monkeypatch.context() as patch:
            patch.setattr(store, "delete",
                          lambda request: store.answer(request, 404, body, "text/xml"))
            assert command(one, "revoke", one.message, code=EX_NOPERM) == []
        assert "404" in one.complaint
    assert [entry["state"] for entry in command(one, "list")] == ["good"]


def test_attachments_alike_are_one_file_and_end_as_one(linked, directory):
    one = linked(directory, expiry="1h")
    copy = mails.File("copy.pdf", REPORT.media_type, REPORT.content)
    (first, other, second), _ = one.deliver(REPORT, PAGE, copy)
    wait_until(lambda: len(command(one, "list")) == 3, "the links in the record")
    lines = command(one, "revoke", one.message, "2")
    assert [(line["number"], line["state"]) for line in lines] == \
        [(2, "revoked"), (4, "revoked")]
    assert [links.fetch(url).status for url in (first, other, second)] == [404, 200, 404]
    assert [line["number"] for line in command(one, "list")] == [3]
    assert len(command(one, "revoke", one.message)) == 3


def test_new_links_are_sent_to_those_who_had_the_old_ones(linked, directory, sink):
    one = linked(directory, expiry="1h")
    one.deliver(REPORT, PAGE)
    wait_until(lambda: len(command(one, "list")) == 2, "both links in the record")
    lines = command(one, "extend", "--sender", "client.test", "--send")
    sent_as = lines[-1]["sent_as"]
    one.wait_for("message.sent", id=sent_as)
    mail = sink.messages[-1]
    assert mail.recipients == ["bob@example.com"]
    text = links.bodies(mail.data, "plain")[0]
    assert REPORT.name in text
    for line in lines[:-1]:
        assert line["url"] in text
        assert links.fetch(line["url"]).status == 200
    done = one.command("queue", "show", one.message, "--json")
    assert done.returncode == 0, done.stderr.decode()
    shown = json.loads(done.stdout)
    assert any("a person made a new link" in (event["text"] or "")
               for event in shown["history"])


def test_links_are_revoked_by_sender(linked, directory):
    one = linked(directory, expiry="1h")
    one.deliver(REPORT, PAGE)
    wait_until(lambda: len(command(one, "list")) == 2, "both links in the record")
    command(one, "revoke", "--sender", "@client.test", code=EX_USAGE)
    assert "--yes" in one.complaint
    assert len(command(one, "revoke", "--sender", "@client.test", "--dry-run")) == 2
    assert len(objects(directory)) == 2
    command(one, "revoke", "--sender", "@else.test", "--yes")
    assert len(objects(directory)) == 2
    revoked = command(one, "revoke", "--sender", "@client.test", "--yes")
    assert {line["state"] for line in revoked} == {"revoked"}
    assert objects(directory) == [] and command(one, "list") == []


# ---- retention ----

def test_objects_past_retention_are_deleted(linked, directory):
    one = linked({**directory, "retention": "2d"}, expiry="1h")
    (url,), _ = one.deliver(REPORT)
    one.stop()
    (kept,) = objects(directory)
    stray = os.path.join(directory["directory"], "objects", "mail", "old.bin")
    os.makedirs(os.path.dirname(stray), exist_ok=True)
    with open(stray, "w") as file:
        file.write("nobody knows it")
    for path in (kept, stray):
        os.utime(path, (time.time() - 3 * DAY,) * 2)
    one.start()
    one.wait_for("object.deleted", key="mail/old.bin")
    wait_until(lambda: command(one, "list", "--newer-than", "1s") == [], "a second to pass")
    assert links.fetch(url).status == 200, "its link is still good"
    one.stop()
    assert objects(directory) == [kept]


def test_no_link_outlives_retention(linked, directory):
    one = linked({**directory, "retention": "1d"}, expiry="7d")
    (url,), text = one.deliver(REPORT)
    assert abs(int(parameters(url)["X-Amz-Expires"]) - DAY) <= 60
    end = seconds(command(one, "list")[0]["expires_at"])
    said = datetime.datetime.fromtimestamp(end, datetime.timezone.utc)
    assert said.strftime("%Y-%m-%d %H:%M UTC") in links.bodies(text, "plain")[0]
    assert one.find("settings.warning")[0]["reason"].count("s3.retention") == 1


# ---- the true end ----

def test_a_session_token_shortens_links_and_is_said(linked, store):
    one = linked(store.settings(session_token="temporary"), expiry="7d")
    one.wait_for("links.short")
    (url,), text = one.deliver(REPORT)
    assert parameters(url)["X-Amz-Expires"] == str(36 * 3600)
    said = datetime.datetime.strptime(
        re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", links.bodies(text, "plain")[0]).group(),
        "%Y-%m-%d %H:%M UTC").replace(tzinfo=datetime.timezone.utc).timestamp()
    assert abs(said - time.time() - 36 * 3600) < 120


def test_a_key_of_an_iam_user_for_links_lifts_that(linked, store):
    one = linked(store.settings(session_token="temporary"), expiry="7d",
                 access_key_id="AKIDLINKS", secret_access_key="other")
    (url,), _ = one.deliver(REPORT)
    assert one.find("links.short") == []
    assert parameters(url)["X-Amz-Expires"] == str(7 * DAY)
    assert parameters(url)["X-Amz-Credential"].startswith("AKIDLINKS/")
    assert "X-Amz-Security-Token" not in parameters(url)


# ---- two identities, proven by policies ----

@pytest.fixture(scope="module")
def identities(radosgw):
    """Two users of the RADOS gateway: one may only write to the bucket, one only read."""
    def make(name, secret):
        subprocess.run(
            ["radosgw-admin", "-c", os.path.join(radosgw.directory, "ceph.conf"), "user",
             "create", f"--uid={name}", f"--display-name={name}",
             f"--access-key=AKID{name.upper()}", f"--secret={secret}"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        return {"access_key_id": f"AKID{name.upper()}", "secret_access_key": secret}

    def statement(effect, name, *actions):
        return {"Effect": effect, "Principal": {"AWS": [f"arn:aws:iam:::user/{name}"]},
                "Action": list(actions), "Resource": [f"arn:aws:s3:::{radosgw.bucket}/*"]}
    made = make("writer", "writersecret1"), make("reader", "readersecret1")
    radosgw.client().put_bucket_policy(Bucket=radosgw.bucket, Policy=json.dumps(
        {"Version": "2012-10-17",
         "Statement": [
             statement("Allow", "writer", "s3:PutObject"),
             # here who wrote an object owns it; on Amazon's the bucket's owner does
             statement("Deny", "writer", "s3:GetObject", "s3:DeleteObject"),
             statement("Allow", "reader", "s3:GetObject")]}))
    yield made
    radosgw.client().delete_bucket_policy(Bucket=radosgw.bucket)


def client_of(radosgw, keys):
    from botocore.session import Session
    return Session().create_client(
        "s3", region_name=radosgw.region, endpoint_url=radosgw.endpoint,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"])


def test_uploads_and_links_are_two_identities(linked, radosgw, identities):
    writer, reader = identities
    one = linked(radosgw.settings(prefix="two", **writer), expiry="1h", **reader)
    (pdf, page), _ = one.deliver(REPORT, PAGE)
    record = command(one, "list")
    first, second = links.fetch(pdf), links.fetch(page)
    assert (first.status, first.content, first.file_name, first.media_type) == \
        (200, REPORT.content, REPORT.name, REPORT.media_type)
    assert (second.status, second.content, second.media_type) == \
        (200, PAGE.content, "application/octet-stream")
    assert second.headers["Content-Disposition"].startswith("attachment;")
    for keys, operation in ((writer, "get_object"), (reader, "put_object")):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            getattr(client_of(radosgw, keys), operation)(
                Bucket=radosgw.bucket, Key=record[0]["key"])
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    command(one, "revoke", one.message, code=EX_NOPERM)
    assert "s3:DeleteObject" in one.complaint
    assert links.fetch(pdf).status == 200
    assert [entry["state"] for entry in command(one, "list")] == ["good", "good"]


def test_revoking_deletes_from_the_bucket(linked, radosgw):
    one = linked(radosgw.settings(prefix="revoked"), expiry="1h")
    (url,), _ = one.deliver(REPORT)
    assert links.fetch(url).status == 200
    command(one, "revoke", one.message)
    assert links.fetch(url).status == 404
    command(one, "revoke", one.message)  # gone already
    assert not [key for key in radosgw.keys() if key.startswith("revoked/")]


@pytest.mark.parametrize("lock", [False, True], ids=["versions", "lock"])
def test_what_a_bucket_keeps_of_the_revoked_no_link_reaches(lock, linked, radosgw):
    client, bucket = radosgw.client(), "locked" if lock else "versions"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=lock)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    how = {"object_lock": "governance", "object_lock_days": 1} if lock else {}
    one = linked(radosgw.settings(bucket=bucket, prefix="kept", **how), expiry="1h")
    (url,), _ = one.deliver(REPORT)
    wait_until(lambda: len(command(one, "list")) == 1, "the link in the record")
    (new,) = command(one, "extend", one.message)
    done = one.command("links", "revoke", one.message)
    assert done.returncode == 0 and b"a bucket with versions keeps the deleted one" in done.stdout
    assert links.fetch(url).status == links.fetch(new["url"]).status == 404
    versions = client.list_object_versions(Bucket=bucket, Prefix="kept/")
    assert len(versions["Versions"]) == len(versions["DeleteMarkers"]) == 1
    assert command(one, "extend", one.message, code=EX_DATAERR) == []


# ---- hosts ----

def test_base_url_with_the_bucket_behind_another_name(linked, radosgw, tmp_path):
    port = radosgw.endpoint.rsplit(":", 1)[1]
    one = linked(radosgw.settings(prefix="host"), expiry="1h",
                 base_url=f"http://localhost:{port}/{radosgw.bucket}")
    (url,), _ = one.deliver(REPORT)
    assert url.startswith(f"http://localhost:{port}/{radosgw.bucket}/host/")
    subprocess.run(["curl", "-sSfOJ", "--noproxy", "*", url], cwd=tmp_path, check=True,
                   timeout=60)
    with open(tmp_path / "_bersicht 2026.pdf", "rb") as file:  # curl knows filename= only
        assert file.read() == REPORT.content
    assert links.fetch(url.replace("localhost", "127.0.0.1")).status == 403


class Front(http.server.BaseHTTPRequestHandler):
    """What stands before a store: asks it under the store's own host and path."""
    def do_GET(self):
        answer = links.fetch(self.server.behind + self.path)
        self.send_response(answer.status)
        self.send_header("Content-Disposition", answer.headers["Content-Disposition"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        pass


def test_base_url_of_a_front_that_sends_its_own_host(linked, directory):
    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    front.behind = directory["directory_url"] + "/stowage"
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{front.server_port}"
        one = linked(directory, expiry="1h", base_url=base, signed_for_endpoint=True)
        (url,), _ = one.deliver(REPORT)
        assert url.startswith(base + "/")
        answer = links.fetch(url)
        assert (answer.status, answer.content, answer.file_name) == \
            (200, REPORT.content, REPORT.name)
    finally:
        front.shutdown()
        front.server_close()


# ---- CloudFront ----

def unwrap(text):
    return base64.b64decode(text.translate(str.maketrans("-_~", "+=/")))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_cloudfront_links_are_signed_as_it_checks_them(linked, store, tmp_path, kind):
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else \
        ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    path.chmod(0o600)
    one = linked(store.settings(), expiry="90d", cloudfront={
        "url": "https://d111111abcdef8.cloudfront.net", "key_pair_id": "K2JCJMDEHXQW5F",
        "private_key_file": str(path)})
    (url,), text = one.deliver(REPORT)
    resource, _, signed = url.partition("&Expires=")
    expires, *rest = signed.split("&")
    fields = dict(item.split("=", 1) for item in rest)
    assert list(fields) == ["Signature", "Key-Pair-Id", "Hash-Algorithm"]
    assert (fields["Key-Pair-Id"], fields["Hash-Algorithm"]) == ("K2JCJMDEHXQW5F", "SHA256")
    policy = json.dumps({"Statement": [{"Resource": resource, "Condition": {
        "DateLessThan": {"AWS:EpochTime": int(expires)}}}]}, separators=(",", ":")).encode()
    how = (padding.PKCS1v15(), hashes.SHA256()) if kind == "rsa" else \
        (ec.ECDSA(hashes.SHA256()),)
    key.public_key().verify(unwrap(fields["Signature"]), policy, *how)
    if kind == "rsa":  # the only kind that signs alike each time
        signer = CloudFrontSigner(fields["Key-Pair-Id"], lambda text: key.sign(text, *how))
        end = datetime.datetime.fromtimestamp(int(expires), datetime.timezone.utc)
        assert url == signer.generate_presigned_url(
            resource, date_less_than=end) + "&Hash-Algorithm=SHA256"
    assert abs(int(expires) - time.time() - 90 * DAY) < 60
    assert parameters(url)["response-content-disposition"].startswith("attachment;")
    end = datetime.datetime.fromtimestamp(int(expires), datetime.timezone.utc)
    assert end.strftime("%Y-%m-%d %H:%M UTC") in links.bodies(text, "plain")[0]
