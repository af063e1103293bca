"""The tool behind a commanded pose: which links it is, where it is, how far its way carries it."""

import numpy as np
import pytest
from arm_urdf import HAND_LINKS, hand_robot, hand_urdf, robot
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")
pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.collide.engine import ERROR_M, CollisionEngine  # noqa: E402
from gr00t_ros.collide.files import read_mesh  # noqa: E402
from gr00t_ros.collide.scene import parse_scene  # noqa: E402
from gr00t_ros.collide.tool import ToolCheck, ToolLink, path_of_poses, tools_of  # noqa: E402  # noqa: E402
from gr00t_ros.collide.window import WindowCheck  # noqa: E402
from gr00t_ros.errors import SceneError, SettingsError  # noqa: E402
from gr00t_ros.graph.collision_model import of_tools  # noqa: E402
from gr00t_ros.robot.rotation import Pose  # noqa: E402
from gr00t_ros.robot.urdf.chain import urdf_chain  # noqa: E402
from gr00t_ros.robot.urdf.text import urdf_root  # noqa: E402

HAND = ToolLink("hand", "tip", "base")
JOINTS = ("shoulder", "elbow")
BOX = {"type": "box", "xyz": [0.6, 0.1, 0.3], "size": [0.2, 0.1, 0.3]}


def scene(**content):
    """A scene with one box, and `content`."""
    return parse_scene({"margin": 0.01, "objects": {"box": BOX}, **content}, "s.yaml", read_mesh)


def engine_of(tools, around, held=None):
    """The engine of the tools in a scene."""
    held = tools.room() if held is None else held
    return CollisionEngine(tools.description, tools.scene(around), tools.joint_names, held=held)


def random_pose(random):
    """Any pose within a metre; every third is at a quarter turn about y."""
    angles = random.uniform(-3, 3, 3)
    if random.random() < 0.3:
        angles[1] = np.pi / 2 * random.choice([-1, 1]) + random.choice([0.0, 1e-9, 1e-6])
    return Pose(random.uniform(-0.5, 0.5, 3), Rotation.from_euler("ZYX", angles).as_matrix())


def test_the_tool_is_where_the_arm_would_carry_it():
    """All its distances are those of the whole arm at the same tip; the arm's own are left out."""
    robot = hand_robot()
    tools = tools_of(robot, [HAND])
    assert tools.links == (frozenset(HAND_LINKS),) and tools.room() == {"grip": (0.0, 0.04)}
    whole = CollisionEngine(robot, scene(), JOINTS, held={"grip": 0.01})
    alone = engine_of(tools, scene(), held={"grip": 0.01})
    pairs = {(pair.first, pair.second) for pair in alone.pairs}
    assert pairs == {(a, b) for a in ("tip", "finger") for b in ("box",)} | {
        ("base", "tip"),
        ("base", "finger"),
    }
    of_whole = [(pair.first, pair.second) for pair in whole.pairs]
    rows = [of_whole.index((pair.first, pair.second)) for pair in alone.pairs]
    chain = urdf_chain(urdf_root(hand_urdf('<box size="0.1 0.06 0.04"/>'), "t"), "base", "tip", "t")
    random = np.random.default_rng(0)
    for _ in range(100):
        q = random.uniform(-3, 3, 2)
        found = alone.distances(tools.posture({"hand": Pose(*chain.among(JOINTS).pose(q))}))
        wanted = whole.distances(q)[rows]
        apart = np.maximum(found, wanted) > 0.0
        np.testing.assert_allclose(found[apart], wanted[apart], atol=2 * ERROR_M)


def test_a_finger_counts_as_open_and_as_closed():
    """Its distance is that of the nearer one, and less than that by no more than its range."""
    tools = tools_of(hand_robot(), [HAND])
    anywhere = engine_of(tools, scene())
    ends = [engine_of(tools, scene(), held={"grip": at}) for at in (0.0, 0.02, 0.04)]
    random = np.random.default_rng(1)
    for _ in range(100):
        q = tools.posture({"hand": random_pose(random)})
        nearest = np.min([one.distances(q) for one in ends], axis=0)
        found = anywhere.distances(q)
        apart = nearest > 0.0
        assert (found[apart] <= nearest[apart] + ERROR_M).all()
        assert (found[apart] >= nearest[apart] - 0.04 - ERROR_M).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_distance_changes_by_more_than_the_law_allows(seed):
    """Between any two points of a random way of two tools, in any frame of the base."""
    random = np.random.default_rng(seed)
    robot = hand_robot('<cylinder radius="0.004" length="0.4"/>')
    tools = tools_of(robot, [HAND])
    engine = engine_of(tools, scene())
    reach = engine.bounds[:, tools.columns]
    turn = Rotation.from_rotvec(random.normal(size=3) * 0.1)
    poses = [random_pose(random)]
    for _ in range(6):
        position = poses[-1].position + random.normal(size=3) * 0.02
        poses.append(Pose(position, turn.as_matrix() @ poses[-1].rotation))
    path = path_of_poses(tools, {"hand": poses}, 0.02)
    found = np.array([engine.distances(q) for q in path.positions])
    for first in range(0, len(found), 5):
        for end in range(first + 1, len(found), 7):
            most = reach @ (path.travel[end] - path.travel[first])
            apart = np.minimum(found[first], found[end]) > 0.0
            assert (np.abs(found[end] - found[first])[apart] <= most[apart] + 2 * ERROR_M).all()


def test_the_path_is_the_one_that_the_streamer_plays():
    """Straight, and turning evenly about one axis; the shorter way ends earlier and stays."""
    tools = tools_of(hand_robot(), [HAND])
    first = Pose(np.array([0.4, 0.0, 0.3]), Rotation.from_rotvec([3.0, 0.1, 0.0]).as_matrix())
    turned = Rotation.from_rotvec([0.1, -0.2, 0.3])
    last = Pose(np.array([0.5, 0.1, 0.3]), turned.as_matrix() @ first.rotation)
    path = path_of_poses(tools, {"hand": [first, last]}, 0.02)
    middle = path.positions[4]
    np.testing.assert_allclose(middle[:3], [0.45, 0.05, 0.3], atol=1e-12)
    half = Rotation.from_rotvec(turned.as_rotvec() / 2) * Rotation.from_matrix(first.rotation)
    assert (Rotation.from_euler("ZYX", middle[3:]) * half.inv()).magnitude() < 1e-9
    np.testing.assert_allclose(path.travel[-1], [np.hypot(0.1, 0.1), turned.magnitude()])
    np.testing.assert_allclose(path.speed[0] * 0.02, path.travel[-1])
    standing = path_of_poses(tools, {"hand": [first]}, 0.02)
    assert not standing.travel.any() and np.array_equal(standing.positions[0], path.positions[0])


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        (ToolLink("hand", "", "base"), "write link into the output"),
        (ToolLink("hand", "thumb", "base"), "'thumb' is no link of hand.urdf"),
        (ToolLink("hand", "base", "base"), "is fixed to the base 'base', expected one that moves"),
        (ToolLink("hand", "tip", "world"), "frame 'world' is no link of hand.urdf"),
        (ToolLink("hand", "tip", "arm"), "frame 'arm' moves against the base"),
    ],
)
def test_a_tool_that_is_not_known_is_refused(tool, problem):
    """Each names the output, and what to write."""
    with pytest.raises(SettingsError, match=problem) as found:
        tools_of(hand_robot(), [tool])
    assert str(found.value).startswith("output hand: ")


def test_what_no_pose_places_is_refused():
    """Joints of the arm beside poses, one body with two outputs, a finger without limits."""
    robot = hand_robot()
    tools = tools_of(robot, [HAND])
    tools.refuse_others(("grip",))
    with pytest.raises(SettingsError, match="joints shoulder, elbow, knee are commanded"):
        tools.refuse_others(("shoulder", "elbow", "grip", "knee"))
    with pytest.raises(SettingsError, match="hand and other command links of one body"):
        tools_of(robot, [HAND, ToolLink("other", "wrist", "base")])
    with pytest.raises(SettingsError, match="joint grip behind link tip has no limits"):
        tools_of(hand_robot(turns="continuous"), [HAND])


def test_a_scene_is_read_as_for_the_whole_robot():
    """Rows about the arm fall away; misspelt links and a thing that the arm carries do not."""
    tools = tools_of(hand_robot(), [HAND])
    rows = {
        "robot": {"padding": {"arm": 0.1, "tip": 0.02}},
        "contact": [{"links": ["arm", "finger"], "objects": ["box"]}],
        "keep_in": {"cell": {"xyz": [0, 0, 0], "size": [2, 2, 2], "links": ["arm", "tip"]}},
    }
    engine = engine_of(tools, scene(**rows))
    pairs = {(pair.first, pair.second): pair for pair in engine.pairs}
    assert pairs["finger", "box"].contact and not pairs["tip", "box"].contact
    assert pairs["tip", "cell"].inside and ("finger", "cell") not in pairs
    with pytest.raises(SceneError, match="robot.padding: got thumb"):
        tools.scene(scene(robot={"padding": {"thumb": 0.1}}))
    cube = {"type": "box", "xyz": [0, 0, 0], "size": [0.1, 0.1, 0.1]}
    carried = scene(attached={"cube": {"link": "tip", **cube}})
    assert ("cube", "box") in [(p.first, p.second) for p in engine_of(tools, carried).pairs]
    with pytest.raises(SceneError, match="attached.cube: the way of link arm is not known"):
        tools.scene(scene(attached={"cube": {"link": "arm", **cube}}))


def two_hands():
    """The check of a left and a right hand, balls of 5 cm, far from anything else."""
    links = {"base": "", "left": '<sphere radius="0.05"/>', "right": '<sphere radius="0.05"/>'}
    turns = '<axis xyz="0 0 1"/><limit lower="-3" upper="3"/>'
    joints = [(f"to_{side}", "revolute", "base", side, turns) for side in ("left", "right")]
    both = [ToolLink(side, side, "base") for side in ("left", "right")]
    tools = tools_of(robot(links, joints), both)
    engine = engine_of(tools, scene())
    return ToolCheck(WindowCheck(of_tools(engine, tools), engine.distances), tools)


def line(y, end):
    """Poses along y."""
    turned = np.eye(3)
    return [Pose(np.array([0.0, at, 0.5]), turned) for at in np.linspace(y, end, 20)]


def test_two_hands_keep_clear_of_each_other():
    """Each way alone is clear; at one time both would meet. A way that is over stays at its end."""
    check = two_hands()
    left, right = line(-0.3, -0.04), line(0.3, 0.04)
    for ways, clear in (
        ({"left": left, "right": right[:1]}, True),
        ({"left": left[:1], "right": right}, True),
        ({"left": left, "right": right}, False),
        ({"left": left, "right": right[-1:]}, False),
        ({"left": left, "right": line(0.05, 0.3)}, True),
    ):
        check.begin({side: way[0] for side, way in ways.items()})
        ahead = check.look(ways, 0.02)
        assert ahead.clear is clear
        assert clear or ahead.why.startswith("left ")
