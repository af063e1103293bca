"""Small line and dot plots as SVG text, for the report of a run.

Knows series of numbers and colours; nothing of robots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH_PX, HEIGHT_PX = 420, 150
_LEFT_PX, _BOTTOM_PX, _TOP_PX = 46, 20, 20


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: `x` and `y` (N,), a CSS colour, drawn as a line or as dots."""

    x: ArrayLike
    y: ArrayLike
    colour: str
    dots: bool = False


def plot(title: str, series: Sequence[Series], y_unit: str, least_span: float = 0.0) -> str:
    """An SVG element with all `series` over one pair of axes; x is time in seconds.

    The y axis spans `least_span` or more: what stands still shall look it.
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
    """The common range of all finite values, never empty, with a little air around it."""
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
