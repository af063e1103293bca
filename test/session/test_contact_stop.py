"""A stop for a contact begins inside the committed part, inside the limits of motion."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import HOME, MS, Record, assert_lawful, fr3_limits
from session_rig import FAULT, PAUSE, START_NS, STEP_NS, TICK_NS, Rig

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.planner import SOON_NS
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.session.mode import MOVING, Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.watch.arm import earlier_window
from gr00t_ros.watch.finding import Earlier, Finding, Reaction

LIMITS = fr3_limits()
KNOT_NS = 20 * MS


def contact(reaction: Reaction) -> Finding:
    """What the watch returns."""
    return Finding("contact", reaction, "contact arm: elbow 30 Nm", soon=True)


def new_from_ns(rig: Rig, *findings: Finding) -> int:
    """Ticks once; how long after the tick the window first differs from what was sent."""
    now_ns, replay = rig.now_ns, rig.session.replay
    times = range(now_ns, now_ns + 400 * MS, MS)
    before = [replay.position(at_ns) for at_ns in times]
    (window,) = rig.tick(*findings)
    assert not window.velocities[-1].any() and not window.accelerations[-1].any()
    after = [replay.position(at_ns) for at_ns in times]
    apart = np.abs(np.array(after) - before).max(axis=1) > 1e-12
    return times[int(np.argmax(apart))] - now_ns


@pytest.mark.parametrize(
    ("reaction", "mode"), [(Reaction.PAUSE, Mode.PAUSED), (Reaction.FAULT, Mode.FAULT)]
)
def test_the_stop_begins_at_the_first_knot_that_a_window_can_reach(
    reaction: Reaction, mode: Mode
) -> None:
    """A tick later at most; other stops begin after the commit time."""
    rig = Rig().moving()
    assert new_from_ns(rig, contact(reaction)) <= SOON_NS + KNOT_NS + MS
    assert rig.session.reason == "contact arm: elbow 30 Nm"
    rig.until(mode, findings=(contact(reaction),))
    other = PAUSE if reaction is Reaction.PAUSE else FAULT
    assert new_from_ns(Rig().moving(), other) > 100 * MS


def stops_with_a_lost_window(late_ms: int, refresh_ms: int, commit_ms: int) -> tuple[float, int]:
    """Way and time to rest of a contact stop whose first window is lost; the next tick is late.

    The controller publishes each millisecond, and the watch compares as the node's does. Checks the
    limits of what the controller plays.
    """
    chosen = ReplaySettings(refresh_ns=refresh_ms * MS, commit_ns=commit_ms * MS)
    session = Session(Replay(LIMITS, chosen), SessionSettings())
    session.set_ready(True, "")
    session.activate(START_NS, HOME)
    jtc, played, next_ns, sent = JtcSampler(len(HOME)), [], START_NS, 0
    jtc.hold(HOME)
    angles = 3.0 * np.arange(60)[:, None] * STEP_NS * 1e-9 + np.arange(len(HOME))
    path = HOME + 0.2 * (np.sin(angles) - np.sin(angles[0]))
    chunk = ActionChunk(0, session.episode, START_NS, STEP_NS, path, {})
    verdict = session.merge(chunk, START_NS, HOME)
    assert verdict is not None and verdict.accepted
    stop_ns = START_NS + 1000 * MS
    replay = session.replay
    for now_ns in range(START_NS, stop_ns + 1000 * MS, MS):
        if now_ns >= next_ns:
            found = [contact(Reaction.FAULT)] if now_ns >= stop_ns else []
            at_ns = now_ns - MS  # of the newest state
            newest = replay.sent(at_ns)
            if newest is not None and session.mode in MOVING:
                before = replay.sent_before(at_ns)
                one = earlier_window("arm", played[-1], newest, before)
                if one is not None:
                    found.append(replace(one, earlier=Earlier(tuple(LIMITS.names), at_ns)))
            replay.states_received(now_ns)
            window = session.tick(now_ns, found, played[-1] if played else HOME)
            session.keep()
            if window is not None:
                if sent > 0 or now_ns < stop_ns:
                    assert jtc.accept(window, now_ns, HOME) is None
                sent += now_ns >= stop_ns
            next_ns += (refresh_ms + (late_ms if sent == 1 else 0)) * MS
        played.append(jtc.sample(now_ns)[0])
    assert session.mode is Mode.FAULT and session.reason == "contact arm: elbow 30 Nm"
    assert_lawful(Record(START_NS, np.array(played), []), LIMITS)
    moved = np.array(played)[1000:]
    still = np.abs(np.diff(moved, axis=0)).max(axis=1) < 1e-9
    return float(np.abs(moved[-1] - moved[0]).max()), int(len(still) - np.argmin(still[::-1]))


@pytest.mark.parametrize(
    ("late_ms", "refresh_ms", "commit_ms"),
    [(0, 20, 100), (30, 20, 100), (40, 20, 100), (0, 50, 152)],
)
def test_a_contact_stop_is_made_good_where_a_state_shows_that_it_was_lost(
    late_ms: int, refresh_ms: int, commit_ms: int
) -> None:
    """From where the arm then is: no step, and not the way of the window before, to its end."""
    way_rad, rest_ms = stops_with_a_lost_window(late_ms, refresh_ms, commit_ms)
    assert rest_ms < 200 + late_ms + refresh_ms
    assert way_rad < 0.6 * rest_ms * 1e-3


def test_its_motion_keeps_the_limits_and_later_windows_repeat_it() -> None:
    """All rows of all windows, so a lost one is made good by the next."""
    rig = Rig().moving()
    windows = rig.tick(contact(Reaction.PAUSE), count=5)
    assert len(windows) >= 3
    for window in windows:
        assert np.abs(window.accelerations).max() <= LIMITS.acceleration.max() * (1 + 1e-9)
        jerk = np.diff(window.accelerations, axis=0) / 0.02
        assert np.all(np.abs(jerk) <= LIMITS.jerk * (1 + 1e-9))
        rest = windows[0].positions[-1]
        np.testing.assert_array_equal(window.positions[-1], rest)
    rig.until(Mode.PAUSED, findings=(contact(Reaction.PAUSE),))


def test_a_controller_that_gets_the_stop_late_makes_a_bounded_step() -> None:
    """In velocity at most jerk * d^2, d after the knot where the stop begins."""
    rig = Rig().moving()
    replay, now_ns = rig.session.replay, rig.now_ns
    times = range(now_ns, now_ns + 100 * MS, MS)
    before = np.array([replay.velocity(at_ns) for at_ns in times])
    (window,) = rig.tick(contact(Reaction.PAUSE))
    begins_ns = window.same_until_ns - replay.settings.delivery_ns
    for at_ns, old in zip(times, before, strict=True):
        late_s = max(0, at_ns - begins_ns) * 1e-9
        assert np.all(np.abs(replay.velocity(at_ns) - old) <= LIMITS.jerk * late_s**2 + 1e-9)


def test_a_window_that_cannot_be_sent_before_its_stop_begins_is_made_anew() -> None:
    """The window says until when it may be sent; the next tick's stop begins a tick later."""
    rig = Rig().moving()
    session, delivery_ns = rig.session, rig.session.replay.settings.delivery_ns
    first = session.tick(rig.now_ns, (contact(Reaction.PAUSE),), rig.held)
    assert first is not None
    left_ns = first.same_until_ns - delivery_ns - rig.now_ns
    assert SOON_NS <= left_ns < SOON_NS + KNOT_NS
    rig.now_ns += TICK_NS  # it was not kept: not sent
    second = session.tick(rig.now_ns, (contact(Reaction.PAUSE),), rig.held)
    assert second is not None
    assert second.same_until_ns == first.same_until_ns + TICK_NS
    session.keep()
    assert session.replay.sent(rig.now_ns) is not None


def test_a_stop_that_is_under_way_gets_earlier_by_a_contact() -> None:
    """A pause that was planned after the commit time, one tick before."""
    rig = Rig().moving()
    rig.tick(PAUSE)
    assert new_from_ns(rig, PAUSE, contact(Reaction.PAUSE)) <= SOON_NS + KNOT_NS + MS


def test_a_fault_of_another_watch_does_not_delay_the_stop_for_a_contact() -> None:
    """Such as the tracking error of a blocked arm, in the same tick or before."""
    assert new_from_ns(Rig().moving(), FAULT, contact(Reaction.PAUSE)) <= SOON_NS + KNOT_NS + MS
    rig = Rig().moving()
    rig.tick(FAULT)
    assert new_from_ns(rig, FAULT, contact(Reaction.PAUSE)) <= SOON_NS + KNOT_NS + MS
    rig.until(Mode.FAULT, findings=(FAULT, contact(Reaction.PAUSE)))


def test_the_arm_goes_on_by_itself_once_the_contact_is_gone() -> None:
    """As after every pause, with a new episode; a fault stays."""
    rig = Rig().moving()
    episode = rig.session.episode
    rig.until(Mode.PAUSED, findings=(contact(Reaction.PAUSE),))
    rig.tick(contact(Reaction.PAUSE), count=50)
    assert rig.mode is Mode.PAUSED
    rig.tick(count=11)
    assert rig.session.episode == episode + 1
    rig.tick(contact(Reaction.FAULT))
    rig.tick(count=100)
    assert rig.mode is Mode.FAULT


def test_a_contact_at_rest_sends_nothing() -> None:
    """The arm holds, and the reason is shown."""
    rig = Rig().activate()
    rig.now_ns += 10 * TICK_NS
    assert rig.tick(contact(Reaction.PAUSE), count=3) == []
    assert "elbow" in rig.session.reason
