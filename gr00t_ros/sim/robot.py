"""Node gr00t_sim_robot: a simulated robot with the ROS interface of its drivers and controllers.

Four threads: physics (loop) steps and publishes joints, poses, controller states and `/clock`;
the camera thread renders and publishes images; the executor receives trajectories and service
calls; another one answers for the controllers' parameters. All end before the node does.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time as RosTime
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gr00t_ros.errors import SettingsError
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.node_help import NodeHelp
from gr00t_ros.ros.periodic import run_in_real_time
from gr00t_ros.ros.process import SpunApart, declared, refuse_unknown, run_node
from gr00t_ros.sim.cameras import CameraFeed, Cameras, Pictures, Renderer, SyntheticCameras
from gr00t_ros.sim.controller import Follower, SimulatedController, parameter_node
from gr00t_ros.sim.loop import TICK_NS, ControlLoop, Deadlines, RobotFaults, RobotSnapshot
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.record import WINDOW_DELAY, CommandRecorder, TouchRecorder, save_or_explain
from gr00t_ros.sim.robots import DEFAULT_ROBOT, ROBOTS, find_robot
from gr00t_ros.sim.sensors import BaseCommands, Sensors
from gr00t_ros.sim.urdf import robot_srdf, robot_urdf

Floats = NDArray[np.float64]

SIMULATED_START_NS = 10_000_000_000
"""Simulated time at the start: not 0, because ROS takes 0 for "no clock yet"."""

# Periods of publishing, in ticks of 2 ms.
CLOCK_TICKS = 2
SENSOR_TICKS = 5
CONTROLLER_STATE_TICKS = 10  # 50 Hz, as ros2_control's state_publish_rate
TASK_TICKS = 50

CHECK_PERIOD_S = 0.2
LATE_NS = 20_000_000
"""Delay from which a warning is logged: the real-time loop of a real robot never has it."""


@dataclass(frozen=True, slots=True)
class RobotSettings:
    """The read-only parameters of gr00t_sim_robot."""

    robot: str
    seed: int
    camera_height_px: int
    camera_width_px: int
    camera_rate_hz: float
    synthetic_cameras: bool
    publish_clock: bool
    real_time_factor: float
    interpolate_from_desired_state: bool
    interpolation_method: str
    wall_y_m: float
    record_path: str
    record_span_s: float


_TABLE: dict[str, tuple[object, str]] = {
    "robot": (DEFAULT_ROBOT, f"Simulated robot: {' or '.join(ROBOTS)}."),
    "seed": (0, "Places the things on the table; 0 or more."),
    "camera_height_px": (0, "Height of the cameras' images, pixels; 0: the robot's own."),
    "camera_width_px": (0, "Width of the cameras' images, pixels; 0: the robot's own."),
    "camera_rate_hz": (30.0, "Images a second of each camera, in simulated time."),
    "synthetic_cameras": (False, "Moving test pattern instead of rendered images; needs no GL."),
    "publish_clock": (False, "Publish /clock; stamps are simulated time instead of ROS time."),
    "real_time_factor": (1.0, "Speed of simulated time; other than 1 only with publish_clock."),
    "interpolate_from_desired_state": (False, "As of joint_trajectory_controller, for all."),
    "interpolation_method": ("splines", "As of joint_trajectory_controller: splines or none."),
    "wall_y_m": (0.0, "Wall beside the arm that no scene file has: y of its face, m; 0: none."),
    "record_path": ("", "File (.npz) for the 1 kHz record, by service and at the end; '' for none"),
    "record_span_s": (300.0, "Newest part of the run that the record keeps, s."),
}


def declare_settings(node: Node) -> RobotSettings:
    """Declare the parameters and return their values; raises SettingsError for wrong ones."""
    for name, (default, what) in _TABLE.items():
        declared(node, name, default, ParameterDescriptor(description=what, read_only=True))
    refuse_unknown(node)
    values = {field.name: node.get_parameter(field.name).value for field in fields(RobotSettings)}
    settings = RobotSettings(**values)
    _check(settings, bool(node.get_parameter("use_sim_time").value))
    return settings


def _check(settings: RobotSettings, use_sim_time: bool) -> None:
    find_robot(settings.robot)
    if settings.seed < 0:
        raise SettingsError(f"seed: got {settings.seed}, expected 0 or more")
    if settings.interpolation_method not in ("splines", "none"):
        got = settings.interpolation_method
        raise SettingsError(f"interpolation_method: got {got!r}, expected splines or none")
    for name in ("camera_height_px", "camera_width_px"):
        value = getattr(settings, name)
        if value and not 16 <= value <= 4096:
            raise SettingsError(f"{name}: got {value}, expected 16 to 4096, or 0")
    for name, low, high in (
        ("camera_rate_hz", 1.0, 120.0),
        ("real_time_factor", 0.01, 100.0),
        ("record_span_s", 1.0, 3600.0),
        ("wall_y_m", -2.0, 2.0),
    ):
        if not low <= getattr(settings, name) <= high:
            raise SettingsError(f"{name}: got {getattr(settings, name)}, expected {low} to {high}")
    if not settings.publish_clock and settings.real_time_factor != 1.0:
        raise SettingsError(
            f"real_time_factor: got {settings.real_time_factor} without publish_clock, "
            "expected 1: only /clock can tell others of another speed"
        )
    if not settings.publish_clock and use_sim_time:
        raise SettingsError(
            "use_sim_time: got true, expected publish_clock with it: "
            "this robot's time is the steady clock or its own"
        )


class SimRobot(Node):
    """The simulated robot; at the start its controllers are active and hold the start pose."""

    def __init__(self) -> None:
        """Build the world and start; SettingsError for wrong parameters or a missing model."""
        self._ends = contextlib.ExitStack()  # before rclpy knows the node: see destroy_node
        super().__init__("gr00t_sim_robot")
        self._settings = declare_settings(self)
        self._robot = robot = find_robot(self._settings.robot)
        self._simulation = Simulation(robot, self._settings.seed, self._settings.wall_y_m)
        self._task = robot.make_task(self._simulation, self._settings.seed)
        self._faults = RobotFaults(self._simulation)
        self._recorder = CommandRecorder(robot.commanded_names, self._settings.record_span_s)
        self._sensors = Sensors(self, robot, self._settings.publish_clock)
        self._touched = TouchRecorder(robot.controllers[0].joints, self._settings.record_span_s)
        self._plan_clock = PlanClock(self)
        self._parameter_nodes: list[Node] = []
        self._controllers = [self._controller(one.name, one.joints) for one in robot.controllers]
        self._parameter_services = SpunApart("parameters", self._parameter_nodes, self.context)
        self._ends.callback(self._parameter_services.end)
        self._base = BaseCommands(self, robot.recorded, lambda: self._now()[0])
        self.create_service(SetBool, "~/set_controller_active", self._on_set_active)
        self.create_service(Trigger, "~/save_record", self._on_save)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECK_PERIOD_S, self._check, clock=steady)
        self._describe()
        self._start_threads()
        if not run_in_real_time(threading.get_native_id(), self._loop.thread_id):
            self.get_logger().info("no real-time priority: late while other processes are busy")
        self.get_logger().info(f"{robot.title}: holding the start pose, seed {self._settings.seed}")

    def destroy_node(self) -> None:
        """End the threads, save the record, then destroy the nodes.

        From Kilted on, rclpy's shutdown also calls it for a node whose __init__ has raised.
        """
        self._ends.close()
        super().destroy_node()

    def _describe(self) -> None:
        """Publish what robot_state_publisher and MoveIt publish of a real robot, latched."""
        model = self._simulation.model
        for topic, text in (
            ("/robot_description", robot_urdf(self._robot, model)),
            ("/robot_description_semantic", robot_srdf(self._robot, model)),
        ):
            publisher = self.create_publisher(String, topic, qos.STATUS)
            publisher.publish(String(data=text))

    def _start_threads(self) -> None:
        settings = self._settings
        self._feed = CameraFeed(self._open_renderer, settings.seed)
        start_ns = SIMULATED_START_NS if settings.publish_clock else time.monotonic_ns()
        factor = settings.real_time_factor
        self._pace = Deadlines(start_ns, TICK_NS, factor)
        followers = [controller.follower for controller in self._controllers]
        self._loop = ControlLoop(
            self._simulation, followers, self._recorder, self._pace, self._on_tick
        )
        if settings.record_path:
            self._ends.callback(self._on_save, Trigger.Request(), Trigger.Response())
        self._loop.start()
        self._ends.callback(self._loop.stop)
        frame_ns = round(1e9 / settings.camera_rate_hz)
        frames = Deadlines(start_ns, frame_ns, factor)
        due = self._sensors.cameras_due
        self._feed.start(lambda: self._loop.snapshot, due, self._on_pictures, frames)
        self._ends.callback(self._feed.stop)
        self._faults.serve(self, (self._pace, frames) if settings.publish_clock else ())

    def _controller(self, name: str, joints: tuple[str, ...]) -> SimulatedController:
        columns = self._robot.columns(joints)

        def measured() -> tuple[Floats, Floats]:
            snapshot = self._loop.snapshot
            return snapshot.position[columns], snapshot.velocity[columns]

        start = self._simulation.joint_state()[1][columns]
        method = self._settings.interpolation_method
        desired = self._settings.interpolate_from_desired_state
        follower = Follower(joints, start, desired, method)
        self._parameter_nodes.append(parameter_node(follower, name, method, self.context))
        return SimulatedController(
            self, name, follower, self._now, measured, lambda: self._faults.lose_every
        )

    def _open_renderer(self) -> Renderer:
        own = self._robot.picture_px
        size = self._settings.camera_height_px or own[0], self._settings.camera_width_px or own[1]
        if self._settings.synthetic_cameras:
            return SyntheticCameras(*size)
        return Cameras(self._simulation.model, *size)

    def _now(self) -> tuple[int, int]:
        """Return the controllers' clock as it should be, and its offset to ROS time, ns.

        With publish_clock this is simulated time itself: a robot cannot be late by its own clock.
        """
        if self._settings.publish_clock:
            return self._loop.snapshot.time_ns, self._faults.clock_offset_ns
        return time.monotonic_ns(), self._plan_clock.offset_ns()

    def _offset_ns(self) -> int:
        if self._settings.publish_clock:
            return self._faults.clock_offset_ns
        return self._plan_clock.offset_ns()

    def _stamp(self, time_ns: int) -> Time:
        return RosTime(nanoseconds=time_ns + self._offset_ns()).to_msg()

    def _on_tick(self, snapshot: RobotSnapshot) -> None:
        """Publish the topics that are due after a tick; runs on the physics thread."""
        self._faults.run_due()
        tick = snapshot.tick
        self._touch(snapshot.time_ns)
        with_clock = self._settings.publish_clock and not self._faults.clock_silent
        if with_clock and tick % CLOCK_TICKS == 0:
            self._sensors.publish_clock(self._stamp(snapshot.time_ns))
        if all(tick % ticks for ticks in (SENSOR_TICKS, CONTROLLER_STATE_TICKS, TASK_TICKS)):
            return
        stamp = self._stamp(snapshot.time_ns)
        if tick % SENSOR_TICKS == 0:
            state = self._robot.joint_names, snapshot.position, snapshot.velocity
            self._sensors.publish_joints(stamp, *state, self._simulation.efforts())
            for link in self._robot.poses:
                self._sensors.publish_pose(stamp, link, *self._simulation.pose(link))
        if tick % CONTROLLER_STATE_TICKS == 0:
            for controller in self._controllers:
                controller.publish_state(stamp, self._faults.speed_scaling)
        if tick % TASK_TICKS == 0:
            self._sensors.publish_state(self._report(snapshot))

    def _touch(self, time_ns: int) -> None:
        """Publish what contacts do to the arm, and record it in a world with a wall."""
        if not (self._sensors.torques_wanted or self._settings.wall_y_m):
            return
        names = self._touched.joint_names
        torques = self._simulation.external_torques()[self._robot.columns(names)]
        self._sensors.publish_torques(self._stamp(time_ns), names, torques)
        if self._settings.wall_y_m:
            self._touched.append(time_ns, torques, self._simulation.wall_force())

    def _on_pictures(self, time_ns: int, pictures: Pictures) -> None:
        """Publish the cameras' pictures; runs on the camera thread."""
        stamp = self._stamp(time_ns)
        for name, picture in pictures.items():
            self._sensors.publish_image(stamp, name, picture)

    def _report(self, snapshot: RobotSnapshot) -> dict[str, object]:
        lateness = self._pace.lateness
        frames, skipped = self._feed.counts
        return {
            **self._task.report(),
            "time_s": round(snapshot.tick * TICK_NS * 1e-9, 3),
            "late_ticks": lateness.late_ticks,
            "late_s": round(lateness.now_ns * 1e-9, 4),
            "worst_late_s": round(lateness.worst_ns * 1e-9, 4),
            "frames": frames,
            "frames_skipped": skipped,
            "unusable_targets": self._loop.unusable_targets,
            "controllers": {one.name: one.report() for one in self._controllers},
            "base": self._base.report(),
        }

    def _check(self) -> None:
        """Raise ThreadError if a thread has died, and log a warning when physics is late."""
        self._loop.check()
        self._feed.check()
        self._parameter_services.check()
        late_ns = self._pace.lateness.now_ns
        if late_ns > LATE_NS:
            self.get_logger().warning(
                f"physics is {late_ns * 1e-6:.0f} ms behind its clock, and catches up",
                throttle_duration_sec=1.0,
            )

    def _on_set_active(self, request: SetBool.Request, response: SetBool.Response) -> object:
        for controller in self._controllers:
            controller.set_active(request.data)
        response.success = True
        names = ", ".join(controller.name for controller in self._controllers)
        response.message = f"{names} {'active' if request.data else 'inactive'}"
        self.get_logger().info(response.message)
        return response

    def _on_save(self, _request: Trigger.Request, response: Trigger.Response) -> object:
        touched = self._touched.rows() if self._settings.wall_y_m else {}
        delays = {WINDOW_DELAY + one.name: one.delays() for one in self._controllers}
        rows = {**self._base.rows(), **touched, **delays}
        record = self._recorder.snapshot(self._offset_ns(), rows)
        path = self._settings.record_path
        response.success, response.message = save_or_explain(path, record)
        self.get_logger().info(response.message)
        return response


HELP = NodeHelp(
    "gr00t sim robot",
    "Node gr00t_sim_robot: a simulated robot with cameras, joint states and the controllers that "
    "its embodiment file expects. `./dev demo` starts it together with a policy and the node.",
    tuple((name, default, what.rstrip(".")) for name, (default, what) in _TABLE.items()),
    "gr00t sim robot --ros-args -p robot:=g1 -p seed:=3",
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the simulated robot until SIGINT or SIGTERM."""
    return run_node(SimRobot, args, about=HELP)


if __name__ == "__main__":
    sys.exit(main())
