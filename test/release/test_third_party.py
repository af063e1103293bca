"""THIRD_PARTY.md is up to date, and a bill of materials has what is installed."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gr00t_ros.errors import SettingsError
from gr00t_ros.sim.assets import MODELS
from release import aarch64, sbom
from release.packages import Package, installed
from release.requirements import (
    LIBERO,
    optional,
    pinned,
    ros_packages,
    runtime,
    versions_pinned,
)

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "THIRD_PARTY.md").read_text()


def rows(title: str) -> dict[str, list[str]]:
    """The cells of the table under a heading, by the first of them."""
    _, _, below = DOCUMENT.partition(f"\n## {title}")
    lines = re.findall(r"^\| (.*) \|$", below.partition("\n## ")[0], re.MULTILINE)[2:]
    cells = [line.split(" | ") for line in lines]
    return {canonicalize_name(row[0]): row[1:] for row in cells}


def without_tables() -> str:
    """The sentences that name what was not installed."""
    return "\n".join(re.findall(r"was made: (.*)", DOCUMENT))


def test_what_every_installation_needs_is_listed_as_it_is_pinned_and_licensed():
    """A requirement that comes, goes, or gets another version or license fails here."""
    listed = rows("Needed by every installation")
    assert set(listed) == {canonicalize_name(one.name) for one in runtime()}
    for name, (stated, license_name, source) in listed.items():
        assert stated in versions_pinned(name), f"{name}: make THIRD_PARTY.md again"
        assert license_name and source.startswith("https://")
        if version(name) == stated:  # another Python has another numpy
            found = {canonicalize_name(one.name): one for one in installed([Requirement(name)])[0]}
            assert found[name].license == license_name


def test_every_option_ros_package_and_robot_model_is_listed():
    """Or named as not installed where the table was made."""
    absent = set(map(canonicalize_name, re.findall(r"[\w-]+(?=[,.])", without_tables())))
    more = set(rows("Optional")) | absent
    assert {canonicalize_name(one.name) for one in optional()} <= more
    ros = set(rows("ROS 2")) | absent
    assert {canonicalize_name(name) for name in ros_packages()} <= ros
    for model in MODELS:
        assert model.package in DOCUMENT and model.notice.strip() in DOCUMENT


def test_every_package_of_the_libero_extra_is_listed_as_it_is_pinned():
    """requirements-libero.txt has all of them, each with its version."""
    pins = {canonicalize_name(one.name): str(one.specifier)[2:] for one in pinned(LIBERO)}
    listed = rows("LIBERO")
    assert {name: row[0] for name, row in listed.items()} == pins, "make THIRD_PARTY.md again"
    assert all(license_name for _, license_name, _ in listed.values())


def test_licenses_are_compatible_with_ours():
    """None that Apache-2.0 code may not be distributed with, in what every installation needs."""
    for name, (_, license_name, _) in rows("Needed by every installation").items():
        assert not re.search(r"(?<!L)GPL|AGPL|SSPL|proprietary", license_name, re.I), name


def test_what_is_missing_is_named():
    """With what is there all the same."""
    found, missing = installed([Requirement("no-such-package"), Requirement("msgpack")])
    assert [one.name for one in found] == ["msgpack"] and missing == ["no-such-package"]


def test_the_bill_of_materials_is_valid_and_says_what_needs_what():
    """By CycloneDX's own schema."""
    pytest.importorskip("cyclonedx", reason=f"not installed: {sbom.NEEDED}")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = sbom.document()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["name"] == "gr00t_ros"
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert {canonicalize_name(one.name) for one in runtime()} <= set(needs["gr00t-ros"])
    assert "numpy" in needs["opencv-python-headless"]


def test_without_the_library_the_bill_says_what_to_install(monkeypatch):
    """It is no requirement of the package."""
    for name in ("cyclonedx", "cyclonedx.contrib.license.factories"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match="pip install"):
        sbom.bill([Package("msgpack", "1.0", "Apache-2.0", "")])


LISTED = "opencv-python-headless (5.0.1)\nAvailable versions: 5.0.1, 4.14.0.94, 4.13.0\n"


@pytest.mark.parametrize(
    ("text", "output", "expected"),
    [
        ("opencv-python-headless<5", LISTED, "4.14.0.94"),
        ("opencv-python-headless", LISTED, "5.0.1"),
        ("opencv-python-headless<4", LISTED, None),
        ("opencv-python-headless", "ERROR: No matching distribution found", None),
    ],
)
def test_the_newest_wheel_that_setup_py_allows_is_shown(text, output, expected):
    """Not the newest of all."""
    assert aarch64.newest_listed(Requirement(text), output) == expected


def test_the_table_of_aarch64_has_every_requirement():
    """With what was found for each Python."""
    page = (ROOT / "docs" / "aarch64.md").read_text()
    for one in (*runtime(), *optional()):
        (line,) = re.findall(rf"^\| {re.escape(one.name)}[<>=|\s].*$", page, re.MULTILINE)
        assert line.count("|") == len(aarch64.PYTHONS) + 3
