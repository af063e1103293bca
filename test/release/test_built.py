"""What is built and installed for real: sdist, wheel from it, a bare environment, a release.

They take minutes and the package index: `./dev soak test/release`.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from child_process import Child

from release import contents

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must end well."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A clone of the last commit: what lies about in the working tree is not built."""
    folder = tmp_path_factory.mktemp("clone") / "gr00t_ros"
    run("git", "clone", "-q", ROOT, folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def sdist(checkout, tmp_path_factory):
    """The sdist of the last commit."""
    out = tmp_path_factory.mktemp("sdist")
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, out, cwd=checkout)
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel that is built from the sdist, and from nothing else."""
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps")
    run(*pip, "-w", out, sdist, cwd=out)
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """The wheel in a virtual environment without ROS."""
    prefix = tmp_path_factory.mktemp("bare")
    venv.create(prefix, with_pip=True)
    run(prefix / "bin/python", "-m", "pip", "install", "-q", wheel, cwd=prefix)
    return prefix


def test_sdist_and_wheel_have_what_they_must_and_no_more(sdist, wheel):
    """Config, launch, messages, licences; no tests, no shared, no .venv."""
    assert contents.sdist_problems(contents.sdist_names(sdist)) == []
    assert contents.wheel_problems(contents.wheel_names(wheel), contents.wheel_needs()) == []
    assert wheel.stat().st_size < 20e6


def alone(prefix: Path) -> dict[str, str]:
    """An environment without ROS, and without the checkout."""
    hidden = (
        "PYTHONPATH",
        "AMENT_PREFIX_PATH",
        "LD_LIBRARY_PATH",
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
    )
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return kept | {"PATH": f"{prefix / 'bin'}:/usr/bin:/bin"}


def gr00t(prefix: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the installed wheel, outside of the checkout."""
    command = [str(prefix / "bin" / "gr00t"), *words]
    return subprocess.run(command, cwd=prefix, env=alone(prefix), capture_output=True, text=True)


def test_a_bare_environment_serves_a_policy_and_asks_it(bare, tmp_path):
    """`gr00t-sidecar ping` needs no ROS, nor does the server that it asks."""
    assert re.fullmatch(r"gr00t_ros \d+\.\d+\.\d+\n", gr00t(bare, "--version").stdout)
    program = str(bare / "bin" / "gr00t")
    words = [program, "sidecar", "hold", "--embodiment", "franka_droid", "--port", "0"]
    server = Child(["-c", REPLACED, *words], tmp_path / "server.log", alone(bare))
    try:
        address = server.wait_for_line(r"(127\.0\.0\.1:\d+)")[1]
        ping = [str(bare / "bin" / "gr00t-sidecar"), "ping", "--server", address]
        done = subprocess.run(ping, cwd=bare, env=alone(bare), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        server.popen.terminate()
        server.popen.wait(20)


REPLACED = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize(
    "words", [("policy",), ("doctor",), ("sim", "robot"), ("stream", "joints"), ("try", "so100")]
)
def test_a_command_that_needs_ros_says_what_is_missing(bare, words):
    """Status 2, no traceback."""
    done = gr00t(bare, *words)
    assert done.returncode == 2
    assert "needs the Python module" in done.stderr and "setup.bash" in done.stderr
    assert "Traceback" not in done.stderr


def test_catkin_prepare_release_makes_a_release_of_it(checkout):
    """It renames Forthcoming, raises the version, commits and tags; here without a push."""
    tool = shutil.which("catkin_prepare_release", path=str(Path(sys.executable).parent))
    assert tool is not None
    names = [f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    who = dict.fromkeys(names, "a@b.org")
    run(sys.executable, tool, "--no-push", "-y", "--bump", "minor", cwd=checkout, **who)
    version = re.search(r"<version>(.*)</version>", (checkout / "package.xml").read_text())
    assert version is not None
    assert run("git", "tag", "--points-at", "HEAD", cwd=checkout).stdout.split() == [version[1]]
    changelog = (checkout / "CHANGELOG.rst").read_text()
    assert "Forthcoming" not in changelog and f"\n{version[1]} (" in changelog
