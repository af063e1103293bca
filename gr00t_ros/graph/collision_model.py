"""The model of a collision check, made from the robot's description, the scene and the frames.

For outputs that are commanded by poses it is a model of their tools (collide/tool.py). Making one
takes as long as several ticks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from rclpy.node import Node

from gr00t_ros.collide.description import Description, Joint, disabled_pairs, read_description
from gr00t_ros.collide.engine import ERROR_M, CollisionEngine, HeldJoint
from gr00t_ros.collide.files import read_mesh
from gr00t_ros.collide.obstacles import MOST_OBSTACLES, PlacedObstacles
from gr00t_ros.collide.sampling import FINGER_M
from gr00t_ros.collide.scene import FramePose, Scene
from gr00t_ros.collide.tool import ToolLink, Tools, tools_of
from gr00t_ros.collide.window import Pairs
from gr00t_ros.errors import EmbodimentError, ObservationError, RotationError, SettingsError
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.inputs.readings import Transforms
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.rotation import matrix_from_quaternion
from gr00t_ros.ros.parameters import OFF, Parameters

SEMANTIC_TOPIC = "/robot_description_semantic"


@dataclass(slots=True)
class CollisionModel:
    """The engine, what was derived from it, and what of a changing scene it has now.

    tools: None where joints are commanded.
    """

    engine: CollisionEngine
    pairs: Pairs
    measured_names: tuple[str, ...]
    fingers: dict[str, HeldJoint]
    tools: Tools | None = None
    placed: PlacedObstacles = PlacedObstacles((), ())
    carried: frozenset[str] = frozenset()

    @property
    def robot(self) -> Description:
        """The robot's own description."""
        return self.engine.description if self.tools is None else self.tools.robot


class StaticFrames:
    """The poses of frames that are fixed to the robot's base; executor thread only.

    These are the robot's own links that do not move, and what /tf_static connects with them. A
    frame that /tf connects is refused, because it may move: a place must be given in a frame that
    stays, or be converted by the program that measured it.
    """

    def __init__(self, node: Node) -> None:
        """Listen to tf as soon as a frame is asked for that is no link of the robot."""
        self._node = node
        self._transforms: Transforms | None = None

    def pose(self, description: Description, frame: str) -> FramePose | str:
        """The pose of a frame in the base; or why it has none, as a clause about the frame."""
        if not frame:
            return "its frame_id is empty, expected the name of a frame"
        if frame in description.links:
            found = description.fixed_pose(frame)
            moves = "moves with the robot, expected a link that is fixed to its base"
            return f"frame {frame!r} {moves}" if found is None else found
        try:
            if self._transforms is None:
                instead = f"give places in a link that is fixed to {description.root}"
                self._transforms = Transforms(self._node, f"frame {frame!r}", instead)
            reading = self._transforms.fixed(description.root, frame)
            return reading.position_m, matrix_from_quaternion(reading.quaternion_xyzw)
        except (EmbodimentError, ObservationError, RotationError) as error:
            return str(error)

    def destroy(self) -> None:
        """Stop listening."""
        if self._transforms is not None:
            self._transforms.destroy()


class ModelMaker:
    """Makes the model of one configuration from the newest description."""

    def __init__(
        self, robot: Embodiment, values: Parameters, scene: Scene | None, frames: StaticFrames
    ) -> None:
        """No description was received yet."""
        self._robot, self._values, self._scene, self._frames = robot, values, scene, frames
        self._urdf, self._srdf = "", ""
        self._description: Description | None = None  # of both
        self._poses: dict[str, FramePose | str] = {}  # of the scene's frames, when it was made
        self._stale = False

    def take_urdf(self, text: str) -> None:
        """Take a new description."""
        self._urdf, self._description, self._stale = text, None, True

    def take_srdf(self, text: str) -> None:
        """Take new disabled pairs."""
        self._srdf, self._description, self._stale = text, None, bool(self._urdf)

    @property
    def due(self) -> bool:
        """Whether a model made now would be another one."""
        return self._stale or self._frames_changed()

    def make(self) -> CollisionModel:
        """Make the model. Raises Gr00tError where description, scene and frames do not fit."""
        self._stale = False
        if self._description is None:
            disabled = disabled_pairs(self._srdf, SEMANTIC_TOPIC) if self._srdf else None
            self._description = read_description(self._urdf, DESCRIPTION, read_mesh, disabled)
        description = self._description
        self._poses = self._scene_frames(description)
        for frame, pose in self._poses.items():
            if isinstance(pose, str) and self._scene is not None:
                raise SettingsError(f"{self._scene.where}: frame {frame!r} cannot be used: {pose}")
        if self._robot.poses:
            return self._made_of_tools(description)
        names = self._robot.joint_names
        others = [name for name in description.joint_names if name not in names]
        joints = {one.joint.name: one.joint for one in description.links.values()}
        grippers = _grippers(self._robot, description)
        fingers = {
            name: joints[name].range
            for name in others
            if name in grippers or _is_finger(joints[name])
        }
        measured = tuple(name for name in others if name not in fingers)
        held: dict[str, HeldJoint] = {**fingers, **{name: 0.0 for name in measured}}
        engine = self._engine(description, self._scene, names, held)
        return CollisionModel(engine, pairs_of(engine), measured, dict(fingers))

    def _made_of_tools(self, description: Description) -> CollisionModel:
        tools = tools_of(
            description, [ToolLink(one.name, one.link, one.frame) for one in self._robot.poses]
        )
        tools.refuse_others(self._robot.joint_names)
        scene = None if self._scene is None else tools.scene(self._scene)
        room: dict[str, HeldJoint] = dict(tools.room())
        engine = self._engine(tools.description, scene, tools.joint_names, room)
        return CollisionModel(engine, of_tools(engine, tools), (), room, tools)

    def _engine(
        self,
        description: Description,
        scene: Scene | None,
        names: tuple[str, ...],
        held: Mapping[str, HeldJoint],
    ) -> CollisionEngine:
        engine = CollisionEngine(
            description,
            scene,
            names,
            held=held,
            self_margin_m=self._values.self_margin_m,
            lookup=self._scene_pose,
            obstacles=MOST_OBSTACLES if self._values.obstacles != OFF else 0,
            obstacle_margin_m=self._values.obstacle_margin_m,
        )
        if not engine.pairs:
            raise SettingsError(
                f"{DESCRIPTION}: got no link with a collision shape that the commanded joints "
                "move, so nothing can be checked: expected collision elements in the URDF"
            )
        return engine

    def _scene_frames(self, description: Description) -> dict[str, FramePose | str]:
        """The poses of the scene's frames now, or why one has none."""
        frames = self._scene.frames if self._scene else ()
        return {frame: self._frames.pose(description, frame) for frame in frames}

    def _scene_pose(self, frame: str) -> FramePose | None:
        pose = self._poses[frame]
        return None if isinstance(pose, str) else pose

    def _frames_changed(self) -> bool:
        """Whether a frame of the scene has become known, or is elsewhere than before."""
        if self._description is None:
            return False
        now = self._scene_frames(self._description)
        return any(not _same_pose(self._poses.get(frame), pose) for frame, pose in now.items())


def _same_pose(one: FramePose | str | None, other: FramePose | str) -> bool:
    if one is None or isinstance(one, str) or isinstance(other, str):
        return one == other if isinstance(one, str) and isinstance(other, str) else False
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _grippers(robot: Embodiment, description: Description) -> set[str]:
    """The joints that an output of goals moves: at the gripper's own time, so anywhere in a range.

    Raises SettingsError for one without a range.
    """
    joints = {one.joint.name: one.joint for one in description.links.values()}
    found = set()
    for output in robot.commands:
        for name in output.names if output.goals is not None else ():
            if name not in joints:
                continue  # a width, or a driver's own unit
            follows = joints[name].follows
            lower, upper = joints[follows].range
            if not upper - lower < (math.inf if joints[follows].slides else 2.0 * math.pi):
                raise SettingsError(
                    f"output {output.name}: joint {follows} has no limits in {description.where}, "
                    "expected a joint with limits: it is checked as anywhere in its range"
                )
            found.add(follows)
    return found


def _is_finger(joint: Joint) -> bool:
    """Whether the joint slides so little that it counts as anywhere in its range."""
    lower, upper = joint.range
    return joint.slides and upper - lower <= FINGER_M


def pairs_of(engine: CollisionEngine) -> Pairs:
    """The pairs of an engine as the check needs them; a wanted contact has no margin."""
    contacts = [pair.contact for pair in engine.pairs]
    margins = [pair.margin_m + ERROR_M for pair in engine.pairs]
    return Pairs(
        engine.pair_names,
        engine.bounds,
        np.array([-np.inf if c else m for c, m in zip(contacts, margins, strict=True)]),
        np.array([c.within_m if c else -np.inf for c in contacts]),
        np.array([c.speed_m_s if c else np.inf for c in contacts]),
    )


def of_tools(engine: CollisionEngine, tools: Tools) -> Pairs:
    """The pairs of an engine of tools; their reach has two columns for each (tool.py)."""
    return replace(pairs_of(engine), reach=engine.bounds[:, tools.columns])
