"""Outlook's winmail.dat, written from its description ([MS-OXTNEF])."""
import struct

CODEPAGE, RENDER, TITLE, DATA, MAPI = (
    0x00069007, 0x00069002, 0x00018010, 0x0006800f, 0x00069005)
LONG_NAME = 0x3707001f  # PidTagAttachLongFilename, Unicode


def _attribute(level, number, data):
    return struct.pack("<BII", level, number, len(data)) + data + struct.pack(
        "<H", sum(data) & 0xffff)


def _long_name(name):
    text = name.encode("utf-16-le") + b"\0\0"
    padding = b"\0" * (-len(text) % 4)
    return struct.pack("<IIII", 1, LONG_NAME, 1, len(text)) + text + padding


def container(files):
    """files: (name, content) pairs."""
    data = struct.pack("<IH", 0x223e9f78, 1)
    data += _attribute(1, CODEPAGE, struct.pack("<II", 1252, 0))
    for name, content in files:
        data += _attribute(2, RENDER, struct.pack("<HIHHI", 1, 0, 0, 0, 0))
        data += _attribute(2, TITLE, b"SHORT~1.DAT\0")
        data += _attribute(2, DATA, content)
        data += _attribute(2, MAPI, _long_name(name))
    return data
