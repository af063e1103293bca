"""How two answers to one observation differ, key by key, beside how a server differs from itself.

Pure: arrays in, rows out. Shapes and dtypes must be the same; values may differ by
atol + rtol x |reference|, or by as much as the server's own answers differ from each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.embodiment import Embodiment

ATOL: Final = 1e-3
RTOL: Final = 1e-3
"""1 mrad and 1 mm of a key in rad and m: less than an arm under position control follows, and more
than float32 loses. The same share of the value is for keys in degrees and motor units."""

EQUAL: Final = "equal"
WITHIN: Final = "within spread"
DIFFERENT: Final = "different"

ActionRows = Mapping[str, NDArray[np.floating[Any]]]
"""Action key -> (H, D) values of one answer, as exchange.py has it."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What a value may differ by: for all keys, or for single ones."""

    atol: float = ATOL
    rtol: float = RTOL
    atol_of: Mapping[str, float] = field(default_factory=dict)
    rtol_of: Mapping[str, float] = field(default_factory=dict)

    def allowed(self, key: str, reference: NDArray[np.float64]) -> NDArray[np.float64]:
        """(H, D) the difference that is allowed for each value of a key."""
        atol, rtol = self.atol_of.get(key, self.atol), self.rtol_of.get(key, self.rtol)
        return np.asarray(atol + rtol * np.abs(reference))


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """One action key of two answers.

    problem: why its values cannot be compared; empty if they can. largest, mean: of the
    differences of the nearest answer. spread: the largest difference between two answers of the
    same server. outside: how many values differ by more than is allowed. step, column: where the
    difference is largest, with the two values; name and unit of the column, empty where the
    embodiment is not known.
    """

    key: str
    verdict: str
    shape: tuple[int, ...] | None
    problem: str = ""
    largest: float = 0.0
    mean: float = 0.0
    spread: float = 0.0
    outside: int = 0
    step: int = 0
    column: int = 0
    name: str = ""
    unit: str = ""
    reference: float = 0.0
    answer: float = 0.0


def compare(
    reference: ActionRows,
    answers: Sequence[ActionRows],
    tolerances: Tolerances,
    embodiment: Embodiment | None = None,
) -> list[KeyDifference]:
    """Return a row for each key of the reference and of the answers, in this order.

    reference, answers: action key -> (H, D) in its unit. There may be several answers of the same
    server to the same observation; the nearest one counts.
    """
    first = answers[0]
    keys = list(dict.fromkeys([*reference, *first]))
    return [_key(key, reference, answers, tolerances, embodiment) for key in keys]


def _key(
    key: str,
    reference: ActionRows,
    answers: Sequence[ActionRows],
    tolerances: Tolerances,
    embodiment: Embodiment | None,
) -> KeyDifference:
    shape = reference[key].shape if key in reference else None
    problem = next(filter(None, (_problem(key, reference, answer) for answer in answers)), "")
    if problem:
        return KeyDifference(key, DIFFERENT, shape, problem)
    known = np.asarray(reference[key], np.float64)
    every = [np.asarray(answer[key], np.float64) for answer in answers]
    apart = [np.abs(values - known) for values in every]
    nearest = min(range(len(every)), key=lambda i: float(apart[i].max(initial=0.0)))
    difference = apart[nearest]
    if not difference.size:
        return KeyDifference(key, EQUAL, shape)
    outside = int(np.count_nonzero(difference > tolerances.allowed(key, known)))
    largest = float(difference.max())
    spread = max((float(np.abs(a - b).max()) for a, b in combinations(every, 2)), default=0.0)
    step, column = map(int, np.unravel_index(int(difference.argmax()), difference.shape))
    name, unit = _named(key, column, embodiment)
    return KeyDifference(
        key,
        EQUAL if not outside else WITHIN if largest <= spread else DIFFERENT,
        shape,
        "",
        largest,
        float(difference.mean()),
        spread,
        outside,
        step,
        column,
        name,
        unit,
        float(known[step, column]),
        float(every[nearest][step, column]),
    )


def _problem(key: str, reference: ActionRows, answer: ActionRows) -> str:
    if key not in reference:
        return "not in the file"
    if key not in answer:
        return "not in the answer"
    known, got = reference[key], answer[key]
    if got.shape != known.shape:
        return f"shape {got.shape}, expected {known.shape}"
    if got.dtype != known.dtype:
        return f"dtype {got.dtype}, expected {known.dtype}"
    for values, where in ((known, "in the file"), (got, "in the answer")):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = map(int, bad[0])
            return f"{values[row, column]} in step {row}, column {column} {where}"
    return ""


def _named(key: str, column: int, embodiment: Embodiment | None) -> tuple[str, str]:
    """Return the name and unit of a column as the embodiment file has them."""
    for action in embodiment.action if embodiment else ():
        if action.key == key and column < len(action.names):
            return action.names[column], action.unit
    return "", ""
