"""The real servers of tests/servers, one each for a test session."""
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from ports import free_port

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "servers")


def _run(script, *arguments, timeout=240):
    done = subprocess.run(["sh", os.path.join(SCRIPTS, script), *map(str, arguments)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{script} {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def reachable_directory(name):
    """A new directory that servers running as another user can reach."""
    path = tempfile.mkdtemp(prefix=f"stowage-test-{name}-")
    os.chmod(path, 0o755)
    return path


@dataclass
class S3Server:
    """A server that speaks S3 and checks signatures."""
    name: str
    endpoint: str
    access_key_id: str = "AKIDTESTTESTTESTTEST"
    secret_access_key: str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    bucket: str = "mail"
    region: str = "us-east-1"
    directory: str = ""  # of its files, for its own tools

    def settings(self, **more):
        return {"bucket": self.bucket, "region": self.region, "endpoint": self.endpoint,
                "path_style": True, "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key, **more}

    def client(self):
        from botocore.session import Session
        return Session().create_client(
            "s3", region_name=self.region, endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key)

    def keys(self):
        listing = self.client().list_objects_v2(Bucket=self.bucket)
        return [entry["Key"] for entry in listing.get("Contents", [])]


def s3_server(name, width):
    """Starts tests/servers/NAME.sh; yields its S3Server; width ports are its own."""
    directory, port = reachable_directory(name), free_port(width)
    server = S3Server(name, f"http://127.0.0.1:{port}", directory=directory)
    try:
        _run(name + ".sh", "start", directory, port, server.access_key_id,
             server.secret_access_key, server.bucket)
        yield server
    finally:
        _run(name + ".sh", "stop", directory)
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class Postfix:
    """Stands in for SES: STARTTLS on port, TLS at once on wrapper_port, AUTH, Maildir."""
    directory: str
    port: int
    user: str = "AKIDRELAY"
    password: str = "BGk/x+P4ss=word"

    @property
    def wrapper_port(self):
        return self.port + 1

    def settings(self, ca_file, **more):
        return {"host": "127.0.0.1", "port": self.port, "tls": "required", "ca_file": ca_file,
                "tls_name": "relay.test", "user": self.user, "password": self.password, **more}

    def delivered(self, recipient):
        """The messages delivered to recipient so far, as bytes with the server's LF lines."""
        new = os.path.join(self.directory, "mail", "new")
        found = []
        for name in sorted(os.listdir(new)) if os.path.isdir(new) else []:
            with open(os.path.join(new, name), "rb") as file:
                data = file.read()
            if b"\nDelivered-To: %s\n" % recipient.encode() in data:
                found.append(data)
        return found

    def log(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as file:
            return file.read()


def postfix_server(authority):
    directory, port = reachable_directory("postfix"), free_port(2)
    certificate, key = authority.issue("relay.test", label="postfix")
    server = Postfix(directory, port)
    try:
        _run("postfix.sh", "start", directory, port, server.user, server.password,
             certificate, key)
        yield server
    finally:
        _run("postfix.sh", "stop", directory)
        shutil.rmtree(directory, ignore_errors=True)
