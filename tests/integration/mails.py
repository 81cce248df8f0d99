"""Mail as clients make it, byte by byte: nothing here re-encodes what a test gives."""
import base64
import quopri
import random
import urllib.parse
from dataclasses import dataclass, field

BOUNDARY = "=_outer_7f3a"
INNER = "=_inner_2b91"


@dataclass
class File:
    """An attachment as a client has it before encoding."""
    name: str
    media_type: str
    content: bytes
    disposition: str = "attachment"
    content_id: str = None

    def part(self):
        """The MIME part, headers and encoded body, lines in CR LF."""
        quoted = self.name.encode("ascii", "replace").decode()
        parameter = f'filename="{quoted}"'
        if not self.name.isascii():
            parameter = "filename*=UTF-8''" + urllib.parse.quote(self.name, safe="")
        headers = [f"Content-Type: {self.media_type}",
                   "Content-Transfer-Encoding: base64",
                   f"Content-Disposition: {self.disposition}; {parameter}"]
        if self.content_id:
            headers.append(f"Content-ID: <{self.content_id}>")
        return "\r\n".join(headers).encode() + b"\r\n\r\n" + base64_lines(self.content)


@dataclass
class Mail:
    raw: bytes
    files: list = field(default_factory=list)   # those that are to be linked
    kept: list = field(default_factory=list)    # byte strings that must stay as they are


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def base64_lines(content):
    lines = base64.encodebytes(content)
    return lines.replace(b"\n", b"\r\n")


def crlf(text):
    if isinstance(text, str):
        text = text.encode()
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def headers(subject="Report", sender="Alice <alice@client.test>", to="bob@example.com",
            message_id="<made.by.test@client.test>", more=()):
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}",
             "Date: Fri, 20 Nov 2026 14:05:06 +0100", f"Message-ID: {message_id}",
             "MIME-Version: 1.0", *more]
    return "".join(line + "\r\n" for line in lines).encode()


def plain(text="Hello Bob,\r\nnothing attached.\r\n", **how):
    """A message of one text part."""
    return headers(**how) + crlf("Content-Type: text/plain; charset=utf-8\n"
                                 "Content-Transfer-Encoding: 8bit\n\n") + crlf(text)


def multipart(subtype, boundary, parts, preamble=b"", epilogue=b""):
    """Headers and body of a multipart entity; parts are whole entities."""
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part.removesuffix(b"\r\n"))
                    for part in parts)
    return (b"Content-Type: multipart/%s; boundary=\"%s\"\r\n\r\n"
            % (subtype.encode(), boundary.encode())
            + preamble + body + b"--%s--\r\n" % boundary.encode() + epilogue)


def text_part(text, subtype="plain", encoding="7bit"):
    content = crlf(text)
    if encoding == "quoted-printable":
        content = crlf(quopri.encodestring(content.replace(b"\r\n", b"\n")))
    return (b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n"
            % (subtype.encode(), encoding.encode()) + content)


def with_files(files, text="Hello Bob,\nsee the files.\n", html=None, kept=(), **how):
    """multipart/mixed of a body and files; kept are further Files that are to stay."""
    body = text_part(text)
    if html:
        body = multipart("alternative", INNER, [body, text_part(html, "html")])
    kept_parts = [file.part() for file in kept]
    raw = headers(**how) + multipart(
        "mixed", BOUNDARY, [body, *kept_parts, *(file.part() for file in files)])
    return Mail(raw, list(files), [part.removesuffix(b"\r\n") for part in kept_parts])


def everyday(big=0):
    """Text and HTML, an inline image, and attachments as people send them."""
    logo = File("logo.png", "image/png", b"\x89PNG\r\n\x1a\n" + noise(700, 3), "inline",
                "logo@client.test")
    related = multipart("related", "=_related_11", [
        text_part('<html><body><p>Hello <b>Bob</b></p><img src="cid:logo@client.test">'
                  "</body></html>\n", "html"), logo.part()])
    body = multipart("alternative", INNER, [text_part("Hello Bob,\nsee below.\n"), related])
    files = [
        File("Übersicht 東京 – Q3.pdf", "application/pdf", b"%PDF-1.4\n" + noise(50000, 5)),
        File("empty.dat", "application/octet-stream", b""),
        File("table.csv", "text/csv", "a;b\r\n1;2\r\n".encode()),
    ]
    if big:
        files.append(File("backup.bin", "application/octet-stream", noise(big, 7)))
    raw = headers(subject="=?utf-8?q?Quartal_=E2=82=AC?=") + multipart(
        "mixed", BOUNDARY, [body, *(file.part() for file in files)])
    return Mail(raw, files, [logo.part().removesuffix(b"\r\n")])


def alone(file):
    """A scanner's mail: the file is the whole message."""
    return Mail(headers(subject="Scan") + file.part(), [file])
