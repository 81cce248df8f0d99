"""Settings: every mistake with its place, exit codes of sysexits, and nothing half started."""
import os
import pty
import re
import signal
import socket
import subprocess

import pytest
import yaml

import links
import mails
from conftest import PASSWORD, USER
from dialog import Dialog, send
from gateway import EX_CONFIG, Gateway, binary, environment, lan, run
from ports import free_port, is_free

EX_UNAVAILABLE, EX_USAGE, EX_IOERR = 69, 64, 74
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "examples")


@pytest.fixture
def good(make_settings, sink, store):
    return make_settings(sink.settings(), store.settings())


def check(path, settings):
    """stowage check on settings (a dict, or the text itself)."""
    path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
    return run("check", "-c", path)


def test_check_is_content_with_good_settings(good, tmp_path):
    done = check(tmp_path / "good.yaml", good)
    assert done.returncode == 0, done.stderr.decode()


BAD = {
    "an unknown key": ("relay:\n  hots: example.com\n", "hots"),
    "not a number": ("relay:\n  port: 587x\n", "relay.port"),
    "out of range": ("relay:\n  port: 70000\n", "relay.port"),
    "not a duration": ("links:\n  expiry: 36x\n", "links.expiry"),
    "longer than S3 can sign": ("links:\n  expiry: 30d\n", "links.expiry"),
    "not a size": ("attachments:\n  min_size: ten\n", "attachments.min_size"),
    "not one of the words": ("listeners:\n  - name: a\n    address: 127.0.0.1:2525\n"
                             "    tls: maybe\n", "tls"),
    "a mapping where a text belongs": ("hostname: { a: b }\n", "hostname"),
    "a text where a list belongs": ("listeners: mx\n", "listeners"),
    "a file that is not there": ("tls:\n  certificate: /nonexistent/cert.pem\n", "tls.certificate"),
    "a list of mappings that is text": ("tls:\n  additional: /etc/cert.pem\n", "tls.additional"),
    "an element of a list without its key": ("auth:\n  accounts: [ { profile: legacy } ]\n",
                                             "auth.accounts[0].user"),
    "an extension that there is not": ("listeners:\n  - name: a\n    address: 127.0.0.1:2525\n"
                                       "    hide_extensions: [ XCLIENT ]\n", "hide_extensions[0]"),
    "a name server by name": ("dns: { servers: [ ns.example.com ] }\n", "dns.servers[0]"),
    "a network with host bits": ("listeners:\n  - name: a\n    address: 127.0.0.1:2525\n"
                                 "    networks: [ 10.1.2.3/8 ]\n", "networks"),
}


@pytest.mark.parametrize("text,key", BAD.values(), ids=BAD.keys())
def test_check_says_where_and_what(text, key, tmp_path):
    path = tmp_path / "bad.yaml"
    done = check(path, text)
    assert done.returncode == EX_CONFIG
    lines = [line for line in done.stderr.decode().splitlines() if key in line]
    assert lines, done.stderr.decode()
    assert any(re.match(re.escape(str(path)) + r":\d+:\d+: ", line) for line in lines), lines


def test_check_gives_line_and_column_of_the_value(tmp_path):
    path = tmp_path / "bad.yaml"
    done = check(path, "hostname: gw.test\nrelay:\n  host: a.test\n  port: 587x\n")
    assert f"{path}:4:9: relay.port: " in done.stderr.decode()


def test_check_reports_every_mistake_in_one_run(tmp_path):
    done = check(tmp_path / "bad.yaml",
                 "hostnam: a\nlinks:\n  expiry: 1x\nrelay:\n  port: no\nqueue:\n  workers: -1\n")
    text = done.stderr.decode()
    for key in ("hostnam", "links.expiry", "relay.port", "queue.workers"):
        assert key in text, text


@pytest.mark.parametrize("text", [
    "", "a: [\n", "hostname: a\nhostname: b\n", "- a\n- b\n", "a: &x 1\nb: *x\n", "\x00",
    "--- {}\n--- {}\n", "x: " + "[" * 5000, "# only a comment\n"],
    ids=["empty", "unclosed", "twice", "a list", "alias", "NUL", "two documents", "deep",
         "comment"])
def test_broken_yaml_is_an_error_with_a_place(text, tmp_path):
    path = tmp_path / "bad.yaml"
    done = check(path, text)
    assert done.returncode == EX_CONFIG
    assert done.stderr.startswith(str(path).encode() + b":"), done.stderr


def world(**settings):
    """A listener that anybody can reach."""
    return {"name": "mx", "address": "0.0.0.0:2525", "tls": "starttls",
            "recipients": {"@in.test": "x@out.test"}, **settings}


# What check says of a listener, by what makes it wrong. A word in capitals is a path here.
UNSAFE = {
    "legacy for the world": (world(profile="legacy"), "profile: legacy is not for"),
    "TLS 1.0 for the world": (world(tls_profile="old"), "tls_profile: old is not for"),
    "anybody is a proxy": (world(proxies=["10.0.0.1", "0.0.0.0/0"]), "proxies[1]: is open to"),
    "a proxy's clients relay": (
        world(address="127.0.0.1:2525", proxies=["127.0.0.1"], recipients=["*"]),
        "recipients: take mail from anyone to anywhere"),
    "all networks behind a proxy": (
        world(address="127.0.0.1:2525", proxies=["127.0.0.1"], networks=["0.0.0.0/0"],
              recipients=["*"]), "recipients: take mail from anyone to anywhere"),
    "legacy behind a proxy": (
        world(address="127.0.0.1:2525", proxies=["127.0.0.1"], profile="legacy"),
        "profile: legacy is not for"),
    "certificates of nobody": (world(client_certificates="optional"),
                               "client_certificates: needs client_ca"),
    "an authority that is not there": (
        world(client_certificates="optional", client_ca="/nonexistent/ca.pem"),
        "client_ca: /nonexistent/ca.pem cannot be read"),
    "certificates without TLS": (
        world(tls="none", client_certificates="optional", client_ca="CERTIFICATE"),
        "client_certificates: needs TLS"),
    "certificates that need not be shown": (
        world(client_certificates="required", client_ca="CERTIFICATE"),
        "client_certificates: required needs tls: required"),
    "no STARTTLS where TLS is a must": (
        world(tls="required", hide_extensions=["STARTTLS"]), "hide_extensions: hide STARTTLS"),
}


@pytest.mark.parametrize("listener,problem", UNSAFE.values(), ids=UNSAFE.keys())
def test_a_door_that_would_be_unsafe_is_refused(listener, problem, good, certificate, tmp_path):
    listener = {key: certificate[0] if value == "CERTIFICATE" else value
                for key, value in listener.items()}
    good["auth"]["accounts"] = [{"user": "*"}]
    good["tls"] = dict(zip(("certificate", "key"), certificate))
    good["listeners"] = [listener]
    path = tmp_path / "bad.yaml"
    done = check(path, good)
    assert done.returncode == EX_CONFIG
    place = re.escape(str(path)) + r":\d+:\d+: listeners\[0\]\." + re.escape(problem)
    lines = [line for line in done.stderr.decode().splitlines() if "(warning)" not in line]
    assert len(lines) == 1 and re.match(place, lines[0]), lines


def test_each_additional_certificate_is_looked_at(good, authority, certificate, tmp_path):
    other, other_key = authority.issue("other.test", label="additional")
    good["tls"] = dict(zip(("certificate", "key"), certificate), additional=[
        {"certificate": other, "key": other_key},
        {"certificate": other, "key": certificate[1]}])
    done = check(tmp_path / "bad.yaml", good)
    assert done.returncode == EX_CONFIG
    assert b": tls.additional[1].key: " in done.stderr and b"is not the key of" in done.stderr
    assert b"tls.additional[0]" not in done.stderr
    good["tls"]["additional"].pop()
    done = check(tmp_path / "good.yaml", good)
    assert done.returncode == 0, done.stderr.decode()


def test_accounts_that_nobody_can_have_are_a_warning(good, users_file, tmp_path):
    good["auth"] = {"users": users_file, "accounts": [
        {"user": "camera-*"}, {"user": "camera-1", "profile": "legacy"}, {"user": "*"}]}
    done = check(tmp_path / "good.yaml", good)
    assert done.returncode == 0
    assert re.search(rb":\d+:\d+: auth\.accounts\[1\]\.user: is never reached: \"camera-\*\" "
                     rb"stands before it.*\(warning\)", done.stderr), done.stderr
    assert done.stderr.count(b"never reached") == 1


@pytest.mark.parametrize("text,problem", [
    ("camera:plain\n", "users:1: the hash is of no method"),
    ("camera:*\ncamera:*\n", "is there already: remove one of the lines")])
def test_check_reads_what_serve_would(text, problem, good, tmp_path):
    users = tmp_path / "users"
    users.write_text(text)
    users.chmod(0o600)
    good["auth"] = {"users": str(users)}
    for command in ("check", "serve"):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump(good))
        done = run(command, "-c", path)
        assert done.returncode != 0 and problem in done.stderr.decode(), (command, done.stderr)


def test_check_reads_the_whole_chain(good, certificate, tmp_path):
    broken = tmp_path / "chain.pem"
    with open(certificate[0]) as whole:
        broken.write_text(whole.read() + "-----BEGIN CERTIFICATE-----\nAAAA\n")
    good["tls"] = {"certificate": str(broken), "key": certificate[1]}
    good["listeners"][0]["tls"] = "starttls"
    done = check(tmp_path / "bad.yaml", good)
    assert done.returncode == EX_CONFIG and b"tls.certificate" in done.stderr, done.stderr


@pytest.mark.parametrize("how,says", [
    (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
     "CloudFront takes keys of RSA with 2048 bits and of ECDSA on P-256"),
    (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes-128-cbc",
      "-pass", "pass:x"], "holds no private key in PEM without a password"),
    (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], None),
])
def test_check_tries_cloudfronts_key(how, says, good, tmp_path):
    key = tmp_path / "cloudfront.pem"
    subprocess.run(["openssl", *how, "-out", key], check=True, stderr=subprocess.DEVNULL)
    good["links"] = {"cloudfront": {"url": "https://d1.cloudfront.net", "key_pair_id": "K1",
                                    "private_key_file": str(key)}}
    done = check(tmp_path / "stowage.yaml", good)
    assert done.returncode == (EX_CONFIG if says else 0), done.stderr
    assert not says or f"links.cloudfront.private_key_file: {key}" in done.stderr.decode()
    assert not says or says in done.stderr.decode()


def test_a_users_file_without_users_is_a_warning(good, tmp_path):
    users = tmp_path / "users"
    users.touch(0o644)
    good["auth"] = {"users": str(users)}
    done = check(tmp_path / "good.yaml", good)
    assert done.returncode == 0
    assert re.search(rb"auth\.users: .*/users is empty.*\(warning\)", done.stderr), done.stderr
    assert re.search(rb"auth\.users: .* read by every user.*\(warning\)", done.stderr)


def test_authorities_whose_time_is_over_are_a_warning(good, authority, certificate, tmp_path):
    with open(authority.certificate) as whole:
        pem = whole.read()
    file = tmp_path / "devices.pem"
    good["tls"] = dict(zip(("certificate", "key"), certificate))
    good["auth"]["accounts"] = [{"user": "*"}]
    good["listeners"][0].update(tls="required", client_certificates="optional",
                                client_ca=str(file))
    file.write_text(pem + authority.revocation_list(until="20260201000000Z"))
    done = check(tmp_path / "good.yaml", good)
    assert done.returncode == 0
    assert re.search(rb"client_ca: the revocation list of .*Test CA.* has expired.*\(warning\)",
                     done.stderr), done.stderr
    file.write_text(pem + authority.revocation_list())
    done = check(tmp_path / "good.yaml", good)
    assert done.returncode == 0 and b"client_ca" not in done.stderr


@pytest.mark.parametrize("user,refused", [
    ("*", True), ("camera-*", True), ("*.devices.example.com", False), ("camera-1", False)])
def test_public_authorities_do_not_make_users(user, refused, good, authority, certificate,
                                              tmp_path):
    # Anybody gets a certificate of them, for a name of his own.
    file = tmp_path / "authorities.pem"
    with open("/etc/ssl/certs/ca-certificates.crt") as bundle, open(authority.certificate) as own:
        public = bundle.read().split("-----END CERTIFICATE-----\n")[:2]
        file.write_text(own.read() + "-----END CERTIFICATE-----\n".join([*public, ""]))
    good["tls"] = dict(zip(("certificate", "key"), certificate))
    good["auth"]["accounts"] = [{"user": "printer"}, {"user": user}]
    good["listeners"][0].update(tls="required", auth="required", client_certificates="required",
                                client_ca=str(file))
    done = check(tmp_path / "public.yaml", good)
    assert done.returncode == (EX_CONFIG if refused else 0), done.stderr
    told = re.search(rb":\d+:\d+: listeners\[0\]\.client_ca: .* is a public authority", done.stderr)
    assert bool(told) == refused, done.stderr


def test_a_missing_settings_file_is_said_plainly(tmp_path):
    for command in (["check"], ["serve"], ["queue", "list"]):
        done = run(*command, "-c", tmp_path / "none.yaml")
        assert done.returncode in (EX_CONFIG, 66), command
        assert b"none.yaml" in done.stderr and b"No such file" in done.stderr


def test_no_plain_relay_or_store_beyond_loopback(good, tmp_path):
    good["relay"] = {"host": "mail.example.com", "port": 25, "tls": "none"}
    good["s3"]["endpoint"] = "http://s3.example.com"
    text = check(tmp_path / "bad.yaml", good)
    assert text.returncode == EX_CONFIG
    assert b"relay" in text.stderr and b"s3.endpoint" in text.stderr


def test_an_open_relay_is_refused(good, tmp_path):
    good["listeners"] = [{"name": "open", "address": "0.0.0.0:2525", "tls": "none", "auth": "none"}]
    done = check(tmp_path / "bad.yaml", good)
    assert done.returncode == EX_CONFIG and b"listeners" in done.stderr


def test_serve_starts_nothing_with_bad_settings(good, tmp_path):
    port = free_port()
    good["listeners"][0]["address"] = f"127.0.0.1:{port}"
    good["relay"]["port"] = "nonsense"
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(good))
    done = run("serve", "-c", path)
    assert done.returncode == EX_CONFIG
    assert f"{path}:".encode() in done.stderr and b"relay.port" in done.stderr
    assert not os.path.exists(good["queue"]["directory"]) and is_free(port)


def failing_start(settings, tmp_path):
    """Starts, expects that it ends by itself; (exit status, all it said)."""
    one = Gateway(tmp_path, settings)
    one.start(wait=False)
    code = one.wait_exit()
    return code, one.log_text()


def test_a_taken_port_is_said_plainly(good, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        good["listeners"][0]["address"] = address
        code, text = failing_start(good, tmp_path)
    assert code == EX_UNAVAILABLE
    assert address in text and "in use" in text


@pytest.mark.parametrize("setting", ["admin", "s3"])
def test_a_taken_port_of_another_service_is_said_plainly(setting, good, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        if setting == "admin":
            good["admin"] = {"listen": address}
        else:
            good["s3"] = {"directory": str(tmp_path / "store"),
                          "directory_url": "http://" + address, "listen": address}
        code, text = failing_start(good, tmp_path)
    assert code == EX_UNAVAILABLE
    assert address in text and "in use" in text


def test_an_unusable_certificate_is_said_plainly(good, tmp_path, authority):
    _, other_key = authority.issue("other.test", label="other-key")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    good["listeners"][0]["tls"] = "starttls"
    fine = good["tls"]
    for tls, word in ((dict(fine, certificate=str(broken)), "broken.pem"),
                      (dict(fine, key=other_key), "key")):
        good["tls"] = tls
        code, text = failing_start(good, tmp_path)
        assert code in (EX_UNAVAILABLE, EX_CONFIG)
        assert word in text, text


def test_a_second_gateway_on_the_same_queue_is_refused(good, gateway, tmp_path):
    gateway(good)
    second = dict(good, listeners=[lan("b").settings])
    (tmp_path / "second").mkdir()
    code, text = failing_start(second, tmp_path / "second")
    assert code == EX_UNAVAILABLE and good["queue"]["directory"] in text


def test_wrong_usage_has_its_own_exit_code():
    for arguments in ([], ["nonsense"], ["serve", "--nonsense"], ["check", "extra"],
                      ["rewrite"], ["ses-password"], ["queue"], ["user"]):
        done = run(*arguments)
        assert done.returncode == EX_USAGE, (arguments, done)
        assert done.stderr


@pytest.mark.parametrize("arguments", [["sample-config"], ["--version"], ["--help"],
                                       ["ses-password", "--region", "eu-west-1"]])
def test_output_that_is_lost_is_a_failure(arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), *arguments], input=b"secret", stdout=full,
                              stderr=subprocess.PIPE, env=environment(), timeout=60)
    assert done.returncode == EX_IOERR
    assert b"standard output" in done.stderr


def test_a_secret_key_is_not_cut():
    done = run("ses-password", "--region", "eu-west-1", stdin=b"x" * 255 + b"y\n")
    assert done.returncode == EX_USAGE
    assert not done.stdout and b"too long" in done.stderr and b"xxx" not in done.stderr


def test_help_and_version():
    assert re.match(r"stowage \d+\.\d+", run("--version").stdout.decode())
    text = run("--help").stdout.decode()
    for command in ("serve", "check", "sample-config", "queue", "user", "rewrite", "ses-password"):
        assert command in text


def test_the_sample_with_every_option_in_force_passes_check(tmp_path, certificate, users_file):
    """sample-config is all comments; taken out of them, it is a file that check reads."""
    sample = run("sample-config").stdout.decode()
    assert yaml.safe_load(sample) is None or isinstance(yaml.safe_load(sample), dict)
    for key in ("hostname", "listeners", "tls", "s3", "links", "attachments", "sender", "relay",
                "queue", "admin"):
        assert re.search(rf"(?m)^#? ?{key}:", sample), key


def test_a_password_for_no_region_is_not_made():
    for region in ("", "Ireland", "eu west", "eu-west-1\n"):
        done = run("ses-password", "--region", region, stdin=b"secret\n")
        assert done.returncode == EX_USAGE and not done.stdout and b"region" in done.stderr


def test_secrets_in_the_wrong_place_are_not_shown_either(good, tmp_path):
    good["relay"].update(user="u", password_file="SeCrEtWoRd")
    good["s3"]["endpoint"] = "https://user:SeCrEtWoRd@s3.example.com"
    done = check(tmp_path / "bad.yaml", good)
    assert done.returncode == EX_CONFIG
    assert b"relay.password_file: " in done.stderr and b"s3.endpoint: " in done.stderr
    assert b"SeCrEtWoRd" not in done.stderr + done.stdout


def test_what_the_world_could_read_of_the_gateway_is_a_warning(good, tmp_path):
    good["admin"]["listen"] = "0.0.0.0:9025"
    done = check(tmp_path / "open.yaml", good)
    assert done.returncode == 0
    assert re.search(rb":\d+:\d+: admin\.listen: .*\(warning\)", done.stderr), done.stderr


def test_secrets_are_not_shown(good, tmp_path):
    good["relay"].update(user="u", password="SeCrEtWoRd", port="bad")
    good["s3"]["secret_access_key"] = "SeCrEtWoRd"
    done = check(tmp_path / "bad.yaml", good)
    assert b"SeCrEtWoRd" not in done.stderr + done.stdout


# ---- the examples ----

def localize(example, certificate, users_file, sink, store, tmp_path):
    """An example with its paths, addresses and servers changed to what is here."""
    with open(os.path.join(EXAMPLES, example)) as file:
        settings = yaml.safe_load(file)
    ports = {}
    for listener in settings["listeners"]:
        ports[listener["name"]] = free_port()
        listener["address"] = f"127.0.0.1:{ports[listener['name']]}"
        if "networks" in listener:
            listener["networks"] = ["127.0.0.0/8"]
    if "tls" in settings:
        settings["tls"].update(certificate=certificate[0], key=certificate[1])
    if "auth" in settings:
        settings["auth"]["users"] = users_file
    secret = re.compile("iam|user|password|ca_file|key|token|credential|profile")
    for section in ("relay", "s3"):
        for name in filter(secret.search, list(settings[section])):
            del settings[section][name]
    settings["relay"].update(sink.settings())
    settings["s3"].update({key: value for key, value in store.settings().items()
                           if key not in ("bucket", "region")}, bucket="mail")
    settings.setdefault("queue", {})["directory"] = str(tmp_path / "queue")
    if "admin" in settings:
        settings["admin"]["listen"] = f"127.0.0.1:{free_port()}"
    return settings, ports


@pytest.mark.parametrize("example", ["mx.yaml", "iot.yaml", "smarthost.yaml"])
def test_each_example_starts_and_passes_a_mail(
        example, gateway, certificate, users_file, sink, store, tmp_path):
    settings, ports = localize(example, certificate, users_file, sink, store, tmp_path)
    one = gateway(settings)
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"abc" * 9999)])
    expected = 0
    for listener in settings["listeners"]:
        address = ("127.0.0.1", ports[listener["name"]])
        recipients = listener.get("recipients")
        to = next(iter(recipients), "someone@example.com") if recipients else "someone@example.com"
        to = ("any" + to) if to.startswith("@") else "any@example.com" if to == "*" else to
        with Dialog(address, wrapper=listener.get("tls") == "wrapper") as dialog:
            dialog.ehlo()
            if listener.get("tls") in ("required", "starttls", "optional"):
                dialog.starttls()
            if listener.get("auth") == "required":
                assert dialog.auth_plain(USER, PASSWORD).code == 235
            identity = dialog.deliver(mail.raw, recipients=[to])
            dialog.quit()
        one.wait_for("message.sent", id=identity)
        expected += 1
        assert len(links.in_text(sink.messages[-1].data)) == 1
    assert len(sink.messages) == len(store.objects) == expected


def test_every_example_is_in_the_list_above():
    names = sorted(name for name in os.listdir(EXAMPLES) if name.endswith(".yaml"))
    assert names == ["iot.yaml", "mx.yaml", "smarthost.yaml"]


def test_a_person_at_a_terminal_gets_prose(good, tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(yaml.safe_dump(good))
    ours, theirs = pty.openpty()
    process = subprocess.Popen([binary(), "serve", "-c", str(path)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=theirs, env=environment())
    os.close(theirs)
    try:
        seen = b""
        while b"gateway.ready" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b'{"time"' not in seen


def test_send_is_refused_by_nobody(plain_gateway, sink):
    """The baseline of this file: the settings called good do carry mail."""
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, mails.plain()))
    assert len(sink.messages) == 1
