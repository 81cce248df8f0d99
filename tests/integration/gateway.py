"""The program under test: started from a settings dict, watched through its log."""
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import threading
import time

import yaml

from ports import free_port
from waiting import PATIENCE_S, wait_until

EX_CONFIG = 78

_REPORTS = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|runtime error:|AddressSanitizer:DEADLYSIGNAL")


def build_directory(variable="STOWAGE_BUILD"):
    path = os.environ.get(variable)
    if not path:
        raise RuntimeError(f"{variable} must name a build directory; see tests/run.sh")
    return os.path.abspath(path)


def binary(build=None):
    return os.path.join(build or build_directory(), "gateway", "stowage")


def environment(**more):
    """The caller's environment without what could reach the AWS credentials chain."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    kept["HOME"] = "/nonexistent"
    kept["AWS_EC2_METADATA_DISABLED"] = "true"
    kept.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1")
    kept.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    kept.update(more)
    return kept


def run(*arguments, stdin=b"", timeout=120, build=None, env=None):
    """Runs the program to its end; a sanitizer's report fails the caller."""
    done = subprocess.run([binary(build), *map(str, arguments)], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          env=env or environment())
    text = done.stderr.decode(errors="replace")
    assert not _REPORTS.search(text), text
    assert done.returncode >= 0, f"ended by signal {-done.returncode}: {text}"
    return done


class Gateway:
    """One process. settings is written as YAML before each start."""

    def __init__(self, directory, settings=None, *, arguments=None, build=None, env=None):
        self.directory = str(directory)
        self.settings = settings
        self.path = os.path.join(self.directory, "stowage.yaml")
        self.arguments = arguments or ["serve", "-c", self.path]
        self.build = build
        self.env = env or environment()
        self.events = []
        self.noise = []            # what is on standard error and no JSON
        self.expected_errors = set()  # events that may have level "error"
        self.sink = None           # the FaultSmtp that it relays to, for relayed()
        self.process = None
        self._news = threading.Condition()
        self._reader = None

    @functools.cached_property
    def address(self):
        """Where its first listener is reached."""
        host, _, port = self.settings["listeners"][0]["address"].rpartition(":")
        return host, int(port)

    # ---- life ----

    def write_settings(self):
        with open(self.path, "w") as out:
            os.fchmod(out.fileno(), 0o600)
            yaml.safe_dump(self.settings, out, sort_keys=False)

    def start(self, wait=True):
        if self.settings is not None:
            self.write_settings()
        since = len(self.events)
        self.process = subprocess.Popen([binary(self.build), *self.arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=self.env)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,),
                                        daemon=True)
        self._reader.start()
        if wait:
            self.wait_for("gateway.ready", since=since)
        return self

    def _read(self, stream):
        for line in stream:
            text = line.decode(errors="replace").rstrip("\n")
            try:
                event = json.loads(text)
            except ValueError:
                event = None
            with self._news:
                if isinstance(event, dict):
                    self.events.append(event)
                else:
                    self.noise.append(text)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _reap(self, timeout):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not end: " + self.log_text()) from None
        self._reader.join(PATIENCE_S)
        self.process.stderr.close()
        self.process = None
        return code

    def stop(self, timeout=PATIENCE_S):
        """SIGTERM; the process must end with 0, no report, no leak, no unexpected error."""
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        code = self._reap(timeout)
        assert code == 0, f"exit status {code}\n{self.log_text()}"
        self.check_log()

    def stop_in_time(self):
        """The same, and by itself: shutdown_timeout did not end what would have hung."""
        self.stop()
        assert self.find("gateway.stopped")[-1]["reason"] == "told to stop", self.log_text()

    def kill(self):
        """SIGKILL, as a crash or a power cut would be for the process."""
        self.process.kill()
        self._reap(PATIENCE_S)
        self.check_log()

    def wait_exit(self, timeout=PATIENCE_S):
        return self._reap(timeout)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    @contextlib.contextmanager
    def running(self):
        """Started for a with statement, stopped and looked at behind it."""
        try:
            yield self.start()
            self.stop()
        finally:
            self.abandon()

    def abandon(self):
        """For clean-up after a failed test: no questions asked."""
        if self.process:
            self.process.kill()
            self._reap(PATIENCE_S)

    # ---- log ----

    def log_text(self):
        with self._news:
            return "\n".join([*map(json.dumps, self.events[-60:]), *self.noise[-100:]])

    def check_log(self):
        with self._news:
            noise = "\n".join(self.noise)
            errors = [event for event in self.events
                      if event.get("level") == "error"
                      and event.get("event") not in self.expected_errors]
        assert not _REPORTS.search(noise), noise
        assert not noise.strip(), "not JSON on standard error: " + noise
        assert not errors, errors

    def mark(self):
        """A place in the log, for since=."""
        with self._news:
            return len(self.events)

    def find(self, event, since=0, **match):
        with self._news:
            return [entry for entry in self.events[since:] if entry.get("event") == event
                    and all(entry.get(key) == value for key, value in match.items())]

    def wait_for(self, event, timeout=PATIENCE_S, since=0, count=1, **match):
        """The first such event (a list of them with count > 1) once it is there."""
        end = time.monotonic() + timeout
        while True:
            found = self.find(event, since, **match)
            if len(found) >= count:
                return found[0] if count == 1 else found
            with self._news:
                left = end - time.monotonic()
                alive = self._reader.is_alive()
                if left > 0 and alive:
                    self._news.wait(min(left, 0.5))
                    continue
            if len(self.find(event, since, **match)) >= count:
                continue
            raise AssertionError(f"no event {event} {match} "
                                 f"{'within %g s' % timeout if alive else 'before it ended'}:\n"
                                 + self.log_text())

    def relayed(self, identity):
        """The message as sink got it: the one whose trace header has the ID."""
        self.wait_for("message.sent", id=identity)
        return next(m for m in self.sink.messages if identity.encode() in m.data)

    # ---- figures ----

    def peak_rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1))

    # ---- other commands on the same settings ----

    def command(self, *arguments, **more):
        return run(*arguments[:2], "-c", self.path, *arguments[2:], env=self.env,
                   build=self.build, **more)

    def queue_list(self, *arguments):
        """queue list --json: the unfinished messages, or those of --state."""
        done = self.command("queue", "list", "--json", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_state(self, identity, state):
        """Until the queue shows it so; its record follows the log's event."""
        wait_until(lambda: identity in [m["id"] for m in self.queue_list("--state", state)],
                   f"{identity} {state} in queue list")

    def wait_dead(self, *identities):
        """Until the queue shows exactly these as dead."""
        wait_until(lambda: sorted(m["id"] for m in self.queue_list("--state", "dead"))
                   == sorted(identities), f"{identities} dead in queue list")


class Listener:
    """The settings of one listener and where to reach it."""

    def __init__(self, name, **settings):
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.settings = {"name": name, "address": f"127.0.0.1:{self.port}", **settings}


def lan(name="lan", **settings):
    """A listener in clear for clients on loopback, who may send to anyone."""
    return Listener(name, **{"tls": "none", "auth": "none", "networks": ["127.0.0.0/8"],
                             **settings})
