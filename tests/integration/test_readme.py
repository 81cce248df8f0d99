"""What the README shows is so: its settings are good, and it names every option."""
import glob
import os
import re

import pytest

import gateway as gateways

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
with open(os.path.join(ROOT, "README.md")) as file:
    README = file.read()
ROLES = re.findall(r"```yaml\n(.*?)```", README, re.S)


def test_there_is_one_settings_file_for_each_role():
    assert len(ROLES) == 3


@pytest.mark.parametrize("number", range(len(ROLES)))
def test_the_settings_shown_are_good(number, certificate, users_file, tmp_path):
    text = ROLES[number]
    secret = tmp_path / "secret"
    secret.write_text("not-a-secret\n")
    places = {
        "/etc/stowage/fullchain.pem": certificate[0],
        "/etc/stowage/key.pem": certificate[1],
        "/etc/stowage/users": users_file,
        "/etc/stowage/ses-password": str(secret),
        "/etc/stowage/ses-secret-key": str(secret),
    }
    for name in re.findall(r"/etc/stowage/[\w.-]+", text):
        assert name in places
    for name, place in places.items():
        text = text.replace(name, str(place))
    path = tmp_path / "stowage.yaml"
    path.write_text(text + f"queue: {{ directory: {tmp_path}/queue }}\n")
    done = gateways.run("check", "-c", str(path), env=gateways.environment(
        AWS_ACCESS_KEY_ID="AKIDTEST", AWS_SECRET_ACCESS_KEY="secret"))
    assert done.returncode == 0, done.stderr.decode()


def options_of_the_sample():
    """Their paths, elements of lists as LIST[].KEY; sections themselves are left out."""
    parents, options = [], []
    for line in gateways.run("sample-config").stdout.decode().splitlines():
        key = re.match(r"#( *)(- )?([a-z_0-9]+):(.*)", line)
        if not key:
            continue
        blanks, hyphen, name, value = key.groups()
        indent = len(blanks) + (2 if hyphen else 0)
        while parents and parents[-1][0] >= indent:
            parents.pop()
        if hyphen:
            parents[-1][1] += "[]"
        path = ".".join([parent for _, parent in parents] + [name])
        if value.strip() or parents:
            options.append(path)
        if not value.strip():
            parents.append([indent, name])
    return options


def test_the_table_has_every_option_and_no_other():
    table = README[README.index("| option | what it is |"):README.index("### Who may send")]
    shown = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(shown) > 50
    assert sorted(shown) == sorted(options_of_the_sample())


def table(heading):
    """The rows of the first table behind a heading, as lists of cells."""
    text = README[README.index(f"### {heading}\n"):]
    rows = re.search(r"(?:^\|.*\n)+", text, re.M).group().splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_table_of_extensions_has_those_that_can_be_hidden():
    sample = gateways.run("sample-config").stdout.decode().replace("\n#    # ", " ")
    hidden = re.search(r"break on them\. Any of ([^.]*)\.", sample).group(1)
    shown = {row[0].split()[0] for row in table("SMTP")}
    assert shown == set(re.split(r", | or ", hidden))


def test_every_ceiling_of_a_listener_is_in_the_table():
    shown = " ".join(row[0] for row in table("Ceilings"))
    for name in options_of_the_sample():
        if re.match(r"listeners\[\]\.(max_|.*_per_minute|.*_timeout)", name):
            assert f"`{name.split('.')[1]}`" in shown, name


def test_every_code_that_refuses_is_explained():
    with open(os.path.join(ROOT, "gateway", "smtp", "reply.c")) as file:
        given = set(re.findall(r"\{ ([45]\d\d), \"", file.read()))
    shown = set(re.findall(r"\b[45]\d\d\b", " ".join(row[0] for row in table(
        "Replies a client may see"))))
    assert len(given) > 15 and given == shown


def test_every_quirk_is_named():
    with open(os.path.join(ROOT, "gateway", "smtp", "quirk.c")) as file:
        names = re.findall(r'= "(\w+)"', file.read())
    part = README[README.index("### Old devices"):README.index("### Replies")]
    assert len(names) > 5 and all(f"`{name}`" in part for name in names), names


def sources():
    for path in glob.glob(os.path.join(ROOT, "gateway", "**", "*.c"), recursive=True):
        with open(path) as file:
            yield re.sub(r'"\s*"', "", file.read())


def test_every_event_is_in_the_table():
    part = README[README.index("| event | when |"):README.index("**HTTP** on")]
    options = set(options_of_the_sample())
    kinds = set(re.findall(r"^\| `(\w+)\.", part, re.M)) | {
        name.split(".")[0] for name in re.findall(r"`(\w+\.\w+)`", part)} - {"log"}
    names = set()
    for text in sources():
        told_in_debug = set(re.findall(r'log_debug\(\s*"([^"]+)"', text))
        names |= set(re.findall(r'"(\w+\.[a-z]\w+)"', text)) - told_in_debug
    events = {name for name in names if name.split(".")[0] in kinds} - options
    events -= {"message.eml", "queue.db", "queue.written"}
    shown = set(re.findall(r"`(\w+\.\w+)`", part))
    assert len(events) > 60
    assert events <= shown, sorted(events - shown)
    assert shown - options <= events, sorted(shown - options - events)


def test_every_metric_is_in_the_table():
    with open(os.path.join(ROOT, "gateway", "admin", "metrics.c")) as file:
        named = set(re.findall(r'"(stowage_\w+?)[{"\\ ]', re.sub(r'"\s*"', "", file.read())))
    part = README[README.index("| metric | by |"):README.index("Worth an alert")]
    shown = set(re.findall(r"`(stowage_\w+)`", part))
    assert len(named) > 20
    assert named == shown, named ^ shown
