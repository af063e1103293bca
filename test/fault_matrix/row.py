"""One row of the fault matrix: what is done to the stack, and what must come of it. Does nothing.

The expected reaction is the one of watch/table wherever a watch has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.table import TABLE

MODE_OF = {Reaction.DROP: "", Reaction.PAUSE: "paused", Reaction.FAULT: "fault"}
ITSELF, RESET, RESTART = "by itself", "~/reset", "a new start"

BUSY = (("max_joint_age_s", 0.5), ("max_camera_age_s", 1.0))
"""Parameters with which inputs that are late because the machine is busy do not pause."""

Act = Callable[[Any], None]
"""Something done to a rig."""


def nothing(_rig: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    how: what is injected, for the document. watch, worse: the row of the table that must react,
    with its worse reaction. expect: the reaction in words where no watch has it. mode: where the
    node must come to rest, "" where it must not stop; without it the watch's. words: each must be
    in the reason, {server} is its address; where nothing need be told, whatever is told must have
    one of them. silent: nobody tells a reason. observe: how to tell, for rows of their own kind.
    persists: a reset is refused before the fault is mended. recovery: what it takes after `mend`.
    jumps: the robot itself steps when this is injected and when it is mended, which the limits of
    the plan cannot bound; before, between and after they hold.
    blind: the way back starts from what is measured, a step by what the arm sags: judged up to the
    mending.
    doubled: cycles that a controller may play twice (judge.py). over: nothing is left to mend once
    it was injected, and the arm was at rest by then.
    rests: the arm must come to rest, whatever the mode. tail: within the time of a window's tail,
    as nobody is there to stop it. moving: it moves at first.
    short: part of ./dev test.

    Raises ValueError where a row that must be told says no words, or one that is silent has some.
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
        """What the table says, None where no watch reacts."""
        if not self.watch:
            return None
        row = TABLE[self.watch]
        return row.worse if self.worse and row.worse else row.reaction

    @property
    def must_rest(self) -> bool:
        """Whether the arm must be at rest before the fault is mended."""
        return self.rests or self.tail or bool(self.end_mode)

    @property
    def end_mode(self) -> str:
        """The mode in which the arm must come to rest, empty where it must not stop."""
        if self.mode is not None:
            return self.mode
        return MODE_OF[self.reaction] if self.reaction else ""

    @property
    def way_back(self) -> str:
        """What it takes to go on."""
        return self.recovery or (RESET if self.end_mode == "fault" else ITSELF)

    @property
    def expected(self) -> str:
        """The reaction in words, for the document."""
        if self.expect:
            return self.expect
        return f"{self.reaction.value if self.reaction else 'none'} ({self.watch})"


@dataclass(frozen=True, slots=True)
class Group:
    """Faults that share a bring-up. policy: parameters of the node; simulated: on /clock.

    network: "near", or "far": commands and controllers' states pass the relay as well; "untold":
    commands do, and no controller tells its state.
    """

    name: str
    faults: tuple[Fault, ...]
    policy: tuple[tuple[str, object], ...] = BUSY
    simulated: bool = False
    network: str = "near"
