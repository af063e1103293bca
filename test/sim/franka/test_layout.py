"""Things lie within reach and apart from each other, and a seed always gives the same layout."""

import numpy as np
import pytest

from gr00t_ros.sim.franka import layout

SEEDS = range(100)


def test_a_seed_is_a_layout_for_ever():
    """The same seed gives the same places; others differ."""
    assert layout.draw_layout(3) == layout.draw_layout(3)
    assert len({layout.draw_layout(seed) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_things_are_within_reach_and_apart(seed):
    """And cube and plate lie on opposite sides of the camera's mid-plane, well off it."""
    drawn = layout.draw_layout(seed)
    red, green, plate = map(np.array, (drawn.red_cube_m, drawn.green_cube_m, drawn.blue_plate_m))
    for place in (red, green, plate):
        assert layout.REACH_X_M[0] <= place[0] <= layout.REACH_X_M[1]
        assert layout.REACH_Y_M[0] <= place[1] <= layout.REACH_Y_M[1]
    assert np.linalg.norm(red - plate) > layout.CUBE_TO_PLATE_M
    assert np.linalg.norm(red - green) > layout.OTHER_APART_M
    assert np.linalg.norm(green - plate) > layout.OTHER_APART_M
    sides = layout.lateral_m(red), layout.lateral_m(plate)
    assert sides[0] * sides[1] < 0.0
    assert min(map(abs, sides)) > layout.OFF_MIDPLANE_M
