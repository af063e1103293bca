"""A picture of robot and scene: what the collision check sees, and not what a camera sees."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import Description
from gr00t_ros.collide.model import Compiled, compile_model, engine_module
from gr00t_ros.collide.pairs import Body
from gr00t_ros.collide.scene import KEEP_IN, KEEP_OUT, Scene
from gr00t_ros.errors import SettingsError

Pixels = NDArray[np.uint8]
Rgba = tuple[float, float, float, float]

SIZE_PX: Final = (480, 640)
VIEWS_DEG: Final = (140.0, 220.0)
"""Azimuths of the views, which stand side by side: from the robot's front left and front right."""

_LINK: Final[Rgba] = (0.75, 0.76, 0.78, 1.0)
_CARRIED: Final[Rgba] = (0.20, 0.55, 0.85, 1.0)
_OBJECT: Final[Rgba] = (0.70, 0.55, 0.35, 1.0)
_FLAT: Final[Rgba] = (0.45, 0.50, 0.55, 1.0)
_KEEP_OUT: Final[Rgba] = (0.90, 0.15, 0.10, 0.35)
_KEEP_IN: Final[Rgba] = (0.20, 0.70, 0.30, 0.10)
_NEAR: Final[Rgba] = (0.95, 0.60, 0.05, 1.0)


def draw(
    description: Description,
    scene: Scene | None,
    bodies: dict[str, Body],
    positions: dict[str, float],
    marked: Collection[str] = (),
) -> Pixels:
    """(H, W, 3) RGB of all bodies at joint positions by name; `marked` bodies are orange.

    Raises SettingsError where no picture can be rendered on this machine.
    """
    mujoco = engine_module()
    compiled = compile_model(description, bodies)
    _colour(compiled, scene, bodies, marked)
    model = compiled.model
    model.vis.headlight.ambient[:], model.vis.headlight.diffuse[:] = 0.5, 0.55
    model.vis.global_.offheight, model.vis.global_.offwidth = SIZE_PX
    data = mujoco.MjData(model)
    for link in description.links.values():
        joint = link.joint
        if joint.name is not None:
            row = int(model.joint(joint.name).qposadr[0])
            data.qpos[row] = joint.scale * positions[joint.follows] + joint.offset
    mujoco.mj_forward(model, data)
    try:
        renderer = mujoco.Renderer(model, *SIZE_PX)
    except Exception as error:  # each backend raises its own: no EGL, no display
        text = " ".join(str(error).split())
        raise SettingsError(
            f"no picture can be rendered here ({text:.200}); set MUJOCO_GL=egl and install "
            "libegl1 libegl-mesa0 libgl1-mesa-dri"
        ) from error
    camera = _camera(mujoco, compiled, data, bodies)
    views = []
    for azimuth in VIEWS_DEG:
        camera.azimuth = azimuth
        renderer.update_scene(data, camera)
        views.append(renderer.render().copy())
    renderer.close()
    return np.concatenate(views, axis=1)


def _colour(
    compiled: Compiled, scene: Scene | None, bodies: dict[str, Body], marked: Collection[str]
) -> None:
    roles = {} if scene is None else {solid.name: solid.role for solid in scene.solids}
    by_role = {KEEP_OUT: _KEEP_OUT, KEEP_IN: _KEEP_IN}
    for name, body in bodies.items():
        rgba = _LINK if body.link == name else _CARRIED
        if body.link is None:
            flat = body.shapes[0].kind == "plane"
            rgba = by_role.get(roles[name], _FLAT if flat else _OBJECT)
        if name in marked:
            rgba = (*_NEAR[:3], rgba[3])
        for geom in compiled.geoms[name]:
            compiled.model.geom_rgba[geom] = rgba


def _camera(mujoco: Any, compiled: Compiled, data: Any, bodies: dict[str, Body]) -> Any:
    """A camera that sees the robot with some room around it."""
    own = [g for name, body in bodies.items() if body.link for g in compiled.geoms[name]]
    places = data.geom_xpos[own]
    middle = 0.5 * (places.min(axis=0) + places.max(axis=0))
    radius = float(np.linalg.norm(places - middle, axis=1).max()) + 0.3
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = middle
    camera.distance, camera.elevation = 2.6 * radius, -20.0
    return camera
