"""Mail with an attachment from the clients that people have: to an MX in clear, and submitted
under STARTTLS with a password. (smtplib, curl, swaks and openssl submit in
test_end_to_end.py.)"""
import dataclasses
import email.utils
import os
import shutil
import smtplib
import subprocess
import urllib.parse

import pytest

import links
import mails
import servers
from conftest import PASSWORD, USER
from gateway import Listener, build_directory
from ports import free_port
from waiting import wait_until

SENDER = "alice@client.test"
FILE = mails.File("Bericht 7.pdf", "application/pdf", b"%PDF-1.4\n" + mails.noise(40_000))


@dataclasses.dataclass
class Job:
    """One mail that a client is to send."""
    address: tuple
    secure: bool        # STARTTLS, verified by ca, and AUTH
    ca: str
    recipients: list
    directory: object

    @property
    def host(self):
        return "127.0.0.1"

    @property
    def port(self):
        return self.address[1]

    def message(self):
        return mails.with_files([FILE], sender=SENDER, to=self.recipients[0]).raw

    def lines(self):
        """The message as programs on Unix take it."""
        return self.message().replace(b"\r\n", b"\n")

    def path(self, content, name):
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def run(self, *command, stdin=b"", as_user=None, **env):
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
            cwd="/" if as_user else self.directory, user=as_user, group=as_user,
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8",
                 "HOME": str(self.directory), **env})
        assert done.returncode == 0, done.stdout.decode(errors="replace")


def tool(folder, name, script):
    """A program that no package installs, made ready in the build directory beforehand."""
    path = os.path.join(build_directory(), folder, name)
    if not os.path.exists(path):
        pytest.skip(f"first: sh {script} {os.path.dirname(path)}")
    return path


def swaks(job):
    job.run("swaks", "--server", job.host, "--port", str(job.port), "--pipeline",
            "--from", SENDER, "--to", ",".join(job.recipients), "--attach-type", FILE.media_type,
            "--attach-name", FILE.name, "--attach", "@" + job.path(FILE.content, "file"))


def curl(job):
    recipients = [word for one in job.recipients for word in ("--mail-rcpt", one)]
    job.run("curl", "-sS", f"smtp://{job.host}:{job.port}/client.test", "--mail-from", SENDER,
            *recipients, "--upload-file", job.path(job.message(), "mail"))


def python_smtplib(job):
    with smtplib.SMTP(*job.address, timeout=60) as client:
        assert client.sendmail(SENDER, job.recipients, job.message()) == {}


def msmtp(job):
    secure = ["--tls=on", "--tls-starttls=on", f"--tls-trust-file={job.ca}", "--auth=plain",
              f"--user={USER}", f"--passwordeval=echo '{PASSWORD}'"]
    job.run("msmtp", f"--host={job.host}", f"--port={job.port}", f"--from={SENDER}",
            *(secure if job.secure else ["--tls=off", "--auth=off"]), "--", *job.recipients,
            stdin=job.lines())


NODEMAILER = """
const job = JSON.parse(process.argv[1]);
const fs = require('fs');
const transport = require('nodemailer').createTransport({
  host: job.host, port: job.port, secure: false, requireTLS: job.secure,
  ignoreTLS: !job.secure,
  auth: job.secure ? { user: job.user, pass: job.password } : undefined,
  tls: { ca: fs.readFileSync(job.ca), servername: 'gw.test' } });
transport.sendMail({ from: job.sender, to: job.recipients, subject: 'Bericht für Bob',
  text: 'Grüße\\n.\\n', html: '<p>Grüße</p>',
  attachments: [{ filename: job.name, path: job.file, contentType: job.type }] })
  .then(() => transport.close());
"""


def nodemailer(job):
    import json
    words = {"host": job.host, "port": job.port, "secure": job.secure, "ca": job.ca,
             "user": USER, "password": PASSWORD, "sender": SENDER, "recipients": job.recipients,
             "name": FILE.name, "type": FILE.media_type, "file": job.path(FILE.content, "file")}
    job.run("node", "-e", NODEMAILER, "--", json.dumps(words), NODE_PATH="/usr/share/nodejs")


def busybox(job):
    """TLS is openssl's, which it talks through; it says NOOP before EHLO there."""
    program = tool("busybox", "sendmail", "tests/servers/busybox.sh build")
    tunnel = (f"exec openssl s_client -quiet -verify_quiet -verify_return_error -CAfile {job.ca} "
              f"-starttls smtp -connect {job.host}:{job.port}")
    way = (["-H", tunnel, "-amLOGIN", f"-au{USER}", f"-ap{PASSWORD}"] if job.secure
           else ["-S", f"{job.host}:{job.port}"])
    job.run(program, *way, "-f", SENDER, *job.recipients, stdin=job.lines())


def s_nail(job):
    """Says HELO where it need not say EHLO; looks for no IP address in a certificate."""
    login = f"{USER}:{urllib.parse.quote(PASSWORD, safe='')}@" if job.secure else ""
    secure = ["-S", "smtp-use-starttls", "-S", "smtp-auth=plain", "-S", f"tls-ca-file={job.ca}",
              "-S", "tls-verify=warn"]
    job.run("s-nail", "-:/", "-S", "v15-compat", "-S", "DEAD=/dev/null", "-S",
            f"mta=smtp://{login}{job.host}:{job.port}",
            *(secure if job.secure else ["-S", "smtp-auth=none"]), "-S", "hostname=client.test",
            "-S", "sendwait", "-r", SENDER, "-s", "Bericht",
            "-a", job.path(FILE.content, FILE.name), *job.recipients, stdin=b"Hello Bob\n.\n")


EXIM = """
primary_hostname = client.test
spool_directory = {directory}
log_file_path = {directory}/%slog
exim_path = {directory}/exim4
keep_environment = LD_PRELOAD : ^NSS_WRAPPER_
host_lookup =
begin routers
all:
  driver = manualroute
  transport = out
  route_list = * 127.0.0.1
  self = send
begin transports
out:
  driver = smtp
  port = {job.port}
  {secure}
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = <; ^{user}^{password}
"""


def exim(job):
    """Speaks CHUNKING. Its own user need not be on the machine: a library says that it is."""
    directory, root = servers.reachable_directory("exim"), not os.getuid()
    user, group = (65534, 65534) if root else (os.getuid(), os.getgid())
    secure = ("hosts_require_tls = *\n  hosts_require_auth = *\n"
              f"  tls_verify_certificates = {job.ca}\n  tls_verify_hosts = *\n"
              "  tls_verify_cert_hostnames =") if job.secure else "hosts_avoid_tls = *"
    files = {"conf": EXIM.format(job=job, directory=directory, secure=secure,
                                 user=USER, password=PASSWORD)}
    for name, entry in (("passwd", f"Debian-exim:x:{user}:{group}::/:/bin/false"),
                        ("group", f"Debian-exim:x:{group}:")):
        with open("/etc/" + name) as file:
            files[name] = f"{file.read().rstrip()}\n{entry}\n"
    try:
        shutil.copy(tool("exim", "exim4", "tests/servers/exim.sh unpack"), directory)
        for name, text in files.items():
            with open(os.path.join(directory, name), "w") as file:
                file.write(text)
        os.chown(directory, user, -1)
        job.run(f"{directory}/exim4", "-C", f"{directory}/conf", "-odi", "-oi", "-f", SENDER,
                *job.recipients, stdin=job.lines(), as_user=user if root else None,
                LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_PASSWD=f"{directory}/passwd",
                NSS_WRAPPER_GROUP=f"{directory}/group")
        with open(os.path.join(directory, "mainlog")) as file:
            log = file.read()
        assert " K C=\"250" in log and " Completed" in log, log  # K: CHUNKING was used
    finally:
        shutil.rmtree(directory)


def postfix(job):
    """Takes the mail, and passes it on as a smarthost's client."""
    directory, port = servers.reachable_directory("client"), free_port(2)
    login = [USER, PASSWORD, job.ca] if job.secure else []
    if job.secure:
        os.chmod(os.path.dirname(job.ca), 0o755)
    try:
        servers._run("postfix.sh", "client", directory, port, job.port, *login)
        with smtplib.SMTP(job.host, port, timeout=60) as client:
            client.sendmail(SENDER, job.recipients, job.message())
        log = os.path.join(directory, "log")
        wait_until(lambda: open(log).read().count(" status=sent (250 2.0.0 Ok: queued as ")
                   == len(job.recipients), "Postfix's own word that all is sent")
        assert " warning: " not in open(log).read()
    finally:
        servers._run("postfix.sh", "stop", directory)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(open_house):
    """One gateway for the whole file, with a door of each kind."""
    files = f"127.0.0.1:{free_port()}"
    doors = {False: Listener("mx", tls="starttls", auth="none",
                             recipients={"@in.test": "ops@example.com"}),
             True: Listener("submit", tls="required", auth="required")}
    return open_house(doors, s3={"listen": files, "directory_url": f"http://{files}"})


@pytest.mark.parametrize("client,secure", [
    (swaks, False), (curl, False), (python_smtplib, False),
    *((client, secure) for client in (msmtp, nodemailer, busybox, s_nail, exim,
                                                postfix)
      for secure in (False, True))],
    ids=lambda value: value if isinstance(value, str) else
    {False: "mx", True: "submitted"}.get(value, getattr(value, "__name__", None)))
def test_a_mail_with_an_attachment(client, secure, shared, authority, tmp_path):
    recipients = ["bob@example.com", "carol@example.com"] if secure else ["x@in.test"]
    before, n_before = shared.mark(), len(shared.sink.messages)
    client(Job(shared.doors[secure], secure, authority.certificate, recipients, tmp_path))
    accepted = shared.wait_for("message.accepted", since=before)
    shared.wait_for("message.sent", id=accepted["id"])
    message = shared.sink.messages[n_before]
    assert message.recipients == (recipients if secure else ["ops@example.com"])
    assert accepted["listener"] == ("submit" if secure else "mx")
    assert accepted.get("user") == (USER if secure else None)
    trace = message.data.split(b"\r\n\r\n")[0]
    protocol = b"ESMTPSA" if secure else b"SMTP" if client is s_nail else b"ESMTP"
    assert b"with %s " % protocol in trace, trace
    assert email.utils.parseaddr(accepted["reverse_path"])[1] == SENDER
    links.check_files(message.data, [FILE])
    refused = [event for event in shared.events[before:] if "refused" in event["event"]]
    assert not refused, refused


def test_postfix_passes_on_a_crowd_and_what_is_in_it(shared, authority, tmp_path):
    """More recipients than go into one of its transactions, 8-bit text, dots at line starts."""
    crowd = [f"user{n}@example.com" for n in range(70)]
    before, n_before = shared.mark(), len(shared.sink.messages)
    text = "Grüße\n.\n..\n.x\n" + "x" * 900 + "\n"

    class Plain(Job):
        def message(self):
            return mails.plain(mails.crlf(text), sender=SENDER)

    postfix(Plain(shared.doors[True], True, authority.certificate, crowd, tmp_path))
    shared.wait_for("message.sent", since=before, count=2)
    messages = shared.sink.messages[n_before:]
    assert sorted(r for m in messages for r in m.recipients) == sorted(crowd)
    for message in messages:
        assert message.data.endswith(mails.crlf(text).rstrip(b"\r\n") + b"\r\n")
