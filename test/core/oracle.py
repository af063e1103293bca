"""The oracle: published windows through the controller's model at 1 kHz, every sample measured.

Between the replay and the controller lies a bad network: windows are late, lost, doubled and
overtaken, the clocks differ, the node stalls or dies.

Tolerances: positions of up to 3 rad are doubles with an error of about 1e-15 rad after the
controller's arithmetic, so that differences over 1 ms are off by 1e-12 rad/s, 4e-9 rad/s^2 and
8e-6 rad/s^3 at most. A hundred times that is allowed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.limits import JointLimits
from gr00t_ros.core.plan import Window
from gr00t_ros.core.replay import Replay, ReplaySettings
from gr00t_ros.core.sampler import JtcSampler, Trajectory

MS = 1_000_000
START_NS = 1_000 * MS
LAG_ROWS = 30
"""How far a joint follows behind its command, ms."""
TOLERANCE = {"velocity": 1e-9, "acceleration": 1e-6, "jerk": 1e-3}

# limits.md: FR3, libfranka's position-dependent velocity limits, and the shipped defaults of
# 6 rad/s^2, 400 rad/s^3, 0.05 rad margin.
LOWER = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
UPPER = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
VELOCITY = np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26])
ENVELOPE = np.array(
    [
        [0.30, 12.0, 2.75010, -2.75010],
        [0.20, 5.17, 1.79180, -1.79180],
        [0.20, 7.00, 2.90650, -2.90650],
        [0.30, 8.00, -0.1458, -3.04810],
        [0.35, 34.0, 2.81010, -2.81010],
        [0.35, 11.0, 4.52050, 0.54092],
        [0.35, 34.0, 3.01960, -3.01960],
    ]
)
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8])


def fr3_limits(jump: float = 0.15) -> JointLimits:
    """FR3 with the shipped defaults."""
    return JointLimits(
        names=tuple(f"fr3_joint{k}" for k in range(1, 8)),
        lower=LOWER,
        upper=UPPER,
        velocity=VELOCITY,
        acceleration=np.full(7, 6.0),
        jerk=np.full(7, 400.0),
        margin=np.full(7, 0.05),
        jump=np.full(7, jump),
        held=np.full(7, 0.05),
        envelope=ENVELOPE,
    )


@dataclass(frozen=True)
class Network:
    """What happens to windows between the node and the controller, and to the node itself.

    step_ns: the robot's clock is set forward by so much at step_at_ns, between two messages; or,
    with step_in_flight, while one is under way that arrives afterwards.
    """

    jitter_ns: int = 20 * MS
    lost: float = 0.2
    lost_running: int = 1
    doubled: float = 0.1
    offset_ns: int = 0
    tick_jitter_ns: int = 3 * MS
    stalls: tuple[tuple[int, int], ...] = ()
    death_ns: int | None = None
    step_at_ns: int | None = None
    step_ns: int = 0
    step_in_flight: bool = False


@dataclass
class Record:
    """What the controller commanded at each millisecond, (N, J), and what was sent."""

    start_ns: int
    position: np.ndarray
    windows: list[Window]
    rejections: list[str] = field(default_factory=list)

    def derivative(self, order: int) -> np.ndarray:
        """The order-th difference quotient of the position over 1 ms."""
        return np.diff(self.position, n=order, axis=0) * 1e3**order

    def at(self, now_ns: int) -> np.ndarray:
        """Position commanded at a plan time."""
        return self.position[(now_ns - self.start_ns) // MS]


Events = list[tuple[int, Callable[[int], object]]]


def play(
    replay: Replay,
    events: Events,
    duration_ns: int,
    network: Network,
    seed: int = 0,
    start_ns: int = START_NS,
    held: np.ndarray = HOME,
    refresh_ns: int = 20 * MS,
    from_desired: bool = False,
) -> Record:
    """Run the node's loop against the controller; events are (plan time, call with that time)."""
    rng = np.random.default_rng(seed)
    jtc = JtcSampler(len(held), interpolate_from_desired_state=from_desired)
    jtc.hold(held)
    replay.start(start_ns, held)
    waiting = sorted(events, key=lambda event: event[0])
    under_way: list[tuple[int, Trajectory]] = []
    record = Record(start_ns, np.empty((duration_ns // MS, len(held))), [])
    tick_ns, lost_running, stepped_ns = start_ns, 0, 0
    for index in range(duration_ns // MS):
        now_ns = start_ns + index * MS
        alive = network.death_ns is None or now_ns < network.death_ns
        stalled = any(a <= now_ns < a + length for a, length in network.stalls)
        while alive and not stalled and waiting and waiting[0][0] <= now_ns:
            waiting.pop(0)[1](now_ns)
        if alive and not stalled and now_ns >= tick_ns:
            tick_ns = max(tick_ns + refresh_ns, now_ns - now_ns % refresh_ns)
            late_ns = int(rng.integers(0, network.tick_jitter_ns + 1))
            window = replay.tick(now_ns + late_ns)
            drop = rng.random() < network.lost and lost_running < network.lost_running
            lost_running = lost_running + 1 if drop and window is not None else 0
            if window is not None:
                record.windows.append(window)
                sent_ns = now_ns + late_ns
                copies = 0 if drop else 1 + int(rng.random() < network.doubled)
                for _ in range(copies):
                    delay_ns = int(rng.integers(0, network.jitter_ns + 1))
                    under_way.append((sent_ns + delay_ns, _stamped(window, stepped_ns)))
        if (
            network.step_at_ns is not None
            and now_ns >= network.step_at_ns
            and (bool(under_way) is network.step_in_flight)
        ):
            stepped_ns = network.step_ns
        robot_ns = now_ns + network.offset_ns
        for due in sorted((m for m in under_way if m[0] <= now_ns), key=lambda m: m[0]):
            under_way.remove(due)
            # Trajectory time runs on with the controller's own period: its clock, and a step of
            # it, count where a message is taken up, and nowhere else.
            late = max(index - LAG_ROWS, 0)  # a joint is where it was commanded to be before
            measured = record.position[late] if index else held
            reason = jtc.accept(_stamped(due[1], -stepped_ns), robot_ns, measured)
            if reason is not None:
                record.rejections.append(reason)
        record.position[index] = jtc.sample(robot_ns)[0]
    return record


def _stamped(window: Trajectory, offset_ns: int) -> Trajectory:
    """The message, its stamp moved from the plan clock to the robot's, or back."""
    return Trajectory(
        window.stamp_ns + offset_ns,
        window.times_ns,
        window.positions,
        window.velocities,
        window.accelerations,
    )


def assert_lawful(record: Record, limits: JointLimits, velocity_scale: float = 0.5) -> None:
    """Every sample is inside every limit, and the controller took every message."""
    assert record.rejections == []
    position = record.position
    room = np.minimum(limits.upper - position, position - limits.lower) - limits.margin
    assert room.min() > -1e-3, f"position: {-room.min():.6f} rad into the margin"
    velocity = record.derivative(1)
    speed = velocity_scale * limits.velocity
    _assert_below("velocity", velocity, speed, position)
    offset, slope, upper, lower = limits.envelope.T
    fastest = -offset + np.sqrt(np.maximum(slope * (upper - position[1:]), 0))
    slowest = offset - np.sqrt(np.maximum(slope * (position[1:] - lower), 0))
    assert not np.any(velocity > np.maximum(fastest, 0) + 1e-3), "velocity envelope, upwards"
    assert not np.any(velocity < np.minimum(slowest, 0) - 1e-3), "velocity envelope, downwards"
    _assert_below("acceleration", record.derivative(2), limits.acceleration, position)
    _assert_below("jerk", record.derivative(3), limits.jerk, position)


def _assert_below(name: str, got: np.ndarray, limit: np.ndarray, position: np.ndarray) -> None:
    over = np.abs(got) - limit
    worst = np.unravel_index(np.nanargmax(over), over.shape)
    assert np.isfinite(got).all(), f"{name}: not finite"
    assert over[worst] <= TOLERANCE[name], (
        f"{name} of joint {worst[1]} at {worst[0]} ms: got {got[worst]:.6f}, "
        f"limit {limit[worst[1]]:.6f}"
    )


def assert_spliced(record: Record, knot_ns: int = 20 * MS) -> None:
    """Each window repeats the one before it up to its commit time, to the last bit."""
    for earlier, later in zip(record.windows, record.windows[1:], strict=False):
        until_ns = later.stamp_ns + 50 * MS + 100 * MS - knot_ns
        knots = np.arange(later.stamp_ns, until_ns + 1, knot_ns)
        for name in ("positions", "velocities", "accelerations"):
            rows = []
            for window in (earlier, later):
                at = np.searchsorted(window.times_ns + window.stamp_ns, knots)
                rows.append(getattr(window, name)[np.minimum(at, len(window.times_ns) - 1)])
            np.testing.assert_array_equal(*rows)


def wander(seed: int, speed: float = 0.5) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth path of all joints: seconds since the start (N,) -> (N, J) rad from home.

    The peak speed of the fastest joints is about `speed` rad/s; the path starts at rest.
    """
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.5, 2.0, (2, len(HOME)))
    phase = rng.uniform(0, 2 * np.pi, (2, len(HOME)))
    size = speed / rate / 2

    def path(seconds: np.ndarray) -> np.ndarray:
        t = np.maximum(np.asarray(seconds, dtype=float), 0)[:, None]
        waves = sum(size[k] * (np.sin(rate[k] * t + phase[k]) - np.sin(phase[k])) for k in range(2))
        return np.asarray(waves * np.minimum(t, 1.0) ** 2)

    return path


@dataclass(frozen=True)
class Policy:
    """Chunks of a path, each wrong by its own constant offset of up to `disagreement` rad."""

    path: Callable[[np.ndarray], np.ndarray]
    steps: int = 40
    step_ns: int = 66_666_667
    latency_ns: int = 120 * MS
    latency_jitter_ns: int = 20 * MS
    executed: int = 8
    disagreement: float = 0.02

    def events(
        self,
        replay: Replay,
        duration_ns: int,
        seed: int = 0,
        start_ns: int = START_NS,
        home: np.ndarray = HOME,
        verdicts: list | None = None,
    ) -> Events:
        """Queries every `executed` steps or as soon as the last is answered, as events."""
        rng = np.random.default_rng(seed)
        events: Events = []
        asked_ns, sequence = start_ns, 0
        while asked_ns < start_ns + duration_ns:
            jitter_ns = int(rng.integers(-self.latency_jitter_ns, self.latency_jitter_ns + 1))
            arrival_ns = asked_ns + max(MS, self.latency_ns + jitter_ns)
            seconds = (asked_ns - start_ns + np.arange(self.steps) * self.step_ns) * 1e-9
            wrong = rng.uniform(-self.disagreement, self.disagreement, len(home))
            joints = home + self.path(seconds) + wrong
            chunk = ActionChunk(sequence, 1, asked_ns, self.step_ns, joints, {})
            events.append((arrival_ns, _accepts(replay, chunk, verdicts)))
            asked_ns = max(asked_ns + self.executed * self.step_ns, arrival_ns)
            sequence += 1
        return events


def _accepts(replay: Replay, chunk: ActionChunk, verdicts: list | None) -> Callable[[int], object]:
    def accept(now_ns: int) -> object:
        verdict = replay.accept(chunk, now_ns)
        if verdicts is not None:
            verdicts.append(verdict)
        return verdict

    return accept


QUIET = Network(jitter_ns=0, lost=0.0, doubled=0.0, tick_jitter_ns=0)


def run(
    policy: Policy,
    network: Network = QUIET,
    seed: int = 0,
    duration_ms: int = 4000,
    extra: Events | None = None,
    chosen: ReplaySettings | None = None,
    **play_options: Any,
) -> tuple[Record, Replay]:
    """Play a policy; chunks may jump by 1 rad, so that the guard leaves the work to the shaper."""
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, chosen or ReplaySettings())
    events = policy.events(replay, duration_ms * MS, seed) + (extra or [])
    record = play(replay, events, duration_ms * MS, network, seed, **play_options)
    assert_lawful(record, limits)
    return record, replay


def moved(record: Record) -> float:
    """Farthest distance from the start, rad."""
    return float(np.abs(record.position - HOME).max())
