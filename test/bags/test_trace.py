"""gr00t trace: the flows in a bag become the same trace as a running node's."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="the Python package rosbags is not installed")
pytest.importorskip("perfetto", reason="the Python package perfetto is not installed")

from bag_files import write_bag  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from trace_reader import flow_slices  # noqa: E402

from gr00t_ros.bags.trace import main  # noqa: E402
from gr00t_ros.errors import TraceError  # noqa: E402
from gr00t_ros.msg import ObservationFlow  # noqa: E402
from gr00t_ros.ros.flow_messages import flow_message, flow_of_message  # noqa: E402
from gr00t_ros.trace.flow import Flow, Span  # noqa: E402

SPANS = (Span("camera/front", 100, 110), Span("server", 200, 300), Span("controller", 400, 500))
EXECUTED = Flow(4, 4, 2, 5_000_000_123, -7, "executed", "", SPANS)
FAILED = Flow(5, 0, 2, 5_000_000_456, -7, "failed", "no server", SPANS[:1])


def test_a_message_keeps_the_whole_flow():
    """There and back."""
    assert flow_of_message(flow_message(EXECUTED)) == EXECUTED
    with pytest.raises(TraceError, match="expected as many of each"):
        flow_of_message(ObservationFlow(stages=["guard"], begin_ns=[1, 2], end_ns=[3]))
    for begin_ns, end_ns in ((-5, 3), (0, 3), (3, 2)):  # the trace's format has no negative times
        with pytest.raises(TraceError, match="guard: got"):
            flow_of_message(ObservationFlow(stages=["guard"], begin_ns=[begin_ns], end_ns=[end_ns]))


def test_a_bag_with_flows_becomes_a_trace(tmp_path, capsys):
    """Of any node name; a node that began to count anew gives flows of their own."""
    topic = "/left/gr00t_policy/flows"
    flows = (EXECUTED, FAILED, EXECUTED)
    messages = [(topic, number, flow_message(flow)) for number, flow in enumerate(flows, 1)]
    bag = write_bag(tmp_path / "bag", [*messages, ("/other", 9, String(data="x"))])
    output = tmp_path / "x.pftrace"
    assert main([str(bag), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: 3 observations (2 executed, 1 failed)\n"
    content = output.read_bytes()
    assert [one.name for one in flow_slices(content, 1)] == ["camera", "server", "controller"]
    assert [one.name for one in flow_slices(content, 2)] == ["camera"]
    assert flow_slices(content, 2)[0].facts["reason"] == "no server"
    assert len(flow_slices(content, 3)) == 3
    assert main([str(bag), "--output", str(output)]) == 2
    assert "is not overwritten" in capsys.readouterr().err


def test_a_bag_without_flows_is_refused(tmp_path, capsys):
    """With the topic that it would need."""
    bag = write_bag(tmp_path / "bag", [("/other", 9, String(data="x"))])
    assert main([str(bag), "--output", str(tmp_path / "x.pftrace")]) == 2
    assert "expected the node's topic ~/flows" in capsys.readouterr().err
    assert not (tmp_path / "x.pftrace").exists()
