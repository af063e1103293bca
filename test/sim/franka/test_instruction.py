"""Only a sentence that is fully understood gives a task."""

import pytest

from gr00t_ros.sim.franka.episode import InstructedTask, parse_task


@pytest.mark.parametrize(
    "text",
    [
        "Put the red cube on the blue plate.",
        "put the red cube on the blue plate",
        "  PLACE the red block onto the blue plate!",
        "pick the red cube on the blue plate",
        "Pick up the red cube and place it on the blue plate.",
        "Please, move a red cube onto the blue plate",
    ],
)
def test_ways_to_say_the_task(text):
    """In any case and punctuation: servers lower-case and strip it."""
    assert parse_task(text) == InstructedTask("red", "blue")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "put the red cube",
        "do not put the red cube on the blue plate",
        "put the red cube on the blue plate and then the green one",
        "put the red ball on the blue plate",
        "put the cube on the plate",
        "open the drawer",
    ],
)
def test_what_is_not_fully_understood_is_no_task(text):
    """A robot must not act on half a sentence."""
    assert parse_task(text) is None


def test_unknown_colours_are_kept_for_the_one_who_looks():
    """The language does not know what can be seen."""
    assert parse_task("put the mauve cube on the beige plate") == InstructedTask("mauve", "beige")
