"""A disk that is full or fails in the middle of a message: what the client hears, and after."""
import errno
import os
import re

import pytest

import mails
from dialog import Dialog, queue_id, stuff
from faulty_host import DISK_EVENTS
from waiting import wait_until


def spooled(one):
    return [name for _, _, names in os.walk(os.path.join(one.directory, "queue", "incoming"))
            for name in names]


@pytest.mark.parametrize("size", [200, 1 << 20], ids=["small", "large"])
@pytest.mark.parametrize("number,part,code", [
    (errno.ENOSPC, "/incoming/", "452 4.3.1"),
    (errno.EDQUOT, "/incoming/", "452 4.3.1"),
    (errno.EIO, "/incoming/", "451 4.3.0"),
    (errno.ENOSPC, "/queue.db", "452 4.3.1"),
    (errno.EIO, "/queue.db", "451 4.3.0"),
], ids=["full", "quota", "fault", "full for the record", "fault in the record"])
def test_the_reply_says_whether_the_disk_is_full(number, part, code, size, host, hosted, sink):
    message = stuff(mails.plain(text="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * (size // 72)))
    host.fail(number, part, calls=("write", "pwrite"))
    with Dialog(hosted.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        reply = dialog.data(message)
        assert f"{reply.code} {reply.lines[-1]}".startswith(code + " "), reply
        refused = hosted.wait_for("message.refused" if size < 1 << 20 or "db" in part
                                else "spool.failed")
        assert any(word in refused["reason"]
                   for word in (os.strerror(number), "disk is full", "disk I/O error"))
        host.heal()
        # The same session goes on, and the message comes through.
        identity = dialog.deliver(mails.plain())
    hosted.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1
    wait_until(lambda: hosted.queue_list() == [] and spooled(hosted) == [], "nothing left")


def offer(address, marker):
    """One message in a session of its own: the gateway's ID, or None after an honest 45x."""
    message = mails.with_files([mails.File("a.bin", "application/octet-stream",
                                           mails.noise(3000, marker))], subject=marker)
    with Dialog(address) as dialog:
        dialog.ehlo()
        replies = [dialog.command("MAIL FROM:<alice@client.test>")]
        if replies[-1].code == 250:
            replies.append(dialog.command("RCPT TO:<bob@example.com>"))
        if replies[-1].code == 250:
            replies.append(dialog.data(stuff(message.raw)))
        last = replies[-1]
        assert last.code in (250, 451, 452), last
        # Whatever was said, the session is sound.
        assert dialog.command("NOOP").code == 250
        return queue_id(last) if last.code == 250 else None


def subjects(sink):
    return [re.search(rb"Subject: (\S+)", message.data).group(1).decode()
            for message in sink.messages]


def settle(one, sink, accepted):
    """Each accepted message comes out, and nothing of any is left."""
    for identity in accepted.values():
        one.wait_for("message.sent", timeout=60, id=identity)
    wait_until(lambda: one.queue_list() == [], "an empty queue")
    wait_until(lambda: spooled(one) == [], "an empty spool")
    arrived = subjects(sink)
    assert not set(accepted) - set(arrived), "accepted and lost"
    return arrived


# What a message of the usual size costs in calls that change files under the queue, with a few
# to spare: the first run counts them.
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_each_call_that_changes_a_file_fails_once(error, host, hosted, sink):
    host.watch("/queue/")
    accepted = {"first": offer(hosted.address, "first")}
    settle(hosted, sink, accepted)
    calls = host.seen
    assert calls >= 4, "a file, its sync, its folder's sync and the record at least"
    for n in range(1, calls + 3):
        host.fail(error, "/queue/", first=n, last=n)
        marker = f"mail-{n}-end"
        identity = offer(hosted.address, marker)
        if identity:
            accepted[marker] = identity
            # The fault may hit what comes after the 250 as well.
            hosted.wait_for("message.sent", timeout=60, id=identity)
    host.heal()
    accepted["last"] = offer(hosted.address, "last")
    assert accepted["last"], "it recovers by itself"
    arrived = settle(hosted, sink, accepted)
    # A refused message did not come out behind the client's back: it will send it again.
    assert set(arrived) == set(accepted)
    twice = {marker for marker in arrived if arrived.count(marker) > 1}
    sent = {m["id"]: m for m in hosted.queue_list("--state", "sent")}
    for marker in twice:
        assert sent[accepted[marker]]["uncertain"], marker


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS],
                         ids=["EIO", "ENOSPC", "EROFS"])
def test_a_disk_that_fails_for_a_while_under_load_loses_nothing(error, host, hosted, sink):
    accepted, refused = {}, 0
    for turn in range(12):
        host.fail(error, "/queue/", first=1 + 3 * turn)
        for n in range(3):
            marker = f"mail-{turn}-{n}-end"
            identity = offer(hosted.address, marker)
            if identity:
                accepted[marker] = identity
            else:
                refused += 1
        host.heal()
        marker = f"mail-{turn}-healed-end"
        accepted[marker] = wait_until(lambda: offer(hosted.address, marker), "a sound disk")
    assert refused, "the disk was not missed"
    arrived = settle(hosted, sink, accepted)
    sent = {m["id"]: m for m in hosted.queue_list("--state", "sent")}
    for marker in set(accepted):
        assert arrived.count(marker) == 1 or sent[accepted[marker]]["uncertain"], marker


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_start_that_meets_a_fault_says_so_and_the_next_one_goes(error, host, hosted, sink):
    sink.script["CONNECT"] = lambda argument: "421 4.3.2 not now"
    identity = offer(hosted.address, "kept")
    hosted.wait_for("message.deferred", id=identity)
    hosted.kill()
    host.watch("/queue")
    hosted.start()
    calls = host.seen
    hosted.kill()
    for n in range(1, calls + 1):
        host.fail(error, "/queue", first=n, last=n)
        since = hosted.mark()
        hosted.expected_errors = DISK_EVENTS | {"gateway.failed"}
        hosted.start(wait=False)
        wait_until(lambda: hosted.find("gateway.ready", since)
                   or hosted.find("gateway.failed", since), "a start or a reason against it")
        if hosted.find("gateway.failed", since):
            assert hosted.wait_exit() == 69
            assert hosted.find("gateway.failed", since)[0]["reason"]
        else:
            hosted.kill()
    host.heal()
    del sink.script["CONNECT"]
    hosted.start()
    settle(hosted, sink, {"kept": identity})
