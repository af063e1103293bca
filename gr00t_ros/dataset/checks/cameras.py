"""Checks that compare cameras: swapped in one episode, or against their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.table import Findings

_LEAST_EPISODES: Final = 3
_NEARER: Final = 0.7  # a swap must explain the mean pictures better than this
_WRIST: Final = re.compile(r"wrist|hand|gripper|ego_eef|eye_in", re.IGNORECASE)
_LESS: Final = 0.6  # a wrist camera that sees less motion than this share of another camera's

Floats = NDArray[np.float32]


def check_swapped(
    means: Mapping[int, Mapping[str, Floats]], columns: Mapping[str, str], findings: Findings
) -> None:
    """Find episodes in which two cameras' mean pictures are nearer to each other's elsewhere.

    means: episode -> camera -> mean picture. columns: camera -> its column.
    """
    for first, second in combinations(columns, 2):
        both = {i: (of[first], of[second]) for i, of in means.items() if {first, second} <= set(of)}
        if len(both) < _LEAST_EPISODES:
            continue
        usual = [np.median([pair[side] for pair in both.values()], axis=0) for side in (0, 1)]
        for index, (a, b) in both.items():
            straight = _apart(a, usual[0]) + _apart(b, usual[1])
            swapped = _apart(a, usual[1]) + _apart(b, usual[0])
            if swapped < _NEARER * straight:
                findings.add(
                    "camera_swapped",
                    f"videos of {columns[first]} and {columns[second]}",
                    f"mean pictures {straight:.1f} from those of the other episodes, "
                    f"{swapped:.1f} if the two are swapped (of 255)",
                    "each camera as in the other episodes",
                    episode=index,
                )


def _apart(picture: Floats, other: Floats) -> float:
    return float(np.abs(picture - other).mean())


def check_roles(
    changed: Mapping[str, float], columns: Mapping[str, str], findings: Findings
) -> None:
    """Find a wrist camera that sees less change than another one while the robot moves.

    changed: camera -> mean share of the picture that changes from row to row.
    """
    wrists = [key for key in changed if _WRIST.search(key)]
    others = [key for key in changed if not _WRIST.search(key)]
    if len(wrists) != 1 or not others:
        return
    most = max(others, key=lambda key: changed[key])
    if changed[wrists[0]] < _LESS * changed[most]:
        findings.add(
            "camera_role",
            f"videos of {columns[wrists[0]]} and {columns[most]}",
            f"{changed[wrists[0]]:.1%} of {wrists[0]} changes from row to row, "
            f"{changed[most]:.1%} of {most}",
            "the camera at the wrist to see more motion: all of its picture moves with the arm",
        )
