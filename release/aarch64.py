"""docs/aarch64.md: for which Pythons the package index has wheels for aarch64."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gr00t_ros.errors import SettingsError
from release.requirements import optional, runtime

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = (
    "manylinux2014_aarch64",  # the older name of manylinux_2_17, which pip does not take for it
    *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 36)),
)
"""Wheels that run with glibc 2.35: Ubuntu 22.04 (Jetson Orin) and 24.04 (Thor)."""
NONE = "none"
_DEBS = {
    "aiohttp": "python3-aiohttp",
    "matplotlib": "python3-matplotlib",
    "msgpack": "python3-msgpack",
    "numpy": "python3-numpy",
    "opencv-python-headless": "python3-opencv",
    "protobuf": "python3-protobuf",
    "pyyaml": "python3-yaml",
    "pyzmq": "python3-zmq",
}
"""Debian's and Ubuntu's package of the same module: what rosdep installs."""

_HEAD = """\
# aarch64: Jetson and other ARM computers

gr00t_ros has no compiled code of its own beside the message types, which ROS 2's generators
compile on the robot's computer (`colcon build`). ROS 2 itself comes as debs for arm64. This page
says for which Pythons the package index has a wheel of each further requirement for aarch64 with
glibc 2.35 or older, and the newest version of it that setup.py allows. Made on {date} with

    python3 -m release aarch64 > docs/aarch64.md

The index was asked, nothing was installed or run on aarch64. The column `deb` has the package of
Debian and Ubuntu with the same module, which rosdep installs and which serves the system's own
Python only.
"""


def document() -> str:
    """The whole page; asks the package index that pip is set up for, once for each cell."""
    columns = ("requirement", *PYTHONS, "deb")
    lines = [_HEAD.format(date=datetime.date.today().isoformat())]
    for title, requirements in (("Every installation", runtime()), ("Optional", optional())):
        lines += [f"## {title}", "", _row(columns), _row(["---"] * len(columns))]
        lines += [_row(cells(one)) for one in _once(requirements)] + [""]
    return "\n".join(lines)


def _once(requirements: Sequence[Requirement]) -> list[Requirement]:
    """Each package once, without extras of its own."""
    return list({canonicalize_name(one.name): one for one in requirements}.values())


def cells(one: Requirement) -> list[str]:
    """One row: the requirement, the newest version for each Python, the deb."""
    deb = _DEBS.get(canonicalize_name(one.name), "")
    found = [newest(one, python) or NONE for python in PYTHONS]
    return [f"{one.name}{one.specifier}", *found, deb]


def newest(one: Requirement, python: str) -> str | None:
    """The newest version with a wheel for this Python on aarch64, None if there is none."""
    where = [word for platform in PLATFORMS for word in ("--platform", platform)]
    options = ["--only-binary=:all:", "--python-version", python, *where]
    command = [sys.executable, "-m", "pip", "index", "versions", *options, one.name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "No matching distribution" not in done.stderr:
        raise SettingsError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return newest_listed(one, done.stdout)


def newest_listed(one: Requirement, listed: str) -> str | None:
    """The first version in the output of `pip index versions` that the requirement allows."""
    for line in listed.splitlines():
        name, _, versions = line.partition(":")
        if name == "Available versions":
            allowed = (text.strip() for text in versions.split(","))
            return next((text for text in allowed if text in one.specifier), None)
    return None


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
