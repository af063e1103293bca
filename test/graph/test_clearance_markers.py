"""Markers of the scene and of the nearest pair: what they are, and when they are made."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from arm_urdf import hand_robot

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from ros_fixtures import collect, wait_until  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from gr00t_ros.collide.description import Shape  # noqa: E402
from gr00t_ros.collide.engine import CollisionEngine  # noqa: E402
from gr00t_ros.collide.files import read_mesh  # noqa: E402
from gr00t_ros.collide.obstacles import PlacedObstacles  # noqa: E402
from gr00t_ros.collide.scene import parse_scene  # noqa: E402
from gr00t_ros.graph.clearance_markers import (  # noqa: E402
    ClearanceMarkers,
    nearest_markers,
    scene_markers,
)
from gr00t_ros.graph.collision import CollisionView  # noqa: E402
from gr00t_ros.motion.clearance import Ahead  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

SCENE = {
    "margin": 0.01,
    "objects": {
        "box": {"type": "box", "xyz": [0.9, 0, 0.4], "size": [0.1, 0.2, 0.3]},
        "pole": {"type": "cylinder", "xyz": [0, 1, 0], "radius": 0.02, "length": 1.5},
        "floor": {"type": "plane", "xyz": [0, 0, -0.5], "normal": [0, 0, 1]},
    },
    "keep_out": {"ball": {"type": "sphere", "xyz": [0, -1, 0], "radius": 0.3}},
    "keep_in": {"cell": {"xyz": [0.1, 0, 0], "size": [2, 3, 4], "rpy": [0, 0, 0.5]}},
}
AT = np.zeros(2)


@pytest.fixture
def engine():
    """The arm of test/fixtures/arm_urdf in this scene."""
    around = parse_scene(SCENE, "scene", read_mesh)
    held = {"grip": 0.01}
    return CollisionEngine(hand_robot(), around, ("shoulder", "elbow"), held=held)


def by_name(markers):
    """Markers by what follows "scene: "."""
    return {marker.ns.removeprefix("scene: "): marker for marker in markers}


def test_every_solid_has_its_marker_with_its_size(engine):
    """Objects, planes as plates, keep-out red and transparent, keep-in as an outline."""
    found = by_name(scene_markers(engine))
    kinds = {name: marker.type for name, marker in found.items()}
    assert kinds == {
        **{"box": Marker.CUBE, "pole": Marker.CYLINDER, "floor": Marker.CUBE},
        **{"ball": Marker.SPHERE, "cell": Marker.LINE_LIST},
    }
    scale = found["box"].scale
    assert (scale.x, scale.y, scale.z) == (0.1, 0.2, 0.3)
    scale = found["pole"].scale
    assert (scale.x, scale.y, scale.z) == (0.04, 0.04, 1.5)
    assert found["ball"].color.r > 0.8 and found["ball"].color.a < 0.5
    corners = np.array([[p.x, p.y, p.z] for p in found["cell"].points])
    assert len(corners) == 24
    lengths = np.linalg.norm(corners[0::2] - corners[1::2], axis=1)
    np.testing.assert_allclose(sorted(lengths), [2.0] * 4 + [3.0] * 4 + [4.0] * 4)
    np.testing.assert_allclose(corners.mean(axis=0), [0.1, 0, 0], atol=1e-12)


def test_a_solid_that_was_moved_is_shown_where_it_is_now(engine):
    """As the check has it."""
    engine.place("box", (Shape("box", (0.1, 0.2, 0.3), np.array([0.9, 0.5, 0.4]), np.eye(3)),))
    assert by_name(scene_markers(engine))["box"].pose.position.y == 0.5


def test_live_obstacles_are_shown_and_empty_places_are_not(engine):
    """Each where it is, and with the line to it; the check may change them meanwhile."""
    around = parse_scene(SCENE, "scene", read_mesh)
    live = CollisionEngine(
        hand_robot(), around, ("shoulder", "elbow"), held={"grip": 0.01}, obstacles=32
    )
    assert set(by_name(scene_markers(live))) == set(by_name(scene_markers(engine)))
    shape = Shape("box", (0.1, 0.1, 0.1), np.array([1.2, 0.6, 0.0]), np.eye(3))
    for y in (0.6, 0.9):
        moved = replace(shape, xyz_m=np.array([1.2, y, 0.0]))
        live.occupy(PlacedObstacles(("obstacle crate",), (moved,)))
        crate = by_name(scene_markers(live))["obstacle crate"]
        assert crate.pose.position.y == y and crate.scale.x == 0.1
        link = next(one for one, other in live.pair_names if other == "obstacle crate")
        witness = live.witness((link, "obstacle crate"), AT)
        assert np.abs(witness.second_m - moved.xyz_m).max() <= 0.05 + 1e-6


def test_the_nearest_pair_is_a_line_with_its_distance(engine):
    """From point to point; nothing of another model's posture or of an unknown pair."""
    ahead = Ahead("", 0.123, ("tip", "box"), 0.4, position=AT)
    line, text = nearest_markers(engine, ahead)
    ends = np.array([[p.x, p.y, p.z] for p in line.points])
    index = [(p.first, p.second) for p in engine.pairs].index(("tip", "box"))
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(engine.distances(AT)[index], abs=1e-4)
    assert ends[1][0] == pytest.approx(0.85, abs=1e-4)
    assert text.text == "0.123 m in 0.40 s: tip and box"
    for other in (
        Ahead(""),
        Ahead("", 0.1, ("tip", "nobody"), 0.4, position=AT),
        Ahead("", 0.1, ("tip", "box"), 0.4, position=np.zeros(6)),
    ):
        assert list(nearest_markers(engine, other)) == []


def test_nothing_is_made_without_a_subscriber(ros_node, engine):
    """Not even looked for; with one, markers come until the session ends."""
    looks = []

    def shown():
        looks.append(1)
        return CollisionView(engine, "base", True)

    ahead = Ahead("", 0.123, ("tip", "box"), 0.4, position=AT)
    markers = ClearanceMarkers(ros_node, SimpleNamespace(shown=shown), lambda: ahead)
    for _ in range(10):
        markers._publish()
    assert not looks
    arrays = collect(ros_node, MarkerArray, markers._publisher.topic_name, qos.MARKERS)
    array = wait_until(lambda: arrays and arrays[-1], "markers")
    assert len(array.markers) == 7 and looks
    assert {marker.header.frame_id for marker in array.markers} == {"base"}
    markers.destroy()
