"""Strict reading of plain values: maps, lists, scalars, and straight-line scales between units.

Every error names the path of the value. Unknown keys are refused with the nearest known key. A
Scale maps joint values to a policy's values (gripper 0..1, width, motor units) and back.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.keys import Keys

FILL_IN = "FILL_IN"
"""Stands in a generated file in place of an unknown value; a file that contains it is refused."""

REST_S = 2.0
"""Everything that moves must stop within this time: a deactivation waits this long
(control.md 3)."""

LARGEST = 1e12
"""Upper bound of every number in a file: squares and products of such numbers stay finite."""

TOPIC_PATTERN = re.compile(r"[/~]?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
"""A ROS topic name; `is_topic` also has its length."""

MOST_LETTERS = 247
"""The longest name of a ROS topic or service: 255 of DDS, less 8 that rmw puts before it."""


A_TOPIC = f"a ROS topic name such as /joint_states, of at most {MOST_LETTERS} letters"


def is_topic(text: str) -> bool:
    """Whether `text` can be the name of a ROS topic."""
    return TOPIC_PATTERN.fullmatch(text) is not None and len(text) <= MOST_LETTERS


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the file and where it stands: `where` names the file, `path` the keys."""

    value: object
    where: str
    path: str = ""

    def error(self, expected: str) -> EmbodimentError:
        """The error that says what was got here and what was expected."""
        return self.problem(f"got {shown(self.value)}, expected {expected}")

    def problem(self, text: str) -> EmbodimentError:
        """An error at this place with a text of its own."""
        return EmbodimentError(f"{self.where}: {self.path or 'the file'}: {text}", self.path)

    def unfilled(self) -> Iterator[str]:
        """The paths of all values here that are still FILL_IN."""
        if isinstance(self.value, str) and self.value.startswith(FILL_IN):
            yield self.path
        elif isinstance(self.value, Mapping):
            prefix = f"{self.path}." if self.path else ""
            for key, value in self.value.items():
                yield from Field(value, self.where, f"{prefix}{key}").unfilled()
        elif isinstance(self.value, (list, tuple)):
            for i, value in enumerate(self.value):
                yield from Field(value, self.where, f"{self.path}[{i}]").unfilled()

    def entries(self) -> dict[str, Field]:
        """The non-empty map here, any text as keys, in the file's order."""
        if not isinstance(self.value, Mapping) or not self.value:
            raise self.error("a map that is not empty")
        for key in self.value:
            if not isinstance(key, str) or not key.strip():
                raise self.error(f"only text as keys, not {shown(key)}")
        prefix = f"{self.path}." if self.path else ""
        return {k: Field(v, self.where, prefix + k) for k, v in self.value.items()}

    def fields(
        self,
        required: Collection[str],
        optional: Collection[str] = (),
        lines: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Field]:
        """The map here with all `required` keys and no other than these and `optional`.

        Errors end with the line in `lines` of the key that is missing or was probably meant.
        """
        found = self.entries()
        allowed = [*required, *optional]
        for key in found:
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                text = f"unknown key {shown(key)}{hint}, allowed: {', '.join(allowed)}"
                text += _meaning(near, lines)
                raise EmbodimentError(str(self.problem(text)), found[key].path)
        missing = [key for key in required if key not in found]
        if missing:
            text = f"missing {', '.join(missing)}; allowed: {', '.join(allowed)}"
            raise self.problem(text + _meaning(missing, lines))
        return found

    def keys(self, table: Keys) -> dict[str, Field]:
        """The map here with the keys that `table` requires or allows."""
        lines = {name: key.line for name, key in table.all()}
        choices = [name for group in table.either for name in group]
        found = self.fields(table.required, (*choices, *table.optional), lines)
        for group in table.either:
            given = [name for name in group if name in found]
            if len(given) != 1:
                *others, last = group
                got = " and ".join(given) or f"neither {', '.join(others)} nor {last}"
                what = ", ".join(f"{name} ({lines[name]})" for name in group)
                raise self.problem(f"got {got}, expected one of them: {what}")
        return found

    def items(self) -> Iterator[Field]:
        """The elements of the non-empty list here."""
        if not isinstance(self.value, (list, tuple)) or not self.value:
            raise self.error("a list that is not empty")
        for i, value in enumerate(self.value):
            yield Field(value, self.where, f"{self.path}[{i}]")

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
        if not isinstance(self.value, str) or not is_topic(self.value):
            raise self.error(A_TOPIC)
        return self.value

    def number(self, low: float = -LARGEST, high: float = LARGEST) -> float:
        """A finite number in [low, high]."""
        expected = f"a finite number from {low:g} to {high:g}"
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.error(expected + _decimal(self.value))
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
            raise self.error(f"a whole number from {low} to {high}{_decimal(value)}")
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
        if abs(last - first) < 1e-9:  # no line through them
            raise self.error(expected)
        return first, last


def _decimal(value: object) -> str:
    """The end of an error: the number that was probably meant by a text in a number's place."""
    if not isinstance(value, str) or not re.match(r"\s*[-+]?\.?[0-9]", value):
        return ""
    if ":" in value:
        return "; a number has no colon: some readers of YAML take it for base 60"
    if re.match(r"\s*[-+]?[1-9][0-9]{0,2},[0-9]{3}(?![0-9])", value):
        return "; a number has no comma: 1,234 could be 1234 or 1.234"
    plain = value.replace("_", "").replace(",", ".")
    try:
        based = re.fullmatch(r"[-+]?0[xXbBoO].*", plain)
        written = Decimal(int(plain, 0) if based else plain)
        meant = f"{float(written):.12g}"
        if Decimal(meant) != written:  # rounded, or larger than a double
            return ""
    except (ValueError, ArithmeticError):
        return ""
    return f"; numbers are decimal, without leading zeros and marks: did you mean {meant}?"


def _meaning(names: Collection[str], lines: Mapping[str, str]) -> str:
    """The end of an error: the line of the one name that it is about, if there is a line."""
    line = lines.get(next(iter(names))) if len(names) == 1 else None
    return f"; {next(iter(names))}: {line}" if line else ""


def shown(value: object) -> str:
    """A value in short, whatever it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"something too long to print ({type(value).__name__})"


Floats = NDArray[np.float64]
NumberPair = tuple[float, float]

UNIT: NumberPair = (0.0, 1.0)
"""The policy's values, default 0 and 1: a gripper's open and closed, for example."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Two positions of each of N joints: in the topic's unit, and as the policy's values.

    joint[i][0] is policy[i][0] and joint[i][1] is policy[i][1]; between and beyond them linear.
    """

    joint: tuple[NumberPair, ...]
    policy: tuple[NumberPair, ...]

    def fraction(self, position: Floats) -> Floats:
        """(..., N) how far along the line: 0 at joint[i][0], 1 at joint[i][1]."""
        first, last = np.array(self.joint).T
        return np.asarray((position - first) / (last - first))

    def to_policy(self, fraction: Floats) -> Floats:
        """(..., N) the policy's values that far along the line."""
        first, last = np.array(self.policy).T
        return np.asarray(first + fraction * (last - first))

    def to_joint(self, values: Floats) -> Floats:
        """(..., N) joint values, in the topic's unit, of the policy's."""
        first, last = np.array(self.joint).T
        low, high = np.array(self.policy).T
        return np.asarray(first + (values - low) / (high - low) * (last - first))


def read_scale(at: Mapping[str, Field], count: int) -> Scale | None:
    """The file's `scale` (joint values) and `range` (the policy's values, by default 0 and 1).

    Each is one pair for all `count` joints or a list of `count` pairs; None where there is no
    `scale`. Raises EmbodimentError for a `range` alone and for pairs of one value.
    """
    if "scale" not in at:
        if "range" in at:
            raise at["range"].problem("got a range without a scale, expected both or none")
        return None
    return Scale(
        joint=_pairs(at["scale"], count),
        policy=_pairs(at["range"], count) if "range" in at else (UNIT,) * count,
    )


def _pairs(field: Field, count: int) -> tuple[NumberPair, ...]:
    items = tuple(field.items())
    if not isinstance(items[0].value, (list, tuple)):
        return (field.pair(),) * count
    if len(items) != count:
        raise field.problem(
            f"got {len(items)} pairs, expected one pair for all, or one for each of {count} joints"
        )
    return tuple(item.pair() for item in items)
