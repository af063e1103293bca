"""No distance changes faster than its bounds, for random robots and random motions."""

import numpy as np
import pytest
from arm_urdf import random_arm, robot, write_mesh

pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from gr00t_ros.collide.engine import CollisionEngine  # noqa: E402
from gr00t_ros.collide.sampling import find_pairs  # noqa: E402
from gr00t_ros.collide.scene import parse_scene  # noqa: E402
from gr00t_ros.errors import SettingsError  # noqa: E402

TABLE = {"type": "box", "xyz": [0.3, 0.1, -0.2], "size": [0.4, 0.4, 0.1], "rpy": [0.1, 0, 0.4]}
WALL = {"type": "plane", "xyz": [1.0, 0, 0], "normal": [-1, 0.1, 0]}
SCENE = parse_scene({"margin": 0.01, "objects": {"table": TABLE, "wall": WALL}}, "scene", None)


@pytest.mark.parametrize("seed", range(12))
def test_no_distance_changes_faster_than_its_bound(seed, tmp_path):
    """|d(q2) - d(q)| <= sum of bound * |q2 - q|, for steps from a thousandth to the whole range."""
    random = np.random.default_rng(seed)
    description = random_arm(random, write_mesh(tmp_path / "part.stl", random))
    engine = CollisionEngine(description, SCENE, description.joint_names)
    lower, upper = description.ranges(engine.joint_names)
    used = np.zeros(len(engine.pairs))
    for _ in range(150):
        q = random.uniform(lower, upper)
        step = random.normal(size=q.shape) * random.choice([0.001, 0.05, 0.5])
        step *= random.random(q.shape) < random.choice([0.3, 1.0])
        other = np.clip(q + step, lower, upper)
        before, after = (np.maximum(engine.distances(each), 0.0) for each in (q, other))
        bound = engine.bounds @ np.abs(other - q)
        assert (np.abs(after - before) <= bound + 1e-8).all()  # the engine's tolerance
        used = np.maximum(used, np.abs(after - before) / np.maximum(bound, 1e-9))
    assert not len(used) or used.max() > 0.3  # the bounds say something


def test_the_bound_of_a_pendulum_is_its_length():
    """One joint that turns, a sphere at 0.5 m of radius 0.1 m: 0.6 m/rad; a slide is 1."""
    links = {"base": "", "arm": "", "ball": '<sphere radius="0.1"/>'}
    along = '<origin xyz="0 0 0.2"/><axis xyz="0 0 1"/><limit lower="-1" upper="1"/>'
    turn = '<origin xyz="0 0 3"/><axis xyz="0 0 1"/><limit lower="-1" upper="1"/>'
    fixed = ("tip", "fixed", "arm", "ball", '<origin xyz="0.5 0 0.7"/>')
    turning = robot(links, [("turn", "revolute", "base", "arm", turn), fixed])
    sliding = robot(links, [("slide", "prismatic", "base", "arm", along), fixed])
    assert CollisionEngine(turning, SCENE, ["turn"]).bounds == pytest.approx(0.6)
    assert CollisionEngine(sliding, SCENE, ["slide"]).bounds == pytest.approx(1.0)


def test_a_slide_without_limits_is_refused_only_where_it_moves_something_that_is_checked():
    """A link with a shape below it, directly or farther on, or a carried thing."""
    turn = '<axis xyz="0 0 1"/><limit lower="-1" upper="1"/>'
    slide = ("slide", "prismatic", "arm", "slider", '<axis xyz="1 0 0"/>')
    joints = [("turn", "revolute", "base", "arm", turn), slide]
    joints += [("end", "revolute", "slider", "tip", turn)]
    ball = '<sphere radius="0.1"/>'
    links = {"base": "", "arm": ball, "slider": "", "tip": ""}
    names = ["turn", "slide", "end"]
    found = robot(links, joints)
    assert np.isfinite(CollisionEngine(found, SCENE, names).bounds).all()
    assert find_pairs(found, samples=5).always == ()
    for below in ("slider", "tip"):
        with pytest.raises(SettingsError, match=f"'slide' slides without limits.* '{below}'"):
            CollisionEngine(robot({**links, below: ball}, joints), SCENE, names)
        thing = {"type": "box", "link": below, "xyz": [0, 0, 0], "size": [0.1, 0.1, 0.1]}
        around = parse_scene({"margin": 0.01, "attached": {"cube": thing}}, "s", None)
        with pytest.raises(SettingsError, match="'slide' slides without limits.* 'cube'"):
            CollisionEngine(found, around, names)


def test_joints_that_carry_both_bodies_do_not_count():
    """A hand on a long arm: the arm moves the fingers through the room, not against each other."""
    finger = '<sphere radius="0.01"/>'
    links = {"base": "", "hand": "", "left": finger, "right": finger}
    turn = '<axis xyz="0 0 1"/><limit lower="-1" upper="1"/>'
    slide = '<origin xyz="2 0 0"/><axis xyz="0 1 0"/><limit lower="0" upper="0.1"/>'
    mimic = slide + '<mimic joint="open" multiplier="-2"/>'
    hand = robot(
        links,
        [
            ("turn", "revolute", "base", "hand", turn),
            ("open", "prismatic", "hand", "left", slide),
            ("other", "prismatic", "hand", "right", mimic),
        ],
    )
    engine = CollisionEngine(hand, None, ["turn", "open"])
    assert [str(pair) for pair in engine.pairs] == ["left and right"]
    assert engine.bounds == pytest.approx(np.array([[0.0, 3.0]]))
    held = CollisionEngine(hand, None, ["turn"], held={"open": 0.0})
    assert held.pairs == ()  # nothing moves them: nothing is to be checked
