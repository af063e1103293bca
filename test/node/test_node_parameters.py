"""Parameters can be read and changed through their services, one at a time as rqt does."""

import re

import numpy as np
import pytest
from ros_fixtures import call, wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, NODE  # noqa: E402
from rcl_interfaces.msg import ParameterType  # noqa: E402
from rcl_interfaces.srv import (  # noqa: E402
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter  # noqa: E402

from gr00t_ros.ros.parameters import PARAMETERS  # noqa: E402

FR3_RAD_S = (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26)


def get(rig, name):
    """A parameter's value as the node tells it."""
    request = GetParameters.Request(names=[name])
    message = call(rig.node, GetParameters, f"{NODE}/get_parameters", request).values[0]
    return Parameter.from_parameter_msg(_named(name, message)).value


def put(rig, name, value):
    """Success and reason of setting one parameter."""
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = call(rig.node, SetParameters, f"{NODE}/set_parameters", request).results[0]
    return result.successful, result.reason


def _named(name, value):
    message = Parameter(name, value=0).to_parameter_msg()
    message.value = value
    return message


def describe(rig, name):
    """A parameter's descriptor."""
    request = DescribeParameters.Request(names=[name])
    answer = call(rig.node, DescribeParameters, f"{NODE}/describe_parameters", request)
    return answer.descriptors[0]


def test_every_parameter_describes_itself_and_refuses_what_it_says(rig):
    """Description, range, value; outside the range and read-only are refused with the reason."""
    rig.start_policy()
    request = ListParameters.Request()
    names = call(rig.node, ListParameters, f"{NODE}/list_parameters", request).result.names
    assert set(PARAMETERS) <= set(names)
    for name in PARAMETERS:
        descriptor = describe(rig, name)
        assert descriptor.description.startswith(PARAMETERS[name].description), name
        assert PARAMETERS[name].unit in descriptor.description
        assert ("; start only" in descriptor.description) == PARAMETERS[name].read_only
        assert descriptor.read_only == PARAMETERS[name].read_only
        numeric = (ParameterType.PARAMETER_INTEGER, ParameterType.PARAMETER_DOUBLE)
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert len(ranges) == (descriptor.type in numeric), name
        assert all(r.from_value <= get(rig, name) <= r.to_value for r in ranges)

    assert put(rig, "execute_steps", 12) == (True, "")
    assert get(rig, "execute_steps") == 12
    for value in (-1, 129):
        successful, reason = put(rig, "execute_steps", value)
        assert not successful
        assert "out of range" in reason and "Min: 0, Max: 128" in reason
    assert get(rig, "execute_steps") == 12
    assert put(rig, "max_camera_age_s", 1.0) == (True, ""), "a node at rest may be loosened"
    assert not put(rig, "max_camera_age_s", float("nan"))[0], "NaN is in no range"
    assert get(rig, "max_camera_age_s") == 1.0
    for name, value in (("port", 6666), ("settled", "x"), ("commit_ms", 200)):
        before = get(rig, name)
        successful, reason = put(rig, name, value)
        assert not successful
        assert "read-only" in reason
        assert get(rig, name) == before


@NEEDS_ROBOT
def test_while_active_everything_is_tunable_and_safety_may_only_be_tightened(rig):
    """The refusal says so and names what it is now; the tightened value is at work at once."""
    rig.start_moving()
    assert put(rig, "max_camera_age_s", 0.24) == (True, "")
    successful, reason = put(rig, "max_camera_age_s", 0.3)
    assert not successful
    assert "while active it may only go down from 0.24" in reason
    assert "deactivate first" in reason
    assert get(rig, "max_camera_age_s") == 0.24
    assert put(rig, "healthy_ticks", 20) == (True, "")
    assert not put(rig, "healthy_ticks", 10)[0], "a longer wait is the safer one"
    assert put(rig, "execute_steps", 4) == (True, ""), "no matter of safety"
    successful, reason = put(rig, "execute_steps", 39)
    assert not successful, "40 steps are too few for that"
    assert "execute_steps 39: a chunk of 40 steps is 2667 ms, too short: needed are" in reason
    assert re.search(r"lower execute_steps to \d+", reason) and get(rig, "execute_steps") == 4

    # Below three periods of the camera's 30 Hz these three count.
    assert put(rig, "max_camera_age_s", 0.05) == (True, "")
    streams = {s.name: s for s in rig.wait_for_status(_tightened, "the new age").streams}
    assert streams["video.exterior_image_1_left"].max_age_s == pytest.approx(0.1)

    once = {name for name, row in PARAMETERS.items() if row.read_only or row.by_configure}
    others = {*once, "instruction", "contact"}  # test_contact.py: it needs a source
    tunable = {name: row for name, row in PARAMETERS.items() if name not in others}
    assert len(tunable) > 20
    for name, row in tunable.items():
        tune_while_active(rig, name, row)
    assert rig.state == "active", "whatever the node made of it, it is still there"
    assert rig.change("deactivate")
    for name, row in tunable.items():
        assert put(rig, name, row.default) == (True, ""), "at rest everything may be loosened"


def tune_while_active(rig, name, row):
    """One parameter a call, as a slider of rqt does: to its ends, and what is refused."""
    tight, loose = row.low, row.high
    if row.off_below is not None:
        tight = int(row.off_below)
    if name == "execute_steps":
        loose = 20  # more than the horizon allows is another test
    if isinstance(row.default, bool):
        tight, loose = False, True
    if row.tighten == "up":
        tight, loose = loose, tight
    assert put(rig, name, tight) == (True, ""), name
    assert get(rig, name) == tight
    successful, reason = put(rig, name, loose)
    assert successful is not bool(row.tighten), name
    assert successful or f"parameter {name}: got {loose}, while active it may only go" in reason
    assert get(rig, name) == (tight if row.tighten else loose)
    if not isinstance(row.default, bool):
        successful, reason = put(rig, name, type(row.default)(row.high + 1))
        assert not successful and "out of range" in reason, name


def _tightened(status):
    return status.streams and status.streams[0].max_age_s < 0.2


@NEEDS_ROBOT
def test_use_sim_time_cannot_be_switched_under_a_plan(rig):
    """Refused however it is set, from configure to cleanup; windows have stamps of now."""
    rig.start_moving()
    change = Parameter("use_sim_time", value=True).to_parameter_msg()
    accepted, reason = put(rig, "use_sim_time", True)
    assert not accepted and "use_sim_time: got True, expected False as at the start" in reason
    request = SetParametersAtomically.Request(parameters=[change])
    service = f"{NODE}/set_parameters_atomically"
    result = call(rig.node, SetParametersAtomically, service, request).result
    assert not result.successful and "expected False" in result.reason
    assert put(rig, "use_sim_time", False) == (True, "")
    count = len(rig.arm)
    wait_until(lambda: len(rig.arm) >= count + 10, "further windows")
    assert all(window.header.stamp.sec > 1_000_000_000 for window in list(rig.arm))
    assert rig.change("deactivate") and rig.change("cleanup")
    assert put(rig, "use_sim_time", True) == (True, "")
    assert put(rig, "use_sim_time", False)[0]


@NEEDS_ROBOT
def test_the_speed_is_lowered_in_motion_and_raised_at_rest_alone(rig):
    """The arm goes on, slower than it may be; a raise says what to do, and is taken then."""
    rig.start_moving()
    assert put(rig, "velocity_scale", 0.05) == (True, "")
    count = len(rig.arm)
    wait_until(lambda: is_slow(rig.arm[-1], 0.05) and len(rig.arm) > count, "a slow window")
    slow = len(rig.arm)
    wait_until(lambda: len(rig.arm) >= slow + 50, "further windows")
    assert all(is_slow(window, 0.05) for window in list(rig.arm)[slow:])
    rig.wait_for_mode("replaying")  # a late machine may have paused meanwhile
    wait_until(lambda: any(np.any(p.velocities) for p in rig.arm[-1].points), "an arm that goes on")
    successful, reason = put(rig, "velocity_scale", 0.5)
    assert not successful
    assert "got 0.5, while active it may only go down from 0.05; deactivate first" in reason
    assert rig.change("deactivate")
    assert put(rig, "velocity_scale", 0.5) == (True, "")
    count = len(rig.arm)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    wait_until(lambda: any(not is_slow(w, 0.05) for w in list(rig.arm)[count:]), "a fast window")


def is_slow(window, scale):
    """Whether all that is new in a window keeps that share of FR3's velocity limits."""
    ahead = [p for p in window.points if seconds(p) >= 0.16]  # 50 ms back, 100 ms committed
    most = scale * np.array(FR3_RAD_S) + 1e-8
    return all((np.abs(point.velocities) <= most).all() for point in ahead)


def seconds(point):
    """A point's time from its window's stamp."""
    return point.time_from_start.sec + point.time_from_start.nanosec * 1e-9


@NEEDS_ROBOT
def test_another_instruction_begins_an_episode_however_it_is_set(rig):
    """The same one does nothing; the parameter says what the service has set.

    In the operator's pause, where no other episode begins: a late machine would pause and go on.
    """
    rig.start_moving()
    wait_for_success(lambda: rig.ask("pause"), "the operator's pause")
    episode = rig.wait_for_mode("paused_by_operator").episode
    assert put(rig, "instruction", "  hold still ") == (True, "")
    assert put(rig, "instruction", "open the drawer") == (True, "")
    rig.wait_for_status(  # the text may be there a tick before its episode
        lambda s: s.instruction == "open the drawer" and s.episode == episode + 1, "its episode"
    )
    answer = rig.instruct("close it")
    assert (answer.success, answer.episode) == (True, episode + 2)
    assert get(rig, "instruction") == "close it"
    for text, size in (("", 0), ("x" * 5000, 5000)):
        successful, reason = put(rig, "instruction", text)
        assert not successful
        assert f"parameter instruction: got {size} bytes, expected 1 to 4096" in reason
    assert rig.instruct("close it").episode == episode + 3, "the refused ones began none"
    assert rig.change("deactivate") and rig.change("cleanup")
    assert put(rig, "instruction", "the next one") == (True, ""), "taken up by configure"
    assert rig.change("configure")
    rig.wait_for_status(lambda s: s.instruction == "the next one", "the text")


def test_shadow_is_taken_up_by_configure_alone(rig):
    """Refused afterwards, with what to do; execute_steps is asked of the horizon there."""
    rig.start_policy()
    assert put(rig, "shadow", True) == (True, "")
    assert put(rig, "execute_steps", 39) == (True, "")
    assert not rig.change("configure")
    rig.wait_for_reason(
        "configure failed: execute_steps 39: a chunk of 40 steps is 2667 ms, too short",
        "lower execute_steps to 38",
    )
    assert put(rig, "execute_steps", 38) == (True, "")
    assert rig.change("configure")
    successful, reason = put(rig, "shadow", False)
    assert not successful and get(rig, "shadow") is True
    assert "clean up, set it and configure again" in reason
    assert put(rig, "shadow", True) == (True, "")
    assert not put(rig, "execute_steps", 39)[0] and get(rig, "execute_steps") == 38
    assert put(rig, "execute_steps", 8) == (True, "")
    assert rig.change("cleanup")
    assert put(rig, "shadow", False) == (True, "")
