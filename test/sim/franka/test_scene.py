"""The compiled world has every thing at its place, and few enough faces to render."""

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_MODEL  # noqa: E402

from gr00t_ros.sim.assets import PANDA, require_assets  # noqa: E402
from gr00t_ros.sim.franka import scene  # noqa: E402
from gr00t_ros.sim.franka.kinematics import LOWER_RAD, UPPER_RAD  # noqa: E402
from gr00t_ros.sim.franka.layout import (  # noqa: E402
    CUBE_EDGE_M,
    EXTERIOR,
    draw_layout,  # noqa: E402
)
from gr00t_ros.sim.world import TIMESTEP_S  # noqa: E402

pytestmark = NEEDS_MODEL


@pytest.fixture(scope="module")
def world():
    """Seed 4's model and its data at the start."""
    model = scene.build_model(require_assets(PANDA), draw_layout(4))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_things_lie_where_the_layout_says(world):
    """Cubes on the table, the plate under nothing."""
    _, data = world
    drawn = draw_layout(4)
    for name, place in (("red_cube", drawn.red_cube_m), ("green_cube", drawn.green_cube_m)):
        assert np.allclose(data.body(name).xpos, [*place, CUBE_EDGE_M / 2])
    assert np.allclose(data.body(scene.PLATE).xpos[:2], drawn.blue_plate_m)


def test_the_arm_has_the_fr3s_limits(world):
    """Not the Panda's: the embodiment is an FR3."""
    model, _ = world
    ranges = np.array([model.joint(f"joint{number}").range for number in range(1, 8)])
    assert np.allclose(ranges, np.column_stack([LOWER_RAD, UPPER_RAD]))


def test_the_exterior_camera_is_the_calibrated_one(world):
    """Position, axes and field of view are the constants that the policy has."""
    model, data = world
    camera = model.camera(scene.EXTERIOR_CAMERA).id
    assert np.allclose(data.cam_xpos[camera], EXTERIOR.position_m)
    assert np.allclose(data.cam_xmat[camera].reshape(3, 3), EXTERIOR.axes, atol=1e-6)
    assert model.cam_fovy[camera] == pytest.approx(np.degrees(EXTERIOR.vertical_fov_rad))


def test_the_wrist_camera_moves_with_the_hand(world):
    """It looks along the fingers."""
    model, data = world
    camera = model.camera(scene.WRIST_CAMERA).id
    towards = -data.cam_xmat[camera].reshape(3, 3)[:, 2]
    assert np.allclose(towards, data.body("link7").xmat.reshape(3, 3)[:, 2], atol=1e-6)


def test_the_robot_has_few_enough_faces_to_render(world):
    """The installed meshes are the simplified ones."""
    model, _ = world
    assert model.opt.timestep == TIMESTEP_S
    assert 20_000 < model.mesh_facenum.sum() < 60_000
