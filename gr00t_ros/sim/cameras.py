"""Pictures of the simulated world, rendered from a copy of its state.

Each `Cameras` has its own GL context and belongs to the thread that made it; the simulation may
step on in another meanwhile. It never reads the simulation: it is handed its positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray


class Cameras:
    """Renders the model's cameras; use it, and close it, in one thread."""

    def __init__(self, model: mujoco.MjModel, height_px: int, width_px: int) -> None:
        # The buffer's size and samples are read from the model when the context is made.
        model.vis.global_.offheight = max(height_px, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width_px, model.vis.global_.offwidth)
        model.vis.quality.offsamples = 0  # no anti-aliasing: half the time of a frame
        self._model = model
        self._data = mujoco.MjData(model)
        self._renderer = mujoco.Renderer(model, height_px, width_px)
        scene = self._renderer.scene
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            scene.flags[flag] = 0

    def render(
        self, positions: NDArray[np.float64], names: Sequence[str]
    ) -> dict[str, NDArray[np.uint8]]:
        """Return each named camera's picture (H, W, 3) uint8 rgb of `positions` (nq,).

        `positions` is Simulation.positions(), copied under the caller's lock.
        """
        self._data.qpos[:] = positions
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        return {name: self._picture(name) for name in names}

    def _picture(self, name: str) -> NDArray[np.uint8]:
        self._renderer.update_scene(self._data, camera=name)
        return self._renderer.render()

    def close(self) -> None:
        """Free the GL context; later calls of render are errors."""
        self._renderer.close()

    def __enter__(self) -> Cameras:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
