"""Fixtures: real servers for the session, a gateway for each test. See gateway.py."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import servers  # noqa: E402
from certificates import Authority  # noqa: E402
from fault_s3 import FaultS3  # noqa: E402
from fault_smtp import FaultSmtp  # noqa: E402
from gateway import Gateway, lan, run  # noqa: E402
from ports import free_port  # noqa: E402

USER, PASSWORD = "printer", "pass word:7"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
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
            "shutdown_timeout": "20s",
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


@pytest.fixture
def plain_gateway(gateway, make_settings, sink, store):
    """A started gateway with one listener in clear for loopback, before sink and store."""
    listener = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [listener]))
    one.address = listener.address
    return one
