"""What the package needs from PyPI, by setup.py, and which versions requirements.txt pins."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SIMULATOR = ("mujoco", "trimesh", "fast-simplification")
"""What the simulated robots need in addition. setup.py has no extra for it: requirements.txt."""
LIBERO = "requirements-libero.txt"
"""What ./dev setup libero installs into an environment of its own."""


def runtime() -> list[Requirement]:
    """What every installation needs."""
    return [Requirement(text) for text in _keyword("install_requires")]


def optional() -> list[Requirement]:
    """What the extras need, each once, in order of their names, then what the simulator needs."""
    texts = {text for extra in _keyword("extras_require").values() for text in extra}
    return [Requirement(text) for text in (*sorted(texts), *SIMULATOR)]


def _keyword(name: str) -> Any:
    """A literal argument of setup() in setup.py."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == name:
            return ast.literal_eval(node.value)
    raise LookupError(f"setup.py: setup() has no argument {name}")


def pinned(file: str = "requirements.txt") -> Iterator[Requirement]:
    """The lines of a file: a package may have one for each range of Pythons."""
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text:
            yield Requirement(text)


def versions_pinned(name: str) -> set[str]:
    """The versions of a package that requirements.txt pins."""
    wanted = canonicalize_name(name)
    found = (one for one in pinned() if canonicalize_name(one.name) == wanted)
    return {pin.version for one in found for pin in one.specifier}


def ros_packages() -> list[str]:
    """The ROS packages that package.xml needs at run time, in order of their names."""
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    names = {one.text or "" for tag in ("depend", "exec_depend") for one in manifest.iter(tag)}
    return sorted(name for name in names if not name.startswith("python3-"))
