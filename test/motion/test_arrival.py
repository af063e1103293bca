"""A window that may be lost is known, and a network cut of any length never causes a step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from laws import examples
from oracle import HOME, MS, START_NS, Policy, fr3_limits, wander

from gr00t_ros.motion.plan import Arrival
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.watch.arm import ControllerLate, earlier_window, reference_against_plan


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


def test_states_at_50_hz_that_are_read_two_at_a_time_still_tell_of_arrivals() -> None:
    """They are read at 50 Hz as well, so that one may come just after a look."""
    arrival = heard(*(ms for start in range(0, 960, 60) for ms in (start, start + 20)))
    arrival.sent(925 * MS, 1025 * MS)
    assert arrival.safe_until_ns() == 1025 * MS


def test_of_controllers_that_never_tell_nothing_is_known() -> None:
    """And of another plan what was sent does not matter."""
    silent = heard()
    silent.sent(0, 100 * MS)
    assert silent.safe_until_ns() is None
    arrival = heard(*range(0, 101, 20))
    arrival.sent(105 * MS, 205 * MS)
    arrival.clear()
    assert arrival.safe_until_ns() is None


@dataclass
class Controller:
    """The states of a controller, as the node receives them; each has its reference."""

    period_ms: int = 20
    lost: float = 0.0
    compares: bool = True
    newest_ns: int = 0
    newest: np.ndarray | None = None
    under_way: list[tuple[int, int, np.ndarray]] = field(default_factory=list)

    def look(self, now_ns: int) -> bool:
        """Take what has come; whether anything has."""
        come = [state for state in self.under_way if state[0] <= now_ns]
        if come:
            _, self.newest_ns, self.newest = max(come, key=lambda state: state[1])
            self.under_way = [state for state in self.under_way if state[0] > now_ns]
        return bool(come)

    def diverged(self, replay: Replay) -> bool:
        """Whether the newest reference is not what was sent."""
        sent = replay.sent(self.newest_ns) if self.newest is not None else None
        if sent is None:
            return False
        if reference_against_plan(fr3_limits().names, self.newest, *sent) is not None:
            return True
        before = replay.sent_before(self.newest_ns) if self.compares else ()
        return earlier_window("arm", self.newest, sent, before) is not None


def cut(
    seed: int,
    length_ms: int,
    listens: bool = True,
    controller: Controller | None = None,
    one_way: bool = False,
) -> tuple[float, int | None]:
    """Largest acceleration, rad/s^2, around a cut, and when the plan was left, ms of the cut.

    Ticks, states and the looks at them have phases of their own. listens: what is heard tells which
    windows have come, beside the watch on late controllers. one_way: states pass.
    """
    rng = np.random.default_rng(seed)
    settings = ReplaySettings()
    replay = Replay(fr3_limits(jump=1.0), settings)
    policy = Policy(wander(seed), 16, 33_333_333, 60 * MS, 10 * MS, 4, 0.02)
    events = sorted(policy.events(replay, 1500 * MS, seed), key=lambda event: event[0])
    jtc = JtcSampler(len(HOME), interpolate_from_desired_state=bool(seed % 2))
    jtc.hold(HOME)
    replay.start(START_NS, HOME)
    states = controller or Controller()
    late = ControllerLate("arm", "/state", settings.commit_ns)
    begin = int(rng.integers(700, 900))
    tick_at, look_at, state_at = rng.integers(0, 20, 3)
    under_way: list = []
    left_ms, position = None, np.empty((1500, len(HOME)))
    for index in range(len(position)):
        now_ns, whole = START_NS + index * MS, not begin <= index < begin + length_ms
        while events and events[0][0] <= now_ns:
            events.pop(0)[1](now_ns)
        told = index and index % states.period_ms == state_at and rng.random() >= states.lost
        if told and (whole or one_way):
            come_ns = now_ns + int(rng.integers(0, 6)) * MS
            states.under_way.append((come_ns, now_ns, position[index - 1].copy()))
        if index % 20 == look_at and states.look(now_ns) and listens:
            replay.planner.states_received(now_ns, stamp_ns=states.newest_ns)
        if index % 20 == tick_at:
            if states.newest_ns:
                late.receive(states.newest_ns, now_ns)
            if left_ms is None and (
                late.finding(now_ns) is not None
                or replay.planner.windows_may_be_lost(now_ns)
                or states.diverged(replay)
            ):
                replay.abandon(now_ns)
                left_ms = index - begin
            window = replay.tick(now_ns)
            if window is not None and whole:
                due_ns = now_ns + int(rng.integers(0, 21)) * MS
                under_way.append((due_ns, window))
        for due in sorted((one for one in under_way if one[0] <= now_ns), key=lambda one: one[0]):
            under_way.remove(due)
            jtc.accept(due[1], now_ns, position[max(index - 10, 0)])
        position[index] = jtc.sample(now_ns)[0]
    return float(np.abs(np.diff(position, n=2, axis=0)).max()) * 1e6, left_ms


@pytest.mark.parametrize("length_ms", [40, 80, 90, 100, 105, 110, 115, 120, 140, 200, 400])
def test_a_cut_of_any_length_between_node_and_controller_is_no_step(length_ms: int) -> None:
    """Whatever its phase: 6 rad/s^2 are allowed."""
    for seed in range(examples(8)):
        assert cut(seed, length_ms)[0] < 6.2, seed


def test_without_what_is_heard_a_cut_that_heals_before_the_silence_shows_is_a_step() -> None:
    """The test above sees what it is for."""
    assert any(cut(seed, 110, listens=False)[0] > 50.0 for seed in range(40))


@pytest.mark.parametrize(
    ("period_ms", "lost"), [(ms, lost) for ms in (20, 25, 33, 40, 50, 100) for lost in (0.0, 0.05)]
)
def test_without_a_cut_nothing_is_left_though_states_are_few_or_lost(
    period_ms: int, lost: float
) -> None:
    """Best effort loses one in twenty; a slow controller that is well is not stopped."""
    for seed in range(examples(3)):
        assert cut(seed, 0, controller=Controller(period_ms, lost))[1] is None, seed


PHASES = max(8, examples(24))


def of_commands_alone(length_ms: int, compares: bool = True) -> tuple[np.ndarray, list[int]]:
    """Accelerations of such cuts at many phases, and when the plan was left, ms of the cut."""
    found = [
        cut(seed, length_ms, controller=Controller(compares=compares), one_way=True)
        for seed in range(PHASES)
    ]
    return np.array([one[0] for one in found]), [one[1] for one in found if one[1] is not None]


def test_a_cut_of_commands_alone_shows_in_what_the_controller_plays() -> None:
    """After one or two states beyond the commit time; a step in between is a small one."""
    accelerations, left_ms = of_commands_alone(400)
    assert len(left_ms) == PHASES and min(left_ms) > 100
    assert accelerations.max() < 6.2
    accelerations, _ = of_commands_alone(250)
    assert np.mean(accelerations > 6.2) < 0.4 and accelerations.max() < 2_500


def test_against_the_newest_window_alone_such_a_cut_would_show_later() -> None:
    """The test above sees what it is for."""
    accelerations, _ = of_commands_alone(250, compares=False)
    assert np.mean(accelerations > 6.2) > 0.4 and accelerations.max() > 10_000
