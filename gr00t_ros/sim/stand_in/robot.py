"""Node gr00t_sim_stand_in: a robot made from an embodiment file alone, which follows its commands.

It has no physics: each joint is exactly where its controller plays it. Its cameras show an invented
picture. It is for trying a file, a policy or a node without the robot. One thread plays the
controllers at 1 kHz and publishes the state, one thread a camera publishes its pictures, and the
executor receives commands.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.node_help import NodeHelp, missing_robot
from gr00t_ros.ros.periodic import PeriodicThread, run_in_real_time
from gr00t_ros.ros.process import checked_topic, declared, refuse_unknown, run_node
from gr00t_ros.ros.windows import to_time
from gr00t_ros.sim.controller import Follower, SimulatedController
from gr00t_ros.sim.record import ROW_NS, CommandRecorder, save_or_explain
from gr00t_ros.sim.stand_in.receivers import Receivers, ValueRow
from gr00t_ros.sim.stand_in.sensors import PictureFeed, Readings
from gr00t_ros.sim.stand_in.start import start_of

Floats = NDArray[np.float64]

NAME = "gr00t_sim_stand_in"
SPAN_S = 300.0
"""Newest part of a run that the record keeps."""

_STATE_HZ = 100.0  # of joint states, or the file's highest rate
_MOST_STATE_HZ = 500.0
_CONTROLLER_NS = 20_000_000  # 50 Hz, as ros2_control's state_publish_rate
_PARAMETERS = {
    "embodiment": "The robot: name of a file in config/embodiments, or a path",
    "record_path": "File (.npz) for the 1 kHz record, by service and at the end; '' for none",
    "joints_topic": "Topic on which all joints are published together, for a watcher; '' for none",
}


class StandIn(Node):
    """At the start its controllers hold the start position."""

    def __init__(self) -> None:
        """Start everything; EmbodimentError or SettingsError where the file does not allow it."""
        self._ends = ExitStack()  # before rclpy knows the node: see destroy_node
        super().__init__(NAME)
        given = {
            name: str(declared(self, name, "", _described(text)))
            for name, text in _PARAMETERS.items()
        }
        refuse_unknown(self)
        if not given["embodiment"]:
            raise missing_robot()
        if given["joints_topic"]:
            checked_topic("parameter joints_topic", given["joints_topic"])
        self._record_path = given["record_path"]
        self._robot = robot = load_embodiment(given["embodiment"])
        start = start_of(robot)
        self._positions = dict(start.joints)
        self._velocities: dict[str, float] = {}
        self._clock_of_plan = PlanClock(self)
        self._played_ns = time.monotonic_ns() // ROW_NS * ROW_NS
        self._stated_ns = 0
        self._readings = Readings(self, robot, start, given["joints_topic"])
        self._topics = {stream.key: stream.topic for stream in robot.state}
        played = [one for one in robot.outputs if one.type != "forward_command"]
        self._controllers = [self._controller(output) for output in played]
        names = tuple(name for output in played for name in output.names)
        self._recorder = CommandRecorder(names, SPAN_S)
        self._receivers = Receivers(self, robot, self._move, self._pose)
        self.create_service(Trigger, "~/save_record", self._on_save)
        if self._record_path:
            self._ends.callback(self._on_save, Trigger.Request(), Trigger.Response())
        threads = self._start_threads()
        run_in_real_time(threading.get_native_id(), threads[0].thread_id)
        self.get_logger().info(f"stands for {robot.robot}, from {robot.source}; no robot moves")

    def destroy_node(self) -> None:
        """End the threads, save the record, then destroy the node.

        From Kilted on, rclpy's shutdown also calls it for a node whose __init__ has raised.
        """
        self._ends.close()
        super().destroy_node()

    def _start_threads(self) -> list[PeriodicThread]:
        rates = [stream.rate_hz for stream in self._robot.state if stream.topics]
        rate_hz = min(max(_STATE_HZ, *rates), _MOST_STATE_HZ)
        threads = [self._thread("joints", rate_hz, self._tick)]
        cameras = {stream.topic: stream for stream in self._robot.video}
        for topic, stream in cameras.items():
            call = partial(self._publish, PictureFeed(self, stream))
            threads.append(self._thread(topic, stream.rate_hz, call))
        for thread in threads:
            thread.start()
            self._ends.callback(thread.stop)
        return threads

    def _publish(self, feed: PictureFeed) -> None:
        feed.publish(self._now())

    def _thread(self, name: str, rate_hz: float, call: Callable[[], None]) -> PeriodicThread:
        error = self.get_logger().error
        return PeriodicThread(name, round(1e9 / rate_hz), 0, call, error)

    def _controller(self, output: Output) -> SimulatedController:
        follower = Follower(output.names, np.array([self._positions[n] for n in output.names]))

        def measured() -> tuple[Floats, Floats]:
            position, velocity, _ = follower.commanded
            return position, velocity

        topics = output.topic, output.state_topic
        return SimulatedController(
            self, output.name, follower, self._both_clocks, measured, topics=topics
        )

    def _both_clocks(self) -> tuple[int, int]:
        return time.monotonic_ns(), self._clock_of_plan.offset_ns()

    def _now(self) -> Time:
        return self.get_clock().now().to_msg()

    def _tick(self) -> None:
        """Play the controllers until now, then publish the state; runs on the joint thread."""
        now_ns = time.monotonic_ns()
        while self._played_ns + ROW_NS <= now_ns:
            self._played_ns += ROW_NS
            if self._controllers:
                self._play(self._played_ns)
        for controller in self._controllers:
            position, velocity, _ = controller.follower.commanded
            names = controller.follower.joint_names
            self._positions |= dict(zip(names, position.tolist(), strict=True))
            self._velocities |= dict(zip(names, velocity.tolist(), strict=True))
        stamp = to_time(self._played_ns + self._clock_of_plan.offset_ns())
        self._readings.publish(stamp, dict(self._positions), self._velocities)
        if now_ns - self._stated_ns >= _CONTROLLER_NS:
            self._stated_ns = now_ns
            for controller in self._controllers:
                controller.publish_state(stamp)

    def _play(self, time_ns: int) -> None:
        motions = [controller.follower.command(time_ns) for controller in self._controllers]
        position, velocity, acceleration = map(np.concatenate, zip(*motions, strict=True))
        self._recorder.append(time_ns, position, velocity, acceleration, position)

    def _move(self, names: tuple[str, ...], row: ValueRow) -> None:
        self._positions |= dict(zip(names, row, strict=True))

    def _pose(self, key: str, row: ValueRow) -> None:
        """The end effector is at once where it is commanded, if a pose stream measures it."""
        if self._topics[key] in self._readings.poses:
            self._readings.poses[self._topics[key]] = np.array(row)

    def _on_save(self, _request: Trigger.Request, response: Trigger.Response) -> object:
        record = self._recorder.snapshot(self._clock_of_plan.offset_ns(), self._receivers.rows())
        response.success, response.message = save_or_explain(self._record_path, record)
        self.get_logger().info(response.message)
        return response


def _described(text: str) -> ParameterDescriptor:
    return ParameterDescriptor(description=text, read_only=True)


HELP = NodeHelp(
    "gr00t sim stand-in",
    "Node gr00t_sim_stand_in: a robot without physics made from any embodiment file: invented "
    "pictures, joint states, and controllers that follow. For trying a file without the robot.",
    (
        ("embodiment", None, _PARAMETERS["embodiment"]),
        ("record_path", "", _PARAMETERS["record_path"]),
        ("joints_topic", "", _PARAMETERS["joints_topic"]),
    ),
    "gr00t sim stand-in --embodiment ur5e_2f85",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the robot until SIGINT or SIGTERM."""
    return run_node(StandIn, arguments, about=HELP)


if __name__ == "__main__":
    sys.exit(main())
