"""Any `lost_windows` windows in a row may be lost: the controller makes the motion all the same.

For every change of the motion (a stop, a stop inside the committed part, the end of the plan), with
integers for a clock and the sampler in place of a controller.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from oracle import HOME, MS, START_NS, Record, assert_lawful, fr3_limits

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.planner import SOON_NS
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler

LIMITS = fr3_limits(jump=1.0)
ENDS_MS = 2600  # the slowest motion, with the longest commit time, rests and was sent often enough
SPEEDS = st.sampled_from([0.01, 0.03, 0.05, 0.1, 0.12, 0.2, 0.3, 0.5, 1.0])


@st.composite
def chosen_settings(draw: st.DrawFn) -> ReplaySettings:
    """Knots, refresh and lost windows, with the least commit time that the rule allows."""
    refresh_ns = draw(st.sampled_from([10, 20, 35])) * MS
    lost = draw(st.integers(0, 3))
    found = ReplaySettings(
        knot_ns=draw(st.sampled_from([10, 20])) * MS, refresh_ns=refresh_ns, lost_windows=lost
    )
    commit_ns = max(found.rounds_ns + found.delivery_ns, 72 * MS)
    return replace(found, commit_ns=commit_ns, horizon_ns=commit_ns + 300 * MS).check()


@dataclass(frozen=True)
class Sent:
    """The windows of one motion with the times at which they left, and the plan at its end."""

    sent: list[tuple[int, Window]]
    changed_ns: int
    replay: Replay

    def record(self, delay_ns: int, lost: range = range(0)) -> Record:
        """What the controller commands if the windows `lost` are, and all others take so long."""
        jtc = JtcSampler(len(HOME))
        jtc.hold(HOME)
        kept = (one for index, one in enumerate(self.sent) if index not in lost)
        due = [(at_ns + delay_ns, window) for at_ns, window in kept]
        record = Record(START_NS, np.empty((ENDS_MS, len(HOME))), [])
        for index in range(len(record.position)):
            now_ns = START_NS + index * MS
            while due and due[0][0] <= now_ns:
                reason = jtc.accept(due.pop(0)[1], now_ns, HOME)
                record.rejections += [] if reason is None else [reason]
            record.position[index] = jtc.sample(now_ns)[0]
        return record


def motion(speed: float, chosen: ReplaySettings, change: str, at_ms: int) -> Sent:
    """All joints at `speed` rad/s; at `at_ms` (and before the next tick) the `change` is due."""
    replay, step_ns = Replay(LIMITS, chosen), 50 * MS
    replay.start(START_NS, HOME)
    changed_ns = START_NS + at_ms * MS
    steps = 2 + at_ms // 50 if change == "end" else 60
    path = HOME + speed * np.minimum(step_ns * 1e-9 * np.arange(steps), 1.0)[:, None]
    assert replay.accept(ActionChunk(0, 1, START_NS, step_ns, path, {}), START_NS).accepted
    sent = []
    for now_ns in range(START_NS, START_NS + ENDS_MS * MS, chosen.refresh_ns):
        if change != "end" and changed_ns - chosen.refresh_ns < now_ns <= changed_ns:
            replay.stop(now_ns, change, soon=change == "soon")
            changed_ns = now_ns
        window = replay.tick(now_ns)
        sent += [] if window is None else [(now_ns, window)]
    assert replay.surely_at_rest(START_NS + ENDS_MS * MS, 0)
    return Sent(sent, changed_ns, replay)


CHANGES = pytest.mark.parametrize("change", ["stop", "soon", "end"])


@CHANGES
@settings(max_examples=examples(40), deadline=None)
@given(SPEEDS, chosen_settings(), st.integers(400, 520), st.integers(0, 20), st.data())
def test_every_lost_window_is_made_good(change, speed, chosen, at_ms, delay_ms, data) -> None:
    """Whichever are lost, the arm keeps its limits and rests where and when the plan does."""
    made = motion(speed, chosen, change, at_ms)
    whole = made.record(delay_ms * MS)
    rest = whole.position[-1]
    np.testing.assert_allclose(rest, made.replay.position(START_NS + ENDS_MS * MS), atol=1e-12)
    first = next(k for k, (at_ns, _) in enumerate(made.sent) if at_ns >= made.changed_ns)
    last = len(made.sent) - 1
    begin = data.draw(st.integers(first - 1, last if change == "end" else min(first + 3, last)))
    lost = range(begin, begin + chosen.lost_windows)
    record = made.record(delay_ms * MS, lost)
    np.testing.assert_allclose(record.position[-1], rest, atol=1e-12)
    kept = (at_ns for k, (at_ns, _) in enumerate(made.sent) if k >= first and k not in lost)
    arrives_ns = next(kept, made.changed_ns) + delay_ms * MS
    rests_ns = max(arrives_ns, made.replay.planner.courses[0].end_ns)
    moving = np.flatnonzero(np.abs(record.position - rest).max(axis=1) > 1e-9)
    assert START_NS + moving[-1] * MS <= rests_ns
    if change == "soon":
        begins_ns = -(-(made.changed_ns + SOON_NS) // chosen.knot_ns) * chosen.knot_ns
        assert_bounded(record, max(0, arrives_ns - begins_ns) * 1e-9)
    else:
        assert_lawful(record, LIMITS)


def assert_bounded(record: Record, late_s: float) -> None:
    """A window that comes so late is a step in velocity of at most jerk * late^2."""
    assert record.rejections == []
    velocity = np.diff(record.position, axis=0) * 1e3
    steps = np.abs(np.diff(velocity, axis=0)).max()
    way = LIMITS.jerk.max() * late_s**3 * 1e3  # the way that it is behind by, made in 1 ms
    assert steps <= 6.0e-3 + way + LIMITS.jerk.max() * late_s**2 + 1e-6


@CHANGES
@settings(max_examples=examples(40), deadline=None)
@given(SPEEDS, chosen_settings(), st.integers(400, 520))
def test_every_change_is_sent_once_more_than_windows_may_be_lost(
    change, speed, chosen, at_ms
) -> None:
    """The last windows of a motion are one and the same."""
    made = motion(speed, chosen, change, at_ms)
    times_ns = np.arange(made.sent[-1][0], START_NS + ENDS_MS * MS, chosen.knot_ns)
    last = [rows_at(window, times_ns) for _, window in made.sent[-1 - chosen.lost_windows :]]
    assert len(last) == chosen.lost_windows + 1
    for rows in last:
        np.testing.assert_array_equal(rows, last[-1])


@settings(max_examples=examples(40), deadline=None)
@given(SPEEDS, chosen_settings(), st.integers(400, 520))
def test_a_window_holds_its_rest_for_the_commit_time(speed, chosen, at_ms) -> None:
    """A controller rejects a window that has ended when it arrives: none ends within it."""
    for sent_ns, window in motion(speed, chosen, "soon", at_ms).sent:
        assert window.end_ns >= sent_ns + chosen.commit_ns
        assert not window.velocities[-1].any() and not window.accelerations[-1].any()


@settings(max_examples=examples(40), deadline=None)
@given(SPEEDS, chosen_settings(), st.integers(400, 520), st.sampled_from(["stop", "soon"]))
def test_after_its_last_window_nothing_is_overdue_or_due(speed, chosen, at_ms, change) -> None:
    """A stop that was sent often enough needs no further window, however long it is ago."""
    made = motion(speed, chosen, change, at_ms)
    for later_ms in range(ENDS_MS, ENDS_MS + 2400, 50):
        now_ns = START_NS + later_ms * MS
        assert made.replay.overdue_ns(now_ns) == 0
        assert made.replay.surely_at_rest(now_ns, 0)
        assert made.replay.tick(now_ns) is None


def rows_at(window: Window, times_ns: np.ndarray) -> np.ndarray:
    """(N, J) position that a window has for these times; before and after it as at its ends."""
    knot_ns = int(window.times_ns[1] - window.times_ns[0])
    rows = (times_ns - window.stamp_ns) // knot_ns
    return window.positions[np.clip(rows, 0, len(window.positions) - 1)]
