"""Sources of contacts on topics that several publishers share; messages and graph are stand-ins."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import WrenchStamped  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray  # noqa: E402

from gr00t_ros.graph import contact  # noqa: E402
from gr00t_ros.graph.contact import Contacts  # noqa: E402
from gr00t_ros.robot.contact.sources import ContactSource  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402

MS = 1_000_000
TORQUES = ContactSource("arm", "external_torques", "/t", ("a", "b"), (15.0, 15.0), "us", 10 * MS)
FORCE = ContactSource("wrist", "wrench", "/t", ("x", "y", "z"), (15.0,), "us", 10 * MS)
FLAG = ContactSource("robot", "flag", "/t")


def joints(effort, names=("a", "b")):
    """A JointState of efforts."""
    return JointState(name=list(names), effort=list(effort))


def force(x):
    """A WrenchStamped."""
    message = WrenchStamped()
    message.wrench.force.x = x
    return message


class Queue:
    """Stands where a PulledSubscription does: what waits, each with its publisher's number."""

    topic, depth = "/t", 64

    def __init__(self, *_):
        self.waiting, self.number, self.sent_ns = [], None, 0

    def take(self):
        """The next message that waits."""
        if not self.waiting:
            return None
        self.number, self.sent_ns, message = self.waiting.pop(0)
        return message

    def follow(self, publishers):
        """Nothing depends on them."""

    type_names = ()


class Rig:
    """Contacts of one source, in ticks of 1 ms in which each publisher may send."""

    def __init__(self, monkeypatch, source, nodes=("driver", "stranger"), **values):
        queues = []

        def subscribe(*_):
            queues.append(Queue())
            return queues[-1]

        monkeypatch.setattr(contact, "PulledSubscription", subscribe)
        monkeypatch.setattr(contact.time, "monotonic_ns", lambda: self.now_ns)
        self.now_ns, self.counts = 10**12, {}
        self.nodes = list(nodes)
        node = SimpleNamespace(
            get_publishers_info_by_topic=lambda _: [
                SimpleNamespace(node_name=name, topic_type="any") for name in self.nodes
            ]
        )
        robot = SimpleNamespace(contacts=(source,))
        self.contacts = Contacts(node, robot, replace(DEFAULTS, **values))
        self.contacts.look()
        (self.queue,) = queues

    def tick(self, **messages):
        """The reasons of the findings after these messages, by publisher; numbers go on."""
        self.now_ns += MS
        for publisher, message in messages.items():
            number = self.counts[publisher] = self.counts.get(publisher, len(publisher) * 1000) + 1
            self.queue.waiting.append((number, self.now_ns, message))
        return [(found.reaction.value, found.reason) for found in self.contacts.findings()]


@pytest.mark.parametrize("reaction", ["pause", "fault"])
@pytest.mark.parametrize(
    ("source", "touched", "other"),
    [
        (TORQUES, joints((20.0, 1.0)), joints((0.0, 0.0))),
        (TORQUES, joints((20.0, 1.0)), joints((0.0,), ("a",))),
        (TORQUES, Float64MultiArray(data=[20.0, 1.0]), Float64MultiArray(data=[0.0, 0.0])),
        (FORCE, force(20.0), force(0.0)),
        (FLAG, Bool(data=True), Bool(data=False)),
    ],
)
def test_a_second_publisher_of_the_same_values_hides_no_contact(
    monkeypatch, reaction, source, touched, other
):
    """Its values are not used, and that it is there is a finding too, which names both nodes."""
    rig = Rig(monkeypatch, source, contact=reaction)
    for _ in range(30):
        found = rig.tick(driver=touched, second=other)
    touch, mixed = found
    assert "at most 15 allowed" in touch[1] or "the robot reports a contact" in touch[1]
    assert "two publishers at once of" in mixed[1] and "(driver, stranger)" in mixed[1]
    assert touch[0] == mixed[0] == reaction


def test_two_publishers_stay_a_finding_until_one_of_them_is_gone(monkeypatch):
    """The graph decides; the node that has not been seen there is asked for at once."""
    rig = Rig(monkeypatch, FORCE, nodes=("driver",), contact="pause")
    rig.tick(driver=force(0.0))
    rig.nodes.append("stranger")
    found = [rig.tick(driver=force(0.0), second=force(0.0)) for _ in range(5)]
    ((_, reason),) = found[-1]
    assert reason == (
        "contact wrist on /t: two publishers at once of /t (driver, stranger): stop one of them"
    )
    rig.nodes.remove("stranger")
    rig.contacts.look()
    assert rig.tick(driver=force(0.0)) == []


def test_two_publishers_are_only_shown_where_contacts_are(monkeypatch):
    """With the parameter contact: show."""
    rig = Rig(monkeypatch, FORCE, contact="show")
    for _ in range(5):
        assert rig.tick(driver=force(0.0), second=force(0.0)) == []
    ((name, text),) = rig.contacts.details()
    assert name == "contact wrist"
    assert "two publishers at once of /t (driver, stranger)" in text


@pytest.mark.parametrize(
    "other",
    [
        joints((0.1,), ("gripper",)),
        joints((), ("gripper",)),
        JointState(name=["wheel1", "wheel2"], velocity=[1.0, 2.0]),
        joints((0.1, 0.1), ("gripper", "gripper")),
        joints((), ()),
    ],
)
def test_other_joints_on_the_topic_are_no_finding(monkeypatch, other):
    """Of a gripper or of wheels, whatever their messages lack; a contact is still found."""
    rig = Rig(monkeypatch, TORQUES, contact="fault")
    for k in range(500):
        found = rig.tick(driver=joints((1.0, 1.0)), **({} if k % 20 else {"second": other}))
        assert found == []
    for _ in range(20):
        found = rig.tick(driver=joints((20.0, 1.0)), second=other)
    ((_, reason),) = found
    assert "a 20.0 Nm, at most 15 allowed" in reason


def test_each_joint_may_come_from_a_publisher_of_its_own(monkeypatch):
    """Only the silence of a joint of the source is a finding."""
    rig = Rig(monkeypatch, TORQUES, contact="fault")
    rig.tick(driver=joints((1.0,), ("a",)), second=joints((1.0,), ("b",)))
    for _ in range(200):
        assert rig.tick(driver=joints((1.0,), ("a",)), second=joints((1.0,), ("b",))) == []
    found = [rig.tick(driver=joints((1.0,), ("a",))) for _ in range(201)]
    assert found[-2] == []
    assert "last usable message of b 0.20 s ago" in found[-1][0][1]
