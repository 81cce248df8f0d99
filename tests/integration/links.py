"""Links in a rewritten message: found as a mail program finds them, followed as a person does."""
import email
import email.policy
import hashlib
import html
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

_URL = re.compile(r"https?://[^\s<>\"']+")


@dataclass
class Download:
    status: int
    content: bytes
    headers: email.message.Message

    @property
    def file_name(self):
        """From Content-Disposition, filename* first, as browsers read it."""
        found = re.search(r"filename\*=UTF-8''([^;]+)", self.headers["Content-Disposition"], re.I)
        if found:
            return urllib.parse.unquote(found.group(1))
        return re.search(r'filename="((?:[^"\\]|\\.)*)"',
                         self.headers["Content-Disposition"]).group(1)

    @property
    def media_type(self):
        return self.headers["Content-Type"]

    @property
    def sha256(self):
        return hashlib.sha256(self.content).hexdigest()


def bodies(message, subtype):
    """The decoded text of every text/SUBTYPE part."""
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    return [part.get_content() for part in parsed.walk()
            if part.get_content_type() == f"text/{subtype}" and not part.is_attachment()]


def in_text(message):
    """The links in the text/plain bodies, in order, each once."""
    return list(dict.fromkeys(
        url for body in bodies(message, "plain") for url in _URL.findall(body)))


def in_html(message):
    """The targets of href in the text/html bodies, in order, each once."""
    return list(dict.fromkeys(
        html.unescape(target) for body in bodies(message, "html")
        for target in re.findall(r'href="([^"]*)"', body)))


def fetch(url, headers=None, method="GET"):
    """What the server answers, an error status included; nothing is followed elsewhere."""
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as answer:
            return Download(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Download(error.code, error.read(), error.headers)


def check_files(message, files):
    """
    Every file's link stands in the message's text (and in its HTML when it has one); its
    download has the name and exactly the bytes. The downloads, in order of files.
    """
    links = in_text(message) or in_html(message)
    if bodies(message, "html") and bodies(message, "plain"):
        assert sorted(in_html(message)) == sorted(links)
    assert len(links) == len(files), (links, [file.name for file in files])
    downloads = [fetch(link) for link in links]
    assert [download.status for download in downloads] == [200] * len(files)
    by_name = {download.file_name: download for download in downloads}
    assert sorted(by_name) == sorted(file.name for file in files)
    for file in files:
        got = by_name[file.name]
        assert got.sha256 == hashlib.sha256(file.content).hexdigest(), file.name
        assert got.headers["Content-Disposition"].startswith("attachment"), file.name
    return [by_name[file.name] for file in files]
