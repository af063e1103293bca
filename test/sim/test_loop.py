"""The simulated robot's loop runs its controllers for every millisecond, however late it is."""

import threading

import numpy as np
import pytest

from gr00t_ros.errors import ThreadError
from gr00t_ros.sim.controller import Follower
from gr00t_ros.sim.loop import TICK_NS, ControlLoop, Deadlines, RobotSnapshot
from gr00t_ros.sim.record import ROW_NS, CommandRecorder

NAMES = tuple("abcdefgh")
START_NS = 1_000_000_000
LIMIT_S = 30.0


class FakePhysics:
    """Ideal servos; `hold_up` runs in every step."""

    def __init__(self, hold_up: object = lambda: None) -> None:
        self.targets = np.zeros(8)
        self.hold_up = hold_up

    def set_targets(self, targets_rad: np.ndarray) -> None:
        self.targets = targets_rad.copy()

    def step(self) -> None:
        self.hold_up()

    def joint_state(self) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        return NAMES, self.targets, np.zeros(8)

    def positions(self) -> np.ndarray:
        return self.targets


class Rig:
    """A loop over fake physics that tells when it has reached a tick."""

    def __init__(self, physics: FakePhysics) -> None:
        self.recorder = CommandRecorder(NAMES, 100.0)
        self.followers = [Follower(NAMES[:7], np.zeros(7)), Follower(NAMES[7:], np.zeros(1))]
        self.pace = Deadlines(START_NS, TICK_NS, real_time_factor=10.0)
        self.loop = ControlLoop(physics, self.followers, self.recorder, self.pace, self._on_tick)
        self._reached = threading.Condition()
        self._tick = 0

    def _on_tick(self, snapshot: RobotSnapshot) -> None:
        with self._reached:
            self._tick = snapshot.tick
            self._reached.notify_all()

    def run_to(self, tick: int) -> None:
        with self._reached:
            assert self._reached.wait_for(lambda: self._tick >= tick, LIMIT_S)


def test_every_tick_records_two_cycles_and_commands_the_last() -> None:
    """1 kHz rows without a gap, from the first millisecond on."""
    rig = Rig(FakePhysics())
    rig.loop.start()
    rig.run_to(50)
    rig.loop.stop()
    time_ns = rig.recorder.snapshot(0).time_ns
    np.testing.assert_array_equal(time_ns, START_NS + ROW_NS * np.arange(1, len(time_ns) + 1))
    assert len(time_ns) >= 100
    assert rig.loop.snapshot.time_ns == time_ns[-1]


def test_physics_that_falls_behind_catches_up_without_a_jump_and_says_so() -> None:
    """A stall of many ticks loses no cycle of the controllers' clock."""
    stalled, resume = threading.Event(), threading.Event()

    def hold_up() -> None:
        stalled.set()
        resume.wait(LIMIT_S)

    rig = Rig(FakePhysics(hold_up))
    rig.loop.start()
    assert stalled.wait(LIMIT_S)
    behind = rig.pace.newest_due() + 20
    while rig.pace.newest_due() < behind:
        threading.Event().wait(0.001)
    resume.set()
    rig.run_to(behind)
    rig.loop.stop()
    assert set(np.diff(rig.recorder.snapshot(0).time_ns)) == {ROW_NS}
    assert rig.pace.lateness.late_ticks > 0
    assert rig.pace.lateness.worst_ns > TICK_NS / 10


def test_a_command_that_is_not_finite_never_reaches_the_servos() -> None:
    """The record shows the NaN, the servos keep the last usable target."""
    physics = FakePhysics()
    rig = Rig(physics)
    rig.followers[0].set_active(False, np.zeros(7))
    rig.followers[0].set_active(True, np.full(7, np.nan))
    rig.loop.start()
    rig.run_to(5)
    rig.loop.stop()
    assert rig.loop.unusable_targets >= 5
    np.testing.assert_array_equal(physics.targets, np.zeros(8))
    assert np.isnan(rig.recorder.snapshot(0).position[0, 0])


def test_physics_that_raises_ends_the_thread_and_check_says_why() -> None:
    """A dead robot must not look like one that stands still."""
    stepped = threading.Event()

    def hold_up() -> None:
        stepped.set()
        raise ArithmeticError("unstable")

    rig = Rig(FakePhysics(hold_up))
    rig.loop.check()
    rig.loop.start()
    assert stepped.wait(LIMIT_S)
    rig.loop.stop()
    with pytest.raises(ThreadError, match="unstable"):
        rig.loop.check()
