"""The relay's side: TLS verified, credentials, connections, and replies of every kind."""
import pytest

import mails
from certificates import Authority
from dialog import Dialog, send
from fault_smtp import FaultSmtp
from waiting import wait_until


@pytest.fixture
def start(gateway, make_settings, store):
    def start(relay, **more):
        return gateway(make_settings(relay, store.settings(), **more))
    return start


@pytest.fixture(scope="module")
def stranger_ca(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("stranger")), "Another CA")


def held(one, identity, hold):
    """The message's event, once it is held for that, with its one alert."""
    one.expected_errors.add("queue.needs_attention")
    event = one.wait_for("message.held", id=identity)
    assert event["hold"] == hold
    assert one.wait_for("queue.needs_attention")["hold"] == hold
    return event


@pytest.mark.parametrize("mode", ["required", "wrapper"])
def test_a_relay_with_a_certificate_of_an_unknown_ca_gets_nothing(
        mode, start, postfix, stranger_ca):
    port = postfix.wrapper_port if mode == "wrapper" else postfix.port
    one = start(postfix.settings(stranger_ca.certificate, port=port, tls=mode))
    identity = send(one.address, mails.plain(), recipients=["unknown-ca@example.com"])
    assert "certificate" in held(one, identity, "relay default: TLS")["reason"].lower()
    assert not postfix.delivered("unknown-ca@example.com")


def test_a_relay_whose_certificate_is_for_another_name_gets_nothing(start, postfix, authority):
    one = start(postfix.settings(authority.certificate, tls_name="other.test"))
    identity = send(one.address, mails.plain(), recipients=["other-name@example.com"])
    reason = held(one, identity, "relay default: TLS")["reason"].lower()
    assert "hostname" in reason or "other.test" in reason or "name" in reason
    assert not postfix.delivered("other-name@example.com")


def test_a_relay_whose_certificate_has_expired_gets_nothing(start, authority):
    with_old = FaultSmtp(tls=authority.issue("relay.test", days=-1, label="expired")).start()
    try:
        one = start({"host": "127.0.0.1", "port": with_old.port, "tls": "required",
                     "ca_file": authority.certificate, "tls_name": "relay.test"})
        identity = send(one.address, mails.plain())
        assert "expired" in held(one, identity, "relay default: TLS")["reason"].lower()
        assert not with_old.messages
    finally:
        with_old.stop()


def test_a_relay_that_hides_starttls_gets_neither_mail_nor_password(start, sink):
    sink.users = {"AKID": "secret"}
    one = start({"host": "127.0.0.1", "port": sink.port, "tls": "required", "user": "AKID",
                 "password": "secret"})
    identity = send(one.address, mails.plain())
    assert "STARTTLS" in held(one, identity, "relay default: TLS")["reason"]
    assert not sink.messages and "AUTH" not in sink.commands


def test_a_wrong_password_holds_and_the_mail_goes_once_it_is_mended(start, postfix, authority):
    one = start(postfix.settings(authority.certificate, password="guessed-8"))
    identity = send(one.address, mails.plain(), recipients=["mended@example.com"])
    reason = held(one, identity, "relay default: credentials")["reason"]
    assert "535" in reason or "authentication" in reason.lower()
    assert "guessed-8" not in reason
    one.settings["relay"]["password"] = postfix.password
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    one.wait_for("message.sent", id=identity)
    wait_until(lambda: len(postfix.delivered("mended@example.com")) == 1, "the mail in Postfix")


def test_a_connection_is_kept_between_messages(start, sink):
    one = start(sink.settings(connections=1))
    for _ in range(5):
        identity = send(one.address, mails.plain())
        one.wait_for("message.sent", id=identity)
    assert {message.connection for message in sink.messages} == {1}
    assert len(sink.messages) == 5


def test_a_connection_is_replaced_after_its_number_of_messages(start, sink):
    one = start(sink.settings(connections=1, messages_per_connection=2))
    for _ in range(5):
        one.wait_for("message.sent", id=send(one.address, mails.plain()))
    assert [message.connection for message in sink.messages] == [1, 1, 2, 2, 3]


def test_a_kept_connection_that_the_relay_has_closed_costs_no_attempt(start, sink):
    one = start(sink.settings(connections=1))
    one.wait_for("message.sent", id=send(one.address, mails.plain()))
    sink.stop()
    sink.start()
    identity = send(one.address, mails.plain())
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 2
    assert not one.find("message.uncertain")


def test_recipients_are_split_by_what_the_relay_takes_in_one_transaction(start, sink):
    one = start(sink.settings(max_recipients=50))
    recipients = [f"r{number}@example.com" for number in range(70)]
    identity = send(one.address, mails.plain(), recipients=recipients)
    one.wait_for("message.sent", id=identity)
    assert sorted(len(message.recipients) for message in sink.messages) == [20, 50]
    assert sorted(r for m in sink.messages for r in m.recipients) == sorted(recipients)


@pytest.mark.parametrize("verb,reply", [
    ("CONNECT", "421 4.3.2 later"), ("MAIL", "451 4.3.0 later"), ("RCPT", "450 4.2.1 later"),
    ("DATA", "451 4.3.0 later"), ("DOT", "454 4.7.0 Throttling failure: Maximum sending rate "
                                         "exceeded."),
    ("CONNECT", FaultSmtp.CLOSE), ("EHLO", FaultSmtp.CLOSE), ("MAIL", FaultSmtp.CLOSE),
    ("RCPT", FaultSmtp.CLOSE), ("DATA", FaultSmtp.CLOSE)],
    ids=lambda value: value.split(" ")[0])
def test_what_may_pass_by_itself_is_tried_again_and_sent_once(verb, reply, start, sink):
    sink.script[verb] = [reply]
    one = start(sink.settings(connections=1))
    identity = send(one.address, mails.plain())
    deferred = one.wait_for("message.deferred", id=identity)
    assert deferred["next_attempt"]
    if reply != FaultSmtp.CLOSE:
        assert reply[:3] in deferred["reason"]
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1 and not one.find("message.uncertain")


@pytest.mark.parametrize("verb,reply", [
    ("MAIL", "553 5.1.7 no such sender"),
    ("RCPT", "550 5.1.1 no such user"), ("DOT", "554 Transaction failed: Duplicate header")],
    ids=["MAIL", "RCPT", "DOT"])
def test_a_refusal_makes_the_message_dead_and_visible(verb, reply, start, sink):
    sink.script[verb] = [reply]
    one = start(sink.settings(connections=1))
    identity = send(one.address, mails.plain())
    assert reply[4:] in one.wait_for("message.dead", id=identity)["reason"]
    one.wait_dead(identity)
    assert "1 dead" in one.command("queue", "list").stdout.decode()
    assert not sink.messages


def test_a_refusal_that_a_person_can_mend_keeps_the_message_and_says_what_to_do(start, sink):
    """SES's answer to a sender that is not verified there."""
    sink.script["DOT"] = ["554 Message rejected: Email address is not verified. The following "
                          "identities failed the check in region EU-WEST-1: alice@client.test"]
    one = start(sink.settings(connections=1))
    identity = send(one.address, mails.plain())
    reason = held(one, identity, "relay default: sender client.test")["reason"]
    assert "not verified" in reason and "sender.from" in reason
    assert not one.find("relay.needs_attention")
    one.wait_state(identity, "held")
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.sent", id=identity)


def test_one_refused_recipient_harms_no_other(start, sink):
    sink.script["RCPT"] = lambda argument: \
        "550 5.1.1 no such user" if "gone@" in argument else None
    one = start(sink.settings())
    identity = send(one.address, mails.plain(),
                    recipients=["a@example.com", "gone@example.com", "b@example.com"])
    one.wait_for("message.dead", id=identity)
    assert [m.recipients for m in sink.messages] == [["a@example.com", "b@example.com"]]
    one.wait_dead(identity)
    done = one.command("queue", "show", identity)
    assert done.returncode == 0
    text = done.stdout.decode()
    assert "gone@example.com" in text and "550" in text and "no such user" in text


def test_a_relay_that_says_nothing_is_given_up_at_the_time_limit(start, sink):
    sink.script["MAIL"] = [FaultSmtp.STALL]
    one = start(sink.settings(command_timeout="1s", connections=1))
    identity = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=identity)
    one.wait_for("message.sent", id=identity)


@pytest.mark.parametrize("code,event", [(250, "message.sent"), (554, "message.dead")])
def test_a_last_reply_without_end_is_believed_by_its_first_line(code, event, start, sink):
    lines = [f"{code}-" + "x" * 60] * 16000
    sink.script["DOT"] = ["\r\n".join(lines) + f"\r\n{code} end"]
    one = start(sink.settings())
    one.wait_for(event, id=send(one.address, mails.plain()))
    assert not one.find("message.uncertain") and sink.connections == 1


def test_a_reply_without_end_is_cut_off(start, sink):
    sink.script["MAIL"] = ["\r\n".join(["250-more and more and more"] * 20000) + "\r\n250 ok"]
    one = start(sink.settings(connections=1))
    identity = send(one.address, mails.plain())
    one.wait_for("message.deferred", id=identity)
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1


def test_an_injected_reply_before_the_handshake_is_not_believed(start, authority):
    """What stands in the buffer before TLS must not be read as if it came through it."""
    server = FaultSmtp(tls=authority.issue("relay.test", label="inject")).start()
    server.script["STARTTLS"] = ["220 go\r\n250-injected\r\n250 AUTH PLAIN"]
    try:
        one = start({"host": "127.0.0.1", "port": server.port, "tls": "required",
                     "ca_file": authority.certificate, "tls_name": "relay.test"})
        identity = send(one.address, mails.plain())
        one.wait_for("message.deferred", id=identity)
        one.wait_for("message.sent", id=identity)
        assert server.messages[0].tls
    finally:
        server.stop()


def test_a_message_too_large_for_the_relay_is_dead_with_the_reason(start, sink):
    one = start(sink.settings(max_message_size="20KiB"), attachments={"oversized": "keep"})
    identity = send(one.address, mails.plain(text="0123456789\r\n" * 4000))
    assert one.wait_for("message.dead", id=identity)["reason"]
    assert not sink.messages


def test_eight_bit_mail_is_announced_as_such(start, sink):
    one = start(sink.settings())
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.deliver(mails.plain(text="Grüße\r\n"), parameters="BODY=8BITMIME")
        dialog.quit()
    message = sink.wait_messages(1)[0]
    assert "BODY=8BITMIME" in message.mail_parameters.upper()
    assert "Grüße".encode() in message.data


def test_the_gateway_says_its_own_name_to_the_relay(start, sink):
    one = start(sink.settings())
    send(one.address, mails.plain())
    assert sink.wait_messages(1)[0].helo == "gw.test"
