"""gr00t layout: writes layouts of Foxglove, RViz, PlotJuggler and rqt for a robot."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gr00t_ros.command_line import DONE, CommandParser, program
from gr00t_ros.errors import Gr00tError
from gr00t_ros.layout import foxglove, plotjuggler, rqt, rviz
from gr00t_ros.layout.view import View, view_of
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.sidecar.target import add_embodiment

FILES: Mapping[str, Callable[[View], str]] = {
    "foxglove.json": foxglove.text,
    "rviz.rviz": rviz.text,
    "plotjuggler.xml": plotjuggler.text,
    "rqt.perspective": rqt.text,
}
"""Name of each file -> what makes its content."""

_NODE = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the layouts; returns the exit status."""
    parser = CommandParser(
        prog="gr00t layout",
        description="Writes layouts that show what the policy sees and what the robot is about to "
        "do: foxglove.json, rviz.rviz, plotjuggler.xml and rqt.perspective.",
        notes="A file that exists is not overwritten without --force.",
        example="gr00t layout --embodiment franka_droid --output layouts",
    )
    add_embodiment(parser, by_tag=False)
    add = parser.add_argument
    add("--output", metavar="DIR", required=True, help="folder of the files, created if missing")
    text = f"full name of the policy node ({POLICY_NODE})"
    add("--node", metavar="NAME", default=POLICY_NODE, help=text)
    text = "fixed frame of 3D views (by default that of the robot's first arm, else base_link)"
    add("--frame", metavar="NAME", help=text)
    add("--force", action="store_true", help="overwrite files that exist")
    options = parser.parse_args(argv)
    if not _NODE.fullmatch(options.node):
        parser.error(f"--node: got {options.node!r}, expected a full name such as {POLICY_NODE}")
    view = view_of(load_embodiment(options.embodiment), options.node, options.frame)
    for path in write(view, Path(options.output), options.force):
        print(path)
    return DONE


def write(view: View, folder: Path, force: bool) -> list[Path]:
    """Write all files, or none if one exists and may not be overwritten; returns their paths."""
    contents = {folder / name: make(view) for name, make in FILES.items()}
    there = [path for path in contents if path.exists()]
    if there and not force:
        raise Gr00tError(
            f"{there[0]}: the file exists, nothing was written; expected a folder without it: "
            "give another --output, or --force to overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            path.write_text(content)
    except OSError as error:
        raise Gr00tError(
            f"--output {folder}: cannot be written ({error.strerror}); "
            "give a folder that you may write to"
        ) from None
    return list(contents)


if __name__ == "__main__":
    sys.exit(program(main))
