"""BDAT (RFC 3030) over real sockets: chunks beyond the spool's buffer, pipelined and cut
anywhere, refused ones among them."""
import pytest

from dialog import Dialog, queue_id
from gateway import lan
from mails import crlf

BODY = b"".join(b".%07d: a line that begins with a dot\r\n" % n for n in range(20_000))
LARGE = crlf("From: a@client.test\nSubject: chunks\n\n") + BODY


def chunks(message, size):
    """message as BDAT commands; the last one has LAST."""
    cuts = range(0, len(message), size)
    return b"".join(
        b"BDAT %d%s\r\n" % (len(message[at:at + size]), b" LAST" * (at == cuts[-1]))
        + message[at:at + size] for at in cuts)


@pytest.mark.parametrize("size,piece", [(len(LARGE), None), (65536, None), (1000, None),
                                        (300_001, 1021)])
def test_the_message_is_the_chunks(door, size, piece):
    one = door()
    with Dialog(one.address) as dialog:
        assert "CHUNKING" in dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        commands = -(-len(LARGE) // size)
        if commands < 100:
            dialog.send(chunks(LARGE, size), piece)
            replies = [dialog.reply() for _ in range(commands)]
        else:
            replies = []
            for at in range(0, len(LARGE), size):
                chunk = LARGE[at:at + size]
                last = b" LAST" if at + size >= len(LARGE) else b""
                dialog.send(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk)
                replies.append(dialog.reply())
        assert {reply.code for reply in replies} == {250}
        identity = queue_id(replies[-1])
        dialog.quit()
    assert one.relayed(identity).data.endswith(BODY)


def test_an_empty_last_chunk_behind_a_full_buffer(door):
    one = door()
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send(b"BDAT %d\r\n" % len(LARGE) + LARGE + b"BDAT 0 LAST\r\nNOOP\r\n")
        assert dialog.reply().lines == [f"2.0.0 {len(LARGE)} octets received"]
        identity = queue_id(dialog.reply())
        assert dialog.reply().code == 250
    assert one.relayed(identity).data.endswith(BODY)


def test_a_reset_between_chunks_leaves_nothing(door):
    one = door()
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send(b"BDAT %d\r\n" % len(LARGE) + LARGE + b"RSET\r\n")
        assert [dialog.reply().code for _ in range(2)] == [250, 250]
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send(chunks(crlf("From: a@client.test\n\nsecond\n"), 10))
        replies = [dialog.reply() for _ in range(4)]
        identity = queue_id(replies[-1])
    data = one.relayed(identity).data
    assert b"second" in data and b"begins with a dot" not in data


def test_octets_of_a_refused_chunk_are_no_commands(door):
    one = door(lan(max_message_size="100000B"))
    with Dialog(one.address) as dialog:
        dialog.ehlo()
        dialog.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [dialog.reply().code for _ in range(2)] == [503, 250]
        dialog.mail("alice@client.test", "bob@example.com")
        dialog.send(chunks(LARGE, 90_000))
        replies = [dialog.reply() for _ in range(-(-len(LARGE) // 90_000))]
        assert [reply.code for reply in replies] == [250] + [552] * (len(replies) - 1)
        dialog.mail("alice@client.test", "bob@example.com")
        reply = dialog.command("BDAT 99999999999999999999")
        assert reply.code == 501 and dialog.closed()
