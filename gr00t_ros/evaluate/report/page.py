"""The report as one self-contained HTML page: summary, findings, tables, episodes worst first."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np

from gr00t_ros.dataset.episode import Episode
from gr00t_ros.evaluate.diagnosis import PROBLEM
from gr00t_ros.evaluate.measures import Measures
from gr00t_ros.evaluate.report import plots
from gr00t_ros.evaluate.results import Plain
from gr00t_ros.robot.embodiment import Embodiment

FILM: Final = 8
"""Pictures of one camera in a filmstrip."""

TITLES: Final = {
    "not_finite": "Chunks that are not finite",
    "holds": "The policy holds the state",
    "lags_by_latency": "Predictions are late by the latency",
    "misaligned": "Predictions and recording are apart in time",
    "latency": "The error is explained by latency",
    "units": "Another unit, scale or normalisation",
    "offset": "A constant offset",
    "order": "Another order of joints",
    "modes": "The policy switches between two modes",
    "alternates": "Each chunk contradicts the one before",
    "chatter": "Successive chunks disagree at random",
    "oscillates": "The arm would oscillate",
    "guard": "The guard would refuse chunks",
    "no_better_than_hold": "No better than holding the state",
    "follows_state": "Predictions go on from the measured state",
    "state_late": "Recorded states are far behind their actions",
    "state_leads": "Recorded states come before their actions",
    "pictures_apart": "Pictures and joints are apart in time",
    "cameras_swapped": "Cameras are exchanged",
    "cameras_ignored": "Cameras make no difference",
    "cameras_matter": "Cameras make a difference",
}
_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1240px;padding:0 16px;
color:#1d2330}
h1{font-size:23px;margin:0 0 2px} h2{font-size:17px;margin:30px 0 8px;border-top:1px solid #dde1e7;
padding-top:14px} h3{font-size:15px;margin:24px 0 6px}
p{margin:4px 0 8px;max-width:88ch}.dim{color:#5f6368}.ok{color:#137333}.bad{color:#b3261e}
table{border-collapse:collapse;margin:4px 0 12px} th{font-weight:600;color:#5f6368}
td,th{padding:3px 12px 3px 0;text-align:left;border-bottom:1px solid #e6e9ee;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.card{border-left:4px solid #b3261e;background:#fdf3f2;padding:8px 14px;margin:8px 0;
border-radius:0 4px 4px 0}.card.note{border-color:#1a73e8;background:#f1f6fe}
.card b{font-size:15px}.card p{margin:2px 0}
.row{display:flex;flex-wrap:wrap;gap:18px;align-items:flex-start}
figure{margin:0}figcaption{font-size:12px;color:#5f6368;max-width:60ch}
img{max-width:100%}
.film{display:grid;gap:3px;margin:6px 0}.film img{width:100%;display:block;border-radius:2px}
.film figcaption{font-size:11px}
ul{margin:4px 0 10px;padding-left:18px;max-width:110ch}
.bar{display:inline-block;height:9px;background:#1a73e8;border-radius:2px}
"""


def title_of(kind: str) -> str:
    """The heading of a kind of finding."""
    return TITLES.get(kind, kind)


@dataclass(frozen=True, slots=True)
class Section:
    """One episode's part of the page."""

    number: int
    html: str


def episode_section(
    figures: Plain, m: Measures, episode: Episode, embodiment: Embodiment
) -> Section:
    """Findings, filmstrip and plots of one episode."""
    close = plots.close_up(m, embodiment)
    parts = [
        f'<h3 id="e{figures["number"]}">{escape(figures["name"])}</h3>',
        f'<p class="dim">{escape(_episode_line(figures))}</p>',
        _listed(figures["findings"]),
        _film(m, episode, embodiment),
        "" if close is None else _image(close, "the seam where chunks disagree most"),
        _image(plots.strands(m, embodiment), "all components over time"),
        _guard_table(figures),
    ]
    return Section(figures["number"], "".join(parts))


def _episode_line(figures: Plain) -> str:
    left_out = ", ".join(f"{n} {source}" for source, n in figures["rows_left_out"].items())
    success = {True: "success", False: "failure", None: "success unknown"}[figures["success"]]
    return (
        f"“{figures['instruction']}”, {success}; {figures['rows']} rows, of which "
        f"{figures['rows_counted']} count"
        + (f" (left out: {left_out})" if left_out else "")
        + f"; {figures['queries']} queries"
        + (f", {figures['queries_skipped']} skipped" if figures["queries_skipped"] else "")
        + f"; relative error {_short(figures['relative_error'])}"
    )


def _listed(findings: Sequence[Plain]) -> str:
    """Findings as a list; the cards above have their advice."""
    lines = [f"<b>{escape(title_of(one['kind']))}</b>: {escape(one['text'])}" for one in findings]
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""


def _film(m: Measures, episode: Episode, embodiment: Embodiment) -> str:
    rows = m.predictions.rows
    if not len(rows) or not embodiment.video:
        return ""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, FILM).round().astype(int))].tolist()
    cells = []
    for stream in embodiment.video:
        for row in chosen:
            picture = base64.b64encode(plots.jpeg(episode.video[stream.key][row])).decode()
            caption = f"{escape(stream.key)} {row / m.rate_hz:.1f} s"
            cells.append(
                f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{picture}">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
    style = f"grid-template-columns:repeat({len(chosen)},1fr)"
    return f'<div class="film" style="{style}">{"".join(cells)}</div>'


def _guard_table(figures: Plain) -> str:
    reasons = figures["deployed"]["reasons"]
    if not reasons:
        return ""
    rows = [[kind, one["count"], one["first"]] for kind, one in reasons.items()]
    return "<p>What the guard said:</p>" + _table(["kind", "chunks", "first"], rows)


# --- the page ----------------------------------------------------------------------------------


def page(results: Plain, sections: Sequence[Section]) -> str:
    """The whole page."""
    summary, episodes = results["summary"], results["episodes"]
    body = [
        f"<h1>Open-loop evaluation: {escape(results['settings']['robot'])}</h1>",
        _headline(results),
        "<h2>Diagnosis</h2>",
        *(_card(finding, summary["episodes"]) for finding in summary["findings"]),
        "" if summary["findings"] else '<p class="ok">No rule found anything.</p>',
        "<h2>Episodes, worst first</h2>" + _episodes(results, {one.number for one in sections}),
    ]
    if episodes:
        body += [
            "<h2>Errors</h2>" + _errors(summary),
            '<div class="row">' + _figures(results) + "</div>",
            "<h2>Seams and smoothness</h2>" + _motion(results),
        ]
    body += [section.html for section in _in_order(summary, sections)]
    body += ["<h2>Settings</h2>" + _settings(results)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>gr00t eval</title>'
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>"
    )


def _in_order(summary: Plain, sections: Sequence[Section]) -> list[Section]:
    place = {number: at for at, number in enumerate(summary["worst_first"])}
    return sorted(sections, key=lambda section: place[section.number])


def _headline(results: Plain) -> str:
    summary = results["summary"]
    problems = [one for one in summary["findings"] if one["level"] == PROBLEM]
    kind = "bad" if problems or summary["failed"] else "ok"
    found = f"{_count(len(problems), 'problem')} found"
    failed = f", {_count(summary['failed'], 'episode')} failed" if summary["failed"] else ""
    own, baselines = summary["relative_error"], summary["relative_baselines"]
    servers = escape(", ".join(results["servers"]))
    text = (
        f"{_count(summary['episodes'], 'episode')} against {servers}. "
        f"Relative error (MSE over the recorded variance) {_short(own)}; holding the state gives "
        f"{_short(baselines['hold'])}, repeating the last action {_short(baselines['repeat'])}, "
        f"the recording shifted by the latency {_short(baselines['shifted'])}."
    )
    return f'<p class="{kind}"><b>{found}{failed}.</b></p><p>{text}</p>'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _card(finding: Plain, of: int) -> str:
    kind = "" if finding["level"] == PROBLEM else " note"
    names = list(finding["parts"])
    which = escape(", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else ""))
    count = f' <span class="dim">in {finding["episodes"]} of {of} episodes</span>'
    return (
        f'<div class="card{kind}"><b>{escape(title_of(finding["kind"]))}</b>{count}'
        f"<p>{escape(finding['text'])}</p>"
        + (f'<p class="dim">{which}</p>' if which else "")
        + f"<p>→ {escape(finding['advice'])}</p></div>"
    )


def _episodes(results: Plain, drawn: Collection[int]) -> str:
    by_number = {one["number"]: one for one in results["episodes"]}
    worst = [by_number[number] for number in results["summary"]["worst_first"]]
    most = max((one["relative_error"] or 0.0 for one in worst), default=0.0)
    rows: list[list[object]] = [
        [_Html(f'<span class="bad">{escape(one["name"])}</span>'), "failed", "", "", one["text"]]
        for one in results["failed"]
    ]
    for one in worst:
        width = round(120 * (one["relative_error"] or 0.0) / most) if most else 0
        share = _short(one["relative_error"])
        bar = f'<nobr><span class="bar" style="width:{width}px"></span> {share}</nobr>'
        kinds = ", ".join(title_of(found["kind"]).lower() for found in one["findings"])
        link = escape(one["name"])
        if one["number"] in drawn:
            link = f'<a href="#e{one["number"]}">{link}</a>'
        guard = one["deployed"]
        refused = f"{guard['refused']} of {guard['chunks']}"
        rows.append([_Html(link), _Html(bar), one["rows_counted"], refused, kinds or "–"])
    header = ["episode", "relative error", "rows", "chunks refused", "findings"]
    return _table(header, rows)


class _Html(str):
    """Text of a cell that is HTML already."""


def _errors(summary: Plain) -> str:
    header = ["", "unit", "rows", "MSE", "MAE", "MSE hold", "MSE repeat", "MSE shifted"]
    header += ["of hold", "disagreement", "motion", "turns/s", "recorded"]
    rows = []
    for one in summary["components"]:
        share = one["mse"] / one["hold_mse"] if one["mse"] is not None and one["hold_mse"] else None
        errors = [one[name] for name in ("mse", "mae", "hold_mse", "repeat_mse", "shifted_mse")]
        rows.append(
            [f"{one['key']}: {one['name']}", one["unit"], one["count"], *map(_short, errors)]
            + ["–" if share is None else f"{100 * share:.3g} %"]
            + [_short(one["seam_rms"]), _short(one["motion"])]
            + [_short(one["predicted_turns_hz"]), _short(one["recorded_turns_hz"])]
        )
    keys = [
        [one["key"], ", ".join(one["units"]), *(_short(one[f]) for f in ("mse", "mae"))]
        + [_short(one[f]) for f in ("hold_mse", "repeat_mse", "shifted_mse")]
        for one in summary["keys"]
    ]
    key_header = ["action key", "unit", "MSE", "MAE", "MSE hold", "MSE repeat", "MSE shifted"]
    return (
        _table(key_header, keys)
        + _table(header, rows)
        + '<p class="dim">of hold: the MSE as a share of what holding the state gives. '
        "disagreement: RMS between successive chunks where they overlap; motion: RMS of the "
        "recorded change between two queries. turns/s: changes of direction of what is played, and "
        "of the recording.</p>"
    )


def _figures(results: Plain) -> str:
    episodes, settings = results["episodes"], results["settings"]
    step_mark, late = float(settings["every_rows"]), float(settings["late_rows"])
    by_step = plots.curves(
        episodes, lambda e: e["by_step"]["mse"], "step of the horizon", step_mark
    )
    by_latency = plots.curves(episodes, lambda e: e["by_latency"]["mse"], "latency, rows", late)
    images = [
        (plots.error_bars(results["summary"]), "Error beside the baselines; left of 1 is of use."),
        (plots.seam_bars(results["summary"]), "Chunks that disagree by much of the motion jerk."),
        (by_step, "Error by step of a chunk, one line an episode; dashed: the next query."),
        (by_latency, "Error if chunks arrived so many rows after their observation; dashed: here."),
    ]
    return "".join(_image(data, caption) for data, caption in images)


def _motion(results: Plain) -> str:
    """What the guard said, and each joint's motion beside its limits."""
    guard = results["summary"]["deployed"]
    text = (
        f"After the node's own guard, reference, shaper and plan, offline: {guard['chunks']} "
        f"chunks, {guard['accepted']} accepted ({guard['clamped']} clamped), {guard['refused']} "
        f"refused, {guard['late']} late; {guard['stops']} stops for want of a chunk, "
        f"{guard['faults']} faults. The table has the largest value of all episodes; velocity, "
        "acceleration and jerk are beside the limits of the embodiment file."
    )
    left_out = results["episodes"][0]["deployed"]["left_out"]
    if left_out:
        text += f" Not replayed, because poses command it: {escape(', '.join(left_out))}."
    header = ["joint", "from recorded RMS", "most", "velocity", "acceleration", "jerk"]
    header += ["turns/s", "recorded"]
    names = [one["name"] for one in results["episodes"][0]["deployed"]["joints"]]
    rows = [_joint_row(results, j, name) for j, name in enumerate(names)]
    return f"<p>{text}</p>" + _table(header, rows)


def _joint_row(results: Plain, j: int, name: str) -> list[str]:
    entries = [one["deployed"]["joints"][j] for one in results["episodes"]]
    limits = results["limits"][name]
    row = [name, *(_most(entries, f"from_recorded_{kind}") for kind in ("rms", "most"))]
    shaped, recorded = ([one[kind] for one in entries] for kind in ("shaped", "recorded"))
    for order, limit in limits.items():
        row.append(f"{_most(shaped, f'{order}_most')} of {limit:g}")
    return [*row, _most(shaped, "turns_hz"), _most(recorded, "turns_hz")]


def _most(entries: Sequence[Plain], field: str) -> str:
    values = [one[field] for one in entries]
    return _short(max((value for value in values if value is not None), default=None))


def _settings(results: Plain) -> str:
    rows = [[name, _setting(value)] for name, value in results["settings"].items()]
    timing = results["timing"]
    rows += [[f"inference {name}", f"{value:.1f} ms"] for name, value in timing.items()]
    return _table(["setting", "value"], rows) + (
        '<p class="dim">docs/evaluate.md defines every figure.</p>'
    )


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "all"
    return "–" if value is None else str(value)


# --- HTML --------------------------------------------------------------------------------------


def _image(data: bytes, caption: str) -> str:
    encoded = base64.b64encode(data).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    numeric = [all(_is_number(row[at]) for row in rows) for at in range(len(header))]
    head = "".join(_cell("th", name, n) for name, n in zip(header, numeric, strict=True))
    lines = [
        "".join(_cell("td", value, n) for value, n in zip(row, numeric, strict=True))
        for row in rows
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(tag: str, value: object, numeric: bool) -> str:
    text = value if isinstance(value, _Html) else escape(str(value))
    return f"<{tag}{' class=n' if numeric else ''}>{text}</{tag}>"


def _is_number(value: object) -> bool:
    text = str(value).removesuffix(" %")
    first = text.split(" of ")[0]
    try:
        float(first)
    except ValueError:
        return first == "–"
    return True


def _short(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.3g}"


def limits_of(embodiment: Embodiment) -> Mapping[str, Mapping[str, float]]:
    """The limits of each joint, as the page shows them."""
    limits = embodiment.limits
    return {
        name: {
            "velocity": float(limits.velocity[j]),
            "acceleration": float(limits.acceleration[j]),
            "jerk": float(limits.jerk[j]),
        }
        for j, name in enumerate(limits.names)
    }
