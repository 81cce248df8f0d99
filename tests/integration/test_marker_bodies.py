"""Lists of recipients in bodies of any charset and encoding: found, and cut out exactly."""
import base64
import json
import os
import quopri
import random
import re
import subprocess

import pytest

from gateway import build_directory, environment

ADDRESSES = ["Ann.O'Neil+x@mail.example.com", "b@x-1.example", "c_d@example.org"]
FORMS = [":Email_Rxers_Code:%s:Email_Rxers_Code:", "Email_Rxers_Code:[%s]:Email_Rxers_Code:"]
TEXTS = {
    "us-ascii": "Hello", "utf-8": "Grüße, Привет, 東京 🙂", "iso-8859-1": "Grüße",
    "windows-1252": "Grüße – €", "koi8-r": "Привет", "gb18030": "你好 €", "big5": "你好",
    "shift_jis": "こんにちは、ソース表", "euc-kr": "안녕", "iso-2022-jp": "こんにちは",
    "utf-16": "Grüße 東京", "utf-16be": "Grüße", "utf-7": "Grüße €",
}
ENCODINGS = ["8bit", "quoted-printable", "base64"]


def tool():
    return os.path.join(build_directory(), "tests", "unit", "mime", "mime_tool")


def broken(marker, html, rand):
    """The marker as mail programs break it."""
    out = []
    for at, character in enumerate(marker):
        if at and rand.random() < 0.08:
            out.append(rand.choice(["<br>", "<br/>\r\n", "\r\n", "&nbsp;"] if html
                                   else ["\r\n", "\r\n ", " "]))
        out.append(f"&#{ord(character)};" if html and rand.random() < 0.1 else character)
    return "".join(out)


def encoded(content, encoding):
    if encoding == "base64":
        return base64.encodebytes(content).replace(b"\n", b"\r\n").rstrip()
    if encoding == "quoted-printable":
        return quopri.encodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return content


def decoded(raw, encoding):
    if encoding == "base64":
        return base64.b64decode(re.sub(rb"\s", b"", raw), validate=True)
    return quopri.decodestring(raw) if encoding == "quoted-printable" else raw


def is_possible(charset, encoding):
    """UTF-16 has octets that are no text."""
    return not charset.startswith("utf-16") or encoding == "base64"


@pytest.mark.parametrize("charset", TEXTS)
def test_lists_are_found_and_cut_out(charset, tmp_path):
    rand = random.Random(charset)
    for encoding in ENCODINGS:
        for html in (False, True):
            for form in FORMS:
                if is_possible(charset, encoding):
                    check(charset, encoding, html, form, rand, tmp_path)


def check(charset, encoding, html, form, rand, tmp_path):
    words = TEXTS[charset]
    before = f"<p>{words} " if html else f"{words}\r\n{words} "
    behind = f" {words}</p>\r\n" if html else f" {words}\r\n"
    marker = broken(form % rand.choice([",", ";", " , "]).join(ADDRESSES), html, rand)
    body = encoded((before + marker + behind).encode(charset), encoding)
    subtype = "html" if html else "plain"
    header = (f"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/{subtype}; charset={charset}"
              f"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n").encode()
    path = tmp_path / "in.eml"
    path.write_bytes(header + body)
    done = subprocess.run([tool(), "--recipients", path, tmp_path, tmp_path / "manifest"],
                          stdout=subprocess.PIPE, check=True, timeout=60, env=environment())
    manifest = json.loads((tmp_path / "manifest").read_text())
    where = (encoding, subtype, marker)
    assert manifest["recipients"] == ADDRESSES, (where, manifest["reason"])
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    if charset == "utf-7":  # an exact way back there is not: it may become UTF-8
        charset, = re.findall(r"charset=(\S+)", head.decode())
        encoding, = re.findall(r"Encoding: (\S+)", head.decode())
    else:
        assert head + b"\r\n\r\n" == header, where
    left = decoded(rest, encoding).decode(charset)
    assert left.replace("\r\n", "\n").rstrip() == (before + behind).replace("\r\n", "\n").rstrip(), \
        where
    assert max(map(len, done.stdout.split(b"\r\n"))) <= 998
