"""Faults block the simulated robot's arm, and stop, pause and shift its clock."""

import threading

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.sim.loop import (
    Deadlines,  # noqa: E402
    RobotFaults,  # noqa: E402
)

MS = 1_000_000


class FakeSimulation:
    def __init__(self) -> None:
        self.blocked: list[bool] = []

    def block_arm(self, blocked: bool) -> None:
        self.blocked.append(blocked)


class FakeNode:
    def create_service(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def pace() -> Deadlines:
    """Ticks of 5 ms."""
    return Deadlines(0, 5 * MS)


@pytest.fixture
def faults(pace: Deadlines) -> RobotFaults:
    """Those of a robot that gives the clock."""
    faults = RobotFaults(FakeSimulation())
    faults.serve(FakeNode(), (pace,))
    return faults


def test_the_arm_is_blocked_by_the_physics_thread_alone(faults: RobotFaults) -> None:
    """The service only asks for it."""
    faults.inject("arm", "block", 0.0)
    assert faults._simulation.blocked == []
    faults.run_due()
    faults.inject("arm", "none", 0.0)
    faults.run_due()
    assert faults._simulation.blocked == [True, False]


def test_jumps_of_the_clock_add_up_and_a_silent_one_speaks_again(faults: RobotFaults) -> None:
    """A jump is undone by the opposite one, a stop by none."""
    faults.inject("clock", "jump", 2.0)
    faults.inject("clock", "jump", -0.5)
    assert faults.clock_offset_ns == 1_500 * MS
    faults.inject("clock", "stop", 0.0)
    assert faults.clock_silent
    faults.inject("clock", "none", 0.0)
    assert not faults.clock_silent
    assert faults.clock_offset_ns == 1_500 * MS


def test_no_tick_becomes_due_in_a_pause_and_none_is_made_up_for(
    faults: RobotFaults, pace: Deadlines
) -> None:
    """After it the next tick is the next one, not a burst of those that the pause took."""
    stop, ticked, start_ns = threading.Event(), threading.Event(), pace._steady_start_ns
    faults.inject("clock", "pause", 0.0)
    waiting = threading.Thread(target=lambda: (pace.wait(1, stop), ticked.set()))
    waiting.start()
    assert not ticked.wait(0.1)
    faults.inject("clock", "none", 0.0)
    assert ticked.wait(10.0)
    waiting.join()
    assert pace._steady_start_ns > start_ns


@pytest.mark.parametrize(("stream", "fault"), [("arm", "jump"), ("leg", "block"), ("clock", "")])
def test_what_the_robot_does_not_know_is_refused(
    faults: RobotFaults, stream: str, fault: str
) -> None:
    """With what it knows."""
    with pytest.raises(SettingsError, match="expected one of"):
        faults.inject(stream, fault, 0.0)


def test_a_robot_on_the_steady_clock_has_no_clock_to_break() -> None:
    """Nobody could, short of the machine's own clock."""
    with pytest.raises(SettingsError, match="gives no clock"):
        RobotFaults(FakeSimulation()).inject("clock", "jump", 1.0)
