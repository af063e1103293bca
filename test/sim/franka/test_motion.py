"""The pick-and-place motion has the right shape, and an arm finds its place on it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.sim.franka import episode as motions
from gr00t_ros.sim.franka.kinematics import (
    HOME_RAD,
    LOWER_RAD,
    MARGIN_RAD,
    UPPER_RAD,
    VELOCITY_RAD_S,
    tool_pose,
)
from gr00t_ros.sim.path import RATE_HZ, OutOfReachError

CUBE_M, PLATE_M = np.array([0.42, 0.2]), np.array([0.55, -0.1])
PLACES = st.tuples(st.floats(0.37, 0.6), st.floats(-0.24, 0.24)).map(np.array)


@pytest.fixture(scope="module")
def motion():
    """From home to the cube, to the plate and home again."""
    return motions.pick_and_place(HOME_RAD, CUBE_M, PLATE_M)


def heights(motion) -> np.ndarray:
    """The tool's height at each sample, m."""
    return np.array([tool_pose(row)[2, 3] for row in motion.joints])


@given(PLACES, PLACES)
def test_every_motion_is_slow_smooth_and_inside_the_limits(cube, plate):
    """Speed and acceleration as promised, at rest at both ends, margins kept."""
    motion = motions.pick_and_place(HOME_RAD, cube, plate)
    speed = np.diff(motion.joints, axis=0) * RATE_HZ
    acceleration = np.diff(speed, axis=0) * RATE_HZ
    assert np.all(np.abs(speed) <= 1.02 * motions.PACE.speed * VELOCITY_RAD_S)
    # The bound is a straight leg's; a curved one (up and down) may exceed it a little.
    assert np.abs(acceleration).max() < 1.6 * motions.PACE.acceleration_rad_s2
    assert np.abs(speed[[0, -1]]).max() < 0.02
    assert np.all(motion.joints >= LOWER_RAD + MARGIN_RAD)
    assert np.all(motion.joints <= UPPER_RAD - MARGIN_RAD)


@given(PLACES, PLACES)
def test_a_reply_500_ms_late_begins_within_what_the_guard_lets_pass(cube, plate):
    """From each rest, the step 600 ms on (100 ms are committed) is less than 0.15 rad away."""
    motion = motions.pick_and_place(HOME_RAD, cube, plate)
    for start in (0, *motion.ends[:-1]):
        then = min(start + round(0.6 * RATE_HZ), len(motion.joints) - 1)
        assert np.abs(motion.joints[then] - motion.joints[start]).max() < 0.15


def test_the_gripper_closes_at_the_cube_and_opens_at_the_plate(motion):
    """Gates are where the tool is low, and the gripper changes there only."""
    closing, opening = motion.gates
    assert closing.closing and not opening.closing
    assert np.allclose(tool_pose(motion.joints[closing.start])[:2, 3], CUBE_M, atol=1e-3)
    assert np.allclose(tool_pose(motion.joints[opening.start])[:2, 3], PLATE_M, atol=1e-3)
    assert heights(motion)[[closing.start, opening.start]] == pytest.approx(
        [motions.GRASP_M, motions.PLACE_M], abs=1e-3
    )
    changes = np.nonzero(np.diff(motion.gripper))[0]
    assert changes.tolist() == [closing.start, opening.start]


def test_a_gate_outlasts_eight_steps_and_400_ms(motion):
    """Else a late answer would lift the arm before the gripper was seen closed."""
    for gate in motion.gates:
        assert (gate.end - gate.start) / RATE_HZ > 8 / 15 + 0.4
        assert np.ptp(motion.joints[gate.start : gate.end + 1], axis=0).max() == 0.0


def test_it_goes_down_straight_and_crosses_high(motion):
    """Below hover height the tool is over the cube or over the plate, never between."""
    for row in motion.joints:
        place, height = tool_pose(row)[:2, 3], tool_pose(row)[2, 3]
        if height < motions.HOVER_M - 0.03:
            off = min(np.linalg.norm(place - CUBE_M), np.linalg.norm(place - PLATE_M))
            assert off < 0.003


def test_a_low_start_rises_before_it_crosses():
    """An arm stopped beside a thing must not sweep it off the table."""
    low = motions.pick_and_place(HOME_RAD, CUBE_M, PLATE_M).joints
    start = low[np.array([tool_pose(row)[2, 3] for row in low]).argmin()]
    again = motions.retreat(start)
    rises = heights(again)
    off = np.array([np.linalg.norm(tool_pose(row)[:2, 3] - CUBE_M) for row in again.joints])
    assert off[rises < motions.HOVER_M - 0.03].max() < 0.003
    assert np.allclose(again.joints[-1], HOME_RAD)


def test_placing_what_is_held_begins_with_a_grip(motion):
    """Closed from the first sample until the release."""
    held = motions.place(motion.joints[motion.gates[0].end], PLATE_M)
    assert [gate.closing for gate in held.gates] == [True, False]
    assert held.gates[0].start == 0
    assert np.all(held.gripper[: held.gates[1].start] == 1.0)


def test_out_of_reach_is_an_error():
    """It names the place."""
    with pytest.raises(OutOfReachError, match="x 1.200"):
        motions.pick_and_place(HOME_RAD, np.array([1.2, 0.0]), PLATE_M)


@given(st.data())
def test_an_arm_on_the_motion_is_found_there_and_never_behind(motion, data):
    """Forward of the last place, to the next gate at most."""
    gate = motion.gates[0]
    known = data.draw(st.integers(0, gate.start))
    true = data.draw(st.integers(known, min(gate.start, known + 60)))
    index, distance = motion.locate(motion.joints[true], known)
    assert known <= index <= gate.start
    assert distance < 0.013
    assert np.abs(motion.joints[index] - motion.joints[true]).max() < 0.013


def test_an_arm_that_stands_still_is_not_carried_along(motion):
    """However often it is seen: only motion is progress."""
    index = 0
    for _ in range(50):
        index, _ = motion.locate(HOME_RAD, index)
    assert index == 0


def test_an_arm_a_little_short_of_a_gate_has_reached_it(motion):
    """The last milliradians of a servo must not keep the gripper open."""
    gate = motion.gates[0]
    index, distance = motion.locate(motion.joints[gate.start] + 0.008, gate.start - 40)
    assert index == gate.start
    assert distance == pytest.approx(0.008)


def test_a_gate_is_not_passed_by_looking(motion):
    """The way up equals the way down: only the gripper tells them apart."""
    gate = motion.gates[0]
    halfway_up = motion.joints[gate.end + 30]
    index, _ = motion.locate(halfway_up, gate.start - 5)
    assert index <= gate.start
