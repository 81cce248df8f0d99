"""Free loopback ports, outside the range from which the kernel takes ports for clients."""
import fcntl
import os
import random
import socket
import tempfile

FIRST, LAST = 10000, 32000
_taken = set()
_claims = open(os.path.join(tempfile.gettempdir(), f"stowage-test-ports-{os.getuid()}"), "ab")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port):
    """A port is free also between its choice and its use, and another run of tests may look just
    then. One octet of a file stands for each port; its lock goes with the process."""
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def free_port(count=1):
    """The first of count free ports in a row, not given out before."""
    for _ in range(1000):
        first = random.randrange(FIRST, LAST - count)
        wanted = range(first, first + count)
        if _taken.isdisjoint(wanted) and all(map(_claim, wanted)) and all(map(is_free, wanted)):
            _taken.update(wanted)
            return first
    raise RuntimeError("no free ports on loopback")
