"""Stopping and reloading: what runs is finished or put off within shutdown_timeout, the process
ends with 0, whenever and however often it is told."""
import datetime
import os
import random
import signal
import socket
import threading
import time

import pytest

import mails
from dialog import Dialog, post, send, stuff, text
from fault_smtp import FaultSmtp
from gateway import Gateway, lan
from waiting import wait_until

EX_UNAVAILABLE = 69
FILE = mails.File("a.bin", "application/octet-stream", mails.noise(9999))


@pytest.fixture
def deaf():
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def terminate(one):
    one.process.send_signal(signal.SIGTERM)


def last(one, event):
    """Such an event, and when it was, by the gateway's own clock."""
    event = one.find(event)[-1]
    return event, datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def its_end(one):
    """It ends by itself, with 0: (why, how many seconds after it was told)."""
    assert one.wait_exit() == 0, one.log_text()
    one.check_log()
    (_, told_s), (stopped, stopped_s) = last(one, "gateway.stopping"), last(one, "gateway.stopped")
    return stopped["reason"], stopped_s - told_s


def ended(one):
    """Once all was done, and not because shutdown_timeout was over."""
    assert its_end(one)[0] == "told to stop", one.log_text()


def ended_late(one):
    """What hangs still is left behind when shutdown_timeout is over."""
    reason, took_s = its_end(one)
    assert reason.startswith("shutdown_timeout passed"), one.log_text()
    assert took_s < int(one.settings["shutdown_timeout"].removesuffix("s")) + 5


def begin_message(dialog):
    dialog.ehlo()
    dialog.mail("alice@client.test", "bob@example.com")
    assert dialog.command("DATA").code == 354
    dialog.send(stuff(mails.plain()))


# ---- stopping ----

def test_a_message_that_is_coming_in_is_taken_before_the_end(
        gateway, make_settings, sink, store):
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    with Dialog(door.address) as dialog:
        begin_message(dialog)
        terminate(one)
        one.wait_for("gateway.stopping")
        dialog.send(b".\r\n")
        assert text(dialog.reply()).startswith("250 2.0.0 Ok: queued as ")
        assert text(dialog.reply()).startswith("421 4.3.2 ")
        assert dialog.closed()
    ended(one)
    one.start()
    one.wait_for("message.sent")
    assert len(sink.messages) == 1


def test_a_store_that_hangs_does_not_hold_the_end_up(
        gateway, make_settings, sink, store, deaf):
    door = lan()
    hanging = {**store.settings(), "endpoint": f"http://127.0.0.1:{deaf}"}
    one = gateway(make_settings(sink.settings(), hanging, [door], shutdown_timeout="2s"))
    identity = send(door.address, mails.with_files([FILE]).raw)
    wait_until(lambda: one.queue_list(), "the message in the queue")
    terminate(one)
    ended_late(one)
    one.settings["s3"] = store.settings()
    one.start()
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1


def test_a_relay_that_hangs_does_not_hold_the_end_up(gateway, make_settings, store, gated):
    door = lan()
    one = gateway(make_settings(gated.settings(), store.settings(), [door],
                                shutdown_timeout="2s"))
    identity = send(door.address, mails.plain())
    gated.wait_arrived()
    terminate(one)
    ended_late(one)
    for _ in range(2):
        gated.permits.release()
    one.start()
    one.wait_for("message.sent", id=identity)
    (shown,) = one.queue_list("--state", "sent") or wait_until(
        lambda: one.queue_list("--state", "sent"), "the record of it")
    assert shown["uncertain"], "its end was sent and never answered"


def test_who_waits_for_the_next_hop_is_answered_before_the_end(
        gateway, make_settings, store, gated):
    door = lan(accept="relay")
    one = gateway(make_settings(gated.settings(), store.settings(), [door]))
    with Dialog(door.address) as dialog:
        begin_message(dialog)
        dialog.send(b".\r\n")
        gated.wait_arrived()
        terminate(one)
        one.wait_for("gateway.stopping")
        gated.permits.release()
        assert text(dialog.reply()).startswith("250 2.0.0 Ok: relayed as ")
        assert text(dialog.reply()).startswith("421 4.3.2 ")
        assert dialog.closed()
    ended(one)
    assert len(gated.messages) == 1


def test_who_waits_for_a_next_hop_that_hangs_hears_of_the_end(
        gateway, make_settings, store, gated):
    door = lan(accept="relay")
    one = gateway(make_settings(gated.settings(), store.settings(), [door],
                                shutdown_timeout="4s"))
    with Dialog(door.address) as dialog:
        begin_message(dialog)
        dialog.send(b".\r\n")
        gated.wait_arrived()
        terminate(one)
        assert text(dialog.reply()).startswith("421 4.3.2 ")
        assert dialog.closed()
    ended_late(one)


def test_who_waits_for_its_turn_hears_of_the_end_at_once(
        gateway, make_settings, store, gated, tmp_path):
    """One worker, and it is busy: the other message is nobody's, so the client keeps it."""
    door = lan(accept="relay")
    one = gateway(make_settings(gated.settings(), store.settings(), [door], queue={
        "directory": str(tmp_path / "queue"), "workers": 1}))
    with Dialog(door.address) as first, Dialog(door.address) as second:
        begin_message(first)
        first.send(b".\r\n")
        gated.wait_arrived()
        begin_message(second)
        second.send(b".\r\n")
        with Dialog(door.address) as third:
            begin_message(third)
            terminate(one)
            one.wait_for("gateway.stopping")
            assert text(second.reply()).startswith("451 4.3.2 ")
            third.send(b".\r\n")
            assert text(third.reply()).startswith("451 4.3.2 ")
        gated.permits.release()
        assert first.reply().code == 250
    ended(one)
    assert len(gated.messages) == 1


def test_a_relay_that_does_not_answer_quit_does_not_hold_the_end_up(
        gateway, make_settings, store, gated):
    """More connections are kept open than could be waited for."""
    door, count = lan(), 8
    one = gateway(make_settings(gated.settings(connections=count), store.settings(), [door],
                                shutdown_timeout="2s"))
    for _ in range(count):
        send(door.address, mails.plain())
    for _ in range(count):
        gated.wait_arrived()
    gated.script["QUIT"] = lambda argument: FaultSmtp.STALL
    for _ in range(count):
        gated.permits.release()
    one.wait_for("message.sent", count=count)
    wait_until(lambda: one.queue_list() == [], "the records")
    terminate(one)
    assert its_end(one)[1] < 2 + 5
    assert len(gated.messages) == count


def test_told_twice_it_ends_at_once_and_well(gateway, make_settings, store, gated):
    door = lan()
    one = gateway(make_settings(gated.settings(), store.settings(), [door]))
    send(door.address, mails.plain())
    gated.wait_arrived()
    terminate(one)
    one.wait_for("gateway.stopping")
    terminate(one)
    assert its_end(one)[0] == "told to stop a second time", one.log_text()


def test_told_again_and_again_it_ends_well(gateway, make_settings, sink, store):
    """Whenever the second signal comes: before, in and behind the last of its work."""
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    random.seed(os.environ.get("STOWAGE_SEED", "stowage"))
    for turn in range(20):
        send(door.address, mails.plain())
        process = one.process
        more = random.choice((1, 5, 50))

        def insist():
            for _ in range(more):
                try:
                    process.send_signal(random.choice((signal.SIGTERM, signal.SIGINT)))
                except ProcessLookupError:
                    return
                time.sleep(random.uniform(0, 0.004))
        thread = threading.Thread(target=insist)
        thread.start()
        code = one.wait_exit()
        thread.join()
        assert code == 0, (turn, code, one.log_text())
        one.start()


# ---- reloading ----

def is_served(address):
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_storm_of_hangups_is_a_few_readings(gateway, make_settings, sink, store):
    door, late = lan(), lan("late")
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    one.settings["listeners"].append(late.settings)
    one.write_settings()
    storm = 500
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        for turn in range(storm):
            one.reload()
            if turn % 50 == 0:
                assert dialog.command("NOOP").code == 250
    one.wait_for("settings.reloaded")
    wait_until(lambda: is_served(late.address), "the new listener")

    def quiet():
        before = one.mark()
        time.sleep(0.3)
        return not one.find("settings.reloaded", since=before)
    wait_until(quiet, "the end of the readings")
    # The last signal is heard: what was written before it is in force.
    since = one.mark()
    one.settings["listeners"].pop()
    one.write_settings()
    for _ in range(storm):
        one.reload()
    one.wait_for("settings.reloaded", since=since)
    wait_until(quiet, "the end of the readings")
    wait_until(lambda: not is_served(late.address), "the last of what was written")
    assert len(one.find("settings.reloaded", since=since)) < storm / 10


def test_stopped_in_the_middle_of_reading(gateway, make_settings, sink, store):
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    for _ in range(10):
        one.reload()
        terminate(one)
        ended(one)
        one.start()


# ---- one queue, one gateway ----

def test_a_second_gateway_on_a_queue_is_refused_and_says_why(
        gateway, make_settings, sink, store, tmp_path):
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    elsewhere = tmp_path / "second"
    elsewhere.mkdir()
    two = Gateway(elsewhere, make_settings(sink.settings(), store.settings(), [lan()]))
    assert two.settings["queue"]["directory"] == one.settings["queue"]["directory"]
    two.start(wait=False)
    assert two.wait_exit() == EX_UNAVAILABLE
    (failed,) = two.find("gateway.failed")
    assert one.settings["queue"]["directory"] in failed["reason"]
    assert f"another gateway (process {one.process.pid}) runs on it" in failed["reason"]
    assert not two.find("gateway.ready")
    assert post(door.address).code == 250, "the first is not disturbed"
    one.wait_for("message.sent")
