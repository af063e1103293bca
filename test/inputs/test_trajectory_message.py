"""JointTrajectories are read from their bytes as rclpy reads them, and written as it writes."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from laws import examples  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

from gr00t_ros.errors import ObservationError  # noqa: E402
from gr00t_ros.inputs.trajectory import TrajectoryReader, TrajectoryWriter  # noqa: E402
from gr00t_ros.ros.windows import parse_trajectory, to_duration, to_time  # noqa: E402


def message(seed, joints=3, points=4, velocities=True, accelerations=True, frame=""):
    """A trajectory of random numbers."""
    rng = np.random.default_rng(seed)
    made = JointTrajectory(joint_names=[f"joint_{'x' * i}" for i in range(joints)])
    made.header.stamp, made.header.frame_id = to_time(int(rng.integers(1, 10**18))), frame
    made.points = [
        JointTrajectoryPoint(
            positions=rng.normal(size=joints).tolist(),
            velocities=rng.normal(size=joints).tolist() if velocities else [],
            accelerations=rng.normal(size=joints).tolist() if accelerations else [],
            time_from_start=to_duration(k * 20_000_000 + int(rng.integers(0, 10**9))),
        )
        for k in range(points)
    ]
    return made


def assert_same(view, raw):
    """The view has what rclpy and parse_trajectory make of the bytes."""
    expected = parse_trajectory(deserialize_message(raw, JointTrajectory), view.names, 0)
    assert view.stamp_ns == expected.stamp_ns
    assert view.times_ns.tolist() == expected.times_ns.tolist()
    for field in ("positions", "velocities", "accelerations"):
        got, wanted = getattr(view, field), getattr(expected, field)
        assert (got is None) == (wanted is None)
        if got is not None:
            assert np.array_equal(got, wanted)


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5)),
            *(st.booleans(), st.booleans(), st.sampled_from(["", "base", "w"])),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=examples(30), deadline=None)
def test_any_succession_of_messages_is_read_as_rclpy_reads_it(made):
    """One reader for all of them: a layout that no longer fits is not used."""
    read = TrajectoryReader()
    for arguments in made:
        for seed in (arguments[0], arguments[0] + 1):  # the second one has the first one's layout
            raw = serialize_message(message(seed, *arguments[1:]))
            assert_same(read(raw), raw)


def test_points_of_different_fields_and_efforts_are_left_to_rclpy():
    """Such a message is no error: None."""
    read = TrajectoryReader()
    odd = message(1)
    odd.points[2].velocities = []
    assert read(serialize_message(odd)) is None
    effort = message(1)
    effort.points[0].effort = [1.0, 2.0, 3.0]
    assert read(serialize_message(effort)) is None
    assert read(serialize_message(message(1, points=0))) is None


def test_names_of_the_same_length_are_not_confused():
    """Two controllers with as many joints on one topic."""
    read = TrajectoryReader()
    first, second = message(1), message(1)
    second.joint_names = [name.replace("joint", "other") for name in first.joint_names]
    assert read(serialize_message(first)).names == tuple(first.joint_names)
    assert read(serialize_message(second)).names == tuple(second.joint_names)


@pytest.mark.parametrize("end", [5, 30, 100])
def test_a_message_that_ends_too_early_is_an_error(end):
    """Bytes are never read behind the end."""
    raw = serialize_message(message(1))
    read = TrajectoryReader()
    with pytest.raises(ObservationError):
        read(raw[:end])
    read(raw)
    with pytest.raises(ObservationError):
        read(raw[:end])


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5)),
            *(st.integers(0, 5), st.integers(0, 5)),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=examples(30), deadline=None)
def test_any_succession_of_messages_is_written_as_rclpy_writes_it(made):
    """Longer and shorter ones in turn, also where some points alone have velocities."""
    writers = {joints: TrajectoryWriter(message(0, joints).joint_names) for joints in range(1, 5)}
    for seed, joints, points, *having in made:
        for again in (seed, seed + 1):
            expected = message(again, joints, points)
            for number, point in enumerate(expected.points):
                if number >= having[0]:
                    point.velocities = []
                if number >= having[1]:
                    point.accelerations = []
            raw = writers[joints](expected.header.stamp, *arrays(expected))
            assert read_by_rclpy(raw) == expected


def arrays(message):
    """Times (N,) ns, positions (N, J), and velocities and accelerations of the points with them."""
    spans = [point.time_from_start for point in message.points]
    fields = (
        np.array([row for point in message.points if len(row := getattr(point, field))])
        for field in ("positions", "velocities", "accelerations")
    )
    return (
        np.array([span.sec * 10**9 + span.nanosec for span in spans]),
        *(field if len(field) else None for field in fields),
    )


def test_a_message_has_nothing_of_the_one_before_it():
    """A shorter window after a longer one; values that are no numbers stay what they are."""
    write, long = TrajectoryWriter(("a", "b")), np.arange(10.0).reshape(5, 2) + 0.1
    times_ns, odd = 20_000_000 * np.arange(5), (np.nan, np.inf, -0.0, 5e-324, 1.0, 2.0)
    for number, count in enumerate((5, 2, 5, 2, 4, 4)):
        values = np.asfortranarray((number - 2.5) * long[:count])
        values[-1, -1] = odd[number]
        fields = {"positions": values, "velocities": values + 1.0, "accelerations": values + 2.0}
        got = read_by_rclpy(write(to_time(7), times_ns[:count], *fields.values()))
        assert got.joint_names == ["a", "b"] and len(got.points) == count
        for field, expected in fields.items():
            rows = np.array([getattr(point, field) for point in got.points])
            assert rows.tobytes() == np.ascontiguousarray(expected).tobytes()


def read_by_rclpy(raw):
    """The message of serialised bytes."""
    assert isinstance(raw, bytes)
    return deserialize_message(raw, JointTrajectory)


def test_nothing_of_this_process_is_sent_beside_the_message(monkeypatch):
    """Rclpy serialises into a larger buffer of any content; between texts and numbers are gaps."""
    gaps = ((17, 20), (30, 32), (39, 40), (48, 52))  # frame, "a", "bc", number of positions

    def dirty(message):
        raw = bytearray(serialize_message(message))
        for begin, end in gaps:
            raw[begin:end] = bytes([0xAA] * (end - begin))
        return bytes(raw)

    monkeypatch.setattr("gr00t_ros.inputs.trajectory.serialize_message", dirty)
    write = TrajectoryWriter(("a", "bc"))
    for _ in range(2):
        raw = write(to_time(5), np.array([0, 1]), np.full((2, 2), -1.0))
        assert len(raw) == 128, "the second point's time ends there"
        assert not any(any(raw[begin:end]) for begin, end in gaps)


@pytest.mark.parametrize(
    ("times", "fields"),
    [
        (1, [(3, 2)]),
        (3, [(3, 2), (4, 2)]),
        (2, [(3, 2), (3, 2), (3, 2)]),
        (3, [(3, 3)]),
        (2, [(2, 1, 2)]),
        (0, [(0, 2)]),
    ],
)
def test_arrays_of_other_shapes_are_refused(times, fields, monkeypatch):
    """Not broadcast, and no point is left out; also where rclpy writes the message."""
    rows = [np.zeros(shape) for shape in fields]
    for plain in (b"\0\1", b"other"):
        monkeypatch.setattr("gr00t_ros.inputs.trajectory.PLAIN_LITTLE_ENDIAN", plain)
        with pytest.raises(ValueError, match=f"got \\({times},\\) times"):
            TrajectoryWriter(("a", "b"))(to_time(5), np.zeros(times, np.int64), *rows)


@pytest.mark.parametrize("time_ns", [2**31 * 10**9, -(2**31) * 10**9 - 1])
def test_a_time_that_a_message_does_not_hold_is_refused(time_ns):
    """It would be another time in int32 seconds."""
    with pytest.raises(ValueError, match="expected int32 seconds"):
        TrajectoryWriter(("a",))(to_time(5), np.array([0, time_ns]), np.zeros((2, 1)))


def test_a_layout_serves_all_numbers_of_points(monkeypatch):
    """Finding one takes longer than a tick may be late; more points than it has get another one."""
    laid_out, rows = [], np.arange(400.0).reshape(200, 2)

    def counted(message):
        laid_out.append(len(message.points))
        return serialize_message(message)

    monkeypatch.setattr("gr00t_ros.inputs.trajectory.serialize_message", counted)
    write = TrajectoryWriter(("a", "b"))
    for count in (2, 31, 1, 64, 2, 65, 130, 131, 200):
        times_ns = 20_000_000 * np.arange(count)
        got = read_by_rclpy(write(to_time(5), times_ns, rows[:count], rows[:count], rows[:count]))
        assert [list(p.positions) for p in got.points] == rows[:count].tolist()
        assert [list(p.accelerations) for p in got.points] == rows[:count].tolist()
    assert laid_out == [64, 130, 262]


def test_a_time_before_the_stamp_is_written_as_rclpy_has_it():
    """A Duration has nanoseconds from 0 on: -0.5 s is -1 s and 500,000,000 ns."""
    write, rows = TrajectoryWriter(("a",)), np.zeros((2, 1))
    for _ in range(2):
        got = read_by_rclpy(write(to_time(5), np.array([-500_000_000, 0]), rows))
        first = got.points[0].time_from_start
        assert (first.sec, first.nanosec) == (-1, 500_000_000)


def test_where_the_middleware_serialises_otherwise_rclpy_writes_the_message(monkeypatch):
    """No layout is assumed of bytes that are not plain little-endian CDR."""
    monkeypatch.setattr("gr00t_ros.inputs.trajectory.PLAIN_LITTLE_ENDIAN", b"other")
    write, expected = TrajectoryWriter(message(0).joint_names), [message(1), message(2)]
    for one in expected:
        assert write(one.header.stamp, *arrays(one)) == one, "the message, not its bytes"


@pytest.mark.parametrize("length", range(4))
def test_less_than_an_encapsulation_is_left_to_rclpy(length):
    """It has no fields to look at."""
    assert TrajectoryReader()(bytes([0, 1, 0])[:length]) is None
