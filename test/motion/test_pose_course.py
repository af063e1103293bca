"""Pose windows repeat what is committed and end at rest, and unfit chunks are refused."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from pose_cases import KNOT, LIMITS, MS, STEP_S, line, pose
from scipy.spatial.transform import Rotation

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.pose.course import PoseChunk, PoseCourse, target_at
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.rotation import Pose


def course(now_ns=0, held=None):
    """A course that has begun."""
    made = PoseCourse(LIMITS, KNOT, commit_ns=60 * MS, horizon_ns=400 * MS)
    made.start(now_ns, held or pose())
    return made


def assert_slow_enough(poses):
    """Speed and acceleration of neighbouring poses inside the limits."""
    moved = [(b.position - a.position) / STEP_S for a, b in pairwise(poses)]
    turned = [
        Rotation.from_matrix(b.rotation @ a.rotation.T).as_rotvec() / STEP_S
        for a, b in pairwise(poses)
    ]
    for velocities, speed, acceleration in ((moved, 0.25, 1.0), (turned, 0.8, 3.0)):
        assert all(np.linalg.norm(v) <= speed + 1e-6 for v in velocities)
        changes = (np.linalg.norm(b - a) for a, b in pairwise(velocities))
        assert all(change <= acceleration * STEP_S + 1e-5 for change in changes)


def same(a, b):
    """Whether two poses are one to the last bit."""
    return np.array_equal(a.position, b.position) and np.array_equal(a.rotation, b.rotation)


def sent(made, now_ns):
    """The window of that time, which then has left."""
    window = made.window(now_ns)
    made.keep()
    return window


@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from([10 * MS, 20 * MS, 35 * MS]),
    st.integers(0, 10),
    st.sampled_from([0.0, 0.005, 0.05, 0.1]),
    st.integers(0, 39),
)
def test_every_stop_is_sent_once_more_than_windows_may_be_lost(refresh_ns, lost, speed, phase_ms):
    """Before the end effector counts as at rest, at whatever speed and time it is stopped."""
    chosen = ReplaySettings(refresh_ns=refresh_ns, lost_windows=lost)
    commit_ns = max(chosen.rounds_ns + chosen.delivery_ns, 72 * MS)
    made = PoseCourse(LIMITS, KNOT, commit_ns, commit_ns + 300 * MS)
    made.start(0, pose())
    assert made.follow(line(dx=speed * 0.05, count=30), 0) == ""
    stop_ns, now_ns, count = 400 * MS + phase_ms * MS, 0, 0
    while now_ns < stop_ns:
        sent(made, now_ns)
        now_ns += refresh_ns
    made.stop()
    while count == 0 or not made.at_rest(now_ns):
        count += sent(made, now_ns) is not None
        now_ns += refresh_ns
    assert count >= lost + 1


def play(made, until_ns, chunks=(), from_ns=0):
    """The windows of every knot until then; chunks by the time at which they come."""
    windows, waiting = [], sorted(chunks, key=lambda each: each[0])
    for now_ns in range(from_ns, until_ns, KNOT):
        while waiting and waiting[0][0] <= now_ns:
            assert made.follow(waiting.pop(0)[1], now_ns) == ""
        windows.append(sent(made, now_ns))
    return windows


def test_a_chunk_is_followed_at_its_own_times_and_the_end_is_held():
    """0.2 m/s along x: with the limits' lag behind the chunk, then at rest at its last pose."""
    made = course()
    windows = play(made, 2000 * MS, [(0, line())])
    said = [w.poses[0] for w in windows if w is not None]
    assert_slow_enough(said)
    np.testing.assert_allclose(said[-1].position, [0.55, 0.0, 0.3], atol=1e-3)
    assert abs(said[25].position[0] - 0.5) < 0.03  # after 0.5 s the chunk is at 0.5
    assert windows[-1] is None and made.at_rest(2000 * MS)


@settings(max_examples=examples(10), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.floats(-0.03, 0.03), st.floats(-0.2, 0.2)),
        min_size=1,
        max_size=4,
    ),
    st.integers(5, 70),
)
def test_windows_repeat_what_is_committed_and_every_one_ends_at_rest(chunks, stop_at):
    """Whatever chunks come and when it is stopped: what was promised for 60 ms stays promised."""
    made, before = course(), None
    for knot in range(80):
        now_ns = knot * KNOT
        for at, dx, turn in chunks:
            if at == knot:
                made.follow(line(dx, stamp_ns=now_ns, start=made.pose(now_ns), turn=turn), now_ns)
        if knot == stop_at:
            made.stop()
        window = sent(made, now_ns)
        if window is None:
            continue
        assert window.stamp_ns == now_ns
        assert_slow_enough([*window.poses, window.poses[-1], window.poses[-1]])
        if before is not None:
            ahead = before.poses[1:5] + [before.poses[-1]] * 4
            assert all(same(a, b) for a, b in zip(window.poses[:4], ahead, strict=False))
        before = window


def test_a_stop_brakes_once_the_committed_part_has_played_and_then_holds():
    """Rest after 60 ms + v / a; the last pose is said again for a reader that lost it."""
    made = course()
    play(made, 400 * MS, [(0, line())])
    made.stop()
    window = sent(made, 400 * MS)
    assert len(window.poses) <= 1 + 3 + 13
    rest = window.poses[-1]
    windows = play(made, 2000 * MS, from_ns=420 * MS)
    said = [w for w in windows if w is not None]
    assert len(said) == 24 and windows[-1] is None
    assert same(said[-1].poses[-1], rest)


def test_a_sender_that_sleeps_goes_on_from_the_tail_of_what_it_sent():
    """After the window's end the arm rests where that ended: the next window begins there."""
    made = course()
    last = play(made, 200 * MS, [(0, line())])[-1]
    late = sent(made, 3000 * MS)
    assert same(late.poses[0], last.poses[-1])
    assert_slow_enough([last.poses[-1], last.poses[-1], *late.poses])


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        (line(start=pose(x=0.46)), "jump"),
        (line(start=pose(turn=(0.31, 0, 0))), "jump"),
        (line(dx=0.03), "workspace"),
        (line(stamp_ns=-5000 * MS), "late"),
        (line(start=Pose(np.array([0.4, np.nan, 0.3]), np.eye(3))), "step 0"),
        (PoseChunk(0, 50 * MS, [Pose(np.zeros(3), np.full((3, 3), np.inf))]), "step 0"),
    ],
)
def test_a_chunk_that_would_jump_leave_or_is_no_pose_is_refused_with_the_reason(chunk, kind):
    """The course goes on as it was."""
    made = course()
    assert made.follow(chunk, 0).startswith(kind)
    assert set(play(made, 100 * MS)) == {None}


def test_a_little_outside_the_box_is_followed_to_the_wall():
    """The workspace's wall at x = 0.7: 4 cm behind it is a chunk, 6 cm is a mistake."""
    made = course(held=pose(x=0.68))
    assert made.follow(line(0.004, start=pose(x=0.68)), 0) == ""
    windows = play(made, 3000 * MS)
    ends = [w.poses[-1].position[0] for w in windows if w is not None]
    assert max(ends) <= 0.7 and ends[-1] == pytest.approx(0.7, abs=1e-6)


def test_deltas_add_up_from_the_pose_that_was_commanded_at_the_observation():
    """Ten times 5 mm and 0.02 rad, asked for at 300 ms on an observation of 100 ms."""
    delta = Pose(np.array([0.005, 0.0, 0.0]), Rotation.from_rotvec([0, 0, 0.02]).as_matrix())
    made = course()
    play(made, 300 * MS)
    chunk = PoseChunk(100 * MS, 50 * MS, [delta] * 10, deltas=True)
    assert made.follow(chunk, 300 * MS) == ""
    end = [w for w in play(made, 3000 * MS, from_ns=300 * MS) if w is not None][-1].poses[-1]
    np.testing.assert_allclose(end.position, [0.45, 0.0, 0.3], atol=1e-3)
    assert end.away_from(pose(turn=(0, 0, 0.2)))[1] < 1e-2


def test_deltas_begin_where_the_hand_was_sent_at_the_observation_not_where_it_is_now():
    """In motion the two differ by the way of one latency."""
    made = course()
    play(made, 600 * MS, [(0, line())])
    then = made.pose(400 * MS)
    assert made.pose(600 * MS).position[0] - then.position[0] > 0.02
    still = Pose(np.zeros(3), np.eye(3))
    summed = made._summed(PoseChunk(400 * MS, 50 * MS, [still] * 4, deltas=True))
    assert all(same(step, then) for step in summed.steps)


def test_deltas_turn_about_the_frames_axes():
    """A quarter turn about x after one about z: about the fixed x, not the hand's own."""
    about_z, about_x = (Rotation.from_rotvec(math.pi / 2 * np.eye(3)[k]) for k in (2, 0))
    still = np.zeros(3)
    steps = [Pose(still, r.as_matrix()) for r in (about_z, about_x)]
    summed = course()._summed(PoseChunk(0, 50 * MS, steps, deltas=True))
    expected = about_x * about_z
    np.testing.assert_allclose(summed.steps[-1].rotation, expected.as_matrix(), atol=1e-12)


def test_between_two_steps_a_rotation_turns_about_one_axis_the_shorter_way():
    """From 170 to -170 degrees the middle is 180, not 0."""
    ends = [pose(turn=(0, 0, math.radians(a))) for a in (170, -170)]
    middle = target_at(PoseChunk(0, 100 * MS, ends), 50 * MS)
    assert middle.away_from(pose(turn=(0, 0, math.pi)))[1] < 1e-9
    assert same(target_at(PoseChunk(0, 100 * MS, ends), -1), ends[0])


def test_nothing_is_said_before_a_start_and_no_chunk_is_taken():
    """Who does not know where the hand is sends it nowhere."""
    made = PoseCourse(LIMITS, KNOT, 60 * MS, 400 * MS)
    assert sent(made, 0) is None and not made.started
    assert "expected a start" in made.follow(line(), 0)
    with pytest.raises(PlanError, match="start"):
        made.pose(0)
    with pytest.raises(PlanError, match="box"):
        made.start(0, pose(x=2.0))


def test_a_window_that_did_not_leave_is_no_part_of_the_course():
    """What was computed and not sent is never gone on from."""
    made, other = course(), course()
    for one in (made, other):
        play(one, 200 * MS, [(0, line())])
    made.window(400 * MS)
    ours, theirs = sent(made, 420 * MS), sent(other, 420 * MS)
    assert all(same(a, b) for a, b in zip(ours.poses, theirs.poses, strict=True))


def test_after_a_gap_longer_than_the_commit_time_a_window_is_overdue():
    """One before the gap may be lost, and the next would be a step; at rest none is missing."""
    made = course()
    play(made, 220 * MS, [(0, line())])
    assert made.overdue_ns(260 * MS) == 0
    assert made.overdue_ns(261 * MS) == 61 * MS
    made.window(260 * MS)
    assert made.overdue_ns(261 * MS) == 61 * MS, "it has not left"
    made.keep()
    assert made.overdue_ns(261 * MS) == 0
    made.rest_at_end(400 * MS)
    assert made.overdue_ns(900 * MS) == 0
    whole = course()
    play(whole, 4000 * MS, [(0, line())])
    assert whole.overdue_ns(9000 * MS) == 0
