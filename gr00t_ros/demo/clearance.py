"""The smallest distance of a simulated robot's record to the things of a scene."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gr00t_ros.collide.description import disabled_pairs, read_description
from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.files import load_scene, read_mesh
from gr00t_ros.sim.description import RobotDescription
from gr00t_ros.sim.record import Record
from gr00t_ros.sim.urdf import robot_srdf, robot_urdf

_EVERY_ROWS = 5  # of the 1 kHz record, from one distance to the next


class SmallestDistance(NamedTuple):
    """The smallest distance, m, and the two things that it is between; wanted contacts left out."""

    distance_m: float
    between: str


def min_clearance(record: Record, robot: RobotDescription, scene: str) -> SmallestDistance:
    """The smallest distance of a record's commanded positions in the scene of that name or path.

    Looks at every fifth row: at 1 rad/s a distance is right within 5 mrad times the reach.
    """
    model = robot.build_model(0)
    disabled = disabled_pairs(robot_srdf(robot, model), robot.name)
    description = read_description(robot_urdf(robot, model), robot.name, read_mesh, disabled)
    held = {
        joint.name: joint.ready_rad
        for joint in robot.joints
        if joint.name not in record.joint_names
    }
    engine = CollisionEngine(description, load_scene(scene), record.joint_names, held=held)
    judged = [index for index, pair in enumerate(engine.pairs) if pair.contact is None]
    smallest = SmallestDistance(float("inf"), "")
    for position in record.position[::_EVERY_ROWS]:
        distance = engine.distances(position, smallest.distance_m)[judged]
        nearest = int(np.argmin(distance))
        if distance[nearest] < smallest.distance_m:
            smallest = SmallestDistance(
                float(distance[nearest]), str(engine.pairs[judged[nearest]])
            )
    return smallest
