"""The joint states of one topic as one: each joint with its own stamp and age."""

import numpy as np
import pytest

from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.joint_states import REBASE_NS, JointStates
from gr00t_ros.observe.readings import JointReading, select

MS = 1_000_000
START = 10**12
ARM, HAND = ("a1", "a2"), ("hand",)


def told(joints, stamp_ms, names, *positions):
    """One message, received when it was stamped."""
    stamp_ns = START + stamp_ms * MS
    joints.take(stamp_ns, stamp_ns, JointReading(names, np.array(positions, dtype=np.float64)))


@pytest.fixture
def joints():
    """An arm of 5 ms and a gripper of 0 ms."""
    joints = JointStates()
    told(joints, 0, HAND, 0.4)
    told(joints, 5, ARM, 1.0, 2.0)
    return joints


def age(joints, names):
    """The stamp of a sample of these joints, ms."""
    sample = joints.sample(names)
    assert sample.stamp_ns == sample.received_ns
    return (sample.stamp_ns - START) / MS


def test_partial_messages_are_merged_by_name(joints):
    """Whatever the order in which they come."""
    reading = joints.sample(ARM).value
    assert select(("hand", "a2", "a1"), reading).tolist() == [0.4, 2.0, 1.0]
    told(joints, 10, HAND, 0.5)
    assert select(("a1", "hand"), joints.sample(HAND).value).tolist() == [1.0, 0.5]


def test_a_sample_is_as_old_as_the_oldest_of_its_joints(joints):
    """And no older: the gripper does not age the arm."""
    assert (age(joints, ARM), age(joints, HAND), age(joints, (*ARM, *HAND))) == (5, 0, 0)


def test_a_joint_that_no_longer_comes_ages_and_is_named(joints):
    """Other joints of its message go on."""
    told(joints, 100, ("a1",), 1.5)
    assert (age(joints, ("a1",)), age(joints, ARM)) == (100, 5)
    assert select(ARM, joints.sample(ARM).value).tolist() == [1.5, 2.0]
    assert joints.older((*ARM, "never"), START + 6 * MS) == ("a2", "never")
    assert joints.older(ARM, START + 5 * MS) == ()


def test_a_joint_that_never_came_is_for_the_reader_to_refuse(joints):
    """Nothing is filled in."""
    sample = joints.sample(("a1", "a3"))
    assert (sample.stamp_ns - START) / MS == 5
    with pytest.raises(ObservationError, match="joints missing: a3; the message has: a1, a2, hand"):
        select(("a1", "a3"), sample.value)
    assert JointStates().sample(ARM) is None
    assert joints.has(("a1", "hand")) and not joints.has(("a3",))


@pytest.mark.parametrize(
    ("stamp_ms", "names", "positions", "words"),
    [
        (10, ("a1", "a1"), (0.0, 0.0), "joints twice in one message: a1"),
        (10, ("a1",), (), "got 1 joint names and 0 positions"),
        (5, ("a2",), (0.0,), "same stamp"),
        (4, ("a2",), (0.0,), "stamp went back by 0.001 s"),
    ],
)
def test_a_message_that_cannot_be_used_changes_nothing(joints, stamp_ms, names, positions, words):
    """Neither the joints that it has nor their stamps."""
    with pytest.raises(ObservationError, match=words):
        told(joints, stamp_ms, names, *positions)
    assert select(ARM, joints.sample(ARM).value).tolist() == [1.0, 2.0]
    assert age(joints, ARM) == 5


def test_a_clock_that_stays_back_becomes_the_new_time_base(joints):
    """Each joint for itself."""
    told(joints, 10**9, ARM, 7.0, 8.0)
    late_ns = START + 10**9 * MS + REBASE_NS + 1
    joints.take(START, late_ns, JointReading(ARM, np.array([9.0, 9.0])))
    assert joints.sample(ARM).stamp_ns == START


def test_velocities_are_merged_where_every_message_has_them():
    """Else there are none."""
    joints = JointStates()
    joints.take(START, START, JointReading(ARM, np.zeros(2), np.array([0.1, 0.2])))
    joints.take(START, START, JointReading(HAND, np.zeros(1), np.array([0.3])))
    assert sorted(joints.sample(ARM).value.velocity) == [0.1, 0.2, 0.3]
    joints.take(START + 1, START, JointReading(HAND, np.zeros(1)))
    assert joints.sample(ARM).value.velocity is None


def test_ever_new_joints_take_no_memory():
    """A publisher of nonsense does not fill the node."""
    joints = JointStates()
    for k in range(1000):
        told(joints, k, (f"j{k}",), 0.0)
    assert len(joints.sample(("j999",)).value.names) <= 64
    joints.clear()
    assert joints.sample(ARM) is None


def test_a_message_without_joints_costs_the_later_ones_nothing():
    """A broadcaster may begin with one; of a single message nothing has to be merged."""
    joints = JointStates()
    joints.take(1, 1, JointReading((), np.zeros(0)))
    assert joints.sample(("a",)).stamp_ns == 1
    reading = JointReading(("a", "b"), np.array([1.0, 2.0]))
    joints.take(2, 2, reading)
    assert joints.sample(("a",)).value is reading
