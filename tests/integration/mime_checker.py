"""Checks a rewritten mail against its original, by a reading of MIME of its own.

Independent of the program: raw lines and whole-line delimiters here, Python's email package
beside it. As a program:

    mime_checker.py --tool MIME_TOOL --corpus DIRECTORY [-- OPTION...]

runs the tool on each mail of the directory, compares its decisions with the mail's .expect file
and checks the result. As a module: check(original, rewritten, links) -> list of problems.
"""

import argparse
import base64
import binascii
import email
import email.policy
import hashlib
import html
import json
import os
import quopri
import re
import subprocess
import sys
import tempfile

STALE = (b"content-length", b"content-md5", b"lines")
IDENTITY = (b"7bit", b"8bit", b"binary")


class Part:
    """One entity: its octets, and where they stand."""

    def __init__(self, header, body, children=None, default="text/plain"):
        self.default = default
        self.header = header
        self.body = body
        self.children = children or []
        self.type, self.params = self._type()

    def fields(self):
        result = []
        for line in self.header.splitlines(keepends=True):
            if line[:1] in (b" ", b"\t") and result:
                result[-1] += line
            else:
                result.append(line)
        return result

    def field(self, name):
        for field in self.fields():
            if field.split(b":")[0].strip().lower() == name:
                value = field.split(b":", 1)[1]
                return value.replace(b"\r\n", b"").replace(b"\n", b"").strip()
        return None

    def _type(self):
        value = self.field(b"content-type")
        if value is None:
            return self.default, {}
        message = email.message_from_bytes(b"Content-Type: " + value + b"\n\n")
        return message.get_content_type(), message

    def encoding(self):
        return (self.field(b"content-transfer-encoding") or b"7bit").strip().lower()

    def charset(self):
        return (self.params and self.params.get_content_charset()) or "us-ascii"

    def decoded(self):
        encoding = self.encoding()
        if encoding == b"base64":
            return base64.b64decode(re.sub(rb"[ \t\r\n]", b"", self.body), validate=True)
        if encoding == b"quoted-printable":
            return quopri.decodestring(self.body)
        if encoding in (b"x-uuencode", b"uuencode"):
            lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
            start = next(i for i, line in enumerate(lines) if line.startswith(b"begin "))
            return b"".join(
                binascii.a2b_uu(line)
                for line in lines[start + 1 : lines.index(b"end")]
                if line
            )
        return self.body

    def text(self):
        try:
            data = self.decoded()
        except binascii.Error:
            data = self.body
        try:
            return data.decode(self.charset(), "surrogateescape")
        except LookupError:
            return data.decode("latin-1")

    def leaves(self):
        if not self.children:
            return [self]
        if self.type.startswith("message/"):
            return [Part(self.header, b"", default=self.default),
                    *self.children[0].leaves()]
        return [leaf for child in self.children for leaf in child.leaves()]


def boundary_of(header):
    part = Part(header, b"")
    if not part.type.startswith("multipart/"):
        return None
    value = part.params.get_boundary()
    return value.encode() if value else None


def split_header(data):
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end + 1
        if data[at:end] in (b"\r\n", b"\n"):
            return data[:at], data[end:]
        at = end
    return data, b""


def split_lines(data):
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def parse(data, inside=False, default="text/plain"):
    """The entity in data. Children are cut at lines that are exactly a delimiter. inside:
    forwarded messages are looked into as well."""
    header, body = split_header(data)
    boundary = boundary_of(header)
    if boundary is None:
        part = Part(header, body, default=default)
        if (inside and part.type == "message/rfc822" and part.encoding() in IDENTITY
                and is_clear(body)):
            part.children = [parse(body, inside)]
        return part
    children, current, closed = [], None, False
    for line in split_lines(body):
        bare = line.rstrip(b"\r\n").rstrip(b" \t")
        if not closed and bare in (b"--" + boundary, b"--" + boundary + b"--"):
            if current is not None:
                children.append(drop_line_break(b"".join(current)))
            current = []
            closed = bare != b"--" + boundary
            if closed:
                current = None
        elif current is not None:
            current.append(line)
    if current is not None:
        children.append(b"".join(current))
    whole = Part(header, body)
    kind = "message/rfc822" if whole.type == "multipart/digest" else "text/plain"
    whole.children = [parse(child, inside, kind) for child in children]
    return whole


def is_clear(message):
    """Its header is of fields alone, with one type at most, and a boundary where it needs one."""
    header, _ = split_header(message)
    fields = Part(header, b"").fields()
    names = [field.split(b":")[0].lower() for field in fields]
    multipart = Part(header, b"").type.startswith("multipart/")
    return (all(b":" in field for field in fields) and names.count(b"content-type") < 2
            and (not multipart or boundary_of(header) is not None))


def drop_line_break(data):
    if data.endswith(b"\r\n"):
        return data[:-2]
    return data[:-1] if data.endswith(b"\n") else data


def is_inserted(before, after):
    """after is before with one piece put in."""
    head = 0
    while head < len(before) and before[head] == after[head : head + 1]:
        head += 1
    return after.endswith(before[head:]) and len(after) >= len(before)


def check_fields(old, new, problems, where):
    """Fields that stay are the same and in order; only Content-* and Lines may change."""

    def kept(part):
        return [
            field
            for field in part.fields()
            if not field.lower().startswith((b"content-", b"lines:", b"mime-version:"))
        ]

    if kept(old) != kept(new):
        problems.append(f"{where}: header fields differ")
    names = [field.split(b":")[0].lower() for field in new.fields()]
    for name in STALE:
        if name in names:
            problems.append(f"{where}: {name.decode()} is stale")
    for name in (b"content-type", b"content-transfer-encoding", b"mime-version"):
        if names.count(name) > 1:
            problems.append(f"{where}: {name.decode()} stands there twice")


def shows_links(part, links):
    """Every link is in the part, as its type has it."""
    text = part.text()
    if part.type == "text/html":
        return all(f'href="{html.escape(link["url"])}"' in text for link in links)
    lines = text.replace("\r\n", "\n").split("\n")
    return all(f'<{link["url"]}>' in lines for link in links)


def check_objects(leaves, links, problems):
    for link in links:
        leaf = leaves[link["part"] - 1]
        data = link["data"]
        if leaf.decoded() != data:
            problems.append(f'part {link["part"]}: its object is not what it decodes to')
        if len(data) != link["size"] or hashlib.sha256(data).hexdigest() != link["sha256"]:
            problems.append(f'part {link["part"]}: size or hash is wrong')


def same_text(old, new, replaced):
    if replaced:
        return True
    try:
        return is_inserted(old.text(), new.text())
    except (UnicodeError, LookupError):
        return is_inserted(old.decoded(), new.decoded())


def check_carriers(carriers, links, inside, problems):
    """Every carrier has all links; with messages that have their own, each link is somewhere."""
    if not inside:
        for leaf in carriers:
            if not shows_links(leaf, links):
                problems.append(f"{leaf.type}: links are missing")
        return
    for link in links:
        if not any(shows_links(leaf, [link]) for leaf in carriers):
            problems.append(f"part {link['part']}: its link is nowhere")


def check_leaves(old, new, links, dropped, replaced, problems, inside=False):
    """What stays is byte-identical; the rest are bodies with the links put in, or new ones."""
    gone = {link["part"] for link in links} | set(dropped)
    stay = [leaf for i, leaf in enumerate(old, 1) if i not in gone]
    carriers = []
    at = 0
    for leaf in new:
        if at < len(stay) and (leaf.header, leaf.body) == (stay[at].header, stay[at].body):
            at += 1
        elif at < len(stay) and leaf.type == stay[at].type and same_text(
            stay[at], leaf, replaced and leaf.type == "text/html"
        ):
            check_fields(stay[at], leaf, problems, f"body {at + 1}")
            carriers.append(leaf)
            at += 1
        else:
            carriers.append(leaf)
    if at < len(stay):
        problems.append(f"kept part {at + 1} is not byte-identical or not there")
    if not carriers:
        problems.append("no part carries the links")
    check_carriers(carriers, links, inside, problems)


def check_defects(original, rewritten, problems):
    def defects(data):
        message = email.message_from_bytes(data, policy=email.policy.compat32)
        return [type(defect).__name__ for part in message.walk() for defect in part.defects]

    before = defects(original)
    for defect in defects(rewritten):
        if defect not in before:
            problems.append(f"the result has a defect: {defect}")


def check(original, rewritten, links, dropped=(), replaced=False, inside=False):
    """links: dicts of part, url, size, sha256, data. dropped: numbers of parts taken out
    without a link. replaced: ids in HTML were replaced by links. inside: forwarded messages
    are rewritten within."""
    problems = []
    if not links:
        return [] if original == rewritten else ["nothing is linked, yet it is not the same"]
    old, new = parse(original, inside), parse(rewritten, inside)
    old_leaves, new_leaves = old.leaves(), new.leaves()
    check_objects(old_leaves, links, problems)
    check_fields(old, new, problems, "top")
    longest = max(map(len, original.replace(b"\r\n", b"\n").split(b"\n")))
    if max(map(len, rewritten.replace(b"\r\n", b"\n").split(b"\n"))) > max(998, longest):
        problems.append("a line is too long")
    check_defects(original, rewritten, problems)
    if old.children:
        check_leaves(old_leaves, new_leaves, links, dropped, replaced, problems, inside)
    elif not all(shows_links(leaf, links) for leaf in new_leaves):
        problems.append("links are missing")
    return problems


def run(tool, options, path):
    with tempfile.TemporaryDirectory() as directory:
        manifest_path = os.path.join(directory, "manifest")
        result = subprocess.run(
            [tool, *options, path, directory, manifest_path],
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        )
        with open(manifest_path, encoding="utf-8") as file:
            manifest = json.load(file)
        for i, link in enumerate(manifest["links"], 1):
            with open(os.path.join(directory, str(i)), "rb") as file:
                link["data"] = file.read()
    return result.stdout, manifest


def decisions(manifest):
    lines = ["untouched"] if manifest["untouched"] else []
    for part in manifest["parts"]:
        words = ["link" if part["linked"] else "keep", part["type"], part["name"]]
        lines.append(" ".join(word for word in words if word))
    return lines


def own_options(path):
    """The settings that a mail is there for: NAME.options, one a line."""
    path = path[: -len(".eml")] + ".options"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def check_mail(tool, options, path):
    with open(path, "rb") as file:
        original = file.read()
    own = own_options(path)
    options = [*options, *own]
    rewritten, manifest = run(tool, options, path)
    problems = []
    expect_path = path[: -len(".eml")] + ".expect"
    if options == own and os.path.exists(expect_path):
        with open(expect_path, encoding="utf-8") as file:
            expected = file.read().splitlines()
        if decisions(manifest) != expected:
            problems.append(f"decisions: {decisions(manifest)}, expected {expected}")
    dropped = [
        part["part"] for part in manifest["parts"] if part["reason"].endswith("taken out")
    ]
    replaced = "--inline-link" in options or any("--inline-max" in o for o in options)
    inside = "--forwarded-inside" in options
    problems += check(original, rewritten, manifest["links"], dropped, replaced, inside)
    with tempfile.NamedTemporaryFile() as file:
        file.write(rewritten)
        file.flush()
        again, _ = run(tool, options, file.name)
    if again != rewritten:
        problems.append("rewriting the result again changes it")
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    failed = 0
    mails = sorted(name for name in os.listdir(arguments.corpus) if name.endswith(".eml"))
    for name in mails:
        try:
            problems = check_mail(
                arguments.tool, arguments.options, os.path.join(arguments.corpus, name)
            )
        except subprocess.SubprocessError as error:
            problems = [str(error)]
        for problem in problems:
            print(f"{name}: {problem}")
        failed += bool(problems)
    print(f"{len(mails) - failed} mails good, {failed} bad")
    return 1 if failed or not mails else 0


if __name__ == "__main__":
    sys.exit(main())
