"""What the node says of its policy server: the modality check as a table, the client's counters.

The table is logged once, and again when it changes; both are entries of /diagnostics. `note`
runs on the worker thread, `entries` on any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from gr00t_ros.core.fit import MATCHES, Row
from gr00t_ros.sidecar.client_counts import ClientCounts
from gr00t_ros.sidecar.fit_text import FITS, cells, fit_table, verdict

_PREFIX = "gr00t_policy: "


class ServerReport:
    """The report of one configuration; `counts` is read while the client counts on."""

    def __init__(
        self, counts: ClientCounts, strict: bool, hardware_id: str, log: Callable[[str], None]
    ) -> None:
        """Say nothing before the first check."""
        self._counts, self._strict, self._log = counts, strict, log
        self._hardware_id = hardware_id
        self._rows: tuple[Row, ...] = ()

    def note(self, rows: tuple[Row, ...]) -> None:
        """Take the rows of a check, empty where no server told its modality config."""
        if not rows or rows == self._rows:
            return
        self._rows = rows
        self._log(f"modality check: {verdict(rows, self._strict)}\n{fit_table(rows)}")

    def entries(self) -> list[DiagnosticStatus]:
        """Return the entries for /diagnostics: the check's table row by row, the counters."""
        rows = self._rows
        pairs = [(f"{r.modality} {r.key}".strip(), " | ".join(cells(r)[2:])) for r in rows]
        said = verdict(rows, self._strict) if rows else "no server was checked yet"
        counters = [(name, str(value)) for name, value in asdict(self._counts).items()]
        text = f"{self._counts.replies} of {self._counts.requests} requests answered"
        return [
            self._entry("modality", _level(rows, said), said, pairs),
            self._entry("client", DiagnosticStatus.OK, text, counters),
        ]

    def _entry(
        self, name: str, level: bytes, text: str, pairs: list[tuple[str, str]]
    ) -> DiagnosticStatus:
        values = [KeyValue(key=key, value=value) for key, value in pairs]
        return DiagnosticStatus(
            name=_PREFIX + name,
            level=level,
            message=text,
            hardware_id=self._hardware_id,
            values=values,
        )


def _level(rows: tuple[Row, ...], said: str) -> bytes:
    if not rows:
        return DiagnosticStatus.STALE
    if said != FITS:
        return DiagnosticStatus.ERROR
    is_whole = all(row.verdict == MATCHES for row in rows)
    return DiagnosticStatus.OK if is_whole else DiagnosticStatus.WARN
