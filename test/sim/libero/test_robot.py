"""The simulated Panda as a process, with LIBERO: it moves by twists, and holds without them."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from ros_fixtures import call, collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.libero.commands import FRAME, SILENCE_NS, STEP_NS  # noqa: E402
from gr00t_ros.sim.libero.extra import INSTALL, libero_python  # noqa: E402
from gr00t_ros.sim.libero.motion import ACTION, TWIST, broken  # noqa: E402
from gr00t_ros.sim.record import load_record  # noqa: E402
from gr00t_ros.sim.sensors import SENSOR_OUT  # noqa: E402
from gr00t_ros.srv import ResetTask  # noqa: E402

pytestmark = pytest.mark.skipif(libero_python() is None, reason=f"no LIBERO: {INSTALL}")


def test_twists_move_the_tool_until_they_stop_and_a_dead_simulation_ends_the_robot(
    processes, ros_node, tmp_path
):
    """The record has every twist and action; nothing of it is beyond its limit."""
    path = tmp_path / "record.npz"
    words = ("-m", "gr00t_ros.sim.libero.robot", "--ros-args", "-p", f"record_path:={path}")
    robot = processes.start(*words, name="robot")
    poses = collect(ros_node, PoseStamped, "/ee_pose", SENSOR_OUT)
    pictures = collect(ros_node, Image, "/camera/wrist/image_raw", SENSOR_OUT)
    twists = ros_node.create_publisher(TwistStamped, "/servo_node/delta_twist_cmds", qos.COMMAND)
    wait_for_discovery(lambda: twists.get_subscription_count(), "the robot")
    request = ResetTask.Request(suite="libero_object", task=0, episode=0, seed=0)
    answer = call(ros_node, ResetTask, "/libero/reset_task", request)
    assert answer.success, answer.message
    assert answer.instruction == "pick up the alphabet soup and place it in the basket"
    wait_until(lambda: poses and pictures, "a pose and a picture")

    def y_m() -> float:
        return poses[-1].pose.position.y

    began_m, sent = y_m(), []

    def moved() -> bool:
        message = TwistStamped()
        message.header.frame_id, message.header.stamp = FRAME, poses[-1].header.stamp
        message.twist.linear.y = min(0.1, 0.01 * (len(sent) + 1))
        if not sent or message.header.stamp != sent[-1]:
            sent.append(message.header.stamp)
            twists.publish(message)
        return y_m() - began_m > 0.02

    wait_until(moved, "two centimetres")
    last_ns = Time.from_msg(sent[-1]).nanoseconds
    still_ns = last_ns + SILENCE_NS + 6 * STEP_NS
    wait_until(lambda: Time.from_msg(poses[-1].header.stamp).nanoseconds > still_ns, "its stop")
    held_m = y_m()
    wait_until(
        lambda: Time.from_msg(poses[-1].header.stamp).nanoseconds > still_ns + 4 * STEP_NS, "later"
    )
    assert abs(y_m() - held_m) < 2e-3

    children = [
        int(one.name)
        for one in Path("/proc").iterdir()
        if one.name.isdigit() and _parent(one) == robot.pid and b"child.py" in _words(one)
    ]
    assert len(children) == 1
    os.kill(children[0], signal.SIGKILL)
    assert robot.wait() != 0
    assert "the simulation's process ended" in robot.text()
    record = load_record(path)
    actions = record.commands[ACTION]
    silent = actions.time_ns > last_ns + SILENCE_NS + STEP_NS
    assert np.abs(actions.values[:, 1]).max() > 0.3 and not actions.values[silent][:, :6].any()
    assert len(record.commands[TWIST].values) and not broken(
        record, load_embodiment("libero_panda").command_limits
    )


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _words(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
