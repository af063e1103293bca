"""Messages of a source of contacts -> its values: torques, a force, a flag, or residual efforts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from geometry_msgs.msg import WrenchStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

from gr00t_ros.collide.dynamics import InverseDynamics
from gr00t_ros.errors import ObservationError
from gr00t_ros.robot.contact.sources import ContactSource, Kind

Floats = NDArray[np.float64]

MESSAGES: Final[Mapping[Kind, tuple[type, ...]]] = {
    "external_torques": (JointState, Float64MultiArray),
    "wrench": (WrenchStamped,),
    "flag": (Bool,),
    "effort": (JointState,),
}
"""Type of a source -> the types of messages that are read."""

MOVING_RAD_S: Final = 0.05
"""Speed of a joint from which the arm counts as moving, also in m/s: above the noise of drives."""


def values_of(
    source: ContactSource, message: Any, dynamics: InverseDynamics | None
) -> tuple[Floats, bool]:
    """The (N,) values of a message, and whether the arm moves in it.

    dynamics: of the robot, for a source of efforts; the motion is only known to that. Raises
    ObservationError for missing joints or numbers, with what was got and what was expected.
    """
    return _READS[source.type](source, message, dynamics)


def _torques(
    source: ContactSource, message: Any, _dynamics: InverseDynamics | None
) -> tuple[Floats, bool]:
    if isinstance(message, Float64MultiArray):  # its length is checked by the watch
        return np.array(message.data), False
    return _picked(source.names, message.name, message.effort, "effort"), False


def _wrench(
    _source: ContactSource, message: WrenchStamped, _dynamics: InverseDynamics | None
) -> tuple[Floats, bool]:
    force = message.wrench.force
    return np.array([force.x, force.y, force.z]), False


def _flag(
    _source: ContactSource, message: Bool, _dynamics: InverseDynamics | None
) -> tuple[Floats, bool]:
    return np.array([float(message.data)]), False


def _effort(
    source: ContactSource, message: JointState, dynamics: InverseDynamics | None
) -> tuple[Floats, bool]:
    if dynamics is None:
        raise ObservationError("nothing received on robot_description, which has the masses")
    names = message.name
    effort = _picked(source.names, names, message.effort, "effort")
    position = _picked(names, names, message.position, "position")
    velocity = _picked(names, names, message.velocity, "velocity")
    expected = dynamics.torques(dict(zip(names, zip(position, velocity, strict=True), strict=True)))
    missing = [name for name in source.names if name not in expected]
    if missing:
        raise ObservationError(
            f"robot_description has no joints {', '.join(missing)}, expected all of contact."
            f"{source.name}.names"
        )
    explained = np.array([expected[name] for name in source.names])
    speeds = _picked(source.names, names, message.velocity, "velocity")
    return effort - explained, bool(np.max(np.abs(speeds)) > MOVING_RAD_S)


def _picked(
    wanted: Sequence[str], names: Sequence[str], values: Sequence[float], field: str
) -> Floats:
    """The values of the wanted joints, in that order."""
    if len(values) != len(names):
        raise ObservationError(
            f"got {len(values)} values of {field} for {len(names)} joints, expected one for each"
        )
    by_name = dict(zip(names, values, strict=True))
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise ObservationError(f"got no {field} of {', '.join(missing)}, expected {len(wanted)}")
    return np.array([by_name[name] for name in wanted])


_READS: Final[
    Mapping[Kind, Callable[[ContactSource, Any, InverseDynamics | None], tuple[Floats, bool]]]
] = {"external_torques": _torques, "wrench": _wrench, "flag": _flag, "effort": _effort}
