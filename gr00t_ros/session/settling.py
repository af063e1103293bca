"""When the controllers rest, and an abandoned plan: when it gets no further window, what is next.

The controllers play the stop ramp of the last window that they received. That may end later than
the plan says, because their own clock did not jump, and elsewhere, because they missed a window.
Only the position that they hold shows when and where the arm rests. All times are plan time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.replay import Replay
from gr00t_ros.session.mode import ACTIVE, MOVING, Mode
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import graver, reasoned

HeldPositions = NDArray[np.float64] | None
"""(J,) position that the controllers hold; None where they do not publish it."""

SETTLED_NS = 250_000_000
"""How long after a motion the held position is certainly that of the rest: it may be 0.2 s old when
it is read."""

DIVERGED = "reference_against_plan"
"""The watch whose finding means that a controller plays something else than the plan."""

_LATE = "controller_late"
# Largest difference of the held positions of a controller at rest, however slowly they change.
_SAME_RAD = 1e-4
# Longest wait of a stop for a controller that has published its state before and is silent now, and
# for one that moves after every window has ended. A longer silence has a watch of its own
# (controller_silent), and an operator can reset only after the stop.
_UNKNOWN_NS = 2_000_000_000
_BACK_NS = 3_000_000_000
"""So long controllers may ramp after a clock jump back; no stop waits for a longer one to end."""


class Abandonment:
    """Whether the plan of a session is abandoned, until when, and where the next plan starts.

    At each tick call `overdue` and `begin_if_diverged`, then `over` and `still`; before a new
    episode call `restart`.
    """

    def __init__(self, replay: Replay, shadow: bool = False) -> None:
        """shadow: the controllers play nothing of ours, so no stop waits until they rest."""
        self._replay = replay
        self._shadow = shadow
        self._settling = Settling()
        self._abandoned = False
        self._on_time = False  # no clock jumped: the stop ramp ends when the plan says
        self._needs_held = False  # a controller was late: go on only once `held` is known
        self._assumed = False  # the next plan began where the last one ended: `held` was unknown
        # Of the last tick: in the tick after a jump all inputs are empty.
        self._newest_held: HeldPositions = None
        self._all_publish = False  # since the activation: every controller publishes its state
        # It has moved by less than _SAME_RAD from there since `_moved_ns`.
        self._seen: HeldPositions = None
        self._moved_ns: int | None = None  # None: it has not moved since the activation
        self._moved_joint = 0  # the joint that moved most then
        self._ended_ns: int | None = None  # since when every window that was sent has ended
        self._ahead_until_ns = 0  # plan time to which windows of before a jump back reach
        self._shifted = False  # whether plan time jumped ahead in this stop
        self.rest_unknown = False
        """Set in the tick that ends a wait after a clock jump with no held position known."""

    def forget(self) -> None:
        """Forget what was before an activation."""
        self._abandoned = self._needs_held = self._all_publish = self._assumed = False
        self._newest_held = self._seen = self._ended_ns = None
        self._moved_ns, self._ahead_until_ns, self._shifted = None, 0, False

    @property
    def pending(self) -> bool:
        """Whether the controllers may still play the abandoned plan."""
        return self._settling.pending

    def newest_held(self, held: HeldPositions) -> HeldPositions:
        """(J,) rad: `held`, or that of the last tick if it is None."""
        return self._newest_held if held is None else held

    # When a plan is abandoned.

    def overdue(self, now_ns: int, mode: Mode) -> tuple[Finding, ...]:
        """A finding if no window was published for so long that a lost one would be a step."""
        overdue_ns = self._replay.overdue_ns(now_ns) if mode in MOVING else 0
        if not overdue_ns:
            return ()
        commit_ns = self._replay.planner.sent_commit_ns
        text = (
            f"replay thread: no window has left for {overdue_ns / 1e9:.2f} s of motion, at most "
            f"{commit_ns / 1e9:.2f} s (commit_ms) allowed; check the CPU's load"
        )
        return (reasoned("replay_starvation", text, stop_ramp_only=True),)

    def begin_if_diverged(
        self, now_ns: int, findings: Sequence[Finding], held: HeldPositions, mode: Mode
    ) -> Sequence[Finding]:
        """Abandon the plan if a controller may play something else; return the findings that count.

        Nothing more of the plan is published: the stop ramp that the controllers already have is
        the stop (control.md 1, items 7 and 11). After a late controller, or windows that may be
        lost, the next plan starts from the held position alone, so the pause lasts until that is
        known. It is a fault if it was never known since the activation: a controller that never
        publishes its state cannot show where it rests. At rest, with no window missing, the
        findings of `reference_against_plan` are dropped: the next plan starts from the held
        position anyway. They are dropped too while a soon stop can be made good.
        """
        diverged = [finding for finding in findings if finding.stop_ramp_only]
        on_time = all(finding.watch != DIVERGED for finding in diverged)
        lost = mode in ACTIVE and self._replay.planner.windows_may_be_lost(now_ns)
        moving = mode in MOVING and not self.pending
        goes_on = not (diverged and moving and not (on_time and self._known_end(now_ns)))
        if not lost and (goes_on or (mode is Mode.STOPPING and self._stops_anew(diverged))):
            return [finding for finding in findings if finding.watch != DIVERGED]
        self.begin(now_ns, now_ns, held, on_time)
        self._needs_held = lost or any(one.watch == _LATE for one in diverged)
        if held is not None:
            return findings
        ends = {DIVERGED} if self._all_publish else {DIVERGED, _LATE}
        # a pause that could not end by itself
        return [graver(one) if one.watch in ends else one for one in findings]

    def _stops_anew(self, diverged: Sequence[Finding]) -> bool:
        """Whether a stop inside the committed part goes on although windows of it were lost."""
        found = [one.earlier for one in diverged]
        known = [one for one in found if one is not None]
        if not known or len(known) < len(found):
            return False
        names = [name for one in known for name in one.joint_names]
        return self._replay.stop_anew(names, min(one.at_ns for one in known))

    def _known_end(self, now_ns: int) -> bool:
        """Whether nothing more has to be abandoned: no plan is played, or it surely rests."""
        return self._abandoned or self._replay.surely_at_rest(now_ns, SETTLED_NS)

    def begin(
        self,
        old_now_ns: int,
        now_ns: int,
        held: HeldPositions,
        on_time: bool = False,
        left_ns: int = 0,
    ) -> None:
        """Publish no more of the plan as of `old_now_ns`: the controllers play its stop ramp.

        on_time: no clock jumped, so the controllers play it at the plan's own time. The stop then
        ends with it even if no controller publishes; a watch keeps the pause while one that has
        published before is silent. left_ns: how long the stop ramp lasts at least, if the plan
        says less.
        """
        self._abandoned, self._on_time = True, on_time
        if self._moved_ns is not None:
            self._moved_ns = min(self._moved_ns, now_ns)  # plan time may have run back
        if self._ended_ns is not None:
            self._ended_ns = min(self._ended_ns, now_ns)
        left_ns = max(left_ns, self._replay.stop_ramp_left_ns(old_now_ns))
        if now_ns < old_now_ns:  # the controllers ramp to the stamps, and play the windows then
            ahead_ns = min(old_now_ns, now_ns + _BACK_NS) + left_ns
            self._ahead_until_ns = ahead_ns if left_ns else 0
        if not self._shadow:
            # Wait at least until the held position is newer than this moment: it then shows whether
            # the arm still moves.
            self._settling.begin(now_ns, max(left_ns, SETTLED_NS), held, on_time)
        if held is not None:
            self._replay.start(now_ns, held)
        elif old_now_ns == now_ns:
            self._replay.abandon(now_ns)
        else:  # they play all that was sent, to its end
            end_ns = max(old_now_ns, self._replay.planner.course.end_ns)
            self._replay.start(now_ns, self._replay.position(end_ns))

    def shift(self, by_ns: int) -> None:
        """Plan time jumped ahead by that much: what was waited for is as long ago as before it.

        Once in a stop: one whose clock jumps at every tick would never end.
        """
        if self._shifted:
            return
        self._shifted = True
        if self._moved_ns is not None:
            self._moved_ns += by_ns
        if self._ended_ns is not None:
            self._ended_ns += by_ns
        self._settling.shift(by_ns)

    # When it is over.

    def over(self, now_ns: int, held: HeldPositions, mode: Mode) -> bool:
        """Whether the controllers rest; ask it at each tick. Sets `rest_unknown`.

        In mode stopping it is also true once they move for so long that it is not the abandoned
        plan: `moved_by_others` then ends the stop. A pause waits on: it would end by itself.
        """
        waited, self._newest_held = self.pending, held
        self._all_publish |= held is not None
        self._note_motion(now_ns, held)
        limited = mode is Mode.STOPPING and self._ended_long_ago(now_ns)
        settled = self._settling.over(now_ns, held, limited)
        self.rest_unknown = waited and self._settling.gave_up and not self._on_time
        return settled

    def _note_motion(self, now_ns: int, held: HeldPositions) -> None:
        if held is None:
            return
        if self._seen is None:
            self._seen = held  # nothing was sent before, or it never told
        elif _apart(held, self._seen):
            self._moved_joint = int(np.argmax(np.abs(held - self._seen)))
            self._seen, self._moved_ns = held, now_ns

    def note_stop(self) -> None:
        """Note that a stop begins, or becomes graver: its wait begins anew."""
        self._ended_ns, self._shifted = None, False

    def still(self, now_ns: int, held: HeldPositions) -> bool:
        """Whether the published states show that the controllers stand still; ask it after `over`.

        A controller that missed a stop goes on with an earlier window. If one does not tell, they
        rest once each of the windows that were sent has ended. Always true in shadow.
        """
        if self._shadow:
            return True
        ended = self._replay.stop_ramp_left_ns(now_ns) == 0
        played = ended and now_ns >= self._ahead_until_ns
        self._ended_ns = (self._ended_ns or now_ns) if played else None
        if held is None:
            return ended
        return self._moved_ns is None or now_ns - self._moved_ns >= SETTLED_NS

    def moved_by_others(self, now_ns: int, held: HeldPositions) -> str:
        """What moves although every window has ended for long; empty if nothing does.

        Ask it after `still`, when `over` is true: another program commands the controllers, or
        their reference is that of a sensor. No stop waits for that to end.
        """
        if held is None or self._seen is None or not self._ended_long_ago(now_ns):
            return ""
        joint = self._replay.joint_names[self._moved_joint]
        return (
            f"{joint}: what its controller holds still changes, "
            f"{_UNKNOWN_NS / 1e9:.0f} s after the last window has ended: does another program "
            "command it?"
        )

    def _ended_long_ago(self, now_ns: int) -> bool:
        """Whether, in this stop, every window that was sent has ended for _UNKNOWN_NS."""
        return self._ended_ns is not None and now_ns - self._ended_ns >= _UNKNOWN_NS

    def next_may_begin(self, held: HeldPositions) -> bool:
        """Whether a pause may end: the controllers rest, and where is known if required."""
        return (held is not None or not self._needs_held) and not self.pending

    def restart(self, now_ns: int, held: HeldPositions) -> bool:
        """Start the next plan where the arm rests; False if the one before was not abandoned.

        Of some robots `held` is known with the first chunk and not in each tick, because one
        controller never publishes: a plan that was started without it is started again there.
        """
        self._needs_held = False
        again = self._assumed and held is not None and self._replay.at_rest(now_ns)
        self._assumed = False
        if not (self._abandoned or again):
            return False
        self._replay.start(now_ns, self._replay.position(now_ns) if held is None else held)
        self._abandoned, self._assumed = False, held is None
        return True


class Settling:
    """Waits until the old plan has played, and longer while the held position still changes.

    Call `begin` when the plan is abandoned, then `over` at each tick. After a jump the held
    position is unknown for a while, and the controllers may move during it. A position that is
    unknown in some ticks and the same before and after them is no motion: in slow simulated time a
    state may be too old by steady time before the next one comes.
    """

    def __init__(self) -> None:
        self._until_ns: int | None = None
        self._stood_at: HeldPositions = None
        self._given_up_ns = self._told_by_ns = self._played_ns = 0
        self._silent_ns: int | None = None  # first tick of the present silence
        self.gave_up = False

    def begin(self, now_ns: int, left_ns: int, held: HeldPositions, on_time: bool = False) -> None:
        """Begin to wait at `now_ns`; `left_ns` of the old plan had not played yet.

        held: (J,) now; None means that no controller is expected to publish its state. on_time: no
        clock jumped, so the old plan is over after `left_ns`, even if no state is published.
        """
        self._until_ns = self._played_ns = now_ns + left_ns
        self._stood_at, self.gave_up = held, False
        self._told_by_ns, self._silent_ns = now_ns, None
        known = held is None or on_time
        self._given_up_ns = now_ns if known else now_ns + _UNKNOWN_NS

    def shift(self, by_ns: int) -> None:
        """Wait for as long as before a jump of plan time by that much."""
        self._given_up_ns, self._told_by_ns = self._given_up_ns + by_ns, self._told_by_ns + by_ns
        self._played_ns += by_ns
        if self._until_ns is not None:
            self._until_ns += by_ns
        if self._silent_ns is not None:
            self._silent_ns += by_ns

    @property
    def pending(self) -> bool:
        """Whether the controllers may still play the abandoned plan."""
        return self._until_ns is not None

    def over(self, now_ns: int, held: HeldPositions, limited: bool = False) -> bool:
        """Whether the controllers rest; ask it at each tick. `held` (J,) is None if unknown.

        limited: do not wait longer than _UNKNOWN_NS, after the old plan has played, for a held
        position that changes. When it turns True, `gave_up` is set if the held position was unknown
        at the end.
        """
        if self._until_ns is None:
            return True
        if held is None:
            self._note_silence(now_ns)
        elif self._may_have_moved(now_ns, held):
            self._stood_at, self._until_ns = held, max(self._until_ns, now_ns + SETTLED_NS)
        if held is not None:
            self._told_by_ns, self._silent_ns = now_ns, None
        limited = limited and held is not None and now_ns - self._played_ns >= _UNKNOWN_NS
        if not limited and now_ns < max(self._until_ns, self._told_by_ns):
            return False
        self._until_ns, self.gave_up = None, held is None
        return True

    def _note_silence(self, now_ns: int) -> None:
        """Wait for the position to be known again, unless that is given up."""
        if self._silent_ns is None:
            self._silent_ns = now_ns
        if now_ns < self._given_up_ns:
            self._told_by_ns = now_ns + SETTLED_NS

    def _may_have_moved(self, now_ns: int, held: NDArray[np.float64]) -> bool:
        """Whether `held` differs from the position at which it stood, or nobody knows."""
        silent = self._silent_ns is not None and now_ns - self._silent_ns > SETTLED_NS
        return self._stood_at is None or silent or _apart(held, self._stood_at)


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return not float(np.max(np.abs(one - other))) <= _SAME_RAD  # NaN counts as motion
