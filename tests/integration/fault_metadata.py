"""Scriptable stand-ins for the services that hand out credentials: EC2, containers, STS."""
import datetime
import hashlib
import hmac
import json
import re
import socket
import threading
import urllib.parse

from http_stand_in import HttpStandIn

METADATA_TOKEN = "metadata-token=="
ROLE = "uploads"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed_by(method, path, headers, payload_sha256, keys):
    """
    The access key id whose secret in keys ({id: secret}) made the Authorization header;
    AssertionError where it is another's, or does not cover what S3 and STS ask for.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
        r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", headers["authorization"])
    assert found, "malformed Authorization"
    identity, day, region, service, names, signature = found.groups()
    names = names.split(";")
    assert names == sorted(names) and {"host", "x-amz-date"} <= set(names)
    assert "x-amz-security-token" not in headers or "x-amz-security-token" in names
    assert headers["x-amz-date"].startswith(day)
    canonical = "\n".join([
        method, path, "",
        *[f"{name}:{' '.join(headers[name].split())}" for name in names], "",
        ";".join(names), payload_sha256])
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + keys[identity]).encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    assert _hmac(key, text).hex() == signature, "signature of another key"
    return identity


class FaultMetadata(HttpStandIn):
    """
    All three at one port: /latest/... is EC2's (version 2 only), /container is a container's,
    POST / is STS. Each answer has new keys that live for life_s. fault: None, "hang" (until
    stop), "close", "endless", or (status, body); faults are by service: "ec2", "container",
    "sts".
    """

    def __init__(self, port=None, tls=None):
        super().__init__(port)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.tls = tls                          # (certificate, key)
        self.life_s = 3600
        self.clock_off_s = 0                    # of this service, ahead of the machine's
        self.faults = {}
        self.keys = {"AKIDBASE": "base-secret"}  # all that were ever good: id: secret
        self.tokens = {}                        # id: session token
        self.issued = []                        # (service, id, expires)
        self.asked = []                         # (service, what)
        self.problems = []                      # what a real service would have refused
        self.authorization = None               # that the container must send
        self.web_identity = None                # token that STS takes
        self._lock = threading.Lock()

    def asked_of(self, service):
        with self._lock:
            return [what for name, what in self.asked if name == service]

    def issued_by(self, service):
        with self._lock:
            return [identity for name, identity, _ in self.issued if name == service]

    # ---- answers ----

    def serve(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
        name = ("sts" if request.path == "/" else
                "container" if request.path.startswith("/container") else "ec2")
        with self._lock:
            self.asked.append((name, f"{request.command} {request.path}"))
        fault = self.faults.get(name)
        if fault == "hang":
            self._stop.wait()
        elif fault == "close":
            request.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "endless":
            self.flood(request)
        elif fault:
            self.answer(request, fault[0], fault[1])
        else:
            try:
                getattr(self, name)(request, body)
            except (AssertionError, KeyError) as problem:
                self.problems.append(f"{name}: {problem!r}")
                self.answer(request, 400, "refused")
            return
        request.close_connection = True

    get = put = post = serve

    def flood(self, request):
        request.send_response(200)
        request.end_headers()
        while not self._stop.is_set():
            request.wfile.write(b"x" * 65536)

    @staticmethod
    def answer(request, status, text, media_type="text/plain"):
        content = text.encode()
        request.send_response(status)
        request.send_header("Content-Type", media_type)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def issue(self, name):
        with self._lock:
            identity = f"ASIA{name.upper()}{len(self.issued)}"
            expires = (datetime.datetime.now(datetime.timezone.utc)
                       + datetime.timedelta(seconds=self.life_s))
            self.keys[identity] = f"secret-of-{identity}"
            self.tokens[identity] = f"token-of-{identity}=="
            self.issued.append((name, identity, expires))
        return identity, self.keys[identity], self.tokens[identity], expires.strftime(_TIME)

    def json(self, name):
        identity, secret, token, expires = self.issue(name)
        return json.dumps({"Code": "Success", "AccessKeyId": identity,
                           "SecretAccessKey": secret, "Token": token, "Expiration": expires})

    def ec2(self, request, _):
        if request.path == "/latest/api/token":
            assert request.command == "PUT"
            assert request.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            self.answer(request, 200, METADATA_TOKEN)
            return
        assert request.command == "GET"
        if request.headers.get("X-aws-ec2-metadata-token") != METADATA_TOKEN:
            self.answer(request, 401, "")
        elif request.path == "/latest/meta-data/iam/security-credentials/":
            self.answer(request, 200, ROLE)
        elif request.path == f"/latest/meta-data/iam/security-credentials/{ROLE}":
            self.answer(request, 200, self.json("ec2"))
        else:
            self.answer(request, 404, "")

    def container(self, request, _):
        assert request.command == "GET"
        if request.headers.get("Authorization") != self.authorization:
            self.answer(request, 401, "")
        else:
            self.answer(request, 200, self.json("container"), "application/json")

    def in_time(self, request):
        stamp = datetime.datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        now = datetime.datetime.utcnow() + datetime.timedelta(seconds=self.clock_off_s)
        return abs((now - stamp).total_seconds()) < 300

    def sts(self, request, body):
        form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
        assert request.command == "POST" and form["Version"] == "2011-06-15"
        assert re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", form["RoleArn"])
        assert len(form["RoleSessionName"]) >= 2
        action = form["Action"]
        if action == "AssumeRole" and not self.in_time(request):
            self.answer(request, 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code>"
                        "<Message>Signature expired</Message></Error></ErrorResponse>")
            return
        if action == "AssumeRole":
            sha256 = hashlib.sha256(body.encode()).hexdigest()
            by = signed_by("POST", "/", dict(request.headers), sha256, self.keys)
            assert request.headers.get("x-amz-security-token") == self.tokens.get(by)
        else:
            assert action == "AssumeRoleWithWebIdentity"
            assert "Authorization" not in request.headers
            assert form["WebIdentityToken"] == self.web_identity
            by = "web"
        with self._lock:
            self.asked.append(("roles", (form["RoleArn"].rpartition("/")[2], by,
                                         form.get("ExternalId"), form["RoleSessionName"])))
        identity, secret, token, expires = self.issue("sts")
        self.answer(request, 200, f"""<{action}Response
 xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>
 <AccessKeyId>{identity}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
 <SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration>
 </Credentials></{action}Result></{action}Response>""", "text/xml")
