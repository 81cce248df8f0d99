"""The whole job on real parts: real clients, real S3 servers, Postfix standing in for SES."""
import base64
import os
import smtplib
import ssl
import subprocess
import urllib.parse

import pytest

import links
import mails
from conftest import PASSWORD, USER
from dialog import Reply, queue_id, send
from gateway import Listener, environment, lan, run
from waiting import wait_until

BIG = 20 * 1024 * 1024


@pytest.fixture
def listeners():
    """The listeners of a mail submission host: STARTTLS, and TLS from the first byte."""
    return [Listener("submit", tls="required", auth="required"),
            Listener("submits", tls="wrapper", auth="required")]


@pytest.fixture
def real_gateway(gateway, make_settings, listeners, postfix, radosgw, authority):
    def start(s3=radosgw, **relay):
        one = gateway(make_settings(
            postfix.settings(authority.certificate, **relay), s3.settings(), listeners))
        one.submit, one.submits = (listener.address for listener in listeners)
        return one
    return start


@pytest.fixture
def recipient(request):
    """An address of this test's own, so that its mail is found in the shared Postfix."""
    name = "".join(c for c in request.node.name if c.isalnum())
    return f"{name.lower()[:60]}@example.com"


def delivered(postfix, recipient, count=1):
    return wait_until(lambda: len(found := postfix.delivered(recipient)) >= count and found,
                      f"{count} messages for {recipient} in Postfix's Maildir", 120)


def client_tls(authority):
    return ssl.create_default_context(cafile=authority.certificate)


def submit(address, authority, message, recipient, method=None):
    """By smtplib over verified STARTTLS with AUTH."""
    with smtplib.SMTP(*address, timeout=60) as client:
        client._host = "gw.test"  # the name that the certificate is for
        client.starttls(context=client_tls(authority))
        client.ehlo()
        client.user, client.password = USER, PASSWORD
        if method:
            assert client.auth(method, getattr(client, "auth_" + method.lower()))[0] == 235
        else:
            client.login(USER, PASSWORD)
        return client.sendmail("alice@client.test", [recipient], message)


def check_kept(message, mail):
    """What was to stay has stayed, byte for byte (Postfix's Maildir has LF lines)."""
    for part in mail.kept:
        assert part.replace(b"\r\n", b"\n") in message


@pytest.mark.parametrize("server", ["radosgw", "swift"])
def test_every_attachment_is_in_the_store_and_every_link_opens(
        server, request, real_gateway, postfix, authority, recipient):
    s3 = request.getfixturevalue(server)
    before = set(s3.keys())
    one = real_gateway(s3)
    mail = mails.everyday(BIG if server == "radosgw" else 3_000_000)
    submit(one.submit, authority, mail.raw, recipient)
    message = delivered(postfix, recipient)[0]

    downloads = links.check_files(message, mail.files)
    assert [got.media_type for got in downloads[:3]] == [
        "application/pdf", "application/octet-stream", "text/csv"]
    assert len(links.in_text(message)) == len(links.in_html(message)) == len(mail.files)
    check_kept(message, mail)
    assert b"%PDF" not in message and len(message) < 20000

    stored = one.find("attachment.stored")
    keys = {event["key"] for event in stored}
    assert set(s3.keys()) - before == keys and len(keys) == len(mail.files)
    client = s3.client()
    for event in stored:
        body = client.get_object(Bucket=s3.bucket, Key=event["key"])["Body"].read()
        named = next(file for file in mail.files if file.name == event["file_name"])
        assert body == named.content and event["size"] == len(body)

    relayed = message.split(b"\n\n")[0].decode()
    assert "ESMTPSA" in relayed and f"Authenticated sender: {postfix.user}" in relayed


@pytest.mark.parametrize("server", ["radosgw", "swift"])
def test_names_that_stores_or_clients_could_choke_on(
        server, request, gateway, make_settings, sink, tmp_path):
    """Long, in many octets a character, with quotes: each opens under its own name."""
    listener = lan()
    one = gateway(make_settings(
        sink.settings(), request.getfixturevalue(server).settings(), [listener]))
    names = ["日" * 65 + ".txt", "a" * 196 + ".txt", 'say "hello".txt', "50% off; a=b&c+d.txt"]
    files = [mails.File(name, "application/octet-stream", mails.noise(50, n))
             for n, name in enumerate(names)]
    for file in files:  # in the form that takes every name
        file.part = lambda file=file: (
            "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
            "Content-Disposition: attachment; filename*=UTF-8''"
            f"{urllib.parse.quote(file.name, safe='')}\r\n\r\n").encode() \
            + mails.base64_lines(file.content)
    one.wait_for("message.sent", id=send(listener.address, mails.with_files(files).raw))
    links.check_files(sink.messages[0].data, files)
    quoted = links.in_text(sink.messages[0].data)[2]
    subprocess.run(["curl", "-sSfOJ", quoted], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "say _hello_.txt").read_bytes() == files[2].content


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_smtplib_authenticates(method, real_gateway, postfix, authority, recipient):
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"abc" * 999)])
    submit(real_gateway().submit, authority, mail.raw, recipient, method)
    links.check_files(delivered(postfix, recipient)[0], mail.files)


def test_smtplib_over_tls_from_the_first_byte(real_gateway, postfix, authority, recipient):
    one = real_gateway()
    mail = mails.with_files([mails.File("a.txt", "text/plain", b"one\r\ntwo\r\n")])
    context = client_tls(authority)
    context.check_hostname = False
    with smtplib.SMTP_SSL(*one.submits, context=context, timeout=60) as client:
        client.login(USER, PASSWORD)
        client.sendmail("alice@client.test", [recipient], mail.raw)
    links.check_files(delivered(postfix, recipient)[0], mail.files)


@pytest.mark.parametrize("wrapper", [False, True])
def test_curl(wrapper, real_gateway, postfix, authority, recipient, tmp_path):
    one = real_gateway()
    mail = mails.with_files([mails.File("été.jpg", "image/jpeg", mails.noise(9000))])
    path = tmp_path / "mail.eml"
    path.write_bytes(mail.raw)
    port = (one.submits if wrapper else one.submit)[1]
    subprocess.run(
        ["curl", "-sS", "--ssl-reqd", "--cacert", authority.certificate,
         "--connect-to", f"gw.test:{port}:127.0.0.1:{port}",
         f"{'smtps' if wrapper else 'smtp'}://gw.test:{port}",
         "--user", f"{USER}:{PASSWORD}", "--mail-from", "alice@client.test",
         "--mail-rcpt", recipient, "--upload-file", str(path)], check=True, timeout=60)
    links.check_files(delivered(postfix, recipient)[0], mail.files)


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_swaks(method, real_gateway, postfix, authority, recipient, tmp_path):
    one = real_gateway()
    content = mails.noise(12345)
    (tmp_path / "photo.jpg").write_bytes(content)
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(one.submit[1]), "--tls",
         "--tls-ca-path", authority.certificate, "--tls-verify",
         "--auth", method, "--auth-user", USER, "--auth-password", PASSWORD,
         "--from", "alice@client.test", "--to", recipient, "--h-Subject", "Photo",
         "--attach-type", "image/jpeg", "--attach", f"@{tmp_path / 'photo.jpg'}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    links.check_files(delivered(postfix, recipient)[0],
                      [mails.File("photo.jpg", "image/jpeg", content)])


def test_openssl_s_client(real_gateway, postfix, authority, recipient):
    """A dialogue by hand: each line is sent after the reply to the one before."""
    one = real_gateway()
    mail = mails.with_files([mails.File("log.gz", "application/gzip", mails.noise(5000))])
    login = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    steps = [("250", "EHLO client.test"), ("235", "AUTH PLAIN " + login),
             ("250", "MAIL FROM:<alice@client.test>"), ("250", f"RCPT TO:<{recipient}>"),
             ("354", "DATA"), ("250", mail.raw.decode() + "."), ("221", "QUIT")]
    process = subprocess.Popen(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{one.submit[1]}",
         "-servername", "gw.test", "-verify_hostname", "gw.test", "-verify_return_error",
         "-CAfile", authority.certificate, "-crlf", "-quiet", "-ign_eof"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for code, text in steps:
            # s_client makes CR LF of each LF
            process.stdin.write(text.replace("\r\n", "\n").encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline().decode()
            while line[3:4] == "-":
                line = process.stdout.readline().decode()
            assert line.startswith(code + " "), (text[:40], line)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    links.check_files(delivered(postfix, recipient)[0], mail.files)


def test_a_mail_that_is_only_a_file_gets_a_body_with_the_link(
        real_gateway, postfix, authority, recipient):
    mail = mails.alone(mails.File("scan 01.pdf", "application/pdf", mails.noise(70000)))
    submit(real_gateway().submit, authority, mail.raw, recipient)
    message = delivered(postfix, recipient)[0]
    links.check_files(message, mail.files)
    assert b"Subject: Scan\n" in message and len(message) < 10000


def test_the_relay_is_reached_over_tls_from_the_first_byte(
        real_gateway, postfix, authority, recipient):
    one = real_gateway(port=postfix.wrapper_port, tls="wrapper")
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"\0" * 100)])
    submit(one.submit, authority, mail.raw, recipient)
    message = delivered(postfix, recipient)[0]
    links.check_files(message, mail.files)
    assert b"with ESMTPSA" in message


def test_the_ids_of_reply_log_and_relay_belong_together(
        real_gateway, postfix, authority, recipient):
    one = real_gateway()
    with smtplib.SMTP(*one.submit, timeout=60) as client:
        client._host = "gw.test"
        client.starttls(context=client_tls(authority))
        client.login(USER, PASSWORD)
        client.mail("alice@client.test")
        client.rcpt(recipient)
        code, text = client.data(mails.plain())
    identity = queue_id(Reply(code, text.decode().splitlines()))
    sent = one.wait_for("message.sent", id=identity)
    wait_until(lambda: f"{sent['relay_id']}: from=" in postfix.log(), "Postfix's own word")
    message = delivered(postfix, recipient)[0]
    assert identity.encode() in message.split(b"\n\n")[0]


def test_an_iam_key_logs_in_with_the_password_derived_from_it(
        gateway, make_settings, store, sink):
    """As SES takes it: the SMTP password is derived from the secret key and the region."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    done = run("ses-password", "--region", "eu-west-1", stdin=secret.encode())
    assert done.returncode == 0
    password = done.stdout.decode().strip()
    assert base64.b64decode(password)[0] == 4 and len(base64.b64decode(password)) == 33
    sink.users = {"AKIAIOSFODNN7EXAMPLE": password}
    listener = lan()
    settings = make_settings(
        sink.settings(iam_access_key_id="AKIAIOSFODNN7EXAMPLE", iam_secret_access_key=secret,
                      region="eu-west-1", configuration_set="gateway-events"),
        store.settings(), [listener])
    gateway(settings)
    send(listener.address, mails.plain())
    message = sink.wait_messages(1)[0]
    assert message.user == "AKIAIOSFODNN7EXAMPLE"
    assert b"X-SES-CONFIGURATION-SET: gateway-events\r\n" in message.data


def test_credentials_of_s3_come_from_the_environment(gateway, make_settings, radosgw, sink):
    listener = lan()
    s3 = {key: value for key, value in radosgw.settings().items() if "access_key" not in key}
    gateway(make_settings(sink.settings(), s3, [listener]),
            env=environment(AWS_ACCESS_KEY_ID=radosgw.access_key_id,
                            AWS_SECRET_ACCESS_KEY=radosgw.secret_access_key))
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"x" * 10)])
    send(listener.address, mail.raw)
    links.check_files(sink.wait_messages(1)[0].data, mail.files)


def test_credentials_of_s3_come_from_files(gateway, make_settings, radosgw, sink, tmp_path):
    listener = lan()
    s3 = radosgw.settings()
    for name in ("access_key_id", "secret_access_key"):
        path = tmp_path / name
        path.write_text(s3.pop(name) + "\n")
        os.chmod(path, 0o600)
        s3[name + "_file"] = str(path)
    gateway(make_settings(sink.settings(), s3, [listener]))
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"x" * 10)])
    send(listener.address, mail.raw)
    links.check_files(sink.wait_messages(1)[0].data, mail.files)
