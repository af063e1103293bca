"""Text that is safe to show in a terminal, and tables of such text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table: each column as wide as its widest cell, two blanks between columns."""
    cells = [[printable(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def printable(text: str) -> str:
    """Return `text` without terminal escapes and control characters, which could steer a terminal.

    Characters that change the writing direction or have no width count as control characters.
    """
    text = ESCAPES.sub("", text)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def printable_lines(text: str) -> str:
    """Return `text` with each of its lines made printable; the line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def one_line(text: str, most: int) -> str:
    """Return untrusted `text` as one printable line of at most `most` characters."""
    # The first cut only limits the work. It loses text that would have fitted only where escapes
    # and blanks fill most of it.
    line = printable(" ".join(ESCAPES.sub("", text[: 8 * most]).split()))
    return line if len(line) <= most else line[: most - 3] + "..."
