"""The pose follower keeps its limits in every step, ends at rest and never leaves the box."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from pose_cases import LIMITS, STEP_S, pose
from scipy.spatial.transform import Rotation

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.pose.follower import PoseFollower, braking_speed
from gr00t_ros.robot.rotation import Pose

STEP_NS = 20_000_000
FOLLOWER = PoseFollower(LIMITS, STEP_NS)
ROUNDING = 1e-9


def assert_inside_the_limits(motions):
    """Speed, acceleration and box in every step, from the poses alone as far as they show it."""
    for before, after in zip(motions[:-1], motions[1:], strict=True):
        moved = (after.pose.position - before.pose.position) / STEP_S
        np.testing.assert_allclose(moved, after.velocity, atol=1e-12)
        turned = Rotation.from_matrix(after.pose.rotation @ before.pose.rotation.T).as_rotvec()
        np.testing.assert_allclose(turned / STEP_S, after.angular_velocity, atol=1e-6)
        assert np.linalg.norm(after.velocity) <= 0.25 + ROUNDING
        assert np.linalg.norm(after.angular_velocity) <= 0.8 + ROUNDING
        assert np.linalg.norm(after.velocity - before.velocity) <= 1.0 * STEP_S + ROUNDING
        turn_change = np.linalg.norm(after.angular_velocity - before.angular_velocity)
        assert turn_change <= 3.0 * STEP_S + ROUNDING
        assert (after.pose.position >= LIMITS.lower).all()
        assert (after.pose.position <= LIMITS.upper).all()
        np.testing.assert_allclose(
            after.pose.rotation @ after.pose.rotation.T, np.eye(3), atol=1e-9
        )


def follow(targets, start):
    """The motions of going after each target for one step."""
    motions = [FOLLOWER.standing(start)]
    for target in targets:
        motions.append(FOLLOWER.towards(motions[-1], target))
    return motions


ANYWHERE = st.builds(
    pose,
    x=st.floats(-0.5, 1.5),
    y=st.floats(-1.0, 1.0),
    z=st.floats(-0.5, 1.5),
    turn=st.tuples(*[st.floats(-3.2, 3.2)] * 3),
)
INSIDE = st.builds(
    pose,
    x=st.floats(0.2, 0.7),
    y=st.floats(-0.4, 0.4),
    z=st.floats(0.05, 0.6),
    turn=st.tuples(*[st.floats(-3.2, 3.2)] * 3),
)


@settings(max_examples=examples(20), deadline=None)
@given(INSIDE, st.lists(st.tuples(ANYWHERE, st.integers(1, 25)), min_size=1, max_size=6))
def test_whatever_the_targets_are_every_step_is_inside_the_limits(start, runs):
    """Targets jump, lie outside the box and turn by any angle; the pose does none of it."""
    motions = follow([target for target, steps in runs for _ in range(steps)], start)
    while not motions[-1].at_rest:
        motions.append(FOLLOWER.braking(motions[-1]))
    assert_inside_the_limits(motions)


@settings(max_examples=examples(10), deadline=None)
@given(INSIDE, ANYWHERE)
def test_a_target_that_stands_is_reached_as_far_as_the_box_lets(start, target):
    """It comes to rest at the target, or at the box's point nearest to it, and stays there."""
    motions = follow([target] * 500, start)
    end = motions[-1].pose
    near = np.clip(target.position, LIMITS.lower, LIMITS.upper)
    np.testing.assert_allclose(end.position, near, atol=1e-4)
    assert end.away_from(Pose(end.position, target.rotation))[1] < 1e-3
    assert np.linalg.norm(motions[-1].velocity) < 1e-3


def test_the_rotation_goes_the_shorter_way_round():
    """From 170 to -170 degrees about z is 20 degrees onwards, not 340 back."""
    start, target = pose(turn=(0, 0, math.radians(170))), pose(turn=(0, 0, math.radians(-170)))
    motions = follow([target] * 100, start)
    turns = [motion.angular_velocity[2] for motion in motions]
    assert min(turns) > -1e-9
    assert sum(turns) * STEP_S == pytest.approx(math.radians(20), abs=1e-3)


def test_half_a_turn_is_made_one_way_or_the_other_and_reached():
    """The axis of half a turn has no sign of its own: no dithering between the two."""
    motions = follow([pose(turn=(math.pi, 0, 0))] * 400, pose())
    assert_inside_the_limits(motions)
    assert motions[-1].pose.away_from(pose(turn=(math.pi, 0, 0)))[1] < 1e-3


def test_braking_comes_to_rest_in_the_shortest_distance_of_the_limits():
    """At 0.25 m/s and 1 m/s^2: 0.25 s and v^2 / 2a, within one step's travel."""
    motions = follow([pose(x=0.69)] * 30, pose(x=0.25))
    moving = motions[-1]
    assert np.linalg.norm(moving.velocity) == pytest.approx(0.25)
    stopping = [moving]
    while not stopping[-1].at_rest:
        stopping.append(FOLLOWER.braking(stopping[-1]))
    assert_inside_the_limits(stopping)
    assert len(stopping) - 1 == 13
    way = np.linalg.norm(stopping[-1].pose.position - moving.pose.position)
    assert way == pytest.approx(0.25**2 / 2, abs=0.25 * STEP_S)


def test_a_target_behind_the_wall_is_approached_braking():
    """Full speed towards a wall ends at rest at the wall, not by a step at it."""
    motions = follow([pose(x=3.0, y=0.1)] * 300, pose(x=0.25))
    assert_inside_the_limits(motions)
    assert motions[-1].pose.position[0] == pytest.approx(0.7, abs=1e-6)


def test_a_swing_to_the_side_does_not_take_the_braking_before_a_wall_away():
    """Where the acceleration is not enough for both, the wall comes first, at any moment."""
    for steps in range(20, 80, 3):
        targets = [pose(x=3.0, y=0.1)] * steps + [pose(x=3.0, y=-3.0)] * 40
        assert_inside_the_limits(follow(targets, pose(x=0.5, y=-0.1)))


@pytest.mark.parametrize("start", [pose(x=0.1), pose(x=math.nan), pose(z=0.61)])
def test_a_start_outside_the_box_or_of_no_numbers_is_refused(start):
    """The follower promises the box from the first step on, so it cannot begin outside."""
    with pytest.raises(PlanError, match="pose: got"):
        FOLLOWER.standing(start)


@given(st.floats(0.0, 2.0), st.floats(0.1, 10.0))
def test_the_braking_speed_is_the_most_from_which_rest_is_in_reach(distance, acceleration):
    """Steps of it, each slower by the acceleration, cover the distance and no more of it."""
    speed = braking_speed(distance, acceleration, STEP_S)
    way, v = 0.0, speed
    while v > 0.0:
        way, v = way + v * STEP_S, v - acceleration * STEP_S
    assert way == pytest.approx(distance, abs=1e-9)
