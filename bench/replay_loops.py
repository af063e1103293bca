"""The two ways of publishing windows at 50 Hz that `bench replay` compares, on one ROS node.

Ours: the node's own replay thread, with cameras pulled. Naive: an executor timer that does the same
work, with camera callbacks on the same executor, as in a plain node. Both store the times of
publishing.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from bench.camera_publisher import CAMERAS
from bench.camera_readers import Callbacks, Pulled, embodiment
from bench.motion_scenarios import HOME, LIMITS
from bench.replay_load import LIMIT_S, Load, reading
from bench.spinning import spun
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.replay import Replay, SentParts
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.node.outputs import Outputs
from gr00t_ros.node.replay_thread import ReplayThread
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.robot.actions import Output
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.windows import to_time
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.overlap import Followed
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.watch.finding import Finding

SETTINGS = ReplaySettings()
NODE = "bench_replay"
WINDOW_TOPIC, COMMAND_TOPIC = f"/{NODE}/windows/arm", "/bench/commands"
ARM = Output("arm", "forward_command", COMMAND_TOPIC, "/gr00t_streamer/controller_state",
             LIMITS.names)  # fmt: skip


class Stamped(Outputs):
    """The node's outputs, which also store the steady time of each window."""

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__(node, replace(embodiment(CAMERAS), outputs=(ARM,), limits=LIMITS))
        self.times_ns: list[int] = []

    def publish(self, window: Window | None, offset_ns: int, *others: Any) -> SentParts:
        """Store the time, then send."""
        self.times_ns.append(time.monotonic_ns())
        return super().publish(window, offset_ns, *others)


class Healthy:
    """The rest of a node without any problem; the load sends the requests."""

    def findings(self, now_ns: int, mode: Mode) -> Sequence[Finding]:
        """No findings."""
        return ()

    def held(self) -> NDArray[np.float64] | None:
        """No held position."""
        return None

    def ask(self, episode: int, times: QueryTimes | None, followed: Followed | None) -> bool:
        """No request: the load sends them at its own rate."""
        return False


class Rig:
    """One spinning node, its outputs, and the arm's position after the last slice."""

    def __init__(self, node: LifecycleNode, port: int, priority: int) -> None:
        self.node, self._port, self._priority = node, port, priority
        self.outputs, self.clock = Stamped(node), PlanClock(node)
        self.held = HOME.copy()
        self.answers = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._joints = node.create_publisher(JointState, "/joint_states", 1)
        node.create_timer(0.05, self._publish_joints, clock=steady)
        self._beats: list[String] = []
        node.create_subscription(String, f"{WINDOW_TOPIC}/alive", self._beats.append, qos.SENSOR)
        node.trigger_configure()
        node.trigger_activate()

    def wait_for_streamer(self) -> None:
        """Return once the streamer plays windows: its first one begins where the joints are."""
        _wait(lambda: bool(self._beats))

    def ours(self, seconds: float) -> tuple[int, int]:
        """One slice of the replay thread; returns the steady times of its start and end, ns."""
        session = self._session()
        thread = ReplayThread(
            session, self.clock, self.outputs, Healthy(), SETTINGS.refresh_ns, self._priority, print
        )

        def deliver(chunk: ActionChunk) -> None:
            thread.post(lambda session, now_ns: session.merge(chunk, now_ns, None))

        thread.start()
        span = self._play(Pulled, deliver, seconds)
        thread.call(lambda session, now_ns: session.deactivate(now_ns))
        _wait(lambda: not session.active)
        thread.stop()
        self.held = session.replay.position(self.clock.now_ns())
        return span

    def naive(self, seconds: float) -> tuple[int, int]:
        """One slice of the executor's timer; returns the same as `ours`."""
        session = self._session()
        calls: queue.SimpleQueue[Callable[[int], object]] = queue.SimpleQueue()

        def deliver(chunk: ActionChunk) -> None:
            calls.put(lambda now_ns: session.merge(chunk, now_ns, None))

        def tick() -> None:
            now_ns = self.clock.now_ns()
            while not calls.empty():
                calls.get()(now_ns)
            if session.active:
                window = session.tick(now_ns, (), None)
                if window is not None:
                    session.keep(self.outputs.publish(window, self.clock.offset_ns()))

        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.node.create_timer(SETTINGS.refresh_ns * 1e-9, tick, clock=steady)
        span = self._play(Callbacks, deliver, seconds)
        calls.put(session.deactivate)
        _wait(lambda: not session.active)
        self.node.destroy_timer(timer)
        self.held = session.replay.position(self.clock.now_ns())
        return span

    def _session(self) -> Session:
        session = Session(Replay(LIMITS, SETTINGS), SessionSettings())
        session.set_ready(True, "")
        session.activate(self.clock.now_ns(), self.held)
        return session

    def _play(
        self,
        kind: type[Pulled] | type[Callbacks],
        deliver: Callable[[ActionChunk], object],
        seconds: float,
    ) -> tuple[int, int]:
        """Run the load for `seconds` from the tenth window on."""
        reader, slots = reading(self.node, kind)
        load, before = Load(reader, slots, self._port, deliver), len(self.outputs.times_ns)
        _wait(lambda: len(self.outputs.times_ns) >= before + 10)
        start_ns = time.monotonic_ns()
        time.sleep(seconds)
        end_ns = time.monotonic_ns()
        load.close()
        reader.close()
        self.answers += load.answers
        return start_ns, end_ns

    def _publish_joints(self) -> None:
        state = JointState(name=LIMITS.names, position=self.held.tolist())
        state.header.stamp = to_time(time.time_ns())
        self._joints.publish(state)


@contextmanager
def rig(port: int, priority: int) -> Iterator[Rig]:
    """A rig whose node is spun by a separate thread, as the policy node is by its main thread."""
    rclpy.init()
    node = LifecycleNode(NODE)
    made = Rig(node, port, priority)
    try:
        with spun(node):
            yield made
    finally:
        rclpy.shutdown()


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"nothing moved within {LIMIT_S:.0f} s")
        time.sleep(0.01)
