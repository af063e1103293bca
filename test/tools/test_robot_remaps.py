"""Launch arguments become remap rules, but only those with a value other than the file's."""

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.tools.launch import is_true, robot_remaps

TOPICS = {"camera": "/camera/image_raw", "joint_states": "/joint_states"}
CONTROLLERS = {"arm": "arm_controller"}


def test_what_is_as_in_the_file_is_not_renamed():
    """The defaults of the launch arguments change nothing."""
    assert robot_remaps(TOPICS | CONTROLLERS, TOPICS, CONTROLLERS) == ""


def test_a_topic_is_one_rule_and_a_controller_two():
    """A controller is known by its command and its state; a leading slash is no matter."""
    chosen = {"camera": "/left/color", "joint_states": "/joint_states", "arm": "/cell/jtc"}
    assert robot_remaps(chosen, TOPICS, CONTROLLERS).split() == [
        "/camera/image_raw:=/left/color",
        "/arm_controller/joint_trajectory:=/cell/jtc/joint_trajectory",
        "/arm_controller/controller_state:=/cell/jtc/controller_state",
    ]


@pytest.mark.parametrize("text", ["yes", "ture", "on", ""])
def test_a_flag_is_true_or_false(text):
    """Anything else would silently be false."""
    assert is_true("True") and is_true("1") and not is_true("false") and not is_true("0")
    with pytest.raises(SettingsError, match="expected true or false"):
        is_true(text)
