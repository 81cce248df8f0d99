"""What the door asks the DNS about a client, and what follows from the answers."""
import time

import pytest

import mails
from dialog import Dialog, send
from fault_dns import FaultDns, listed, reverse
from gateway import Listener
from waiting import wait_until

CLIENT, ZONE = "127.0.0.1", "bl.test"
LISTED = {(listed(CLIENT, ZONE), "A"): ["127.0.0.4"]}
NAMED = {(reverse(CLIENT), "PTR"): ["client.example"], ("client.example", "A"): [CLIENT]}


@pytest.fixture
def name_server():
    server = FaultDns().start()
    yield server
    server.stop()


@pytest.fixture
def screening(door, name_server):
    """Starts a gateway with one MX listener that asks the name server."""
    def start(records=(), default=(), timeout="30s", **listener):
        name_server.records, name_server.default = dict(records), default
        mx = Listener("mx", tls="none", auth="none",
                      recipients={"@in.test": "ops@example.com"}, **listener)
        return door(mx, dns={"servers": [name_server.address], "timeout": timeout})
    return start


def deliver(one, recipient="x@in.test"):
    return send(one.address, mails.plain(), recipients=[recipient])


# ---- block lists ----

def test_a_listed_client_may_write_to_postmaster_only(screening, sink):
    one = screening(LISTED, dnsbl=["other.test", ZONE])
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        reply = dialog.command("RCPT TO:<x@in.test>")
        assert reply.code == 554 and reply.lines[0].startswith("5.7.1 ") and \
            ZONE in reply.lines[0], reply
        dialog.command("RSET")
        identity = dialog.deliver(mails.plain(), recipients=["postmaster@in.test"])
        dialog.quit()
    one.wait_for("message.sent", id=identity)
    refused = one.wait_for("recipient.refused", block_list=ZONE)
    assert (refused["client"], refused["recipient"]) == (CLIENT, "x@in.test")
    assert len(sink.messages) == 1


def test_a_client_on_no_list_is_served(screening):
    one = screening(dnsbl=["other.test", ZONE])
    one.wait_for("message.sent", id=deliver(one))
    assert not one.find("dnsbl.unusable")


@pytest.mark.parametrize("answer", ["127.255.255.252", "127.255.255.254", "127.255.255.255",
                                    "192.0.2.1"])
def test_a_list_that_does_not_answer_us_refuses_nobody(answer, screening):
    one = screening({(listed(CLIENT, ZONE), "A"): [answer]}, dnsbl=[ZONE])
    one.wait_for("message.sent", id=deliver(one))
    complaint = one.wait_for("dnsbl.unusable", zone=ZONE)
    assert complaint["level"] == "warning" and "nobody is refused" in complaint["reason"]
    deliver(one)
    assert len(one.find("dnsbl.unusable")) == 1  # not for each client


@pytest.mark.parametrize("fault", [FaultDns.SILENT, FaultDns.SERVFAIL, FaultDns.GARBAGE,
                                   FaultDns.WRONG_ID])
def test_a_name_server_at_fault_delays_the_greeting_and_refuses_nobody(fault, screening):
    one = screening(default=fault, timeout="4s", dnsbl=[ZONE, "other.test"], reverse_dns="log")
    began = time.monotonic()
    with Dialog(one.address) as dialog:
        greeted_s = time.monotonic() - began
        dialog.ehlo()
        identity = dialog.deliver(mails.plain(), recipients=["x@in.test"])
        dialog.quit()
    one.wait_for("message.sent", id=identity)
    assert greeted_s < 7.5, greeted_s
    assert one.find("dnsbl.unusable") or one.find("dns.failed")


def test_a_silent_name_server_holds_up_the_silent_only(screening, name_server):
    """A client that waits for the DNS does not delay one about whom all is known."""
    one = screening(dnsbl=[ZONE])
    deliver(one)
    name_server.default = FaultDns.SILENT
    waiting = Dialog(one.address, source="127.0.0.9", greeting=False)
    wait_until(lambda: (listed("127.0.0.9", ZONE), "A") in name_server.asked, "the question")
    began = time.monotonic()
    deliver(one)
    assert time.monotonic() - began < 25
    waiting.close()  # goes before it is greeted


# ---- names ----

def test_a_client_without_a_name_is_told_to_come_again(screening, sink):
    one = screening(reverse_dns="require")
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        reply = dialog.command("RCPT TO:<x@in.test>")
        assert reply.code == 450 and reply.lines[0].startswith("4.7.25 "), reply
        dialog.quit()
    assert not sink.messages


@pytest.mark.parametrize("forward", [[], ["192.0.2.1"], FaultDns.SERVFAIL])
def test_a_name_that_does_not_lead_back_is_none(forward, screening):
    one = screening({**NAMED, ("client.example", "A"): forward}, reverse_dns="require")
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.command("MAIL FROM:<a@b.test>")
        assert dialog.command("RCPT TO:<x@in.test>").code == 450


@pytest.mark.parametrize("setting", ["log", "require"])
def test_a_clients_name_stands_in_log_and_trace(setting, screening, sink):
    one = screening(NAMED, reverse_dns=setting)
    identity = deliver(one)
    one.wait_for("message.sent", id=identity)
    accepted = one.wait_for("message.accepted", id=identity)
    assert accepted["client"] == CLIENT and "client.example" in accepted.values()
    trace = sink.messages[0].data.split(b"\r\nby ")[0].split(b" by ")[0]
    assert b"client.example" in trace and b"[127.0.0.1]" in trace


def test_without_a_name_the_trace_has_the_address(screening, sink):
    one = screening(reverse_dns="log")
    one.wait_for("message.sent", id=deliver(one))
    assert b"[127.0.0.1]" in sink.messages[0].data.split(b"\r\n\r\n")[0]


# ---- how much is asked ----

def test_what_is_known_is_not_asked_again(screening, name_server):
    one = screening(NAMED, dnsbl=[ZONE], reverse_dns="require")
    deliver(one)
    asked = sorted(name_server.asked)
    assert asked == sorted([(listed(CLIENT, ZONE), "A"), *NAMED])
    for _ in range(3):
        deliver(one)
    assert sorted(name_server.asked) == asked


def test_a_crowd_of_one_client_asks_once(screening, name_server):
    one = screening(NAMED, dnsbl=[ZONE], reverse_dns="log")
    dialogs = [Dialog(one.address, greeting=False) for _ in range(30)]
    try:
        assert {dialog.reply().code for dialog in dialogs} == {220}
    finally:
        for dialog in dialogs:
            dialog.close()
    assert len(name_server.asked) == 3


def test_nothing_is_asked_where_nothing_is_wanted(screening, name_server):
    one = screening(LISTED)
    one.wait_for("message.sent", id=deliver(one))
    assert not name_server.asked


# ---- life ----

def test_reload_turns_to_other_servers_and_lists(screening, name_server):
    one = screening(LISTED, dnsbl=[ZONE])
    other = FaultDns().start()
    try:
        one.settings["dns"]["servers"] = [other.address]
        one.settings["listeners"][0]["dnsbl"] = [ZONE, "more.test"]
        one.write_settings()
        one.reload()
        one.wait_for("settings.reloaded")
        deliver(one)
        assert sorted(other.asked) == [(listed(CLIENT, "bl.test"), "A"),
                                       (listed(CLIENT, "more.test"), "A")]
        assert not name_server.asked
    finally:
        other.stop()


def test_the_stop_waits_for_no_name_server(screening, name_server):
    one = screening(default=FaultDns.SILENT, dnsbl=[ZONE], reverse_dns="log")
    with Dialog(one.address, greeting=False):
        wait_until(lambda: name_server.asked, "the question")
        one.stop_in_time()
        assert not one.find("dns.failed") and not one.find("dnsbl.unusable")
