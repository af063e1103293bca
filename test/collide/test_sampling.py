"""Pairs that always touch are found; pairs that were only not seen touching stay."""

import pytest
from arm_urdf import robot

from gr00t_ros.collide.sampling import find_pairs

TURN = '<axis xyz="0 0 1"/><limit lower="-3" upper="3"/>'


def ring(disabled=None):
    """Ball, arm and a hand that reaches back into the ball's room, sometimes or always.

    `knob` turns inside of `ball`; `tip` comes near `post` in a small part of its turn; `roof` is
    above everything.
    """
    ball, small = '<sphere radius="0.2"/>', '<sphere radius="0.05"/>'
    links = {"ball": ball, "arm": small, "knob": small, "tip": small, "post": small, "roof": small}
    fixed = '<origin xyz="{}"/>'
    return robot(
        links,
        [
            ("a", "revolute", "ball", "arm", TURN),
            ("b", "revolute", "arm", "knob", '<origin xyz="0.05 0 0"/>' + TURN),
            ("c", "revolute", "knob", "tip", '<origin xyz="0.4 0 0"/>' + TURN),
            ("d", "fixed", "ball", "post", fixed.format("-0.45 0 0")),
            ("e", "fixed", "ball", "roof", fixed.format("0 0 2")),
        ],
        disabled,
    )


def names(rows):
    """The pairs as sorted texts."""
    return {" ".join(sorted(row.links)) for row in rows}


def test_only_pairs_that_touched_in_every_sample_are_proposed():
    """With their evidence; those never seen touching, such as the roof, are in no list."""
    report = find_pairs(ring(), samples=300)
    assert names(report.always) == {"ball knob"}
    assert names(report.sometimes) == {"post tip"}
    assert report.doubtful == () and report.unknown == ()
    row = report.always[0]
    assert "touched in 300 of 300 random postures" in row.evidence and row.largest_m < 0.0


def test_a_list_that_does_not_fit_is_reported():
    """Unknown links, and disabled pairs that come and go; a pair that never touches is fine."""
    listed = {
        frozenset({"ball", "knob"}): "Always",
        frozenset({"post", "tip"}): "Never",
        frozenset({"roof", "tip"}): "Never",
        frozenset({"ball", "gripper"}): "Adjacent",
    }
    report = find_pairs(ring(listed), samples=300)
    assert report.unknown == ("gripper",) and report.always == ()
    assert names(report.doubtful) == {"post tip"} and report.doubtful[0].reason == "Never"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_report(seed):
    """So that a list can be made again."""
    assert find_pairs(ring(), 50, seed) == find_pairs(ring(), 50, seed)
