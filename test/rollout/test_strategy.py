"""Each strategy is parameters that the node takes; names and steps are read strictly."""

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.rollout.strategy import STRATEGIES, parse_strategy

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.ros.parameters import PARAMETERS  # noqa: E402


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=lambda one: one.name)
def test_the_node_has_these_parameters_and_takes_their_values(strategy):
    """A name that the node does not have would end it at its start."""
    for name, value in strategy.parameters.items():
        row = PARAMETERS[name]
        assert type(value) is type(row.default)
        assert value in row.choices if row.choices else row.low <= value <= row.high


def test_no_two_strategies_are_the_same():
    """Rows of a report must differ in more than their name."""
    found = [str(one.parameters) for one in STRATEGIES.values()]
    assert len(set(found)) == len(found)


def test_steps_can_be_given():
    """The name of the row has them, and nothing else changes."""
    one = parse_strategy("ensemble:4")
    assert one.name == "ensemble:4"
    assert one.parameters == {**STRATEGIES["ensemble"].parameters, "execute_steps": 4}
    assert parse_strategy("chunk") is STRATEGIES["chunk"]


@pytest.mark.parametrize("text", ["chunks", "chunk:", "chunk:-1", "chunk:129", "chunk:x", ""])
def test_others_are_refused(text):
    """With what is expected."""
    with pytest.raises(SettingsError, match="strategy"):
        parse_strategy(text)
