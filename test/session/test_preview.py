"""Where the end effectors go, by the chains of every shipped file, and joints at one instant."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from pose_cases import FILE as POSE_LIMITS

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.pose.course import PoseChunk, PoseWindow
from gr00t_ros.motion.replay import SentParts
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.session.preview import (
    Driven,
    Gripper,
    PlayedWindows,
    arms_of,
    colours,
    commanded_at,
    committed,
    each_at,
    grips,
    measured_pose,
    position_at,
    predicted,
    predicted_at,
    topic_part,
)

MS = 1_000_000
T0 = 1_700_000_000_000_000_000  # as large as a real stamp: float64 does not hold its nanoseconds
FILES = sorted((Path(__file__).parents[2] / "config" / "embodiments").glob("*.yaml"))


def with_hand():
    """The DROID robot with an output of poses beside its joints; no shipped file has one."""
    content = yaml.safe_load(FILES[0].with_name("franka_droid.yaml").read_text())
    content["action"]["eef_9d"] = {"output": "hand"}
    content["outputs"]["hand"] = {
        **{"type": "pose_stamped", "topic": "/target_pose", "frame": "fr3_link0"},
        **{"names": [f"hand_{k}" for k in range(9)], "encode": "xyz_rot6d_rows"},
        **{"pose": "eef_9d", "limits": POSE_LIMITS, "rotate": content["state"]["eef_9d"]["rotate"]},
    }
    return parse(content, "with_hand.yaml")


ROBOTS = {file.stem: load_embodiment(file.stem) for file in FILES} | {"with_hand": with_hand()}
WITH_ARMS = {name: robot for name, robot in ROBOTS.items() if arms_of(robot)}


def chunk_of(robot, joints, stamp_ns=T0, poses=None):
    """A chunk with these rows of joints."""
    commands = np.zeros((len(joints), len(robot.command_limits)))
    step_ns = robot.step_ns
    return ActionChunk(1, 1, stamp_ns, step_ns, joints, {}, commands, poses or {})


def played(positions, stamp_ns=T0, step_ns=20 * MS, joints=None):
    """A window with these rows of joints; joints: which of them were sent, all if None."""
    times_ns = np.arange(len(positions), dtype=np.int64) * step_ns
    rows = np.asarray(positions, dtype=float)
    went = np.ones(rows.shape[1], dtype=bool) if joints is None else np.array(joints)
    sent = SentParts(went, np.zeros(0, dtype=bool), frozenset())
    return PlayedWindows(Window(stamp_ns, times_ns, rows), {}, sent)


def between_limits(robot, rows):
    """Rows (T, J) inside of the limits, each at another share."""
    limits = robot.limits
    lower, upper = np.maximum(limits.lower, -3.0), np.minimum(limits.upper, 3.0)
    share = np.linspace(0.2, 0.8, rows)[:, None]
    return lower + share * (upper - lower)


def test_which_shipped_files_have_arms():
    """All with a chain or an output of poses."""
    expected = {
        name
        for name, robot in ROBOTS.items()
        if robot.poses
        or (robot.workspace is not None and robot.workspace.chain is not None)
        or any(stream.chain is not None for stream in robot.state)
    }
    assert set(WITH_ARMS) == expected and {"franka_droid", "ur5e_2f85", "xarm6_gripper"} <= expected


@pytest.mark.parametrize("name", WITH_ARMS)
def test_every_arm_of_a_shipped_file_has_a_frame_and_a_name_of_its_own(name):
    """The same chain in the workspace and in a state key is one arm."""
    robot = WITH_ARMS[name]
    arms = arms_of(robot)
    names = [arm.name for arm in arms]
    assert all(arm.frame for arm in arms) and len(set(names)) == len(names)
    outputs = {output.name for output in (*robot.outputs, *robot.poses)}
    assert set(names) <= outputs


@pytest.mark.parametrize("name", WITH_ARMS)
def test_a_predicted_and_a_committed_row_are_where_the_chain_has_them(name):
    """Against the chain alone, row by row; poses as the chunk has them."""
    robot = WITH_ARMS[name]
    joints = between_limits(robot, 5)
    steps = [Pose(np.array([0.1 * k, 0.2, 0.3]), np.eye(3)) for k in range(5)]
    poses = {o.name: PoseChunk(T0, robot.step_ns, steps) for o in robot.poses}
    chunk = chunk_of(robot, joints, poses=poses)
    windows = {o.name: PoseWindow(T0, 20 * MS, steps, steps[0]) for o in robot.poses}
    window, names = played(joints), frozenset(windows)
    sent = (PlayedWindows(window.window, windows, replace(window.sent, poses=names)),)
    for arm in arms_of(robot):
        ahead, rest = predicted(arm, chunk, T0), committed(arm, sent, T0)
        assert list(ahead.times_ns) == [T0 + k * robot.step_ns for k in range(5)]
        if arm.chain is None:
            np.testing.assert_array_equal(ahead.positions, [step.position for step in steps])
            np.testing.assert_array_equal(rest.positions, [step.position for step in steps[1:]])
            continue
        alone = np.stack([arm.chain.pose(row)[0] for row in joints])
        np.testing.assert_allclose(ahead.positions, alone, atol=1e-12)
        np.testing.assert_allclose(rest.positions, alone, atol=1e-12)
        assert np.ptp(alone, axis=0).max() > 0.01, "the rows are different places"
        pose = measured_pose(arm, joints[2])
        np.testing.assert_allclose(pose.position, alone[2], atol=1e-12)


def test_the_flange_of_the_franka_is_where_its_data_sheet_has_it():
    """All joints at zero: 88 mm ahead, 0.333 + 0.316 + 0.384 - 0.107 m above the base."""
    (arm,) = arms_of(ROBOTS["franka_droid"])
    assert (arm.name, arm.frame) == ("arm", "fr3_link0")
    pose = measured_pose(arm, np.zeros(8))
    np.testing.assert_allclose(pose.position, [0.088, 0.0, 0.926], atol=1e-9)


def test_what_is_over_is_not_shown():
    """A chunk whose last row has passed, a window that has ended, and nothing at all."""
    robot = ROBOTS["franka_droid"]
    (arm,) = arms_of(robot)
    chunk, sent = chunk_of(robot, np.zeros((3, 8))), (played(np.zeros((3, 8))),)
    assert len(predicted(arm, chunk, chunk.end_ns - 1)) == 3
    assert not len(predicted(arm, chunk, chunk.end_ns)) and not len(predicted(arm, None, T0))
    assert not len(committed(arm, sent, T0 + 40 * MS)) and not len(committed(arm, (), T0))


@pytest.mark.parametrize("name", ["franka_droid", "with_hand"])
def test_what_is_of_another_time_is_not_shown(name):
    """A simulated clock was set back by a minute: nothing would replace it for a minute."""
    robot = ROBOTS[name]
    steps = [Pose(np.zeros(3), np.eye(3))] * 3
    poses = {o.name: PoseChunk(T0, robot.step_ns, steps) for o in robot.poses}
    chunk = chunk_of(robot, np.zeros((3, 8)), poses=poses)
    windows = {o.name: PoseWindow(T0, 20 * MS, steps, steps[0]) for o in robot.poses}
    window = played(np.zeros((3, 8)))
    sent = (PlayedWindows(window.window, windows, replace(window.sent, poses=frozenset(windows))),)
    for arm in arms_of(robot):
        for now_ns, shown in ((T0 - 3 * MS, True), (T0 - 60_000 * MS, False)):
            assert bool(len(predicted(arm, chunk, now_ns))) is shown
            assert bool(len(committed(arm, sent, now_ns))) is shown


def test_the_committed_way_begins_now():
    """Between two points of the window on the straight line."""
    robot = ROBOTS["franka_droid"]
    (arm,) = arms_of(robot)
    rows = np.outer([0.0, 0.2, 0.4], np.ones(8))
    way = committed(arm, (played(rows),), T0 + 30 * MS)
    assert list(way.times_ns) == [T0 + 30 * MS, T0 + 40 * MS]
    np.testing.assert_allclose(way.positions[0], arm.chain.pose(np.full(8, 0.3))[0], atol=1e-9)


def test_deltas_of_poses_have_no_place():
    """They say how far, and not from where."""
    robot = ROBOTS["with_hand"]
    arm = next(arm for arm in arms_of(robot) if arm.output is not None)
    assert (arm.name, arm.frame) == ("hand", "fr3_link0")
    steps = [Pose(np.zeros(3), np.eye(3))] * 3
    joints = np.zeros((3, len(robot.joint_names)))
    for deltas, count in ((False, 3), (True, 0)):
        poses = {arm.name: PoseChunk(T0, robot.step_ns, steps, deltas)}
        assert len(predicted(arm, chunk_of(robot, joints, poses=poses), T0)) == count


def test_the_driven_way_keeps_the_last_seconds_and_forgets_when_time_runs_back():
    """A stamp that came before is taken once; what is not finite is left out."""
    driven, pose = Driven(100 * MS), Pose(np.array([1.0, 2.0, 3.0]), np.eye(3))
    for at in (0, 50, 50, 100, 160):
        driven.add("arm", T0 + at * MS, pose)
    driven.add("arm", T0 + 170 * MS, Pose(np.array([np.nan, 0.0, 0.0]), np.eye(3)))
    assert list(driven.way("arm").times_ns) == [T0 + at * MS for at in (100, 160)]
    driven.add("arm", T0, pose)
    assert list(driven.way("arm").times_ns) == [T0]
    assert not len(driven.way("other"))
    driven.clear()
    assert not len(driven.way("arm"))


def test_a_joint_that_was_not_measured_gives_no_pose():
    """Of the gripper it does not matter."""
    (arm,) = arms_of(ROBOTS["franka_droid"])
    assert measured_pose(arm, np.array([*np.zeros(7), np.nan])) is not None
    assert measured_pose(arm, np.array([np.nan, *np.zeros(7)])) is None


def test_joints_at_one_instant_are_between_the_rows_and_unknown_outside():
    """To the nanosecond, although stamps are too large for float64."""
    times_ns = T0 + np.array([0, 100], dtype=np.int64)
    rows = np.array([[0.0], [1.0]])
    assert position_at(times_ns, rows, T0 + 25) == pytest.approx([0.25], abs=1e-12)
    assert position_at(times_ns, rows, T0) == [0.0] and position_at(times_ns, rows, T0 + 100) == [1]
    assert position_at(times_ns, rows, T0 - 1) is None
    assert position_at(times_ns, rows, T0 + 101) is None
    assert position_at(times_ns[:1], rows[:1], T0) == [0.0]
    robot = ROBOTS["franka_droid"]
    chunk = chunk_of(robot, np.outer([0.0, 1.0], np.ones(8)))
    assert predicted_at(chunk, T0 + robot.step_ns // 2) == pytest.approx(np.full(8, 0.5), abs=1e-6)
    assert predicted_at(None, T0) is None and predicted_at(chunk, T0 - 1) is None


def test_what_was_commanded_is_in_the_newest_window_that_covers_the_instant():
    """A measured state is older than the newest window's begin."""
    sent = (played([[0.0], [1.0]], T0), played([[7.0], [8.0]], T0 + 10 * MS))
    assert commanded_at(sent, T0 + 5 * MS) == pytest.approx([0.25])
    assert commanded_at(sent, T0 + 10 * MS) == [7.0]
    assert commanded_at(sent, T0 - 1) is None
    nothing = SentParts(np.array([False]), np.zeros(0, dtype=bool), frozenset())
    assert (
        commanded_at((), T0) is None
        and commanded_at((PlayedWindows(None, {}, nothing),), T0) is None
    )


def test_each_joint_is_compared_at_the_time_of_its_own_measurement():
    """A gripper that is read every 0.2 s does not make the arm's joints look late."""
    sent = (played(np.outer([0.0, 1.0], np.ones(3))),)
    times_ns = T0 + np.array([15 * MS, 5 * MS, 400 * MS], dtype=np.int64)
    found = each_at(times_ns, lambda at: commanded_at(sent, at))
    np.testing.assert_allclose(found, [0.75, 0.25, np.nan])


def test_what_was_withheld_was_not_commanded():
    """Late for the arm, in time for the gripper: the arm plays the window before it."""
    robot = ROBOTS["franka_droid"]
    (arm,) = arms_of(robot)
    before = played(np.outer([0.0, 0.2, 0.4], np.ones(8)))
    gripper_only = played(np.full((3, 8), 9.0), joints=[False] * 7 + [True])
    withheld = played(np.full((3, 8), 5.0), joints=[False] * 8)
    sent = (before, gripper_only, withheld)
    assert commanded_at(sent, T0 + 10 * MS) == pytest.approx([0.1] * 7 + [9.0])
    assert np.isnan(commanded_at(sent[1:], T0 + 10 * MS)).tolist() == [True] * 7 + [False]
    assert commanded_at(sent[2:], T0 + 10 * MS) is None
    way = committed(arm, sent, T0 + 30 * MS)
    np.testing.assert_allclose(way.positions[0], arm.chain.pose(np.full(8, 0.3))[0], atol=1e-9)
    assert not len(committed(arm, sent[1:], T0))


def test_poses_that_were_withheld_are_not_committed():
    """The output of poses plays the window before."""
    arm = next(arm for arm in arms_of(ROBOTS["with_hand"]) if arm.output is not None)
    none = np.zeros(0, dtype=bool)
    ticks = [
        PlayedWindows(
            None,
            {
                "hand": PoseWindow(
                    T0,
                    20 * MS,
                    [Pose(np.full(3, at), np.eye(3))] * 3,
                    Pose(np.full(3, at), np.eye(3)),
                )
            },
            SentParts(none, none, frozenset(names)),
        )
        for at, names in ((1.0, {"hand"}), (2.0, set()))
    ]
    assert committed(arm, ticks, T0).positions.tolist() == [[1.0] * 3] * 2
    assert not len(committed(arm, ticks[1:], T0))


def test_a_gripper_has_a_glyph_at_the_start_and_where_it_passes_the_middle():
    """A joint of its own or a command; the ends are those of the file."""
    robot = ROBOTS["franka_droid"]
    (arm,) = arms_of(robot)
    (gripper,) = arm.grippers
    assert (gripper.name, gripper.column) == ("gripper", 7)
    joints = np.zeros((4, 8))
    joints[:, 7] = gripper.lower + np.array([0.0, 0.1, 1.0, 0.9]) * (gripper.upper - gripper.lower)
    chunk = chunk_of(robot, joints)
    assert grips(gripper, chunk) == [(0, 0.0), (2, 1.0)]
    commands = Gripper("hand", 0, 0.0, 2.0, commanded=True)
    of_commands = ActionChunk(1, 1, T0, MS, joints, {}, np.array([[2.0], [2.0], [0.0], [9.0]]))
    assert grips(commands, of_commands) == [(0, 1.0), (2, 0.0), (3, 1.0)]


def test_colours_go_from_near_to_far():
    """The first and the last point have the two given ones, and one point has the first."""
    near, far = (0.0, 0.0, 1.0, 1.0), (1.0, 1.0, 1.0, 0.5)
    found = colours(3, near, far)
    np.testing.assert_allclose(found, [near, (0.5, 0.5, 1.0, 0.75), far])
    np.testing.assert_allclose(colours(1, near, far), [near])
    assert colours(0, near, far).shape == (0, 4)


def test_a_modality_key_becomes_one_part_of_a_topic():
    """Every other character is replaced; ROS refuses a part that begins with a digit."""
    assert topic_part("ego-view.left cam_1") == "ego_view_left_cam_1"
    assert topic_part("0.rgb") == "key_0_rgb"
