"""Text for people, safe to show in a terminal, and columns of it; refuses to know what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return columns as wide as their widest cell, two blanks apart."""
    cells = [[printable(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def printable(text: str) -> str:
    """Return `text` without terminal escapes and control characters: nobody steers a terminal.

    Characters that turn the direction of writing or have no width count as controls too.
    """
    text = ESCAPES.sub("", text)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def one_line(text: str, most: int) -> str:
    """Return a stranger's `text` as one printable line of at most `most` characters."""
    # What is cut here is cut below as well, unless escapes alone fill what stands before it.
    line = printable(" ".join(ESCAPES.sub("", text[: 8 * most]).split()))
    return line if len(line) <= most else line[: most - 3] + "..."
