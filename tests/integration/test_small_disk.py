"""A queue on a real small file system, which fills up: nothing lost, and it recovers by itself."""
import errno
import os
import subprocess
import tempfile

import pytest

import mails
from dialog import Dialog, queue_id, stuff
from faulty_host import DISK_EVENTS
from waiting import wait_until

MIB = 1 << 20
BODY = mails.plain(text=("y" * 70 + "\r\n") * 4000)  # 280 kB


def mount(kind, path, image):
    os.makedirs(path, mode=0o700)
    if kind == "tmpfs":
        return ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=60,mode=0700", "tmpfs", path]
    with open(image, "wb") as out:
        out.truncate(12 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "60", image], check=True, timeout=60)
    return ["mount", "-o", "loop", image, path]


def can_mount(kind):
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "disk")
        command = mount(kind, path, os.path.join(scratch, "image"))
        if subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60).returncode != 0:
            return False
        subprocess.run(["umount", path], check=True, timeout=60)
        return True


# A container may mount no image, or nothing: then conftest.py leaves these tests out.
MOUNTABLE = [kind for kind in ("tmpfs", "ext4") if can_mount(kind)]


@pytest.fixture(params=MOUNTABLE)
def disk(request, tmp_path):
    """The queue's directory, on a file system of its own."""
    path = str(tmp_path / "queue")
    command = mount(request.param, path, str(tmp_path / "image"))
    subprocess.run(command, check=True, timeout=60)
    yield path
    subprocess.run(["umount", path], check=True, timeout=60)


@pytest.fixture
def on_disk(disk, gateway, make_settings, sink, store):
    """Starts a gateway on that disk, which goes after it."""
    def start(**queue):
        settings = make_settings(sink.settings(), store.settings())
        settings["queue"] = {"directory": disk, "bounces": False, "retry_first": "1s",
                             "retry_max": "1s", "min_free": "0B", "min_free_inodes": 0, **queue}
        one = gateway(settings)
        one.expected_errors = set(DISK_EVENTS)
        return one
    return start


def offer(dialog, message):
    """The message's ID, or the code of an honest refusal; the session goes on."""
    reply = dialog.command("MAIL FROM:<alice@client.test>")
    if reply.code == 250:
        assert dialog.command("RCPT TO:<bob@example.com>").code == 250
        reply = dialog.data(stuff(message))
    assert reply.code in (250, 452), reply
    assert dialog.command("NOOP").code == 250
    assert dialog.command("RSET").code == 250
    return queue_id(reply) if reply.code == 250 else reply.code


def fill(one, message, most):
    """Messages until one is refused."""
    accepted = []
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        for _ in range(most):
            answer = offer(dialog, message)
            if answer == 452:
                return accepted
            accepted.append(answer)
    raise AssertionError(f"{most} messages and no end")


def fill_rest(path):
    """Somebody else's file takes all that is left."""
    with open(path, "wb", buffering=0) as out:
        for size in (65536, 4096, 512, 1):
            while True:
                try:
                    out.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    break


def check_all_out(one, sink, accepted):
    for identity in accepted:
        one.wait_for("message.sent", id=identity)
    wait_until(lambda: one.queue_list() == [], "an empty queue")
    incoming = os.path.join(one.settings["queue"]["directory"], "incoming")
    wait_until(lambda: not [n for _, _, names in os.walk(incoming) for n in names],
               "an empty spool")
    assert len(sink.messages) >= len(accepted)


@pytest.mark.parametrize("floor,message,most", [
    ({"min_free": "3MiB"}, BODY, 40),
    ({"min_free_inodes": 20}, mails.plain(), 80),
], ids=["bytes", "inodes"])
def test_at_the_floor_new_mail_waits_and_what_is_there_goes_out(
        floor, message, most, on_disk, sink):
    sink.script["CONNECT"] = lambda argument: "421 4.3.2 not now"
    one = on_disk(**floor)
    accepted = fill(one, message, most)
    assert len(accepted) >= 5
    with Dialog(one.address) as dialog:
        dialog.ehlo()

        def refused():
            dialog.command("RSET")
            reply = dialog.command("MAIL FROM:<alice@client.test>")
            return reply.code == 452 and reply
        # The disk is looked at once a second.
        reply = wait_until(refused, "452 before DATA")
        assert reply.lines[-1].startswith("4.3.1"), reply
        del sink.script["CONNECT"]
        check_all_out(one, sink, accepted)
        # The same session, once there is room.
        identity = wait_until(lambda: (a := offer(dialog, message)) != 452 and a, "room again")
    one.wait_for("message.sent", id=identity)


def test_a_disk_that_fills_up_in_the_middle_of_a_message(disk, on_disk, sink):
    sink.script["CONNECT"] = lambda argument: "421 4.3.2 not now"
    one = on_disk()
    ballast = os.path.join(disk, "ballast")
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        accepted = [offer(dialog, mails.plain()) for _ in range(3)]
        for turn in range(3):
            dialog.mail("alice@client.test", "bob@example.com")
            assert dialog.command("DATA").code == 354
            dialog.send(BODY)
            fill_rest(ballast)
            dialog.send(BODY * 3 + b".\r\n")
            reply = dialog.reply()
            assert reply.code == 452, reply
            assert dialog.command("NOOP").code == 250
            # Nothing comes in meanwhile, and nothing is claimed to have.
            fill_rest(ballast)
            assert offer(dialog, mails.plain()) == 452
            os.unlink(ballast)
            accepted.append(wait_until(lambda: (a := offer(dialog, mails.plain())) != 452 and a,
                                       f"room again, turn {turn}"))
        del sink.script["CONNECT"]
        check_all_out(one, sink, accepted)


def test_a_disk_that_is_full_for_long_lets_out_what_it_has(disk, on_disk, sink):
    sink.script["CONNECT"] = lambda argument: "421 4.3.2 not now"
    one = on_disk(min_free="3MiB")
    accepted = fill(one, BODY, 60)
    fill_rest(os.path.join(disk, "ballast"))
    assert len(accepted) >= 5
    del sink.script["CONNECT"]
    # What cannot be journalled is not sent: the room comes from outside, and then all goes.
    os.truncate(os.path.join(disk, "ballast"), 0)
    check_all_out(one, sink, accepted)
    one.stop()
    one.start()
    assert one.queue_list() == []


def test_a_start_on_a_full_disk(disk, on_disk, sink):
    sink.script["CONNECT"] = lambda argument: "421 4.3.2 not now"
    one = on_disk()
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        accepted = [offer(dialog, mails.plain()) for _ in range(3)]
    ballast = os.path.join(disk, "ballast")
    fill_rest(ballast)
    one.kill()
    one.expected_errors |= {"gateway.failed"}
    since = one.mark()
    one.start(wait=False)
    wait_until(lambda: one.find("gateway.ready", since) or one.find("gateway.failed", since),
               "a start or a reason against it")
    failed = one.find("gateway.failed", since)
    if failed:
        assert any(word in failed[0]["reason"] for word in ("full", "space", "room")), failed
        assert one.wait_exit() in (69, 75)
    os.unlink(ballast)
    if failed:
        one.start()
    del sink.script["CONNECT"]
    check_all_out(one, sink, accepted)
