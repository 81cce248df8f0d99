"""Memory does not depend on the size of a message; needs the build without sanitizers."""
import hashlib
import os
import shutil

import pytest

import links
import mails
from dialog import Dialog, queue_id
from gateway import Gateway, build_directory
from ports import free_port

MIB = 1 << 20
CEILING_KIB = 64 * 1024
SIZE = 1024 * MIB        # of the message on the wire
BLOCK = 57 * 1024 * 12   # octets that make whole base64 lines


def big_message(size):
    """Yields a message of about size octets with one attachment; its hash is in the last item."""
    block = mails.noise(BLOCK)
    encoded = mails.base64_lines(block)
    count = size // len(encoded)
    digest = hashlib.sha256()
    yield (mails.headers(subject="Big") + b"Content-Type: multipart/mixed; boundary=\"bbb\"\r\n\r\n"
           b"--bbb\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n--bbb\r\n"
           b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
           b"Content-Disposition: attachment; filename=\"disk.img\"\r\n\r\n"), None
    for _ in range(count):
        digest.update(block)
        yield encoded, None
    yield b"--bbb--\r\n", (digest.hexdigest(), count * BLOCK)


@pytest.fixture
def sandbox(tmp_path):
    """A sandbox of the plain build; what it has stored does not outlive the test."""
    smtp, http, admin = (free_port() for _ in range(3))
    directory = tmp_path / "sandbox"
    one = Gateway(tmp_path, build=build_directory("STOWAGE_RELEASE"), arguments=[
        "serve", "--sandbox", str(directory), "--smtp", f"127.0.0.1:{smtp}",
        "--http", f"127.0.0.1:{http}", "--admin", f"127.0.0.1:{admin}"])
    one.smtp, one.maildir = ("127.0.0.1", smtp), directory / "Maildir" / "new"
    try:
        with one.running():
            yield one
    finally:
        shutil.rmtree(directory)


def test_a_message_of_a_gibibyte_passes_in_64_mib(sandbox):
    with Dialog(sandbox.smtp, timeout=240) as dialog:
        dialog.ehlo()
        dialog.starttls()
        dialog.mail("a@b.test", "x@example.com")
        assert dialog.command("DATA").code == 354
        for block, ending in big_message(SIZE):
            dialog.send(block)
        dialog.send(b".\r\n")
        identity = queue_id(dialog.reply())
    sandbox.wait_for("message.sent", id=identity, timeout=240)
    stored = sandbox.find("attachment.stored", id=identity)[0]
    assert (stored["sha256"], stored["size"]) == ending
    peak = sandbox.peak_rss_kib()
    assert peak < CEILING_KIB, f"peak RSS {peak} KiB"


def test_a_large_download_of_the_sandbox_takes_no_memory(sandbox):
    file = mails.File("b.bin", "application/octet-stream", mails.noise(100 * MIB))
    with Dialog(sandbox.smtp, timeout=120) as dialog:
        dialog.ehlo()
        sandbox.wait_for("message.sent", timeout=120, id=dialog.deliver(mails.alone(file).raw))
    message = (sandbox.maildir / os.listdir(sandbox.maildir)[0]).read_bytes()
    links.check_files(message, [file])
    assert sandbox.peak_rss_kib() < CEILING_KIB


def test_many_messages_and_connections_leave_memory_where_it_was(sandbox):
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", mails.noise(100_000))])
    for _ in range(5):
        with Dialog(sandbox.smtp) as dialog:
            dialog.ehlo()
            dialog.starttls()
            identities = [dialog.deliver(mail.raw) for _ in range(40)]
        for identity in identities:
            sandbox.wait_for("message.sent", id=identity)
    assert sandbox.peak_rss_kib() < CEILING_KIB
