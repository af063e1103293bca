"""The report of one demo run as a folder: report.html with pictures inside, figures.json."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gr00t_ros.robot.limits import JointLimits
from gr00t_ros.sim.record import Record, allowed, extremes

WIDTH_PX, HEIGHT_PX = 420, 150
_LEFT_PX, _BOTTOM_PX, _TOP_PX = 46, 20, 20
_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1320px;padding:0 16px}
body{color:#1d2330}
h1{font-size:22px;margin:0 0 4px} h2{font-size:16px;margin:26px 0 8px}
.ok{color:#167a3e}.bad{color:#b3261e} table{border-collapse:collapse}
td,th{padding:3px 14px 3px 0;text-align:left;border-bottom:1px solid #e3e6ec}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.film{display:grid;gap:4px} .film figure{margin:0}
.film img{width:100%;display:block;border-radius:3px} figcaption{font-size:11px;color:#667}
.plots{display:flex;flex-wrap:wrap;gap:8px} svg text{font-size:10px;fill:#667}
svg .title{font-size:12px;fill:#1d2330} svg .end{text-anchor:end}
svg .frame{fill:#fafbfc;stroke:#d9dde5}
"""
NEXT_STEPS = (
    ("see it live in a browser", "./dev demo --watch"),
    ("another robot, a Unitree G1", "./dev demo --robot g1"),
    ("your robot's file and motion, in an afternoon", "docs/tutorials/first_robot.md"),
    ("all commands", f". {Path(sys.prefix).name}/bin/activate && gr00t --help"),
)
"""What somebody who has seen the demo does next: in words, and the command or page."""
_LEAST_SPAN_RAD = 0.02
_COMMANDED, _MEASURED, _DOT = "#2463c9", "#e07a1f", "#2463c9"


def percentiles_ms(samples_s: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """p50 and p99, ms, of the second of each pair; 0 without any."""
    if not samples_s:
        return 0.0, 0.0
    p50, p99 = np.percentile([1e3 * value for _, value in samples_s], [50, 99])
    return float(p50), float(p99)


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: `x` and `y` (N,), a CSS colour, drawn as a line or as dots."""

    x: ArrayLike
    y: ArrayLike
    colour: str
    dots: bool = False


def plot(title: str, series: Sequence[Series], y_unit: str, least_span: float = 0.0) -> str:
    """An SVG element with all `series` over one pair of axes; x is time in seconds.

    The y axis spans at least `least_span`, so that a joint at rest gives a flat line.
    """
    x0, x1 = _span([np.asarray(s.x, float) for s in series])
    y0, y1 = _span([np.asarray(s.y, float) for s in series])
    missing = max(0.0, 0.5 * (least_span - (y1 - y0)))
    y0, y1 = y0 - missing, y1 + missing
    parts = [_axes(title, x0, x1, y0, y1, y_unit)]
    for curve in series:
        x = _scale(np.asarray(curve.x, float), x0, x1, _LEFT_PX, WIDTH_PX - 6)
        y = _scale(np.asarray(curve.y, float), y0, y1, HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
        parts.append(_dots(x, y, curve.colour) if curve.dots else _line(x, y, curve.colour))
    return (
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" width="{WIDTH_PX}" height="{HEIGHT_PX}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _span(columns: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The common range of all finite values with a small margin; never empty."""
    values = np.concatenate([c[np.isfinite(c)] for c in columns]) if columns else np.empty(0)
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    air = 0.05 * (high - low) or 0.5
    return low - air, high + air


def _scale(
    values: NDArray[np.float64], low: float, high: float, first_px: float, last_px: float
) -> NDArray[np.float64]:
    return first_px + (values - low) / (high - low) * (last_px - first_px)


def _line(x: NDArray[np.float64], y: NDArray[np.float64], colour: str) -> str:
    step = max(1, len(x) // WIDTH_PX)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[::step], y[::step], strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _dots(x: NDArray[np.float64], y: NDArray[np.float64], colour: str) -> str:
    return "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.2" fill="{colour}"/>'
        for a, b in zip(x, y, strict=True)
    )


def _axes(title: str, x0: float, x1: float, y0: float, y1: float, unit: str) -> str:
    bottom = HEIGHT_PX - _BOTTOM_PX
    return (
        f'<rect x="{_LEFT_PX}" y="{_TOP_PX}" width="{WIDTH_PX - 6 - _LEFT_PX}" '
        f'height="{bottom - _TOP_PX}" class="frame"/>'
        f'<text x="{_LEFT_PX}" y="13" class="title">{escape(title)}</text>'
        f'<text x="{_LEFT_PX - 4}" y="{bottom}" class="end">{y0:.3g}</text>'
        f'<text x="{_LEFT_PX - 4}" y="{_TOP_PX + 9}" class="end">{y1:.3g}</text>'
        f'<text x="{_LEFT_PX - 4}" y="{(bottom + _TOP_PX) / 2}" class="end">{escape(unit)}</text>'
        f'<text x="{_LEFT_PX}" y="{HEIGHT_PX - 6}">{max(x0, 0):.1f} s</text>'
        f'<text x="{WIDTH_PX - 6}" y="{HEIGHT_PX - 6}" class="end">{x1:.1f} s</text>'
    )


@dataclass(frozen=True, slots=True)
class CameraFrames:
    """All cameras at one moment: time since the start in s, (H, W, 3) uint8 RGB pictures."""

    time_s: float
    pictures: Mapping[str, NDArray[np.uint8]]


@dataclass(slots=True)
class DemoResult:
    """The results of one demo run."""

    success: bool
    verdict: str
    figures: dict[str, Any]
    frames: list[CameraFrames] = field(default_factory=list)
    latencies_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    events: list[tuple[float, str]] = field(default_factory=list)
    record: Record | None = None
    limits: JointLimits | None = None


def limits_text(broken: Sequence[str] | None) -> str:
    """The verdict on the motion in a few words; None: there is no record to judge."""
    if broken is None:
        return "LIMITS NOT JUDGED: the robot left no record"
    return f"LIMITS BROKEN: {'; '.join(broken)}" if broken else "inside the limits"


def write_report(folder: Path, run: DemoResult) -> Path:
    """Write `folder`/report.html and figures.json and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(run.figures, indent=2) + "\n")
    page = folder / "report.html"
    page.write_text(_page(run), encoding="utf-8")
    return page


def choose_frames(frames: Sequence[CameraFrames], count: int) -> list[CameraFrames]:
    """`count` frames spread evenly over the run, the first and the last included."""
    if len(frames) <= count:
        return list(frames)
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]


def _page(run: DemoResult) -> str:
    kind = "ok" if run.success else "bad"
    body = [
        f'<h1 class="{kind}">{"Success" if run.success else "Failure"}</h1>',
        f"<p>{escape(run.verdict)}</p>",
        "<h2>Cameras</h2>" + _film(choose_frames(run.frames, 10)),
        _next_steps() if run.success else "",
        "<h2>Figures</h2>" + _figures(run.figures),
        "<h2>Events</h2>" + _events(run.events),
    ]
    if run.record is not None and len(run.record.time_ns):
        body.append("<h2>Joints: commanded (blue) and measured (orange), 1 kHz record</h2>")
        body.append(_joints(run.record))
        if run.limits is not None:
            body.append("<h2>Commanded motion against the limits</h2>")
            body.append(_motion(run.record, run.limits))
    body.append("<h2>Latency of each query</h2>" + _latency(run.latencies_s))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>gr00t_ros demo</title>'
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>"
    )


def _next_steps() -> str:
    rows = (
        f"<tr><td>{escape(t)}</td><td><code>{escape(c)}</code></td></tr>" for t, c in NEXT_STEPS
    )
    return f"<h2>Next</h2><table>{''.join(rows)}</table>"


def _film(frames: Sequence[CameraFrames]) -> str:
    cells = []
    for camera in frames[0].pictures if frames else ():
        for frame in frames:
            cells.append(
                f'<figure><img alt="{escape(camera)} at {frame.time_s:.1f} s" '
                f'src="data:image/jpeg;base64,{_jpeg(frame.pictures[camera])}">'
                f"<figcaption>{escape(camera)} {frame.time_s:.1f} s</figcaption></figure>"
            )
    columns = f"grid-template-columns:repeat({max(1, len(frames))},1fr)"
    return f'<div class="film" style="{columns}">{"".join(cells)}</div>'


def _jpeg(picture: NDArray[np.uint8]) -> str:
    import cv2  # here, because a run needs it only at its end

    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return base64.b64encode(data.tobytes()).decode() if ok else ""


def _figures(figures: Mapping[str, object]) -> str:
    rows = "".join(
        f'<tr><td>{escape(k)}</td><td class="n">{escape(_text(v))}</td></tr>'
        for k, v in figures.items()
    )
    return f"<table>{rows}</table>"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _events(events: Sequence[tuple[float, str]]) -> str:
    rows = "".join(f"<tr><td>{t:.1f} s</td><td>{escape(text)}</td></tr>" for t, text in events)
    return f"<table>{rows}</table>"


def _joints(record: Record) -> str:
    time_s = (record.time_ns - record.time_ns[0]) * 1e-9
    plots = [
        plot(
            name,
            [
                Series(time_s, record.measured[:, j], _MEASURED),
                Series(time_s, record.position[:, j], _COMMANDED),
            ],
            "rad",
            _LEAST_SPAN_RAD,
        )
        for j, name in enumerate(record.joint_names)
    ]
    return f'<div class="plots">{"".join(plots)}</div>'


def _motion(record: Record, limits: JointLimits) -> str:
    """A table of extremes and limits, as sim/record.py defines them."""
    found, most = extremes(record), allowed(limits)
    rows = [
        "<tr><th>joint</th><th>velocity rad/s</th><th>acceleration rad/s²</th>"
        "<th>jerk rad/s³</th><th>step of position µrad</th></tr>"
    ]
    for j, name in enumerate(record.joint_names):
        pairs = (
            (found.velocity[j], limits.velocity[j]),
            (found.acceleration[j], limits.acceleration[j]),
            (found.jerk[j], limits.jerk[j]),
            (1e6 * found.step[j], 1e6 * most.step[j]),
        )
        cells = "".join(f'<td class="n">{got:.3f} of {limit:.4g}</td>' for got, limit in pairs)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return (
        f"<table>{''.join(rows)}</table><p>From the 1 kHz record: acceleration and jerk are the "
        "larger of the recorded values and of the differences of velocity and acceleration. A step "
        "is a change of position that velocity does not explain, less 1 µs of motion: two windows "
        "may differ by that much, because the offset between the clocks is measured.</p>"
    )


def _latency(stages: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    plots = [
        plot(stage, [Series([t for t, _ in s], [1e3 * d for _, d in s], _DOT, dots=True)], "ms")
        for stage, s in stages.items()
        if s
    ]
    return f'<div class="plots">{"".join(plots)}</div>'
