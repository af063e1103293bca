"""The shipped embodiment files as the text of docs/embodiments.md: a table, then their questions.

Returns text; who writes it into the file is told in the text itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gr00t_ros.core.embodiment import Embodiment, StateStream, VideoStream
from gr00t_ros.sidecar.embodiment_file import load_embodiment

_HEAD = """\
# Embodiment files

Made from the files in `config/embodiments`; a test keeps the two equal. Make it anew with

    python3 -m gr00t_ros.sidecar.embodiment_document > docs/embodiments.md

Each is taken by its name (`embodiment:=real_g1`), and is a beginning: topics, controllers and
limits are those of one robot of its kind. Keys, their order, history and horizon are compared with
the server's own config before anything moves. A file of one's own begins with
[the template](../config/embodiment_template.yaml), or with `gr00t-embodiment new`
([own_robot.md](own_robot.md)).

**Unsettled** is what no source says. The node does not configure until each of these questions is
answered: by the value in place of the mark, or by its place in the parameter `settled` where the
robot is as assumed, such as `settled:=rate_hz,state.x.topic`. `gr00t-embodiment validate` and
`gr00t-doctor` ask them too.
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


def document(paths: Sequence[Path]) -> str:
    """The whole text; raises EmbodimentError for a file that cannot be read."""
    robots = [(path, load_embodiment(str(path))) for path in paths]
    lines = [_HEAD, _row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
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
    """The first paragraph of the file's own comment."""
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


def main() -> int:
    """Print the text of the files in this checkout."""
    folder = Path(__file__).parents[2] / "config" / "embodiments"
    print(document(sorted(folder.glob("*.yaml"))), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
