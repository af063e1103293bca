"""One row of the fault matrix as data: what is done to the stack, and the expected reaction.

Where a watch reacts, the expected reaction is that of watch/table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.table import WATCHES

MODE_OF = {Reaction.DROP: "", Reaction.PAUSE: "paused", Reaction.FAULT: "fault"}
ITSELF, RESET, RESTART = "by itself", "~/reset", "a new start"

BUSY = (("max_joint_age_s", 0.5), ("max_camera_age_s", 1.0), ("controller_silence_s", 2.0))
"""Parameters with which the node does not stop for what a busy machine makes late."""

Act = Callable[[Any], None]
"""An action on a rig."""


def nothing(_rig: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    how: what is injected, for the document. watch, worse: the row of the table that must react,
    with its worse reaction. expect: the reaction as text, if no watch reacts. mode: the mode in
    which the node must come to rest, "" if it must not stop; without it that of the watch. words:
    each must be in the reason, {server} is its address; if no reason is needed, a published reason
    must have one of them. silent: no reason is published. observe: how to observe special rows.
    persists: a reset is refused before the fault is mended. recovery: what is needed after `mend`.
    jumps: the robot itself steps when this is injected and when it is mended, which the limits of
    the plan cannot bound; before, between and after that they hold.
    blind: each motion begins at the measured position, a step by the arm's sag (judge.py).
    doubled: cycles that a controller may play twice (judge.py). over: after the injection there is
    nothing to mend, and the arm is at rest by then.
    rests: the arm must come to rest, in any mode. tail: within the time of a window's stop ramp,
    because no process is left to stop it. moving: it moves at first.
    short: part of ./dev test.

    Raises ValueError if a row with a reason has no words, or a silent row has some.
    """

    name: str
    how: str
    inject: Act
    mend: Act = nothing
    watch: str = ""
    worse: bool = False
    expect: str = ""
    mode: str | None = None
    words: tuple[str, ...] = ()
    silent: bool = False
    observe: Callable[[Any, Any, tuple[str, ...]], Any] | None = None
    persists: bool = False
    recovery: str = ""
    jumps: bool = False
    blind: bool = False
    doubled: int = 0
    over: bool = False
    rests: bool = False
    tail: bool = False
    moving: bool = True
    short: bool = False

    def __post_init__(self) -> None:
        if bool(self.words) is self.silent or (self.silent and self.end_mode):
            raise ValueError(
                f"row {self.name!r}: got words {self.words} and silent {self.silent}, expected "
                "one of them, and words where the node has to stop and say why"
            )

    @property
    def reaction(self) -> Reaction | None:
        """The reaction of the table, None if no watch reacts."""
        if not self.watch:
            return None
        row = WATCHES[self.watch]
        return row.worse if self.worse and row.worse else row.reaction

    @property
    def must_rest(self) -> bool:
        """Whether the arm must be at rest before the fault is mended."""
        return self.rests or self.tail or bool(self.end_mode)

    @property
    def end_mode(self) -> str:
        """The mode in which the arm must come to rest, empty if it must not stop."""
        if self.mode is not None:
            return self.mode
        return MODE_OF[self.reaction] if self.reaction else ""

    @property
    def way_back(self) -> str:
        """What is needed to go on."""
        return self.recovery or (RESET if self.end_mode == "fault" else ITSELF)

    @property
    def expected(self) -> str:
        """The reaction as text, for the document."""
        if self.expect:
            return self.expect
        return f"{self.reaction.value if self.reaction else 'none'} ({self.watch})"


@dataclass(frozen=True, slots=True)
class Group:
    """Faults that share a bring-up. policy: parameters of the node; simulated: on /clock.

    network: "near"; "far": commands and controllers' states also pass the relay; "untold": commands
    do, and no controller publishes its state. around: with obstacles, a contact sensor and a base
    (around.py), and always with the policy that sweeps.
    """

    name: str
    faults: tuple[Fault, ...]
    policy: tuple[tuple[str, object], ...] = BUSY
    simulated: bool = False
    network: str = "near"
    around: bool = False
