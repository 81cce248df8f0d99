"""stowage rewrite: the same rewriting, offline, on one message."""
import json
import os
import re
import subprocess
import urllib.parse

import pytest
import yaml

import links
import mails
import mime_checker
import test_untouched
from dialog import send
from gateway import EX_CONFIG, binary, environment, run


@pytest.fixture
def settings_file(make_settings, sink, store, tmp_path):
    path = tmp_path / "rewrite.yaml"
    path.write_text(yaml.safe_dump(make_settings(sink.settings(), store.settings())))
    return path


def rewrite(settings_file, raw, tmp_path, *more):
    """(the rewritten message, {key: content} of the objects)."""
    objects = tmp_path / "objects"
    objects.mkdir(exist_ok=True)
    done = run("rewrite", "-c", settings_file, "--objects", objects, *more, stdin=raw)
    assert done.returncode == 0, done.stderr.decode()
    found = {}
    for folder, _, names in os.walk(objects):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, objects)] = file.read()
    return done.stdout, found


def key_of(link, bucket="mail"):
    path = urllib.parse.unquote(urllib.parse.urlsplit(link).path)
    return path.removeprefix(f"/{bucket}/")


def test_objects_are_named_by_key_and_hold_the_files(settings_file, tmp_path, store):
    mail = mails.everyday(2_000_000)
    out, objects = rewrite(settings_file, mail.raw, tmp_path)
    assert sorted(objects.values()) == sorted(file.content for file in mail.files)
    assert {key_of(link) for link in links.in_text(out)} == set(objects)
    assert {key_of(link) for link in links.in_html(out)} == set(objects)
    for part in mail.kept:
        assert part in out
    assert not store.objects, "rewrite uploads nothing"


def test_it_makes_of_a_message_what_serve_makes_of_it(
        settings_file, gateway, sink, store, tmp_path):
    mail = mails.everyday()
    out, objects = rewrite(settings_file, mail.raw, tmp_path)
    settings = yaml.safe_load(settings_file.read_text())
    gateway(settings)
    host, _, port = settings["listeners"][0]["address"].rpartition(":")
    send((host, int(port)), mail.raw)
    served = sink.wait_messages(1)[0].data
    assert sorted(store.objects.values()) == sorted(objects.values())
    ours, theirs = links.bodies(out, "plain"), links.bodies(served, "plain")
    assert len(ours) == len(theirs)

    def shape(text):
        for link in links._URL.findall(text):
            text = text.replace(link, "LINK")
        return text
    for one, other in zip(ours, theirs):
        assert [line for line in shape(one).splitlines() if "UTC" not in line] \
            == [line for line in shape(other).splitlines() if "UTC" not in line]
    assert [part for part in mail.kept if part in out and part in served] == mail.kept


def test_the_manifest_lists_parts_decisions_and_objects(settings_file, tmp_path):
    mail = mails.everyday()
    manifest = tmp_path / "manifest.json"
    _, objects = rewrite(settings_file, mail.raw, tmp_path, "--manifest", manifest)
    listed = json.loads(manifest.read_text())
    assert listed["untouched"] is None
    assert {entry["key"] for entry in listed["attachments"]} == set(objects)
    assert {entry["file_name"] for entry in listed["attachments"]} \
        == {file.name for file in mail.files}
    assert [part["linked"] for part in listed["parts"]].count(True) == len(mail.files)
    assert all(part["reason"] for part in listed["parts"])


@pytest.mark.parametrize("mail", [
    mails.everyday(), mails.alone(mails.File("scan.pdf", "application/pdf", b"%PDF" * 999)),
    mails.with_files([mails.File("ä.txt", "text/plain", b"a\r\n")], html="<p>Hello</p>\n")],
    ids=["everyday", "only a file", "text and HTML"])
def test_an_independent_reading_finds_nothing_wrong(mail, settings_file, tmp_path):
    manifest = tmp_path / "manifest.json"
    out, objects = rewrite(settings_file, mail.raw, tmp_path, "--manifest", manifest)
    by_key = {key_of(link): link for link in links.in_text(out)}
    linked = [{**entry, "url": by_key[entry["key"]], "data": objects[entry["key"]]}
              for entry in json.loads(manifest.read_text())["attachments"]]
    assert len(linked) == len(mail.files)
    assert mime_checker.check(mail.raw, out, linked) == []


def test_a_message_without_attachments_comes_out_as_it_went_in(settings_file, tmp_path):
    out, objects = rewrite(settings_file, mails.plain(), tmp_path)
    assert out == mails.plain() and not objects


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"no header", b"Subject: x\r\n", b"\0\0\0",
                                 mails.headers() + b"Content-Type: multipart/mixed\r\n\r\n--\r\n"],
                         ids=repr)
def test_what_is_no_message_comes_out_as_it_went_in(raw, settings_file, tmp_path):
    out, objects = rewrite(settings_file, raw, tmp_path)
    assert out == raw and not objects


def test_why_a_message_was_left_alone_is_said(settings_file, tmp_path):
    raw = test_untouched.WHOLE["S/MIME signed"]
    manifest = tmp_path / "manifest.json"
    out, objects = rewrite(settings_file, raw, tmp_path, "--manifest", manifest)
    assert out == raw and not objects
    assert "signed" in json.loads(manifest.read_text())["untouched"]


def test_errors_have_exit_codes_and_words(settings_file, tmp_path):
    raw = mails.everyday().raw
    done = run("rewrite", "-c", tmp_path / "none.yaml", "--objects", tmp_path, stdin=raw)
    assert done.returncode in (EX_CONFIG, 66) and b"none.yaml" in done.stderr
    (tmp_path / "file").write_text("")
    done = run("rewrite", "-c", settings_file, "--objects", tmp_path / "file", stdin=raw)
    assert done.returncode == 73 and b"file" in done.stderr
    assert not done.stdout, "half a message"


@pytest.mark.parametrize("closed", ["<&-", ">&-", ">/dev/full", "| head -c 1 >/dev/null"])
def test_a_message_that_cannot_be_read_or_written_is_an_error(closed, settings_file, tmp_path):
    """A closed descriptor is not taken for the next file that is opened."""
    (tmp_path / "in.eml").write_bytes(mails.plain("word " * 100_000))
    script = f'{{ "$0" rewrite -c "$1" --objects "$2" <"$3" {closed}; }}'
    if closed == "<&-":
        script = script.replace('<"$3"', "")
    if "|" in closed:
        script += '; exit "${PIPESTATUS[0]}"'
        script = script.replace("{ ", "").replace("; }", "")
    done = subprocess.run(["bash", "-c", script, binary(), settings_file, tmp_path / "objects",
                           tmp_path / "in.eml"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env=environment(), timeout=60)
    assert done.returncode == (66 if closed == "<&-" else 74), done.stderr
    assert re.search(rb"stowage rewrite: .*: (Bad file|No space|Broken pipe)", done.stderr)
