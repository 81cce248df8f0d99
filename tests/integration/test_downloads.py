"""Links followed: by browsers, over TLS, behind proxies, too often, and when the disk is full."""
import http.client
import os
import shutil
import socket
import ssl
import urllib.parse

import pytest

import browser
import links
import mails
from dialog import send
from gateway import lan
from ports import free_port
from waiting import wait_until

SCRIPT = b"<script>document.title = 'it ran'</script>"
FILES = [
    mails.File("näme 報告 1.html", "text/html", b"<title>it was shown</title>" + SCRIPT),
    mails.File("drawing.svg", "image/svg+xml",
               b'<svg xmlns="http://www.w3.org/2000/svg"><title>it was shown</title>'
               + SCRIPT + b"</svg>"),
    mails.File("a;b 'c' & d (1)%41.pdf", "application/pdf", mails.noise(40000)),
    mails.File("photo.jpg", "image/jpeg", mails.noise(30000, 2)),
]


@pytest.fixture
def serving(tmp_path, gateway, make_settings, sink):
    """A gateway with a directory store that answers its own links: serving(S3 settings)."""
    def start(scheme="http", host="127.0.0.1", more=None, **s3):
        port, door = free_port(), lan()
        running = gateway(make_settings(sink.settings(), {
            "directory": str(tmp_path / "store"), "directory_url": f"{scheme}://{host}:{port}",
            "listen": f"127.0.0.1:{port}", **s3}, [door], **(more or {})))
        running.address, running.http_port = door.address, port
        return running
    return start


def links_to(running, sink, files):
    """The links to files, in their order."""
    seen = len(sink.messages)
    identity = send(running.address, mails.with_files(files).raw)
    running.wait_for("message.sent", id=identity, timeout=60)
    found = links.in_text(sink.messages[seen].data)
    assert len(found) == len(files)
    return found


def get(port, link, headers=None, context=None, server_name=None, method="GET"):
    """One request on a connection of its own: (status, headers, body, certificate)."""
    url = urllib.parse.urlsplit(link)
    with socket.create_connection(("127.0.0.1", port), 60) as plain:
        wire = context.wrap_socket(plain, server_hostname=server_name) if context else plain
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.sock = wire
        client.request(method, f"{url.path}?{url.query}", headers={"Host": url.netloc,
                                                                   **(headers or {})})
        answer = client.getresponse()
        shown = wire.getpeercert() if context else None
        return answer.status, answer.headers, answer.read(), shown


# ---- browsers ----

@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if not browser.is_installed():
        pytest.skip("no Chromium here")
    one = browser.Browser(str(tmp_path_factory.mktemp("chromium")))
    yield one
    one.stop()


def browse(chromium, found):
    chromium.open("data:text/html,<title>untouched</title>")
    wait_until(lambda: chromium.title() == "untouched", "the first page")
    for file, link in zip(FILES, found):
        assert chromium.download(link, file.name) == file.content, file.name
        assert chromium.title() == "untouched", file.name
    got = chromium.run("""
        const [url, done] = arguments;
        fetch(url, {headers: {Range: 'bytes=100-109'}}).then(async answer => done(
            [answer.status, answer.headers.get('Content-Range'),
             Array.from(new Uint8Array(await answer.arrayBuffer()))])).catch(e => done([`${e}`]));
    """, found[3])
    content = FILES[3].content
    assert got == [206, f"bytes 100-109/{len(content)}", list(content[100:110])]


def test_a_browser_saves_what_the_gateway_serves_and_shows_none_of_it(serving, sink, chromium):
    browse(chromium, links_to(serving(), sink, FILES))


def test_a_browser_saves_what_a_real_store_serves(gateway, make_settings, sink, radosgw, chromium):
    running = gateway(make_settings(sink.settings(), radosgw.settings()))
    browse(chromium, links_to(running, sink, FILES))


# ---- TLS ----

def renew(authority, certificate, key, name):
    """A certificate and a key put in the place of others, as certbot does."""
    new = authority.issue(name, label="renewed")
    for source, target in zip(new, (certificate, key)):
        shutil.copy(source, target + ".new")
        os.rename(target + ".new", target)


def test_links_by_https_with_the_certificate_asked_for(serving, sink, authority, tmp_path):
    pairs = {}
    for name in ("gw.test", "files.test"):
        pairs[name] = [shutil.copy(path, tmp_path) for path in authority.issue(name)]
    running = serving("https", listen_tls=True, more={"tls": {
        "certificate": pairs["gw.test"][0], "key": pairs["gw.test"][1],
        "additional": [{"certificate": pairs["files.test"][0], "key": pairs["files.test"][1]}]}})
    link = links_to(running, sink, FILES[3:])[0]
    assert link.startswith("https://")
    context = ssl.create_default_context(cafile=authority.certificate)

    def shown(name):
        status, _, body, certificate = get(running.http_port, link, context=context,
                                           server_name=name)
        assert (status, body) == (200, FILES[3].content)
        names = [value for kind, value in certificate["subjectAltName"] if kind == "DNS"]
        return names, certificate["serialNumber"]

    assert shown("gw.test")[0] == ["gw.test"] == shown("127.0.0.1")[0]
    names, serial = shown("files.test")
    assert names == ["files.test"]

    mark = running.mark()
    renew(authority, *pairs["files.test"], "files.test")
    running.wait_for("objects.certificate_renewed", since=mark)
    assert shown("files.test")[1] != serial

    serial = shown("files.test")[1]
    mark = running.mark()
    with open(pairs["files.test"][0], "w") as damaged:
        damaged.write("half a certificate")
    reason = running.wait_for("objects.certificate_kept", since=mark)["reason"]
    assert "tls.additional[0].certificate" in reason
    assert shown("files.test")[1] == serial


def test_without_tls_a_listener_with_tls_says_nothing(serving, sink, authority):
    running = serving("https", listen_tls=True)
    link = links_to(running, sink, FILES[3:])[0]
    with pytest.raises((OSError, http.client.HTTPException)):
        get(running.http_port, link)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(authority.certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES256-SHA256:AES128-GCM-SHA256")  # no forward secrecy
    with pytest.raises(ssl.SSLError):
        get(running.http_port, link, context=old, server_name="gw.test")


# ---- conditions ----

def test_conditions_hold(serving, sink):
    running = serving()
    link = links_to(running, sink, FILES[3:])[0]
    content = FILES[3].content
    _, headers, _, _ = get(running.http_port, link)
    etag, modified = headers["ETag"], headers["Last-Modified"]
    past, future = "Fri, 21 Nov 2025 00:00:00 GMT", "Fri, 21 Nov 2125 00:00:00 GMT"
    part = {"Range": "bytes=-5"}
    for asked, status, body in [
            ({"If-None-Match": etag}, 304, b""), ({"If-None-Match": '"x"'}, 200, content),
            ({"If-Modified-Since": modified}, 304, b""),
            ({"If-Modified-Since": past}, 200, content),
            ({"If-Match": etag}, 200, content), ({"If-Match": '"x"'}, 412, None),
            ({"If-Unmodified-Since": past}, 412, None),
            ({"If-Unmodified-Since": future}, 200, content),
            ({**part, "If-Range": etag}, 206, content[-5:]),
            ({**part, "If-Range": '"x"'}, 200, content),
            ({**part, "If-Range": modified}, 206, content[-5:]),
            ({"Range": "bytes=0-1,4-5"}, 200, content)]:
        got = get(running.http_port, link, asked)
        assert got[0] == status, asked
        assert body is None or got[2] == body, asked


# ---- bounds and the log ----

def test_each_request_is_in_the_log_and_no_signature(serving, sink):
    running = serving()
    link = links_to(running, sink, FILES[3:])[0]
    stored = running.wait_for("attachment.stored")
    get(running.http_port, link, {"User-Agent": "tester/1 " + "x" * 1000, "Range": "bytes=0-9"})
    event = running.wait_for("object.served")
    assert event["id"] == stored["id"] and event["key"] == stored["key"]
    assert (event["status"], event["bytes"], event["method"]) == (206, 10, "GET")
    assert event["client"] == "127.0.0.1" and 0 <= event["duration_ms"] < 60000
    assert event["user_agent"].startswith("tester/1 xxx") and len(event["user_agent"]) == 200
    signature = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["X-Amz-Signature"][0]
    get(running.http_port, link.replace(signature, signature[::-1]))
    refused = running.wait_for("object.refused")
    assert (refused["status"], refused["reason"]) == (403, "SignatureDoesNotMatch")
    assert "key" not in refused and refused["bytes"] > 0
    for part in (signature, signature[::-1], "X-Amz-"):
        assert part not in running.log_text()


def test_who_asks_too_often_is_told_to_wait(serving, sink):
    running = serving(listen_requests_per_minute=3)
    link = links_to(running, sink, FILES[3:])[0]
    for _ in range(3):
        assert get(running.http_port, link)[0] == 200
    status, headers, body, _ = get(running.http_port, link)
    assert status == 429 and headers["Retry-After"] == "20" and b"<Code>SlowDown<" in body
    assert running.wait_for("object.too_many_requests")["client"] == "127.0.0.1"
    running.settings["s3"]["listen_requests_per_minute"] = 0
    running.write_settings()
    running.reload()
    running.wait_for("settings.reloaded")
    assert get(running.http_port, link)[0] == 200


def test_behind_a_proxy_the_client_is_whom_it_names(serving, sink):
    running = serving(listen_requests_per_minute=2, listen_proxies=["127.0.0.1"])
    link = links_to(running, sink, FILES[3:])[0]

    def status(forwarded_for):
        return get(running.http_port, link, {"X-Forwarded-For": forwarded_for})[0]

    assert [status("203.0.113.7") for _ in range(3)] == [200, 200, 429]
    assert status("203.0.113.8") == 200
    # what a client says of itself stands before what the proxy added
    assert status("198.51.100.1, 203.0.113.7") == 429
    assert [status(f"2001:db8::{n}") for n in range(3)] == [200, 200, 429], "one /64"
    running.wait_for("object.served", client="203.0.113.7", status=200, count=2)
    running.wait_for("object.served", client="203.0.113.8", status=200)


def test_without_a_proxy_nobody_else_is_believed(serving, sink):
    running = serving(listen_requests_per_minute=2)
    link = links_to(running, sink, FILES[3:])[0]
    got = [get(running.http_port, link, {"X-Forwarded-For": f"203.0.113.{n}"})[0]
           for n in range(3)]
    assert got == [200, 200, 429]


def test_a_client_that_leaves_is_said_to_have_left(serving, sink):
    running = serving()
    large = mails.File("large.bin", "application/octet-stream", mails.noise(20_000_000))
    link = links_to(running, sink, [large])[0]
    url = urllib.parse.urlsplit(link)
    with socket.create_connection(("127.0.0.1", running.http_port), 60) as wire:
        wire.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        assert wire.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
    event = running.wait_for("object.served")
    assert event["reason"] == "the client left"


# ---- limits ----

def test_a_full_store_holds_mail_until_there_is_room(serving, sink):
    running = serving(directory_max_size="1MiB")
    running.expected_errors = {"queue.needs_attention"}
    files = [mails.File(f"{n}.bin", "application/octet-stream", mails.noise(700_000, n))
             for n in range(2)]
    first = links_to(running, sink, files[:1])
    mark = running.mark()
    identity = send(running.address, mails.with_files(files[1:]).raw)

    def full():
        return [event for event in running.events[mark:]
                if "s3.directory_max_size" in str(event.get("reason"))]
    wait_until(full, "the store is said to be full")
    assert len(sink.messages) == 1
    assert links.fetch(first[0]).content == files[0].content
    running.settings["s3"]["directory_max_size"] = "2MiB"
    running.write_settings()
    running.reload()
    running.wait_for("message.sent", id=identity, timeout=60)
    links.check_files(sink.messages[1].data, files[1:])
