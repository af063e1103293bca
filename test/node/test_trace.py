"""A running node records its observations: one flow from a camera's stamp to the controller."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("perfetto", reason="the Python package perfetto is not installed")

from node_robot import NEEDS_ROBOT, NODE  # noqa: E402
from ros_fixtures import call, collect, wait_until  # noqa: E402
from trace_reader import flow_slices, slices_of  # noqa: E402

from gr00t_ros.msg import ObservationFlow  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.srv import Trace  # noqa: E402
from gr00t_ros.trace.flow import CAMERA_STAGES, STAGES, TOTAL  # noqa: E402

pytestmark = NEEDS_ROBOT


def ask(rig, seconds, path):
    """The answer of ~/trace."""
    request = Trace.Request(seconds=float(seconds), path=str(path))
    return call(rig.node, Trace, f"{NODE}/trace", request)


def asked(rig, seconds, path):
    """The future of an answer that comes later."""
    client = rig.node.create_client(Trace, f"{NODE}/trace")
    wait_until(client.service_is_ready, "the service ~/trace")
    return client.call_async(Trace.Request(seconds=float(seconds), path=str(path)))


def test_a_trace_of_a_moving_robot_follows_an_observation_to_its_controller(rig, tmp_path):
    """In the file, on the topic and in the status; requests that cannot be are answered."""
    rig.start_robot()
    rig.start_server("sweep_policy:make_policy")
    rig.start_policy()
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    assert "activate it first" in ask(rig, 1, tmp_path / "early.pftrace").message
    flows = collect(rig.node, ObservationFlow, f"{NODE}/flows", qos.FLOWS)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()
    path = tmp_path / "moving.pftrace"
    wait_until(lambda: len(flows) > 2, "flows on the topic")
    first = asked(rig, 5, path)
    short = tmp_path / "short.pftrace"
    wait_until(lambda: f"{path} is under way" in ask(rig, 0, short).message, "a recording")
    for seconds, other, why in (
        (1, tmp_path / "second.pftrace", f"a recording to {path} is under way"),
        (0, tmp_path / "short.pftrace", "a recording to"),
    ):
        answer = ask(rig, seconds, other)
        assert not answer.success and why in answer.message
    wait_until(first.done, "the answer of the recording")
    assert (first.result().success, first.result().message) == (True, str(path))
    assert slices_of(path.read_bytes())
    for seconds, other, why in (
        (0, tmp_path / "short.pftrace", "seconds: got 0, expected 0.1 to 300"),
        (float("nan"), tmp_path / "nan.pftrace", "seconds: got nan"),
        (1, "here.pftrace", "expected one that begins with /"),
        (1, tmp_path / "none" / "x.pftrace", "there is no folder"),
        (1, path, "not overwritten"),
        (1, "/proc/x.pftrace", "be written"),
    ):
        answer = ask(rig, seconds, other)
        assert not answer.success and why in answer.message, answer.message
    status = rig.wait_for_status(lambda s: s.mode == "replaying", "motion after all of these")
    names = {TOTAL, *(stage.name for stage in (*CAMERA_STAGES, *STAGES))}
    assert names <= {stage.stage for stage in status.latencies}
    halved = asked(rig, 60, tmp_path / "halved.pftrace")
    under_way = "halved.pftrace is under way"
    wait_until(lambda: under_way in ask(rig, 0, short).message, "the last recording")
    count = len(flows)
    wait_until(
        lambda: sum(one.outcome == "executed" for one in flows[count:]) > 2,
        "executed observations in the recording",
    )
    assert rig.change("deactivate")
    wait_until(halved.done, "the answer of the recording that the deactivation ended")
    assert not halved.result().success
    assert "deactivated after" in halved.result().message
    assert f"are in {tmp_path / 'halved.pftrace'}" in halved.result().message
    assert_flows((tmp_path / "halved.pftrace").read_bytes(), flows)
    assert not list(tmp_path.glob(".*"))


def assert_flows(content, flows):
    """Every executed observation has all stages, one after another, and as on the topic."""
    found = {one.flows[0] for one in slices_of(content) if one.name == "controller"}
    assert found
    for number in found:
        slices = flow_slices(content, number)
        ways = [one for one in slices if not one.track.startswith("cameras")]
        assert [one.name for one in ways] == [stage.name for stage in STAGES]
        assert [one.begin_ns for one in ways[1:]] == [one.end_ns for one in ways[:-1]]
        assert [one.ends_flow for one in ways] == [False] * (len(ways) - 1) + [True]
        cameras = {one.track for one in slices if one.track.startswith("cameras: ")}
        assert len(cameras) == 2
        (wait, pull), stamped = ways[:2], [one for one in slices if one.name == "camera"]
        oldest_ns = min(one.begin_ns for one in stamped)
        assert oldest_ns < pull.begin_ns, "a query waits for pictures that are not stamped yet"
        assert wait.begin_ns <= pull.begin_ns
        wait_until(lambda n=number: n in [one.number for one in flows], "its message")
        (message,) = (one for one in flows if one.number == number)
        assert message.outcome == "executed" and message.sequence
        assert sorted(message.begin_ns) == [one.begin_ns for one in slices]
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec - message.ros_offset_ns
        assert abs(stamp_ns - oldest_ns) < 10**9
