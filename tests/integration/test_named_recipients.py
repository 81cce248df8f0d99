"""Recipients that the text of a message names: devices that can write to one address only."""
import email
import email.policy
import json

import pytest
import yaml

import mails
from dialog import Dialog, send
from gateway import EX_CONFIG, lan, run

COLON = ":Email_Rxers_Code:{}:Email_Rxers_Code:"
BRACKET = "Email_Rxers_Code:[{}]:Email_Rxers_Code:"
NAMED = {"markers": ["colon", "bracket"], "domains": ["example.com", "root@partner.test"],
         "max": 3, "fallback": "office@example.com"}


def listener(**more):
    door = lan()
    door.settings.update(more)
    return door


@pytest.fixture
def devices(gateway, make_settings, sink, store):
    """(gateway, its address): a listener whose mail names its recipients."""
    door = listener(recipients_in_text=True)
    one = gateway(make_settings(sink.settings(), store.settings(), [door], recipients=NAMED))
    return one, door.address


def delivered(one, address, sink, raw, recipients=("device@gw.test",)):
    before = len(sink.messages)
    with Dialog(address) as dialog:
        dialog.ehlo()
        one.wait_for("message.sent", id=dialog.deliver(raw, recipients=list(recipients)))
    return sink.messages[before:]


def texts(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return [part.get_content().replace("\r\n", "\n")
            for part in message.walk() if part.get_content_maintype() == "text"]


@pytest.mark.parametrize("form", [COLON, BRACKET])
def test_the_named_recipients_get_it_without_the_marker(form, devices, sink):
    one, address = devices
    marker = form.format("a@example.com, B@example.com;a@EXAMPLE.com")
    got = delivered(one, address, sink, mails.plain(f"Alarm.\r\n{marker}\r\nSee to it.\r\n"))
    assert [message.recipients for message in got] == [["a@example.com", "B@example.com"]]
    assert texts(got[0].data) == ["Alarm.\nSee to it.\n"]
    assert one.wait_for("recipients.named")["recipients"] == 2


def test_markers_go_from_text_and_html_beside_attachments(devices, sink, store):
    one, address = devices
    marker = COLON.format("a@example.com,root@partner.test")
    mail = mails.with_files(
        [mails.File("a.jpg", "image/jpeg", b"jpeg")], text=f"Alarm {marker}!\n",
        html=f"<p>Alarm {marker.replace('example', 'exam<br>ple').replace('@', '&#64;')}!</p>\n")
    got, = delivered(one, address, sink, mail.raw)
    assert got.recipients == ["a@example.com", "root@partner.test"]
    plain, html = texts(got.data)
    assert "Rxers" not in plain + html and "partner" not in plain + html
    assert plain.startswith("Alarm !\n") and "<p>Alarm !</p>" in html
    assert "a.jpg" in plain and "a.jpg" in html
    assert list(store.objects.values()) == [b"jpeg"]


@pytest.mark.parametrize("text, reason", [
    ("Nothing here.", "holds no list"),
    (COLON.format("a@example.com,nonsense"), "recipient 2 of the list is not an address"),
    (COLON.format("eve@evil.test"), "recipient 1 of the list is not one that may"),
    (COLON.format(",".join(f"{i}@example.com" for i in range(4))), "more than 3"),
    (":Email_Rxers_Code:a@example.com", "no end"),
    (BRACKET.format(""), "is empty"),
], ids=["none", "no address", "not allowed", "too many", "no end", "empty"])
def test_without_a_proper_list_it_goes_to_the_fallback_with_the_reason(
        text, reason, devices, sink):
    one, address = devices
    got, = delivered(one, address, sink, mails.plain(text + "\r\n"))
    assert got.recipients == ["office@example.com"]
    said, = texts(got.data)
    assert said.startswith("This message came for device@gw.test,") and reason in said
    assert said.endswith("\n\n" + text.replace("\r\n", "\n") + "\n")
    logged = one.wait_for("recipients.unnamed")
    assert reason in logged["reason"] and "example" not in logged["reason"]


def test_a_signed_message_stays_and_says_it_in_the_header(devices, sink):
    one, address = devices
    raw = mails.headers() + mails.multipart(
        "signed", "b", [b"\r\n" + COLON.format("a@example.com").encode() + b"\r\n",
                        b"Content-Type: application/pgp-signature\r\n\r\nx\r\n"])
    got, = delivered(one, address, sink, raw)
    assert got.recipients == ["office@example.com"]
    assert b"\r\nX-Stowage-Notice: " in b"\r\n" + got.data.split(b"\r\n\r\n")[0]
    assert got.data.split(b"\r\n\r\n", 1)[1] == raw.split(b"\r\n\r\n", 1)[1]


def test_a_retry_sends_it_to_those_alone_who_have_not_got_it(devices, sink):
    one, address = devices
    refusals = ["451 4.2.1 later"]
    sink.script["RCPT"] = lambda argument: (
        refusals.pop() if "b@example.com" in argument and refusals else None)
    marker = COLON.format("a@example.com,b@example.com")
    with Dialog(address) as dialog:
        dialog.ehlo()
        name = dialog.deliver(mails.plain(f"x {marker}\r\n"), recipients=["device@gw.test"])
    one.wait_for("message.deferred", id=name)
    one.wait_for("message.sent", id=name)
    assert sorted(message.recipients for message in sink.messages) == [
        ["a@example.com"], ["b@example.com"]]
    assert all("Rxers" not in texts(message.data)[0] for message in sink.messages)
    one.wait_state(name, "sent")
    done = one.command("queue", "show", "--json", name)
    assert [(r["original"], r["forward_path"], r["state"])
            for r in json.loads(done.stdout)["recipients"]] == [
        ("device@gw.test", "a@example.com", "sent"), ("device@gw.test", "b@example.com", "sent")]


def test_it_is_off_elsewhere_and_for_other_addresses(gateway, make_settings, sink, store):
    marker = COLON.format("a@example.com")
    door, other = listener(), lan("devices", recipients_in_text=True)
    one = gateway(make_settings(sink.settings(), store.settings(), [door, other], recipients={
        **NAMED, "addresses": ["device@gw.test"]}))
    raw = mails.plain(f"x {marker}\r\n")
    got, = delivered(one, door.address, sink, raw, ["else@gw.test"])
    assert got.recipients == ["else@gw.test"] and marker in texts(got.data)[0]
    got, = delivered(one, door.address, sink, raw, ["else@gw.test", "device@gw.test"])
    assert got.recipients == ["else@gw.test", "a@example.com"]
    got, = delivered(one, other.address, sink, raw, ["else@gw.test"])
    assert got.recipients == ["a@example.com"]


def test_it_may_be_on_for_single_users(gateway, make_settings, sink, store):
    door = lan(auth="optional", auth_without_tls=True)
    settings = make_settings(sink.settings(), store.settings(), [door], recipients=NAMED)
    settings["auth"]["accounts"] = [{"user": "print*", "recipients_in_text": True}]
    one = gateway(settings)
    raw = mails.plain(f"x {COLON.format('a@example.com')}\r\n")
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        assert dialog.auth_plain("printer", "pass word:7").code == 235
        one.wait_for("message.sent", id=dialog.deliver(raw, recipients=["device@gw.test"]))
    assert sink.messages[-1].recipients == ["a@example.com"]
    got, = delivered(one, door.address, sink, raw)
    assert got.recipients == ["device@gw.test"]


def test_what_is_missing_is_said_at_check(make_settings, sink, store, tmp_path):
    door = listener(recipients_in_text=True)
    path = tmp_path / "stowage.yaml"
    path.write_text(yaml.safe_dump(make_settings(
        sink.settings(), store.settings(), [door], recipients={"markers": ["colon"]})))
    done = run("check", "-c", path)
    assert done.returncode == EX_CONFIG
    assert b"recipients.domains: is missing" in done.stderr
    assert b"recipients.fallback: is missing" in done.stderr


def test_mail_of_an_ordinary_gateway_is_not_looked_through(plain_gateway, sink):
    send(plain_gateway.address, mails.plain(COLON.format("a@example.com") + "\r\n"))
    assert COLON.format("a@example.com") in texts(sink.wait_messages(1)[0].data)[0]
