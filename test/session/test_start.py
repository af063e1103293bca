"""A plan starts where the controllers hold the arm, else where the rule says, else not at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.session.start import (
    HELD_UNKNOWN,
    HeldOutput,
    apart,
    continue_from,
    held_by_all,
    leave_from,
    pause_lasts,
    start_from,
)
from gr00t_ros.watch.finding import Reaction

ARM = SimpleNamespace(name="arm", names=("a", "b"), state_topic="/arm/state")
GRIPPER = SimpleNamespace(name="gripper", names=("g",), state_topic="/gripper/state")
HELD = (np.array([0.1, 0.2]), np.array([0.3]))
MEASURED = [np.array([1.1, 1.2]), np.array([1.3])]
PLANNED = np.array([2.1, 2.2, 2.3])
LIMITS = load_embodiment("franka_droid").limits
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])
MOVED = HOME + [0.0, 0.06, 0, 0, 0, 0, 0, 0]
SAGGED = HOME - [0.0, 0.03, 0, 0, 0, 0, 0, 0]


def outputs(arm="holds", gripper="holds"):
    """Arm and gripper: a controller "holds", is "late", or "never" published a state."""
    return [
        HeldOutput(output, held if state == "holds" else None, state != "never")
        for output, held, state in zip((ARM, GRIPPER), HELD, (arm, gripper), strict=True)
    ]


def test_a_plan_starts_where_all_controllers_hold() -> None:
    """The measured position and our own plan are not used."""
    held = [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(held_by_all(outputs()), held)
    np.testing.assert_array_equal(start_from(outputs(), MEASURED), held)
    np.testing.assert_array_equal(continue_from(outputs(), PLANNED), held)


def test_an_output_whose_controller_never_published_uses_its_own_part_only() -> None:
    """A first plan uses the measured position, a later one the end of our own plan."""
    found = outputs(arm="never")
    assert held_by_all(found) is None
    np.testing.assert_array_equal(start_from(found, MEASURED), [1.1, 1.2, 0.3])
    np.testing.assert_array_equal(continue_from(found, PLANNED), [2.1, 2.2, 0.3])
    found = outputs(gripper="never")
    np.testing.assert_array_equal(start_from(found, MEASURED), [0.1, 0.2, 1.3])
    np.testing.assert_array_equal(continue_from(found, PLANNED), [0.1, 0.2, 2.3])


@pytest.mark.parametrize("gripper", ["holds", "late", "never"])
def test_no_plan_starts_while_a_controller_that_published_is_late(gripper: str) -> None:
    """Neither measured nor planned position shows where it holds a blocked arm."""
    found = outputs("late", gripper)
    assert held_by_all(found) is None and continue_from(found, PLANNED) is None
    assert start_from(found, MEASURED) == (
        "output arm: no usable state of its controller on /arm/state within 0.2 s, expected where "
        "it holds the arm"
    )


def test_without_held_and_measured_position_the_reason_is_that_of_the_measurement() -> None:
    """It matters only for the output that needs the measurement."""
    measured = ["arm is not measured", MEASURED[1]]
    assert start_from(outputs(arm="never"), measured) == "arm is not measured"
    np.testing.assert_array_equal(start_from(outputs(gripper="never"), measured), [0.1, 0.2, 1.3])


def test_a_pause_is_left_from_our_own_position_unless_the_arm_was_moved() -> None:
    """A sag is inside the allowed difference: starting there would be a step."""
    assert leave_from(HOME, SAGGED, SAGGED, LIMITS) is HOME
    assert leave_from(HOME, MOVED, MOVED, LIMITS) is MOVED
    assert leave_from(HOME, MOVED, None, LIMITS) is HOME
    assert leave_from(None, MOVED, MOVED, LIMITS) is MOVED
    assert leave_from(HOME, None, HOME, LIMITS) is None


def test_a_pause_lasts_while_the_position_is_unknown_or_apart() -> None:
    """Both are pauses, not faults; a missing measurement is reported by its stream."""
    unknown = pause_lasts(None, HOME, LIMITS)
    assert unknown is not None
    assert (unknown.watch, unknown.reaction) == ("held_position", Reaction.PAUSE)
    assert unknown.reason == HELD_UNKNOWN
    moved = pause_lasts(HOME, MOVED, LIMITS)
    assert moved is not None and moved.reaction is Reaction.PAUSE
    assert moved.reason.startswith("fr3_joint2: held at -0.6000, measured -0.5400")
    assert pause_lasts(HOME, SAGGED, LIMITS) is None
    assert pause_lasts(HOME, None, LIMITS) is None


def test_before_a_start_a_position_apart_from_the_measured_one_is_a_fault() -> None:
    """The controller pushes against something, or does not control this robot."""
    found = apart(HOME, MOVED, LIMITS)
    assert found is not None and found.reaction is Reaction.FAULT
    assert apart(HOME, SAGGED, LIMITS) is None
