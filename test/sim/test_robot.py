"""The simulated robot has a real robot's topics: controllers, sensors, clock, record and end."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_fixtures import call, collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator is not installed")

from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import ReliabilityPolicy  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

from gr00t_ros.motion.sampler import JtcSampler, Trajectory  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.controller import ControllerState  # noqa: E402
from gr00t_ros.sim.record import (  # noqa: E402
    ROW_NS,
    Record,
    extremes,  # noqa: E402
    load_record,
)
from gr00t_ros.sim.robots import FRANKA  # noqa: E402
from gr00t_ros.sim.sensors import SENSOR_OUT  # noqa: E402

MS = 1_000_000
SYNTHETIC = {"synthetic_cameras": "true"}
SIMULATED = SYNTHETIC | {"publish_clock": "true", "interpolate_from_desired_state": "true"}


class Robot:
    """A robot process, and what a policy node would see of it."""

    def __init__(self, processes: Any, node: Any, folder: Path, **parameters: str) -> None:
        self.node = node
        self.record_path = folder / "record.npz"
        options = {"record_path": str(self.record_path), **parameters}
        arguments = [text for k, v in options.items() for text in ("-p", f"{k}:={v}")]
        self.process = processes.start(
            "-m", "gr00t_ros.sim.robot", "--ros-args", *arguments, name="robot"
        )
        self.joints = collect(node, JointState, "/joint_states", SENSOR_OUT)
        self.references = collect(
            node, ControllerState, "/fr3_arm_controller/controller_state", SENSOR_OUT
        )
        self.tasks = collect(node, String, "/gr00t_sim_robot/state", qos.STATUS)
        self._command = node.create_publisher(
            JointTrajectory, "/fr3_arm_controller/joint_trajectory", qos.COMMAND
        )
        wait_until(lambda: self.references and self.joints and self.tasks, "the robot's topics")
        wait_for_discovery(
            lambda: self._command.get_subscription_count() == 1, "the arm controller"
        )

    @property
    def now_ns(self) -> int:
        """Time of the newest joint state."""
        return stamp_ns(self.joints[-1])

    @property
    def arm(self) -> dict[str, Any]:
        """The arm controller's part of the state topic."""
        return json.loads(self.tasks[-1].data)["controllers"]["fr3_arm_controller"]

    def send(
        self,
        rows: Sequence[tuple[int, np.ndarray, np.ndarray]],
        start_ns: int = 0,
        names: Sequence[str] = FRANKA.joint_names[:7],
    ) -> None:
        """Send (ms, position (7,), velocity (7,)) rows from a start, 0 = the next cycle."""
        message = JointTrajectory(joint_names=list(names))
        message.header.stamp = Time(nanoseconds=start_ns).to_msg()
        message.points = [
            JointTrajectoryPoint(
                positions=position.tolist(),
                velocities=velocity.tolist(),
                time_from_start=Duration(nanoseconds=ms * MS).to_msg(),
            )
            for ms, position, velocity in rows
        ]
        self._command.publish(message)

    def saved(self) -> Record:
        """The record until now, through the service and the file."""
        answer = call(self.node, Trigger, "/gr00t_sim_robot/save_record", Trigger.Request())
        assert answer.success, answer.message
        return load_record(self.record_path)

    def set_active(self, active: bool) -> None:
        """Activate or deactivate the controllers."""
        request = SetBool.Request(data=active)
        assert call(self.node, SetBool, "/gr00t_sim_robot/set_controller_active", request).success


def stamp_ns(message: Any) -> int:
    """Header stamp in ns."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def home(robot: Robot) -> np.ndarray:
    """The reference that the arm controller holds at the start, (7,)."""
    return np.array(robot.references[0].reference.positions)


def test_the_controllers_look_like_the_real_ones_on_the_graph(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """A best-effort command subscription, and parameters of which some change while running."""
    robot = Robot(processes, ros_node, tmp_path, **SYNTHETIC)
    (reader,) = ros_node.get_subscriptions_info_by_topic("/fr3_arm_controller/joint_trajectory")
    assert reader.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    position, velocity = home(robot), np.full(7, 0.1)
    robot.send([(500, position, velocity)])
    wait_until(lambda: robot.arm["rejected"] == 1, "a trajectory that ends moving refused")
    changed = Parameter("allow_nonzero_velocity_at_trajectory_end", value=True)
    request = SetParameters.Request(parameters=[changed.to_parameter_msg()])
    name = "/fr3_arm_controller/set_parameters"
    assert call(ros_node, SetParameters, name, request).results[0].successful
    robot.send([(500, position, velocity)])
    wait_until(lambda: robot.arm["accepted"] == 1, "the same trajectory taken")


def test_a_window_moves_the_reference_exactly_as_the_controllers_model_says(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """Every millisecond of the record, every state message, and the arm itself follow."""
    robot = Robot(processes, ros_node, tmp_path, **SIMULATED)
    start, still = home(robot), np.zeros(7)
    goal = start + 0.1
    rows = [(0, start, still), (400, (start + goal) / 2, still + 0.3), (800, goal, still)]
    begin_ns = robot.now_ns + 2000 * MS
    robot.send(rows, begin_ns)
    wait_until(lambda: robot.now_ns > begin_ns + 1200 * MS, "the end of the window")
    record = robot.saved()

    oracle = JtcSampler(7, interpolate_from_desired_state=True, period_ns=ROW_NS)
    oracle.hold(start)
    times_ns = np.array([ms * MS for ms, _, _ in rows])
    positions, velocities = (np.array([row[k] for row in rows]) for k in (1, 2))
    assert oracle.accept(Trajectory(begin_ns, times_ns, positions, velocities), 0, start) is None
    expected = np.array([oracle.sample(int(t) - ROW_NS) for t in record.time_ns])
    inside = record.time_ns > begin_ns
    got = np.stack([record.position, record.velocity, record.acceleration], axis=1)[:, :, :7]
    np.testing.assert_array_equal(got[inside], expected[inside])
    np.testing.assert_allclose(got[~inside, 0], np.tile(start, (np.sum(~inside), 1)), atol=1e-12)

    by_time = dict(zip(record.time_ns.tolist(), record.position[:, :7].tolist(), strict=True))
    for state in [s for s in list(robot.references) if begin_ns < stamp_ns(s)]:
        if stamp_ns(state) in by_time:
            assert list(state.reference.positions) == by_time[stamp_ns(state)]
    np.testing.assert_allclose(record.measured[-1, :7], goal, atol=0.01)
    assert extremes(record).velocity[:7].max() < 1.0


def test_a_rejected_trajectory_leaves_the_hold_and_logs_the_reason(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """Wrong names do nothing but a log line; the next right message moves the arm."""
    robot = Robot(processes, ros_node, tmp_path, **SYNTHETIC)
    start, still = home(robot), np.zeros(7)
    robot.send([(100, start + 0.1, still)], names=[*FRANKA.joint_names[:6], "panda_joint7"])
    robot.process.wait_for_line("rejected trajectory: incoming joint 'panda_joint7'")
    robot.send([(200, start + 0.05, still)])
    wait_until(lambda: robot.arm["accepted"] == 1, "the right message")
    assert robot.arm["rejected"] == 1
    assert "panda_joint7" in robot.arm["last_rejection"]
    np.testing.assert_array_equal(robot.saved().position[0, :7], start)

    def reached() -> bool:
        return np.allclose(robot.references[-1].reference.positions, start + 0.05, atol=1e-9)

    wait_until(reached, "the arm's reference at the goal")
    highest = robot.saved().position[:, :7].max(axis=0)
    assert np.all(highest < start + 0.051)


def test_an_inactive_controller_is_silent_and_drops_what_it_is_sent(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """No state, no motion, no complaint; active again, it holds and obeys."""
    robot = Robot(processes, ros_node, tmp_path, **SYNTHETIC)
    start, still = home(robot), np.zeros(7)
    robot.set_active(False)
    wait_until(lambda: not robot.arm["active"], "the inactive controller")
    silent_from_ns = robot.now_ns + 200 * MS
    robot.send([(50, start + 0.1, still)])
    wait_until(lambda: robot.now_ns > silent_from_ns + 300 * MS, "joint states after it")
    assert (robot.arm["accepted"], robot.arm["rejected"]) == (0, 0)
    assert not [s for s in list(robot.references) if stamp_ns(s) > silent_from_ns]
    robot.set_active(True)
    robot.send([(50, start + 0.02, still)])
    wait_until(lambda: robot.arm["accepted"] == 1, "the message to the active controller")
    assert robot.saved().position[:, :7].max() < (start + 0.05).max()


def test_sigterm_ends_an_idle_robot_and_leaves_its_record(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """Threads first, then the record, then ROS: exit status 0."""
    robot = Robot(processes, ros_node, tmp_path, **SYNTHETIC)
    assert not robot.record_path.exists()
    robot.process.signal(signal.SIGTERM)
    assert robot.process.wait() == 0
    record = load_record(robot.record_path)
    assert record.joint_names == FRANKA.joint_names
    assert set(np.diff(record.time_ns)) == {ROW_NS}
    assert "Traceback" not in robot.process.text()


def test_the_clock_on_request_is_the_time_of_all_stamps(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """Simulated time runs on in even steps, slower than real time where asked to."""
    robot = Robot(processes, ros_node, tmp_path, **SIMULATED, real_time_factor="0.5")
    clock = collect(ros_node, Clock, "/clock", SENSOR_OUT)
    images = collect(ros_node, Image, "/camera/wrist/image_raw", SENSOR_OUT)
    wait_until(lambda: len(images) > 5 and len(clock) > 50, "clock and images")
    times = [message.clock.sec * 1_000_000_000 + message.clock.nanosec for message in list(clock)]
    assert all(step > 0 and step % (4 * MS) == 0 for step in np.diff(times))
    assert abs(stamp_ns(images[-1]) - times[-1]) < 5_000 * MS
    assert stamp_ns(robot.joints[0]) >= 10_000 * MS
    assert all(step > 0 for step in np.diff([stamp_ns(image) for image in list(images)]))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("real_time_factor", "2.0"), ("robot", "r2d2"), ("use_sim_time", "true")],
)
def test_parameters_that_make_no_sense_end_the_process_with_their_name(
    processes: Any, parameter: str, value: str
) -> None:
    """One line, no traceback, exit status 2."""
    option = f"{parameter}:={value}"
    robot = processes.start("-m", "gr00t_ros.sim.robot", "--ros-args", "-p", option)
    robot.wait_for_line(f"^{parameter}: got")
    assert robot.wait() == 2
    assert "Traceback" not in robot.text()


def test_rendered_images_show_the_red_cube_and_the_blue_plate(
    processes: Any, ros_node: Any, tmp_path: Path
) -> None:
    """Real rendering in the process's own thread, red and blue in their own channels."""
    Robot(processes, ros_node, tmp_path, seed="3")
    for camera in ("exterior", "wrist"):
        images = collect(ros_node, Image, f"/camera/{camera}/image_raw", SENSOR_OUT)
        wait_until(lambda images=images: len(images) > 1, f"images of {camera}")
        image = images[-1]
        assert (image.height, image.width, image.encoding, image.step) == (180, 320, "rgb8", 960)
        if camera == "exterior":
            pixels = np.frombuffer(image.data, np.uint8).reshape(180, 320, 3).astype(int)
            red, green, blue = np.moveaxis(pixels, 2, 0)
            assert np.count_nonzero((red > green + 60) & (red > blue + 60)) > 20
            assert np.count_nonzero((blue > red + 60) & (blue > green + 30)) > 50
