"""What the README shows is so: its settings are good, and it names every option."""
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
    done = gateways.run("check", "-c", str(path))
    assert done.returncode == 0, done.stderr.decode()


def options_of_the_sample():
    section, options = "", []
    for line in gateways.run("sample-config").stdout.decode().splitlines():
        key = re.match(r"#( *)(?:- )?([a-z_0-9]+):(.*)", line)
        if not key:
            continue
        indent, name, value = key.groups()
        if not indent and not value.strip():
            section = "listeners[]." if name == "listeners" else name + "."
        else:
            options.append((section if indent else "") + name)
    return options


def test_the_table_has_every_option_and_no_other():
    table = README[README.index("| option | what it is |"):README.index("### Who may send")]
    shown = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(shown) > 50
    assert sorted(shown) == sorted(options_of_the_sample())
