"""The wording of the links: templates and the time zone of their end."""
import email
import email.policy
import os
import re
import time

import pytest
import yaml

import mails
from gateway import EX_CONFIG, run

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "examples")


@pytest.fixture
def settings(make_settings, sink, store):
    return make_settings(sink.settings(), store.settings())


def write(settings, tmp_path, **attachments):
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump({**settings, "attachments": attachments}))
    return path


def bodies(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return [part.get_content().replace("\r\n", "\n") for part in message.walk()
            if part.get_content_maintype() == "text"]


def rewritten(path, tmp_path, raw):
    done = run("rewrite", "-c", path, "--objects", tmp_path / "objects", stdin=raw)
    assert done.returncode == 0, done.stderr.decode()
    return bodies(done.stdout)


def test_the_links_speak_german(settings, tmp_path):
    path = write(settings, tmp_path, time_zone="Europe/Berlin",
                 template_text=os.path.join(EXAMPLES, "links.de.txt"),
                 template_html=os.path.join(EXAMPLES, "links.de.html"))
    done = run("check", "-c", path)
    assert done.returncode == 0, done.stderr.decode()
    mail = mails.with_files([mails.File("Übersicht <1>.pdf", "application/pdf", b"x" * 1500)],
                            html="<html><body><p>Hallo</p></body></html>\n")
    plain, html = rewritten(path, tmp_path, mail.raw)
    assert "\n1 Anhang liegt online." in plain and "Anhänge" not in plain
    assert re.search(r"^\[1\] Übersicht <1>\.pdf \(1\.5 kB, application/pdf\)$", plain, re.M)
    assert re.search(r"verfügbar bis \d{4}-\d\d-\d\d \d\d:\d\d (CET \(UTC\+01:00\)|CEST "
                     r"\(UTC\+02:00\))$", plain, re.M)
    assert re.search(r"^<http\S+>$", plain, re.M)
    assert "1 Anhang liegt online." in html and "verf&#xfc;gbar bis" in html
    assert html.index("Anhang") < html.index("</body>")
    assert "&#xdc;bersicht &#x3c;1&#x3e;.pdf</bdi></a>" in html


def test_the_end_of_a_link_is_told_in_utc_by_default(settings, tmp_path):
    plain, = rewritten(write(settings, tmp_path), tmp_path,
                       mails.with_files([mails.File("a.pdf", "application/pdf", b"x")]).raw)
    found = re.search(r"available until (\d{4}-\d\d-\d\d \d\d:\d\d) UTC$", plain, re.M)
    end = time.strptime(found.group(1) + " UTC", "%Y-%m-%d %H:%M %Z")
    import calendar
    assert 3600 - 120 < calendar.timegm(end) - time.time() < 3600 + 60


@pytest.mark.parametrize("key, text, why", [
    ("template_text", "a\n\n{{nam}}", ":3: {{nam}} is unknown: here may stand count, number"),
    ("template_text", "Hello", ":1: no {{url}}"),
    ("template_html", "<p>\n{{#attachments}}<a href=\"{{url}}\">x</a>{{/attachments}}",
     ":2: an element is never closed"),
    ("template_html", "<script></script>{{#attachments}}{{url}}{{/attachments}}", ":1: <script> cannot"),
    ("template_html", "{{#attachments}}\n<a href={{url}}>{{/attachments}}", ":2: a tag of the"),
])
def test_a_bad_template_is_an_error_at_load(key, text, why, settings, tmp_path):
    template = tmp_path / "template"
    template.write_text(text)
    done = run("check", "-c", write(settings, tmp_path, **{key: str(template)}))
    assert done.returncode == EX_CONFIG
    said = done.stderr.decode()
    assert f"attachments.{key}: {template}{why}" in said
    assert re.search(r"stowage\.yaml:\d+:\d+: ", said)


def test_a_template_that_is_not_there_and_a_zone_that_is_none(settings, tmp_path):
    path = write(settings, tmp_path, template_text=str(tmp_path / "none"), time_zone="Mars/Base")
    done = run("check", "-c", path)
    assert done.returncode == EX_CONFIG
    assert b"none: cannot be read: No such file" in done.stderr
    assert b"attachments.time_zone: is no time zone" in done.stderr
