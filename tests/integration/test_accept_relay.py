"""accept: relay: 250 only after the next hop's own, its refusal the client's, nothing kept here
unless some recipients have the message and others do not."""
import json
import os
import re
import smtplib
import socket
import struct
import subprocess
import threading
import time

import pytest

import links
import mails
from conftest import PASSWORD, USER
from dialog import Dialog, post, queue_id, stuff, text
from fault_smtp import FaultSmtp
from gateway import Listener, lan
from ports import free_port
from waiting import wait_until

FILE = mails.File("a.bin", "application/octet-stream", mails.noise(9999))


@pytest.fixture
def start(gateway, make_settings, store, sink):
    """start(listener settings, relay=..., KEY=...): a gateway whose address is its listener's."""
    def begin(relay=None, door=None, s3=None, **more):
        listener = door or lan(accept="relay")
        return gateway(make_settings(relay or sink.settings(), s3 or store.settings(), [listener],
                                     **more))
    return begin


def identity_in(reply):
    return re.search(r"\(([0-9a-z]{26})\)$", reply.lines[-1]).group(1)


def nothing_is_kept(one, linked=0, doubtful=0):
    """But for the record of the links that went out, or may have: so many messages'."""
    assert one.queue_list() == []
    for state in ("dead", "held"):
        assert one.queue_list("--state", state) == []
    wait_until(lambda: [len(one.queue_list("--state", state)) for state in ("sent", "bounced")]
               == [linked, doubtful], "the record of the links alone")
    directory = os.path.join(one.settings["queue"]["directory"], "incoming")
    wait_until(lambda: not any(names for _, _, names in os.walk(directory)), "no spool file")


# ---- 250 ----

def test_250_comes_after_the_next_hops_own_and_names_its_id(start, gated, store):
    one = start(gated.settings())
    mail = mails.with_files([FILE])
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com", "eve@example.com")
        dialog.offer(stuff(mail.raw))
        gated.wait_arrived()
        assert len(store.objects) == 1, "stored before it is relayed"
        dialog.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            dialog.reply()
        dialog.socket.settimeout(20)
        gated.permits.release()
        reply = dialog.reply()
        assert re.fullmatch(r"250 2\.0\.0 Ok: relayed as %s \([0-9a-z]{26}\)"
                            % re.escape(FaultSmtp.identity(1)), text(reply)), reply
        dialog.quit()
    assert [sorted(m.recipients) for m in gated.messages] == [["bob@example.com",
                                                              "eve@example.com"]]
    links.check_files(gated.messages[0].data, mail.files)
    identity = identity_in(reply)
    one.wait_for("message.sent", id=identity)
    one.wait_for("message.accepted", id=identity)
    nothing_is_kept(one, linked=1)


def test_chunks_are_answered_alike(start, sink):
    one = start()
    message = mails.plain()
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send(b"BDAT 10\r\n" + message[:10])
        assert dialog.reply().code == 250
        assert not sink.messages
        sink.script["DOT"] = ["550 5.7.1 no such content", None]
        dialog.send(b"BDAT %d LAST\r\n" % len(message[10:]) + message[10:])
        assert text(dialog.reply()).startswith("550 5.7.1 no such content (")
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send(b"BDAT %d LAST\r\n" % len(message) + message)
        assert dialog.reply().code == 250
    assert len(sink.messages) == 1


def test_commands_behind_the_message_wait(start, gated):
    one = start(gated.settings())
    message = stuff(mails.plain())
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        once = (b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.com>\r\nBDAT %d LAST\r\n"
                % len(message) + message)
        dialog.send(once + once + b"NOOP\r\n")
        gated.wait_arrived()
        assert [dialog.reply().code for _ in range(2)] == [250, 250]
        dialog.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            dialog.line()
        dialog.socket.settimeout(20)
        gated.permits.release()
        gated.wait_arrived()
        gated.permits.release()
        replies = [dialog.reply() for _ in range(5)]
    assert [r.code for r in replies] == [250] * 5
    assert "relayed as" in text(replies[0]) and "relayed as" in text(replies[3])
    assert len(gated.messages) == 2


def test_many_wait_at_once_and_hold_nobody_up(start, gated):
    """More than there are workers: the others wait their turn, and the door stays open."""
    one = start(gated.settings(connections=64),
                door=lan(accept="relay", max_connections_per_client=200))
    count = 60
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(post(one.address)))
               for _ in range(count)]
    for thread in threads:
        thread.start()
    gated.wait_arrived()
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        slowest = 0
        for _ in range(50):
            began = time.monotonic()
            assert dialog.command("NOOP").code == 250
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 10 and not replies
    for _ in range(count):
        gated.permits.release()
    for thread in threads:
        thread.join(60)
    assert [r.code for r in replies] == [250] * count
    assert len(gated.messages) == count
    assert len({identity_in(r) for r in replies}) == count
    nothing_is_kept(one)


def test_a_maildir_is_a_next_hop(start, tmp_path):
    maildir = tmp_path / "maildir"
    one = start({"maildir": str(maildir)})
    reply = post(one.address, mails.with_files([FILE]).raw)
    assert text(reply).startswith("250 2.0.0 Ok: relayed")
    (path,) = (maildir / "new").iterdir()
    links.check_files(path.read_bytes(), [FILE])
    nothing_is_kept(one, linked=1)


# ---- links ----

def listed(one, verb, *arguments):
    done = one.command("links", verb, "--json", *arguments)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_links_that_went_out_are_in_the_record(start, store, sink):
    one = start()
    mail = mails.with_files([FILE])
    identity = identity_in(post(one.address, mail.raw))
    assert post(one.address).code == 250
    wait_until(lambda: listed(one, "list"), "the link in the record")
    (link,) = listed(one, "list", "--recipient", "bob@example.com")
    assert (link["message"], link["file_name"], link["state"]) == (identity, FILE.name, "good")
    (new,) = listed(one, "extend", identity)
    assert links.fetch(new["url"]).content == FILE.content
    assert one.command("links", "extend", "--send", identity).returncode == 0
    (told,) = links.bodies(sink.wait_messages(3)[-1].data, "plain")
    assert FILE.name in told
    assert [entry["state"] for entry in listed(one, "revoke", identity)] == ["revoked"]
    assert store.objects == {}
    assert listed(one, "list") == []
    nothing_is_kept(one, linked=2)  # of them one that brought new links


@pytest.mark.parametrize("said, known", [(FaultSmtp.TAKE_AND_CLOSE, 1), ("550 5.7.1 no", 0),
                                         ("451 4.3.0 later", 0)])
def test_links_that_may_have_gone_out_are_too(said, known, start, store, sink):
    """A reply that was lost leaves a link that may be read; a refusal does not."""
    one = start()
    sink.script["DOT"] = [said]
    assert post(one.address, mails.with_files([FILE]).raw).code in (451, 550)
    assert post(one.address, mails.with_files([FILE]).raw).code == 250
    wait_until(lambda: len(listed(one, "list")) == 1 + known, "the links in the record")
    nothing_is_kept(one, linked=1, doubtful=known)


def test_what_links_there_were_outlives_the_end(start):
    one = start()
    identity = identity_in(post(one.address, mails.with_files([FILE]).raw))
    one.stop()
    assert [entry["message"] for entry in listed(one, "list")] == [identity]


# ---- refusals ----

@pytest.mark.parametrize("verb,said,want", [
    ("RCPT", "550 5.1.1 no such mailbox", r"550 5\.1\.1 no such mailbox"),
    ("RCPT", "553 mailbox name not allowed", r"553 5\.\d\.\d mailbox name not allowed"),
    ("DATA", "554 5.7.1 not here", r"554 5\.7\.1 not here"),
    ("DOT", "552 5.3.4 too much", r"552 5\.3\.4 too much"),
    ("DOT", "554 Transaction failed: Duplicate header 'To'.",
     r"554 5\.\d\.\d Transaction failed: Duplicate header 'To'\."),
    ("DOT", "554-5.6.0 first\r\n554 5.6.0 second", r"554 5\.6\.0 first.*second"),
    ("DOT", "550 5.7.1 " + "x" * 3000, r"550 5\.7\.1 x{300,}"),
    ("DOT", "550 5.7.1 caf\xe9 \x07 bar", r"550 5\.7\.1 caf\?[ ?]*bar"),
], ids=["mailbox", "no enhanced code", "data", "size", "ses", "lines", "long", "octets"])
def test_the_next_hops_refusal_is_the_clients(verb, said, want, start, sink):
    one = start()
    sink.script[verb] = [said]
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send("DATA\r\n")
        assert dialog.reply().code == 354
        dialog.send(stuff(mails.plain()) + b".\r\n")
        line = dialog.line()
        assert len(line) <= 510
        assert re.fullmatch(want + r" \([0-9a-z]{26}\)", line), line
        # the session goes on
        dialog.mail("alice@client.test", "bob@example.com")
        assert dialog.data(stuff(mails.plain())).code == 250
    refused = one.wait_for("message.refused")
    assert refused["id"] in line
    assert len(sink.messages) == 1
    nothing_is_kept(one)


def test_refusals_of_the_next_hop_are_no_errors_of_the_client(start, sink):
    one = start(door=lan(accept="relay", max_errors=3))
    sink.script["RCPT"] = lambda argument: (
        "550 5.1.1 no such mailbox" if "gone@" in argument else None)
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        for _ in range(8):
            dialog.mail("alice@client.test", "gone@example.com")
            assert dialog.data(stuff(mails.plain())).code == 550
        dialog.mail("alice@client.test", "bob@example.com")
        assert dialog.data(stuff(mails.plain())).code == 250


def test_a_refused_message_is_not_reported_besides(start, sink, tmp_path):
    one = start(queue={"directory": str(tmp_path / "queue"), "bounces": True})
    sink.script["RCPT"] = ["550 5.1.1 no such mailbox"]
    assert post(one.address).code == 550
    assert post(one.address).code == 250
    assert not one.find("bounce.queued")
    assert [m.recipients for m in sink.messages] == [["bob@example.com"]]
    nothing_is_kept(one)


def test_hidden_enhanced_codes_stay_hidden(start, sink):
    one = start(door=lan(accept="relay", hide_extensions=["ENHANCEDSTATUSCODES"]))
    sink.script["RCPT"] = ["550 5.1.1 no such mailbox", "450 4.2.1 busy"]
    assert text(post(one.address)).startswith("550 no such mailbox (")
    assert text(post(one.address)).startswith("451 The next hop said 450 busy (")
    assert text(post(one.address)).startswith("250 Ok: relayed as ")


# ---- not now ----

@pytest.mark.parametrize("verb,said,want", [
    ("RCPT", "450 4.2.1 mailbox busy", r"451 4\.2\.1 The next hop said 450 mailbox busy"),
    ("DATA", "451 4.3.0 soon", r"451 4\.3\.0 soon"),
    ("DOT", "452 4.3.1 full", r"451 4\.3\.1 The next hop said 452 full"),
    ("MAIL", FaultSmtp.CLOSE, r"451 4\.4\.1 The next hop cannot be used now, .*"),
    ("DATA", FaultSmtp.CLOSE, r"451 4\.4\.1 The next hop cannot be used now, .*"),
    ("DOT", FaultSmtp.CLOSE, r"451 4\.4\.2 The next hop did not answer .*"),
    ("DOT", FaultSmtp.STALL, r"451 4\.4\.2 The next hop did not answer .*"),
])
def test_what_may_pass_is_tried_again_by_the_client(verb, said, want, start, sink):
    # Shorter than the client's patience; where nobody stalls it must not pass on a busy machine.
    patience = "5s" if said == FaultSmtp.STALL else "60s"
    one = start(sink.settings(data_timeout=patience, command_timeout=patience))
    sink.script[verb] = lambda argument: said
    reply = post(one.address)
    assert re.fullmatch(want + r" \([0-9a-z]{26}\)", text(reply)), reply
    nothing_is_kept(one)
    assert not sink.messages
    sink.script.clear()

    def again():
        return post(one.address).code == 250
    wait_until(again, "taken once the relay is well")
    assert len(sink.messages) == 1
    nothing_is_kept(one)


def test_it_is_the_client_who_gives_up(start, sink, tmp_path):
    sink.script["DOT"] = [FaultSmtp.STALL]
    one = start(sink.settings(data_timeout="3s"), queue={
        "directory": str(tmp_path / "queue"), "lifetime": "1s", "retry_first": "1s"})
    reply = post(one.address)
    assert text(reply).startswith("451 4.4.2 "), reply
    nothing_is_kept(one)


def test_no_next_hop_no_250(start):
    one = start({"host": "127.0.0.1", "port": free_port(), "tls": "none"})
    reply = post(one.address)
    assert text(reply).startswith("451 4.4.1 ")
    assert "127.0.0.1" not in text(reply), "details are for the log"
    nothing_is_kept(one)


def test_no_store_no_250(start, store, sink):
    one = start()
    store.always = (503, "SlowDown")
    assert post(one.address, mails.with_files([FILE]).raw).code == 451
    assert not sink.messages and not store.objects
    assert post(one.address).code == 250  # what needs no store is not held up
    store.always = None
    wait_until(lambda: post(one.address, mails.with_files([FILE]).raw).code == 250, "stored")
    nothing_is_kept(one, linked=1)


def test_what_a_person_must_mend_is_451(start, sink):
    one = start()
    sink.script["DOT"] = ["554 Message rejected: Email address is not verified. The following "
                          "identities failed the check in region EU-WEST-1: a@b.test"]
    reply = post(one.address)
    assert reply.code == 451 and "not verified" in text(reply), reply
    nothing_is_kept(one)


# ---- some have it ----

def test_the_rest_of_a_message_that_some_have_is_kept_and_sent(start, sink):
    one = start()
    sink.script["RCPT"] = [None, "450 4.2.1 busy", None, "450 4.2.1 busy"]
    names = ["bob@example.com", "busy@example.com", "eve@example.com"]
    reply = post(one.address, recipients=names)
    identity = queue_id(reply)
    one.wait_for("message.accepted", id=identity)
    one.wait_for("message.sent", id=identity)
    assert sorted(r for m in sink.messages for r in m.recipients) == sorted(names)
    wait_until(lambda: [m["id"] for m in one.queue_list("--state", "sent")] == [identity],
               "the record of it")


def test_what_is_kept_outlives_a_crash(start, sink):
    one = start()
    sink.script["RCPT"] = lambda argument: "450 4.2.1 busy" if "busy@" in argument else None
    reply = post(one.address, mails.with_files([FILE]).raw,
                 recipients=["bob@example.com", "busy@example.com"])
    identity = queue_id(reply)
    one.kill()
    sink.script.clear()
    one.start()
    one.wait_for("message.sent", id=identity)
    assert [m.recipients for m in sink.messages] == [["bob@example.com"], ["busy@example.com"]]
    for message in sink.messages:
        links.check_files(message.data, [FILE])


@pytest.mark.parametrize("bounces", [True, False])
def test_who_is_refused_where_others_have_it_is_reported_as_ever(bounces, start, sink, tmp_path):
    one = start(queue={"directory": str(tmp_path / "queue"), "bounces": bounces,
                       "retry_first": "1s", "retry_max": "1s"})
    sink.script["RCPT"] = lambda argument: (
        "550 5.1.1 no such mailbox" if "gone@" in argument else None)
    reply = post(one.address, recipients=["bob@example.com", "gone@example.com"])
    identity = queue_id(reply)
    if bounces:
        one.wait_for("bounce.queued", id=identity)
        sink.wait_messages(2)
        assert len(one.find("bounce.queued")) == 1
        assert sink.messages[1].recipients == ["alice@client.test"]
        assert b"no such mailbox" in sink.messages[1].data
    else:
        wait_until(lambda: [m["id"] for m in one.queue_list("--state", "dead")] == [identity],
                   "dead and visible")
    assert sink.messages[0].recipients == ["bob@example.com"]


# ---- clients that go ----

def test_a_client_that_goes_away_doubles_nothing(start, gated):
    one = start(gated.settings())
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.offer(stuff(mails.plain()))
        gated.wait_arrived()
        dialog.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gated.permits.release()
    gone = one.wait_for("message.unanswered")
    assert gone["code"] == "250" and gone["id"] in gone["reply"]
    one.wait_for("message.sent", id=gone["id"])
    assert len(gated.messages) == 1
    nothing_is_kept(one)
    one.stop()
    assert len(gated.messages) == 1


def test_a_client_that_says_no_more_still_hears(start, gated):
    one = start(gated.settings())
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.offer(stuff(mails.plain()))
        dialog.socket.shutdown(socket.SHUT_WR)
        gated.wait_arrived()
        gated.permits.release()
        assert dialog.reply().code == 250
        assert dialog.closed()


# ---- what holds for every listener ----

def test_floors_and_ceilings_hold_here_too(start, tmp_path):
    one = start(queue={"directory": str(tmp_path / "queue"), "min_free": "1TiB"})
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        assert text(dialog.command("MAIL FROM:<a@client.test>")).startswith("452 4.3.1 ")


def test_accounts_tls_and_policy_are_as_ever(start, sink):
    door = Listener("submit", tls="required", auth="required", accept="relay")
    one = start(door=door)
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.starttls()
        assert dialog.command("MAIL FROM:<a@client.test>").code == 530
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        dialog.mail("a@client.test", "bob@example.com")
        reply = dialog.data(stuff(mails.plain()))
    assert reply.code == 250
    assert one.wait_for("message.accepted", id=identity_in(reply))["user"] == USER
    assert len(sink.messages) == 1


def test_behind_a_proxy(start, sink):
    one = start(door=lan(accept="relay", proxies=["127.0.0.0/8"], networks=["192.0.2.0/24"]))
    with Dialog(one.address, greeting=False) as dialog:
        dialog.send("PROXY TCP4 192.0.2.7 192.0.2.8 1234 25\r\n")
        assert dialog.reply().code == 220
        dialog.ehlo()
        dialog.mail("a@client.test", "bob@example.com")
        reply = dialog.data(stuff(mails.plain()))
    assert one.wait_for("message.accepted", id=identity_in(reply))["client"] == "192.0.2.7"
    assert b"[192.0.2.7]" in sink.messages[0].data


def test_both_kinds_of_listener_in_one_gateway(gateway, make_settings, store, sink):
    doors = [lan("kept"), lan("passed", accept="relay")]
    one = gateway(make_settings(sink.settings(), store.settings(), doors))
    assert "queued as" in text(post(doors[0].address))
    assert "relayed as" in text(post(doors[1].address))
    one.wait_for("message.sent", count=2)


# ---- nothing durable ----

def test_nothing_is_synced_to_the_disk(host, gateway, make_settings, store, sink):
    doors = [lan("kept"), lan("passed", accept="relay")]
    one = gateway(make_settings(sink.settings(), store.settings(), doors), **host.how)
    host.watch("/queue/", ("fsync", "fdatasync"))
    big = mails.with_files([mails.File("b.bin", "application/octet-stream",
                                       mails.noise(2_000_000))]).raw
    assert post(doors[0].address).code == 250
    one.wait_for("message.sent")
    wait_until(lambda: one.queue_list() == [], "the record of the first")
    assert host.seen > 0, "the counter counts"

    def settled():
        before = host.seen
        time.sleep(1.5)  # the writer's housekeeping would show within a second
        return host.seen == before
    wait_until(settled, "a queue at rest")
    before = host.seen
    for _ in range(4):
        assert post(doors[1].address, mails.plain()).code == 250
    assert host.seen == before
    for message in (mails.with_files([FILE]).raw, big) * 4:
        assert post(doors[1].address, message).code == 250
    assert len(sink.messages) == 13
    wait_until(lambda: len(one.queue_list("--state", "sent")) == 1 + 8,
               "the one that was kept, and the record of the links")
    assert host.seen - before <= 2 * 8, "of links alone, and not of files"


# ---- real clients ----

def by_smtplib(address, message, directory):
    try:
        with smtplib.SMTP(*address, timeout=60) as client:
            client.sendmail("alice@client.test", ["bob@example.com"], message)
    except smtplib.SMTPDataError as error:
        return error.smtp_code
    return 250


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.decode(errors="replace")


def by_curl(address, message, directory):
    path = directory / "mail"
    path.write_bytes(message)
    code, output = run("curl", "-sSv", f"smtp://{address[0]}:{address[1]}/client.test",
                       "--mail-from", "alice@client.test", "--mail-rcpt", "bob@example.com",
                       "--upload-file", str(path))
    return code, output


def by_swaks(address, message, directory):
    path = directory / "mail"
    path.write_bytes(message)
    code, output = run("swaks", "--server", address[0], "--port", str(address[1]), "--pipeline",
                       "--from", "alice@client.test", "--to", "bob@example.com",
                       "--data", "@" + str(path))
    return code, output


def code_of(result):
    """The reply to the message that the client shows."""
    if isinstance(result, int):
        return result
    code, output = result
    shown = re.findall(r"^<(?:~|-|\*\*|  )?\s*(\d{3}) \d\.\d\.\d .*\([0-9a-z]{26}\)", output, re.M)
    assert shown, output
    assert (code == 0) == (shown[-1] == "250"), (code, output)
    return int(shown[-1])


@pytest.mark.parametrize("client", [by_smtplib, by_curl, by_swaks])
def test_clients_hear_what_the_next_hop_says(client, start, sink, tmp_path):
    one = start(sink.settings(data_timeout="5s"))
    message = mails.with_files([FILE]).raw
    for entry, want in [(None, 250), ("550 5.7.1 no", 550), ("452 4.3.1 full", 451),
                        (FaultSmtp.STALL, 451), (FaultSmtp.CLOSE, 451), (None, 250)]:
        sink.script["DOT"] = lambda argument, entry=entry: entry
        assert wait_until(lambda: code_of(client(one.address, message, tmp_path)) == want,
                          f"{entry} as {want}")
    assert len(sink.messages) == 2
    nothing_is_kept(one, linked=2, doubtful=2)
