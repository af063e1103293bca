"""The G1's world has the right layout, servos and hands, and its task is judged rightly."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_G1  # noqa: E402

from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.sim.g1 import kinematics as k  # noqa: E402
from gr00t_ros.sim.g1 import layout  # noqa: E402
from gr00t_ros.sim.g1.scene import HELD_S, NEAR_M, Reach  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import G1  # noqa: E402


@pytest.fixture
def simulation():
    """Seed 0 at its start."""
    return Simulation(G1, 0)


def run(simulation: Simulation, seconds: float) -> None:
    """Step on with the targets as they are."""
    for _ in range(round(seconds / 0.002)):
        simulation.step()


@pytest.mark.parametrize("seed", range(50))
def test_cubes_lie_within_reach_and_apart(seed):
    """Red and blue on different sides: exchanged colours send the other hand."""
    drawn = layout.draw_layout(seed)
    assert drawn == layout.draw_layout(seed)
    places = np.array(drawn.cubes_m)
    assert np.all((places[:, 0] >= layout.REACH_X_M[0]) & (places[:, 0] <= layout.REACH_X_M[1]))
    assert np.all(np.abs(places[:, 1]) <= layout.REACH_Y_M[1])
    assert places[0, 1] * places[1, 1] < 0.0
    assert min(abs(places[0, 1]), abs(places[1, 1])) > layout.OFF_MIDDLE_M
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(places[one] - places[other]) > layout.APART_M


@NEEDS_G1
def test_it_stands_where_it_was_put_with_29_joints_and_two_hands(simulation):
    """Pelvis fixed, gravity compensated: after a second nothing has moved."""
    names = simulation.joint_state()[0]
    assert len(names) == 29 + 14
    assert names[0] == "left_hip_pitch_joint"
    assert names[28] == "right_wrist_yaw_joint"
    run(simulation, 1.0)
    assert np.abs(simulation.joint_state()[1] - G1.ready_rad).max() < 1e-3
    assert np.allclose(simulation.data.body("pelvis").xpos, 0.0)


@NEEDS_G1
def test_arms_follow_what_the_embodiment_allows_within_50_milliradians(simulation):
    """Both arms and the waist swing at half of their limits, gently begun."""
    limits = load_embodiment("unitree_g1").limits
    moving = (*k.ARM_JOINTS["left"], *k.ARM_JOINTS["right"], *k.WAIST_JOINTS)
    speed = 0.5 * limits.velocity[[limits.names.index(name) for name in moving]]
    columns, amplitude = G1.columns(moving), 0.2
    targets, worst = G1.ready_rad, 0.0
    for _ in range(1500):
        swing = 0.5 * amplitude * (1.0 - np.cos(2.0 * speed / amplitude * simulation.time))
        targets[columns] = G1.ready_rad[columns] + swing * np.where(
            np.array([name.startswith("right") for name in moving]), -1.0, 1.0
        )
        simulation.set_targets(targets)
        simulation.step()
        off = simulation.joint_state()[1][columns] - targets[columns]
        worst = max(worst, float(np.abs(off).max()))
    assert worst < 0.05


@NEEDS_G1
def test_fingers_close_over_the_ranges_of_the_embodiment(simulation):
    """Each hand to the far end of each joint."""
    limits = load_embodiment("unitree_g1").limits
    names = (*k.HAND_JOINTS["left"], *k.HAND_JOINTS["right"])
    rows = [limits.names.index(name) for name in names]
    far = np.where(-limits.lower[rows] > limits.upper[rows], limits.lower[rows], limits.upper[rows])
    targets = G1.ready_rad
    targets[G1.columns(names)] = 0.8 * far
    simulation.set_targets(targets)
    run(simulation, 1.5)
    reached = simulation.joint_state()[1][G1.columns(names)]
    assert np.abs(reached - 0.8 * far).max() < 0.1


@NEEDS_G1
def test_a_hand_must_stay_at_the_right_cube_to_succeed(simulation):
    """Near for a second, and no other cube nearer."""
    task = Reach(simulation)
    assert not task.report()["success"]
    cube, palm = simulation.model.joint("red_cube").qposadr[0], layout.draw_layout(0).cubes_m[0]
    side = "left" if palm[1] > 0 else "right"
    wrist = simulation.data.body(f"{side}_wrist_yaw_link")
    beside = wrist.xpos + wrist.xmat.reshape(3, 3) @ [k.PALM_M, 0.0, 0.8 * NEAR_M]

    def lay(name: str) -> dict[str, object]:
        at = simulation.model.joint(name).qposadr[0]
        simulation.data.qpos[at : at + 3] = beside
        simulation.data.qvel[:] = 0.0
        simulation.step()
        return task.report()

    assert not lay("red_cube")["success"]
    for _ in range(round(HELD_S / 0.002)):
        report = lay("red_cube")
    assert report["success"], report
    simulation.data.qpos[cube] += 0.5
    assert not lay("blue_cube")["success"]
