"""What an embodiment file says of a robot, as its topics would tell it; no ROS.

The commands that a reply means are worked out from the file's own text, not by core/chunk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gr00t_ros.core.embodiment import Embodiment, StateStream
from gr00t_ros.core.schema import Place
from gr00t_ros.core.state import JointReading, PoseReading, encode
from gr00t_ros.core.unsettled import read_marks

POSE = PoseReading(np.array([0.4, 0.1, 0.3]), np.array([0.0, 0.6, 0.0, 0.8]))


def plain(path: Path) -> Any:
    """The file's content, marks replaced by what they assume."""
    return read_marks(Place(yaml.safe_load(path.read_text()), path.name))[0].value


def start_of(robot: Embodiment) -> NDArray[np.float64]:
    """(J,) where every commanded joint stands: the middle of its range."""
    middle: NDArray[np.float64] = (robot.limits.lower + robot.limits.upper) / 2
    return middle


def joints_of(robot: Embodiment) -> dict[str, float]:
    """Every joint of every joint state: at its start, or at 0.01 where it is not commanded."""
    start = dict(zip(robot.joint_names, start_of(robot), strict=True))
    names = [name for s in robot.state if s.source == "joints" for name in s.names]
    return {name: float(start.get(name, 0.01)) for name in reversed(dict.fromkeys(names))}


def observation_of(robot: Embodiment) -> dict[str, Any]:
    """The nested observation of that start, black pictures, batch size 1."""
    return {
        "video": {
            v.key: np.zeros((1, len(v.delta_indices), v.height_px, v.width_px, 3), np.uint8)
            for v in robot.video
        },
        "state": {s.key: encode(s, _reading(robot, s))[None, None] for s in robot.state},
        "language": {robot.language_key: [["hold still"]]},
    }


def _reading(robot: Embodiment, stream: StateStream) -> object:
    if stream.source == "joints":
        joints = joints_of(robot)
        return JointReading(list(joints), np.array(list(joints.values())))
    if stream.source == "constant":
        return None
    return PoseReading(POSE.position_m, POSE.quaternion_xyzw, stream.frame or "")


def _pair(pairs: Any, column: int) -> Any:
    return pairs if isinstance(pairs[0], float) else pairs[column]


def commanded(file: Any, reply: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Name -> where the last row of a reply wants it, by the file's `action` map."""
    targets: dict[str, float] = {}
    for key, how in file["action"].items():
        if how.get("ignored"):
            continue
        names = how.get("names", file["outputs"][how["output"]]["names"])
        for column, name in enumerate(names):
            value = float(reply[key][-1, column])
            if "threshold" in how:
                value = float(value > how["threshold"])
            if "scale" in how:
                first, last = _pair(how["scale"], column)
                low, high = _pair(how.get("range", [0.0, 1.0]), column)
                value = first + (value - low) / (high - low) * (last - first)
            if how.get("representation") == "delta":
                value *= file["rate_hz"]
            targets[name] = value
    return targets
