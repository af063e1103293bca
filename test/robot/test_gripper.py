"""Goals of grippers: on change alone, with hysteresis, and none before the first value."""

import math
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.outputs import GoalPicker, GripperGoals

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
SWITCH = GripperGoals(switch=(0.03, 0.05))
NEAR = GripperGoals(hysteresis=0.01)


def told(goals, values):
    """The goals that are sent for these values, one after the other."""
    picker, sent = GoalPicker(goals, 0.0, 0.08), []
    for value in values:
        goal = picker.wanted(value)
        if goal is not None:
            sent.append(goal)
            picker.last = goal
    return sent


def test_a_switch_asks_for_the_ends_of_the_range_and_not_while_a_policy_wavers():
    """Between its two thresholds nothing changes, and nothing is asked before one is crossed."""
    values = [0.04, 0.049, 0.08, 0.06, 0.035, 0.045, 0.031, 0.02, 0.04, 0.049, 0.05]
    assert told(SWITCH, values) == [0.08, 0.0, 0.08]


def test_a_position_is_asked_again_only_at_a_distance_and_at_the_ends():
    """A gripper that is to close does so to its end, however small the last step."""
    assert told(NEAR, [0.04, 0.045, 0.035, 0.051, 0.045, 0.004, 0.0]) == [0.04, 0.051, 0.004, 0.0]


@given(st.lists(st.floats(0.0, 0.08), max_size=40))
def test_a_goal_follows_another_only_after_a_value_as_far_as_the_hysteresis(values):
    """Noise narrower than it sends nothing, whatever it does."""
    sent = told(NEAR, values)
    assert all(abs(a - b) >= 0.01 or b in (0.0, 0.08) for a, b in zip(sent, sent[1:], strict=False))
    switched = told(SWITCH, values)
    assert all(a != b for a, b in zip(switched, switched[1:], strict=False))


def test_the_example_of_a_2f_85_by_action_fits_the_shipped_ur5e():
    """docs/outputs.md: its parts in place of the file's own are a robot that the node reads."""
    page = (FILE.parents[2] / "docs" / "outputs.md").read_text()
    (text,) = [b for b in re.findall("```yaml\n(.*?)```", page, re.DOTALL) if "parallel_" in b]
    content = yaml.safe_load((FILE.parent / "ur5e_2f85.yaml").read_text())
    for part, entries in yaml.safe_load(text).items():
        assert set(entries) <= set(content[part])
        content[part] |= entries
    robot = parse(content, "it")
    (gripper,) = robot.commands
    assert (gripper.type, len(gripper.names)) == ("parallel_gripper_command", 1)
    assert gripper.actions == ("/robotiq_gripper_controller/gripper_cmd",)
    assert len(robot.joint_names) == 6


def gripper_file(goals, kind="franka_gripper", limits=None):
    """The DROID file with a gripper by goals."""
    content = yaml.safe_load(FILE.read_text())
    output = content["outputs"]["gripper"]
    (old,) = output["names"]
    content["outputs"]["gripper"] = {
        "type": kind,
        "topic": "/franka_gripper",
        "names": ["width"],
        "goals": goals,
    }
    action = content["action"]["gripper_position"]
    content["action"]["gripper_position"] = {"output": "gripper", "scale": [0.08, 0.0]}
    assert action
    del content["limits"][old]
    content["limits"]["width"] = limits or {"range": [0.0, 0.08]}
    return content


FRANKA = {"switch": [0.03, 0.05], "speed": 0.1, "force": 30.0, "epsilon": [0.08, 0.08]}


def test_a_gripper_by_goals_is_no_joint_and_knows_its_actions():
    """It has no place in the plan, no rate, and no position before the first goal."""
    robot = parse(gripper_file(FRANKA), "it")
    (gripper,) = robot.commands
    assert gripper.actions == ("/franka_gripper/move", "/franka_gripper/grasp")
    assert gripper.goals == GripperGoals((0.03, 0.05), 0.0, None, 0.1, 30.0, (0.08, 0.08))
    assert "width" not in robot.joint_names
    assert math.isnan(robot.command_limits.start[0])
    content = gripper_file({"hysteresis": 0.01, "effort": 20}, "parallel_gripper_command")
    (gripper,) = parse(content, "it").commands
    assert (gripper.actions, gripper.goals.effort) == (("/franka_gripper",), 20.0)


@pytest.mark.parametrize(
    ("goals", "kind", "limits", "expected"),
    [
        ({"switch": [0.05, 0.03]}, "gripper_command", None, "goals.switch"),
        ({"effort": 5}, "gripper_command", None, "got neither switch nor hysteresis"),
        (
            {"switch": [0, 1], "hysteresis": 1},
            "gripper_command",
            None,
            "got switch and hysteresis, expected one",
        ),
        ({"hysteresis": 0.0}, "gripper_command", None, "goals.hysteresis"),
        ({"hysteresis": 0.1}, "gripper_command", None, "as wide as the range"),
        ({"switch": [0.03, 0.09]}, "gripper_command", None, "outside [0, 0.08]"),
        ({"hysteresis": 0.01}, "gripper_command", {"range": [0, 1], "rate": 1}, "unknown key"),
        ({"hysteresis": 0.01}, "franka_gripper", None, "unknown key 'hysteresis'"),
        ({**FRANKA, "force": -1}, "franka_gripper", None, "goals.force"),
        ({**FRANKA, "epsilon": [0.1]}, "franka_gripper", None, "[inner, outer]"),
    ],
)
def test_goals_that_cannot_be_are_named(goals, kind, limits, expected):
    """By their place in the file."""
    with pytest.raises(EmbodimentError, match=".*") as refused:
        parse(gripper_file(goals, kind, limits), "it")
    assert expected in str(refused.value)
