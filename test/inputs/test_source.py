"""A source keeps the newest usable samples and names its problem; time is passed as integers."""

import gc

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402

from gr00t_ros.errors import ObservationError  # noqa: E402
from gr00t_ros.inputs import cdr, images  # noqa: E402
from gr00t_ros.inputs.camera_watch import CameraWatch  # noqa: E402
from gr00t_ros.inputs.readings import PictureReader  # noqa: E402
from gr00t_ros.inputs.source import (  # noqa: E402
    History,
    JointSource,
    Source,
)
from gr00t_ros.inputs.stream_report import report  # noqa: E402
from gr00t_ros.observe.joint_states import (
    REBASE_NS,  # noqa: E402
    JointPublishers,  # noqa: E402
)
from gr00t_ros.observe.observation import ObservationSettings  # noqa: E402
from gr00t_ros.observe.transit import LEAST_OF, LOOKED_NS  # noqa: E402
from gr00t_ros.robot.streams import StateStream, VideoStream  # noqa: E402

MS = 1_000_000
START = 10**12
HISTORY = History(2000 * MS, 10**9)


class FakeSubscription:
    """Stands where PulledSubscription does; `waiting` is its depth-1 queue."""

    topic, depth, number, sent_ns, received_ns = "/topic", 1, None, 0, 0

    def __init__(self):
        self.waiting = None

    def take(self):
        taken, self.waiting = self.waiting, None
        if isinstance(taken, Exception):
            raise taken
        return taken


def _source(period_ns=50 * MS, **more):
    return Source(FakeSubscription(), lambda message: message, HISTORY, period_ns, **more)


def _receive(source, message, now_ns):
    source.subscription.waiting = message
    source.pull(now_ns)


def test_a_good_message_becomes_a_sample():
    """With its stamp, when it was taken, and its value."""
    source = _source()
    _receive(source, (5, "value"), START)
    newest = source.buffer.latest()
    assert (newest.stamp_ns, newest.received_ns, newest.value) == (5, START, "value")
    assert (source.received, source.refused, source.problem) == (1, 0, "")


def test_a_sample_tells_the_longest_way_of_the_last_messages():
    """From stamp or publication to arrival; negative from the future, None without an arrival."""
    source, found = _source(), []
    source.subscription.depth = 8
    for now_ns, stamp_ns, sent_ns, arrived_ns in [
        (0, 10, 12, 15),
        (20 * MS, 20, 22, 31),
        (40 * MS, 40, 41, 44),
        (20 * MS + LOOKED_NS, 50, 52, 53),
        (60 * MS + LOOKED_NS, 60, 62, 66),
        (80 * MS + LOOKED_NS, 75, 60, 65),
        (90 * MS + LOOKED_NS, 80, 80, 0),
    ]:
        source.subscription.sent_ns, source.subscription.received_ns = sent_ns, arrived_ns
        _receive(source, (stamp_ns, "value"), START + now_ns)
        found.append(source.buffer.latest().transit_ns)
    assert found == [5, 11, 11, 11, 6, -10, None]


def test_a_sample_tells_how_far_its_publishers_clock_is_from_ours_at_least():
    """By several messages in a row, and anew after a clock jump; 0 without an arrival."""
    source, found, few = _source(), [], LEAST_OF - 1
    for number in range(2 * few + 5):
        stamp_ns = (number + 1) * 8 * MS
        source.subscription.received_ns = 0 if number == 2 * few + 3 else stamp_ns + 80 * MS
        _receive(source, (stamp_ns, "value"), START + stamp_ns)
        found.append(source.buffer.latest().least_way_ns)
        if number == few + 1:
            source.clear()
    assert found == [*[None] * few, 80 * MS, 80 * MS, *[None] * few, 80 * MS, 0, 80 * MS]


def test_in_simulated_time_the_way_of_a_state_tells_how_late_the_clock_arrives():
    """By the node's own time; what the middleware's clock says is another time."""
    late_ns, true_ns = 60 * MS, [0]
    source = _source(simulated_now_ns=lambda: true_ns[0] - late_ns)
    found = []
    for number in range(LEAST_OF + 1):
        true_ns[0] = 10**10 + number * 20 * MS
        source.subscription.received_ns = 1_700_000_000 * 10**9 + number
        _receive(source, (true_ns[0] - 4 * MS, "value"), START + number * 8 * MS)
        found.append(source.buffer.latest().least_way_ns)
    assert found[0] is None
    assert found[-1] == -late_ns + 4 * MS


def test_a_way_that_a_refused_message_took_is_not_forgotten():
    """The next sample tells of it."""
    source = _source()
    source.subscription.depth = 8
    for stamp_ns, sent_ns, arrived_ns in [(10, 11, 12), (0, 20, 90), (100, 101, 102)]:
        source.subscription.sent_ns, source.subscription.received_ns = sent_ns, arrived_ns
        _receive(source, (stamp_ns, "value"), START)
    assert source.buffer.latest().transit_ns == 70


def test_nothing_waiting_changes_nothing():
    """A pull between two messages is no event."""
    source = _source()
    source.pull(START)
    assert (source.received, len(source.buffer)) == (0, 0)


def test_a_stamp_of_zero_is_refused_and_said():
    """The time of arrival never stands in for the time of measurement."""
    source = _source()
    _receive(source, (0, "value"), START)
    assert source.buffer.latest() is None
    assert (source.received, source.refused) == (1, 1)
    assert "header stamp is zero" in source.problem


def test_a_repeated_stamp_is_refused_for_ever():
    """A frozen driver is never mistaken for a new time base."""
    source = _source()
    for index in range(5):
        _receive(source, (7, index), START + index * REBASE_NS)
    assert source.buffer.latest().value == 0
    assert source.refused == 4
    assert "same stamp" in source.problem


def test_a_stamp_that_goes_back_is_refused_while_the_newer_one_is_recent():
    """A second publisher with an older clock does not take over."""
    source = _source()
    _receive(source, (900 * MS, "new"), START)
    _receive(source, (400 * MS, "old"), START + REBASE_NS)
    assert source.buffer.latest().value == "new"
    assert "went back by 0.500 s" in source.problem


def test_a_clock_that_stays_back_becomes_the_new_time_base():
    """One stamp from the future does not silence a camera until the node restarts."""
    source = _source()
    _receive(source, (10**18, "from the future"), START)
    _receive(source, (900 * MS, "old base"), START + REBASE_NS)
    _receive(source, (950 * MS, "new base"), START + REBASE_NS + 1)
    assert (source.buffer.latest().value, len(source.buffer)) == ("new base", 1)
    assert source.problem == ""


def test_the_next_good_message_clears_the_problem():
    """What is over is not reported, but it was counted."""
    source = _source()
    _receive(source, (0, "value"), START)
    _receive(source, (1, "value"), START)
    assert (source.problem, source.refused) == ("", 1)


def test_a_message_that_cannot_be_read_is_a_problem_and_no_sample():
    """Neither the middleware's refusal nor the reader's leaves the source."""

    def refuse(message):
        raise ObservationError("encoding 'mono16'")

    source = Source(FakeSubscription(), refuse, History(MS, 1), MS)
    _receive(source, "message", START)
    assert (source.problem, source.received, source.refused) == ("encoding 'mono16'", 1, 1)
    _receive(source, ObservationError("cannot take"), START)
    assert (source.problem, len(source.buffer)) == ("cannot take", 0)


def test_pulls_stay_on_the_grid_of_their_period():
    """A late tick neither shifts the following ones nor makes them catch up."""
    source = _source(period_ns=50 * MS)
    ticks = [0, 20, 35, 55, 80, 100, 275, 280, 310]
    due = [tick for tick in ticks if source.due(START + tick * MS)]
    assert due == [0, 55, 100, 275, 310]


def test_a_pull_for_an_observation_postpones_the_next_by_a_period():
    """A camera is looked at as often as it must be, not more often while the policy is asked."""
    source = _source(period_ns=50 * MS)
    assert source.due(0)
    source.postpone(30 * MS)
    assert not source.due(50 * MS)
    assert not source.due(79 * MS)
    assert source.due(80 * MS)
    assert not source.due(129 * MS)
    assert source.due(130 * MS)


def test_a_timer_of_the_same_period_may_jitter():
    """No tick is skipped because it comes a little earlier than the first did."""
    source = _source(period_ns=20 * MS)
    jitter = [3, 0, 2, 0, 4, 0]
    assert all(source.due(START + (20 * k + j) * MS) for k, j in enumerate(jitter))


def _frames(source, sizes):
    for index, size in enumerate(sizes):
        _receive(source, bytes(size), START + index)


@pytest.mark.parametrize(("max_bytes", "kept"), [(10_000, 10), (500, 1)])
def test_large_messages_are_dropped_oldest_first_at_the_memory_cap(max_bytes, kept):
    """The history never takes more memory than it may; the newest is always there."""
    stamps = iter(range(1, 100))
    source = Source(
        FakeSubscription(),
        lambda raw: (next(stamps), raw),
        History(2000 * MS, max_bytes),
        50 * MS,
    )
    _frames(source, [1000] * 30)
    assert len(source.buffer) == kept
    assert source.buffer.latest().stamp_ns == 30
    assert "of its history fit into" in source.problem


def test_growing_messages_keep_to_the_cap():
    """A camera that changes to larger pictures gets fewer of them."""
    stamps = iter(range(1, 100))
    source = Source(
        FakeSubscription(),
        lambda raw: (next(stamps), raw),
        History(2000 * MS, 100_000),
        50 * MS,
    )
    _frames(source, [1000] * 30)
    assert (len(source.buffer), source.problem) == (30, "")
    _frames(source, [10_000] * 30)
    assert len(source.buffer) == 10


def test_a_larger_message_costs_the_oldest_samples_alone():
    """A compressed frame larger than any before must not empty the history (22 frames to 1)."""
    stamps = iter(range(1, 100))
    source = Source(
        FakeSubscription(),
        lambda raw: (next(stamps), raw),
        History(2000 * MS, 10_000),
        50 * MS,
    )
    _frames(source, [400] * 22)
    _frames(source, [500])
    assert (len(source.buffer), source.buffer.oldest().stamp_ns) == (20, 4)
    assert source.buffer.latest().stamp_ns == 23


def _frame(transport):
    """A serialised picture of 4x6 pixels, red 200."""
    pixels = np.full((4, 6, 3), (200, 10, 20), np.uint8)
    if transport == "compressed":
        message = CompressedImage(format="png")
        message.data.frombytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    else:
        message = Image(height=4, width=6, encoding="rgb8", step=18)
        message.data.frombytes(pixels.tobytes())
    message.header.stamp.sec = 5
    return bytes(serialize_message(message))


@pytest.mark.parametrize(
    ("transport", "parse"), [("raw", "image"), ("compressed", "compressed_image")]
)
def test_a_frame_s_header_is_parsed_once(transport, parse, monkeypatch):
    """On its way through the watches and into a request; what is kept keeps its own bytes."""
    parsed, original = [], getattr(cdr, parse)
    monkeypatch.setattr(cdr, parse, lambda raw: parsed.append(len(raw)) or original(raw))
    stream = VideoStream("front", "/front", 4, 6, "stretch", (0,), transport)
    source = Source(FakeSubscription(), PictureReader([stream]), HISTORY, 50 * MS)
    source.subscription.waiting = _frame(transport)
    taken = source.pull(START)
    CameraWatch("video.front").see(*taken)
    gc.collect()
    slot = np.zeros((4, 6, 3), np.uint8)
    images.decode_into(source.buffer.latest().value, stream, slot)
    assert slot[..., 0].min() == 200
    assert len(parsed) == 1


def test_clear_forgets():
    """After a clock jump nothing of the former time remains."""
    source = _source()
    _receive(source, (5, "value"), START)
    source.clear()
    assert len(source.buffer) == 0


class FakeQueue:
    """Stands where a deep PulledSubscription does: all that waits, with their numbers."""

    topic, depth, sent_ns, received_ns = "/joints", 64, 0, 0

    def __init__(self):
        self.waiting, self.number, self.publishers = [], None, None

    def take(self):
        if not self.waiting:
            return None
        self.number, message = self.waiting.pop(0)
        return message

    def follow(self, publishers):
        self.publishers = publishers


LEFT = StateStream("left", "joints", "/joints", ("l1", "l2"))
GRIP = StateStream("grip", "joints", "/joints", ("g",))


def _joint_source():
    streams = (LEFT, GRIP)
    publishers = JointPublishers(100 * MS)
    return JointSource(FakeQueue(), streams, ("l1", "l2"), HISTORY, 20 * MS, publishers)


def _told(source, now_ms, *messages):
    """Pull messages, each a number, a stamp in ms, and its joints with their position."""
    told = [(n, _state(at, names, [q] * len(names))) for n, at, names, q in messages]
    _pulled(source, now_ms, *told)


def _pulled(source, now_ms, *messages):
    """Pull messages, each a number and bytes."""
    source.subscription.waiting += messages
    source.pull(START + now_ms * MS)


def _state(stamp_ms, names, position=(), velocity=()):
    """The bytes of a JointState, stamped at START plus this; None: without a stamp."""
    message = JointState(name=names, position=position, velocity=velocity)
    stamp_ns = 0 if stamp_ms is None else START + stamp_ms * MS
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return serialize_message(message)


def test_all_that_waits_is_taken_and_each_stream_has_its_own_samples():
    """An arm at 1 kHz does not hide the gripper behind it; one sample a pull goes into a ring."""
    source = _joint_source()
    arm = [(100 + k, k, ("l1", "l2"), float(k)) for k in range(20)]
    _told(source, 20, (1, 3, ("g",), 0.5), *arm)
    left, grip = source.buffer_of(LEFT), source.buffer_of(GRIP)
    assert (len(left), len(grip), source.received, source.refused) == (1, 1, 21, 0)
    assert (left.latest().stamp_ns, grip.latest().stamp_ns) == (START + 19 * MS, START + 3 * MS)
    _told(source, 40, (120, 20, ("l1", "l2"), 20.0))
    assert (len(left), len(grip)) == (2, 1)
    source.clear()
    assert (len(left), len(grip)) == (0, 0)


def test_what_a_second_publisher_sends_is_counted_and_never_used():
    """And both are told of, until the graph has one publisher only."""
    source = _joint_source()
    for k in range(5):
        own = (500 + k, 10 * k, ("l1", "l2"), 1.0)
        _told(source, 10 * k, own, (1 + k, 10 * k + 5, ("l1", "l2", "else"), 0.0))
    assert (source.received, source.refused) == (10, 5)
    assert source.mixed(START + 50 * MS) == ("l1", "l2")
    assert source.buffer_of(LEFT).latest().value.position.tolist() == [1.0, 1.0]
    source.graph(["one", "two"])
    assert source.mixed(START + 50 * MS) and source.subscription.publishers == ["one", "two"]
    source.graph(["one"])
    assert source.mixed(START + 50 * MS) == ()


def test_a_joint_that_nobody_needs_may_have_two_publishers():
    """The other arm of the cell is somebody else's matter."""
    source = _joint_source()
    for k in range(5):
        _told(source, 10 * k, (500 + k, 10 * k, ("x",), 1.0), (1 + k, 10 * k + 5, ("x",), 0.0))
    assert source.mixed(START + 50 * MS) == ()


def test_frames_of_a_second_publisher_do_not_enter_a_ring():
    """Two cameras on one topic would show the policy two places by turns."""
    queue = FakeQueue()
    source = Source(
        queue, lambda message: message, HISTORY, 50 * MS, publishers=JointPublishers(100 * MS)
    )
    for k in range(5):
        queue.waiting += [(900 + k, (10 * k + 1, "own")), (1 + k, (10 * k + 6, "other"))]
        source.pull(START + 10 * k * MS)
    assert [sample.value for sample in source.buffer._samples] == ["own"] * 5
    assert source.mixed(START + 50 * MS) == ("",)


def test_a_joint_twice_in_a_message_is_a_problem_until_the_next_good_one():
    """With its name."""
    source = _joint_source()
    _told(source, 10, (1, 10, ("l1", "l1"), 0.0))
    assert "joints twice in one message: l1" in source.problem
    _told(source, 20, (2, 20, ("l1", "l2"), 0.0))
    assert (source.problem, source.refused) == ("", 1)


def _arm(stamp_ms):
    return _state(stamp_ms, ("l1", "l2"), (1.0, 2.0))


UNUSABLE = {
    "wheels without positions": lambda k: _state(k, ("w1", "w2"), (), (1.0, 2.0)),
    "no stamp": lambda k: _state(None, ("x",), (0.3,)),
    "a joint twice": lambda k: _state(k, ("x", "x"), (0.3, 0.3)),
    "no joints": lambda k: _state(k, (), (0.3,)),
    "the same stamp": lambda k: _state(0, ("x",), (0.3,)),
    "another stream's, no stamp": lambda k: _state(None, ("g",), (0.3,)),
}


def _report(source, now_ms):
    """Of the arm, which is late after 100 ms."""
    settings = ObservationSettings(100 * MS, 100 * MS, 100 * MS)
    now_ns = START + now_ms * MS
    return report("state.left", LEFT, [source], now_ns, now_ns, settings)


@pytest.mark.parametrize("other", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_messages_about_other_joints_are_never_a_streams_problem(other):
    """Of another publisher, or the same; and when the arm ends, the reason is that it ended."""
    source = _joint_source()
    _pulled(source, 0, (5000, other(0)), (1, _arm(0)))
    for k in range(1, 20):
        _pulled(source, 20 * k, (1 + k, _arm(20 * k)), (5000 + k, other(20 * k)))
        found = _report(source, 20 * k)
        assert (found.problem, found.fresh, found.usable) == ("", True, True)
    assert source.refused >= 19
    for k in range(20, 40):
        _pulled(source, 20 * k, (5000 + k, other(20 * k)))
    found = _report(source, 800)
    assert found.problem.startswith("l1, l2 no longer comes on /joints, other joints do")


@pytest.mark.parametrize("other", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_arm_that_never_comes_is_missed_by_its_joints(other):
    """Not by what is wrong with the messages of others."""
    source = _joint_source()
    for k in range(3):
        _pulled(source, 20 * k, (5000 + k, other(20 * k)))
    found = _report(source, 40)
    assert "l1, l2 does not come on /joints" in found.problem or "missing: l1, l2" in found.problem


def test_good_messages_about_other_joints_end_no_streams_problem():
    """Each joint's own messages do."""
    source = _joint_source()
    for k in range(3):
        bad, good = _state(None, ("l1", "l2"), (1.0, 2.0)), _state(20 * k, ("g",), (0.5,))
        _pulled(source, 20 * k, (1 + k, bad), (5000 + k, good))
        assert "header stamp is zero" in source.problem_of(LEFT)
        assert source.problem_of(GRIP) == ""
    _pulled(source, 60, (4, _arm(60)))
    assert (source.problem_of(LEFT), source.problem) == ("", "")


def test_bytes_that_are_no_message_may_be_about_any_joint():
    """Until a message can be read: a stream may have joints that this topic never names."""
    source = _joint_source()
    _pulled(source, 0, (1, b"junk"))
    assert source.problem_of(LEFT) and source.problem_of(GRIP) and source.problem
    _pulled(source, 20, (2, _arm(20)))
    assert source.problem_of(LEFT) == source.problem_of(GRIP) == source.problem == ""
