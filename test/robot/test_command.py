"""Outputs that are no joints: what the file says of them, and what it must not say."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.robot.embodiment import parse

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "unitree_g1.yaml"
VALID = yaml.safe_load(FILE.read_text())


def changed(path, value):
    """The embodiment of the valid file with one value replaced or added."""
    mapping = copy.deepcopy(VALID)
    *parents, last = path.split(".")
    at = mapping
    for key in parents:
        at = at[key]
    at[last] = value
    return parse(mapping, "robot.yaml")


def test_commands_stand_beside_joints_in_the_order_of_the_file():
    """The plan's joints know nothing of the base, and the base's limits nothing of joints."""
    robot = parse(VALID, "robot.yaml")
    assert [(c.name, c.type, c.topic) for c in robot.commands] == [
        ("base", "twist", "/cmd_vel"),
        ("base_height", "float64", "/base_height"),
    ]
    limits = robot.command_limits
    assert limits.names == ("lin_vel_x", "lin_vel_y", "ang_vel_z", "base_height")
    assert not set(limits.names) & set(robot.joint_names)
    np.testing.assert_array_equal(limits.upper, [0.5, 0.3, 0.8, 0.78])
    np.testing.assert_array_equal(limits.start, [0.0, 0.0, 0.0, 0.74])
    np.testing.assert_array_equal(limits.velocity, [True, True, True, False])
    assert len(robot.limits) == len(robot.joint_names) == 31
    with pytest.raises(ValueError, match="read-only"):
        limits.upper[0] = 9.0


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("outputs.base.names", ["a", "b"], "outputs.base.names: got ['a', 'b'], expected 3 or 6"),
        ("outputs.base.frame", "pelvis", "outputs.base: unknown key 'frame'"),
        ("outputs.base.type", "twist_stamped", "outputs.base: missing frame"),
        ("outputs.base.state_topic", "/odom", "outputs.base: unknown key 'state_topic'"),
        ("outputs.base.names", ["waist_yaw_joint", "b", "c"], "waist_yaw_joint belongs to output"),
        ("limits.lin_vel_x", {"range": [0.5, -0.5], "rate": 1}, "limits.lin_vel_x.range"),
        ("limits.lin_vel_x", {"range": [0.1, 0.5], "rate": 1}, "0 is outside the range"),
        ("limits.lin_vel_x.rate", 0, "limits.lin_vel_x.rate: got 0"),
        ("limits.lin_vel_x.rate", 0.2, "limits.lin_vel_x.rate: got 0.2, expected at least 0.25"),
        ("limits.lin_vel_x.start", 0.2, "limits.lin_vel_x: unknown key 'start'"),
        ("limits.base_height.start", 0.9, "limits.base_height.start: 0.9 is outside the range"),
        ("limits.base_height", {"range": [0, 1], "rate": 1}, "limits.base_height: missing start"),
        ("action.navigate_command.output", "base_height", "commanded by 'base_height_command'"),
        ("action.base_height_command.representation", "delta", "deltas cannot go to float64"),
    ],
)
def test_what_is_wrong_with_a_command_is_named_by_its_place(path, value, expected):
    """As with joints: nothing that moves a robot has a silent default."""
    with pytest.raises(EmbodimentError) as caught:
        changed(path, value)
    assert expected in str(caught.value)


WHOLE = {"speed": 0.5, "acceleration": 1.2, "turn_speed": 0.8, "turn_acceleration": 2.0}


def test_a_twist_may_have_limits_of_its_lengths():
    """Three names are two along and one about; six are three and three."""
    along, about = changed("outputs.base.limits", WHOLE).command_limits.vectors
    assert (along.names, along.speed, along.rate) == (("lin_vel_x", "lin_vel_y"), 0.5, 1.2)
    assert (about.names, about.speed, about.rate) == (("ang_vel_z",), 0.8, 2.0)
    panda = parse(yaml.safe_load((FILE.parent / "libero_panda.yaml").read_text()), "panda.yaml")
    assert [one.names for one in panda.command_limits.vectors] == [
        ("x", "y", "z"),
        ("roll", "pitch", "yaw"),
    ]


@pytest.mark.parametrize(
    ("output", "limits", "expected"),
    [
        ("base_height", WHOLE, "outputs.base_height.limits: float64 is no twist"),
        ("base", WHOLE | {"speed": 0}, "outputs.base.limits.speed: got 0"),
        ("base", WHOLE | {"acceleration": 0.1}, "outputs.base.limits.acceleration: got 0.1"),
        ("base", {"speed": 1.0}, "outputs.base.limits: missing"),
    ],
)
def test_what_is_wrong_with_a_twists_limits_is_named(output, limits, expected):
    """A twist that could not stop within half a second is refused, as with each name."""
    with pytest.raises(EmbodimentError) as caught:
        changed(f"outputs.{output}.limits", limits)
    assert expected in str(caught.value)


def test_a_reply_becomes_joints_and_commands_by_name():
    """Each value arrives under the name that the file gives its column."""
    robot = parse(VALID, "robot.yaml")
    reply = {
        a.key: np.tile(np.arange(a.width, dtype=np.float32) + 10 * i, (50, 1))
        for i, a in enumerate(robot.action)
    }
    chunk = from_reply(robot, reply, 1, 2, 3)
    assert chunk.commands.shape == (50, 4)
    np.testing.assert_array_equal(chunk.commands[7], [60.0, 61.0, 62.0, 50.0])
    waist = robot.joint_names.index("waist_yaw_joint")
    np.testing.assert_array_equal(chunk.joints[0, waist : waist + 3], [40.0, 41.0, 42.0])
    assert not chunk.commands.flags.writeable


def test_a_delta_becomes_the_velocity_of_its_step():
    """A motion of 0.02 within a step of 50 ms is 0.4 a second; scale comes before."""
    robot = changed(
        "action.navigate_command",
        {"output": "base", "representation": "delta", "scale": [0.0, 0.1]},
    )
    reply = {a.key: np.zeros((50, a.width), np.float32) for a in robot.action}
    reply["navigate_command"][:, 0] = 0.2
    assert from_reply(robot, reply, 1, 2, 3).commands[0, 0] == pytest.approx(0.2 * 0.1 * 20.0)
