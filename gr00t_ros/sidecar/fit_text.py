"""The modality check in words: one table and one verdict for `check`, the log and diagnostics.

Refuses to know where they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gr00t_ros.core.fit import MATCHES, Row
from gr00t_ros.sidecar.text_table import table

HEADER: Final = ("modality", "key", "verdict", "embodiment", "server")
FITS: Final = "fits"


def wrong_rows(rows: Sequence[Row], strict: bool) -> tuple[Row, ...]:
    """Return the rows that refuse an activation; strict: all that do not match."""
    return tuple(row for row in rows if row.fatal or (strict and row.verdict != MATCHES))


def verdict(rows: Sequence[Row], strict: bool) -> str:
    """Return the check in one line, "fits" where nothing refuses an activation."""
    wrong = wrong_rows(rows, strict)
    return f"{len(wrong)} of {len(rows)} rows do not fit" if wrong else FITS


def fit_table(rows: Sequence[Row]) -> str:
    """Return one line a row; what cannot work is in capitals with an exclamation mark."""
    return table(HEADER, [cells(row) for row in rows])


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return the row's cells in the order of HEADER."""
    shown = f"{row.verdict.upper()} !" if row.fatal else row.verdict
    return row.modality, row.key, shown, row.ours, row.server
