"""kill -9 at random moments under load: what was answered with 250 arrives, whole."""
import hashlib
import os
import random
import re
import threading
import time

import links
import mails
from dialog import Dialog, queue_id, stuff
from gateway import lan
from waiting import wait_until

ROUNDS = 24
CLIENTS = 4


class Load:
    """Clients that send numbered mails, with an attachment each, until told to stop."""

    def __init__(self, address):
        self.address = address
        self.accepted = {}     # marker: the gateway's ID
        self.offered = {}      # marker: the attachment's content
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _client(self, number):
        turn = 0
        while not self.stopping.is_set():
            try:
                with Dialog(self.address, timeout=30) as dialog:
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
        dialog.mail("alice@client.test", "bob@example.com")
        identity = queue_id(dialog.data(stuff(mail.raw)))
        with self.lock:
            self.accepted[marker] = identity

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def test_kill_nine_loses_nothing_accepted_and_sends_no_half_message(
        gateway, make_settings, sink, store):
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    load = Load(door.address)
    random.seed(os.environ.get("STOWAGE_SEED", "stowage"))
    try:
        for _ in range(ROUNDS):
            time.sleep(random.uniform(0.02, 0.5))  # the random moment itself
            one.kill()
            one.start()
    finally:
        load.stop()

    assert len(load.accepted) >= 2 * ROUNDS, "too little load to show anything"
    for identity in load.accepted.values():
        one.wait_for("message.sent", timeout=60, id=identity)
    wait_until(lambda: all(m["state"] == "sent" for m in one.queue_list()), "an empty queue", 60)

    arrived = {}
    for message in sink.messages:
        marker = re.search(rb"Subject: (mail-\d+-\d+-end)\r\n", message.data).group(1).decode()
        arrived.setdefault(marker, []).append(message)
        assert message.data.endswith(b"--" + mails.BOUNDARY.encode() + b"--\r\n"), "half a message"
        got = links.fetch(links.in_text(message.data)[0])
        assert got.sha256 == hashlib.sha256(load.offered[marker]).hexdigest(), marker
    assert not set(load.accepted) - set(arrived), "accepted and lost"
    assert not store.overwritten

    # Twice only where the crash came between our final dot and the journal of the reply: the
    # queue calls these uncertain.
    twice = {marker for marker, messages in arrived.items() if len(messages) > 1}
    sent = {m["id"]: m for m in one.queue_list("--state", "sent")}
    for marker in twice & set(load.accepted):
        assert sent[load.accepted[marker]]["uncertain"], marker
    assert len(twice) <= ROUNDS * 8  # the deliveries in flight at each kill

    one.stop()
    left = [name for _, _, names in os.walk(one.settings["queue"]["directory"])
            for name in names if re.fullmatch(r"[0-9a-z]{26}", name)]
    assert not left, "spool files of finished messages"
