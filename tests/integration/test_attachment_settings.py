"""What the settings of attachments change, and rewriting of many messages at once."""
import hashlib
import json
import os
import resource

import pytest
import yaml

import links
import mails
import mime_checker
import tnef
from dialog import send
from conftest import lan
from gateway import binary, run
from test_rewrite import key_of, rewrite

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "mime")


@pytest.fixture
def with_settings(make_settings, sink, store, tmp_path):
    def write(**attachments):
        path = tmp_path / "rewrite.yaml"
        path.write_text(yaml.safe_dump(make_settings(
            sink.settings(), store.settings(), attachments=attachments)))
        return path
    return write


def manifest_of(settings, raw, tmp_path):
    path = tmp_path / "manifest.json"
    out, objects = rewrite(settings, raw, tmp_path, "--manifest", path)
    return out, objects, json.loads(path.read_text())


def decisions(manifest):
    return {part["file_name"]: part["linked"] for part in manifest["parts"]}


def test_types_and_names_decide(with_settings, tmp_path):
    mail = mails.with_files([
        mails.File("ann.vcf", "text/x-vcard", b"BEGIN:VCARD\r\n"),
        mails.File("key.asc", "application/octet-stream", b"key"),
        mails.File("report.pdf", "application/pdf", b"%PDF" * 99)])
    settings = with_settings(types=[{"pattern": "text/*card", "action": "keep"}],
                             names=[{"pattern": "*.ASC"}])
    out, objects, manifest = manifest_of(settings, mail.raw, tmp_path)
    assert decisions(manifest) == {None: False, "ann.vcf": False, "key.asc": False,
                                   "report.pdf": True}
    assert list(objects.values()) == [mail.files[2].content]
    assert mail.files[0].part().rstrip() in out


def test_the_manifest_has_each_link_as_it_stands_in_the_message(with_settings, tmp_path):
    mail = mails.everyday()
    out, objects, manifest = manifest_of(with_settings(), mail.raw, tmp_path)
    assert [entry["link"]["url"] for entry in manifest["attachments"]] == links.in_text(out)
    assert all(entry["link"]["expires"].endswith("Z") for entry in manifest["attachments"])
    assert manifest["size"] == len(mail.raw) and manifest["rewritten_size"] == len(out)
    for entry in manifest["attachments"]:
        content = objects[entry["key"]]
        assert entry["size"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert key_of(entry["link"]["url"]) == entry["key"]


@pytest.mark.parametrize("size", [300, 700_000], ids=["in memory", "in files"])
def test_files_of_an_outlook_container_get_links_of_their_own(size, with_settings, tmp_path):
    if not os.path.exists(os.path.join(os.path.dirname(binary()), "stowage-tnef")):
        pytest.skip("built without libytnef")
    inner = [("Übersicht.xlsx", mails.noise(size, 4)), ("notes.txt", b"notes\r\n")]
    winmail = mails.File("winmail.dat", "application/ms-tnef", tnef.container(inner))
    other = mails.File("a.pdf", "application/pdf", b"%PDF" * 99)
    raw = mails.with_files([winmail, other]).raw
    out, objects, manifest = manifest_of(with_settings(tnef="extract"), raw, tmp_path)
    found = {entry["file_name"]: objects[entry["key"]] for entry in manifest["attachments"]}
    assert found == {"winmail.dat": winmail.content, "a.pdf": other.content, **dict(inner)}
    assert len(links.in_text(out)) == 4
    assert manifest["attachments"][-1]["media_type"] == "text/plain"
    _, objects, manifest = manifest_of(with_settings(tnef="keep"), raw, tmp_path)
    assert decisions(manifest)["winmail.dat"] is False


def test_a_broken_container_is_linked_as_it_is(with_settings, tmp_path):
    winmail = mails.File("winmail.dat", "application/ms-tnef", mails.noise(5000))
    raw = mails.with_files([winmail]).raw
    _, objects, manifest = manifest_of(with_settings(tnef="extract"), raw, tmp_path)
    assert [entry["file_name"] for entry in manifest["attachments"]] == ["winmail.dat"]
    assert "no file was found" in manifest["attachments"][0]["reason"]
    assert winmail.content in objects.values()


def signed(size):
    return mails.headers(subject="Signed") + mails.multipart("signed", "=_s", [
        mails.with_files([mails.File("big.bin", "application/zip", mails.noise(size))]).raw,
        b"Content-Type: application/pgp-signature\r\n\r\nx\r\n"])


def test_an_oversized_signed_message_is_one_link(
        gateway, make_settings, sink, store):
    raw = signed(300_000)
    settings = make_settings(sink.settings(max_message_size="100KB"), store.settings())
    gateway(settings)
    host, _, port = settings["listeners"][0]["address"].rpartition(":")
    send((host, int(port)), raw)
    received = sink.wait_messages(1)[0].data
    assert len(received) < 10_000
    content, = store.objects.values()
    assert content.endswith(raw)
    for field in (b"Subject: Signed\r\n", b"To: bob@example.com\r\n",
                  b"Message-ID: <made.by.test@client.test>\r\n",
                  b"Date: Fri, 20 Nov 2026 14:05:06 +0100\r\n"):
        assert received.count(field) == 1
    assert b"too large to be delivered" in received
    assert received.lower().count(b"content-type: multipart/alternative") == 1
    assert b"multipart/signed" not in received
    assert {key_of(link) for link in links.in_text(received)} == set(store.objects)


def test_an_oversized_message_may_be_left_to_the_relay(with_settings, tmp_path):
    path = with_settings(oversized="keep")
    settings = yaml.safe_load(path.read_text())
    settings["relay"]["max_message_size"] = "100KB"
    path.write_text(yaml.safe_dump(settings))
    out, objects, manifest = manifest_of(path, signed(300_000), tmp_path)
    assert out == signed(300_000) and not objects and not manifest["whole"]
    settings["attachments"]["oversized"] = "link"
    path.write_text(yaml.safe_dump(settings))
    out, objects, manifest = manifest_of(path, signed(300_000), tmp_path)
    assert manifest["whole"] and list(objects.values()) == [signed(300_000)]


def batch(settings, source, target, *more):
    return run("rewrite", "-c", settings, "--batch", source, target, *more, timeout=120)


def cpu_of_children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_directory_of_messages(with_settings, tmp_path):
    settings, target = with_settings(), tmp_path / "out"
    before = cpu_of_children_s()
    done = batch(settings, CORPUS, target)
    assert done.returncode == 0, done.stderr.decode()
    seconds = cpu_of_children_s() - before
    names = [name for name in os.listdir(CORPUS) if name.endswith(".eml")]
    assert seconds < len(os.listdir(CORPUS)) * 60 / 1000, "below a thousand a minute"
    linked = 0
    for name in names:
        with open(os.path.join(CORPUS, name), "rb") as file:
            original = file.read()
        manifest = json.loads((target / f"{name}.json").read_text())
        attachments = [{**entry, "url": entry["link"]["url"],
                        "data": (target / "objects" / entry["key"]).read_bytes()}
                       for entry in manifest["attachments"]]
        dropped = [part["part"] for part in manifest["parts"]
                   if part["reason"].endswith("taken out")]
        assert mime_checker.check(
            original, (target / name).read_bytes(), attachments, dropped) == [], name
        linked += len(attachments)
    assert linked > 100
    assert not [name for name in os.listdir(target) if name.startswith(".")]


def test_one_bad_file_does_not_stop_the_others(with_settings, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for i in range(20):
        (source / f"{i}.eml").write_bytes(mails.everyday().raw)
    (source / "gone.eml").symlink_to("/nonexistent/mail")
    (source / "folder").mkdir()
    os.mkfifo(source / "pipe")
    (source / ".hidden").write_bytes(b"x")
    done = batch(with_settings(), source, target, "--objects", tmp_path / "objects")
    assert done.returncode == 66
    assert done.stderr.decode().count("\n") == 1 and b"gone.eml" in done.stderr
    assert sorted(os.listdir(target)) == sorted(
        f"{i}.eml{more}" for i in range(20) for more in ("", ".json"))


def test_mistakes_in_the_command_are_told(with_settings, tmp_path):
    assert run("rewrite", "-c", with_settings(), "--batch", tmp_path).returncode == 64
    done = batch(with_settings(), tmp_path / "none", tmp_path / "out")
    assert done.returncode == 66 and b"none" in done.stderr


def test_one_listener_may_differ(gateway, make_settings, sink, store):
    attachments = {"types": [{"pattern": "text/csv", "action": "keep"}], "exceptions": [
        {"listener": "second", "min_size": "1KiB", "position": "top"},
        {"user": "nobody", "min_size": "1MiB"}]}
    settings = make_settings(sink.settings(), store.settings(), listeners=[
        lan(), lan(name="second")], attachments=attachments)
    gateway(settings)
    small = mails.with_files([mails.File("a.pdf", "application/pdf", b"%PDF"),
                              mails.File("t.csv", "text/csv", b"1;2\r\n" * 999)]).raw
    for number, listener in enumerate(settings["listeners"]):
        host, _, port = listener["address"].rpartition(":")
        send((host, int(port)), small)
        received = sink.wait_messages(number + 1)[number].data
        assert b"t.csv" in received and b"1;2" not in received.split(b"t.csv")[0]
        assert len(links.in_text(received)) == 1 - number


@pytest.mark.parametrize("exception, why", [
    ({"min_size": 1}, "neither listener nor user"),
    ({"listener": "none-such"}, "not the name of a listener"),
    ({"listener": "lan", "max_parts": 5}, "unknown key"),
    ({"listener": "lan", "types": [{"action": "keep"}]}, "types[0].pattern: is missing"),
    ({"listener": "lan", "types": [{"pattern": "a", "action": "drop"}]}, "keep or link")])
def test_exceptions_that_make_no_sense_are_told(exception, why, with_settings):
    done = run("check", "-c", with_settings(exceptions=[exception]))
    assert done.returncode == 78
    assert why in done.stderr.decode(), done.stderr.decode()
    assert "attachments.exceptions[0]" in done.stderr.decode()


def test_offline_the_listener_and_user_are_said(with_settings, tmp_path):
    settings = with_settings(exceptions=[{"listener": "lan", "user": "cam-*", "min_size": "1MiB"},
                                         {"user": "cam-7", "forwarded": "whole"}])
    raw = mails.with_files([mails.File("a.pdf", "application/pdf", b"%PDF")]).raw
    for more, linked in [((), True), (("--listener", "lan"), True),
                         (("--listener", "lan", "--user", "cam-1"), False),
                         (("--user", "cam-7"), True)]:
        folder = tmp_path / ("in" + "_".join(more))
        folder.mkdir()
        out, objects = rewrite(settings, raw, folder, *more)
        assert bool(objects) is linked and (out != raw) is linked
