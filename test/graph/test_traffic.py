"""A topic's rate, losses and clock offset come out right from its messages' times and numbers."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from sensor_msgs.msg import Image, JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from gr00t_ros.graph.traffic import Survey, TopicTraffic  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.tools.doctor_checks import (
    WARN,  # noqa: E402
    traffic,  # noqa: E402
)

MS = 1_000_000


def heard(*triples):
    """A topic whose messages were received and stamped at these ms, each with its joints."""
    topic = TopicTraffic("/camera", 30.0)
    for received_ms, stamp_ms, *joints in triples:
        topic.joints.append(tuple(joints))
        topic.steady_ns.append(received_ms * MS)
        topic.ros_ns.append(received_ms * MS)
        topic.stamps_ns.append(stamp_ms * MS)
    return topic


def test_the_rate_is_that_of_the_intervals():
    """Three messages in 100 ms are two intervals of 50 ms; one message has none."""
    assert heard((0, 0), (40, 40), (100, 100)).rate_hz == pytest.approx(20.0)
    assert heard((5, 5)).rate_hz == 0.0


def test_one_late_message_is_no_offset_of_the_clocks():
    """The median of arrival less stamp; negative for a clock that is ahead."""
    assert heard((10, 8), (300, 50), (103, 100)).offset_s == pytest.approx(0.003)
    assert heard((10, 110)).offset_s == pytest.approx(-0.1)
    assert heard().offset_s == 0.0


def test_a_stamp_before_the_one_before_runs_backward():
    """An equal one does not: that is a frozen picture."""
    assert heard((0, 10), (5, 9)).backward
    assert not heard((0, 10), (5, 10), (9, 11)).backward


def test_stamps_run_backward_only_among_messages_of_the_same_joints():
    """An arm's message may arrive before an older one of its gripper."""
    assert not heard((0, 10, "arm"), (5, 9, "finger"), (10, 20, "arm"), (15, 19, "finger")).backward
    assert heard((0, 10, "arm"), (5, 9, "finger"), (10, 8, "finger")).backward


def test_forgetting_begins_anew():
    """Of all three."""
    topic = heard((0, 10), (5, 9))
    topic.forget()
    assert (topic.rate_hz, topic.offset_s, topic.backward) == (0.0, 0.0, False)


def numbered(*numbers):
    """A topic of 30 Hz whose messages of these numbers came."""
    topic = heard(*((33.3 * k, 33.3 * k) for k in range(len(numbers))))
    for number in numbers:
        topic.count(number)
    return topic


def offer(node="camera", reliable=False):
    """A publisher as the graph tells of it."""
    return SimpleNamespace(
        node_name=node,
        topic_type="sensor_msgs/msg/Image",
        qos_profile=qos.PICTURES[1] if reliable else qos.SENSOR,
    )


def said(topic, *publishers):
    """What the doctor warns of."""
    node = SimpleNamespace(
        get_publishers_info_by_topic=lambda _name: publishers, resolve_topic_name=lambda name: name
    )
    rows = traffic(node, SimpleNamespace(video=()), {topic.name: topic})
    return [row.text for row in rows if row.level == WARN]


def test_what_is_lost_on_the_way_is_told_from_a_slow_driver():
    """By the numbers: every second one is missing of a driver that keeps its rate."""
    lossy = numbered(*range(1, 40, 2))
    assert (lossy.lost, lossy.lost_share) == (19, 0.5)
    lossy.declared_hz = 60.0
    (text,) = said(lossy, offer())
    assert text.startswith("60.1 Hz are sent and 30.0 Hz arrive, 50 % are lost on the way")
    assert "let camera offer reliable" in text and "docs/dds.md" in text
    (text,) = said(lossy, offer(reliable=True))
    assert "offer reliable" not in text and "shared-memory segment" in text


def test_a_slow_driver_is_one_that_sends_too_little():
    """Nothing is missing between its numbers."""
    slow = numbered(*range(1, 20))
    slow.declared_hz = 60.0
    (text,) = said(slow, offer())
    assert text.startswith("30.0 Hz are sent, the file says 60: set the driver's rate")


def test_the_numbers_of_two_publishers_tell_no_loss():
    """Nor does a middleware without numbers, or a restarted driver."""
    two = numbered(1, 500, 2, 501, 3)
    two.shared = True
    assert said(two, offer("arm"), offer("gripper")) == []
    two.shared = False
    (text,) = said(two, offer("one"), offer("two"))
    assert text.startswith("2 publishers at once (one, two)")
    assert numbered(*[None] * 9).lost_share == numbered(7, 8, 1, 2).lost_share == 0.0


class Graph:
    """A node that has these topics, each with its types, and delivers what it is told to."""

    def __init__(self, **topics):
        self.topics = {f"/{name}": list(types) for name, types in topics.items()}
        self.takes = {}

    def get_topic_names_and_types(self):
        """As rclpy's node."""
        return list(self.topics.items())

    def create_subscription(self, kind, topic, take, _profile):
        """As rclpy's node; one a topic."""
        assert topic not in self.takes
        self.takes[topic] = kind, take


JOINTS, TEXT = "sensor_msgs/msg/JointState", "std_msgs/msg/String"


def surveyed(graph, *messages):
    """What a survey knows after these messages, by topic."""
    survey = Survey(graph)
    survey.look()
    for topic, message in messages:
        graph.takes[topic][1](message)
    return survey.known()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_joints_in_several_messages_are_all_known_whichever_came_last(order):
    """An arm, its gripper, and wheels without positions, which the node cannot use."""
    parts = (
        JointState(name=["j1", "j2"], position=[0.1, 0.2]),
        JointState(name=["finger"], position=[0.3]),
        JointState(name=["wheel"], velocity=[1.0]),
    )
    old = JointState(name=["j1", "j2"], position=[9.0, 9.0])
    messages = [("/joint_states", part) for part in (old, *(parts[at] for at in order))]
    known = surveyed(Graph(joint_states=[JOINTS]), *messages)
    assert known.positions == {"j1": 0.1, "j2": 0.2, "finger": 0.3}
    assert {topic: set(has) for topic, has in known.joint_topics.items()} == {
        "/joint_states": {"j1", "j2", "finger"}
    }
    assert known.remarks == {}


@pytest.mark.parametrize("types", [[JOINTS, TEXT], [TEXT, JOINTS]])
def test_a_topic_with_several_types_is_named_and_the_useful_one_is_read(types):
    """In whatever order the graph has them."""
    graph = Graph(joint_states=types, robot_description=types, other=[TEXT, "std_msgs/msg/Bool"])
    known = surveyed(graph, ("/joint_states", JointState(name=["j1"], position=[0.1])))
    assert known.positions == {"j1": 0.1}
    assert {topic: kind for topic, (kind, _) in graph.takes.items()} == {
        "/joint_states": JointState,
        "/robot_description": String,
    }
    assert known.remarks[""] == (
        f"/joint_states has several types, {' and '.join(types)}: {JOINTS} is read; give each a "
        "topic of its own",
        f"/robot_description has several types, {' and '.join(types)}: {TEXT} is read; give each "
        "a topic of its own",
    )


def test_a_topic_of_one_type_needs_no_remark():
    """A type that nothing reads is not subscribed to."""
    graph = Graph(camera=["sensor_msgs/msg/Image"], words=[TEXT])
    assert surveyed(graph).remarks == {}
    assert {topic: kind for topic, (kind, _) in graph.takes.items()} == {"/camera": Image}
