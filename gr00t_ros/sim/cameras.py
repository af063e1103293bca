"""The simulated cameras: rendered from a copy of the state, with a sensor's noise, at a fixed rate.

The noise makes every frame different; without it a scene at rest would look like a frozen camera.
The feed's thread owns its GL context and works on a copy of the positions, so that the simulation
can step on meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ThreadError
from gr00t_ros.sim.loop import Deadlines, RobotSnapshot

Pictures = dict[str, NDArray[np.uint8]]

_SPARE = 4096  # number of offsets into the noise pattern, and so of different frames


class SensorNoise:
    """Flips the lowest bit of about half of all values, a different half in each frame."""

    def __init__(self, seed: int) -> None:
        """The same seed gives the same noise, frame by frame."""
        self._random = np.random.default_rng(seed)
        self._bits = np.zeros(0, dtype=np.uint8)

    def add(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A new picture (H, W, 3) uint8; each value changes by at most one level.

        One pattern is shifted for each frame: drawing a new one took 30 times as long.
        """
        if self._bits.size < picture.size + _SPARE:
            self._bits = self._random.integers(0, 2, picture.size + _SPARE, dtype=np.uint8)
        begin = int(self._random.integers(_SPARE))
        bits = self._bits[begin : begin + picture.size].reshape(picture.shape)
        return np.bitwise_xor(picture, bits)


class Cameras:
    """Renders the model's cameras; create, use and close it in one thread."""

    def __init__(self, model: mujoco.MjModel, height_px: int, width_px: int) -> None:
        # The buffer's size and samples are read from the model when the context is created.
        model.vis.global_.offheight = max(height_px, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width_px, model.vis.global_.offwidth)
        model.vis.quality.offsamples = 0  # no anti-aliasing: half the time of a frame
        self._model = model
        self._data = mujoco.MjData(model)
        self._renderer = mujoco.Renderer(model, height_px, width_px)
        scene = self._renderer.scene
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            scene.flags[flag] = 0

    def render(self, positions: NDArray[np.float64], names: Sequence[str]) -> Pictures:
        """Return each named camera's picture (H, W, 3) uint8 rgb of `positions` (nq,).

        `positions` is Simulation.positions(), copied under the caller's lock.
        """
        self._data.qpos[:] = positions
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        return {name: self._picture(name) for name in names}

    def _picture(self, name: str) -> NDArray[np.uint8]:
        self._renderer.update_scene(self._data, camera=name)
        return np.asarray(self._renderer.render(), np.uint8)

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


class Renderer(AbstractContextManager["Renderer"], Protocol):
    """The part of Cameras that the feed uses."""

    def render(self, positions: NDArray[np.float64], names: Sequence[str]) -> Pictures:
        """Camera -> (H, W, 3) uint8 RGB, of the world at generalised `positions` (nq,)."""


class SyntheticCameras:
    """Pictures without a renderer: a bright bar that moves by one column a frame."""

    def __init__(self, height_px: int, width_px: int) -> None:
        """Cameras of this size."""
        self._blank = np.full((height_px, width_px, 3), 40, dtype=np.uint8)
        self._frame = 0

    def __enter__(self) -> SyntheticCameras:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def render(self, _positions: NDArray[np.float64], names: Sequence[str]) -> Pictures:
        """Return the next picture, (H, W, 3) uint8, the same for each camera."""
        picture = self._blank.copy()
        picture[:, self._frame % picture.shape[1]] = 255
        self._frame += 1
        return dict.fromkeys(names, picture)


class CameraFeed:
    """Renders the newest snapshot at each due time; frames that come too late are skipped."""

    def __init__(self, open_renderer: Callable[[], Renderer], seed: int = 0) -> None:
        """Start the thread and wait until its renderer is open; raises what opening raises.

        `seed` is that of the sensors' noise. Opening blocks the interpreter for a tenth of a
        second; it happens here, before ``start``, so that it does not delay the physics.
        """
        self._open_renderer = open_renderer
        self._noise = SensorNoise(seed)
        self._opened = threading.Event()
        self._begin = threading.Event()
        self._stop = threading.Event()
        self._frames = 0
        self._skipped = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)
        self._thread.start()
        self._opened.wait()
        self.check()

    @property
    def counts(self) -> tuple[int, int]:
        """Frames rendered, and skipped because an earlier one or the physics took too long."""
        return self._frames, self._skipped

    def start(
        self,
        snapshot: Callable[[], RobotSnapshot],
        due: Callable[[int], Sequence[str]],
        on_pictures: Callable[[int, Pictures], None],
        pace: Deadlines,
    ) -> None:
        """From now on render in each frame (counted from 1) the cameras that are ``due`` in it.

        ``on_pictures`` gets the snapshot's time, in this feed's thread, and each picture as
        (H, W, 3) uint8.
        """
        self._snapshot, self._due = snapshot, due
        self._on_pictures, self._pace = on_pictures, pace
        self._begin.set()

    def stop(self) -> None:
        """End the thread and wait for it; a second call does nothing."""
        self._stop.set()
        self._begin.set()
        self._thread.join()

    def check(self) -> None:
        """Raise ThreadError if an error ended the thread."""
        if self._error is not None:
            raise ThreadError(f"camera thread: {self._error}") from self._error

    def _run(self) -> None:
        try:
            with self._open_renderer() as renderer:
                self._opened.set()
                self._begin.wait()
                if not self._stop.is_set():
                    self._render(renderer)
        except Exception as error:
            self._error = error
        finally:
            self._opened.set()

    def _render(self, renderer: Renderer) -> None:
        tick, rendered_ns = self._pace.newest_due() + 1, dict[str, int]()
        while self._pace.wait(tick, self._stop):
            world, due = self._snapshot(), self._due(tick)
            # While the physics is late there is nothing new to see, and no stamp for a new picture.
            fresh = [name for name in due if rendered_ns.get(name) != world.time_ns]
            if fresh or not due:
                clean = renderer.render(world.world, fresh)
                noisy = {name: self._noise.add(picture) for name, picture in clean.items()}
                self._on_pictures(world.time_ns, noisy)
                rendered_ns |= dict.fromkeys(fresh, world.time_ns)
                self._frames += 1
            else:
                self._skipped += 1
            following = max(tick + 1, self._pace.newest_due())
            self._skipped += following - tick - 1
            tick = following
