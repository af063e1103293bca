"""Messages of live obstacles: markers become solids or problems; MoveIt's scene is followed."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("visualization_msgs", reason="ROS 2 is not installed")

from obstacle_markers import marker  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from gr00t_ros.collide.obstacles import LiveObstacles  # noqa: E402
from gr00t_ros.graph import planning_scene as planning_scene_module  # noqa: E402
from gr00t_ros.graph.obstacles import take_markers  # noqa: E402
from gr00t_ros.graph.planning_scene import (  # noqa: E402
    PlanningObjects,
    PlanningSceneSource,
)

HERE = np.zeros(3), np.eye(3)


def taken(*markers, live=None):
    """The obstacles after these markers; every frame is the base."""
    live = live or LiveObstacles()
    take_markers(live, MarkerArray(markers=list(markers)))
    return live.placed(lambda frame: HERE if frame == "base" else f"frame {frame!r} is unknown")


def test_each_solid_has_the_sizes_of_its_scale():
    """Scales are full lengths; an uneven sphere or cylinder lies inside of what is checked."""
    found = taken(
        marker(id=1),
        marker(Marker.SPHERE, (0.1, 0.3, 0.2), id=2),
        marker(Marker.CYLINDER, (0.1, 0.2, 0.5), ns="cups", id=3, at=(1, 2, 3)),
    )
    kinds = [(one.kind, one.size_m) for one in found.shapes]
    assert kinds == [("box", (0.1, 0.2, 0.3)), ("sphere", (0.15,)), ("cylinder", (0.1, 0.5))]
    assert found.names == ("obstacle 1", "obstacle 2", "obstacle cups/3")
    assert found.shapes[2].xyz_m.tolist() == [1, 2, 3] and found.problems == ()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (marker(Marker.ARROW), "is of type ARROW, expected CUBE, SPHERE or CYLINDER"),
        (marker(Marker.LINE_STRIP), "is of type LINE_STRIP"),
        (marker(Marker.MESH_RESOURCE), "is of type MESH_RESOURCE"),
        (marker(99), "is of type 99"),
        (marker(scale=(0.1, 0.0, 0.1)), "got scale [0.1, 0.0, 0.1] m, expected three numbers"),
        (marker(Marker.SPHERE, (0.1, -0.1, 0.1)), "got scale"),
        (marker(Marker.CYLINDER, (0.1, 0.1, math.nan)), "got scale [0.1, 0.1, nan] m"),
        (marker(scale=(0.1, 20.0, 0.1)), "got sizes [0.1, 20.0, 0.1] m of a box"),
        (marker(at=(0.0, math.nan, 0.0)), "got position [0.0, nan, 0.0] m"),
        (marker(frame="moon"), "frame 'moon' is unknown"),
        (marker(action=1), "got action 1, expected ADD, DELETE or DELETEALL"),
    ],
)
def test_what_is_no_solid_is_a_problem_by_name(bad, why):
    """Until it is deleted, or replaced by one that can be checked."""
    live = LiveObstacles()
    bad.ns, bad.id = "cups", 7
    (problem,) = taken(bad, marker(id=1), live=live).problems
    assert problem.startswith("obstacle cups/7: ") and why in problem
    assert taken(live=live).problems == (problem,)
    assert taken(marker(ns="cups", id=7), live=live).problems == ()
    taken(bad, live=live)
    gone = marker(ns="cups", id=7, action=Marker.DELETE)
    assert taken(gone, live=live).problems == ()


def test_delete_all_of_a_namespace_leaves_the_others():
    """Without a namespace it removes everything, as the message's own text says."""
    live = LiveObstacles()
    taken(*(marker(ns=ns, id=1) for ns in ("a", "ab", "")), live=live)
    found = taken(marker(ns="a", action=Marker.DELETEALL), live=live)
    assert found.names == ("obstacle ab/1", "obstacle 1")
    assert taken(marker(action=Marker.DELETEALL), live=live).names == ()


NUMBER = st.floats(width=32) | st.sampled_from([0.0, 0.1, 1.0])
STEP = st.tuples(
    st.sampled_from(["a", ""]),
    st.integers(0, 3),
    st.sampled_from([0, 0, 0, 1, 2, 3]),
    st.integers(0, 12),
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.tuples(NUMBER, NUMBER, NUMBER),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_whatever_comes_each_obstacle_is_a_solid_or_a_problem(steps):
    """A marker that was added and not deleted is never unchecked in silence."""
    live, there = LiveObstacles(), set()
    for ns, number, action, kind, scale, at in steps:
        name = f"{ns}/{number}" if ns else f"{number}"
        if action == Marker.DELETEALL:
            there = {one for one in there if ns and not one.startswith(f"{ns}/")}
        elif action == Marker.DELETE:
            there.discard(name)
        else:
            there.add(name)
        one = marker(kind, scale, at, ns=ns, id=number, action=action)
        found = taken(one, live=live)
        named = {text.split(":")[0].removeprefix("obstacle ") for text in found.problems}
        solid = {name.removeprefix("obstacle ") for name in found.names}
        assert solid | named == there and not solid & named
        for shape in found.shapes:
            assert np.isfinite([*shape.xyz_m, *shape.size_m]).all() and min(shape.size_m) > 0.0


# --- MoveIt: stand-ins, because no package index has moveit_msgs --------------------------------


def pose(x=0.0, y=0.0, z=0.0, turned=(0.0, 0.0, 0.0, 1.0)):
    """A geometry_msgs/Pose."""
    names = dict(zip(("x", "y", "z", "w"), turned, strict=True))
    return SimpleNamespace(
        position=SimpleNamespace(x=x, y=y, z=z), orientation=SimpleNamespace(**names)
    )


def thing(name="cup", operation=0, at=None, primitives=(), poses=None, **more):
    """A CollisionObject; primitives: (type, dimensions)."""
    kinds = [SimpleNamespace(type=kind, dimensions=sizes) for kind, sizes in primitives]
    poses = [pose() for _ in kinds] if poses is None else poses
    empty = {"meshes": [], "mesh_poses": [], "planes": []}
    return SimpleNamespace(
        id=name,
        header=SimpleNamespace(frame_id="base"),
        pose=at or pose(),
        primitives=kinds,
        primitive_poses=poses,
        operation=bytes([operation]),
        **{**empty, **more},
    )


def planning_scene(*things, diff=False, attached=(), octomap=b""):
    """A PlanningScene."""
    held = [SimpleNamespace(object=one) for one in attached]
    return SimpleNamespace(
        is_diff=diff,
        world=SimpleNamespace(
            collision_objects=list(things),
            octomap=SimpleNamespace(octomap=SimpleNamespace(data=octomap)),
        ),
        robot_state=SimpleNamespace(attached_collision_objects=held),
    )


BOX, SPHERE, CYLINDER, CONE, PRISM = range(1, 6)
ONE_BOX = [(BOX, [0.1, 0.2, 0.3])]


class Moveit:
    """The live obstacles that MoveIt's messages make."""

    def __init__(self, carried=()):
        self.live = LiveObstacles()
        self.objects = PlanningObjects(self.live, carried)

    def scene(self, *things, **more):
        self.objects.take_scene(planning_scene(*things, **more))
        return self.placed()

    def object(self, *words, **more):
        self.objects.take_object(thing(*words, **more))
        return self.placed()

    def placed(self):
        return self.live.placed(lambda _: HERE)


def test_primitives_of_moveit_have_their_own_order_of_sizes():
    """A cylinder has its height first; a cone counts as the cylinder around it."""
    found = Moveit().scene(
        thing(primitives=[*ONE_BOX, (SPHERE, [0.1]), (CYLINDER, [0.5, 0.1]), (CONE, [0.4, 0.2])])
    )
    sizes = [(one.kind, one.size_m) for one in found.shapes]
    assert sizes == [
        *(("box", (0.1, 0.2, 0.3)), ("sphere", (0.1,))),
        *(("cylinder", (0.1, 0.5)), ("cylinder", (0.2, 0.4))),
    ]


def test_shapes_are_placed_by_the_objects_pose_and_their_own():
    """Turned by a quarter about z, a shape 1 m in front stands 1 m to the left."""
    half = math.sqrt(0.5)
    at = pose(0.5, turned=(0.0, 0.0, half, half))
    found = Moveit().scene(thing(at=at, primitives=ONE_BOX, poses=[pose(1.0)]))
    assert found.shapes[0].xyz_m == pytest.approx([0.5, 1.0, 0.0])
    moved = Moveit()
    moved.scene(thing(primitives=ONE_BOX, poses=[pose(1.0)]))
    found = moved.object(operation=3, at=at)
    assert found.shapes[0].xyz_m == pytest.approx([0.5, 1.0, 0.0])
    found = moved.object(operation=2, primitives=[(SPHERE, [0.1])])
    assert [one.kind for one in found.shapes] == ["box", "sphere"]
    assert moved.object(operation=1).names == ()


def test_a_mesh_counts_as_the_box_around_it():
    """Along its own axes; a flat one gets some thickness."""
    corners = [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (0.0, 0.4, 0.0)]
    mesh = SimpleNamespace(vertices=[SimpleNamespace(x=x, y=y, z=z) for x, y, z in corners])
    (found,) = Moveit().scene(thing(meshes=[mesh], mesh_poses=[pose(1.0)])).shapes
    assert found.kind == "box" and found.size_m == pytest.approx((0.2, 0.4, 0.001))
    assert found.xyz_m == pytest.approx([1.1, 0.2, 0.0])


def test_a_whole_scene_replaces_all_and_a_difference_changes_some():
    """Differences before the first whole scene are older than it, and are dropped."""
    moveit = Moveit()
    assert moveit.scene(thing("old", primitives=ONE_BOX), diff=True).names == ()
    assert not moveit.objects.complete
    found = moveit.scene(thing("cup", primitives=ONE_BOX), thing("late", primitives=ONE_BOX))
    assert moveit.objects.complete and found.names == ("obstacle cup", "obstacle late")
    found = moveit.scene(thing("cup", operation=1), thing("pot", primitives=ONE_BOX), diff=True)
    assert found.names == ("obstacle late", "obstacle pot")
    assert moveit.scene(thing("only", primitives=ONE_BOX)).names == ("obstacle only",)


def test_a_scene_that_was_asked_for_is_older_than_the_differences_that_came_meanwhile():
    """They are applied after it; once a whole scene has come as a message, an answer is ignored."""
    moveit = Moveit()
    moveit.scene(thing("late", primitives=ONE_BOX), diff=True)
    moveit.objects.take_answer(planning_scene(thing(primitives=ONE_BOX), thing("late")))
    found = moveit.placed()
    assert found.names == ("obstacle cup", "obstacle late") and moveit.objects.complete
    moveit.scene(thing("only", primitives=ONE_BOX))
    moveit.objects.take_answer(planning_scene(thing(primitives=ONE_BOX)))
    assert moveit.placed().names == ("obstacle only",)


def test_what_moveit_attaches_must_be_in_the_scene_file():
    """It leaves the world; unknown to the scene file it would be checked by nobody."""
    held = thing("cup", primitives=ONE_BOX)
    moveit, known = Moveit(), Moveit(["cup"])
    for one in (moveit, known):
        assert one.scene(thing("cup", primitives=ONE_BOX)).names == ("obstacle cup",)
    (problem,) = moveit.scene(diff=True, attached=[held]).problems
    assert "obstacle cup: is attached to the robot, expected 'cup' below attached" in problem
    found = known.scene(diff=True, attached=[held])
    assert found.names == () and found.problems == ()
    released = moveit.scene(thing("cup", primitives=ONE_BOX), diff=True)
    assert released.names == ("obstacle cup",) and released.problems == ()


@pytest.mark.parametrize("carried", [[], ["cup"]])
def test_what_moveit_puts_down_is_an_obstacle_again(carried):
    """Its difference has the object twice: removed from the robot, and added to the world."""
    moveit, cup = Moveit(carried), thing("cup", primitives=ONE_BOX)
    moveit.scene(cup)
    moveit.scene(diff=True, attached=[cup])
    found = moveit.scene(cup, diff=True, attached=[thing("cup", operation=1)])
    assert (found.names, found.problems) == (("obstacle cup",), ())


@pytest.mark.parametrize("carried", [[], ["cup"]])
@pytest.mark.parametrize("name", ["cup", ""])
def test_what_is_detached_and_nowhere_is_named_until_it_is_somewhere(carried, name):
    """A client's own message says only that; the empty name stands for all that is attached."""
    moveit, cup = Moveit(carried), thing("cup", primitives=ONE_BOX)
    moveit.scene(cup, thing("table", primitives=ONE_BOX))
    moveit.scene(diff=True, attached=[cup])
    found = moveit.scene(diff=True, attached=[thing(name, operation=1)])
    (problem,) = found.problems
    assert "obstacle cup: was detached from the robot, expected where it is now" in problem
    assert found.names == ("obstacle table",)
    assert moveit.object("cup", operation=1).problems == ()


def test_an_obstacle_that_was_never_attached_stays_when_it_is_detached():
    """MoveIt ignores such a message."""
    moveit = Moveit()
    moveit.scene(thing("cup", primitives=ONE_BOX))
    found = moveit.scene(diff=True, attached=[thing("cup", operation=1), thing("", operation=1)])
    assert (found.names, found.problems) == (("obstacle cup",), ())


@pytest.mark.parametrize("name", ["cup", ""])
def test_what_leaves_the_world_stays_attached(name):
    """A client may remove the object that it attaches, in any order."""
    moveit, cup = Moveit(), thing("cup", primitives=ONE_BOX)
    moveit.scene(cup)
    moveit.scene(diff=True, attached=[cup])
    (problem,) = moveit.object(name, operation=1).problems
    assert "obstacle cup: is attached to the robot" in problem


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (thing(primitives=[(PRISM, [0.1, 0.1])]), "got a primitive of type 5"),
        (thing(primitives=[(BOX, [0.1, 0.1])]), "with 2 dimensions"),
        (thing(primitives=[(SPHERE, [math.nan])]), "got sizes [nan] m of a sphere"),
        (thing(primitives=ONE_BOX, poses=[]), "got 1 primitives with 0 poses"),
        (thing(planes=[1]), "is a plane, expected it in the scene file"),
        (thing(primitives=ONE_BOX, at=pose(math.inf)), "got position"),
        (thing(meshes=[SimpleNamespace(vertices=[])], mesh_poses=[pose()]), "mesh without points"),
        (thing(operation=3), "was not added before"),
        (thing(operation=9), "got operation 9"),
    ],
)
def test_what_moveit_sends_and_nobody_can_check_is_a_problem(bad, why):
    """By its name, until it is removed."""
    moveit = Moveit()
    (problem,) = moveit.scene(bad).problems
    assert problem.startswith("obstacle cup: ") and why in problem
    assert moveit.object(operation=1).problems == ()


def test_an_octomap_is_a_problem_until_a_scene_has_none():
    """Its voxels are not checked."""
    moveit = Moveit()
    (problem,) = moveit.scene(octomap=b"x").problems
    assert "obstacle octomap: is an octomap" in problem
    assert moveit.scene(diff=True).problems == (problem,)
    assert moveit.scene().problems == ()


class MoveitNode:
    """A node whose topics and service are called by the test, and MoveIt's modules."""

    def __init__(self, monkeypatch):
        self.callbacks, self.answers, self.there = {}, [], False
        components = SimpleNamespace(components=0)
        service = SimpleNamespace(Request=lambda: SimpleNamespace(components=components))
        kinds = SimpleNamespace(PlanningScene="scene", CollisionObject="object")
        monkeypatch.setitem(sys.modules, "moveit_msgs", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "moveit_msgs.msg", kinds)
        services = SimpleNamespace(GetPlanningScene=service)
        monkeypatch.setitem(sys.modules, "moveit_msgs.srv", services)
        self.live, self.taken = LiveObstacles(), []
        self.source = PlanningSceneSource(self, self.live, lambda: self.taken.append(1))

    def create_subscription(self, kind, topic, callback, _qos):
        self.callbacks[kind] = callback
        return SimpleNamespace(topic_name=topic)

    def create_client(self, _service, name):
        return SimpleNamespace(
            srv_name=name, service_is_ready=lambda: self.there, call_async=self._call
        )

    def _call(self, request):
        assert request.components.components == 60
        return SimpleNamespace(add_done_callback=self.answers.append)

    def answer(self, scene=None):
        """Answer the oldest request, or let it fail."""
        error = None if scene else RuntimeError("gone")
        response = SimpleNamespace(scene=scene)
        self.answers.pop(0)(SimpleNamespace(result=lambda: response, exception=lambda: error))

    def names(self):
        return self.live.placed(lambda _: HERE).names


def test_a_node_that_starts_later_asks_move_group_for_the_whole_scene(monkeypatch):
    """One request at a time, again after one that failed; until then it is a problem."""
    node = MoveitNode(monkeypatch)
    difference = planning_scene(thing("late", primitives=ONE_BOX), diff=True)
    node.callbacks["scene"](difference)
    assert node.answers == [] and node.names() == ()
    (problem,) = node.source.problems()
    assert "service get_planning_scene has not answered" in problem
    node.there = True
    node.callbacks["scene"](difference)
    node.callbacks["scene"](difference)
    assert len(node.answers) == 1
    node.answer()
    assert node.source.problems() == (problem,)
    node.callbacks["scene"](difference)
    node.answer(planning_scene(thing("cup", primitives=ONE_BOX)))
    assert node.names() == ("obstacle cup", "obstacle late") and node.source.problems() == ()
    node.callbacks["object"](thing("cup", operation=1))
    assert node.names() == ("obstacle late",)
    assert len(node.taken) == 6, "each message, and the answer"


def test_an_answer_of_move_group_that_is_lost_is_asked_for_again(monkeypatch):
    """Without a whole scene no activation is accepted: one lost answer was the end of it."""
    now_s = [100.0]
    monkeypatch.setattr(planning_scene_module.time, "monotonic", lambda: now_s[0])
    node = MoveitNode(monkeypatch)
    node.there = True
    difference = planning_scene(thing("late", primitives=ONE_BOX), diff=True)
    for now_s[0] in (100.0, 101.0, 102.9, 103.1, 104.0):
        node.callbacks["scene"](difference)
    assert len(node.answers) == 2
    node.answers.pop(0)
    node.answer(planning_scene(thing("cup", primitives=ONE_BOX)))
    assert node.names() == ("obstacle cup", "obstacle late") and node.source.problems() == ()
