"""Checks of an episode's rows: columns, numbers, order, times, tasks, and the joints' limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.meta import width_of
from gr00t_ros.dataset.checks.table import DatasetFinding, Findings
from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.dataset.parquet_file import Array, as_rows
from gr00t_ros.dataset.reader import TASK_INDEX
from gr00t_ros.dataset.schema import ACTION, PREDICTED, STATE
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import Scale

TIME_TOLERANCE_S: Final = 1e-4
"""LeRobot's default tolerance between a timestamp and its picture."""

_NO_NUMBERS: Final = ("string", "struct", "binary")
_NUMBERS: Final = ("episode_index", "frame_index", "index", "timestamp")
_BEYOND: Final = 0.01  # of a joint's range: a measured joint may stand a little beyond its limit
_DEGREES: Final = 6.0  # values this many times beyond the limits are probably in degrees

Floats = NDArray[np.float64]


class RowCheck:
    """Checks the rows of one episode.

    `columns`: name -> (N, D), all columns of numbers that could be read.
    """

    def __init__(self, dataset: LeRobotDataset, index: int, embodiment: Embodiment | None) -> None:
        self._dataset, self._index, self._embodiment = dataset, index, embodiment
        self._file = str(dataset.data_file(index).relative_to(dataset.path))
        self._findings = Findings()
        self._unread: set[str] = set()  # columns that have a finding for that already
        self.columns: dict[str, Array] = {}

    def run(self, tasks: Collection[int] | None, first_index: int | None) -> list[DatasetFinding]:
        """Check all rows; tasks: the known task indices. first_index: the first row's `index`."""
        try:
            types = self._dataset.columns(self._index)
        except SettingsError as error:
            self._add("data_file", str(error).replace(f"{self._dataset.path}/", ""), "rows")
            return self._findings.kept
        needed = self._needed()
        self._missing(types, needed)
        texts = {name for name, kind in types.items() if any(text in kind for text in _NO_NUMBERS)}
        self._read([name for name in types if name not in texts])
        self._are_numbers(types, needed)
        self._length()
        for name, values in self.columns.items():
            self._width(name, values)
            self._type(name, values)
            if name != PREDICTED:
                self._finite(name, values)
        self._order(first_index)
        self._times()
        self._task_ids(tasks)
        if self._embodiment is not None:
            self._ranges(self._embodiment)
        return self._findings.kept

    def _add(self, check: str, got: str, expected: str, **place: int | None) -> None:
        self._findings.add(check, self._file, got, expected, episode=self._index, **place)

    # --- columns -----------------------------------------------------------------------------

    def _needed(self) -> set[str]:
        """The columns that somebody who trains with the dataset reads."""
        dataset = self._dataset
        needed = {of.name for keys in (dataset.states, dataset.actions) for of in keys.values()}
        needed |= set(dataset.annotations.values()) | {"timestamp"}
        if not dataset.modality:
            needed |= {STATE, ACTION, *_NUMBERS, TASK_INDEX}
        elif dataset.is_v3:
            needed |= {*_NUMBERS, TASK_INDEX}
        return needed

    def _missing(self, types: Mapping[str, str], needed: Collection[str]) -> None:
        for name in sorted(set(needed) - set(types)):
            self._add("column_missing", f"no column {name!r}", f"one; it has {', '.join(types)}")

    def _read(self, names: list[str]) -> None:
        """Read columns at once; if that fails one by one, to tell which cannot be read."""
        try:
            found = self._dataset.arrays(self._index, names)
        except SettingsError as error:
            if len(names) > 1:
                for name in names:
                    self._read([name])
            else:
                self._add("data_file", str(error).replace(f"{self._dataset.path}/", ""), "numbers")
                self._unread |= set(names)
            return
        for name, values in found.items():
            if values.ndim <= 2:
                self.columns[name] = as_rows(values)

    def _are_numbers(self, types: Mapping[str, str], needed: Collection[str]) -> None:
        """Whether each needed column is one of numbers, unless info.json says that it is text."""
        for name in sorted(set(needed) & set(types) - set(self.columns)):
            stated = self._dataset.features.get(name, {}).get("dtype")
            if name in self._dataset.annotations.values() and _is_text(str(stated)):
                continue
            if name not in self._unread:
                self._add("column_numbers", f"{name}: {types[name]}", "(N,) or (N, D) of numbers")

    def _length(self) -> None:
        counts = {len(values) for values in self.columns.values()}
        expected = self._dataset.lengths[self._index]
        for count in counts - {expected}:
            self._add("episode_length", f"{count} rows", f"{expected}, the length in meta")

    def _width(self, name: str, values: Array) -> None:
        stated = width_of(self._dataset.features.get(name, {}))
        if stated is not None and values.shape[1] != stated:
            self._add("column_width", f"{name}: {values.shape[1]} numbers a row", f"{stated}")
        elif stated is None:
            ends = [
                of.end
                for keys in (self._dataset.states, self._dataset.actions)
                for of in keys.values()
                if of.name == name
            ]
            if ends and values.shape[1] < max(ends):
                self._add(
                    "column_width", f"{name}: {values.shape[1]} numbers a row", f"{max(ends)}"
                )

    def _type(self, name: str, values: Array) -> None:
        stated = self._dataset.features.get(name, {}).get("dtype")
        if isinstance(stated, str) and stated != str(values.dtype) and not _is_text(stated):
            self._add("column_type", f"{name}: {values.dtype}", f"{stated:.40} of info.json")

    def _finite(self, name: str, values: Array) -> None:
        if values.dtype.kind != "f":
            return
        bad = ~np.isfinite(values)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            rows = int(bad.any(axis=1).sum())
            got = f"{name}[{column}] is {values[row, column]}"
            self._add("not_finite", got, "a finite number", row=int(row), places=rows)

    # --- order and time ----------------------------------------------------------------------

    def _order(self, first_index: int | None) -> None:
        count = self._count()
        numbers = np.arange(count)
        in_order = True
        if "frame_index" in self.columns:
            frame = self.columns["frame_index"][:, 0]
            in_order = bool(np.array_equal(np.sort(frame), frame))
            if not in_order:
                self._descends("frame_index", frame)
            else:
                self._numbers("frame_index", frame, numbers)
        if "timestamp" in self.columns and in_order:
            self._descends("timestamp", self.columns["timestamp"][:, 0])
        if "episode_index" in self.columns:
            self._numbers("episode_index", self.columns["episode_index"][:, 0], self._index)
        if "index" in self.columns and first_index is not None and in_order:
            index = self.columns["index"][:, 0]
            self._numbers("index", index, first_index + numbers, "row_index")

    def _descends(self, name: str, values: Array) -> None:
        back = np.flatnonzero(np.diff(values) <= 0)
        if len(back):
            row = int(back[0]) + 1
            got = f"{name} {values[row]} after {values[row - 1]}"
            self._add("row_order", got, "a larger one", row=row, places=len(back))

    def _numbers(self, name: str, values: Array, expected: Any, check: str = "row_numbers") -> None:
        expected = np.broadcast_to(np.asarray(expected), values.shape)
        wrong = np.flatnonzero(values != expected)
        if len(wrong):
            row = int(wrong[0])
            got = f"{name} {values[row]}"
            self._add(check, got, f"{expected[row]}", row=row, places=len(wrong))

    def _times(self) -> None:
        if "timestamp" not in self.columns or not self._count():
            return
        stored = self.columns["timestamp"][:, 0]
        times = stored.astype(np.float64)
        if not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
            return
        first, fps = float(times[0]), self._dataset.fps
        expected = np.arange(len(times)) / fps
        if abs(first) > TIME_TOLERANCE_S:
            self._add("timestamp_start", f"{first:.6f} s", "0", row=0)
        # a float32 cannot hold a time of an hour to 0.1 ms
        rounding = np.spacing(np.float32(expected[-1])) if stored.dtype == np.float32 else 0.0
        off = np.abs(times - first - expected)
        wrong = np.flatnonzero(off > TIME_TOLERANCE_S + rounding)
        if len(wrong):
            row = int(wrong[0])
            got = f"{times[row] - first:.6f} s after the first (up to {off.max() * 1e3:.1f} ms off)"
            self._add("timestamp_rate", got, f"{expected[row]:.6f}", row=row, places=len(wrong))
        elif stored.dtype == np.float32 and not self._dataset.is_v3:
            below = np.flatnonzero(times < expected)
            if len(below):
                row = int(below[0])
                got = f"float32 {times[row]:.9f}"
                self._add(
                    "timestamp_float32", got, f"{expected[row]:.9f}", row=row, places=len(below)
                )

    def _task_ids(self, tasks: Collection[int] | None) -> None:
        if tasks is None:
            return
        for name in sorted({*self._dataset.annotations.values(), TASK_INDEX} & set(self.columns)):
            values = self.columns[name][:, 0]
            wrong = np.flatnonzero(~np.isin(values, list(tasks)))
            if len(wrong):
                row = int(wrong[0])
                known = ", ".join(map(str, sorted(tasks)[:10]))
                got = f"{name} {values[row]}"
                self._add("task_id", got, f"of {known}", row=row, places=len(wrong))

    def _count(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    # --- the robot's limits ------------------------------------------------------------------

    def _ranges(self, embodiment: Embodiment) -> None:
        for stream in embodiment.state:
            if stream.source == "joints":
                self._range("state", stream.key, stream.names, stream.scale, embodiment)
        for action in embodiment.action:
            direct = action.scale is not None or action.unit in ("rad", "m")
            direct = direct and action.threshold is None and action.representation == "absolute"
            if action.output and direct:
                self._range("action", action.key, action.names, action.scale, embodiment)

    def _range(
        self,
        section: str,
        key: str,
        names: tuple[str, ...],
        scale: Scale | None,
        embodiment: Embodiment,
    ) -> None:
        of = (self._dataset.states if section == "state" else self._dataset.actions).get(key)
        rows = self.columns.get(of.name) if of else None
        if of is None or rows is None or rows.shape[1] < of.end or of.width != len(names):
            return
        values = rows[:, of.start : of.end].astype(np.float64)
        joint = values if scale is None else scale.to_joint(values)
        limits = embodiment.limits
        for column, name in enumerate(names):
            if name not in limits.names:
                continue
            at = limits.names.index(name)
            low, high = float(limits.lower[at]), float(limits.upper[at])
            excess = np.maximum(low - joint[:, column], joint[:, column] - high)
            excess = np.nan_to_num(excess, nan=-np.inf, posinf=-np.inf)
            outside = np.flatnonzero(excess > _BEYOND * (high - low))
            if len(outside):
                row = int(np.argmax(excess))
                worst = float(joint[row, column])
                degrees = abs(worst) > _DEGREES * max(abs(low), abs(high))
                self._add(
                    "joint_range",
                    f"{section}.{key}: {name} at {worst:.4g}{' (degrees?)' if degrees else ''}",
                    f"{low:g} to {high:g}",
                    row=row,
                    places=len(outside),
                )


def _is_text(dtype: str) -> bool:
    """Whether a feature is not compared with the type of a column of numbers."""
    return dtype in ("string", "language", "video", "image")
