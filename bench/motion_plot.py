"""One picture of `bench motion`: acceleration and jerk of every scenario, by method, log scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.motion_scenarios import LIMITS, Row

COLOURS = ("#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#666666", "#56b4e9", "#8c564b")
WIDTH, TOP, LINE, LEFT, RIGHT = 900, 60, 34, 200, 30
PANELS = (
    ("max_acceleration", "largest acceleration, rad/s^2", float(LIMITS.acceleration[0]), 0, 6),
    ("max_jerk", "largest jerk, rad/s^3", float(LIMITS.jerk[0]), 1, 9),
)


def svg(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """A dot for each scenario, the limits as lines."""
    panel = TOP + LINE * len(methods) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{panel * len(PANELS)}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
    ]
    for index, (field, title, limit, low, high) in enumerate(PANELS):
        parts.append(f'<g transform="translate(0,{index * panel})">')
        parts.append(f'<text x="{LEFT}" y="24" font-size="15">{title}</text>')
        parts += _axis(limit, low, high, LINE * len(methods))
        for number, method in enumerate(methods):
            y = TOP + LINE * (number + 0.5)
            parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{method}</text>')
            parts += [
                f'<circle cx="{_x(getattr(row, field), low, high):.1f}" cy="{y}" r="4" '
                f'fill="{COLOURS[number]}" fill-opacity="0.5"/>'
                for row in rows
                if row.method == method
            ]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(limit: float, low: int, high: int, height: int) -> list[str]:
    parts = []
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{TOP + height}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{TOP - 8}" text-anchor="middle">1e{power}</text>')
    x = _x(limit, low, high)
    line = f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{TOP + height}" stroke="#c00"/>'
    return [*parts, line, f'<text x="{x + 4}" y="{TOP + height + 16}">limit {limit:g}</text>']


def _x(value: float, low: int, high: int) -> float:
    part = (math.log10(max(value, 10.0**low)) - low) / (high - low)
    return LEFT + part * (WIDTH - LEFT - RIGHT)
