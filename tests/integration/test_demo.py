"""conf/demo.sh does what it says, on the build that is there."""
import os
import subprocess

from gateway import build_directory, environment

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "demo.sh")


def test_the_demo_runs_to_its_end_and_cleans_up(tmp_path):
    env = environment(STOWAGE_BUILD=build_directory("STOWAGE_RELEASE"), TMPDIR=str(tmp_path),
                      HOME=str(tmp_path))
    done = subprocess.run(["sh", DEMO], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=240, env=env, cwd=str(tmp_path))
    text = done.stdout.decode()
    assert done.returncode == 0, text
    assert text.count("identical") >= 3, text
    assert os.listdir(tmp_path) == [], "left behind"
