"""The simulated robot moves as commanded and measures truly; success is reported only when real."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_MODEL  # noqa: E402

from gr00t_ros.errors import SimulationError  # noqa: E402
from gr00t_ros.robot.rotation import matrix_from_quaternion  # noqa: E402
from gr00t_ros.sim import robots  # noqa: E402
from gr00t_ros.sim.franka.kinematics import HOME_RAD, VELOCITY_RAD_S, flange_pose  # noqa: E402
from gr00t_ros.sim.franka.layout import draw_layout  # noqa: E402
from gr00t_ros.sim.franka.scene import cube_on_plate  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import FRANKA, GRIPPER_CLOSED_RAD  # noqa: E402

pytestmark = NEEDS_MODEL


@pytest.fixture
def simulation():
    """Seed 0 at its start."""
    return Simulation(FRANKA, 0)


def run(simulation: Simulation, seconds: float) -> None:
    """Step on with the targets as they are."""
    for _ in range(round(seconds / 0.002)):
        simulation.step()


def test_it_starts_at_home_and_at_rest_under_its_ros_names(simulation):
    """Arm joints first, then the gripper, open."""
    names, position, velocity = simulation.joint_state()
    assert names == FRANKA.joint_names == (*(f"fr3_joint{n}" for n in range(1, 8)), names[7])
    assert names[7] == "robotiq_85_left_knuckle_joint"
    assert np.allclose(position, [*HOME_RAD, 0.0])
    assert np.allclose(velocity, 0.0)
    assert simulation.time == 0.0


def test_the_arm_does_not_sag(simulation):
    """Gravity is compensated: a held pose stays within a milliradian."""
    run(simulation, 1.0)
    assert simulation.time == pytest.approx(1.0)
    assert np.abs(simulation.joint_state()[1][:7] - HOME_RAD).max() < 1e-3


def test_the_arm_follows_half_of_its_velocity_limits_within_20_milliradians(simulation):
    """All joints at once, swinging at up to 0.5 of each limit and 6 rad/s^2."""
    amplitude = np.minimum((0.5 * VELOCITY_RAD_S) ** 2 / 6.0, 0.3)
    omega = np.minimum(0.5 * VELOCITY_RAD_S / amplitude, np.sqrt(6.0 / amplitude))
    worst = 0.0
    for _ in range(1500):
        target = HOME_RAD + amplitude * (1.0 - np.cos(omega * simulation.time)) * [
            1,
            1,
            1,
            1,
            1,
            1,
            -1,
        ]
        simulation.set_targets(np.append(target, 0.0))
        simulation.step()
        if simulation.time > 0.2:
            worst = max(worst, np.abs(simulation.joint_state()[1][:7] - target).max())
    assert worst < 0.025


def test_the_gripper_closes_and_opens_over_its_whole_range(simulation):
    """0 is open, 0.8 rad is closed, and a target beyond is the end of the range."""
    simulation.set_targets(np.append(HOME_RAD, 2.0))
    run(simulation, 1.5)
    assert simulation.joint_state()[1][7] == pytest.approx(GRIPPER_CLOSED_RAD, abs=0.03)
    simulation.set_targets(np.append(HOME_RAD, 0.0))
    run(simulation, 1.5)
    assert simulation.joint_state()[1][7] == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_target_that_is_no_number_is_refused_and_the_last_one_held(simulation, wrong):
    """What came before stays commanded."""
    with pytest.raises(ValueError, match="finite"):
        simulation.set_targets(np.full(8, wrong))
    with pytest.raises(ValueError, match="finite"):
        simulation.set_targets(np.append(HOME_RAD, wrong))
    run(simulation, 0.2)
    assert np.abs(simulation.joint_state()[1][:7] - HOME_RAD).max() < 1e-3


def test_the_hands_pose_is_the_flanges(simulation):
    """fr3_link8 in fr3_link0, quaternion x, y, z, w."""
    position, quaternion = simulation.pose(FRANKA.poses[0])
    expected = flange_pose(HOME_RAD)
    assert np.allclose(position, expected[:3, 3], atol=1e-6)
    assert np.allclose(matrix_from_quaternion(quaternion), expected[:3, :3], atol=1e-6)


def test_positions_are_a_copy(simulation):
    """What the cameras are handed does not move on."""
    before = simulation.positions()
    kept = before.copy()
    simulation.set_targets(FRANKA.ready_rad + 0.1)
    run(simulation, 0.2)
    assert np.array_equal(before, kept)
    assert not np.array_equal(simulation.positions(), kept)


def cube_beside_plates_middle(monkeypatch, offset_m: float) -> Simulation:
    """A world that starts with the red cube `offset_m` from the plate's middle."""
    drawn = draw_layout(0)
    x, y = drawn.blue_plate_m
    moved = replace(drawn, red_cube_m=(x + offset_m, y))
    monkeypatch.setattr(robots, "franka_layout", lambda seed: moved)
    return Simulation(FRANKA, 0)


@pytest.mark.parametrize(
    ("offset_m", "gripper_rad", "success"),
    [(0.02, 0.0, True), (0.15, 0.0, False), (0.02, 0.8, False)],
    ids=["on the plate", "beside it", "gripper closed"],
)
def test_success_is_a_resting_cube_on_the_plate_and_an_open_gripper(
    monkeypatch, offset_m, gripper_rad, success
):
    """All three, after things have settled."""
    simulation = cube_beside_plates_middle(monkeypatch, offset_m)
    simulation.set_targets(np.append(HOME_RAD, gripper_rad))
    run(simulation, 1.0)
    assert cube_on_plate(simulation) is success


def test_a_cube_that_does_not_rest_yet_is_no_success(monkeypatch):
    """It starts inside the plate, which pushes it up first."""
    simulation = cube_beside_plates_middle(monkeypatch, 0.02)
    assert not cube_on_plate(simulation)
    run(simulation, 1.0)
    assert cube_on_plate(simulation)


def test_a_blocked_arm_stays_and_a_freed_one_follows(simulation):
    """Whatever the servos push."""
    simulation.block_arm(True)
    simulation.set_targets(np.append(HOME_RAD + 0.2, 0.0))
    run(simulation, 1.0)
    assert np.abs(simulation.joint_state()[1][:7] - HOME_RAD).max() < 0.01
    simulation.block_arm(False)
    run(simulation, 1.0)
    assert np.abs(simulation.joint_state()[1][:7] - HOME_RAD - 0.2).max() < 0.01


def test_an_arm_that_is_blocked_in_motion_stops_there(simulation):
    """Within milliradians, and the numbers stay sound when it is freed."""
    for _ in range(500):
        swing = 0.4 * np.sin(2.0 * simulation.time)
        simulation.set_targets(np.append(HOME_RAD + swing, 0.0))
        simulation.step()
    there = simulation.joint_state()[1][:7].copy()
    assert np.abs(simulation.joint_state()[2][:7]).max() > 0.2
    simulation.block_arm(True)
    run(simulation, 0.5)
    assert np.abs(simulation.joint_state()[1][:7] - there).max() < 0.01
    simulation.block_arm(False)
    run(simulation, 1.0)
    assert np.abs(simulation.joint_state()[1][:7] - HOME_RAD - swing).max() < 0.01


def test_a_simulation_that_is_unstable_is_an_error(simulation):
    """MuJoCo says a line on stderr, and starts a new world."""
    simulation.data.qvel[0] = 1e12
    with pytest.raises(SimulationError, match="unstable"):
        simulation.step()


def test_cubes_that_are_put_back_lie_where_the_layout_had_them(simulation):
    """At rest, however far one was thrown."""
    before = simulation.positions()
    simulation.data.qpos[simulation.model.joint("red_cube").qposadr[0]] += 0.3
    simulation.put_cubes_back()
    assert np.allclose(simulation.positions(), before)
