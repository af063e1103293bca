"""What has happened while the page's server ran: the newest events, numbered, with their times."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

from gr00t_ros.text_table import one_line

MOST_EVENTS: Final = 200
_MOST_TEXT: Final = 500


class EventLog:
    """Any thread adds events and reads them."""

    def __init__(self) -> None:
        """No event yet."""
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._number = 0

    def add(self, level: str, text: str) -> None:
        """Keep an event of now; level: info, warn or error."""
        with self._lock:
            self._number += 1
            line = one_line(text, _MOST_TEXT)
            event = {"number": self._number, "time_s": time.time(), "level": level, "text": line}
            self._events.append(event)

    def since(self, number: int) -> list[dict[str, Any]]:
        """The events with a larger number, oldest first."""
        with self._lock:
            if number >= self._number:
                return []
            return [event for event in self._events if event["number"] > number]
