"""Plots of an evaluation as PNG bytes, by matplotlib without a display."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate.components import Component
from gr00t_ros.evaluate.measures import STILL, Measures
from gr00t_ros.evaluate.results import Plain
from gr00t_ros.robot.embodiment import Embodiment

INSTALL: Final = "pip install matplotlib"

RECORDED, SHAPED, REFUSED, GREY = "#14181f", "#e8710a", "#c5221f", "#9aa0a6"
STRANDS: Final = ("#1a73e8", "#12a4a4")
"""Colours of successive chunks, in turns."""
BARS: Final = {"policy": "#1a73e8", "repeat": "#c8ccd1", "shifted": "#e3b341"}
_DPI: Final = 110
_LONG_S: Final = 4.0
"""Length of the close-up."""
_MOST_SHARE: Final = 3.0


def _new_figure(width: float, height: float) -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise SettingsError(
            f"matplotlib: not installed, expected it for the report: {INSTALL}"
        ) from error
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    matplotlib.rcParams.update({"font.size": 8, "axes.spines.top": False})
    matplotlib.rcParams.update({"axes.spines.right": False, "axes.edgecolor": "#80868b"})
    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) RGB picture as JPEG."""
    _new_figure(1, 1)
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, picture, format="jpeg")
    return buffer.getvalue()


# --- one episode -------------------------------------------------------------------------------


def strands(m: Measures, embodiment: Embodiment, only: Sequence[int] | None = None) -> bytes:
    """Each component over time: recorded, chunks as strands, shaped motion, marks of queries."""
    shown = list(range(len(m.parts))) if only is None else list(only)
    wide = 2 if len(shown) > 1 else 1
    lines = -(-len(shown) // wide)
    figure = _new_figure(12.0, 0.4 + 1.75 * lines)
    axes = figure.subplots(lines, wide, squeeze=False, sharex=True).ravel()
    for panel, c in zip(axes, shown, strict=False):
        _strands(panel, m, embodiment, c, None)
    for panel in axes[len(shown) :]:
        panel.set_axis_off()
    _legend(figure, axes)
    return _png(figure)


def close_up(m: Measures, embodiment: Embodiment) -> bytes | None:
    """The component and the few seconds where chunks disagree most; None without a seam."""
    if not len(m.seams.rows):
        return None
    size = np.abs(m.seams.offset) / np.maximum(m.key_motion(), 1e-3)
    size[:, ~m.moving] = 0.0
    seam, c = np.unravel_index(int(np.argmax(size)), size.shape)
    middle_s = float(m.seams.rows[seam]) / m.rate_hz
    first_s = max(0.0, min(middle_s, len(m.recorded) / m.rate_hz - 0.5 * _LONG_S) - 0.5 * _LONG_S)
    figure = _new_figure(12.0, 2.9)
    panel = figure.subplots()
    _strands(panel, m, embodiment, int(c), (first_s, first_s + _LONG_S))
    text = f"close-up of {m.parts[int(c)].label}, where successive chunks disagree most"
    panel.set_title(text, loc="left", fontsize=8)
    _legend(figure, [panel])
    return _png(figure)


def _strands(
    panel: Any,
    m: Measures,
    embodiment: Embodiment,
    c: int,
    window_s: tuple[float, float] | None,
) -> None:
    part, rate_hz = m.parts[c], m.rate_hz
    horizon, wide = m.chunks.shape[1], 1.4 if window_s else 0.8
    for number, row in enumerate(m.predictions.rows.tolist()):
        times = (row + np.arange(m.late, horizon)) / rate_hz
        colour = STRANDS[number % 2]
        label = "predicted chunks" if number == 0 else None
        panel.plot(
            times, m.chunks[number, m.late :, c], color=colour, lw=wide, alpha=0.6, label=label
        )
    recorded = np.where(m.counted, m.recorded[:, c], np.nan)
    times = np.arange(len(recorded)) / rate_hz
    panel.plot(times, recorded, color=RECORDED, lw=1.5, label="recorded")
    shaped = _shaped(m, embodiment, part)
    if shaped is not None:
        panel.plot(m.deployed.time_s, shaped, color=SHAPED, lw=1.2, label="after guard and shaper")
    played = np.where(m.counted, m.played[:, c], np.nan)
    _limit_view(panel, recorded, played, *([] if shaped is None else [shaped]))
    _marks(panel, m)
    panel.set_title(f"{part.label}{f' [{part.unit}]' if part.unit else ''}", loc="left", fontsize=8)
    panel.set_xlabel("s", labelpad=0)
    if window_s:
        panel.set_xlim(*window_s)
    else:
        panel.set_xlim(0.0, len(recorded) / rate_hz)


def _limit_view(panel: Any, *curves: NDArray[np.float64]) -> None:
    """Wide enough for these curves, so that one wild chunk hides nothing."""
    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
    if not len(values):
        return
    low, high = np.percentile(values, [0.5, 99.5])
    air = 0.15 * (high - low) + 1e-3
    panel.set_ylim(low - 1.6 * air, high + air)


def _marks(panel: Any, m: Measures) -> None:
    bottom = panel.get_xaxis_transform()
    refused = set(m.deployed.guard.refused_rows)
    for rows, colour, name in (
        ([r for r in m.predictions.rows.tolist() if r not in refused], "#5f6368", "query"),
        (sorted(refused), REFUSED, "query, chunk refused by the guard"),
    ):
        if rows:
            times = np.array(rows) / m.rate_hz
            height = np.full(len(rows), 0.03)
            panel.plot(times, height, "|", ms=6, color=colour, transform=bottom, label=name)


def _shaped(m: Measures, embodiment: Embodiment, part: Component) -> NDArray[np.float64] | None:
    """The shaped motion of a component in the reply's unit; None if it is no joint."""
    action = next(one for one in embodiment.action if one.key == part.key)
    if action.output is None or part.name not in m.deployed.joints or not len(m.deployed.time_s):
        return None
    motion = m.deployed.position[:, m.deployed.joints.index(part.name)]
    if action.scale is None:
        return motion
    table = np.tile(motion[:, None], (1, action.width))
    return np.asarray(action.scale.to_policy(action.scale.fraction(table))[:, part.column])


def _legend(figure: Any, panels: Sequence[Any]) -> None:
    """One legend for all panels."""
    pairs = [zip(*panel.get_legend_handles_labels(), strict=True) for panel in panels]
    known = {label: handle for pair in pairs for handle, label in pair}
    if known:
        where = "outside upper right"
        figure.legend(known.values(), known.keys(), loc=where, ncols=len(known), frameon=False)


# --- all episodes ------------------------------------------------------------------------------


def error_bars(summary: Plain) -> bytes:
    """RMS error of each component as a share of what holding the state gives, with baselines."""
    parts = [one for one in summary["components"] if one["hold_mse"]]
    figure = _new_figure(5.3, max(1.8, 0.34 * len(parts) + 0.9))
    panel = figure.subplots()
    heights = np.arange(len(parts))
    for number, (name, colour) in enumerate(BARS.items()):
        field = "mse" if name == "policy" else f"{name}_mse"
        shares = [
            np.nan if one[field] is None else np.sqrt(one[field] / one["hold_mse"]) for one in parts
        ]
        at = heights + 0.27 * (number - 1)
        label = {"shifted": "recorded, shifted", "repeat": "repeat the last"}.get(name, name)
        panel.barh(at, np.minimum(shares, _MOST_SHARE), 0.24, color=colour, label=label)
    panel.axvline(1.0, color=GREY, lw=1.0, ls="--", label="hold the state")
    panel.set_yticks(heights, [one["name"] for one in parts])
    panel.invert_yaxis()
    panel.set_xlabel(f"RMS error, share of holding the state (cut at {_MOST_SHARE:g})")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return _png(figure)


def curves(
    episodes: Sequence[Plain], field: Callable[[Plain], Any], xlabel: str, mark: float
) -> bytes:
    """RMS error over steps or rows: one thin line an episode, the mean over episodes thick.

    field: an episode -> C lists of mean squares; the mean of the components that move is drawn.
    """
    figure = _new_figure(5.3, 2.6)
    panel = figure.subplots()
    lines = []
    for episode in episodes:
        table = np.array(field(episode), dtype=float)
        moves = np.array([(one["motion"] or 0.0) > STILL for one in episode["components"]])
        line = np.sqrt(table[moves].sum(axis=0) / max(moves.sum(), 1))
        if np.isfinite(line).any():
            lines.append(line)
            panel.plot(line, color=STRANDS[0], lw=0.7, alpha=0.4)
    if lines:
        length = min(map(len, lines))
        panel.plot(np.mean([one[:length] for one in lines], axis=0), color=RECORDED, lw=1.8)
    panel.axvline(mark, color=GREY, lw=0.8, ls="--")
    panel.set_xlabel(xlabel)
    panel.set_ylabel("RMS error")
    panel.set_ylim(bottom=0.0)
    return _png(figure)


def seam_bars(summary: Plain) -> bytes:
    """Disagreement of successive chunks beside the recorded motion between two queries."""
    parts = summary["components"]
    figure = _new_figure(5.3, max(1.8, 0.3 * len(parts) + 0.9))
    panel = figure.subplots()
    heights = np.arange(len(parts))
    for offset, field, colour, label in (
        (-0.18, "motion", RECORDED, "recorded motion between two queries"),
        (0.18, "seam_rms", BARS["policy"], "disagreement of successive chunks"),
    ):
        values = [np.nan if one[field] is None else one[field] for one in parts]
        panel.barh(heights + offset, values, 0.32, color=colour, label=label)
    panel.set_yticks(heights, [one["name"] for one in parts])
    panel.invert_yaxis()
    panel.set_xlabel("RMS, in the component's unit")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return _png(figure)
