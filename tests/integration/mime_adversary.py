"""Mails as many programs and their enemies write them, each part with what must become of it.

make(seed) is the same mail for the same seed. Nothing here knows the program under test.
"""
import base64
import random
import urllib.parse
from dataclasses import dataclass, field

LINK, KEEP, BODY = "link", "keep", "body"


@dataclass
class Leaf:
    fields: list                # of its header, without line breaks at their ends
    raw: bytes                  # as it is sent
    want: str = KEEP
    content: bytes = None       # decoded, of what is to be linked
    text: str = None            # decoded, of a body
    name: str = None            # of what is to be linked, where all readers agree

    def render(self, newline):
        return newline.join(self.fields) + newline * 2 + self.raw


@dataclass
class Multipart:
    subtype: str
    children: list
    boundary: bytes
    preamble: bytes = b""
    epilogue: bytes = b""
    padding: bytes = b""

    @property
    def fields(self):
        return [b'Content-Type: multipart/%s; boundary="%s"'
                % (self.subtype.encode(), self.boundary)]

    def body(self, newline):
        delimiter = b"--" + self.boundary
        parts = [delimiter + self.padding + newline + child.render(newline) + newline
                 for child in self.children]
        return self.preamble + b"".join(parts) + delimiter + b"--" + newline + self.epilogue

    def render(self, newline):
        return newline.join(self.fields) + newline * 2 + self.body(newline)

    def leaves(self):
        return [leaf for child in self.children
                for leaf in (child.leaves() if isinstance(child, Multipart) else [child])]


@dataclass
class Mail:
    raw: bytes
    leaves: list = field(default_factory=list)


NAMES = ["a.pdf", "Report 2026.xlsx", "\u00dcbersicht f\u00fcr M\u00e4rz.docx",
         "\u898b\u7a4d\u66f8_2026\u5e743\u6708.pdf", "\u0444\u0430\u0439\u043b.txt",
         "\u20ac rates.csv", "no extension", "x.tar.gz", "a;b.pdf", "it's.pdf", "100%.pdf",
         "a=b&c.pdf", "a,b.pdf", "\u05e9\u05dc\u05d5\u05dd.pdf", "\U0001f600.png", "a(1).pdf",
         "very long " + "n" * 100 + ".pdf"]
# Whatever becomes of these, it must be safe.
HOSTILE = ["../../etc/passwd", "C:\\temp\\x.pdf", "a\u202egnp.exe", "con.txt", "   ", "...",
           "<script>alert(1)</script>.html", "${jndi:x}.txt", "x" * 3000 + ".pdf", ".htaccess",
           "http://evil.example/x?y=z.pdf", 'a"b.pdf', "x.pdf ", "--b1.txt"]
TYPES = ["application/pdf", "application/octet-stream", "image/jpeg", "video/mp4", "text/csv",
         "text/plain", "text/html; charset=UTF-16LE", "text/calendar", "application/ms-tnef",
         "APPLICATION/ZIP", "model/vrml"]
TEXTS = {
    "us-ascii": "Hello Bob,\r\n\r\nsee the files.\r\n",
    "utf-8": "Gr\u00fc\u00dfe \u4f60\u597d \u20ac\r\n\r\nZeile\r\n",
    "iso-8859-1": "Gr\u00fc\u00dfe, caf\u00e9\r\n", "windows-1252": "\u201equoted\u201c \u20ac\r\n",
    "iso-2022-jp": "\u65e5\u672c\u8a9e\u306e\u672c\u6587\r\nadd\r\n",
    "shift_jis": "\u8868\u793a\u30bd\u30d5\u30c8\r\n\u80fd\u529b", "euc-jp": "\u65e5\u672c\u8a9e\r\n",
    "gb2312": "\u4e2d\u6587\r\n", "gbk": "\u4e2d\u6587\u5f20\r\n", "big5": "\u4e2d\u6587\u529f\r\n",
    "gb18030": "\u4e2d\u6587\U00020000\u00e9\r\n", "euc-kr": "\ud55c\uae00\r\n",
    "koi8-r": "\u041f\u0440\u0438\u0432\u0435\u0442\r\n", "utf-16": "\u4f60\u597d\r\n",
    "utf-16le": "le \u20ac\r\n", "utf-7": "Gr\u00fc\u00dfe + 1\r\n", "hz-gb-2312": "\u4e2d\u6587\r\n",
}
TAILS = ["", "last line without end", "trail \r\n", "-- \r\nAnn\r\nACME\r\n", "--\r\nAnn\r\n",
         "> quoted\r\n> -- \r\n> x\r\n", "\r\n\r\n\r\n", "From here on\r\n.\r\n..dot\r\n",
         "x" * 990 + "\r\n", "--=_fake--\r\n", "\t\r\n", "a =3D b = c\r\n"]
HTMLS = [
    "<html><head><title>t</title></head><body><p>%s</p></body></html>\r\n", "<p>%s</p>", "%s",
    "<HTML><BODY BGCOLOR=#FFFFFF>%s</BODY></HTML>", "<html><body>%s<!-- </body> --></body></html>",
    "<html><body>%s</body></html><!-- </body></html> -->\r\ntext after</html>\r\n",
    "<html><body><script>var a='</body>';</script>%s</body></html>",
    "<html><head><style>p{} /* </body> */</style></head><body>%s</body></html>",
    "<html><body>%s<!-- never closed </body></html>", "<html><body>%s<title>x</body></html>",
    "<html><body>%s<!--[if mso]></body></html><![endif]--></body></html>",
    "<html><body><p title='</body>'>%s</p></body></html>",
    "<body>%s<textarea></body></textarea></body>", "<body>%s<a href=\"http://x.example/",
    "<body>%s</body><body>second</body>", "<!DOCTYPE html><html><body><table><tr><td>%s</body></html>",
    "<html><body><div style=\"display:none\">pre<div>deep</div>%s</body></html>",
    "<html><body>%s<div hidden>h</body></html>", "<html><body>%s<template><p>t</p></body></html>",
    "<html><body>%s<select><option>a</body></html>", "<html><body>%s<svg><text>s</text></body></html>",
    "<html><body>%s<a href='http://y.example/'>open</body></html>",
    "<html><body>%s<?xml </body> ?></body></html>", "<html><body>%s" + "y" * 2000 + "</body></html>",
    "<html><body>%s</body\r\n></html\t>",
    "<html><body>%s</p></div></td></body></html>", "<html><body>%s 1<2 </body></html>",
]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = lambda *options: self.random.choice(options)
        self.boundaries = 0
        self.newline = self.pick(*[b"\r\n"] * 8, b"\n")

    def chance(self, probability):
        return self.random.random() < probability

    def boundary(self):
        self.boundaries += 1
        n, noise = self.boundaries, "%08x" % self.random.getrandbits(32)
        return self.pick(f"----=_NextPart_{n:03d}_0012_{noise}", f"Apple-Mail=_{noise}-{n}",
                         f"------------{noise}{n}", f"=_mixed {noise}{n}=_=", f"b{n}", f"b{n}-x",
                         "-" if n == 1 else f"-{n}", f"a'b(c)+_,./:=? {n}",
                         f"{noise}{n}" * 7).encode()[:70].rstrip()

    def multipart(self, subtype, *children):
        made = Multipart(subtype, list(children), self.boundary())
        if self.chance(0.3):
            made.preamble = b"This is a multi-part message in MIME format." + self.newline * 2
        if self.chance(0.15):
            made.epilogue = self.pick(self.newline, b"epilogue" + self.newline, b"--" + self.newline)
        made.padding = self.pick(*[b""] * 9, b" \t")
        return made

    def encoded_words(self, name):
        charset = self.pick("utf-8", "UTF-8", "iso-8859-1", "iso-2022-jp", "gb2312")
        try:
            name.encode(charset)
        except UnicodeError:
            charset = "utf-8"
        if self.chance(0.4):
            letters = "".join(chr(c) if chr(c).isalnum() and c < 128 else f"={c:02X}"
                              for c in name.encode(charset))
            return f"=?{charset}?Q?{letters}?="
        half = max(1, len(name) // 2)
        return self.pick(" ", "\r\n ", "\r\n\t").join(
            f"=?{charset}?B?{base64.b64encode(piece.encode(charset)).decode()}?="
            for piece in (name[:half], name[half:]) if piece)

    def parameter(self, key, name):
        percent = urllib.parse.quote(name, safe="")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        forms = [f'; {key}="{quoted}"', f'; {key}="{self.encoded_words(name)}"']
        if key == "filename":
            forms += [f"; {key}*=utf-8''{percent}", f"; {key}*=utf-8''{percent} (comment)",
                      f'; {key}="other.bin"; {key}*=UTF-8\'en\'{percent}',
                      f";\r\n {key}*0*=utf-8''{percent[:3]};\r\n {key}*1*={percent[3:]}"
                      if "%" not in percent[:3] else f"; {key}*=utf-8''{percent}"]
        return self.pick(*forms)

    def content(self):
        return self.pick(b"", b"x", b"\r\n\r\n", b"From x\r\n.\r\n..\r\n--b1\r\n--\r\n",
                         bytes(range(256)) * 3, *(self.random.randbytes(self.random.randrange(2000))
                                                  for _ in range(4)))

    def encode(self, content):
        """(Content-Transfer-Encoding, encoded): odd, and clear to every reader."""
        if self.chance(0.1):
            escaped = [b"=%02X" % octet for octet in content]
            lines = [b"".join(escaped[i:i + 25]) for i in range(0, len(escaped), 25)]
            return b"quoted-printable", (b"=" + self.newline).join(lines)
        text = base64.b64encode(content)
        width = self.pick(76, 76, 72, 64, 75, 1, 1000)
        lines = [text[i:i + width] for i in range(0, len(text), width)] or [b""]
        between = self.pick(self.newline, self.newline, self.newline * 2, b"  " + self.newline)
        return (self.pick(b"base64", b"BASE64", b"Base64"),
                between.join(lines) + self.pick(b"", self.newline, self.newline * 3))

    def broken(self, content):
        text = base64.b64encode(content + b"xyz12")
        return b"base64", self.pick(text[:-1], text[:40] + b"*" + text[40:], b"QQ==" + text,
                                    text + self.newline + b"-- footer", text + b"=")

    def attachment(self):
        hostile = self.chance(0.15)
        name = self.pick(*(HOSTILE if hostile else NAMES))
        content, media_type = self.content(), self.pick(*TYPES)
        leaf = Leaf([], b"", LINK, content, name=None if hostile else name)
        form = self.random.randrange(7)
        type_field, disposition = "Content-Type: " + media_type, None
        if form <= 3:
            disposition = self.pick("attachment", "ATTACHMENT", "(c) attachment (d)", '"attachment"')
            disposition += self.parameter("filename", name) + self.pick("", "", "; size=12", ";")
        elif form == 4 and not hostile:
            disposition = "inline" + self.parameter("filename", name)
        elif form == 5 and not hostile and not media_type.startswith("text"):
            type_field += self.parameter("name", name)
        else:
            disposition = "attachment" + self.pick(
                "", '; filename="unterminated.pdf', "; filename=a b c.pdf", "; filename*=utf-8'x",
                "; filename*=''x.pdf", "; filename=", "; =;=", "; filename*0=a; filename*2=c.pdf")
            leaf.name = None
        if self.chance(0.06):
            leaf.want = KEEP
            encoding, leaf.raw = self.broken(content)
        else:
            encoding, leaf.raw = self.encode(content)
        leaf.fields = [type_field.encode(), b"Content-Transfer-Encoding: " + encoding]
        if disposition:
            leaf.fields.append(b"Content-Disposition: " + disposition.encode())
        leaf.fields += self.pick([], [b"X-Attachment-Id: f_1"], [b"Content-ID: <unused@x>"])
        self.random.shuffle(leaf.fields)
        leaf.fields = [line.replace(b"\r\n", self.newline) for line in leaf.fields]
        return leaf

    def encode_text(self, octets):
        """(fields, encoded) as a mail program does it."""
        short = max(map(len, octets.split(b"\n"))) < 998 and b"\0" not in octets
        form = self.random.randrange(4)
        if form == 0 and short:
            return ([] if octets.isascii() else [b"Content-Transfer-Encoding: 8bit"]), octets
        if form == 1 or b"\0" in octets:
            encoded = base64.encodebytes(octets).replace(b"\n", self.newline)
            return [b"Content-Transfer-Encoding: base64"], encoded
        lines = []
        for line in octets.split(self.newline):
            pieces = [bytes([c]) if 32 <= c < 127 and c != 61 and (c != 32 or i + 1 < len(line))
                      else b"=%02X" % c for i, c in enumerate(line)]
            lines.append((b"=" + self.newline).join(
                b"".join(pieces[i:i + 24]) for i in range(0, len(pieces), 24)))
        return [b"Content-Transfer-Encoding: quoted-printable"], self.newline.join(lines)

    def body(self, html=False, within=""):
        charset = self.pick(*TEXTS)
        text = TEXTS[charset]
        if html:
            text = self.pick(*HTMLS) % (text.split("\r\n")[0] + within)
        elif self.chance(0.95):
            text += self.pick(*TAILS)
        text = text.replace("\r\n", self.newline.decode())
        octets = text.encode({"hz-gb-2312": "hz"}.get(charset, charset))
        label = self.pick(";charset=%s", '; charset="%s"', ";\r\n\tCharset=\"%s\"", "; CHARSET = %s")
        kind = "Content-Type: " + self.pick("text/%s", "TEXT/%s") % ("html" if html else "plain")
        kind += label % self.pick(charset, charset.upper())
        if not html and self.chance(0.25):
            kind += self.pick("; format=flowed", "; format=flowed; delsp=yes")
        more, raw = self.encode_text(octets)
        return Leaf([kind.encode().replace(b"\r\n", self.newline), *more], raw, BODY, text=text)

    def shown_image(self):
        """An HTML body and the picture that it shows."""
        ident = self.pick("image001.png@01DA1B2C.5E6F7A80", "Foo.Bar@X", "part1.ABC(1)@x", "x+y@z",
                          "a%b@c", "img&1@x", "Screen Shot 1.png")
        escaped = ident.replace("&", "&amp;").replace("%", "%25")
        reference = self.pick("cid:" + escaped, "CID:" + urllib.parse.quote(ident, safe="@"))
        tag = self.pick('<img src="%s">', "<img alt=x src='%s'>",
                        '<b style="background:url(&quot;%s&quot;)">b</b>') % reference
        image = Leaf([b"Content-Type: image/png", b"Content-Transfer-Encoding: base64",
                      b"Content-ID: <" + ident.encode() + b">",
                      *self.pick([], [b'Content-Disposition: attachment; filename="i.png"'])],
                     base64.b64encode(self.random.randbytes(300)))
        return self.multipart("related", self.body(True, tag), image)

    def bodies(self):
        form = self.random.randrange(6)
        if form == 0:
            return self.body()
        if form == 1:
            return self.body(True)
        if form == 2:
            return self.shown_image()
        if form == 3:       # Apple Mail: the second HTML stays as it is
            behind = Leaf([b"Content-Type: text/html; charset=us-ascii"], b"<html>after</html>")
            return self.multipart("alternative", self.body(), self.multipart(
                "mixed", self.body(True), self.attachment(), behind))
        if form == 4:
            calendar = Leaf([b"Content-Type: text/calendar; method=REQUEST"], b"BEGIN:VCALENDAR")
            return self.multipart("alternative", self.body(), self.body(True), calendar)
        return self.multipart("alternative", self.body(), self.shown_image())

    def protected(self):
        """What stays whatever is in it."""
        form = self.random.randrange(5)
        if form == 0:
            signed = self.multipart("signed", self.body(), self.attachment(),
                                    Leaf([b"Content-Type: application/pgp-signature"], b"sig"))
            for leaf in signed.leaves():
                leaf.want = KEEP
            return signed
        if form == 1:
            inner = self.multipart("mixed", self.body(), self.attachment())
            return Leaf([b"Content-Type: message/rfc822"],
                        b"Subject: inner" + self.newline + inner.render(self.newline))
        if form == 2:
            return Leaf([b"Content-Type: application/octet-stream; name=smime.p7m",
                         b"Content-Transfer-Encoding: base64"], b"AAAA")
        if form == 3:
            return Leaf([b"Content-Type: message/delivery-status"], b"Reporting-MTA: dns; x")
        return Leaf([b"Content-Type: text/plain"], b"a mailing list's footer")

    def header(self, fields):
        lines = [b"From: Ann <ann@x.example>", b"To: bob@y.example", b"Subject: test",
                 b"Date: Fri, 20 Nov 2026 10:00:00 +0000", b"Message-ID: <1@x.example>"]
        odd = [b"X:nospace", b"X-Folded: a" + self.newline + b"\tb ", b"X-Raw: \xfc\xe4\xff",
               b"X-Empty:", b"X-Trail: x   ", b"Lines: 12", b"Content-Length: 12345",
               b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==", b"X-Stowage: done",
               b"X-Long: " + b"y" * 1200]
        lines += self.random.sample(odd, self.random.randrange(4))
        self.random.shuffle(lines)
        at = self.random.randrange(len(lines) + 1)
        lines[at:at] = fields + [b"MIME-Version: 1.0"]
        return self.newline.join(lines) + self.newline * 2

    def mail(self):
        has_body = self.chance(0.9)
        children = [self.bodies()] if has_body else []
        children += [self.attachment() for _ in range(self.random.randrange(1, 4))]
        if has_body and self.chance(0.25):
            children.insert(self.random.randrange(1, len(children) + 1), self.protected())
        root = self.multipart("mixed", *children)
        if len(children) == 1 and self.chance(0.3):     # nothing but one attachment
            leaf = children[0]
            if not any(b"text/" in line.lower() for line in leaf.fields):
                return Mail(self.header(leaf.fields) + leaf.raw, [leaf])
        return Mail(self.header(root.fields) + root.body(self.newline), root.leaves())


def make(seed):
    return Maker(seed).mail()
