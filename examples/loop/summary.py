"""What a loop found: summary.json and summary.html, with each scene's success and the curve."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from examples.loop.stages import Loop, demos, kept, successes

CURVE, PICTURE, PAGE = "curve.jsonl", "curve.png", "summary.html"
_STYLE = (
    "body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:960px}"
    "td,th{padding:3px 14px 3px 0;text-align:left;border-bottom:1px solid #ddd}"
    "table{border-collapse:collapse}img{max-width:100%}"
)


def add_time(loop: Loop, stage: str, spent_s: float) -> None:
    """Add the time that a stage took in this call."""
    shared = stage in ("record", "convert")
    path = (loop.folder if shared else loop.results) / "times.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    times = _read(path)
    path.write_text(json.dumps({**times, stage: times.get(stage, 0.0) + spent_s}, indent=1) + "\n")


def summarise(loop: Loop) -> dict[str, Any]:
    """Everything that was found, as plain values."""
    deployed = demos(loop.results / "deployed")
    return {
        "plant": loop.plant,
        "episodes": len(kept(loop.recording)),
        "seconds": _read(loop.folder / "times.json") | _read(loop.results / "times.json"),
        "training": _curve(loop),
        "validate": _read(loop.results / "validate.json"),
        "open_loop": open_loop(loop.results / "open_loop" / "results.json"),
        "successes": successes(deployed),
        "scenes": {
            seed: {key: one[key] for key in ("success", "problem", "motion_time_s")}
            for seed, one in deployed.items()
        },
    }


def open_loop(path: Path) -> dict[str, Any]:
    """The few figures of an open-loop report that belong into a summary."""
    if not path.exists():
        return {}
    episodes = json.loads(path.read_text())["episodes"]
    findings: dict[str, int] = {}
    for episode in episodes:
        for finding in episode["findings"]:
            findings[finding["kind"]] = findings.get(finding["kind"], 0) + 1
    return {
        "episodes": len(episodes),
        "relative_error": _mean([one["relative_error"] for one in episodes]),
        "relative_error_with_cameras_exchanged": _mean([o["relative_swapped"] for o in episodes]),
        "hold": _mean([one["relative_baselines"]["hold"] for one in episodes]),
        "findings": findings,
    }


def write_summary(loop: Loop) -> str:
    """Write summary.json and summary.html; returns the line with the verdict."""
    found = summarise(loop)
    (loop.results / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
    draw_curve(found["training"], loop.results / PICTURE)
    (loop.results / PAGE).write_text(_page(found, loop.results / PICTURE))
    scenes = found["scenes"]
    return (
        f"{found['successes']} of {len(scenes)} scenes; {found['episodes']} episodes, "
        f"{found['training'][-1]['minutes']:.0f} min of training; {loop.results / PAGE}"
    )


def draw_curve(curve: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the errors on the episodes that training does not learn from."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.subplots()
    minutes = [line["minutes"] for line in curve]
    for key, label in (
        ("arm_rad", "arm, whole chunk"),
        ("goal_rad", "arm, at the gripper's order"),
    ):
        axes.plot(minutes, [line.get(key, float("nan")) for line in curve], label=label)
    axes.set(xlabel="training, min", ylabel="mean error, rad", yscale="log")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def _page(found: Mapping[str, Any], picture: Path) -> str:
    image = base64.b64encode(picture.read_bytes()).decode()
    scenes = "".join(
        f"<tr><td>{seed}</td><td>{'success' if one['success'] else 'failure'}</td>"
        f"<td>{one['motion_time_s']:.1f}</td><td>{escape(str(one['problem'])[:200])}</td></tr>"
        for seed, one in found["scenes"].items()
    )
    seconds = "".join(
        f"<tr><td>{name}</td><td>{spent:.0f}</td></tr>" for name, spent in found["seconds"].items()
    )
    report = {key: found[key] for key in ("open_loop", "validate")}
    planted = f", with the planted fault {found['plant']}" if found["plant"] else ""
    return (
        f"<!doctype html><meta charset=utf-8><title>loop</title><style>{_STYLE}</style>"
        f"<h1>{found['successes']} of {len(found['scenes'])} scenes{escape(planted)}</h1>"
        f"<p>{found['episodes']} recorded episodes, {found['training'][-1]['step']} steps of "
        f"training.</p><img src='data:image/png;base64,{image}'>"
        "<h2>Deployed through the node, on scenes that were not recorded</h2>"
        f"<table><tr><th>scene<th>result<th>motion, s<th>why</tr>{scenes}</table>"
        f"<h2>Time of each stage, s</h2><table>{seconds}</table>"
        f"<h2>Open loop, validate</h2><pre>{escape(json.dumps(report, indent=1)[:20000])}</pre>"
        "<p>open_loop/report.html has the strands and pictures.</p>"
    )


def _curve(loop: Loop) -> list[dict[str, float]]:
    lines = (loop.checkpoint.parent / CURVE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
