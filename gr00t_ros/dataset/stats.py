"""Statistics of a dataset's columns, and of actions relative to the state that they begin at.

GR00T's stats.json has six statistics; LeRobot's has three more quantiles and the count. Which
action keys of a tag are RELATIVE is no part of an embodiment file, because a server returns
absolute values: RELATIVE has it, from NVIDIA's configurations of the tags (embodiments.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.rotation import matrix_from_rot6d_rows, rot6d_rows_from_matrix

Stats = dict[str, list[float]]
Array = NDArray[np.float64]

_ARMS = {"left_arm": "NON_EEF", "right_arm": "NON_EEF"}
RELATIVE: Final[Mapping[str, Mapping[str, str]]] = {
    "oxe_droid_relative_eef_relative_joint": {"eef_9d": "EEF", "joint_position": "NON_EEF"},
    "oxe_droid_joint_position_relative": {"joint_position": "NON_EEF"},
    "oxe_droid": {"joint_position": "NON_EEF"},
    "real_g1_relative_eef_relative_joints": {
        "left_wrist_eef_9d": "EEF",
        "right_wrist_eef_9d": "EEF",
        **_ARMS,
    },
    "unitree_g1_full_body_with_waist_height_nav_cmd": _ARMS,
    "unitree_g1": _ARMS,
}
"""Tag -> its RELATIVE action keys: EEF for poses of x, y, z and a rot6d, NON_EEF for joints."""

_QUANTILES = {"q01": 0.01, "q99": 0.99}
_MORE_QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
_LEVELS = 256


def statistics(rows: NDArray[np.generic], lerobot: bool = False) -> Stats:
    """Statistics of (N, D) or (N,) rows over N, each a list of D; rows that have a NaN are not in.

    lerobot: with LeRobot's further quantiles and the count.
    """
    values = np.asarray(rows, np.float64).reshape(len(rows), -1)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        values = np.zeros((1, values.shape[1]))
    found = {name: each.tolist() for name, each in _six(values, lerobot).items()}
    return found | ({"count": [len(rows)]} if lerobot else {})


def of_levels(histogram: NDArray[np.int64]) -> dict[str, list[list[list[float]]]]:
    """LeRobot's statistics of pictures, (3, 1, 1) in 0 to 1 each, from (3, 256) counts."""
    channels = [
        _six(np.repeat(np.arange(_LEVELS) / 255.0, _thinned(counts))[:, None], True)
        for counts in histogram
    ]
    found = {name: [[[float(channel[name][0])]] for channel in channels] for name in channels[0]}
    return found | {"count": [[[float(histogram[0].sum())]]]}


def levels(picture: NDArray[np.uint8], every: int = 8) -> NDArray[np.int64]:
    """(3, 256) how often each level is in each channel, of every 8th row and column."""
    sample = picture[::every, ::every].reshape(-1, picture.shape[2])
    return np.stack([np.bincount(channel, minlength=_LEVELS) for channel in sample.T])


def relative_statistics(
    kind: str, episodes: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]], horizon: int
) -> dict[str, list[list[float]]] | None:
    """Statistics of chunks relative to the state at their first row, each (horizon, D).

    kind: a value of RELATIVE. episodes: (state (N, D), action (N, D)) of the same key. None if no
    episode has as many rows as a chunk, or state and action do not have the same width.
    """
    chunks = []
    for state, action in episodes:
        if state.shape != action.shape:
            return None
        if len(action) >= horizon:
            starts = np.asarray(state[: len(action) - horizon + 1], np.float64)
            rows = np.asarray(action, np.float64)
            made = (
                _poses_from(starts, rows, horizon)
                if kind == "EEF"
                else (_windows(rows, horizon) - starts[:, None])
            )
            chunks.append(made.astype(np.float32))
    if not chunks:
        return None
    return {name: each.tolist() for name, each in _six(np.concatenate(chunks), False).items()}


def _six(values: NDArray[np.floating], more: bool) -> dict[str, Array]:
    """The statistics over the first axis."""
    quantiles = _QUANTILES | (_MORE_QUANTILES if more else {})
    found = np.quantile(values, list(quantiles.values()), axis=0)
    return {
        "mean": np.mean(values, axis=0, dtype=np.float64),
        "std": np.std(values, axis=0, dtype=np.float64),
        "min": np.min(values, axis=0),
        "max": np.max(values, axis=0),
        **dict(zip(quantiles, found, strict=True)),
    }


def _windows(rows: Array, horizon: int) -> Array:
    """(N - H + 1, H, ...) of (N, ...) rows: H successive rows from each row on."""
    steps = np.arange(len(rows) - horizon + 1)[:, None] + np.arange(horizon)
    return np.asarray(rows[steps])


def _poses_from(starts: Array, rows: Array, horizon: int) -> Array:
    """(N, H, 9) of (M, 9) poses in the frame of the pose that each chunk starts at, (N, 9).

    A pose is x, y, z and the first two rows of the matrix.
    """
    back = np.swapaxes(matrix_from_rot6d_rows(starts[:, 3:]), -1, -2)[:, None]
    moved = _windows(rows[:, :3], horizon) - starts[:, None, :3]
    turned = back @ _windows(matrix_from_rot6d_rows(rows[:, 3:]), horizon)
    position = (back @ moved[..., None])[..., 0]
    return np.concatenate([position, rot6d_rows_from_matrix(turned)], axis=-1)


def _thinned(counts: NDArray[np.int64], most: int = 100_000) -> NDArray[np.int64]:
    """Counts in the same proportion, but not more than some of them in all."""
    total = int(counts.sum())
    return counts if total <= most else (counts * most) // total
