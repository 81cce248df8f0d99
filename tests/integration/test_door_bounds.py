"""What a crowd of hostile clients may cost: lines of the log, and others' time."""
import base64
import os
import socket
import threading
import time

import pytest

import mails
from admin import metrics
from conftest import PASSWORD, USER
from dialog import Dialog, connect, read_all, send
from gateway import Listener, build_directory, lan
from waiting import wait_until

TOLD_PER_MINUTE = 600  # of one client


def told(one):
    return [event for event in one.events if event["event"].endswith(".refused")
            or event["event"] == "auth.failed"]


# ---- the log ----

OPEN = "EHLO a\r\nMAIL FROM:<a@b.test>\r\n"
AUTH_FOR_ANOTHER = "AUTH PLAIN " + base64.b64encode(b"other\0user\0password").decode() + "\r\n"
# name: what a session says, how often, replies of 4xx and 5xx to it
ANNOYANCES = {
    "command": ("EHLO a\r\n" + "FOO\r\n" * 20 + "QUIT\r\n", 75, 20),
    "recipient": (OPEN + "RCPT TO:<x@elsewhere.test>\r\n" * 20 + "QUIT\r\n", 75, 20),
    "put off": (OPEN + "RCPT TO:<x@in.test>\r\n" * 1000 + "QUIT\r\n", 2, 900),
    "AUTH given up": ("EHLO a\r\n" + "AUTH LOGIN\r\n*\r\n" * 20 + "QUIT\r\n", 75, 20),
}


@pytest.mark.parametrize("name", ANNOYANCES)
def test_a_client_fills_neither_the_log_nor_hides_others(door, name):
    text, times, replies = ANNOYANCES[name]
    listener = Listener("mx", tls="none", auth="optional", auth_without_tls=True,
                        greeting_delay="0", profile="standard",
                        recipients={"@in.test": "ops@example.com"})
    one = door(listener)
    begin = time.monotonic()
    for _ in range(times):
        with connect(listener.address) as client:
            client.sendall(text.encode())
            read_all(client)
    seen = sum(value for (metric, labels), value in metrics(one).items()
               if metric == "stowage_replies_total" and dict(labels)["code"][0] in "45")
    assert seen >= times * replies, seen
    minutes = 2 + int((time.monotonic() - begin) / 60)
    assert len(told(one)) <= TOLD_PER_MINUTE * minutes < seen
    others = [f"127.0.0.{host}" for host in range(2, 18)]
    for other in others:
        with Dialog(listener.address, source=other) as dialog:
            dialog.command("NONSENSE")
    wait_until(lambda: len({event["client"] for event in told(one)}.intersection(others)) >= 10,
               "the others in the log")


def test_auth_for_another_fills_no_log(door):
    """Told at once, refused later: who does not wait for that comes again at once."""
    listener = Listener("submit", tls="starttls", auth="required", auth_without_tls=True,
                        networks=["127.0.0.0/8"])
    one = door(listener)
    for _ in range(1400):
        client = connect(listener.address)
        client.sendall(b"EHLO a\r\n" + AUTH_FOR_ANOTHER.encode())
        client.shutdown(socket.SHUT_WR)
        client.close()
    failed = ("stowage_auth_total", (("result", "failed"),))
    wait_until(lambda: metrics(one).get(failed, 0) >= 1300, "the tries to be counted")
    assert len(one.find("auth.failed")) <= 2 * TOLD_PER_MINUTE


# ---- memory ----

def test_many_messages_at_once_go_to_the_disk(door):
    """Each stops where its buffer is almost full, and is not heard of again."""
    listener = lan(max_connections=2000)
    one = door(listener, build=build_directory("STOWAGE_RELEASE"))
    before = one.peak_rss_kib()
    data = (OPEN + "RCPT TO:<x@example.com>\r\nDATA\r\n").encode() + b"y" * 75 + b"\r\n"
    crowd = [connect(listener.address) for _ in range(700)]
    for client in crowd:
        client.sendall(data)
    for client in crowd:
        client.sendall((b"z" * 75 + b"\r\n") * 1800)
    send(listener.address, mails.plain())
    wait_until(lambda: not unread(listener.port), "all to be read")
    assert one.peak_rss_kib() - before < 64 * 1024
    for client in crowd:
        client.close()
    wait_until(lambda: metrics(one)[("stowage_sessions", (("listener", "lan"),))] == 0,
               "the sessions to end")
    spool = os.path.join(one.directory, "queue", "incoming")
    wait_until(lambda: not any(names for _, _, names in os.walk(spool)),
               "the halves to be deleted")


def unread(port):
    """Octets that the kernel holds for those who serve port."""
    with open("/proc/net/tcp") as lines:
        rows = [line.split() for line in list(lines)[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows
               if row[1].endswith(f":{port:04X}") and row[3] == "01")


# ---- others' time ----

GREEDY = {
    "chunks": (OPEN + "RCPT TO:<x@example.com>\r\n", "BDAT 1\r\nx" * 4000),
    "bare CR": (OPEN + "RCPT TO:<x@example.com>\r\nDATA\r\n", "\r" * 60000),
    "fields": (OPEN + "RCPT TO:<x@example.com>\r\nDATA\r\n", "From: a\r\n" * 7000),
}


@pytest.mark.parametrize("kind", GREEDY)
def test_a_crowd_that_sends_all_it_can_delays_nobody(door, kind):
    """All send as fast as they are read, from one thread: none of them ever waits."""
    listener = lan(profile="strict", max_connections=2000)
    door(listener, build=build_directory("STOWAGE_RELEASE"))
    first, then = (text.encode() for text in GREEDY[kind])
    crowd = [connect(listener.address) for _ in range(400)]
    for client in crowd:
        client.sendall(first)
        client.setblocking(False)
    over = threading.Event()

    def push():
        while not over.is_set():
            for client in crowd:
                for act in (lambda c: c.send(then), lambda c: c.recv(65536)):
                    try:
                        act(client)
                    except OSError:  # full, nothing there, or closed
                        pass

    pushing = threading.Thread(target=push, daemon=True)
    pushing.start()
    took = []
    try:
        end = time.monotonic() + 4
        while time.monotonic() < end or len(took) < 5:
            begin = time.monotonic()
            send(listener.address, mails.plain())
            took.append(time.monotonic() - begin)
    finally:
        over.set()
        pushing.join(60)
        for client in crowd:
            client.close()
    assert sorted(took)[len(took) // 2] < 1, took


def test_guessers_do_not_delay_a_device(door, users_file):
    """More passwords wait than are taken, from many addresses; the device is known."""
    submit = Listener("submit", tls="starttls", auth="required", auth_without_tls=True,
                      networks=["127.0.0.0/8"], max_connections=2000)
    one = door(submit, auth={"users": users_file, "max_failures": 1000})
    right = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    with Dialog(submit.address, source="127.0.0.9") as dialog:
        dialog.ehlo()
        assert dialog.command("AUTH PLAIN " + right).code == 235
    guessers = [connect(submit.address, source=f"127.0.1.{n % 160 + 1}") for n in range(320)]
    for n, client in enumerate(guessers):
        guess = base64.b64encode(f"\0{USER}{n}\0wrong".encode()).decode()
        client.sendall(f"EHLO a\r\nAUTH PLAIN {guess}\r\n".encode())
    one.wait_for("command.refused", code="454")  # the queue of strangers is full
    with Dialog(submit.address, source="127.0.0.9") as dialog:
        dialog.ehlo()
        before = len(one.find("auth.failed"))
        assert dialog.command("AUTH PLAIN " + right).code == 235
    judged = len(one.find("auth.failed")) - before
    assert judged < 160, "the device waited for the guessers"
    for client in guessers:
        client.close()
