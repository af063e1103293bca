"""A stop for a contact begins inside the committed part, inside the limits of motion."""

import numpy as np
import pytest
from oracle import MS, fr3_limits
from session_rig import FAULT, PAUSE, TICK_NS, Rig

from gr00t_ros.motion.planner import SOON_NS
from gr00t_ros.session.mode import Mode
from gr00t_ros.watch.finding import Finding, Reaction

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
