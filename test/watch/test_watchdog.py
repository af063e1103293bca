"""Each watch reacts exactly at its threshold, with the right reaction and text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.watch.arm import held_position, outside_limits
from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.inputs import stream_age
from gr00t_ros.watch.server import consecutive_refusals

MS = 1_000_000
NAMES = ("fr3_joint1", "fr3_joint2", "gripper")
ALLOWED = np.array([0.05, 0.05, np.inf])


@pytest.mark.parametrize(
    ("age_ns", "reaction"),
    [
        (-5, None),
        (0, None),
        (100 * MS - 1, None),
        (100 * MS, None),
        (100 * MS + 1, Reaction.PAUSE),
        (2000 * MS - 1, Reaction.PAUSE),
        (2000 * MS, Reaction.PAUSE),
        (2000 * MS + 1, Reaction.FAULT),
        (10**15, Reaction.FAULT),
    ],
)
def test_a_stream_pauses_above_one_age_and_faults_above_the_other(age_ns, reaction) -> None:
    """The thresholds themselves are still allowed."""
    found = stream_age("video.wrist", "/camera/wrist", age_ns, 100 * MS, 2000 * MS)
    assert (found and found.reaction) == reaction


@given(st.integers(100 * MS + 1, 10**18))
def test_a_stream_without_a_fault_age_only_ever_pauses(age_ns) -> None:
    """However old it gets."""
    found = stream_age("state.gripper", "/joint_states", age_ns, 100 * MS, None)
    assert found is not None and found.reaction is Reaction.PAUSE


def test_a_stream_that_never_came_pauses_and_names_its_topic() -> None:
    """There is no age that could fault."""
    found = stream_age("video.wrist", "/camera/wrist", None, 100 * MS, 2000 * MS)
    assert found is not None
    assert (found.watch, found.reaction) == ("stream_age", Reaction.PAUSE)
    assert found.reason == (
        "video.wrist: check the driver and the network (nothing usable on /camera/wrist yet)"
    )


def test_an_old_stream_tells_the_cause_what_to_do_its_age_and_the_threshold() -> None:
    """The cause first, seconds with two digits."""
    why = "picture is 48x64, was 24x32 before: set the driver back to 24x32"
    found = stream_age("video.wrist", "/camera/wrist", 2340 * MS, 100 * MS, 2000 * MS, why)
    assert found is not None
    assert found.reason == (
        f"video.wrist: {why} (newest usable sample on /camera/wrist is 2.34 s old, at most "
        "0.10 s allowed)"
    )


@pytest.mark.parametrize(("count", "faults"), [(0, False), (2, False), (3, True), (4, True)])
def test_refusals_fault_from_the_limit_on(count, faults) -> None:
    """With the last reason in the text."""
    found = consecutive_refusals(count, 3, "jump of 1 rad")
    assert (found is not None) is faults
    if found is not None:
        assert (found.watch, found.reaction) == ("consecutive_failures", Reaction.FAULT)
        assert found.reason == (
            f"{count} answers of the policy server refused in a row, the last: jump of 1 rad"
        )


@pytest.mark.parametrize("joint", [0, 1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(("apart", "faults"), [(0.0, False), (0.05, False), (0.0501, True)])
def test_a_joint_held_too_far_from_where_it_is_faults_by_name(joint, sign, apart, faults) -> None:
    """To either side; the allowed difference itself is allowed."""
    held = np.zeros(3)
    held[joint] = sign * apart
    found = held_position(NAMES, held, np.zeros(3), ALLOWED)
    assert (found is not None) is faults
    if found is not None:
        assert (found.watch, found.reaction) == ("held_position", Reaction.FAULT)
        assert found.reason.startswith(
            f"{NAMES[joint]}: held at {held[joint]:.4f}, measured 0.0000, at most 0.050 apart"
        )


def test_a_joint_that_is_not_checked_may_be_anywhere() -> None:
    """A gripper around an object is held far from where it is."""
    assert held_position(NAMES, np.array([0.0, 0.0, 0.8]), np.zeros(3), ALLOWED) is None


@pytest.mark.parametrize("joint", [0, 1, 2])
@pytest.mark.parametrize("side", ["held", "measured"])
def test_a_position_that_is_no_number_faults_by_name(joint, side) -> None:
    """NaN compares false with everything, and must not pass for that; not even unchecked."""
    positions = {"held": np.zeros(3), "measured": np.zeros(3)}
    positions[side][joint] = np.nan
    found = held_position(NAMES, positions["held"], positions["measured"], ALLOWED)
    assert found is not None and found.reason.startswith(f"{NAMES[joint]}: ")


@given(st.lists(st.floats(0.06, 3.0), min_size=2, max_size=2, unique=True))
def test_the_worst_of_several_joints_is_named(apart) -> None:
    """And never one that is fine, however far its allowed difference is."""
    held = np.array([*apart, 9.0])
    found = held_position(NAMES, held, np.zeros(3), ALLOWED)
    assert found is not None
    assert found.reason.startswith(NAMES[int(np.argmax(apart))])


def test_a_position_that_is_no_number_is_named_before_one_that_is_far() -> None:
    """It says most about what is wrong."""
    found = held_position(NAMES, np.array([0.5, np.nan, 0.0]), np.zeros(3), ALLOWED)
    assert found is not None and found.reason.startswith("fr3_joint2: ")


def test_what_aged_while_the_process_slept_pauses_and_is_no_fault():
    """Nobody could hear it; as soon as it ages while somebody listens it is one."""
    old = ("pose", "/ee_pose", 800, 100, 500)
    assert stream_age(*old).reaction is Reaction.FAULT
    assert stream_age(*old, awake_ns=350).reaction is Reaction.PAUSE
    assert stream_age(*old, awake_ns=501).reaction is Reaction.FAULT


FRANKA = load_embodiment("franka_droid").limits
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])


def test_a_position_inside_the_limits_may_be_a_start() -> None:
    """And a little outside: calibration and noise."""
    assert outside_limits(FRANKA, HOME) is None
    assert outside_limits(FRANKA, FRANKA.upper + FRANKA.margin) is None
    assert outside_limits(FRANKA, FRANKA.lower - FRANKA.margin) is None


def test_joint_states_in_degrees_are_named_as_such() -> None:
    """Each joint with its value and limits."""
    found = outside_limits(FRANKA, np.degrees(HOME))
    assert found is not None
    assert (found.watch, found.reaction) == ("outside_limits", Reaction.FAULT)
    assert "fr3_joint4: measured at -126.1, limits -3.042 to -0.1518" in found.reason
    assert found.reason.endswith("as degrees it would be inside: let the driver publish radians")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -900.0])
def test_a_position_far_outside_is_another_robots(value) -> None:
    """Nor is what is no number inside."""
    measured = HOME.copy()
    measured[2] = value
    found = outside_limits(FRANKA, measured)
    assert found is not None
    assert found.reason.startswith(f"fr3_joint3: measured at {value:.4g}, limits ")
    assert found.reason.endswith("at their zero?")
