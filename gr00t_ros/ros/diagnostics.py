"""Entries for /diagnostics, made the same way by the node and both streamers."""

from __future__ import annotations

from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue


def entry(
    name: str,
    level: bytes,
    text: str,
    values: Iterable[tuple[str, object]],
    hardware_id: str = "",
) -> DiagnosticStatus:
    """One entry; `level` is one of DiagnosticStatus.OK, WARN, ERROR and STALE."""
    return DiagnosticStatus(
        name=name,
        level=level,
        message=text,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values],
    )
