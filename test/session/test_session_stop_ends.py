"""Every stop ends: however the controllers' held position changes, and whatever the clock did."""

import numpy as np
import pytest
from session_rig import FAULT, MS, PAUSE, Rig

from gr00t_ros.session.mode import Event, Mode
from gr00t_ros.watch.table import reasoned

LIMIT_S = 6.0
"""Longer than any stop: the last window's ramp, and the wait for controllers that still move."""


def drifting(rig, rate_rad_s):
    """Another program moves the arm, or the reference is that of a sensor."""
    rig.held = rig.session.replay.position(rig.now_ns) + rate_rad_s * rig.now_ns * 1e-9


def noisy(rig, sigma_rad):
    """The reference of a controller that copies what it measures."""
    noise = np.random.default_rng(rig.now_ns % 2**32).normal(0.0, sigma_rad, len(rig.held))
    rig.held = rig.session.replay.position(rig.now_ns) + noise


MOVES = [
    pytest.param(lambda rig: drifting(rig, 0.0005), id="drift"),
    pytest.param(lambda rig: drifting(rig, 0.2), id="another program"),
    pytest.param(lambda rig: noisy(rig, 1e-4), id="noise"),
]


def stopped(rig, move):
    """Tick until the stop has ended; the mode that it ended in."""
    for _ in range(round(LIMIT_S * 50)):
        move(rig)
        rig.tick()
        if rig.mode is not Mode.STOPPING:
            break
    return rig.mode


@pytest.mark.parametrize("move", MOVES)
def test_a_pause_of_an_arm_that_others_move_ends_in_a_fault_with_the_joint(move):
    """Nothing goes on by itself from a moving arm; no window is sent meanwhile."""
    rig = Rig()
    rig.moving()
    rig.tick(PAUSE)
    assert stopped(rig, move) is Mode.FAULT
    assert "what its controller holds still changes" in rig.session.reason
    assert any(name in rig.session.reason for name in rig.session.replay.joint_names)


def test_the_reason_names_the_joint_that_moves_and_no_other():
    """The last of seven, and not the first of the file."""
    rig = Rig()
    rig.moving()
    rig.tick(PAUSE)
    last = len(rig.session.replay.joint_names) - 1

    def move(rig):
        rig.held = rig.held.copy()
        rig.held[last] += 0.002

    assert stopped(rig, move) is Mode.FAULT
    assert f"{rig.session.replay.joint_names[last]}: what its controller" in rig.session.reason


@pytest.mark.parametrize("move", MOVES)
def test_a_deactivation_of_an_arm_that_others_move_ends_inactive(move):
    """Somebody took over; that is what it is for."""
    rig = Rig()
    rig.moving()
    rig.session.deactivate(rig.now_ns)
    assert stopped(rig, move) in (Mode.WAITING, Mode.READY)


def abandoned(rig, move):
    """No window leaves for longer than the commit time: the plan is abandoned."""
    rig.moving()
    rig.now_ns += 120 * MS
    move(rig)
    rig.tick()
    assert rig.mode is Mode.STOPPING and rig.session._abandonment.pending


@pytest.mark.parametrize("move", MOVES)
def test_a_pause_of_an_abandoned_plan_ends_in_a_fault_too_and_its_reset_starts_at_the_arm(move):
    """As that of any other plan; a reset is not refused for the plan that was abandoned."""
    rig = Rig()
    abandoned(rig, move)
    sent = len(rig.windows)
    assert stopped(rig, move) is Mode.FAULT
    assert "no window has left" in rig.session.reason
    assert "what its controller holds still changes" in rig.session.reason
    move(rig)
    rig.held = rig.held + 0.05  # far from where the plan was abandoned
    assert rig.leave(rig.held) == "" and rig.mode is Mode.BLENDING_IN
    assert rig.merge().accepted and len(rig.windows) == sent
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


@pytest.mark.parametrize("move", MOVES)
def test_a_deactivation_ends_after_an_abandoned_plan_too(move):
    """Two seconds after it was asked for."""
    rig = Rig()
    abandoned(rig, move)
    for _ in range(40):
        move(rig)
        rig.tick()
    rig.session.deactivate(rig.now_ns)
    began_ns = rig.now_ns
    assert stopped(rig, move) in (Mode.WAITING, Mode.READY)
    assert rig.now_ns - began_ns < 2_500 * MS


@pytest.mark.parametrize("move", MOVES)
def test_a_deactivation_ends_though_the_clock_ran_back_meanwhile(move):
    """The stop waits on the new clock, not until it has caught up with the old one."""
    rig = Rig()
    rig.now_ns += 1_000_000 * MS
    rig.moving()
    rig.session.deactivate(rig.now_ns)
    for _ in range(60):
        move(rig)
        rig.tick()
    assert rig.mode is Mode.STOPPING
    rig.now_ns -= 900_000 * MS
    assert stopped(rig, move) in (Mode.WAITING, Mode.READY)


@pytest.mark.parametrize("move", MOVES)
def test_a_fault_is_latched_from_its_first_tick_on(move):
    """So that a cleanup during its stop does not lose it, also after a deactivation."""
    rig = Rig()
    rig.moving()
    rig.session.fault(rig.now_ns, "e-stop")
    assert rig.session.latched and rig.mode is Mode.STOPPING
    rig.session.deactivate(rig.now_ns)
    assert rig.session.latched
    assert stopped(rig, move) is Mode.FAULT_INACTIVE
    assert rig.session.latched and "e-stop" in rig.session.reason


@pytest.mark.parametrize("event", ["deactivate", "pause", "finding", "fault"])
def test_a_stop_ends_after_a_simulation_that_began_anew_while_inactive(event):
    """Plan time is earlier than that of the last motion."""
    rig = Rig()
    rig.now_ns += 1_000_000 * MS
    rig.moving()
    rig.session.deactivate(rig.now_ns)
    assert stopped(rig, lambda rig: None) is not Mode.STOPPING
    rig.now_ns = 5_000 * MS
    rig.session.set_ready(True, "")
    rig.session.activate(rig.now_ns, rig.held)
    rig.tick()
    if event == "finding":
        rig.tick(FAULT)
    elif event == "fault":
        rig.session.fault(rig.now_ns, "e-stop")
    else:
        getattr(rig.session, event)(rig.now_ns)
    assert stopped(rig, lambda rig: None) is not Mode.STOPPING


def test_a_simulation_that_stands_at_rest_ends_a_stop():
    """It is paused just after the arm came to rest: no plan time passes in which to wait."""
    rig = Rig()
    rig.moving()
    rig.session.deactivate(rig.now_ns)
    while not rig.session.replay.at_rest(rig.now_ns):
        rig.held = rig.session.replay.position(rig.now_ns)
        rig.tick()
    assert rig.mode is Mode.STOPPING
    for _ in range(100):
        rig.session.tick(rig.now_ns, (), rig.held)
        rig.session.keep()
    assert rig.mode in (Mode.WAITING, Mode.READY)
    assert rig.session._after_stop is Event.REST_INACTIVE


@pytest.mark.parametrize(("moves_s", "faults"), [(3.4, False), (8.0, True)])
def test_after_a_clock_jump_back_the_controllers_may_move_for_as_long_as_it_went_back(
    moves_s, faults
):
    """They ramp to the windows that lie in their future then; longer is another program."""
    rig = Rig()
    rig.moving()
    began, rig.now_ns = rig.held.copy(), rig.now_ns - 3000 * MS
    from_ns, faulted = rig.now_ns, False
    for _ in range(round((moves_s + 1.0) * 50)):
        moved_s = min((rig.now_ns - from_ns) * 1e-9, moves_s)
        rig.held = began + 0.05 * moved_s
        rig.tick()
        faulted |= rig.mode is Mode.FAULT
    assert faulted is faults, rig.session.reason


@pytest.mark.parametrize("jump_s", [20.0, 3.0])
@pytest.mark.parametrize("told", ["a tick earlier", "in its tick"])
@pytest.mark.parametrize("late", [True, False])
def test_an_arm_whose_clock_jumps_ahead_in_its_stop_is_moved_by_nobody_else(late, told, jump_s):
    """Two seconds of the new clock are waited for, whatever the old one said of the windows' end.

    The robot's own clock has not jumped: its arm is still where the last window leads it.
    """
    jumped = reasoned("clock_forward", "the clock jumped")
    rig = Rig()
    if late:
        abandoned(rig, lambda rig: None)
    else:
        rig.moving()
        rig.tick(PAUSE)
    while rig.mode is Mode.STOPPING and rig.session.replay.stop_ramp_left_ns(rig.now_ns):
        drifting(rig, 0.01)
        rig.tick()
    for _ in range(3):
        drifting(rig, 0.01)
        rig.tick()
    assert rig.mode is Mode.STOPPING
    rig.tick(*[jumped] * (told == "a tick earlier"))
    rig.now_ns += round(jump_s * 1e9)
    rig.tick(*[jumped] * (told == "in its tick"))
    for _ in range(20):  # 0.4 s, then it rests
        rig.held = rig.held + 1e-3
        rig.tick()
    assert rig.until(Mode.PAUSED).mode is Mode.PAUSED
    assert "another program" not in rig.session.reason


@pytest.mark.parametrize("told", [False, True], ids=["told once", "told at each step"])
@pytest.mark.parametrize("stop", ["pause", "deactivate"])
def test_a_stop_ends_though_the_clock_goes_on_in_long_steps(told, stop):
    """A simulation that is faster than real time, or whose /clock comes rarely."""
    rig = Rig()
    rig.moving()
    jumped = reasoned("clock_forward", "the clock jumped")
    rig.now_ns += 1_000 * MS
    rig.tick(jumped)
    if stop == "deactivate":
        rig.session.deactivate(rig.now_ns)
    assert rig.mode is Mode.STOPPING
    for _ in range(200):
        rig.now_ns += 60 * MS
        rig.tick(*[jumped] * told)
        if rig.mode is not Mode.STOPPING:
            break
    assert rig.mode in (Mode.PAUSED, Mode.BLENDING_IN, Mode.WAITING, Mode.READY)
