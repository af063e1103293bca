"""What the wheel and the sdist must have, and what neither may have.

A wheel's names are those below the prefix into which pip puts it, so that `config/...` of the
source is `share/gr00t_ros/config/...`; its modules are `gr00t_ros/...`. An sdist's are those of the
source.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
LICENSES = ("LICENSE", "NOTICE", "THIRD_PARTY.md")
SHARED = ("config", "launch", "msg", "srv")
"""Folders of the source that a wheel has below share/gr00t_ros."""
SOURCES = ("gr00t_ros", "scripts", "resource", *SHARED)
"""Folders of the source from which the wheel is built: all that an sdist has, beside files."""

_SOURCE_FILES = (
    *("CMakeLists.txt", "package.xml", "setup.py", "pyproject.toml", "MANIFEST.in"),
    *("README.md", "CHANGELOG.rst", *LICENSES),
)
_WHEEL_FOLDERS = frozenset({"gr00t_ros", "share", "lib", "bin", "include", "dist-info"})
_NEVER = re.compile(r"(^|/)(tests?|bench|docs|examples|shared|\.[^/]*|[^/]*\.py[co])(/|$)")
"""Tests, benchmarks, notes, caches, virtual environments and other hidden files."""


def files_below(folder: Path) -> Iterator[str]:
    """Names of the folder's files relative to its parent, without caches."""
    for file in folder.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder.parent).as_posix()


def wheel_needs() -> set[str]:
    """What a wheel of this checkout must have, beside what the message generators make."""
    shared = {f"share/gr00t_ros/{name}" for folder in SHARED for name in files_below(ROOT / folder)}
    programs = {f"lib/gr00t_ros/{file.name}" for file in (ROOT / "scripts").iterdir()}
    licenses = {f"dist-info/licenses/{name}" for name in LICENSES}
    messages = {
        "share/gr00t_ros/package.xml",
        "gr00t_ros/msg/__init__.py",
        "gr00t_ros/srv/__init__.py",
    }
    return shared | programs | licenses | messages | set(files_below(ROOT / "gr00t_ros"))


def sdist_needs() -> set[str]:
    """What an sdist of this checkout must have."""
    below = {name for folder in SOURCES for name in files_below(ROOT / folder)}
    return below | set(_SOURCE_FILES)


def wheel_problems(names: Iterable[str], needs: set[str]) -> list[str]:
    """What is missing in a wheel with these names, and what should not be there; empty if good."""
    found = set(names)
    strange = {name for name in found if name.split("/")[0] not in _WHEEL_FOLDERS}
    return _problems(found, needs, strange)


def sdist_problems(names: Iterable[str]) -> list[str]:
    """What is missing in an sdist with these names, and what should not be there; empty if good."""
    found = set(names)
    return _problems(found, sdist_needs(), set())


def _problems(found: set[str], needs: set[str], strange: set[str]) -> list[str]:
    strange |= {name for name in found if _NEVER.search(name)}
    return [f"missing: {name}" for name in sorted(needs - found)] + [
        f"should not be there: {name}" for name in sorted(strange)
    ]


def wheel_names(wheel: Path) -> list[str]:
    """The names in a wheel file, each as it lies below the prefix, modules as `gr00t_ros/...`."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    return [
        _in_prefix(re.sub(r"^gr00t_ros-[^/]*\.data/(?:data|purelib|platlib)/", "", n))
        for n in names
    ]


def sdist_names(sdist: Path) -> list[str]:
    """The names in an sdist, relative to its one folder."""
    with tarfile.open(sdist) as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
    return [PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in names]


def installed_names(distribution: Distribution, prefix: Path) -> list[str]:
    """The names that a wheel had which pip has installed below `prefix`, by its RECORD.

    Without what pip itself made: compiled modules, console commands, and its own notes.
    """
    site = Path(str(distribution.locate_file(""))).resolve()
    names = []
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file))).resolve()
        inside = path.is_relative_to(site)
        name = path.relative_to(site if inside else prefix.resolve()).as_posix()
        if "__pycache__" not in name:
            names.append(_in_prefix(name))
    return names


def _in_prefix(name: str) -> str:
    return re.sub(r"^gr00t_ros-[^/]*\.dist-info/", "dist-info/", name)
