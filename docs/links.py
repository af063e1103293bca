"""Links, headings and navigation of the pages in this folder, read without Sphinx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+).+?\1", re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\))?[^()\s]*)\)")
_HEADING = re.compile(r"^#{1,4} +(.+?)\s*$", re.MULTILINE)
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
_SHELL = re.compile(r"^```(bash|console)\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
_EXTERNAL = ("http://", "https://", "mailto:")


def links(text: str) -> list[str]:
    """The targets of all links and pictures of a page, without what stands in code."""
    return _LINK.findall(_CODE.sub("code", _FENCE.sub("", text)))


def external_links(docs: Path) -> list[tuple[str, str]]:
    """Page and address of each link to another site, in the order of the pages."""
    pages = [page for page in sorted(docs.rglob("*.md")) if "_build" not in page.parts]
    return [
        (page.relative_to(docs).as_posix(), link)
        for page in pages
        for link in links(page.read_text(encoding="utf-8"))
        if link.startswith(_EXTERNAL)
    ]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them.

    Lower case, without punctuation other than hyphens and underscores, hyphens for spaces.
    """
    found: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    repeated = {f"{slug}-{n}" for slug, last in found.items() for n in range(1, last + 1)}
    return set(found) | repeated


def broken_links(page: Path) -> Iterator[str]:
    """Links of a page to files or headings that are not there."""
    text = page.read_text(encoding="utf-8")
    for link in links(text):
        if link.startswith(_EXTERNAL):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists():
            yield f"{page.name}: {link}: there is no such file"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{page.name}: {link}: no heading has this anchor"


def navigation(page: Path) -> list[str]:
    """The pages that a page's toctrees list, as written."""
    listed: list[str] = []
    for block in _TOCTREE.findall(page.read_text(encoding="utf-8")):
        lines = [line.strip() for line in block.splitlines()]
        listed += [line for line in lines if line and not line.startswith(":")]
    return listed


def commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Each command of a page, and whether its block is marked as not run here.

    Commands are the lines of `bash` blocks, and in `console` blocks, which show output too, the
    lines that begin with `$ `. The mark is a block's first line: `# (not run here: REASON)`. Lines
    that end with a backslash are joined, comments are left out.
    """
    for kind, block in _SHELL.findall(page.read_text(encoding="utf-8")):
        marked = block.startswith("# (not run here: ")
        for line in block.replace("\\\n", " ").splitlines():
            if kind == "console":
                if not line.startswith("$ "):
                    continue
                line = line.removeprefix("$ ")
            command = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
            if command:
                yield command, marked


def fences(page: Path) -> list[str]:
    """The language of each fenced block of a page, empty where it has none."""
    text = page.read_text(encoding="utf-8")
    return [block[0].partition("\n")[0].strip("`~ ") for block in _FENCE.finditer(text)]
