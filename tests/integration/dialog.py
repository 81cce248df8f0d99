"""An SMTP client that sends exactly what it is told, one byte at a time if need be."""
import base64
import re
import socket
import ssl
from collections import namedtuple

import mails
from waiting import PATIENCE_S

Reply = namedtuple("Reply", "code lines")


def connect(address, source=None, timeout=PATIENCE_S):
    return socket.create_connection(address, timeout,
                                    source_address=(source, 0) if source else None)


def read_all(client):
    """What comes until the end; a reset is one."""
    got = b""
    try:
        while more := client.recv(65536):
            got += more
    except (ConnectionResetError, ssl.SSLError):
        pass
    return got


class Dialog:
    def __init__(self, address, timeout=PATIENCE_S, source=None, wrapper=False, greeting=True):
        self.socket = connect(address, source, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wrapper:
            self._secure()
        self.buffer = b""
        self.greeting = self.reply() if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.socket.close()

    def _secure(self, minimum=ssl.TLSVersion.TLSv1_2):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = minimum
        self.socket = context.wrap_socket(self.socket, server_hostname="gw.test")

    def send(self, data, piece=None):
        """Sends bytes (text is taken as latin-1), in pieces of that many octets."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        if not piece:
            self.socket.sendall(data)
            return
        for at in range(0, len(data), piece):
            self.socket.sendall(data[at:at + piece])

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("connection closed" + (f" after {self.buffer!r}"
                                                      if self.buffer else ""))
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        assert line.endswith(b"\r"), f"a reply line without CR: {line!r}"
        return line[:-1].decode("latin-1")

    def reply(self):
        lines = []
        while True:
            line = self.line()
            assert re.match(r"[2-5][0-9][0-9][ -]", line), f"not a reply: {line!r}"
            lines.append(line[4:])
            if line[3] == " ":
                return Reply(int(line[:3]), lines)

    def command(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def closed(self):
        """Whether the peer closes (or resets) without another byte."""
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    # ---- whole steps; each asserts that it went well ----

    def ehlo(self, name="client.test"):
        reply = self.command("EHLO " + name)
        assert reply.code == 250, reply
        return {line.split(" ")[0].upper(): line for line in reply.lines[1:]}

    def starttls(self, minimum=ssl.TLSVersion.TLSv1_2):
        reply = self.command("STARTTLS")
        assert reply.code == 220, reply
        self._secure(minimum)
        return self.ehlo()

    def auth_plain(self, user, password):
        return self.command("AUTH PLAIN " + base64.b64encode(
            f"\0{user}\0{password}".encode()).decode())

    def mail(self, sender, *recipients, parameters=""):
        reply = self.command(f"MAIL FROM:<{sender}>" + (" " + parameters if parameters else ""))
        assert reply.code == 250, reply
        for recipient in recipients:
            reply = self.command(f"RCPT TO:<{recipient}>")
            assert reply.code == 250, reply

    def offer(self, message):
        """DATA with the message (already dot-stuffed), whose reply is still to come."""
        reply = self.command("DATA")
        assert reply.code == 354, reply
        self.send(message + b".\r\n")

    def data(self, message):
        """The same; the reply to the final dot."""
        self.offer(message)
        return self.reply()

    def deliver(self, message, sender="alice@client.test", recipients=("bob@example.com",),
                parameters=""):
        """Sends a message, returns the ID from the gateway's 250."""
        self.mail(sender, *recipients, parameters=parameters)
        return queue_id(self.data(stuff(message)))

    def quit(self):
        reply = self.command("QUIT")
        assert reply.code == 221, reply
        assert self.closed()
        self.close()


def stuff(message):
    """Dot-stuffing (RFC 5321, 4.5.2)."""
    return re.sub(rb"(?m)^\.", b"..", message)


def queue_id(reply):
    """The ID in '250 2.0.0 Ok: queued as ID'."""
    assert reply.code == 250, reply
    return re.search(r"queued as ([0-9a-z]{26})\b", reply.lines[-1]).group(1)


def send(address, message, sender="alice@client.test", recipients=("bob@example.com",), **how):
    """One message over one connection in clear; the gateway's ID of it."""
    with Dialog(address, **how) as dialog:
        dialog.ehlo()
        identity = dialog.deliver(message, sender, recipients)
        dialog.quit()
        return identity


def text(reply):
    """Its code and last line."""
    return f"{reply.code} {reply.lines[-1]}"


def post(address, message=None, recipients=("bob@example.com",), sender="alice@client.test"):
    """The reply to a message's end, whatever it is."""
    with Dialog(address) as dialog:
        dialog.ehlo()
        dialog.mail(sender, *recipients)
        return dialog.data(stuff(message or mails.plain()))
