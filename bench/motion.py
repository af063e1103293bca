"""What a controller commands when chunks are played by our method and by those that others use.

Every method gets the same chunks at the same times and the same delivery delays of 0 to 20 ms. A
model of the controller runs at 1 kHz and samples one period of 1 ms ahead, as the controller does
(control.md 1 has the comparison with its real code). The plot goes to build/bench/motion.svg. A
second table shows a policy that changes its mind, with a server's RTC and without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.motion_methods import METHODS, SETTINGS, play, raw_reference
from bench.motion_plot import svg
from bench.motion_rtc import rtc_rows, rtc_table, rtc_targets
from bench.motion_scenarios import (
    EXECUTED_STEPS,
    JITTER_SHARE,
    LIMITS,
    Row,
    Scenario,
    arrivals,
    measure,
    scenarios,
)
from bench.paired import Report, Target

PLOT = Path("build/bench/motion.svg")
OURS = "gr00t_ros"  # the default; rows whose name begins so are ours too
# the model's positions are doubles: the rounding error of differences over 1 ms is less than this
ROUNDING = 1.0 + 1e-5


def run(smoke: bool = False) -> Report:
    """Every method in every scenario: a table, a plot, and our own limits as targets.

    smoke: the first scenario and the last, and no plot is written.
    """
    chosen = list(scenarios())
    if smoke:
        chosen = [chosen[0], chosen[-1]]
    rows = [row for scenario in chosen for row in _rows(scenario)]
    picture = svg(rows, tuple(METHODS))
    if not smoke:
        PLOT.parent.mkdir(parents=True, exist_ok=True)
        PLOT.write_text(picture)
    with_rtc = rtc_rows(smoke)
    figures = {
        "rows": [asdict(row) for row in rows],
        "rtc": [asdict(row) for row in with_rtc],
        "plot": str(PLOT),
    }
    lines = (*_table(rows), "", *rtc_table(with_rtc))
    return Report("motion", lines, figures, (*_targets(rows), *rtc_targets(with_rtc, ROUNDING)))


def _rows(scenario: Scenario) -> Iterator[Row]:
    chunks = arrivals(scenario)
    raw = raw_reference(chunks)
    latency_ns = round(scenario.latency_ns * (1.0 + JITTER_SHARE))
    needed_ns = SETTINGS.needed_ns(scenario.step_ns, EXECUTED_STEPS, latency_ns)
    feasible = scenario.steps * scenario.step_ns >= needed_ns
    for method in METHODS:
        played, rejected = play(method, scenario, chunks)
        yield measure(method, scenario, feasible, played, raw, rejected)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        f"{'scenario':22}{'latency':>8}{'apart':>6}{'feas.':>6}  {'method':27}"
        f"{'rad/s':>8}{'rad/s^2':>11}{'rad/s^3':>12}{'rms lag':>9}{'rest s':>8}"
    ]
    for row in rows:
        lines.append(
            f"{row.scenario:22}{row.latency_ms:>5} ms{row.disagreement:>6}"
            f"{'yes' if row.feasible else 'no':>6}  {row.method:27}{row.max_velocity:>8.2f}"
            f"{row.max_acceleration:>11.2f}{row.max_jerk:>12.0f}{row.rms_lag:>9.4f}"
            f"{row.rest_s:>8.2f}"
        )
    return lines


def _targets(rows: Sequence[Row]) -> tuple[Target, ...]:
    ours = [row for row in rows if row.method.startswith(OURS)]
    default = [row for row in ours if row.method == OURS]
    calm = [row for row in default if row.feasible and row.disagreement == 0.02]
    killed = [row for row in ours if row.rest_s == row.rest_s]
    acceleration, jerk = float(LIMITS.acceleration[0]), float(LIMITS.jerk[0])
    return (
        Target("rad/s^2", max(r.max_acceleration for r in ours) / ROUNDING, acceleration),
        Target("rad/s^3", max(r.max_jerk for r in ours) / ROUNDING, jerk),
        Target("windows rejected", sum(r.rejected for r in ours), 0),
        Target("rms lag at 0.02 rad, feasible, rad", max(r.rms_lag for r in calm), 0.02),
        Target("at rest after the node's death, s", max(r.rest_s for r in killed), 0.9),
    )
