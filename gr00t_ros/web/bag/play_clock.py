"""Where a bag stands: a position that runs with a clock, and is paused, sought and sped up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from gr00t_ros.errors import SettingsError

SPEEDS: Final = (0.1, 20.0)
"""Seconds of the bag in one second, at least and at most."""


class PlayClock:
    """The position in a bag, ns from its start; stands at the end."""

    def __init__(self, duration_ns: int, now_ns: Callable[[], int]) -> None:
        """Start paused at the beginning; `now_ns` is steady time."""
        self.duration_ns, self.speed, self.playing = duration_ns, 1.0, False
        self._now_ns, self._since_ns, self._from_ns = now_ns, 0, 0

    @property
    def position_ns(self) -> int:
        """The position now."""
        if not self.playing:
            return self._from_ns
        passed = round((self._now_ns() - self._since_ns) * self.speed)
        return min(self._from_ns + passed, self.duration_ns)

    @property
    def at_end(self) -> bool:
        """Whether everything was played."""
        return self.position_ns >= self.duration_ns

    def play(self) -> None:
        """Run; from the beginning if it stands at the end."""
        self._set(0 if self.at_end else self.position_ns)
        self.playing = True

    def pause(self) -> None:
        """Stand."""
        self._set(self.position_ns)
        self.playing = False

    def seek(self, seconds: object) -> None:
        """Go to a position, s from the start; runs on if it ran. SettingsError outside the bag."""
        longest = self.duration_ns * 1e-9
        value = _number(seconds)
        if value is None or not 0.0 <= value <= longest + 1e-3:
            raise SettingsError(f"seek: got {seconds!r}, expected 0 to {longest:.3f} s")
        self._set(min(round(value * 1e9), self.duration_ns))

    def set_speed(self, factor: object) -> None:
        """Seconds of the bag in one second; raises SettingsError outside SPEEDS."""
        value = _number(factor)
        if value is None or not SPEEDS[0] <= value <= SPEEDS[1]:
            raise SettingsError(f"speed: got {factor!r}, expected {SPEEDS[0]:g} to {SPEEDS[1]:g}")
        self._set(self.position_ns)
        self.speed = value

    def _set(self, position_ns: int) -> None:
        self._from_ns, self._since_ns = position_ns, self._now_ns()


def _number(value: object) -> float | None:
    """A finite number, None for anything else (true and false are no numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
