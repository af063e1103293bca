"""What a simulated robot is: joints, servos, controllers, cameras, ready pose, world, task, policy.

Robots are data of this form (franka/robot.py, g1/robot.py); nothing else asks which robot it is.
Imports no simulator: the world is built, and the policy made, when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim.assets import RobotModel

if TYPE_CHECKING:
    from gr00t_ros.sim.physics import Simulation


@dataclass(frozen=True, slots=True)
class Joint:
    """One measured joint: its ROS name, its name and servo in the model, where it starts.

    The servo's control is `control_per_rad` times the target, which is clipped to `range_rad`
    where there is one. rad, or m where the joint slides.
    """

    name: str
    model_name: str
    actuator: str
    ready_rad: float = 0.0
    control_per_rad: float = 1.0
    range_rad: tuple[float, float] | None = None


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

    The world's axes are those of `frame`.
    """

    topic: str
    frame: str
    body: str
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class RecordedTopic:
    """A command topic that moves nothing and is only recorded: base velocity or base height.

    `kind`: "twist" (geometry_msgs/Twist: vx, vy m/s, wz rad/s) or "height" (std_msgs/Float64, m).
    """

    topic: str
    kind: str


class Task(Protocol):
    """What the simulation knows of the task; no policy may read it."""

    def report(self) -> dict[str, Any]:
        """Return at least `success` (bool) and `progress` (a short text), as JSON can say it."""


@dataclass(frozen=True, slots=True)
class RobotDescription:
    """One simulated robot.

    `joints` in the order of /joint_states; those of no controller hold their ready pose.
    `model`: what has to be installed, None where nothing has.
    `cameras` give pictures of `picture_px` (height, width) unless the parameters say otherwise.
    `build_model` makes a seed's world (a mujoco.MjModel), `make_task` its judge, `make_policy` the
    scripted policy.
    """

    name: str
    title: str
    model: RobotModel | None
    embodiment: str
    instruction: str
    joints: tuple[Joint, ...]
    controllers: tuple[Controller, ...]
    cameras: tuple[Camera, ...]
    picture_px: tuple[int, int]
    poses: tuple[LinkPose, ...]
    recorded: tuple[RecordedTopic, ...]
    build_model: Callable[[int], Any]
    make_task: Callable[[Simulation, int], Task]
    make_policy: Callable[[Embodiment], Policy]

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
        """(J,) where the joints start, in the order of `joints`."""
        return np.array([joint.ready_rad for joint in self.joints])

    def columns(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        """Return the places of these joints in `joint_names`."""
        known = self.joint_names
        return np.array([known.index(name) for name in names])

    @property
    def sensor_topics(self) -> tuple[str, ...]:
        """All topics that a sensor relay would pass on."""
        cameras = tuple(f"/camera/{name}/image_raw" for name in self.camera_names)
        return (*cameras, "/joint_states", *(f"/{pose.topic}" for pose in self.poses))
