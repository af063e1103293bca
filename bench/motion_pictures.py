"""Draws the pictures of docs/motion.md from the real core.

    python -m bench.motion_pictures          # writes docs/pictures/motion_*.svg

One window and its parts, and what the controller does after the node's death. The third picture
is the plot of `python -m bench motion`, copied as it is.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.motion import PLOT
from bench.motion_methods import SETTINGS, play
from bench.motion_scenarios import HOME, LIMITS, MS, START_NS, Scenario, arrivals
from gr00t_ros.core.replay import Replay, Window

FOLDER = Path("docs/pictures")
SCENARIO = Scenario("40 at 15 Hz", 40, 66_666_667, 120 * MS, 0.02)
DEATH_NS = START_NS + 3_140 * MS
JOINT = 0
WIDTH, HEIGHT, LEFT, TOP = 900, 330, 60, 50
BANDS = {"past": "#e8e8e8", "committed": "#cfe3f5", "new": "#d9f0d3", "stop tail": "#fde0c5"}
Floats = NDArray[np.float64]


def main() -> int:
    """Write the pictures."""
    if not PLOT.exists():
        print(f"no {PLOT}: run `python -m bench motion` first", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PLOT, FOLDER / "motion_methods.svg")
    (FOLDER / "motion_window.svg").write_text(_window_picture())
    (FOLDER / "motion_death.svg").write_text(_death_picture())
    return 0


def _window_picture() -> str:
    """Velocity of one joint in two windows that follow each other by a chunk, and its parts."""
    now_ns, before, after = _two_windows()
    seconds = [(w.stamp_ns + w.times_ns - now_ns) * 1e-9 for w in (before, after)]
    edges = [seconds[1][0], 0.0, SETTINGS.commit_ns * 1e-9,
             (after.horizon_ns - now_ns) * 1e-9, seconds[1][-1]]  # fmt: skip
    figure = Figure("one window: velocity of fr3_joint1, rad/s", edges[0], edges[-1],
                    [w.velocities[:, JOINT] for w in (before, after)])  # fmt: skip
    for (name, colour), start, end in zip(BANDS.items(), edges, edges[1:], strict=False):
        figure.band(start, end, colour, name)
    figure.line(seconds[0], before.velocities[:, JOINT], "#888", "the window before", dash="5 4")
    figure.line(seconds[1], after.velocities[:, JOINT], "#0072b2", "this window", dots=True)
    return figure.text()


def _two_windows() -> tuple[int, Window, Window]:
    """The windows just before and just after a chunk that came in mid-motion."""
    replay, waiting = Replay(LIMITS, SETTINGS), arrivals(SCENARIO)
    replay.start(START_NS, HOME)
    last: Window | None = None
    now_ns = START_NS
    while True:
        came = [chunk for at_ns, chunk in waiting if now_ns - SETTINGS.refresh_ns < at_ns <= now_ns]
        for chunk in came:
            replay.accept(chunk, now_ns)
        window = replay.tick(now_ns)
        if came and now_ns > DEATH_NS and last is not None and window is not None:
            return now_ns, last, window
        last, now_ns = window, now_ns + SETTINGS.refresh_ns


def _death_picture() -> str:
    """Velocity of one joint around the node's death: our window, and single points."""
    killed = Scenario("killed", 40, 66_666_667, 120 * MS, 0.02, DEATH_NS)
    speeds = {}
    for method in ("gr00t_ros", "single points"):
        played, _ = play(method, killed, arrivals(killed))
        speeds[method] = np.diff(played[:, JOINT]) * 1e3
    seconds = (START_NS + MS * np.arange(len(speeds["gr00t_ros"])) - DEATH_NS) * 1e-9
    part = (seconds > -0.4) & (seconds < 0.8)
    shown = {name: speed[part] for name, speed in speeds.items()}
    figure = Figure("the node is killed at 0: velocity of fr3_joint1, rad/s", -0.4, 0.8,
                    list(shown.values()))  # fmt: skip
    figure.band(0.0, 0.8, "#eeeeee", "no node")
    figure.line(seconds[part], shown["single points"], "#d55e00", "timer that sends single points")
    figure.line(seconds[part], shown["gr00t_ros"], "#0072b2", "gr00t_ros: the stop tail plays")
    return figure.text()


class Figure:
    """One pair of axes in SVG; seconds to the right."""

    def __init__(self, title: str, start: float, end: float, curves: Sequence[Floats]) -> None:
        self._start, self._end = start, end
        low, high = min(c.min() for c in curves), max(c.max() for c in curves)
        room = 0.1 * (high - low)
        self._low, self._high = min(low, 0.0) - room, max(high, 0.0) + room
        self._labels = 0
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" '
            f'fill="white"/><text x="{LEFT}" y="22" font-size="15">{title}</text>'
        ]

    def band(self, start: float, end: float, colour: str, name: str) -> None:
        """A span of time with its name above."""
        x, width = self._x(start), self._x(end) - self._x(start)
        self._parts.append(
            f'<rect x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT - TOP - 40}" '
            f'fill="{colour}"/><text x="{x + 4:.1f}" y="{TOP - 6}">{name}</text>'
        )

    def line(
        self, seconds: Floats, values: Floats, colour: str, name: str,
        dash: str = "", dots: bool = False,
    ) -> None:  # fmt: skip
        """A curve and its name."""
        points = [(self._x(t), self._y(v)) for t, v in zip(seconds, values, strict=True)
                  if self._start <= t <= self._end]  # fmt: skip
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        if dots:
            self._parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                            for x, y in points]  # fmt: skip
        self._labels += 1
        self._parts.append(
            f'<text x="{WIDTH - 20}" y="{TOP + 16 * self._labels}" text-anchor="end" '
            f'fill="{colour}">{name}</text>'
        )

    def text(self) -> str:
        """The whole file, with the axes on top."""
        zero, bottom = self._y(0.0), HEIGHT - 40
        axes = [f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{zero:.1f}" y2="{zero:.1f}" '
                'stroke="#333"/>',
                f'<text x="{LEFT - 8}" y="{zero + 4:.1f}" text-anchor="end">0</text>']  # fmt: skip
        for tenth in range(int(np.ceil(self._start * 10)), int(self._end * 10) + 1):
            x = self._x(tenth / 10)
            axes.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">'
                        f"{tenth / 10:g}</text>")  # fmt: skip
        for value in (self._low * 0.9, self._high * 0.9):
            axes.append(f'<text x="{LEFT - 8}" y="{self._y(value) + 4:.1f}" text-anchor="end">'
                        f"{value:.2f}</text>")  # fmt: skip
        axes.append(f'<text x="{WIDTH - 20}" y="{HEIGHT - 6}" text-anchor="end">seconds</text>')
        return "\n".join([*self._parts, *axes, "</svg>"]) + "\n"

    def _x(self, seconds: float) -> float:
        return LEFT + (seconds - self._start) / (self._end - self._start) * (WIDTH - LEFT - 20)

    def _y(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return HEIGHT - 40 - share * (HEIGHT - TOP - 40)


if __name__ == "__main__":
    sys.exit(main())
