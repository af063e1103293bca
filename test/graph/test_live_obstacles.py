"""The collision check with a scene that changes: live obstacles, frames, and what a gripper holds.

Messages are handed to the node's own subscriptions' callbacks; time is the steady clock, which the
tests set.
"""

import math
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from geometry_msgs.msg import TransformStamped  # noqa: E402
from obstacle_markers import marker  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from tf2_stand_in import stand_in_tf2  # noqa: E402
from two_rods import ROBOT, START, URDF  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from gr00t_ros.errors import SceneError, SettingsError  # noqa: E402
from gr00t_ros.graph import obstacles  # noqa: E402
from gr00t_ros.graph.collision import Collision  # noqa: E402
from gr00t_ros.motion.shaper import Rows  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402

REQUIRED = replace(DEFAULTS, collision="required")
LIVE = replace(REQUIRED, obstacles="markers", obstacle_margin_m=0.05)
SECOND_NS = 1_000_000_000
FAR = (0.2, 0.6, 0.0)
NEAR = (0.2, 0.10, 0.0)  # a box of 0.1 m: 4 cm beside the upper rod


class Place:
    """A collision check with obstacles from markers, a clock, and measured joints."""

    def __init__(self, node, monkeypatch, tmp_path, scene="", values=LIVE):
        if scene:
            (tmp_path / "scene.yaml").write_text(scene)
            values = replace(values, scene=str(tmp_path / "scene.yaml"))
        self.now_ns, self.joints = SECOND_NS, {"shoulder": 0.0, "elbow": 0.0, "hip": 0.0}
        clock = SimpleNamespace(monotonic_ns=lambda: self.now_ns)
        monkeypatch.setattr(obstacles, "time", clock)
        self.check = Collision(node, ROBOT, values, self._measured)
        self.check.take_urdf(String(data=URDF))

    def _measured(self, names):
        found = [self.joints.get(name) for name in names]
        return None if None in found else np.array(found)

    def send(self, *markers):
        """One message, as a publisher sends it."""
        stream = self.check._obstacles
        stream._source._subscription.callback(MarkerArray(markers=list(markers)))

    def begin(self):
        """A session; the check that the planner uses."""
        assert self.check.problems(START) == []
        return self.check.begin()

    def found(self):
        """The watches and their texts of one tick."""
        return {one.watch: one.reason for one in self.check.findings()}


@pytest.fixture
def place(ros_node, monkeypatch, tmp_path):
    """No scene file: obstacles alone, one message received."""
    place = Place(ros_node, monkeypatch, tmp_path)
    place.send()
    return place


def box(at=FAR, **fields):
    """A box of 10 cm."""
    return marker(scale=(0.1, 0.1, 0.1), at=at, **fields)


def still(check):
    """The result of a look at rows that move the shoulder by 0.1 rad towards positive y."""
    check.begin(START)
    angle = np.linspace(0.0, 0.1, 11)
    rows = np.stack([angle, np.zeros(11)], axis=1)
    return check.look(Rows(rows, np.zeros_like(rows), np.zeros_like(rows)), 0.02)


def test_no_activation_before_the_first_message(ros_node, monkeypatch, tmp_path):
    """An empty one says that nothing is there; none says nothing."""
    place = Place(ros_node, monkeypatch, tmp_path)
    (problem,) = place.check.problems(START)
    assert problem.startswith("/") and "obstacles: nothing received; check the program" in problem
    place.send()
    assert place.check.problems(START) == []
    place.send(box((0.2, 0.0, 0.0), ns="cups", id=3))
    (problem,) = place.check.problems(START)
    assert problem.startswith("upper and obstacle cups/3 touch")


def test_an_obstacle_that_comes_and_goes_changes_what_is_clear(place):
    """From the next tick on, and each time what was proven before no longer counts."""
    check = place.begin()
    assert still(check).clear and check.scene == 0
    place.send(box((0.2, 0.08, 0.0), id=1))
    assert still(check).clear, "a tick that has begun keeps its scene"
    assert place.found() == {} and check.scene == 1
    ahead = still(check)
    assert "upper comes within" in ahead.why and "of obstacle 1 " in ahead.why
    place.send(marker(id=1, action=Marker.DELETE))
    assert place.found() == {} and check.scene == 2
    assert still(check).clear


def test_a_repeated_message_changes_nothing(place):
    """What is proven stays proven, so a stream of 30 Hz costs nothing while all stands still."""
    place.send(box(id=1), box((0.4, 0.6, 0.0), id=2))
    check = place.begin()
    for _ in range(3):
        place.send(box(id=1), box((0.4, 0.6, 0.0), id=2))
        assert place.found() == {}
    assert check.scene == 0
    place.send(box((0.2, 0.61, 0.0), id=1))
    assert place.found() == {} and check.scene == 1


def test_a_stream_that_falls_silent_pauses_and_keeps_what_it_had(place):
    """The last obstacles are still checked; the next message ends it."""
    place.send(box((0.2, 0.08, 0.0), id=1))
    check = place.begin()
    place.now_ns += SECOND_NS
    assert place.found() == {}
    place.now_ns += SECOND_NS // 2
    text = place.found()["scene_stale"]
    assert "obstacles: nothing received for 1.50 s, at most 1.00 s allowed" in text
    assert "of obstacle 1 " in still(check).why
    place.check.apply(replace(LIVE, obstacles_stale_s=0.2))
    place.send(box((0.2, 0.08, 0.0), id=1))
    assert place.found() == {}
    place.now_ns += SECOND_NS // 2
    assert "nothing received for 0.50 s, at most 0.20 s" in place.found()["scene_stale"]


def test_what_cannot_be_checked_pauses_by_name(place):
    """No solid, a frame that moves or is unknown, too many; it ends with what replaces it."""
    place.begin()
    place.send(box(id=1), marker(Marker.ARROW, id=2))
    text = place.found()["obstacle_unchecked"]
    assert "obstacle 2: is of type ARROW" in text and "correct or delete that obstacle" in text
    place.send(marker(id=2, action=Marker.DELETE), box(id=3, frame="lower"))
    assert "frame 'lower' moves with the robot" in place.found()["obstacle_unchecked"]
    place.send(box(id=3, frame="base"))
    assert place.found() == {}
    place.send(*(box(ns="many", id=number) for number in range(40)))
    assert "got 42 shapes, expected at most 32" in place.found()["obstacle_unchecked"]
    place.send(marker(ns="many", action=Marker.DELETEALL))
    assert place.found() == {}


def test_an_obstacle_that_touches_the_arm_pauses_while_it_does(place):
    """Where the arm is measured, at rest as well; beside it, inside the margin, it does not."""
    place.send(box((0.2, 0.08, 0.0), id=1))
    place.begin()
    assert place.found() == {}
    place.joints["shoulder"] = 0.2
    assert "upper and obstacle 1 touch; let it leave" in place.found()["obstacle_touches"]
    place.joints["shoulder"] = 0.0
    place.send(box((0.2, 0.05, 0.0), id=1))
    assert "upper and obstacle 1 touch" in place.found()["obstacle_touches"]
    place.send(marker(id=1, action=Marker.DELETE))
    assert place.found() == {}


def test_an_obstacle_keeps_its_own_margin(place):
    """That of the parameter, for every link that moves against it."""
    place.send(box(id=1))
    check = place.begin()
    check.begin(START)
    limits = dict(zip(check.pairs.names, check.limits, strict=True))
    assert limits["upper", "obstacle 1"] == pytest.approx(0.05, abs=2e-5)


def test_obstacles_without_a_check_are_refused(ros_node):
    """And MoveIt's without its messages, with what to install."""
    with pytest.raises(SettingsError, match="obstacles: got markers, but parameter collision is"):
        Collision(ros_node, ROBOT, replace(DEFAULTS, obstacles="markers"), lambda _: None)
    wanted = replace(REQUIRED, obstacles="planning_scene")
    if find_spec("moveit_msgs") is None:
        with pytest.raises(SettingsError, match="needs the ROS package moveit_msgs.* or use mark"):
            Collision(ros_node, ROBOT, wanted, lambda _: None)


# --- frames of tf -------------------------------------------------------------------------------

BESIDE = (
    "margin: 0.02\nframe: hall\nobjects:\n  post: {type: sphere, xyz: [0, 0, 0], radius: 0.05}\n"
)


@pytest.fixture
def tf2_ros(tmp_path, monkeypatch):
    """A stand-in for tf2_ros: what is in Buffer.found is what tf2 knows."""
    with stand_in_tf2(tmp_path, monkeypatch) as module:
        yield module


def transform(x, y, stamp_s=0):
    """A transform; with a stamp it may move."""
    made = TransformStamped()
    made.transform.translation.x, made.transform.translation.y = float(x), float(y)
    made.transform.rotation.w = 1.0
    made.header.stamp.sec = stamp_s
    return made


def test_things_of_a_scene_may_be_in_a_frame_of_tf(ros_node, monkeypatch, tmp_path, tf2_ros):
    """Where it is at the activation; refused by its name before it is known, and if it may move."""
    values = replace(LIVE, obstacles="off")
    place = Place(ros_node, monkeypatch, tmp_path, BESIDE, values)
    (problem,) = place.check.problems(START)
    assert "frame 'hall' cannot be used: tf2 has no transform base -> hall" in problem
    tf2_ros.Buffer.found["base", "hall"] = transform(0.2, 0.5, stamp_s=7)
    (problem,) = place.check.problems(START)
    assert "frame 'hall'" in problem and "so it may move, expected /tf_static alone" in problem
    tf2_ros.Buffer.found["base", "hall"] = transform(0.2, 0.5)
    assert place.check.problems(START) == []
    facts = dict(place.check.facts(START))
    assert facts["start"].startswith("nearest: ")
    assert facts[str(tmp_path / "scene.yaml")] == "readable, all links and frames known: post"
    tf2_ros.Buffer.found["base", "hall"] = transform(0.2, 0.0)
    (problem,) = place.check.problems(START)
    assert problem.startswith("upper and post touch")
    place.check.destroy()
    assert tf2_ros.TransformListener.alive == 0


def test_without_tf2_the_frame_and_the_package_are_named(ros_node, monkeypatch, tmp_path):
    """And what to do without it."""
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    place = Place(ros_node, monkeypatch, tmp_path, BESIDE, replace(LIVE, obstacles="off"))
    (problem,) = place.check.problems(START)
    assert "frame 'hall' needs the ROS package tf2_ros" in problem
    assert "or give places in a link that is fixed to base" in problem


def test_live_obstacles_may_be_in_a_static_frame_of_tf(place, tf2_ros):
    """A frame that becomes known later counts from then on, without another message."""
    place.send(box((0.0, 0.0, 0.0), id=1, frame="hall"))
    (problem,) = place.check.problems(START)
    assert "obstacle 1: tf2 has no transform base -> hall" in problem
    tf2_ros.Buffer.found["base", "hall"] = transform(0.2, 0.08)
    check = place.begin()
    assert "of obstacle 1 " in still(check).why


# --- what a gripper holds -----------------------------------------------------------------------

HELD = """margin: 0.02
objects:
  post: {type: sphere, xyz: [1.0, 0.25, 0], radius: 0.05}
attached:
  cube: {type: sphere, link: lower, xyz: [0.5, 0.1, 0], radius: 0.05, touch: [finger],
         while: {joint: grip, WHEN}}
"""


@pytest.mark.parametrize(
    ("when", "held_at", "open_at"), [("below: 0.02", 0.01, 0.03), ("above: 0.02", 0.03, 0.01)]
)
def test_a_carried_thing_is_there_while_its_joint_says_so(
    ros_node, monkeypatch, tmp_path, when, held_at, open_at
):
    """A change is a change of the scene: what was proven without the thing is proven again."""
    text = HELD.replace("WHEN", when)
    place = Place(ros_node, monkeypatch, tmp_path, text, replace(LIVE, obstacles="off"))
    place.joints["grip"] = open_at
    check = place.begin()
    assert still(check).clear
    place.joints["grip"] = held_at
    assert place.found() == {} and check.scene == 1
    assert "cube" in still(check).why and "post" in still(check).why
    place.joints["grip"] = open_at
    assert place.found() == {} and check.scene == 2
    assert still(check).clear
    for unknown in (None, math.nan):
        place.joints["grip"] = unknown
        place.found()
        assert "cube" in still(check).why, "an unknown joint: the thing counts as carried"


def test_without_while_a_carried_thing_is_always_there(ros_node, monkeypatch, tmp_path):
    """As it was before there was that key."""
    text = HELD.replace(",\n         while: {joint: grip, WHEN}", "")
    place = Place(ros_node, monkeypatch, tmp_path, text, replace(LIVE, obstacles="off"))
    place.joints["grip"] = 0.04
    assert "cube" in still(place.begin()).why


def test_a_joint_that_the_robot_lacks_is_named(ros_node, monkeypatch, tmp_path):
    """It would never be measured, so the thing would count as carried for ever."""
    text = HELD.replace("joint: grip, WHEN", "joint: thumb, below: 0.1")
    place = Place(ros_node, monkeypatch, tmp_path, text, replace(LIVE, obstacles="off"))
    (problem,) = place.check.problems(START)
    assert "attached.cube.while: got joint thumb, expected one that moves in" in problem
    for wrong in ("joint: grip", "joint: grip, below: 0.1, above: 0.2"):
        with pytest.raises(SceneError, match="expected below or above"):
            Place(
                *(ros_node, monkeypatch, tmp_path, HELD.replace("joint: grip, WHEN", wrong)),
                replace(LIVE, obstacles="off"),
            )
