"""The report of one demo run as a folder: report.html with pictures inside, figures.json.

Reads what the run left (frames, record, figures) and judges nothing: the verdict is given.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.limits import JointLimits
from gr00t_ros.sim.judge import allowed, extremes
from gr00t_ros.sim.plots import Series, plot
from gr00t_ros.sim.record import Record

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1320px;color:#1d2330}
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
_LEAST_SPAN_RAD = 0.02
_COMMANDED, _MEASURED, _DOT = "#2463c9", "#e07a1f", "#2463c9"


@dataclass(frozen=True, slots=True)
class Frame:
    """Both cameras at one moment: time since the start in s, (H, W, 3) uint8 RGB pictures."""

    time_s: float
    pictures: Mapping[str, NDArray[np.uint8]]


@dataclass(slots=True)
class Run:
    """What a demo run left behind."""

    success: bool
    verdict: str
    figures: dict[str, object]
    frames: list[Frame] = field(default_factory=list)
    latencies_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    events: list[tuple[float, str]] = field(default_factory=list)
    record: Record | None = None
    limits: JointLimits | None = None


def write_report(folder: Path, run: Run) -> Path:
    """Write `folder`/report.html and figures.json and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(run.figures, indent=2) + "\n")
    page = folder / "report.html"
    page.write_text(_page(run), encoding="utf-8")
    return page


def choose_frames(frames: Sequence[Frame], count: int) -> list[Frame]:
    """`count` frames spread evenly over the run, its first and last among them."""
    if len(frames) <= count:
        return list(frames)
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]


def filmstrip(frames: Sequence[Frame]) -> NDArray[np.uint8]:
    """All pictures as one (rows, columns) contact sheet, a camera a row, (H, W, 3) uint8 RGB."""
    cameras = list(frames[0].pictures)
    return np.vstack([np.hstack([f.pictures[c] for f in frames]) for c in cameras])


def _page(run: Run) -> str:
    kind = "ok" if run.success else "bad"
    body = [
        f'<h1 class="{kind}">{"Success" if run.success else "Failure"}</h1>',
        f"<p>{escape(run.verdict)}</p>",
        "<h2>Cameras</h2>" + _film(choose_frames(run.frames, 10)),
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


def _film(frames: Sequence[Frame]) -> str:
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
    """A table of extremes and limits; judge.py has what counts as what."""
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
        "larger of what it states and of the differences of its velocity and acceleration. A step "
        "is what position moved beyond that velocity, less 1 µs of motion: so far two windows may "
        "disagree about now, because the offset between the clocks is measured.</p>"
    )


def _latency(stages: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    plots = [
        plot(stage, [Series([t for t, _ in s], [1e3 * d for _, d in s], _DOT, dots=True)], "ms")
        for stage, s in stages.items()
        if s
    ]
    return f'<div class="plots">{"".join(plots)}</div>'
