"""Draws the pictures of docs/motion.md with the package's own planner.

    python -m bench.motion_pictures          # writes docs/pictures/motion_*.svg

They show one window and its parts, and what the controller does after the node's death. The third
picture is a copy of the plot of `python -m bench motion`.
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
from bench.motion_scenarios import (
    DURATION_NS,
    HOME,
    LIMITS,
    MS,
    START_NS,
    Scenario,
    arrivals,
)  # fmt: skip
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.sampler import JtcSampler

FOLDER = Path("docs/pictures")
SCENARIO = Scenario("40 at 15 Hz", 40, 66_666_667, 120 * MS, 0.02)
DEATH_NS = START_NS + 3_140 * MS
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
    """Velocity of one joint in the windows before and after a chunk, and the window's parts."""
    now_ns, before, after = _two_windows()
    knots = [(w.stamp_ns + w.times_ns - now_ns) * np.float64(1e-9) for w in (before, after)]
    joint = int(np.abs(_speeds(after, now_ns * np.ones(1, np.int64))[0]).argmax())
    edges = [knots[1][0], 0.0, SETTINGS.commit_ns * 1e-9,
             (after.horizon_ns - now_ns) * 1e-9, knots[1][-1]]  # fmt: skip
    times_ns = np.arange(after.stamp_ns, after.end_ns + 1, MS)
    seconds = (times_ns - now_ns) * np.float64(1e-9)
    curves = [_speeds(window, times_ns)[:, joint] for window in (before, after)]
    figure = Figure(f"one window: velocity of {LIMITS.names[joint]}, rad/s", edges[0], edges[-1],
                    curves)  # fmt: skip
    for (name, colour), start, end in zip(BANDS.items(), edges, edges[1:], strict=False):
        figure.band(start, end, colour, name)
    figure.line(seconds, curves[1], "#0072b2", "this window")
    figure.line(seconds, curves[0], "#d55e00", "the window before", dash="5 4")
    assert after.velocities is not None
    figure.dots(knots[1], after.velocities[:, joint], "#0072b2")
    return figure.text()


def _speeds(window: Window, times_ns: NDArray[np.int64]) -> Floats:
    """(N, 7) rad/s, velocities of the controller's model that plays a window."""
    model = JtcSampler(len(HOME), interpolate_from_desired_state=True)
    model.accept(window, window.stamp_ns, window.positions[0])
    return np.array([model.sample(int(at_ns))[1] for at_ns in times_ns])


def _two_windows() -> tuple[int, Window, Window]:
    """The windows before and after the chunk that came at the arm's highest speed."""
    replay, waiting = Replay(LIMITS, SETTINGS), arrivals(SCENARIO)
    replay.start(START_NS, HOME)
    last: Window | None = None
    found: list[tuple[float, tuple[int, Window, Window]]] = []
    for now_ns in range(START_NS, START_NS + DURATION_NS, SETTINGS.refresh_ns):
        came = [chunk for at_ns, chunk in waiting if now_ns - SETTINGS.refresh_ns < at_ns <= now_ns]
        for chunk in came:
            replay.accept(chunk, now_ns)
        window = replay.tick(now_ns)
        if came and last is not None and window is not None:
            speed = float(np.abs(replay.velocity(now_ns)).max())
            found.append((speed, (now_ns, last, window)))
        last = window
    return max(found, key=lambda pair: pair[0])[1]


def _death_picture() -> str:
    """Velocity of the fastest joint around the node's death: our window, and single points."""
    killed = Scenario("killed", 40, 66_666_667, 120 * MS, 0.02, DEATH_NS)
    played = {m: play(m, killed, arrivals(killed))[0] for m in ("gr00t_ros", "single points")}
    speeds = {method: np.diff(positions, axis=0) * 1e3 for method, positions in played.items()}
    seconds = (START_NS + MS * np.arange(len(speeds["gr00t_ros"])) - DEATH_NS) * np.float64(1e-9)
    joint = int(np.abs(speeds["gr00t_ros"][(DEATH_NS - START_NS) // MS]).argmax())
    part = (seconds > -0.4) & (seconds < 0.8)
    shown = {name: speed[part, joint] for name, speed in speeds.items()}
    figure = Figure(f"the node is killed at 0: velocity of {LIMITS.names[joint]}, rad/s",
                    -0.4, 0.8, list(shown.values()))  # fmt: skip
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
        self._low, self._high = float(min(low, 0.0) - room), float(max(high, 0.0) + room)
        self._legend: list[tuple[str, str]] = []
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

    def line(self, seconds: Floats, values: Floats, colour: str, name: str, dash: str = "") -> None:
        """A curve and its name."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in self._points(seconds, values))
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        self._legend.append((name, colour))

    def dots(self, seconds: Floats, values: Floats, colour: str) -> None:
        """A dot at each point."""
        self._parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                        for x, y in self._points(seconds, values)]  # fmt: skip

    def text(self) -> str:
        """The whole SVG file, with the axes on top."""
        zero, bottom = self._y(0.0), HEIGHT - 40
        axes = [f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{zero:.1f}" y2="{zero:.1f}" '
                'stroke="#333"/>']  # fmt: skip
        for tenth in range(int(np.ceil(self._start * 10)), int(self._end * 10) + 1):
            x = self._x(tenth / 10)
            axes.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">'
                        f"{tenth / 10:g}</text>")  # fmt: skip
        step = _tick(self._high - self._low)
        for number in range(int(np.ceil(self._low / step)), int(self._high / step) + 1):
            y = self._y(number * step)
            axes.append(f'<line x1="{LEFT - 4}" x2="{LEFT}" y1="{y:.1f}" y2="{y:.1f}" '
                        f'stroke="#333"/><text x="{LEFT - 8}" y="{y + 4:.1f}" '
                        f'text-anchor="end">{number * step:.2g}</text>')  # fmt: skip
        names = "".join(f'<tspan fill="{colour}" dx="18">\u2014 {name}</tspan>'
                        for name, colour in self._legend)  # fmt: skip
        axes.append(f'<text x="{WIDTH - 38}" y="22" text-anchor="end">{names}</text>')
        axes.append(f'<text x="{WIDTH - 20}" y="{HEIGHT - 6}" text-anchor="end">seconds</text>')
        return "\n".join([*self._parts, *axes, "</svg>"]) + "\n"

    def _points(self, seconds: Floats, values: Floats) -> list[tuple[float, float]]:
        return [(self._x(t), self._y(v)) for t, v in zip(seconds, values, strict=True)
                if self._start <= t <= self._end]  # fmt: skip

    def _x(self, seconds: float) -> float:
        return LEFT + (seconds - self._start) / (self._end - self._start) * (WIDTH - LEFT - 20)

    def _y(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return HEIGHT - 40 - share * (HEIGHT - TOP - 40)


def _tick(span: float) -> float:
    """A round distance between marks, four to eight of them in `span`."""
    power = float(10.0 ** np.floor(np.log10(span)))
    parts = (power * part for part in (0.1, 0.2, 0.5, 1.0))
    return next(part for part in parts if span / part < 8)


if __name__ == "__main__":
    sys.exit(main())
