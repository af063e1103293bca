"""The table of watches is consistent, agrees with the code and is the documentation."""

import ast
import functools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.tools.documents import watch_document
from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.table import ROWS, WATCHES, finding, graver, milder

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gr00t_ros"
SEVERITY = list(Reaction)
ROOMS = "observe motion watch session ros inputs graph node".split()
# What the node consists of at run time: the watches' own files do not ask themselves.
NODE = [
    *(
        path
        for room in ("ros", "inputs", "graph", "node")
        for path in (PACKAGE / room).rglob("*.py")
    ),
    *(PACKAGE / "session").rglob("*.py"),
    PACKAGE / "motion" / "replay.py",
]


@functools.cache
def asked():
    """What the node's files import of the package, and all their own names, below gr00t_ros."""
    names = set()
    for path in NODE:
        own = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gr00t_ros."):
                module = node.module.removeprefix("gr00t_ros.")
                names |= {f"{module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ClassDef):
                names.add(f"{own}.{node.name}")
    return names


@functools.cache
def document_lines():
    """The lines of the document of all watches."""
    return watch_document().splitlines()


def findings_made():
    """Every literal name with which the code makes a finding, as (file, name)."""
    for path in sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                name = call.args[0] if call.args else None
                made = call.func.id in ("Finding", "finding", "reasoned")
                if made and isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield path.name, name.value


def test_the_document_is_the_table() -> None:
    """Its own first lines tell how to make it anew."""
    assert (ROOT / "docs" / "watchdogs.md").read_text() == watch_document()


def test_no_name_is_there_twice() -> None:
    """A finding's name leads to one row."""
    assert len(WATCHES) == len(ROWS)


def test_every_finding_of_the_code_has_a_row() -> None:
    """Whoever invents a watch writes its row."""
    made = set(findings_made())
    assert len(made) >= 15
    assert {name for _, name in made} <= set(WATCHES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_whole(row) -> None:
    """One sentence for cause and remedy, a graver and a milder reaction, defaults in range."""
    assert re.fullmatch(r"[A-Z].*\.", row.cause) and row.cause.count(". ") == 0
    assert re.fullmatch(r"[a-z].*[^.]", row.remedy)
    assert (row.worse is None) == (row.when == "")
    assert row.worse is None or SEVERITY.index(row.worse) > SEVERITY.index(row.reaction)
    assert (row.milder is None) == (row.milder_when == "")
    assert row.milder is None or SEVERITY.index(row.milder) < SEVERITY.index(row.reaction)
    for one in row.thresholds:
        if one.low is not None:
            assert one.high is not None and one.low <= one.default <= one.high


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_names_code_that_is_there_and_that_the_node_asks(row) -> None:
    """A watch that nobody asks is no watch."""
    module, name = row.by.rsplit(".", 1)
    source = (PACKAGE / f"{module.replace('.', '/')}.py").read_text()
    assert f"class {name}" in source or f"def {name}(" in source
    assert row.by in asked()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_finding_has_its_rows_reactions_and_remedy(row) -> None:
    """A row without a worse reaction keeps its own."""
    mild, grave = finding(row.name, "seen"), finding(row.name, "seen", worse=True)
    assert (mild.watch, mild.reaction, mild.reason) == (
        row.name,
        row.reaction,
        f"seen; {row.remedy}",
    )
    assert grave.reaction is (row.worse or row.reaction)
    assert graver(mild) == grave and milder(grave) == replace(
        mild, reaction=row.milder or row.reaction
    )
    said = next(line for line in document_lines() if f"| {row.name} |" in line)
    assert all(f"{one.value}: " in said for one in (row.milder, row.worse) if one)


NO_NUMBER = {
    "times commit_ms": "the limit is commit_ms itself",
    "publishers beside the node's own": "any other one is a finding",
}
"""Constant thresholds that the code has without a number, and why."""


def constants_of_code() -> set[str]:
    """Constant thresholds that the code reads from the table, or the table from the code."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            reads = call.func.id in ("default", "default_ns") and len(call.args) == 1
            lent = call.func.id == "Threshold" and any(
                isinstance(part, ast.Name) for part in ast.walk(call.args[2])
            )
            if (reads or lent) and isinstance(call.args[0], ast.Constant):
                names.add(call.args[0].value)
    return names


def test_a_constant_threshold_is_one_number() -> None:
    """It stands in the table or in the code and is read by the other, so they cannot differ."""
    constants = {t.name for row in ROWS for t in row.thresholds if t.home == "constant"}
    assert constants - constants_of_code() == set(NO_NUMBER)


def test_every_reaction_comes_from_the_table() -> None:
    """No other file makes a finding or gives one another reaction, so that the table is true."""
    elsewhere = {
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "watch" / "table.py" and "gr00t_ros.watch" in path.read_text()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and (
            getattr(call.func, "id", getattr(call.func, "attr", "")) == "Finding"
            or any(keyword.arg == "reaction" for keyword in call.keywords)
        )
    }
    assert elsewhere == set()


@pytest.mark.parametrize("key", ["margin", "jump", "held"])
def test_defaults_per_joint_are_those_of_the_shipped_arm(key) -> None:
    """Of franka_droid's first joint; a gripper's differ."""
    row = next(t for w in ROWS for t in w.thresholds if t.name == f"limits.JOINT.{key}")
    assert row.default == float(getattr(load_embodiment("franka_droid").limits, key)[0])
