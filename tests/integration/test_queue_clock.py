"""Days of queue life, with a clock that the test moves."""
import email.utils
import os
import re
import time
from datetime import datetime, timezone

import pytest

import mails
from dialog import Dialog, send
from waiting import wait_until

HOUR, DAY = 3600, 86400


@pytest.fixture
def start(host, gateway, make_settings, sink, store):
    """Starts a gateway with the queue's own schedule."""
    def started(**queue):
        settings = make_settings(sink.settings(), store.settings())
        settings["queue"] = {"directory": settings["queue"]["directory"], "bounces": False,
                             **queue}
        return gateway(settings, **host.how)
    return started


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Clock:
    """The gateway's, which is ahead of ours."""

    def __init__(self, host):
        self.host, self.ahead = host, 0.0

    def now(self):
        return time.time() + self.ahead

    def forward(self, by):
        self.host.pass_time(by)
        self.ahead += by

    def set(self, by):
        self.host.set_clock(by)
        self.ahead += by

    def go_to(self, when):
        if when > self.now():
            self.forward(when - self.now())


def send_with_notify(address, notify):
    """Sends one message; notify: of each recipient. Its ID."""
    with Dialog(address) as client:
        client.ehlo()
        assert client.command("MAIL FROM:<camera@client.test>").code == 250
        for recipient, value in notify.items():
            assert client.command(f"RCPT TO:<{recipient}> NOTIFY={value}").code == 250
        assert client.command("DATA").code == 354
        client.send(mails.plain())
        return client.command("\r\n.").lines[-1].rpartition(" ")[2]


def attempts_until_the_end(one, clock, identity, most):
    """The (gateway's) times of each attempt until the message is dead."""
    times, since = [], 0
    for _ in range(most):
        event = wait_until(
            lambda: next((e for e in one.events[since:] if e.get("id") == identity
                          and e["event"] in ("message.deferred", "message.dead")), None),
            "the next attempt")
        since = one.events.index(event) + 1
        times.append(seconds(event["time"]))
        if event["event"] == "message.dead":
            return times, event
        clock.go_to(seconds(event["next_attempt"]) + 0.01)
    raise AssertionError(f"still alive after {most} attempts")


def test_a_message_that_is_deferred_for_days_is_tried_ever_more_seldom_and_then_dead(
        host, start, sink):
    one, clock = start(lifetime="5h"), Clock(host)
    sink.script["RCPT"] = lambda argument: "450 4.2.0 greylisted, come again"
    begun = clock.now()
    identity = send(one.address, mails.plain())
    times, dead = attempts_until_the_end(one, clock, identity, 400)
    assert 5 * HOUR <= times[-1] - begun <= 5.5 * HOUR
    waits = [after - before for before, after in zip(times, times[1:])]
    assert min(waits) >= 3 and max(waits) <= 25 * 60, waits
    assert waits[0] < 60 and sorted(waits[:4]) == waits[:4], "it grows"
    assert len(times) <= 30, "not in vain more often than every quarter of an hour or so"
    assert "450" in dead["reason"] and "not delivered in" in dead["reason"]
    one.wait_dead(identity)
    # Whoever mends it has the message still.
    del sink.script["RCPT"]
    done = one.command("queue", "retry", identity)
    assert done.returncode == 0, done.stderr
    one.wait_for("message.sent", id=identity)


def test_a_dead_message_is_kept_as_long_as_the_settings_say_and_its_end_is_said(
        host, start, sink):
    one, clock = start(dead_retention="10d", history="1d"), Clock(host)
    sink.script["RCPT"] = ["550 5.1.1 no such user", None]
    dead = send(one.address, mails.plain())
    one.wait_for("message.dead", id=dead)
    sent = send(one.address, mails.plain())
    one.wait_for("message.sent", id=sent)
    one.wait_dead(dead)

    clock.forward(9 * DAY)
    wait_until(lambda: one.queue_list("--state", "sent") == [], "the sent one's record gone")
    one.wait_dead(dead)

    clock.forward(2 * DAY)
    gone = one.wait_for("queue.dead_removed", id=dead)
    assert "dead_retention" in gone["why"] and "550" in gone["reason"]
    wait_until(lambda: one.queue_list("--state", "dead") == [], "its record gone")
    incoming = os.path.join(one.directory, "queue", "incoming")
    wait_until(lambda: not [n for _, _, names in os.walk(incoming) for n in names],
               "its file gone")


def test_after_a_day_without_a_relay_everything_leaves_and_nobody_stormed_it(
        host, start, sink):
    one, clock = start(), Clock(host)
    port = sink.port
    sink.stop()
    accepted = [send(one.address, mails.plain(subject=f"mail-{n}-end")) for n in range(60)]
    one.wait_for("message.deferred")
    for _ in range(8):
        clock.forward(3 * HOUR)
        # The next probe has come and gone.
        mark = one.mark()
        wait_until(lambda: one.find("message.deferred", mark), "another try")

    from fault_smtp import FaultSmtp
    back = FaultSmtp(port=port).start()
    try:
        # The relay is asked again, and then the others follow: no wait is longer than five minutes.
        clock.forward(5 * 60)
        one.wait_for("relay.back")
        clock.forward(5 * 60)
        wait_until(lambda: len(back.messages) == len(accepted), "all of it")
        for identity in accepted:
            one.wait_for("message.sent", id=identity)
        arrived = {re.search(rb"Subject: (\S+)", m.data).group(1) for m in back.messages}
        assert len(back.messages) == len(arrived) == len(accepted)
        assert back.connections <= 8, "as many as relay.connections allows"
    finally:
        back.stop()


def test_a_clock_that_goes_back_holds_no_message_up(host, start, sink):
    one, clock = start(), Clock(host)
    sink.script["RCPT"] = ["450 4.2.0 later", None]
    waiting = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=waiting)
    clock.set(-2 * DAY)
    fresh = send(one.address, mails.plain())
    one.wait_for("message.sent", id=fresh)
    one.wait_for("message.sent", id=waiting)
    one.wait_for("queue.clock_went_back")


def test_a_clock_that_was_set_back_between_two_runs_holds_no_message_up(host, start, sink):
    one, clock = start(), Clock(host)
    sink.script["RCPT"] = ["450 4.2.0 later", None]
    clock.set(300 * DAY)
    waiting = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=waiting)
    one.kill()
    clock.set(-300 * DAY)
    one.start()
    one.wait_for("message.sent", id=waiting)


def test_a_lifetime_counts_from_the_acceptance_by_the_gateways_clock(host, start, sink):
    one, clock = start(lifetime="2h"), Clock(host)
    sink.script["RCPT"] = lambda argument: "450 4.2.0 later"
    early = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=early)
    clock.forward(1.5 * HOUR)
    late = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=late)
    clock.forward(0.6 * HOUR)
    one.wait_for("message.dead", id=early)
    assert not one.find("message.dead", id=late)
    assert one.find("message.deferred", id=late)
    assert datetime.now(timezone.utc).timestamp() < clock.now()


def test_who_asked_for_it_hears_of_a_delay_once(host, start, sink):
    one, clock = start(bounces=True), Clock(host)
    sink.script["RCPT"] = lambda argument: "450 4.2.0 greylisted" if "slow@" in argument else None
    identity = send_with_notify(one.address, {"slow@example.com": "DELAY,FAILURE",
                                              "bob@example.com": "DELAY"})
    silent = send_with_notify(one.address, {"slow@example.com": "FAILURE"})
    one.wait_for("message.deferred", id=silent)
    for hour in range(7):
        mark = one.mark()
        clock.forward(HOUR)
        for waiting in (identity, silent):
            one.wait_for("message.deferred", since=mark, id=waiting)
        if hour == 2:
            assert not one.find("bounce.queued"), "not before the fourth hour"
    (event,) = one.find("bounce.queued")
    assert event["id"] == identity
    one.wait_for("message.sent", id=event["bounce_id"])
    (report,) = [m for m in sink.messages if b"multipart/report" in m.data]
    assert b"Action: delayed\r\nStatus: 4.2.0\r\n" in report.data
    assert b"Will-Retry-Until: " in report.data and b"rfc822;bob@" not in report.data
    wait_until(lambda: [m["state"] for m in one.queue_list()] == ["deferred", "deferred"],
               "both wait on")


def reports(one, sink, identity):
    """What went to the sender about that message, in order."""
    told = [e["bounce_id"] for e in one.find("bounce.queued", id=identity)]
    for report in told:
        one.wait_for("message.sent", id=report)
    return [m.data for m in sink.messages if b"multipart/report" in m.data]


def test_who_asked_for_it_hears_of_what_a_fault_holds_once(host, start, sink):
    """Also when somebody retries it, after a crash, and when the clock is set back."""
    one, clock = start(bounces=True), Clock(host)
    one.expected_errors = {"queue.needs_attention"}
    sink.script["RCPT"] = lambda argument: (
        "554 Message rejected: Email address is not verified" if "slow@" in argument else None)
    identity = send_with_notify(one.address, {"slow@example.com": "DELAY,FAILURE"})
    one.wait_for("message.held", id=identity)
    clock.forward(3.5 * HOUR)
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.held", count=2, id=identity)
    assert not one.find("bounce.queued")
    shown = one.command("queue", "show", identity).stdout.decode()
    assert "once that is mended, at the latest in" in shown
    clock.forward(HOUR)
    one.wait_for("bounce.queued", id=identity)
    (report,) = reports(one, sink, identity)
    assert b"Action: delayed\r\n" in report
    until = re.search(rb"Will-Retry-Until: (.*)\r", report).group(1).decode()
    left = email.utils.parsedate_to_datetime(until).timestamp() - clock.now()
    assert 4 * DAY - 1.1 * HOUR < left < 4 * DAY - 0.9 * HOUR, until

    assert "given up in" in one.command("queue", "show", identity).stdout.decode()
    one.kill()
    one.start()
    clock.set(-3 * HOUR)
    for wait in (0, 2 * HOUR, 3 * HOUR):
        mark = one.mark()
        clock.forward(wait)
        assert one.command("queue", "retry", identity).returncode == 0
        one.wait_for("message.held", since=mark, id=identity)
    assert len(one.find("bounce.queued")) == 1


def test_a_report_of_delay_that_was_missed_is_made_up_for(host, start, sink):
    one, clock = start(bounces=True), Clock(host)
    sink.script["RCPT"] = lambda argument: "450 4.2.0 greylisted" if "slow@" in argument else None
    identity = send_with_notify(one.address, {"slow@example.com": "DELAY"})
    one.wait_for("message.deferred", id=identity)
    one.kill()
    clock.forward(9 * HOUR)
    one.start()
    one.wait_for("bounce.queued", id=identity)
    assert len(reports(one, sink, identity)) == 1


def test_a_clock_that_is_set_forward_makes_no_message_old(host, start, sink):
    one, clock = start(lifetime="5h", dead_retention="10d"), Clock(host)
    sink.script["RCPT"] = lambda argument: (
        "450 4.2.0 later" if "slow@" in argument else "550 5.1.1 no such user")
    waiting = send(one.address, mails.plain(), recipients=["slow@example.com"])
    dead = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=waiting)
    one.wait_dead(dead)
    mark = one.mark()
    clock.set(100 * DAY)
    one.wait_for("message.deferred", since=mark, id=waiting)
    one.wait_for("queue.clock_leapt")
    # Nor after a restart, and with its own time over it is dead all the same.
    one.stop()
    one.start()
    mark = one.mark()
    clock.forward(2 * HOUR)
    one.wait_for("message.deferred", since=mark, id=waiting)
    one.wait_dead(dead)
    clock.forward(4 * HOUR)
    one.wait_for("message.dead", id=waiting)
    # What came later has no more time than others.
    late = send(one.address, mails.plain(), recipients=["slow@example.com"])
    one.wait_for("message.deferred", id=late)
    clock.forward(6 * HOUR)
    one.wait_for("message.dead", id=late)
    assert not one.find("queue.dead_removed")
