"""A machine whose disk fails and whose clock is off: a library loaded into a gateway."""
import mmap
import os
import struct
import subprocess

from gateway import build_directory, environment

# What a gateway logs as an error while its disk fails.
DISK_EVENTS = {"message.refused", "queue.commit_failed", "spool.failed",
               "queue.housekeeping_failed", "queue.read_failed"}

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faulty_host.c")
_NUMBERS = struct.Struct("=5q")  # clock_us, error, first, last, seen
_PART_AT, _CALLS_AT, _BOOT_AT, _SYNC_AT, _SYNCS_AT, _BYTES = 40, 296, 552, 560, 568, 592


def build_library(directory):
    path = os.path.join(str(directory), "faulty_host.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", path, _SOURCE, "-ldl"],
                   check=True, timeout=60)
    return path


class FaultyHost:
    """
    Start a gateway with start=dict(**host.how): it is of the build without sanitizers, which
    want to be loaded first themselves. One host may carry several gateways.
    """

    def __init__(self, library, directory):
        self.path = os.path.join(str(directory), "faulty-host")
        with open(self.path, "wb") as out:
            out.truncate(_BYTES)
        with open(self.path, "r+b") as both:
            self._map = mmap.mmap(both.fileno(), _BYTES)
        self.how = {"build": build_directory("STOWAGE_RELEASE"),
                    "env": environment(LD_PRELOAD=library, FAULTY_HOST=self.path)}

    def _number(self, index, value):
        struct.pack_into("=q", self._map, 8 * index, value)

    def _text(self, at, text):
        self._map[at:at + 256] = text.encode().ljust(256, b"\0")

    def fail(self, error, part, first=1, last=0, calls=()):
        """Calls on paths with part in them fail, from the first-th to the last-th (0: all)."""
        self.heal()
        self.watch(part, calls)
        self._number(2, first)
        self._number(3, last)
        self._number(1, error)

    def watch(self, part, calls=()):
        """Counts the calls that change files on such paths, from 0."""
        self._number(4, 0)
        self._text(_CALLS_AT, " %s " % " ".join(calls) if calls else "")
        self._text(_PART_AT, part)

    @property
    def seen(self):
        return _NUMBERS.unpack_from(self._map)[4]

    def heal(self):
        self._number(1, 0)
        self._text(_PART_AT, "")

    def slow(self, milliseconds):
        """Each sync takes so much longer."""
        struct.pack_into("=q", self._map, _SYNC_AT, int(milliseconds * 1000))

    @property
    def syncs(self):
        """(of files, of folders, of the database's journal) so far."""
        return struct.unpack_from("=3q", self._map, _SYNCS_AT)

    def _add(self, at, seconds):
        before, = struct.unpack_from("=q", self._map, at)
        struct.pack_into("=q", self._map, at, before + int(seconds * 1_000_000))

    def pass_time(self, seconds):
        """So much time passes, by every clock."""
        self._add(_BOOT_AT, seconds)
        self._add(0, seconds)

    def set_clock(self, seconds):
        """The clock of the day is set forward (or back) by so much."""
        self._add(0, seconds)
