"""A chunk of deltas brings LIBERO's hand to its goal and stands there, also if it comes late."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.robot.rotation import matrix_from_axis_angle
from gr00t_ros.sim.libero.commands import REACH_M
from gr00t_ros.sim.libero.deltas import HandPose, plan
from gr00t_ros.sim.libero.pick import DOWN

PLACES = st.tuples(*[st.floats(-0.3, 0.3)] * 3).map(np.array)
STEPS = 16


@settings(max_examples=30, deadline=None)
@given(PLACES, PLACES, st.floats(0.1, 1.0))
def test_deltas_are_bounded_begin_small_and_lead_nearer(start, goal, largest):
    """No delta is longer than allowed, they grow by little, and the hand ends nearer."""
    chunk = plan(HandPose(start, DOWN), HandPose(goal, DOWN), STEPS, largest=largest)
    lengths = np.linalg.norm(chunk.deltas[:, :3], axis=1)
    assert np.all(lengths <= largest + 1e-9)
    assert np.all(np.diff(lengths, prepend=0.0) <= 0.1 + 1e-9)
    off = np.linalg.norm(chunk.positions_m - goal, axis=1)
    assert off[-1] <= off[0]


def test_a_near_goal_is_reached_in_half_a_chunk():
    """Of 3 cm a third is left after eight steps at most; the others go no farther past it."""
    goal = np.array([0.0, 0.03, 0.0])
    chunk = plan(HandPose(np.zeros(3), DOWN), HandPose(goal, DOWN), STEPS, largest=0.75)
    assert np.linalg.norm(chunk.positions_m[8] - goal) < 0.01
    assert np.linalg.norm(chunk.positions_m[-1] - goal) < 0.01


def test_the_next_chunk_goes_on_where_the_one_before_is():
    """Asked again after eight steps, the same motion comes out: a late chunk changes nothing."""
    goal = HandPose(np.array([0.4, 0.2, 0.2]), DOWN)
    first = plan(HandPose(np.zeros(3), DOWN), goal, STEPS, largest=0.75)
    second = plan(HandPose(first.positions_m[8], DOWN), goal, STEPS, largest=0.75, before=first)
    assert np.allclose(second.deltas[:8], first.deltas[8:], atol=1e-9)


@pytest.mark.parametrize("rate", [0.05, 0.2, 2.0])
@pytest.mark.parametrize("late_steps", [0, 3, 10])
@pytest.mark.parametrize("goal", [(0.0, 0.25, 0.0), (0.0, 0.02, 0.0), (0.1, 0.1, -0.2)])
def test_late_chunks_arrive_without_running_past(goal, late_steps, rate):
    """Asked every 8 steps, executed from `late_steps` on, the delta's change limited to `rate`.

    The hand arrives within 8 mm in 5 s and is never 7 mm past the goal: with 500 ms only the last
    six steps of each chunk are executed.
    """
    track = np.array(list(_track(np.array(goal), late_steps, rate)))
    off = np.linalg.norm(track - goal, axis=1)
    past = (track - goal) @ np.array(goal) / np.linalg.norm(goal)
    assert np.all(off[100:] < 0.008)
    assert past.max() < 0.007


def _track(goal_m, late_steps, rate):
    """Positions of a hand that moves as LIBERO's does, over 120 steps."""
    position, speed, delta = np.zeros(3), np.zeros(3), np.zeros(3)
    before, waiting, playing = None, [], (0, np.zeros((STEPS, 6)))
    for step in range(120):
        if step % 8 == 0:
            before = plan(
                HandPose(position, DOWN), HandPose(goal_m, DOWN), STEPS, largest=0.75, before=before
            )
            waiting.append((step, before.deltas))
        while waiting and waiting[0][0] + late_steps <= step:
            playing = waiting.pop(0)
        index = step - playing[0]
        wanted = playing[1][index, :3] if index < STEPS else np.zeros(3)
        delta = delta + np.clip(wanted - delta, -rate, rate)
        speed = speed + 0.75 * (REACH_M * delta - speed)
        position = position + speed
        yield position


def test_a_tilted_hand_is_turned_to_point_down():
    """The turn is about the world's axes, against the tilt, and bounded."""
    tilted = HandPose(np.zeros(3), matrix_from_axis_angle(np.array([0.0, 0.1, 0.0])) @ DOWN)
    chunk = plan(tilted, HandPose(np.zeros(3), DOWN), STEPS, largest=0.75)
    assert np.all(chunk.deltas[0, 3:] <= 0.0)
    assert -0.16 < chunk.deltas[0, 4] < -0.1
    assert np.all(np.abs(chunk.deltas) <= 1.0)
