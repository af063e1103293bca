"""What a simulated robot is: joints, servos, controllers, cameras, ready pose, world, task, policy.

Robots are data of this form (robots.py); other code works for any robot. Imports no simulator: the
world and the policy are made when they are needed. `need` and `columns` check that an embodiment
has the keys and joints that a scripted policy uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim.assets import RobotModel


@dataclass(frozen=True, slots=True)
class ServoJoint:
    """One measured joint: its ROS name, its name and servo in the model, its start position.

    The servo's control is `control_per_rad` times the target, which is clipped to `range_rad` if
    that is given. Positions are rad, or m for a prismatic joint.
    """

    name: str
    model_name: str
    actuator: str
    ready_rad: float = 0.0
    control_per_rad: float = 1.0
    range_rad: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Mimic:
    """A joint of the model that is not measured: about scale * position of `follows` + offset."""

    joint: str
    follows: str
    scale: float
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class FrameLink:
    """A link without shapes that the robot's own description has and the model has not.

    It is fixed to the link `parent`, `offset_m` along its axes.
    """

    link: str
    parent: str
    offset_m: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Controller:
    """A JointTrajectoryController: topics /<name>/joint_trajectory and /<name>/controller_state."""

    name: str
    joints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera of the model: topic /camera/<name>/image_raw at the cameras' rate / `divisor`."""

    name: str
    divisor: int = 1


@dataclass(frozen=True, slots=True)
class LinkPose:
    """A PoseStamped topic: a body of the model, `offset_m` along its own axes, in `frame`.

    The axes of `frame` are those of the world.
    """

    topic: str
    frame: str
    body: str
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class RecordOnlyTopic:
    """A command topic that is only recorded and moves nothing: base velocity or base height.

    `kind`: "twist" (geometry_msgs/Twist: vx, vy m/s, wz rad/s) or "height" (std_msgs/Float64, m).
    """

    topic: str
    kind: str


class Task(Protocol):
    """The state of the task in the simulation; no policy may read it."""

    def report(self) -> dict[str, Any]:
        """Return at least `success` (bool) and `progress` (a short text), as JSON values."""


@dataclass(frozen=True, slots=True)
class RobotDescription:
    """One simulated robot.

    `joints` are in the order of /joint_states; joints without a controller hold their ready pose.
    `model`: the model to install, None if none is needed.
    `cameras` give pictures of `picture_px` (height, width) unless parameters set another size.
    `build_model` makes the world of a seed (a mujoco.MjModel), `make_task` the task that judges it,
    `make_policy` the scripted policy. For the robot as a URDF (urdf.py): `link_prefix` comes before
    the names of the model's bodies, `fingers` are the joints whose links may touch each other,
    `mimics` the joints of their linkage, `frames` further links. `build_walled` makes the world of
    a seed with a wall at a y in m, which no scene file has. `torque_topic`: where the external
    torques of the first controller's joints are published, empty for nowhere.
    """

    name: str
    title: str
    model: RobotModel | None
    embodiment: str
    instruction: str
    joints: tuple[ServoJoint, ...]
    controllers: tuple[Controller, ...]
    cameras: tuple[Camera, ...]
    picture_px: tuple[int, int]
    poses: tuple[LinkPose, ...]
    recorded: tuple[RecordOnlyTopic, ...]
    build_model: Callable[[int], Any]
    make_task: Callable[[Any, int], Task]  # of physics.Simulation, which imports this file
    make_policy: Callable[[Embodiment], Policy]
    link_prefix: str = ""
    fingers: tuple[str, ...] = ()
    mimics: tuple[Mimic, ...] = ()
    frames: tuple[FrameLink, ...] = ()
    build_walled: Callable[[int, float], Any] | None = None
    torque_topic: str = ""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of all measured joints, in the order of /joint_states."""
        return tuple(joint.name for joint in self.joints)

    @property
    def commanded_names(self) -> tuple[str, ...]:
        """Names of the controllers' joints, one controller after the other."""
        return tuple(name for controller in self.controllers for name in controller.joints)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of all cameras."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def ready_rad(self) -> NDArray[np.float64]:
        """(J,) start positions, in the order of `joints`."""
        return np.array([joint.ready_rad for joint in self.joints])

    def columns(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        """Return the (n,) indices of these joints in `joint_names`."""
        known = self.joint_names
        return np.array([known.index(name) for name in names])

    @property
    def sensor_topics(self) -> tuple[str, ...]:
        """All topics that a sensor relay would pass on."""
        cameras = tuple(f"/camera/{name}/image_raw" for name in self.camera_names)
        return (*cameras, "/joint_states", *(f"/{pose.topic}" for pose in self.poses))


def need(embodiment: Embodiment, where: str, known: set[str], needed: set[str]) -> None:
    """Raise EmbodimentError where keys that a scripted policy needs, or returns, are missing.

    `where`: "video", "state" or "action".
    """
    if not needed <= known:
        raise EmbodimentError(
            f"{embodiment.source}: {where}: the scripted policy "
            f"{'needs' if where != 'action' else 'returns'} {', '.join(sorted(needed))}, "
            f"got {', '.join(sorted(known))}"
        )


def columns(
    key: str, names: tuple[str, ...], joints: tuple[str, ...], source: str
) -> NDArray[np.intp]:
    """Return the (n,) indices of `joints` in `names`; EmbodimentError if they are other joints."""
    if sorted(names) != sorted(joints):
        raise EmbodimentError(
            f"{source}: {key}: the scripted policy drives {', '.join(joints)}, "
            f"got {', '.join(names)}"
        )
    return np.array([names.index(name) for name in joints])
