"""What the streamer takes for the measured position, and when it may begin a motion there."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws import examples

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from gr00t_ros.inputs.stream_report import Graph
from gr00t_ros.stream.measured import ALONE_NS, FRESH_NS, MeasuredJoints

MS = 1_000_000
ALONE_MS, FRESH_MS = ALONE_NS // MS, FRESH_NS // MS
START = 10**12
JOINTS = ("a", "b")
TRUE = {"a": 0.4, "b": -0.3}
TICK_MS = 5


class Queue:
    """The messages on /joint_states that the streamer has not taken yet."""

    topic, depth, number = "/joint_states", 64, None
    type_names = ("sensor_msgs/msg/JointState",)
    sent_ns = received_ns = 0

    def __init__(self):
        self.waiting = []

    def take(self):
        if not self.waiting:
            return None
        self.number, raw = self.waiting.pop(0)
        return raw

    def follow(self, publishers):
        pass


class Robot:
    """Publishers on one topic, and the streamer's reader of them on a clock of integers."""

    def __init__(self, numbered=True):
        self.now_ms, self.numbered = 0, numbered
        self.stepped_ms = 0  # by how much the clock of the stamps was set
        self.listed = []
        self.queue = Queue()
        node = SimpleNamespace(get_publishers_info_by_topic=lambda _: self.listed)
        self.read = MeasuredJoints(self.queue, Graph(node), JOINTS)

    def publisher(self, name, positions, number=1, listed=True):
        """A publisher of these positions; `send` has a message of some of them wait."""
        if listed:
            info = SimpleNamespace(node_name=name, topic_type=Queue.type_names[0])
            self.listed = [*self.listed, info]
        numbers = itertools.count(number)

        def send(*names):
            named = names or tuple(positions)
            state = JointState(name=named, position=[positions[each] for each in named])
            stamp_ns = self.ros_ns
            state.header.stamp.sec, state.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            count = next(numbers)
            self.queue.waiting.append((count if self.numbered else None, serialize_message(state)))

        return send

    def leave(self, name):
        """The graph no longer lists that publisher."""
        self.listed = [info for info in self.listed if info.node_name != name]

    @property
    def now_ns(self):
        return START + self.now_ms * MS

    @property
    def ros_ns(self):
        """The time of all stamps."""
        return self.now_ns + self.stepped_ms * MS

    def tick(self):
        """One tick of the streamer: what waits is taken."""
        self.now_ms += TICK_MS
        self.read.pull(self.now_ns, self.ros_ns)
        self.read.look(self.now_ns)

    def run(self, duration_ms, *sent):
        """The doubts of each tick; sent: (send, period ms), each sends at its multiples."""
        doubts = []
        for _ in range(duration_ms // TICK_MS):
            for send, period_ms in sent:
                if self.now_ms % period_ms == 0:
                    send()
            self.tick()
            doubts.append(self.read.doubt(self.now_ns))
        return doubts


@pytest.mark.parametrize("numbered", [True, False])
def test_one_publisher_alone_is_believed_after_a_while_and_not_at_its_first_message(numbered):
    """The first message may be the zeros of a publisher whose rival comes later."""
    robot = Robot(numbered)
    driver = robot.publisher("driver", TRUE)
    doubts = robot.run(ALONE_MS, (driver, 10))
    assert all(doubts)
    assert "one publisher alone for" in doubts[-1]
    assert robot.read.first(robot.now_ns) == doubts[-1]
    assert robot.run(100, (driver, 10))[-1] == ""
    np.testing.assert_array_equal(robot.read.first(robot.now_ns), [0.4, -0.3])


def test_nothing_is_believed_while_two_publishers_send_the_same_joints():
    """Whatever their rates, their counts and their order, at no tick; the text names them."""

    @settings(max_examples=examples(15), deadline=None)
    @example(["driver", "zeros"], (500, 100), (700, 1), True)  # a count that the other may reach
    @given(
        st.permutations(["driver", "zeros"]),
        st.tuples(*[st.sampled_from([5, 10, 35, 100, 500, 1000, 3000])] * 2),
        st.tuples(*[st.sampled_from([1, 2, 700, 50_000])] * 2),
        st.booleans(),
    )
    def hold(order, periods_ms, numbers, numbered):
        robot = Robot(numbered)
        values = {"driver": TRUE, "zeros": dict.fromkeys(JOINTS, 0.0)}
        sends = [
            (robot.publisher(name, values[name], number), period_ms)
            for name, number, period_ms in zip(order, numbers, periods_ms, strict=True)
        ]
        doubts = robot.run(12_000, *sends)
        assert all(doubts)
        named = "two publishers at once of a, b on /joint_states (driver, zeros): stop one of them"
        if max(periods_ms) <= 1000:
            assert named == robot.read.mixed(robot.now_ns) == robot.read.first(robot.now_ns)

    hold()


@pytest.mark.parametrize("late", [False, True], ids=["at once", "one on its way"])
@pytest.mark.parametrize("step_ms", [-60_000, -700, -20, 700, 60_000])
def test_a_clock_that_is_set_hides_the_position_for_no_longer_than_a_message_takes(step_ms, late):
    """A streamer that publishes no state for half a second is a fault of the policy node."""
    robot = Robot()
    driver = robot.publisher("driver", TRUE)
    assert robot.run(ALONE_MS + 500, (driver, 10))[-1] == ""
    driver()
    before = [robot.queue.waiting.pop()] if late else []
    robot.stepped_ms = step_ms
    robot.tick()
    robot.queue.waiting += before
    hidden_ms = longest_ms = 0
    for _ in range(600):
        if robot.now_ms % 10 == 0:
            driver()
        robot.tick()
        known = robot.read.position(robot.now_ns) is not None
        hidden_ms = 0 if known else hidden_ms + TICK_MS
        longest_ms = max(longest_ms, hidden_ms)
        assert not robot.read.mixed(robot.now_ns)
    assert longest_ms <= 30
    assert robot.read.doubt(robot.now_ns) == ""


@pytest.mark.parametrize("stays", ["driver", "zeros"])
@pytest.mark.parametrize("numbered", [True, False])
def test_a_publisher_that_leaves_ends_the_doubt_and_the_other_ones_values_count(stays, numbered):
    """Whichever of them it is, after it has been alone for the whole time."""
    robot = Robot(numbered)
    values = {"driver": TRUE, "zeros": dict.fromkeys(JOINTS, 0.0)}
    sends = {name: robot.publisher(name, values[name]) for name in values}
    assert all(robot.run(2000, (sends["zeros"], 10), (sends["driver"], 10)))
    robot.leave(*(values.keys() - {stays}))
    after = robot.run(ALONE_MS + 3000, (sends[stays], 10))
    assert all(after[: ALONE_MS // TICK_MS - 3]) and after[-1] == ""
    np.testing.assert_array_equal(robot.read.first(robot.now_ns), [*values[stays].values()])


def test_a_single_message_of_a_second_publisher_begins_the_time_anew():
    """Two that take turns are never believed, though neither is heard twice within the time."""
    robot = Robot()
    driver, zeros = robot.publisher("driver", TRUE), robot.publisher("zeros", {"a": 0.0})
    robot.run(ALONE_MS // 2, (driver, 10))
    zeros()
    after = robot.run(ALONE_MS, (driver, 10))
    assert all(after[: ALONE_MS // TICK_MS - 3])


def test_without_numbers_the_graph_is_asked_before_the_first_motion():
    """Its last look may be a second old, and the other publisher's zeros taken since."""
    robot = Robot(numbered=False)
    driver = robot.publisher("driver", TRUE)
    assert robot.run(ALONE_MS + 1200, (driver, 10))[-1] == ""
    zeros = robot.publisher("zeros", dict.fromkeys(JOINTS, 0.0))
    zeros()
    robot.tick()
    assert robot.read.doubt(robot.now_ns) == "", "the graph was not looked at since"
    assert "two publishers at once" in robot.read.first(robot.now_ns)


@pytest.mark.parametrize("publishers", [1, 2])
@pytest.mark.parametrize("numbered", [True, False])
def test_joints_in_several_messages_are_one_position(publishers, numbered):
    """An arm and its hand, by one driver in turns or by one each."""
    robot = Robot(numbered)
    arm = robot.publisher("arm", TRUE)
    hand = robot.publisher("hand", TRUE, 900) if publishers == 2 else arm
    doubts = robot.run(ALONE_MS + 1500, (lambda: arm("a"), 10), (lambda: hand("b"), 35))
    assert doubts[-1] == "" and not any("two publishers" in doubt for doubt in doubts)
    np.testing.assert_array_equal(robot.read.first(robot.now_ns), [0.4, -0.3])


def test_a_joint_that_grew_stale_makes_the_position_unknown_and_is_named():
    """However fresh the others are."""
    robot = Robot()
    arm, hand = robot.publisher("arm", {"a": 0.4}), robot.publisher("hand", {"b": -0.3})
    assert robot.run(ALONE_MS + 500, (arm, 10), (hand, 10))[-1] == ""
    robot.run(FRESH_MS - 2 * TICK_MS, (arm, 10))
    assert robot.read.position(robot.now_ns) is not None
    (*_, doubt) = robot.run(100, (arm, 10))
    assert robot.read.position(robot.now_ns) is None
    assert doubt == "for 0.2 s no joint state of b on /joint_states"


def test_a_joint_that_is_missing_or_withheld_is_named_with_its_cause():
    """Nobody sends it, or another joint of its message has a second publisher."""
    robot = Robot()
    robot.run(100, (robot.publisher("arm", {"a": 0.4}), 10))
    assert robot.read.doubt(robot.now_ns) == "no joint state of b on /joint_states"
    robot = Robot()
    finger = robot.publisher("hand", {"finger": 0.0}, 900)
    arm = robot.publisher("arm", TRUE | {"finger": 0.1})
    robot.run(1000, (finger, 10), (arm, 10))
    assert "two publishers at once of finger" in robot.read.doubt(robot.now_ns)


def test_what_came_while_the_process_slept_proves_nothing():
    """A queue of the driver's newest messages may have lost the other publisher's."""
    robot = Robot()
    driver = robot.publisher("driver", TRUE)
    robot.run(100, (driver, 10))
    robot.now_ms += 10 * ALONE_MS
    assert all(robot.run(ALONE_MS // 2, (driver, 10)))


def test_what_the_policy_node_does_not_read_is_no_position():
    """NaN, a message without a stamp: with their reasons."""
    robot = Robot()
    robot.run(100, (robot.publisher("driver", {"a": float("nan"), "b": 0.0}), 10))
    assert "not finite" in robot.read.doubt(robot.now_ns)
    robot = Robot()
    raw = serialize_message(JointState(name=JOINTS, position=[0.4, -0.3]))
    robot.queue.waiting.append((1, raw))
    robot.tick()
    assert "header stamp is zero" in robot.read.doubt(robot.now_ns)
