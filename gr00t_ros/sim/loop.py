"""The simulated robot's real-time thread: trajectories to servo targets to physics.

Each 2 ms tick takes two 1 kHz cycles of the controllers, records them, and steps the
physics on the last. Refuses to know ROS and rendering: others get an immutable Snapshot.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.follower import Follower
from gr00t_ros.sim.pace import Pace
from gr00t_ros.sim.record import ROW_NS, Recorder

Floats = NDArray[np.float64]

CYCLES = 2
TICK_NS = CYCLES * ROW_NS
"""Time of one tick: the physics' time step (room.TIMESTEP_S)."""


class Physics(Protocol):
    """What the loop uses of physics.Simulation."""

    def set_targets(self, targets_rad: Floats) -> None: ...  # noqa: D102
    def step(self) -> None: ...  # noqa: D102
    def joint_state(self) -> tuple[tuple[str, ...], Floats, Floats]: ...  # noqa: D102
    def positions(self) -> Floats: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The world after a tick, never changed again: safe in every thread.

    ``time_ns`` on the controllers' clock; ``position`` (J,) rad and ``velocity`` (J,)
    rad/s of all measured joints; ``world`` (nq,) is Simulation.positions().
    """

    tick: int
    time_ns: int
    position: Floats
    velocity: Floats
    world: Floats


class ControlLoop:
    """Owns the physics: nobody else may touch the simulation while the thread runs."""

    def __init__(
        self,
        simulation: Physics,
        followers: Sequence[Follower],
        recorder: Recorder,
        pace: Pace,
        on_tick: Callable[[Snapshot], None],
    ) -> None:
        """Start where the simulation is; joints of no follower are kept there.

        ``on_tick`` runs in this thread after each tick, and may read the simulation.
        """
        self._simulation = simulation
        self._followers = followers
        self._recorder = recorder
        self._pace = pace
        self._on_tick = on_tick
        self._stop = threading.Event()
        self._snapshot = self._look(0)
        names = simulation.joint_state()[0]
        wanted = [name for follower in followers for name in follower.joint_names]
        self._commanded = np.array([names.index(name) for name in wanted])
        self._targets = self._snapshot.position.copy()
        self._unusable = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    @property
    def snapshot(self) -> Snapshot:
        """The world after the newest tick."""
        return self._snapshot

    @property
    def unusable_targets(self) -> int:
        """Ticks whose command was not finite: the servos kept the last one that was."""
        return self._unusable

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; a second call does nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if anything did: a dead robot must not look still."""
        if self._error is not None:
            raise RuntimeError(f"physics thread: {self._error}") from self._error

    def _run(self) -> None:
        try:
            tick = 1
            while self._pace.wait(tick, self._stop):
                self._advance(tick)
                self._on_tick(self._snapshot)
                tick += 1
        except Exception as error:
            self._error = error

    def _advance(self, tick: int) -> None:
        time_ns = self._pace.time_ns(tick)
        for cycle_ns in range(time_ns - TICK_NS + ROW_NS, time_ns + 1, ROW_NS):
            commands = [follower.command(cycle_ns) for follower in self._followers]
            position, velocity, acceleration = map(np.concatenate, zip(*commands, strict=True))
            measured = self._snapshot.position[self._commanded]
            self._recorder.append(cycle_ns, position, velocity, acceleration, measured)
        if np.all(np.isfinite(position)):
            self._targets[self._commanded] = position
            self._simulation.set_targets(self._targets)
        else:
            self._unusable += 1
        self._simulation.step()
        self._snapshot = self._look(tick)

    def _look(self, tick: int) -> Snapshot:
        _, position, velocity = self._simulation.joint_state()
        world = self._simulation.positions()
        return Snapshot(tick, self._pace.time_ns(tick), position, velocity, world)
