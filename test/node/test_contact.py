"""Sources of contacts on a running node: shown always, and a reason to wait where they must react.

No robot and no server are needed: the reasons of a waiting node name all that is wrong.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from ros_fixtures import call, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from geometry_msgs.msg import WrenchStamped  # noqa: E402
from rcl_interfaces.msg import ParameterType  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray  # noqa: E402

from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.ros.parameter_values import check_change  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402

BLOCK = """
contact:
  torques:
    {type: external_torques, topic: /torques, names: [fr3_joint1, fr3_joint2],
     thresholds: [20, 18], source: test}
  robot: {type: flag, topic: /collision_detected}
  wrist: {type: wrench, topic: /wrench}
"""


@pytest.fixture
def file(tmp_path):
    """The Franka with these sources."""
    path = tmp_path / "franka.yaml"
    path.write_text(Path(load_embodiment("franka_droid").source).read_text() + BLOCK)
    return str(path)


def details(rig):
    """What the newest status says about each source."""
    if not rig.statuses:
        return {}
    return {d.key: d.value for d in rig.statuses[-1].details if d.key.startswith("contact ")}


def repeat(rig, publisher, message, condition, what):
    """Publish again and again until the condition holds."""
    wait_for_discovery(publisher.get_subscription_count, "a subscription")

    def published():
        publisher.publish(message)
        return condition()

    return wait_until(published, what)


def test_every_source_is_measured_and_nothing_is_refused_by_default(rig, file):
    """The types of the topics are found out, and best-effort publishers are received."""
    rig.start_policy(embodiment=file)
    assert rig.change("configure")
    rig.wait_for_mode("waiting")
    torques = rig.node.create_publisher(Float64MultiArray, "/torques", qos.SENSOR)
    flag = rig.node.create_publisher(Bool, "/collision_detected", qos.SENSOR)
    wrench = rig.node.create_publisher(WrenchStamped, "/wrench", qos.SENSOR)
    message = WrenchStamped()
    message.wrench.force.z = 7.0
    repeat(
        *(rig, torques, Float64MultiArray(data=[1.0, 27.0])),
        lambda: "fr3_joint2 27.00 of 18 Nm" in details(rig).get("contact torques", ""),
        "the torques",
    )
    repeat(
        *(rig, flag, Bool(data=True)),
        lambda: details(rig)["contact robot"].startswith("contact"),
        "the flag",
    )
    repeat(
        *(rig, wrench, message),
        lambda: "force 7.00 N" in details(rig)["contact wrist"],
        "the force",
    )
    assert "only shown (parameter contact)" in details(rig)["contact torques"]
    assert "no thresholds in the file, only shown" in details(rig)["contact wrist"]
    assert "contact" not in rig.statuses[-1].reason
    wait_until(
        lambda: any(
            value.key == "contact torques"
            for array in list(rig.diagnostics)
            for status in array.status
            for value in status.values
        ),
        "the source in /diagnostics",
    )


def test_silence_wrong_values_and_contacts_are_reasons_to_wait(rig, file):
    """With what was got and what was expected."""
    rig.start_policy(embodiment=file, contact="pause")
    assert rig.change("configure")
    rig.wait_for_reason(
        "contact torques on /torques: nothing usable received of fr3_joint1, fr3_joint2, expected",
        "contact robot on /collision_detected: nothing usable received",
    )
    assert "contact wrist" not in rig.statuses[-1].reason  # it has no threshold
    torques = rig.node.create_publisher(Float64MultiArray, "/torques", qos.SENSOR)
    for data, reason in (
        ([1.0], "got 1 values, expected 2: fr3_joint1, fr3_joint2"),
        ([np.nan, 1.0], "got fr3_joint1 nan, expected finite numbers"),
        ([25.0, 1.0], "fr3_joint1 25.0 Nm, at most 20 allowed; free the arm"),
    ):
        repeat(
            *(rig, torques, Float64MultiArray(data=data)),
            lambda reason=reason: reason in rig.statuses[-1].reason,
            reason,
        )
    rig.wait_for_reason("contact torques on /torques: last usable message")
    assert not rig.change("activate")


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        *(("show", "pause", True), ("show", "fault", True), ("pause", "fault", True)),
        *(("fault", "pause", False), ("fault", "show", False), ("pause", "show", False)),
    ],
)
def test_while_active_the_reaction_may_only_become_stricter(before, after, allowed):
    """And any choice may be made while the node is inactive."""
    change, now = [Parameter("contact", value=after)], replace(DEFAULTS, contact=before)
    refusal = check_change(change, now, active=True, configured=True)
    assert refusal == (
        ""
        if allowed
        else f"parameter contact: got {after}, while active it may only go up from {before}; "
        "deactivate first"
    )
    assert check_change(change, now, active=False, configured=True) == ""


def test_the_reaction_needs_a_source_with_thresholds(rig, file):
    """Else nothing would be watched, although it was asked for."""
    rig.start_policy(contact="fault")
    assert not rig.change("configure")
    rig.wait_for_reason("parameter contact: got fault", "expected show, or such a source")
    value = Parameter("contact", value="show").to_parameter_msg()
    request = SetParameters.Request(parameters=[value])
    assert value.value.type == ParameterType.PARAMETER_STRING
    answer = call(rig.node, SetParameters, "/gr00t_policy/set_parameters", request)
    assert answer.results[0].successful
    assert rig.change("configure")
    value.value.string_value = "pause"
    answer = call(rig.node, SetParameters, "/gr00t_policy/set_parameters", request)
    assert "expected show, or such a source" in answer.results[0].reason


def test_two_publishers_of_the_same_values_refuse_an_activation(rig, file):
    """Both nodes are named: the values of one would hide what the other's show."""
    rig.start_policy(embodiment=file, contact="fault")
    assert rig.change("configure")
    own = rig.node.create_publisher(Float64MultiArray, "/torques", qos.SENSOR)
    node = rclpy.create_node("second_driver", context=rig.node.context)
    try:
        other = node.create_publisher(Float64MultiArray, "/torques", qos.SENSOR)
        wait_for_discovery(other.get_subscription_count, "a subscription of the second driver")
        silent = Float64MultiArray(data=[0.0, 0.0])

        def found():
            other.publish(silent)
            reason = rig.statuses[-1].reason  # a name may be discovered later
            named = ("two publishers at once of /torques", rig.node.get_name(), "second_driver")
            return all(part in reason for part in named)

        repeat(rig, own, Float64MultiArray(data=[1.0, 1.0]), found, "both publishers")
        assert not rig.change("activate")
    finally:
        node.destroy_node()
