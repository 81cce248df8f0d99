"""Reports to senders: who gets one, what it says, and that none is ever answered."""
import email
import email.policy
import errno
import json
import os
import re

import pytest

import mails
from dialog import Dialog
from fault_smtp import FaultSmtp
from gateway import Listener, lan
from waiting import wait_until


@pytest.fixture
def start(gateway, make_settings, store, sink, tmp_path):
    """A gateway whose relay refuses gone@example.com for ever."""
    sink.script["RCPT"] = lambda argument: (
        "550 5.1.1 no such mailbox" if "gone@" in argument else None)

    def begin(door, **more):
        queue = {"directory": str(tmp_path / "queue"), "retry_first": "1s", "retry_max": "1s",
                 **more.pop("queue", {})}
        relay = more.pop("relay", None) or sink.settings()
        return gateway(make_settings(relay, store.settings(), [door], queue=queue, **more))
    return begin


def post(address, rcpt, mail_parameters="", sender="camera@client.test", data=None):
    """Sends one message; rcpt: (address, parameters) pairs. Its ID."""
    with Dialog(address) as client:
        client.ehlo()
        assert client.command(f"MAIL FROM:<{sender}>{mail_parameters}").code == 250
        for recipient, parameters in rcpt:
            assert client.command(f"RCPT TO:<{recipient}>{parameters}").code == 250
        assert client.command("DATA").code == 354
        client.send(data or mails.plain())
        reply = client.command("\r\n.")
        assert reply.code == 250
        return reply.lines[-1].rpartition(" ")[2]


def reports(sink):
    return [email.message_from_bytes(m.data, policy=email.policy.default)
            for m in sink.messages if b"multipart/report" in m.data]


def status_of(report):
    """The blocks of message/delivery-status: the message's, then one for each recipient."""
    text = "\n".join(part.as_string() for part in report.walk()
                     if part.get_content_type() == "message/delivery-status")
    return text


def test_a_trusted_client_hears_of_a_refused_recipient(start, sink):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", " ORCPT=rfc822;Gone+2Bx@example.com"),
                                  ("bob@example.com", "")], " RET=HDRS ENVID=cam+2D42")
    event = one.wait_for("bounce.queued", id=identity)
    assert event["recipient"] == "camera@client.test"
    one.wait_for("message.sent", id=event["bounce_id"])
    one.wait_for("message.bounced", id=identity)
    (report,) = reports(sink)
    sent = next(m for m in sink.messages if b"multipart/report" in m.data)
    assert sent.recipients == ["camera@client.test"]
    assert report["Auto-Submitted"] == "auto-replied"
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    status = status_of(report)
    assert re.search(r"^Original-Envelope-Id: cam-42$", status, re.M)
    assert re.search(r"^Original-Recipient: rfc822; ?Gone\+x@example\.com$", status, re.M)
    assert re.search(r"^Final-Recipient: rfc822; ?gone@example\.com$", status, re.M)
    assert re.search(r"^Action: failed$", status, re.M)
    assert re.search(r"^Status: 5\.1\.1$", status, re.M)
    assert "no such mailbox" in status and "bob@" not in status
    kinds = [part.get_content_type() for part in report.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert "Subject: Report" in report.as_string()
    assert "nothing attached" not in report.as_string()


def test_ret_full_returns_the_whole_message(start, sink):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", "")], " RET=FULL")
    one.wait_for("message.bounced", id=identity)
    sink.wait_messages(1)
    (report,) = reports(sink)
    assert "nothing attached" in report.as_string()
    assert [p.get_content_type() for p in report.iter_parts()][-1] == "message/rfc822"


def test_notify_never_leaves_the_message_to_the_operator(start, sink):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", " NOTIFY=NEVER")])
    one.wait_for("message.dead", id=identity)
    one.wait_dead(identity)
    assert not one.find("bounce.queued") and not reports(sink)


def test_notify_success_is_answered_where_the_relay_reports_nothing(start, sink):
    one = start(lan())
    identity = post(one.address, [("bob@example.com", " NOTIFY=SUCCESS")], " RET=FULL")
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = reports(sink)
    assert re.search(r"^Action: relayed$", status_of(report), re.M)
    assert "nothing attached" not in report.as_string(), "RET is about reports of a failure"
    one.wait_for("message.sent", id=identity)


def test_a_stranger_hears_nothing(start, sink):
    one = start(Listener("mx", tls="none", auth="none",
                         recipients={"gone@in.test": "gone@example.com"}))
    identity = post(one.address, [("gone@in.test", "")], sender="victim@example.net")
    one.wait_for("message.dead", id=identity)
    one.wait_dead(identity)
    assert not one.find("bounce.queued") and not reports(sink)


def test_the_null_reverse_path_hears_nothing(start, sink):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", "")], sender="")
    one.wait_for("message.dead", id=identity)
    assert not one.find("bounce.queued") and not reports(sink)


def test_a_report_that_is_refused_is_not_reported(start):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", "")], sender="gone@example.com")
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.dead", id=event["bounce_id"])
    one.wait_dead(event["bounce_id"])
    assert len(one.find("bounce.queued")) == 1


def test_mail_that_waited_too_long_is_reported(start, sink):
    sink.script["RCPT"] = lambda argument: (
        "450 4.2.0 not now" if "slow@" in argument else None)
    one = start(lan(), queue={"lifetime": "2s"})
    identity = post(one.address, [("slow@example.com", "")])
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = reports(sink)
    assert re.search(r"^Status: 5\.4\.7$", status_of(report), re.M)
    assert "not now" in status_of(report)


def test_mail_that_was_not_even_begun_at_its_end_is_known_for_what_it_is(start, sink):
    """Its relay was away: the last attempt did not open it."""
    sink.script["CONNECT"] = lambda argument: "421 4.3.2 not now"
    one = start(lan(), queue={"lifetime": "3s"})
    answer = post(one.address, [("bob@example.com", "")],
                  data=mails.crlf("From: a@client.test\nAuto-Submitted: auto-replied\n\nx\n"))
    identity = post(one.address, [("bob@example.com", "")])
    one.wait_for("message.dead", id=answer)
    event = one.wait_for("bounce.queued", id=identity)
    assert [e["id"] for e in one.find("bounce.queued")] == [identity]
    assert b"Subject: Report" in one.command("queue", "export", event["bounce_id"]).stdout


def test_what_a_report_is_about_is_said_while_others_wait(start, sink):
    sink.script["RCPT"] = lambda argument: (
        "450 4.2.0 not now" if "slow@" in argument else
        "550 5.1.1 no such mailbox" if "gone@" in argument else None)
    one = start(lan())
    identity = post(one.address, [("slow@example.com", ""), ("gone@example.com", "")])
    event = one.wait_for("bounce.queued", id=identity)
    assert event["reason"] == "<gone@example.com>: 550 5.1.1 no such mailbox"
    sink.script.clear()
    one.wait_for("message.bounced", id=identity)


def test_a_bounced_message_is_kept_and_goes_out_after_retry(start, sink):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", "")])
    one.wait_for("message.bounced", id=identity)
    one.wait_state(identity, "bounced")
    sink.script.clear()
    done = one.command("queue", "retry", identity)
    assert done.returncode == 0, done.stderr.decode()
    one.wait_for("message.sent", id=identity)


def test_a_report_goes_out_under_the_verified_sender(start, sink):
    one = start(lan(), sender={"from": "gateway@example.com", "verified": ["example.com"]})
    identity = post(one.address, [("gone@example.com", "")])
    one.wait_for("message.bounced", id=identity)
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    sent = next(m for m in sink.messages if b"multipart/report" in m.data)
    assert sent.sender == "gateway@example.com"
    assert reports(sink)[0]["From"].addresses[0].addr_spec == "gateway@example.com"


def test_with_bounces_off_the_message_is_dead(start):
    one = start(lan(), queue={"bounces": False})
    identity = post(one.address, [("gone@example.com", "")])
    one.wait_for("message.dead", id=identity)
    assert not one.find("bounce.queued")


@pytest.mark.parametrize("field", [
    "Auto-Submitted: auto-replied", "Content-Type: multipart/report; boundary=x"])
def test_an_answer_of_a_machine_is_not_answered(start, field):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", "")],
                    data=mails.crlf(f"From: a@client.test\n{field}\n\nx\n"))
    event = one.wait_for("message.dead", id=identity)
    assert "no such mailbox" in event["reason"]
    assert not one.find("bounce.queued")


def test_what_was_sent_under_an_id_is_not_reported_to_it(start):
    one = start(lan(), sender={"from": "gateway@example.com", "verified": ["example.com"],
                               "envelope": "bounces@example.com", "envelope_id": True})
    identity = post(one.address, [("gone@example.com", "")],
                    sender="bounces+01k9zq0000000000000000000@example.com")
    one.wait_for("message.dead", id=identity)
    assert not one.find("bounce.queued")


@pytest.mark.parametrize("parameters,data", [
    (" RET=FULL", "Subject: Report\n\n" + "x" * 2000 + "\n"),
    (" RET=HDRS", "Subject: Report\nX-Long: " + "x" * 2000 + "\n\nx\n")])
def test_a_line_of_the_original_that_ses_refuses_stops_no_report(start, sink, parameters, data):
    one = start(lan(profile="legacy"), relay=sink.settings(configuration_set="x"),
                sender={"from": "gateway@example.com", "verified": ["example.com"]})
    identity = post(one.address, [("gone@example.com", "")], parameters, data=mails.crlf(data))
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = reports(sink)
    assert [part.get_content_type() for part in report.iter_parts()][2] == "text/rfc822-headers"
    assert "Subject: Report" in report.as_string()


def test_a_report_that_finds_no_room_is_made_once_there_is(
        gateway, make_settings, store, sink, tmp_path, host):
    settings = make_settings(sink.settings(), store.settings(), queue={
        "directory": str(tmp_path / "queue"), "retry_first": "1s", "retry_max": "1s"})
    one = gateway(settings, **host.how)
    one.expected_errors = {"bounce.failed", "spool.failed"}

    def refuse(argument):
        if not refused:
            host.fail(errno.ENOSPC, "/incoming/", calls=("write", "pwrite"))
        refused.append(argument)
        return "550 5.1.1 no such mailbox"

    refused = []
    sink.script["RCPT"] = lambda argument: refuse(argument) if "gone@" in argument else None
    identity = post(one.address, [("gone@example.com", ""), ("bob@example.com", "")])
    waits = one.wait_for("message.deferred", id=identity)
    assert "no such mailbox" in waits["reason"] and os.strerror(errno.ENOSPC) in waits["reason"]
    host.heal()
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    one.wait_for("message.bounced", id=identity)
    assert not one.find("message.dead") and len(reports(sink)) == 1
    assert [m.recipients for m in sink.messages].count(["bob@example.com"]) == 1


# ---- Who was told what is a fact of the record ----

def states(one, identity):
    """Of its recipients, as the queue shows them."""
    shown = json.loads(one.command("queue", "show", identity, "--json").stdout)
    return {r["original"].partition("@")[0]: r["state"] for r in shown["recipients"]}


def test_who_was_refused_before_a_crash_is_reported_after_it(start, sink):
    one = start(lan())
    sink.script["DOT"] = [FaultSmtp.STALL]
    identity = post(one.address, [("gone@example.com", ""), ("bob@example.com", "")])
    wait_until(lambda: not sink.script["DOT"], "the dot at the relay")
    one.kill()
    one.start()
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    one.wait_for("message.bounced", id=identity)
    one.wait_state(identity, "bounced")
    (report,) = reports(sink)
    assert re.search(r"^Status: 5\.1\.1$", status_of(report), re.M)
    assert states(one, identity) == {"gone": "bounced", "bob": "sent"}


def test_a_success_that_finds_no_room_is_reported_once_there_is(
        gateway, make_settings, store, sink, tmp_path, host):
    settings = make_settings(sink.settings(), store.settings(), queue={
        "directory": str(tmp_path / "queue"), "retry_first": "1s", "retry_max": "1s"})
    one = gateway(settings, **host.how)
    one.expected_errors = {"bounce.failed", "spool.failed"}

    def fill(argument):
        if not filled:
            host.fail(errno.ENOSPC, "/incoming/", calls=("write", "pwrite"))
        filled.append(argument)

    filled = []
    sink.script["RCPT"] = fill
    identity = post(one.address, [("bob@example.com", " NOTIFY=SUCCESS,FAILURE")])
    waits = one.wait_for("message.deferred", id=identity)
    assert os.strerror(errno.ENOSPC) in waits["reason"]
    assert waits["reason"].startswith("sent; ")
    host.heal()
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    one.wait_for("message.sent", id=identity)
    (report,) = reports(sink)
    assert re.search(r"^Action: relayed$", status_of(report), re.M)
    assert [m.recipients for m in sink.messages].count(["bob@example.com"]) == 1


def test_a_relay_that_reports_success_is_left_to_do_so(start, sink):
    """Of the one it took at once, though the other one is refused, and of no other."""
    sink.extensions = (*sink.extensions, "DSN")
    one = start(lan())
    identity = post(one.address, [("bob@example.com", " NOTIFY=SUCCESS"),
                                  ("gone@example.com", " NOTIFY=SUCCESS,FAILURE")])
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = reports(sink)
    assert re.findall(r"^Action: .*$", status_of(report), re.M) == ["Action: failed"]
    assert any(c.endswith("<bob@example.com> NOTIFY=SUCCESS") for c in sink.commands)


def test_what_nobody_answered_is_reported_at_the_end_of_its_time(start, sink):
    sink.script["DOT"] = lambda argument: FaultSmtp.CLOSE if answers_nothing else None
    answers_nothing = [True]
    one = start(lan(), queue={"lifetime": "5s"})
    quiet = post(one.address, [("bob@example.com", " NOTIFY=NEVER")])
    identity = post(one.address, [("bob@example.com", ""), ("al@example.com", " NOTIFY=NEVER")])
    one.wait_for("message.dead", id=quiet)
    event = one.wait_for("bounce.queued", id=identity)
    answers_nothing.clear()
    sink.script.pop("DOT")
    one.command("queue", "retry", event["bounce_id"])
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = reports(sink)
    assert report["Subject"] == "Mail may not have been delivered"
    status = status_of(report)
    assert re.search(r"^Action: failed\nStatus: 4\.4\.2$", status, re.M), status
    assert "al@" not in status
    one.wait_dead(quiet, identity)
    assert states(one, identity) == {"bob": "bounced", "al": "dead"}
    assert states(one, quiet) == {"bob": "dead"}
    assert [m["uncertain"] for m in one.queue_list("--state", "dead")] == [True, True]


def test_a_relay_that_is_not_there_says_nothing_of_what_it_may_have(start, sink):
    def close(argument):
        sink.script["MAIL"] = lambda argument: FaultSmtp.CLOSE
        return FaultSmtp.CLOSE

    sink.script["DOT"] = close
    one = start(lan(), queue={"lifetime": "5s"})
    identity = post(one.address, [("bob@example.com", "")])
    one.wait_for("message.uncertain", id=identity)
    one.wait_for("message.deferred", id=identity)
    event = one.wait_for("bounce.queued", id=identity)
    sink.script.clear()
    one.command("queue", "retry", event["bounce_id"])
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = reports(sink)
    assert report["Subject"] == "Mail may not have been delivered"
    assert re.search(r"^Action: failed\nStatus: 4\.4\.2$", status_of(report), re.M)
    assert len([e for e in one.find("message.uncertain") if e["id"] == identity]) == 1


def test_what_is_given_up_has_ended_for_each_recipient(start, sink):
    sink.script["RCPT"] = lambda argument: (
        "450 4.2.0 not now" if "slow@" in argument else
        "550 5.1.1 no such mailbox" if "gone@" in argument else None)
    one = start(lan(), queue={"lifetime": "2s", "bounces": False})
    identity = post(one.address, [("slow@example.com", ""), ("bob@example.com", ""),
                                  ("gone@example.com", "")])
    one.wait_dead(identity)
    assert states(one, identity) == {"slow": "dead", "bob": "sent", "gone": "dead"}
    shown = json.loads(one.command("queue", "show", identity, "--json").stdout)
    ends = {e["recipient"]: (e["state"], e["reply_code"]) for e in shown["history"]
            if e["recipient"]}
    assert ends["slow@example.com"] == ("dead", 450)
    exported = one.command("queue", "export", identity, "--envelope").stdout
    assert b"X-Stowage-Recipient: <slow@example.com>; dead\r\n" in exported
    sink.script.clear()
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.sent", id=identity)
    assert [m.recipients for m in sink.messages] == [
        ["bob@example.com"], ["slow@example.com", "gone@example.com"]]


def test_the_history_says_who_was_told(start, sink):
    one = start(lan())
    identity = post(one.address, [("gone@example.com", ""), ("bob@example.com", "")])
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_state(identity, "bounced")
    shown = json.loads(one.command("queue", "show", identity, "--json").stdout)
    (told,) = [e for e in shown["history"] if e["recipient"] and e["state"] == "bounced"]
    assert told["recipient"] == "gone@example.com" and event["bounce_id"] in told["text"]


def test_each_recipient_hears_what_was_asked_for_it(start, sink):
    sink.script["RCPT"] = lambda argument: (
        "550 5.1.1 no such mailbox" if "<gone" in argument else None)
    one = start(lan())
    identity = post(one.address, [
        ("gone1@example.com", " NOTIFY=NEVER"), ("gone2@example.com", " NOTIFY=SUCCESS"),
        ("gone3@example.com", " NOTIFY=DELAY,FAILURE"), ("gone4@example.com", ""),
        ("bob1@example.com", " NOTIFY=SUCCESS,DELAY"), ("bob2@example.com", " NOTIFY=FAILURE"),
        ("bob3@example.com", " NOTIFY=NEVER")])
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    one.wait_dead(identity)
    (report,) = reports(sink)
    told = re.findall(r"^Final-Recipient: rfc822; ?(\w+)@.*\nAction: (\w+)$",
                      status_of(report), re.M)
    assert told == [("gone3", "failed"), ("gone4", "failed"), ("bob1", "relayed")]
    assert states(one, identity) == {
        "gone1": "dead", "gone2": "dead", "gone3": "bounced", "gone4": "bounced",
        "bob1": "sent", "bob2": "sent", "bob3": "sent"}


def test_text_without_a_header_is_not_returned_as_one(start, sink):
    one = start(lan(profile="legacy"))
    identity = post(one.address, [("gone@example.com", "")], " RET=HDRS",
                    data=mails.crlf("the alarm code is 4711\nNote: keep it\n\nmore\n"))
    event = one.wait_for("bounce.queued", id=identity)
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = [m for m in sink.messages if b"multipart/report" in m.data]
    assert b"text/rfc822-headers" in report.data
    assert b"4711" not in report.data and b"keep it" not in report.data
