"""The torques that weight and speed of a robot's links need, by its description.

MuJoCo computes them (recursive Newton-Euler). The base stands upright and does not move. Friction,
payload and accelerations are not in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from xml.etree import ElementTree

import numpy as np

from gr00t_ros.collide.model import engine_module
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.urdf.text import urdf_root

_LEAST_KG = 0.1
"""Mass of all moving links below which a description has no masses worth the name."""


class InverseDynamics:
    """The dynamics of one description."""

    def __init__(self, urdf: str, where: str) -> None:
        """Read the links' masses from the text of a URDF; `where` names it in messages.

        Raises SettingsError without MuJoCo, and for a description without masses.
        """
        self._mujoco = mujoco = engine_module()
        root = urdf_root(urdf, where)
        for link in root.findall("link"):
            for shape in (*link.findall("visual"), *link.findall("collision")):
                link.remove(shape)
        _refuse_massless(root, where)
        try:
            spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
            # links without a mass, such as frames of tools
            spec.compiler.boundmass = spec.compiler.boundinertia = 1e-9
            spec.compiler.balanceinertia = True
            self._model = spec.compile()
        except ValueError as error:
            text = " ".join(str(error).split())
            raise SettingsError(f"{where}: MuJoCo refuses the masses: {text}") from error
        self._data = mujoco.MjData(self._model)
        joints = [self._model.joint(number) for number in range(self._model.njnt)]
        self._joints = {one.name: (int(one.qposadr[0]), int(one.dofadr[0])) for one in joints}

    @property
    def joints(self) -> Collection[str]:
        """The names of all joints that can move."""
        return self._joints.keys()

    def torques(self, motion: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """Nm or N of each joint, at position and velocity of the joints in `motion`.

        Other joints of the description rest at zero; joints that it does not have are not used.
        """
        mujoco, model, data = self._mujoco, self._model, self._data
        data.qpos[:], data.qvel[:] = 0.0, 0.0
        for name, (position, velocity) in motion.items():
            if name in self._joints:
                at, degree = self._joints[name]
                data.qpos[at], data.qvel[degree] = position, velocity
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        found = np.empty(model.nv)
        mujoco.mj_rne(model, data, 0, found)
        return {name: float(found[degree]) for name, (_, degree) in self._joints.items()}


def _refuse_massless(root: ElementTree.Element, where: str) -> None:
    try:
        total_kg = sum(float(one.get("value", "0")) for one in root.findall("link/inertial/mass"))
    except ValueError as error:
        raise SettingsError(f"{where}: a mass is no number ({error}), expected kg") from error
    if not total_kg > _LEAST_KG:  # true for NaN too
        raise SettingsError(
            f"{where}: got links of {total_kg:.3g} kg in all, expected masses (inertial) of the "
            "links: without them the efforts of a free motion are not known"
        )
