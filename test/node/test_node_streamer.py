"""Node and streamer: a forward command controller follows, and rests after either one dies."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ros_fixtures import collect, wait_until
from streamer_child import STREAMER

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import ARM, NEEDS_ROBOT, SWEEP  # noqa: E402
from std_msgs.msg import Float64MultiArray  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

from gr00t_ros.msg import ControllerState  # noqa: E402
from gr00t_ros.robot.files import find_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.ros.windows import to_duration, to_time  # noqa: E402

pytestmark = NEEDS_ROBOT

# The stand-in for the controller is this test's own thread: it may be late, and the arm with it.
PATIENT = {
    "max_camera_age_s": 2.0,
    "max_joint_age_s": 1.0,
    "tracking_error_rad": 0.5,
    "tracking_error_s": 2.0,
    "refusals_to_fault": 100,
}
COMMANDS, WINDOWS = "/forward/commands", "/gr00t_policy/windows/arm"
STATE = "/gr00t_streamer/controller_state"


def forward_embodiment(folder: Path) -> tuple[Path, list[str]]:
    """The DROID arm behind a forward command controller: its file, and the arm's joints."""
    content = yaml.safe_load(Path(find_embodiment("franka_droid")).read_text())
    arm = content["outputs"]["arm"]
    arm |= {"type": "forward_command", "topic": COMMANDS, "state_topic": STATE}
    file = folder / "forward.yaml"
    file.write_text(yaml.safe_dump(content))
    return file, arm["names"]


def forward(node, names):
    """Stand in for the controller: the simulated arm holds each point from its arrival on."""
    to_arm = node.create_publisher(JointTrajectory, ARM, qos.COMMAND)

    def hold(message):
        # begun in the past, so that the arm is at the point at once
        target = JointTrajectory(joint_names=names)
        target.header.stamp = to_time(time.time_ns() - 50_000_000)
        target.points = [
            JointTrajectoryPoint(positions=list(message.data), time_from_start=to_duration(ns))
            for ns in (0, 1_000_000_000)
        ]
        to_arm.publish(target)

    node.create_subscription(Float64MultiArray, COMMANDS, hold, 10)


def test_an_arm_without_tails_of_its_own_moves_and_rests_after_the_nodes_death(
    rig, processes, tmp_path
):
    """Refused until a streamer reads the windows; then in motion; killed: the tail, then a hold."""
    file, names = forward_embodiment(tmp_path)
    forward(rig.node, names)
    points = collect(rig.node, Float64MultiArray, COMMANDS, 1000)
    states = collect(rig.node, ControllerState, STATE, qos.SENSOR)
    rig.start_robot()
    rig.start_server(SWEEP)
    rig.start_policy(embodiment=file, **PATIENT)
    assert rig.change("configure")
    rig.wait_for_reason(f"nobody reads {WINDOWS}: is gr00t_streamer running for it?")
    parameters = (f"joints:=[{','.join(names)}]", f"window_topic:={WINDOWS}",
                  f"command_topic:={COMMANDS}", "rate_hz:=50")  # fmt: skip
    options = [word for one in parameters for word in ("-p", one)]
    processes.start(STREAMER, "--ros-args", *options, name="streamer")
    rig.wait_for_mode("ready")
    wait_until(lambda: states, "where a first window has to begin")
    assert not points, "no point before the first window"

    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()
    wait_until(lambda: len(points) > 100, "two seconds of points")
    rig.wait_for_motion()
    assert not any("the controller plays" in line for line in rig.told()), rig.told()

    # a late machine's arm rests for a while
    step = lambda: np.abs(np.array(points[-1].data) - np.array(points[-2].data)).max()  # noqa: E731
    wait_until(lambda: step() > 0.002, "points in motion")
    killed_at = len(points)
    rig.policy.signal(signal.SIGKILL)
    rig.policy.wait()
    wait_until(lambda: len({tuple(p.data) for p in points[-20:]}) == 1, "points at rest")
    played = np.array([p.data for p in list(points)])
    assert np.abs(played[-1] - played[killed_at - 1]).max() > 0.03, "the tail was played"
    # the sweep at 0.25 rad/s, a point up to 0.1 s late, and what a window may jump
    assert np.abs(np.diff(played, axis=0)).max() < 0.06
    rig.assert_rest()
