"""What an operator sees: log, metrics, health; and signals."""
import datetime
import json
import re
import socket
import subprocess

import pytest

import links
import mails
from admin import admin, metrics
from certificates import Authority
from conftest import PASSWORD, USER
from dialog import Dialog, queue_id, send
from fault_smtp import FaultSmtp
from gateway import Listener, environment, lan
from waiting import wait_until


def test_one_id_runs_through_the_life_of_a_message(plain_gateway, sink):
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"abc" * 100)])
    identity = send(plain_gateway.address, mail.raw)
    names = ["message.accepted", "attachment.stored", "message.sent"]
    life = [plain_gateway.wait_for(name, id=identity) for name in names]
    told = [event for event in plain_gateway.events if event.get("id") == identity]
    assert sorted(event["event"] for event in told) == sorted(names)
    # It may be on its way before its acceptance has been told, by another thread.
    assert told.index(life[1]) < told.index(life[2])
    times = [datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
             for event in told]
    assert times == sorted(times)
    assert all(event["level"] in ("debug", "info", "warning", "error") for event in life)
    accepted, stored, sent = life
    assert "127.0.0.1" in json.dumps(accepted) and "lan" in json.dumps(accepted)
    assert stored["size"] == 300 and stored["file_name"] == "a.bin"
    assert re.fullmatch(r"[0-9a-f]{64}", stored["sha256"]) and stored["key"]
    assert sent["relay_id"] == sink.identity(1)
    assert identity.encode() in sink.messages[0].data.split(b"\r\n\r\n")[0]


def test_no_secret_signature_or_content_is_logged(gateway, make_settings, sink, store):
    sink.users = {"AKIDRELAY": "ReLaYpAsSwOrD"}
    door = Listener("submit", tls="required", auth="required")
    settings = make_settings(sink.settings(user="AKIDRELAY", password="ReLaYpAsSwOrD"),
                             store.settings(secret_access_key="S3sEcReT"), [door])
    settings["log"] = {"debug": True}
    one = gateway(settings)
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"abc")],
                            text="ConFiDenTial\n", subject="SubJecT")
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        dialog.starttls()
        dialog.auth_plain(USER, "WrOnGpAsSwOrD")
        assert dialog.auth_plain(USER, PASSWORD).code == 235
        identity = dialog.deliver(mail.raw)
    one.wait_for("message.sent", id=identity)
    one.stop()
    log = one.log_text()
    signature = re.search(r"X-Amz-Signature=([0-9a-f]{64})",
                          links.in_text(sink.messages[0].data)[0])
    for secret in ("ReLaYpAsSwOrD", "S3sEcReT", PASSWORD, "WrOnGpAsSwOrD", "ConFiDenTial",
                   "SubJecT", signature.group(1), "X-Amz-Signature"):
        assert secret not in log, secret


def test_what_a_client_says_cannot_forge_a_log_line(plain_gateway):
    with Dialog(plain_gateway.address) as dialog:
        dialog.command('EHLO x","event":"forged')
        dialog.command("EHLO \x1b[2Jclear\x07")
        dialog.command('MAIL FROM:<"a\\"b\\\\"@c.test>')
        dialog.command("NONSENSE \xff\xfe\x00")
        dialog.command("QUIT")
    plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, mails.plain()))
    assert not plain_gateway.noise and not plain_gateway.find("forged")


def test_metrics_count_what_happened(plain_gateway):
    before = metrics(plain_gateway)
    mail = mails.with_files([mails.File("a.bin", "application/octet-stream", b"abc")])
    for raw in (mail.raw, mail.raw, mails.plain()):
        plain_gateway.wait_for("message.sent", id=send(plain_gateway.address, raw))
    with Dialog(plain_gateway.address) as dialog:
        assert dialog.command("DATA").code == 503

    def grown(name, **labels):
        key = (name, tuple(labels.items()))
        return metrics(plain_gateway).get(key, 0) - before.get(key, 0)

    wait_until(lambda: grown("stowage_messages_finished_total", state="sent") == 3, "3 sent")
    assert grown("stowage_messages_received_total", listener="lan") == 3
    assert grown("stowage_attachments_total") == 2
    assert grown("stowage_attachment_bytes_total") == 6
    assert grown("stowage_sessions_total", listener="lan") == 4
    assert grown("stowage_replies_total", code="503") == 1
    figures = metrics(plain_gateway)
    names = {name for name, _ in figures}
    assert {"process_resident_memory_bytes", "process_open_fds", "stowage_build_info"} <= names


def test_metrics_show_what_waits(gateway, make_settings, store):
    door = lan()
    one = gateway(make_settings(FaultSmtp().settings(), store.settings(), [door]))
    one.wait_for("message.deferred", id=send(door.address, mails.plain()))
    figures = wait_until(lambda: (f := metrics(one)) and f.get(
        ("stowage_queue_messages", (("state", "deferred"),))) == 1 and f, "one deferred")
    assert figures[("stowage_queue_oldest_seconds", ())] >= 0


def test_health_and_readiness(plain_gateway):
    for path in ("/healthz", "/readyz"):
        assert admin(plain_gateway, path).status == 200
    assert admin(plain_gateway, "/nothing").status == 404


def test_readiness_ends_when_no_mail_can_be_taken(gateway, make_settings, sink, store):
    settings = make_settings(sink.settings(), store.settings())
    settings["queue"]["min_free"] = "60TiB"
    one = gateway(settings)
    answer = wait_until(lambda: (a := admin(one, "/readyz")).status == 503 and a, "not ready")
    assert answer.content.strip()
    assert admin(one, "/healthz").status == 200


# ---- SIGHUP ----

def seen_certificate(address):
    """The serial number that s_client sees."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % address, "-starttls", "smtp"],
        input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
    return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=shown, check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout


def test_reload_takes_a_new_certificate_while_sessions_go_on(
        gateway, make_settings, sink, store, tmp_path):
    authority = Authority(str(tmp_path / "ca"))
    certificate, key = authority.issue("gw.test")
    door = Listener("mx", tls="starttls", auth="none", recipients={"@in.test": "o@example.com"})
    one = gateway(make_settings(sink.settings(), store.settings(), [door],
                                tls={"certificate": certificate, "key": key}))
    old = seen_certificate(door.address)
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        dialog.starttls()
        authority.issue("gw.test")  # the same files anew
        one.reload()
        one.wait_for("settings.reloaded")
        assert seen_certificate(door.address) != old
        dialog.deliver(mails.plain(), recipients=["x@in.test"])
        dialog.quit()


def test_reload_takes_a_new_map(gateway, make_settings, sink, store):
    door = Listener("mx", tls="none", auth="none", recipients={"@in.test": "old@example.com"})
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    one.wait_for("message.sent", id=send(door.address, mails.plain(), recipients=["x@in.test"]))
    one.settings["listeners"][0]["recipients"] = {"@in.test": "new@example.com",
                                                  "@more.test": "more@example.com"}
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    one.wait_for("message.sent", id=send(door.address, mails.plain(),
                                         recipients=["x@in.test", "y@more.test"]))
    assert [m.recipients for m in sink.messages] == [
        ["old@example.com"], ["new@example.com", "more@example.com"]]


def test_reload_opens_and_closes_listeners(gateway, make_settings, sink, store):
    first, second, kept = lan("first"), lan("second"), lan("kept")
    one = gateway(make_settings(sink.settings(), store.settings(), [first, kept]))
    send(first.address, mails.plain())
    one.settings["listeners"] = [kept.settings, second.settings]
    one.write_settings()
    one.reload()
    one.wait_for("settings.reloaded")
    send(second.address, mails.plain())
    send(kept.address, mails.plain())
    with pytest.raises(OSError):
        socket.create_connection(first.address, 2)


@pytest.mark.parametrize("damage", ["syntax", "value", "certificate", "port taken"])
def test_a_bad_new_file_leaves_the_old_one_in_force(
        damage, gateway, make_settings, sink, store, tmp_path, certificate):
    door = Listener("mx", tls="starttls", auth="none", recipients={"@in.test": "o@example.com"})
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    for path, source in ((tls["certificate"], certificate[0]), (tls["key"], certificate[1])):
        with open(source) as file, open(path, "w") as copy:
            copy.write(file.read())
    one = gateway(make_settings(sink.settings(), store.settings(), [door], tls=tls))
    before = seen_certificate(door.address)
    if damage == "syntax":
        with open(one.path, "a") as file:
            file.write("nonsense: [\n")
    elif damage == "value":
        one.settings["relay"]["port"] = "587x"
        one.write_settings()
    elif damage == "certificate":
        (tmp_path / "cert.pem").write_text("broken\n")
    else:
        one.settings["listeners"].append(
            lan("taken").settings | {"address": f"127.0.0.1:{sink.port}"})
        one.write_settings()
    one.reload()
    assert one.wait_for("settings.rejected")["reason"]
    assert not one.find("settings.reloaded")
    assert seen_certificate(door.address) == before
    one.wait_for("message.sent", id=send(door.address, mails.plain(), recipients=["x@in.test"]))


# ---- SIGTERM ----

def test_sigterm_drains_a_session_within_data(plain_gateway, sink):
    idle = Dialog(plain_gateway.address)
    idle.ehlo()
    with Dialog(plain_gateway.address) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        assert dialog.command("DATA").code == 354
        dialog.send(mails.plain())
        plain_gateway.process.terminate()
        plain_gateway.wait_for("gateway.stopping")
        assert idle.reply().code == 421 and idle.closed()
        with pytest.raises(OSError):
            socket.create_connection(plain_gateway.address, 2)
        dialog.send(b".\r\n")
        identity = queue_id(dialog.reply())
    assert plain_gateway.wait_exit() == 0, plain_gateway.log_text()
    plain_gateway.check_log()
    if not plain_gateway.find("message.sent", id=identity):
        since = plain_gateway.mark()
        plain_gateway.start()
        plain_gateway.wait_for("message.sent", since=since, id=identity)
    assert len(sink.messages) == 1


def test_a_client_that_never_ends_does_not_hold_up_the_stop(gateway, make_settings, sink, store):
    door = lan()
    one = gateway(make_settings(sink.settings(), store.settings(), [door], shutdown_timeout="1s"))
    with Dialog(door.address) as dialog:
        dialog.ehlo()
        dialog.mail("a@b.test", "x@example.com")
        assert dialog.command("DATA").code == 354
        dialog.send(b"Subject: never")
        one.stop()
    assert not sink.messages


def test_systemd_is_told_when_it_is_ready(gateway, make_settings, sink, store, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(60)
        one = gateway(make_settings(sink.settings(), store.settings()),
                      env=environment(NOTIFY_SOCKET=path))
        assert b"READY=1" in notify.recv(4096)
        one.process.terminate()
        assert one.wait_exit() == 0
        assert b"STOPPING=1" in notify.recv(4096)


def test_the_exposition_names_the_certificates_end(gateway, make_settings, sink, store):
    door = Listener("mx", tls="starttls", auth="none", recipients={"@in.test": "o@example.com"})
    one = gateway(make_settings(sink.settings(), store.settings(), [door]))
    end = metrics(one)[("stowage_certificate_expiry_seconds", ())]
    now = datetime.datetime.now().timestamp()
    assert 29 * 86400 < end - now < 31 * 86400
