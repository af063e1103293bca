"""A chunk of deltas brings LIBERO's hand to its goal and stands there, also if it comes late."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.robot.rotation import matrix_from_axis_angle
from gr00t_ros.sim.libero.deltas import METRES, Hand, plan
from gr00t_ros.sim.libero.pick import DOWN

PLACES = st.tuples(*[st.floats(-0.3, 0.3)] * 3).map(np.array)
STEPS = 16


@settings(max_examples=30, deadline=None)
@given(PLACES, PLACES, st.floats(0.1, 1.0))
def test_deltas_are_bounded_begin_small_and_never_lead_away(start, goal, largest):
    """No delta is longer than allowed, the first is small, and each step comes nearer."""
    chunk = plan(Hand(start, DOWN), Hand(goal, DOWN), STEPS, largest=largest)
    lengths = np.linalg.norm(chunk.deltas[:, :3], axis=1)
    assert np.all(lengths <= largest + 1e-9)
    assert lengths[0] <= 0.1 + 1e-9
    off = np.linalg.norm(chunk.positions_m - goal, axis=1)
    assert np.all(np.diff(off) <= 1e-9)


def test_the_chunk_ends_at_a_near_goal_and_stands():
    """3 cm are covered within the chunk; its last deltas are nearly nothing."""
    goal = np.array([0.0, 0.03, 0.0])
    chunk = plan(Hand(np.zeros(3), DOWN), Hand(goal, DOWN), STEPS, largest=0.75)
    assert np.linalg.norm(chunk.positions_m[-1] - goal) < 0.003
    assert np.linalg.norm(chunk.deltas[-1, :3]) * METRES < 0.003


def test_the_next_chunk_goes_on_where_the_one_before_is():
    """Asked again after eight steps, the same motion comes out: a late chunk changes nothing."""
    goal = Hand(np.array([0.2, 0.1, 0.1]), DOWN)
    first = plan(Hand(np.zeros(3), DOWN), goal, STEPS, largest=0.75)
    second = plan(Hand(first.positions_m[8], DOWN), goal, STEPS, largest=0.75, before=first)
    assert np.allclose(second.deltas[:8], first.deltas[8:], atol=1e-9)


def test_a_tilted_hand_is_turned_to_point_down():
    """The turn is about the world's axes, against the tilt, and bounded."""
    tilted = Hand(np.zeros(3), matrix_from_axis_angle(np.array([0.0, 0.1, 0.0])) @ DOWN)
    chunk = plan(tilted, Hand(np.zeros(3), DOWN), STEPS, largest=0.75)
    assert np.all(chunk.deltas[0, 3:] <= 0.0)
    assert -0.16 < chunk.deltas[0, 4] < -0.1
    assert np.all(np.abs(chunk.deltas) <= 1.0)
