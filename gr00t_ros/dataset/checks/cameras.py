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
_STILL: Final = 1.5  # of 255: by less the picture of a camera that stands still changes

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
    wander: Mapping[str, float], columns: Mapping[str, str], findings: Findings
) -> None:
    """Find a wrist camera that stands still while another one moves.

    wander: camera -> how much its picture as a whole changes in an episode, 0..255.
    """
    wrists = [key for key in wander if _WRIST.search(key)]
    others = [key for key in wander if not _WRIST.search(key)]
    if len(wrists) != 1 or not others:
        return
    most, wrist = max(others, key=lambda key: wander[key]), wrists[0]
    if wander[wrist] < _STILL and wander[most] > _STILL + wander[wrist]:
        findings.add(
            "camera_role",
            f"videos of {columns[wrist]} and {columns[most]}",
            f"the picture of {wrist} as a whole stands still (it changes by {wander[wrist]:.1f} of "
            f"255), that of {most} moves ({wander[most]:.1f})",
            "the camera at the wrist to move with the arm",
        )
