"""The house rules that a compiler does not check: layers, and how the program is linked."""
import os
import re
import subprocess

import pytest

from gateway import binary, build_directory

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A folder may include itself and what stands here: down only.
BELOW = {"mime": set(), "s3": set(), "conf": {"mime", "s3"}, "gateway": {"conf", "mime", "s3"}}


def sources(folder):
    for path, _, names in os.walk(os.path.join(ROOT, folder)):
        for name in names:
            if name.endswith((".c", ".h")):
                yield os.path.join(path, name)


@pytest.mark.parametrize("folder", BELOW)
def test_includes_point_down_only(folder):
    files = list(sources(folder))
    assert files
    for file in files:
        with open(file) as text:
            for included in re.findall(r'(?m)^\s*#\s*include\s+"([^"]+)"', text.read()):
                top = included.split("/")[0]
                assert top == folder or top in BELOW[folder], f"{file} includes {included}"
                assert os.path.exists(os.path.join(ROOT, included)), f"{file}: {included}"


@pytest.mark.parametrize("folder", ["mime", "s3", "conf"])
def test_lower_folders_use_no_symbol_of_higher_ones(folder):
    """What is not included could still be declared by hand: the libraries tell."""
    build = build_directory("STOWAGE_RELEASE")

    def symbols(library, kinds):
        shown = subprocess.run(["nm", "-A", library], check=True, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, timeout=60).stdout.decode()
        return set(re.findall(rf" [{kinds}] (\w+)$", shown, re.M))

    libraries = {name: os.path.join(build, name, f"lib{name}.a")
                 for name in BELOW if name != "gateway"}
    above = [name for name in libraries if name not in BELOW[folder] and name != folder]
    needed = symbols(libraries[folder], "U")
    for other in above:
        defined = symbols(libraries[other], "TDBRV")
        assert not needed & defined, f"{folder} needs {needed & defined} of {other}"


def test_the_program_is_hardened():
    program = binary(build_directory("STOWAGE_RELEASE"))

    def readelf(option):
        return subprocess.run(["readelf", "-W", option, program], check=True,
                              stdout=subprocess.PIPE, timeout=60).stdout.decode()

    assert re.search(r"Type:\s+DYN \(Position-Independent Executable", readelf("-h"))
    dynamic, segments = readelf("-d"), readelf("-l")
    assert "BIND_NOW" in dynamic or re.search(r"FLAGS_1.*NOW", dynamic)
    assert "PIE" in dynamic
    assert "GNU_RELRO" in segments
    stack = re.search(r"GNU_STACK.*", segments).group(0)
    assert re.search(r"\bRW\b", stack) and "RWE" not in stack
    assert not re.search(r"LOAD.*RWE", segments)
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)
    imported = readelf("--dyn-syms")
    assert "__stack_chk_fail" in imported
    for unbounded in ("strcpy", "strcat", "sprintf", "gets", "vsprintf", "system", "popen"):
        assert not re.search(rf" {unbounded}@", imported), unbounded


def test_it_links_what_debian_can_install_together():
    needed = subprocess.run(["readelf", "-d", binary(build_directory("STOWAGE_RELEASE"))],
                            check=True, stdout=subprocess.PIPE, timeout=60).stdout.decode()
    assert "libcurl-gnutls.so" in needed and "libetpan.so" in needed
