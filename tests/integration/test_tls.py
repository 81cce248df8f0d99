"""TLS at the front door, as OpenSSL's own client and old devices meet it."""
import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from certificates import Authority
from conftest import PASSWORD, USER
from dialog import Dialog
from gateway import Listener, lan, run
from waiting import wait_until

VERSIONS = {"TLSv1": "-tls1", "TLSv1.1": "-tls1_1", "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}
LOOPBACK = ["127.0.0.0/8"]
MESSAGE = b"From: alice@client.test\r\nSubject: x\r\n\r\nx\r\n"


# ---- tools ----

def openssl(*arguments, **more):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, timeout=60, **more)


def issue_rsa(authority, name, label):
    """As Authority.issue(), with an RSA key."""
    stem = os.path.join(authority.directory, label)
    certificate, key, request, extension = (stem + end for end in (".pem", ".key", ".csr", ".ext"))
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    with open(extension, "w") as out:
        out.write(f"subjectAltName=DNS:{name}\n")
    openssl("x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey",
            authority.key, "-CAcreateserial", "-days", "30", "-extfile", extension,
            "-out", certificate)
    return certificate, key


def revocation_list(authority, revoked):
    """PEM text of authority's list that holds the certificate in the file revoked."""
    def path(name):
        return os.path.join(authority.directory, name)
    with open(path("ca.conf"), "w") as out:
        out.write(f"[ca]\ndefault_ca = own\n[own]\ndatabase = {path('index')}\n"
                  f"crlnumber = {path('crlnumber')}\ndefault_md = sha256\ndefault_crl_days = 1\n")
    open(path("index"), "w").close()
    with open(path("crlnumber"), "w") as out:
        out.write("01\n")
    signer = ("-config", path("ca.conf"), "-cert", authority.certificate,
              "-keyfile", authority.key)
    openssl("ca", *signer, "-revoke", revoked)
    openssl("ca", *signer, "-gencrl", "-out", path("crl.pem"))
    with open(path("crl.pem")) as file:
        return file.read()


class Shown:
    """What one run of openssl s_client saw."""

    def __init__(self, address, *arguments, starttls=True, say="QUIT\r\n", until_end=True):
        command = ["openssl", "s_client", "-connect", "%s:%d" % address, *arguments]
        if starttls:
            command += ["-starttls", "smtp"]
        if until_end:
            command += ["-ign_eof"]
        done = subprocess.run(command, input=say.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=90)
        self.text = done.stdout.decode(errors="replace")

    def _find(self, pattern):
        found = re.search(pattern, self.text, re.M)
        return found.group(1) if found else None

    @property
    def version(self):
        version = self._find(r"^New, (?!\(NONE\)).*, Cipher is (?!\(NONE\))(?:.*\n)+?"
                             r" *Protocol *: (\S+)") or self._find(r"^New, (TLSv1\.3), Cipher is ")
        return version if "221 " in self.text else None

    @property
    def cipher(self):
        return self._find(r"^New, .*, Cipher is (\S+)")

    @property
    def name(self):
        return self._find(r"^subject=CN = (.*)$")


class Secured(Dialog):
    """A Dialog that shows a client's certificate, and asks for a name."""

    def __init__(self, address, identity=None, server_name="gw.test", version=None, **how):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        if identity:
            self.context.load_cert_chain(*identity)
        self.server_name = server_name
        super().__init__(address, **how)

    def _secure(self, minimum=None):
        self.socket = self.context.wrap_socket(self.socket, server_hostname=self.server_name)

    def certificate(self):
        return self.socket.getpeercert(binary_form=True)


def der(path):
    with open(path) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def settings_of(directory, listeners, tls, users, sink):
    return {
        "hostname": "gw.test",
        "listeners": [listener.settings for listener in listeners],
        "tls": tls,
        "auth": {"users": users},
        "s3": {"directory": os.path.join(directory, "store"),
               "directory_url": "http://127.0.0.1:1"},
        "relay": sink.settings(),
        "queue": {"directory": os.path.join(directory, "queue")},
        "admin": {"listen": "off"},
    }


# ---- one gateway for what does not change it ----

@pytest.fixture(scope="module")
def world(authority):
    """Certificates of the gateway by label: (certificate, key)."""
    return {
        "default": authority.issue("gw.test", label="tls-default"),
        "default-rsa": issue_rsa(authority, "gw.test", "tls-default-rsa"),
        "other": authority.issue("other.test", ("DNS:*.wild.test",), label="tls-other"),
    }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """An authority for devices, its certificates by label, and a file of it with a list."""
    fleet = Authority(str(tmp_path_factory.mktemp("fleet")), "Fleet")
    fleet.devices = {
        "good": fleet.issue("printer", ("email:dev@client.test",), label="good"),
        "revoked": fleet.issue("printer", (), label="revoked"),
        "unknown": fleet.issue("nobody-knows-it", (), label="unknown"),
        "strange": Authority(os.path.join(fleet.directory, "other"), "Fleet").issue("printer"),
    }
    fleet.file = os.path.join(fleet.directory, "authorities.pem")
    with open(fleet.certificate) as certificate, open(fleet.file, "w") as out:
        out.write(certificate.read())
        out.write(revocation_list(fleet, fleet.devices["revoked"][0]))
    return fleet


@pytest.fixture(scope="module")
def shared(open_house, world, fleet):
    listeners = {}
    for profile, more in (("intermediate", {}), ("modern", {"tls_profile": "modern"}),
                          ("old", {"profile": "legacy"})):
        listeners[profile, "starttls"] = Listener(
            profile + "-starttls", tls="starttls", auth="optional", **more)
        listeners[profile, "wrapper"] = Listener(
            profile + "-wrapper", tls="wrapper", auth="required", **more)
    for wanted in ("optional", "required"):
        for tls in ("required", "wrapper"):
            listeners[wanted, tls] = Listener(
                f"{wanted}-{tls}", tls=tls, auth="required", client_certificates=wanted,
                client_ca=fleet.file)
    for listener in listeners.values():
        listener.settings.setdefault("networks", list(LOOPBACK))
    default, rsa, other = (world[name] for name in ("default", "default-rsa", "other"))
    return open_house(listeners, tls={
        "certificate": default[0], "key": default[1], "additional": [
            {"certificate": rsa[0], "key": rsa[1]},
            {"certificate": other[0], "key": other[1]}]})


# ---- versions, ciphers, names ----

SPOKEN = {
    "intermediate": {"TLSv1.2", "TLSv1.3"},
    "modern": {"TLSv1.3"},
    "old": {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", ["starttls", "wrapper"])
@pytest.mark.parametrize("profile", SPOKEN)
def test_versions(shared, profile, tls, version):
    mark = shared.mark()
    shown = Shown(shared.doors[profile, tls], VERSIONS[version], "-cipher",
                  "DEFAULT:@SECLEVEL=0", starttls=tls == "starttls")
    if version in SPOKEN[profile]:
        assert shown.version == version, shown.text
    else:
        assert shown.version is None, shown.text
        assert "protocol version" in shown.text or "no protocols available" in shown.text
        failed = shared.wait_for("tls.failed", since=mark, listener=f"{profile}-{tls}")
        assert failed["reason"]


@pytest.mark.parametrize("profile, version, offered, chosen", [
    ("intermediate", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("intermediate", "TLSv1.2", "AES128-SHA", None),
    ("intermediate", "TLSv1.2", "ECDHE-ECDSA-AES128-SHA", None),
    ("old", "TLSv1", "AES128-SHA", "AES128-SHA"),
    ("old", "TLSv1", "DHE-RSA-AES256-SHA", "DHE-RSA-AES256-SHA"),
    ("old", "TLSv1.2", "AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("old", "TLSv1.2", "aNULL", None),
    ("old", "TLSv1.2", "eNULL", None),
])
def test_ciphers(shared, profile, version, offered, chosen):
    shown = Shown(shared.doors[profile, "wrapper"], VERSIONS[version], "-cipher",
                  offered + ":@SECLEVEL=0", starttls=False)
    assert shown.version == (version if chosen else None), shown.text
    if chosen:
        assert shown.cipher == chosen


@pytest.mark.parametrize("asked, more, name, key", [
    (None, (), "gw.test", "EC"),
    ("gw.test", (), "gw.test", "EC"),
    ("gw.test", ("-tls1_2", "-cipher", "aRSA"), "gw.test", "rsa"),
    (None, ("-tls1_2", "-cipher", "aRSA"), "gw.test", "rsa"),
    ("OTHER.test", (), "other.test", "EC"),
    ("any.wild.test", ("-tls1_2",), "other.test", "EC"),
    ("two.any.wild.test", (), "gw.test", "EC"),
    ("unknown.test", (), "gw.test", "EC"),
])
def test_names(shared, asked, more, name, key):
    asking = ("-servername", asked) if asked else ("-noservername",)
    for tls in ("starttls", "wrapper"):
        shown = Shown(shared.doors["intermediate", tls], *asking, *more,
                      starttls=tls == "starttls")
        assert shown.version and shown.name == name, shown.text
        algorithm = re.search(r"a:PKEY: (\w+)", shown.text).group(1)
        assert algorithm.startswith("rsa") == (key == "rsa"), shown.text


def test_no_renegotiation(shared):
    for profile, version in (("intermediate", "-tls1_2"), ("old", "-tls1")):
        # Behind STARTTLS the server waits for EHLO: no greeting gets in between.
        shown = Shown(shared.doors[profile, "starttls"], version, "-cipher",
                      "DEFAULT:@SECLEVEL=0", say="R\n", until_end=False)
        assert "RENEGOTIATING" in shown.text and "no renegotiation" in shown.text, shown.text


def test_no_resumption(shared, tmp_path):
    path = str(tmp_path / "session")
    for version in ("-tls1_2", "-tls1_3"):
        first = Shown(shared.doors["intermediate", "wrapper"], version, "-sess_out", path,
                      starttls=False)
        assert first.version, first.text
        assert version == "-tls1_3" or "Session-ID: \n" in first.text, first.text
        if not os.path.exists(path):
            continue
        again = Shown(shared.doors["intermediate", "wrapper"], version, "-sess_in", path,
                      starttls=False)
        assert again.version and "Reused," not in again.text, again.text


# ---- injection ----

@pytest.mark.parametrize("behind", [
    "NOOP\r\n", "E", "EHLO evil.test\r\nMAIL FROM:<a@evil.test>\r\n"])
def test_what_is_sent_behind_starttls_is_dropped_with_the_client(shared, behind):
    mark = shared.mark()
    with Dialog(shared.doors["intermediate", "starttls"]) as dialog:
        dialog.ehlo()
        dialog.send("STARTTLS\r\n" + behind)
        assert dialog.reply().code == 220
        assert dialog.closed()
    failed = shared.wait_for("tls.failed", since=mark, listener="intermediate-starttls")
    assert "in the clear" in failed["reason"]


def test_no_second_starttls_and_all_state_is_reset(shared):
    with Secured(shared.doors["intermediate", "starttls"]) as dialog:
        dialog.ehlo("first.test")
        assert dialog.command("STARTTLS").code == 220
        dialog._secure()
        assert dialog.command("MAIL FROM:<alice@client.test>").code == 503  # no EHLO yet
        assert "STARTTLS" not in dialog.ehlo()
        assert dialog.command("STARTTLS").code in (503, 502)


# ---- clients' certificates ----

@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def version(request):
    return request.param


def secured(shared, wanted, tls, version, identity=None):
    dialog = Secured(shared.doors[wanted, tls], identity=identity, version=version,
                     wrapper=tls == "wrapper")
    try:
        extensions = dialog.ehlo()
        if tls == "required":
            extensions = dialog.starttls()
    except BaseException:
        dialog.close()
        raise
    return dialog, extensions


@pytest.mark.parametrize("wanted", ["optional", "required"])
@pytest.mark.parametrize("tls", ["required", "wrapper"])
def test_a_certificate_is_a_user(shared, fleet, wanted, tls, version):
    mark = shared.mark()
    dialog, extensions = secured(shared, wanted, tls, version, fleet.devices["good"])
    with dialog:
        assert "EXTERNAL" in extensions["AUTH"].split(" ")
        assert dialog.command("AUTH EXTERNAL =").code == 235
        dialog.deliver(MESSAGE)
        dialog.quit()
    assert shared.wait_for("message.accepted", since=mark)["user"] == "printer"


def test_without_auth_it_counts_as_well(shared, fleet, version):
    dialog, _ = secured(shared, "optional", "wrapper", version, fleet.devices["good"])
    with dialog:
        dialog.deliver(MESSAGE)
        dialog.quit()


def test_optional_means_a_password_does_as_well(shared, version):
    dialog, extensions = secured(shared, "optional", "required", version)
    with dialog:
        assert "EXTERNAL" not in extensions["AUTH"].split(" ")
        assert dialog.command("AUTH EXTERNAL =").code in (504, 535)
        assert dialog.command("MAIL FROM:<alice@client.test>").code == 530
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        dialog.quit()


def test_a_name_that_is_no_users_is_nobody(shared, fleet, version):
    mark = shared.mark()
    dialog, extensions = secured(shared, "optional", "wrapper", version, fleet.devices["unknown"])
    with dialog:
        assert "EXTERNAL" not in extensions["AUTH"].split(" ")
        assert dialog.command("MAIL FROM:<alice@client.test>").code == 530
    shared.wait_for("auth.failed", since=mark, user="nobody-knows-it")


# Fewer of them than the log tells in a second.
@pytest.mark.parametrize("wanted, tls, device, reason", [
    ("required", "required", None, "did not return a certificate"),
    ("required", "wrapper", None, "did not return a certificate"),
    ("required", "wrapper", "revoked", "certificate revoked"),
    ("optional", "required", "revoked", "certificate revoked"),
    ("required", "required", "strange", "issuer"),
    ("optional", "wrapper", "strange", "issuer"),
])
def test_certificates_that_are_refused(shared, fleet, wanted, tls, device, reason, version):
    mark = shared.mark()
    identity = fleet.devices[device] if device else None
    # With TLS 1.3 the client learns of it at its first read.
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        dialog, _ = secured(shared, wanted, tls, version, identity)
        dialog.close()
    failed = shared.wait_for("tls.failed", since=mark, listener=f"{wanted}-{tls}")
    assert reason in failed["reason"], failed
    assert device is None or '"printer"' in failed["reason"], failed


# ---- files that change ----

def put(source, target):
    """A whole new file in place of the old one."""
    shutil.copyfile(source, target + ".new")
    os.chmod(target + ".new", 0o600)
    os.rename(target + ".new", target)


@pytest.fixture
def changing(gateway, tmp_path, world, sink):
    """A gateway with files of its own to change: one.files."""
    files = {name: str(tmp_path / name) for name in ("cert.pem", "key.pem", "users")}
    put(world["default"][0], files["cert.pem"])
    put(world["default"][1], files["key.pem"])
    done = run("user", "add", files["users"], USER, stdin=PASSWORD.encode() + b"\n")
    assert done.returncode == 0, done.stderr.decode()
    door = Listener("submits", tls="wrapper", auth="required")
    one = gateway(settings_of(str(tmp_path), [door, lan()], {
        "certificate": files["cert.pem"], "key": files["key.pem"]}, files["users"], sink))
    one.files = files
    return one


def test_a_new_certificate_is_shown_without_a_signal(changing, world):
    with Secured(changing.address, wrapper=True) as session:
        session.ehlo()
        assert session.certificate() == der(world["default"][0])
        put(world["other"][0], changing.files["cert.pem"])
        failed = changing.wait_for("tls.reload_failed")
        assert "does not belong to" in failed["reason"]
        assert failed["file"] == changing.files["cert.pem"]
        with Secured(changing.address, wrapper=True) as meanwhile:
            assert meanwhile.certificate() == der(world["default"][0])
        put(world["other"][1], changing.files["key.pem"])
        changing.wait_for("tls.reloaded")
        with Secured(changing.address, wrapper=True) as new:
            assert new.certificate() == der(world["other"][0])
        assert session.auth_plain(USER, PASSWORD).code == 235  # it goes on
        session.deliver(MESSAGE)
        session.quit()
    assert len(changing.find("tls.reload_failed")) == 1


def test_a_new_user_may_come_without_a_signal(changing):
    users = changing.files["users"]
    assert run("user", "add", users, "camera", stdin=b"click\n").returncode == 0
    assert changing.wait_for("users.reloaded")["file"] == users
    with Secured(changing.address, wrapper=True) as dialog:
        dialog.ehlo()
        assert dialog.auth_plain("camera", "click").code == 235
        dialog.quit()
    mark = changing.mark()
    assert run("user", "remove", users, "camera").returncode == 0
    changing.wait_for("users.reloaded", since=mark)
    with Secured(changing.address, wrapper=True) as dialog:
        dialog.ehlo()
        assert dialog.auth_plain("camera", "click").code == 535
    assert not changing.find("tls.reloaded")


def test_links_that_turn_and_other_paths(changing, world, tmp_path):
    """As Kubernetes and certbot do it: only a link turns; and SIGHUP that turns to it."""
    for number, label in (("1", "default-rsa"), ("2", "other")):
        os.mkdir(tmp_path / number)
        shutil.copyfile(world[label][0], tmp_path / number / "cert.pem")
        shutil.copyfile(world[label][1], tmp_path / number / "key.pem")
        os.chmod(tmp_path / number / "key.pem", 0o600)
    os.symlink("1", tmp_path / "live")
    changing.settings["tls"] = {"certificate": str(tmp_path / "live/cert.pem"),
                                "key": str(tmp_path / "live/key.pem")}
    changing.write_settings()
    changing.reload()
    changing.wait_for("settings.reloaded")
    with Secured(changing.address, wrapper=True) as dialog:
        assert dialog.certificate() == der(world["default-rsa"][0])
    put(world["other"][0], changing.files["cert.pem"])  # nobody's any more
    os.symlink("2", tmp_path / "turned")
    os.rename(tmp_path / "turned", tmp_path / "live")
    changing.wait_for("tls.reloaded")
    with Secured(changing.address, wrapper=True) as dialog:
        assert dialog.certificate() == der(world["other"][0])
    assert not changing.find("tls.reload_failed")


def test_a_stalled_handshake_delays_nobody(changing):
    stalled = [socket.create_connection(changing.address, 60) for _ in range(10)]
    try:
        for one in stalled:
            one.sendall(b"\x16\x03\x01\x02\x00")  # a record's header, and no more
        with Secured(changing.address, wrapper=True) as dialog:
            dialog.ehlo()
            dialog.quit()
    finally:
        for one in stalled:
            one.close()
    wait_until(lambda: len(changing.find("tls.failed")) >= 10, "the stalled ones are gone")
