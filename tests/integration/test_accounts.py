"""auth.accounts: what single users may do, as their clients find out."""
import pytest

from conftest import PASSWORD
from dialog import Dialog, queue_id, stuff
from gateway import Listener, run
from mails import crlf

TEXT = crlf("Subject: s\n\nbody\n")


def submit(**settings):
    """A listener for users on loopback, in clear."""
    return Listener("submit", **{"tls": "none", "auth": "required", "auth_without_tls": True,
                                 **settings})


def message(*fields):
    """A message with these lines in its header."""
    return crlf("\n".join([*fields, "Subject: s", "", "body", ""]))


@pytest.fixture
def door(gateway, make_settings, sink, store, tmp_path):
    """door(account, ...): a gateway whose users are camera, ups and free; it has .login()."""
    def start(*accounts, listener=None, wait=True, **more):
        users = str(tmp_path / "users")
        for name in ("camera", "ups", "free"):
            done = run("user", "add", users, name, stdin=PASSWORD.encode())
            assert done.returncode == 0, done.stderr.decode()
        listener = listener or submit()
        one = gateway(make_settings(sink.settings(), store.settings(), [listener],
                                    auth={"users": users, "accounts": list(accounts), **more}),
                      wait=wait)

        def login(user, source=None):
            dialog = Dialog(listener.address, source=source)
            dialog.ehlo()
            reply = dialog.auth_plain(user, PASSWORD)
            assert reply.code == 235, reply
            return dialog
        one.login = login
        return one
    return start


def test_an_account_may_send_only_as_itself(door, sink):
    one = door({"user": "camera", "from": ["cameras.example.com", "ops@example.com"]})
    with one.login("camera") as dialog:
        refused = dialog.command("MAIL FROM:<boss@example.com>")
        assert refused.code == 553 and refused.lines[0].startswith("5.7.1 ")
        for good in ("a@cameras.example.com", "a@CAMERAS.example.com", "ops@example.com", ""):
            assert dialog.command(f"MAIL FROM:<{good}>").code == 250
            assert dialog.command("RSET").code == 250
    event = one.wait_for("message.refused", user="camera", client="127.0.0.1")
    assert event["reverse_path"] == "boss@example.com" and "Sender address" in event["reason"]
    # Who has no account may say anything.
    with one.login("free") as dialog:
        dialog.deliver(message("From: boss@example.com"), "boss@example.com")
    sink.wait_messages(1)


@pytest.mark.parametrize("fields,may", [
    (["From: Camera 1 <one@cameras.example.com>"], True),
    (['From: "Camera, 1" <one@cameras.example.com>, ops@example.com'], True),
    (["From: cams: one@cameras.example.com, two@cameras.example.com;"], True),
    ([], True),
    (["From: boss@example.com"], False),
    (["from : boss@example.com"], False),
    (["From: one@cameras.example.com, boss@example.com"], False),
    (["From: cams: one@cameras.example.com, boss@example.com;"], False),
    (["From: one@cameras.example.com", "From: boss@example.com"], False),
    (["From: one@cameras.example.com,", "\tboss@example.com"], False),
    (["From:", " boss@example.com"], False),
    (["From: boss@example.com <one@cameras.example.com>"], False),
    (["From: <one@cameras.example.com> boss@example.com"], False),
    (["From: (comment", "From: boss@example.com"], False),
    (["Subject: x", "X-A: b", "FROM: boss@example.com"], False),
    (["From: one@cameras.example.com", "no field", "From: boss@example.com"], False),
    (["no field", "From: boss@example.com"], False),
    ([" ", "From: boss@example.com"], False),
    (["From boss@example.com Thu Nov 19 10:00:00 2026", "From: boss@example.com"], False),
    (["X-Long: " + "x" * 70000, "From: boss@example.com"], False),
    (["From: " + "one@cameras.example.com, " * 4000 + "boss@example.com"], False),
], ids=lambda value: str(value)[:60])
def test_from_in_the_message_is_one_of_the_accounts(fields, may, door, sink):
    one = door({"user": "camera", "from": ["cameras.example.com", "ops@example.com"]})
    with one.login("camera") as dialog:
        dialog.mail("one@cameras.example.com", "bob@example.com")
        reply = dialog.data(stuff(message(*fields)))
        if may:
            identity = queue_id(reply)
        else:
            assert reply.code in (550, 552) and reply.lines[-1].startswith("5.")
            # The session goes on.
            identity = dialog.deliver(message("From: ops@example.com"), "ops@example.com")
    one.wait_for("message.sent", id=identity)
    assert len(sink.wait_messages(1)) == 1
    assert b"boss@example.com" not in sink.messages[0].data


@pytest.mark.parametrize("raw", [
    b"Subject: s\nFrom: boss@example.com\n\nbody\n\r\n",
    b"Subject: s\rFrom: boss@example.com\r\n\r\nbody\r\n",
    b"X-A: b\r\nFr\x00om: boss@example.com\r\nFrom: boss@example.com\r\n\r\nbody\r\n",
], ids=["LF", "CR", "NUL"])
def test_no_line_end_hides_a_from(raw, door, sink):
    one = door({"user": "camera", "from": ["cameras.example.com"], "profile": "legacy"})
    with one.login("camera") as dialog:
        dialog.mail("one@cameras.example.com", "bob@example.com")
        reply = dialog.data(raw)
        if reply.code == 250:
            one.wait_for("message.sent", id=queue_id(reply))
            head = sink.messages[0].data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
            assert b"\nFrom: boss" not in head and b"\nFrom: one@cameras" in head


def test_a_refused_from_is_told_with_its_user(door):
    one = door({"user": "cam*", "from": ["cameras.example.com"]})
    with one.login("camera") as dialog:
        dialog.mail("one@cameras.example.com", "bob@example.com")
        reply = dialog.data(message("From: boss@example.com"))
        assert reply.code == 550 and reply.lines[-1].startswith("5.7.1 ")
    event = one.wait_for("message.refused", user="camera")
    assert "From address" in event["reason"] and event["id"]
    assert one.queue_list() == []


def test_recipients_of_an_account_are_listed(door):
    one = door({"user": "camera", "recipients": ["example.com", "ops@example.org"]})
    with one.login("camera") as dialog:
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        for recipient, code in (("bob@example.com", 250), ("Ops@example.org", 250),
                                ("bob@example.org", 550), ("postmaster", 250),
                                ("bob@sub.example.com", 550)):
            reply = dialog.command(f"RCPT TO:<{recipient}>")
            assert reply.code == code, (recipient, reply)
            if code == 550:
                assert reply.lines[0].startswith("5.7.1 ")
    event = one.wait_for("recipient.refused", user="camera", recipient="bob@example.org")
    assert "not allowed" in event["reason"]


def test_an_account_has_networks_of_its_own(door):
    one = door({"user": "camera", "networks": ["127.0.0.9"]},
               listener=submit())
    with one.login("camera", source="127.0.0.9"):
        pass
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        assert dialog.auth_plain("camera", PASSWORD).code == 535
    with one.login("free"):
        pass


def test_size_and_recipients_are_the_accounts(door):
    one = door({"user": "camera", "max_message_size": "2KiB", "max_recipients": 2})
    big = message("From: a@b.test") + b"x" * 60 + b"\r\n" + (b"y" * 70 + b"\r\n") * 60
    with one.login("camera") as dialog:
        reply = dialog.command("MAIL FROM:<a@b.test> SIZE=4000")
        assert reply.code == 552 and reply.lines[0].startswith("5.3.4")
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        codes = [dialog.command(f"RCPT TO:<r{i}@example.com>").code for i in range(3)]
        assert codes == [250, 250, 452]
        assert dialog.data(big).code == 552
    with one.login("ups") as dialog:
        dialog.deliver(big, recipients=[f"r{i}@example.com" for i in range(3)])


def test_rates_are_the_accounts(door):
    one = door({"user": "camera", "messages_per_minute": 3},
               {"user": "ups", "recipients_per_minute": 4})
    with one.login("camera") as dialog:
        codes = []
        for _ in range(5):
            codes.append(dialog.command("MAIL FROM:<a@b.test>").code)
            dialog.command("RSET")
        assert codes[:3] == [250] * 3 and codes[4] == 450
    # Another connection does not help.
    with one.login("camera") as dialog:
        reply = dialog.command("MAIL FROM:<a@b.test>")
        assert reply.code == 450 and reply.lines[0].startswith("4.7.1 ")
    with one.login("ups") as dialog:
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        codes = [dialog.command(f"RCPT TO:<r{i}@example.com>").code for i in range(6)]
        assert codes[:4] == [250] * 4 and codes[5] == 450
    with one.login("free") as dialog:
        for _ in range(6):
            dialog.deliver(TEXT)
    one.wait_for("message.refused", user="camera")
    one.wait_for("recipient.refused", user="ups")


def test_rates_of_a_client(gateway, make_settings, sink, store):
    listener = Listener("lan", tls="none", auth="none", networks=["127.0.0.0/8"],
                        messages_per_minute=2, recipients_per_minute=3)
    one = gateway(make_settings(sink.settings(), store.settings(), [listener]))
    with Dialog(listener.address) as dialog:
        dialog.ehlo()
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        codes = [dialog.command(f"RCPT TO:<r{i}@example.com>").code for i in range(5)]
        assert codes[:3] == [250] * 3 and codes[4] == 450
        dialog.command("RSET")
        dialog.command("MAIL FROM:<a@b.test>")
        dialog.command("RSET")
        reply = dialog.command("MAIL FROM:<a@b.test>")
        assert reply.code == 450 and reply.lines[0].startswith("4.7.1 ")
    # Another address has a minute of its own.
    with Dialog(listener.address, source="127.0.0.7") as dialog:
        dialog.ehlo()
        dialog.deliver(TEXT)
    one.wait_for("message.refused", client="127.0.0.1")


def test_an_old_device_has_its_profile_from_authentication_on(door):
    one = door({"user": "ups", "profile": "legacy"})
    with one.login("free") as dialog:
        assert dialog.command("MAIL FROM: a@b.test").code == 501
    with one.login("ups") as dialog:
        assert dialog.command("MAIL FROM: a@b.test").code == 250
        assert dialog.command("RCPT TO: bob@example.com").code == 250
        queue_id(dialog.data(b"Subject: s\n\nbare\n\r\n"))


def test_who_may_get_bounces_is_known(door, sink):
    trusted = submit(auth="optional", networks=["127.0.0.0/8"])
    sink.script["RCPT"] = lambda argument: "450 4.2.1 later"
    one = door(listener=trusted)
    with one.login("free") as dialog:
        known = dialog.deliver(TEXT)
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        near = dialog.deliver(TEXT)
    assert {m["id"]: m["may_bounce"] for m in one.queue_list()} == {known: True, near: True}


def test_strangers_get_no_bounces(gateway, make_settings, sink, store):
    sink.script["RCPT"] = lambda argument: "450 4.2.1 later"
    mx = Listener("mx", tls="none", auth="none", recipients={"@example.com": "%{local}@example.net"})
    one = gateway(make_settings(sink.settings(), store.settings(), [mx]))
    with Dialog(mx.address) as dialog:
        dialog.ehlo()
        identity = dialog.deliver(TEXT)
    [waiting] = one.queue_list()
    assert waiting["id"] == identity and waiting["may_bounce"] is False
    shown = one.command("queue", "show", identity).stdout.decode()
    assert "May bounce    no" in shown
