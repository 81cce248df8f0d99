"""What a person does to queued messages while the gateway is at work on them."""
import json
import os
import pty
import sqlite3
import subprocess
import threading

import pytest

import links
import mails
from dialog import Dialog, send
from gateway import binary, lan
from waiting import PATIENCE_S, wait_until

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_CANTCREAT, EX_TEMPFAIL = 64, 65, 66, 73, 75
LATER = "451 4.7.1 later"


class Gate:
    """A place in the relay's dialogue where it waits until it is told to go on."""

    def __init__(self, sink, verb):
        self.reached, self._go_on = threading.Event(), threading.Event()
        self._reply = None
        sink.script[verb] = self._wait

    def _wait(self, argument):
        if not self._go_on.is_set():
            self.reached.set()
            self._go_on.wait(300)
        reply, self._reply = self._reply, None
        return reply

    def open(self, reply=None):
        self._reply = reply
        self._go_on.set()


@pytest.fixture
def start(gateway, make_settings, sink, store):
    """A gateway with one connection to the sink; deliver() hands it a mail."""
    def make(retry="1h", workers=4):
        listener = lan()
        settings = make_settings(sink.settings(connections=1), store.settings(), [listener])
        settings["queue"].update(retry_first=retry, retry_max=retry, workers=workers)
        one = gateway(settings)
        one.deliver = lambda raw=None, **how: send(listener.address, raw or mails.plain(), **how)
        return one
    return make


def queue(one, *words, code=0):
    """stowage queue ... --json: its lines."""
    done = one.command("queue", words[0], "--json", *words[1:])
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    one.complaint = done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def shown(one, identity):
    (message,) = queue(one, "show", identity)
    return message


def wait_state(one, identity, state):
    wait_until(lambda: shown(one, identity)["state"] == state, f"{identity} is {state}")


def check_record(one):
    """The numbers by state are what there is; nothing is left of what is gone."""
    with sqlite3.connect(os.path.join(one.settings["queue"]["directory"], "queue.db")) as record:
        record.execute("BEGIN")  # one moment of it: the gateway goes on writing
        counted = dict(record.execute("SELECT state, count(*) FROM messages GROUP BY state"))
        kept = {state: n for state, n in record.execute("SELECT state, messages FROM totals")
                if n}
        assert kept == counted
        for table in ("recipients", "attachments", "events"):
            assert not record.execute(
                f"SELECT message FROM {table} WHERE message NOT IN (SELECT id FROM messages)"
            ).fetchall(), table


def spooled(one):
    return {name for _, _, files in os.walk(one.settings["queue"]["directory"] + "/incoming")
            for name in files if len(name) == 26}


# ---- hold, release ----

def test_what_is_held_stays_until_it_is_released(start, sink):
    sink.script["MAIL"] = [LATER]
    one = start(retry="20s")
    identity = one.deliver()
    one.wait_for("message.deferred", id=identity)
    wait_state(one, identity, "deferred")
    assert queue(one, "hold", identity)[0]["was"] == "deferred"
    other = one.deliver()
    one.wait_for("message.sent", id=other)
    assert [m["id"] for m in queue(one, "list", "--hold", "person")] == [identity]
    since = one.mark()
    one.wait_for("message.sent", id=one.deliver(), since=since)
    assert shown(one, identity)["hold"] == "person" and len(sink.messages) == 2
    queue(one, "retry", identity, code=EX_DATAERR)
    assert "held by a person" in one.complaint
    queue(one, "release", identity)
    one.wait_for("message.sent", id=identity)
    wait_state(one, identity, "sent")
    states = [event["state"] for event in shown(one, identity)["history"]]
    assert states[0] == "received" and states[-1] == "sent"
    assert "held" in states and "deferred" in states
    check_record(one)


def test_a_message_under_way_is_held_before_its_final_dot(start, sink):
    gate = Gate(sink, "MAIL")
    one = start(retry="1s")
    identity = one.deliver()
    assert gate.reached.wait(PATIENCE_S)
    queue(one, "hold", identity)
    gate.open()
    since = one.mark()
    other = one.deliver()
    one.wait_for("message.sent", id=other, since=since)
    assert shown(one, identity)["state"] == "held"
    assert len(sink.messages) == 1
    check_record(one)
    queue(one, "release", identity)
    one.wait_for("message.sent", id=identity)
    wait_state(one, identity, "sent")
    check_record(one)


def test_what_lies_in_memory_is_held_and_deleted_too(start, sink):
    gate = Gate(sink, "MAIL")
    one = start(retry="1s", workers=1)
    first = one.deliver()
    assert gate.reached.wait(PATIENCE_S)
    kept, held, deleted = (one.deliver() for _ in range(3))
    queue(one, "hold", held)
    queue(one, "delete", "--yes", deleted)
    gate.open()
    for identity in (first, kept):
        one.wait_for("message.sent", id=identity)
    last = one.deliver()
    one.wait_for("message.sent", id=last)
    wait_until(lambda: [m["id"] for m in queue(one, "list")] == [held], "one is left")
    assert len(sink.messages) == 3
    assert not one.find("message.dead") and not one.find("message.bounced")
    wait_until(lambda: spooled(one) == {held}, "its file alone is left")
    check_record(one)


def test_after_the_final_dot_it_is_too_late(start, sink):
    gate = Gate(sink, "DOT")
    one = start()
    identity = one.deliver()
    assert gate.reached.wait(PATIENCE_S)
    for verb in ("hold", "retry", "redrive"):
        queue(one, verb, identity, code=EX_TEMPFAIL)
        assert "is being relayed at this moment" in one.complaint
    queue(one, "delete", "--yes", identity, code=EX_TEMPFAIL)
    gate.open()
    one.wait_for("message.sent", id=identity)
    wait_state(one, identity, "sent")
    queue(one, "hold", identity, code=EX_DATAERR)
    check_record(one)


# ---- delete ----

def test_a_message_under_way_that_is_deleted_is_not_sent(start, sink):
    gate = Gate(sink, "MAIL")
    one = start(retry="1s")
    identity = one.deliver()
    assert gate.reached.wait(PATIENCE_S)
    done = one.command("queue", "delete", identity)
    assert done.returncode == EX_DATAERR and b"--yes" in done.stderr
    wait_until(lambda: one.command("queue", "delete", "--yes", identity).returncode == 0,
               "its deletion")
    # Another one is under way for so long that its state is recorded: not that of the first.
    other = one.deliver()
    wait_until(lambda: shown(one, other)["state"] in ("rewriting", "uploading"),
               "its state is recorded")
    check_record(one)
    gate.open()
    one.wait_for("message.sent", id=other)
    assert len(sink.messages) == 1
    assert queue(one, "list", "--all") != [] and queue(one, "list") == []
    queue(one, "show", identity, code=EX_NOINPUT)
    wait_until(lambda: not spooled(one), "no file is left")
    check_record(one)


def test_a_person_at_a_terminal_is_asked(start, sink):
    sink.script["MAIL"] = lambda argument: LATER
    one = start()
    identity = one.deliver()
    one.wait_for("message.deferred", id=identity)
    wait_state(one, identity, "deferred")

    def ask(answer):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [binary(one.build), "queue", "delete", "-c", one.path, identity], stdin=theirs,
            stdout=subprocess.PIPE, stderr=theirs, env=one.env)
        os.close(theirs)
        os.write(ours, answer)
        out, _ = process.communicate(timeout=PATIENCE_S)
        said = os.read(ours, 4096).decode()
        os.close(ours)
        assert "not delivered yet" in said, said
        return process.returncode, out.decode()

    assert ask(b"n\n")[1] == ""
    assert shown(one, identity)["state"] == "deferred"
    code, out = ask(b"y\n")
    assert code == 0 and "deleted" in out
    assert queue(one, "list", "--all") == []


def test_files_in_the_store_are_revoked_or_named(start, sink, store):
    sink.script["RCPT"] = ["550 5.1.1 no such user"]
    one = start()
    identity = one.deliver(mails.with_files(
        [mails.File("a.bin", "application/octet-stream", mails.noise(9999))]).raw)
    one.wait_dead(identity)
    queue(one, "delete", identity, code=EX_DATAERR)
    assert "stowage links revoke" in one.complaint
    done = one.command("links", "revoke", identity)
    assert done.returncode == 0 and not store.objects
    (line,) = queue(one, "delete", identity)
    assert line["done"] and line["objects_kept"] == []
    check_record(one)


# ---- redrive ----

def test_redrive_goes_through_the_whole_pipeline(start, sink, store):
    file = mails.File("a.bin", "application/octet-stream", mails.noise(9999))
    sink.script["RCPT"] = [None, "550 5.1.1 no such user"]
    one = start()
    identity = one.deliver(mails.with_files([file]).raw,
                           recipients=["bob@example.com", "eve@example.com"])
    one.wait_dead(identity)
    assert sink.messages[0].recipients == ["bob@example.com"]
    store.objects.clear()  # a lifecycle rule has deleted it
    queue(one, "redrive", identity)
    one.wait_for("message.sent", id=identity)
    assert sink.wait_messages(2)[1].recipients == ["eve@example.com"]
    links.check_files(sink.messages[1].data, [file])
    assert len(store.objects) == 1
    wait_state(one, identity, "sent")
    message = shown(one, identity)
    assert message["attempts"] == 1 and message["retried"]
    queue(one, "redrive", "--again", identity, code=EX_DATAERR)
    assert "original is gone" in one.complaint
    check_record(one)


def test_again_sends_to_those_who_have_it_too(start, sink):
    sink.script["RCPT"] = [None, "550 5.1.1 no such user"]
    one = start()
    identity = one.deliver(recipients=["bob@example.com", "eve@example.com"])
    one.wait_dead(identity)
    (line,) = queue(one, "redrive", "--again", "--state", "dead", "--reason", "no such user")
    assert line["was"] == "dead" and line["done"]
    one.wait_for("message.sent", id=identity)
    assert sorted(sink.wait_messages(2)[1].recipients) == ["bob@example.com", "eve@example.com"]


# ---- export, selection ----

def test_export_gives_what_came(start, sink, tmp_path):
    sink.script["MAIL"] = lambda argument: LATER
    one = start()
    raws = [mails.plain(text=f"Hello {n}.\r\n\r\n.dot\r\n") for n in range(3)]
    identities = [one.deliver(raw, sender=f"s{n}@client.test") for n, raw in enumerate(raws)]
    for identity in identities:
        one.wait_for("message.deferred", id=identity)
    for identity, raw in zip(identities, raws):
        done = one.command("queue", "export", identity)
        assert done.returncode == 0 and done.stdout.endswith(raw)
    folder = tmp_path / "out"
    lines = queue(one, "export", "--sender", "s*@client.test", "--directory", str(folder))
    assert {line["id"] for line in lines} == set(identities)
    for identity, raw in zip(identities, raws):
        assert (folder / f"{identity}.eml").read_bytes().endswith(raw)
    queue(one, "export", "--all", "--directory", str(folder), code=EX_CANTCREAT)
    queue(one, "export", "--all", "--maildir", str(tmp_path / "Maildir"))
    assert len(os.listdir(tmp_path / "Maildir" / "new")) == 3


def test_messages_are_chosen_by_what_is_known_of_them(start, sink):
    sink.script["MAIL"] = lambda argument: LATER if "s1" in argument else "550 5.7.1 never"
    one = start()
    later = one.deliver(sender="s1@client.test", recipients=["a@one.test"])
    never = one.deliver(sender="s2@client.test", recipients=["b@two.test", "c@three.test"])
    one.wait_for("message.deferred", id=later)
    wait_state(one, later, "deferred")
    one.wait_dead(never)
    for words, wanted in [
            (["--all"], {later, never}), (["--state", "dead,held"], {never}),
            (["--all", "--sender", "S1@CLIENT.test"], {later}),
            (["--all", "--sender", "client.test"], {later, never}),
            (["--all", "--recipient", "*.test", "--reason", "5.7.1"], {never}),
            (["--all", "--recipient", "@three.test"], {never}),
            (["--older-than", "1h"], set()), (["--newer-than", "1h"], {later}),
            (["--listener", "lan"], {later}), (["--user", "*"], set()),
            (["--sender", "x'; DROP TABLE messages; --"], set()),
            (["--all", "--limit", "1"], {later})]:
        assert {m["id"] for m in queue(one, "list", *words)} == wanted, words
    assert [line["dry_run"] for line in queue(one, "retry", "--all", "--dry-run")] == [True] * 2
    assert shown(one, never)["state"] == "dead"


def test_clients_are_answered_while_thousands_are_changed(start, sink):
    sink.script["MAIL"] = lambda argument: LATER
    one = start()

    def fill():
        with Dialog(one.address, timeout=120) as client:
            client.ehlo()
            for _ in range(500):
                client.deliver(mails.plain())

    filling = [threading.Thread(target=fill) for _ in range(8)]
    for thread in filling:
        thread.start()
    for thread in filling:
        thread.join()
    wait_until(lambda: len(one.find("message.deferred")) >= 4000, "all were tried", 120)
    holding = subprocess.Popen([binary(one.build), "queue", "hold", "-c", one.path, "--all"],
                               stdout=subprocess.PIPE, env=one.env)
    answered = 0
    with Dialog(one.address, timeout=120) as client:
        client.ehlo()
        assert holding.stdout.readline()  # a page of twenty is done
        reader = threading.Thread(target=holding.stdout.read)
        reader.start()
        while reader.is_alive():
            client.deliver(mails.plain())
            answered += 1
    reader.join()
    assert holding.wait(120) == 0
    assert answered  # while it ran, not behind it
    assert len(one.queue_list("--state", "held")) >= 4000
