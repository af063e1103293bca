"""Publishes what the arms are about to do and did, at 10 Hz, only while somebody subscribes.

A thread of its own computes it, so that neither the replay thread nor the executor waits for it. It
reads values that the others replace as a whole. If it raises, the error is logged once for each
kind of error, and everything else goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.publisher import Publisher
from visualization_msgs.msg import MarkerArray

from gr00t_ros.errors import ObservationError, RotationError
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.msg import JointComparison
from gr00t_ros.node.preview.drawing import COMMITTED, DRIVEN, PREDICTED, glyphs, line, path
from gr00t_ros.node.preview.pictures import PicturePublishers
from gr00t_ros.node.robot_state import RobotState
from gr00t_ros.observe.readings import JointReading, select
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.periodic import PeriodicThread
from gr00t_ros.ros.windows import to_time
from gr00t_ros.session import preview
from gr00t_ros.session.preview import Driven, Floats, PlayedWindows, Times, Way

PERIOD_NS: Final = 100_000_000
DRIVEN_NS: Final = 5_000_000_000
_OLD_NS: Final = 500_000_000
"""A joint state older than this is not a measurement of now."""


class Preview:
    """The publishers of one configuration; the arms follow the robot's published description."""

    def __init__(
        self,
        node: Node,
        robot: Callable[[], Embodiment],
        state: RobotState,
        inputs: Inputs,
        clock: PlanClock,
        played: Callable[[], tuple[PlayedWindows, ...]],
        shadow: bool,
    ) -> None:
        """robot: the embodiment with its newest chains. played: the newest windows, oldest first.

        In shadow nothing is commanded, so that no joint has a commanded position.
        """
        self._node, self._newest, self._state = node, robot, state
        self._inputs, self._clock, self._played, self._shadow = inputs, clock, played, shadow
        self.chunk: ActionChunk | None = None
        """The newest chunk that was not dropped, accepted or not; set by the replay thread."""
        self.ticks = 0
        log = node.get_logger().error
        self._markers = node.create_publisher(MarkerArray, "~/preview/markers", qos.PREVIEW)
        self._joints = node.create_publisher(JointComparison, "~/preview/joints", qos.PREVIEW)
        self._paths: dict[tuple[str, str], Publisher] = {}
        self._take(robot())
        self.pictures = PicturePublishers(node, self._robot, inputs, log)
        self._driven = Driven(DRIVEN_NS)
        self._thread = PeriodicThread("gr00t_preview", PERIOD_NS, 0, self.tick, log)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._thread.stop()

    def destroy(self) -> None:
        """Remove the publishers; call `stop` first."""
        for publisher in (self._markers, self._joints, *self._paths.values()):
            self._node.destroy_publisher(publisher)
        self.pictures.destroy()

    def tick(self) -> None:
        """Publish once what somebody subscribes to."""
        self.ticks += 1
        self.pictures.publish()
        robot = self._newest()
        if robot is not self._robot:
            self._take(robot)
        paths = {key for key, one in self._paths.items() if one.get_subscription_count()}
        markers = self._markers.get_subscription_count() > 0
        joints = self._joints.get_subscription_count() > 0
        if not (paths or markers or joints):
            self._driven.clear()
            return
        stamps_ns, measured = self._measured()
        if joints:
            self._joints.publish(self._comparison(stamps_ns, measured))
        if paths or markers:
            self._publish_ways(paths, markers, stamps_ns, measured)

    def _take(self, robot: Embodiment) -> None:
        """Use the chains of `robot`; an arm of which only a description tells gets its topics."""
        self._robot, self._arms = robot, preview.arms_of(robot)
        for arm in self._arms:
            for kind in (PREDICTED, COMMITTED, DRIVEN):
                if (kind, arm.name) not in self._paths:
                    topic = f"~/preview/{kind}/{arm.name}"
                    publisher = self._node.create_publisher(Path, topic, qos.PREVIEW)
                    self._paths[kind, arm.name] = publisher

    def _measured(self) -> tuple[Times, Floats]:
        """(J,) ROS stamps and (J,) measured joints in plan order, NaN where none is known.

        Each output has the stamp of its own joint state: one may come ten times as often as
        another. Where there is none, it is the present time.
        """
        now_ns, robot = self._clock.ros_now_ns(), self._robot
        stamps, found = [], []
        for output in robot.outputs:
            sample = self._inputs.joints(output.names)
            stamp_ns, values = now_ns, np.full(len(output.names), np.nan)
            if sample is not None and now_ns - sample.stamp_ns <= _OLD_NS:
                assert isinstance(sample.value, JointReading)
                try:
                    values = select(output.names, sample.value)
                    stamp_ns = sample.stamp_ns
                except ObservationError:
                    pass  # the stream's own report says why
            stamps.append(np.full(len(output.names), stamp_ns, dtype=np.int64))
            found.append(values)
        return np.concatenate(stamps), np.concatenate(found)

    def _comparison(self, stamps_ns: Times, measured: Floats) -> JointComparison:
        times_ns, played, chunk = stamps_ns - self._clock.offset_ns(), self._played(), self.chunk
        predicted = preview.each_at(times_ns, lambda at: preview.predicted_at(chunk, at))
        commanded = np.full(len(measured), np.nan)
        if not self._shadow:
            commanded = preview.each_at(times_ns, lambda at: preview.commanded_at(played, at))
        message = JointComparison(
            names=list(self._robot.joint_names),
            predicted=predicted.tolist(),
            commanded=commanded.tolist(),
            measured=measured.tolist(),
        )
        known = stamps_ns[np.isfinite(measured)]
        message.header.stamp = to_time(int((known if len(known) else stamps_ns).max()))
        return message

    def _poses(self) -> dict[str, Pose]:
        """The measured poses of the outputs that take poses; none if one is not a rotation."""
        try:
            return self._state.poses() if self._robot.poses else {}
        except RotationError:
            return {}  # the stream's own report says why

    def _publish_ways(
        self, paths: set[tuple[str, str]], markers: bool, stamps_ns: Times, measured: Floats
    ) -> None:
        now_ns, offset_ns = self._clock.now_ns(), self._clock.offset_ns()
        stamp, chunk, played = to_time(now_ns + offset_ns), self.chunk, self._played()
        poses = self._poses()
        drawn = []
        for arm in self._arms:
            pose, at_ns = preview.measured_pose(arm, measured), 0
            if arm.chain is not None:
                at_ns = int(stamps_ns[list(arm.chain.columns)].min(initial=now_ns + offset_ns))
            if arm.output is not None and arm.output.name in poses:
                pose, at_ns = poses[arm.output.name], now_ns + offset_ns
            if pose is not None:
                self._driven.add(arm.name, at_ns, pose)
            ways: dict[str, tuple[Way, int]] = {
                PREDICTED: (preview.predicted(arm, chunk, now_ns), offset_ns),
                COMMITTED: (preview.committed(arm, played, now_ns), offset_ns),
                DRIVEN: (self._driven.way(arm.name), 0),
            }
            for kind, (way, to_ros_ns) in ways.items():
                if (kind, arm.name) in paths:
                    self._paths[kind, arm.name].publish(path(arm, way, to_ros_ns, stamp))
                if markers:
                    drawn.append(line(kind, arm, way, stamp))
            if markers:
                drawn += glyphs(arm, ways[PREDICTED][0], chunk, stamp)
        if markers:
            self._markers.publish(MarkerArray(markers=drawn))
