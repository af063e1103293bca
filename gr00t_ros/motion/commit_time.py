"""The commit time of the next window: as short as the measured delivery allows.

The law. Window i is sent at t[i] with the commit time c[i]. It equals the window before it up to
n[i] >= t[i] + c[i]. It arrives at a[i] <= t[i] + d[i]. If the windows k .. i-1 are lost, at most
`lost_windows` of them in a row, the switch to window i is no step where a[i] <= n[j] for each j in
k .. i. The rule c[j] >= (lost_windows + 1) * refresh + d[j] ensures this for any sequence of commit
times, because each window is made and checked for the delivery that its own commit time covers. And
t[i] + c[i] never decreases, because the commit time is shortened more slowly than time passes: a
motion that was merged is not cut off by an earlier branch.

What is measured. No controller acknowledges a window. Its states take the same way in the other
direction: their delivery is the time from their stamp to their arrival. The clock's offset is part
of it, and a stamp from the future shows that the clocks differ. A constant offset in the other
direction, and a connection whose two directions differ, do not show: this is for a controller on
the same computer. All times are plan time in ns.
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

    Call `received` for each state of a controller, `late` for each window that is sent, and `doubt`
    for whatever shows that delivery is not what it was; `at` for each window.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        """Begin with the longest commit time, that of `settings`; "fixed" keeps it."""
        self._settings = settings
        self.why = _NO_STATES if self.measured else FIXED
        """What the present commit time comes from."""
        self._commit_ns = settings.commit_ns
        self._at_ns: int | None = None
        self._since_ns: int | None = None  # of the states without a doubt since then
        self._newest_ns = 0
        self._transit, self._late = _Longest(), _Longest()

    @property
    def measured(self) -> bool:
        """Whether the commit time depends on what is measured."""
        return self._settings.commit == MEASURED

    @property
    def commit_ns(self) -> int:
        """The present commit time."""
        return self._commit_ns

    def received(self, now_ns: int, transit_ns: int | None) -> None:
        """A state came, `transit_ns` after its stamp; None: that is not known of a controller."""
        if not self.measured:
            return
        if transit_ns is None:
            self.doubt("a controller or its middleware does not tell how long its states take")
            return
        if transit_ns < -FUTURE_NS:
            self.doubt(f"a controller's state is stamped {-transit_ns / MS:.1f} ms in the future")
            return
        self._transit.add(now_ns, transit_ns)
        if self._since_ns is not None and now_ns - self._newest_ns > RAREST_NS:
            self.doubt(f"no state of a controller for {(now_ns - self._newest_ns) / MS:.0f} ms")
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        self._newest_ns = now_ns

    def late(self, now_ns: int, late_ns: int) -> None:
        """A window is sent `late_ns` after the time for which it was made."""
        if self.measured:
            self._late.add(now_ns, late_ns)

    def doubt(self, reason: str) -> None:
        """Use the longest commit time at once; what was received so far is no evidence any more."""
        if self.measured:
            self._commit_ns, self.why = self._settings.commit_ns, reason
            self._since_ns = None

    def at(self, now_ns: int) -> int:
        """The commit time of a window that is made now: longer at once, shorter slowly."""
        before_ns, self._at_ns = self._at_ns, now_ns
        if not self.measured or self._since_ns is None:
            return self._commit_ns
        if now_ns - self._newest_ns > RAREST_NS:
            self.doubt(f"no state of a controller for {(now_ns - self._newest_ns) / MS:.0f} ms")
        elif now_ns - self._since_ns < EVIDENCE_NS:
            seconds = (now_ns - self._since_ns) // S
            self.why = f"states of {seconds} s so far, {EVIDENCE_NS // S} s are needed"
        else:
            passed_ns = 0 if before_ns is None else max(0, now_ns - before_ns)
            # A longer gap is no tick: while nothing is sent, nothing is shortened.
            passed_ns = min(passed_ns, self._settings.refresh_ns)
            self._commit_ns = max(self._needed_ns(), self._commit_ns - passed_ns // SHORTER)
        return self._commit_ns

    def _needed_ns(self) -> int:
        """The commit time by the rule with what was measured."""
        transit_ns, late_ns = self._transit.longest_ns, self._late.longest_ns
        delivery_ns = max(PUBLISH_NS, late_ns) + max(LEAST_NS, MARGIN * transit_ns)
        self.why = (
            f"states took {transit_ns / MS:.1f} ms at most, windows left {late_ns / MS:.1f} ms late"
        )
        needed_ns = max(SHORTEST_NS, self._settings.rounds_ns + delivery_ns)
        return min(needed_ns, self._settings.commit_ns)


class _Longest:
    """The longest duration of the last MEMORY_NS, to a second."""

    def __init__(self) -> None:
        self._of_second: deque[tuple[int, int]] = deque()

    @property
    def longest_ns(self) -> int:
        return max((longest_ns for _, longest_ns in self._of_second), default=0)

    def add(self, now_ns: int, duration_ns: int) -> None:
        second, kept = now_ns // S, self._of_second
        if kept and kept[-1][0] == second:
            duration_ns = max(duration_ns, kept.pop()[1])
        kept.append((second, duration_ns))
        while kept[0][0] < second - MEMORY_NS // S:
            kept.popleft()
