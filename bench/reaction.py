"""From photon to motion: a picture's stamp to the first controller cycle that depends on it.

Cameras show a number that changes at random times. A policy server answers with a chunk that moves
joint 1 when the number has changed, at once or after the time of a model. A robot without physics
plays trajectories in cycles of 1 ms. Methods, one after the other in random order: the policy node
with its defaults; the client that people write first (bench/reaction_plain); in the first setting
also the node with the parameters for controllers on the same computer, which the goals are for, and
with --baseline the node of another checkout, and both with a query each eighth step. The floor is
computed: half a frame period, because a query is not in step with a camera; the wire, as the same
bytes take there and back in this run; the time of the model; one cycle of the controller.
The picture goes to build/bench/reaction.svg.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bench.camera_publisher import IMAGE_BYTES
from bench.paired import Report, Target, interleave, percentile
from bench.reaction_plot import svg
from bench.reaction_rig import (
    BASELINE,
    BASELINE_8,
    NODES,
    OURS,
    OURS_8,
    PLAIN,
    SHORT,
    Run,
    Setting,
    measured,
)
from bench.reaction_trials import STAGES, Row, Trials
from bench.wire_variants import RawTcp, peer
from gr00t_ros.demo.isolation import own_domain

PLOT = Path("build/bench/reaction.svg")
FLOOR = "floor"
BASE = Setting(30.0, 2, 0.0)
GROUPS = {
    "base": (BASE,),
    "fps": tuple(replace(BASE, fps=fps) for fps in (15.0, 60.0)),
    "cameras": tuple(replace(BASE, cameras=cameras) for cameras in (1, 3)),
    "server": tuple(replace(BASE, server_ms=ms) for ms in (40.0, 100.0)),
    "apart": (replace(BASE, stagger=True),),
}
ROUNDS, SECONDS, SMOKE_S = 2, 12.0, 3.0
TRIES = 4  # further runs of a row in which the machine let no change count
ROUND_TRIPS, WARM_UP = 60, 10
CYCLE_MS = 1.0
P50_MS, P99_MS, OVERHEAD_MS, CPU_RATIO = 60.0, 90.0, 40.0, 0.8


def run(
    seconds: float = SECONDS, smoke: bool = False, rows: str = "all", baseline: str = ""
) -> Report:
    """Measure; `seconds`: of each run, of which the first setting has two for each method.

    rows: a name of GROUPS, or all of them. baseline: a checkout with another node.
    """
    load_before = os.getloadavg()[0]
    settings = GROUPS.get(rows) or [one for group in GROUPS.values() for one in group]
    with own_domain():
        if smoke:
            found = [*_rows(BASE, (OURS, PLAIN), 1, SMOKE_S, "")]
        else:
            others = (SHORT, BASELINE, OURS_8, BASELINE_8) if baseline else (SHORT,)
            found = []
            for setting in settings:
                first = setting == BASE
                methods = (OURS, PLAIN, *others) if first else (OURS, PLAIN)
                found += _rows(setting, methods, ROUNDS if first else 1, seconds, baseline)
    if not smoke:
        PLOT.parent.mkdir(parents=True, exist_ok=True)
        PLOT.write_text(svg(found))
    loads = [load_before, os.getloadavg()[0]]
    figures = {
        "rows": [asdict(row) for row in found],
        "plot": str(PLOT),
        "cores": os.cpu_count(),
        "load": loads,
    }
    return Report("reaction", tuple(_table(found, loads)), figures, _targets(found))


def _rows(
    setting: Setting, methods: Sequence[str], rounds: int, seconds: float, baseline: str
) -> Iterator[Row]:
    """One row for each method, then the floor."""
    variants = {method: partial(measured, method, setting, seconds, baseline) for method in methods}
    for method, runs in interleave(variants, rounds, warm_up=0).items():
        trials = _trials(runs, setting)
        while not trials.found and len(runs) < rounds + TRIES:
            runs.append(variants[method]())
            trials = _trials(runs, setting)
        cpu_percent = 100e9 * sum(r.cpu_s for r in runs) / sum(r.end_ns - r.begin_ns for r in runs)
        yield _row(method, setting, trials, cpu_percent)
    yield _floor(setting)


def _trials(runs: Sequence[Run], setting: Setting) -> Trials:
    trials = Trials([])
    for one in runs:
        trials.add(one, setting.server_ms)
    return trials


def _row(method: str, setting: Setting, trials: Trials, cpu_percent: float) -> Row:
    times_ms = [trial.used_ms for trial in trials.found]
    void = {name: getattr(trials, name) for name in ("moving", "paused", "stalled", "lost")}
    if not times_ms:
        raise RuntimeError(f"{method}, {setting}: no change gave a time: {void}")
    shown = [trial.stages for trial in trials.found if trial.stages]
    change_ms = statistics.median(trial.reaction_ms for trial in trials.found)
    medians = [statistics.median(column) for column in zip(*shown, strict=True)]
    return Row(
        method, setting.fps, setting.cameras, setting.stagger, setting.server_ms,
        statistics.median(times_ms), percentile(times_ms, 99),
        dict(zip(STAGES, medians, strict=False)), change_ms,
        statistics.median(trial.commit_ms for trial in trials.found), len(times_ms), void,
        trials.breaks, cpu_percent,
    )  # fmt: skip


def _floor(setting: Setting) -> Row:
    wire_ms = _round_trip_ms(setting.cameras * IMAGE_BYTES)
    stages = {
        "half a frame period": 500.0 / setting.fps,
        "wire": wire_ms,
        "server": setting.server_ms,
        "controller": CYCLE_MS,
    }
    total_ms = sum(stages.values())
    latest_ms = total_ms + stages["half a frame period"]
    given = setting.fps, setting.cameras, setting.stagger, setting.server_ms
    return Row(FLOOR, *given, total_ms, latest_ms, stages, total_ms)


def _round_trip_ms(size: int) -> float:
    """Median time of so many bytes to another process by TCP, and of a short answer back."""
    with peer("tcp", "npy") as port:
        connection = RawTcp(port, memoryview(bytearray(size)))
        times_ms = []
        for _ in range(WARM_UP + ROUND_TRIPS):
            begin_ns = time.perf_counter_ns()
            connection.ask()
            times_ms.append((time.perf_counter_ns() - begin_ns) * 1e-6)
        connection.close()
    return statistics.median(times_ms[WARM_UP:])


def _table(rows: Sequence[Row], loads: Sequence[float]) -> Iterator[str]:
    yield f"{os.cpu_count()} cores, load {loads[0]:.1f} before and {loads[1]:.1f} after; ms"
    yield (
        f"{'fps, cameras, server':28}{'method':16}{'p50':>7}{'p99':>7}{'change':>8}{'commit':>8}"
        f"{'trials':>8}{'void':>6}{'breaks':>8}{'CPU %':>7}"
    )
    for row in rows:
        yield (
            f"{_named(row):28}{row.method:16}{row.p50_ms:7.1f}{row.p99_ms:7.1f}{row.change_p50_ms:8.1f}"
            f"{row.commit_ms:8.1f}{row.trials:8}{sum(row.void.values()):6}{row.breaks:8}{row.cpu_percent:7.1f}"
        )
    yield f"stages, medians: {', '.join(STAGES)}"
    for row in rows:
        if row.method in NODES:
            parts = "".join(f"{ms:7.1f}" for ms in row.stages.values())
            yield f"{_named(row):28}{row.method:15}{parts}"
    if rows[0].setting == BASE:
        yield from _wire(rows)


def _named(row: Row) -> str:
    apart = " apart" if row.stagger else ""
    return f"{row.fps:3.0f} fps,{row.cameras:2}{apart},{row.server_ms:4.0f} ms"


def _ours(rows: Sequence[Row]) -> Row:
    """The row that the goals are for; a smoke run has the defaults alone."""
    base = {row.method: row for row in rows if row.setting == BASE}
    return base.get(SHORT) or base[OURS]


def _wire(rows: Sequence[Row]) -> Iterator[str]:
    """What shared memory between node and server could save at most."""
    base = {row.method: row for row in rows if row.setting == BASE}
    ours, bytes_ms = _ours(rows), base[FLOOR].stages["wire"]
    yield (
        f"wire at 2x640x480: {ours.stages['wire']:.1f} ms, of which moving the bytes "
        f"{bytes_ms:.1f} ms: {100 * bytes_ms / ours.p50_ms:.1f} % of the time to the first point"
    )


def _targets(rows: Sequence[Row]) -> tuple[Target, ...]:
    """The goals of the first setting, and those that hold in every row."""
    base = {row.method: row for row in rows if row.setting == BASE}
    pairs = [
        (row, other)
        for row in rows
        for other in rows
        if row.method in (OURS, SHORT) and other.method == PLAIN and row.setting == other.setting
    ]
    behind = max(row.change_p50_ms - other.change_p50_ms - row.commit_ms for row, other in pairs)
    targets = [
        Target(
            "from a change on, slower than the plain client by more than the commit time, p50, ms",
            behind,
            0.0,
        ),
        Target(
            "controller cycles beyond a limit, gr00t_ros",
            sum(row.breaks for row in rows if row.method in (OURS, SHORT)),
            0,
        ),
        Target(
            "changes that no motion followed, gr00t_ros",
            sum(row.void.get("lost", 0) for row in rows if row.method in (OURS, SHORT)),
            0,
        ),
    ]
    if base:
        ours = _ours(rows)
        beyond_ms = ours.p50_ms - ours.server_ms - 500.0 / BASE.fps
        targets += [
            Target("stamp to first executed point, p50, ms", ours.p50_ms, P50_MS),
            Target("stamp to first executed point, p99, ms", ours.p99_ms, P99_MS),
            Target(
                "beyond the server's time and half a frame period, p50, ms", beyond_ms, OVERHEAD_MS
            ),
        ]
    if BASELINE_8 in base:
        cpu = base[OURS_8].cpu_percent / base[BASELINE_8].cpu_percent
        targets.append(Target("CPU while replaying, ours / baseline", cpu, CPU_RATIO))
    return tuple(targets)
