"""From photon to motion: a picture's stamp to the first controller cycle that depends on it.

Cameras show a number that changes at random times; a policy server answers with a chunk that moves
joint 1 when it has changed; a robot without physics plays the trajectories in cycles of 1 ms.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.paired import Report, Target, percentile
from bench.reaction_rig import OURS, PLAIN, Setting, run as measured
from bench.reaction_trials import Trial, trials

BASE = Setting(30.0, 2, 0.0)
SECONDS, SMOKE_S = 30.0, 4.0
METHODS = (OURS, PLAIN)


@dataclass(frozen=True, slots=True)
class Row:
    """Reaction times of one method. stages: medians, ms."""

    method: str
    fps: float
    cameras: int
    server_ms: float
    p50_ms: float
    p99_ms: float
    stages: Mapping[str, float]
    trials: int
    void: int
    cpu_percent: float


def run(seconds: float = SECONDS, smoke: bool = False) -> Report:
    """Measure every row; `seconds`: of each."""
    seconds = SMOKE_S if smoke else seconds
    rows = [_row(method, BASE, seconds) for method in METHODS]
    return Report("reaction", tuple(_table(rows)), {"rows": [asdict(row) for row in rows]}, _targets(rows))


def _row(method: str, setting: Setting, seconds: float) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        got = measured(method, setting, seconds, 1, Path(folder))
    found, void = trials(got, setting.server_ms)
    times = [trial.reaction_ms for trial in found]
    cpu = 100 * got.cpu_s / (got.end_ns - got.begin_ns) * 1e9
    return Row(
        method, setting.fps, setting.cameras, setting.server_ms, statistics.median(times),
        percentile(times, 99), _stages(found), len(found), void, cpu,
    )  # fmt: skip


def _stages(found: Sequence[Trial]) -> dict[str, float]:
    shown = [trial.stages for trial in found if trial.stages]
    names = shown[0] if shown else ()
    return {name: statistics.median(stages[name] for stages in shown) for name in names}


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{'method':14}{'fps':>5}{'cameras':>9}{'server':>8}{'p50 ms':>9}{'p99 ms':>9}{'trials':>8}{'void':>6}{'CPU %':>7}"
    for row in rows:
        yield (
            f"{row.method:14}{row.fps:5.0f}{row.cameras:9}{row.server_ms:8.0f}{row.p50_ms:9.1f}"
            f"{row.p99_ms:9.1f}{row.trials:8}{row.void:6}{row.cpu_percent:7.1f}"
        )
        yield "  " + ", ".join(f"{name} {ms:.1f}" for name, ms in row.stages.items())


def _targets(rows: Sequence[Row]) -> tuple[Target, ...]:
    ours = next(row for row in rows if row.method == OURS)
    return (Target("stamp to motion, p50 ms", ours.p50_ms, 60), Target("p99 ms", ours.p99_ms, 90))
