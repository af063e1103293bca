"""A session on a real replay with FR3's limits, and its caller: ticks, chunks, what was published.

The controllers of the rig hold what the windows told them, unless somebody else moves them.
"""

from dataclasses import dataclass, field

import numpy as np
from oracle import HOME, MS, fr3_limits

from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.guard import Verdict
from gr00t_ros.core.mode import Mode
from gr00t_ros.core.plan import Window
from gr00t_ros.core.replay import Replay, ReplaySettings
from gr00t_ros.core.session import Session
from gr00t_ros.core.session_settings import SessionSettings
from gr00t_ros.core.watchdog import Finding, Reaction

START_NS = 1_000 * MS
STEP_NS = 50 * MS
TICK_NS = 20 * MS

PAUSE = Finding("stream_age", Reaction.PAUSE, "camera is late")
FAULT = Finding("stream_age", Reaction.FAULT, "joint states are gone")
ADRIFT = Finding(
    "reference_against_plan", Reaction.PAUSE, "the controller plays something else", tail=True
)
DROP = Finding("skew", Reaction.DROP, "streams are apart")


@dataclass
class Rig:
    """Calls the session as the replay thread does and remembers each window."""

    session: Session = field(
        default_factory=lambda: Session(Replay(fr3_limits(), ReplaySettings()), SessionSettings())
    )
    now_ns: int = START_NS
    held: np.ndarray | None = field(default_factory=lambda: HOME.copy())
    windows: list[Window] = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)

    @property
    def mode(self) -> Mode:
        return self.session.mode

    def activate(self) -> "Rig":
        self.session.set_ready(True, "")
        assert self.held is not None
        self.session.activate(self.now_ns, self.held)
        return self

    def chunk(self, rad: float = 0.2, age_ns: int = 0, episode: int | None = None, steps: int = 40):
        """A chunk that leads all joints `rad` from where they are within 16 steps."""
        at = self.session.replay.position(self.now_ns)
        rows = at + rad * np.minimum(np.arange(steps) / 16, 1.0)[:, None]
        number = self.session.episode if episode is None else episode
        return ActionChunk(0, number, self.now_ns - age_ns, STEP_NS, rows, {})

    def merge(self, *arguments, **named) -> Verdict | None:
        return self.session.merge(self.chunk(*arguments, **named), self.now_ns, self.held)

    def merge_far(self) -> Verdict | None:
        """A chunk whose first step is a jump."""
        far = self.chunk()
        far = ActionChunk(0, far.episode, far.stamp_ns, STEP_NS, far.joints + 0.5, {})
        return self.session.merge(far, self.now_ns, self.held)

    def tick(self, *findings: Finding, count: int = 1) -> list[Window]:
        """So many ticks with these findings; what they published."""
        found = []
        for _ in range(count):
            window = self.session.tick(self.now_ns, findings, self.held)
            self.session.keep()
            if window is not None:
                found.append(window)
                self.sent_ns.append(self.now_ns)
            self.now_ns += TICK_NS
        self.windows += found
        return found

    def until(self, *modes: Mode, findings: tuple[Finding, ...] = (), limit: int = 400) -> "Rig":
        """Tick until one of these modes; fails after `limit` ticks."""
        for _ in range(limit):
            if self.mode in modes:
                return self
            self.tick(*findings)
        raise AssertionError(f"still {self.mode.value} ({self.session.reason}) after {limit} ticks")

    def moving(self) -> "Rig":
        """Activated and in the middle of a motion."""
        self.activate()
        verdict = self.merge()
        assert verdict is not None and verdict.accepted
        self.tick(count=25)
        assert self.mode is Mode.REPLAYING
        assert np.abs(self.session.replay.velocity(self.now_ns)).max() > 0.05
        return self

    def holding(self) -> "Rig":
        """At rest, the plan at its end."""
        return self.moving().until(Mode.HOLDING)

    def paused(self) -> "Rig":
        """At rest because a watch paused."""
        return self.moving().until(Mode.PAUSED, findings=(PAUSE,))

    def paused_by_operator(self) -> "Rig":
        """At rest because the operator said so."""
        self.moving()
        assert self.session.pause(self.now_ns) == ""
        return self.until(Mode.PAUSED_BY_OPERATOR)

    def faulted(self) -> "Rig":
        """At rest in the latched fault."""
        return self.moving().until(Mode.FAULT, findings=(FAULT,))

    def leave(self, held: np.ndarray, *findings: Finding) -> str:
        """What the operator does about the mode: ~/resume of a pause, ~/reset of all others."""
        paused = self.mode is Mode.PAUSED_BY_OPERATOR
        go_on = self.session.resume if paused else self.session.reset
        return go_on(self.now_ns, held, findings)

    def assert_comes_to_rest(self, limit: int = 100) -> None:
        """The last window played out is where the plan rests, in a mode that says so."""
        self.until(*AT_REST, Mode.WAITING, Mode.FAULT_INACTIVE, limit=limit)
        assert not self.session.replay.velocity(self.now_ns).any()
        last = self.windows[-1]
        assert last.velocities is not None and not last.velocities[-1].any()
        assert last.end_ns <= self.now_ns


HELD_MODES = (Mode.PAUSED, Mode.PAUSED_BY_OPERATOR, Mode.FAULT)
AT_REST = [Mode.HOLDING, *HELD_MODES]


def at_mode(mode: Mode) -> Rig:
    """A rig in that mode."""
    rig = Rig()
    if mode is Mode.READY:
        rig.session.set_ready(True, "")
    elif mode is Mode.BLENDING_IN:
        rig.activate().merge()
        rig.tick()
    elif mode is Mode.REPLAYING:
        rig.moving()
    elif mode is Mode.STOPPING:
        rig.moving().session.change_instruction(rig.now_ns)
    elif mode is Mode.FAULT_INACTIVE:
        rig.session.fault(rig.now_ns, FAULT.reason)
    elif mode is not Mode.WAITING:
        {
            Mode.HOLDING: rig.holding,
            Mode.PAUSED: rig.paused,
            Mode.PAUSED_BY_OPERATOR: rig.paused_by_operator,
            Mode.FAULT: rig.faulted,
        }[mode]()
    assert rig.mode is mode
    return rig


ACTIVE = [
    Mode.BLENDING_IN,
    Mode.REPLAYING,
    Mode.STOPPING,
    Mode.HOLDING,
    *HELD_MODES,
]
INACTIVE = [Mode.WAITING, Mode.READY, Mode.FAULT_INACTIVE]
