"""A simulated robot's own model as a URDF with its collision shapes, and as an SRDF.

    python3 -m gr00t_ros.sim.urdf franka --output DIR

writes DIR/franka.urdf and DIR/franka.srdf. Meshes stay in the installed model's folder, named by
file://. Joints have their ROS names; joints of a gripper's linkage follow as `mimics` has them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.sim.description import FrameLink, RobotDescription
from gr00t_ros.sim.robots import find_robot

Floats = NDArray[np.float64]
Element = ElementTree.Element

_KINDS = {
    int(mujoco.mjtGeom.mjGEOM_BOX): "box",
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): "capsule",
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): "cylinder",
    int(mujoco.mjtGeom.mjGEOM_MESH): "mesh",
}


def robot_urdf(robot: RobotDescription, model: Any) -> str:
    """The URDF of a robot in its compiled world."""
    root = ElementTree.Element("robot", name=robot.name)
    bodies = robot_bodies(robot, model)
    base = f"{robot.link_prefix}base"
    if model.body_jntnum[bodies[0]]:  # its first link moves: a URDF has a base link before it
        ElementTree.SubElement(root, "link", name=base)
    for body in bodies:
        link = ElementTree.SubElement(root, "link", name=link_name(robot, model, body))
        _add_inertial(link, model, body)
        for geom in collision_geoms(robot, model, body):
            _add_collision(link, model, geom)
        parent = int(model.body_parentid[body])
        if parent in bodies:
            _add_joint(root, robot, model, body, link_name(robot, model, parent))
        elif model.body_jntnum[body]:
            _add_joint(root, robot, model, body, base)
    for frame in robot.frames:
        _add_frame(root, frame)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def robot_srdf(robot: RobotDescription, model: Any) -> str:
    """The SRDF: pairs that the model excludes, and pairs of links that fingers alone move apart."""
    root = ElementTree.Element("robot", name=robot.name)
    bodies = robot_bodies(robot, model)
    disabled: dict[tuple[int, int], str] = {}
    for one, other in combinations(bodies, 2):
        between = _joints_above(model, one) ^ _joints_above(model, other)
        if between and all(_is_finger(robot, model, joint) for joint in between):
            disabled[one, other] = "Fingers"
    for signature in model.exclude_signature:
        pair = sorted((int(signature) >> 16, int(signature) & 0xFFFF))
        disabled.setdefault((pair[0], pair[1]), "Excluded by the model")
    for (one, other), reason in disabled.items():
        ElementTree.SubElement(
            root,
            "disable_collisions",
            link1=link_name(robot, model, one),
            link2=link_name(robot, model, other),
            reason=reason,
        )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def robot_bodies(robot: RobotDescription, model: Any) -> list[int]:
    """The bodies of the robot in the world, each after its parent."""
    roots = set()
    for joint in robot.joints:
        body = int(model.jnt_bodyid[model.joint(joint.model_name).id])
        roots.add(int(model.body_rootid[body]))
    return [body for body in range(1, model.nbody) if int(model.body_rootid[body]) in roots]


def link_name(robot: RobotDescription, model: Any, body: int) -> str:
    """The name of a body's link."""
    return f"{robot.link_prefix}{model.body(body).name}"


def collision_geoms(robot: RobotDescription, model: Any, body: int) -> list[int]:
    """The geoms of a body that collide; all of them where no geom of the robot collides."""
    colliding = (model.geom_contype > 0) | (model.geom_conaffinity > 0)
    if not colliding[np.isin(model.geom_bodyid, robot_bodies(robot, model))].any():
        colliding[:] = True
    return [geom for geom in np.flatnonzero(model.geom_bodyid == body).tolist() if colliding[geom]]


def _add_inertial(link: Element, model: Any, body: int) -> None:
    inertial = ElementTree.SubElement(link, "inertial")
    at = model.body_ipos[body] - _shift(model, body)
    ElementTree.SubElement(inertial, "origin", _origin(at, _matrix(model.body_iquat[body])))
    ElementTree.SubElement(inertial, "mass", value=f"{model.body_mass[body]:.10g}")
    about = dict(zip(("ixx", "iyy", "izz"), model.body_inertia[body], strict=True))
    inertia = {name: f"{value:.10g}" for name, value in about.items()}
    ElementTree.SubElement(inertial, "inertia", inertia, ixy="0", ixz="0", iyz="0")


def _add_collision(link: Element, model: Any, geom: int) -> None:
    kind = _KINDS[int(model.geom_type[geom])]
    at, axes = model.geom_pos[geom].copy(), _matrix(model.geom_quat[geom])
    if kind == "mesh":  # the compiler moved its points to their centre
        mesh = int(model.geom_dataid[geom])
        axes = axes @ _matrix(model.mesh_quat[mesh]).T
        at = at - axes @ model.mesh_pos[mesh]
    at = at - _shift(model, int(model.geom_bodyid[geom]))
    collision = ElementTree.SubElement(link, "collision")
    ElementTree.SubElement(collision, "origin", _origin(at, axes))
    geometry = ElementTree.SubElement(collision, "geometry")
    size = model.geom_size[geom]
    if kind == "mesh":
        start = int(model.mesh_pathadr[mesh])
        file = model.paths[start : model.paths.index(b"\0", start)].decode()
        scale = _numbers(model.mesh_scale[mesh])
        ElementTree.SubElement(geometry, kind, filename=f"file://{file}", scale=scale)
    elif kind == "box":
        ElementTree.SubElement(geometry, kind, size=_numbers(2.0 * size))
    elif kind == "sphere":
        ElementTree.SubElement(geometry, kind, radius=f"{size[0]:.10g}")
    else:
        ElementTree.SubElement(
            geometry, kind, radius=f"{size[0]:.10g}", length=f"{2.0 * size[1]:.10g}"
        )


def _add_joint(root: Element, robot: RobotDescription, model: Any, body: int, parent: str) -> None:
    link = link_name(robot, model, body)
    number = int(model.body_jntadr[body])
    name = f"{link}_fixed" if number < 0 else _ros_name(robot, model, number)
    slides = number >= 0 and model.jnt_type[number] == mujoco.mjtJoint.mjJNT_SLIDE
    kind = "fixed" if number < 0 else "prismatic" if slides else "revolute"
    joint = ElementTree.SubElement(root, "joint", name=name, type=kind)
    ElementTree.SubElement(joint, "parent", link=parent)
    ElementTree.SubElement(joint, "child", link=link)
    axes = _matrix(model.body_quat[body])
    at = model.body_pos[body] + axes @ _shift(model, body)
    at = at - _shift(model, int(model.body_parentid[body]))
    ElementTree.SubElement(joint, "origin", _origin(at, axes))
    if number < 0:
        return
    ElementTree.SubElement(joint, "axis", xyz=_numbers(model.jnt_axis[number]))
    lower, upper = model.jnt_range[number].tolist()
    if model.jnt_limited[number]:
        ElementTree.SubElement(
            *(joint, "limit"),
            lower=f"{lower:.10g}",
            upper=f"{upper:.10g}",
            effort="0",
            velocity="0",
        )
    mimic = next((one for one in robot.mimics if one.joint == name), None)
    if mimic is not None:
        ElementTree.SubElement(
            *(joint, "mimic"),
            joint=mimic.follows,
            multiplier=f"{mimic.scale:.10g}",
            offset=f"{mimic.offset:.10g}",
        )


def _add_frame(root: Element, frame: FrameLink) -> None:
    ElementTree.SubElement(root, "link", name=frame.link)
    joint = ElementTree.SubElement(root, "joint", name=f"{frame.link}_fixed", type="fixed")
    ElementTree.SubElement(joint, "parent", link=frame.parent)
    ElementTree.SubElement(joint, "child", link=frame.link)
    ElementTree.SubElement(joint, "origin", _origin(np.array(frame.offset_m), np.eye(3)))


def _shift(model: Any, body: int) -> Floats:
    """From a body's origin to its link's: a URDF's link begins at its joint."""
    number = int(model.body_jntadr[body])
    return np.zeros(3) if number < 0 else np.asarray(model.jnt_pos[number])


def _ros_name(robot: RobotDescription, model: Any, number: int) -> str:
    name = str(model.joint(number).name)
    return next((joint.name for joint in robot.joints if joint.model_name == name), name)


def _is_finger(robot: RobotDescription, model: Any, number: int) -> bool:
    name = _ros_name(robot, model, number)
    return name in robot.fingers or any(one.joint == name for one in robot.mimics)


def _joints_above(model: Any, body: int) -> set[int]:
    """The joints between the world and a body."""
    found: set[int] = set()
    while body > 0:
        first = int(model.body_jntadr[body])
        found |= set(range(first, first + int(model.body_jntnum[body])))
        body = int(model.body_parentid[body])
    return found


def _matrix(quaternion: Floats) -> Floats:
    found = np.empty(9)
    mujoco.mju_quat2Mat(found, quaternion)
    return found.reshape(3, 3)


def _origin(at: Floats, axes: Floats) -> dict[str, str]:
    """Attributes of an origin; rpy of a matrix whose pitch may be a quarter turn."""
    pitch = np.arctan2(-axes[2, 0], np.hypot(axes[0, 0], axes[1, 0]))
    if abs(abs(pitch) - np.pi / 2) > 1e-6:
        roll = np.arctan2(axes[2, 1], axes[2, 2])
        yaw = np.arctan2(axes[1, 0], axes[0, 0])
    else:  # roll and yaw turn about one axis: yaw takes all
        roll, yaw = 0.0, np.arctan2(-axes[0, 1], axes[1, 1])
    return {"xyz": _numbers(at), "rpy": _numbers(np.array([roll, pitch, yaw]))}


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.10g}" for value in values)


def write_description(robot: RobotDescription, folder: Path) -> tuple[Path, Path]:
    """Write NAME.urdf and NAME.srdf into a folder, and return their paths."""
    model = robot.build_model(0)
    urdf, srdf = folder / f"{robot.name}.urdf", folder / f"{robot.name}.srdf"
    urdf.write_text(robot_urdf(robot, model))
    srdf.write_text(robot_srdf(robot, model))
    return urdf, srdf


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gr00t_ros.sim.urdf", description=__doc__)
    parser.add_argument("robot", help="name of a simulated robot")
    parser.add_argument("--output", type=Path, default=Path(), help="folder (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        for path in write_description(find_robot(options.robot), options.output):
            print(path)
    except (SettingsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
