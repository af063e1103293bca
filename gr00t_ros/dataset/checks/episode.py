"""All checks of one episode, and what of it is kept for the checks of the whole dataset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.alignment import Curve, action_curve, picture_curve, states_of
from gr00t_ros.dataset.checks.pictures import PictureCheck
from gr00t_ros.dataset.checks.rows import RowCheck
from gr00t_ros.dataset.checks.statistics import Moments
from gr00t_ros.dataset.checks.table import Finding
from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.dataset.parquet_file import Array
from gr00t_ros.robot.embodiment import Embodiment


@dataclass(slots=True)
class EpisodeFacts:
    """What is kept of an episode: small, whatever its pictures.

    moments, values: of each float column; values only where quantiles are wanted. action: the
    correlation of action and state, pictures: of each camera and the state. means: camera -> mean
    picture. wander: camera -> how much its picture as a whole changes (pictures.py).
    """

    index: int
    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    moments: dict[str, Moments] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    action: Curve | None = None
    pictures: dict[str, Curve] = field(default_factory=dict)
    means: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    wander: dict[str, float] = field(default_factory=dict)


def check_episode(
    dataset: LeRobotDataset,
    index: int,
    embodiment: Embodiment | None,
    tasks: Collection[int] | None,
    first_index: int | None,
    keeps_values: bool,
) -> EpisodeFacts:
    """Read an episode's rows and decode its pictures, each once, and check them."""
    row_check = RowCheck(dataset, index, embodiment)
    facts = EpisodeFacts(index, row_check.run(tasks, first_index))
    columns = row_check.columns
    facts.rows = max(map(len, columns.values()), default=0)
    floats = {name: rows for name, rows in columns.items() if rows.dtype.kind == "f"}
    facts.moments = {name: Moments.of(rows) for name, rows in floats.items()}
    facts.values = floats if keeps_values else {}
    deltas = {a.key for a in embodiment.action if a.representation == "delta"} if embodiment else ()
    facts.action = action_curve(dataset, columns, set(deltas))
    states = states_of(dataset, columns)
    for key in dataset.cameras:
        check = PictureCheck(dataset, index, key, embodiment)
        facts.findings += check.run(facts.rows or dataset.lengths[index])
        seen = check.facts
        if seen.mean is not None:
            facts.means[key] = seen.mean
            facts.wander[key] = seen.wander
        if states is not None and len(seen.energy) == len(states):
            facts.findings += check.frozen(states)
            found = picture_curve(seen.energy, states, dataset.fps)
            if found is not None:
                facts.pictures[key] = found
    return facts
