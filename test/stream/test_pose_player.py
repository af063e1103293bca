"""The pose player plays windows of poses in time, refuses wrong ones, and never commands a step."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.motion.pose.course import PoseWindow
from gr00t_ros.node.outputs import TrajectoryMessage, pose_rows
from gr00t_ros.robot.limits import PoseLimits
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.ros.windows import POSE_NAMES, to_time
from gr00t_ros.stream.command_player import PosePlayer

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


def message(poses, stamp_ns=1000 * MS):
    """The window as the node sends it."""
    times_ns = [k * KNOT for k in range(len(poses))]
    rows = pose_rows(PoseWindow(stamp_ns, KNOT, poses))
    return TrajectoryMessage(POSE_NAMES).fill(to_time(stamp_ns + OFFSET_NS), times_ns, rows)


def playing(poses=None, stamp_ns=1000 * MS):
    """A player that has accepted a window at its stamp."""
    player = PosePlayer(LIMITS)
    assert accept(player, poses or rising(), stamp_ns) is None
    return player


def accept(player, poses, stamp_ns, now_ns=None, steady_ns=None):
    """Hand a window over."""
    now_ns = stamp_ns if now_ns is None else now_ns
    steady_ns = now_ns if steady_ns is None else steady_ns
    return player.accept(message(poses, stamp_ns), OFFSET_NS, now_ns, steady_ns)


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
