"""Obstacles that come and go: distances in the prepared places, and the set that messages make."""

import numpy as np
import pytest
from arm_urdf import FLYER_JOINTS, flyer
from convex import distance
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from gr00t_ros.collide.description import Shape  # noqa: E402
from gr00t_ros.collide.engine import ERROR_M, FAR_M, CollisionEngine  # noqa: E402
from gr00t_ros.collide.obstacles import (  # noqa: E402
    MOST_OBSTACLES,
    LiveObstacles,
    PlacedObstacles,
    obstacle_shape,
)
from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.robot.rotation import from_rpy  # noqa: E402

HERE = np.zeros(3), np.eye(3)
SIZES = {"box": 3, "sphere": 1, "cylinder": 2}  # kind of an obstacle -> how many sizes it has
BODIES = {
    "sphere": '<sphere radius="0.06"/>',
    "box": '<box size="0.1 0.2 0.3"/>',
    "rod": '<cylinder radius="0.004" length="0.6"/>',
    "capsule": '<capsule radius="0.05" length="0.3"/>',
}


def engine_of(kind, places=4):
    """One flying shape and places for obstacles, no scene."""
    return CollisionEngine(
        flyer(BODIES[kind]), None, FLYER_JOINTS, obstacles=places, obstacle_margin_m=0.03
    )


def random_shape(random):
    """A box, sphere or cylinder from 1 mm to 1 m, anywhere near."""
    kind = str(random.choice(list(SIZES)))
    sizes = tuple(np.exp(random.uniform(np.log(0.001), 0.0, SIZES[kind])).tolist())
    turned = from_rpy(*random.uniform(-3, 3, 3))
    return Shape(kind, sizes, random.normal(size=3) * 0.3, turned)


def moved(shape, q):
    """The flyer's shape at q."""
    return Shape(shape.kind, shape.size_m, np.array(q[:3]), from_rpy(q[5], q[4], q[3]))


@pytest.mark.parametrize("kind", BODIES)
def test_a_place_takes_one_shape_after_another(kind):
    """Each is measured as by another method: of any kind and size, whatever was there before."""
    engine = engine_of(kind)
    body = engine.description.links["body"].shapes[0]
    random = np.random.default_rng(len(kind))
    near = touching = 0
    for _ in range(100):
        shapes = tuple(random_shape(random) for _ in range(random.integers(1, 5)))
        engine.occupy(PlacedObstacles(tuple(map(str, range(len(shapes)))), shapes))
        q = np.concatenate([random.normal(size=3) * 0.2, random.uniform(-3, 3, size=3)])
        found, short = engine.distances(q), engine.distances(q, 0.1)
        for place, shape in enumerate(shapes):
            wanted = distance(moved(body, q), shape)
            touching += wanted <= 0.0
            near += 0.0 < wanted < 0.1
            assert (
                found[place] == pytest.approx(wanted, abs=ERROR_M)
                or max(found[place], wanted) <= 0.0
            )
            exact = found[place] < 0.1
            assert (
                short[place] == pytest.approx(found[place], abs=1e-9)
                if exact
                else (0.1 <= short[place] <= found[place] + 1e-9)
            )
        assert (found[len(shapes) :] == FAR_M).all()
    assert near > 5 and touching > 5


def test_an_obstacle_that_is_gone_is_far_away_and_keeps_no_name():
    """Its place is empty; messages name obstacles as they were given."""
    engine = engine_of("sphere", 2)
    ball = Shape("sphere", (0.1,), np.array([0.5, 0.0, 0.0]), np.eye(3))
    engine.occupy(PlacedObstacles(("obstacle cup",), (ball,)))
    assert engine.pair_names[0] == ("body", "obstacle cup")
    assert engine.distances(np.zeros(6))[0] == pytest.approx(0.34, abs=ERROR_M)
    engine.occupy(PlacedObstacles((), ()))
    assert engine.pair_names[0] == ("body", "obstacle place 0")
    assert (engine.distances(np.zeros(6)) == FAR_M).all()
    assert [pair.margin_m for pair in engine.pairs] == [0.03, 0.03]
    with pytest.raises(SettingsError, match="obstacles: got 3, expected at most 2"):
        engine.occupy(PlacedObstacles(("a", "b", "c"), (ball, ball, ball)))


def where(frame):
    """Frames: the base, one beside it that is turned, and none else."""
    beside = np.array([1.0, 0.0, 0.0]), from_rpy(0.0, 0.0, np.pi / 2)
    return {"base": HERE, "beside": beside}.get(frame, f"frame {frame!r} is unknown")


def box(xyz=(0.0, 0.0, 0.0)):
    """A box of 10 cm."""
    return obstacle_shape("box", [0.1, 0.1, 0.1], xyz, [0.0, 0.0, 0.0, 1.0])


def test_the_set_follows_its_messages():
    """Put, replace, remove, clear by prefix; shapes are in the base."""
    live = LiveObstacles()
    live.put("a/1", "beside", [box((0.5, 0.0, 0.0))])
    live.put("a/2", "base", [box(), box((1.0, 0.0, 0.0))])
    live.put("b/1", "base", [box()])
    placed = live.placed(where)
    assert placed.names == ("obstacle a/1", *["obstacle a/2"] * 2, "obstacle b/1")
    assert placed.shapes[0].xyz_m == pytest.approx([1.0, 0.5, 0.0]) and placed.problems == ()
    live.put("a/1", "base", [box((0.2, 0.0, 0.0))])
    live.remove("b/1")
    live.remove("never there")
    placed = live.placed(where)
    assert len(placed.names) == 3 and placed.shapes[0].xyz_m[0] == 0.2
    live.put("a/b/1", "base", [box()])
    live.clear("a")
    assert live.placed(where).names == ("obstacle a/b/1",)
    live.clear()
    assert live.placed(where) == PlacedObstacles((), ())


def test_what_has_not_moved_is_the_same_object():
    """A message that repeats an obstacle changes nothing, so nothing has to be proven again."""
    live = LiveObstacles()
    live.put("a", "beside", [box()])
    live.put("b", "base", [box()])
    first = live.placed(where)
    live.put("a", "beside", [box()])
    assert live.placed(where) == first
    live.put("a", "beside", [box((0.001, 0.0, 0.0))])
    second = live.placed(where)
    assert second != first and second.shapes[1] is first.shapes[1]
    pose = np.array([0.0, 0.0, 0.1]), np.eye(3)
    assert live.placed(lambda _: pose).shapes[1] is not second.shapes[1]


def test_what_cannot_be_checked_stays_a_problem_until_it_is_gone():
    """By name: an unknown frame, and a thing that was refused."""
    live = LiveObstacles()
    live.put("cup", "camera", [box()])
    live.refuse("arrow", "is an ARROW")
    assert live.placed(where).problems == (
        "obstacle cup: frame 'camera' is unknown",
        "obstacle arrow: is an ARROW",
    )
    live.put("arrow", "base", [box()])
    live.remove("cup")
    placed = live.placed(where)
    assert placed.problems == () and placed.names == ("obstacle arrow",)


def test_too_many_are_a_problem_that_names_the_limit():
    """The first ones are checked; nothing is dropped in silence."""
    live = LiveObstacles()
    for index in range(MOST_OBSTACLES):
        live.put(f"{index}", "base", [box()])
    assert live.placed(where).problems == ()
    live.put("one more", "base", [box()])
    placed = live.placed(where)
    assert len(placed.shapes) == len(placed.names) == MOST_OBSTACLES
    (problem,) = placed.problems
    assert f"got {MOST_OBSTACLES + 1} shapes, expected at most {MOST_OBSTACLES}" in problem
    assert "not checked: obstacle one more" in problem


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(SIZES)),
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.floats(), min_size=4, max_size=4),
)
def test_any_numbers_become_a_finite_solid_or_an_error(kind, sizes, xyz, xyzw):
    """No shape that the engine could not measure."""
    try:
        shape = obstacle_shape(kind, sizes[: SIZES[kind]], xyz, xyzw)
    except SettingsError as error:
        assert "got" in str(error) or "quaternion" in str(error)
        return
    assert min(shape.size_m) > 0.0 and np.isfinite(shape.size_m).all()
    assert np.isfinite(shape.xyz_m).all()
    assert shape.rotation @ shape.rotation.T == pytest.approx(np.eye(3), abs=1e-6)


@pytest.mark.parametrize(
    ("sizes", "xyz", "message"),
    [
        ([0.1, 0.0, 0.1], [0, 0, 0], "got sizes .* of a box, expected 1e-06 to 10"),
        ([0.1, -1.0, 0.1], [0, 0, 0], "got sizes"),
        ([0.1, 0.1, 300.0], [0, 0, 0], "got sizes"),
        ([0.1, 0.1, float("nan")], [0, 0, 0], "got sizes"),
        ([0.1, 0.1, 0.1], [0, float("inf"), 0], "got position"),
        ([0.1, 0.1, 0.1], [0, 5000.0, 0], "got position"),
    ],
)
def test_numbers_that_are_no_solid_are_named(sizes, xyz, message):
    """With what was got and what was expected."""
    with pytest.raises(SettingsError, match=message):
        obstacle_shape("box", sizes, xyz, [0, 0, 0, 1])
