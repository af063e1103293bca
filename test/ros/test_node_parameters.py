"""The node's parameters through their services, one at a time as rqt does."""

import pytest
from ros_fixtures import call, wait_until

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

from gr00t_ros.ros.parameters import TABLE  # noqa: E402


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
    assert set(TABLE) <= set(names)
    for name in TABLE:
        descriptor = describe(rig, name)
        assert descriptor.description.startswith(TABLE[name].description), name
        assert TABLE[name].unit in descriptor.description
        assert descriptor.read_only == TABLE[name].read_only
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
    for name, value in (("port", 6666), ("shadow", True), ("commit_ms", 200)):
        before = get(rig, name)
        successful, reason = put(rig, name, value)
        assert not successful
        assert "read-only" in reason
        assert get(rig, name) == before


@NEEDS_ROBOT
def test_while_active_everything_is_tunable_and_safety_may_only_be_tightened(rig):
    """The refusal says so and names what it is now; the tightened value is at work at once."""
    rig.start_moving(camera_fault_age_s=60.0)
    assert put(rig, "max_camera_age_s", 0.24) == (True, "")
    successful, reason = put(rig, "max_camera_age_s", 0.3)
    assert not successful
    assert "while active it may only go down from 0.24" in reason
    assert "deactivate first" in reason
    assert get(rig, "max_camera_age_s") == 0.24
    assert put(rig, "healthy_ticks", 20) == (True, "")
    assert not put(rig, "healthy_ticks", 10)[0], "a longer wait is the safer one"
    assert put(rig, "execute_steps", 4) == (True, ""), "no matter of safety"

    # Below three periods of the camera's 30 Hz these three count.
    assert put(rig, "max_camera_age_s", 0.05) == (True, "")
    streams = {s.name: s for s in rig.wait_for_status(_tightened, "the new age").streams}
    assert streams["video.exterior_image_1_left"].max_age_s == pytest.approx(0.1)

    tunable = {name: row for name, row in TABLE.items() if not row.read_only}
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
    assert put(rig, "use_sim_time", False) == (True, "")
