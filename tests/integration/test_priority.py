"""Whose mail goes first: a listener's priority, or that of the account."""
import json

import pytest

import mails
from conftest import PASSWORD, USER
from dialog import Dialog, stuff
from fault_smtp import FaultSmtp
from gateway import Listener, lan


@pytest.fixture
def one(gateway, make_settings, store, users_file):
    """A gateway without a relay, whose messages stay to be looked at."""
    doors = {"plain": lan("plain"), "alarms": lan("alarms", priority="high"),
             "submit": Listener("submit", tls="required", auth="required", priority="low")}
    made = gateway(make_settings(FaultSmtp().settings(), store.settings(), [*doors.values()],
                                 auth={"users": users_file, "accounts": []}))
    made.doors = doors
    return made


def shown(one, identity):
    done = one.command("queue", "show", "--json", identity)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)["priority"]


@pytest.mark.parametrize("door,want", [("plain", "normal"), ("alarms", "high")])
def test_a_listeners_priority_is_its_mails(door, want, one):
    with Dialog(one.doors[door].address) as dialog:
        dialog.ehlo()
        assert shown(one, dialog.deliver(mails.plain())) == want


@pytest.mark.parametrize("account,want", [(None, "low"), ({}, "low"),
                                          ({"priority": "high"}, "high"),
                                          ({"priority": "normal"}, "normal")])
def test_an_accounts_priority_comes_before_the_listeners(account, want, one):
    if account is not None:
        one.settings["auth"]["accounts"] = [{"user": USER, **account}]
        one.write_settings()
        one.reload()
        one.wait_for("settings.reloaded")
    with Dialog(one.doors["submit"].address) as dialog:
        dialog.ehlo()
        dialog.starttls()
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        assert shown(one, dialog.deliver(mails.plain())) == want


def test_an_alarm_passes_deliveries_that_all_wait_with_bulk(gateway, make_settings, store, sink):
    doors = {"reports": lan("reports", priority="low"), "alarms": lan("alarms", priority="high")}
    settings = make_settings(sink.settings(rate=1), store.settings(), [*doors.values()])
    settings["queue"]["workers"] = 2
    one = gateway(settings)
    many = [f"reader-{n}@example.com" for n in range(20)]
    for _ in range(3):
        with Dialog(doors["reports"].address) as dialog:
            dialog.ehlo()
            dialog.mail("alice@client.test", *many)
            assert dialog.data(stuff(mails.plain(subject="bulk"))).code == 250
    sink.wait_messages(1)  # forty seconds of it wait for the rate in either delivery
    with Dialog(doors["alarms"].address) as dialog:
        dialog.ehlo()
        alarm = dialog.deliver(mails.plain(subject="alarm"))
    one.wait_for("message.sent", id=alarm)
    assert len(one.find("message.sent")) == 1
    assert sum(len(m.recipients) for m in sink.messages) < 20
