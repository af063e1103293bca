"""One picture of `bench reaction`: a bar of stages for each row of the node, and others' p50."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reaction_trials import Row

COLOURS = (
    *("#bbbbbb", "#e69f00", "#f0e442", "#d9a05b", "#009e73", "#0072b2", "#999999"),
    *("#cc79a7", "#aa4499", "#d55e00", "#56b4e9"),
)
MARKS = {"plain_client": "#000000", "floor": "#cc0000"}
BARS = {"gr00t_ros": "", "gr00t_ros_short": "short, ", "baseline": "before, "}
"""Method with a bar -> how its name begins."""
WIDTH, LEFT, RIGHT, TOP, LINE, BAR = 1000, 260, 60, 90, 34, 16


def svg(rows: Sequence[Row]) -> str:
    """Stages of the node as medians, stacked; marks where the other methods' p50 is."""
    bars = [row for row in rows if row.method in BARS]
    most = max(1.1 * max(max(row.change_p50_ms, sum(row.stages.values())) for row in rows), 1.0)
    height = TOP + LINE * len(bars) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    parts += _legend(tuple(bars[0].stages))
    for number, row in enumerate(bars):
        y = TOP + LINE * number
        parts += _bar(row, y, most)
        same = [other for other in rows if other.setting == row.setting]
        for other in same:
            if other.method in MARKS:
                x, colour = _x(other.change_p50_ms, most), MARKS[other.method]
                parts.append(
                    f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 4}" y2="{y + BAR + 4}" '
                    f'stroke="{colour}" stroke-width="3"/>'
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(row: Row, y: int, most: float) -> list[str]:
    apart = ", apart" if row.stagger else ""
    plural = "s" if row.cameras > 1 else ""
    cameras = f"{row.cameras} camera{plural}{apart}"
    name = f"{BARS[row.method]}{row.fps:.0f} fps, {cameras}, {row.server_ms:.0f} ms"
    parts = [f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>']
    at = 0.0
    for (stage, ms), colour in zip(row.stages.items(), COLOURS, strict=False):
        x, end = _x(at, most), _x(at + ms, most)
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{end - x:.1f}" height="{BAR}" fill="{colour}">'
            f"<title>{stage}: {ms:.1f} ms</title></rect>"
        )
        at += ms
    end = _x(max(at, row.change_p50_ms), most)
    parts.append(f'<text x="{end + 6:.1f}" y="{y + 13}">{row.change_p50_ms:.0f} ms</text>')
    return parts


def _legend(stages: Sequence[str]) -> list[str]:
    entries = [*zip(stages, COLOURS, strict=False)]
    entries += [(f"| {name.replace('_', ' ')}, p50", colour) for name, colour in MARKS.items()]
    parts = [
        '<text x="12" y="20" font-size="15">from the first picture of a change to the first '
        "executed point: medians of the stages, ms</text>"
    ]
    for index, (name, colour) in enumerate(entries):
        x, y = 12 + 165 * (index % 6), 32 + 16 * (index // 6)
        parts.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="{y + 10}">{name}</text>')
    return parts


def _x(ms: float, most: float) -> float:
    return LEFT + ms / most * (WIDTH - LEFT - RIGHT)
