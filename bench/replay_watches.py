"""What one tick costs with every watch on: inputs over real topics, watches, session, window.

One node in one thread at the policy node's 50 Hz. Publishing, pulling and merging belong to other
threads and are not counted. If a watch reports a finding, the run is not a valid measurement and
raises an error.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from bench.paired import percentile
from bench.replay_tick import STEP_NS, STEPS
from gr00t_ros.graph.controllers import ControllerManager, OtherPublishers
from gr00t_ros.inputs.controller_state import STATE_TYPES
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.node.operator_watches import OperatorWatches
from gr00t_ros.node.robot_state import RobotState
from gr00t_ros.node.watches import RunningWatches
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.limits import JointLimits
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.parameter_values import observation
from gr00t_ros.ros.parameters import DEFAULTS
from gr00t_ros.ros.windows import to_time
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session

SETTINGS = ReplaySettings()
HOME = (0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4)
TRIES = 5
TICKS, SMOKE_TICKS, WARM_UP, MERGE_EVERY = 200, 30, 40, 25


@dataclass(frozen=True, slots=True)
class WatchedCost:
    """Milliseconds of the watches, of the tick with them, of a merge with its box; medians."""

    robot: str
    joints: int
    watches_ms: float
    median_ms: float
    p99_ms: float
    merge_ms: float


class Robot:
    """Publishes a robot's topics: it follows its commands exactly, and its pictures change."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        self._node, self._robot = node, embodiment
        self._frames = np.random.default_rng(0).integers(60, 200, (2, 180, 320, 3), dtype=np.uint8)
        self._count = 0
        topics: dict[str, tuple[Any, Any]] = {v.topic: (Image, None) for v in embodiment.video}
        for state in embodiment.state:
            topics[state.topic] = (PoseStamped if state.source == "pose" else JointState, None)
        for output in embodiment.outputs:
            topics[output.state_topic] = (STATE_TYPES[0], output)
        self._publishers = [
            (kind, output, node.create_publisher(kind, topic, qos.SENSOR))
            for topic, (kind, output) in topics.items()
        ]

    def publish(self, position: np.ndarray) -> None:
        """Publish one message on every topic, stamped now, and the next frame."""
        stamp = to_time(self._node.get_clock().now().nanoseconds)
        at = dict(zip(self._robot.joint_names, position.tolist(), strict=True))
        for kind, output, publisher in self._publishers:
            message = kind()
            message.header.stamp = stamp
            if kind is Image:
                frame = self._frames[self._count % 2]
                message.height, message.width, message.step = 180, 320, 960
                message.encoding, message.data = "rgb8", frame.tobytes()
            elif kind is JointState:
                message.name, message.position = list(at), list(at.values())
            elif kind is PoseStamped:
                message.header.frame_id = "fr3_link0"
                message.pose.position.x, message.pose.position.z = 0.5, 0.5
            else:
                message.joint_names = list(output.names)
                positions = [at[name] for name in output.names]
                message.reference.positions = message.feedback.positions = positions
                message.speed_scaling_factor = 1.0
            publisher.publish(message)
        self._count += 1


class LateError(RuntimeError):
    """The machine was so late that a watch stopped the arm: that is no measurement."""


def measure(joints: int, count: int = TICKS) -> WatchedCost:
    """The DROID Franka with its gripper, or an arm of `joints` joints instead of both.

    Measured again, up to `TRIES` times, where the machine was too late.
    """
    embodiment = load_embodiment("franka_droid") if joints == 7 else _wide(joints)
    for left in reversed(range(TRIES)):
        try:
            return _measure(embodiment, count)
        except LateError:
            if not left:
                raise
    raise AssertionError("unreachable")


def _measure(embodiment: Embodiment, count: int) -> WatchedCost:
    rclpy.init()
    node = rclpy.create_node("bench_watches")
    try:
        with _loop(node, embodiment) as loop:
            return loop.run(count)
    finally:
        node.destroy_node()
        rclpy.shutdown()


class Loop:
    """Runs the replay thread's tick without the thread."""

    def __init__(self, node: Node, embodiment: Embodiment, inputs: Inputs, parts: Any) -> None:
        self._robot, self._embodiment, self._inputs = Robot(node, embodiment), embodiment, inputs
        self._watches, self._session, self._clock = parts.watches, parts.session, parts.clock
        joints = len(embodiment.joint_names)
        self._home = np.array(HOME) if joints == len(HOME) else np.resize(HOME[:7], joints)

    def run(self, count: int) -> WatchedCost:
        """Tick at 50 Hz, with a chunk every half a second."""
        watched: list[float] = []
        ticked: list[float] = []
        merged: list[float] = []
        self._play(20, [], [], [])  # until every topic was received
        session = self._session
        session.set_ready(True, "")
        session.activate(self._clock.now_ns(), self._home)
        self._watches.begin()
        self._play(WARM_UP, [], [], [])
        self._play(count, watched, ticked, merged)
        median = statistics.median
        return WatchedCost(
            self._embodiment.robot, len(self._home), median(watched), median(ticked),
            percentile(ticked, 99), median(merged),
        )  # fmt: skip

    def _play(
        self, ticks: int, watched: list[float], ticked: list[float], merged: list[float]
    ) -> None:
        session, due_s = self._session, time.monotonic()
        for number in range(ticks):
            now_ns = self._clock.now_ns()
            active = session.active
            self._robot.publish(session.replay.position(now_ns) if active else self._home)
            time.sleep(0.002)
            self._inputs.pull()
            if active and number % MERGE_EVERY == 0:
                merged.append(self._merge(number))
            if active:
                tick, watches = self._tick()
                ticked.append(tick)
                watched.append(watches)
            due_s += SETTINGS.refresh_ns * 1e-9
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _merge(self, number: int) -> float:
        now_ns = self._clock.now_ns()
        seconds = STEP_NS * np.arange(STEPS) * 1e-9
        start = self._session.replay.position(now_ns)
        rows = start + 0.05 * np.sin(np.outer(seconds, np.ones(len(start))))
        if "robotiq_85_left_knuckle_joint" in self._embodiment.joint_names:
            rows[:, -1] = HOME[-1]
        chunk = ActionChunk(number, self._session.episode, now_ns, STEP_NS, rows, {})
        before_ns = time.perf_counter_ns()
        verdict = self._session.merge(chunk, now_ns, self._watches.go_on_from(now_ns))
        took_ms = (time.perf_counter_ns() - before_ns) * 1e-6
        if not verdict.accepted:
            raise RuntimeError(f"a chunk was not accepted: {verdict.reason}")
        return took_ms

    def _tick(self) -> tuple[float, float]:
        now_ns, session = self._clock.now_ns(), self._session
        begin_ns = time.perf_counter_ns()
        findings = self._watches.findings(now_ns, session.mode)
        held = self._watches.held()
        watched_ns = time.perf_counter_ns()
        session.tick(now_ns, findings, held)
        session.keep()
        end_ns = time.perf_counter_ns()
        if findings or session.mode not in (Mode.BLENDING_IN, Mode.REPLAYING):
            reasons = [finding.reason for finding in findings]
            raise LateError(f"no measurement: {session.mode.value}, {session.reason} {reasons}")
        return (end_ns - begin_ns) * 1e-6, (watched_ns - begin_ns) * 1e-6


@contextmanager
def _loop(node: Node, robot: Embodiment) -> Iterator[Loop]:
    """The node's own parts, without those of the policy server."""
    clock = PlanClock(node)
    inputs = Inputs(node, robot, observation(DEFAULTS))
    replay = Replay(robot.limits, SETTINGS, robot.workspace)
    topics = tuple(output.topic for output in robot.outputs)
    nobody: Any = SimpleNamespace(check=lambda: False, look=lambda: False)
    operator = OperatorWatches(node, DEFAULTS, lambda reason: None)
    manager = ControllerManager(node, DEFAULTS.controller_manager, {})
    watches = RunningWatches(
        RobotState(inputs, robot, clock, DEFAULTS),
        operator, (OtherPublishers(node, topics), manager), nobody,
        robot, clock, replay, DEFAULTS, "bench",
    )  # fmt: skip
    parts = SimpleNamespace(
        watches=watches, session=Session(replay, SessionSettings()), clock=clock
    )
    try:
        yield Loop(node, robot, inputs, parts)
    finally:
        operator.destroy()
        inputs.destroy()


def _wide(joints: int) -> Embodiment:
    """The Franka with one controller of that many joints, without its own chain and its box."""
    robot = load_embodiment("franka_droid")
    arm, names = robot.outputs[0], tuple(f"joint{number}" for number in range(joints))
    state = tuple(
        replace(one, names=names, scale=None) if one.source == "joints" else one
        for one in robot.state
        if one.key != "gripper_position" and one.source != "kinematics"
    )
    fields = ("lower", "upper", "velocity", "acceleration", "jerk", "margin", "jump", "held")
    limits = JointLimits(
        names=names,
        envelope=np.resize(robot.limits.envelope[:7], (joints, 4)),
        **{name: np.resize(getattr(robot.limits, name)[:7], joints) for name in fields},
    )
    return replace(
        robot, robot=f"{joints} joints", state=state, outputs=(replace(arm, names=names),),
        limits=limits, workspace=None,
    )  # fmt: skip
