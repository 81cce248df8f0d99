"""kill -9 and SIGTERM at random moments under load: what was answered with 250 arrives, whole;
what a listener with accept: relay answered so has arrived already. STOWAGE_KILLS: how often."""
import hashlib
import os
import random
import re
import threading
import time

import pytest

import links
import mails
from dialog import Dialog, stuff
from gateway import lan
from waiting import wait_until

ROUNDS = int(os.environ.get("STOWAGE_KILLS", 24))
CLIENTS = 4
IDENTITY = re.compile(r"\b[0-9a-z]{26}\b")
MARKER = re.compile(rb"Subject: (mail-\d+-\d+-end)\r\n")


class Load:
    """Clients that send numbered mails, with an attachment each, until told to stop. arrived: of
    a marker at the moment of its 250, whether the relay has it by then; None: not asked."""

    def __init__(self, address, recipients=("bob@example.com",), arrived=None):
        self.address = address
        self.recipients = recipients
        self.arrived = arrived
        self.accepted = {}     # marker: the gateway's ID
        self.kept = set()      # markers of those that are in the queue
        self.early = []        # markers whose 250 came before the relay's
        self.offered = {}      # marker: the attachment's content
        self.replies = set()   # other codes after the data
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _client(self, number):
        turn = 0
        while not self.stopping.is_set():
            try:
                with Dialog(self.address) as dialog:
                    dialog.ehlo()
                    while not self.stopping.is_set():
                        turn += 1
                        self._send(dialog, f"mail-{number}-{turn}-end")
            except (OSError, EOFError, AssertionError):
                self.stopping.wait(0.05)  # killed meanwhile: connect again

    def _send(self, dialog, marker):
        size = random.choice((10, 2000, 300_000))
        content = mails.noise(size, marker)
        with self.lock:
            self.offered[marker] = content
        mail = mails.with_files([mails.File("a.bin", "application/octet-stream", content)],
                                subject=marker)
        dialog.mail("alice@client.test", *self.recipients)
        reply = dialog.data(stuff(mail.raw))
        if reply.code != 250:
            self.replies.add(reply.code)
            return
        has_arrived = self.arrived(marker) if self.arrived else True
        with self.lock:
            self.accepted[marker] = IDENTITY.search(reply.lines[-1]).group()
            if "queued as" in reply.lines[-1]:
                self.kept.add(marker)
            if not has_arrived:
                self.early.append(marker)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive()


def subject(message):
    return MARKER.search(message.data).group(1).decode()


def by_marker(sink):
    """What the relay has, whole: {marker: messages}."""
    arrived = {}
    for message in sink.messages:
        arrived.setdefault(subject(message), []).append(message)
        assert message.data.endswith(b"--" + mails.BOUNDARY.encode() + b"--\r\n"), "half a message"
    return arrived


def check_files(load, arrived):
    for marker, messages in arrived.items():
        for message in messages:
            got = links.fetch(links.in_text(message.data)[0])
            assert got.sha256 == hashlib.sha256(load.offered[marker]).hexdigest(), marker


def disturb(one, load, act):
    """At ROUNDS random moments, and starts it again each time."""
    random.seed(os.environ.get("STOWAGE_SEED", "stowage"))
    rounds = 0
    try:
        # More of them where the machine is so slow that little comes in between.
        while rounds < ROUNDS or (len(load.accepted) < 2 * ROUNDS and rounds < 4 * ROUNDS):
            rounds += 1
            time.sleep(random.uniform(0.02, 0.5))  # the random moment itself
            act()
            one.start()
    finally:
        load.stop()
    assert len(load.accepted) >= 2 * ROUNDS, "too little load to show anything"
    return rounds


def settle(one, identities):
    for identity in identities:
        one.wait_for("message.sent", id=identity)
    wait_until(lambda: one.queue_list() == [], "an empty queue")


def check_spool(one):
    one.stop()
    left = [name for _, _, names in os.walk(one.settings["queue"]["directory"])
            for name in names if re.fullmatch(r"[0-9a-z]{26}", name)]
    assert not left, "spool files of finished messages"


def possibly_twice(one):
    """IDs of the messages that the queue calls uncertain: the crash came between our final dot
    and the journal of the reply."""
    return {m["id"] for m in one.queue_list("--state", "sent") if m["uncertain"]}


@pytest.mark.parametrize("slow_ms", [0, 8], ids=["usual disk", "slow disk"])
def test_kill_nine_loses_nothing_accepted_and_sends_no_half_message(
        slow_ms, gateway, make_settings, sink, store, host):
    door = lan()
    host.slow(slow_ms)
    one = gateway(make_settings(sink.settings(), store.settings(), [door]),
                  **(host.how if slow_ms else {}))
    load = Load(door.address)
    rounds = disturb(one, load, one.kill)
    settle(one, load.accepted.values())

    arrived = by_marker(sink)
    check_files(load, arrived)
    assert not set(load.accepted) - set(arrived), "accepted and lost"
    assert not store.overwritten
    twice = {marker for marker, messages in arrived.items() if len(messages) > 1}
    uncertain = possibly_twice(one)
    for marker in twice & set(load.accepted):
        assert load.accepted[marker] in uncertain, marker
    assert len(twice) <= rounds * 8  # the deliveries in flight at each kill
    check_spool(one)


def test_kill_nine_with_accept_relay_each_250_is_the_relays(gateway, make_settings, sink, store):
    """One recipient in some is put off, so that their rest is kept: durable, as ever."""
    door = lan(accept="relay")
    put_off = random.Random(7)
    sink.script["RCPT"] = lambda argument: (
        "450 4.2.1 busy" if "busy@" in argument and put_off.random() < 0.2 else None)
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    load = Load(door.address, ("bob@example.com", "busy@example.com"),
                lambda marker: any(subject(m) == marker for m in list(sink.messages)))
    disturb(one, load, one.kill)
    settle(one, [load.accepted[marker] for marker in load.kept])

    assert not load.early, "250 before the relay's"
    arrived = by_marker(sink)
    check_files(load, arrived)
    assert load.kept, "none was kept"
    uncertain = possibly_twice(one)
    for marker, identity in load.accepted.items():
        got = sorted(r for message in arrived[marker] for r in message.recipients)
        if identity in uncertain:
            got = sorted(set(got))
        assert got == ["bob@example.com", "busy@example.com"], marker
    # Without a 250 the client would send again; from here nothing came twice.
    for marker in set(arrived) - set(load.accepted):
        got = [r for message in arrived[marker] for r in message.recipients]
        assert len(got) == len(set(got)) or uncertain, marker
    check_spool(one)


@pytest.mark.parametrize("accept", ["queue", "relay"])
def test_sigterm_loses_and_doubles_nothing(accept, gateway, make_settings, sink, store):
    door = lan(accept=accept)
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    load = Load(door.address, arrived=accept == "relay" and (
        lambda marker: any(subject(m) == marker for m in list(sink.messages))))
    disturb(one, load, one.stop)  # which asks for exit status 0
    if accept == "queue":
        settle(one, load.accepted.values())

    assert not load.early, "250 before the relay's"
    assert load.replies <= {451, 421}
    arrived = by_marker(sink)
    check_files(load, arrived)
    assert not set(load.accepted) - set(arrived), "accepted and lost"
    assert not {marker for marker, messages in arrived.items() if len(messages) > 1}, "twice"
    check_spool(one)
