"""The source of a page that only lists reports: there is no robot and no recording."""

from __future__ import annotations

from typing import Any

from gr00t_ros.web.snapshot import empty

_NOTHING = "this page only lists reports: no robot is commanded"


class ReportSource:
    """A Source (web/view) with nothing to show beside the list of reports."""

    cameras: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """No node, no camera, no command."""
        return {
            **{"node": "", "robot": "", "cameras": [], "source": "report", "joints": []},
            **{"can_command": False, "can_record": False, "duration_s": None},
        }

    def state(self) -> dict[str, Any]:
        """No status."""
        return empty()

    def frame(self, camera: str) -> tuple[int, bytes] | None:
        """No picture."""
        return None

    def events_since(self, number: int) -> list[dict[str, Any]]:
        """No event."""
        return []

    def curves(self) -> dict[str, Any]:
        """No curve."""
        return {"names": [], "t": [], "predicted": [], "commanded": [], "measured": []}

    async def command(self, name: str, value: Any, who: str) -> tuple[bool, str]:
        """Refuse it."""
        return False, _NOTHING

    def close(self) -> None:
        """Nothing is held."""
