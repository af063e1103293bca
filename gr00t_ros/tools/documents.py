"""Files that are generated from tables: six documents, config/policy.yaml, a JSON Schema.

Write them with

    python3 -m gr00t_ros.tools.documents watchdogs > docs/watchdogs.md
    python3 -m gr00t_ros.tools.documents embodiments > docs/embodiments.md
    python3 -m gr00t_ros.tools.documents embodiment_file > docs/embodiment_file.md
    python3 -m gr00t_ros.tools.documents interfaces > docs/interfaces.md
    python3 -m gr00t_ros.tools.documents scene_file > docs/scene_file.md
    python3 -m gr00t_ros.tools.documents dataset_checks > docs/dataset_checks.md
    python3 -m gr00t_ros.tools.documents schema > config/embodiment.schema.json
    python3 -m gr00t_ros.tools.documents parameters > config/policy.yaml
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gr00t_ros.dataset.checks.table import CHECKS, ERROR, WARNING
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.streams import StateStream, VideoStream
from gr00t_ros.tools.embodiment_schema import embodiment_file_document, schema_text
from gr00t_ros.tools.scene_schema import scene_file_document
from gr00t_ros.watch.table import ROWS, Threshold, Watch

_WATCH_HEAD = """\
# Watchdogs

Made from the rows of `gr00t_ros/watch/table.py`; a test keeps the two equal. Regenerate it with

    python3 -m gr00t_ros.tools.documents watchdogs > docs/watchdogs.md

**drop**: nothing of the answer is played, the plan goes on. **pause**: controlled stop and hold;
continues by itself when healthy again, through a fresh observation and a new episode. **fault**:
controlled stop and a latched fault that needs `~/reset`.

These are functional stops in software, not emergency or protective stops: a robot also needs its
hardware e-stop.
"""


def watch_document() -> str:
    """The whole document: the table, then each watch's thresholds, cause and remedy."""
    lines = [
        _WATCH_HEAD,
        "| watch | what it watches | reaction |",
        "|---|---|---|",
    ]
    lines += [f"| {w.name} | {w.watches} | {_reaction(w)} |" for w in ROWS]
    return "\n".join(lines + [_section(watch) for watch in ROWS]) + "\n"


def _reaction(watch: Watch) -> str:
    others = ((watch.milder, watch.milder_when), (watch.worse, watch.when))
    return "; ".join(
        [watch.reaction.value, *(f"{one.value}: {when}" for one, when in others if one)]
    )


def _section(watch: Watch) -> str:
    lines = [f"\n## {watch.name}\n", f"Cause: {watch.cause}\n", f"Remedy: {watch.remedy}."]
    if watch.note:
        lines.append(f"\nNote: {watch.note}.")
    if watch.thresholds:
        lines += ["", "| threshold | where | default | range |", "|---|---|---|---|"]
        lines += [_threshold(t) for t in watch.thresholds]
    return "\n".join(lines)


def _threshold(one: Threshold) -> str:
    name = one.name if one.home == "constant" else f"`{one.name}`"
    unit = f" {one.unit}" if one.unit else ""
    value = str(one.default).lower() if isinstance(one.default, bool) else f"{one.default:g}{unit}"
    span = f"{one.low:g} to {one.high:g}{unit}" if one.low is not None else ""
    return f"| {name} | {one.home} | {value} | {span} |"


_EMBODIMENT_HEAD = """\
# Embodiment files

Made from the files in `config/embodiments`; a test keeps the two equal. Regenerate it with

    python3 -m gr00t_ros.tools.documents embodiments > docs/embodiments.md

Select a file by its name (`embodiment:=real_g1`). Each file is a starting point: its topics,
controllers and limits are those of one robot of its kind. Keys, their order, history and horizon
are compared with the server's own config before anything moves. Begin a file for your robot with
[the template](../config/embodiment_template.yaml), or with `gr00t embodiment new`
([own_robot.md](own_robot.md)).

**Unsettled** values are those that no source states. The node does not configure until each of
these questions is answered: replace the mark by the value or, where the robot is as assumed, name
the value's place in the parameter `settled`, such as `settled:=rate_hz,state.x.topic`.
`gr00t embodiment validate` and `gr00t doctor` check them too.
"""
_COLUMNS = (
    "file",
    "robot and checkpoint",
    "tag",
    "cameras",
    "state",
    "outputs",
    "rate and steps",
    "unsettled",
)


def embodiment_document(paths: Sequence[Path]) -> str:
    """The whole document; raises EmbodimentError for a file that cannot be read."""
    robots = [(path, load_embodiment(str(path))) for path in paths]
    lines = [_EMBODIMENT_HEAD, _row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    lines += [_row(_cells(path, robot)) for path, robot in robots]
    for path, robot in robots:
        if robot.unsettled:
            lines += ["", f"## {path.stem}", "", *_questions(robot)]
    return "\n".join(lines) + "\n"


def _cells(path: Path, robot: Embodiment) -> list[str]:
    return [
        f"[{path.stem}](../config/embodiments/{path.name})",
        _title(path),
        "<br>".join([f"`{robot.tag}`", *(f"{v}: `{tag}`" for v, tag in robot.server_tags.items())]),
        "<br>".join(map(_camera, robot.video)),
        "<br>".join(map(_state, robot.state)),
        "<br>".join(_outputs(robot)),
        f"{robot.rate_hz:g} Hz, {robot.action_horizon}",
        str(len(robot.unsettled)) if robot.unsettled else "",
    ]


def _title(path: Path) -> str:
    """The first paragraph of the comment at the head of the file."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or not text:
            break
        words.append(text)
    return " ".join(words).rstrip(".")


def _camera(video: VideoStream) -> str:
    history = "" if video.delta_indices == (0,) else f", history {list(video.delta_indices)}"
    return f"{video.key} {video.height_px}x{video.width_px}{history}"


def _state(stream: StateStream) -> str:
    return f"{stream.key} {stream.width}"


def _outputs(robot: Embodiment) -> Iterator[str]:
    for one in robot.outputs:
        yield f"{one.name} {len(one.names)}: {one.type}"
    for other in robot.commands:
        yield f"{other.name} {len(other.names)}: {other.type}"
    for pose in robot.poses:
        yield f"{pose.name} {len(pose.names)}: {pose.type}"


def _questions(robot: Embodiment) -> Iterator[str]:
    for mark in robot.unsettled:
        yield f"- `{mark.path}`: {mark.question} (assumed: `{mark.assumed}`)"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_PARAMETER_HEAD = """\
# All parameters of gr00t_policy with their defaults. Use a copy of it with
# ros2 launch gr00t_ros policy.launch.py params_file:=...
# Made from gr00t_ros/ros/parameters.py; a test keeps the two equal. Regenerate it with
# python3 -m gr00t_ros.tools.documents parameters > config/policy.yaml
/**/gr00t_policy:
  ros__parameters:
"""


def parameter_document() -> str:
    """The file with each parameter's default below its text and range."""
    from gr00t_ros.ros.parameters import PARAMETERS

    lines = [_PARAMETER_HEAD.rstrip("\n")]
    for name, row in PARAMETERS.items():
        parts = filter(None, (row.description, row.span))
        comment = textwrap.wrap("; ".join(parts) + row.when, 92)
        lines += [f"    # {line}" for line in comment]
        lines.append(f"    {name}: {json.dumps(row.default)}")
    return "\n".join(lines) + "\n"


_INTERFACE_HEAD = """\
# Topics, services and parameters of the policy node

Made from `gr00t_ros/node/interfaces.py` and `gr00t_ros/ros/parameters.py`; a test compares it with
a running node. Regenerate it with

    python3 -m gr00t_ros.tools.documents interfaces > docs/interfaces.md

`~` stands for the node's name, `/gr00t_policy`. Names in capitals are those of the embodiment file:
`OUTPUT.topic` is the `topic` of each entry of `outputs`, `ARM` the output that moves a chain
(preview.md). The node is a lifecycle node, with the
services that every lifecycle node has. The service `~/estop` is for programs and people; the topic
`~/e_stop` is for the driver of a button, which repeats its state.
"""


def interface_document() -> str:
    """Topics and services of the policy node, and which parameter can change when."""
    from gr00t_ros.node.interfaces import INTERFACES
    from gr00t_ros.ros.parameters import PARAMETERS

    lines = [_INTERFACE_HEAD]
    for kind, title in (
        ("publishes", "Publishes"),
        ("subscribes", "Subscribes to"),
        ("serves", "Serves"),
    ):
        lines += [f"## {title}", "", "| name | type | QoS | what it is for |", "|---|---|---|---|"]
        for one in INTERFACES:
            if one.kind == kind:
                types = ", ".join(f"`{name}`" for name in one.types.split(", "))
                only = f"with `{one.only_with}`: " if one.only_with else ""
                lines.append(_row((f"`{one.name}`", types, one.qos, only + one.text)))
        lines.append("")
    lines += [
        "## Parameters",
        "",
        "Defaults and texts: [config/policy.yaml](../config/policy.yaml).",
        "",
    ]
    lines += ["| parameter | default | range | can change |", "|---|---|---|---|"]
    for name, row in PARAMETERS.items():
        when = row.when.removeprefix("; ") or "always"
        lines.append(_row((f"`{name}`", f"`{json.dumps(row.default)}`", row.span, when)))
    return "\n".join(lines) + "\n"


_CHECK_HEAD = """\
# Look into a dataset, check a dataset

The tables are made from `gr00t_ros/dataset/checks/table.py`; a test keeps the two equal. Regenerate
this document with

    python3 -m gr00t_ros.tools.documents dataset_checks > docs/dataset_checks.md

Both commands read LeRobot v2.0 and v2.1 in GR00T's flavour, and v3.0. They need pyarrow and PyAV:
`pip install pyarrow av`.

## Look into a dataset

    gr00t dataset info DIR [--json]

It shows episodes, rows and rate, each key with its columns and names, each camera with size and
codec, the tasks, and, where the recorder wrote them, who commanded the robot in how many rows,
interventions, successes and discarded episodes. It checks nothing.

## Check a dataset

    gr00t dataset validate DIR [--embodiment NAME|FILE] [--workers N] [--json]

Every file is read, and every picture decoded once; episodes are checked in parallel. Each finding
is one line: the check, the file, the episode, the row, what was got, what was expected, what to do,
and which loader reads such a dataset without a word ("silent"). N1.5, N1.6 and N1.7 are the loaders
of these generations of GR00T, LeRobot is LeRobotDataset of v3.0.

| exit status | meaning |
|---|---|
| 0 | no errors; there may be warnings |
| 1 | errors |
| 2 | no dataset, no such embodiment file, or pyarrow or PyAV is missing |

With `--embodiment` rate, keys, cameras and joint limits are compared with the embodiment file too.
Limits are compared in the robot's unit: values go through the file's `scale` first.

### How far state, action and pictures are apart

The last lines of the report are lags, in rows:

    state +1.0 rows behind the action (correlation 1.00)
    front +0.1 rows behind the state (correlation 0.69)

The state's velocity is correlated with the action's, at shifts of up to 0.6 s, over all episodes;
the lag is where they agree best. A robot follows its command 0 to 0.2 s later; a state that is
ahead of its command, or later, is a warning. Only keys that state and action have in common count,
and no joint whose command jumps, as a gripper does that opens and closes.

For each camera the change from picture to picture is correlated with the speed of the state. State
and picture of a row belong to the same instant, so a lag of more than 1.5 rows and more than 0.05 s
is a warning. It tells the number: with it pictures, states or actions can be shifted, or the stamps
of the driver corrected. A policy that is trained on a lag that is not there at deployment fails
without an error.

A lag is only told where the correlation is clear, so a robot that hardly moves gets none. Swapped
cameras are looked for in two ways: an episode whose mean pictures are nearer to those of the other
camera elsewhere, and a camera named after wrist or hand that stands still while another one moves.
Cameras of one kind that are swapped in all episodes, with names that say nothing, are not found.

"""


def check_document() -> str:
    """What the checks of a dataset find, errors first."""
    lines = [_CHECK_HEAD.rstrip("\n")]
    for level, title in ((ERROR, "Errors"), (WARNING, "Warnings")):
        lines += ["", f"## {title}", "", _row(("check", "what is found", "to do", "silent"))]
        lines.append(_row(["---"] * 4))
        for name, check in CHECKS.items():
            if check.level == level:
                lines.append(_row((f"`{name}`", check.what, check.remedy, check.silent)))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the document that the command line names, from the files in this checkout."""
    parser = argparse.ArgumentParser(description="Print a document that is made from tables.")
    folder = Path(__file__).parents[2] / "config" / "embodiments"
    documents: Mapping[str, Callable[[], str]] = {
        "watchdogs": watch_document,
        "embodiments": lambda: embodiment_document(sorted(folder.glob("*.yaml"))),
        "embodiment_file": embodiment_file_document,
        "interfaces": interface_document,
        "schema": schema_text,
        "scene_file": scene_file_document,
        "dataset_checks": check_document,
        "parameters": parameter_document,
    }
    parser.add_argument("document", choices=tuple(documents))
    print(documents[parser.parse_args().document](), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
