"""What all browsers are shown: each snapshot is encoded once, however many browsers take it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gr00t_ros.web.view import Source

STATE_S: Final = 0.1
CURVES_S: Final = 0.2


class Shown:
    """The messages to browsers, made anew when they are older than their period."""

    def __init__(self, source: Source) -> None:
        """Encode nothing yet."""
        self.source = source
        self._texts: dict[str, tuple[float, str]] = {}

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras; a live source learns of them when its node begins."""
        return tuple(self.source.cameras)

    def hello(self, role: str) -> str:
        """What does not change, with what this browser may do."""
        facts = {**self.source.facts(), "cameras": list(self.cameras)}
        return json.dumps({"type": "hello", **facts, "role": role})

    def state(self) -> str:
        """The newest state."""
        return self._kept("state", STATE_S, self.source.state)

    def curves(self) -> str:
        """The newest curves."""
        return self._kept("curves", CURVES_S, self.source.curves)

    def _kept(self, kind: str, period_s: float, make: Callable[[], Mapping[str, Any]]) -> str:
        now_s = time.monotonic()
        made_s, text = self._texts.get(kind, (0.0, ""))
        if not text or now_s - made_s >= period_s:
            made_s, text = now_s, json.dumps({"type": kind, **make()})
            self._texts[kind] = (made_s, text)
        return text
