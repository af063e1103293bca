"""gr00t dataset info: what a dataset holds: episodes, keys, cameras, tasks, and who commanded."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from gr00t_ros.command_line import DONE, JSON_HELP, CommandParser, fail
from gr00t_ros.dataset.episode import SOURCES
from gr00t_ros.dataset.lerobot import Columns, LeRobotDataset
from gr00t_ros.dataset.schema import INTERVENTION, SOURCE, SUCCESS
from gr00t_ros.dataset.video_decode import VideoFrames
from gr00t_ros.errors import Gr00tError
from gr00t_ros.text_table import one_line, printable_lines, table

_TASKS: Final = 20  # that are shown to people


def main(words: Sequence[str]) -> int:
    """Print what a dataset holds."""
    parser = CommandParser(
        prog="gr00t dataset info",
        description="What a dataset holds: episodes, keys with their columns, cameras, tasks, and "
        "who commanded the robot. It is not checked: gr00t dataset validate does that.",
        example="gr00t dataset info my_dataset",
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that holds meta/ and data/")
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    options = parser.parse_args(words)
    try:
        return _info(options)
    except Gr00tError as error:
        return fail(parser.prog, error)


def _info(options: argparse.Namespace) -> int:
    figures = figures_of(LeRobotDataset(Path(options.dataset)))
    print(json.dumps(figures, indent=1) if options.json else "\n".join(_report(figures)))
    return DONE


def figures_of(dataset: LeRobotDataset) -> dict[str, Any]:
    """What a dataset holds, for programs. Raises SettingsError if a file cannot be read."""
    lengths = np.array([dataset.lengths[index] for index in sorted(dataset.lengths)])
    return {
        "path": str(dataset.path),
        "version": dataset.version,
        "robot_type": dataset.info.get("robot_type"),
        "rate_hz": dataset.fps,
        "episodes": len(lengths),
        "rows": int(lengths.sum()),
        "seconds": round(float(lengths.sum()) / dataset.fps, 3),
        "episode_rows": {
            "least": int(lengths.min()),
            "median": float(np.median(lengths)),
            "most": int(lengths.max()),
        },
        "discarded_episodes": dataset.info.get("discarded_episodes", []),
        "tasks": _tasks(dataset),
        "cameras": {key: _camera(dataset, column) for key, column in dataset.cameras.items()},
        "state": {key: _key(dataset, of) for key, of in dataset.states.items()},
        "action": {key: _key(dataset, of) for key, of in dataset.actions.items()},
        "language": dict(dataset.annotations),
        **_commanded(dataset),
    }


def _tasks(dataset: LeRobotDataset) -> dict[str, int]:
    """Each text with the number of its episodes, the commonest first."""
    counted = Counter(text for texts in dataset.instructions.values() for text in set(texts))
    return dict(counted.most_common())


def _key(dataset: LeRobotDataset, of: Columns) -> dict[str, Any]:
    names = dataset.features.get(of.name, {}).get("names")
    flat = names if isinstance(names, list) else []
    is_named = len(flat) >= of.end and all(isinstance(name, str) for name in flat)
    return {
        "column": of.name,
        "start": of.start,
        "end": of.end,
        "names": flat[of.start : of.end] if is_named else [],
    }


def _camera(dataset: LeRobotDataset, column: str) -> dict[str, Any]:
    """Size and coding of a camera's first video."""
    frames = VideoFrames(dataset.video_part(min(dataset.lengths), column).path)
    frames.close()
    return {
        "column": column,
        "height_px": frames.height_px,
        "width_px": frames.width_px,
        "codec": frames.codec,
    }


def _commanded(dataset: LeRobotDataset) -> dict[str, Any]:
    """Rows by who commanded, rows with an intervention, episodes by success; where recorded."""
    sources: Counter[str] = Counter()
    successes: Counter[str] = Counter()
    interventions = None
    for index in sorted(dataset.lengths):
        wanted = {SOURCE, INTERVENTION, SUCCESS} & set(dataset.columns(index))
        found = dataset.arrays(index, sorted(wanted)) if wanted else {}
        if SOURCE in found:
            for value, count in zip(*np.unique(found[SOURCE], return_counts=True), strict=True):
                known = 0 <= value < len(SOURCES)
                sources[SOURCES[int(value)] if known else f"unknown {value}"] += int(count)
        if INTERVENTION in found:
            interventions = (interventions or 0) + int(np.count_nonzero(found[INTERVENTION]))
        last = (
            [bool(value) for value in found[SUCCESS].reshape(-1)[-1:]] if SUCCESS in found else []
        )
        successes["unknown" if not last else "yes" if last[0] else "no"] += 1
    return {
        "rows_by_source": dict(sources),
        "rows_with_intervention": interventions,
        "episodes_by_success": dict(successes),
    }


def _report(of: Mapping[str, Any]) -> list[str]:
    """The report for people."""
    rows = of["episode_rows"]
    lines = [
        f"{of['path']}: LeRobot {of['version']}, robot {of['robot_type'] or 'not named'}",
        f"{of['episodes']} episodes of {rows['least']} to {rows['most']} rows (median "
        f"{rows['median']:g}), {of['rows']} rows at {of['rate_hz']:g} Hz, {of['seconds']:.1f} s",
    ]
    if of["discarded_episodes"]:
        lines.append(f"{len(of['discarded_episodes'])} more were discarded")
    success = of["episodes_by_success"]
    if set(success) != {"unknown"}:
        lines.append("success: " + ", ".join(f"{count} {name}" for name, count in success.items()))
    if of["rows_by_source"]:
        parts = (f"{count} {name}" for name, count in of["rows_by_source"].items())
        lines.append(f"rows commanded by: {', '.join(parts)}")
    if of["rows_with_intervention"]:
        lines.append(f"rows with an intervention: {of['rows_with_intervention']}")
    keys = [
        (f"{section}.{key}", f"{it['column']}[{it['start']}:{it['end']}]", " ".join(it["names"]))
        for section in ("state", "action")
        for key, it in of[section].items()
    ]
    keys += [
        (f"video.{key}", it["column"], f"{it['height_px']}x{it['width_px']} {it['codec']}")
        for key, it in of["cameras"].items()
    ]
    keys += [(f"annotation.{key}", column, "") for key, column in of["language"].items()]
    tasks = list(of["tasks"].items())
    return [
        *map(printable_lines, lines),
        "",
        table(("key", "column", "names, or size and codec"), keys),
        "",
        table(("episodes", "task"), [(n, one_line(text, 100)) for text, n in tasks[:_TASKS]]),
        *([f"and {len(tasks) - _TASKS} more tasks"] if len(tasks) > _TASKS else []),
    ]
