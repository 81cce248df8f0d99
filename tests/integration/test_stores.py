"""What arrives in a store is there once and whole, whatever its size and the store's moods."""
import hashlib

import pytest

import links
import mails
from dialog import send
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
    running.wait_for("message.sent", id=identity, timeout=60)
    return identity


def deliver_after(running, files, hold):
    """The message waits for a person, who mends it."""
    identity = send(running.address, mails.with_files(files).raw)
    held = running.wait_for("message.held", id=identity)
    assert held["hold"] == hold
    running.expected_errors.add("queue.needs_attention")
    assert running.command("queue", "retry", identity).returncode == 0
    running.wait_for("message.sent", id=identity, timeout=60)


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

