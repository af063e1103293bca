"""Rows of the fault matrix: the node itself, its machine, its clock, and what it is told."""

from __future__ import annotations

import signal
import time

from stack import INSTRUCTION, every_core_busy

from fault_matrix.observe import (
    Moment,
    Seen,
    endures,
    goes_on,
    new_episode,
    passes,
    rests,
    stands_still,
)
from fault_matrix.rig import Rig
from fault_matrix.row import RESTART, Fault, Group

OTHER_INSTRUCTION = "put the green cube on the blue plate"
STOPPED_S, STARVED_S = 1.5, 3.0  # less than dead_man_s of the short form
WINDOWS_UNDER_WAY = 2
"""That the robot may get before the node hears of its clock (docs/motion.md)."""


def _sleep_node(rig: Rig) -> None:
    stopped_ns = rig.send("policy", signal.SIGSTOP)
    rig.wait(lambda: time.monotonic_ns() > stopped_ns + STOPPED_S * 1e9, "1.5 s of sleep")
    rig.wait_for_rest()
    rig.send("policy", signal.SIGCONT)


def _starve(rig: Rig) -> None:
    with every_core_busy():
        end_s = time.monotonic() + STARVED_S
        rig.wait(lambda: time.monotonic() > end_s, "3 s of load")


def _restart(rig: Rig) -> None:
    rig.start_policy()


def _ended_well(rig: Rig, moment: Moment, words: tuple[str, ...]) -> Seen:
    """The process ends with 0 and the arm is at rest."""
    child = rig.bringup.children.pop("policy")
    assert child.wait(15.0) == 0
    return rests(rig, moment, words)


def _change_parameters(rig: Rig) -> None:
    """Tunables go either way, safety only gets tighter."""
    assert rig.set_parameter("execute_steps", 6).successful
    assert rig.set_parameter("healthy_ticks", 12).successful
    loosened = rig.set_parameter("healthy_ticks", 11)
    assert not loosened.successful and "deactivate first" in loosened.reason


_NODE = (
    Fault(
        "instruction changed in motion",
        "`~/set_instruction`",
        lambda rig: rig.instruct(OTHER_INSTRUCTION),
        lambda rig: rig.instruct(INSTRUCTION),
        expect="controlled stop, and the next episode",
        words=("episode",),
        observe=new_episode,
        short=True,
    ),
    Fault(
        "parameters changed in motion",
        "execute_steps; healthy_ticks tightened, then loosened (refused)",
        _change_parameters,
        lambda rig: rig.set_parameter("execute_steps", 8),
        expect="none",
        silent=True,
        observe=goes_on,
        short=True,
    ),
    Fault(
        "node stopped for 1.5 s",
        "SIGSTOP, SIGCONT",
        _sleep_node,
        expect="pause (replay_starvation), the tail meanwhile",
        words=("replay thread",),
        observe=passes("paused"),
        over=True,
        tail=True,
        short=True,
    ),
    Fault(
        "CPU starved",
        "every core busy for 3 s",
        _starve,
        expect="a pause at most (replay_starvation, stream_age)",
        words=("replay thread", "newest sample", "no chunk left to play", "no answer for"),
        observe=endures,
    ),
    Fault(
        "node terminated",
        "SIGTERM; mended by a new start",
        lambda rig: rig.send("policy", signal.SIGTERM),
        _restart,
        expect="controlled stop, exit status 0",
        silent=True,
        observe=_ended_well,
        recovery=RESTART,
        tail=True,
    ),
    Fault(
        "node killed",
        "SIGKILL; mended by a new start",
        lambda rig: rig.send("policy", signal.SIGKILL),
        _restart,
        expect="the last window's tail, at rest within 1 s",
        silent=True,
        observe=rests,
        recovery=RESTART,
        tail=True,
        short=True,
    ),
)


_CLOCK = (
    Fault(
        "clock stopped",
        "nothing on /clock, sensors go on",
        lambda rig: rig.inject("clock", "stop", into="robot"),
        lambda rig: rig.inject("clock", "none", into="robot"),
        "silent_clock",
        words=("/clock",),
        observe=stands_still,
        short=True,
    ),
    Fault(
        "simulation paused",
        "robot, sensors and /clock stand still",
        lambda rig: rig.inject("clock", "pause", into="robot"),
        lambda rig: rig.inject("clock", "none", into="robot"),
        "silent_clock",
        mode="",
        words=("/clock",),
        observe=passes("stopping"),
        short=True,
    ),
    Fault(
        "clock jumped ahead",
        "/clock and all stamps 2 s ahead",
        lambda rig: rig.jump_clock(2.0),
        watch="clock_forward",
        mode="",
        words=("ahead",),
        observe=passes("paused"),
        short=True,
    ),
    Fault(
        "clock jumped back",
        "/clock and all stamps 2 s back",
        lambda rig: rig.jump_clock(-2.0),
        watch="clock_backward",
        expect="pause (clock_backward); the controller may play two of its cycles twice",
        mode="",
        words=("went back",),
        observe=passes("paused"),
        doubled=WINDOWS_UNDER_WAY,
        short=True,
    ),
)

ON_STEADY_TIME = (Group("Node and machine", _NODE),)
ON_SIMULATED_TIME = (Group("Simulated clock", _CLOCK, simulated=True),)
GROUPS = (*ON_STEADY_TIME, *ON_SIMULATED_TIME)
