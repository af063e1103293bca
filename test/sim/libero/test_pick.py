"""The pick does its task in a toy world, recovers from misses, and stays where it knows nothing."""

import numpy as np
import pytest
from libero_pictures import floor_with
from libero_toy import Toy

from gr00t_ros.sim.libero.deltas import HandPose
from gr00t_ros.sim.libero.objects import GROCERIES
from gr00t_ros.sim.libero.pick import DOWN, PickPhase, ScriptedEpisode, grasp_height_m, parse_task

START = HandPose(np.array([-0.15, 0.0, 0.25]), DOWN)


@pytest.mark.parametrize("late_steps", [0, 8])
def test_the_thing_comes_into_the_basket(late_steps):
    """Played at once and 400 ms late; the phases come in their order."""
    toy = Toy("butter", (0.1, -0.15))
    assert toy.run(ScriptedEpisode(toy.kind), late_steps), toy.phases
    order = list(dict.fromkeys(toy.phases))
    assert order[:5] == [
        PickPhase.APPROACH,
        PickPhase.GRASP,
        PickPhase.LIFT,
        PickPhase.CARRY,
        PickPhase.RELEASE,
    ]


def test_a_missed_and_a_lost_thing_are_looked_for_again():
    """It slips away once while the fingers close, and falls out of them once on the way."""
    toy = Toy("milk", (0.1, -0.15))
    places = {PickPhase.GRASP: (0.05, -0.12, 0.0), PickPhase.CARRY: (0.12, -0.05, 0.0)}

    def lose(toy, phase):
        if phase in places and (phase is PickPhase.CARRY or toy.opening_m < 0.075):
            toy.thing_m = np.array(places.pop(phase))

    assert toy.run(ScriptedEpisode(toy.kind), 3, lose), toy.phases
    assert not places


def test_nothing_moves_until_thing_and_basket_are_seen():
    """On an empty floor the chunk is zero and the fingers stay open."""
    chunk, intent = ScriptedEpisode(GROCERIES[0]).act(floor_with({}), START, 0.08, 16)
    assert intent is None
    assert not chunk[:, :6].any()
    assert np.all(chunk[:, 6] == 1.0)


@pytest.mark.parametrize("kind", GROCERIES, ids=lambda kind: kind.name)
def test_a_whole_sentence_names_one_grocery(kind):
    """A part of a sentence, another verb and an unknown thing are no task."""
    text = f"pick up the {kind.name} and place it in the basket"
    assert parse_task(text) is kind
    assert parse_task(f"Pick up the {kind.name} and place it in the basket.") is kind
    assert parse_task(f"do not {text}") is None
    assert parse_task(text.replace("basket", "drawer")) is None
    assert parse_task(text.replace(kind.name, "elephant")) is None
    assert 0.01 < grasp_height_m(kind) < kind.height_m
