"""How far state, action and pictures are apart in time: correlations at shifts of whole rows.

The state's velocity is compared with the action's; the change of pictures with the state's speed.
Correlations of all episodes are added up before a lag is read from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.table import Findings
from gr00t_ros.dataset.lerobot import Columns, LeRobotDataset
from gr00t_ros.dataset.parquet_file import Array
from gr00t_ros.dataset.schema import ACTION, STATE

SLOWEST_S: Final = 0.2
"""A state that is later than this behind the action is not plausible."""

_EARLIEST_ROWS: Final = -0.75  # a state cannot be ahead of its command, up to sampling
_PICTURE_ROWS: Final = 1.5  # pictures and states are sampled for the same instant
_PICTURE_S: Final = 0.05
_SHIFTS_S: Final = 0.6
_LEAST_ROWS: Final = 100
_ACTION_AGREES: Final = 0.5  # a correlation below says nothing
_PICTURE_AGREES: Final = 0.25
_BETTER: Final = 0.04  # by so much a shift must agree better than a plausible one
_ODD_ROWS: Final = 2.5  # an episode that differs by so much from the others
_STILL: Final = 1e-4

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowLag:
    """By how many rows the second series is behind the first, and how well they agree there.

    at_zero: their correlation without a shift; nearest: the best among plausible shifts.
    """

    rows: float
    agreement: float
    at_zero: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Sums of products of two series at each shift from -S to S rows, of `rows` rows in all."""

    product: Floats
    first: Floats
    second: Floats
    rows: int

    def __add__(self, other: Curve) -> Curve:
        return Curve(
            self.product + other.product,
            self.first + other.first,
            self.second + other.second,
            self.rows + other.rows,
        )

    @property
    def correlation(self) -> Floats:
        """(2 S + 1,) from -1 to 1."""
        power = np.sqrt(self.first * self.second)
        return np.asarray(self.product / np.maximum(power, 1e-30))

    def lag(self) -> RowLag:
        """Where the correlation is largest, between rows by a parabola."""
        found = self.correlation
        best, middle = int(np.argmax(found)), len(found) // 2
        shift = float(best - middle)
        if 0 < best < len(found) - 1:
            left, at, right = found[best - 1 : best + 2]
            bend = left - 2.0 * at + right
            shift += 0.5 * (left - right) / bend if bend < -1e-12 else 0.0
        return RowLag(shift, float(found[best]), float(found[middle]))

    def best_within(self, low: float, high: float) -> float:
        """The largest correlation at shifts from `low` to `high` rows."""
        shifts = np.arange(len(self.product)) - len(self.product) // 2
        use = (shifts >= low) & (shifts <= high)
        return float(self.correlation[use].max(initial=-1.0))


def curve(first: Floats, second: Floats, rate_hz: float) -> Curve | None:
    """Correlate (N, C) series at shifts of up to 0.6 s; None if the episode is too short."""
    most = max(5, round(_SHIFTS_S * rate_hz))
    count = len(first)
    if count < 2 * most + 10:
        return None
    sums = np.zeros((3, 2 * most + 1))
    for i, shift in enumerate(range(-most, most + 1)):
        a = first[max(0, -shift) : count - max(0, shift)]
        b = second[max(0, shift) : count - max(0, -shift)]
        sums[:, i] = (a * b).sum(), (a * a).sum(), (b * b).sum()
    return Curve(sums[0], sums[1], sums[2], count)


def action_curve(
    dataset: LeRobotDataset, columns: dict[str, Array], deltas: set[str]
) -> Curve | None:
    """Correlate the velocities of actions and states of the same keys; None if there are none.

    columns: name -> (N, D) rows of one episode. deltas: action keys that are changes, which have no
    velocity of their own.
    """
    pairs = [
        (_part(columns, dataset.states[key]), _part(columns, of))
        for key, of in dataset.actions.items()
        if key in dataset.states and dataset.states[key].width == of.width and key not in deltas
    ]
    if not dataset.modality:
        whole = Columns("", 0, 10**6)
        found = [columns.get(name) for name in (STATE, ACTION)]
        pairs = [(_cut(found[0], whole), _cut(found[1], whole))]
    first, second = [], []
    for state, action in pairs:
        if state is None or action is None or state.shape != action.shape or len(state) < 3:
            continue
        for a, s in zip(action.T, state.T, strict=True):
            speed, command = np.diff(s), np.diff(a)
            if _is_comparable(speed, command, s):
                first.append(command / command.std())
                second.append(speed / speed.std())
    if not first:
        return None
    return curve(np.stack(first, axis=1), np.stack(second, axis=1), dataset.fps)


def _is_comparable(speed: Floats, command: Floats, state: Floats) -> bool:
    """Whether the state moves, and about as fast as the action asks: no command that jumps does."""
    spread = float(speed.std())
    if spread <= _STILL * max(1.0, float(np.abs(state).max())):
        return False
    return bool(0.3 < command.std() / spread < 3.0)


def picture_curve(energy: Array, states: Array, rate_hz: float) -> Curve | None:
    """Correlate the change of pictures with the speed of the states (N, D)."""
    if len(energy) != len(states) or len(states) < 3:
        return None
    change = np.diff(states.astype(np.float64), axis=0)
    spread = change.std(axis=0)
    moving = spread > _STILL * np.maximum(1.0, np.abs(states).max(axis=0))
    if not moving.any():
        return None
    scaled = np.minimum(np.abs(change[:, moving]) / spread[moving], 3.0)
    speed, seen = np.sqrt((scaled**2).mean(axis=1)), energy[1:].astype(np.float64)
    if not np.isfinite(seen).all() or seen.std() < 1e-6:
        return None
    window = 2 * round(rate_hz) + 1
    parts = [_without_trend(series, window) for series in (speed, np.sqrt(seen))]
    first, second = (part[:, None] / max(part.std(), 1e-12) for part in parts)
    return curve(first, second, rate_hz)


def states_of(dataset: LeRobotDataset, columns: dict[str, Array]) -> Floats | None:
    """Return all state columns of an episode side by side, (N, D); None if there are none."""
    names = sorted({of.name for of in dataset.states.values()} or {STATE})
    found = [columns[name] for name in names if name in columns]
    if not found or any(len(values) != len(found[0]) for values in found):
        return None
    states = np.concatenate(found, axis=1).astype(np.float64)
    return states if np.isfinite(states).all() else None


def judge_action(
    curves: dict[int, Curve], dataset: LeRobotDataset, findings: Findings
) -> RowLag | None:
    """Find actions and states that are too far apart; returns the lag of all episodes."""
    latest = max(1.5, SLOWEST_S * dataset.fps)

    def judge(of: Curve) -> bool:
        lag = of.lag()
        return (
            not _EARLIEST_ROWS <= lag.rows <= latest
            and lag.agreement >= _ACTION_AGREES
            and lag.agreement - of.best_within(_EARLIEST_ROWS, latest) > _BETTER / 4
        )

    expected = f"0 to {latest:.1f} rows ({latest / dataset.fps:.2f} s)"
    return _judge(curves, judge, dataset, findings, "action_lag", "data", "state", expected)


def judge_pictures(
    key: str, curves: dict[int, Curve], dataset: LeRobotDataset, findings: Findings
) -> RowLag | None:
    """Find a camera whose pictures are too far from the states; returns the lag of all episodes."""
    most = max(_PICTURE_ROWS, _PICTURE_S * dataset.fps)

    def judge(of: Curve) -> bool:
        lag = of.lag()
        return (
            abs(lag.rows) > most
            and lag.agreement >= _PICTURE_AGREES
            and lag.agreement - of.best_within(-most, most) > _BETTER
        )

    expected = f"-{most:.1f} to {most:.1f} rows ({most / dataset.fps:.2f} s)"
    what, file = f"picture of {key}", f"videos of {dataset.cameras[key]}"
    return _judge(curves, judge, dataset, findings, "picture_lag", file, what, expected)


def _judge(
    curves: dict[int, Curve],
    is_wrong: Any,
    dataset: LeRobotDataset,
    findings: Findings,
    check: str,
    file: str,
    what: str,
    expected: str,
) -> RowLag | None:
    if not curves:
        return None
    total = sum(list(curves.values())[1:], next(iter(curves.values())))
    lag = total.lag()
    if total.rows < _LEAST_ROWS:
        return lag
    if is_wrong(total):
        findings.add(check, file, _lag_text(lag, what, dataset.fps), expected)
        return lag
    for index, of in curves.items():
        own = of.lag()
        odd = abs(own.rows - lag.rows) > _ODD_ROWS and own.agreement >= _ACTION_AGREES
        if is_wrong(of) and odd and own.agreement - own.at_zero > 5 * _BETTER:
            findings.add(check, file, _lag_text(own, what, dataset.fps), expected, episode=index)
    return lag


def _lag_text(lag: RowLag, what: str, rate_hz: float) -> str:
    side = "behind" if lag.rows >= 0 else "ahead of"
    other = "action" if what == "state" else "state"
    return (
        f"{what} {abs(lag.rows):.1f} rows ({abs(lag.rows) / rate_hz:.2f} s) {side} the {other} "
        f"(correlation {lag.agreement:.2f}, {lag.at_zero:.2f} without a shift)"
    )


def _part(columns: dict[str, Array], of: Columns) -> Floats | None:
    return _cut(columns.get(of.name), of)


def _cut(values: Array | None, of: Columns) -> Floats | None:
    if values is None:
        return None
    part = values[:, of.start : of.end].astype(np.float64)
    return part if part.size and np.isfinite(part).all() else None


def _without_trend(series: Floats, window: int) -> Floats:
    """Return a series less its moving mean over `window` values, fewer at the ends."""
    window = min(window, len(series) // 2 * 2 - 1)
    kernel = np.ones(window)
    mean = np.convolve(series, kernel, "same") / np.convolve(np.ones(len(series)), kernel, "same")
    return np.asarray(series - mean)
