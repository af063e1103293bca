"""Messages of a source of contacts -> its values: torques, a force, a flag, or residual efforts.

A topic of JointStates may have other joints too, in the same messages or in those of another
publisher, such as a gripper's. They decide nothing: a message without a joint of the source is not
used, whatever it lacks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from geometry_msgs.msg import WrenchStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

from gr00t_ros.collide.dynamics import InverseDynamics
from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.joint_states import WHOLE
from gr00t_ros.robot.contact.sources import ContactSource, SourceKind

Floats = NDArray[np.float64]

MESSAGES: Final[Mapping[SourceKind, tuple[type, ...]]] = {
    "external_torques": (JointState, Float64MultiArray),
    "wrench": (WrenchStamped,),
    "flag": (Bool,),
    "effort": (JointState,),
}
"""Type of a source -> the types of messages that are read."""

MOVING_RAD_S: Final = 0.05
"""Speed of a joint from which the arm counts as moving, also in m/s: above the noise of drives."""


@dataclass(frozen=True, slots=True, eq=False)
class ContactValues:
    """The values of one message. columns: which of the source's they are, None: all in order.

    moving: whether the arm moves, which only a source of efforts knows.
    """

    values: Floats
    columns: Sequence[int] | None = None
    moving: bool = False


def keys_of(source: ContactSource, message: Any) -> Set[str]:
    """What a message has, to tell its publisher from others: joints, or WHOLE without joints.

    Of a message with joints of the source these alone: who sends the others does not matter.
    """
    if not isinstance(message, JointState):
        return WHOLE
    return set(message.name).intersection(source.names) or set(message.name)


class ContactReader:
    """Reads the messages of one source, each with all of its values or with some."""

    def __init__(self, source: ContactSource) -> None:
        """Nothing was read yet."""
        self._source = source
        self._motion: dict[str, tuple[float, float]] = {}  # newest position and speed of each joint

    def __call__(self, message: Any, dynamics: InverseDynamics | None) -> ContactValues | None:
        """The values of a message; None if it has none of the source's joints.

        dynamics: of the robot, for a source of efforts. Raises ObservationError for numbers that
        are missing, with what was got and what was expected.
        """
        if self._source.type == "effort":
            return self._effort(message, dynamics)
        if isinstance(message, JointState):
            return self._torques(message)
        if isinstance(message, WrenchStamped):
            force = message.wrench.force
            return ContactValues(np.array([force.x, force.y, force.z]))
        if isinstance(message, Bool):
            return ContactValues(np.array([float(message.data)]))
        return ContactValues(np.array(message.data))  # its length is checked by the watch

    def _torques(self, message: JointState) -> ContactValues | None:
        own = self._own(message)
        if not own:
            return None
        return ContactValues(_picked(own, message.name, message.effort, "effort"), self._at(own))

    def _effort(
        self, message: JointState, dynamics: InverseDynamics | None
    ) -> ContactValues | None:
        own, names = self._own(message), self._source.names
        if not own:
            if dynamics is not None:
                self._move(message, dynamics)
            return None
        effort = _picked(own, message.name, message.effort, "effort")
        motion = [
            _picked(own, message.name, message.position, "position").tolist(),
            _picked(own, message.name, message.velocity, "velocity").tolist(),
        ]
        if dynamics is None:
            raise ObservationError("nothing received on robot_description, which has the masses")
        unknown = [name for name in names if name not in dynamics.joints]
        if unknown:
            raise ObservationError(
                f"robot_description has no joints {', '.join(unknown)}, expected all of contact."
                f"{self._source.name}.names"
            )
        self._move(message, dynamics)
        self._motion.update(zip(own, zip(*motion, strict=True), strict=True))
        missing = [name for name in names if name not in self._motion]
        if missing:
            raise ObservationError(
                f"no position of {', '.join(missing)} was received yet, expected all of contact."
                f"{self._source.name}.names: the weights that the others carry depend on it"
            )
        expected = dynamics.torques(self._motion)
        speed = max(abs(self._motion[name][1]) for name in names)
        residual = effort - np.array([expected[name] for name in own])
        return ContactValues(residual, self._at(own), speed > MOVING_RAD_S)

    def _move(self, message: JointState, dynamics: InverseDynamics) -> None:
        """Keep the position and speed of every joint that moves a mass, if they are numbers."""
        names = message.name
        if not len(message.position) == len(message.velocity) == len(names):
            return
        for name, position, speed in zip(names, message.position, message.velocity, strict=True):
            if name in dynamics.joints and math.isfinite(position) and math.isfinite(speed):
                self._motion[name] = position, speed

    def _own(self, message: JointState) -> list[str]:
        """The joints of the source that the message has, in the source's order."""
        every = set(message.name)
        own = [name for name in self._source.names if name in every]
        if len(every) < len(message.name) and (
            twice := [name for name in own if message.name.count(name) > 1]
        ):
            raise ObservationError(
                f"joints twice in one message: {', '.join(twice)}: let the driver name each once"
            )
        return own

    def _at(self, own: Sequence[str]) -> Sequence[int]:
        return [self._source.names.index(name) for name in own]


def _picked(
    wanted: Sequence[str], names: Sequence[str], values: Sequence[float], field: str
) -> Floats:
    """The values of the wanted joints, which are among `names`, in that order."""
    if len(values) != len(names):
        raise ObservationError(
            f"got {len(values)} values of {field} for {len(names)} joints with "
            f"{', '.join(wanted)}, expected one for each"
        )
    return np.array([values[names.index(name)] for name in wanted])
