"""Several relays: who goes by which, what happens when one cannot be used, and what waits."""
import json
import os

import pytest

import mails
from dialog import Dialog, send
from fault_smtp import FaultSmtp
from gateway import lan
from ports import free_port
from waiting import wait_until

NOT_VERIFIED = ("554 Message rejected: Email address is not verified. The following identities "
                "failed the check in region EU-WEST-1: alice@client.test")


@pytest.fixture
def second():
    server = FaultSmtp().start()
    yield server
    server.stop()


@pytest.fixture
def doors():
    return [lan("lan"), lan("office")]


@pytest.fixture
def start(gateway, make_settings, store, doors, sink, second):
    """A gateway before sink (the relay default) and second, with these routes."""
    def start(routes, relay=None, relays=None, **more):
        further = [{"name": "second", **second.settings()}] if relays is None else relays
        one = gateway(make_settings(relay or sink.settings(connections=2), store.settings(),
                                    doors, relays=further, routes=routes, **more))
        one.address, one.office = doors[0].address, doors[1].address
        return one
    return start


def with_file():
    return mails.with_files(
        [mails.File("report.bin", "application/octet-stream", mails.noise(5000))]).raw


def recipients(server):
    return sorted(r for message in server.messages for r in message.recipients)


# ---- Choice ----

def test_a_route_is_chosen_for_each_recipient(start, sink, second):
    one = start([{"recipients": ["corp.example.com", "chief@example.org"],
                  "relays": ["second"]}])
    identity = send(one.address, mails.plain(), recipients=[
        "a@corp.example.com", "b@example.com", "chief@example.org", "other@example.org",
        "c@sub.corp.example.com"])
    one.wait_for("message.sent", id=identity)
    assert recipients(second) == ["a@corp.example.com", "chief@example.org"]
    assert recipients(sink) == ["b@example.com", "c@sub.corp.example.com", "other@example.org"]
    assert len(sink.messages) == len(second.messages) == 1


def test_a_route_is_chosen_by_sender_and_listener_and_the_first_that_fits(start, sink, second):
    one = start([{"senders": ["alarm@client.test"], "relays": ["default"]},
                 {"listener": "office", "relays": ["second"]}])
    for address, sender in ((one.address, "x@client.test"), (one.office, "y@client.test"),
                            (one.office, "alarm@client.test")):
        one.wait_for("message.sent", id=send(address, mails.plain(), sender=sender))
    assert [message.sender for message in sink.messages] == ["x@client.test",
                                                             "alarm@client.test"]
    assert [message.sender for message in second.messages] == ["y@client.test"]


def test_attachments_are_linked_alike_on_every_way(start, sink, second, store):
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}],
                sender={"from": "gateway@example.com", "verified": ["example.com"]})
    one.settings["routes"][0]["preserve_sender"] = True
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    identity = send(one.address, with_file(),
                    recipients=["a@corp.example.com", "b@example.com"])
    one.wait_for("message.sent", id=identity)
    assert len(store.objects) == 1
    key = next(iter(store.objects))
    for server, author in ((sink, b"gateway@example.com"), (second, b"alice@client.test")):
        data = server.messages[0].data
        header, _, body = data.partition(b"\r\n\r\n")
        line = next(line for line in header.split(b"\r\n") if line.startswith(b"From:"))
        assert author in line
        assert os.path.basename(str(key)).encode() in data.replace(b"=\r\n", b"")
    assert sink.messages[0].sender == "gateway@example.com"
    assert second.messages[0].sender == "alice@client.test"


def test_what_ses_is_told_is_the_routes(start, sink, second):
    one = start([{"recipients": ["corp.example.com"], "relays": ["second", "default"],
                  "configuration_set": "corp", "tags": ["team=it"]}],
                relay={**sink.settings(), "configuration_set": "all", "tags": ["team=all"]})
    for recipient in ("a@corp.example.com", "b@example.com"):
        one.wait_for("message.sent",
                     id=send(one.address, mails.plain(), recipients=[recipient]))
    assert b"X-SES-CONFIGURATION-SET: corp\r\n" in second.messages[0].data
    assert b"team=it" in second.messages[0].data
    assert b"X-SES-CONFIGURATION-SET: all\r\n" in sink.messages[0].data
    assert b"team=all" in sink.messages[0].data


# ---- Failover ----

FAILOVER = [{"relays": ["default", "second"]}]


@pytest.mark.parametrize("verb,reply", [
    ("CONNECT", "421 4.3.2 later"), ("CONNECT", FaultSmtp.CLOSE), ("EHLO", "554 5.7.1 no"),
    ("MAIL", "421 4.3.2 bye"), ("MAIL", FaultSmtp.CLOSE), ("RCPT", FaultSmtp.CLOSE),
    ("DATA", FaultSmtp.CLOSE), ("MAIL", "530 5.7.0 Authentication required"),
    ("DOT", NOT_VERIFIED), ("DOT", "454 Throttling failure: Daily message quota exceeded.")],
    ids=lambda value: value.split(" ")[0])
def test_the_next_relay_takes_what_the_first_cannot(verb, reply, start, sink, second):
    sink.script[verb] = lambda argument: reply
    one = start(FAILOVER)
    identity = send(one.address, mails.plain())
    sent = one.wait_for("message.sent", id=identity)
    assert sent["relay"] == "second" and sent["attempts"] == 1
    assert len(second.messages) == 1 and not sink.messages
    assert not one.find("message.deferred") and not one.find("message.held")


def test_a_relay_that_nobody_reaches_is_left_and_comes_back_with_one_line_each(
        start, sink, second):
    sink.stop()
    one = start(FAILOVER)
    for _ in range(5):
        one.wait_for("message.sent", id=send(one.address, mails.plain()))
    left = one.find("relay.failed_over")
    assert len(left) == 1 and left[0]["relay"] == "default" and left[0]["to"] == "second"
    sink.start()

    def is_back():
        one.wait_for("message.sent", id=send(one.address, mails.plain()))
        return sink.messages
    wait_until(is_back, "mail at the first relay again")
    one.wait_for("relay.back")
    assert len(one.find("relay.back")) == 1
    assert len(one.find("relay.failed_over")) == 1


@pytest.mark.parametrize("verb,reply,event", [
    ("RCPT", "450 4.2.1 later", "message.deferred"),
    ("DOT", "451 4.3.0 later", "message.deferred"),
    ("RCPT", "550 5.1.1 no such user", "message.dead"),
    ("DOT", "554 Transaction failed: Duplicate header", "message.dead"),
    ("DOT", FaultSmtp.TAKE_AND_CLOSE, "message.uncertain"),
    ("DOT", FaultSmtp.CLOSE, "message.uncertain")], ids=lambda value: value.split(" ")[0])
def test_what_concerns_the_message_goes_to_no_other_relay(
        verb, reply, event, start, sink, second):
    sink.script[verb] = [reply]
    one = start(FAILOVER)
    identity = send(one.address, mails.plain())
    one.wait_for(event, id=identity)
    if event != "message.dead":
        one.wait_for("message.sent", id=identity)
    assert not second.messages


def test_only_those_that_the_first_could_not_take_go_by_the_next(start, sink, second):
    """The second chunk meets a relay that is full."""
    replies = [None]
    sink.script["MAIL"] = lambda argument: replies.pop() if replies else "421 4.7.0 enough"
    one = start(FAILOVER, relay=sink.settings(connections=1, max_recipients=2))
    names = [f"r{n}@example.com" for n in range(4)]
    identity = send(one.address, mails.plain(), recipients=names)
    one.wait_for("message.sent", id=identity)
    assert recipients(sink) == names[:2] and recipients(second) == names[2:]


def test_a_message_waits_when_no_relay_of_its_way_can_be_used(start, sink, second):
    """What passes by itself decides; nothing is prepared for relays that are known to be away."""
    sink.stop()
    second.script["EHLO"] = lambda argument: "554 5.7.1 no"
    one = start(FAILOVER)
    identity = send(one.address, mails.plain())
    deferred = one.wait_for("message.deferred", id=identity)
    assert "refused" in deferred["reason"]
    assert not one.find("queue.needs_attention")
    second.script.clear()
    one.wait_for("message.sent", id=identity)


# ---- Held ----

def test_one_alert_for_all_that_wait_for_the_same_and_all_go_once_it_is_mended(
        start, sink, second, store):
    sink.users = {"AKID": "right"}
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}],
                relay=sink.settings(user="AKID", password="wrong"))
    one.expected_errors.add("queue.needs_attention")
    identities = []
    for some in (2, 4):  # the others come when it is known
        identities += [send(one.address, with_file()) for _ in range(some)]
        for identity in identities:
            assert one.wait_for("message.held", id=identity)["hold"] == \
                "relay default: credentials"
    one.wait_for("queue.needs_attention")
    assert len(one.find("queue.needs_attention")) == 1
    assert sink.commands.count("AUTH") < 6
    assert len(store.objects) < 6, "uploads for a relay that is known to be unusable"
    one.wait_for("message.sent", id=send(one.address, mails.plain(),
                                         recipients=["a@corp.example.com"]))
    one.settings["relay"]["password"] = "right"
    one.write_settings()
    one.reload()
    for identity in identities:
        one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 6


def test_who_says_that_it_is_mended_need_not_wait(start, sink, tmp_path):
    """The password's file is read for each connection, and asking for a retry makes one."""
    sink.users = {"AKID": "right"}
    password = tmp_path / "password"
    password.write_text("wrong\n")
    one = start([], relay=sink.settings(user="AKID", password_file=str(password)))
    one.expected_errors.add("queue.needs_attention")
    first, second = (send(one.address, mails.plain()) for _ in range(2))
    for identity in (first, second):
        one.wait_for("message.held", id=identity)
        one.wait_state(identity, "held")
    since = one.mark()
    assert one.command("queue", "retry", first).returncode == 0
    one.wait_for("message.held", id=first, since=since)
    one.wait_state(first, "held")
    password.write_text("right\n")
    assert one.command("queue", "retry", first).returncode == 0
    for identity in (first, second):
        one.wait_for("message.sent", id=identity)


def test_the_history_has_the_reply_of_each_relay_and_chunk(start, sink, second):
    replies = [None]
    sink.script["MAIL"] = lambda argument: replies.pop() if replies else "421 4.7.0 enough"
    one = start(FAILOVER, relay=sink.settings(connections=1, max_recipients=2))
    identity = send(one.address, mails.plain(),
                    recipients=[f"r{n}@example.com" for n in range(4)])
    one.wait_for("message.sent", id=identity)
    wait_until(lambda: not one.queue_list(), "the record")
    text = one.command("queue", "show", identity).stdout.decode()
    history = text.partition("History")[2]
    for part in ("received", "rewriting", "relaying", "(default)", "(second)", "4.7.0 enough"):
        assert part in history, text
    for name in ("default", "second"):
        assert history.count(f"{FaultSmtp.identity(1)} ({name})") == 2, text


def test_who_is_sent_to_is_not_sent_to_again_when_others_are_held(start, sink, second):
    second.script["DOT"] = [NOT_VERIFIED]
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}])
    one.expected_errors.add("queue.needs_attention")
    identity = send(one.address, mails.plain(),
                    recipients=["a@example.com", "b@corp.example.com"])
    assert one.wait_for("message.held", id=identity)["hold"] == \
        "relay second: sender client.test"
    one.wait_state(identity, "held")
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.sent", id=identity)
    assert recipients(sink) == ["a@example.com"]
    assert recipients(second) == ["b@corp.example.com"]


def test_mixed_outcomes_keep_each_reply(start, sink, second):
    sink.script["RCPT"] = lambda argument: (
        "550 5.1.1 no such user" if "gone@" in argument else
        "450 4.2.2 mailbox full" if "full@" in argument else None)
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}])
    identity = send(one.address, mails.plain(), recipients=[
        "ok@example.com", "gone@example.com", "full@example.com", "x@corp.example.com"])
    one.wait_for("message.deferred", id=identity)
    sink.script.clear()
    one.wait_for("message.dead", id=identity)
    assert recipients(sink) == ["full@example.com", "ok@example.com"]
    assert recipients(second) == ["x@corp.example.com"]
    one.wait_dead(identity)
    text = one.command("queue", "show", identity).stdout.decode()
    for part in ("550", "no such user", "450", "mailbox full", FaultSmtp.identity(1),
                 "second"):
        assert part in text, text


# ---- Uncertain ----

def test_at_most_once_is_kept_for_a_person(start, sink):
    sink.script["DOT"] = [FaultSmtp.TAKE_AND_CLOSE]
    one = start([{"relays": ["default"], "uncertain": "hold"}])
    identity = send(one.address, mails.plain())
    held = one.wait_for("message.held", id=identity)
    assert "hold" not in held and "once at most" in held["reason"]
    assert not one.find("queue.needs_attention")
    one.stop()
    one.start()
    assert [m["state"] for m in one.queue_list()] == ["held"]
    assert len(sink.messages) == 1
    assert one.command("queue", "release", identity).returncode == 0
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 2
    first, again = (message.data for message in sink.messages)

    def names(data):
        header = data.partition(b"\r\n\r\n")[0]
        return [line for line in header.split(b"\r\n")
                if line.lower().startswith((b"message-id:", b"x-ses-message-tags:"))]
    assert names(first) == names(again)


def test_at_most_once_does_not_keep_the_others_waiting(start, sink, second):
    sink.script["DOT"] = [FaultSmtp.TAKE_AND_CLOSE]
    second.script["RCPT"] = ["450 4.2.1 later"]
    one = start([{"recipients": ["once.example.com"], "relays": ["default"],
                  "uncertain": "hold"}, {"relays": ["second"]}])
    identity = send(one.address, mails.plain(),
                    recipients=["a@once.example.com", "b@example.com"])
    one.wait_for("message.deferred", id=identity)
    one.wait_for("message.held", id=identity)
    assert recipients(sink) == ["a@once.example.com"]
    assert recipients(second) == ["b@example.com"]


def test_at_most_once_outlives_the_time_of_the_others(start, sink, second, tmp_path):
    sink.script["DOT"] = [FaultSmtp.TAKE_AND_CLOSE]
    second.script["RCPT"] = lambda argument: "450 4.2.1 later" if "b@" in argument else None
    one = start([{"recipients": ["once.example.com"], "relays": ["default"],
                  "uncertain": "hold"}, {"relays": ["second"]}],
                queue={"directory": str(tmp_path / "queue"), "lifetime": "2s",
                       "retry_first": "1s", "retry_max": "1s"})
    identity = send(one.address, mails.plain(),
                    recipients=["a@once.example.com", "b@example.com"])
    report = one.wait_for("bounce.queued", id=identity)["bounce_id"]
    one.wait_for("message.held", id=identity)
    one.wait_for("message.sent", id=report)
    one.wait_state(identity, "held")
    shown = json.loads(one.command("queue", "show", identity, "--json").stdout)
    assert [r["state"] for r in shown["recipients"]] == ["held", "bounced"]
    (told,) = [m.data for m in second.messages]
    assert b"rfc822;b@example.com\r\nAction: failed\r\nStatus: 5.4.7" in told
    assert b"rfc822;a@once" not in told
    assert one.command("queue", "retry", identity).returncode != 0
    assert one.command("queue", "release", identity).returncode == 0
    one.wait_for("message.bounced", id=identity)
    assert recipients(sink) == ["a@once.example.com"] * 2


def test_who_is_not_kept_hears_the_end_that_is_his(start, sink, second, tmp_path):
    """One relay never answers the dot, the other is not there."""
    sink.script["DOT"] = [FaultSmtp.TAKE_AND_CLOSE]
    second.script["DOT"] = lambda argument: FaultSmtp.CLOSE
    one = start([{"recipients": ["once.example.com"], "relays": ["default"],
                  "uncertain": "hold"},
                 {"recipients": ["away.example.com"], "relays": ["away"]},
                 {"relays": ["second"]}],
                relays=[{"name": "second", **second.settings()},
                        {"name": "away", "host": "127.0.0.1", "port": free_port(),
                         "tls": "none"}],
                queue={"directory": str(tmp_path / "queue"), "lifetime": "4s",
                       "retry_first": "1s", "retry_max": "1s"})
    identity = send(one.address, mails.plain(), recipients=[
        "a@once.example.com", "b@example.com", "c@away.example.com"])
    report = one.wait_for("bounce.queued", id=identity)["bounce_id"]
    second.script.clear()
    held = one.wait_for("message.held", id=identity)
    assert held["reason"].startswith("not delivered in 4s: ")
    assert "once at most" in held["reason"]
    one.command("queue", "retry", report)
    one.wait_for("message.sent", id=report)
    (told,) = [m.data for m in second.messages]
    assert b"rfc822;b@example.com\r\nAction: failed\r\nStatus: 4.4.2" in told
    assert b"rfc822;c@away.example.com\r\nAction: failed\r\nStatus: 5.4.7" in told
    assert b"a@once" not in told and b"once at most" not in told


def test_a_report_names_the_relay_of_each_refusal(start, sink, second, tmp_path):
    for server in (sink, second):
        server.script["RCPT"] = lambda argument: (
            "550 5.1.1 no such user" if "gone@" in argument else None)
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}],
                relays=[{"name": "second", **second.settings(), "host": "localhost"}],
                queue={"directory": str(tmp_path / "queue")})
    identity = send(one.address, mails.plain(),
                    recipients=["gone@example.com", "gone@corp.example.com"])
    one.wait_for("message.sent", id=one.wait_for("bounce.queued", id=identity)["bounce_id"])
    (told,) = [m.data for m in sink.messages]
    for address, host in ((b"gone@example.com", b"127.0.0.1"),
                          (b"gone@corp.example.com", b"localhost")):
        assert (b"Final-Recipient: rfc822;" + address + b"\r\nAction: failed\r\n"
                b"Status: 5.1.1\r\nRemote-MTA: dns;" + host + b"\r\n") in told


def test_at_most_once_holds_after_a_crash_behind_the_dot(start, sink):
    sink.script["DOT"] = [FaultSmtp.STALL]
    one = start([{"relays": ["default"], "uncertain": "hold"}])
    identity = send(one.address, mails.plain())
    wait_until(lambda: "DATA" in sink.commands, "DATA at the relay")
    wait_until(lambda: not sink.script["DOT"], "the dot at the relay")
    one.kill()
    one.start()
    one.wait_for("message.held", id=identity)
    assert not sink.messages


def test_a_crash_between_two_ways_sends_to_nobody_twice(start, sink, second):
    """The first way is done and recorded when the second one hangs."""
    second.script["MAIL"] = [FaultSmtp.STALL]
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}])
    identity = send(one.address, mails.plain(),
                    recipients=["a@example.com", "b@corp.example.com"])
    wait_until(lambda: any(c.startswith("MAIL") for c in second.commands), "MAIL at the second")
    one.kill()
    assert recipients(sink) == ["a@example.com"]
    one.start()
    one.wait_for("message.sent", id=identity)
    assert recipients(sink) == ["a@example.com"]
    assert recipients(second) == ["b@corp.example.com"]


@pytest.mark.parametrize("reports", [False, True])
def test_a_success_before_a_crash_is_told_by_who_is_to(start, sink, second, tmp_path, reports):
    """By the gateway, unless the relay was asked to."""
    if reports:
        sink.extensions = (*sink.extensions, "DSN")
    second.script["MAIL"] = [FaultSmtp.STALL]
    one = start([{"recipients": ["corp.example.com"], "relays": ["second"]}],
                queue={"directory": str(tmp_path / "queue")})
    with Dialog(one.address) as client:
        client.ehlo()
        client.command("MAIL FROM:<camera@client.test>")
        for recipient in ("a@example.com", "b@corp.example.com"):
            assert client.command(f"RCPT TO:<{recipient}> NOTIFY=SUCCESS").code == 250
        client.command("DATA")
        client.send(mails.plain())
        identity = client.command("\r\n.").lines[-1].rpartition(" ")[2]
    wait_until(lambda: any(c.startswith("MAIL") for c in second.commands), "MAIL at the second")
    one.kill()
    one.start()
    report = one.wait_for("bounce.queued", id=identity)["bounce_id"]
    one.wait_for("message.sent", id=report)
    (told,) = [m.data for m in sink.messages if b"multipart/report" in m.data]
    assert b"rfc822;b@corp.example.com\r\nAction: relayed" in told
    assert (b"rfc822;a@example.com" in told) is not reports


def test_a_crash_between_two_chunks_sends_to_nobody_twice(start, sink):
    sink.script["MAIL"] = [None, FaultSmtp.STALL]
    one = start([], relay=sink.settings(connections=1, max_recipients=2))
    names = [f"r{n}@example.com" for n in range(4)]
    identity = send(one.address, mails.plain(), recipients=names)
    wait_until(lambda: sum(c.startswith("MAIL") for c in sink.commands) == 2, "a second MAIL")
    one.kill()
    one.start()
    one.wait_for("message.sent", id=identity)
    assert recipients(sink) == names


# ---- Others ----

def test_a_maildir_may_be_one_of_the_relays(start, sink, tmp_path):
    maildir = str(tmp_path / "mail")
    one = start([{"recipients": ["local.example.com"], "relays": ["box"]}],
                relays=[{"name": "box", "maildir": maildir}])
    identity = send(one.address, mails.plain(),
                    recipients=["a@local.example.com", "b@example.com"])
    one.wait_for("message.sent", id=identity)
    assert len(os.listdir(os.path.join(maildir, "new"))) == 1
    assert recipients(sink) == ["b@example.com"]


def test_each_relay_has_its_own_limit_of_size(start, sink, second):
    one = start([{"recipients": ["big.example.com"], "relays": ["second"]}],
                relay=sink.settings(max_message_size="20KiB"),
                attachments={"oversized": "keep"})
    text = "0123456789\r\n" * 4000
    big = send(one.address, mails.plain(text=text), recipients=["a@big.example.com"])
    small = send(one.address, mails.plain(text=text), recipients=["a@example.com"])
    one.wait_for("message.sent", id=big)
    one.wait_for("message.dead", id=small)


def test_wrong_routes_are_refused_with_their_place(gateway, make_settings, sink):
    settings = make_settings(sink.settings(), routes=[
        {"listener": "nowhere", "relays": ["default", "third"]}])
    one = gateway(settings, wait=False)
    assert one.wait_exit() == 78
    text = "\n".join(one.noise) + json.dumps(one.events)
    assert "routes[0].listener" in text and "routes[0].relays[1]" in text
    assert "third" in text
