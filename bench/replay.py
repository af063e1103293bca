"""What a tick of the replay costs, and how punctual windows and streamed points are under load.

The tick is measured alone, and with all watches on over real topics.

Windows at 50 Hz: the node's replay thread compared with a naive executor timer, in slices of random
order. Points at 200 Hz: the real gr00t_streamer in its process, compared with a bare loop on
absolute deadlines that runs at the same time. Meanwhile three 30 Hz VGA cameras are read and
requests are sent to a policy server. Jitter is |interval - period| (performance.md). A tick counts
as missed when an interval is half a period too long, and as missed alone if the bare loop missed
none within 0.1 s of it.

Some ticks are missed alone by chance, because a stall of one processor need not affect both loops.
The bare loop only wakes up, so the ticks that it misses alone in the same slices, at the same
period, are caused by the machine. As noise count as many of a loop's misses as leave a chance of at
least 1 % that both counts come from one rate (two Poisson counts of one rate: each is binomial in
their sum with share 1/2; Przyborowski and Wilenski, 1940). Beyond the noise no tick may be missed
alone.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import camera, replay_tick, replay_watches
from bench.motion_scenarios import LIMITS, MS
from bench.paired import Report, Target, interleave
from bench.replay_child import PERIOD_NS
from bench.replay_load import LIMIT_S
from bench.replay_loops import COMMAND_TOPIC, SETTINGS, WINDOW_TOPIC, rig
from bench.wire_variants import peer
from gr00t_ros.ros.periodic import ask_for_fifo

PRIORITY, SLICE_S, SMOKE_S = 50, 5.0, 0.5
NEAR_NS = 100 * MS
CHANCE = 0.01  # probability that a row fails although nothing is wrong
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Jitter:
    """|interval - period| in microseconds over all slices, and missed ticks.

    missed_alone: missed while the bare loop missed none. bare_alone: missed by the bare loop at
    this loop's period while this loop missed none. noise: how many of missed_alone the latter
    explains.
    """

    loop: str
    ticks: int
    p50_us: float
    p99_us: float
    max_us: float
    missed: int
    missed_alone: int
    bare_alone: int
    noise: int


def run(seconds: float = 60.0, smoke: bool = False) -> Report:
    """Measure costs and jitter; `seconds`: duration of each variant."""
    ticks, watches = replay_tick.TICKS, replay_watches.TICKS
    if smoke:
        seconds, ticks, watches = SMOKE_S, replay_tick.SMOKE_TICKS, replay_watches.SMOKE_TICKS
    costs = [replay_tick.measure(joints, ticks) for joints in (7, 43)]
    watched = [replay_watches.measure(joints, watches) for joints in (7, 43)]
    priority = PRIORITY if _fifo_permitted() else 0
    jitters, answers = _measure(max(1, round(seconds / SLICE_S)), min(seconds, SLICE_S), priority)
    by_name = {jitter.loop: jitter for jitter in jitters}
    targets = [
        Target(f"tick of {cost.joints} joints, median ms", cost.median_ms, limit)
        for cost, limit in zip(costs, (2.0, 4.0), strict=True)
    ]
    targets += [
        Target(f"tick with all watches, {cost.robot}, median ms", cost.median_ms, limit)
        for cost, limit in zip(watched, (2.0, 4.0), strict=True)
    ]
    ratios = {
        "windows p99, thread / naive timer": _p99(by_name, "windows, thread", "windows, naive"),
        "streamer p99 / bare loop p99": _p99(by_name, "streamer", "bare loop"),
    }
    targets += [
        Target(name, ratio, limit)
        for (name, ratio), limit in zip(ratios.items(), (0.5, 1.5), strict=True)
        if priority or "naive" in name
    ]
    targets += [
        Target(
            f"missed alone beyond noise, {name}",
            by_name[name].missed_alone - by_name[name].noise,
            0,
        )
        for name in ("windows, thread", "streamer")
    ]
    figures = {
        "ticks": [asdict(cost) for cost in costs],
        "watched_ticks": [asdict(cost) for cost in watched],
        "jitter": [asdict(jitter) for jitter in jitters],
        "ratios": ratios,
        "sched_fifo": bool(priority),
        "answers": answers,
    }
    lines = (
        *_cost_lines(costs, ticks),
        *_watched_lines(watched, watches),
        *_jitter_lines(jitters, ratios, priority, answers),
    )
    return Report("replay", lines, figures, tuple(targets))


def _fifo_permitted() -> bool:
    """Whether SCHED_FIFO is permitted; tried in another thread, so that this one is unchanged."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(ask_for_fifo(PRIORITY)))
    thread.start()
    thread.join()
    return answers == [""]


def _measure(rounds: int, slice_s: float, priority: int) -> tuple[list[Jitter], int]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(camera.publishing())
        port = stack.enter_context(peer("zmq", "npy"))
        with rig(port, priority) as loops, _children(folder, priority):
            loops.wait_for_streamer()
            gc.freeze()  # as the node does
            variants = {
                "ours": lambda: loops.ours(slice_s),
                "naive": lambda: loops.naive(slice_s),
            }
            spans = interleave(variants, rounds, warm_up=1, seed=os.getpid())
        windows = np.array(loops.outputs.times_ns, dtype=np.int64)
        bare, streamer = (np.load(folder / f"{kind}.npy") for kind in ("bare", "streamer"))
    window_ns = SETTINGS.refresh_ns
    return [
        _jitter("windows, thread", windows, spans["ours"], window_ns, bare),
        _jitter("windows, naive", windows, spans["naive"], window_ns, bare),
        _jitter("streamer", streamer, spans["ours"], PERIOD_NS, bare),
        _jitter("bare loop", bare, spans["ours"], PERIOD_NS, bare),
    ], loops.answers


@contextmanager
def _children(folder: Path, priority: int) -> Iterator[None]:
    """Run the bare loop and the streamer; they write their times when the context ends."""
    joints = f"joints:=[{','.join(LIMITS.names)}]"
    parameters = (joints, f"window_topic:={WINDOW_TOPIC}", f"command_topic:={COMMAND_TOPIC}")
    arguments = [word for one in parameters for word in ("-p", one)]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.replay_child", kind, str(priority),
             str(folder / f"{kind}.npy"), *more]
        )
        for kind, more in (("bare", []), ("streamer", arguments))
    ]  # fmt: skip
    try:
        yield
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait(LIMIT_S)


def _jitter(
    name: str, times_ns: Times, spans: Sequence[tuple[int, int]], period_ns: int, bare_ns: Times
) -> Jitter:
    inside = [times_ns[(times_ns >= start) & (times_ns <= end)] for start, end in spans]
    off_us = np.abs(np.concatenate([np.diff(each) for each in inside]) - period_ns) * 1e-3
    if not len(off_us):
        raise RuntimeError(f"{name}: no ticks were seen in the measured slices")
    missed = np.concatenate([_late(each, period_ns) for each in inside])
    alone = _apart(missed, _late(bare_ns, PERIOD_NS))
    as_slow = bare_ns[:: period_ns // PERIOD_NS]
    machine = [as_slow[(as_slow >= start) & (as_slow <= end)] for start, end in spans]
    bare_alone = _apart(np.concatenate([_late(each, period_ns) for each in machine]), missed)
    p50, p99 = np.percentile(off_us, [50, 99], method="higher")
    return Jitter(name, len(off_us), float(p50), float(p99), float(off_us.max()), len(missed),
                  alone, bare_alone, noise_of(alone, bare_alone))  # fmt: skip


def _late(times_ns: Times, period_ns: int) -> Times:
    """Return the times of ticks that came half a period or more too late after the one before."""
    return times_ns[1:][np.diff(times_ns) > 1.5 * period_ns]


def _apart(ours_ns: Times, theirs_ns: Times) -> int:
    """Return how many of `ours_ns` have none of `theirs_ns` within NEAR_NS."""
    return sum(not np.any(np.abs(theirs_ns - at) < NEAR_NS) for at in ours_ns)


def noise_of(alone: int, bare_alone: int) -> int:
    """Return how many of `alone` misses the rate of the bare loop's misses explains."""
    for noise in range(alone, 0, -1):
        total = noise + bare_alone
        ways = sum(math.comb(total, k) for k in range(noise, total + 1))
        if ways >= CHANCE * 2**total:
            return noise
    return 0


def _p99(by_name: dict[str, Jitter], over: str, under: str) -> float:
    return by_name[over].p99_us / by_name[under].p99_us


def _cost_lines(costs: Sequence[replay_tick.TickCost], count: int) -> Iterator[str]:
    yield f"one tick, {count} of them, ms"
    yield f"{'joints':>8}{'knots':>8}{'median':>9}{'p99':>9}{'after a merge':>15}{'merge':>9}"
    for cost in costs:
        yield (
            f"{cost.joints:>8}{cost.knots:>8.0f}{cost.median_ms:>9.2f}{cost.p99_ms:>9.2f}"
            f"{cost.after_merge_ms:>15.2f}{cost.merge_ms:>9.2f}"
        )


def _watched_lines(costs: Sequence[replay_watches.WatchedCost], count: int) -> Iterator[str]:
    yield f"one tick with all watches on, {count} of them at 50 Hz, ms"
    yield f"{'robot':>14}{'joints':>8}{'watches':>9}{'median':>9}{'p99':>9}{'merge':>9}"
    for cost in costs:
        yield (
            f"{cost.robot:>14}{cost.joints:>8}{cost.watches_ms:>9.2f}{cost.median_ms:>9.2f}"
            f"{cost.p99_ms:>9.2f}{cost.merge_ms:>9.2f}"
        )


def _jitter_lines(
    jitters: Sequence[Jitter], ratios: dict[str, float], priority: int, answers: int
) -> Iterator[str]:
    granted = f"SCHED_FIFO {priority}" if priority else "SCHED_FIFO is not permitted here: without"
    yield f"jitter under load ({granted}; {answers} answers of the server), us"
    yield (
        f"{'loop':20}{'ticks':>8}{'p50':>9}{'p99':>9}{'max':>9}{'missed':>8}{'alone':>7}"
        f"{'bare alone':>12}{'noise':>7}"
    )
    for each in jitters:
        yield (
            f"{each.loop:20}{each.ticks:>8}{each.p50_us:>9.0f}{each.p99_us:>9.0f}"
            f"{each.max_us:>9.0f}{each.missed:>8}{each.missed_alone:>7}"
            f"{each.bare_alone:>12}{each.noise:>7}"
        )
    for name, ratio in ratios.items():
        yield f"{name}: {ratio:.2f}"
