"""Each source of credentials end to end: what signs the upload, and what happens when it fails."""
import datetime
import os
import re
import stat

import pytest
import yaml

import links
import mails
from dialog import send
from fault_metadata import FaultMetadata, signed_by
from gateway import environment, run
from waiting import wait_until

ACCOUNT = "arn:aws:iam::123456789012:role"


@pytest.fixture
def metadata():
    server = FaultMetadata().start()
    yield server
    server.stop()


@pytest.fixture
def start(gateway, make_settings, sink, store, tmp_path):
    """start(variables, **s3): a gateway without keys in its settings."""
    def begin(variables, wait=True, **s3):
        settings = store.settings(**s3)
        del settings["access_key_id"], settings["secret_access_key"]
        return gateway(make_settings(sink.settings(), settings),
                       wait, env=environment(**{"HOME": str(tmp_path), **variables}))
    return begin


def ec2(metadata):
    return {"AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url}


def attachment(seed):
    return mails.with_files([mails.File(f"{seed}.bin", "application/octet-stream",
                                        mails.noise(500, seed))])


def upload(one, store, metadata, seed=1):
    """Sends an attachment; the key id that signed its upload, checked, and the message's ID."""
    before = set(store.objects)
    identity = send(one.address, attachment(seed).raw)
    one.wait_for("message.sent", id=identity)
    (key,) = set(store.objects) - before
    headers = {name.lower(): value for name, value in store.headers[key].items()}
    by = signed_by("PUT", f"/mail/{key}", headers, headers["x-amz-content-sha256"],
                   metadata.keys)
    assert headers.get("x-amz-security-token") == metadata.tokens.get(by)
    return by


def failed(one, identity):
    """What was said when the message first waited: for its time, or for a person."""
    said = wait_until(lambda: one.find("message.deferred", id=identity) +
                      one.find("message.held", id=identity), "the message waits")[0]
    if said["event"] == "message.held":
        assert said["hold"] == "store: credentials"
        one.expected_errors.add("queue.needs_attention")
    return said


def mended(one, said):
    """Tries what is held again, until what the last attempt was told is not remembered."""
    def retried():
        if not one.find("message.sent", id=said["id"]):
            one.command("queue", "retry", said["id"])
        return one.find("message.sent", id=said["id"])
    if said["event"] == "message.held":
        wait_until(retried, "what was held is sent")


def secrets(metadata):
    return [*metadata.keys.values(), *metadata.tokens.values()]


def assert_nothing_told(one, metadata):
    text = "\n".join(map(str, one.events))
    assert not [secret for secret in secrets(metadata) if secret in text]
    assert not metadata.problems


# ---- each source ----

def source_environment(metadata, tmp_path):
    return {"AWS_ACCESS_KEY_ID": "AKIDBASE", "AWS_SECRET_ACCESS_KEY": "base-secret"}, {}, \
        "AKIDBASE"


def source_instance(metadata, tmp_path):
    return ec2(metadata), {}, "ASIAEC2"


def source_container(metadata, tmp_path):
    metadata.authorization = "Basic c2VjcmV0"
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.url + "/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": metadata.authorization}, {}, "ASIACONTAINER"


def source_container_token_file(metadata, tmp_path):
    metadata.authorization = "from-a-file"
    (tmp_path / "pod-token").write_text("from-a-file\n")
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.url + "/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "pod-token")}, {}, \
        "ASIACONTAINER"


def source_web_identity(metadata, tmp_path):
    metadata.web_identity = "eyJ.web+identity/token.sig"
    (tmp_path / "token").write_text(metadata.web_identity)
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ROLE_ARN": f"{ACCOUNT}/irsa", "AWS_ROLE_SESSION_NAME": "pod",
            "AWS_ENDPOINT_URL_STS": metadata.url}, {}, "ASIASTS"


def _config(tmp_path, text):
    (tmp_path / "config").write_text(text)
    return {"AWS_CONFIG_FILE": str(tmp_path / "config")}


BASE = "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = base-secret\n"


def source_profile_role(metadata, tmp_path):
    files = _config(tmp_path, BASE + f"[profile middle]\nrole_arn = {ACCOUNT}/middle\n"
                    f"source_profile = base\n[profile top]\nrole_arn = {ACCOUNT}/top\n"
                    "source_profile = middle\nexternal_id = e&x\n")
    return {**files, "AWS_ENDPOINT_URL_STS": metadata.url}, {"profile": "top"}, "ASIASTS"


def source_profile_instance(metadata, tmp_path):
    files = _config(tmp_path, f"[profile top]\nrole_arn = {ACCOUNT}/top\n"
                    "credential_source = Ec2InstanceMetadata\n")
    return {**files, **ec2(metadata), "AWS_ENDPOINT_URL_STS": metadata.url,
            "AWS_PROFILE": "top"}, {}, "ASIASTS"


def source_process(metadata, tmp_path):
    program = tmp_path / "a program"
    program.write_text("#!/bin/sh\necho told-on-stderr >&2\n"
                       """echo '{"Version": 1, "AccessKeyId": "'$1'",'\n"""
                       """echo '"SecretAccessKey": "base-secret"}'\n""")
    program.chmod(stat.S_IRWXU)
    files = _config(tmp_path, f"[default]\ncredential_process = '{program}' AKIDBASE\n")
    return files, {}, "AKIDBASE"


def source_role_in_settings(metadata, tmp_path):
    return {**ec2(metadata), "AWS_ENDPOINT_URL_STS": metadata.url}, \
        {"role_arn": f"{ACCOUNT}/settings", "external_id": "x",
         "role_session_name": "mail-in"}, "ASIASTS"


SOURCES = [source_environment, source_instance, source_container, source_container_token_file,
           source_web_identity, source_profile_role, source_profile_instance, source_process,
           source_role_in_settings]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__[7:])
def test_uploads_are_signed_by_what_the_source_gives(source, start, store, metadata, tmp_path):
    variables, s3, prefix = source(metadata, tmp_path)
    one = start(variables, **s3)
    by = upload(one, store, metadata)
    assert by.startswith(prefix)
    assert upload(one, store, metadata, 2) == by, "asked again without need"
    one.stop()
    assert_nothing_told(one, metadata)


def test_chain_of_roles_is_walked_from_its_end(start, store, metadata, tmp_path):
    variables, s3, _ = source_profile_role(metadata, tmp_path)
    upload(start(variables, **s3), store, metadata)
    middle, top = metadata.asked_of("roles")
    assert middle == ("middle", "AKIDBASE", None, "stowage")
    assert top == ("top", metadata.issued_by("sts")[0], "e&x", "stowage")


def test_links_end_with_the_credentials(start, sink, store, metadata):
    metadata.life_s = 600  # links.expiry is 1 h
    one = start(ec2(metadata))
    upload(one, store, metadata)
    expires = metadata.issued[-1][2]
    (message,) = sink.wait_messages(1)
    (url,) = links.in_text(message.data)
    life = int(re.search(r"X-Amz-Expires=(\d+)", url).group(1))
    signed = datetime.datetime.strptime(re.search(r"X-Amz-Date=(\w+)", url).group(1),
                                        "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    assert abs((signed + datetime.timedelta(seconds=life) - expires).total_seconds()) <= 1
    assert f"{expires:%Y-%m-%d %H:%M} UTC" in "".join(links.bodies(message.data, "plain"))


# ---- renewal ----

def test_renewed_before_the_end(start, store, metadata):
    metadata.life_s = 12
    one = start(ec2(metadata))
    first = upload(one, store, metadata)
    wait_until(lambda: len(metadata.issued_by("ec2")) >= 3, "two renewals")
    last = upload(one, store, metadata, 2)
    assert last != first and last in metadata.issued_by("ec2")[1:]
    ends = [expires for _, _, expires in metadata.issued]
    assert all(after > before for before, after in zip(ends, ends[1:]))
    assert not one.find("message.deferred")


def test_old_ones_serve_until_their_end_and_not_beyond(start, store, metadata):
    metadata.life_s = 15
    one = start(ec2(metadata))
    first = upload(one, store, metadata)
    metadata.faults["ec2"] = (503, "")
    warning = one.wait_for("library.message", level="warning")
    assert "answered 503" in warning["reason"] and "good until" in warning["reason"]
    assert upload(one, store, metadata, 2) == first
    end = metadata.issued[0][2]
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) > end, "their end")
    identity = send(one.address, attachment(3).raw)
    deferred = one.wait_for("message.deferred", id=identity)
    assert "EC2 instance's metadata service: it answered 503" in deferred["reason"]
    assert len(one.find("library.message", level="warning")) == 1, "said more than once"
    metadata.faults.clear()
    one.wait_for("message.sent", id=identity)
    assert len(metadata.issued_by("ec2")) >= 2
    one.stop()
    assert_nothing_told(one, metadata)


# ---- failure ----

FAILURES = [
    ("ec2", (403, ""), "it must offer version 2", True),
    ("ec2", (200, "two words"), "it answered 200 to /latest/api/token", True),
    ("ec2", "close", "127.0.0.1: ", False),
    ("ec2", "endless", "its answer is longer than 64 KiB", False),
    ("container", (500, ""), "the container's credential service: it answered 500", False),
    ("container", (200, "<html>"), "its answer is no JSON object", True),
    ("container", (403, ""), "check the authorization token and the role", True),
    ("sts", (403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message>"
                  "</Error><RequestId>r-7</RequestId></ErrorResponse>"),
     "STS answered 403 AccessDenied: no, request ID r-7; check the role's trust policy", True),
    ("sts", (200, "<html>"), "the answer is not STS's", False),
]
BY_SERVICE = {"ec2": source_instance, "container": source_container,
              "sts": source_web_identity}


@pytest.mark.parametrize("service,fault,says,for_a_person", FAILURES,
                         ids=[f"{f[0]}-{f[1] if isinstance(f[1], str) else f[1][0]}-{n}"
                              for n, f in enumerate(FAILURES)])
def test_failing_source_is_named_and_mail_waits(service, fault, says, for_a_person, start, store,
                                                metadata, tmp_path):
    variables, s3, prefix = BY_SERVICE[service](metadata, tmp_path)
    metadata.faults[service] = fault
    one = start(variables, **s3)
    identity = send(one.address, attachment(1).raw)
    waiting = failed(one, identity)
    assert says in waiting["reason"], waiting["reason"]
    assert (waiting["event"] == "message.held") == for_a_person
    assert not store.objects and not one.queue_list("--state", "dead")
    metadata.faults.clear()
    mended(one, waiting)
    one.wait_for("message.sent", id=identity)
    assert metadata.issued_by(service)[0].startswith(prefix)


def test_no_later_source_stands_in_for_a_failing_one(start, store, metadata, tmp_path):
    variables, s3, _ = source_web_identity(metadata, tmp_path)
    metadata.faults["sts"] = (500, "")
    one = start({**variables, **ec2(metadata)}, **s3)
    identity = send(one.address, attachment(1).raw)
    one.wait_for("message.deferred", id=identity)
    assert not metadata.asked_of("ec2") and not store.objects


def test_hanging_service_harms_nobody(start, metadata):
    metadata.faults["ec2"] = "hang"
    one = start(ec2(metadata))
    plain = send(one.address, mails.plain())
    one.wait_for("message.sent", id=plain)
    identity = send(one.address, attachment(1).raw)
    deferred = one.wait_for("message.deferred", id=identity)
    assert "metadata service" in deferred["reason"]
    metadata.faults["ec2"] = "hang"
    one.stop_in_time()


def test_stops_at_once_while_a_program_runs(start, metadata, tmp_path):
    mark = tmp_path / "running"
    program = tmp_path / "sleeper"
    program.write_text(f"#!/bin/sh\necho $$ > {mark}\nexec sleep 600\n")
    program.chmod(stat.S_IRWXU)
    one = start(_config(tmp_path, f"[default]\ncredential_process = {program}\n"))
    wait_until(lambda: mark.exists() and mark.read_text().strip(), "the program runs")
    one.stop_in_time()
    assert not os.path.exists(f"/proc/{mark.read_text().strip()}")


def test_sts_is_trusted_by_its_certificate(start, store, authority, tmp_path):
    server = FaultMetadata(tls=authority.issue("sts.test")).start()
    try:
        variables, s3, _ = source_web_identity(server, tmp_path)
        one = start(variables, **s3)
        identity = send(one.address, attachment(1).raw)
        waiting = failed(one, identity)
        assert "STS at 127.0.0.1: " in waiting["reason"]
        assert "certificate" in waiting["reason"] and not server.asked
        one.stop()
        one.env["AWS_CA_BUNDLE"] = authority.certificate
        one.start()
        one.wait_for("message.sent", id=identity)
        assert upload(one, store, server, 2).startswith("ASIASTS")
    finally:
        server.stop()


@pytest.mark.parametrize("off_s", [3600, -1200])
def test_a_wrong_clock_is_corrected_for_sts(off_s, start, store, metadata, tmp_path):
    variables, s3, _ = source_profile_role(metadata, tmp_path)
    metadata.clock_off_s = off_s
    one = start(variables, **s3)
    assert upload(one, store, metadata).startswith("ASIASTS")
    said = [e["reason"] for e in one.find("library.message") if "that of STS" in e["reason"]]
    assert said and ("behind" if off_s > 0 else "ahead of") in said[0]
    assert not one.find("message.deferred")


# ---- credentials that the store refuses ----

def test_refused_credentials_are_asked_for_anew(start, store, metadata):
    store.faults = [(400, "ExpiredToken")]
    one = start(ec2(metadata))
    assert upload(one, store, metadata).startswith("ASIAEC2")
    assert len(metadata.issued_by("ec2")) == 2
    (said,) = [e for e in one.find("library.message") if "refuses the credentials" in e["reason"]]
    assert "others are asked for" in said["reason"]
    assert not one.find("message.deferred") and not one.find("message.held")
    one.stop()
    assert_nothing_told(one, metadata)


def test_what_stays_refused_waits_for_a_person(start, store, metadata):
    store.faults = [(400, "ExpiredToken")] * 3
    one = start(ec2(metadata))
    identity = send(one.address, attachment(1).raw)
    held = failed(one, identity)
    assert held["event"] == "message.held" and "renew it" in held["reason"]
    assert len(metadata.issued_by("ec2")) == 2
    store.faults.clear()
    mended(one, held)
    one.wait_for("message.sent", id=identity)


# ---- where the store is, from the platform ----

def test_region_and_endpoint_may_come_from_the_environment(gateway, make_settings, sink, store,
                                                           metadata, tmp_path):
    files = _config(tmp_path, "[default]\nregion = eu-north-1\n")
    settings = store.settings()
    for name in ("region", "endpoint", "access_key_id", "secret_access_key"):
        del settings[name]
    one = gateway(make_settings(sink.settings(), settings), env=environment(
        **files, HOME=str(tmp_path), AWS_ENDPOINT_URL_S3=store.endpoint,
        AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ACCESS_KEY_ID="AKIDBASE",
        AWS_SECRET_ACCESS_KEY="base-secret"))
    assert upload(one, store, metadata) == "AKIDBASE"
    (headers,) = store.headers.values()
    by = {name.lower(): value for name, value in headers.items()}["authorization"]
    assert "/eu-north-1/s3/aws4_request" in by
    said = [event["setting"] for event in one.find("store.setting")]
    checked = one.command("check").stdout
    for word in ('region eu-north-1 (profile "default")',
                 f"endpoint {store.endpoint} (AWS_ENDPOINT_URL_S3)"):
        assert word in said
        assert f"S3 {word}\n" in (checked if isinstance(checked, str) else checked.decode())


@pytest.mark.parametrize("variables,s3,says", [
    ({"AWS_REGION": "cn-north-1", "AWS_USE_FIPS_ENDPOINT": "true"}, {},
     "s3.fips: there are no FIPS endpoints in region cn-north-1"),
    ({"AWS_REGION": "eu-west-1", "AWS_CA_BUNDLE": "/nonexistent"}, {},
     "s3.ca_file: /nonexistent cannot be read"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, {"unsigned_payload": True},
     "s3.unsigned_payload: is for https only"),
    ({"AWS_REGION": "eu-west-1"}, {"bucket": "in.example.com"}, "s3.path_style: must be true"),
    ({"AWS_ENDPOINT_URL": "https://s3.example.com"}, {"bucket": "In_Box"}, None),
    ({"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "config"}, {"bucket": "in.example.com"}, None),
])
def test_check_judges_what_the_environment_fills_in(make_settings, sink, tmp_path, variables, s3,
                                                    says):
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")
    if "AWS_CONFIG_FILE" in variables:
        variables = {**variables, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump(make_settings(sink.settings(), {
        "bucket": "mail", "access_key_id": "AKIDTEST", "secret_access_key": "secret", **s3})))
    path.chmod(0o600)
    done = run("check", "-c", path, env=environment(HOME=str(tmp_path), **variables))
    assert done.returncode == (78 if says else 0), done.stderr
    assert not says or says.encode() in done.stderr


# ---- what the operator is told ----

def test_wrong_configuration_ends_the_start(start, metadata, tmp_path):
    cases = [
        ({}, {}, "no credentials for S3"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example/"}, {},
         "must be https, or http at 169.254.170.2"),
        (_config(tmp_path, "[profile a]\nrole_arn = arn:aws:iam::1:role/a\n"
                 "source_profile = a\n"), {"profile": "a"}, "leads in a circle"),
    ]
    for variables, s3, says in cases:
        one = start(variables, wait=False, **s3)
        assert one.wait_exit() != 0
        assert says in one.find("gateway.failed")[0]["reason"]


def test_check_refuses_what_is_no_role(make_settings, sink, store, tmp_path):
    settings = store.settings(role_arn="arn:aws:iam::1:user/a", role_session_name="a b")
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump(make_settings(sink.settings(), settings)))
    path.chmod(0o600)
    done = run("check", "-c", path)
    assert done.returncode == 78
    assert b"s3.role_arn: " in done.stderr and b"s3.role_session_name: " in done.stderr


def test_check_names_the_source_without_asking_it(make_settings, sink, store, metadata,
                                                  tmp_path):
    settings = store.settings()
    del settings["access_key_id"], settings["secret_access_key"]
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump(make_settings(sink.settings(), settings)))
    path.chmod(0o600)
    done = run("check", "-c", path, env=environment(**ec2(metadata)))
    assert done.returncode == 0
    assert b"S3 credentials: the EC2 instance's metadata service" in done.stdout
    assert not metadata.asked


@pytest.mark.parametrize("variables, s3, says", [
    ({}, {}, b"no credentials for S3"),
    ({}, {"role_arn": "arn:aws:iam::1:role/a"}, b"no credentials for S3"),
    ({"AWS_ACCESS_KEY_ID": "AKIDTEST"}, {}, b"no secret access key"),
    ({}, {"profile": "nobody"}, b"nobody"),
])
def test_check_refuses_a_bucket_that_nobody_may_write_to(make_settings, sink, store, tmp_path,
                                                         variables, s3, says):
    settings = store.settings(**s3)
    del settings["access_key_id"], settings["secret_access_key"]
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump(make_settings(sink.settings(), settings)))
    path.chmod(0o600)
    done = run("check", "-c", path, env=environment(HOME=str(tmp_path), **variables))
    assert done.returncode == 78 and says in done.stderr and b"good" not in done.stdout
    assert b"as this user, in this environment" in done.stderr


def test_check_wants_no_credentials_for_a_directory(make_settings, sink, tmp_path):
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump(make_settings(sink.settings(), {
        "directory": str(tmp_path / "objects"), "directory_url": "http://127.0.0.1:8025"})))
    path.chmod(0o600)
    done = run("check", "-c", path, env=environment(HOME=str(tmp_path)))
    assert done.returncode == 0 and b"redentials" not in done.stdout + done.stderr
