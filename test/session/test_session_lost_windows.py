"""A stop of which windows are lost: the mode, the arm, and the start that follows.

The session as the replay thread ticks it, integers for a clock, and the sampler as controller. Its
state is as old as a controller's period makes it, or it publishes none.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from oracle import HOME, MS, START_NS, Record, assert_lawful, fr3_limits

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.session.mode import AT_REST, Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.watch.finding import Finding, Reaction

LIMITS = fr3_limits(jump=1.0)
STEP_NS = 50 * MS
STOP_NS = START_NS + 1000 * MS
REASON = "contact arm: elbow 30 Nm"
SPEEDS = st.sampled_from([0.01, 0.03, 0.05, 0.1, 0.12, 0.2, 0.3, 0.5, 1.0])
LOSABLE = 4
"""So many windows from the stop on may be the lost one; a stop at a low speed has but two."""


@dataclass
class Stopped:
    """An arm in motion that is stopped, for as long as `tick` is called."""

    speed: float
    knot_ms: int
    refresh_ms: int
    soon: bool
    reaction: Reaction
    period_ms: int
    """Of the controller's states; 0: it publishes none."""
    lost: range
    """Which of the windows from the stop on are lost."""
    contact_ms: int = 10**9
    """How long the cause of the stop lasts."""
    session: Session = field(init=False)
    commanded: list[np.ndarray] = field(default_factory=list)
    stop_windows: int = 0
    modes: list[tuple[int, Mode, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        refresh_ns, knot_ns = self.refresh_ms * MS, self.knot_ms * MS
        chosen = ReplaySettings(knot_ns=knot_ns, refresh_ns=refresh_ns)
        self.session = Session(Replay(LIMITS, chosen), SessionSettings(healthy_ticks=3))
        self.session.set_ready(True, "")
        self.session.activate(START_NS, HOME)
        self.jtc = JtcSampler(len(HOME))
        self.jtc.hold(HOME)
        self.chunk(START_NS, HOME)

    def chunk(self, now_ns: int, held: np.ndarray | None) -> None:
        """All joints move at `speed` for a second and a little, there and the next time back."""
        at = self.session.replay.position(now_ns)
        path = at + self.speed * np.minimum(np.arange(60) * STEP_NS * 1e-9, 1.2)[:, None]
        chunk = ActionChunk(0, self.session.episode, now_ns, STEP_NS, path, {})
        verdict = self.session.merge(chunk, now_ns, held)
        assert verdict.accepted, verdict
        self.speed *= -1.0

    @property
    def now_ns(self) -> int:
        """The next millisecond."""
        return START_NS + len(self.commanded) * MS

    def held(self) -> np.ndarray | None:
        """The newest state: its age is up to the controller's period."""
        if not self.period_ms:
            return None
        index = len(self.commanded) - 1
        return self.commanded[max(0, index - index % self.period_ms)] if index >= 0 else HOME

    def run(self, duration_ms: int) -> "Stopped":
        """Tick for so long."""
        found = Finding("contact", self.reaction, REASON, soon=self.soon)
        for _ in range(duration_ms):
            now_ns, session = self.now_ns, self.session
            if (now_ns - START_NS) % (self.refresh_ms * MS) == 0:
                there = STOP_NS <= now_ns < STOP_NS + self.contact_ms * MS
                if self.period_ms:
                    session.replay.planner.states_received(now_ns)
                window = session.tick(now_ns, (found,) if there else (), self.held())
                session.keep()
                self.modes.append((len(self.commanded), session.mode, session.reason))
                if window is not None:
                    gone = now_ns >= STOP_NS and self.stop_windows in self.lost
                    self.stop_windows += now_ns >= STOP_NS
                    if not gone:
                        assert self.jtc.accept(window, now_ns, HOME) is None
            self.commanded.append(self.jtc.sample(now_ns)[0])
        return self

    def position(self) -> np.ndarray:
        """(N, J) commanded at each millisecond."""
        return np.array(self.commanded)

    def assert_modes_true(self) -> None:
        """In no mode of an arm at rest it moves."""
        position = self.position()
        for index, mode, _ in self.modes:
            if mode in AT_REST and index + 1 < len(position):
                moves = np.abs(position[index + 1] - position[index]).max()
                assert moves < 1e-9, (
                    f"{mode.value} after {index} ms: {moves * 1e3:.3f} mrad in 1 ms"
                )

    def assert_goes_on_without_a_step(self) -> None:
        """After ~/reset at this very time, with a chunk."""
        self.lost, self.contact_ms = range(0), 0
        assert self.session.reset(self.now_ns, self.held(), ()) == ""
        begins = len(self.commanded)
        self.chunk(self.now_ns, self.held())
        moved = self.run(1500).position()[begins - 1 :]
        assert np.abs(moved - moved[0]).max() > 0.5 * abs(self.speed)
        assert_lawful(Record(self.now_ns, moved, []), LIMITS)


STOPS = st.builds(
    Stopped,
    speed=SPEEDS,
    knot_ms=st.sampled_from([10, 20]),
    refresh_ms=st.sampled_from([10, 20]),
    soon=st.booleans(),
    reaction=st.sampled_from([Reaction.PAUSE, Reaction.FAULT]),
    period_ms=st.sampled_from([0, 1, 20, 33, 100]),
    lost=st.integers(0, LOSABLE).map(lambda one: range(one, one + 1)),
)


@settings(max_examples=examples(40), deadline=None)
@given(STOPS)
def test_a_lost_window_of_a_stop_is_made_good(stopped: Stopped) -> None:
    """The arm stands where the stop without a loss ends; no mode says so before; no other cause."""
    whole = replace(stopped, speed=-stopped.speed, lost=range(0), commanded=[], modes=[])
    for one in (whole, stopped):
        one.run(1000 + 800)
        one.assert_modes_true()
        assert one.session.mode in (Mode.PAUSED, Mode.FAULT)
        assert {why for at_ms, _, why in one.modes if at_ms >= 1000} == {REASON}
    np.testing.assert_allclose(stopped.position()[-1], whole.position()[-1], atol=1e-12)


@settings(max_examples=examples(40), deadline=None)
@given(STOPS.filter(lambda one: one.reaction is Reaction.PAUSE), st.sampled_from([1, 15, 200]))
def test_the_start_after_it_is_no_step(stopped: Stopped, contact_ms: int) -> None:
    """However short the contact is, the next plan begins where the arm is."""
    stopped.contact_ms = contact_ms
    stopped.run(1000 + 1)
    episode = stopped.session.episode
    while stopped.session.episode == episode:
        stopped.run(1)
    begins = len(stopped.commanded)
    stopped.chunk(stopped.now_ns, stopped.held())
    stopped.run(1500)
    assert stopped.session.mode in (Mode.BLENDING_IN, Mode.REPLAYING)
    moved = stopped.position()[begins - 1 :]
    assert np.abs(moved - moved[0]).max() > 0.5 * abs(stopped.speed)
    assert_lawful(Record(stopped.now_ns, moved, []), LIMITS)


@settings(max_examples=examples(40), deadline=None)
@given(STOPS)
def test_an_arm_that_gets_no_window_of_a_stop_is_not_called_at_rest_before_it_is(stopped) -> None:
    """It plays the window before: the mode is stopping until that has ended."""
    stopped.lost = range(1000)
    stopped.run(1000 + 1500).assert_modes_true()
    assert stopped.session.mode in (Mode.PAUSED, Mode.FAULT)
    if stopped.period_ms and stopped.reaction is Reaction.FAULT:
        stopped.assert_goes_on_without_a_step()


@pytest.mark.parametrize("period_ms", [0, 20])
def test_a_stop_of_a_tick_that_raised_waits_for_what_was_sent_before(period_ms: int) -> None:
    """Nothing is sent in such a stop: an arm that missed the one before plays on, to its end."""
    stopped = Stopped(0.1, 20, 20, True, Reaction.FAULT, period_ms, range(1000))
    stopped.run(1000 + 1)
    session = stopped.session
    session.fault(stopped.now_ns, "internal error")
    while session.mode is not Mode.FAULT:
        if (stopped.now_ns - START_NS) % (20 * MS) == 0:
            session.end_stop_without_tick(stopped.now_ns, stopped.held())
            stopped.modes.append((len(stopped.commanded), session.mode, session.reason))
        stopped.commanded.append(stopped.jtc.sample(stopped.now_ns)[0])
    if period_ms:  # else nobody knows where it rests
        stopped.assert_goes_on_without_a_step()
    stopped.assert_modes_true()
