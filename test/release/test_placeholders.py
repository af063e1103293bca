"""docs/releasing.md lists what a publisher must fill in, and each row is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "releasing.md").read_text().partition("## Before the first\n")[2]
ROWS = re.findall(r"^\| ([\w./]+) \| (.*) \|$", TABLE.partition("\n## ")[0], re.MULTILINE)[1:]


def test_the_list_is_there():
    """As long as the repository has no public address."""
    assert len(ROWS) >= 6


@pytest.mark.parametrize(("file", "text"), ROWS)
def test_what_a_row_says_is_true(file, text):
    """What "is missing" is not in the file; any other word in code letters is."""
    content = (ROOT / file).read_text()
    placeholder, _, rest = text.partition(":") if " missing" not in text else ("", "", text)
    for word in re.findall(r"`([^`]+)`", placeholder):
        assert word in content, f"{file}: {word!r} was filled in: remove the row"
    for word in re.findall(r"`([^`]+)`", "" if placeholder else rest.partition("missing")[0]):
        assert word.rstrip(">") not in content, f"{file} has {word!r}: remove the row"


def test_no_placeholder_is_forgotten():
    """The mailbox and the word REPOSITORY stand nowhere else."""
    listed = {file for file, _ in ROWS} | {"docs/releasing.md"}
    pages = [*ROOT.glob("*.*"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.*")]
    names = {page.relative_to(ROOT).as_posix(): page for page in pages if page.is_file()}
    marks = re.compile(r"gr00t-ros\.org|\bREPOSITORY\b")
    found = {
        name
        for name, page in names.items()
        if "reference" not in name and "_build" not in name and marks.search(page.read_text())
    }
    assert found <= listed
