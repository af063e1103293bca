"""./dev bare: the rooms without ROS on another interpreter, with the newest NumPy it has."""

import re
import subprocess
import sys
from pathlib import Path

from prefix import ROOT, build_environment
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

    The environment is made anew each time, under .cache/bare; .venv is not needed, nor its ROS 2
    wheels, so that it runs on every machine. Raises SetupError where the interpreter does not run,
    or has no wheels of NEEDS.
    """
    if not arguments:
        raise SetupError("bare: got no interpreter, expected one: ./dev bare python3.14")
    asked, *words = arguments
    pins, words = split_pins(words)
    made = ROOT / ".cache" / "bare"
    installer, folder = made / "installer", made / Path(asked).name
    environment = build_environment()
    for name in ("VIRTUAL_ENV", "PYTHON"):
        environment.pop(name, None)
    # another interpreter than ours may have no ensurepip: a pip of ours installs for it
    if not _runs(installer / "bin" / "python"):
        step("pip", [sys.executable, "-m", "venv", "--clear", installer], environment)
    step(
        f"bare environment with {asked}",
        [asked, "-m", "venv", "--clear", "--without-pip", folder],
        environment,
    )
    python = folder / "bin" / "python"
    pip: list[str | Path] = [installer / "bin" / "python", "-m", "pip", "--python", python]
    pip += ["install", "--quiet", "--only-binary=:all:"]
    step(f"{', '.join([*NEEDS, *pins])} for {asked}", [*pip, *NEEDS, *pins], environment)
    sys.stdout.flush()
    tests = words or [f"test/{room}" for room in ROOMS]
    command: list[str | Path] = [python, "-m", "pytest", "-q", "-n=2", *tests]
    return subprocess.call(command, cwd=ROOT, env=environment)


def _runs(python: Path) -> bool:
    """Whether it is there with pip: its own interpreter may have been upgraded."""
    try:
        return not subprocess.call([python, "-m", "pip", "--version"], stdout=subprocess.DEVNULL)
    except OSError:
        return False
