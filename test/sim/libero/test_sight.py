"""A named grocery is found where it stands, also half hidden, and not where there is none."""

import numpy as np
import pytest
from libero_pictures import BY_NAME, SIZE_PX, floor_with

from gr00t_ros.sim.libero.objects import BASKET, GROCERIES
from gr00t_ros.sim.libero.sight import AGENTVIEW, Sight, outline_mask

# Six places as in LIBERO's object suite, things in the order of KINDS.
PLACES = [(-0.12, -0.24), (0.05, -0.1), (-0.15, 0.06), (0.12, -0.22), (0.15, 0.03), (-0.2, -0.08)]
SURE = 0.3


def scene(first: int):
    """Six groceries from number `first` on, and the basket."""
    names = [GROCERIES[(first + index) % len(GROCERIES)].name for index in range(len(PLACES))]
    return {**dict(zip(names, PLACES, strict=True)), BASKET.name: (0.01, 0.26)}


@pytest.mark.parametrize("first", [0, 5])
def test_each_grocery_is_found_within_a_centimetre(first):
    """All of the scene, the basket too; the ten groceries come to every look of the floor."""
    things = scene(first)
    sight = Sight(floor_with(things))
    for name, place in things.items():
        seen = sight.find(BY_NAME[name])
        assert seen is not None, name
        assert np.linalg.norm(seen.place_m - place) < 0.01, name
        assert seen.mean_evidence > SURE, name


def test_a_half_hidden_thing_is_found():
    """A bottle stands before the pudding, as in LIBERO's task of the chocolate pudding."""
    things = {"chocolate pudding": (-0.12, -0.24), "ketchup": (0.1, -0.2)}
    pudding, bottle = (
        np.zeros(SIZE_PX, dtype=bool),
        np.zeros(SIZE_PX, dtype=bool),
    )
    for mask, name in ((pudding, "chocolate pudding"), (bottle, "ketchup")):
        part, inside = outline_mask(BY_NAME[name], np.array(things[name]), AGENTVIEW, SIZE_PX)
        mask[part] = inside > 0
    assert 0.2 < (pudding & bottle).sum() / pudding.sum() < 0.6
    seen = Sight(floor_with(things)).find(BY_NAME["chocolate pudding"])
    assert seen is not None
    assert np.linalg.norm(seen.place_m - things["chocolate pudding"]) < 0.015


@pytest.mark.parametrize("picture", ["floor", "black", "noise"])
def test_nothing_is_sure_where_there_is_nothing(picture):
    """An empty floor, a black picture and noise have no milk."""
    pictures = {
        "floor": floor_with({}),
        "black": np.zeros((*SIZE_PX, 3), dtype=np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8),
    }
    seen = Sight(pictures[picture]).find(BY_NAME["milk"])
    assert seen is None or seen.mean_evidence < SURE


def test_the_picture_is_mirrored_as_libero_feeds_it():
    """The robot's left (+y) is on the left of the picture, although the camera faces the robot."""
    left, right = AGENTVIEW.project([[0.0, 0.2, 0.0], [0.0, -0.2, 0.0]], SIZE_PX)
    assert left[1] < right[1]
    near, far = AGENTVIEW.project([[0.2, 0.0, 0.0], [-0.2, 0.0, 0.0]], SIZE_PX)
    assert near[0] > far[0]
