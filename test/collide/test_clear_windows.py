"""Every window of the replay is clear to its last point, whatever the policy wants.

A planar arm among balls; whoever stops sending at any moment leaves the arm with a window that ends
at rest without contact.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rod_arm import Balls

from gr00t_ros.collide.window import LEAVING_M, WindowCheck
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.motion.replay import Replay, SentParts
from gr00t_ros.motion.replay_settings import MS, ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.robot.limits import JointLimits

MARGIN = 0.01
START_NS, TICK_NS = 1000 * MS, 20 * MS


def both(value):
    """The same number for both joints."""
    return np.full(2, float(value))


LIMITS = JointLimits(
    ("shoulder", "elbow"),
    *map(both, (-3, 3, 2, 5, 200, 0.01, 0.5, 0.2)),
    envelope=np.full((2, 4), np.nan),
)


class Arm:
    """A replay with its check, a policy that leads straight to a goal, and all windows."""

    def __init__(self, balls, position=(0.0, 0.0)):
        self.balls, self.goal = balls, np.zeros(2)
        check = WindowCheck(balls.pairs(MARGIN), balls)
        self.replay = Replay(LIMITS, ReplaySettings(velocity_scale=1.0), motion_check=check)
        self.replay.start(START_NS, np.asarray(position, float))
        self.now_ns, self._chunks = START_NS, 0
        self.windows = []

    def run(self, ticks, kept=lambda: None, each=lambda: None):
        """Tick; every 0.4 s the policy sees the arm and leads it towards the goal at 1 rad/s."""
        for _ in range(ticks):
            if (self.now_ns - START_NS) % (20 * TICK_NS) == 0:
                self._ask()
            window = self.replay.propose(self.now_ns)
            self.replay.keep(kept())
            if window is not None:
                self.windows.append((self.now_ns, window))
            assert not self.replay.blocked_ns(self.now_ns) or " of ball" in self.replay.in_the_way
            each()
            self.now_ns += TICK_NS

    def _ask(self):
        position = self.replay.position(self.now_ns)
        way = self.goal - position
        length = max(float(np.linalg.norm(way)), 1e-9)
        part = np.minimum(np.arange(16) * 0.05, length)[:, None] / length
        rows = position + way * part
        chunk = ActionChunk(self._chunks, 1, self.now_ns, 50 * MS, rows, {})
        self._chunks += 1
        assert self.replay.accept(chunk, self.now_ns).accepted

    @property
    def distance_m(self):
        """The smallest distance now."""
        return float(self.balls(self.replay.position(self.now_ns)).min())


def played(window, from_ns, step_ns=1 * MS):
    """The positions of a window as a controller plays it, from a time to its end."""
    sampler = JtcSampler(2)
    sampler.hold(window.positions[0])
    sampler.sample(window.stamp_ns)
    assert sampler.accept(window, window.stamp_ns, window.positions[0]) is None
    return np.array([sampler.sample(at)[0] for at in range(from_ns, window.end_ns, step_ns)])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_window_that_is_sent_touches_anything(seed):
    """Random balls and goals, some windows not sent: each played to its end keeps the margin."""
    random = np.random.default_rng(seed)
    balls = Balls(random.uniform(-0.9, 0.9, (6, 2)), random.uniform(0.005, 0.1, 6))
    position = random.uniform(-2.0, 2.0, 2)
    if balls(position).min() < MARGIN:
        return
    arm = Arm(balls, position)
    none = SentParts(np.zeros(2, bool), np.zeros(0, bool), frozenset())
    for _ in range(3):
        arm.goal = random.uniform(-2.0, 2.0, 2)
        arm.run(60, kept=lambda: none if random.random() < 0.1 else None)
    for at_ns, window in arm.windows:
        assert balls(played(window, at_ns, 5 * MS)).min() >= MARGIN
        assert np.abs(window.accelerations).max() <= LIMITS.acceleration[0] * (1 + 1e-9)
        jerk = np.abs(np.diff(window.accelerations, axis=0)) / 0.02
        assert jerk.max(initial=0.0) <= LIMITS.jerk[0] * (1 + 1e-9)


def in_the_way(angle=0.8, radius=0.05):
    """An arm with a ball in the way of its tip, and a policy that leads through it."""
    arm = Arm(Balls([[0.9 * np.cos(angle), 0.9 * np.sin(angle)]], [radius]))
    arm.goal = np.array([2 * angle, 0.0])
    return arm


def test_the_arm_glides_to_a_stop_before_the_obstacle_and_goes_on_elsewhere():
    """Without the check it passes through; with it, it stops near the margin and leaves."""
    arm = in_the_way()
    speeds, reasons, creeping = [], [], []

    def each():
        speeds.append(float(arm.replay.velocity(arm.now_ns)[0]))
        if arm.replay.blocked_ns(arm.now_ns):
            reasons.append(arm.replay.in_the_way)
            creeping.append(arm.replay.ahead.clear)

    arm.run(160, each=each)
    assert MARGIN <= arm.distance_m <= 2 * MARGIN
    assert arm.replay.at_rest(arm.now_ns) or abs(speeds[-1]) < 0.01
    fastest = int(np.argmax(speeds))
    assert np.diff(speeds[fastest:]).max() < 0.05  # it slows down, and does not stop and go
    assert arm.replay.blocked_ns(arm.now_ns) > 500 * MS
    assert all("of ball 0" in reason for reason in reasons)
    assert any(creeping)  # the window of such a tick is clear itself, because it is slow
    arm.goal = np.array([-0.5, 0.3])
    arm.run(100)
    assert arm.distance_m > 0.3
    assert arm.replay.blocked_ns(arm.now_ns) == 0 and arm.replay.ahead.clear
    assert arm.replay.unproven_stops == 0


def test_without_obstacles_the_same_policy_passes_through():
    """The test above is not clear by chance."""
    arm = in_the_way()
    free = Replay(LIMITS, ReplaySettings(velocity_scale=1.0))
    free.start(START_NS, np.zeros(2))
    arm.replay = free
    arm.run(160)
    assert min(arm.balls(q).min() for _, w in arm.windows for q in w.positions) < 0


def test_a_stop_that_is_not_clear_once_is_tried_again():
    """Until then what was sent is repeated; the stop is not forgotten."""
    arm = in_the_way(angle=2.0)
    arm.run(25)
    assert arm.replay.velocity(arm.now_ns)[0] > 0.3
    check, looks = arm.replay.motion_check, []
    look = check.look

    def fails_once(rows, knot_s, reserve=False):
        looks.append(reserve)
        return Ahead("near") if len(looks) == 1 else look(rows, knot_s, reserve)

    check.look = fails_once
    arm.replay.stop(arm.now_ns, "test")
    ends = []
    for _ in range(3):
        window = arm.replay.propose(arm.now_ns)
        arm.replay.keep()
        ends.append(window.end_ns)
        arm.now_ns += TICK_NS
    assert ends[1] < ends[0], "the second window is the stop"
    assert arm.replay.unproven_stops == 0


@pytest.mark.parametrize("ticks", [15, 30, 60, 90])
def test_a_stop_that_is_asked_for_is_clear_as_well(ticks):
    """It ends at rest, whether by its own ramp or by what was sent before."""
    arm = in_the_way()
    arm.run(ticks)
    arm.replay.stop(arm.now_ns, "test")
    while not arm.replay.at_rest(arm.now_ns):
        window = arm.replay.tick(arm.now_ns)
        if window is not None:
            assert min(arm.balls(q).min() for q in played(window, arm.now_ns)) >= MARGIN
        arm.now_ns += TICK_NS
        assert arm.now_ns < START_NS + (ticks + 100) * TICK_NS
    assert arm.distance_m >= MARGIN


def test_an_obstacle_that_appears_in_the_committed_way_stops_the_arm_as_early_as_it_can():
    """It cannot be proven clear any more: the stop is counted apart."""
    arm = in_the_way(angle=2.0)
    arm.run(25)
    tip = arm.replay.position(arm.now_ns)[0]
    assert arm.replay.velocity(arm.now_ns)[0] > 0.5 and arm.replay.unproven_stops == 0
    angle = tip + 0.15
    arm.goal = arm.replay.position(arm.now_ns)
    arm.balls.centres[0] = 0.9 * np.cos(angle), 0.9 * np.sin(angle)
    arm.replay.motion_check.scene_changed()
    arm.run(1)
    assert arm.replay.unproven_stops == 1
    _, window = arm.windows[-1]
    assert window.end_ns - arm.now_ns < 700 * MS
    arm.run(60)
    assert np.abs(arm.replay.velocity(arm.now_ns)).max() < 0.05
    assert arm.distance_m >= MARGIN and arm.replay.unproven_stops == 1


def test_an_arm_that_starts_inside_a_margin_leaves_it():
    """5 mm from a ball: towards it nothing moves, away from it the arm goes."""
    arm = in_the_way(angle=0.1, radius=0.9 * 2 * np.sin(0.05) - 0.009)
    assert 0.0 < arm.distance_m < MARGIN
    arm.goal = np.array([0.5, 0.0])
    arm.run(60)
    assert abs(arm.replay.position(arm.now_ns)[0]) < 1e-3
    arm.goal = np.array([-0.5, 0.0])
    arm.run(60)
    assert arm.replay.position(arm.now_ns)[0] < -0.3


def test_a_check_that_raises_leaves_what_was_sent():
    """The arm plays the stop ramp of the last window; the next tick goes on."""
    arm = in_the_way(angle=2.0)
    arm.run(25)
    end_ns = arm.windows[-1][1].end_ns

    def broken(_position, _enough):
        raise RuntimeError("engine")

    arm.replay.motion_check._distances, works = broken, arm.replay.motion_check._distances
    with pytest.raises(RuntimeError, match="engine"):
        arm.replay.propose(arm.now_ns)
    arm.replay.keep()
    assert arm.replay.motion_left_ns(arm.now_ns) == end_ns - arm.now_ns
    arm.replay.motion_check._distances = works
    arm.now_ns += TICK_NS
    arm.run(5)
    assert arm.replay.velocity(arm.now_ns)[0] > 0.3


def test_a_scene_that_changes_at_every_tick_makes_no_stop_that_is_not_proven():
    """Along a row of balls each proof is long: what was sent is proven first, then new windows."""
    beside = 0.9 + 0.004 + MARGIN + 0.0005 + 0.02
    row = [beside * np.array([np.cos(at), np.sin(at)]) for at in np.arange(0.1, 0.75, 0.1)]
    end = 0.9 * np.array([np.cos(0.9), np.sin(0.9)])
    arm = Arm(Balls([end, *row], [0.05, *[0.02] * len(row)]))
    arm.goal = np.array([1.8, 0.0])
    apart = []

    def change():
        apart.append(arm.distance_m)
        arm.replay.motion_check.scene_changed()

    arm.run(200, each=change)
    assert min(apart) >= MARGIN and arm.replay.position(arm.now_ns)[0] > 0.7
    assert arm.replay.unproven_stops == 0


def test_a_pole_that_crosses_the_way_is_let_pass():
    """0.2 m/s from the side, seen at every tick: the arm stops before it, and goes on behind it."""
    arm = in_the_way(radius=0.03)
    outward = np.array([np.cos(0.8), np.sin(0.8)])
    apart = []

    def pole(metres_per_tick):
        apart.append(arm.distance_m)
        arm.balls.centres[0] += metres_per_tick * outward
        arm.replay.motion_check.scene_changed()

    arm.balls.centres[0] = (0.9 + 0.15) * outward
    arm.run(38, each=lambda: pole(-0.004))
    arm.run(60, each=lambda: pole(0.0))
    assert arm.replay.position(arm.now_ns)[0] < 0.8 and arm.distance_m < 3 * MARGIN
    arm.run(120, each=lambda: pole(0.004))
    assert min(apart) > 0.0
    assert arm.replay.position(arm.now_ns)[0] == pytest.approx(1.6, abs=0.01)


def test_a_scene_that_trembles_lets_no_arm_creep_nearer():
    """Inside a margin, led on by less than the tolerance each time: the tolerance is there once."""
    arm = in_the_way(angle=0.1, radius=0.9 * 2 * np.sin(0.05) - 0.009)
    ball, ticks = arm.balls.centres[0].copy(), iter(range(1000))
    start_m = arm.distance_m

    def tremble():
        arm.goal = arm.replay.position(arm.now_ns) + np.array([0.0004, 0.0])
        arm.balls.centres[0] = ball + 0.0002 * (-1) ** next(ticks) * np.array([0.0, 1.0])
        arm.replay.motion_check.scene_changed()

    arm.run(300, each=tremble)
    arm.balls.centres[0] = ball
    assert 0.0 < start_m - arm.distance_m <= 2 * LEAVING_M
