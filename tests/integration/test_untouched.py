"""What must not be changed is not: signed, encrypted, broken, or without any attachment."""
import pytest

import links
import mails
from dialog import Dialog, send


def signed(subtype="pkcs7-signature", protocol="application/pkcs7-signature"):
    file = mails.File("contract.pdf", "application/pdf", mails.noise(4000))
    inner = mails.multipart("mixed", mails.INNER, [mails.text_part("signed\n"), file.part()])
    signature = (b"Content-Type: %s; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\n"
                 b"Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n"
                 % protocol.encode() + mails.base64_lines(mails.noise(900)))
    body = (b"--%s\r\n" % mails.BOUNDARY.encode() + inner + b"\r\n--%s\r\n"
            % mails.BOUNDARY.encode() + signature + b"--%s--\r\n" % mails.BOUNDARY.encode())
    return mails.headers() + (
        b"Content-Type: multipart/signed; micalg=sha-256;\r\n protocol=\"%s\"; boundary=\"%s\"\r\n"
        b"\r\n" % (protocol.encode(), mails.BOUNDARY.encode()) + body)


def encrypted_pgp():
    parts = [b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
             b"Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n"
             b"Content-Disposition: inline; filename=\"encrypted.asc\"\r\n\r\n"
             b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n-----END PGP MESSAGE-----\r\n"]
    raw = mails.multipart("encrypted", mails.BOUNDARY, parts)
    return mails.headers() + raw.replace(
        b"multipart/encrypted;", b"multipart/encrypted; protocol=\"application/pgp-encrypted\";")


def pkcs7_mime():
    return mails.headers() + (
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=smime.p7m\r\n\r\n"
        + mails.base64_lines(mails.noise(3000)))


def report():
    parts = [mails.text_part("It bounced.\n"),
             b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\n"
             b"Final-Recipient: rfc822; b@c.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
             b"Content-Type: text/rfc822-headers\r\n\r\nSubject: original\r\n"]
    return mails.headers() + mails.multipart("report", mails.BOUNDARY, parts).replace(
        b"multipart/report;", b"multipart/report; report-type=delivery-status;")


FILE = mails.File("a.bin", "application/octet-stream", mails.noise(2000))
MIXED = mails.with_files([FILE]).raw

BROKEN = {
    "a boundary that never occurs": MIXED.replace(
        b'boundary="=_outer_7f3a"', b'boundary="another"'),
    "no boundary parameter": MIXED.replace(b'; boundary="=_outer_7f3a"', b""),
    "an unknown encoding": MIXED.replace(
        b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: rot13"),
    "junk within base64": MIXED.replace(
        mails.base64_lines(FILE.content)[:40], mails.base64_lines(FILE.content)[:39] + b"=!=*"),
    "nested without end": mails.headers() + b"".join(
        b"Content-Type: multipart/mixed; boundary=\"b%d\"\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(300)) + b"text\r\n",
}
WHOLE = {
    "S/MIME signed": signed(),
    "PGP signed": signed(protocol="application/pgp-signature"),
    "PGP encrypted": encrypted_pgp(),
    "S/MIME encrypted": pkcs7_mime(),
    "a delivery report": report(),
}
PLAIN = {
    "plain text": mails.plain(),
    "an empty body": mails.headers() + b"\r\n",
    "eight-bit headers": mails.headers(more=["X-Cafe: caf\xe9"]).decode().encode("latin-1")
    + b"\r\ntext\r\n",
    "odd headers": mails.headers(more=["X:nospace", "X-Fold: a\r\n\tb\r\n  c", "X-Blank:   "])
    + b"\r\ntext  \r\n",
    "a line of 998 octets": mails.plain(text="x" * 998 + "\r\n"),
    "text and HTML": mails.headers() + mails.multipart(
        "alternative", mails.BOUNDARY, [mails.text_part("a\n"), mails.text_part("<p>a", "html")],
        preamble=b"This is MIME.\r\nTwo lines.\r\n", epilogue=b"after\r\nthe end\r\n"),
    "3,000 header lines": mails.headers(more=[f"X-Line-{n}: {n}" for n in range(3000)])
    + b"\r\ntext\r\n",
}


def check_whole(one, sink, raw):
    """raw has passed unchanged but for what was added above it; the event that says why."""
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        identity = dialog.deliver(raw, parameters="BODY=8BITMIME")
    one.wait_for("message.sent", id=identity)
    relayed = sink.messages[-1].data
    assert relayed.endswith(raw)
    trace = relayed.removesuffix(raw)
    assert trace.startswith(b"Received: ") and trace.count(b"\r\n\r\n") == 0
    return identity


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE.keys())
def test_sealed_mail_passes_byte_for_byte(raw, plain_gateway, sink, store):
    check_whole(plain_gateway, sink, raw)
    assert not store.objects


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_broken_mime_goes_out_whole_and_the_log_says_why(raw, plain_gateway, sink, store):
    identity = check_whole(plain_gateway, sink, raw)
    assert not store.objects
    events = plain_gateway.find("message.untouched", id=identity) \
        + plain_gateway.find("attachment.kept", id=identity)
    assert events and all(event["reason"] for event in events)


@pytest.mark.parametrize("raw", PLAIN.values(), ids=PLAIN.keys())
def test_mail_without_attachments_passes_byte_for_byte(raw, plain_gateway, sink, store):
    identity = check_whole(plain_gateway, sink, raw)
    assert not store.objects
    assert not plain_gateway.find("message.untouched", id=identity)


def test_of_two_content_types_the_relay_gets_one_and_the_body_is_untouched(
        plain_gateway, sink, store):
    """SES takes no header twice; two readers would read such a message differently."""
    raw = MIXED.replace(b"Content-Type: multipart/mixed",
                        b"Content-Type: text/plain\r\nContent-Type: multipart/mixed", 1)
    identity = send(plain_gateway.address, raw)
    plain_gateway.wait_for("message.sent", id=identity)
    assert plain_gateway.find("message.untouched", id=identity)[0]["reason"]
    header, _, body = sink.messages[0].data.partition(b"\r\n\r\n")
    assert body == raw.partition(b"\r\n\r\n")[2] and not store.objects
    assert header.count(b"\r\nContent-Type:") == 1


def test_a_message_without_any_header_passes(plain_gateway, sink):
    identity = send(plain_gateway.address, b"just text, no header\r\n")
    plain_gateway.wait_for("message.sent", id=identity)
    assert sink.messages[0].data.endswith(b"just text, no header\r\n")


def test_what_stays_beside_an_attachment_is_byte_identical(plain_gateway, sink):
    mail = mails.everyday()
    identity = send(plain_gateway.address, mail.raw)
    plain_gateway.wait_for("message.sent", id=identity)
    relayed = sink.messages[0].data
    for part in mail.kept:
        assert part in relayed
    before, after = (raw.split(b"\r\n\r\n")[0].split(b"\r\n") for raw in (mail.raw, relayed))
    assert after[-len(before):] == before
    links.check_files(relayed, mail.files)


def test_rewriting_the_result_again_changes_nothing(plain_gateway, sink, store):
    mail = mails.everyday()
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, mail.raw))
    once, stored = sink.messages[0].data, len(store.objects)
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, once))
    assert sink.messages[1].data.endswith(once)
    assert len(store.objects) == stored


def test_a_forged_block_and_marker_protect_no_attachment(plain_gateway, store):
    mail = mails.with_files([FILE], text="Attachments: https://evil.test/x\n",
                            more=["X-Stowage: rewritten"])
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, mail.raw))
    assert list(store.objects.values()) == [FILE.content]


def test_hostile_file_names_reach_neither_keys_nor_headers(plain_gateway, sink, store):
    names = ["../../etc/passwd", "a\u202egnp.exe", "x" * 290 + ".pdf", '"quoted"; evil=1.txt',
             "${jndi:x}.txt", "<b>bold</b>.html"]
    files = [mails.File(name, "application/octet-stream", name.encode()) for name in names]
    raw = mails.headers() + mails.multipart("mixed", mails.BOUNDARY, [
        mails.text_part("hello\n"),
        *(b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
          b"Content-Disposition: attachment; filename*=UTF-8''"
          + "".join(f"%{octet:02X}" for octet in file.name.encode()).encode()
          + b"\r\n\r\n" + mails.base64_lines(file.content) for file in files)])
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, raw))
    assert sorted(store.objects.values()) == sorted(file.content for file in files)
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-")
    for key in store.objects:
        assert set(key) <= allowed and ".." not in key
    for event in plain_gateway.find("attachment.stored"):
        name = event["file_name"]
        assert "/" not in name and "\u202e" not in name and len(name.encode()) <= 200
    assert len(links.in_text(sink.messages[0].data)) == len(files)


def test_the_same_file_twice_is_linked_twice(plain_gateway, sink, store):
    twin = mails.File("b.bin", FILE.media_type, FILE.content)
    mail = mails.with_files([FILE, twin])
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, mail.raw))
    assert len(links.in_text(sink.messages[0].data)) == 2
    assert set(store.objects.values()) == {FILE.content}
