"""stowage serve --sandbox DIR: the whole job without any account."""
import datetime
import email
import glob
import os
import re
import smtplib
import ssl
import stat
import urllib.parse
import xml.etree.ElementTree as xml

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

import links
import mails
from gateway import Gateway, run
from ports import free_port
from waiting import wait_until


@pytest.fixture
def sandbox(tmp_path):
    directory = tmp_path / "sandbox"
    ports = [free_port() for _ in range(3)]
    smtp, http, admin = (f"127.0.0.1:{port}" for port in ports)
    one = Gateway(tmp_path, arguments=["serve", "--sandbox", str(directory), "--smtp", smtp,
                                       "--http", http, "--admin", admin])
    one.sandbox = str(directory)
    one.path = os.path.join(one.sandbox, "stowage.yaml")
    one.smtp, one.http = ("127.0.0.1", ports[0]), http
    with one.running():
        yield one


def submit(one, raw, login=True):
    context = ssl.create_default_context(cafile=os.path.join(one.sandbox, "tls", "cert.pem"))
    with smtplib.SMTP(*one.smtp, timeout=60) as client:
        client._host = "localhost"
        client.starttls(context=context)
        if login:
            client.login("sandbox", "sandbox")
        client.sendmail("alice@client.test", ["bob@example.com"], raw)


def maildir(one, count=1):
    new = os.path.join(one.sandbox, "Maildir", "new")
    paths = wait_until(lambda: len(found := sorted(glob.glob(new + "/*"))) >= count and found,
                       f"{count} messages in {new}")
    messages = []
    for path in paths:
        with open(path, "rb") as file:
            messages.append(file.read())
    return messages


@pytest.fixture
def link(sandbox):
    """The link to a file of 1000 octets."""
    mail = mails.with_files([mails.File("näme 1.bin", "image/png", mails.noise(1000))])
    submit(sandbox, mail.raw)
    return links.in_text(maildir(sandbox)[0])[0]


def test_mail_is_in_the_maildir_and_its_links_open(sandbox):
    mail = mails.everyday(3_000_000)
    submit(sandbox, mail.raw)
    message = maildir(sandbox)[0]
    downloads = links.check_files(message, mail.files)
    assert [got.media_type for got in downloads][:3] == [
        "application/pdf", "application/octet-stream", "text/csv"]
    assert all(url.startswith(f"http://{sandbox.http}/") for url in links.in_text(message))
    parsed = email.message_from_bytes(message)
    assert parsed["Subject"] == "=?utf-8?q?Quartal_=E2=82=AC?="
    for part in mail.kept:
        assert part.replace(b"\r\n", b"\n") in message.replace(b"\r\n", b"\n")


def test_clients_on_loopback_need_no_login(sandbox):
    submit(sandbox, mails.plain(), login=False)
    assert b"nothing attached" in maildir(sandbox)[0]


def test_its_settings_are_an_ordinary_file_that_stays(sandbox):
    assert run("check", "-c", sandbox.path).returncode == 0
    with open(sandbox.path) as file:
        text = file.read()
    submit(sandbox, mails.plain())
    maildir(sandbox)
    sandbox.stop()
    sandbox.arguments = ["serve", "--sandbox", sandbox.sandbox]
    sandbox.start()
    with open(sandbox.path) as file:
        assert file.read() == text
    submit(sandbox, mails.plain())
    maildir(sandbox, 2)


def test_its_secrets_are_the_owners_only(sandbox, link):
    for path in ("tls/key.pem", "users", "stowage.yaml"):
        mode = os.stat(os.path.join(sandbox.sandbox, path)).st_mode
        assert stat.S_IMODE(mode) == 0o600, path
    for folder, _, names in os.walk(sandbox.sandbox):
        for name in names:
            if "secret" in name or "credential" in name or "key" in name:
                assert not os.stat(os.path.join(folder, name)).st_mode & 0o077, name


def test_links_serve_ranges(link):
    content = mails.noise(1000)
    cases = {"bytes=0-0": content[:1], "bytes=10-19": content[10:20],
             "bytes=990-": content[990:], "bytes=-7": content[-7:],
             "bytes=500-5000": content[500:]}
    for wanted, expected in cases.items():
        got = links.fetch(link, {"Range": wanted})
        assert got.status == 206 and got.content == expected, wanted
        assert got.headers["Content-Range"].startswith("bytes ") \
            and got.headers["Content-Range"].endswith("/1000")
        assert got.headers["Content-Length"] == str(len(expected))
    beyond = links.fetch(link, {"Range": "bytes=1000-"})
    assert beyond.status == 416 and beyond.headers["Content-Range"] == "bytes */1000"
    whole = links.fetch(link)
    assert whole.headers["Accept-Ranges"] == "bytes" and whole.content == content
    assert whole.file_name == "näme 1.bin" and whole.media_type == "image/png"


def error_code(download):
    root = xml.fromstring(download.content)
    assert root.tag == "Error" and root.findtext("Message")
    return root.findtext("Code")


def tampered(link):
    """Links with one thing changed, by name."""
    url = urllib.parse.urlsplit(link)
    query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))

    def again(path=url.path, drop=(), **changed):
        pairs = {name: value for name, value in {**query, **changed}.items() if name not in drop}
        return urllib.parse.urlunsplit(
            (url.scheme, url.netloc, path, urllib.parse.urlencode(pairs), ""))

    signature = query["X-Amz-Signature"]
    other = ("0" if signature[-1] != "0" else "1")
    return {
        "signature": again(**{"X-Amz-Signature": signature[:-1] + other}),
        "no signature": again(drop=["X-Amz-Signature"]),
        "longer life": again(**{"X-Amz-Expires": "604799"}),
        "another key": again(path=url.path[:-1] + ("x" if url.path[-1] != "x" else "y")),
        "climbing path": again(path=url.path.rsplit("/", 1)[0] + "/../../../../users"),
        "another name": again(**{"response-content-disposition": "inline"}),
        "one more parameter": again(**{"response-content-language": "de"}),
        "another access key": again(**{"X-Amz-Credential": "AKIDOTHER" + query[
            "X-Amz-Credential"][query["X-Amz-Credential"].index("/"):]}),
        "nothing at all": again(drop=list(query)),
    }


def test_a_link_with_anything_changed_opens_nothing(link):
    for what, url in tampered(link).items():
        got = links.fetch(url)
        assert 400 <= got.status < 404, (what, got.status)
        error_code(got)
        assert mails.noise(1000)[:50] not in got.content
    assert error_code(links.fetch(tampered(link)["signature"])) == "SignatureDoesNotMatch"
    assert links.fetch(link, method="DELETE").status in (403, 405)
    assert links.fetch(link, method="PUT").status in (403, 405)
    assert links.fetch(link).status == 200


def signed_by_botocore(sandbox, link, seconds_ago, expiry, path=None):
    """A link made by another signer with the sandbox's own key pair."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))
    access = query["X-Amz-Credential"].split("/")
    secret = find_secret(sandbox, access[0])
    url = urllib.parse.urlsplit(link)
    request = botocore.awsrequest.AWSRequest("GET", urllib.parse.urlunsplit(
        (url.scheme, url.netloc, path or url.path, "", "")))
    signer = botocore.auth.S3SigV4QueryAuth(
        botocore.credentials.Credentials(access[0], secret), "s3", access[2], expires=expiry)
    then = datetime.datetime.utcnow() - datetime.timedelta(seconds=seconds_ago)
    real = botocore.auth.datetime

    class At:
        class datetime(datetime.datetime):
            @classmethod
            def utcnow(cls):
                return then

    botocore.auth.datetime = At
    try:
        signer.add_auth(request)
    finally:
        botocore.auth.datetime = real
    return request.url


def find_secret(sandbox, access_key_id):
    """The secret of the store's key pair, wherever under the store it is kept."""
    for folder, _, names in os.walk(os.path.join(sandbox.sandbox, "store")):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                text = file.read(4096)
            if access_key_id.encode() in text:
                rest = text.decode().replace(access_key_id, " ")
                return re.search(r"[A-Za-z0-9/+=]{30,}", rest).group(0)
    raise AssertionError("no key pair under the store")


def test_another_signers_link_is_good_and_an_expired_one_is_refused_as_s3_does(sandbox, link):
    assert links.fetch(signed_by_botocore(sandbox, link, 0, 60)).content == mails.noise(1000)
    late = links.fetch(signed_by_botocore(sandbox, link, 120, 60))
    assert late.status == 403 and error_code(late) == "AccessDenied"
    assert b"Request has expired" in late.content
    early = links.fetch(signed_by_botocore(sandbox, link, -3600, 60))
    assert early.status == 403
    long = links.fetch(signed_by_botocore(sandbox, link, 0, 8 * 86400))
    assert long.status in (400, 403)
    missing = links.fetch(signed_by_botocore(sandbox, link, 0, 60, "/stowage/none"))
    assert missing.status in (403, 404)


def test_it_listens_on_loopback_only(tmp_path):
    done = run("serve", "--sandbox", tmp_path / "s", "--smtp", "0.0.0.0:2525")
    assert done.returncode != 0 and b"loopback" in done.stderr


def test_a_sandbox_without_addresses_has_the_documented_ports(tmp_path):
    """Only the file is looked at: the ports themselves may be taken here."""
    one = Gateway(tmp_path, arguments=["serve", "--sandbox", str(tmp_path / "s")])
    one.expected_errors = {"gateway.failed"}
    one.start(wait=False)
    wait_until(lambda: os.path.exists(tmp_path / "s" / "stowage.yaml") and
               (one.events or one.process.poll() is not None), "the settings file")
    one.process.terminate()
    one.wait_exit()
    text = (tmp_path / "s" / "stowage.yaml").read_text()
    for address in ("127.0.0.1:2525", "127.0.0.1:8025", "127.0.0.1:9025"):
        assert address in text
