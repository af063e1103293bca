"""Rows of the fault matrix: the node itself, its machine, its clock, and its services."""

from __future__ import annotations

import random
import signal
import time

from stack import INSTRUCTION, every_core_busy

from fault_matrix.observe import (
    Moment,
    Seen,
    Words,
    endures,
    goes_on,
    new_episode,
    passes,
    rests,
    stands_still,
    stops,
)
from fault_matrix.policy import held_file
from fault_matrix.rig import Rig
from fault_matrix.row import RESTART, Act, Fault, Group
from fault_matrix.rows_arm import ARM

OTHER_INSTRUCTION = "put the green cube on the blue plate"
STOPPED_S, STARVED_S = 1.5, 3.0  # less than dead_man_s of the short form
STALLS_S = (0.15, 0.3, 0.47)
PHASES = 4  # SIGSTOPs at random phases, with a seed each
STALLED = ("replay thread", "nothing new on", "newest sample", "no chunk left to play")
WINDOWS_UNDER_WAY = 2
"""Windows that the robot may get before the node receives its clock (docs/motion.md)."""


def _sleep_node(rig: Rig) -> None:
    stopped_ns = rig.send("policy", signal.SIGSTOP)
    rig.wait(lambda: time.monotonic_ns() > stopped_ns + STOPPED_S * 1e9, "1.5 s of sleep")
    rig.wait_for_rest()
    rig.send("policy", signal.SIGCONT)


def _stall(stall_s: float) -> Act:
    """Plant a stall in a tick after a chunk has come: the loss of that window matters most."""

    def act(rig: Rig) -> None:
        chunks = len(rig.chunks)
        rig.wait(lambda: len(rig.chunks) > chunks, "a chunk")
        rig.plant(f"between {stall_s}")
        rig.wait(lambda: not rig.plant_file.exists(), "the stall to be over")

    return act


def _stop_at_random(stall_s: float, phases: random.Random) -> Act:
    """SIGSTOP at a random phase of a tick, just after a chunk."""

    def act(rig: Rig) -> None:
        chunks = len(rig.chunks)
        rig.wait(lambda: len(rig.chunks) > chunks, "a chunk")
        time.sleep(phases.uniform(0.0, 0.022))
        stopped_ns = rig.send("policy", signal.SIGSTOP)
        rig.wait(lambda: time.monotonic_ns() > stopped_ns + stall_s * 1e9, f"{stall_s} s of sleep")
        rig.send("policy", signal.SIGCONT)

    return act


def _sleep_loaded(rig: Rig) -> None:
    """Sleep for a second, with all cores busy before, during and after it."""
    with every_core_busy():
        stopped_ns = rig.send("policy", signal.SIGSTOP)
        rig.wait(lambda: time.monotonic_ns() > stopped_ns + 1e9, "1 s of sleep")
        rig.send("policy", signal.SIGCONT)
        woken_ns = time.monotonic_ns()
        rig.wait(lambda: time.monotonic_ns() > woken_ns + 1e9, "1 s of load")


def _reset_while_stalled(rig: Rig) -> None:
    """A fault, then a stalled replay thread: the reset is reported as failed, and has failed."""
    assert rig.trigger("/gr00t_policy/estop").success
    rig.wait(lambda: rig.mode == "fault", "mode fault")
    held = held_file(rig.plant_file)
    held.unlink(missing_ok=True)
    rig.plant("hold")
    rig.wait(held.exists, "the replay thread to stall")
    for ask in (rig.reset, lambda: rig.instruct(INSTRUCTION)):
        answer = ask()
        assert not answer.success and "never will be" in answer.message, answer.message
    rig.plant("")


def _stays_faulted(rig: Rig, moment: Moment, words: Words) -> Seen:
    """The thread runs again and carries out none of the failed calls."""
    seen = stops("fault")(rig, moment, words)
    mark = len(rig.seen)
    rig.wait(lambda: len(rig.since(mark)) >= 4, "two seconds of statuses")
    assert {status.mode for _, status in rig.since(mark)} == {"fault"}
    return seen


def _instruct_again(rig: Rig) -> None:
    """The first instruction again, until its episode has begun: the stop belongs to this row."""
    episode = rig.statuses[-1].episode
    rig.instruct(INSTRUCTION)
    rig.wait(lambda: rig.statuses[-1].episode > episode, "the next episode")


def _switch_clock(rig: Rig) -> None:
    answer = rig.set_parameter("use_sim_time", True)
    assert not answer.successful and "as at the start" in answer.reason, answer.reason


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
    """Tuning parameters change either way, safety parameters only become stricter."""
    assert rig.set_parameter("execute_steps", 6).successful
    assert rig.set_parameter("healthy_ticks", 12).successful
    loosened = rig.set_parameter("healthy_ticks", 11)
    assert not loosened.successful and "deactivate first" in loosened.reason


_NODE = (
    Fault(
        "instruction changed in motion",
        "`~/set_instruction`",
        lambda rig: rig.instruct(OTHER_INSTRUCTION),
        _instruct_again,
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
        expect="a pause at most (replay_starvation, stream_age, controller_late)",
        words=(*STALLED, "no answer for"),
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


_STALLS = (
    *(
        Fault(
            f"replay thread stalled for {stall_s} s in a tick",
            "planted between computing a window and sending it",
            _stall(stall_s),
            expect="pause (replay_starvation), the tail meanwhile",
            words=STALLED[:1],
            observe=passes("paused"),
            short=stall_s == 0.3,
        )
        for stall_s in STALLS_S
    ),
    *(
        Fault(
            f"node stopped for 0.3 s, phase {seed}",
            f"SIGSTOP at a random phase after a chunk (seed {seed}), SIGCONT",
            _stop_at_random(0.3, random.Random(seed)),
            expect="a pause at most (replay_starvation), the tail meanwhile",
            words=STALLED,
            observe=endures,
        )
        for seed in range(PHASES)
    ),
    Fault(
        "node stopped for 1 s under load",
        "SIGSTOP, SIGCONT, every core busy until a second later",
        _sleep_loaded,
        expect="pauses (replay_starvation), no fault",
        words=(*STALLED, "no answer for"),
        observe=endures,
    ),
    Fault(
        "reset under a stalled replay thread",
        "`~/estop`; `~/reset` and `~/set_instruction` while the replay thread stands",
        _reset_while_stalled,
        expect="fault (e_stop); what was told to have failed is never carried out",
        mode="fault",
        words=("e-stop",),
        observe=_stays_faulted,
        short=True,
    ),
    Fault(
        "use_sim_time switched in motion",
        "parameter use_sim_time: true (refused)",
        _switch_clock,
        expect="none",
        silent=True,
        observe=goes_on,
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


def _cut(cut_s: float, stream: str = "all") -> Act:
    return lambda rig: rig.inject(stream, "cut", cut_s)


def _heal(rig: Rig) -> None:
    rig.inject("all", "none")


_FAR = tuple(
    Fault(
        f"network cut for {cut_s} s",
        f"relay: `cut` {cut_s} s of commands, states and sensors, then all of it passes again",
        _cut(cut_s),
        _heal,
        expect="pause (controller_late), the tail meanwhile",
        mode="",
        words=("allowed",),
        observe=passes("paused"),
    )
    for cut_s in (0.15, 0.3, 0.45)
)
_FAR_LONG = tuple(
    Fault(
        f"network cut for {cut_s} s",
        f"relay: `cut` {cut_s} s of commands, states and sensors, then all of it passes again",
        _cut(cut_s),
        _heal,
        expect="fault (controller_silent, stream_age), the tail meanwhile",
        mode="fault",
        words=("allowed",),
    )
    for cut_s in (1.0, 2.0)
)
_FAR_ONE_WAY = tuple(
    Fault(
        f"commands cut for {cut_s} s, states arrive",
        f"relay: `cut` {cut_s} s of the arm's commands alone, then all of it passes again",
        _cut(cut_s, ARM),
        _heal,
        expect="pause (reference_against_plan), the tail meanwhile",
        mode="",
        words=("it plays an earlier window",),
        observe=passes("paused"),
    )
    for cut_s in (0.45, 2.0)
)
_UNTOLD = tuple(
    Fault(
        f"network cut for {cut_s} s, of controllers that never tell",
        f"relay: `cut` {cut_s} s of commands and sensors, then all of it passes again",
        _cut(cut_s),
        _heal,
        expect="fault (controller_late), the tail meanwhile",
        mode="fault",
        words=("allowed",),
        observe=stops("fault", if_late=("allowed",)),
        blind=True,
    )
    for cut_s in (0.15, 0.3, 1.0, 2.0)
)
# The default: silent joint states show that the connection is cut.
_QUICK = (("max_camera_age_s", 1.0),)

ON_STEADY_TIME = (
    Group("Node and machine", _NODE),
    Group("Stalls", _STALLS),
    Group(
        "Network between node and controllers",
        (*_FAR, *_FAR_LONG, *_FAR_ONE_WAY),
        _QUICK,
        network="far",
    ),
    Group("The same, controllers that never tell", _UNTOLD, _QUICK, network="untold"),
)
ON_SIMULATED_TIME = (Group("Simulated clock", _CLOCK, simulated=True),)
GROUPS = (*ON_STEADY_TIME, *ON_SIMULATED_TIME)
