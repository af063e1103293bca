"""The commit time of the next window: as short as the measured delivery allows.

The law. Window i is sent at t[i] with the commit time c[i]. It equals the window before it up to
n[i] >= t[i] + c[i]. Let windows k to i-1 be lost, at most `lost_windows` in a row. The switch to
window i is no step if it arrives by n[j] for each j in k to i. Each commit time keeps the rule
c[j] >= (lost_windows + 1) * refresh + d[j], so there is no step for any delivery up to the least
d[j]; a window that could come later is withheld (Planner.covered_ns). The commit times may follow
each other in any way that keeps t[i] + c[i] from decreasing: what is final for one window is then
final for all later ones. They do, because a commit time is shortened more slowly than time passes.

What is measured. No controller acknowledges a window. Its states take the same way in the other
direction: their delivery is the time from their stamp to their arrival. The clocks' offset is part
of it, and a stamp from the future shows that the controller's clock is ahead. It does not show a
clock that is ahead by less than the way takes, or commands that are slower than states. So this is
for controllers on this computer (docs/motion.md). All times are plan time in ns.
"""

from __future__ import annotations

from collections import deque

from gr00t_ros.motion.replay_settings import FIXED, MEASURED, MS, PUBLISH_NS, ReplaySettings

S = 1_000_000_000

SHORTEST_NS = 20 * MS
"""No commit time is shorter: one period of a 50 Hz controller."""
MEMORY_NS = 60 * S
"""The longest delivery of this time counts: a percentile would be exceeded many times a minute."""
EVIDENCE_NS = 20 * S
"""Time of states without a doubt before the commit time is shortened: over a thousand at 50 Hz."""
SHORTER = 200
"""The commit time is shortened by one ns in so many: 5 ms a second, 10 s from 100 to 50 ms."""
MARGIN = 2
"""A window may take so many times the longest delivery of a state. States are sent and received by
threads that only do this; a controller takes a window in a callback among others."""
LEAST_NS = 10 * MS
"""Delivery that is covered whatever was measured: one cycle of a controller at 100 Hz. It takes a
window that has arrived in its next cycle."""
RAREST_NS = 100 * MS
"""States at longer intervals show too little: below 10 Hz, or a silence."""
FUTURE_NS = 100_000
"""Stamps from further in the future show that the clocks differ."""

_NO_STATES = "no state of a controller was received yet"


class CommitTime:
    """Chooses the commit time; the caller makes all calls one after another.

    Call `received` for each state of a controller, `late` for each window that is sent, `doubt` and
    `refute` for whatever shows that delivery is not what it was; `at` for each window.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        """Begin with the longest commit time, that of `settings`; "fixed" keeps it."""
        self._settings = settings
        self.measured: bool = settings.commit == MEASURED
        """Whether the commit time depends on what is measured."""
        self.commit_ns = settings.commit_ns
        """The present commit time."""
        self._doubt = _NO_STATES if self.measured else FIXED
        self._at_ns = 0
        # States came from the first time to the second one, without a doubt; None: in doubt.
        self._since_ns: int | None = None
        self._newest_ns = 0
        self._newest_of_ns: dict[int, int] = {}  # by controller
        self._transit, self._late = _Longest(), _Longest()

    @property
    def why(self) -> str:
        """What the present commit time comes from."""
        if self._since_ns is None:
            return self._doubt
        if self._newest_ns - self._since_ns < EVIDENCE_NS:
            since_s = (self._newest_ns - self._since_ns) // S
            return f"{self._doubt}; states of {since_s} s since, {EVIDENCE_NS // S} s are needed"
        return (
            f"states took {self._transit.longest_ns / MS:.1f} ms at most, windows left "
            f"{self._late.longest_ns / MS:.1f} ms late"
        )

    def received(self, now_ns: int, transit_ns: int | None, controller: int = 0) -> None:
        """A state came, `transit_ns` after its stamp; None: that is not known of a controller.

        controller: its number; each of them must be heard.
        """
        if not self.measured:
            return
        if transit_ns is None:
            self.doubt("a controller or its middleware does not tell how long its states take")
        elif transit_ns < -FUTURE_NS:
            self.doubt(f"a controller's state is stamped {-transit_ns / MS:.1f} ms in the future")
        else:
            self._transit.add(now_ns, transit_ns)
            self._doubt_silence(now_ns)
            self._since_ns = now_ns if self._since_ns is None else self._since_ns
            self._newest_ns = self._newest_of_ns[controller] = now_ns

    def late(self, now_ns: int, late_ns: int) -> None:
        """A window is sent `late_ns` after the time for which it was made."""
        if self.measured:
            self._late.add(now_ns, late_ns)

    def doubt(self, reason: str) -> None:
        """Use the longest commit time at once; what was received so far is no evidence any more."""
        if self.measured:
            self.commit_ns, self._doubt = self._settings.commit_ns, reason
            self._since_ns = None

    def refute(self, reason: str) -> None:
        """A window that was not covered came late or never: what is measured is no bound.

        The longest commit time is used from then on, however well the states come.
        """
        if self.measured:
            self.doubt(f"until the next configure, because of {reason}")
            self.measured = False

    def at(self, now_ns: int) -> int:
        """The commit time of a window that is made now: longer at once, shorter slowly."""
        # After a gap nothing is made up for: while no window is made, nothing is shortened.
        passed_ns = min(max(0, now_ns - self._at_ns), self._settings.refresh_ns)
        self._at_ns = now_ns
        self._doubt_silence(now_ns)
        if self._since_ns is not None and self._newest_ns - self._since_ns >= EVIDENCE_NS:
            self.commit_ns = max(self._needed_ns(), self.commit_ns - passed_ns // SHORTER)
        return self.commit_ns

    def _doubt_silence(self, now_ns: int) -> None:
        silent_ns = now_ns - min(self._newest_of_ns.values(), default=now_ns)
        if self._since_ns is not None and silent_ns > RAREST_NS:
            self.doubt(f"no state of a controller for {silent_ns / MS:.0f} ms")

    def _needed_ns(self) -> int:
        """The commit time by the rule with what was measured."""
        transit_ns = max(LEAST_NS, MARGIN * self._transit.longest_ns)
        delivery_ns = max(PUBLISH_NS, self._late.longest_ns) + transit_ns
        needed_ns = max(SHORTEST_NS, self._settings.rounds_ns + delivery_ns)
        return min(needed_ns, self._settings.commit_ns)


class _Longest:
    """The longest duration of the last MEMORY_NS, to a second."""

    def __init__(self) -> None:
        # Seconds and the longest of each; a shorter one before a longer one does not count.
        self._falling: deque[tuple[int, int]] = deque()

    @property
    def longest_ns(self) -> int:
        return self._falling[0][1] if self._falling else 0

    def add(self, now_ns: int, duration_ns: int) -> None:
        falling = self._falling
        while falling and falling[-1][1] <= duration_ns:
            falling.pop()
        if not falling or falling[-1][0] < now_ns // S:
            falling.append((now_ns // S, duration_ns))
        while falling[0][0] < (now_ns - MEMORY_NS) // S:
            falling.popleft()
