"""Waiting on a condition, never on the clock alone."""
import time

PATIENCE_S = 60.0  # a bound on failure: nothing that comes takes so long, on any machine


def wait_until(condition, what, timeout=PATIENCE_S):
    """What condition() returns once it is true; AssertionError naming what after timeout."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.02)
