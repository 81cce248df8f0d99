"""Floods, lockers-out, early talkers, deaf and stalled clients: the door stays open to others.
Also who is in front of it: proxies and the service manager."""
import base64
import os
import resource
import socket
import ssl
import struct
import threading
import time

import pytest

import mails
from admin import metrics
from conftest import PASSWORD, USER
from dialog import Dialog, connect, queue_id, read_all, send, stuff
from gateway import Listener, binary, build_directory, environment, lan
from ports import free_port
from waiting import PATIENCE_S, wait_until

PROMPT_S = 20  # for one message while others misbehave, with sanitizers, on a busy machine


def mx(**settings):
    """A listener for strangers, all on loopback here: without the greeting's delay."""
    return Listener("mx", **{"tls": "none", "auth": "none", "greeting_delay": "0",
                             "recipients": {"@in.test": "ops@example.com"}, **settings})


def sessions(one, name):
    return metrics(one).get(("stowage_sessions", (("listener", name),)), 0)


def refused(one, reason):
    return metrics(one).get(("stowage_clients_refused_total", (("reason", reason),)), 0)


class Flood:
    """Runs act(stop) in threads until the end of the block."""

    def __init__(self, act, threads=4):
        self.stop, self.errors = threading.Event(), []
        self.threads = [threading.Thread(target=self._run, args=(act,), daemon=True)
                        for _ in range(threads)]

    def _run(self, act):
        while not self.stop.is_set():
            try:
                act(self.stop)
            except OSError:
                pass  # refused and reset: what the door is there for
            except Exception as error:  # noqa: BLE001
                self.errors.append(error)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.stop.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)
        assert not self.errors, self.errors


def deliver_promptly(address, count=5, **how):
    """Messages one after the other, each within PROMPT_S."""
    for _ in range(count):
        begin = time.monotonic()
        send(address, mails.plain(), **how)
        took = time.monotonic() - begin
        assert took < PROMPT_S, f"{took:.1f} s for one message"


# ---- floods ----

PIPELINES = {
    "noop": b"EHLO a\r\n" + b"NOOP\r\n" * 10_000,
    "rset": b"EHLO a\r\n" + b"RSET\r\n" * 10_000,
    "rcpt": b"EHLO a\r\nMAIL FROM:<a@b.test>\r\n" + b"RCPT TO:<x@example.com>\r\n" * 3_000,
    "nonsense": b"x" * 60_000 + b"\r\n" + b"\xff\xf4\x00\r\n" * 5_000,
    "mail": b"EHLO a\r\n" + b"MAIL FROM:<a@b.test>\r\nRCPT TO:<x@example.com>\r\nRSET\r\n" * 2_000,
}


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_pipelined_flood_delays_nobody(door, kind):
    listener = lan()
    one = door(listener)

    def flood(stop):
        with connect(listener.address) as client:
            client.sendall(PIPELINES[kind])
            read_all(client)

    with Flood(flood):
        one.wait_for("command.refused")
        deliver_promptly(listener.address)
    wait_until(lambda: sessions(one, "lan") == 0, "the flood's sessions to end")


def test_connecting_and_closing_in_a_loop_delays_nobody(door):
    listener = lan()
    one = door(listener)

    def knock(stop):
        for _ in range(50):
            client = connect(listener.address)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    total = ("stowage_sessions_total", (("listener", "lan"),))
    with Flood(knock):
        wait_until(lambda: metrics(one)[total] > 500, "500 knocks")
        deliver_promptly(listener.address)
    wait_until(lambda: sessions(one, "lan") == 0, "their sessions to end")
    assert len(one.find("session.refused")) < 500


def test_garbage_at_a_tls_port_neither_delays_others_nor_fills_the_log(door):
    listener = Listener("submits", tls="wrapper", auth="required")
    one = door(listener, lan())
    clear = one.settings["listeners"][1]["address"].rpartition(":")

    def knock(stop):
        with connect(listener.address) as client:
            client.sendall(b"EHLO a\r\n")
            read_all(client)

    failures = ("stowage_tls_failures_total", (("listener", "submits"),))
    with Flood(knock):
        begin = time.monotonic()
        wait_until(lambda: metrics(one).get(failures, 0) > 200, "200 failed handshakes")
        deliver_promptly((clear[0], int(clear[2])))
        took = time.monotonic() - begin
    assert len(one.find("tls.failed")) <= 20 * (took + 3)


def test_clients_that_never_read_delay_nobody_and_are_closed(door):
    listener, others = lan(command_timeout="1s", max_idle_commands=1_000_000), lan("others")
    one = door(listener, others, build=build_directory("STOWAGE_RELEASE"))  # its memory is looked at
    deaf = []
    for _ in range(5):
        client = connect(listener.address)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        deaf.append(client)
    before = one.peak_rss_kib()
    end = time.monotonic() + PATIENCE_S
    while not one.find("session.timeout") and time.monotonic() < end:
        for client in deaf:
            try:
                client.send(b"EHLO a\r\n" * 10_000)
            except OSError:  # full, or closed already
                pass
        deliver_promptly(others.address, count=1)
    one.wait_for("session.timeout", count=5, reason="the client does not read its replies")
    wait_until(lambda: sessions(one, "lan") == 0, "the deaf to be closed")
    assert one.peak_rss_kib() - before < 8 * 1024
    for client in deaf:
        client.close()


def test_stalled_handshakes_delay_nobody_and_end(door):
    listener = Listener("submits", tls="wrapper", auth="required", command_timeout="4s")
    one = door(listener)
    half = [connect(listener.address) for _ in range(30)]
    for client in half[:20]:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
    with Dialog(listener.address, wrapper=True) as dialog:
        dialog.ehlo()
        assert dialog.auth_plain(USER, PASSWORD).code == 235
    one.wait_for("tls.failed", reason="the handshake took too long")
    for client in half:
        assert read_all(client) == b""
        client.close()
    wait_until(lambda: sessions(one, "submits") == 0, "the half open to be closed")


def test_a_starved_gateway_accepts_again(door):
    """Out of descriptors: the kernel holds the clients until some of ours have gone."""
    listener = lan()
    one = door(listener)
    pid = one.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    one.expected_errors.add("listener.paused")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, hard))
    clients = [connect(listener.address) for _ in range(12)]
    one.wait_for("listener.paused")
    for client in clients:
        client.close()
    wait_until(lambda: is_greeted(listener.address), "a greeting after the famine")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    send(listener.address, mails.plain())


def is_greeted(address):
    """Whether a new client is greeted."""
    try:
        with Dialog(address, timeout=2) as dialog:
            return dialog.greeting.code == 220
    except OSError:
        return False


# ---- ceilings ----

def test_connections_of_one_client_and_one_network_are_limited(door):
    listener = mx(max_connections_per_client=2, max_connections_per_network=3)
    one = door(listener)
    first = [Dialog(listener.address, source="127.0.0.2") for _ in range(2)]
    with Dialog(listener.address, source="127.0.0.2") as dialog:
        assert dialog.greeting.code == 421 and \
            dialog.greeting.lines[0].startswith("4.7.0 gw.test "), dialog.greeting
        assert dialog.closed()
    third = Dialog(listener.address, source="127.0.0.3")
    assert third.greeting.code == 220
    with Dialog(listener.address, source="127.0.0.4") as dialog:
        assert dialog.greeting.code == 421
    with Dialog(listener.address, source="127.0.1.4") as dialog:
        assert dialog.greeting.code == 220
    one.wait_for("session.refused", client="127.0.0.2", cause="max_connections_per_client")
    one.wait_for("session.refused", client="127.0.0.4", cause="max_connections_per_network")
    assert refused(one, "max_connections_per_client") == 1
    first.pop().close()
    wait_until(lambda: sessions(one, "mx") == 2, "the session to end")
    with Dialog(listener.address, source="127.0.0.2") as dialog:
        assert dialog.greeting.code == 220
    for dialog in [*first, third]:
        dialog.close()


def test_default_ceilings_spare_loopback(door):
    listener = mx()
    door(listener)
    many = [Dialog(listener.address) for _ in range(60)]
    assert all(dialog.greeting.code == 220 for dialog in many)
    for dialog in many:
        dialog.close()


def test_messages_and_recipients_per_minute(door):
    listener = mx(messages_per_minute=3, recipients_per_minute=6)
    one = door(listener)
    with Dialog(listener.address, source="127.0.0.2") as dialog:
        dialog.ehlo()
        for _ in range(3):
            dialog.deliver(mails.plain(), recipients=["x@in.test"])
        reply = dialog.command("MAIL FROM:<a@b.test>")
        assert reply.code == 450 and reply.lines[0].startswith("4.7.1 "), reply
    send(listener.address, mails.plain(), source="127.0.0.3", recipients=["x@in.test"])
    with Dialog(listener.address, source="127.0.0.4") as dialog:
        dialog.ehlo()
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        codes = [dialog.command(f"RCPT TO:<{n}@in.test>").code for n in range(8)]
        assert codes == [250] * 6 + [450] * 2
        assert queue_id(dialog.data(stuff(mails.plain())))
    assert refused(one, "client_rate") == 3


# ---- early talkers ----

def test_who_speaks_before_the_greeting_is_turned_away(door):
    listener = mx(greeting_delay="2s")
    one = door(listener)
    with connect(listener.address, source="127.0.0.2") as client:
        client.sendall(b"EHLO a\r\nMAIL FROM:<a@b.test>\r\n")
        got = read_all(client)
    assert got.startswith(b"554 5.5.0 gw.test ") and got.count(b"\r\n") == 1, got
    one.wait_for("session.refused", client="127.0.0.2", cause="early_talker")
    assert refused(one, "early_talker") == 1
    begin = time.monotonic()
    with Dialog(listener.address) as dialog:
        assert dialog.greeting.code == 220 and time.monotonic() - begin > 1.5
        dialog.ehlo()
        dialog.deliver(mails.plain(), recipients=["x@in.test"])
        dialog.quit()


def test_the_greeting_delay_of_one_delays_no_other(door):
    slow, quick = mx(greeting_delay="60s"), lan()
    one = door(quick, slow)
    waiting = [connect(slow.address) for _ in range(50)]
    deliver_promptly(quick.address)
    silent = waiting.pop()
    silent.settimeout(0.1)
    with pytest.raises(TimeoutError):
        silent.recv(1)
    for client in [silent, *waiting]:
        client.close()
    wait_until(lambda: sessions(one, "mx") == 0, "those who left to be forgotten")
    assert not one.find("session.refused")


def test_an_early_talker_is_seen_without_a_delay(door):
    """In the same segment as the PROXY header, so that it is there for sure."""
    listener = mx(proxies=["127.0.0.5/32"])
    one = door(listener)
    with connect(listener.address, source="127.0.0.5") as client:
        client.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 25\r\nEHLO a\r\n")
        assert read_all(client).startswith(b"554 5.5.0 ")
    one.wait_for("session.refused", client="192.0.2.7", cause="early_talker")


def test_known_clients_may_speak_early(door):
    listener = lan()
    door(listener)
    with connect(listener.address) as client:
        client.sendall(b"EHLO a\r\nQUIT\r\n")
        got = read_all(client)
    assert got.startswith(b"220 ") and b"\r\n221 " in got


# ---- passwords ----

AUTH = {"max_failures": 3, "failure_window": "1h"}


@pytest.fixture
def guarded(door, users_file):
    submit = Listener("submit", tls="starttls", auth="required", auth_without_tls=True,
                      networks=["127.0.0.0/8"])
    return door(submit, auth={"users": users_file, **AUTH})


def try_password(one, user, password, source="127.0.0.1"):
    """The code; 421 where no more tries are taken."""
    with Dialog(one.address, source=source) as dialog:
        dialog.ehlo()
        reply = dialog.auth_plain(user, password)
        if reply.code == 421:
            assert reply.lines[0].startswith("4.7.0 ") and dialog.closed(), reply
        return reply.code


def test_guessers_are_shut_out_by_address(guarded):
    for user in (USER, "nobody", USER):
        assert try_password(guarded, user, "wrong", "127.0.0.2") == 535
    for user, password in ((USER, PASSWORD), ("nobody", "x")):
        assert try_password(guarded, user, password, "127.0.0.2") == 421
    assert try_password(guarded, USER, PASSWORD, "127.0.0.3") == 235
    assert refused(guarded, "auth_failures") == 2
    guarded.wait_for("auth.failed", client="127.0.0.2", user=USER,
                     reason="auth.max_failures reached")


@pytest.mark.parametrize("user", [USER, "nobody"])
def test_a_user_is_shut_out_whether_it_exists_or_not(guarded, user):
    for host in range(2, 5):
        assert try_password(guarded, user, "wrong", f"127.0.0.{host}") == 535
    assert try_password(guarded, user, PASSWORD, "127.0.0.6") == 421


def test_nobody_can_lock_a_device_out(guarded):
    assert try_password(guarded, USER, PASSWORD, "127.0.0.9") == 235
    for host in range(2, 5):
        assert try_password(guarded, USER, "wrong", f"127.0.0.{host}") == 535
    assert try_password(guarded, USER, PASSWORD, "127.0.0.6") == 421
    assert try_password(guarded, USER, PASSWORD, "127.0.0.9") == 235
    for _ in range(3):  # one who shares its address
        assert try_password(guarded, "nobody", "wrong", "127.0.0.9") == 535
    assert try_password(guarded, USER, PASSWORD, "127.0.0.9") == 235


def test_guesses_at_the_same_time_are_no_more_than_others(guarded):
    dialogs = [Dialog(guarded.address, source="127.0.0.2") for _ in range(12)]
    for dialog in dialogs:
        dialog.ehlo()
    right = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    wrong = base64.b64encode(f"\0{USER}\0wrong".encode()).decode()
    for dialog in dialogs[:-1]:
        dialog.send(f"AUTH PLAIN {wrong}\r\n")
    guarded.wait_for("auth.failed", count=3)
    dialogs[-1].send(f"AUTH PLAIN {right}\r\n")
    codes = sorted(dialog.reply().code for dialog in dialogs)
    assert codes.count(235) == 0 and codes.count(535) == 3, codes
    for dialog in dialogs:
        dialog.close()


# ---- quirks ----

def test_a_quirk_is_counted_and_told_once_in_a_session(door):
    listener = lan(profile="legacy")
    one = door(listener)
    with Dialog(listener.address) as dialog:
        for _ in range(3):
            assert dialog.command("EHLO").code == 250
        dialog.deliver(mails.plain())
        dialog.close()
    told = one.wait_for("client.quirk", quirk="no_quit")
    assert told["client"] == "127.0.0.1" and told["listener"] == "lan"
    assert len(one.find("client.quirk", quirk="helo_empty")) == 1
    figures = metrics(one)
    assert figures[("stowage_quirks_total", (("quirk", "helo_empty"),))] == 1
    assert figures[("stowage_quirks_total", (("quirk", "no_quit"),))] == 1


def test_quirks_of_many_do_not_fill_the_log(door):
    listener = lan(profile="legacy")
    one = door(listener)
    begin = time.monotonic()
    for _ in range(150):
        with Dialog(listener.address) as dialog:
            assert dialog.command("HELO").code == 250
    counted = ("stowage_quirks_total", (("quirk", "helo_empty"),))
    assert metrics(one)[counted] == 150
    assert len(one.find("client.quirk")) <= 20 * (time.monotonic() - begin + 2)


# ---- proxies ----

V2 = b"\r\n\r\n\0\r\nQUIT\n"
V2_CLIENT = V2 + b"\x21\x11\0\x0c" + socket.inet_aton("192.0.2.7") + \
    socket.inet_aton("192.0.2.8") + struct.pack("!HH", 4660, 25)
V2_CLIENT_6 = V2 + b"\x21\x21\0\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::7") + \
    socket.inet_pton(socket.AF_INET6, "2001:db8::8") + struct.pack("!HH", 4660, 25)
V2_TLVS = V2 + b"\x21\x11\0\x17" + V2_CLIENT[16:] + b"\xea\0\x08" + b"vpce-123"
V2_LOCAL = V2 + b"\x20\0\0\0"
PROXY, CLIENTS = "127.0.0.5", ["192.0.2.0/24", "2001:db8::/32"]


def proxied(name="lb", **settings):
    return lan(name, **{"proxies": [PROXY + "/32"], "networks": list(CLIENTS), **settings})


def through(address, header, source=PROXY, piece=None, **how):
    """A Dialog behind header."""
    dialog = Dialog(address, source=source, greeting=False)
    dialog.send(header, piece)
    if how.get("wrapper"):
        dialog._secure()
    dialog.greeting = dialog.reply()
    return dialog


@pytest.mark.parametrize("header,client", [
    (b"PROXY TCP4 192.0.2.7 192.0.2.8 4660 25\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::8 4660 25\r\n", "2001:db8::7"),
    (V2_CLIENT, "192.0.2.7"), (V2_CLIENT_6, "2001:db8::7"), (V2_TLVS, "192.0.2.7"),
], ids=["v1", "v1-6", "v2", "v2-6", "v2-tlvs"])
@pytest.mark.parametrize("piece", [None, 1])
def test_the_client_is_whom_the_proxy_names(door, sink, header, client, piece):
    listener = proxied()
    one = door(listener)
    with through(listener.address, header, piece=piece) as dialog:
        dialog.ehlo()
        identity = dialog.deliver(mails.plain())
        dialog.quit()
    one.wait_for("message.accepted", id=identity, client=client)
    one.wait_for("message.sent", id=identity)
    shown = f"[IPv6:{client}]" if ":" in client else f"[{client}]"
    assert shown.encode() in sink.messages[0].data.partition(b"\r\n\r\n")[0]


def test_tls_and_mail_may_follow_the_header_at_once(door):
    listener = proxied()
    wrapper = proxied("lbs", tls="wrapper")
    door(listener, wrapper)
    with connect(listener.address, source=PROXY) as client:
        client.sendall(V2_CLIENT + b"EHLO a\r\nQUIT\r\n")
        assert b"\r\n221 " in read_all(client)
    # the header and the client's hello in one write
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with connect(wrapper.address, source=PROXY) as client:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.sendall(V2_CLIENT + outgoing.read())
        while True:
            incoming.write(client.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        client.sendall(outgoing.read())
        while True:
            try:
                assert tls.read(4) == b"220 "
                break
            except ssl.SSLWantReadError:
                incoming.write(client.recv(65536))


@pytest.mark.parametrize("header,reason", [
    (b"EHLO a\r\n", "good PROXY header"), (V2 + b"\x31\x11\0\x0c" + bytes(12), "good PROXY header"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.8 4660 99999\r\n", "good PROXY header"),
    (b"PROXY TCP4 192.0", "within its PROXY header")],
    ids=["none", "version", "port", "half"])
def test_a_proxy_must_send_a_good_header(door, header, reason):
    listener = proxied()
    one = door(listener)
    with connect(listener.address, source=PROXY) as client:
        client.sendall(header)
        if "within" in reason:
            client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    told = one.wait_for("session.refused", cause="proxy_header", client=PROXY)
    assert reason in told["reason"]


def test_a_header_that_does_not_come_is_not_waited_for(door):
    listener = proxied(command_timeout="1s")
    one = door(listener)
    with connect(listener.address, source=PROXY) as client:
        client.sendall(b"PROXY ")
        assert read_all(client) == b""
    one.wait_for("session.refused", reason="no PROXY header came in time", client=PROXY)


def test_only_listed_proxies_are_believed(door):
    listener = proxied(networks=["127.0.0.0/8"])
    one = door(listener)
    with Dialog(listener.address, source="127.0.0.6") as dialog:
        reply = dialog.command("PROXY TCP4 192.0.2.7 192.0.2.8 4660 25")
        assert reply.code == 500
        dialog.ehlo()
        identity = dialog.deliver(mails.plain())
    one.wait_for("message.accepted", id=identity, client="127.0.0.6")


def test_networks_and_ceilings_are_about_the_client(door):
    listener = proxied(max_connections_per_client=1)
    one = door(listener)
    outside = V2_CLIENT.replace(socket.inet_aton("192.0.2.7"), socket.inet_aton("198.51.100.7"))
    with through(listener.address, outside) as dialog:
        assert dialog.greeting.code == 554
        assert dialog.closed()
    one.wait_for("session.refused", client="198.51.100.7", cause="networks")
    another = V2_CLIENT.replace(socket.inet_aton("192.0.2.7"), socket.inet_aton("192.0.2.9"))
    with through(listener.address, V2_CLIENT) as first:
        assert first.greeting.code == 220
        with through(listener.address, V2_CLIENT) as second:
            assert second.greeting.code == 421
        with through(listener.address, another) as third:
            assert third.greeting.code == 220
    wait_until(lambda: sessions(one, "lb") == 0, "the sessions to end")
    with through(listener.address, V2_CLIENT) as again:
        assert again.greeting.code == 220


def test_a_proxy_may_look_whether_the_gateway_is_alive(door):
    listener = proxied(networks=["127.0.0.0/8"], max_connections_per_client=1)
    one = door(listener)
    for header in (b"", V2_LOCAL, b"PROXY UNKNOWN\r\n"):
        with connect(listener.address, source=PROXY) as client:
            client.sendall(header)
            client.shutdown(socket.SHUT_WR)
            read_all(client)
    local = [through(listener.address, V2_LOCAL) for _ in range(3)]
    assert [dialog.greeting.code for dialog in local] == [220] * 3
    for dialog in local:
        dialog.close()
    wait_until(lambda: sessions(one, "lb") == 0, "the sessions to end")
    assert not one.find("session.refused")


@pytest.mark.parametrize("header,network", [
    (V2_LOCAL, "127.0.0.0/8"), (V2_LOCAL, "192.0.2.0/24"),
    (V2 + b"\x21\0\0\0", "127.0.0.0/8"), (b"PROXY UNKNOWN\r\n", "127.0.0.0/8"),
    # as HAProxy's checks with version 1
    (b"PROXY TCP4 127.0.0.5 127.0.0.1 4660 25\r\n", "192.0.2.0/24")],
    ids=["LOCAL", "LOCAL, not of networks", "UNSPEC", "UNKNOWN", "itself"])
def test_a_proxy_sends_no_mail_for_a_client_that_it_does_not_name(header, network, door):
    listener = proxied(networks=[network])
    one = door(listener)
    with through(listener.address, header) as dialog:
        assert dialog.greeting.code == 220
        dialog.ehlo()
        reply = dialog.command("MAIL FROM:<a@client.test>")
        assert reply.code == 550 and reply.lines[0].startswith("5.7.1 ")
        assert dialog.command("NOOP").code == 250
        dialog.quit()
    told = one.wait_for("session.refused", cause="proxy_header", client=PROXY)
    assert "named no client" in told["reason"]


# ---- sockets of the service manager ----

LAUNCHER = """#!/usr/bin/python3
import os, socket, sys
sockets = []
for given in os.environ["TEST_SOCKETS"].split():
    one = socket.socket(type=socket.SOCK_DGRAM if given == "udp" else socket.SOCK_STREAM)
    host, _, port = given.rpartition(":")
    one.bind((host or "127.0.0.1", 0 if given == "udp" else int(port)))
    if given != "udp":
        one.listen(16)
    sockets.append(one.detach())
spare = [os.dup2(fd, 200 + n, inheritable=False) for n, fd in enumerate(sockets)]
for n, fd in enumerate(spare):
    os.dup2(fd, 3 + n, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(spare)))
os.execv(os.environ["TEST_BINARY"], [os.environ["TEST_BINARY"], *sys.argv[1:]])
"""


@pytest.fixture
def launch(tmp_path, gateway):
    """launch(settings, sockets, names): a gateway that is given listening sockets."""
    def start(settings, sockets, names):
        build = tmp_path / "launcher"
        (build / "gateway").mkdir(parents=True)
        launcher = build / "gateway" / "stowage"
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        return gateway(settings, build=str(build), env=environment(
            TEST_BINARY=binary(build_directory()), TEST_SOCKETS=sockets, LISTEN_FDNAMES=names))
    return start


def test_sockets_of_the_service_manager_are_served(launch, make_settings, sink, store):
    by_address, by_name, own = lan("first"), lan("second"), lan("third")
    elsewhere, unwanted = free_port(), free_port()
    settings = make_settings(sink.settings(), store.settings(), [by_address, by_name, own])
    one = launch(settings, f"{unwanted} {by_address.port} udp {elsewhere}",
                 "unwanted:whatever:second:second")
    inherited = one.find("listener.inherited")
    assert [(event["listener"], event["address"]) for event in inherited] == [
        ("first", f"127.0.0.1:{by_address.port}"), ("second", f"127.0.0.1:{elsewhere}")]
    unused = one.find("socket.unused")
    assert [event["name"] for event in unused] == ["second", "unwanted"]
    for port in (by_address.port, elsewhere, own.port):
        send(("127.0.0.1", port), mails.plain())
    for port in (by_name.port, unwanted):
        with pytest.raises(ConnectionRefusedError):
            connect(("127.0.0.1", port))
    mark = one.mark()
    one.reload()
    one.wait_for("settings.reloaded", since=mark)
    for port in (by_address.port, elsewhere, own.port):
        send(("127.0.0.1", port), mails.plain())


def test_a_socket_for_the_world_is_not_given_to_a_listener_of_loopback(
        launch, make_settings, sink, store):
    # Nothing but its address keeps strangers from it.
    local = Listener("local", tls="none", auth="none", recipients=["*"])
    one = launch(make_settings(sink.settings(), store.settings(), [local]),
                 f"0.0.0.0:{free_port()}", "local")
    unused = one.wait_for("socket.unused", name="local")
    assert "loopback" in unused["reason"]
    assert not one.find("listener.inherited")
    send(local.address, mails.plain())
