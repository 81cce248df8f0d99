"""From the address that mail arrives for to where it goes."""
import pytest
import yaml

import mails
from dialog import Dialog
from gateway import EX_CONFIG, Listener, lan, run


def mx(recipients):
    return Listener("mx", tls="none", auth="none", recipients=recipients)


def forwarded(one, sink, address, *recipients):
    """Where a message for recipients went."""
    before = len(sink.messages)
    with Dialog(address) as dialog:
        dialog.ehlo()
        one.wait_for("message.sent", id=dialog.deliver(mails.plain(), recipients=recipients))
    return [r for message in sink.messages[before:] for r in message.recipients]


def test_the_most_exact_entry_of_the_map_wins(gateway, make_settings, sink, store):
    door = mx({"@in.test": "ops@example.com", "boss@in.test": "carla@example.com",
               "@each.test": "%{local}@example.com", "@same.test": "%{address}"})
    one = gateway(make_settings(sink.settings(delivers=["same.test"]), store.settings(), [door]))
    cases = {"any@in.test": "ops@example.com", "boss@in.test": "carla@example.com",
             "BOSS@In.Test": "carla@example.com", "dora@each.test": "dora@example.com",
             "dora@same.test": "dora@same.test"}
    for address, target in cases.items():
        assert forwarded(one, sink, door.address, address) == [target], address


def test_two_addresses_that_lead_to_one_are_one_recipient(gateway, make_settings, sink, store):
    door = mx({"@in.test": "ops@example.com"})
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    assert forwarded(one, sink, door.address, "a@in.test", "b@in.test") == ["ops@example.com"]


def test_a_list_of_addresses_goes_where_it_was_sent(gateway, make_settings, sink, store):
    """Recipients as a list: identity, which takes a relay that delivers the domain itself."""
    door = Listener("mx", tls="none", auth="none", recipients=["@in.test"])
    one = gateway(make_settings(sink.settings(delivers=["in.test"]), store.settings(), [door]))
    assert forwarded(one, sink, door.address, "eva@in.test") == ["eva@in.test"]


def test_without_a_map_the_clients_of_the_network_send_to_anyone(
        gateway, make_settings, sink, store):
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    assert forwarded(one, sink, door.address, "x@far.test", "y@away.test") == [
        "x@far.test", "y@away.test"]


def test_mail_of_one_listener_for_anothers_addresses_is_led_through_that_map(
        gateway, make_settings, sink, store):
    door, inside = mx({"@in.test": "ops@example.com"}), lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door, inside]))
    assert forwarded(one, sink, inside.address, "any@in.test") == ["ops@example.com"]


def test_check_refuses_a_map_that_leads_back_here(make_settings, sink, store, tmp_path):
    for recipients in ({"@in.test": "ops@in.test"},
                       {"@in.test": "x@other.test", "@other.test": "y@in.test"},
                       {"@in.test": "%{local}@other.test", "a@other.test": "%{local}@in.test"},
                       ["@in.test"]):
        path = tmp_path / "loop.yaml"
        path.write_text(yaml.safe_dump(make_settings(
            sink.settings(), store.settings(), [mx(recipients)])))
        done = run("check", "-c", path)
        assert done.returncode == EX_CONFIG, recipients
        text = done.stderr.decode()
        assert "loop" in text or "back" in text, text
        assert f"{path}:" in text


def test_postmaster_without_a_domain_is_taken_where_strangers_come(
        gateway, make_settings, sink, store):
    door = mx({"@in.test": "ops@example.com", "postmaster@gw.test": "admin@example.com"})
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    assert forwarded(one, sink, door.address, "postmaster") == ["admin@example.com"]


@pytest.mark.parametrize("more,target", [
    ({}, "ops@example.com"), ({"postmaster": "admin@example.com"}, "admin@example.com")])
def test_a_map_that_names_no_postmaster_has_one_all_the_same(
        more, target, gateway, make_settings, sink, store):
    door = mx({"alerts@in.test": "ops@example.com", "logs@in.test": "logs@example.com"})
    one = gateway(make_settings(sink.settings(), store.settings(), [door], **more))
    for address in ("postmaster", "Postmaster@in.test", "postmaster@gw.test"):
        assert forwarded(one, sink, door.address, address) == [target]
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        dialog.command("MAIL FROM:<a@b.test>")
        for stranger in ("postmaster@elsewhere.test", "postmasters@in.test"):
            assert dialog.command(f"RCPT TO:<{stranger}>").code == 550


def test_a_hundred_recipients_are_taken_and_the_ceiling_is_said(
        gateway, make_settings, sink, store):
    door = lan(max_recipients=120)
    gateway(make_settings(sink.settings(), store.settings(), [door]))
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", *(f"r{n}@example.com" for n in range(120)))
        reply = dialog.command("RCPT TO:<one.more@example.com>")
        assert reply.code == 452 and reply.lines[0].startswith("4.5.3 "), reply
        assert dialog.data(mails.plain()).code == 250
    assert sum(len(m.recipients) for m in sink.wait_messages(3)) == 120
