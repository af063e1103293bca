"""Pose action keys work from the file to the windows, and a wrong file is refused."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml
from pose_cases import FILE as LIMITS
from scipy.spatial.transform import Rotation

from gr00t_ros.errors import ChunkError, EmbodimentError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.watch.finding import Finding, Reaction

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
DROID = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
HELD = np.array([0.0, -0.78, 0.0, -2.36, 0.0, 1.57, 0.79, 0.0])
AT = Pose(np.array([0.4, 0.0, 0.3]), Rotation.from_rotvec([3.0, 0.2, 0.1]).as_matrix())
MS = 1_000_000


def with_hand(key="eef_9d", encode="xyz_rot6d_rows", width=9, **change):
    """The DROID robot whose end effector is commanded by one more output."""
    content = copy.deepcopy(DROID)
    content["action"][key] = {"output": "hand", **change}
    content["outputs"]["hand"] = {
        "type": "pose_stamped",
        "topic": "/target_pose",
        "frame": "fr3_link0",
        "names": [f"hand_{k}" for k in range(width)],
        "encode": encode,
        "pose": "eef_9d",
        "limits": LIMITS,
    }
    if encode == "xyz_rot6d_rows":
        content["outputs"]["hand"]["rotate"] = content["state"]["eef_9d"]["rotate"]
    return content


def of_deltas():
    """The robot with one more key: deltas of 6 numbers."""
    return with_hand("eef_delta", "xyz_axis_angle", 6, representation="delta")


def eef_9d(poses, rotate=DROID["state"]["eef_9d"]["rotate"]):
    """(T, 9) float32 as the server returns poses."""
    return np.array(
        [[*p.position, *(p.rotation @ np.array(rotate))[:2].ravel()] for p in poses], np.float32
    )


def reply(robot, **keys):
    """The robot's reply: joints stay at HELD, `keys` as given."""
    values = {
        "joint_position": np.tile(np.float32(HELD[:7]), (robot.action_horizon, 1)),
        "gripper_position": np.zeros((robot.action_horizon, 1), np.float32),
        "eef_9d": eef_9d([AT] * robot.action_horizon),
    }
    return values | keys


def rising(count, step=0.002):
    """Poses that rise from AT."""
    return [Pose(AT.position + [0, 0, step * k], AT.rotation) for k in range(count)]


def replay(robot):
    """A replay that holds HELD and the hand AT."""
    made = Replay(robot.limits, ReplaySettings(), None, robot.command_limits, robot.poses)
    made.start(0, HELD)
    made.start_poses(0, {"hand": AT})
    return made


def test_a_reply_becomes_the_poses_that_the_server_meant():
    """Position as it is, and the rotation without the data set's own."""
    robot = parse(with_hand(), "robot.yaml")
    wanted = rising(robot.action_horizon)
    chunk = from_reply(robot, reply(robot, eef_9d=eef_9d(wanted)), 1, 2, 3)
    hand = chunk.poses["hand"]
    assert (hand.stamp_ns, hand.step_ns, hand.deltas) == (3, robot.step_ns, False)
    for pose, expected in zip(hand.steps, wanted, strict=True):
        np.testing.assert_allclose(pose.position, expected.position, atol=1e-6)
        np.testing.assert_allclose(pose.rotation, expected.rotation, atol=1e-6)


def test_deltas_of_a_pose_are_not_made_velocities():
    """They are added up, step by step, where a servo's are divided by the time of a step."""
    robot = parse(of_deltas(), "robot.yaml")
    delta = np.tile(np.float32([0.01, 0, 0, 0, 0, 0.02]), (robot.action_horizon, 1))
    hand = from_reply(robot, reply(robot, eef_delta=delta), 1, 2, 3).poses["hand"]
    assert hand.deltas
    np.testing.assert_allclose(hand.steps[5].position, [0.01, 0, 0], atol=1e-9)
    turned = Rotation.from_matrix(hand.steps[5].rotation).as_rotvec()
    np.testing.assert_allclose(turned, [0, 0, 0.02], atol=1e-7)


def test_numbers_that_say_no_rotation_are_no_chunk():
    """Two rows of zeros."""
    robot = parse(with_hand(), "robot.yaml")
    rows = eef_9d(rising(robot.action_horizon))
    rows[7, 3:] = 0.0
    with pytest.raises(ChunkError, match=r"output hand: rot6d") as error:
        from_reply(robot, reply(robot, eef_9d=rows), 1, 2, 3)
    assert error.value.kind == "finite"


@pytest.mark.parametrize("output", ["arm", "gripper"])
def test_deltas_for_a_joint_controller_are_refused_with_the_reason(output):
    """Nobody knows which joints would make such a motion, and from where."""
    content = copy.deepcopy(DROID)
    key = "joint_position" if output == "arm" else "gripper_position"
    content["action"][key] = {"output": output, "representation": "delta"}
    with pytest.raises(EmbodimentError) as error:
        parse(content, "robot.yaml")
    text = str(error.value)
    assert text.startswith(f"robot.yaml: action.{key}.representation: deltas cannot go to")
    assert "what they add up to is known only to who executes them" in text
    assert "twist_stamped" in text and "pose_stamped" in text


def test_half_deltas_and_deltas_of_a_turned_convention_are_refused():
    """One pose from two kinds of numbers, and a delta that no data set says how to turn back."""
    mixed = of_deltas()
    names = mixed["outputs"]["hand"]["names"]
    mixed["action"]["eef_delta"]["names"] = names[:3]
    mixed["action"]["turn"] = {"output": "hand", "names": names[3:]}
    with pytest.raises(EmbodimentError, match="gets deltas here and absolute values from 'turn'"):
        parse(mixed, "robot.yaml")
    turned = of_deltas()
    turned["outputs"]["hand"]["rotate"] = DROID["state"]["eef_9d"]["rotate"]
    with pytest.raises(EmbodimentError, match="of poses without rotate"):
        parse(turned, "robot.yaml")


def test_a_robot_without_any_joint_is_refused():
    """The plan that everything hangs on is one of joints."""
    content = with_hand()
    for name in ("joint_position", "gripper_position"):
        del content["action"][name]
    content["outputs"] = {"hand": content["outputs"]["hand"]}
    with pytest.raises(EmbodimentError, match="outputs: none of them has joints"):
        parse(content, "robot.yaml")


def test_one_plan_plays_joints_and_poses_and_comes_to_rest_with_both():
    """Accepted as one; after a stop neither moves on."""
    robot = parse(with_hand(), "robot.yaml")
    made = replay(robot)
    wanted = reply(robot, eef_9d=eef_9d(rising(robot.action_horizon)))
    verdict = made.accept(from_reply(robot, wanted, 1, 1, 0), 0)
    assert verdict.accepted, verdict.reason
    said = []
    for now_ns in range(0, 1000 * MS, 20 * MS):
        made.tick(now_ns)
        said.append(made.pose_windows(now_ns)["hand"].poses[0].position[2])
        made.keep()
    assert said[-1] - said[0] > 0.015 and np.diff(said).min() >= 0.0
    assert not made.at_rest(1000 * MS)
    made.stop(1000 * MS, "a test")
    end = made.pose_windows(1000 * MS)["hand"].poses[-1].position[2]
    for now_ns in range(1020 * MS, 2000 * MS, 20 * MS):
        made.tick(now_ns)
        windows = made.pose_windows(now_ns)
        made.keep()
    assert made.at_rest(2000 * MS) and windows == {}
    assert end - said[-1] < 0.01


def test_while_plan_time_stands_still_the_poses_stay_as_they_were_sent():
    """A stop for a clock of which only this node hears nothing would take the hand back."""
    robot = parse(with_hand(), "robot.yaml")
    made = replay(robot)
    session = Session(made, SessionSettings())
    session.set_ready(True, "")
    session.activate(0, HELD)
    wanted = reply(robot, eef_9d=eef_9d(rising(robot.action_horizon)))
    session.merge(from_reply(robot, wanted, session.episode, 1, 0), 0, HELD)
    heights = {}
    for now_ns in range(0, 400 * MS, 20 * MS):
        session.tick(now_ns, (), HELD)
        sent = session.pose_windows(now_ns)["hand"]
        session.keep()
        heights |= {
            sent.stamp_ns + k * sent.knot_ns: pose.position[2] for k, pose in enumerate(sent.poses)
        }
    silent = Finding("silent_clock", Reaction.PAUSE, "no new time")
    for _ in range(3):
        session.tick(now_ns, (silent,), HELD)
        again = session.pose_windows(now_ns)["hand"]
        session.keep()
        assert len(again.poses) == len(sent.poses)
        for k, pose in enumerate(again.poses):
            assert pose.position[2] == heights[again.stamp_ns + k * again.knot_ns]
    session.tick(now_ns + 20 * MS, (silent,), HELD)
    stop = session.pose_windows(now_ns + 20 * MS)["hand"]
    assert stop.poses[-1].position[2] < again.poses[-1].position[2] - 0.005


@pytest.mark.parametrize("unsure", [False, True])
def test_the_tail_of_a_hand_is_waited_for_although_all_joints_rest_before(unsure):
    """A plan that went on before would begin at its end, where the hand has not come yet."""
    robot = parse(with_hand(), "robot.yaml")
    session = Session(replay(robot), SessionSettings())
    session.set_ready(True, "")
    session.activate(0, HELD)
    wanted = reply(robot, eef_9d=eef_9d(rising(robot.action_horizon, 0.008)))
    session.merge(from_reply(robot, wanted, session.episode, 1, 0), 0, HELD)
    for now_ns in range(0, 20 * MS if unsure else 420 * MS, 20 * MS):
        session.tick(now_ns, (), HELD)
        sent = session.pose_windows(now_ns)["hand"]
        if not unsure:
            session.keep()
    rests_ns = sent.stamp_ns + (len(sent.poses) - 1) * sent.knot_ns
    assert rests_ns > now_ns + 400 * MS
    if unsure:
        session.publication_unknown(now_ns, HELD, "the middleware refused a message")
    cut = (
        () if unsure else (Finding("controller_late", Reaction.PAUSE, "cut", stop_ramp_only=True),)
    )
    for at_ns in range(now_ns + 20 * MS, rests_ns, 20 * MS):
        session.tick(at_ns, cut, HELD)
        session.keep()
        assert session.mode is Mode.STOPPING
    session.tick(rests_ns, (), HELD)
    assert session.mode is (Mode.FAULT if unsure else Mode.PAUSED)


def test_a_pose_that_jumps_refuses_the_whole_chunk():
    """The joints of that chunk are not played either."""
    robot = parse(with_hand(), "robot.yaml")
    made = replay(robot)
    far = [Pose(AT.position + [0, 0, 0.06], AT.rotation)] * robot.action_horizon
    wanted = reply(robot, eef_9d=eef_9d(far))
    wanted["joint_position"][:, 0] += np.linspace(0, 0.3, robot.action_horizon, dtype=np.float32)
    verdict = made.accept(from_reply(robot, wanted, 1, 1, 0), 0)
    assert (verdict.accepted, verdict.kind) == (False, "pose")
    assert "output hand: jump: got a first pose 0.060 m" in verdict.reason
    assert made.tick(20 * MS) is None and not made.pose_windows(20 * MS)
