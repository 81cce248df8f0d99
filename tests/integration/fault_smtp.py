"""A scriptable SMTP server: takes mail as a relay would, and misbehaves on request."""
import base64
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from ports import free_port
from waiting import PATIENCE_S, wait_until


@dataclass
class Received:
    sender: str
    recipients: list
    data: bytes          # dot-unstuffed, as it came
    connection: int      # 1, 2, ...
    tls: str = None      # version, None in clear
    user: str = None
    mail_parameters: str = ""
    helo: str = ""
    at: float = field(default_factory=time.monotonic)


class Close(Exception):
    """The script ends the connection here."""


class FaultSmtp:
    """
    script: reply for a verb (MAIL, RCPT, DATA, EHLO, AUTH, STARTTLS, CONNECT, DOT, QUIT): a list
    that is used up from its front, or a callable(argument) -> entry. An entry is a reply's text,
    None for the normal one, or one of the words
      CLOSE          closes the connection instead of answering
      TAKE_AND_CLOSE (DOT only) keeps the message and closes without a word
      STALL          says nothing until the server is stopped
    """

    CLOSE, TAKE_AND_CLOSE, STALL = "CLOSE", "TAKE_AND_CLOSE", "STALL"

    def __init__(self, port=None, tls=None, wrapper=False, users=None, size=41943040,
                 extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")):
        self.port = port or free_port()
        self.tls = tls              # (certificate, key)
        self.wrapper = wrapper
        self.users = users          # {name: password}: AUTH is then required
        self.size = size
        self.extensions = extensions
        self.script = {}
        self.messages = []
        self.connections = 0
        self.commands = []          # every line but AUTH's secrets
        self._lock = threading.Lock()
        self._listening = None
        self._open = set()
        self._stopped = threading.Event()

    # ---- life ----

    def start(self):
        self._stopped.clear()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(64)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return self

    def stop(self):
        self._stopped.set()
        if self._listening:
            try:
                self._listening.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listening.close()
            self._listening = None
        with self._lock:
            for connection in list(self._open):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def settings(self, **more):
        return {"host": "127.0.0.1", "port": self.port, "tls": "none", **more}

    def wait_messages(self, count, timeout=PATIENCE_S):
        wait_until(lambda: len(self.messages) >= count,
                   f"{count} messages at the relay (there are {len(self.messages)})", timeout)
        return self.messages

    @staticmethod
    def identity(number):
        """The n-th message's ID as SES makes them."""
        return f"0102018f2a3b4c5d-6e7f8091-a2b3-4c5d-8e9f-{number:012d}-000000"

    # ---- sessions ----

    def _accept(self, listening):
        while not self._stopped.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        session = _Session(self, connection, number)
        try:
            session.run()
        except (Close, OSError, ssl.SSLError, EOFError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            try:
                session.socket.close()
            finally:
                connection.close()

    def next_entry(self, verb, argument):
        with self._lock:
            plan = self.script.get(verb)
            if plan is None:
                return None
            if callable(plan):
                return plan(argument)
            return plan.pop(0) if plan else None

    def secure(self, connection):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.tls)
        return context.wrap_socket(connection, server_side=True)

    def wait_stopped(self):
        self._stopped.wait(300)


class GatedSmtp(FaultSmtp):
    """Answers the end of a message (or another verb) when it is let, one permit for each."""

    def __init__(self, verb="DOT", **how):
        super().__init__(**how)
        self.verb = verb
        self.arrived = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)

    def next_entry(self, verb, argument):
        entry = super().next_entry(verb, argument)
        if verb == self.verb:
            self.arrived.release()
            self.permits.acquire(timeout=300)
        return entry

    def wait_arrived(self):
        assert self.arrived.acquire(timeout=PATIENCE_S), "nothing came to the relay"

    def stop(self):
        for _ in range(1000):
            self.permits.release()
        super().stop()



class _Session:
    def __init__(self, server, connection, number):
        self.server, self.socket, self.number = server, connection, number
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = None
        self.user = None
        self.helo = ""
        self.sender = None
        self.parameters = ""
        self.recipients = []

    def run(self):
        if self.server.wrapper:
            self.socket = self.server.secure(self.socket)
        self.file = self.socket.makefile("rb")
        self.answer("CONNECT", "", "220 relay.test ESMTP")
        while True:
            line = self.file.readline(65536)
            if not line.endswith(b"\n"):
                return
            text = line.rstrip(b"\r\n").decode("latin-1")
            verb, _, argument = text.partition(" ")
            verb = verb.upper()
            with self.server._lock:
                self.server.commands.append(verb if verb == "AUTH" else text)
            method = getattr(self, "on_" + verb.lower(), None)
            if not method:
                self.send("500 5.5.2 what?")
            elif method(argument) == "quit":
                return

    def send(self, text):
        self.socket.sendall(text.encode("latin-1") + b"\r\n")

    def answer(self, verb, argument, normal):
        """Sends the scripted reply or the normal one; whether it was a 2xx or 3xx."""
        entry = self.server.next_entry(verb, argument)
        if entry == FaultSmtp.CLOSE:
            raise Close
        if entry == FaultSmtp.STALL:
            self.server.wait_stopped()
            raise Close
        text = normal if entry is None else entry
        self.send(text)
        return text[0] in "23"

    def on_ehlo(self, argument):
        self.helo = argument
        self.sender, self.recipients = None, []
        offers = ["relay.test", *self.server.extensions, f"SIZE {self.server.size}"]
        secure = isinstance(self.socket, ssl.SSLSocket)
        if self.server.tls and not secure:
            offers.append("STARTTLS")
        if self.server.users and (secure or not self.server.tls):
            offers.append("AUTH PLAIN LOGIN")
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        self.answer("EHLO", argument, "\r\n".join(lines))

    def on_starttls(self, argument):
        if self.answer("STARTTLS", argument, "220 2.0.0 go"):
            self.socket = self.server.secure(self.socket)
            self.file = self.socket.makefile("rb")

    def on_auth(self, argument):
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            if not initial:
                self.send("334 ")
                initial = self.file.readline(4096).strip().decode()
            _, name, password = base64.b64decode(initial).decode().split("\0")
        else:
            self.send("334 VXNlcm5hbWU6")
            name = base64.b64decode(self.file.readline(4096)).decode()
            self.send("334 UGFzc3dvcmQ6")
            password = base64.b64decode(self.file.readline(4096)).decode()
        good = self.server.users.get(name) == password
        normal = "235 2.7.0 ok" if good else "535 5.7.8 Authentication Credentials Invalid"
        if self.answer("AUTH", mechanism, normal) and good:
            self.user = name

    def on_mail(self, argument):
        if self.server.users and not self.user:
            return self.send("530 5.7.0 Authentication required")
        path, _, self.parameters = argument[5:].partition(" ")
        if self.answer("MAIL", argument, "250 2.1.0 ok"):
            self.sender, self.recipients = path.strip("<>"), []

    def on_rcpt(self, argument):
        if self.sender is None:
            return self.send("503 5.5.1 MAIL first")
        address = re.match(r"(?i)to:\s*<([^>]*)>", argument)
        if self.answer("RCPT", argument, "250 2.1.5 ok") and address:
            self.recipients.append(address.group(1))

    def on_data(self, argument):
        if not self.recipients:
            return self.send("554 5.5.1 no valid recipients")
        if not self.answer("DATA", argument, "354 go ahead"):
            return
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        secure = isinstance(self.socket, ssl.SSLSocket)
        message = Received(self.sender, self.recipients, b"".join(lines), self.number,
                           self.socket.version() if secure else None,
                           self.user, self.parameters, self.helo)
        self.sender, self.recipients = None, []
        entry = self.server.next_entry("DOT", message)
        if entry == FaultSmtp.CLOSE:
            raise Close
        if entry == FaultSmtp.STALL:
            self.server.wait_stopped()
            raise Close
        if entry is None or entry == FaultSmtp.TAKE_AND_CLOSE or entry[0] == "2":
            with self.server._lock:
                self.server.messages.append(message)
        if entry == FaultSmtp.TAKE_AND_CLOSE:
            raise Close
        self.send(entry or f"250 Ok {self.server.identity(len(self.server.messages))}")

    def on_rset(self, argument):
        self.sender, self.recipients = None, []
        self.answer("RSET", argument, "250 2.0.0 ok")

    def on_noop(self, argument):
        self.answer("NOOP", argument, "250 2.0.0 ok")

    def on_quit(self, argument):
        self.answer("QUIT", argument, "221 2.0.0 bye")
        return "quit"
