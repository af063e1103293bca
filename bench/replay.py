"""What a tick of the replay costs, and how punctual windows and streamed points are under load.

The tick alone, and with all watches on over real topics.

Windows at 50 Hz: the node's replay thread against a naive executor timer, in slices of random
order. Points at 200 Hz: the real gr00t_streamer in its process, against a bare loop on absolute
deadlines beside it, in the same seconds. All the time three 30 Hz VGA cameras are read and a policy
server is asked. Jitter is |interval - period| (performance.md); a tick is missed when an interval
is half a period too long, and counts where the bare loop missed none within 0.1 s of it.
"""

from __future__ import annotations

import gc
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

PRIORITY, SLICE_S = 50, 5.0
NEAR_NS = 100 * MS
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Jitter:
    """|interval - period| in microseconds over all slices; ticks missed by the machine not."""

    loop: str
    ticks: int
    p50_us: float
    p99_us: float
    max_us: float
    missed: int
    missed_alone: int


def run(seconds: float = 60.0) -> Report:
    """Measure both; `seconds` of each variant."""
    costs = [replay_tick.measure(joints) for joints in (7, 43)]
    watched = [replay_watches.measure(joints) for joints in (7, 43)]
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
        Target(f"missed alone, {name}", by_name[name].missed_alone, 0)
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
        *_cost_lines(costs),
        *_watched_lines(watched),
        *_jitter_lines(jitters, ratios, priority, answers),
    )
    return Report("replay", lines, figures, tuple(targets))


def _fifo_permitted() -> bool:
    """Asked in a thread of its own, so that this one stays as it is."""
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
    """The bare loop and the streamer, which write their times when the context ends."""
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
    intervals, late_at = [], []
    for start_ns, end_ns in spans:
        inside = times_ns[(times_ns >= start_ns) & (times_ns <= end_ns)]
        interval = np.diff(inside)
        intervals.append(interval)
        late_at.append(inside[1:][interval > 1.5 * period_ns])
    off_us = np.abs(np.concatenate(intervals) - period_ns) * 1e-3
    if not len(off_us):
        raise RuntimeError(f"{name}: no ticks were seen in the measured slices")
    missed = np.concatenate(late_at)
    machine = bare_ns[1:][np.diff(bare_ns) > 1.5 * PERIOD_NS]
    alone = [at for at in missed if not np.any(np.abs(machine - at) < NEAR_NS)]
    p50, p99 = np.percentile(off_us, [50, 99], method="higher")
    return Jitter(name, len(off_us), float(p50), float(p99), float(off_us.max()), len(missed),
                  len(alone))  # fmt: skip


def _p99(by_name: dict[str, Jitter], over: str, under: str) -> float:
    return by_name[over].p99_us / by_name[under].p99_us


def _cost_lines(costs: Sequence[replay_tick.TickCost]) -> Iterator[str]:
    yield f"one tick, {replay_tick.TICKS} of them, ms"
    yield f"{'joints':>8}{'knots':>8}{'median':>9}{'p99':>9}{'after a merge':>15}{'merge':>9}"
    for cost in costs:
        yield (
            f"{cost.joints:>8}{cost.knots:>8.0f}{cost.median_ms:>9.2f}{cost.p99_ms:>9.2f}"
            f"{cost.after_merge_ms:>15.2f}{cost.merge_ms:>9.2f}"
        )


def _watched_lines(costs: Sequence[replay_watches.WatchedCost]) -> Iterator[str]:
    yield f"one tick with all watches on, {replay_watches.TICKS} of them at 50 Hz, ms"
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
    yield f"{'loop':20}{'ticks':>8}{'p50':>9}{'p99':>9}{'max':>9}{'missed':>8}{'alone':>7}"
    for each in jitters:
        yield (
            f"{each.loop:20}{each.ticks:>8}{each.p50_us:>9.0f}{each.p99_us:>9.0f}"
            f"{each.max_us:>9.0f}{each.missed:>8}{each.missed_alone:>7}"
        )
    for name, ratio in ratios.items():
        yield f"{name}: {ratio:.2f}"
