"""A scriptable name server on loopback: answers by a table, and misbehaves on request."""
import ipaddress
import socket
import struct
import threading

from ports import free_port

A, PTR, AAAA = 1, 12, 28
_TYPES = {"A": A, "PTR": PTR, "AAAA": AAAA}


class FaultDns:
    """
    records: {(name, "A" | "AAAA" | "PTR"): entry}; what is not in it does not exist
    (NXDOMAIN). An entry is a list of addresses or names, or one of the words
      SILENT    does not answer
      SERVFAIL  says that it failed
      GARBAGE   answers with octets that are no message
      WRONG_ID  answers a question that was not asked
    default: the entry for everything not in records.
    """

    SILENT, SERVFAIL, GARBAGE, WRONG_ID = "SILENT", "SERVFAIL", "GARBAGE", "WRONG_ID"

    def __init__(self, records=None, default=(), ttl=300):
        self.records = dict(records or {})
        self.default, self.ttl = default, ttl
        self.port = free_port()
        self.asked = []  # (name, type), in order
        self._socket = None
        self._thread = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._socket.settimeout(0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        self._stopped.set()
        self._thread.join(60)
        self._socket.close()

    def _serve(self):
        while not self._stopped.is_set():
            try:
                question, client = self._socket.recvfrom(4096)
            except socket.timeout:
                continue
            answer = self._answer(question)
            if answer:
                self._socket.sendto(answer, client)

    def _answer(self, question):
        identity = question[:2]
        name, at = _read_name(question, 12)
        number = struct.unpack_from(">H", question, at)[0]
        kind = next((word for word, n in _TYPES.items() if n == number), str(number))
        self.asked.append((name, kind))
        entry = self.records.get((name, kind), self.default)
        if entry == self.SILENT:
            return None
        if entry == self.GARBAGE:
            return identity + b"\xff" * 40
        if entry == self.WRONG_ID:
            identity, entry = bytes(255 - octet for octet in identity), ["127.0.0.2"]
        code = 2 if entry == self.SERVFAIL else 0 if entry else 3
        data = [] if code else [_data(number, value) for value in entry]
        header = identity + struct.pack(">5H", 0x8180 | code, 1, len(data), 0, 0)
        return header + question[12:at + 4] + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", number, 1, self.ttl, len(one)) + one
            for one in data)


def _read_name(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), at + 1


def _data(number, value):
    if number == PTR:
        return b"".join(bytes([len(label)]) + label.encode("latin-1")
                        for label in value.split(".")) + b"\0"
    return ipaddress.ip_address(value).packed


def listed(address, zone):
    """The name by which zone lists an IPv4 address."""
    return ".".join(reversed(address.split("."))) + "." + zone


def reverse(address):
    return listed(address, "in-addr.arpa")
