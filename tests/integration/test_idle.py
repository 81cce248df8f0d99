"""Ten thousand clients that say nothing; needs the build without sanitizers."""
import os
import re
import resource
import select
import signal
import subprocess
import time

import pytest

import mails
from conftest import PASSWORD, USER
from dialog import Dialog
from gateway import Gateway, Listener, build_directory

COUNT = 10_000
CEILING_KIB = 24          # of memory for each
DESCRIPTORS = COUNT + 200  # of each end
HOLD_S, CLOSE_S = 150, 90


class IdleClients:
    def __init__(self, port, count):
        program = os.path.join(build_directory("STOWAGE_RELEASE"), "tests/bench/idle_clients")
        self.process = subprocess.Popen([program, str(port), str(count)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def line(self, timeout):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline().decode() if ready else ""
        assert line, self.process.stderr.read().decode() if ready else "nothing was said in time"
        return line

    def stop(self):
        """The workers end with their parent."""
        self.process.kill()
        self.process.communicate()


def rss_kib(one):
    with open(f"/proc/{one.process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1))


@pytest.fixture
def crowded(tmp_path, make_settings, sink, store):
    door = Listener("submit", tls="required", auth="required", max_connections=COUNT + 100)
    one = Gateway(tmp_path, make_settings(sink.settings(), store.settings(), [door]),
                  build=build_directory("STOWAGE_RELEASE"))
    try:
        yield one.start()
    finally:
        one.abandon()


def submit(one):
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.starttls()
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        one.wait_for("message.sent", id=dialog.deliver(mails.plain()))
        dialog.quit()


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < DESCRIPTORS,
                    reason=f"the hard limit of open files is below {DESCRIPTORS}")
def test_ten_thousand_idle_tls_clients_are_cheap_and_in_nobodys_way(crowded):
    submit(crowded)
    empty_kib = rss_kib(crowded)
    clients = IdleClients(crowded.address[1], COUNT)
    try:
        assert clients.line(HOLD_S) == f"held {COUNT}\n"
        each_kib = (rss_kib(crowded) - empty_kib) / COUNT
        began = time.monotonic()
        submit(crowded)
        assert time.monotonic() - began < 20
        assert each_kib <= CEILING_KIB, f"{each_kib:.1f} KiB for each"
        crowded.process.send_signal(signal.SIGTERM)
        assert clients.line(CLOSE_S) == f"closed {COUNT} told {COUNT}\n"
    finally:
        clients.stop()
    assert crowded.wait_exit(CLOSE_S) == 0, crowded.log_text()
    crowded.check_log()
