"""The wave policy moves every joint of every file gently inside its limits, and holds the rest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from robot_of_file import joints_of, observation_of

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.rotation import Pose, matrix_from_rot6d_rows
from gr00t_ros.serve.endpoints import check_action
from gr00t_ros.serve.wave import LIMIT_SHARE, WavePolicy
from gr00t_ros.sim.stand_in.start import start_of

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
FILES = sorted(FOLDER.glob("*.yaml"))
TICK_NS = 20_000_000
NOISE = 1e-6  # of a position in float32

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def placed(robot: Any, shares: Any) -> dict[str, float]:
    """Every commanded joint at a share of its range less margin, inside the scale of its state."""
    lower, upper = (
        robot.limits.lower + robot.limits.margin,
        robot.limits.upper - robot.limits.margin,
    )
    at = dict(zip(robot.joint_names, (lower + shares * (upper - lower)).tolist(), strict=True))
    for stream in robot.state:
        if stream.source == "joints" and stream.scale is not None:
            for name, ends in zip(stream.names, stream.scale.joint, strict=True):
                at[name] = float(np.clip(at.get(name, 0.01), min(ends), max(ends)))
    return at


def rows_of(policy: WavePolicy, robot: Any, joints: Any) -> Any:
    """The answer to an observation as a chunk, in the outputs' units."""
    action, _ = policy(observation_of(robot, joints), None)
    check_action(action, policy.modality)
    return from_reply(robot, {key: rows[0] for key, rows in action.items()}, 0, 0, 0)


@every_file
@settings(max_examples=examples(3))
@given(seed=st.integers(0, 10_000), edge=st.sampled_from([None, 0.0, 1.0]))
def test_a_chunk_begins_where_the_robot_is_and_stays_gentle_inside_the_limits(path, seed, edge):
    """From any start, at the ends of the ranges too: chunk after chunk."""
    robot, clock = load_embodiment(str(path)), Clock()
    random, limits = np.random.default_rng(seed), robot.limits
    shares = random.uniform(size=len(limits)) if edge is None else np.full(len(limits), edge)
    at = placed(robot, shares)
    policy = WavePolicy(robot, clock)
    waved = [robot.joint_names.index(name) for name in policy.amplitudes]
    held = [index for index in range(len(limits)) if index not in waved]
    amplitudes = np.array(list(policy.amplitudes.values()))
    seen = []
    while len(seen) < 12:
        rows = rows_of(policy, robot, at).joints
        if not seen:
            home = np.array([at[name] for name in robot.joint_names])
            np.testing.assert_allclose(rows[0][waved], home[waved], atol=2e-6)
        assert_gentle(rows, robot, waved)
        seen.append(rows)
        steps = int(random.integers(robot.action_horizon // 2, robot.action_horizon))
        clock.now_s += steps / robot.rate_hz
        at |= {robot.joint_names[index]: float(rows[steps, index]) for index in waved}
    span = np.ptp(np.concatenate(seen), axis=0)
    assert (span[held] == 0.0).all()
    assert (span[waved] <= 2.0 * amplitudes + 1e-5).all()
    if robot.workspace is None:
        assert (span[waved] >= 0.5 * amplitudes).all()


def assert_gentle(rows: Any, robot: Any, waved: list[int]) -> None:
    """Inside the limits less margin, slow, and without a kink; float32 adds some noise."""
    limits, step_s = robot.limits, 1.0 / robot.rate_hz
    assert (rows >= limits.lower + limits.margin - NOISE).all()
    assert (rows <= limits.upper - limits.margin + NOISE).all()
    speed = np.abs(np.diff(rows, axis=0))[:, waved] / step_s
    assert (speed <= LIMIT_SHARE * limits.velocity[waved] + 2 * NOISE / step_s).all()
    rate = np.abs(np.diff(rows, 2, axis=0))[:, waved] / step_s**2
    assert (rate <= LIMIT_SHARE * limits.acceleration[waved] + 4 * NOISE / step_s**2).all()


@every_file
def test_the_guard_accepts_every_chunk_unclamped_and_the_joints_move(path):
    """Through guard, reference, shaper and plan, with answers that take from 20 to 200 ms."""
    robot, clock = load_embodiment(str(path)), Clock()
    policy, random = WavePolicy(robot, clock), np.random.default_rng(3)
    at = dict(start_of(robot).joints)
    replay = Replay(robot.limits, ReplaySettings(), robot.workspace, robot.command_limits)
    replay.start(0, np.array([at[name] for name in robot.joint_names]))
    positions, replies, due_ns = [], [], TICK_NS
    for now_ns in range(TICK_NS, 4 * 10**9, TICK_NS):
        if now_ns >= due_ns:
            at |= dict(zip(robot.joint_names, replay.position(now_ns).tolist(), strict=True))
            clock.now_s = now_ns * 1e-9 + random.uniform(0.01, 0.03)
            chunk = replace(rows_of(policy, robot, at), stamp_ns=now_ns)
            replies.append((now_ns + int(random.integers(20, 200)) * 1_000_000, chunk))
            due_ns += robot.step_ns * min(8, robot.action_horizon // 2)
        while replies and replies[0][0] <= now_ns:
            verdict = replay.accept(replies.pop(0)[1], now_ns)
            assert verdict.accepted and not verdict.clamped, verdict.reason
        replay.tick(now_ns)
        positions.append(replay.position(now_ns))
    span = dict(zip(robot.joint_names, np.ptp(positions, axis=0), strict=True))
    for name, amplitude in policy.amplitudes.items():
        assert 0.02 * amplitude < span[name] < 2.2 * amplitude


def test_a_chunk_continues_the_one_before_it():
    """At the same moment two chunks want the same, whatever time an answer takes."""
    robot, clock = load_embodiment("desk6"), Clock()
    policy, at = WavePolicy(robot, clock), joints_of(load_embodiment("desk6"))
    first = rows_of(policy, robot, at).joints
    clock.now_s += 8 / robot.rate_hz
    moved = dict(zip(robot.joint_names, first[8] + 0.01, strict=True))  # a robot that lags
    second = rows_of(policy, robot, moved).joints
    np.testing.assert_allclose(second[:-8], first[8:], atol=1e-6)
    assert np.ptp(second, axis=0).min() > 0.01


@pytest.mark.parametrize("how", ["reset", "pause", "moved"])
def test_the_wave_begins_anew_where_the_robot_is(how):
    """After a reset, after a chunk that has ended, and where something else moved the robot."""
    robot, clock = load_embodiment("desk6"), Clock()
    policy, at = WavePolicy(robot, clock), joints_of(robot)
    rows_of(policy, robot, at)
    clock.now_s += 0.5
    far = 0.3 if how == "moved" else 0.02
    moved = {name: value + far for name, value in at.items()}
    if how == "reset":
        assert policy.reset(None) == {}
    if how == "pause":
        clock.now_s += robot.action_horizon / robot.rate_hz
    rows = rows_of(policy, robot, moved).joints
    np.testing.assert_allclose(rows[0], [moved[n] for n in robot.joint_names], atol=1e-6)
    assert np.abs(rows[1] - rows[0]).max() < 1e-3


def test_zeros_of_a_check_are_no_start_for_a_server_that_cannot_be_reset():
    """N1.5: the check's zero observation comes just before the first one of an episode."""
    robot, clock = load_embodiment("desk6"), Clock()
    policy, at = WavePolicy(robot, clock), joints_of(robot)
    rows_of(policy, robot, dict.fromkeys(robot.joint_names, 0.0))
    clock.now_s += 0.1
    np.testing.assert_allclose(
        rows_of(policy, robot, at).joints[0], [at[n] for n in robot.joint_names], atol=1e-6
    )


def test_a_base_stands_a_level_keeps_its_start_and_both_are_named():
    """The G1's base, its height and the poses that the file ignores."""
    robot = load_embodiment("unitree_g1")
    policy = WavePolicy(robot, Clock())
    chunk = rows_of(policy, robot, joints_of(robot))
    values = dict(zip(robot.command_limits.names, chunk.commands.T, strict=True))
    assert all(not values[name].any() for name in ("lin_vel_x", "lin_vel_y", "ang_vel_z"))
    assert values["base_height"] == pytest.approx(0.74)
    assert {one.output: one.why for one in policy.held} == {
        "base": "a base stands",
        "base_height": "a level keeps its start",
    }


def test_deltas_are_zero_and_a_gripper_with_a_threshold_keeps_the_nearer_end():
    """LIBERO: nothing of it can be waved."""
    robot = load_embodiment("libero_panda")
    policy = WavePolicy(robot, Clock())
    for finger, end in ((0.003, 0.0), (0.036, 0.04)):
        policy.reset(None)
        chunk = rows_of(policy, robot, {"fer_finger_joint1": finger, "fer_finger_joint2": finger})
        assert not np.abs(chunk.commands).max() > 1e-9
        assert chunk.joints == pytest.approx(end, abs=1e-8)
    assert policy.amplitudes == {} and [one.output for one in policy.held] == ["servo", "gripper"]


def droid(change: Any) -> Any:
    """The DROID file after a change of its content."""
    content = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
    change(content)
    return parse(content, "droid.yaml")


def hand(goals: dict[str, Any]) -> Any:
    """A change of the file: the gripper is an action that gets goals."""

    def change(content: Any) -> None:
        (old,) = content["outputs"]["gripper"]["names"]
        content["outputs"]["gripper"] = {"type": "gripper_command", "topic": "/hand",
                                         "names": ["width"], "goals": goals}  # fmt: skip
        content["action"]["gripper_position"] = {"output": "gripper", "scale": [0.08, 0.0]}
        del content["limits"][old]
        content["limits"]["width"] = {"range": [0.0, 0.08]}

    return change


def test_a_gripper_by_action_gets_no_goal_or_the_one_where_it_is():
    """Between the ends of a switch no goal is sent; else its state says where it is."""
    switch = droid(hand({"switch": [0.03, 0.05]}))
    at = joints_of(switch) | {"robotiq_85_left_knuckle_joint": 0.2}
    chunk = rows_of(WavePolicy(switch, Clock()), switch, at)
    assert chunk.commands == pytest.approx(0.04)
    other = droid(hand({"hysteresis": 0.01}))
    chunk = rows_of(WavePolicy(other, Clock()), other, at)
    assert chunk.commands == pytest.approx(0.06)  # a quarter closed, of 0.08 m


HAND = {
    "type": "pose_stamped", "topic": "/target", "frame": "fr3_link0", "pose": "eef_9d",
    "limits": {"speed": 0.25, "acceleration": 1.0, "turn_speed": 0.8, "turn_acceleration": 3.0,
               "x": [-1.0, 1.0], "y": [-1.0, 1.0], "z": [-1.0, 1.5], "jump": [0.05, 0.3]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("encode", "rotate"),
    [
        ("xyz_rot6d_rows", [[0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
        ("xyz_rot6d_rows", None),
        ("xyz_quaternion", None),
        ("xyz_axis_angle", [[0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
    ],
)
def test_a_pose_is_held_where_it_is_measured_in_every_encoding(encode, rotate):
    """Also in another one than the state's."""
    names = {"xyz_rot6d_rows": 9, "xyz_quaternion": 7, "xyz_axis_angle": 6}[encode]

    def change(content: Any) -> None:
        own = [f"n{k}" for k in range(names)]
        output = HAND | {"names": own, "encode": encode} | ({"rotate": rotate} if rotate else {})
        content["outputs"]["hand"] = output
        content["action"]["eef_9d"] = {"output": "hand"}

    robot = droid(change)
    chunk = rows_of(WavePolicy(robot, Clock()), robot, joints_of(robot))
    (poses,) = chunk.poses.values()
    stream = next(one for one in robot.state if one.key == "eef_9d")
    numbers = observation_of(robot)["state"]["eef_9d"][0, 0].astype(np.float64)
    measured = Pose(numbers[:3], matrix_from_rot6d_rows(numbers[3:], stream.rotate))
    for pose in poses.steps:
        assert max(pose.away_from(measured)) < 1e-5


def test_a_pose_outside_its_box_is_held_at_the_wall_and_deltas_are_no_motion():
    """Never outside limits; a delta pose adds nothing, in position and rotation."""

    def change(content: Any) -> None:
        limits = HAND["limits"] | {"x": [0.9, 1.0]}
        own = [f"n{k}" for k in range(6)]
        output = HAND | {"names": own, "encode": "xyz_axis_angle", "limits": limits}
        content["outputs"]["hand"] = output
        content["action"]["eef_9d"] = {"output": "hand"}

    robot = droid(change)
    (poses,) = rows_of(WavePolicy(robot, Clock()), robot, joints_of(robot)).poses.values()
    assert [pose.position[0] for pose in poses.steps] == pytest.approx([0.9] * len(poses.steps))

    def delta(content: Any) -> None:
        change(content)
        content["action"]["eef_9d"]["representation"] = "delta"

    robot = droid(delta)
    (poses,) = rows_of(WavePolicy(robot, Clock()), robot, joints_of(robot)).poses.values()
    still = Pose(np.zeros(3), np.eye(3))
    assert poses.deltas and all(max(pose.away_from(still)) < 1e-9 for pose in poses.steps)


def test_a_joint_that_no_state_shows_is_refused_by_name():
    """A policy that does not know where a joint is cannot keep it there."""

    def change(content: Any) -> None:
        content["state"]["joint_position"]["names"][0] = "another_joint"
        content["state"]["arm"] = content["state"].pop("joint_position")

    with pytest.raises(EmbodimentError, match="action.joint_position: .* where fr3_joint1 is"):
        WavePolicy(droid(change))


@pytest.mark.parametrize(("room_m", "moves"), [(0.004, True), (-0.01, False)])
def test_the_wave_stays_in_the_workspace(room_m, moves):
    """Amplitudes shrink at its wall; outside of it nothing moves."""
    robot, clock = load_embodiment("franka_droid"), Clock()
    at = dict(start_of(robot).joints)
    path, _ = robot.workspace.chain.pose(np.array([at[name] for name in robot.joint_names]))
    box = replace(robot.workspace, upper=path + room_m)
    policy, seen = WavePolicy(replace(robot, workspace=box), clock), []
    while len(seen) < 20:
        seen.append(rows_of(policy, robot, at).joints)
        at |= dict(zip(robot.joint_names, seen[-1][8].tolist(), strict=True))
        clock.now_s += 8 / robot.rate_hz
    rows = np.concatenate(seen)
    if moves:
        assert (box.chain.pose(rows)[0] <= box.upper).all()
    assert (np.ptp(rows, axis=0).max() > 1e-3) == moves
