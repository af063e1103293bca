"""./dev bare: the rooms without ROS on another interpreter, with the newest NumPy it has."""

import re
import subprocess
import sys
from pathlib import Path

from prefix import PYTHON, ROOT, build_environment
from progress import SetupError, step

NEEDS = (
    "hypothesis msgpack numpy pytest pytest-timeout pytest-xdist PyYAML pyzmq scipy".split()
    + "av mujoco opencv-python-headless pyarrow trimesh".split()  # pictures, datasets, collisions
)
"""Not pinned: the newest releases for the interpreter are tried, unless an argument pins one."""
PIN = re.compile(r"[A-Za-z][\w-]*==\S+$")
ROOMS = "robot observe motion collide watch session wire serve proxy supervise sidecar".split()


def split_pins(words: list[str]) -> tuple[list[str], list[str]]:
    """The pinned packages, such as `numpy==2.3.*`, and the other words, which are pytest's."""
    pins = [word for word in words if PIN.match(word)]
    return pins, [word for word in words if word not in pins]


def run_bare(arguments: list[str]) -> int:
    """Run the tests of ROOMS with `PYTHON [NAME==VERSION] [ARGUMENTS OF PYTEST]`; its status.

    The environment is made anew each time, under .cache/bare. Raises SetupError where the
    interpreter does not run, or has no wheels of NEEDS.
    """
    if not arguments:
        raise SetupError("bare: got no interpreter, expected one: ./dev bare python3.14")
    asked, *words = arguments
    pins, words = split_pins(words)
    folder = ROOT / ".cache" / "bare" / Path(asked).name
    environment = build_environment()
    for name in ("VIRTUAL_ENV", "PYTHON"):
        environment.pop(name, None)
    # Debian's Python has no ensurepip of its own, so that .venv's pip installs
    step(
        f"bare environment with {asked}",
        [asked, "-m", "venv", "--clear", "--without-pip", folder],
        environment,
    )
    python = folder / "bin" / "python"
    pip = [PYTHON, "-m", "pip", "--python", python, "install", "--quiet", "--only-binary=:all:"]
    step(f"{', '.join([*NEEDS, *pins])} for {asked}", [*pip, *NEEDS, *pins], environment)
    sys.stdout.flush()
    tests = words or [f"test/{room}" for room in ROOMS]
    command = [python, "-m", "pytest", "-q", "-n=2", *tests]
    return subprocess.call(command, cwd=ROOT, env=environment)
