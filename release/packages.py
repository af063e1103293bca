"""Installed Python packages as their metadata describes them, with what they need in turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    distributions,
)
from pathlib import Path
from typing import cast

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_SOURCES = ("source", "source code", "repository", "homepage", "github")
"""Labels of a project's links, best first, in small letters."""
_LONGEST_NAME = 40
"""Longer texts in the old field License are the license itself."""
SEE_FILE = "see its license file"


@dataclass(frozen=True, slots=True)
class Package:
    """One package: the name and version that pip knows, license and source as it states them.

    needs: canonical names of the packages that it needs here.
    """

    name: str
    version: str
    license: str
    source: str
    needs: tuple[str, ...] = ()


def installed(requirements: Iterable[Requirement]) -> tuple[list[Package], list[str]]:
    """The packages, with all that they need, by name; and the names of those not installed."""
    found: dict[str, Package] = {}
    missing: list[str] = []
    waiting = list(requirements)
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or name in missing:
            continue
        try:
            one = distribution(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        needs = list(_needs(one, wanted.extras))
        found[name] = package(one, needs)
        waiting += needs
    return [found[name] for name in sorted(found)], sorted(missing)


def found_in(folder: Path, requirements: Iterable[Requirement]) -> tuple[list[Package], list[str]]:
    """As `installed`, in the site-packages of another environment, and without what they need."""
    found: list[Package] = []
    missing: list[str] = []
    for name in sorted(canonicalize_name(one.name) for one in requirements):
        there = next(iter(distributions(name=name, path=[str(folder)])), None)
        if there is None:
            missing.append(name)
        else:
            found.append(package(there))
    return found, missing


def _needs(one: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What the package needs in this environment, with these extras."""
    for text in one.requires or ():
        need = Requirement(text)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if need.marker is None or any(map(need.marker.evaluate, environments)):
            yield need


def package(one: Distribution, needs: Iterable[Requirement] = ()) -> Package:
    """What the metadata of one installed package says."""
    names = tuple(sorted(canonicalize_name(need.name) for need in needs))
    return Package(one.metadata["Name"], one.version, _license(one), _source(one), names)


def _fields(one: Distribution) -> Message:
    """The metadata as what it is: its declared type has no `get`."""
    return cast(Message, one.metadata)


def _license(one: Distribution) -> str:
    """The SPDX expression, else the classifiers, else the old field if it is a name."""
    fields = _fields(one)
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    stated = str(fields.get("License") or "").strip()
    classifiers = [str(text) for text in fields.get_all("Classifier") or ()]
    names = [text.split(" :: ")[-1] for text in classifiers if text.startswith("License :: ")]
    if names:
        return ", ".join(names)
    named = 0 < len(stated) <= _LONGEST_NAME and "\n" not in stated and stated != "UNKNOWN"
    return stated if named else SEE_FILE


def _source(one: Distribution) -> str:
    fields = _fields(one)
    links = dict(_labelled(str(text)) for text in fields.get_all("Project-URL") or ())
    found = (links[label] for label in _SOURCES if label in links)
    return next(found, None) or str(fields.get("Home-page") or "")


def _labelled(link: str) -> tuple[str, str]:
    label, _, address = link.partition(",")
    return label.strip().lower(), address.strip()
