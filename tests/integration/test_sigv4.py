"""Every signature of s3/sigv4.c against botocore's: a table of odd requests, then generated ones."""
import datetime
import os
import random
import subprocess
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode

PROBE = os.path.join(os.environ.get("STOWAGE_BUILD", "build"), "tests/unit/s3/sigv4_probe")
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
TOKEN = "FwoGZXIvYXdzEBYaD+/Zk3rJ==//" * 12 + "+="

KEYS = [
    "a", "a//b", "//a", "a/../b", "../a", "./a", "a/.", "..", "a b", " a ", "a+b", "a=b&c=d",
    "[a](b){c}", "a%20b", "%2F", "%", "ä/ö.pdf", "日本語.pdf", "\u202eexe.pdf", "😀", "e\u0301",
    "a~b", "a'b\"c", "a\\b", "a:b@c", "a,b;c!d*e$f", "<a>|^`#?", "a?b=c", "a" * 900,
    "ü" * 450, "\x01\x7f", "-._~", "mail/2026/08/07/ID/1-abc.pdf",
]
QUERIES = [
    [], [("uploads", "")], [("b", "2"), ("a", "1")], [("a", "2"), ("a", "1"), ("A", "3")],
    [("a", ""), ("", "x")], [("a b", "c d+e")], [("ä", "=&%")], [("a", "/"), ("a-b", "~")],
    [("prefix", "mail/"), ("list-type", "2"), ("delimiter", "/")], [("a", "10"), ("a", "9")],
    [("response-content-disposition", "attachment; filename=\"a_.pdf\"; filename*=UTF-8''%C3%A4.pdf"),
     ("response-content-type", "application/pdf"), ("response-cache-control", "no-store"),
     ("response-expires", "Thu, 01 Dec 1994 16:00:00 GMT"), ("response-content-language", "de, en"),
     ("response-content-encoding", "gzip"), ("versionId", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY")],
    [("x", "a=b"), ("x.", "1"), ("x-", "2"), ("x~", "3"), ("x%", "4")],
]
HEADERS = [
    [], [("Content-Type", "text/plain")], [("x-amz-meta-b", "1"), ("x-amz-meta", "2")],
    [("X-Amz-Meta-Name", "  a   b \t c  ")], [("x-amz-meta-a", "")],
    [("Content-Disposition", "attachment; filename=\"a  b\"; filename*=UTF-8''a%20b")],
    [("Range", "bytes=0-9"), ("x-amz-storage-class", "STANDARD_IA"), ("If-Match", "\"x\"")],
]
HOSTS = [
    ("https", "examplebucket.s3.amazonaws.com"), ("https", "s3.eu-west-1.amazonaws.com"),
    ("http", "127.0.0.1:9000"), ("http", "localhost:80"), ("https", "s3.example.com:8443"),
    ("https", "s3.cn-north-1.amazonaws.com.cn"), ("https", "minio:443"),
]
DATES = [
    "2013-05-24T00:00:00", "2026-08-07T23:59:59", "2026-08-08T00:00:00", "2024-02-29T12:00:01",
    "2038-01-19T03:14:08", "1999-12-31T23:59:59", "2100-03-01T00:00:00",
]
METHODS = ["GET", "PUT", "HEAD", "DELETE", "POST"]


class Case:
    def __init__(self, mode="header", method="GET", host=HOSTS[0], key="test.txt", query=(),
                 headers=(), token=None, date=DATES[0], expiry=3600, region="us-east-1",
                 payload=EMPTY_SHA256, access="AKIAIOSFODNN7EXAMPLE",
                 secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"):
        self.__dict__.update(locals())

    def __repr__(self):
        return " ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "self")

    @property
    def wire_host(self):
        scheme, host = self.host
        return host.removesuffix({"http": ":80", "https": ":443"}[scheme])

    @property
    def url(self):
        query = "&".join(f"{percent_encode(k)}={percent_encode(v)}" for k, v in self.query)
        path = percent_encode("/" + self.key, safe="/~")
        return f"{self.host[0]}://{self.host[1]}{path}" + ("?" + query if query else "")

    @property
    def time(self):
        return datetime.datetime.fromisoformat(self.date)

    def line(self):
        """The case as sigv4_probe reads it."""
        headers = list(self.headers)
        if self.mode == "header":
            headers.append(("x-amz-content-sha256", self.payload))
        stamp = int(self.time.replace(tzinfo=datetime.timezone.utc).timestamp())
        fixed = [self.mode, str(stamp), str(self.expiry), self.region, "s3", self.access,
                 self.secret, self.token or "", self.method, self.wire_host, "/" + self.key,
                 self.payload if self.mode == "header" else "UNSIGNED-PAYLOAD"]
        pairs = [kind + quote(k, safe="") + "=" + quote(v, safe="")
                 for kind, items in (("q:", self.query), ("h:", headers)) for k, v in items]
        return "\t".join([quote(f, safe="") for f in fixed] + pairs)

    def wanted(self, monkeypatch):
        """What botocore signs: the Authorization value, or the signature of the query."""
        when = self.time

        class Clock(datetime.datetime):
            @classmethod
            def utcnow(cls):
                return when

        # the clock is the only thing that is replaced
        monkeypatch.setattr(auth.datetime, "datetime", Clock)
        credentials = Credentials(self.access, self.secret, self.token)
        request = AWSRequest(method=self.method, url=self.url)
        for name, value in self.headers:
            request.headers.add_header(name, value)
        if self.mode == "header":
            request.headers["X-Amz-Content-SHA256"] = self.payload
            signer = Given(credentials, "s3", self.region)
            signer.add_auth(request)
            return request.headers["Authorization"]
        auth.S3SigV4QueryAuth(credentials, "s3", self.region, expires=self.expiry).add_auth(request)
        return request.url


class Given(auth.S3SigV4Auth):
    """botocore's header signer, with the payload hash of the case rather than the body's."""

    def payload(self, request):
        return request.headers["X-Amz-Content-SHA256"]

    def _modify_request_before_signing(self, request):
        kept = request.headers["X-Amz-Content-SHA256"]
        super()._modify_request_before_signing(request)
        del request.headers["X-Amz-Content-SHA256"]
        request.headers["X-Amz-Content-SHA256"] = kept


def table():
    for key in KEYS:
        for mode in ("header", "query"):
            yield Case(mode=mode, key=key)
            yield Case(mode=mode, key=key, token=TOKEN, host=HOSTS[4], date=DATES[1])
    for query in QUERIES:
        yield Case(query=query)
        if len({k for k, _ in query}) == len(query):  # botocore drops a repeated name here
            yield Case(mode="query", query=query, token=TOKEN)
    for headers in HEADERS:
        yield Case(method="PUT", headers=headers, payload="ab" * 32)
        yield Case(mode="query", headers=headers)
    for host in HOSTS:
        for mode in ("header", "query"):
            yield Case(mode=mode, host=host)
    for date in DATES:
        for mode in ("header", "query"):
            yield Case(mode=mode, date=date, region="eu-central-2")
    for expiry in (1, 60, 604800):
        yield Case(mode="query", expiry=expiry)
    for method in METHODS:
        yield Case(method=method, payload="UNSIGNED-PAYLOAD")
    yield Case(secret="a" * 200, access="A" * 128)
    yield Case(headers=[("x-amz-meta-a", "2"), ("X-Amz-Meta-A", "1"), ("x-amz-meta-a", "2")])


def generated(count, seed):
    rng = random.Random(seed)
    letters = "abcXYZ019-._~/ +=&%?#[]{}'\"\\:@,;!*$<>|^`()äßñ日本\u202e\u00a0😀"

    def word(low, high):
        return "".join(rng.choice(letters) for _ in range(rng.randint(low, high)))

    for _ in range(count):
        mode = rng.choice(("header", "query"))
        query = [(word(0, 6), word(0, 20)) for _ in range(rng.randint(0, 4))]
        if mode == "query":
            query = list({k: (k, v) for k, v in query if k}.values())
        headers = [(f"x-amz-meta-{rng.choice('abc')}", "  ".join(
            "".join(rng.choice("abc;=/\"") for _ in range(rng.randint(1, 9)))
            for _ in range(rng.randint(1, 4)))) for _ in range(rng.randint(0, 4))]
        yield Case(
            mode=mode, method=rng.choice(METHODS), host=rng.choice(HOSTS), key=word(1, 60),
            query=query, headers=headers,
            token=rng.choice((None, TOKEN, "%x+/=&%%~" % rng.getrandbits(512))),
            date=datetime.datetime.fromtimestamp(rng.randrange(2 ** 32),
                                                 datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
            expiry=rng.randint(1, 604800), region=rng.choice(("us-east-1", "cn-north-1", "auto")),
            payload=rng.choice((EMPTY_SHA256, "UNSIGNED-PAYLOAD", "%064x" % rng.getrandbits(256))))


def signature(text):
    """The signature, after either spelling of its name."""
    return text.rpartition("Signature=")[2]


def parameters(query):
    return sorted(p for p in query.split("&"))


@pytest.mark.parametrize("cases", [
    pytest.param(list(table()), id="table"),
    pytest.param(list(generated(4000, 1)), id="generated"),
])
def test_signatures_equal_botocores(cases, monkeypatch):
    lines = "".join(case.line() + "\n" for case in cases)
    done = subprocess.run([PROBE], input=lines, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(cases)
    wrong = []
    for case, got in zip(cases, answers):
        with monkeypatch.context() as patch:
            want = case.wanted(patch)
        if case.mode == "header":
            same = got == want
        else:
            # the order of the parameters is free, each of them and the signature is not
            same = parameters(got) == parameters(want.partition("?")[2])
        if not same or len(signature(got)) != 64:
            wrong.append(f"{case}\n  got  {got}\n  want {want}")
    assert not wrong, f"{len(wrong)} of {len(cases)} differ, the first:\n{wrong[0]}"
