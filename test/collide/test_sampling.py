"""Pairs that always touch are found; pairs that were only not seen touching stay."""

import pytest
from arm_urdf import robot

pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from gr00t_ros.collide.sampling import find_pairs  # noqa: E402

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


SLIDE = '<axis xyz="{} 0 0"/><limit lower="0" upper="{}"/>'


@pytest.mark.parametrize(
    ("second", "fingers"),
    [
        (SLIDE.format(-1, 0.08) + '<mimic joint="left"/>', True),
        (SLIDE.format(-1, 0.08), True),
        (SLIDE.format(-1, 0.5), False),  # as of a second arm
        ('<axis xyz="0 0 1"/><limit lower="-3" upper="3"/><mimic joint="left"/>', True),
        ('<axis xyz="0 0 1"/><limit lower="-3" upper="3"/>', False),
    ],
    ids=["mimics", "slides", "slides far", "turns with it", "turns"],
)
def test_fingers_that_close_on_each_other_are_not_doubtful(second, fingers):
    """Only finger joints move them apart; two arms on one body stay doubtful."""
    ball = '<sphere radius="0.02"/>'
    hand = robot(
        {"palm": ball, "one": ball, "other": ball, "tip": ball},
        [
            ("left", "prismatic", "palm", "one", '<origin xyz="0 0 1"/>' + SLIDE.format(1, 0.08)),
            ("right", "prismatic" if "1 0 0" in second else "revolute", "palm", "other",
             '<origin xyz="0.01 0 1"/>' + second),
            ("bolt", "fixed", "other", "tip", '<origin xyz="0.01 0 0"/>'),
        ],
        {frozenset({"one", "other"}): "Fingers", frozenset({"one", "tip"}): "Fingers"},
    )  # fmt: skip
    report = find_pairs(hand, 100)
    found, others = (report.fingers, report.doubtful)[:: 1 if fingers else -1]
    assert "one tip" in names(found) and others == ()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_report(seed):
    """So that a list can be made again."""
    assert find_pairs(ring(), 50, seed) == find_pairs(ring(), 50, seed)
