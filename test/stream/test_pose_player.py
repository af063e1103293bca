"""The pose player plays windows of poses in time, refuses wrong ones, and never commands a step."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.serialization import deserialize_message
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.inputs.trajectory import TrajectoryWriter
from gr00t_ros.motion.pose.course import PoseChunk, PoseCourse, PoseWindow
from gr00t_ros.motion.pose.windows import Poses
from gr00t_ros.node.outputs import pose_message
from gr00t_ros.robot.limits import PoseLimits
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.ros.windows import POSE_NAMES, to_time
from gr00t_ros.stream.command_player import PosePlayer, pose_of_window

MS = 1_000_000
KNOT = 20 * MS
OFFSET_NS = 5_000_000_000  # of ROS time to the plan clock
LIMITS = PoseLimits(
    *(0.25, 1.0, 0.8, 3.0), np.array([0.2, -0.4, 0.05]), np.array([0.7, 0.4, 0.6]), 0.05, 0.3
)


def rising(count=20, z=0.3, step=0.004, turn=0.0):
    """Poses that rise by `step` m and turn about z by `turn` rad a knot, and rest at the end."""
    steps = [min(k, count - 5) for k in range(count)]
    return [
        Pose(np.array([0.4, 0.0, z + step * k]), Rotation.from_rotvec([0, 0, turn * k]).as_matrix())
        for k in steps
    ]


def message(poses, stamp_ns=1000 * MS, origin=None):
    """The window as the node sends it; its plan began at its first pose unless told otherwise."""
    window = PoseWindow(stamp_ns, KNOT, poses, poses[0] if origin is None else origin)
    stamp = to_time(stamp_ns + OFFSET_NS)
    raw = pose_message(TrajectoryWriter(POSE_NAMES), window, stamp, KNOT * np.arange(len(poses)))
    return deserialize_message(raw, JointTrajectory)


def playing(poses=None, stamp_ns=1000 * MS):
    """A player that has accepted a window at its stamp."""
    player = PosePlayer(LIMITS)
    assert accept(player, poses or rising(), stamp_ns) is None
    return player


def accept(player, poses, stamp_ns, now_ns=None, steady_ns=None, origin=None):
    """Hand a window over."""
    now_ns = stamp_ns if now_ns is None else now_ns
    steady_ns = now_ns if steady_ns is None else steady_ns
    return player.accept(message(poses, stamp_ns, origin), OFFSET_NS, now_ns, steady_ns)


def play(player, from_ms, until_ms, every_ms=10):
    """(N, 7) of what is said in between; both clocks are one."""
    times = range(from_ms, until_ms, every_ms)
    return [player.sample(t * MS, t * MS) for t in times]


def test_a_window_is_played_by_its_stamp_and_its_end_is_said_for_half_a_second():
    """Straight between its knots, then its last pose, then the topic is free."""
    player = playing(rising(turn=0.01))
    said = play(player, 1000, 2000)
    np.testing.assert_allclose(said[5][:3], [0.4, 0.0, 0.3 + 0.004 * 2.5], atol=1e-9)
    turned = Rotation.from_quat(said[5][3:]).as_rotvec()
    np.testing.assert_allclose(turned, [0, 0, 0.025], atol=1e-9)
    np.testing.assert_allclose(said[38][:3], [0.4, 0.0, 0.36], atol=1e-9)
    assert not player.moves(1400 * MS, 1400 * MS)
    assert said[85] is not None and said[90] is None
    assert PosePlayer(LIMITS).sample(0, 0) is None


def test_a_window_that_begins_elsewhere_is_gone_to_no_faster_than_the_limits():
    """3 cm beside what is played: not a step but 0.25 m/s, with a tenth to spare."""
    player = playing()
    before = play(player, 1000, 1100)[-1]
    assert accept(player, rising(z=0.35), 1100 * MS) is None
    said = np.array([before, *play(player, 1100, 1500)])
    steps = np.linalg.norm(np.diff(said[:, :3], axis=0), axis=1)
    assert steps.max() <= 0.25 * 0.010 * 1.1 + 1e-9
    np.testing.assert_allclose(said[-1][2], 0.35 + 0.004 * 15, atol=1e-9)


@pytest.mark.parametrize("now_ms", [100, 900_000])
def test_a_clock_that_jumps_moves_the_hand_by_no_step(now_ms):
    """Back: the window plays on by steady time; forward: its end is gone to inside the limits."""
    player = playing()
    before = play(player, 1000, 1100)[-1]
    said = [player.sample((now_ms + t) * MS, (1100 + t) * MS) for t in range(0, 300, 10)]
    assert all(pose is not None for pose in said[:10])
    steps = np.diff([before[:3], *(s[:3] for s in said if s is not None)], axis=0)
    assert steps[:, 2].min() >= -1e-12 and steps[:, 2].sum() > 0.02, "it goes on"
    assert np.linalg.norm(steps, axis=1).max() <= 0.25 * 0.010 * 1.1 + 1e-9


def test_a_thread_that_slept_goes_on_from_where_it_stood():
    """Half a second late it moves as far as a tenth of a second allows."""
    player = playing(rising(60))
    before = play(player, 1000, 1100)[-1]
    after = player.sample(1600 * MS, 1600 * MS)
    assert 0.0 < after[2] - before[2] <= 0.25 * 0.1 * 1.1 + 1e-9


@pytest.mark.parametrize(
    ("poses", "stamp_ms", "named"),
    [
        (rising(z=0.58), 1000, "box: got"),
        (rising(step=0.01), 1000, "speed: got 0.0100 m"),
        (rising(turn=0.05), 1000, "speed: got"),
        (rising(), 2000, "ahead of this clock"),
        (rising(), 0, "end 0.62 s ago"),
    ],
)
def test_windows_that_leave_hurry_or_are_of_another_time_are_refused(poses, stamp_ms, named):
    """What plays goes on as it was."""
    player = playing(stamp_ns=900 * MS)
    reason = accept(player, poses, stamp_ms * MS, now_ns=1000 * MS)
    assert named in reason
    assert player.accepted == 1


def test_windows_of_other_names_and_of_no_rotation_are_refused():
    """A quaternion of length 2 and a joint's window are no poses."""
    player = PosePlayer(LIMITS)
    wrong = message(rising())
    wrong.points[3].positions[6] = 2.0
    assert player.accept(wrong, OFFSET_NS, 0, 0).startswith("orientation: ")
    wrong.points[3].positions[6] = math.nan
    assert player.accept(wrong, OFFSET_NS, 0, 0).startswith("orientation: ")
    wrong = message(rising())
    wrong.points[3].positions[0] = math.nan
    assert player.accept(wrong, OFFSET_NS, 1000 * MS, 0).startswith("box: ")
    wrong = message(rising())
    wrong.joint_names[0] = "joint1"
    assert "joint1" in player.accept(wrong, OFFSET_NS, 0, 0)
    assert player.sample(0, 0) is None


def test_a_stop_leaves_the_window_to_its_end():
    """It rests there; anything shorter would be a step."""
    player = playing()
    play(player, 1000, 1100)
    player.stop(1100 * MS, 1100 * MS)
    assert player.moves(1100 * MS, 1100 * MS)
    assert play(player, 1100, 1400)[-1][2] == pytest.approx(0.36)


def test_an_end_effector_that_lags_behind_its_windows_end_still_moves():
    """A streamer that ends waits for it: the thread slept, and the window ended meanwhile."""
    player = playing()
    play(player, 1000, 1100)
    behind = player.sample(2000 * MS, 2000 * MS)
    assert behind[2] < 0.36 - 1e-3
    assert player.moves(2000 * MS, 2000 * MS)
    arrived = [pose for pose in play(player, 2010, 2200) if pose is not None][-1]
    assert arrived[2] == pytest.approx(0.36)
    assert not player.moves(2200 * MS, 2200 * MS)


START = Pose(np.array([0.3, 0.0, 0.3]), np.eye(3))


def stalls(motions, stall):
    """What is sent, with its times, when the streamer's process stands for a while.

    The node plays `motions`: for each the time of its begin, ms, and where x goes. stall: its begin
    and length, ms; no window is taken and nothing is sent meanwhile. The clocks run on.
    """
    course = PoseCourse(LIMITS, KNOT, 100 * MS, 200 * MS)
    course.start(0, START)
    player, newest, told = PosePlayer(LIMITS), None, []
    for now in range(0, (max(begin for begin, _ in motions) + 2000) * MS, KNOT):
        for begin_ms, x in motions:
            if now == begin_ms * MS:
                way = np.linspace(course.pose(now).position[0], x, 20)
                chunk = [Pose(np.array([at, 0.0, 0.3]), np.eye(3)) for at in way]
                course.follow(PoseChunk(now, 50 * MS, chunk), now)
        made = course.window(now)
        course.keep()
        newest = newest if made is None else made
        if stall[0] <= now // MS < sum(stall):
            continue
        if newest is not None:
            accept(player, newest.poses, newest.stamp_ns, now, origin=newest.origin)
            newest = None
        if (pose := player.sample(now, now)) is not None:
            told.append((now, pose[:3]))
    return told


MOTIONS = st.lists(
    st.tuples(st.integers(0, 75).map(lambda k: 20 * k), st.floats(0.25, 0.5)),
    min_size=1,
    max_size=3,
    unique_by=lambda motion: motion[0],
)


@settings(max_examples=examples(15), deadline=None)
@given(MOTIONS, st.integers(0, 2500), st.integers(0, 1000))
def test_whatever_the_streamer_sleeps_no_pose_is_a_step(motions, from_ms, for_ms):
    """Nor is the first one of a motion, after a rest in which the topic was free.

    The hand is where it was sent last, at first where the plan began.
    """
    told = [(0, START.position), *stalls(motions, (from_ms, for_ms))]
    for (before_ns, before), (after_ns, after) in pairwise(told):
        most = LIMITS.speed_m_s * min(after_ns - before_ns, 100 * MS) * 1e-9 * 1.1 + 1e-9
        assert np.linalg.norm(after - before) <= most


@pytest.mark.parametrize("stall_ms", [0, 300, 400])
@pytest.mark.parametrize("motions", [[(0, 0.45)], [(0, 0.35), (2000, 0.45)]])
def test_a_motion_whose_begin_was_slept_through_is_played_from_its_start(motions, stall_ms):
    """The first one, and one after a rest."""
    told = stalls(motions, (motions[-1][0] + 100, stall_ms))
    assert told[-1][1][0] == pytest.approx(0.45, abs=1e-6)


def test_a_hand_that_was_moved_away_since_begins_where_the_plan_began():
    """The pose that was sent last is no start then, unless the plan is still the same."""
    low, high = rising(z=0.2), rising(z=0.4)
    for origin, begin in ((high[0], 0.4), (low[0], 0.26)):
        player = playing(low)
        assert play(player, 1000, 2000)[-1] is None
        assert accept(player, high, 3000 * MS, origin=origin) is None
        assert player.sample(3000 * MS, 3000 * MS)[2] == pytest.approx(begin)


def test_a_plan_in_motion_of_which_nothing_was_played_is_refused():
    """The process before may have played it, or nobody has: where the hand is, is not known."""
    player, below = PosePlayer(LIMITS), rising(z=0.29)[0]
    assert "the windows before did not come" in accept(player, rising(), 1000 * MS, origin=below)
    assert player.sample(1000 * MS, 1000 * MS) is None
    assert accept(player, rising(), 1000 * MS) is None


@pytest.mark.parametrize("moves_on", [False, True])
def test_a_streamer_that_was_replaced_begins_where_the_hand_is(moves_on):
    """The hand went away from where the plan began once; the new one has played nothing."""
    poses = Poses([SimpleNamespace(name="hand", limits=LIMITS)], KNOT, 100 * MS, 400 * MS)
    poses.start(0, {"hand": START})
    way = [Pose(np.array([x, 0.0, 0.3]), np.eye(3)) for x in np.linspace(0.3, 0.6, 40)]
    poses.follow({"hand": PoseChunk(0, 50 * MS, way)}, 0)
    end = 3000 if not moves_on else 1500
    for now in range(0, end * MS, KNOT):
        windows = poses.windows(now, 0, True)
        poses.keep()
    if not moves_on:
        hand = poses.pose("hand", end * MS)
        assert hand.position[0] == pytest.approx(0.6)
        poses.start(end * MS, {"hand": hand})
        back = PoseChunk(end * MS, 50 * MS, way[::-1])
        poses.follow({"hand": back}, end * MS)
        windows = poses.windows(end * MS, 0, True)
    made = windows["hand"]
    player = PosePlayer(LIMITS)
    reason = accept(player, made.poses, made.stamp_ns, origin=made.origin)
    said = player.sample(made.stamp_ns, made.stamp_ns)
    if moves_on:
        assert "the windows before did not come" in reason and said is None
    else:
        assert reason is None and said[0] == pytest.approx(0.6)


def test_a_plan_that_began_outside_the_box_is_refused():
    """Nobody else checks what this process sends first."""
    far = Pose(np.array([50.0, 0.0, -3.0]), np.eye(3))
    reason = accept(PosePlayer(LIMITS), rising(), 1000 * MS, origin=far)
    assert "where the plan began" in reason and "box" in reason


@pytest.mark.parametrize("numbers", [[], [0.0] * 6, [math.nan] * 7, [0.4, 0.0, 0.3, 0, 0, 0, 0]])
def test_a_window_that_does_not_tell_where_its_plan_began_is_refused(numbers):
    """What is sent would begin at a guess."""
    odd = message(rising())
    odd.points[0].velocities = numbers
    reason = PosePlayer(LIMITS).accept(odd, OFFSET_NS, 1000 * MS, 0)
    assert "velocities" in reason


def test_a_window_commands_a_pose_also_where_no_player_begins():
    """A recording begins in the middle of a motion."""
    found = pose_of_window(message(rising()), LIMITS, OFFSET_NS + 1000 * MS, OFFSET_NS + 1050 * MS)
    np.testing.assert_allclose(found[:3], [0.4, 0.0, 0.31], atol=1e-9)
    late = OFFSET_NS + 9000 * MS
    assert pose_of_window(message(rising()), LIMITS, late, late) is None
