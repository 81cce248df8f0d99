"""What arrives in a store is there once and whole, whatever its size and the store's moods."""
import hashlib
import urllib.parse

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import links
import mails
from dialog import send
from fault_s3 import FaultS3
from gateway import lan

LARGE = 21_000_000  # three parts


@pytest.fixture
def one(gateway, make_settings, sink):
    """A gateway with a store: one(S3 settings)."""
    def start(s3):
        return gateway(make_settings(sink.settings(), s3, [lan(max_message_size="64MiB")]))
    return start


def file(size=9999, name="a.bin"):
    return mails.File(name, "application/octet-stream", mails.noise(size))


def deliver(running, files):
    identity = send(running.address, mails.with_files(files).raw)
    running.wait_for("message.sent", id=identity, timeout=120)
    return identity


def deliver_after(running, files, hold):
    """The message waits for a person, who mends it."""
    identity = send(running.address, mails.with_files(files).raw)
    held = running.wait_for("message.held", id=identity)
    assert held["hold"] == hold
    running.expected_errors.add("queue.needs_attention")
    running.wait_state(identity, "held")
    assert running.command("queue", "retry", identity).returncode == 0
    running.wait_for("message.sent", id=identity, timeout=120)


def test_large_attachments_go_in_parts(one, radosgw, sink):
    running = one(radosgw.settings(multipart_threshold="5MiB",
                                   tags=["origin=in mail", "team=a+b"]))
    files = [file(LARGE, "large.bin"), file(name="small.bin")]
    deliver(running, files)
    links.check_files(sink.messages[0].data, files)
    client = radosgw.client()
    etags = {}
    for event in running.find("attachment.stored"):
        head = client.head_object(Bucket=radosgw.bucket, Key=event["key"])
        etags[event["file_name"]] = head["ETag"].strip('"')
        assert head["Metadata"]["sha256"] in {hashlib.sha256(f.content).hexdigest()
                                              for f in files}
        if event["file_name"] == "large.bin":
            continue  # Ceph 16 leaves tags away from uploads in parts
        tags = client.get_object_tagging(Bucket=radosgw.bucket, Key=event["key"])["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"origin": "in mail", "team": "a+b"}
    assert etags["large.bin"].endswith("-3") and "-" not in etags["small.bin"]
    assert not client.list_multipart_uploads(Bucket=radosgw.bucket).get("Uploads")


@pytest.mark.parametrize("checksum", ["sha256", "md5", "none"])
def test_checksums_are_taken_by_a_real_store(checksum, one, radosgw, sink):
    running = one(radosgw.settings(multipart_threshold="5MiB", checksum=checksum))
    files = [file(LARGE, "large.bin"), file(name="small.bin")]
    deliver(running, files)
    links.check_files(sink.messages[0].data, files)


@pytest.mark.parametrize("how", [
    {"encryption": "aes256"},
    {"encryption": "kms", "kms_key_id": "key1", "kms_context": ["purpose=mail"]},
], ids=lambda how: how["encryption"])
def test_encryption_is_asked_for_in_one_piece_and_in_parts(how, one, radosgw, sink):
    running = one(radosgw.settings(multipart_threshold="5MiB", **how))
    files = [file(LARGE, "large.bin"), file(name="small.bin")]
    deliver(running, files)
    links.check_files(sink.messages[0].data, files)
    for event in running.find("attachment.stored"):
        if how["encryption"] == "aes256":
            continue  # Ceph takes it and does not say what became of it
        head = radosgw.client().head_object(Bucket=radosgw.bucket, Key=event["key"])
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key1")
    said = [event for event in running.find("library.message", level="warning")
            if "does not say that it has encrypted" in event["reason"]]
    assert len(said) == (how["encryption"] == "aes256")


def test_a_part_refused_leaves_nothing_behind(one, store, sink):
    store.faults = [(403, "AccessDenied")]
    running = one(store.settings(multipart_threshold="5MiB", connections=1))
    files = [file(LARGE)]
    deliver_after(running, files, "store: access")
    assert ("DELETE", "upload") in store.asked and not store.uploads
    links.check_files(sink.messages[0].data, files)
    assert len(store.objects) == 1


def test_a_passing_fault_repeats_one_part_only(one, store, sink):
    store.faults = ["close", (503, "SlowDown")]
    running = one(store.settings(multipart_threshold="5MiB"))
    files = [file(LARGE)]
    deliver(running, files)
    assert not running.find("message.deferred")
    assert store.asked.count(("POST", "create")) == 1 and store.puts == 5
    links.check_files(sink.messages[0].data, files)


def test_content_stored_wrong_is_stored_again(one, store, sink):
    store.wrong_etags = 1
    store.conditions = True
    running = one(store.settings())
    files = [file()]
    deliver(running, files)
    assert store.puts == 2 and not running.find("message.deferred")
    links.check_files(sink.messages[0].data, files)


def test_content_stored_wrong_for_ever_is_never_linked(one, store, sink):
    store.wrong_etags = 1000
    running = one(store.settings())
    identity = send(running.address, mails.with_files([file()]).raw)
    reason = running.wait_for("message.deferred", id=identity)["reason"]
    assert "stored something else" in reason and not sink.messages


def test_a_retry_finds_what_is_there(one, store, sink):
    """The second object fails, the first one is there when the message is tried again."""
    store.conditions = True
    store.faults = [None, (403, "AccessDenied")]
    running = one(store.settings(connections=1))
    files = [file(name="a.bin"), file(5555, "b.bin")]
    deliver_after(running, files, "store: access")
    assert store.asked.count(("HEAD", "object")) == 1 and store.puts == 4
    assert not store.overwritten and len(store.objects) == 2
    links.check_files(sink.messages[0].data, files)



# ---- what a store leaves aside ----

def warnings(running):
    return [event["reason"] for event in running.find("library.message", level="warning")]


def test_a_lock_that_a_store_does_not_know_is_said_once(one, swift):
    running = one(swift.settings(object_lock="governance", object_lock_days=1))
    for _ in range(2):
        deliver(running, [file()])
    (said,) = warnings(running)
    assert "does not say that it has locked" in said


def test_whether_a_store_locks_is_asked_until_it_says(one, store):
    store.heads = [500] * 8 + [403]
    running = one(store.settings(object_lock="governance", object_lock_days=1, attempts=1))
    while store.heads:
        deliver(running, [file()])
    deliver(running, [file()])
    (said,) = warnings(running)
    assert "cannot be seen" in said and "s3.object_lock" in said


def test_a_lock_is_kept_by_who_knows_it(one, radosgw):
    client = radosgw.client()
    client.create_bucket(Bucket="locked-here", ObjectLockEnabledForBucket=True)
    running = one(radosgw.settings(bucket="locked-here", object_lock="governance",
                                   object_lock_days=1))
    deliver(running, [file()])
    (stored,) = running.find("attachment.stored")
    head = client.head_object(Bucket="locked-here", Key=stored["key"])
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert not warnings(running)


# ---- endpoints with a path ----

class BehindAPath(FaultS3):
    """Signatures are checked by botocore, over the path as it was asked for."""
    path = "/store/v1.2/s3"

    def __init__(self):
        super().__init__()
        self.endpoint += self.path
        self.wrong = []
        self.questions = []

    def is_signed(self, request):
        path, _, query = request.path.partition("?")
        fields = dict(urllib.parse.parse_qsl(query))
        keys = Credentials("AKIDTEST", "secret")
        if "X-Amz-Signature" in fields:
            signer = S3SigV4QueryAuth(keys, "s3", "us-east-1", expires=0)
            claimed, date = fields["X-Amz-Signature"], fields["X-Amz-Date"]
            query = "&".join(pair for pair in query.split("&") if "X-Amz-Signature=" not in pair)
            names = fields["X-Amz-SignedHeaders"]
        else:
            signer = S3SigV4Auth(keys, "s3", "us-east-1")
            words = dict(word.split("=", 1) for word in
                         request.headers["Authorization"].partition(" ")[2].split(", "))
            claimed, date = words["Signature"], request.headers["x-amz-date"]
            names = words["SignedHeaders"]
        asked = AWSRequest(method=request.command,
                           url=f"http://{request.headers['Host']}{path}?{query}",
                           headers={name: request.headers[name] for name in names.split(";")})
        asked.context["timestamp"] = date
        text = signer.string_to_sign(asked, signer.canonical_request(asked))
        return signer.signature(text, asked) == claimed

    def checked(self, request, serve):
        self.questions.append((request.command, request.path.partition("?")[2]))
        if not request.path.startswith(self.path + "/mail/") or not self.is_signed(request):
            self.wrong.append(request.path)
        request.path = request.path[len(self.path):]
        serve(request)

    def put(self, request):
        self.checked(request, super().put)

    def head(self, request):
        self.checked(request, super().head)

    def post(self, request):
        self.checked(request, super().post)

    def delete(self, request):
        self.checked(request, super().delete)

    def get(self, request):
        self.checked(request, super().get)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_store_behind_a_path_is_asked_there(slash, one, sink):
    store = BehindAPath().start()
    try:
        running = one(store.settings(endpoint=store.endpoint + slash,
                                     multipart_threshold="5MiB"))
        files = [file(LARGE, "large.bin"), file(name="small.bin")]
        identity = deliver(running, files)
        links.check_files(sink.messages[0].data, files)
        for verb in ("extend", "revoke"):
            assert running.command("links", verb, identity).returncode == 0
        assert not store.wrong and not store.objects
        assert {method for method, _ in store.questions} == \
            {"PUT", "HEAD", "POST", "DELETE", "GET"}
        assert any(query.startswith("X-Amz-") and "lifecycle" in query
                   for _, query in store.questions)
    finally:
        store.stop()
