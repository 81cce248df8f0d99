"""What else an envelope carries: DSN's parameters, addresses beyond ASCII, 8-bit headers."""
import json

import pytest

from dialog import Dialog, queue_id, stuff
from gateway import Listener, lan
from mails import crlf
from waiting import wait_until

PLAIN = crlf("From: a@client.test\nSubject: s\n\nbody\n")
UTF8 = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")


def deliver(address, mail, *rcpt, data=PLAIN):
    """The ID of a message whose MAIL and RCPT commands are these, in UTF-8."""
    with Dialog(address) as dialog:
        dialog.ehlo()
        for command in (mail, *rcpt):
            dialog.send(command.encode() + b"\r\n")
            reply = dialog.reply()
            assert reply.code == 250, (command, reply)
        return queue_id(dialog.data(stuff(data)))


def show(one, identity):
    done = one.command("queue", "show", identity, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


DSN_MAIL = "MAIL FROM:<a@client.test> RET=HDRS ENVID=QQ+2B314159"
DSN_RCPT = ("RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40x@example.org",
            "RCPT TO:<never@example.com> NOTIFY=NEVER", "RCPT TO:<plain@example.com>")


def test_dsn_parameters_are_kept_over_a_restart(door, sink):
    sink.script["RCPT"] = lambda argument: "450 4.2.1 later"
    one = door()
    identity = deliver(one.address, DSN_MAIL, *DSN_RCPT)
    one.wait_for("message.deferred", id=identity)
    one.kill()
    del sink.script["RCPT"]
    sink.extensions += ("DSN",)
    since = one.mark()
    one.start()
    message = show(one, identity)
    assert (message["ret"], message["envid"]) == ("HDRS", "QQ+2B314159")
    assert [(r["notify"], r["orcpt"]) for r in message["recipients"]] == [
        ("SUCCESS,DELAY", "rfc822;Bob+40x@example.org"), ("NEVER", None), (None, None)]
    text = one.command("queue", "show", identity).stdout.decode()
    assert "RET=HDRS ENVID=QQ+2B314159" in text
    assert "NOTIFY=SUCCESS,DELAY  ORCPT=rfc822;Bob+40x@example.org" in text
    one.wait_for("message.sent", id=identity, since=since)
    commands = [c for c in sink.commands if c.startswith(("MAIL", "RCPT"))]
    [first] = [i for i, c in enumerate(commands) if c.endswith(" RET=HDRS ENVID=QQ+2B314159")]
    assert commands[first + 1:first + 4] == list(DSN_RCPT)


def test_a_relay_without_dsn_is_told_nothing_of_it(door, sink):
    one = door()
    identity = deliver(one.address, DSN_MAIL, *DSN_RCPT)
    one.wait_for("message.sent", id=identity)
    sent = [c for c in sink.commands if c.startswith(("MAIL", "RCPT"))]
    assert len(sent) == 4
    assert not [c for c in sent for word in ("RET=", "ENVID=", "NOTIFY=", "ORCPT=") if word in c]


def test_addresses_beyond_ascii_go_as_they_are_where_the_relay_takes_them(door, sink):
    sink.extensions = UTF8
    one = door(lan(smtputf8=True))
    header = "From: Jürgen <jürgen@bücher.example>\nSubject: Grüße\n\nbody\n"
    identity = deliver(one.address, "MAIL FROM:<jürgen@bücher.example> SMTPUTF8 BODY=8BITMIME",
                       "RCPT TO:<пример@пример.example>", data=crlf(header))
    one.wait_for("message.sent", id=identity)
    [message] = sink.wait_messages(1)
    assert message.sender.encode("latin-1").decode() == "jürgen@bücher.example"
    assert [r.encode("latin-1").decode() for r in message.recipients] == ["пример@пример.example"]
    assert "SMTPUTF8" in message.mail_parameters and "BODY=8BITMIME" in message.mail_parameters
    assert crlf(header).split(b"\r\n\r\n")[0] in message.data
    assert b"with UTF8SMTP" in message.data
    assert show(one, identity)["smtputf8"] is True


def test_a_relay_without_smtputf8_gets_domains_in_a_labels_and_an_ascii_header(door, sink):
    one = door(lan(smtputf8=True))
    header = ("From: Jürgen <j@bücher.example>\nTo: Пример <to@пример.example>\n"
              "Subject: Grüße\n\nbödy\n")
    identity = deliver(one.address, "MAIL FROM:<j@bücher.example> SMTPUTF8 BODY=8BITMIME",
                       "RCPT TO:<to@пример.example>", data=crlf(header))
    one.wait_for("message.sent", id=identity)
    [message] = sink.wait_messages(1)
    assert message.sender == "j@xn--bcher-kva.example"
    assert message.recipients == ["to@xn--e1afmkfd.example"]
    assert "SMTPUTF8" not in message.mail_parameters
    head, _, body = message.data.partition(b"\r\n\r\n")
    head.decode("ascii")
    assert b"<j@xn--bcher-kva.example>" in head and b"<to@xn--e1afmkfd.example>" in head
    assert b"MIME-Version: 1.0" in head
    assert body == "bödy\r\n".encode()


def test_a_local_part_beyond_ascii_is_refused_for_good_without_smtputf8(door, sink):
    one = door(lan(smtputf8=True))
    identity = deliver(one.address, "MAIL FROM:<> SMTPUTF8",
                       "RCPT TO:<пример@example.com>", "RCPT TO:<bob@example.com>")
    dead = one.wait_for("message.dead", id=identity)
    assert "5.6.7" in dead["reason"] and "SMTPUTF8" in dead["reason"]
    one.wait_dead(identity)
    states = {r["forward_path"]: r["state"] for r in show(one, identity)["recipients"]}
    assert states == {"пример@example.com": "dead", "bob@example.com": "sent"}
    assert [m.recipients for m in sink.messages] == [["bob@example.com"]]

    identity = deliver(one.address, "MAIL FROM:<jürgen@client.test> SMTPUTF8",
                       "RCPT TO:<bob@example.com>")
    ended = wait_until(lambda: one.find("message.dead", id=identity)
                       or one.find("message.bounced", id=identity), "its end")
    assert "5.6.7" in ended[0]["reason"]
    assert len(sink.messages) == 1


def test_maps_know_a_domain_by_both_names(gateway, make_settings, sink, store):
    mx = Listener("mx", tls="none", auth="none", smtputf8=True,
                  recipients={"@xn--bcher-kva.example": "%{local}@example.net"})
    one = gateway(make_settings(sink.settings(), store.settings(), [mx]))
    identity = deliver(mx.address, "MAIL FROM:<a@client.test> SMTPUTF8",
                       "RCPT TO:<bob@Bücher.example>", "RCPT TO:<eve@XN--BCHER-KVA.example>")
    with Dialog(mx.address) as dialog:
        dialog.ehlo()
        dialog.command("MAIL FROM:<a@client.test> SMTPUTF8")
        dialog.send("RCPT TO:<bob@andere-bücher.example>\r\n".encode())
        assert dialog.reply().code == 550
    one.wait_for("message.sent", id=identity)


@pytest.mark.parametrize("header,times", [
    ("Subject: s", 0),
    ("Content-Type: text/plain", 1),
    ("MIME-Version: 1.0\nContent-Type: text/plain", 1),
    ("Mime-version : 1.0\nContent-Type: text/plain", 1),
], ids=["plain", "typed", "whole", "oddly spelled"])
def test_mime_version_is_there_once_where_it_is_needed(header, times, door, sink):
    one = door()
    identity = deliver(one.address, "MAIL FROM:<a@client.test> BODY=8BITMIME",
                       "RCPT TO:<bob@example.com>",
                       data=crlf(f"From: a@client.test\n{header}\n\nbody\n"))
    one.wait_for("message.sent", id=identity)
    [message] = sink.wait_messages(1)
    head = message.data.partition(b"\r\n\r\n")[0].lower()
    assert head.count(b"mime-version") == times


def test_mime_version_is_added_once_with_links(gateway, make_settings, sink, store):
    inside = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [inside],
                                attachments={"min_size": 0}))
    parts = crlf("""--b
Content-Type: text/plain

text
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64

UERG
--b--
""")
    alone = crlf("UERG\n")
    for head, body in (("Content-Type: multipart/mixed; boundary=b", parts),
                       ("Content-Type: application/pdf; name=a.pdf\n"
                        "Content-Disposition: attachment\n"
                        "Content-Transfer-Encoding: base64", alone)):
        before = len(sink.messages)
        deliver(inside.address, "MAIL FROM:<a@client.test>", "RCPT TO:<bob@example.com>",
                data=crlf(f"From: a@client.test\n{head}\n\n") + body)
        wait_until(lambda: len(sink.messages) > before, "the message at the relay")
        head = sink.messages[-1].data.partition(b"\r\n\r\n")[0].lower()
        assert head.count(b"mime-version: 1.0") == 1, head
        assert b"UERG" not in sink.messages[-1].data
    assert len(one.wait_for("attachment.stored", count=2)) == 2


def test_7bit_content_declared_8bit_goes_to_a_7bit_relay(door, sink):
    sink.extensions = ("PIPELINING",)
    one = door()
    identity = deliver(one.address, "MAIL FROM:<a@client.test> BODY=8BITMIME",
                       "RCPT TO:<bob@example.com>")
    one.wait_for("message.sent", id=identity)
    assert "BODY" not in sink.messages[0].mail_parameters
