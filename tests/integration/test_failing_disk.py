"""A disk that is full or fails in the middle of a message: what the client hears, and after."""
import errno
import os
import subprocess

import pytest

import mails
from dialog import Dialog, stuff
from gateway import build_directory, environment, lan

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "failing_disk.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("failing_disk") / "failing_disk.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, SOURCE, "-ldl"], check=True,
                   timeout=60)
    return path


@pytest.fixture
def door(library, gateway, make_settings, sink, store, tmp_path):
    """A gateway whose disk fails as door.fail(errno, part of a path) says. Of the build
    without sanitizers, which want to be loaded first themselves."""
    orders = str(tmp_path / "orders")
    listener = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [listener]),
                  build=build_directory("STOWAGE_RELEASE"),
                  env=environment(LD_PRELOAD=library, FAILING_DISK=orders))
    one.address = listener.address
    one.expected_errors = {"message.refused", "queue.commit_failed", "spool.failed"}

    def fail(number=None, part=""):
        if number is None:
            os.unlink(orders)
            return
        with open(orders + ".new", "w") as out:
            out.write(f"{number} {part}")
        os.rename(orders + ".new", orders)
    one.fail = fail
    return one


def spooled(one):
    return os.listdir(os.path.join(one.directory, "queue", "incoming"))


@pytest.mark.parametrize("size", [200, 1 << 20], ids=["small", "large"])
@pytest.mark.parametrize("number,part,code", [
    (errno.ENOSPC, "/incoming/", "452 4.3.1"),
    (errno.EDQUOT, "/incoming/", "452 4.3.1"),
    (errno.EIO, "/incoming/", "451 4.3.0"),
    (errno.ENOSPC, "/queue.db", "452 4.3.1"),
    (errno.EIO, "/queue.db", "451 4.3.0"),
], ids=["full", "quota", "fault", "full for the record", "fault in the record"])
def test_the_reply_says_whether_the_disk_is_full(number, part, code, size, door, sink):
    message = stuff(mails.plain(text="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * (size // 72)))
    door.fail(number, part)
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        reply = dialog.data(message)
        assert f"{reply.code} {reply.lines[-1]}".startswith(code + " "), reply
        refused = door.wait_for("message.refused" if size < 1 << 20 or "db" in part
                                else "spool.failed")
        assert any(word in refused["reason"]
                   for word in (os.strerror(number), "disk is full", "disk I/O error"))
        door.fail()
        # The same session goes on, and the message comes through.
        identity = dialog.deliver(mails.plain())
    door.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1
    assert door.queue_list() == [] and spooled(door) == []
