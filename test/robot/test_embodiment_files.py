"""The embodiment files that ship: each parses, and says what its sources say."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import parse

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
FILES = sorted(FOLDER.glob("*.yaml"))


def load(name):
    """The embodiment of a file that ships."""
    path = FOLDER / f"{name}.yaml"
    return parse(yaml.safe_load(path.read_text()), path.name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_parses(path):
    """No file ships that the node would refuse."""
    robot = parse(yaml.safe_load(path.read_text()), path.name)
    assert robot.source == path.name


def test_the_template_is_a_robot():
    """Nothing in it is refused, and it shows every kind of source and of camera option."""
    path = FOLDER.parent / "embodiment_template.yaml"
    mapping = yaml.safe_load(path.read_text())
    robot = parse(mapping, path.name)
    assert [s.source for s in robot.state] == ["joints", "joints", "pose", "imu", "constant"]
    assert set(mapping["video"]["front"]) > {"crop", "rotate", "flip_horizontal", "flip_vertical"}
    assert robot.workspace is not None and robot.commands and robot.unsettled == ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_joint_may_move_both_ways_wherever_it_may_be(path):
    """Inside its margins, a joint's position-dependent velocity limit never closes to nothing."""
    limits = parse(yaml.safe_load(path.read_text()), path.name).limits
    offset, slope, upper, lower = limits.envelope.T
    for q in (limits.lower + limits.margin, limits.upper - limits.margin):
        up = -offset + np.sqrt(slope * (upper - q))
        down = offset - np.sqrt(slope * (q - lower))
        checked = ~np.isnan(offset)
        assert (up[checked] > 0.05).all()
        assert (down[checked] < -0.05).all()


def test_n17_droid_has_the_order_history_and_horizon_of_its_checkpoint():
    """The tag's keys in the checkpoint's order, two frames a second apart, 40 steps at 15 Hz."""
    robot = load("franka_droid")
    assert robot.tag == "oxe_droid_relative_eef_relative_joint"
    assert [v.delta_indices for v in robot.video] == [(-15, 0), (-15, 0)]
    assert [(s.key, s.width) for s in robot.state] == [
        ("eef_9d", 9),
        ("gripper_position", 1),
        ("joint_position", 7),
    ]
    assert (robot.action_horizon, robot.rate_hz) == (40, 15.0)
    assert [a.key for a in robot.action if a.output is None] == ["eef_9d"]


def test_n16_droid_has_the_order_history_and_horizon_of_its_checkpoint():
    """One frame, joints before gripper, 32 steps, no pose."""
    robot = load("franka_droid_n16")
    assert robot.tag == "oxe_droid"
    assert {v.delta_indices for v in robot.video} == {(0,)}
    assert [s.key for s in robot.state] == ["joint_position", "gripper_position"]
    assert [a.key for a in robot.action] == ["joint_position", "gripper_position"]
    assert robot.action_horizon == 32


def test_both_droid_files_hold_one_robot():
    """Outputs and limits are the robot's, not the model's."""
    ours, theirs = load("franka_droid"), load("franka_droid_n16")
    assert ours.outputs == theirs.outputs
    for name in ("lower", "upper", "velocity", "acceleration", "jerk", "margin", "jump", "held"):
        np.testing.assert_array_equal(getattr(ours.limits, name), getattr(theirs.limits, name))
    np.testing.assert_array_equal(ours.limits.envelope, theirs.limits.envelope)
    for side in ("lower", "upper"):
        np.testing.assert_array_equal(
            getattr(ours.workspace, side), getattr(theirs.workspace, side)
        )
    joints = np.linspace(0.1, 0.8, 8)
    np.testing.assert_array_equal(
        ours.workspace.chain.pose(joints)[0], theirs.workspace.chain.pose(joints)[0]
    )


def test_fr3_limits_are_those_of_franka_description():
    """robots/fr3/joint_limits.yaml, 566ba44, and this package's acceleration and jerk."""
    limits = load("franka_droid").limits
    np.testing.assert_array_equal(
        limits.upper[:7], [2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]
    )
    np.testing.assert_array_equal(
        limits.lower[:7], [-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]
    )
    np.testing.assert_array_equal(limits.velocity[:7], [2.62] * 4 + [5.26, 4.18, 5.26])
    assert (limits.acceleration[:7] == 6.0).all()
    assert (limits.jerk[:7] == 400.0).all()
    assert (limits.jump[:7] == 0.15).all()


def test_the_gripper_closes_as_fast_as_its_description_lets_it():
    """Rest to rest over 0.8 rad, d/v + v/a + a/j: little more than the 1.6 s of 0.5 rad/s."""
    limits = load("franka_droid").limits
    v, a, j = limits.velocity[7], limits.acceleration[7], limits.jerk[7]
    assert 1.6 < 0.8 / v + v / a + a / j < 1.7


# Joint -> lower, upper, velocity (rad and rad/s, fingers m and m/s) of each robot's own newest
# description, read 2026-11. None: the description has 0 there, which says nothing.
FR3 = {  # franka_description robots/fr3/joint_limits.yaml, 566ba44
    "fr3_joint1": (-2.7437, 2.7437, 2.62),
    "fr3_joint2": (-1.7837, 1.7837, 2.62),
    "fr3_joint3": (-2.9007, 2.9007, 2.62),
    "fr3_joint4": (-3.0421, -0.1518, 2.62),
    "fr3_joint5": (-2.8065, 2.8065, 5.26),
    "fr3_joint6": (0.5445, 4.5169, 4.18),
    "fr3_joint7": (-3.0159, 3.0159, 5.26),
}
FER = {  # franka_description robots/fer/joint_limits.yaml, 566ba44
    "fer_joint1": (-2.8973, 2.8973, 2.175),
    "fer_joint2": (-1.7628, 1.7628, 2.175),
    "fer_joint3": (-2.8973, 2.8973, 2.175),
    "fer_joint4": (-3.0718, -0.0698, 2.175),
    "fer_joint5": (-2.8973, 2.8973, 2.61),
    "fer_joint6": (-0.0175, 3.7525, 2.61),
    "fer_joint7": (-2.8973, 2.8973, 2.61),
}
HAND = {"fer_finger_joint1": (0.0, 0.04, 0.2)}  # end_effectors/common/franka_hand.xacro, 566ba44
ROBOTIQ = {  # PickNikRobotics/ros2_robotiq_gripper robotiq_2f_85_macro.urdf.xacro, 3b6cf8f
    "robotiq_85_left_knuckle_joint": (0.0, 0.8, 0.5),
}
SO100 = {  # TheRobotStudio/SO-ARM100 Simulation/SO100/so100.urdf, fda892c
    "shoulder_pan": (-2.0, 2.0, 1.0),
    "shoulder_lift": (0.0, 3.5, 1.0),
    "elbow_flex": (-3.14158, 0.0, 1.0),
    "wrist_flex": (-2.5, 1.2, 1.0),
    "wrist_roll": (-3.14158, 3.14158, 1.0),
    "gripper": (-0.2, 2.0, 1.0),
}
SO101 = {  # TheRobotStudio/SO-ARM100 Simulation/SO101/so101_new_calib.urdf, fda892c
    "shoulder_pan": (-1.91986, 1.91986, 10.0),
    "shoulder_lift": (-1.74533, 1.74533, 10.0),
    "elbow_flex": (-1.69, 1.69, 10.0),
    "wrist_flex": (-1.65806, 1.65806, 10.0),
    "wrist_roll": (-2.74385, 2.84121, 10.0),
    "gripper": (-0.174533, 1.74533, 10.0),
}


def both_sides(rows):
    """`rows` (without their side, as the left one has them, and whether the right is mirrored)."""
    found = {}
    for name, (lower, upper, velocity, mirrored) in rows.items():
        found[name.format("left", "L")] = (lower, upper, velocity)
        right = (-upper, -lower, velocity) if mirrored else (lower, upper, velocity)
        found[name.format("right", "R")] = right
    return found


# unitree_ros robots/g1_description/g1_29dof_with_hand_rev_1_0.urdf, d6f13aa
G1 = both_sides(
    {
        "{}_shoulder_pitch_joint": (-3.0892, 2.6704, 37.0, False),
        "{}_shoulder_roll_joint": (-1.5882, 2.2515, 37.0, True),
        "{}_shoulder_yaw_joint": (-2.618, 2.618, 37.0, False),
        "{}_elbow_joint": (-1.0472, 2.0944, 37.0, False),
        "{}_wrist_roll_joint": (-1.972222054, 1.972222054, 37.0, False),
        "{}_wrist_pitch_joint": (-1.614429558, 1.614429558, 22.0, False),
        "{}_wrist_yaw_joint": (-1.614429558, 1.614429558, 22.0, False),
        "{}_hand_thumb_0_joint": (-1.04719755, 1.04719755, 3.14, False),
        "{}_hand_thumb_1_joint": (-0.61086523, 1.04719755, 12.0, True),
        "{}_hand_thumb_2_joint": (0.0, 1.74532925, 12.0, True),
        "{}_hand_middle_0_joint": (-1.57079632, 0.0, 12.0, True),
        "{}_hand_middle_1_joint": (-1.74532925, 0.0, 12.0, True),
        "{}_hand_index_0_joint": (-1.57079632, 0.0, 12.0, True),
        "{}_hand_index_1_joint": (-1.74532925, 0.0, 12.0, True),
    }
) | {
    "waist_yaw_joint": (-2.618, 2.618, 32.0),
    "waist_roll_joint": (-0.52, 0.52, 30.0),
    "waist_pitch_joint": (-0.52, 0.52, 30.0),
}
# FFTAI/Wiki-GRx-Models GRX/GR1/gr1t1/urdf/gr1t1_fourier_hand_6dof.urdf, 7d96c75
GR1 = both_sides(
    {
        "{}_shoulder_pitch_joint": (-2.79, 1.92, 9.11, False),
        "{}_shoulder_roll_joint": (-0.57, 3.27, 9.11, True),
        "{}_shoulder_yaw_joint": (-2.97, 2.97, 7.33, False),
        "{}_elbow_pitch_joint": (-2.27, 2.27, 7.33, False),
        "{}_wrist_yaw_joint": (-2.97, 2.97, 24.4, False),
        "{}_wrist_roll_joint": (-0.87, 0.96, 27.96, True),
        "{}_wrist_pitch_joint": (-0.61, 0.61, 27.96, False),
        "{1}_thumb_proximal_yaw_joint": (-1.676, 0.0, None, False),
        "{1}_thumb_proximal_pitch_joint": (0.0, 1.159, None, False),
        "{1}_index_proximal_joint": (-1.602, 0.0, None, False),
        "{1}_middle_proximal_joint": (-1.603, 0.0, None, False),
        "{1}_ring_proximal_joint": (-1.602, 0.0, None, False),
        "{1}_pinky_proximal_joint": (-1.602, 0.0, None, False),
    }
) | {
    "waist_yaw_joint": (-1.05, 1.05, 16.76),
    "waist_pitch_joint": (-0.52, 1.22, 16.76),
    "waist_roll_joint": (-0.7, 0.7, 16.76),
}
UR5E = {  # Universal_Robots_ROS2_Description config/ur5e/joint_limits.yaml, 2221ec0; degrees there
    "shoulder_pan_joint": (-2 * math.pi, 2 * math.pi, math.pi),
    "shoulder_lift_joint": (-2 * math.pi, 2 * math.pi, math.pi),
    "elbow_joint": (-math.pi, math.pi, math.pi),
    "wrist_1_joint": (-2 * math.pi, 2 * math.pi, math.pi),
    "wrist_2_joint": (-2 * math.pi, 2 * math.pi, math.pi),
    "wrist_3_joint": (-2 * math.pi, 2 * math.pi, math.pi),
}
XARM6 = {  # xarm_ros2 xarm_description/urdf/xarm6/xarm6.urdf.xacro, 0417b0f
    "joint1": (-2 * math.pi, 2 * math.pi, 3.14),
    "joint2": (-2.059, 2.0944, 3.14),
    "joint3": (-3.927, 0.19198, 3.14),
    "joint4": (-2 * math.pi, 2 * math.pi, 3.14),
    "joint5": (-1.69297, math.pi, 3.14),
    "joint6": (-2 * math.pi, 2 * math.pi, 3.14),
}
XARM_GRIPPER = (0.0, 0.85)  # xarm_description/urdf/gripper/xarm_gripper.urdf.xacro, 0417b0f
DESCRIBED = {
    "franka_droid": FR3 | ROBOTIQ,
    "franka_droid_n16": FR3 | ROBOTIQ,
    "panda_droid": FER | ROBOTIQ,
    "panda_droid_n16": FER | ROBOTIQ,
    "libero_panda": HAND,
    "so100": SO100,
    "so101": SO101,
    "unitree_g1": G1,
    "unitree_g1_n16": G1,
    "real_g1": G1,
    "gr1": GR1,
    "gr1_n15": GR1,
    "ur5e_2f85": UR5E | ROBOTIQ,
    "xarm6_gripper": XARM6,
}
NO_DESCRIPTION = {
    "desk6",  # invented; test/sim holds it to its own scene
    "simpler_widowx",  # the gripper's joint and range are marked as unsettled
    "simpler_google",
}


@pytest.mark.parametrize("name", [p.stem for p in FILES if p.stem not in NO_DESCRIPTION])
def test_no_file_allows_more_than_its_robots_own_description(name):
    """Else the node refuses the robot that it ships for; three decimals are what files state."""
    limits, described = load(name).limits, DESCRIBED[name]
    for joint, low, high, speed in zip(
        limits.names, limits.lower, limits.upper, limits.velocity, strict=True
    ):
        lower, upper, velocity = described[joint]
        assert low >= lower - 1e-3 and high <= upper + 1e-3, joint
        assert velocity is None or speed <= velocity, joint


@pytest.mark.parametrize("name", ["ur5e_2f85", "xarm6_gripper"])
def test_an_arm_of_one_s_own_checkpoint_has_its_keys_its_rate_and_a_gripper_that_reaches_its_ends(
    name,
):
    """NEW_EMBODIMENT: 16 steps at 15 Hz, two cameras, six joints, a gripper that is closed at 1."""
    robot = load(name)
    assert (robot.tag, robot.rate_hz, robot.action_horizon) == ("new_embodiment", 15.0, 16)
    assert [camera.key for camera in robot.video] == ["front", "wrist"]
    assert [(s.key, s.width) for s in robot.state] == [("single_arm", 6), ("gripper", 1)]
    assert [(a.key, a.width) for a in robot.action] == [("single_arm", 6), ("gripper", 1)]
    assert robot.unsettled == ()
    gripper, measured = robot.action[1], robot.state[1]
    assert gripper.scale == measured.scale
    opened, closed = gripper.scale.to_joint(np.array([[0.0], [1.0]])).ravel()
    assert opened == 0.0
    if robot.commands:
        limits = robot.command_limits
        assert (limits.lower[0], limits.upper[0]) == (opened, closed) == XARM_GRIPPER
    else:
        ends = [{gripper.names[0]: end} for end in (opened, closed)]
        assert closed == 0.8 and not any(list(robot.limits.outside(end)) for end in ends)


@pytest.mark.parametrize(
    ("name", "joints", "tip"),
    [
        # all joints at zero: the sums of the descriptions' own offsets, m
        ("ur5e_2f85", [0, 0, 0, 0, 0, 0, 0], [0.8172, 0.2329, 0.0628]),
        ("xarm6_gripper", [0, 0, 0, 0, 0, 0], [0.207, 0.0, 0.112]),
    ],
)
def test_the_flange_is_where_the_description_puts_it(name, joints, tip):
    """By hand, from the offsets: a wrong sign or order of the chain shows here."""
    box = load(name).workspace
    position, _ = box.chain.pose(np.array(joints, dtype=float))
    np.testing.assert_allclose(position, tip, atol=1e-4)
    assert (box.lower < position).all() and (position < box.upper).all()


@pytest.mark.parametrize("generation", ["", "_n16"])
def test_a_panda_differs_from_an_fr3_in_names_and_limits(generation):
    """Same tag, same streams and keys; FER's joint_limits.yaml, 566ba44, and no envelope."""
    fr3, fer = load(f"franka_droid{generation}"), load(f"panda_droid{generation}")
    for name in ("tag", "rate_hz", "action_horizon", "language_key", "video"):
        assert getattr(fer, name) == getattr(fr3, name)
    assert [(s.key, s.width, s.scale) for s in fer.state] == [
        (s.key, s.width, s.scale) for s in fr3.state
    ]
    assert [(a.key, a.width, a.output) for a in fer.action] == [
        (a.key, a.width, a.output) for a in fr3.action
    ]
    assert fer.joint_names[:7] == tuple(f"fer_joint{i}" for i in range(1, 8))
    limits = fer.limits
    np.testing.assert_array_equal(
        limits.upper[:7], [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]
    )
    np.testing.assert_array_equal(
        limits.lower[:7], [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]
    )
    np.testing.assert_array_equal(limits.velocity[:7], [2.175] * 4 + [2.61] * 3)
    assert np.isnan(limits.envelope).all()
    joints = np.linspace(0.1, 0.8, 8)
    chains = [robot.workspace.chain for robot in (fr3, fer)]
    np.testing.assert_array_equal(chains[0].pose(joints)[0], chains[1].pose(joints)[0])


def test_real_g1_has_wrists_in_the_pelvis_history_and_53_values_of_action():
    """processor_config.json of GR00T-N1.7-3B: another order than UNITREE_G1's, the same robot."""
    robot, finetuned = load("real_g1"), load("unitree_g1")
    assert robot.tag == "real_g1_relative_eef_relative_joints"
    assert (robot.action_horizon, [v.delta_indices for v in robot.video]) == (40, [(-20, 0)])
    keys = ["left_wrist_eef_9d", "right_wrist_eef_9d", "left_hand", "right_hand"]
    keys += ["left_arm", "right_arm", "waist"]
    assert [(s.key, s.width) for s in robot.state] == list(
        zip(keys, [9, 9, 7, 7, 7, 7, 3], strict=True)
    )
    assert [a.key for a in robot.action] == [*keys, "base_height_command", "navigate_command"]
    assert sum(a.width for a in robot.action) == 53
    assert {s.frame for s in robot.state if s.source == "pose"} == {"pelvis"}
    ours, theirs = ({s.key: s.names for s in r.state} for r in (robot, finetuned))
    assert all(ours[key] == theirs[key] for key in keys[2:])
    np.testing.assert_array_equal(robot.limits.lower, finetuned.limits.lower)
    assert [mark.path for mark in robot.unsettled] == ["rate_hz"]


def test_gr1_has_its_datasets_dimensions_and_asks_for_every_order():
    """Of the dataset's 44 values 29; the action's order is the state's, whatever that is."""
    robot = load("gr1")
    groups = {"left_arm": 7, "right_arm": 7, "left_hand": 6, "right_hand": 6, "waist": 3}
    assert {s.key: s.width for s in robot.state} == groups
    assert {a.key: a.names for a in robot.action} == {s.key: s.names for s in robot.state}
    asked = {mark.path for mark in robot.unsettled}
    assert {f"state.{key}.names" for key in groups} < asked
    assert {"action_horizon", "language_key"} < asked


def test_gr1_n15_is_the_same_robot_with_the_keys_of_n15s_data_config():
    """fourier_gr1_arms_waist: another camera key, 16 steps for sure, the rate for nobody."""
    robot, n16 = load("gr1_n15"), load("gr1")
    assert (robot.tag, robot.action_horizon, robot.language_keys) == (
        *("gr1", 16),
        ("annotation.human.coarse_action",),
    )
    assert [v.key for v in robot.video] == ["ego_view"]
    assert [(s.key, s.names) for s in robot.state] == [(s.key, s.names) for s in n16.state]
    assert [(a.key, a.names) for a in robot.action] == [(a.key, a.names) for a in n16.action]
    assert {a.representation for a in robot.action} == {"absolute"}
    for name in ("lower", "upper", "velocity", "acceleration", "jerk", "margin", "jump", "held"):
        np.testing.assert_array_equal(getattr(robot.limits, name), getattr(n16.limits, name))
    asked = {mark.path for mark in robot.unsettled}
    assert {"rate_hz", "video.ego_view.fit"} < asked
    assert not {"action_horizon", "language_key"} & asked


@pytest.mark.parametrize("name", ["so100", "so101"])
def test_an_so_arm_speaks_motor_units_to_the_policy_and_radians_to_its_controllers(name):
    """The ends of the URDF's ranges are -100 and 100, of the gripper 0 and 100, both ways."""
    robot = load(name)
    limits = robot.limits
    for key, ends in (("single_arm", (-100.0, 100.0)), ("gripper", (0.0, 100.0))):
        (stream,) = [s for s in robot.state if s.key == key]
        (action,) = [a for a in robot.action if a.key == key]
        assert stream.names == action.names
        for angle, value in zip("lower upper".split(), ends, strict=True):
            rows = dict(zip(limits.names, getattr(limits, angle), strict=True))
            angles = np.array([rows[n] for n in stream.names])
            sent = stream.scale.to_policy(stream.scale.fraction(angles))
            np.testing.assert_allclose(sent, value)
            np.testing.assert_allclose(action.scale.to_joint(sent), angles)
    assert "state.single_arm.range" in [mark.path for mark in robot.unsettled]


@pytest.mark.parametrize("name", ["libero_panda", "simpler_widowx", "simpler_google"])
def test_end_effector_deltas_go_to_a_cartesian_controller_and_to_no_joints(name):
    """Six deltas to a velocity output; mapped to the joint controller the file is refused."""
    mapping = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    robot = parse(mapping, name)
    six = ["x", "y", "z", "roll", "pitch", "yaw"]
    assert [a.key for a in robot.action if a.representation == "delta"] == six
    assert [(o.type, list(o.names)) for o in robot.commands] == [("twist_stamped", six)]
    mapping["action"]["x"] |= {"output": "gripper", "names": list(robot.joint_names)}
    with pytest.raises(EmbodimentError, match="action.x.*deltas cannot go to joint_trajectory"):
        parse(mapping, name)


def test_both_g1_files_have_the_groups_of_whole_body_control_in_the_checkpoints_order():
    """43 values of state, 35 of action, hands index, middle, thumb on both sides alike."""
    for name, tag, horizon in (
        ("unitree_g1", "unitree_g1_full_body_with_waist_height_nav_cmd", 50),
        ("unitree_g1_n16", "unitree_g1", 30),
    ):
        robot = load(name)
        assert (robot.tag, robot.action_horizon, robot.rate_hz) == (tag, horizon, 20.0)
        assert [(s.key, s.width) for s in robot.state] == [
            ("left_leg", 6),
            ("right_leg", 6),
            ("waist", 3),
            ("left_arm", 7),
            ("right_arm", 7),
            ("left_hand", 7),
            ("right_hand", 7),
        ]
        assert [(a.key, a.width) for a in robot.action] == [
            ("left_arm", 7),
            ("right_arm", 7),
            ("left_hand", 7),
            ("right_hand", 7),
            ("waist", 3),
            ("base_height_command", 1),
            ("navigate_command", 3),
        ]
        fingers = "index_0 index_1 middle_0 middle_1 thumb_0 thumb_1 thumb_2".split()
        for side in ("left", "right"):
            stream = next(s for s in robot.state if s.key == f"{side}_hand")
            assert stream.names == tuple(f"{side}_hand_{finger}_joint" for finger in fingers)


def test_g1_arm_limits_are_mirrored_as_the_urdf_has_them():
    """g1_29dof_rev_1_0.urdf: a roll's range is another one on the other side, not the same."""
    limits = load("unitree_g1").limits
    rows = {n: (a, b) for n, a, b in zip(limits.names, limits.lower, limits.upper, strict=True)}
    assert rows["left_shoulder_roll_joint"] == (-1.5882, 2.2515)
    assert rows["right_shoulder_roll_joint"] == (-2.2515, 1.5882)
    assert rows["left_hand_thumb_1_joint"] == (-0.6109, 1.0472)
    assert rows["right_hand_thumb_1_joint"] == (-1.0472, 0.6109)
    assert (limits.velocity <= 3.0).all()


def test_the_stops_that_the_page_about_limits_promises_are_those_of_its_formula():
    """docs/limits.md: 2 a / j + v / a, at full and at half speed; its advice is what ships."""
    page = (FOLDER.parents[1] / "docs" / "limits.md").read_text()
    rows = re.findall(
        r"^\| ([\d.]+)[^|]* \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.M
    )
    assert len(rows) == 5
    for velocity, acceleration, jerk, full, half in (map(float, row) for row in rows):
        for speed, stated in ((velocity, full), (velocity / 2.0, half)):
            stop = 2.0 * acceleration / jerk + speed / acceleration
            assert abs(stop - stated) < 0.006
    assert "**5 rad/s^2 and 100 rad/s^3** for an arm" in page
    for name in ("ur5e_2f85", "xarm6_gripper"):
        limits = load(name).limits
        assert (limits.acceleration[:6] == 5.0).all() and (limits.jerk[:6] == 100.0).all()
