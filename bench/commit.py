"""Fixed and measured commit times over modelled deliveries: late switches, steps, commit times.

A switch is late if a window arrives after the time from which it differs from what is played: the
law of motion/commit_time.py. States take the node's own way, through a reader's queue that keeps
the newest ones and inputs/source.py. Hours of each model are run with integers for a clock. Seconds
of each are also sampled in the controller's model at 1 kHz, where a step shows as an acceleration
beyond the limit. The models are simple and their numbers are in the table below: what was measured
on busy hosts (docs/dds.md, docs/motion.md), and what wireless networks do.

    ./dev bench commit
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bench.motion_scenarios import HOME, LIMITS, START_NS, chunk_path
from bench.paired import Report, Target
from gr00t_ros.inputs.inputs import PULL_PERIOD_NS
from gr00t_ros.inputs.source import History, Source
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.commit_time import CommitTime, S
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import MS, ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS, Sample
from gr00t_ros.observe.joint_states import JointPublishers
from gr00t_ros.ros import qos
from gr00t_ros.ros.periodic import next_due_ns

HOURS, SMOKE_HOURS = 1.0, 0.05
SAMPLED_S, SMOKE_SAMPLED_S = 10, 1
CHUNK_NS = 133 * MS
"""A chunk changes the motion so often: four steps at 30 Hz."""
WARM_NS = 60 * S
ROUNDING = 1.0 + 1e-3
ONE_HOST = "one host"
"""Models whose names begin so have goals: `measured` is meant for controllers on this computer."""


@dataclass(frozen=True, slots=True)
class Model:
    """Delivery of one message: base_ms plus up to jitter_ms, and lost with probability `lost`.

    stalls: every so many seconds (mean) nothing arrives for between two times in ms; what was sent
    meanwhile arrives at the end. shared: both directions stall together. command_ms: additional way
    of windows. drift_ms: what the controller's clock gains on ours in an hour. states_hz: how often
    it publishes its state.
    """

    name: str
    base_ms: float = 0.3
    jitter_ms: float = 1.0
    lost: float = 0.0
    stalls: tuple[tuple[float, float, float], ...] = ()
    shared: bool = False
    command_ms: float = 0.0
    drift_ms: float = 0.0
    states_hz: int = 50


MODELS = (
    Model("one host, calm"),
    Model("one host, 3 ms jitter, 1 % lost", jitter_ms=3.0, lost=0.01),
    Model("one host, busy: 5 to 31 ms each 30 s", lost=0.001, stalls=((30, 5, 31),)),
    Model("one host, overloaded: 5 to 81 ms each 10 s", lost=0.001, stalls=((10, 5, 81),)),
    Model(
        "one host, the same, states at 1 kHz",
        lost=0.001,
        stalls=((10, 5, 81),),
        states_hz=1000,
    ),
    Model("one host, 5 to 81 ms each 10 minutes", stalls=((600, 5, 81),)),
    Model("one host, 5 to 81 ms each 10 minutes, 1 % lost", lost=0.01, stalls=((600, 5, 81),)),
    Model("commands 30 ms slower than states, 1 % lost", lost=0.01, command_ms=30.0),
    Model("clock gains 20 ms an hour", drift_ms=20.0),
    Model(
        "Wi-Fi: 2 to 6 ms, 2 % lost, 20 to 60 ms each 20 s",
        *(2.0, 4.0, 0.02, ((20, 20, 60),), True),
    ),
    Model(
        "Wi-Fi: the same, and 60 to 90 ms each 5 minutes",
        *(2.0, 4.0, 0.02, ((20, 20, 60), (300, 60, 90)), True),
    ),
)
VARIANTS = {
    "fixed 100": ReplaySettings(),
    "measured, 20 ms": ReplaySettings(commit="measured"),
    "measured, 10 ms": ReplaySettings(commit="measured", refresh_ns=10 * MS, knot_ns=10 * MS),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One model and variant. late_per_h: late switches in an hour; worst_ms: how late at most.

    commit_ms: mean commit time. step_rad_s2: largest acceleration of the sampled seconds.
    """

    model: str
    variant: str
    late_per_h: float
    worst_ms: float
    commit_ms: float
    step_rad_s2: float


class Way:
    """One direction of a model's delivery; messages are sent in the order of time."""

    def __init__(self, model: Model, rng: np.random.Generator, stalls: Sequence[tuple[int, int]]):
        self._model, self._rng = model, rng
        self._stalls, self._begins = stalls, [begin for begin, _ in stalls]

    def arrives(self, sent_ns: int, more_ms: float = 0.0) -> int | None:
        """When a message arrives; None if it is lost."""
        if self._rng.random() < self._model.lost:
            return None
        way_ms = self._model.base_ms + more_ms + self._rng.random() * self._model.jitter_ms
        at_ns = sent_ns + int(way_ms * MS)
        found = bisect_right(self._begins, at_ns) - 1
        return at_ns if found < 0 else max(at_ns, self._stalls[found][1])


def _ways(model: Model, rng: np.random.Generator, for_ns: int) -> tuple[Way, Way]:
    """The ways of states and of windows."""
    both = [_stalls(model, rng, for_ns) for _ in range(2)]
    states, windows = (both[0], both[0]) if model.shared else both
    return Way(model, rng, states), Way(model, rng, windows)


def _stalls(model: Model, rng: np.random.Generator, for_ns: int) -> list[tuple[int, int]]:
    """Begin and end of each stall, in order."""
    found = []
    for every_s, least_ms, most_ms in model.stalls:
        count = rng.poisson(for_ns / S / every_s)
        for begin_ns in rng.integers(START_NS, START_NS + for_ns, count).tolist():
            found.append((begin_ns, begin_ns + int(rng.uniform(least_ms, most_ms) * MS)))
    return sorted(found)


class StateQueue:
    """What a reader keeps of a controller's states, in the place of ros/pulled.py."""

    topic, depth, type_names = "states", qos.JOINTS.depth, ()
    number: int | None = None
    sent_ns = received_ns = 0

    def __init__(self) -> None:
        self.waiting = deque[tuple[int, int, int]](maxlen=self.depth)
        """Number, publication and arrival of each message."""

    def take(self) -> int | None:
        """The oldest message: its stamp, which is the time of its publication."""
        if not self.waiting:
            return None
        self.number, self.sent_ns, self.received_ns = self.waiting.popleft()
        return self.sent_ns

    def follow(self, publishers: object) -> None:
        """Nothing: there is one publisher."""

    def destroy(self) -> None:
        """Nothing."""


class States:
    """A controller's states on their way to the commit time, as the node takes them."""

    def __init__(self, way: Way, model: Model, commit: CommitTime) -> None:
        self._way, self._model, self._commit = way, model, commit
        self._period_ns, self._number = S // model.states_hz, 0
        self._next_ns = self._arrived_ns = START_NS
        self._pull_ns = START_NS + PULL_PERIOD_NS // 4
        self._under_way, self._queue = deque[tuple[int, int, int]](), StateQueue()
        self._source = Source(
            self._queue,
            lambda stamp_ns: (stamp_ns, None),
            History(0, 1),
            PULL_PERIOD_NS,
            publishers=JointPublishers(CONTROLLER_MAX_AGE_NS),
        )
        self._seen: Sample | None = None

    def until(self, now_ns: int) -> None:
        """Take what has arrived by now, and look at the newest."""
        self._send(now_ns)
        while self._pull_ns <= now_ns:
            self._arrive(self._pull_ns)
            self._source.pull(self._pull_ns)
            self._pull_ns += PULL_PERIOD_NS
        newest = self._source.buffer.latest()
        if newest is not None and newest is not self._seen:
            self._seen = newest
            self._commit.received(now_ns, newest.transit_ns)

    def _send(self, now_ns: int) -> None:
        while self._next_ns <= now_ns:
            sent_ns, at_ns = self._next_ns, self._way.arrives(self._next_ns)
            self._next_ns, self._number = sent_ns + self._period_ns, self._number + 1
            if at_ns is not None:  # a reader gets messages in their order
                self._arrived_ns = max(self._arrived_ns, at_ns)
                stamp_ns = sent_ns + gained_ns(self._model, sent_ns)
                self._under_way.append((self._number, stamp_ns, self._arrived_ns))

    def _arrive(self, by_ns: int) -> None:
        while self._under_way and self._under_way[0][2] <= by_ns:
            self._queue.waiting.append(self._under_way.popleft())


def gained_ns(model: Model, now_ns: int) -> int:
    """How far the controller's clock is ahead of ours."""
    return int(model.drift_ms * MS * (now_ns - START_NS) / (3600 * S))


def late_switches(model: Model, chosen: ReplaySettings, for_ns: int) -> tuple[list[int], float]:
    """How late each late switch was, ns, and the mean commit time, ns.

    The node sees the first one in the controller's state, and uses the longest from then on.
    """
    rng = np.random.default_rng(1)
    states, windows = _ways(model, rng, for_ns)
    commit, late = CommitTime(chosen), list[int]()
    heard = States(states, model, commit)
    arrived_ns, chunk_ns, total_ns, ticks = 0, START_NS, 0, 0
    # From when the windows that have not arrived differ from what is played.
    pending = list[int]()
    due_ns = START_NS
    while due_ns < START_NS + for_ns:
        now_ns = due_ns
        heard.until(now_ns)
        commit_ns = commit.at(now_ns)
        due_ns = _next_due_ns(now_ns, commit_ns, chosen)
        total_ns, ticks = total_ns + commit_ns, ticks + 1
        if now_ns >= chunk_ns:
            chunk_ns += CHUNK_NS
            pending.append(-(-(now_ns + commit_ns) // chosen.knot_ns) * chosen.knot_ns)
        at_ns = windows.arrives(now_ns, model.command_ms)
        if at_ns is None:
            continue
        arrived_ns = max(arrived_ns, at_ns + gained_ns(model, now_ns))
        if pending and arrived_ns > min(pending):
            late.append(arrived_ns - min(pending))
            commit.refute("a late switch")
        pending.clear()
    return late, total_ns / ticks


def sampled(model: Model, chosen: ReplaySettings, for_s: int) -> float:
    """The largest acceleration of the controller's commands, rad/s^2, after a minute of states."""
    rng = np.random.default_rng(2)
    states, windows = _ways(model, rng, WARM_NS + for_s * S)
    replay = Replay(LIMITS, chosen)
    heard = States(states, model, replay.commit)
    begin_ns = START_NS + WARM_NS
    for now_ns in range(START_NS, begin_ns, chosen.refresh_ns):
        heard.until(now_ns)
        replay.commit.at(now_ns)
    replay.start(begin_ns, HOME)
    jtc = JtcSampler(len(HOME), period_ns=MS)
    jtc.hold(HOME)
    position, under_way = np.empty((for_s * 1000, len(HOME))), deque[tuple[int, Trajectory]]()
    waiting, due_ns = _chunks(begin_ns, for_s), begin_ns
    for index in range(len(position)):
        now_ns = begin_ns + index * MS
        while waiting and waiting[0][0] <= now_ns:
            replay.accept(waiting.popleft()[1], now_ns)
        if now_ns >= due_ns:
            heard.until(due_ns)
            window = replay.tick(due_ns)
            at_ns = windows.arrives(due_ns, model.command_ms)
            if window is not None and at_ns is not None:
                under_way.append((at_ns + gained_ns(model, due_ns), window))
            due_ns = _next_due_ns(due_ns, replay.commit.commit_ns, chosen)
        while under_way and under_way[0][0] <= now_ns:
            jtc.accept(under_way.popleft()[1], now_ns, position[max(index - 1, 0)])
        position[index] = jtc.sample(now_ns)[0]
    return float(np.abs(np.diff(position, n=2, axis=0)).max()) * 1e6


def _next_due_ns(due_ns: int, commit_ns: int, chosen: ReplaySettings) -> int:
    """The next tick: a commit time before a knot, or on its way there, as in node/replay_thread."""
    return next_due_ns(due_ns, chosen.refresh_ns, -commit_ns, chosen.knot_ns)


def _chunks(begin_ns: int, for_s: int) -> deque[tuple[int, ActionChunk]]:
    """Chunks of 16 steps at 30 Hz every CHUNK_NS that disagree by 0.02 rad, 40 ms after a stamp."""
    rng = np.random.default_rng(3)
    path, found = chunk_path(rng), deque[tuple[int, ActionChunk]]()
    for stamp_ns in range(begin_ns, begin_ns + for_s * S, CHUNK_NS):
        times_ns = stamp_ns - begin_ns + np.arange(16) * 33_333_333
        joints = HOME + path(times_ns * np.float64(1e-9)) + rng.uniform(-0.02, 0.02, len(HOME))
        found.append(
            (stamp_ns + 40 * MS, ActionChunk(len(found), 1, stamp_ns, 33_333_333, joints, {}))
        )
    return found


def run(smoke: bool = False) -> Report:
    """Every model with every variant; smoke: minutes of the first model and a second of motion."""
    hours, seconds = (SMOKE_HOURS, SMOKE_SAMPLED_S) if smoke else (HOURS, SAMPLED_S)
    rows = [
        _row(model, name, chosen.check(), hours, seconds)
        for model in MODELS[: 1 if smoke else None]
        for name, chosen in VARIANTS.items()
    ]
    lines = [
        f"{'delivery':50}{'commit':18}{'late/h':>8}{'worst ms':>10}{'mean ms':>9}{'rad/s^2':>9}",
        *(
            f"{row.model:50}{row.variant:18}{row.late_per_h:>8.1f}{row.worst_ms:>10.1f}"
            f"{row.commit_ms:>9.1f}{row.step_rad_s2:>9.1f}"
            for row in rows
        ),
    ]
    one_host = [row for row in rows if row.model.startswith(ONE_HOST)]
    limit = float(LIMITS.acceleration[0])
    targets = (
        Target("late switches in an hour, one host", max(r.late_per_h for r in one_host), 0),
        Target("rad/s^2, one host", max(r.step_rad_s2 for r in one_host) / ROUNDING, limit),
    )
    return Report("commit", tuple(lines), {"rows": [asdict(row) for row in rows]}, targets)


def _row(model: Model, name: str, chosen: ReplaySettings, hours: float, seconds: int) -> Row:
    for_ns = int(hours * 3600 * S)
    late, commit_ns = late_switches(model, chosen, for_ns)
    return Row(
        model.name,
        name,
        len(late) / hours,
        max(late, default=0) / MS,
        commit_ns / MS,
        sampled(model, chosen, seconds),
    )
