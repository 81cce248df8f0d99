"""stowage user: who may authenticate, in a file that holds no password."""
import os
import re
import stat
import subprocess

import pytest

from gateway import run


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "users")


def user(command, path, *name, password=None):
    return run("user", command, path, *name, stdin=(password + "\n").encode() if password else b"")


def names(path):
    """The first word of each line of the list; the others say how the password is kept."""
    return [line.split()[0] for line in user("list", path).stdout.decode().splitlines()]


def test_a_user_is_added_verified_listed_and_removed(path):
    assert user("add", path, "printer", password="sécret 1").returncode == 0
    assert user("add", path, "camera", password="other").returncode == 0
    assert user("verify", path, "printer", password="sécret 1").returncode == 0
    assert user("verify", path, "printer", password="other").returncode != 0
    assert user("verify", path, "nobody", password="other").returncode != 0
    assert sorted(names(path)) == ["camera", "printer"]
    assert user("remove", path, "printer").returncode == 0
    assert names(path) == ["camera"]
    assert user("verify", path, "printer", password="sécret 1").returncode != 0
    assert user("remove", path, "printer").returncode != 0


def test_the_file_holds_hashes_and_is_its_owners_only(path):
    user("add", path, "printer", password="VeRySeCrEt")
    with open(path) as file:
        text = file.read()
    assert re.fullmatch(r"printer:\$y\$\S+\n", text)
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o007 == 0


def test_a_file_made_for_the_gateways_group_stays_readable_for_it(path):
    os.close(os.open(path, os.O_CREAT, 0o600))
    os.chmod(path, 0o640)
    if os.getuid() == 0:
        os.chown(path, 0, 65534)
    before = os.stat(path)
    for name in ("printer", "camera"):
        assert user("add", path, name, password="secret").returncode == 0
    after = os.stat(path)
    assert stat.S_IMODE(after.st_mode) == 0o640 and after.st_gid == before.st_gid
    assert names(path) == ["printer", "camera"]


def test_a_user_with_a_certificate_needs_no_password(path):
    assert run("user", "add", "--no-password", path, "camera").returncode == 0
    assert open(path).read() == "camera:*\n"
    assert user("list", path).stdout.decode() == "camera  no password\n"
    assert user("verify", path, "camera", password="*").returncode == 77
    assert user("verify", path, "nobody", password="*").returncode == 67
    assert run("user", "remove", "--no-password", path, "camera").returncode == 64


def test_a_new_password_replaces_the_old_one(path):
    user("add", path, "printer", password="old")
    assert user("add", path, "printer", password="new").returncode == 0
    assert user("verify", path, "printer", password="new").returncode == 0
    assert user("verify", path, "printer", password="old").returncode != 0
    assert names(path) == ["printer"]


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "x" * 2000])
def test_names_that_do_not_fit_the_file_are_refused(name, path):
    done = user("add", path, name, password="x")
    assert done.returncode != 0 and done.stderr
    assert not os.path.exists(path) or not open(path).read()


@pytest.mark.parametrize("password,made", [
    ("pw", ["openssl", "passwd", "-6", "-salt", "saltsalt", "pw"]),
    # a published test vector of crypt_blowfish
    ("U*U", ["echo", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"])],
    ids=["SHA-512", "bcrypt"])
def test_hashes_made_by_other_tools_are_taken(password, made, path):
    made = subprocess.run(made, check=True, stdout=subprocess.PIPE, timeout=60).stdout.decode()
    with open(path, "w") as file:
        file.write(f"device:{made}")
    assert user("verify", path, "device", password=password).returncode == 0
    assert user("verify", path, "device", password="nope").returncode != 0


def test_a_broken_file_is_an_error_with_its_line(path):
    user("add", path, "fine", password="x")
    with open(path, "a") as file:
        file.write("no colon here\n")
    done = user("verify", path, "fine", password="x")
    assert done.returncode != 0 and f"{path}:2" in done.stderr.decode()
