"""Fixtures: real servers for the session, a gateway for each test. See gateway.py."""
import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import servers  # noqa: E402
from certificates import Authority  # noqa: E402
from fault_s3 import FaultS3  # noqa: E402
from fault_smtp import FaultSmtp, GatedSmtp  # noqa: E402
from faulty_host import DISK_EVENTS, FaultyHost, build_library  # noqa: E402
from gateway import Gateway, lan, run  # noqa: E402
from ports import free_port  # noqa: E402

USER, PASSWORD = "printer", "pass word:7"


def pytest_collection_modifyitems(config, items):
    """Without a place to mount a disk there is nothing to test on one."""
    without = [item for item in items if getattr(item.module, "MOUNTABLE", None) == []]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def authority():
    path = servers.reachable_directory("ca")
    yield Authority(path)
    servers.shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def certificate(authority):
    """(certificate, key) of the gateway itself, gw.test."""
    return authority.issue("gw.test")


@pytest.fixture(scope="session")
def users_file(tmp_path_factory):
    """A users file with USER in it, made by the program's own command."""
    path = str(tmp_path_factory.mktemp("users") / "users")
    done = run("user", "add", path, USER, stdin=PASSWORD.encode() + b"\n")
    assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.fixture(scope="session")
def radosgw():
    yield from servers.s3_server("radosgw", 21)


@pytest.fixture(scope="session")
def swift():
    yield from servers.s3_server("swift", 5)


@pytest.fixture(scope="session")
def postfix(authority):
    yield from servers.postfix_server(authority)


@pytest.fixture
def sink():
    """A relay in clear on loopback that takes everything, and misbehaves as told."""
    server = FaultSmtp().start()
    yield server
    server.stop()


@pytest.fixture
def gated():
    """A relay that answers the end of a message when it is let."""
    server = GatedSmtp().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def faulty_library(tmp_path_factory):
    return build_library(tmp_path_factory.mktemp("faulty_host"))


@pytest.fixture
def host(faulty_library, tmp_path):
    """A machine whose disk fails and whose clock moves, as told."""
    return FaultyHost(faulty_library, tmp_path)


@pytest.fixture
def store():
    """An S3 stand-in that stores everything, and fails as told."""
    server = FaultS3().start()
    yield server
    server.stop()


@pytest.fixture
def make_settings(tmp_path, certificate, users_file):
    """
    Builds settings: make(relay=..., s3=..., listeners=[Listener, ...], KEY=...). Without
    listeners there is one in clear for loopback; without s3 a directory store.
    """
    def make(relay, s3=None, listeners=None, **more):
        listeners = listeners or [lan()]
        settings = {
            "hostname": "gw.test",
            "listeners": [listener.settings for listener in listeners],
            "tls": {"certificate": certificate[0], "key": certificate[1]},
            "auth": {"users": users_file},
            "s3": s3,
            "links": {"expiry": "1h"},
            "relay": relay,
            "queue": {"directory": str(tmp_path / "queue"), "retry_first": "1s",
                      "retry_max": "2s", "bounces": False},
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "shutdown_timeout": "40s",
        }
        settings.update(more)
        return settings
    return make


@pytest.fixture
def gateway(tmp_path):
    """Starts gateways: gateway(settings); stops what still runs and checks how it ended."""
    started = []

    def start(settings, wait=True, **how):
        one = Gateway(tmp_path, settings, **how)
        started.append(one)
        return one.start(wait)

    yield start
    try:
        for one in started:
            one.stop()
    finally:
        for one in started:
            one.abandon()


@pytest.fixture(scope="module")
def open_house(tmp_path_factory, certificate, users_file):
    """
    Starts a gateway for a whole file, whose tests must not change it: open_house(listeners,
    sink, KEY=...), listeners by any key; KEY adds to a section. Its .doors are the addresses by
    that key; its store is a directory.
    """
    with contextlib.ExitStack() as house:
        def start(listeners, sink=None, **more):
            sink = (sink or FaultSmtp()).start()
            house.callback(sink.stop)
            directory = tmp_path_factory.mktemp("house")
            settings = {
                "hostname": "gw.test",
                "listeners": [listener.settings for listener in listeners.values()],
                "tls": {"certificate": certificate[0], "key": certificate[1]},
                "auth": {"users": users_file},
                "s3": {"directory": str(directory / "store"),
                       "directory_url": "http://127.0.0.1:1"},
                "relay": sink.settings(),
                "queue": {"directory": str(directory / "queue")},
                "admin": {"listen": "off"},
            }
            for key, section in more.items():
                settings[key].update(section)
            one = Gateway(directory, settings)
            one.doors = {key: listener.address for key, listener in listeners.items()}
            one.sink = sink
            return house.enter_context(one.running())
        yield start


@pytest.fixture
def door(gateway, make_settings, sink, store):
    """
    Starts a gateway before sink and store: door(listener, ..., KEY=...). Without listeners
    there is one in clear for loopback.
    """
    def start(*listeners, build=None, env=None, **more):
        settings = make_settings(sink.settings(), store.settings(), list(listeners), **more)
        one = gateway(settings, build=build, env=env)
        one.sink = sink
        return one
    return start


@pytest.fixture
def plain_gateway(door):
    """A started gateway with one listener in clear for loopback, before sink and store."""
    return door()


@pytest.fixture
def hosted(host, door):
    """The same on that host, whose disk may fail."""
    one = door(**host.how)
    one.expected_errors = set(DISK_EVENTS)
    return one
