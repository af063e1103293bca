"""The node's collision check: what it refuses, what it waits for, joints that it does not own."""

import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from std_msgs.msg import String  # noqa: E402
from two_rods import ROBOT, START, URDF  # noqa: E402

from gr00t_ros.errors import SceneError, SettingsError  # noqa: E402
from gr00t_ros.graph.collision import Collision  # noqa: E402
from gr00t_ros.robot.rotation import Pose  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402

POST = "margin: 0.02\nobjects:\n  post: {type: sphere, xyz: [0.2, 0.2, 0], radius: 0.05}\n"
REQUIRED = replace(DEFAULTS, collision="required")


class Place:
    """A collision check of the robot above, with a measured hip."""

    def __init__(self, node, tmp_path, scene=POST, robot=ROBOT):
        (tmp_path / "scene.yaml").write_text(scene)
        values = replace(REQUIRED, scene=str(tmp_path / "scene.yaml"))
        self.hip = 0.0
        self.check = Collision(node, robot, values, self._measured)

    def _measured(self, names):
        assert names == ("hip",)
        return None if self.hip is None else np.array([self.hip])

    def describe(self, text=URDF):
        """As robot_state_publisher does."""
        self.check.take_urdf(String(data=text))
        return self


@pytest.fixture
def place(ros_node, tmp_path):
    """A described robot beside a post."""
    return Place(ros_node, tmp_path).describe()


AT_POST = np.array([np.pi / 4, 0.0])


def test_without_a_description_it_waits_and_says_for_what(ros_node, tmp_path):
    """And no session begins without a check."""
    place = Place(ros_node, tmp_path)
    (problem,) = place.check.problems(START)
    assert "nothing received on /robot_description: start robot_state_publisher" in problem
    with pytest.raises(SettingsError, match="nothing received"):
        place.check.begin()


def test_a_description_that_cannot_be_used_is_the_problem(place):
    """It replaces the one before: that robot may not be there any more."""
    place.describe(URDF.replace('"elbow"', '"knee"'))
    (problem,) = place.check.problems(START)
    assert problem.startswith("collision: ") and "elbow" in problem


def test_it_is_off_by_default_and_says_that_a_scene_needs_it(ros_node):
    """A scene that nobody looks at would only look like safety."""
    off = Collision(ros_node, ROBOT, DEFAULTS, lambda _: None)
    assert off.problems(START) == [] and off.begin() is None and off.findings() == []
    with pytest.raises(SettingsError, match="collision is off, so nothing would be checked"):
        Collision(ros_node, ROBOT, replace(DEFAULTS, scene="table"), lambda _: None)


def test_what_it_cannot_check_is_refused(ros_node, tmp_path):
    """A scene that is wrong or not there."""
    with pytest.raises(SceneError, match="unknown key 'sise'"):
        Place(ros_node, tmp_path, scene=POST.replace("xyz", "sise"))
    with pytest.raises(SettingsError, match="no such file"):
        Collision(ros_node, ROBOT, replace(REQUIRED, scene="/nowhere.yaml"), lambda _: None)


def test_a_start_that_touches_is_refused_by_name(place):
    """The rod lies in the post."""
    assert place.check.problems(START) == []
    assert place.check.against(AT_POST) == []  # no session that could go on
    (problem,) = place.check.problems(AT_POST)
    assert problem.startswith("upper and post touch; move the arm away by hand")
    assert place.check.begin() is not None
    assert [found.watch for found in place.check.against(AT_POST)] == ["in_collision"]


def test_joints_of_others_must_be_known_and_stay(place):
    """The hip is measured; the finger counts as anywhere in its range."""
    place.hip = None
    (problem,) = place.check.problems(START)
    assert "the positions of hip are not known" in problem
    place.hip = 1.0
    assert place.check.problems(START) == [] and place.check.begin() is not None
    place.hip = 1.005
    assert place.check.findings() == []
    place.hip = 1.05
    (found,) = place.check.findings()
    assert found.watch == "uncommanded_joint" and "hip has moved by 0.050" in found.reason
    place.check.begin()
    assert place.check.findings() == []


def test_a_joint_that_is_known_no_longer_is_a_finding_after_its_fault_age(place, monkeypatch):
    """Until then the watch on joint states has its time; old positions must not count for ever."""
    assert place.check.problems(START) == [] and place.check.begin() is not None
    now_s = [time.monotonic()]
    monkeypatch.setattr("gr00t_ros.graph.collision.time.monotonic_ns", lambda: int(now_s[0] * 1e9))
    place.check.begin()
    place.hip = None
    now_s[0] += 0.9 * DEFAULTS.joint_fault_age_s
    assert place.check.findings() == []
    now_s[0] += 0.2 * DEFAULTS.joint_fault_age_s
    (found,) = place.check.findings()
    assert found.watch == "uncommanded_joint" and "hip are not known" in found.reason


def test_a_process_that_slept_does_not_take_its_sleep_for_silence(ros_node, monkeypatch):
    """After SIGCONT no joint state was read yet: that is a pause of other watches, no fault."""
    known = [np.zeros(1)]
    check = Collision(ros_node, ROBOT, REQUIRED, lambda _: known[0], awake_ns=lambda _age_ns: 0)
    check.take_urdf(String(data=URDF))
    assert check.problems(START) == [] and check.begin() is not None
    later_ns = time.monotonic_ns() + int(1e9 * 2 * DEFAULTS.joint_fault_age_s)
    monkeypatch.setattr("gr00t_ros.graph.collision.time.monotonic_ns", lambda: later_ns)
    known[0] = None
    assert check.findings() == []


def test_the_engine_of_a_session_that_has_not_ended_is_left_alone(place):
    """The replay thread may measure with it: an activation is refused until the session is over."""
    assert place.check.problems(START) == [] and place.check.begin() is not None
    assert place.check.running
    place.describe(URDF.replace('"elbow"', '"knee"'))
    (problem,) = place.check.problems(START)
    assert "the last session has not ended yet" in problem
    place.check.end()
    (problem,) = place.check.problems(START)
    assert "elbow" in problem


def test_a_description_in_which_nothing_can_be_checked_is_refused(place):
    """Without a shape that moves every window would be clear."""
    shape = re.search("<collision>.*?</collision>", URDF, flags=re.DOTALL)[0]
    bare = re.sub("<collision>.*?</collision>", "", URDF, flags=re.DOTALL)
    bare = bare.replace('<link name="base"/>', f'<link name="base">{shape}</link>')
    (problem,) = place.describe(bare).check.problems(START)
    assert "nothing can be checked: expected collision elements" in problem


def test_a_joint_that_moved_does_not_refuse_a_reset_after_the_session(place):
    """Nothing is held any more, and the next session takes the joint where it is."""
    place.hip = 0.0
    assert place.check.problems(START) == [] and place.check.begin() is not None
    place.hip = 0.5
    assert place.check.findings()
    place.check.end()
    assert place.check.findings() == []
    assert place.check.problems(START) == [] and place.check.begin() is not None
    assert place.check.findings() == []


def test_a_description_that_comes_during_a_session_counts_afterwards(place):
    """The session keeps its model and its watch; making one would take several ticks."""
    assert place.check.problems(START) == []
    check = place.check.begin()
    place.describe(URDF.replace('"elbow"', '"knee"'))
    place.hip = 0.5
    assert [found.watch for found in place.check.findings()] == ["uncommanded_joint"]
    assert place.check.begin().pairs is check.pairs
    place.check.end()
    (problem,) = place.check.problems(START)
    assert "elbow" in problem


def test_a_finger_is_taken_as_open_and_as_closed(ros_node, tmp_path):
    """A post that only the open finger would touch."""
    beside = "margin: 0.001\nobjects:\n  post: {type: sphere, xyz: [0.955, 0, 0], radius: 0.01}\n"
    place = Place(ros_node, tmp_path, scene=beside).describe()
    (problem,) = place.check.problems(START)
    assert "finger and post touch" in problem


TURNING = URDF.replace(
    '<joint name="grip" type="prismatic">', '<joint name="grip" type="revolute">'
).replace('lower="0" upper="0.04"', 'lower="0" upper="0.8"')


@pytest.mark.parametrize("names", [("grip",), ("thumb",)])
def test_a_gripper_that_turns_and_gets_goals_may_close(ros_node, tmp_path, names):
    """As xarm6_gripper's: with collision required its first goal was a fault of other programs."""
    hand = SimpleNamespace(name="hand", goals=1, names=names)
    robot = SimpleNamespace(joint_names=("shoulder", "elbow"), poses=(), commands=(hand,))
    thumb = """<link name="thumb"/><joint name="thumb" type="revolute"><parent link="finger"/>
    <child link="thumb"/><limit lower="-1" upper="1" velocity="1" effort="1"/>
    <mimic joint="grip"/></joint></robot>"""
    place = Place(ros_node, tmp_path, robot=robot).describe(TURNING.replace("</robot>", thumb))
    assert place.check.problems(START) == [] and place.check.begin() is not None
    assert place.check.findings() == []


def test_a_gripper_that_turns_is_taken_as_open_and_as_closed(ros_node, tmp_path):
    """The finger's ball is on its axis; what it carries swings with it."""
    hand = SimpleNamespace(name="hand", goals=1, names=("grip",))
    robot = SimpleNamespace(joint_names=("shoulder", "elbow"), poses=(), commands=(hand,))
    ball = '<collision><origin xyz="0 0.1 0"/><geometry><sphere radius="0.01"/>'
    swings = TURNING.replace('<collision><geometry><sphere radius="0.01"/>', ball)
    swings = swings.replace('<axis xyz="1 0 0"/>', '<axis xyz="0 0 1"/>')
    beside = "margin: 0.001\nobjects:\n  post: {type: sphere, xyz: [0.82, 0.08, 0], radius: 0.01}\n"
    place = Place(ros_node, tmp_path, scene=beside, robot=robot).describe(swings)
    (problem,) = place.check.problems(START)
    assert "finger and post touch" in problem
    for turns in (
        swings.replace('upper="0.8"', 'upper="7"'),
        swings.replace('name="grip" type="revolute"', 'name="grip" type="continuous"'),
    ):
        (problem,) = place.describe(turns).check.problems(START)
        assert "output hand: joint grip has no limits in /robot_description" in problem


def test_the_check_of_a_session_keeps_its_distance(place):
    """The limits of begin are those of the scene, for each pair with the post."""
    assert place.check.problems(START) == []
    check = place.check.begin()
    check.begin(START)
    limits = dict(zip(check.pairs.names, check.limits, strict=True))
    assert limits["upper", "post"] == pytest.approx(0.02, abs=2e-5)


HAND = SimpleNamespace(name="hand", link="lower", frame="base")
POSED = SimpleNamespace(joint_names=("grip",), poses=(HAND,), commands=())


def at(x, y=0.0):
    """The pose of the lower rod, which lies along x from there."""
    return {"hand": Pose(np.array([x, y, 0.0]), np.eye(3))}


def test_of_poses_the_tool_is_checked_and_the_arm_is_not(ros_node, tmp_path):
    """Where the hip is does not matter; the upper rod is not known to be in the post."""
    place = Place(ros_node, tmp_path, robot=POSED).describe()
    place.hip = None
    assert "self-collision and the arm behind the tool" in place.check.unchecked
    (problem,) = place.check.problems(np.zeros(1), at(0.1, 0.2))
    assert problem.startswith("lower and post touch")
    assert place.check.problems(np.zeros(1), at(0.5)) == []
    assert place.check.problems(np.zeros(1), {}) == []  # not measured: the start is refused
    replay = SimpleNamespace()
    place.check.attach(replay)
    assert replay.motion_check is None
    check = replay.pose_check
    check.begin(at(0.5))
    assert not check.look({"hand": [at(0.5)["hand"], at(0.1, 0.2)["hand"]]}, 0.02).clear
    assert [one.watch for one in place.check.against(np.zeros(1), at(0.1, 0.2))] == ["in_collision"]
    assert place.check.findings() == []


def test_joints_beside_poses_are_refused_once_the_robot_is_known(ros_node, tmp_path):
    """Those of the tool are not."""
    both = SimpleNamespace(joint_names=("shoulder", "grip"), poses=(HAND,), commands=())
    place = Place(ros_node, tmp_path, robot=both).describe()
    (problem,) = place.check.problems(np.zeros(2), at(0.5))
    assert "joints shoulder are commanded beside the poses of output hand" in problem
    with pytest.raises(SettingsError, match="joints shoulder"):
        place.check.attach(SimpleNamespace())


def test_a_base_that_is_commanded_is_named_as_unchecked(ros_node, tmp_path):
    """A gripper's goal is not: its fingers count as anywhere."""
    commands = (
        SimpleNamespace(name="base", goals=None),
        SimpleNamespace(name="hand", goals=1, names=("width",)),
    )
    robot = SimpleNamespace(joint_names=("shoulder", "elbow"), poses=(), commands=commands)
    check = Place(ros_node, tmp_path, robot=robot).check
    assert check.unchecked == "what the commands of base move (base, lift)"
    off = Collision(ros_node, robot, DEFAULTS, lambda _: None)
    assert off.unchecked == ""


def test_of_joints_the_replay_gets_the_check_of_joints(place):
    """And none of poses."""
    assert place.check.problems(START) == []
    replay = SimpleNamespace()
    place.check.attach(replay)
    assert replay.pose_check is None and len(replay.motion_check.pairs.names) > 0
