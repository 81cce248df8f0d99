"""250 means kept: nothing accepted is lost, whatever is down, and everything can be seen."""
import glob
import json
import os
import threading

import pytest

import links
import mails
from dialog import Dialog, send
from fault_s3 import FaultS3
from fault_smtp import FaultSmtp
from gateway import lan
from ports import free_port
from waiting import wait_until


@pytest.fixture
def listener():
    return lan()


@pytest.fixture
def mail():
    return mails.with_files([mails.File("a.bin", "application/octet-stream", mails.noise(9999))])


def spool_files(one):
    return [path for path in glob.glob(one.settings["queue"]["directory"] + "/**", recursive=True)
            if os.path.isfile(path) and len(os.path.basename(path)) == 26]


def test_with_the_relay_down_mail_is_taken_kept_and_sent_when_it_is_back(
        gateway, make_settings, store, listener, mail):
    relay = FaultSmtp()
    one = gateway(make_settings(relay.settings(), store.settings(), [listener]))
    identity = send(listener.address, mail.raw)
    reason = one.wait_for("message.deferred", id=identity)["reason"]
    assert str(relay.port) in reason or "refused" in reason.lower()
    wait_until(lambda: [(m["id"], m["state"]) for m in one.queue_list()]
               == [(identity, "deferred")], "its record, which follows the log")
    relay.start()
    try:
        one.wait_for("message.sent", id=identity)
        links.check_files(relay.messages[0].data, mail.files)
        assert len(relay.messages) == 1 and len(store.objects) == 1
        wait_until(lambda: not spool_files(one), "the spool file goes once the record is written")
    finally:
        relay.stop()


def test_with_the_store_down_mail_is_taken_kept_and_sent_when_it_is_back(
        gateway, make_settings, sink, listener, mail):
    store = FaultS3()
    one = gateway(make_settings(sink.settings(), store.settings(connect_timeout="1s"), [listener]))
    identity = send(listener.address, mail.raw)
    one.wait_for("message.deferred", id=identity)
    assert not sink.messages
    untouched = send(listener.address, mails.plain())
    one.wait_for("message.sent", id=untouched)  # what needs no store is not held up
    store.start()
    try:
        one.wait_for("message.sent", id=identity)
        links.check_files(sink.messages[-1].data, mail.files)
    finally:
        store.stop()


@pytest.mark.parametrize("fault", [(503, "SlowDown"), (500, "InternalError"), "close"], ids=str)
def test_a_passing_fault_of_the_store_costs_nothing(fault, plain_gateway, store, sink, mail):
    store.faults = [fault]
    identity = send(plain_gateway.address, mail.raw)
    plain_gateway.wait_for("message.sent", id=identity)
    assert not plain_gateway.find("message.deferred")
    links.check_files(sink.messages[0].data, mail.files)


@pytest.mark.parametrize("fault", [(403, "AccessDenied"), (404, "NoSuchBucket"),
                                   (403, "SignatureDoesNotMatch")], ids=str)
def test_a_refusing_store_holds_the_mail_back_and_says_what_to_mend(
        fault, plain_gateway, store, sink, mail):
    plain_gateway.expected_errors = {"queue.needs_attention"}
    store.always = fault
    identity = send(plain_gateway.address, mail.raw)
    assert fault[1] in plain_gateway.wait_for("message.held", id=identity)["reason"]
    assert fault[1] in plain_gateway.wait_for("queue.needs_attention")["reason"]
    wait_until(lambda: [m["hold"][:6] for m in plain_gateway.queue_list("--state", "held")]
               == ["store:"], "it is held")
    assert not sink.messages
    store.always = None
    assert plain_gateway.command("queue", "retry", "--hold", "store").returncode == 0
    plain_gateway.wait_for("message.sent", id=identity)
    links.check_files(sink.messages[0].data, mail.files)


def test_nothing_is_relayed_before_every_object_is_stored(plain_gateway, store, sink):
    files = [mails.File(f"{n}.bin", "application/octet-stream", mails.noise(5000, n))
             for n in range(8)]
    store.faults = [None, None, None, *[(500, "InternalError")] * 10]
    identity = send(plain_gateway.address, mails.with_files(files).raw)
    plain_gateway.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1
    links.check_files(sink.messages[0].data, files)


def test_a_retry_names_its_objects_as_before(gateway, make_settings, store, listener, mail):
    relay = FaultSmtp().start()
    relay.script["MAIL"] = ["451 later", "451 later"]
    try:
        one = gateway(make_settings(relay.settings(connections=1), store.settings(), [listener]))
        identity = send(listener.address, mail.raw)
        one.wait_for("message.sent", id=identity)
    finally:
        relay.stop()
    assert len(one.find("message.deferred", id=identity)) == 2
    assert len(store.objects) == 1 and store.puts == 1, "stored twice"


def test_a_restart_resumes_what_was_queued(gateway, make_settings, store, listener, mail):
    relay = FaultSmtp()
    one = gateway(make_settings(relay.settings(), store.settings(), [listener]))
    identities = [send(listener.address, mail.raw) for _ in range(10)]
    for identity in identities:
        one.wait_for("message.deferred", id=identity)
    one.stop()
    relay.start()
    try:
        one.start()
        for identity in identities:
            one.wait_for("message.sent", id=identity)
        assert len(relay.messages) == 10 and len(store.objects) == 10
        assert not store.overwritten
        for message in relay.messages:
            links.check_files(message.data, mail.files)
    finally:
        relay.stop()


def test_list_show_and_retry(gateway, make_settings, store, listener, mail):
    relay = FaultSmtp()
    settings = make_settings(relay.settings(), store.settings(), [listener])
    settings["queue"].update(retry_first="1h", retry_max="1h")
    one = gateway(settings)
    identity = send(listener.address, mail.raw, sender="alice@client.test",
                    recipients=["bob@example.com"])
    one.wait_for("message.deferred", id=identity)
    other = send(listener.address, mails.plain())
    for waiting in (identity, other):
        one.wait_state(waiting, "deferred")

    assert {m["id"] for m in one.queue_list()} == {identity, other}
    assert one.queue_list("--state", "sent") == []
    table = one.command("queue", "list").stdout.decode()
    assert identity in table and "deferred" in table
    shown = one.command("queue", "show", identity).stdout.decode()
    for fact in (identity, "alice@client.test", "bob@example.com", "a.bin", "127.0.0.1"):
        assert fact in shown, shown
    as_json = json.loads(one.command("queue", "show", identity, "--json").stdout)
    assert as_json["id"] == identity
    unknown = one.command("queue", "show", "0" * 26)
    assert unknown.returncode != 0 and unknown.stderr

    relay.start()
    try:
        assert one.command("queue", "retry", identity).returncode == 0
        one.wait_for("message.sent", id=identity)
        assert not one.find("message.sent", id=other)
        assert one.command("queue", "retry", "--all").returncode == 0
        one.wait_for("message.sent", id=other)
    finally:
        relay.stop()


def test_a_dead_message_goes_out_after_retry(plain_gateway, sink, mail):
    sink.script["RCPT"] = ["550 5.1.1 not yet"]
    identity = send(plain_gateway.address, mail.raw)
    plain_gateway.wait_for("message.dead", id=identity)
    plain_gateway.wait_dead(identity)
    assert spool_files(plain_gateway)
    assert plain_gateway.command("queue", "retry", identity).returncode == 0
    plain_gateway.wait_for("message.sent", id=identity)
    links.check_files(sink.messages[0].data, mail.files)
    wait_until(lambda: not spool_files(plain_gateway), "the spool file is gone")


def test_retry_gives_a_message_past_its_lifetime_a_new_one(
        gateway, make_settings, sink, store, listener, mail):
    sink.script["MAIL"] = ["451 4.7.1 later"] * 50
    settings = make_settings(sink.settings(), store.settings(), [listener])
    settings["queue"]["lifetime"] = "6s"
    one = gateway(settings)
    identity = send(listener.address, mail.raw)
    reason = one.wait_for("message.dead", id=identity)["reason"]
    assert "not delivered in 6s" in reason and "451 4.7.1 later" in reason
    one.wait_dead(identity)
    sink.script["MAIL"] = ["451 4.7.1 later"]
    since = one.mark()
    assert one.command("queue", "retry", identity).returncode == 0
    one.wait_for("message.deferred", id=identity, since=since)
    one.wait_for("message.sent", id=identity, since=since)
    assert not one.find("message.dead", since, id=identity)
    def show():
        return json.loads(one.command("queue", "show", identity, "--json").stdout)
    wait_until(lambda: show()["finished"], "the record, which follows the log's event")
    shown = show()
    assert shown["received"] < shown["retried"] <= shown["finished"]


def test_retry_works_on_a_gateway_that_is_not_running(plain_gateway, sink, mail):
    sink.script["RCPT"] = ["550 5.1.1 not yet"]
    identity = send(plain_gateway.address, mail.raw)
    plain_gateway.wait_for("message.dead", id=identity)
    plain_gateway.stop()
    plain_gateway.wait_dead(identity)
    assert plain_gateway.command("queue", "retry", identity).returncode == 0
    plain_gateway.start()
    plain_gateway.wait_for("message.sent", id=identity)


def test_a_lost_reply_after_the_final_dot_is_uncertain_and_said(plain_gateway, sink, mail):
    sink.script["DOT"] = [FaultSmtp.TAKE_AND_CLOSE]
    identity = send(plain_gateway.address, mail.raw)
    plain_gateway.wait_for("message.uncertain", id=identity)
    plain_gateway.wait_for("message.sent", id=identity)  # at least once: it is tried again
    plain_gateway.wait_state(identity, "sent")
    assert len(sink.messages) == 2
    first, second = (message.data for message in sink.messages)
    assert links.in_text(first)[0].split("?")[0] == links.in_text(second)[0].split("?")[0]
    shown = json.loads(plain_gateway.command("queue", "show", identity, "--json").stdout)
    assert shown["uncertain"] is True or shown["uncertain"] == 1


def test_a_cut_before_the_final_dot_is_not_uncertain(plain_gateway, sink):
    sink.script["DATA"] = [FaultSmtp.CLOSE]
    identity = send(plain_gateway.address, mails.plain())
    plain_gateway.wait_for("message.sent", id=identity)
    assert not plain_gateway.find("message.uncertain") and len(sink.messages) == 1


def test_a_message_not_delivered_in_its_lifetime_is_dead_and_kept(
        gateway, make_settings, store, listener):
    settings = make_settings(FaultSmtp().settings(), store.settings(), [listener])
    settings["queue"]["lifetime"] = "2s"
    one = gateway(settings)
    identity = send(listener.address, mails.plain())
    one.wait_for("message.dead", id=identity)
    one.wait_dead(identity)
    assert spool_files(one)


def test_a_full_queue_is_said_before_data(gateway, make_settings, store, listener):
    settings = make_settings(FaultSmtp().settings(), store.settings(), [listener])
    settings["queue"].update(max_messages=2, retry_first="1h", retry_max="1h")
    one = gateway(settings)
    for _ in range(2):
        send(listener.address, mails.plain())
    with Dialog(listener.address) as dialog:
        dialog.ehlo()
        reply = dialog.command("MAIL FROM:<a@b.test>")
        assert reply.code == 452 and reply.lines[0].startswith("4.3.1 "), reply
        dialog.quit()
    assert len(one.queue_list()) == 2


def test_a_full_disk_is_said_before_data(gateway, make_settings, sink, store, listener):
    settings = make_settings(sink.settings(), store.settings(), [listener])
    settings["queue"]["min_free"] = "60TiB"
    gateway(settings)
    with Dialog(listener.address) as dialog:
        dialog.ehlo()
        reply = dialog.command("MAIL FROM:<a@b.test>")
        assert reply.code == 452 and reply.lines[0].startswith("4.3.1 "), reply


def test_orphans_in_the_spool_are_removed_at_the_start(
        gateway, make_settings, sink, store, listener):
    settings = make_settings(sink.settings(), store.settings(), [listener])
    one = gateway(settings)
    one.wait_for("message.sent", id=send(listener.address, mails.plain()))
    one.stop()
    folders = [folder for folder, _, _ in os.walk(settings["queue"]["directory"])
               if os.path.basename(folder) == "incoming"]
    assert len(folders) == 1
    orphan = os.path.join(folders[0], "01jd0000000000000000000000")
    with open(orphan, "wb") as out:
        out.write(b"Subject: half a mess")
    one.start()
    wait_until(lambda: not os.path.exists(orphan), "the orphan is gone")
    one.wait_for("message.sent", id=send(listener.address, mails.plain()))
    assert len(sink.messages) == 2


def test_a_corrupt_database_is_said_plainly_and_nothing_is_touched(
        gateway, make_settings, sink, store, listener):
    settings = make_settings(sink.settings(), store.settings(), [listener])
    one = gateway(settings)
    one.wait_for("message.sent", id=send(listener.address, mails.plain()))
    one.stop()
    databases = [path for path in glob.glob(settings["queue"]["directory"] + "/**", recursive=True)
                 if os.path.isfile(path) and open(path, "rb").read(15) == b"SQLite format 3"]
    assert len(databases) == 1
    with open(databases[0], "r+b") as file:
        file.write(os.urandom(4096))
    before = open(databases[0], "rb").read()
    one.expected_errors = {"gateway.failed"}
    one.start(wait=False)
    assert one.wait_exit() == 69
    assert settings["queue"]["directory"] in one.log_text()
    assert open(databases[0], "rb").read() == before


def test_mail_whose_file_system_is_not_mounted_yet_is_kept(
        gateway, make_settings, sink, store, listener):
    settings = make_settings(sink.settings(), store.settings(), [listener])
    sink.stop()
    one = gateway(settings)
    identity = send(listener.address, mails.plain())
    one.wait_for("message.deferred", id=identity)
    one.stop()
    incoming = os.path.join(settings["queue"]["directory"], "incoming")
    os.rename(incoming, incoming + ".away")
    one.expected_errors = {"gateway.failed"}
    for _ in range(2):  # missing, then there and empty
        one.start(wait=False)
        assert one.wait_exit() == 69
        assert incoming in one.find("gateway.failed")[-1]["reason"]
    os.rmdir(incoming)
    os.rename(incoming + ".away", incoming)
    sink.start()
    one.start()
    one.command("queue", "retry", identity)
    one.wait_for("message.sent", id=identity)
    assert len(sink.messages) == 1


def test_hundreds_of_messages_from_many_clients_each_arrive_once(plain_gateway, sink, store):
    done, failures = [], []

    def client(number):
        try:
            with Dialog(plain_gateway.address, timeout=120) as dialog:
                dialog.ehlo()
                for n in range(20):
                    file = mails.File(f"{number}-{n}.bin", "application/octet-stream",
                                      mails.noise(3000, number * 100 + n))
                    done.append(dialog.deliver(mails.with_files([file]).raw))
        except Exception as error:  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    assert len(set(done)) == 200
    sink.wait_messages(200)
    wait_until(lambda: len(plain_gateway.find("message.sent")) == 200, "200 sent")
    assert len(sink.messages) == 200 and len(store.objects) == 200
    assert sorted(store.objects.values()) == sorted(
        mails.noise(3000, number * 100 + n) for number in range(10) for n in range(20))


def test_the_relay_comes_back_on_another_address_after_reload(
        gateway, make_settings, store, sink, listener):
    settings = make_settings({"host": "127.0.0.1", "port": free_port(), "tls": "none"},
                             store.settings(), [listener])
    one = gateway(settings)
    identity = send(listener.address, mails.plain())
    one.wait_for("message.deferred", id=identity)
    settings["relay"]["port"] = sink.port
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    one.wait_for("message.sent", id=identity)
