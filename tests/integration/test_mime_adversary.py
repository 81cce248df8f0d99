"""Mails of every make through stowage rewrite, judged by a reader that trusts nothing of ours:
raw octets cut here, the email package beside it, HTML by html.parser."""
import concurrent.futures
import email
import email.policy
import hashlib
import html.parser
import json
import os
import re
import resource
import urllib.parse

import pytest
import yaml

import mime_adversary
from gateway import run
from mime_adversary import BODY, KEEP, LINK

SEEDS, CHUNKS = 240, 4
URL = re.compile(r"http://127\.0\.0\.1:8025/[^\s<>\"']+")
OURS = re.compile(rb"Content-Type: text/(?:plain|html); charset=utf-8\r?\n"
                  rb"Content-Transfer-Encoding: (?:7bit|quoted-printable)\r?\n?")
OUR_TEXT = re.compile(r"\d+ attachments? .*stored online|<!DOCTYPE html>\s*<html><head><meta charset")
UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\u202a-\u202e\u2066-\u2069]|^[. ]|[. ]$")


class Entity:
    """One header and body; children cut at whole lines."""

    def __init__(self, raw):
        empty = re.search(rb"(?:\A|(?<=\n))\r?\n", raw)
        self.header, self.raw = (raw[:empty.start()], raw[empty.end():]) if empty else (raw, b"")
        own = b"".join(field for field in self.fields() if field[:8].lower() == b"content-")
        self.message = email.message_from_bytes(own + b"\n" + self.raw)
        self.type = self.message.get_content_type()
        self.children = []
        if self.message.get_content_maintype() == "multipart":
            self.cut(b"--" + self.message.get_boundary().encode())

    def fields(self):
        header = self.header if self.header.endswith(b"\n") else self.header + b"\n"
        return re.findall(rb"[^\n]+\n(?:[ \t][^\n]*\n)*", header)

    def cut(self, delimiter):
        start, at = None, 0
        for line in re.findall(rb"[^\n]*\n|[^\n]+$", self.raw):
            bare = line.rstrip(b"\r\n").rstrip(b" \t")
            if bare in (delimiter, delimiter + b"--"):
                if start is not None:
                    self.children.append(Entity(re.sub(rb"\r?\n\Z", b"", self.raw[start:at])))
                start = at + len(line)
                if bare != delimiter:
                    return
            at += len(line)

    def leaves(self):
        return [leaf for child in self.children for leaf in child.leaves()] or [self]

    def octets(self):
        return self.raw if self.message.is_multipart() else self.message.get_payload(decode=True)

    def text(self):
        charset = self.message.get_content_charset("us-ascii")
        return self.octets().decode({"hz-gb-2312": "hz"}.get(charset, charset))


class Visible(html.parser.HTMLParser):
    """Links that a reader sees: {href: text}."""

    VOID = {"br", "img", "meta", "input", "hr", "link", "body", "html"}
    HIDING = {"template", "select", "svg", "title", "textarea", "style", "script", "a", "head"}

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.href = {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        hidden = "hidden" in given or "display:none" in (given.get("style") or "")
        if tag == "a" and "href" in given and not any(hides for _, hides in self.open):
            self.href = given["href"]
            self.links[self.href] = ""
        if tag not in self.VOID:
            self.open.append((tag, hidden or tag in self.HIDING))

    def handle_endtag(self, tag):
        for i in range(len(self.open) - 1, -1, -1):
            if self.open[i][0] == tag:
                del self.open[i:]
                break
        if tag == "a":
            self.href = None

    def handle_data(self, data):
        if self.href:
            self.links[self.href] += data


def inserted(before, after):
    """after is before with one piece put in."""
    head = len(os.path.commonprefix([before, after]))
    return len(after) >= len(before) and after.endswith(before[head:])


class Judge:
    def __init__(self, settings_file, directory):
        self.settings_file, self.directory = settings_file, directory

    def rewrite(self, seed, raw):
        folder = self.directory / f"{seed}-{hashlib.sha256(raw).hexdigest()[:8]}"
        done = run("rewrite", "-c", self.settings_file, "--objects", folder / "objects",
                   "--manifest", folder.with_suffix(".json"), stdin=raw)
        assert done.returncode == 0, done.stderr.decode()
        manifest = json.loads(folder.with_suffix(".json").read_text())
        objects = {path.relative_to(folder / "objects").as_posix(): path.read_bytes()
                   for path in (folder / "objects").rglob("*") if path.is_file()}
        return done.stdout, manifest, objects

    def judge(self, seed):
        """The problems with one mail."""
        mail, self.problems = mime_adversary.make(seed), []
        out, manifest, objects = self.rewrite(seed, mail.raw)
        if manifest["untouched"]:
            return [f"it was left alone: {manifest['untouched']}"]
        problems = check_decisions(mail, manifest, objects)
        if not manifest["attachments"]:
            return problems + ([] if out == mail.raw else ["nothing is linked, yet it changed"])
        problems += check_result(mail, out, manifest["attachments"])
        again, _, more = self.rewrite(seed, out)
        if again != out or more:
            problems.append("rewriting the result again changes it")
        return problems


def check_decisions(mail, manifest, objects):
    parts, problems = manifest["parts"], []
    if len(parts) != len(mail.leaves):
        return [f"{len(parts)} parts, {len(mail.leaves)} were made"]
    for part, leaf in zip(parts, mail.leaves):
        if part["linked"] != (leaf.want == LINK):
            problems.append(f"part {part['part']}: {part['reason']}, but wanted: {leaf.want}")
    for attachment in manifest["attachments"]:
        leaf, content = mail.leaves[attachment["part"] - 1], objects[attachment["key"]]
        where, name = f"part {attachment['part']}", attachment["file_name"]
        if content != leaf.content:
            problems.append(f"{where}: its object is wrong")
        if (attachment["size"], attachment["sha256"]) \
                != (len(content), hashlib.sha256(content).hexdigest()):
            problems.append(f"{where}: size or hash is wrong")
        if leaf.name and name != leaf.name:
            problems.append(f"{where}: named {name!r}, not {leaf.name!r}")
        if UNSAFE.search(name) or not 0 < len(name.encode()) <= 200:
            problems.append(f"{where}: {name!r} is not safe")
    return problems


def check_result(mail, out, attachments):
    before, after, problems = Entity(mail.raw), Entity(out), []
    old, made = before.leaves(), mail.leaves
    gone = {attachment["part"] for attachment in attachments}
    stay = [(old[i], made[i]) for i in range(len(made)) if i + 1 not in gone]
    carriers = 0
    for leaf in after.leaves():
        if stay and (leaf.header, leaf.raw) == (stay[0][0].header, stay[0][0].raw):
            stay.pop(0)
            continue
        if OURS.fullmatch(leaf.header) and OUR_TEXT.match(leaf.text()):
            carriers += 1
        elif stay and stay[0][1].want == BODY and leaf.type == stay[0][0].type:
            problems += check_body(*stay.pop(0), leaf)
            carriers += 1
        else:
            problems.append(f"a part that was not there: {leaf.header!r}")
            continue
        problems += check_links(leaf, attachments)
    problems += [f"a part is gone: {leaf.header!r}" for leaf, _ in stay]
    if not carriers:
        problems.append("no part carries the links")
    return problems + check_top(before, after) + check_lines(mail.raw, out) + check_package(
        mail.raw, out, after)


def check_body(old, made, new):
    problems = []
    if not inserted(made.text.replace("\r\n", "\n"), new.text().replace("\r\n", "\n")):
        problems.append(f"the sender's text is not intact: {made.fields}")

    def others(entity):
        return [field for field in entity.fields() if not field.lower().startswith(
            (b"content-type:", b"content-transfer-encoding:"))]
    if others(old) != others(new) or len(new.fields()) > len(set(
            field.split(b":")[0].lower() for field in new.fields())):
        problems.append("a body's header is wrong")
    return problems


def check_links(leaf, attachments):
    text, problems = leaf.text(), []
    if leaf.type == "text/html":
        shown = Visible(text).links
    else:
        shown = {line[1:-1]: text for line in text.replace("\r\n", "\n").split("\n")
                 if line.startswith("<") and line.endswith(">")}
    for attachment in attachments:
        found = [words for url, words in shown.items() if URL.fullmatch(url)
                 and attachment["key"] in urllib.parse.unquote(url)
                 and attachment["file_name"] in words]
        if not found:
            problems.append(f"{leaf.type}: {attachment['file_name']!r} is not to be seen: "
                            f"{leaf.header!r} {text[:80]!r}")
    return problems


def check_top(before, after):
    def others(entity):
        return [field for field in entity.fields() if not field.lower().startswith(
            (b"content-", b"lines:", b"mime-version:"))]
    names = [field.split(b":")[0].lower() for field in after.fields()]
    problems = [f"{name} stands there {names.count(name)} times" for name in set(names)
                if name.startswith((b"content-", b"mime-")) and names.count(name) > 1]
    problems += [f"{name} is stale" for name in (b"content-length", b"content-md5", b"lines")
                 if name in names]
    return problems + ([] if others(before) == others(after) else ["header fields differ"])


def check_lines(raw, out):
    lines, problems = set(re.split(rb"\r?\n", raw)), []
    if any(len(line) > 998 and line not in lines for line in re.split(rb"\r?\n", out)):
        problems.append("a new line is too long")
    if b"\r\n" in raw and re.search(rb"(?<!\r)\n", out):
        problems.append("a lone LF is new")
    if b"\r\n" not in raw and out.count(b"\r") > raw.count(b"\r"):
        problems.append("a CR is new")
    return problems


def check_package(raw, out, after):
    """What the email package sees is what was cut here, and no new defect."""
    problems = []

    def leaves(message):
        if message.get_content_maintype() == "multipart" and message.is_multipart():
            return [leaf for part in message.get_payload() for leaf in leaves(part)]
        return [message.get_content_type()]

    def defects(octets):
        return {type(defect).__name__ for part in email.message_from_bytes(octets).walk()
                for defect in part.defects}
    for policy in (email.policy.compat32, email.policy.default):
        seen = leaves(email.message_from_bytes(out, policy=policy))
        if seen != [leaf.type for leaf in after.leaves()]:
            problems.append(f"the email package sees {seen}")
    if defects(out) - defects(raw):
        problems.append(f"new defects: {defects(out) - defects(raw)}")
    return problems


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory):
    directory = tmp_path_factory.mktemp("adversary")
    for name in ("store", "queue", "Maildir"):
        (directory / name).mkdir()
    path = directory / "rewrite.yaml"
    path.write_text(yaml.safe_dump({
        "hostname": "gw.test",
        "listeners": [{"name": "none", "address": "127.0.0.1:2525", "tls": "none", "auth": "none",
                       "networks": ["127.0.0.0/8"]}],
        "s3": {"directory": str(directory / "store"), "directory_url": "http://127.0.0.1:8025",
               "listen": "127.0.0.1:8025"},
        "relay": {"maildir": str(directory / "Maildir")},
        "queue": {"directory": str(directory / "queue")}}))
    return path


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_mails_of_every_make(chunk, settings_file, tmp_path):
    judge = Judge(settings_file, tmp_path)
    seeds = range(chunk, SEEDS, CHUNKS)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(zip(seeds, pool.map(judge.judge, seeds)))
    bad = {seed: problems for seed, problems in found if problems}
    assert not bad, "\n".join(f"seed {seed}: {problem}" for seed, problems in bad.items()
                              for problem in problems)


def test_the_judge_can_find_fault():
    """Each kind of damage is noticed, or the test above asserts nothing."""
    mail = mime_adversary.make(0)
    good = mail.raw
    assert "header fields differ" in check_top(Entity(good), Entity(b"X-New: 1\r\n" + good))
    assert check_lines(good, good + b"y" * 999 + b"\r\n") == ["a new line is too long"]
    assert not inserted("ab", "aXc") and inserted("ab", "aXb")
    hidden = '<div style="display:none"><a href="u">n</a></div><!-- <a href="v">n</a> -->'
    assert not Visible(hidden).links
    assert Visible('<p><a href="u"><bdi>n</bdi></a>').links == {"u": "n"}
    kept = mime_adversary.Mail(good, [mime_adversary.Leaf([], b"", KEEP) for _ in mail.leaves])
    parts = [{"part": i, "linked": True, "reason": ""} for i, _ in enumerate(mail.leaves, 1)]
    assert len(check_decisions(kept, {"parts": parts, "attachments": []}, {})) == len(parts)


HEAD = b"From: a@x.example\r\nTo: b@x.example\r\nMIME-Version: 1.0\r\n"
MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
FILE = b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nx\r\n"


def with_html(text):
    return MIXED + b"--b\r\nContent-Type: text/html\r\n\r\n" + text + b"\r\n" + FILE + b"--b--\r\n"


MONSTERS = {
    "nothing": b"", "one octet": b"x", "only a header": HEAD, "garbage": os.urandom(1 << 20),
    "50 MB in one line": HEAD + b"\r\n" + b"x" * 50_000_000,
    "a header of 50 MB": b"Subject: " + b"x" * 50_000_000,
    "a line of 50 MB in a part": MIXED + b"--b\r\n\r\n" + b"x" * 50_000_000 + b"\r\n" + FILE,
    "100,000 parts": MIXED + FILE * 100_000 + b"--b--\r\n",
    "100,000 messages in one another":
        HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 100_000 + b"x",
    "10,000 multiparts in one another": HEAD + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i)
        for i in range(10_000)),
    "lines like delimiters": MIXED + b"--x\r\n" * 3_000_000,
    "HTML of one character": with_html(b"<" * 2_000_000),
    "HTML of comments": with_html(b"<!--" * 500_000), "HTML of ids": with_html(b"'cid:&" * 330_000),
    "references to a large image": MIXED.replace(b"mixed", b"related") +
        b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
        b'<img src=3D"cid:a">\r\n' * 90_000 + b"\r\n--b\r\nContent-Type: image/png\r\n"
        b"Content-ID: <a>\r\n\r\n" + b"x" * 1_100_000 + b"\r\n--b--\r\n",
    "HTML that hides": with_html(b"<div hidden><a>" * 120_000),
    "signatures": MIXED + b"--b\r\n\r\n" + b"-- \r\n" * 200_000 + FILE + b"--b--\r\n",
    "many locations": MIXED + b"--b\r\nContent-Type: text/html\r\n\r\n" + b"\"a" * 500_000 + b"\r\n"
        + b"".join(b"--b\r\nContent-Type: image/png\r\nContent-Location: a%d\r\n\r\nx\r\n" % i
                   for i in range(1500)) + b"--b--\r\n",
}


def cpu_of_children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", MONSTERS)
def test_no_input_hangs_it(name, settings_file, tmp_path):
    before = cpu_of_children_s()
    done = run("rewrite", "-c", settings_file, "--objects", tmp_path, stdin=MONSTERS[name])
    assert done.returncode == 0, done.stderr.decode()
    assert cpu_of_children_s() - before < 20, "far above what any of them takes"
    assert done.stdout == MONSTERS[name] or b"stored online" in done.stdout
