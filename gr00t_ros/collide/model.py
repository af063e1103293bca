"""Bodies as a MuJoCo model: links as bodies with joints, shapes as geoms, solids in the world.

Boxes become meshes of eight points. MuJoCo's own function for a capsule and a box is wrong for flat
boxes: in 4.0.0 it measured up to 0.28 m too much between a rod and a plate
(test/collide/test_engine.py). All other functions measure right in that test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import Description, Link, Shape
from gr00t_ros.collide.pairs import Body
from gr00t_ros.errors import SettingsError

Floats = NDArray[np.float64]

INSTALL: Final = "python3 -m pip install mujoco (rosdep key python3-mujoco-pip)"

_ITERATIONS: Final = 200
"""Of MuJoCo's distance algorithm: it measures too much where it ends early."""
_TOLERANCE: Final = 1e-9


class Compiled(NamedTuple):
    """A MuJoCo model, and the geoms of each body by its name."""

    model: Any
    geoms: Mapping[str, tuple[int, ...]]


def engine_module() -> Any:
    """The module mujoco; the SettingsError says how to install it."""
    try:
        import mujoco
    except ImportError as error:
        raise SettingsError(
            f"collision checks need MuJoCo ({error}); install it: {INSTALL}"
        ) from error
    return mujoco


def compile_model(description: Description, bodies: Mapping[str, Body]) -> Compiled:
    """The model of all bodies; raises SettingsError for shapes that MuJoCo refuses."""
    builder = _Builder(engine_module())
    for link in description.links.values():
        builder.add_link(link)
    for body in bodies.values():
        builder.add_body(body)
    try:
        model = builder.spec.compile()
    except ValueError as error:
        text = " ".join(str(error).split())
        raise SettingsError(f"{description.where}: MuJoCo refuses the shapes: {text}") from error
    geoms = {
        body.name: tuple(int(model.geom(f"{body.name} {i}").id) for i in range(len(body.shapes)))
        for body in bodies.values()
    }
    return Compiled(model, geoms)


def place_geom(model: Any, geom: int, shape: Shape) -> None:
    """Put a geom of the world where the shape is; the compiler moved a mesh to its own centre."""
    mujoco = engine_module()
    rotation, at = shape.rotation, shape.xyz_m
    mesh = int(model.geom_dataid[geom])
    if mesh >= 0:
        own = np.empty(9)
        mujoco.mju_quat2Mat(own, model.mesh_quat[mesh])
        at = at + rotation @ model.mesh_pos[mesh]
        rotation = rotation @ own.reshape(3, 3)
    model.geom_sameframe[geom] = 0  # else the place of a geom at its body's origin is not read
    model.geom_pos[geom] = at
    mujoco.mju_mat2Quat(model.geom_quat[geom], rotation.flatten())


def reshape_geom(model: Any, geom: int, mesh: int, shape: Shape) -> None:
    """Give a geom of the world the form and the place of another box, sphere or cylinder.

    mesh: the geom's own mesh, which was compiled from a box; its corners become those of the box.
    """
    mujoco = engine_module()
    types = mujoco.mjtGeom
    if shape.kind == "box":
        flat = np.empty(9)
        mujoco.mju_quat2Mat(flat, model.mesh_quat[mesh])
        own, at = flat.reshape(3, 3), model.mesh_pos[mesh]
        first = int(model.mesh_vertadr[mesh])
        corners = model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])]
        signs = np.sign(at + corners @ own.T)
        corners[:] = (0.5 * signs * np.array(shape.size_m) - at) @ own
        model.geom_type[geom], model.geom_dataid[geom] = int(types.mjGEOM_MESH), mesh
        lower, upper = corners.min(axis=0), corners.max(axis=0)
        half, model.geom_aabb[geom, :3] = 0.5 * (upper - lower), 0.5 * (upper + lower)
        model.geom_size[geom] = half
    else:
        round_one = types.mjGEOM_SPHERE if shape.kind == "sphere" else types.mjGEOM_CYLINDER
        model.geom_type[geom], model.geom_dataid[geom] = int(round_one), -1
        radius_m = shape.size_m[0]
        half = np.full(3, radius_m)
        half[2:] = [0.5 * length for length in shape.size_m[1:]] or radius_m
        model.geom_size[geom] = (radius_m, *(half[2:] if shape.kind == "cylinder" else [0.0]), 0.0)
        model.geom_aabb[geom, :3] = 0.0
    model.geom_aabb[geom, 3:] = half
    model.geom_rbound[geom] = float(np.linalg.norm(half))
    place_geom(model, geom, shape)


class _Builder:
    """Fills one MuJoCo specification."""

    def __init__(self, mujoco: Any) -> None:
        self._mujoco = mujoco
        self.spec = mujoco.MjSpec()
        self.spec.option.ccd_iterations = _ITERATIONS
        self.spec.option.ccd_tolerance = _TOLERANCE
        # Every body gets some mass: the compiler wants it, and nothing here moves by forces.
        self.spec.compiler.boundmass = self.spec.compiler.boundinertia = 1.0
        self._bodies: dict[str | None, Any] = {None: self.spec.worldbody}

    def add_link(self, link: Link) -> None:
        joint = link.joint
        body = self._bodies[link.parent].add_body(
            name=link.name, pos=joint.xyz_m, quat=self._quaternion(joint.rotation)
        )
        self._bodies[link.name] = body
        if joint.name is not None:
            kind = "mjJNT_SLIDE" if joint.slides else "mjJNT_HINGE"
            body.add_joint(
                name=joint.name, type=getattr(self._mujoco.mjtJoint, kind), axis=joint.axis
            )

    def add_body(self, body: Body) -> None:
        for index, shape in enumerate(body.shapes):
            self._add_shape(self._bodies[body.link], f"{body.name} {index}", shape)

    def _add_shape(self, body: Any, name: str, shape: Shape) -> None:
        types = self._mujoco.mjtGeom
        place = {"name": name, "pos": shape.xyz_m, "quat": self._quaternion(shape.rotation)}
        if shape.kind == "plane":
            body.add_geom(type=types.mjGEOM_PLANE, size=(0.0, 0.0, 1.0), **place)
        elif shape.kind in ("box", "mesh"):
            mesh = self.spec.add_mesh(name=name, uservert=shape.core[0].flatten())
            mesh.inertia = self._mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # flat ones as well
            body.add_geom(type=types.mjGEOM_MESH, meshname=name, **place)
        else:
            half = [0.5 * length for length in shape.size_m[1:]]
            size = [shape.size_m[0], *half, 0.0, 0.0][:3]
            body.add_geom(type=getattr(types, f"mjGEOM_{shape.kind.upper()}"), size=size, **place)

    def _quaternion(self, rotation: Floats) -> Floats:
        found = np.empty(4)
        self._mujoco.mju_mat2Quat(found, rotation.flatten())
        return found
