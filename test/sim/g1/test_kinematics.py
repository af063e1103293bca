"""The G1's kinematics agree with MuJoCo's, with differences, and with the embodiment file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_G1  # noqa: E402

from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.sim.g1 import kinematics as k  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import G1  # noqa: E402

RATIOS = st.lists(st.floats(0.05, 0.95), min_size=7, max_size=7).map(np.array)
SIDE = st.sampled_from(k.SIDES)
WAIST = st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3).map(np.array)


@pytest.fixture(scope="module")
def simulation():
    """Any seed: the robot is the same."""
    return Simulation(G1, 0)


def arm_at(side: str, ratios: np.ndarray) -> np.ndarray:
    """Joints at these shares of that arm's ranges."""
    ranges = k.ARM_RANGES[side]
    return ranges.lower_rad + ratios * (ranges.upper_rad - ranges.lower_rad)


@NEEDS_G1
@settings(max_examples=25)
@given(SIDE, RATIOS, WAIST)
def test_palm_and_camera_are_where_mujoco_has_them(simulation, side, ratios, waist):
    """Waist, arm and the head's camera, anywhere in the ranges."""
    import mujoco

    arm = arm_at(side, ratios)
    joints = G1.ready_rad
    joints[G1.columns(k.WAIST_JOINTS)] = waist
    joints[G1.columns(k.ARM_JOINTS[side])] = arm
    simulation.data.qpos[simulation._qpos] = joints
    mujoco.mj_kinematics(simulation.model, simulation.data)
    mujoco.mj_camlight(simulation.model, simulation.data)
    wrist = simulation.data.body(f"{side}_wrist_yaw_link")
    palm = wrist.xpos + wrist.xmat.reshape(3, 3)[:, 0] * k.PALM_M
    assert np.allclose(k.hand(side, waist, arm).position_m, palm, atol=2e-4)
    number = simulation.model.camera("ego_view").id
    camera = k.ego_camera(waist)
    assert np.allclose(camera.position_m, simulation.data.cam_xpos[number], atol=1e-6)
    axes = simulation.data.cam_xmat[number].reshape(3, 3)
    assert np.allclose(camera.axes, axes, atol=1e-6)
    fov = np.radians(simulation.model.cam_fovy[number])
    assert fov == pytest.approx(camera.vertical_fov_rad)


@settings(max_examples=25)
@given(SIDE, RATIOS, WAIST)
def test_the_jacobian_is_the_derivative(side, ratios, waist):
    """Central differences of the palm agree with it."""
    arm, step = arm_at(side, ratios), 1e-6
    jacobian = k.hand(side, waist, arm).jacobian
    for column, offset in enumerate(step * np.eye(7)):
        after, before = k.hand(side, waist, arm + offset), k.hand(side, waist, arm - offset)
        slope = (after.position_m - before.position_m) / (2.0 * step)
        assert np.allclose(jacobian[:, column], slope, atol=1e-6)


@settings(max_examples=25)
@given(st.floats(0.28, 0.35), st.floats(0.0, 0.22), st.floats(0.045, 0.13), SIDE)
def test_what_is_solved_is_reached_inside_the_limits(x, y, z, side):
    """Everywhere over the cubes' places, from the ready pose, with either hand on its side."""
    wanted = np.array([x, y if side == "left" else -y, z])
    arm = k.solve(side, wanted, np.zeros(3), k.READY_ARM_RAD[side])
    assert arm is not None
    ranges = k.ARM_RANGES[side]
    assert np.all((arm >= ranges.lower_rad + k.MARGIN_RAD) & (arm <= ranges.upper_rad))
    assert np.linalg.norm(k.hand(side, np.zeros(3), arm).position_m - wanted) < 1e-3


def test_out_of_reach_is_none():
    """A metre and a half ahead."""
    assert k.solve("left", np.array([1.5, 0.0, 0.0]), np.zeros(3), k.READY_ARM_RAD["left"]) is None


@pytest.mark.parametrize("name", ["unitree_g1", "unitree_g1_n16"])
def test_the_embodiment_file_has_the_same_names_and_limits(name):
    """Three descriptions of one robot: file, kinematics, simulated controllers."""
    embodiment = load_embodiment(name)
    assert embodiment.joint_names == G1.commanded_names
    limits = embodiment.limits
    for side in k.SIDES:
        columns = [limits.names.index(joint) for joint in k.ARM_JOINTS[side]]
        assert np.array_equal(limits.lower[columns], k.ARM_RANGES[side].lower_rad)
        assert np.array_equal(limits.upper[columns], k.ARM_RANGES[side].upper_rad)
        assert np.array_equal(limits.velocity[columns], k.ARM_RANGES[side].velocity_rad_s)
    measured = {joint for stream in embodiment.state for joint in stream.names}
    assert measured == set(G1.joint_names)
