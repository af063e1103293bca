"""A stop for a contact begins inside the committed part, inside the limits of motion."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import HOME, MS, Record, assert_lawful, fr3_limits
from session_rig import ADRIFT, FAULT, PAUSE, START_NS, STEP_NS, TICK_NS, Rig

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.planner import SOON_NS
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import PUBLISH_NS, ReplaySettings
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


class Played:
    """An arm, its controller's states, and the watch that compares them as the node's does."""

    def __init__(self, refresh_ms: int = 20, commit_ms: int = 100) -> None:
        chosen = ReplaySettings(refresh_ns=refresh_ms * MS, commit_ns=commit_ms * MS)
        self.session = Session(Replay(LIMITS, chosen), SessionSettings())
        self.session.set_ready(True, "")
        self.session.activate(START_NS, HOME)
        self.jtc, self.positions = JtcSampler(len(HOME)), [HOME]
        self.jtc.hold(HOME)
        self.refresh_ns = refresh_ms * MS
        self.now_ns = self.next_ns = START_NS
        self.found: list[Finding] = []
        self.lost, self.late_ms = 0, 0
        """So many windows from now on are lost, and the tick after one comes so much later."""

    def chunk(self, amplitude_rad: float = 0.2) -> None:
        """Joints that move in different ways: what a shift in time does not explain."""
        angles = 3.0 * np.arange(60)[:, None] * STEP_NS * 1e-9 + np.arange(len(HOME))
        begin = self.session.replay.position(self.now_ns)
        path = begin + amplitude_rad * (np.sin(angles) - np.sin(angles[0]))
        chunk = ActionChunk(0, self.session.episode, self.now_ns, STEP_NS, path, {})
        verdict = self.session.merge(chunk, self.now_ns, self.positions[-1])
        assert verdict.accepted, verdict

    def run(self, duration_ms: int) -> "Played":
        """Tick and play for so long."""
        for now_ns in range(self.now_ns, self.now_ns + duration_ms * MS, MS):
            self.now_ns = now_ns
            if now_ns >= self.next_ns:
                self.next_ns += self.refresh_ns
                self._tick(now_ns)
            self.positions.append(self.jtc.sample(now_ns)[0])
        self.now_ns += MS
        return self

    def _tick(self, now_ns: int) -> None:
        findings = (*self.found, *self._earlier(now_ns - MS))
        self.session.replay.planner.states_received(now_ns)
        window = self.session.tick(now_ns, findings, self.positions[-1])
        self.session.keep()
        if window is None:
            return
        if self.lost:
            self.lost -= 1
            self.next_ns += self.late_ms * MS
        else:
            assert self.jtc.accept(window, now_ns, HOME) is None

    def _earlier(self, at_ns: int) -> list[Finding]:
        """What the node's watch finds in the state of that time."""
        replay, newest = self.session.replay, self.session.replay.sent(at_ns)
        if newest is None or self.session.mode not in MOVING:
            return []
        one = earlier_window("arm", self.positions[-1], newest, replay.sent_before(at_ns))
        known = Earlier(tuple(LIMITS.names), at_ns)
        return [] if one is None else [replace(one, earlier=known)]

    def moved(self, since_ms: int) -> tuple[float, int]:
        """The way since then, and until when a joint moved, ms."""
        moved = np.array(self.positions)[since_ms:]
        still = np.abs(np.diff(moved, axis=0)).max(axis=1) < 1e-9
        return float(np.abs(moved[-1] - moved[0]).max()), int(len(still) - np.argmin(still[::-1]))

    def largest_rad_s(self, since_ms: int) -> float:
        """The largest velocity since then."""
        return float(np.abs(np.diff(np.array(self.positions)[since_ms:], axis=0)).max() * 1e3)


CONTACT = "contact arm: elbow 30 Nm"
STALL = Finding("replay_starvation", Reaction.PAUSE, "0.3 s between two ticks", stop_ramp_only=True)
TOUCHES = contact(Reaction.PAUSE)
GIVEN_UP = {
    "a stall, a contact 60 ms later": [([STALL], 20), ([], 40), ([TOUCHES], 1000)],
    "a stall with the contact, a pause": [([STALL, TOUCHES], 20), ([TOUCHES], 20), "pause"],
    "a contact, adrift, an e-stop": [
        *(([TOUCHES], 20), ([TOUCHES, ADRIFT], 20), ([TOUCHES], 20), "e-stop"),
    ],
    "a contact, adrift, a deactivation": [
        *(([TOUCHES], 20), ([TOUCHES, ADRIFT], 20), ([TOUCHES], 20), "deactivate"),
    ],
}


@pytest.mark.parametrize("steps", GIVEN_UP.values(), ids=GIVEN_UP)
def test_a_contact_sends_nothing_of_a_plan_that_was_given_up(steps) -> None:
    """The controllers play its stop ramp: a window of the plan, which rests, was a step of 80 mrad.

    The contact was looked at in the stop that was under way, whatever the plan was worth.
    """
    arm = Played()
    arm.chunk()
    arm.run(1000)
    requests = {
        "pause": lambda: arm.session.pause(arm.now_ns),
        "e-stop": lambda: arm.session.fault(arm.now_ns, "e-stop"),
        "deactivate": lambda: arm.session.deactivate(arm.now_ns),
    }
    for step in steps:
        if isinstance(step, str):
            requests[step]()
            arm.run(1000)
        else:
            arm.found, duration_ms = step
            arm.run(duration_ms)
    assert arm.largest_rad_s(0) > 0.3, "it did not move"
    assert arm.largest_rad_s(-300) == 0.0, "it did not come to rest"
    assert_lawful(Record(START_NS, np.array(arm.positions[1:]), []), LIMITS)


@pytest.mark.parametrize(
    ("late_ms", "refresh_ms", "commit_ms"),
    [(0, 20, 100), (30, 20, 100), (40, 20, 100), (0, 50, 152)],
)
def test_a_contact_stop_is_made_good_where_a_state_shows_that_it_was_lost(
    late_ms: int, refresh_ms: int, commit_ms: int
) -> None:
    """From where the arm then is: no step, and not the way of the window before, to its end."""
    arm = Played(refresh_ms, commit_ms)
    arm.chunk()
    arm.run(1000)
    arm.found, arm.lost, arm.late_ms = [contact(Reaction.FAULT)], 1, late_ms
    arm.run(1000)
    assert arm.session.mode is Mode.FAULT and arm.session.reason == CONTACT
    assert_lawful(Record(START_NS, np.array(arm.positions[1:]), []), LIMITS)
    way_rad, rest_ms = arm.moved(1000)
    assert rest_ms < 200 + late_ms + refresh_ms
    assert way_rad < 0.6 * rest_ms * 1e-3


def test_a_stop_that_may_be_on_its_way_is_repeated_and_not_made_anew() -> None:
    """The controller may have it when a new one arrives: from the window before that is a step."""
    arm = Played()
    arm.chunk()
    arm.run(1000)
    arm.found = [contact(Reaction.FAULT)]
    arm.run(1)
    replay, sent_ns = arm.session.replay, arm.now_ns - MS
    chosen = ReplaySettings()
    covered_ns = chosen.delivery_jitter_ns + PUBLISH_NS
    times = range(sent_ns, sent_ns + 400 * MS, MS)
    sent = [replay.position(at_ns) for at_ns in times]
    assert replay.stop_anew(LIMITS.names, sent_ns + covered_ns - 1)
    np.testing.assert_array_equal([replay.position(at_ns) for at_ns in times], sent)
    assert replay.stop_anew(LIMITS.names, sent_ns + covered_ns)
    assert np.abs(np.array([replay.position(at_ns) for at_ns in times]) - sent).max() > 0.01
    assert not replay.stop_anew(LIMITS.names, sent_ns + covered_ns), "more than may be lost"


def test_windows_lost_in_a_later_episode_have_nothing_to_do_with_a_contact_stop_before() -> None:
    """The plan is abandoned and the session pauses, as without a contact before."""
    arm = Played()
    arm.chunk()
    arm.run(1000)
    arm.found = [contact(Reaction.FAULT)]
    arm.run(500)
    arm.found = []
    arm.run(500)
    assert arm.session.reset(arm.now_ns, arm.positions[-1], ()) == ""
    arm.chunk()
    arm.run(400)
    arm.chunk(0.05)
    arm.lost = 7
    arm.run(400)
    assert "it plays an earlier window" in arm.session.reason
    assert arm.largest_rad_s(2000) < 1.5
    assert_lawful(Record(START_NS, np.array(arm.positions[1:]), []), LIMITS)


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
