"""Checks of stats.json and relative_stats.json against the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.meta import width_of
from gr00t_ros.dataset.checks.table import Findings
from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.dataset.parquet_file import Array
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.robot.embodiment import Embodiment

STATS: Final = "meta/stats.json"
RELATIVE: Final = "meta/relative_stats.json"
SIX: Final = ("mean", "std", "min", "max", "q01", "q99")
MAX_VALUES: Final = 20_000_000
"""Numbers of the data that are kept for quantiles; of more data only the others are compared."""

_MARKS: Final = "__fingerprints__"
_OFF: Final = 2e-3  # of the column's range: what summing up in float32 may change

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Moments:
    """Count, mean, squares about it and extremes of each column, of the values that are finite."""

    count: Floats
    mean: Floats
    squares: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, values: Array) -> Moments:
        """The moments of (N, D) values."""
        rows = values.astype(np.float64)
        finite = np.isfinite(rows)
        count = finite.sum(axis=0).astype(np.float64)
        kept = np.where(finite, rows, 0.0)
        mean = kept.sum(axis=0) / np.maximum(count, 1.0)
        return cls(
            count,
            mean,
            (np.where(finite, rows - mean, 0.0) ** 2).sum(axis=0),
            np.where(finite, rows, np.inf).min(axis=0, initial=np.inf),
            np.where(finite, rows, -np.inf).max(axis=0, initial=-np.inf),
        )

    def __add__(self, other: Moments) -> Moments:
        count = np.maximum(self.count + other.count, 1.0)
        apart = other.mean - self.mean
        return Moments(
            self.count + other.count,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def __len__(self) -> int:
        return len(self.mean)


@dataclass(slots=True)
class Gathered:
    """What the episodes' rows add up to: moments of each column, and the values for quantiles.

    broken: columns that an episode lacks, or has with another width: they have no statistics.
    """

    moments: dict[str, Moments] = field(default_factory=dict)
    values: dict[str, list[Array]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    episodes: int = 0

    def add(self, moments: Mapping[str, Moments], values: Mapping[str, Array]) -> None:
        """Add an episode. values: column -> (N, D) rows for its quantiles."""
        self.broken |= set(self.moments) - set(moments)
        self.broken |= set(moments) - set(self.moments) if self.episodes else set()
        self.episodes += 1
        for name, of in moments.items():
            known = self.moments.get(name)
            if known is not None and len(known) != len(of):
                self.broken.add(name)
            elif name not in self.broken:
                self.moments[name] = of if known is None else known + of
        for name, rows in values.items():
            if name not in self.broken:
                self.values.setdefault(name, []).append(rows)

    def constants(
        self, dataset: LeRobotDataset, embodiment: Embodiment | None, findings: Findings
    ) -> None:
        """Find columns of state and action keys that never change, unless the file says so."""
        streams = embodiment.state if embodiment else ()
        constant = {("state", stream.key) for stream in streams if stream.source == "constant"}
        for section, keys in (("state", dataset.states), ("action", dataset.actions)):
            for key, of in keys.items():
                found = self.moments.get(of.name)
                if found is None or of.end > len(found) or not found.count.min() > 1:
                    continue
                if (section, key) in constant:
                    continue
                for column in range(of.start, of.end):
                    if found.low[column] == found.high[column]:
                        name = _name(dataset, of.name, column)
                        findings.add(
                            "constant_column",
                            "data",
                            f"{section}.{key}: {name} is {found.low[column]:g} in all rows",
                            "values that change",
                        )


def _name(dataset: LeRobotDataset, feature: str, column: int) -> str:
    """The name of a column with its number."""
    names = dataset.features.get(feature, {}).get("names")
    if isinstance(names, list) and column < len(names) and isinstance(names[column], str):
        return f"column {column} ({names[column]:.60})"
    return f"column {column}"


def check_stats(dataset: LeRobotDataset, gathered: Gathered, findings: Findings) -> None:
    """Compare stats.json with the statistics of the rows."""
    path = dataset.path / STATS
    if not path.exists():
        findings.add("stats_missing", STATS, "no such file", "the statistics of all features")
        return
    try:
        stats = read_json(path)
    except SettingsError as error:
        findings.add("meta_file", STATS, str(error).replace(f"{dataset.path}/", ""), "JSON")
        return
    names = SIX if not dataset.is_v3 else SIX[:4]
    used = {of.name for keys in (dataset.states, dataset.actions) for of in keys.values()}
    for feature, about in dataset.features.items():
        is_float = "float" in str(about.get("dtype"))
        of = stats.get(feature)
        if of is None and (dataset.is_v3 or feature not in used):
            continue  # a loader that misses them makes them
        if not isinstance(of, Mapping):
            findings.add("stats_shape", STATS, f"{feature}: {of!r:.40}", "a map of statistics")
        elif is_float:
            _check_feature(dataset, feature, of, names, gathered, findings)
    counted = [f for f, of in stats.items() if isinstance(of, Mapping) and "count" in of]
    if counted and not dataset.is_v3:
        findings.add("stats_count", STATS, f"{counted[0]}: count", "the six statistics alone")


def _check_feature(
    dataset: LeRobotDataset,
    feature: str,
    of: Mapping[str, Any],
    names: tuple[str, ...],
    gathered: Gathered,
    findings: Findings,
) -> None:
    found = gathered.moments.get(feature) if feature not in gathered.broken else None
    width = len(found) if found is not None else width_of(dataset.features[feature])
    truth = _truth(found, gathered.values.get(feature)) if found is not None else {}
    for name in names:
        stated = _numbers(of.get(name))
        if stated is None or (width is not None and len(stated) != width):
            got = "none" if stated is None else f"{len(stated)} numbers"
            findings.add("stats_shape", STATS, f"{feature}: {name} has {got}", f"{width}")
            continue
        if name not in truth or found is None:
            continue
        known = found.count > 0
        low, high = np.where(known, found.low, 0.0), np.where(known, found.high, 0.0)
        # a range of 0 still has the rounding of float32
        scale = (high - low) * _OFF + 1e-5 * np.maximum(np.abs(high), 1e-3)
        off = np.abs(stated - np.where(known, truth[name], stated))
        wrong = np.flatnonzero(off > scale)
        if len(wrong):
            column = int(wrong[np.argmax(off[wrong])])
            findings.add(
                "stats_values",
                STATS,
                f"{feature}: {name} of {_name(dataset, feature, column)} {stated[column]:.6g}",
                f"{truth[name][column]:.6g}",
                places=len(wrong),
            )


def _truth(found: Moments, values: list[Array] | None) -> dict[str, Floats]:
    truth = {
        "mean": found.mean,
        "std": np.sqrt(found.squares / np.maximum(found.count, 1.0)),
        "min": found.low,
        "max": found.high,
    }
    if values is not None:
        rows = np.concatenate(values).astype(np.float64)
        if not np.isnan(rows).any():
            truth["q01"], truth["q99"] = np.quantile(rows, (0.01, 0.99), axis=0)
    return truth


def _numbers(value: Any) -> Floats | None:
    """Return a list of numbers as an array, None if it is none."""
    flat = value if isinstance(value, list) else [value]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in flat):
        return None
    return np.array(flat, np.float64)


def check_relative_stats(
    dataset: LeRobotDataset, embodiment: Embodiment | None, findings: Findings
) -> None:
    """Check the shape of relative_stats.json, if there is one."""
    path = dataset.path / RELATIVE
    if not path.exists():
        return
    try:
        stats = read_json(path)
    except SettingsError as error:
        findings.add("meta_file", RELATIVE, str(error).replace(f"{dataset.path}/", ""), "JSON")
        return
    horizon = embodiment.action_horizon if embodiment else None
    for key, of in stats.items():
        if key == _MARKS:
            continue
        width = dataset.actions[key].width if key in dataset.actions else None
        if width is None or not isinstance(of, Mapping):
            findings.add("relative_stats", RELATIVE, f"{key!r:.60}", "an action key with a map")
            continue
        for name in SIX:
            rows = of.get(name)
            shape = _shape(rows)
            steps = horizon or (shape[0] if shape else None)
            if shape is None or shape != (steps, width):
                got = "none" if rows is None else f"shape {shape or 'that is none'}"
                expected = f"[{steps or 'horizon'}, {width}]"
                findings.add("relative_stats", RELATIVE, f"{key}: {name} has {got}", expected)


def _shape(rows: Any) -> tuple[int, int] | None:
    """Return the shape of a list of lists of numbers of one length, None if it is none."""
    if not isinstance(rows, list) or not rows or not all(isinstance(r, list) for r in rows):
        return None
    widths = {len(row) for row in rows}
    numbers = all(_numbers(row) is not None for row in rows)
    return (len(rows), widths.pop()) if len(widths) == 1 and numbers else None
