"""A window that may be lost is known, and a network cut of any length never causes a step."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import HOME, MS, START_NS, Policy, fr3_limits, wander

from gr00t_ros.motion.plan import Arrival
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.watch.arm import ControllerLate


def heard(*at_ms: int, delivery_ms: int = 20, commit_ms: int = 100) -> Arrival:
    """Controllers that were heard then."""
    arrival = Arrival(delivery_ms * MS, commit_ms * MS)
    for each in at_ms:
        arrival.received(each * MS)
    return arrival


def test_a_window_has_come_when_a_state_is_heard_after_it() -> None:
    """It may be under way for the delivery time."""
    arrival = heard(*range(0, 101, 20))
    arrival.sent(105 * MS, 205 * MS)
    arrival.received(120 * MS)
    assert arrival.safe_until_ns() == 205 * MS
    arrival.received(130 * MS)
    assert arrival.safe_until_ns() is None


def test_what_was_sent_into_a_silence_stays_in_doubt_until_a_later_one_has_come() -> None:
    """The later one says all that the lost one said."""
    arrival = heard(*range(0, 101, 20))
    arrival.sent(105 * MS, 205 * MS)
    arrival.received(190 * MS)
    arrival.received(210 * MS)
    assert arrival.safe_until_ns() == 205 * MS
    arrival.sent(200 * MS, 600 * MS)
    arrival.received(230 * MS)
    assert arrival.safe_until_ns() is None


def test_what_was_sent_before_a_silence_and_had_come_is_not_in_doubt() -> None:
    """A gap in what is told says nothing of what was there before."""
    arrival = heard(*range(0, 101, 20))
    arrival.sent(60 * MS, 160 * MS)
    arrival.received(120 * MS)
    arrival.received(300 * MS)
    assert arrival.safe_until_ns() is None


def test_a_gap_in_which_nobody_listened_tells_of_no_cut() -> None:
    """A process that slept hears late what came in time."""
    arrival = heard(*range(0, 101, 20))
    arrival.sent(105 * MS, 205 * MS)
    arrival.received(190 * MS, slept=True)
    assert arrival.safe_until_ns() is None


@pytest.mark.parametrize(("period_ms", "commit_ms", "told"), [(50, 100, False), (50, 200, True)])
def test_controllers_that_tell_too_slowly_say_nothing_of_arrivals(
    period_ms: int, commit_ms: int, told: bool
) -> None:
    """Two of their states may be lost within the commit time, or the loss of one would pause."""
    arrival = heard(*range(0, 20 * period_ms, period_ms), commit_ms=commit_ms)
    arrival.sent(950 * MS, 1050 * MS)
    assert (arrival.safe_until_ns() is not None) is told


def test_of_controllers_that_never_tell_nothing_is_known() -> None:
    """And of another plan what was sent does not matter."""
    silent = heard()
    silent.sent(0, 100 * MS)
    assert silent.safe_until_ns() is None
    arrival = heard(*range(0, 101, 20))
    arrival.sent(105 * MS, 205 * MS)
    arrival.clear()
    assert arrival.safe_until_ns() is None


def cut(seed: int, length_ms: int, listens: bool, lost: float = 0.0) -> tuple[float, bool]:
    """Largest acceleration, rad/s^2, around a cut both ways, and whether the plan was left.

    Ticks, states at 50 Hz and the looks at them have phases of their own; lost: share of states.
    listens: what is heard tells which windows have come, beside the watch on late controllers.
    """
    rng = np.random.default_rng(seed)
    settings = ReplaySettings()
    replay = Replay(fr3_limits(jump=1.0), settings)
    policy = Policy(wander(seed), 16, 33_333_333, 60 * MS, 10 * MS, 4, 0.02)
    events = sorted(policy.events(replay, 1500 * MS, seed), key=lambda event: event[0])
    jtc = JtcSampler(len(HOME), interpolate_from_desired_state=bool(seed % 2))
    jtc.hold(HOME)
    replay.start(START_NS, HOME)
    late = ControllerLate("arm", "/state", settings.commit_ns)
    begin = int(rng.integers(700, 900))
    tick_at, look_at, state_at = rng.integers(0, 20, 3)
    under_way: list = []
    states: list[tuple[int, int]] = []
    newest_ns, left, position = 0, False, np.empty((1500, len(HOME)))
    for index in range(len(position)):
        now_ns, whole = START_NS + index * MS, not begin <= index < begin + length_ms
        while events and events[0][0] <= now_ns:
            events.pop(0)[1](now_ns)
        if index % 20 == state_at and whole and rng.random() >= lost:
            states.append((now_ns + int(rng.integers(0, 6)) * MS, now_ns))
        if index % 20 == look_at and any(came_ns <= now_ns for came_ns, _ in states):
            newest_ns = max(stamp_ns for came_ns, stamp_ns in states if came_ns <= now_ns)
            states = [state for state in states if state[0] > now_ns]
            if listens:
                replay.states_received(now_ns)
        if index % 20 == tick_at:
            if newest_ns:
                late.receive(newest_ns, now_ns)
            if not left and (
                late.finding(now_ns) is not None or replay.windows_may_be_lost(now_ns)
            ):
                replay.abandon(now_ns)
                left = True
            window = replay.tick(now_ns)
            if window is not None and whole:
                due_ns = now_ns + int(rng.integers(0, 21)) * MS
                under_way.append((due_ns, window))
        for due in sorted((one for one in under_way if one[0] <= now_ns), key=lambda one: one[0]):
            under_way.remove(due)
            jtc.accept(due[1], now_ns, position[max(index - 10, 0)])
        position[index] = jtc.sample(now_ns)[0]
    return float(np.abs(np.diff(position, n=2, axis=0)).max()) * 1e6, left


@pytest.mark.parametrize("length_ms", [40, 80, 90, 100, 105, 110, 115, 120, 140, 200, 400])
def test_a_cut_of_any_length_between_node_and_controller_is_no_step(length_ms: int) -> None:
    """Whatever its phase: 6 rad/s^2 are allowed."""
    for seed in range(12):
        assert cut(seed, length_ms, listens=True)[0] < 6.2, seed


def test_without_what_is_heard_a_cut_that_heals_before_the_silence_shows_is_a_step() -> None:
    """The test above sees what it is for."""
    worst = max(cut(seed, 110, listens=False)[0] for seed in range(40))
    assert worst > 50.0


def test_without_a_cut_nothing_is_left_though_states_are_lost() -> None:
    """Best effort loses one in twenty."""
    assert not any(cut(seed, 0, listens=True, lost=0.05)[1] for seed in range(12))
