"""The seam between the server of the page and what it shows: a live node, a bag or a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

PICTURE_HEADER_BYTES = 9
"""In front of each JPEG on the WebSocket: the camera's index and the stamp."""

RUN_COMMANDS = frozenset({"pause", "resume", "reset", "estop", "instruction"})
RECORD_COMMANDS = frozenset({"record_start", "record_stop", "record_discard", "record_label"})
PLAY_COMMANDS = frozenset({"play", "pause_bag", "seek", "speed"})
PAGE_COMMANDS = RUN_COMMANDS | RECORD_COMMANDS | PLAY_COMMANDS

LIVE_S = 0.9
"""A status older than this is not the node's present state.

A configured node publishes its status twice a second. The page, which gets ten snapshots a second,
tells within a second that it has stopped.
"""

CURVES_S = 10.0
"""How far back the curves reach."""

Facts = Mapping[str, Any]
"""What does not change:

{"node", "robot", "cameras": [...], "source": "live" | "bag" | "report", "joints": [...],
 "can_command": bool, "can_record": bool, "duration_s": float | None}
"""

PageSnapshot = Mapping[str, Any]
"""What holds now, as JSON:

{"stamp_s", "connected": status younger than LIVE_S, "age_s", "mode", "label": mode in plain words,
 "severity": "ok" | "info" | "warn" | "error", "reason", "remedy", "instruction", "episode",
 "streams": [{"name", "age_s", "limit_s", "ok"}],
 "latency": {"stages": [{"stage", "p50_ms", "p99_ms", "max_ms"}], "limit_ms", "end_to_end_ms"},
 "details": [[key, value]...], "shadow": bool,
 "recorder": None | {"state", "episode", "seconds", "source"}, "history": [instructions]}
"""

PageCurves = Mapping[str, Any]
"""{"names": [...], "t": [...], "predicted": [[...]...], "commanded": ..., "measured": ...}

One row a joint, one column a time. t: seconds relative to now, the last CURVES_S; None: unknown.
"""

LoggedEvent = Mapping[str, Any]
"""{"number", "time_s", "level": "info" | "warn" | "error", "text"}"""


class PageSource(Protocol):
    """What the page shows. No method but `command` blocks; the event loop calls all of them."""

    cameras: tuple[str, ...]
    """Modality keys without `video.`; a picture's index on the WebSocket is its place here."""

    def facts(self) -> Facts:
        """What does not change while the source is open."""

    def state(self) -> PageSnapshot:
        """What holds now."""

    def frame(self, camera: str) -> tuple[int, bytes] | None:
        """The stamp in ns and the JPEG of the newest picture of a camera; None: no picture."""

    def events_since(self, number: int) -> Sequence[LoggedEvent]:
        """Events with a larger number, oldest first; only the newest are kept."""

    def curves(self) -> PageCurves:
        """The joints' last seconds: predicted, commanded and measured."""

    async def command(self, name: str, value: Any, who: str) -> tuple[bool, str]:
        """Do one of COMMANDS for a person at a browser; returns whether it is done, and why."""

    def close(self) -> None:
        """Free everything."""
