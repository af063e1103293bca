"""Strict reading of plain values (maps, lists, scalars) with the path of each in every error.

Knows nothing of robots; unknown keys are refused by name, with the nearest known one.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from gr00t_ros.core.errors import EmbodimentError

FILL_IN = "FILL_IN"
"""Stands where a generated file cannot know the value; no file that has it is taken."""

REST_S = 2.0
"""What moves comes to rest within this time: a deactivation waits no longer (control.md 3)."""

LARGEST = 1e12
"""No number of a robot is larger: squares and products of such are still numbers."""

_TOPIC = re.compile(r"[/~]?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Place:
    """One value of the file and where it stands: `where` names the file, `path` the keys."""

    value: object
    where: str
    path: str = ""

    def error(self, expected: str) -> EmbodimentError:
        """The error that says what was got here and what was expected."""
        return self.problem(f"got {shown(self.value)}, expected {expected}")

    def problem(self, text: str) -> EmbodimentError:
        """An error of this place in other words."""
        return EmbodimentError(f"{self.where}: {self.path or 'the file'}: {text}", self.path)

    def unfilled(self) -> Iterator[str]:
        """The paths of all values here that are still FILL_IN."""
        if isinstance(self.value, str) and self.value.startswith(FILL_IN):
            yield self.path
        elif isinstance(self.value, Mapping):
            prefix = f"{self.path}." if self.path else ""
            for key, value in self.value.items():
                yield from Place(value, self.where, f"{prefix}{key}").unfilled()
        elif isinstance(self.value, (list, tuple)):
            for i, value in enumerate(self.value):
                yield from Place(value, self.where, f"{self.path}[{i}]").unfilled()

    def entries(self) -> dict[str, Place]:
        """The non-empty map here, any text as keys, in the file's order."""
        if not isinstance(self.value, Mapping) or not self.value:
            raise self.error("a map that is not empty")
        for key in self.value:
            if not isinstance(key, str) or not key.strip():
                raise self.error(f"only text as keys, not {shown(key)}")
        prefix = f"{self.path}." if self.path else ""
        return {k: Place(v, self.where, prefix + k) for k, v in self.value.items()}

    def fields(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Place]:
        """The map here with all `required` keys and no other than these and `optional`."""
        found = self.entries()
        allowed = [*required, *optional]
        for key in found:
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise self.problem(f"unknown key {shown(key)}{hint}, allowed: {', '.join(allowed)}")
        missing = [key for key in required if key not in found]
        if missing:
            raise self.problem(f"missing {', '.join(missing)}; allowed: {', '.join(allowed)}")
        return found

    def items(self) -> Iterator[Place]:
        """The elements of the non-empty list here."""
        if not isinstance(self.value, (list, tuple)) or not self.value:
            raise self.error("a list that is not empty")
        for i, value in enumerate(self.value):
            yield Place(value, self.where, f"{self.path}[{i}]")

    def text(self) -> str:
        """The text here, not empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error("a text that is not empty")
        return self.value

    def choice(self, *allowed: str) -> str:
        """One of the allowed texts."""
        if not isinstance(self.value, str) or self.value not in allowed:
            raise self.error(f"one of {', '.join(allowed)}")
        return self.value

    def topic(self) -> str:
        """A ROS topic name."""
        if not isinstance(self.value, str) or not _TOPIC.fullmatch(self.value):
            raise self.error("a ROS topic name such as /joint_states")
        return self.value

    def number(self, low: float = -LARGEST, high: float = LARGEST) -> float:
        """A finite number in [low, high]."""
        expected = f"a finite number from {low:g} to {high:g}"
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.error(expected)
        if not low <= self.value <= high:  # false for NaN too
            raise self.error(expected)
        return float(self.value)

    def positive(self) -> float:
        """A finite number above zero."""
        value = self.number()
        if value <= 0.0:
            raise self.error("a number above 0")
        return value

    def deceleration(self, speed: float) -> float:
        """A rate of change a second that ends `speed` within REST_S."""
        value = self.positive()
        if value * REST_S < speed:
            raise self.error(f"at least {speed / REST_S:g}, so that {speed:g} ends in {REST_S:g} s")
        return value

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(f"a whole number from {low} to {high}")
        return value

    def names(self) -> tuple[str, ...]:
        """A list of different names."""
        names = tuple(item.text() for item in self.items())
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise self.problem(f"{', '.join(twice)} named twice, expected each name once")
        return names

    def interval(self) -> tuple[float, float]:
        """[lower, upper] with lower < upper."""
        expected = "[lower, upper] with lower < upper"
        if not isinstance(self.value, (list, tuple)) or len(self.value) != 2:
            raise self.error(expected)
        lower, upper = (item.number() for item in self.items())
        if not lower < upper:
            raise self.error(expected)
        return lower, upper

    def pair(self) -> tuple[float, float]:
        """[first, last], two different numbers in either order."""
        expected = "[first, last], two different numbers"
        if not isinstance(self.value, (list, tuple)) or len(self.value) != 2:
            raise self.error(expected)
        first, last = (item.number() for item in self.items())
        if abs(last - first) < 1e-9:  # a line through them says nothing
            raise self.error(expected)
        return first, last


def shown(value: object) -> str:
    """A value in short, whatever it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"something too long to print ({type(value).__name__})"
