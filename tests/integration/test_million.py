"""What a message costs does not depend on how many are queued; a start neither."""
import json
import os
import shutil
import subprocess
import tempfile

import pytest

from gateway import build_directory

# The whole of it takes minutes, and as many inodes as messages.
DEEP = int(os.environ.get("STOWAGE_QUEUED", "30000"))
PASSED = 300


@pytest.fixture(scope="module")
def directory():
    path = tempfile.mkdtemp(prefix="stowage-deep-")
    yield path
    shutil.rmtree(path)


def bench(verb, directory, number):
    command = os.path.join(build_directory("STOWAGE_RELEASE"), "tests", "bench", "queue_bench")
    ran = subprocess.run([command, verb, directory, str(number)], check=True,
                         stdout=subprocess.PIPE, timeout=3600)
    return json.loads(ran.stdout) if ran.stdout else None


def measure(directory, queued):
    queue = os.path.join(directory, str(queued))
    bench("fill", queue, queued)
    result = bench("depth", queue, PASSED)
    print(queued, result)
    return result


@pytest.fixture(scope="module")
def deep(directory):
    return measure(directory, DEEP)


def test_a_deep_queue_costs_a_message_no_more_than_a_shallow_one(directory, deep):
    shallow = measure(directory, 100)
    assert deep["steps"] < 1.1 * shallow["steps"]
    assert deep["rss_kib"] < shallow["rss_kib"] + 24 * 1024


def test_the_first_message_is_accepted_soon_however_many_are_queued(deep):
    assert deep["ready_ms"] < 5000
    assert deep["first_ms"] < 8000


def test_messages_together_share_their_syncs(directory):
    result = bench("group", os.path.join(directory, "group"), 500)
    print(result)
    assert result["ratio"] > 1
