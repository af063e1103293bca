"""The check of windows against the scene and the robot's own body, made from its description.

If the robot has outputs that are commanded by poses, their tools are checked instead of all links:
against the scene, the links that are fixed to the base, and each other (collide/tool.py).

The model comes from /robot_description (and /robot_description_semantic, if it is published). It is
made on the executor thread, and only while the node is inactive: it takes as long as several ticks.
From `begin` to `end` only the replay thread uses it. Joints that the node does not command keep the
positions that they had at the start; a finding says that one has moved. Live obstacles, and things
that a gripper holds, are taken over at the start of a tick, so that one tick sees one scene.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import String

from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.files import load_scene
from gr00t_ros.collide.model import engine_module
from gr00t_ros.collide.scene import FramePose, Scene
from gr00t_ros.collide.tool import ToolCheck
from gr00t_ros.collide.window import WindowCheck, touching
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.graph.collision_model import SEMANTIC_TOPIC, CollisionModel, ModelMaker, StaticFrames
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.graph.obstacles import ObstacleStream
from gr00t_ros.motion.replay import Replay
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import OFF, REQUIRED, Parameters
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake
from gr00t_ros.watch.table import default, finding

Floats = NDArray[np.float64]

# Room that a joint which is not commanded has around its position at the start, rad or m.
_ROOM: float = default("largest move")

ReadMeasured = Callable[[tuple[str, ...]], Floats | None]
"""The measured positions of joints by name; None if one of them is not known or too old."""


@dataclass(frozen=True, slots=True)
class CollisionView:
    """What a viewer gets. base: the robot's base link; running: a session uses the engine."""

    engine: CollisionEngine
    base: str
    running: bool


class Collision:
    """The check of one configuration; without `collision: required` it checks nothing."""

    def __init__(
        self,
        node: Node,
        robot: Embodiment,
        values: Parameters,
        measured: ReadMeasured,
        awake_ns: AwakeTime = all_awake,
    ) -> None:
        """Read the scene, and subscribe to the description and to live obstacles.

        awake_ns: the part of an age, ns, during which this process was awake. Raises SettingsError,
        or SceneError, without MuJoCo, and for a scene that cannot be read.
        """
        self._node, self._robot, self._values, self._measured = node, robot, values, measured
        self._awake_ns = awake_ns
        self.required = values.collision == REQUIRED
        self._model: CollisionModel | None = None
        self._running: CollisionModel | None = None  # of the session
        self._start = np.zeros(0)  # its measured joints, when the session began or went on
        self._seen_ns = 0  # when they were known last
        self._problem = f"collision: nothing received on {DESCRIPTION}: start robot_state_publisher"
        self._scene: Scene | None = None
        self._frames = StaticFrames(node)
        self._check: WindowCheck | None = None
        self._subscriptions = []
        if self.required:
            engine_module()
            self._scene = load_scene(values.scene) if values.scene else None
        else:
            _refuse_unused(values)
        self._maker = ModelMaker(robot, values, self._scene, self._frames)
        carried = [one.name for one in self._scene.carried] if self._scene else []
        self._obstacles = ObstacleStream(node, values, self._obstacle_frame, carried, awake_ns)
        if not self.required:
            return
        for topic, take in ((DESCRIPTION, self.take_urdf), (SEMANTIC_TOPIC, self.take_srdf)):
            self._subscriptions.append(node.create_subscription(String, topic, take, qos.STATUS))

    def log(self) -> None:
        """Log what is not checked."""
        if not self.required:
            self._node.get_logger().info(
                "collision: off: neither the robot's own body nor what stands around it is checked"
            )
        elif self.unchecked:
            text = f"collision: required, but not checked: {self.unchecked}"
            self._node.get_logger().warning(text)

    @property
    def unchecked(self) -> str:
        """What moves and is not checked although `collision: required`; empty if nothing is."""
        if not self.required:
            return ""
        found = []
        if self._robot.poses:
            names = ", ".join(output.name for output in self._robot.poses)
            found.append(
                f"self-collision and the arm behind the tool, because a controller of its own "
                f"follows the poses of {names}"
            )
        blind = [output.name for output in self._robot.commands if output.goals is None]
        if blind:
            found.append(f"what the commands of {', '.join(blind)} move (base, lift)")
        return "; ".join(found)

    def problems(self, start: Floats | None, poses: Mapping[str, Pose] | None = None) -> list[str]:
        """Why an activation there would be refused; only while inactive.

        start: (J,) position; None if it is not known. poses: those of the pose outputs.
        """
        if not self.required:
            return []
        if self.running:
            return ["collision: the last session has not ended yet; wait until the arm rests"]
        if self._maker.due:
            self._make()
        self._obstacles.place()
        if self._model is None:
            return [self._problem]
        found = [one.reason for one in self._obstacles.findings()]
        try:
            self._hold(self._model)
        except SettingsError as error:
            return [*found, str(error)]
        if start is not None:
            self._renew(self._model)
            found += [one.reason for one in _against(self._model, start, poses or {})]
        return found

    def facts(self, start: Floats | None) -> list[tuple[str, str]]:
        """What is checked, for people: subjects with a sentence; only while inactive.

        start: (J,) rad, where the arm is; None if unknown.
        """
        model = self._model
        if model is None:
            return []
        found = [("", f"{len(model.pairs.names)} pairs are checked")]
        if self._scene is not None:
            carried = (one.name for one in self._scene.carried)
            names = ", ".join((*(one.name for one in self._scene.solids), *carried))
            found.append((self._scene.where, f"readable, all links and frames known: {names}"))
        if self._obstacles.on:
            shapes = len(model.placed.shapes)
            found.append((self._obstacles.topic, f"alive, {shapes} shapes, all can be checked"))
        near = None if start is None or model.tools else self._nearest(model, start)
        if near is not None:
            (one, other), distance_m = near
            found.append(("start", f"nearest: {one} and {other}, {1e3 * distance_m:.1f} mm"))
        return found

    def unmeasured(self) -> list[str]:
        """The attached things that count as carried because their joint is not measured."""
        things = self._scene.carried if self._scene else ()
        return [
            f"{one.name} counts as carried: joint {one.when.joint} is not measured; have it "
            "published on a joint-state topic of the embodiment file"
            for one in things
            if one.when is not None and self._measured((one.when.joint,)) is None
        ]

    def _nearest(
        self, model: CollisionModel, start: Floats
    ) -> tuple[tuple[str, str], float] | None:
        """The nearest pair at `start` (J,) and its distance, m, without wanted contacts."""
        distances = np.where(model.pairs.near == -np.inf, model.engine.distances(start), np.inf)
        if not np.isfinite(distances).any():
            return None
        pair = int(np.argmin(distances))
        return model.pairs.names[pair], float(distances[pair])

    def attach(self, replay: Replay) -> None:
        """Give a session that begins or continues its check; see `begin`."""
        check = self.begin()
        tools = None if self._running is None else self._running.tools
        if check is None or tools is None:
            replay.motion_check, replay.pose_check = check, None
        else:
            replay.motion_check, replay.pose_check = None, ToolCheck(check, tools)

    def begin(self) -> WindowCheck | None:
        """The check for a session that begins or continues; None if none is required.

        Raises SettingsError if it is required and not possible. The caller is the thread that uses
        the check.
        """
        if not self.required:
            return None
        model = self._running or self._model
        if model is None:
            raise SettingsError(self._problem)
        self._start, self._running = self._hold(model), model
        self._seen_ns = time.monotonic_ns()
        self._check = None
        self._renew(model)
        self._check = WindowCheck(model.pairs, model.engine.distances)
        return self._check

    @property
    def running(self) -> bool:
        """Whether the engine belongs to a session, and so to the replay thread."""
        return self._running is not None

    def end(self) -> None:
        """The session is over: the newest description counts again, and no joint is watched.

        Call it only when the replay thread no longer uses the check.
        """
        self._running, self._check = None, None

    def against(self, start: Floats, poses: Mapping[str, Pose] | None = None) -> list[Finding]:
        """A finding if pairs touch where a session would continue.

        start: (J,) position. poses: those of the pose outputs.
        """
        return [] if self._running is None else _against(self._running, start, poses or {})

    def shown(self) -> CollisionView | None:
        """The model of the session, else the newest one; None if there is none. Any thread."""
        running = self._running
        model = running or self._model
        if model is None:
            return None
        return CollisionView(model.engine, model.robot.root, running is not None)

    def findings(self) -> list[Finding]:
        """Apply changes of the scene and return what is wrong; call it at the start of each tick.

        The thread that called `begin` calls this. Findings: a joint that is not commanded has
        moved since; live obstacles are silent, unchecked, or touch the robot.
        """
        model = self._running
        if model is None:
            return []
        self._renew(model)
        return [*self._moved(model), *self._obstacles.findings(), *self._touched(model)]

    def apply(self, values: Parameters) -> None:
        """Take over a changed threshold."""
        self._values = values
        self._obstacles.apply(values)

    def _renew(self, model: CollisionModel) -> None:
        """Let the engine have the newest obstacles, and the things that are carried now."""
        placed, carried = self._obstacles.newest, self._carried()
        changed = placed.shapes != model.placed.shapes or carried != model.carried
        if placed is not model.placed:
            model.engine.occupy(placed)
            model.pairs = replace(model.pairs, names=model.engine.pair_names)
            model.placed = placed
        if carried != model.carried:
            model.engine.carry(carried)
            model.carried = carried
        if self._check is not None:
            self._check.pairs = model.pairs
            if changed:
                self._check.scene_changed()

    def _carried(self) -> frozenset[str]:
        """The carried things that are there, by the measured joints of the gripper."""
        found = set()
        for one in self._scene.carried if self._scene else ():
            at = None if one.when is None else self._measured((one.when.joint,))
            position = None if at is None else float(at[0])
            if one.when is None or one.when.holds(position):
                found.add(one.name)
        return frozenset(found)

    def _touched(self, model: CollisionModel) -> list[Finding]:
        """A finding if a live obstacle touches the robot: a tool where it is commanded."""
        if not model.placed.shapes:
            return []
        measured = model.tools is None
        if measured:
            at = self._measured(model.engine.joint_names)
        else:
            at = None if self._check is None else self._check.position
        if at is None:
            return []  # the watch on its stream reports that
        distances = model.engine.distances(at, model.pairs.margin)
        found = touching(model.pairs, np.where(model.engine.obstacle_pairs, distances, np.inf))
        return [finding("obstacle_touches", f"{found} touch")] if found else []

    def _moved(self, model: CollisionModel) -> list[Finding]:
        if not model.measured_names:
            return []
        measured = self._measured(model.measured_names)
        now_ns = time.monotonic_ns()
        if measured is None:
            silent_s = self._awake_ns(now_ns - self._seen_ns) * 1e-9
            if silent_s <= self._values.joint_fault_age_s:
                return []
            names = ", ".join(model.measured_names)
            text = f"the positions of {names} are not known for {silent_s:.1f} s"
            return [finding("uncommanded_joint", text)]
        self._seen_ns = now_ns
        away = np.abs(measured - self._start)
        most = int(np.argmax(away))
        if not away[most] > _ROOM:
            return []
        name = model.measured_names[most]
        text = f"{name} has moved by {away[most]:.3f} since the start, at most {_ROOM} allowed"
        return [finding("uncommanded_joint", text)]

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._obstacles.destroy()
        self._frames.destroy()

    # --- making ------------------------------------------------------------------------------

    def take_urdf(self, message: String) -> None:
        """Take a new description, which counts once no session runs."""
        self._maker.take_urdf(message.data)

    def take_srdf(self, message: String) -> None:
        """Take new disabled pairs; see `take_urdf`."""
        self._maker.take_srdf(message.data)

    def _make(self) -> None:
        self._model = None
        try:
            self._model = self._maker.make()
        except Gr00tError as error:
            self._problem = f"collision: {error}"

    def _obstacle_frame(self, frame: str) -> FramePose | str:
        """The pose of a live obstacle's frame; runs on the executor thread."""
        model = self._running or self._model
        if model is None:
            return f"frame {frame!r} is unknown before the robot's description"
        return self._frames.pose(model.robot, frame)

    def _hold(self, model: CollisionModel) -> Floats:
        """Take the measured positions of all joints that are not commanded, and return them."""
        names = model.measured_names
        measured = self._measured(names) if names else np.zeros(0)
        if measured is None:
            raise SettingsError(
                f"collision: the positions of {', '.join(names)} are not known: the robot's "
                "description has these joints, and the embodiment file does not command them; "
                "publish them on its joint-state topic"
            )
        places = {
            name: (float(at) - _ROOM, float(at) + _ROOM)
            for name, at in zip(names, measured, strict=True)
        }
        model.engine.hold({**model.fingers, **places})
        return measured


def _against(model: CollisionModel, start: Floats, poses: Mapping[str, Pose]) -> list[Finding]:
    if model.tools is not None:
        if len(poses) < len(model.tools.tools):
            return []  # an end effector that is not measured refuses the start by itself
        start = model.tools.posture(poses)
    found = touching(model.pairs, model.engine.distances(start, model.pairs.margin))
    return [finding("in_collision", f"{found} touch")] if found else []


def _refuse_unused(values: Parameters) -> None:
    unused = {"scene": values.scene, "obstacles": values.obstacles.replace(OFF, "")}
    for name, value in unused.items():
        if value:
            raise SettingsError(
                f"{name}: got {value}, but parameter collision is off, so nothing would be "
                "checked: expected collision:=required with it"
            )
