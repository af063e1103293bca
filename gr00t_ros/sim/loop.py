"""The simulated robot's real-time thread: trajectories to servo targets to physics, and its faults.

Each tick of 2 ms runs two 1 kHz cycles of the controllers, records them, and steps the physics with
the command of the second one. Late physics catches up tick by tick, so that no controller sees its
clock jump. RobotFaults blocks the arm, scales its speed or breaks its clock; the relay injects
faults of topics. Other threads read an immutable RobotSnapshot.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.errors import SettingsError, ThreadError
from gr00t_ros.sim.controller import Follower
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.record import ROW_NS, CommandRecorder
from gr00t_ros.srv import InjectFault

Floats = NDArray[np.float64]

CYCLES = 2
TICK_NS = CYCLES * ROW_NS
"""Time of one tick: the physics' time step (world.TIMESTEP_S)."""
PAUSE_LOOK_S = 0.01
_LONG_NS = 50_000_000  # a longer wait ends at once when the thread is to end
KNOWN = {
    "arm": ("none", "block"),
    "clock": ("none", "stop", "pause", "jump"),
    "controllers": ("none", "scale", "lose"),
}
"""Stream -> its faults, as srv/InjectFault names them."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """Number of ticks that were more than one period late, the worst delay, the newest delay."""

    late_ticks: int
    worst_ns: int
    now_ns: int


class Deadlines:
    """Ticks of simulated time, ``real_time_factor`` times as fast as the steady clock."""

    def __init__(self, start_ns: int, period_ns: int, real_time_factor: float = 1.0) -> None:
        """Tick 0 is at ``start_ns`` of simulated time, and is due now."""
        self._start_ns = start_ns
        self._period_ns = period_ns
        self._steady_period_ns = period_ns / real_time_factor
        self._steady_start_ns = time.monotonic_ns()
        self._paused = False
        self._late_ticks = 0
        self._worst_ns = 0
        self._now_ns = 0

    @property
    def lateness(self) -> Lateness:
        """How late the ticks were so far; any thread may read it."""
        return Lateness(self._late_ticks, self._worst_ns, self._now_ns)

    def pause(self, paused: bool) -> None:
        """With True no further tick becomes due until a call with False; any thread may call."""
        self._paused = paused

    def time_ns(self, tick: int) -> int:
        """Return the simulated time of a tick, ns."""
        return self._start_ns + tick * self._period_ns

    def newest_due(self) -> int:
        """Return the newest tick whose deadline has come."""
        return int((time.monotonic_ns() - self._steady_start_ns) / self._steady_period_ns)

    def wait(self, tick: int, stop: threading.Event) -> bool:
        """Wait until a tick is due; return False when ``stop`` was set."""
        self._wait_out_the_pause(stop)
        due_ns = self._steady_start_ns + round(tick * self._steady_period_ns)
        left_ns = due_ns - time.monotonic_ns()
        if left_ns > _LONG_NS:
            stop.wait(left_ns * 1e-9)
        elif left_ns > 0:
            time.sleep(left_ns * 1e-9)  # a third less processor time than Event.wait
        self._note(max(0, time.monotonic_ns() - due_ns))
        return not stop.is_set()

    def _wait_out_the_pause(self, stop: threading.Event) -> None:
        began_ns = time.monotonic_ns()
        while self._paused and not stop.wait(PAUSE_LOOK_S):
            pass
        if (gone_ns := time.monotonic_ns() - began_ns) >= PAUSE_LOOK_S * 1e9:
            self._steady_start_ns += gone_ns

    def _note(self, late_ns: int) -> None:
        self._now_ns = late_ns
        self._worst_ns = max(self._worst_ns, late_ns)
        self._late_ticks += late_ns > self._steady_period_ns


class RobotFaults:
    """The faults of one robot; `run_due` belongs to the physics thread."""

    def __init__(self, simulation: Simulation) -> None:
        """Start without a fault."""
        self._simulation = simulation
        self._due: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._paces: Sequence[Deadlines] = ()
        self.clock_silent = False
        self.clock_offset_ns = 0
        self.speed_scaling = 1.0
        self.lose_every = 0

    def serve(self, node: Node, paces: Sequence[Deadlines]) -> None:
        """Offer ~/inject_fault and ~/put_cubes_back; the fault "pause" pauses `paces`.

        Without paces the robot uses the steady clock, and faults of the clock are refused.
        """
        self._paces = paces
        node.create_service(InjectFault, "~/inject_fault", self._on_inject)
        node.create_service(Trigger, "~/put_cubes_back", self._on_put_back)

    def run_due(self) -> None:
        """Apply the requested faults of the physics."""
        while not self._due.empty():
            self._due.get()()

    def inject(self, stream: str, fault: str, value: float) -> None:
        """Replace the stream's fault; "none" removes it, except a jump (s): undo it by another.

        "scale" only changes the published speed scaling; controllers go on at full speed. "lose"
        with value 5 drops every fifth trajectory, as a best-effort subscription may.

        Raises SettingsError for an unknown stream or fault.
        """
        if fault not in KNOWN.get(stream, ()):
            raise SettingsError(f"inject: got {fault!r} on {stream!r}, expected one of {KNOWN}")
        if stream == "arm":
            self._due.put(lambda: self._simulation.block_arm(fault == "block"))
            return
        if stream == "controllers":
            self.speed_scaling = value if fault == "scale" else 1.0
            self.lose_every = round(value) if fault == "lose" else 0
            return
        if not self._paces:
            raise SettingsError("clock: this robot gives no clock, expected publish_clock")
        self.clock_silent = fault == "stop"
        self.clock_offset_ns += round(value * 1e9) if fault == "jump" else 0
        for pace in self._paces:
            pace.pause(fault == "pause")

    def _on_inject(
        self, request: InjectFault.Request, response: InjectFault.Response
    ) -> InjectFault.Response:
        try:
            self.inject(request.stream, request.fault, request.value)
        except SettingsError as error:
            response.message = str(error)
        response.success = not response.message
        return response

    def _on_put_back(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        self._due.put(self._simulation.put_cubes_back)
        response.success = True
        return response


class Physics(Protocol):
    """The part of physics.Simulation that the loop uses."""

    def set_targets(self, targets_rad: Floats) -> None:
        """Set the servos' targets, one a joint: (J,) rad."""

    def step(self) -> None:
        """Let the time of one step pass."""

    def joint_state(self) -> tuple[tuple[str, ...], Floats, Floats]:
        """Names of all measured joints, their positions (J,) rad and velocities (J,) rad/s."""

    def positions(self) -> Floats:
        """A copy of all generalised positions (nq,)."""


@dataclass(frozen=True, slots=True, eq=False)
class RobotSnapshot:
    """The world after a tick; immutable, so any thread may read it.

    ``time_ns`` on the controllers' clock; ``position`` (J,) rad and ``velocity`` (J,)
    rad/s of all measured joints; ``world`` (nq,) is Simulation.positions().
    """

    tick: int
    time_ns: int
    position: Floats
    velocity: Floats
    world: Floats


class ControlLoop:
    """Owns the physics: no other thread may use the simulation while this thread runs."""

    def __init__(
        self,
        simulation: Physics,
        followers: Sequence[Follower],
        recorder: CommandRecorder,
        pace: Deadlines,
        on_tick: Callable[[RobotSnapshot], None],
    ) -> None:
        """Start at the simulation's state; joints without a follower are held there.

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
    def snapshot(self) -> RobotSnapshot:
        """The world after the newest tick."""
        return self._snapshot

    @property
    def unusable_targets(self) -> int:
        """Number of ticks whose command was not finite: the servos kept the last finite one."""
        return self._unusable

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """The running thread's number in the system."""
        assert self._thread.native_id is not None, "started"
        return self._thread.native_id

    def stop(self) -> None:
        """End the thread and wait for it; a second call does nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raise ThreadError if an error ended the thread: a dead robot must not look still."""
        if self._error is not None:
            raise ThreadError(f"physics thread: {self._error}") from self._error

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

    def _look(self, tick: int) -> RobotSnapshot:
        _, position, velocity = self._simulation.joint_state()
        world = self._simulation.positions()
        return RobotSnapshot(tick, self._pace.time_ns(tick), position, velocity, world)
