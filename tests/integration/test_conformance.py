"""What the RFCs ask of a server, command by command, over real sockets: each script is run a
command at a time, in one write, and cut into single bytes, with the same replies."""
import base64
import re
import socket
import time

import pytest

import mails
from conftest import PASSWORD, USER
from dialog import Dialog, queue_id
from fault_smtp import FaultSmtp
from gateway import Listener, lan

MAX = 20_000
HOST = "gw.test"


@pytest.fixture(scope="module")
def shared(open_house):
    """One gateway for the whole file, with a listener of each kind."""
    listeners = [
        Listener("mx", tls="starttls", auth="none", max_message_size=f"{MAX}B",
                 max_recipients=3, recipients={"@in.test": "%{local}@example.com",
                                               "one@exact.test": "one@example.com"}),
        Listener("submit", tls="required", auth="required"),
        Listener("wrapper", tls="wrapper", auth="required"),
        lan("lan", max_message_size=f"{MAX}B"),
        lan("legacy", profile="legacy", tls="starttls", auth="optional", auth_without_tls=True,
            max_message_size=f"{MAX}B"),
        lan("utf8", smtputf8=True),
        lan("crowd", max_recipients=100),
    ]
    sink = FaultSmtp(extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8",
                                 "DSN"))
    return open_house({listener.settings["name"]: listener for listener in listeners}, sink,
                      auth={"max_failures": 1000}, queue={"bounces": False})


def said(reply):
    """'250 2.1.0', or '250' where no enhanced code is given; every line has the same."""
    codes = {(re.match(r"[245]\.\d{1,3}\.\d{1,3}(?= )", line) or [""])[0]
             for line in reply.lines}
    assert len(codes) == 1, f"an enhanced code in some lines only: {reply}"
    return f"{reply.code} {codes.pop()}".strip()


def enter(shared, door, ready=True):
    """A dialogue at a door, past what comes before MAIL there."""
    dialog = Dialog(shared.doors[door], wrapper=door == "wrapper")
    assert dialog.greeting.code == 220 and dialog.greeting.lines[0].startswith(HOST + " ESMTP")
    if not ready:
        return dialog
    dialog.ehlo()
    if door == "submit":
        dialog.starttls()
    if door in ("submit", "wrapper"):
        assert dialog.auth_plain(USER, PASSWORD).code == 235
    return dialog


def replay(shared, door, script, ready=True):
    """script: commands or data, each followed by what is said to it (None: nothing)."""
    for piece in ("each", None, 1):
        with enter(shared, door, ready) as dialog:
            got = []
            if piece == "each":
                for sent, want in script:
                    dialog.send(sent)
                    got.append(said(dialog.reply()) if want else None)
            else:
                dialog.send(b"".join(as_bytes(sent) for sent, _ in script), piece)
                got = [said(dialog.reply()) if want else None for _, want in script]
            assert got == [want for _, want in script], f"sent by {piece or 'script'}"
            dialog.socket.settimeout(0.02)
            try:
                assert not dialog.buffer and dialog.socket.recv(1) == b"", "a reply too many"
            except socket.timeout:
                pass


def as_bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def lines(*commands):
    """A script of 'COMMAND -> 250 2.0.0' each."""
    script = []
    for command in commands:
        sent, _, want = command.rpartition("-> ")
        script.append((sent.removesuffix(" ") + "\r\n", want))
    return script


MAIL = "MAIL FROM:<a@client.test> -> 250 2.1.0"
RCPT = "RCPT TO:<b@in.test> -> 250 2.1.5"
RSET = "RSET -> 250 2.0.0"
NOOP = "NOOP -> 250 2.0.0"
DATA = "DATA -> 354"
ORDER, SYNTAX, ARGUMENT, UNKNOWN = "503 5.5.1", "500 5.5.2", "501 5.5.4", "555 5.5.4"
SENDER, RECIPIENT = "501 5.1.7", "501 5.1.3"

# ---- commands, and in which state (RFC 5321, sections 4.1.1 and 4.1.4; RFC 2034) ----

COMMANDS = {
    "before a greeting": [
        "MAIL FROM:<a@client.test> -> 503 5.5.1", "RCPT TO:<b@in.test> -> 503 5.5.1",
        "DATA -> 503 5.5.1", "BDAT 0 LAST -> 503 5.5.1", "STARTTLS -> 503 5.5.1", RSET, NOOP,
        "VRFY b -> 252 2.5.2", "HELP -> 214 2.0.0", "EXPN b -> 502 5.5.1",
        "AUTH PLAIN -> 503 5.5.1", "QUIT -> 221 2.0.0"],
    "HELO and EHLO": [
        "HELO client.test -> 250", "EHLO client.test -> 250", "ehlo CLIENT.test -> 250",
        "EHLO [127.0.0.1] -> 250", "EHLO [IPv6:::1] -> 250", "EHLO [IPv6:2001:db8::7] -> 250",
        "HELO my_host -> 250", "EHLO -> 501", "HELO -> 501", "EHLO a b -> 501",
        "EHLO [127.0.0.256] -> 501", "EHLO [::1] -> 501", "EHLO -a -> 501", "HELO a..b -> 501",
        "EHLO client.test  -> 250"],
    "a second EHLO clears what was said": [
        "EHLO a -> 250", MAIL, RCPT, "EHLO a -> 250", "RCPT TO:<b@in.test> -> 503 5.5.1", MAIL,
        "HELO a -> 250", "DATA -> 503 5.5.1"],
    "a refused EHLO clears nothing": [
        "EHLO a -> 250", MAIL, "EHLO -> 501", RCPT, "HELO a b -> 501", DATA],
    "after EHLO": [
        "EHLO a -> 250", "RCPT TO:<b@in.test> -> 503 5.5.1", "DATA -> 503 5.5.1",
        "BDAT 0 -> 503 5.5.1", RSET, NOOP, "VRFY b@in.test -> 252 2.5.2",
        "HELP MAIL -> 214 2.0.0", "EXPN staff -> 502 5.5.1", MAIL],
    "after MAIL": [
        "EHLO a -> 250", MAIL, "MAIL FROM:<a@client.test> -> 503 5.5.1", "DATA -> 503 5.5.1",
        "BDAT 0 LAST -> 503 5.5.1", "STARTTLS -> 503 5.5.1", "VRFY b -> 252 2.5.2",
        "HELP -> 214 2.0.0", NOOP, RCPT, DATA],
    "after RCPT": [
        "EHLO a -> 250", MAIL, RCPT, "MAIL FROM:<> -> 503 5.5.1", "STARTTLS -> 503 5.5.1", NOOP,
        "VRFY b -> 252 2.5.2", RCPT, DATA],
    "RSET": [
        RSET, "EHLO a -> 250", RSET, MAIL, RSET, "RCPT TO:<b@in.test> -> 503 5.5.1", MAIL, RCPT,
        RSET, "DATA -> 503 5.5.1", MAIL, RCPT, DATA],
    "a refused recipient leaves the transaction open": [
        "EHLO a -> 250", MAIL, "RCPT TO:<b@elsewhere.test> -> 550 5.7.1", "DATA -> 503 5.5.1",
        "RCPT TO:<two@exact.test> -> 550 5.1.1", RCPT, DATA],
    "recipients beyond the ceiling": [
        "EHLO a -> 250", MAIL, RCPT, RCPT, RCPT, "RCPT TO:<d@in.test> -> 452 4.5.3",
        "RCPT TO:<e@in.test> -> 452 4.5.3", DATA],
    "case and blanks": [
        "ehlo a -> 250", "mAiL fRoM:<a@client.test> sIzE=10 BoDy=8bItMiMe -> 250 2.1.0",
        "rcpt to:<b@IN.Test> notify=never -> 250 2.1.5", "rset  -> 250 2.0.0",
        "noop  -> 250 2.0.0", "vrfy b -> 252 2.5.2", "help -> 214 2.0.0",
        "quit \t -> 221 2.0.0"],
    "arguments where there are none": [
        "EHLO a -> 250", "RSET now -> 501 5.5.4", "QUIT now -> 501 5.5.4",
        "STARTTLS now -> 501 5.5.4", "NOOP with words -> 250 2.0.0", MAIL, RCPT,
        "DATA now -> 501 5.5.4", DATA],
    "no arguments where there must be some": [
        "EHLO a -> 250", "VRFY -> 501 5.5.4", "MAIL -> 501 5.5.4", "MAIL FROM: -> 501 5.5.4",
        MAIL, "RCPT -> 501 5.5.4", "RCPT TO: -> 501 5.5.4", RCPT, "BDAT -> 501 5.5.4"],
    "what is no command": [
        "-> 500 5.5.2", "  -> 500 5.5.2", " NOOP -> 500 5.5.2", "NOOPX -> 500 5.5.2",
        "NOOP\tx -> 500 5.5.2", "MAILFROM:<a@b> -> 500 5.5.2", "X-THING -> 500 5.5.2",
        "NOOP \x00 -> 500 5.5.2", "NOOP \x7f -> 500 5.5.2", "NOOP \xe9 -> 500 5.5.2",
        "N\x00OP -> 500 5.5.2", "NOOP\r -> 500 5.5.2", NOOP],
    "what is not served": [
        "EHLO a -> 250", "TURN -> 502 5.5.1", "SEND FROM:<a@b> -> 502 5.5.1",
        "SOML FROM:<a@b> -> 502 5.5.1", "SAML FROM:<a@b> -> 502 5.5.1",
        "ETRN in.test -> 502 5.5.1", "EXPN -> 502 5.5.1", "AUTH PLAIN AGEAYg== -> 502 5.5.1"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(shared, name):
    replay(shared, "mx", lines(*COMMANDS[name]), ready=False)


def test_extensions(shared):
    """RFC 5321, 4.1.1.1; 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 9422."""
    def offered(door, ready=False):
        with enter(shared, door, ready) as dialog:
            reply = dialog.command("EHLO client.test")
            assert reply.code == 250 and reply.lines[0].split()[0] == HOST
            assert all(re.fullmatch(r"[A-Z0-9][A-Z0-9-]*( [\x21-\x7e]+)*", line)
                       for line in reply.lines[1:]), reply
            keywords = {line.split()[0]: line for line in reply.lines[1:]}
            assert len(keywords) == len(reply.lines) - 1
            return keywords

    always = {"PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "DSN", "LIMITS",
              "ENHANCEDSTATUSCODES"}
    mx = offered("mx")
    assert set(mx) == always | {"STARTTLS"}
    assert mx["SIZE"] == f"SIZE {MAX}" and mx["LIMITS"] == "LIMITS RCPTMAX=3"
    assert set(offered("lan")) == always
    assert set(offered("utf8")) == always | {"SMTPUTF8"}
    assert set(offered("submit")) == always | {"STARTTLS"}
    assert set(offered("submit", True)) == always  # authenticated already
    wrapper = offered("wrapper")
    assert set(wrapper) == always | {"AUTH"} and wrapper["AUTH"] == "AUTH PLAIN LOGIN"
    with enter(shared, "legacy", False) as dialog:
        reply = dialog.command("EHLO client.test")
        assert {"AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"} <= set(reply.lines)
    with enter(shared, "mx", False) as dialog:
        assert dialog.command("HELO client.test") == (250, [HOST])


# ---- lines (RFC 5321, section 4.5.3.1; RFC 4954, section 4) ----

@pytest.mark.parametrize("command,limit,good", [
    ("NOOP ", 512, "250 2.0.0"), ("VRFY ", 512, "252 2.5.2"), ("HELP ", 512, "214 2.0.0")])
def test_command_lines_are_512_octets_at_most(shared, command, limit, good):
    def line(size):
        return command + "x" * (size - len(command) - 2) + "\r\n"
    replay(shared, "mx", [(line(limit - 1), good), (line(limit), good),
                          (line(limit + 1), SYNTAX), ("NOOP\r\n", "250 2.0.0"),
                          (line(5 * limit), SYNTAX), ("NOOP\r\n", "250 2.0.0")])


def test_parameters_lengthen_the_line(shared):
    """SIZE by 26, 8BITMIME by 17, DSN by 107 and 528, all at once."""
    envid = "e" * 100
    orcpt = "rfc822;" + "o" * 480 + "@in.test"
    long = "RCPT TO:<" + "l" * 64 + "@in.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=" + orcpt
    assert len(long) > 580
    replay(shared, "mx", lines(
        f"MAIL FROM:<{path(64, 250)}> SIZE={MAX:020} BODY=8BITMIME RET=HDRS ENVID={envid}"
        " -> 250 2.1.0", long + " -> 250 2.1.5"))


def test_a_bare_line_feed_ends_no_command(shared):
    for door in ("mx", "lan", "utf8"):
        replay(shared, door, [("NOOP\nNOOP\r\n", SYNTAX), ("MAIL FROM:<a@b.test>\nRCPT TO:<"
                                                           "b@in.test>\r\n", SYNTAX),
                              ("RCPT TO:<b@in.test>\r\n", ORDER), ("NOOP\r\n", "250 2.0.0")])
    with enter(shared, "mx") as dialog:
        dialog.send("NOOP\n")       # and waits for its reply
        assert said(dialog.reply()) == SYNTAX
        assert dialog.command("NOOP").code == 250


# ---- paths (RFC 5321, sections 4.1.2, 4.1.3 and 4.5.3.1) ----

def domain(size):
    """A domain of so many octets, its labels as long as may be."""
    labels = []
    while size > 0:
        labels.append("d" * (62 if size == 64 else min(size, 63)))
        size -= len(labels[-1]) + 1
    return ".".join(labels)


def path(local, whole):
    """A mailbox of so many octets, brackets not counted."""
    return "l" * local + "@" + domain(whole - local - 1)


GOOD_PATHS = [
    "a@client.test", "a.b.c@client.test", "!#$%&'*+-/=?^_`{|}~@client.test", "A@CLIENT.TEST",
    '"a b"@client.test', '"a@b"@client.test', '"a\\"b"@client.test', '"a\\\\b"@client.test',
    '"<>()[],;:"@client.test', '""@client.test', '".."@client.test', '"a\\b"@client.test',
    "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@[IPv6:::]", "a@[IPv6:::ffff:192.0.2.1]",
    "a@[ipv6:2001:DB8::1]", "a@[x-tag:any%thing]", "a@x", "a@1.2.3", "a@xn--bcher-kva.test",
    "@one.test:a@client.test", "@one.test,@two.test:a@client.test",
    "@[192.0.2.1]:a@client.test", path(64, 254), path(1, 254), '"' + "q" * 62 + '"@client.test',
    "a@" + "l" * 63 + ".test",
]
BAD_PATHS = [
    "a", "@", "a@", "@client.test", "a@@client.test", "a@b@client.test", ".a@client.test",
    "a.@client.test", "a..b@client.test", "a b@client.test", "a@client..test", "a@.test",
    "a@client.test.", "a@-client.test", "a@client-.test", "a@cli ent.test", "a@client!test",
    '"a@client.test', 'a"@client.test', 'a"b"@client.test', '"a"b@client.test',
    '"a"."b"@client.test', "a(b)@client.test", "a\\b@client.test", "a,b@client.test",
    "a@[192.0.2.256]", "a@[192.0.2]", "a@[192.0.2.1", "a@192.0.2.1]", "a@[::1]",
    "a@[IPv6:2001:db8:::1]", "a@[IPv6:192.0.2.1]", "a@[]", "a@[tag:]", "a@[:x]",
    "@one.test a@client.test", "@one.test:", "@:a@client.test", "one.test:a@client.test",
    path(65, 200), path(64, 255), path(1, 255), '"' + "q" * 63 + '"@client.test',
    "a@" + "l" * 64 + ".test", "@one.test:" + path(10, 250), "<a@client.test>",
]


@pytest.mark.parametrize("good", GOOD_PATHS)
def test_good_paths(shared, good):
    with enter(shared, "lan") as dialog:
        assert said(dialog.command(f"MAIL FROM:<{good}>")) == "250 2.1.0"
        assert said(dialog.command(f"RCPT TO:<{good}>")) == "250 2.1.5"


@pytest.mark.parametrize("bad", BAD_PATHS)
def test_bad_paths(shared, bad):
    with enter(shared, "lan") as dialog:
        assert said(dialog.command(f"MAIL FROM:<{bad}>")) == SENDER
        assert dialog.command("MAIL FROM:<>").code == 250
        assert said(dialog.command(f"RCPT TO:<{bad}>")) == RECIPIENT


FORMS = {
    "null reverse-path": ["MAIL FROM:<> -> 250 2.1.0", "RCPT TO:<b@in.test> -> 250 2.1.5"],
    "null forward-path": [MAIL, "RCPT TO:<> -> 501 5.1.3"],
    "postmaster": [MAIL, "RCPT TO:<postmaster> -> 250 2.1.5", "RCPT TO:<PostMaster> -> 250 2.1.5",
                   "RCPT TO:<POSTMASTER@in.test> -> 250 2.1.5"],
    "no postmaster as sender": ["MAIL FROM:<postmaster> -> 501 5.1.7"],
    "blanks of a stranger": [
        "MAIL FROM: <a@client.test> -> 501 5.5.4", "MAIL FROM :<a@client.test> -> 501 5.5.4",
        "MAIL FROM:< a@client.test> -> 501 5.1.7", "MAIL FROM:<a@client.test > -> 501 5.1.7",
        "MAIL  FROM:<a@client.test> -> 250 2.1.0", "RCPT TO: <b@in.test> -> 501 5.5.4"],
    "no brackets": ["MAIL FROM:a@client.test -> 501 5.5.4", "MAIL FROM:<a@client.test -> 501 5.1.7",
                    "MAIL FROM:a@client.test> -> 501 5.5.4", "MAIL TO:<a@b.test> -> 501 5.5.4",
                    "MAIL <a@b.test> -> 501 5.5.4", "MAIL FROM<a@b.test> -> 501 5.5.4",
                    MAIL, "RCPT FROM:<b@in.test> -> 501 5.5.4", "RCPT TO:b@in.test -> 501 5.5.4"],
    "something behind the path": [
        "MAIL FROM:<a@client.test>x -> 501 5.5.4", "MAIL FROM:<a@client.test>SIZE=1 -> 501 5.5.4",
        "MAIL FROM:<a@client.test>> -> 501 5.5.4",
        "MAIL FROM:<a@client.test> <b@client.test> -> 501 5.5.4"],
    "beyond ASCII": ["MAIL FROM:<\xc3\xa9@client.test> -> 553 5.6.7",
                     "MAIL FROM:<a@\xc3\xa9.test> -> 553 5.6.7",
                     'MAIL FROM:<"\xc3\xa9"@client.test> -> 553 5.6.7', MAIL,
                     "RCPT TO:<\xc3\xa9@in.test> -> 553 5.6.7",
                     "RCPT TO:<\xff@in.test> -> 553 5.6.7"],
    "relaying in any form": [MAIL] + [f"RCPT TO:<{path}> -> 550 5.7.1" for path in (
        "b@elsewhere.test", "b%elsewhere.test@gw.test", '"b@elsewhere.test"@gw.test',
        "@in.test:b@elsewhere.test", "b@[127.0.0.1]", "b@in.test.elsewhere.test",
        "elsewhere.test!b@gw.test")],
    "a source route to here": [MAIL, "RCPT TO:<@gw.test,@x.test:b@in.test> -> 250 2.1.5"],
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_mail_and_rcpt(shared, name):
    replay(shared, "mx", lines(*FORMS[name]))


# ---- parameters (RFC 5321, 4.1.1.11; 1870, 3461, 4954, 6152) ----

PARAMETERS = {
    "": "250 2.1.0", " ": "250 2.1.0", "   SIZE=1   BODY=7BIT  ": "250 2.1.0",
    "SIZE=0": "250 2.1.0", "SIZE=1": "250 2.1.0", f"SIZE={MAX}": "250 2.1.0",
    f"SIZE={MAX + 1}": "552 5.3.4", "SIZE=00000000000000000001": "250 2.1.0",
    "SIZE=99999999999999999999": "552 5.3.4", "SIZE=18446744073709551617": "552 5.3.4",
    "SIZE=100000000000000000000": ARGUMENT, "SIZE": ARGUMENT, "SIZE=": ARGUMENT, "SIZE=x": ARGUMENT,
    "SIZE=-1": ARGUMENT, "SIZE=+1": ARGUMENT, "SIZE=1k": ARGUMENT, "SIZE= 1": ARGUMENT,
    "SIZE =1": ARGUMENT, "SIZE=0x10": ARGUMENT, "SIZE=1 SIZE=1": ARGUMENT,
    "size=1 SiZe=2": ARGUMENT, "BODY=7BIT": "250 2.1.0", "BODY=8bitmime": "250 2.1.0",
    "BODY=BINARYMIME": ARGUMENT, "BODY=": ARGUMENT, "BODY": ARGUMENT,
    "BODY=8BITMIME BODY=7BIT": ARGUMENT, "RET=FULL": "250 2.1.0", "RET=hdrs": "250 2.1.0",
    "RET=": ARGUMENT, "RET=ALL": ARGUMENT, "RET": ARGUMENT, "RET=FULL RET=FULL": ARGUMENT,
    "ENVID=QQ314159": "250 2.1.0", "ENVID=a+2Bb+3Dc": "250 2.1.0", "ENVID=": ARGUMENT,
    "ENVID": ARGUMENT, "ENVID=a+2": ARGUMENT, "ENVID=a+2b": ARGUMENT, "ENVID=a=b": ARGUMENT,
    "ENVID=a+0Ab": ARGUMENT, "ENVID=" + "e" * 100: "250 2.1.0", "ENVID=" + "e" * 101: ARGUMENT,
    "SMTPUTF8": UNKNOWN, "AUTH=<>": UNKNOWN, "NOTIFY=NEVER": UNKNOWN, "X-ANY=1": UNKNOWN,
    "BY=120;R": UNKNOWN, "REQUIRETLS": UNKNOWN, "=1": ARGUMENT, "-A=1": ARGUMENT,
    "A_B=1": ARGUMENT, "A=\x01": SYNTAX, "A=b=c": ARGUMENT, "\xc3\xa9=1": ARGUMENT,
    " ".join(f"X{n}=1" for n in range(20)): ARGUMENT,
}


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_parameters_of_mail(shared, parameters):
    with enter(shared, "mx") as dialog:
        assert said(dialog.command(f"MAIL FROM:<a@b.test> {parameters}")) == PARAMETERS[parameters]
        want = "250 2.1.5" if PARAMETERS[parameters].startswith("250") else ORDER
        assert said(dialog.command("RCPT TO:<b@in.test>")) == want


RCPT_PARAMETERS = {
    "NOTIFY=NEVER": "250 2.1.5", "NOTIFY=success,FAILURE,Delay": "250 2.1.5",
    "NOTIFY=FAILURE ORCPT=rfc822;b@in.test": "250 2.1.5", "NOTIFY=": ARGUMENT, "NOTIFY": ARGUMENT,
    "NOTIFY=ALWAYS": ARGUMENT, "NOTIFY=NEVER,FAILURE": ARGUMENT, "NOTIFY=FAILURE,NEVER": ARGUMENT,
    "NOTIFY=FAILURE,": ARGUMENT, "NOTIFY=,FAILURE": ARGUMENT, "NOTIFY=SUCCESS, FAILURE": ARGUMENT,
    "NOTIFY=NEVER NOTIFY=NEVER": ARGUMENT, "ORCPT=rfc822;a+2Bb@in.test": "250 2.1.5",
    "ORCPT=x400;/S=a/": ARGUMENT, "ORCPT=x400;/S+3Da/": "250 2.1.5", "ORCPT=b@in.test": ARGUMENT,
    "ORCPT=;b@in.test": ARGUMENT, "ORCPT=rfc822;": ARGUMENT, "ORCPT=rfc822": ARGUMENT,
    "ORCPT=": ARGUMENT, "ORCPT=rfc822;a+b": ARGUMENT, "SIZE=1": UNKNOWN, "BODY=7BIT": UNKNOWN,
    "RET=FULL": UNKNOWN, "X-ANY": UNKNOWN, "ORCPT=rfc822;" + "o" * 493: "250 2.1.5",
    "ORCPT=rfc822;" + "o" * 494: ARGUMENT,
}


@pytest.mark.parametrize("parameters", RCPT_PARAMETERS)
def test_parameters_of_rcpt(shared, parameters):
    with enter(shared, "mx") as dialog:
        assert dialog.command("MAIL FROM:<a@b.test>").code == 250
        want = RCPT_PARAMETERS[parameters]
        assert said(dialog.command(f"RCPT TO:<b@in.test> {parameters}")) == want
        assert said(dialog.command("DATA")) == ("354" if want.startswith("250") else ORDER)


@pytest.mark.parametrize("parameter,want", [
    ("AUTH=<>", "250 2.1.0"), ("AUTH=e+3Dmc2@example.com", "250 2.1.0"), ("AUTH=", ARGUMENT),
    ("AUTH", ARGUMENT), ("AUTH=<> AUTH=<>", ARGUMENT), ("AUTH=a+zz", ARGUMENT)])
def test_auth_of_mail(shared, parameter, want):
    """RFC 4954, section 5."""
    with enter(shared, "wrapper") as dialog:
        assert said(dialog.command(f"MAIL FROM:<a@b.test> {parameter}")) == want


# ---- DATA (RFC 5321, sections 2.3.8, 4.1.1.4, 4.5.2 and 4.5.3.1.6) ----

ENVELOPE = "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@in.test>\r\n"
HEADER = b"From: a@client.test\r\nSubject: x\r\n\r\n"


def begin(dialog):
    dialog.mail("a@client.test", "b@in.test")


def deliver(shared, door, data, chunked=False):
    """What the relay got of a message, behind its trace header."""
    with enter(shared, door) as dialog:
        begin(dialog)
        if chunked:
            dialog.send(b"BDAT %d LAST\r\n" % len(data) + data)
            identity = queue_id(dialog.reply())
        else:
            identity = queue_id(dialog.data(data))
    got = shared.relayed(identity).data
    assert got.startswith(b"Received: from ")
    return re.sub(rb"(?s)\AReceived:.*?\r\n(?=[^ \t])", b"", got)


BODIES = {
    "dots": (b"..\r\n...\r\n..a\r\nb.\r\n.. \r\n\r\n..\r\n",
             b".\r\n..\r\n.a\r\nb.\r\n. \r\n\r\n.\r\n"),
    "a dot that was not doubled": (b".a\r\n", b"a\r\n"),
    "commands": (b"QUIT\r\nRSET\r\nMAIL FROM:<x@y.test>\r\nDATA\r\n",) * 2,
    "empty lines": (b"\r\n\r\n\r\n",) * 2,
    "nothing": (b"",) * 2,
    "lines of 1000 octets": ((b"x" * 998 + b"\r\n") * 3,) * 2,
    "a dot and a thousand": (b".." + b"y" * 997 + b"\r\n", b"." + b"y" * 997 + b"\r\n"),
    "8-bit": ("grüße\r\n".encode(),) * 2,
    "octets that are no UTF-8": (b"\xff\xfe\x80\r\n",) * 2,
    "controls": (b"\x01\x1a\x1b[0m\x7f\t\r\n",) * 2,
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("door", ["mx", "lan"])
def test_data_comes_through(shared, door, name):
    sent, want = BODIES[name]
    assert deliver(shared, door, HEADER + sent).endswith(b"\r\n\r\n" + want)


@pytest.mark.parametrize("name", [name for name in BODIES if "dot" not in name])
def test_bdat_comes_through(shared, name):
    sent, want = BODIES[name]
    assert deliver(shared, "mx", HEADER + sent, chunked=True).endswith(b"\r\n\r\n" + want)


@pytest.mark.parametrize("size", [999, 1001, 4096, 15_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_long_lines_are_taken_and_lose_nothing(shared, size, chunked):
    """More than RFC 5321 asks (4.5.3.1.6): many clients send them, and mail must not be lost."""
    got = deliver(shared, "mx", HEADER + b"x" * size + b"\r\nend\r\n", chunked)
    assert got.endswith(b"end\r\n")
    assert got.count(b"x") >= size or b"Content-Transfer-Encoding" in got


@pytest.mark.parametrize("door", ["mx", "lan"])
@pytest.mark.parametrize("message", [
    b"", b"\r\n", b"text alone\r\n", b"no colon here\r\nSubject: x\r\n\r\ny\r\n",
    b"Subject: no body", b": no name\r\n\r\n", b" folded before anything\r\n\r\nx\r\n",
    b"From: a@client.test\r\nSubject: \x00\r\n\r\n\x00 NUL \x00\r\n"])
def test_odd_messages_are_taken(shared, door, message):
    """Without a header, without a body, with NUL octets."""
    with enter(shared, door) as dialog:
        begin(dialog)
        data = message if not message or message.endswith(b"\r\n") else message + b"\r\n"
        identity = queue_id(dialog.data(data))
        begin(dialog)
        dialog.send(b"BDAT %d LAST\r\n" % len(message) + message)
        other = queue_id(dialog.reply())
    for one in (identity, other):
        shared.wait_for("message.sent", id=one)


BARE = ["a\nb", "a\rb", "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "a\r\r\nb",
        "\n", "\r", "\n\r\n", "\r\n.\r\r\n", "\r\r\n.", "\r\n\r.\r\n"]


@pytest.mark.parametrize("piece", BARE, ids=repr)
def test_strict_refuses_bare_line_ends_wherever_they_stand(shared, piece):
    smuggled = "MAIL FROM:<evil@client.test>\r\nRCPT TO:<b@in.test>\r\nDATA\r\nx\r\n"
    data = "Subject: x\r\n\r\nbefore" + piece + smuggled
    replay(shared, "mx", [(ENVELOPE, "250 2.1.0"), ("", "250 2.1.5"), ("DATA\r\n", "354"),
                          (data + "\r\n.\r\n", "550 5.5.2"), ("NOOP\r\n", "250 2.0.0")])
    replay(shared, "mx", [(ENVELOPE, "250 2.1.0"), ("", "250 2.1.5"),
                          (f"BDAT {len(data)} LAST\r\n{data}", "550 5.5.2"),
                          ("NOOP\r\n", "250 2.0.0")])


# ---- sizes (RFC 1870, section 6) ----

def filled(size, end=b"\r\n"):
    rest = size - len(HEADER) - len(end)
    return HEADER + (b"." * 75 + b"\r\n") * (rest // 77) + b"x" * (rest % 77) + end


@pytest.mark.parametrize("door", ["mx", "lan"])
@pytest.mark.parametrize("over,want", [(0, "250 2.0.0"), (1, "552 5.3.4"), (5000, "552 5.3.4")])
def test_the_size_is_the_messages_without_its_stuffing(shared, door, over, want):
    with enter(shared, door) as dialog:
        begin(dialog)
        message = filled(MAX + over)
        assert len(message) == MAX + over
        assert said(dialog.data(re.sub(rb"(?m)^\.", b"..", message))) == want
        begin(dialog)
        dialog.send(b"BDAT %d LAST\r\n" % len(message) + message)
        assert said(dialog.reply()) == want
        begin(dialog)
        dialog.send(b"BDAT %d\r\n" % (MAX - 1) + message[:MAX - 1]
                    + b"BDAT %d LAST\r\n" % (over + 1) + message[MAX - 1:])
        assert [said(dialog.reply()) for _ in range(2)] == ["250 2.0.0", want]


@pytest.mark.parametrize("door", ["mx", "lan"])
def test_a_chunk_of_the_full_size_needs_no_last_line_end(shared, door):
    message = filled(MAX, end=b"")
    assert len(message) == MAX and not message.endswith(b"\n")
    with enter(shared, door) as dialog:
        begin(dialog)
        dialog.send(b"BDAT %d LAST\r\n" % len(message) + message)
        assert said(dialog.reply()) == "250 2.0.0"


def test_the_declared_size_binds_nobody(shared):
    with enter(shared, "mx") as dialog:
        dialog.mail("a@client.test", "b@in.test", parameters="SIZE=1")
        assert said(dialog.data(filled(MAX))) == "250 2.0.0"


# ---- BDAT (RFC 3030) ----

BDAT = {
    "in one": [("BDAT 5 LAST\r\nabc\r\n", "250 2.0.0"), ("NOOP\r\n", "250 2.0.0")],
    "in three": [("BDAT 3\r\nabc", "250 2.0.0"), ("BDAT 0\r\n", "250 2.0.0"),
                 ("bdat 2 last\r\n\r\n", "250 2.0.0"), ("NOOP\r\n", "250 2.0.0")],
    "of nothing": [("BDAT 0 LAST\r\n", "250 2.0.0"), ("NOOP\r\n", "250 2.0.0")],
    "after its last": [("BDAT 2 LAST\r\n\r\n", "250 2.0.0"), ("BDAT 6 LAST\r\nQUIT\r\n", ORDER),
                       ("NOOP\r\n", "250 2.0.0")],
    "then DATA": [("BDAT 1\r\na", "250 2.0.0"), ("DATA\r\n", ORDER), ("RSET\r\n", "250 2.0.0"),
                  ("DATA\r\n", ORDER)],
    "then DATA, then more": [("BDAT 1\r\na", "250 2.0.0"), ("DATA\r\n", ORDER),
                             ("BDAT 1 LAST\r\na", "250 2.0.0")],
    "then MAIL and RCPT": [("BDAT 1\r\na", "250 2.0.0"), ("MAIL FROM:<>\r\n", ORDER),
                           ("RCPT TO:<b@in.test>\r\n", ORDER), ("RSET\r\n", "250 2.0.0"),
                           ("MAIL FROM:<>\r\n", "250 2.1.0")],
    "then EHLO": [("BDAT 1\r\na", "250 2.0.0"), ("EHLO a\r\n", "250"),
                  ("BDAT 1 LAST\r\na", ORDER)],
    "then QUIT": [("BDAT 1\r\na", "250 2.0.0"), ("QUIT\r\n", "221 2.0.0")],
    "a dot alone is text": [("BDAT 5\r\n\r\n.\r\n", "250 2.0.0"),
                            ("BDAT 3 LAST\r\n.\r\n", "250 2.0.0")],
    "bad size": [("BDAT x\r\n", ARGUMENT), ("BDAT 1 LAST\r\na", ARGUMENT),
                 ("RSET\r\n", "250 2.0.0")],
    "bad word": [("BDAT 6 LATER\r\nQUIT\r\n", ARGUMENT), ("BDAT 6 LAST\r\nQUIT\r\n", ARGUMENT),
                 ("MAIL FROM:<>\r\n", "250 2.1.0")],
    "beyond numbers": [("BDAT 99999999999999999999\r\n", ARGUMENT)],
}


@pytest.mark.parametrize("name", BDAT)
def test_bdat(shared, name):
    replay(shared, "mx", [("MAIL FROM:<a@client.test>\r\n", "250 2.1.0"),
                          ("RCPT TO:<b@in.test>\r\n", "250 2.1.5"), *BDAT[name]])


def test_bdat_whose_line_has_no_good_end_runs_none_of_its_octets(shared):
    """Its length is nobody's guess: the connection ends, and the octets with it."""
    for command in ("BDAT 30 LAST\n", "BDAT 30 LAST \xff\n"):
        with enter(shared, "mx") as dialog:
            begin(dialog)
            dialog.send(command + "\r\nRSET\r\nMAIL FROM:<evil@client.test>\r\n")
            assert dialog.reply().code in (500, 501)
            assert dialog.closed()


# ---- pipelines (RFC 2920) ----

def test_a_thousand_recipients_in_one_write(shared):
    with enter(shared, "crowd") as dialog:
        dialog.send("MAIL FROM:<a@client.test>\r\n" + "".join(
            f"RCPT TO:<r{n}@example.com>\r\n" for n in range(1000)) + "DATA\r\n")
        codes = [said(dialog.reply()) for _ in range(1002)]
        assert codes == (["250 2.1.0"] + ["250 2.1.5"] * 100 + ["452 4.5.3"] * 900 + ["354"])
        dialog.send(HEADER + b".\r\n")
        identity = queue_id(dialog.reply())
        dialog.quit()
    sent = shared.wait_for("message.accepted", id=identity)
    assert sent["recipients"] == 100


def test_messages_in_a_row_in_one_write(shared):
    one = ENVELOPE + "DATA\r\nSubject: n\r\n\r\n..\r\n.\r\n"
    other = ENVELOPE + "BDAT 14\r\nSubject: n\r\n\r\nBDAT 3 LAST\r\n.\r\n"
    with enter(shared, "mx") as dialog:
        dialog.send((one + other) * 20 + "QUIT\r\n")
        got = [said(dialog.reply()) for _ in range(20 * 8 + 1)]
        assert got == ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "250 2.1.0", "250 2.1.5",
                       "250 2.0.0", "250 2.0.0"] * 20 + ["221 2.0.0"]
        assert dialog.closed()


# ---- STARTTLS and implicit TLS (RFC 3207, RFC 8314) ----

def test_what_comes_before_starttls_where_it_is_required(shared):
    """530 to every command other than NOOP, EHLO, STARTTLS and QUIT."""
    with enter(shared, "submit", False) as dialog:
        assert dialog.ehlo().keys().isdisjoint({"AUTH"})
        for command in ("MAIL FROM:<a@b.test>", "RCPT TO:<a@b.test>", "DATA", "RSET", "VRFY a",
                        "HELP", "EXPN a", "AUTH PLAIN", "AUTH LOGIN", "BDAT 0 LAST"):
            assert said(dialog.command(command)) == "530 5.7.0", command
        assert said(dialog.command("NOOP")) == "250 2.0.0"
        assert said(dialog.command("QUIT")) == "221 2.0.0"


@pytest.mark.parametrize("door", ["mx", "submit", "legacy"])
def test_nothing_is_kept_over_starttls(shared, door):
    with enter(shared, door, False) as dialog:
        dialog.ehlo()
        assert said(dialog.command("STARTTLS")) == "220 2.0.0"
        dialog._secure()
        for command in ("MAIL FROM:<a@b.test>", "STARTTLS", "AUTH PLAIN", "RCPT TO:<b@in.test>"):
            assert said(dialog.command(command)) == ORDER, command
        assert "STARTTLS" not in dialog.ehlo()
        assert said(dialog.command("STARTTLS")) == ORDER


@pytest.mark.parametrize("behind", ["N", "NOOP\r\n", "EHLO evil\r\nMAIL FROM:<>\r\n", "\r\n"])
def test_octets_behind_starttls_end_the_connection(shared, behind):
    with enter(shared, "mx") as dialog:
        dialog.send("STARTTLS\r\n" + behind)
        assert said(dialog.reply()) == "220 2.0.0"
        assert dialog.closed()


def test_no_starttls_where_tls_is_there_or_is_not(shared):
    with enter(shared, "wrapper", False) as dialog:
        assert "STARTTLS" not in dialog.ehlo()
        assert said(dialog.command("STARTTLS")) == ORDER
    with enter(shared, "lan") as dialog:
        assert said(dialog.command("STARTTLS")) == "502 5.5.1"


@pytest.mark.parametrize("piece", [1, 2, 3, 17])
def test_commands_and_data_split_over_tls_records(shared, piece):
    with enter(shared, "wrapper") as dialog:
        dialog.send(ENVELOPE + "DATA\r\nSubject: n\r\n\r\n..\r\n.\r\nNOOP\r\n"
                    + ENVELOPE + "BDAT 3\r\nab\rBDAT 2 LAST\r\n\n.QUIT\r\n", piece)
        assert [said(dialog.reply()) for _ in range(10)] == [
            "250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "250 2.0.0", "250 2.1.0", "250 2.1.5",
            "250 2.0.0", "250 2.0.0", "221 2.0.0"]
        assert dialog.closed()


def test_close_notify_is_answered_and_ends_the_message_at_hand(shared):
    with enter(shared, "lan") as dialog:  # what was logged before it has been read
        shared.relayed(dialog.deliver(mails.plain()))
    before = shared.mark()
    with enter(shared, "wrapper") as dialog:
        dialog.mail("a@client.test", "b@example.com")
        assert dialog.command("DATA").code == 354
        dialog.send(HEADER + b"half of it\r\n")
        dialog.socket.unwrap()          # sends close_notify and waits for the other
    with enter(shared, "lan") as dialog:
        shared.relayed(dialog.deliver(mails.plain()))
    assert len(shared.find("message.accepted", since=before)) == 1
    assert not any(b"half of it" in message.data for message in shared.sink.messages)


def test_quit_closes_with_close_notify(shared):
    with enter(shared, "wrapper") as dialog:
        assert said(dialog.command("QUIT")) == "221 2.0.0"
        dialog.socket.suppress_ragged_eofs = False
        assert dialog.socket.recv(1) == b""


# ---- AUTH (RFC 4954, RFC 4616) ----

def b64(text):
    return base64.b64encode(text.encode()).decode()


PLAIN = b64(f"\0{USER}\0{PASSWORD}")
NAME, SECRET = b64(USER), b64(PASSWORD)
GOOD, WRONG, UNREADABLE = "235 2.7.0", "535 5.7.8", "501 5.5.2"
AUTHS = {
    "PLAIN at once": [("AUTH PLAIN " + PLAIN, GOOD)],
    "PLAIN in two": [("AUTH PLAIN", "334"), (PLAIN, GOOD)],
    "plain": [("auth plain " + PLAIN, GOOD)],
    "PLAIN with its own name as authzid": [
        ("AUTH PLAIN " + b64(f"{USER}\0{USER}\0{PASSWORD}"), GOOD)],
    "PLAIN as another": [("AUTH PLAIN " + b64(f"root\0{USER}\0{PASSWORD}"), WRONG)],
    "PLAIN wrong": [("AUTH PLAIN " + b64(f"\0{USER}\0x"), WRONG)],
    "PLAIN for nobody": [("AUTH PLAIN " + b64("\0nobody\0x"), WRONG)],
    "PLAIN without fields": [("AUTH PLAIN " + b64(f"{USER}"), UNREADABLE),
                             ("AUTH PLAIN " + b64(f"\0{USER}"), UNREADABLE),
                             ("AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}\0"), UNREADABLE)],
    "PLAIN empty": [("AUTH PLAIN =", UNREADABLE)],
    "no base64": [("AUTH PLAIN !!!!", UNREADABLE), ("AUTH PLAIN A===", UNREADABLE),
                  ("AUTH PLAIN AGE", UNREADABLE), (f"AUTH PLAIN {PLAIN} x", UNREADABLE),
                  ("AUTH PLAIN", "334"), ("*x", UNREADABLE), ("NOOP", "250 2.0.0")],
    "LOGIN": [("AUTH LOGIN", "334"), (NAME, "334"), (SECRET, GOOD)],
    "LOGIN with the name at once": [("AUTH LOGIN " + NAME, "334"), (SECRET, GOOD)],
    "LOGIN wrong": [("AUTH LOGIN", "334"), (NAME, "334"), (b64("x"), WRONG)],
    "LOGIN empty": [("AUTH LOGIN", "334"), ("", "334"), ("", WRONG)],
    "given up": [("AUTH PLAIN", "334"), ("*", "501 5.7.0"), ("AUTH LOGIN", "334"),
                 ("*", "501 5.7.0"), ("AUTH LOGIN", "334"), (NAME, "334"), ("*", "501 5.7.0"),
                 ("AUTH PLAIN " + PLAIN, GOOD)],
    "twice": [("AUTH PLAIN " + PLAIN, GOOD), ("AUTH PLAIN " + PLAIN, ORDER),
              ("AUTH LOGIN", ORDER), ("EHLO a", "250"), ("AUTH LOGIN", ORDER),
              ("RSET", "250 2.0.0"), ("MAIL FROM:<a@b.test>", "250 2.1.0")],
    "in a transaction": [("AUTH PLAIN " + PLAIN, GOOD), ("MAIL FROM:<a@b.test>", "250 2.1.0"),
                         ("AUTH PLAIN " + PLAIN, ORDER)],
    "others": [("AUTH", ARGUMENT), ("AUTH CRAM-MD5", "504 5.5.4"), ("AUTH EXTERNAL =", "504 5.5.4"),
               ("AUTH X Y Z", "504 5.5.4"), ("AUTH PLAIN " + PLAIN, GOOD)],
    "none": [("MAIL FROM:<a@b.test>", "530 5.7.0"), ("RCPT TO:<a@b.test>", ORDER),
             ("RSET", "250 2.0.0"), ("VRFY a", "252 2.5.2"), ("HELP", "214 2.0.0"),
             ("AUTH PLAIN " + PLAIN, GOOD), ("MAIL FROM:<a@b.test>", "250 2.1.0")],
    "a long line": [("AUTH PLAIN " + "A" * 12284, "500 5.5.6"), ("AUTH PLAIN", "334"),
                    ("A" * 12288, "500 5.5.6"), ("NOOP", "250 2.0.0"), ("AUTH PLAIN", "334"),
                    ("A" * 12284, UNREADABLE), ("NOOP", "250 2.0.0")],
}


@pytest.mark.parametrize("name", AUTHS)
def test_auth(shared, name):
    for pipelined in (False, True):
        with enter(shared, "wrapper", False) as dialog:
            dialog.ehlo()
            if pipelined:
                dialog.send("".join(line + "\r\n" for line, _ in AUTHS[name]))
            got = [said(dialog.reply() if pipelined else dialog.command(line))
                   for line, _ in AUTHS[name]]
            assert got == [want for _, want in AUTHS[name]]


def test_auth_wants_ehlo_and_its_challenges_are_base64(shared):
    with enter(shared, "wrapper", False) as dialog:
        assert said(dialog.command("AUTH PLAIN")) == ORDER
        assert dialog.command("HELO a").code == 250
        assert said(dialog.command("AUTH PLAIN")) == ORDER
        dialog.ehlo()
        assert dialog.command("AUTH PLAIN") == (334, [""])
        assert dialog.command("*").code == 501
        assert base64.b64decode(dialog.command("AUTH LOGIN").lines[0]) == b"Username:"
        assert base64.b64decode(dialog.command(NAME).lines[0]) == b"Password:"
        assert dialog.command(SECRET).code == 235


# ---- SMTPUTF8 (RFC 6531) ----

UTF8 = {
    "both": ["MAIL FROM:<é@ü.test> SMTPUTF8 -> 250 2.1.0", "RCPT TO:<ж@пример.test> -> 250 2.1.5"],
    "not asked for": ["MAIL FROM:<é@client.test> -> 553 5.6.7", MAIL,
                      "RCPT TO:<é@client.test> -> 553 5.6.7"],
    "with a value": ["MAIL FROM:<a@b.test> SMTPUTF8=1 -> 501 5.5.4"],
    "twice": ["MAIL FROM:<a@b.test> SMTPUTF8 smtputf8 -> 501 5.5.4"],
    "quoted": ['MAIL FROM:<"é é"@b.test> SMTPUTF8 BODY=8BITMIME SIZE=10 -> 250 2.1.0'],
    "ASCII with it": ["MAIL FROM:<a@b.test> SMTPUTF8 -> 250 2.1.0", RCPT],
    "forgotten by RSET": ["MAIL FROM:<a@b.test> SMTPUTF8 -> 250 2.1.0", RSET, MAIL,
                          "RCPT TO:<é@client.test> -> 553 5.6.7"],
    "ORCPT": ["MAIL FROM:<a@b.test> SMTPUTF8 -> 250 2.1.0",
              "RCPT TO:<é@b.test> ORCPT=utf-8;é@b.test -> 250 2.1.5"],
    "VRFY": ["VRFY é -> 553 5.6.7", "VRFY é SMTPUTF8 -> 252 2.5.2", "VRFY a -> 252 2.5.2"],
}


@pytest.mark.parametrize("name", UTF8)
def test_smtputf8(shared, name):
    replay(shared, "utf8", [(line.encode(), want) for line, want in lines(*UTF8[name])])


@pytest.mark.parametrize("octets", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xc2\x85",
                                    b"\xf4\x90\x80\x80"])
def test_what_is_no_utf8_is_no_address(shared, octets):
    with enter(shared, "utf8") as dialog:
        dialog.send(b"MAIL FROM:<a" + octets + b"@b.test> SMTPUTF8\r\n")
        assert said(dialog.reply()) == SENDER


# ---- the trace header (RFC 5321, section 4.4; RFC 3848, RFC 6531) ----

TRACE = re.compile(
    r"Received: from (?P<helo>\S+) \((?:\S+ )?\[(?P<client>[^]]+)\]\)\r\n"
    r"\tby gw\.test \(Stowage\) with (?P<protocol>\w+) id (?P<id>[0-9a-z]{26})"
    r"(?P<tls>\r\n\t\(TLS\S+ [A-Z0-9_-]+\))?(?P<for>\r\n\tfor <\S+>)?;\r\n"
    r"\t[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n")


@pytest.mark.parametrize("door,greeting,protocol,tls", [
    ("lan", "HELO a.test", "SMTP", False), ("lan", "EHLO a.test", "ESMTP", False),
    ("mx", "EHLO a.test", "ESMTP", False), ("mx", "STARTTLS", "ESMTPS", True),
    ("submit", None, "ESMTPSA", True), ("wrapper", None, "ESMTPSA", True),
    ("legacy", "AUTH", "ESMTPA", False)])
def test_the_trace_header(shared, door, greeting, protocol, tls):
    with enter(shared, door) as dialog:
        if greeting == "STARTTLS":
            dialog.starttls()
        elif greeting == "AUTH":
            assert dialog.auth_plain(USER, PASSWORD).code == 235
        elif greeting:
            assert dialog.command(greeting).code == 250
        identity = dialog.deliver(mails.plain(), "a@client.test", ["b@in.test"])
    data = shared.relayed(identity).data.decode("latin-1")
    trace = TRACE.match(data)
    assert trace, data[:400]
    assert trace["protocol"] == protocol and bool(trace["tls"]) == tls
    assert trace["id"] == identity and trace["client"] == "127.0.0.1"
    assert trace["for"] == "\r\n\tfor <b@in.test>"
    assert data.count("Received:") == 1 and max(map(len, trace[0].split("\r\n"))) <= 78


@pytest.mark.parametrize("first", [b"\tby evil.test with ESMTP\r\n", b" \r\n", b"\t\r\n \r\n",
                                   b" indented\r\n"])
@pytest.mark.parametrize("rest", [b"Subject: x\r\n\r\ny\r\n", b"  no header at all\r\n", b""])
def test_nothing_is_folded_onto_the_trace_header(shared, first, rest):
    with enter(shared, "mx") as dialog:
        begin(dialog)
        identity = queue_id(dialog.data(first + rest))
    data = shared.relayed(identity).data.decode("latin-1")
    assert data.count("Received:") == 1
    trace = TRACE.match(data, data.index("Received:"))
    assert data[trace.end():][:1] not in (" ", "\t")
    others = data.replace(trace[0], "")
    assert all(word in others for word in (first + rest).decode().split())


def test_several_recipients_are_not_told_of_each_other(shared):
    with enter(shared, "lan") as dialog:
        identity = dialog.deliver(mails.plain(), "a@client.test", ["b@in.test", "c@in.test"])
    trace = TRACE.match(shared.relayed(identity).data.decode("latin-1"))
    assert trace and not trace["for"]


def test_the_trace_header_of_smtputf8(shared):
    with enter(shared, "utf8") as dialog:
        dialog.send("MAIL FROM:<é@b.test> SMTPUTF8\r\nRCPT TO:<ü@b.test>\r\nDATA\r\n".encode())
        assert [dialog.reply().code for _ in range(3)] == [250, 250, 354]
        dialog.send(HEADER + b".\r\n")
        identity = queue_id(dialog.reply())
    trace = TRACE.match(shared.relayed(identity).data.decode("latin-1"))
    assert trace["protocol"] == "UTF8SMTP" and not trace["for"]


@pytest.mark.parametrize("hops,want", [(50, "250 2.0.0"), (51, "554 5.4.6")])
@pytest.mark.parametrize("name", ["Received:", "received :", "RECEIVED\t:"])
def test_loops(shared, name, hops, want):
    field = f"{name} from a.test by b.test;\r\n\tFri, 20 Nov 2026 14:05:06 +0100\r\n".encode()
    with enter(shared, "lan") as dialog:
        begin(dialog)
        assert said(dialog.data(field * hops + HEADER + b"Received: x\r\n" * 60)) == want
        begin(dialog)


# ---- old devices ----

LEGACY = {
    "paths": ["MAIL FROM: <a@client.test> -> 250 2.1.0", "RCPT TO: b@in.test -> 250 2.1.5",
              "RCPT TO:b@in.test -> 250 2.1.5", "RCPT TO : < b@in.test > -> 250 2.1.5",
              "RCPT TO:<.b..c.@in.test> -> 250 2.1.5", "RCPT TO:<b@in.test -> 250 2.1.5",
              "RCPT TO:b@in.test> -> 250 2.1.5", "RCPT TO:<b@in.test NOTIFY=NEVER -> 250 2.1.5",
              " RSET -> 250 2.0.0",
              "MAIL FROM:a@client.test SIZE=10 -> 250 2.1.0", RSET,
              "MAIL FROM:<ups> -> 250 2.1.0", RSET, "MAIL FROM:<> -> 250 2.1.0"],
    "still no paths": ["MAIL FROM: -> 501 5.1.7", "MAIL FROM:<a@b@c> -> 501 5.1.7", MAIL,
                       "RCPT TO: -> 501 5.1.3", "RCPT TO:<ups> -> 501 5.1.3",
                       "RCPT TO:b@in.test c@in.test -> 501 5.5.4"],
    "names": ["HELO -> 250", "EHLO -> 250", "HELO my printer -> 250", "EHLO \xff -> 250",
              "EHLO [::1] -> 250"],
}


@pytest.mark.parametrize("name", LEGACY)
def test_legacy(shared, name):
    replay(shared, "legacy", lines(*LEGACY[name]))


def test_legacy_line_ends(shared):
    replay(shared, "legacy", [
        ("NOOP\n", "250 2.0.0"), ("NOOP\r\r\n", "250 2.0.0"),
        ("MAIL FROM:<a@client.test>\n", "250 2.1.0"), ("RCPT TO:<b@in.test>\n", "250 2.1.5"),
        ("DATA\n", "354"), ("Subject: x\n\na\n.\nQUIT\n\r\n.\r\n", "250 2.0.0"),
        ("NOOP\n", "250 2.0.0")])


# ---- the end ----

@pytest.mark.parametrize("said_before,open_data", [((), False), (("MAIL FROM:<>",), False),
                                                   (("MAIL FROM:<>", "RCPT TO:<b@in.test>",
                                                     "DATA"), True)])
def test_silence_ends_with_421(gateway, make_settings, sink, tmp_path, said_before, open_data):
    """RFC 5321, section 4.5.3.2."""
    listener = lan(command_timeout="3s", data_timeout="3s")
    gateway(make_settings(sink.settings(), listeners=[listener], s3={
        "directory": str(tmp_path / "store"), "directory_url": "http://127.0.0.1:1"}))
    with Dialog(listener.address) as dialog:
        began = time.monotonic()
        dialog.ehlo()
        for command in said_before:
            dialog.command(command)
        if open_data:
            dialog.send("half a line")
        assert said(dialog.reply()) == "421 4.4.2"
        assert 2.5 < time.monotonic() - began < 30
        assert dialog.closed()


def test_too_many_errors_end_with_421(shared):
    with enter(shared, "mx") as dialog:
        dialog.send("WHAT\r\n" * 30)
        got = [said(dialog.reply()) for _ in range(21)]
        assert got == [SYNTAX] * 20 + ["421 4.7.0"]
        assert dialog.closed()
