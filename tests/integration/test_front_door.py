"""The front door over real sockets: who may in, what is refused, and with which words."""
import base64
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

import mails
from conftest import PASSWORD, USER
from dialog import Dialog, queue_id, send, stuff
from gateway import Listener, binary, lan
from waiting import wait_until

MAX = 200_000


@pytest.fixture(scope="module")
def shared(open_house):
    """One gateway for the whole file: a test that changes it must not use it."""
    return open_house({
        "mx": Listener("mx", tls="starttls", auth="none", recipients={
            "@in.test": "ops@example.com", "exact@in.test": "one@example.com"}),
        "submit": Listener("submit", tls="required", auth="required"),
        "optional": Listener("optional", tls="starttls", auth="optional",
                             networks=["127.0.0.0/8"], max_message_size=str(MAX) + "B"),
        "lan": Listener("lan", tls="none", auth="none", networks=["127.0.0.2/32"]),
        "clear": Listener("clear", tls="starttls", auth="optional", auth_without_tls=True,
                          networks=["127.0.0.0/8"]),
        "hasty": Listener("hasty", tls="none", auth="none", networks=["127.0.0.0/8"],
                          data_timeout="2s"),
    })


# ---- who may send what to whom ----

def test_strangers_reach_the_mapped_addresses_only(shared):
    with Dialog(shared.doors["mx"]) as dialog:
        dialog.ehlo()
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        for stranger in ("x@elsewhere.test", "ops@example.com", "x@sub.in.test",
                         "x%elsewhere.test@gw.test", '"x@elsewhere.test"@gw.test',
                         "x@elsewhere.test@gw.test", "@in.test:x@elsewhere.test",
                         "x@in.test.elsewhere.test"):
            reply = dialog.command(f"RCPT TO:<{stranger}>")
            assert 500 <= reply.code < 560, (stranger, reply)
        assert dialog.command("RCPT TO:<anyone@in.test>").code == 250
        assert dialog.command("RCPT TO:<anyone@IN.Test>").code == 250


def test_data_without_a_good_recipient_is_refused(shared):
    with Dialog(shared.doors["mx"]) as dialog:
        dialog.ehlo()
        dialog.command("MAIL FROM:<a@b.test>")
        assert dialog.command("RCPT TO:<x@elsewhere.test>").code == 550
        assert dialog.command("DATA").code in (503, 554)


def test_clients_outside_the_networks_are_turned_away(shared):
    with Dialog(shared.doors["lan"], source="127.0.0.1") as dialog:
        code = dialog.greeting.code
        if code == 220:
            dialog.ehlo()
            code = dialog.command("MAIL FROM:<a@b.test>").code
        assert code in (550, 554), code
    with Dialog(shared.doors["lan"], source="127.0.0.2") as dialog:
        dialog.ehlo()
        dialog.deliver(mails.plain())


def test_submission_wants_tls_then_authentication(shared):
    with Dialog(shared.doors["submit"]) as dialog:
        offered = dialog.ehlo()
        assert "STARTTLS" in offered and "AUTH" not in offered
        assert dialog.command("MAIL FROM:<a@b.test>").code == 530
        assert dialog.command("AUTH PLAIN AGEAYg==").code in (530, 538)
        offered = dialog.starttls()
        assert "STARTTLS" not in offered
        assert {"PLAIN", "LOGIN"} <= set(offered["AUTH"].split()[1:])
        assert dialog.command("MAIL FROM:<a@b.test>").code == 530
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        assert dialog.auth_plain(USER, PASSWORD).code == 503
        dialog.deliver(mails.plain())


@pytest.mark.parametrize("user,password", [
    (USER, PASSWORD + "x"), (USER, ""), ("nobody", PASSWORD), (USER.upper(), PASSWORD)])
def test_a_wrong_login_is_refused_without_saying_what_is_wrong(shared, user, password):
    with Dialog(shared.doors["submit"]) as dialog:
        dialog.ehlo()
        dialog.starttls()
        reply = dialog.auth_plain(user, password)
        assert reply.code == 535 and user not in reply.lines[0]
        assert dialog.command("MAIL FROM:<a@b.test>").code == 530


def test_auth_login_may_be_given_up(shared):
    with Dialog(shared.doors["submit"]) as dialog:
        dialog.ehlo()
        dialog.starttls()
        assert dialog.command("AUTH LOGIN").code == 334
        assert dialog.command("*").code == 501
        assert dialog.command("AUTH LOGIN " + base64.b64encode(USER.encode()).decode()).code == 334
        assert dialog.command(base64.b64encode(PASSWORD.encode()).decode()).code == 235


def test_auth_is_neither_offered_nor_taken_in_clear(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        assert "AUTH" not in dialog.ehlo()
        reply = dialog.auth_plain(USER, PASSWORD)
        assert reply.code in (530, 538), reply
        assert "AUTH" in dialog.starttls()
        assert dialog.auth_plain(USER, PASSWORD).code == 235


def test_who_would_act_for_another_is_refused_as_slowly_and_logged(shared):
    before = shared.mark()
    with Dialog(shared.doors["submit"]) as dialog:
        dialog.ehlo()
        dialog.starttls()
        began = time.monotonic()
        reply = dialog.command("AUTH PLAIN " + base64.b64encode(
            f"boss\0{USER}\0{PASSWORD}".encode()).decode())
        assert reply.code == 535 and time.monotonic() - began > 0.9
    failed = shared.wait_for("auth.failed", since=before)
    assert (failed["user"], failed["listener"], failed["client"]) == (USER, "submit", "127.0.0.1")
    assert "authorization identity" in failed["reason"]


def test_msmtp_submits(shared, authority, tmp_path):
    done = subprocess.run(
        ["msmtp", "--host=127.0.0.1", f"--port={shared.doors['submit'][1]}", "--tls=on",
         f"--tls-trust-file={authority.certificate}", "--auth=login", f"--user={USER}",
         f"--passwordeval=echo '{PASSWORD}'", "--from=a@b.test", "x@example.com"],
        input=b"Subject: from a device\n\n.dot\n", timeout=120, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout.decode()


# ---- STARTTLS ----

def test_starttls_forgets_the_user(shared):
    with Dialog(shared.doors["clear"]) as dialog:
        dialog.ehlo()
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        assert shared.wait_for("message.accepted",
                               id=dialog.deliver(mails.plain()))["user"] == USER
        assert "AUTH" in dialog.starttls()
        identity = dialog.deliver(mails.plain())
    assert "user" not in shared.wait_for("message.accepted", id=identity)
    assert b"with ESMTPS id" in shared.relayed(identity).data


def test_starttls_forgets_everything_said_before(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        if dialog.command("STARTTLS").code == 503:  # not within a transaction
            assert dialog.command("RSET").code == 250
            assert dialog.command("STARTTLS").code == 220
        dialog._secure()
        assert dialog.command("RCPT TO:<y@example.com>").code == 503
        assert dialog.command("DATA").code == 503
        assert dialog.command("MAIL FROM:<a@b.test>").code == 503
        dialog.ehlo()
        dialog.deliver(mails.plain())


def test_nothing_sent_in_clear_behind_starttls_is_run_under_tls(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        dialog.send("STARTTLS\r\nNOOP injected\r\nMAIL FROM:<evil@b.test>\r\n")
        reply = dialog.reply()
        if reply.code != 220:
            assert reply.code in (421, 501, 503, 554)
            return
        try:
            dialog._secure()
            dialog.socket.settimeout(1)
            leftover = dialog.socket.recv(1)
            assert leftover == b"", "an answer to what was injected"
        except (ssl.SSLError, ConnectionError, socket.timeout):
            pass


def test_starttls_takes_no_argument_and_comes_once(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        assert dialog.command("STARTTLS now").code == 501
        dialog.starttls()
        assert dialog.command("STARTTLS").code == 503


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(shared):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Dialog(shared.doors["mx"]) as dialog:
        dialog.ehlo()
        assert dialog.command("STARTTLS").code == 220
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            context.wrap_socket(dialog.socket)


# ---- size ----

def test_too_large_is_said_at_mail_and_the_session_goes_on(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        assert dialog.ehlo()["SIZE"] == f"SIZE {MAX}"
        reply = dialog.command(f"MAIL FROM:<a@b.test> SIZE={MAX + 1}")
        assert reply.code == 552 and reply.lines[0].startswith("5.3.4 "), reply
        dialog.deliver(mails.plain())


def test_too_large_is_said_after_data_and_the_session_goes_on(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        reply = dialog.data(mails.plain(text="0123456789\r\n" * (MAX // 10)))
        assert reply.code == 552 and reply.lines[0].startswith("5.3.4 "), reply
        shared.wait_for("message.sent", id=dialog.deliver(mails.plain()))
        dialog.quit()


# ---- protocol ----

def test_offered_extensions(shared):
    with Dialog(shared.doors["mx"]) as dialog:
        offered = dialog.ehlo()
        assert {"PIPELINING", "8BITMIME", "SIZE", "ENHANCEDSTATUSCODES", "STARTTLS"} <= set(offered)
        assert "AUTH" not in offered


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, None])
def test_pipelining_however_the_bytes_are_cut(shared, piece):
    message = mails.plain(text="first line\r\n..stuffed dot\r\n")
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.send(b"EHLO c.test\r\nNOOP\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<x@example.com>\r\n"
                    b"RCPT TO:<bad\r\nRCPT TO:<y@example.com>\r\nDATA\r\n", piece)
        codes = [dialog.reply().code for _ in range(7)]
        assert codes == [250, 250, 250, 250, 501, 250, 354]
        dialog.send(message + b".\r\nRSET\r\nMAIL FROM:<>\r\nQUIT\r\n", piece)
        identity = queue_id(dialog.reply())
        assert [dialog.reply().code for _ in range(3)] == [250, 250, 221]
        assert dialog.closed()
    got = shared.relayed(identity)
    assert got.recipients == ["x@example.com", "y@example.com"]
    assert got.data.endswith(b"first line\r\n.stuffed dot\r\n")


def test_rset_forgets_the_transaction(shared):
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        assert dialog.command("RSET").code == 250
        assert dialog.command("DATA").code == 503
        assert dialog.command("RCPT TO:<x@example.com>").code == 503
        dialog.mail("a@b.test", "x@example.com")


@pytest.mark.parametrize("command,code", [
    ("VRFY alice", 252), ("HELP", 214), ("NOOP", 250), ("NOOP ignored words", 250),
    ("EXPN list", 502), ("TURN", 502), ("WHATEVER", 500), ("", 500), ("RCPT TO:<x@in.test>", 503),
    ("DATA", 503), ("MAIL FROM:<a@b.test> NONSENSE=1", 555),
    ("MAIL FROM:<a@b.test> SIZE=1 SIZE=2", 501), ("MAIL FROM:<a@b.test> SIZE=x", 501),
    ("MAIL FROM:<a@b.test> BODY=BINARYMIME", 555), ("MAIL FROM:a b", 501),
    ("MAIL FROM:<a@b.test", 501), ("MAIL", 501), ("QUIT now", 501), ("RSET now", 501),
    ("DATA now", 501), ("mail from:<a@b.test>", 250), ("MAIL FROM:<>", 250)])
def test_replies(shared, command, code):
    with Dialog(shared.doors["mx"]) as dialog:
        dialog.ehlo()
        got = dialog.command(command)
        allowed = {code, 500, 502} if code in (500, 502) else {code}
        if command == "DATA now":
            allowed |= {503}
        if "BINARYMIME" in command:
            allowed |= {501}
        assert got.code in allowed, got
        if got.code not in (214, 250):
            assert got.lines[0].startswith(f"{str(got.code)[0]}."), got


def test_an_overlong_command_line_is_refused_and_the_session_goes_on(shared):
    with Dialog(shared.doors["mx"]) as dialog:
        dialog.ehlo()
        assert dialog.command("NOOP " + "x" * 100_000).code in (500, 501)
        assert dialog.command("NOOP").code == 250


def test_mail_before_a_greeting_is_out_of_order(shared):
    with Dialog(shared.doors["mx"]) as dialog:
        assert dialog.command("MAIL FROM:<a@b.test>").code == 503
        assert dialog.command("HELO c.test").code == 250
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250


def test_dots_at_line_starts_come_through_as_they_are(shared):
    text = b".\r\n..\r\n...\r\n.a\r\nb.\r\n. \r\n\r\n..c\r\n"
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        identity = queue_id(dialog.data(stuff(mails.plain(text=text.decode()))))
    assert shared.relayed(identity).data.endswith(b"\r\n\r\n" + text)


def test_the_trace_header_has_the_facts_and_nothing_injected(shared):
    with Dialog(shared.doors["submit"]) as dialog:
        dialog.ehlo("[127.0.0.1]")
        dialog.starttls()
        dialog.auth_plain(USER, PASSWORD)
        identity = dialog.deliver(mails.plain(), sender='"a(b)\\"c"@d.test')
    data = shared.relayed(identity).data
    received = data.split(b"\r\nFrom:")[0].decode()
    assert received.startswith("Received: from "), received
    assert "by gw.test" in received and "with ESMTPSA" in received and identity in received
    assert "TLS" in received and "127.0.0.1" in received
    assert data.count(b"\nReceived:") == 0  # there is one, at the start


# ---- smuggling: only CR LF . CR LF ends a message ----

ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\x00.\r\n",
        b"\n.\r", b"\n\n.\n\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\r\n. \r\n"]


@pytest.mark.parametrize("end", ENDS, ids=repr)
@pytest.mark.parametrize("door", ["mx", "optional"])
def test_no_other_end_of_data_smuggles_a_second_message(shared, door, end):
    recipient = "victim@in.test" if door == "mx" else "victim@example.com"
    before = len(shared.sink.messages)
    smuggled = (b"MAIL FROM:<admin@b.test>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
                b"evil\r\n" % recipient.encode())
    with Dialog(shared.doors[door]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", recipient)
        assert dialog.command("DATA").code == 354
        dialog.send(b"Subject: outer\r\n\r\ntext" + end + smuggled + b"\r\n.\r\n")
        reply = dialog.reply()
        if reply.code == 250:
            got = shared.relayed(queue_id(reply))
            assert b"evil" in got.data, "the message ended too early"
            # what goes on must not be smuggled through this gateway either
            assert b"\n" not in got.data.replace(b"\r\n", b"")
            assert b"\r" not in got.data.replace(b"\r\n", b"")
        else:
            assert reply.code in (550, 554, 500, 501), reply
        assert dialog.command("NOOP").code == 250
        dialog.quit()
    assert not any(m.sender == "admin@b.test" for m in shared.sink.messages[before:])


@pytest.mark.parametrize("bad", [b"one\ntwo\r\n", b"one\rtwo\r\n", b"\n\r\n", b"\r\r\n"], ids=repr)
def test_bare_line_ends_are_refused_where_strangers_come(shared, bad):
    with Dialog(shared.doors["mx"]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@in.test")
        reply = dialog.data(mails.headers() + b"\r\n" + bad)
        assert reply.code == 550 and reply.lines[0].startswith("5.5.2 "), reply
        dialog.mail("a@b.test", "x@in.test")
        assert dialog.data(mails.plain()).code == 250


def test_a_message_that_drips_in_is_given_up(shared):
    """Each byte comes in time, the message does not."""
    before = shared.mark()
    with Dialog(shared.doors["hasty"]) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        assert dialog.command("DATA").code == 354
        dialog.socket.settimeout(0.3)
        began = time.monotonic()
        reply = None
        while reply is None and time.monotonic() - began < 60:
            dialog.send("x")
            try:
                reply = dialog.reply()
            except socket.timeout:
                pass
        assert reply and reply.code == 421 and reply.lines[0].startswith("4.4.2 "), reply
        assert time.monotonic() - began > 7
    assert "slowly" in shared.wait_for("session.timeout", since=before)["reason"]


def test_every_refused_command_is_in_the_log_without_secrets(shared):
    before = shared.mark()
    with Dialog(shared.doors["optional"]) as dialog:
        dialog.ehlo()
        dialog.command(f"MAIL FROM:<a@b.test> SIZE={MAX + 1}")
        dialog.command("hunter2")
        dialog.command("AUTH PLAIN aHVudGVyMg==")
        dialog.quit()
    shared.wait_for("command.refused", since=before, count=3)
    told = [(e["code"], e["command"], e["listener"], e["client"])
            for e in shared.find("command.refused", since=before)]
    assert told == [("552", f"MAIL FROM:<a@b.test> SIZE={MAX + 1}", "optional", "127.0.0.1"),
                    ("500", "", "optional", "127.0.0.1"), ("538", "AUTH", "optional", "127.0.0.1")]


def test_half_a_message_is_told_of_the_shutdown(gateway, make_settings, sink, tmp_path):
    listener = Listener("lan", tls="none", auth="none", networks=["127.0.0.0/8"])
    one = gateway(make_settings(sink.settings(), listeners=[listener], shutdown_timeout="4s",
                                s3={"directory": str(tmp_path / "store"), "directory_url":
                                    "http://127.0.0.1:1"}))
    with Dialog(listener.address) as mail, Dialog(listener.address) as data:
        for dialog in (mail, data):
            dialog.ehlo()
            dialog.mail("a@b.test", "x@example.com")
        assert data.command("DATA").code == 354
        one.process.send_signal(signal.SIGTERM)
        for dialog in (mail, data):
            reply = dialog.reply()
            assert reply.code == 421 and reply.lines[0].startswith("4.3.2 "), reply
            assert dialog.closed()
    assert one.wait_exit() == 0
    one.check_log()


def test_a_large_message_given_up_leaves_no_file(shared):
    spool = os.path.join(shared.directory, "queue", "incoming")

    def files():
        return [name for _, _, names in os.walk(spool) for name in names]
    dialog = Dialog(shared.doors["clear"])
    dialog.ehlo()
    dialog.mail("gone@b.test", "x@example.com")
    assert dialog.command("DATA").code == 354
    before = shared.mark()
    dialog.send(mails.plain(text="0123456789abcdef\r\n" * 100_000))
    wait_until(files, "a spool file")
    dialog.close()
    shared.wait_for("message.refused", since=before)
    wait_until(lambda: not files(), "the spool file gone")


def test_a_client_that_vanishes_in_data_leaves_nothing(shared):
    before = shared.mark()
    dialog = Dialog(shared.doors["mx"])
    dialog.ehlo()
    dialog.mail("gone@b.test", "x@in.test")
    assert dialog.command("DATA").code == 354
    dialog.send(mails.plain())
    dialog.close()
    identity = send(shared.doors["mx"], mails.plain(), recipients=["x@in.test"])
    shared.relayed(identity)
    assert len(shared.find("message.accepted", since=before)) == 1
    assert not any(m.sender == "gone@b.test" for m in shared.sink.messages)


def test_a_door_full_of_clients_leaves_descriptors_for_the_mail(gateway, make_settings, sink,
                                                                tmp_path):
    """Of 300 descriptors clients may have half; the log does not repeat itself for each."""
    program = tmp_path / "build" / "gateway" / "stowage"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nulimit -n 300\nexec "{binary()}" "$@"\n')
    program.chmod(0o755)
    listener = lan()
    one = gateway(make_settings(sink.settings(), listeners=[listener],
                                s3={"directory": str(tmp_path / "store"),
                                    "directory_url": "http://127.0.0.1:1"}),
                  build=str(tmp_path / "build"))
    dialogs = [Dialog(listener.address, greeting=False) for _ in range(250)]
    try:
        for dialog in dialogs:
            dialog.greeting = dialog.reply()
        codes = [dialog.greeting.code for dialog in dialogs]
        assert codes.count(220) == 150 and codes.count(421) == 100
        dialogs[149].ehlo()
        one.wait_for("message.sent", id=dialogs[149].deliver(mails.plain()))
        refused = one.find("session.refused")
        assert 0 < len(refused) < 100 and "descriptors" in refused[0]["reason"]
    finally:
        for dialog in dialogs:
            dialog.close()
    wait_until(lambda: Dialog(listener.address).greeting.code == 220, "room for a client")


def test_many_clients_at_once_are_all_served(shared):
    dialogs = [Dialog(shared.doors["mx"]) for _ in range(60)]
    try:
        for dialog in dialogs:
            dialog.ehlo()
            dialog.mail("a@b.test", "x@in.test")
        for dialog in dialogs:
            dialog.send("DATA\r\n")
        for dialog in dialogs:
            assert dialog.reply().code == 354
            dialog.send(mails.plain() + b".\r\n")
        identities = {queue_id(dialog.reply()) for dialog in dialogs}
    finally:
        for dialog in dialogs:
            dialog.close()
    assert len(identities) == 60
    for identity in identities:
        shared.wait_for("message.sent", id=identity)


def test_a_client_that_begins_with_tls_where_it_must_not_is_told_of_in_the_log(shared):
    with Dialog(shared.doors["submit"]) as dialog:
        since = shared.mark()
        dialog.send(bytes.fromhex("16030100c8010000c40303") + bytes(64))
        assert dialog.reply().code == 421
        assert dialog.closed()
    assert "STARTTLS" in shared.wait_for("command.refused", since=since)["reason"]
