"""Rows of the fault matrix: every lifecycle transition, possible or not, at every moment."""

from __future__ import annotations

from collections.abc import Callable

from fault_matrix.observe import Moment, Observer, Seen, Words
from fault_matrix.rig import Rig
from fault_matrix.row import RESTART, Act, Fault, Group, nothing

CAMERA = "/camera/wrist/image_raw"
INACTIVE_MODES = ("waiting", "ready", "fault_inactive")
IMPOSSIBLE_WHILE_ACTIVE = ("configure", "activate", "cleanup")
IMPOSSIBLE_WHILE_INACTIVE = ("configure", "deactivate")
HOW = "configure, activate, cleanup (refused), then deactivate, "


def _refuses(rig: Rig, transitions: tuple[str, ...]) -> None:
    for transition in transitions:
        assert not rig.change(transition), f"{transition} was accepted in state {rig.state}"


def _deactivate_after(reach: Act) -> Act:
    """Bring the stack to a moment, try the transitions that are impossible then, and deactivate."""

    def act(rig: Rig) -> None:
        reach(rig)
        _refuses(rig, IMPOSSIBLE_WHILE_ACTIVE)
        assert rig.change("deactivate"), f"deactivate was refused in mode {rig.mode}"

    return act


def _inactive(mode: str = "") -> Observer:
    """The node reports inactive, and the arm was confirmed at rest before the answer came."""

    def observe(rig: Rig, moment: Moment, words: Words) -> Seen:
        assert rig.state == "inactive", rig.state
        rig.wait(lambda: rig.mode in INACTIVE_MODES, "an inactive mode")
        rig.wait_for_rest()
        status = rig.statuses[-1]
        assert mode in status.mode, f"{status.mode}: {status.reason}"
        told = [one for one in rig.told(moment.mark) if all(word in one[2] for word in words)]
        assert told or not words, f"nothing with {words}: {rig.told(moment.mark)}"
        _refuses(rig, IMPOSSIBLE_WHILE_INACTIVE)
        return Seen(status.mode, told[-1][2] if told else "")

    return observe


def _activate(rig: Rig) -> None:
    rig.inject("all", "none")
    rig.answer_with("")
    if rig.mode == "fault_inactive":
        rig.wait(lambda: rig.reset().success, "a reset while inactive")
    rig.wait(lambda: rig.mode == "ready", "mode ready")
    rig.wait(lambda: rig.state == "active" or rig.change("activate"), "an accepted activation")


def _again(rig: Rig) -> None:
    """Activate a moment ago: still blending in, or before the first chunk."""
    assert rig.change("deactivate")
    _activate(rig)


def _stopping(rig: Rig) -> None:
    rig.inject(CAMERA, "stop")
    rig.wait(lambda: rig.mode in ("stopping", "paused"), "a stop")


def _paused(rig: Rig) -> None:
    rig.inject(CAMERA, "stop")
    rig.wait(lambda: rig.mode == "paused", "mode paused")


def _paused_by_operator(rig: Rig) -> None:
    assert rig.trigger("/gr00t_policy/pause").success
    rig.wait(lambda: rig.mode == "paused_by_operator", "the operator's pause")


def _faulted(rig: Rig) -> None:
    rig.answer_with("shape")
    rig.wait(lambda: rig.mode == "fault", "mode fault")


def _held(rig: Rig) -> None:
    """Rest because the answers are refused, one by one."""
    rig.answer_with("drop:1")
    rig.wait(lambda: rig.mode in ("stopping", "holding", "paused"), "a plan that ends")


WHY = "deactivating"
MOMENTS: tuple[tuple[str, Act, str, str, bool], ...] = (
    ("in motion", nothing, "", WHY, True),
    ("just after an activation", _again, "", WHY, False),
    ("while a stop begins", _stopping, "", WHY, False),
    ("in a pause", _paused, "", WHY, False),
    ("in the operator's pause", _paused_by_operator, "", WHY, False),
    ("when the plan has ended", _held, "", WHY, False),
    ("in a fault", _faulted, "fault_inactive", "got shape", True),
)


def _row(when: str, reach: Act, mode: str, why: str, short: bool) -> Fault:
    return Fault(
        f"deactivated {when}",
        HOW + when,
        _deactivate_after(reach),
        _activate,
        expect="controlled stop, then success; the rest refused",
        words=(why,),
        observe=_inactive(mode),
        recovery="activate",
        rests=True,
        short=short,
    )


def _shut_down_after(reach: Act) -> Act:
    def act(rig: Rig) -> None:
        reach(rig)
        assert rig.change("shutdown"), f"shutdown was refused in mode {rig.mode}"

    return act


def _finalized(rig: Rig, _moment: Moment, _words: Words) -> Seen:
    """At rest; the only thing that is still possible is the end of the process."""
    assert rig.state == "finalized", rig.state
    rig.wait_for_rest()
    _refuses(rig, ("configure", "activate", "deactivate", "cleanup"))
    return Seen("finalized", "")


def _new_process(rig: Rig) -> None:
    rig.inject("all", "none")
    rig.answer_with("")
    rig.bringup.stop("policy")
    rig.start_policy()


def _shutdown_row(when: str, reach: Act) -> Fault:
    return Fault(
        f"shut down {when}",
        f"transition shutdown {when}; mended by a new start",
        _shut_down_after(reach),
        _new_process,
        expect="controlled stop, then success; nothing moves afterwards",
        silent=True,
        observe=_finalized,
        recovery=RESTART,
        rests=True,
    )


def _while_inactive(act: Callable[[Rig], None]) -> Act:
    def do(rig: Rig) -> None:
        assert rig.change("deactivate")
        act(rig)

    return do


def _activate_too_early(rig: Rig) -> None:
    """Without a camera an activation is refused, with the camera as the reason."""
    rig.inject(CAMERA, "stop")
    rig.wait(lambda: rig.mode == "waiting" and "wrist" in rig.statuses[-1].reason, "no readiness")
    _refuses(rig, ("activate",))


def _clean_up(rig: Rig) -> None:
    assert rig.change("cleanup")
    assert rig.state == "unconfigured"
    _refuses(rig, ("activate", "deactivate", "cleanup"))
    assert rig.change("configure")


_INACTIVE_ROWS = (
    Fault(
        "activated without a camera",
        "deactivate, a camera stopped, activate",
        _while_inactive(_activate_too_early),
        _activate,
        expect="refused, the camera as the reason",
        words=("wrist",),
        observe=_inactive("waiting"),
        recovery="activate",
        rests=True,
    ),
    Fault(
        "cleaned up and configured anew",
        "deactivate, cleanup, what is impossible (refused), configure",
        _while_inactive(_clean_up),
        _activate,
        expect="no motion before the next activation",
        silent=True,
        observe=_inactive(),
        recovery="activate",
        rests=True,
    ),
)

_SHUTDOWNS = (
    *(_shutdown_row(when, reach) for when, reach, *_ in MOMENTS),
    _shutdown_row("while inactive", _while_inactive(nothing)),
    _shutdown_row("while unconfigured", _while_inactive(lambda rig: rig.change("cleanup"))),
)

GROUPS = (
    Group("Lifecycle", (*(_row(*moment) for moment in MOMENTS), *_INACTIVE_ROWS)),
    Group("Shutdown", _SHUTDOWNS),
)
