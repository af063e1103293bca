"""The Franka's kinematics agree with themselves and with MuJoCo's model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.franka import kinematics as k
from gr00t_ros.sim.robots import FRANKA

RATIOS = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7)
# The jaws' direction of motion in the flange's frame: gym-hil turns the 2F-85 by 45 degrees.
JAW_AXIS = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0])
REACHABLE = st.tuples(st.floats(0.38, 0.6), st.floats(-0.24, 0.24), st.floats(0.01, 0.2))


def joints_at(ratios) -> np.ndarray:
    """Joints (7,) at these shares of their ranges."""
    return k.LOWER_RAD + np.array(ratios) * (k.UPPER_RAD - k.LOWER_RAD)


def test_home_lies_inside_the_limits_and_points_down_in_front_of_the_base():
    """The start pose keeps its margin; the numbers are MuJoCo's."""
    assert np.all(k.HOME_RAD > k.LOWER_RAD + k.MARGIN_RAD)
    assert np.all(k.HOME_RAD < k.UPPER_RAD - k.MARGIN_RAD)
    pose = k.tool_pose(k.HOME_RAD)
    assert np.allclose(pose[:3, 3], [0.3598, 0.0, 0.3412], atol=1e-4)
    assert np.allclose(pose[:3, 2], [0.0, 0.0, -1.0], atol=1e-6)


@given(RATIOS)
def test_poses_equal_mujocos(ratios):
    """Flange and tool lie where the simulated robot has them, jaws included."""
    mujoco = pytest.importorskip("mujoco")
    model, data = panda(mujoco)
    joints = joints_at(ratios)
    data.qpos[:7] = joints
    mujoco.mj_kinematics(model, data)
    link7 = data.body("link7").xmat.reshape(3, 3)
    assert np.allclose(k.flange_pose(joints)[:3, :3], link7, atol=1e-5)
    assert np.allclose(k.tool_pose(joints)[:3, 3], data.site("pinch").xpos, atol=1e-5)
    jaws = data.body("left_pad").xpos - data.body("right_pad").xpos
    along = k.flange_pose(joints)[:3, :3] @ JAW_AXIS
    assert abs(along @ jaws) / np.linalg.norm(jaws) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("file", ["franka_droid", "franka_droid_n16"])
@given(ratios=RATIOS)
def test_the_chains_of_the_embodiment_files_are_the_robots(file, ratios):
    """Against MuJoCo's flange, which the simulated robot publishes, and the tool's own site."""
    mujoco = pytest.importorskip("mujoco")
    model, data = panda(mujoco)
    embodiment = load_embodiment(file)
    joints = dict(zip(k.JOINTS, joints_at(ratios), strict=True))
    data.qpos[:7] = list(joints.values())
    mujoco.mj_kinematics(model, data)
    plan = np.array([joints.get(name, 0.3) for name in embodiment.joint_names])
    position, rotation = embodiment.workspace.chain.pose(plan)
    link7, flange = data.body("link7"), FRANKA.poses[0]
    assert np.allclose(rotation, link7.xmat.reshape(3, 3), atol=1e-5)
    assert np.allclose(position, link7.xpos + link7.xmat.reshape(3, 3) @ flange.offset_m, atol=1e-5)
    tool = position + rotation @ [0.0, 0.0, k.TOOL_M]
    assert np.allclose(tool, data.site("pinch").xpos, atol=1e-5)


def panda(mujoco, kept=[]):  # noqa: B006 (compiled once for all examples)
    """The installed robot's model and its data."""
    from gr00t_ros.sim.assets import INSTALL_COMMAND, PANDA, installed, require_assets

    if not installed(PANDA):
        pytest.skip(f"no robot model: {INSTALL_COMMAND}")
    if not kept:
        model = mujoco.MjModel.from_xml_path(str(require_assets(PANDA)))
        kept.extend([model, mujoco.MjData(model)])
    return kept


@given(RATIOS)
def test_the_jacobian_is_the_derivative(ratios):
    """Central differences of the pose agree with it, linear and angular."""
    joints = joints_at(ratios)
    pose, jacobian = k.tool_jacobian(joints)
    for joint in range(7):
        step = np.zeros(7)
        step[joint] = 1e-6
        after, before = k.tool_pose(joints + step), k.tool_pose(joints - step)
        linear = (after[:3, 3] - before[:3, 3]) / 2e-6
        angular = k.rotation_error(after[:3, :3], before[:3, :3]) / 2e-6
        assert np.allclose(jacobian[:, joint], [*linear, *angular], atol=1e-6)
    assert np.allclose(pose, k.tool_pose(joints))


@given(REACHABLE)
def test_inverse_kinematics_reach_the_table_inside_the_limits(position):
    """Where things may lie, the tool comes within 0.1 mm, pointing down, margins kept."""
    wanted = k.downward_pose(np.array(position))
    joints = k.solve(wanted, k.HOME_RAD)
    assert joints is not None
    reached = k.tool_pose(joints)
    assert np.linalg.norm(reached[:3, 3] - position) < 1e-4
    assert np.allclose(reached[:3, :3], wanted[:3, :3], atol=2e-3)
    assert np.all(joints >= k.LOWER_RAD + k.MARGIN_RAD)
    assert np.all(joints <= k.UPPER_RAD - k.MARGIN_RAD)


@given(st.floats(-np.pi, np.pi))
def test_a_downward_pose_has_its_jaws_along_the_yaw(yaw):
    """It is a rotation, points down and turns the jaws as asked."""
    pose = k.downward_pose(np.array([0.5, 0.0, 0.1]), yaw)
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    assert np.allclose(pose[:3, 2], [0.0, 0.0, -1.0])
    assert np.allclose(pose[:3, :3] @ JAW_AXIS, [np.cos(yaw), np.sin(yaw), 0.0])


def test_out_of_reach_has_no_solution():
    """No joint angles are better than wrong ones."""
    assert k.solve(k.downward_pose(np.array([1.2, 0.0, 0.1])), k.HOME_RAD) is None
