"""A relay that lies, and what that may not do: nothing is taken for sent that is not, and only
what may have been taken is called uncertain."""
import contextlib
import fcntl
import socket
import ssl
import termios
import threading
import time

import pytest

import mails
from dialog import Dialog, queue_id, send, stuff
from fault_smtp import FaultSmtp
from gateway import build_directory, environment, lan
from waiting import wait_until

QUOTA = "454 Throttling failure: Daily message quota exceeded."


@pytest.fixture
def start(gateway, make_settings, store, sink):
    """start(relay settings, KEY=...): a gateway before sink; its door is one.address."""
    def begin(relay=None, door=None, build=None, env=None, **more):
        settings = make_settings({**sink.settings(), **(relay or {})}, store.settings(),
                                 [door or lan()], **more)
        return gateway(settings, build=build, env=env)
    return begin


def state_of(one, identity):
    return {message["id"]: message["state"] for message in
            one.queue_list() + one.queue_list("--state", "sent")}.get(identity)


# ---- Replies that answer something else ----

@pytest.mark.parametrize("verb,said", [
    ("DATA", "354 go ahead\r\n250 2.0.0 Ok: queued as EARLY"),
    ("DATA", "250 2.0.0 Ok: queued as EARLY"), ("RCPT", "250 2.1.5 ok\r\n250 2.1.5 ok"),
    ("MAIL", "250 2.1.0 ok\r\n250 2.1.0 ok"), ("MAIL", "354 go ahead"),
    ("EHLO", "250-relay.test\r\n250 PIPELINING\r\n250 ok"),
    ("CONNECT", "220 relay.test ESMTP\r\n220 relay.test ESMTP")])
@pytest.mark.parametrize("pipelining", [True, False])
def test_an_answer_too_many_is_none_to_the_message(verb, said, pipelining, start, sink):
    """Where the relay never takes it, it is not sent; once the relay talks straight, it is."""
    if not pipelining:
        sink.extensions = ["8BITMIME"]
    sink.script = {verb: [said], "DOT": [FaultSmtp.CLOSE]}
    one = start()
    identity = send(one.address, mails.plain())
    event = one.wait_for("message.deferred", id=identity)
    assert not sink.messages and "EARLY" not in str(event.get("relay_id"))
    assert not one.find("message.uncertain")
    sink.script.clear()
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1


@pytest.mark.parametrize("size", [100, 300000])
def test_who_leaves_before_the_end_has_nothing_uncertain(size, start, sink):
    """354 and goodbye: the dot was never there to be taken."""
    def hang_up(argument):
        return "354 go ahead\r\n421 4.3.2 shutting down"
    sink.script = {"DATA": hang_up}
    one = start(routes=[{"relays": ["default"], "uncertain": "hold"}])
    identity = send(one.address, mails.plain(b"x" * 60 + b"\r\n" * (size // 62)))
    event = one.wait_for("message.deferred", id=identity)
    assert "421" in event["reason"]
    sink.script.clear()
    one.wait_for("message.sent", id=identity)
    assert not one.find("message.uncertain") and len(sink.messages) == 1


@contextlib.contextmanager
def leaver(words, tls):
    """The port of a relay that reads no content: once its client cannot write, it says words
    and is gone."""
    listening = socket.create_server(("127.0.0.1", 0))

    def wait_full(connection):
        now, same = 0, 0
        while same < 5:
            before = now
            time.sleep(0.1)
            now = int.from_bytes(fcntl.ioctl(connection, termios.FIONREAD, b"\0" * 4), "little")
            same = same + 1 if now == before and now else 0

    def talk(connection):
        for said in (b"220 relay.test\r\n", b"250 relay.test\r\n", b"250 ok\r\n", b"250 ok\r\n",
                     b"354 go ahead\r\n"):
            connection.sendall(said)
            if said[:3] != b"354":
                connection.recv(4096)
        wait_full(connection)
        connection.sendall(words.encode() + b"\r\n")

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = listening.accept()[0]
                with connection:
                    if tls:
                        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                        context.load_cert_chain(*tls)
                        connection = context.wrap_socket(connection, server_side=True)
                    with connection:
                        talk(connection)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listening:
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(60)


@pytest.mark.parametrize("words,event", [
    ("552 5.3.4 no more", "message.dead"), ("451 4.3.0 no more", "message.deferred"),
    ("421 4.3.2 no more", "message.deferred")])
@pytest.mark.parametrize("tls", [False, True])
def test_who_leaves_with_a_word_is_heard(tls, words, event, start, authority):
    """The words are there, but the write fails first."""
    certificate = authority.issue("relay.test", label="leaver") if tls else None
    with leaver(words, certificate) as port:
        one = start({"port": port, **({"tls": "wrapper", "ca_file": authority.certificate}
                                      if tls else {})})
        identity = send(one.address, mails.plain() + (b"z" * 70 + b"\r\n") * 400000)
        assert words in one.wait_for(event, id=identity, timeout=120)["reason"]
        assert not one.find("message.uncertain")


def test_a_reply_before_the_connection_is_described_by_its_own_words(start, sink):
    sink.script = {"CONNECT": ["421 4.3.2 too busy"]}
    one = start()
    event = one.wait_for("message.deferred", id=send(one.address, mails.plain()))
    assert f"421 4.3.2 too busy (127.0.0.1 port {sink.port}, greeting)" in event["reason"]


# ---- Several addresses of one host ----

def test_an_address_that_takes_connections_and_says_nothing_is_passed_over(
        start, sink, authority, tmp_path):
    """After a failure the next connection begins with another of the host's addresses."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.2 mx.test\n127.0.0.1 mx.test\n")
    sink.tls = authority.issue("mx.test", label="mx")
    with socket.create_server(("127.0.0.2", sink.port)) as silent:
        one = start({"host": "mx.test", "tls": "required", "ca_file": authority.certificate,
                     "command_timeout": "1s"}, build=build_directory("STOWAGE_RELEASE"),
                    env=environment(LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_HOSTS=str(hosts)))
        identity = send(one.address, mails.plain())
        event = one.wait_for("message.deferred", id=identity)
        assert "greeting: timed out" in event["reason"]
        one.wait_for("message.sent", id=identity)
        silent.settimeout(60)
        silent.accept()[0].close()
    assert len(sink.messages) == 1


# ---- A paused account ----

@pytest.mark.parametrize("code", [454, 554])
def test_what_a_paused_account_refuses_waits_for_a_person_by_either_code(code, start, sink):
    sink.script = {"DOT": [f"{code} Message rejected: Sending paused for this account."]}
    one = start()
    one.expected_errors.add("queue.needs_attention")
    identity = send(one.address, mails.plain())
    one.wait_for("message.held", id=identity, hold="relay default: paused")
    assert len(one.find("queue.needs_attention")) <= 1
    wait_until(lambda: state_of(one, identity) == "held", "the record of it")
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.sent", id=identity)
    assert len(one.find("queue.needs_attention")) == 1 and len(sink.messages) == 1


# ---- The quota of a day ----

def test_who_asks_for_a_retry_after_the_quota_is_heard_at_once(start, sink):
    """AWS has raised it meanwhile: the relay is asked, whatever it said a moment ago."""
    sink.script = {"DOT": [QUOTA]}
    one = start()
    one.expected_errors.add("queue.needs_attention")
    identity = send(one.address, mails.plain())
    one.wait_for("message.held", id=identity, hold="relay default: quota")
    wait_until(lambda: state_of(one, identity) == "held", "the record of it")
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1


def test_nothing_is_stored_for_what_the_quota_keeps_back(start, sink, store):
    one = start({"daily_quota": 2})
    one.expected_errors.add("queue.needs_attention")
    file = mails.File("a.bin", "application/octet-stream", mails.noise(5000))
    held = None
    for _ in range(3):
        identity = send(one.address, mails.with_files([file]).raw)
        wait_until(lambda: one.find("message.sent", id=identity)
                   or one.find("message.held", id=identity), "sent or held")
        held = held or (one.find("message.held", id=identity) and identity)
    assert held and one.find("message.held", id=held)[0]["hold"] == "relay default: quota"
    assert len(store.objects) == len(sink.messages) == len(one.find("message.sent"))


# ---- accept: relay ----

def test_a_client_that_waits_hears_of_success_where_it_asked(start, sink):
    one = start(door=lan(accept="relay"))
    with Dialog(one.address) as dialog:
        assert "DSN" in dialog.ehlo()
        dialog.mail("alice@client.test")
        assert dialog.command("RCPT TO:<bob@example.com> NOTIFY=SUCCESS").code == 250
        assert dialog.data(stuff(mails.plain())).code == 250
    sink.wait_messages(1)
    assert not one.find("bounce.queued")  # bounces: false in these settings
    one.settings["queue"]["bounces"] = True
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test")
        assert dialog.command("RCPT TO:<bob@example.com> NOTIFY=SUCCESS").code == 250
        assert dialog.data(stuff(mails.plain())).code == 250
    report = sink.wait_messages(3)[2]
    assert report.recipients == ["alice@client.test"] and report.sender == ""
    assert b"\r\nAction: relayed\r\n" in report.data


def test_who_is_refused_where_others_have_it_is_asked_for_once(start, sink, tmp_path):
    one = start(door=lan(accept="relay"), queue={
        "directory": str(tmp_path / "queue"), "bounces": True, "retry_first": "1s"})
    sink.script["RCPT"] = lambda argument: (
        "550 5.1.1 no such mailbox" if "gone@" in argument else None)
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com", "gone@example.com")
        identity = queue_id(dialog.data(stuff(mails.plain())))
    one.wait_for("message.bounced", id=identity)
    report = sink.wait_messages(2)[1]
    assert report.recipients == ["alice@client.test"]
    assert b"gone@example.com" in report.data and b"Final-Recipient: rfc822;bob" not in report.data
    assert sum("gone@" in command for command in sink.commands) == 1
    wait_until(lambda: [m["id"] for m in one.queue_list("--state", "bounced")] == [identity],
               "the record of it")


def test_what_goes_once_at_most_is_not_the_clients_to_send_again(start, sink):
    sink.script["DOT"] = [FaultSmtp.TAKE_AND_CLOSE]
    one = start(door=lan(accept="relay"), routes=[{"relays": ["default"], "uncertain": "hold"}])
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        identity = queue_id(dialog.data(stuff(mails.plain())))
    wait_until(lambda: state_of(one, identity) == "held", "held for a person")
    assert len(sink.messages) == 1
    assert one.command("queue", "release", identity).returncode == 0
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 2


# ---- Stop ----

def test_a_stop_hurries_what_goes_by_the_settings_before(start, sink):
    """The relay that a message waits for is no more among the settings; the stop reaches it."""
    slow = FaultSmtp().start()
    try:
        one = start(relays=[{"name": "slow", **slow.settings(rate=0.02)}],
                    routes=[{"recipients": ["slow.test"], "relays": ["slow"]}])
        for number in range(2):
            send(one.address, mails.plain(), recipients=[f"r{number}@slow.test"])
        slow.wait_messages(1)
        one.settings["relays"] = one.settings["routes"] = None
        del one.settings["relays"], one.settings["routes"]
        one.write_settings()
        one.reload()
        one.wait_for("settings.reloaded")
        one.stop_in_time()
        assert len(slow.messages) == 1 and not sink.messages
    finally:
        slow.stop()
