"""The node /libero and its child process without LIBERO: a point mass speaks the child's part."""

import time

import numpy as np
import pytest
from libero_child import DONE_M, LIMIT_S, interpreter
from ros_fixtures import call, collect, wait_for_discovery, wait_until

from gr00t_ros.errors import SimulationError
from gr00t_ros.sim.libero.extra import VARIABLE
from gr00t_ros.sim.libero.process import Child

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from gr00t_ros.msg import TaskState  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.libero.commands import FRAME, SILENCE_NS, STEP_NS  # noqa: E402
from gr00t_ros.sim.libero.motion import ACTION  # noqa: E402
from gr00t_ros.sim.libero.robot import SLACK_TICKS, TICK_NS  # noqa: E402
from gr00t_ros.sim.record import load_record  # noqa: E402
from gr00t_ros.sim.robot import SIMULATED_START_NS  # noqa: E402
from gr00t_ros.sim.sensors import SENSOR_OUT  # noqa: E402
from gr00t_ros.srv import ResetTask  # noqa: E402

FACTOR = 2.0
WHERE = {"task": 3, "episode": 4, "seed": 5}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("dies", "ended with status 3"),
        ("garbage", "answered garbage"),
        ("endless", "answered garbage.*4294967295 bytes"),
        ("list", "answered garbage"),
        ("silent", "got no answer"),
    ],
)
def test_a_child_that_fails_is_an_error_from_then_on(fault, why, tmp_path):
    """Nobody waits for it, and it is never asked again."""
    child = Child(interpreter(tmp_path), lambda *_: None)
    try:
        child.ask("reset", suite=fault, **WHERE)
        with pytest.raises(SimulationError, match=why):
            child.ask("step", 0.5 if fault == "silent" else 30.0, action=[0.0] * 7, picture=None)
        with pytest.raises(SimulationError, match=why):
            child.check()
    finally:
        child._process.kill()
        child.close()


def test_reset_clock_pace_silence_and_death(processes, ros_node, tmp_path):
    """One robot: it tells the task, its time only rises, it holds without twists, and it ends."""
    path = tmp_path / "record.npz"
    values = ("-p", f"record_path:={path}", "--real-time-factor", str(FACTOR))
    words = ("-m", "gr00t_ros.sim.libero.robot", *values[2:], "--ros-args", *values[:2])
    robot = processes.start(*words, name="robot", **{VARIABLE: str(interpreter(tmp_path))})
    clocks = collect(ros_node, Clock, "/clock", SENSOR_OUT)
    poses = collect(ros_node, PoseStamped, "/ee_pose", SENSOR_OUT)
    pictures = collect(ros_node, Image, "/camera/front/image_raw", SENSOR_OUT)
    tasks = collect(ros_node, TaskState, "/libero/task_state", qos.DIAGNOSTICS)
    twists = ros_node.create_publisher(TwistStamped, "/servo_node/delta_twist_cmds", qos.COMMAND)
    wait_for_discovery(twists.get_subscription_count, "the robot")

    def reset(suite):
        request = ResetTask.Request(suite=suite, **WHERE)
        return call(ros_node, ResetTask, "/libero/reset_task", request)

    def now_ns():
        return _ns(clocks[-1].clock)

    refused = reset("libero_none")
    assert not refused.success and "libero_none" in refused.message
    assert not clocks and not poses and not pictures
    began_s = time.monotonic()
    answer = reset("point_mass")
    assert answer.success and answer.limit_s == LIMIT_S
    assert answer.instruction == "move 3 4 5"

    sent = []
    wait_until(lambda: clocks and poses and pictures, "the first messages")

    def done():
        message = TwistStamped()
        message.header.frame_id, message.header.stamp = FRAME, clocks[-1].clock
        message.twist.linear.y = 0.1
        if not sent or message.header.stamp != sent[-1]:
            sent.append(message.header.stamp)
            twists.publish(message)
        return tasks and tasks[-1].success

    wait_until(done, "the task's success")
    last_ns = _ns(sent[-1])
    held_ns = last_ns + SILENCE_NS + STEP_NS
    wait_until(lambda: _ns(poses[-1].header.stamp) > held_ns + 4 * STEP_NS, "time without twists")
    places = [p.pose.position.y for p in list(poses) if _ns(p.header.stamp) > held_ns]
    assert places[0] > DONE_M and len(set(places)) == 1
    # judged against the time before the reset: a message that comes late makes no false alarm
    simulated_ns = now_ns() - SIMULATED_START_NS
    slack_ns = SLACK_TICKS * TICK_NS
    assert simulated_ns <= FACTOR * (time.monotonic() - began_s) * 1e9 + slack_ns

    told, before_ns = list(tasks), now_ns()
    assert (told[-1].suite, told[-1].task, told[-1].episode) == ("point_mass", 3, 4)
    steps = [state.step for state in told]
    assert steps == sorted(steps)
    assert all(told[-1 - n].success for n in range(3))  # it stays true
    assert reset("point_mass").success
    wait_until(lambda: any(begins(state) for state in tasks[len(told) :]), "a new episode")
    wait_until(lambda: now_ns() > before_ns, "time that goes on")
    times_ns = [_ns(clock.clock) for clock in list(clocks)]
    assert times_ns[0] >= SIMULATED_START_NS and times_ns == sorted(times_ns)
    stamps_ns = [_ns(picture.header.stamp) for picture in list(pictures)]
    assert stamps_ns == sorted(stamps_ns)

    assert reset("dies").success
    assert robot.wait() == 1
    assert "the simulation's process ended" in robot.text() and "status 3" in robot.text()
    actions = load_record(path).commands[ACTION]
    silent = actions.time_ns > held_ns
    assert np.abs(actions.values[:, 1]).max() > 0.3 and not actions.values[silent][:, :6].any()


def begins(state):
    """Whether this is the beginning of an episode."""
    return state.step == 0 and not state.success


def _ns(stamp):
    return int(Time.from_msg(stamp).nanoseconds)
