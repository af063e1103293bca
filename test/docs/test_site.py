"""The documentation site: every page is found, every link leads somewhere, no warning is left."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"_build", "reference"} & set(page.parts))
IN_THE_ROOT = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")


def test_every_page_is_in_the_navigation_once(links, reference_pages):
    """From index.md down: no page that only a search finds, no entry without a page."""
    made = {f"reference/{name}" for name in reference_pages.PAGES}
    listed, ways = [], ["index"]
    while ways:
        entry = ways.pop()
        listed.append(entry)
        if entry not in made:
            ways += links.navigation(DOCS / f"{entry}.md")
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES}
    assert sorted(listed) == sorted(pages | made)


@pytest.mark.parametrize(
    "page", [*PAGES, *(ROOT / name for name in IN_THE_ROOT)], ids=lambda page: page.name
)
def test_every_internal_link_leads_to_a_file_and_a_heading(links, page):
    """On GitHub as well as in the site."""
    assert list(links.broken_links(page)) == []


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("nowhere.md", "no such file"),
        ("safety.md#nowhere", "no heading"),
        ("#nowhere", "no heading"),
        ("../nowhere.yaml", "no such file"),
    ],
)
def test_a_broken_link_is_found(links, tmp_path, link, why):
    """Nor is every link complained about: code is no link, other sites are not asked."""
    (tmp_path / "safety.md").write_text("# Safety\n\n## A `b_c`, d: e\n")
    page = tmp_path / "page.md"
    good = "[a](safety.md#a-b_c-d-e) [b](https://example.org) `[c](nowhere.md)`\n\n"
    page.write_text(f"# Here\n\n{good}```\n[d](nowhere.md)\n```\n")
    assert list(links.broken_links(page)) == []
    page.write_text(f"{good}[x]({link})\n")
    assert [why in one for one in links.broken_links(page)] == [True]


def test_links_of_a_copy_begin_in_its_new_folder(reference_pages):
    """And what has a copy in the site is linked there."""
    text = "[a](docs/safety.md#x) [b](ARCHITECTURE.md) [c](#here) [d](https://example.org)"
    moved = reference_pages.links_from(text, ROOT, DOCS / "reference")
    assert moved == "[a](../safety.md#x) [b](architecture.md) [c](#here) [d](https://example.org)"


def test_the_help_of_every_verb_is_on_the_page_of_commands(reference_pages):
    """Those of nodes and those that a command lists itself, the stop first of all."""
    pytest.importorskip("rclpy", reason="the help of nodes needs ROS 2 (rclpy)")
    page = reference_pages.commands()
    for words in ("operator estop", "record recover", "sidecar proxy", "sim stand-in", "try"):
        assert f"# gr00t {words}\n\n```text\nusage: " in page, words


@pytest.mark.skipif(
    not all(map(find_spec, ("sphinx", "myst_parser", "furo"))),
    reason="Sphinx is not installed: ./dev docs installs it (requirements-docs.txt)",
)
def test_sphinx_reads_and_links_the_pages_without_a_warning(tmp_path):
    """As ./dev docs does, but without HTML and without the docstrings of the core.

    These take most of its time: only ./dev docs itself sees warnings in them.
    """
    command = ["sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "dummy"]
    without = ["exclude_patterns=_build,reference/api_*", "suppress_warnings=toc.excluded"]
    options = [word for setting in without for word in ("-D", setting)]
    done = subprocess.run(
        [sys.executable, "-m", *command, *options, str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"ROS_LOG_DIR": str(tmp_path / "ros_log")},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "https://" in (tmp_path / "external_links.txt").read_text()
