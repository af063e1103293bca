"""The simulated robots' URDFs have the distances of their own MuJoCo models."""

import mujoco
import numpy as np
import pytest

from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.files import load_description
from gr00t_ros.sim import urdf
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.robots import ROBOTS


def engine_of(robot, folder):
    """The engine of the robot's URDF and SRDF, for its commanded joints; others are at 0."""
    description = load_description(*urdf.write_description(robot, folder))
    names = robot.commanded_names
    held = {name: 0.0 for name in description.joint_names if name not in names}
    return CollisionEngine(description, None, names, held=held)


def own_distances(robot, model, data, pairs):
    """The distances of these pairs of links in the robot's own model, at its present state."""
    bodies = {urdf.link_name(robot, model, b): b for b in urdf.robot_bodies(robot, model)}
    geoms = {name: urdf.collision_geoms(robot, model, body) for name, body in bodies.items()}
    return np.array(
        [
            min(
                mujoco.mj_geomDistance(model, data, one, other, 10.0, None)
                for one in geoms[pair.first]
                for other in geoms[pair.second]
            )
            for pair in pairs
        ]
    )


@pytest.mark.parametrize("name", ROBOTS)
def test_distances_agree_with_the_robots_own_model(name, tmp_path):
    """Within 1e-6 m at random positions of all joints, where the linkage follows its mimics."""
    robot = ROBOTS[name]
    engine = engine_of(robot, tmp_path)
    model = robot.build_model(0)
    data = mujoco.MjData(model)
    lower, upper = engine.description.ranges(robot.commanded_names)
    random = np.random.default_rng(4)
    for _ in range(8):
        q = random.uniform(lower, upper)
        position = dict(zip(robot.commanded_names, q, strict=True))
        for link in engine.description.links.values():
            joint = link.joint
            if joint.name is not None:
                known = (one.model_name for one in robot.joints if one.name == joint.name)
                row = model.joint(next(known, joint.name)).qposadr[0]
                data.qpos[row] = joint.scale * position.get(joint.follows, 0.0) + joint.offset
        mujoco.mj_kinematics(model, data)
        found, wanted = engine.distances(q), own_distances(robot, model, data, engine.pairs)
        apart = (found > 0.0) | (wanted > 0.0)
        assert found[apart] == pytest.approx(wanted[apart], abs=1e-6)


def test_the_frankas_gripper_is_where_the_simulation_has_it(tmp_path):
    """Within 1 mm with the linkage at rest, open, half closed and closed."""
    robot = ROBOTS["franka"]
    engine = engine_of(robot, tmp_path)
    simulation = Simulation(robot, 0)
    targets = robot.ready_rad
    for closed_rad in (0.0, 0.4, 0.75):
        targets[-1] = closed_rad
        simulation.set_targets(targets)
        for _ in range(800):
            simulation.step()
        _, position, _ = simulation.joint_state()
        q = position[robot.columns(robot.commanded_names)]
        wanted = own_distances(robot, simulation.model, simulation.data, engine.pairs)
        assert engine.distances(q) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("name", ROBOTS)
def test_the_ready_pose_is_clear_of_itself(name, tmp_path):
    """No pair is within its margin where the demos start: the SRDF takes out what must be."""
    robot = ROBOTS[name]
    engine = engine_of(robot, tmp_path)
    found = engine.distances(robot.ready_rad[robot.columns(robot.commanded_names)])
    near = {str(pair): round(float(d), 4) for pair, d in zip(engine.pairs, found, strict=True)}
    assert {pair: d for pair, d in near.items() if d < 0.005} == {}
