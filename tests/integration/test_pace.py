"""Pacing: SES's rate and quota, told, learnt or given; who goes first; what a restart knows."""
import threading
import time

import pytest
import yaml

import mails
from admin import metrics
from dialog import Dialog, send
from fault_account import FaultAccount
from gateway import environment, lan, run
from waiting import PATIENCE_S, wait_until

THROTTLED = "454 Throttling failure: Maximum sending rate exceeded."
OVER_QUOTA = "454 Throttling failure: Daily message quota exceeded."


@pytest.fixture
def account():
    service = FaultAccount().start()
    yield service
    service.stop()
    assert not service.problems


@pytest.fixture
def start(gateway, make_settings, store):
    """start(relay, listeners): a gateway; its settings' relay is that."""
    def start(relay, listeners=None):
        one = gateway(make_settings(relay, store.settings(), listeners),
                      env=environment(AWS_ACCESS_KEY_ID="AKIDCHAIN",
                                      AWS_SECRET_ACCESS_KEY="chain-secret"))
        one.expected_errors.add("queue.needs_attention")
        return one
    return start


def asking(sink, account, **more):
    return sink.settings(rate="auto", region="eu-west-1", api_endpoint=account.url, **more)


def figure(one, name, relay="default"):
    return metrics(one).get((f"stowage_relay_{name}", (("relay", relay),)))


class Bucket:
    """What SES does: so many recipients a second, a second's worth at once."""

    def __init__(self, rate):
        self.rate, self.tokens, self.at = rate, rate, time.monotonic()
        self.complaints = 0
        self.lock = threading.Lock()

    def __call__(self, message):
        with self.lock:
            now = time.monotonic()
            self.tokens = min(self.rate, self.tokens + (now - self.at) * self.rate)
            self.at = now
            if self.tokens < len(message.recipients):
                self.complaints += 1
                return THROTTLED
            self.tokens -= len(message.recipients)
            return None


def send_many(address, count):
    with Dialog(address) as dialog:
        dialog.ehlo()
        for number in range(count):
            dialog.deliver(mails.plain(), recipients=[f"r{number}@example.com"])


class Closed:
    """A relay that answers no message until it is opened, and then as told: a queue forms."""

    def __init__(self, sink, then=None):
        self.opened, self.then = threading.Event(), then
        sink.script["DOT"] = self

    def __call__(self, message):
        self.opened.wait(PATIENCE_S)
        return self.then and self.then(message)


def all_arrive(sink, count, timeout=120):
    """Each once."""
    sink.wait_messages(count, timeout)
    got = sorted(r for message in sink.messages for r in message.recipients)
    assert got == sorted(f"r{number}@example.com" for number in range(count))


# ---- SES's API ----

def test_rate_and_quota_come_from_the_account(start, sink, account):
    one = start(asking(sink, account))
    event = one.wait_for("relay.account")
    assert (event["relay"], event["max_rate"], event["quota"]) == ("default", "14", "50000")
    wait_until(lambda: figure(one, "rate") and figure(one, "rate") > 10, "the rate as a figure")
    assert figure(one, "rate") == pytest.approx(0.9 * 14)
    assert figure(one, "quota") == 50000
    assert [by for _, by in account.asked] == ["AKIDCHAIN"]


def test_the_relays_own_key_signs(start, sink, account):
    one = start(asking(sink, account, iam_access_key_id="AKIDRELAY",
                       iam_secret_access_key="relay-secret"))
    one.wait_for("relay.account")
    assert [by for _, by in account.asked] == ["AKIDRELAY"]
    assert "relay-secret" not in one.log_text()


def test_a_share_of_what_the_account_may(start, sink, account):
    one = start(asking(sink, account, rate_share=0.5))
    one.wait_for("relay.account")
    wait_until(lambda: figure(one, "quota") == 25000, "half the quota")
    assert figure(one, "rate") == pytest.approx(0.9 * 7)


def test_what_is_not_permitted_is_said_once_and_mail_goes(start, sink, account):
    account.fault = (403, '{"message":"User is not authorized to perform: ses:GetAccount"}')
    one = start(asking(sink, account))
    event = one.wait_for("relay.account_unknown")
    begin = time.monotonic()
    assert event["level"] == "info" and "ses:GetAccount" in event["reason"]
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    for turn in range(1, 7):
        one.reload()
        one.wait_for("settings.reloaded", count=turn)
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    wait_until(lambda: len(account.asked) >= 2, "the account asked about again")
    assert len(account.asked) <= 2 + (time.monotonic() - begin), "a second lies between two"
    assert len(one.find("relay.account_unknown")) == 1
    assert 0.5 < figure(one, "rate") < 3, "what SES's sandbox allows, and little more"


@pytest.mark.parametrize("fault", [(500, "{}"), (200, "[]"), (200, "x" * 100000), "hang"],
                         ids=["500", "other JSON", "endless", "hang"])
def test_an_api_that_fails_holds_up_neither_start_nor_mail_nor_stop(
        fault, start, sink, account):
    account.fault = fault
    one = start(asking(sink, account))
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    wait_until(lambda: account.asked, "the account asked about")
    if fault != "hang":
        one.wait_for("relay.account_unknown")
    one.stop_in_time()
    if fault == "hang":
        assert not one.find("relay.account_unknown"), "it was waited for"


def test_an_account_that_may_not_send_is_told_of(start, sink, account):
    account.more = {"SendingEnabled": False}
    one = start(asking(sink, account))
    event = one.wait_for("relay.needs_attention")
    assert event["level"] == "warning" and "does not send" in event["reason"]


def test_others_who_use_the_account_count(start, sink, account):
    account.quota, account.sent = 200.0, 200.0
    one = start(asking(sink, account))
    one.wait_for("relay.account")
    identity = send(one.address, mails.plain())
    held = one.wait_for("message.held", id=identity)
    assert "quota" in held["reason"] and not sink.messages


def test_what_others_used_is_forgotten_where_the_account_says_nothing_more(
        gateway, make_settings, host, store, sink, account):
    """Else mail would wait for the API, or die, long after the quota was renewed."""
    account.quota, account.sent = 200.0, 200.0
    keys = {"AWS_ACCESS_KEY_ID": "AKIDCHAIN", "AWS_SECRET_ACCESS_KEY": "chain-secret"}
    one = gateway(make_settings(asking(sink, account), store.settings()),
                  build=host.how["build"], env={**host.how["env"], **keys})
    one.expected_errors.add("queue.needs_attention")
    one.wait_for("relay.account")
    account.fault = (500, "{}")
    one.wait_for("message.held", id=send(one.address, mails.plain()))
    host.pass_time(3700)
    one.wait_for("message.sent", id=send(one.address, mails.plain()))


# ---- the rate ----

def test_a_rate_is_kept_to(start, sink):
    one = start(sink.settings(rate=8))
    begin = time.monotonic()
    send_many(one.address, 40)
    all_arrive(sink, 40)
    at = [message.at for message in sink.messages]
    assert at[-1] - begin >= 40 / 8 - 1
    for i, first in enumerate(at):
        for j in range(i, len(at)):
            # Some jitter between its clock and ours.
            assert j - i + 1 <= 8 * (at[j] - first + 0.25 + 0.5) + 1
    wait_until(lambda: figure(one, "sent_24h") == 40, "40 counted")


def test_a_relay_that_throttles_gets_all_with_few_complaints(start, sink):
    bucket = Bucket(5)
    relay = Closed(sink, bucket)
    one = start(sink.settings(rate="auto 10"))
    send_many(one.address, 90)
    relay.opened.set()
    all_arrive(sink, 90)
    assert 1 <= bucket.complaints <= 12
    assert figure(one, "throttled_total") == bucket.complaints
    assert figure(one, "rate") < 7
    assert one.find("relay.throttled")
    assert not one.find("message.uncertain") and not one.find("message.dead")


def test_many_recipients_go_in_pieces_of_the_rate(start, sink):
    one = start(sink.settings(rate=5))
    begin = time.monotonic()
    identity = send(one.address, mails.plain(),
                    recipients=[f"r{number}@example.com" for number in range(25)])
    one.wait_for("message.sent", id=identity)
    assert [len(message.recipients) for message in sink.messages] == [10, 10, 5]
    assert sink.messages[2].at - begin >= 3


def test_a_learnt_rate_is_known_after_a_restart(start, sink):
    sink.script["DOT"] = [THROTTLED, THROTTLED]
    one = start(sink.settings(rate="auto 40"))
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    learnt = figure(one, "rate")
    assert learnt < 40
    one.stop()
    one.start()
    wait_until(lambda: figure(one, "rate"), "the rate as a figure")
    assert figure(one, "rate") == pytest.approx(learnt, rel=0.5), "not 36, where it set out"
    wait_until(lambda: figure(one, "sent_24h") == 1, "one counted")
    assert one.find("relay.rate")


def test_a_reload_keeps_what_was_learnt_and_takes_what_is_set(start, sink):
    sink.script["DOT"] = [THROTTLED]
    one = start(sink.settings(rate="auto 40", daily_quota=1000))
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    learnt = figure(one, "rate")
    one.settings["relay"]["daily_quota"] = 500
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    assert figure(one, "rate") == pytest.approx(learnt, rel=0.3), "not 36, where it set out"
    assert learnt < 30
    wait_until(lambda: figure(one, "quota") == 500, "the new quota")
    wait_until(lambda: figure(one, "sent_24h") == 2, "both messages counted")


# ---- who goes first ----

def test_alarms_pass_before_reports(start, sink):
    reports, alarms = lan("reports", priority="low"), lan("alarms", priority="high")
    relay = Closed(sink)
    one = start(sink.settings(rate=4), [reports, alarms])
    send_many(reports.address, 30)
    identity = send(alarms.address, mails.plain(), recipients=["alarm@example.com"])
    relay.opened.set()
    one.wait_for("message.sent", id=identity)
    arrived = [m.recipients for m in sink.wait_messages(31)]
    # Those that are under way when it comes, and now and then a turn for each priority.
    assert arrived.index(["alarm@example.com"]) < 15
    assert not one.find("message.dead")


# ---- the quota ----

def test_the_quota_stops_low_priority_first_and_a_restart_knows_it(start, sink):
    reports, alarms = lan("reports", priority="low"), lan("alarms", priority="high")
    one = start(sink.settings(daily_quota=20), [reports, alarms])
    for _ in range(19):
        one.wait_for("message.sent", id=send(reports.address, mails.plain()))
    low = send(reports.address, mails.plain())
    held = one.wait_for("message.held", id=low)
    assert "quota" in held["reason"]
    wait_until(lambda: figure(one, "sent_24h") == 19, "19 counted")
    assert figure(one, "quota") == 20
    one.stop()
    one.start()
    one.wait_for("message.sent", id=send(alarms.address, mails.plain()))
    one.wait_for("message.held", id=send(alarms.address, mails.plain()))
    assert len(sink.messages) == 20
    assert [m["id"] for m in one.queue_list("--state", "held")].count(low) == 1


def test_a_quota_that_only_ses_knows_is_not_asked_about_with_each_message(start, sink):
    tries = []

    def over(message):
        tries.append(message)
        return OVER_QUOTA

    sink.script["DOT"] = over
    one = start(sink.settings(connections=1))
    for _ in range(6):
        one.wait_for("message.held", id=send(one.address, mails.plain()))
    assert len(tries) == 1 and not sink.messages


# ---- settings ----

@pytest.mark.parametrize("rate, good", [("auto", True), ("auto 14", True), (7.5, True),
                                        ("automatic", False), ("auto fast", False)])
def test_what_can_be_set(rate, good, tmp_path, make_settings, store):
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(make_settings(
        {"host": "127.0.0.1", "port": 25, "tls": "none", "rate": rate}, store.settings())))
    path.chmod(0o600)
    done = run("check", "-c", path)
    assert (done.returncode == 0) == good, done.stderr.decode()
    assert good or "nor auto" in (done.stdout + done.stderr).decode()
