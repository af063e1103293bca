"""A trajectory controller's state message -> what it holds and what it measures.

Reads control_msgs where that is installed and this package's own ControllerState, which has the
same fields; the simulator and real controllers look alike from here on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.state import JointReading
from gr00t_ros.msg import ControllerState

STATE_TYPES: tuple[Any, ...] = (ControllerState,)
with contextlib.suppress(ImportError):  # in no package index: only real ROS installs have it
    from control_msgs.msg import JointTrajectoryControllerState

    STATE_TYPES = (JointTrajectoryControllerState, ControllerState)


@dataclass(frozen=True, slots=True, eq=False)
class ControllerReading:
    """`reference`: what the controller holds or plays; `feedback`: what it measures.

    `speed_scaling` is 1.0 also for controllers too old to have one.
    """

    reference: JointReading
    feedback: JointReading
    speed_scaling: float


def controller_state(message: Any) -> tuple[int, ControllerReading]:
    """Stamp (ns) and reading of a message of one of STATE_TYPES.

    Raises ObservationError if a point has another number of positions than there are joints.
    """
    stamp = message.header.stamp
    reading = ControllerReading(
        reference=_reading(message.joint_names, message.reference, "reference"),
        feedback=_reading(message.joint_names, message.feedback, "feedback"),
        speed_scaling=float(getattr(message, "speed_scaling_factor", 1.0)),
    )
    return stamp.sec * 1_000_000_000 + stamp.nanosec, reading


def _reading(names: list[str], point: Any, field: str) -> JointReading:
    position, velocity = np.array(point.positions), np.array(point.velocities)
    if len(position) != len(names):
        raise ObservationError(
            f"controller state: {field} has {len(position)} positions for {len(names)} joints"
        )
    return JointReading(tuple(names), position, velocity if len(velocity) == len(names) else None)
