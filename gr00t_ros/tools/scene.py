"""gr00t scene pairs, check, show, schema: pairs of links, and what is around a robot.

Needs no ROS. `pairs` samples which links always touch; `check` reads a scene file and measures it
at one posture; `show` draws it; `schema` prints the JSON Schema of scene files.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.files import load_description, load_scene, located
from gr00t_ros.collide.pairs import Pair
from gr00t_ros.collide.picture import draw
from gr00t_ros.collide.sampling import PairReport, Sampled, find_pairs
from gr00t_ros.collide.scene import FramePose
from gr00t_ros.command_line import JSON_HELP, CommandParser, status_of, whole_number
from gr00t_ros.errors import Gr00tError, SceneError, SettingsError
from gr00t_ros.robot.rotation import from_rpy
from gr00t_ros.sidecar.target import OK, PROBLEM, Report
from gr00t_ros.text_table import printable_lines, table
from gr00t_ros.tools.scene_schema import schema_text

Floats = NDArray[np.float64]

_COUNT = whole_number(1, 1_000_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit status."""
    options = _parser().parse_args(argv)
    try:
        return int(options.verb(options))
    except Gr00tError as error:
        print(f"gr00t scene: {printable_lines(str(error))}", file=sys.stderr)
        if getattr(options, "json", False):
            Report({"problem": str(error), "kind": type(error).__name__}, "").show(True)
        return status_of(error)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="gr00t scene",
        description="Scene files and pairs of links for the collision check.",
        example="gr00t scene check table.yaml --robot robot.urdf --srdf robot.srdf",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    pairs = verbs.add_parser(
        "pairs",
        help="which links always touch, and what a list of disabled pairs hides",
        description="Sample random postures: which pairs of links touch in all of them, and which "
        "disabled pairs touch in some. A pair that was only not seen touching is never taken out.",
        example="gr00t scene pairs --robot robot.urdf --write robot.srdf",
    )
    _add_robot(pairs)
    pairs.add_argument("--samples", type=_COUNT, default=2000, help="postures (%(default)s)")
    pairs.add_argument("--seed", type=int, default=0, help="of the postures (%(default)s)")
    pairs.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="a new file: .srdf with old and found pairs, or .yaml: always_touching of a scene",
    )
    pairs.add_argument("--json", action="store_true", help=JSON_HELP)
    pairs.set_defaults(verb=_pairs)
    check = verbs.add_parser(
        "check",
        help="what a scene file says, and the nearest pairs at one posture",
        description="Read a scene file, and measure the distances at one posture.",
        example="gr00t scene check table.yaml --robot robot.urdf --at elbow=1.2",
    )
    _add_scene(check)
    check.add_argument("--nearest", type=_COUNT, default=10, help="pairs to list (%(default)s)")
    check.add_argument("--json", action="store_true", help=JSON_HELP)
    check.set_defaults(verb=_check)
    show = verbs.add_parser(
        "show",
        help="a picture of robot and scene",
        description="Draw robot and scene: objects brown, keep-out red, keep-in green, carried "
        "things blue, the nearest pair orange. MUJOCO_GL=egl renders without a display.",
        example="gr00t scene show table.yaml --robot robot.urdf --output scene.png",
    )
    _add_scene(show)
    show.add_argument("--output", type=Path, required=True, metavar="PNG", help="a new file")
    show.set_defaults(verb=_show)
    schema = verbs.add_parser(
        "schema",
        help="print the JSON Schema of scene files",
        description="Print the JSON Schema (draft 2020-12) of scene files, for editors.",
        example="gr00t scene schema > scene.schema.json",
    )
    schema.set_defaults(verb=_schema)
    return parser


def _add_robot(parser: CommandParser) -> None:
    parser.instead["--urdf"] = "the URDF is given with --robot"
    parser.add_argument("--robot", type=Path, required=True, metavar="URDF", help="expanded URDF")
    parser.add_argument("--srdf", type=Path, metavar="SRDF", help="its disabled pairs")


def _add_scene(parser: CommandParser) -> None:
    parser.add_argument("scene", metavar="SCENE", help="a scene file, or its name")
    _add_robot(parser)
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="JOINT=RAD",
        type=_named(1),
        help="position of a joint, rad or m; others: 0, or the end of their range nearest to it",
    )
    parser.add_argument(
        "--frame",
        action="append",
        default=[],
        metavar="NAME=X,Y,Z,R,P,Y",
        type=_named(6),
        help="pose of a tf frame in the base, m and rad, for scenes that use it",
    )


def _named(count: int) -> Callable[[str], tuple[str, list[float]]]:
    def parse(text: str) -> tuple[str, list[float]]:
        name, _, numbers = text.partition("=")
        try:
            values = [float(word) for word in numbers.split(",")]
        except ValueError:
            values = []
        if not name or len(values) != count or not all(map(math.isfinite, values)):
            what = "a number" if count == 1 else f"{count} numbers with commas"
            raise argparse.ArgumentTypeError(f"got {text!r:.60}, expected NAME= and {what}")
        return name, values

    return parse


def _schema(options: argparse.Namespace) -> int:
    print(schema_text(), end="")
    return OK


# --- pairs -------------------------------------------------------------------------------------


def _pairs(options: argparse.Namespace) -> int:
    if options.write is not None and options.write.suffix not in (".srdf", ".yaml"):
        raise SettingsError(f"--write: got {str(options.write)!r}, expected NAME.srdf or NAME.yaml")
    description = load_description(options.robot, options.srdf)
    found = find_pairs(description, options.samples, options.seed)
    if options.write is not None:
        is_srdf = options.write.suffix == ".srdf"
        kept = [
            (sorted(pair), reason)
            for pair, reason in description.disabled.items()
            if not pair & set(found.unknown)
        ]
        text = _srdf(options.robot.stem, kept, found) if is_srdf else _yaml(found)
        _write(options.write, text.encode())
    wrong = bool(found.doubtful or found.unknown)
    return Report(_figures(found), _text(found, options), PROBLEM if wrong else OK).show(
        options.json
    )


def _figures(found: PairReport) -> dict[str, object]:
    rows = {
        "always": found.always,
        "sometimes": found.sometimes,
        "doubtful": found.doubtful,
        "fingers": found.fingers,
    }
    figures: dict[str, object] = {name: [_row(one) for one in row] for name, row in rows.items()}
    return {**figures, "unknown_links": list(found.unknown)}


def _row(one: Sampled) -> dict[str, object]:
    return {
        "links": list(one.links),
        "samples": one.samples,
        "touching": one.touching,
        "least_m": round(one.least_m, 6),
        "largest_m": round(one.largest_m, 6),
        "reason": one.reason,
    }


def _text(found: PairReport, options: argparse.Namespace) -> str:
    parts = []
    for rows, title in (
        (found.always, "touch in every sample and are not disabled: take them out"),
        (found.doubtful, "are disabled and touch in some samples: nothing keeps them apart"),
    ):
        if rows:
            cells = [(*one.links, one.evidence, one.reason) for one in rows]
            header = ("link", "link", "evidence", "reason in the SRDF")
            parts.append(f"{len(rows)} pairs {title}\n" + table(header, cells))
    if found.unknown:
        names = ", ".join(found.unknown)
        parts.append(f"the SRDF names links that the URDF does not have: {names}")
    if found.fingers:
        pairs = ", ".join(" and ".join(one.links) for one in found.fingers)
        parts.append(f"disabled fingers that touch when they close, as they are meant to: {pairs}")
    parts.append(
        f"{len(found.sometimes)} checked pairs touch in some samples, and stay checked "
        f"({options.samples} samples, seed {options.seed})"
    )
    if options.write is not None:
        parts.append(f"written: {options.write}")
    return "\n\n".join(parts)


def _srdf(name: str, kept: list[tuple[list[str], str]], found: PairReport) -> str:
    rows = [(*pair, reason) for pair, reason in kept]
    rows += [(*one.links, f"Always: {one.evidence}") for one in found.always]
    lines = [
        f"  <disable_collisions link1={quoteattr(one)} link2={quoteattr(other)} "
        f"reason={quoteattr(reason)}/>"
        for one, other, reason in rows
    ]
    return "\n".join([f"<robot name={quoteattr(name)}>", *lines, "</robot>", ""])


def _yaml(found: PairReport) -> str:
    lines = [
        f"  - {{links: [{one.links[0]}, {one.links[1]}], evidence: '{one.evidence}'}}"
        for one in found.always
    ]
    return "\n".join(["always_touching:" if lines else "# no pair always touches", *lines, ""])


# --- check and show ----------------------------------------------------------------------------


class _Posture:
    """A robot in a scene at the positions that the command line gives."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.description = load_description(options.robot, options.srdf)
        self.scene = load_scene(options.scene)
        frames = {name: _pose(values) for name, values in options.frame}
        names = self.description.joint_names
        try:
            self.engine = CollisionEngine(self.description, self.scene, names, lookup=frames.get)
        except SceneError as error:
            raise located(error, Path(self.scene.where)) from error
        self.engine.carry([one.name for one in self.scene.carried])
        given = {name: values[0] for name, values in options.at}
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise SettingsError(
                f"--at: got {', '.join(unknown)}, expected joints of {options.robot}: "
                f"{', '.join(names)}"
            )
        lower, upper = self.description.ranges(names)
        near_zero = np.clip(np.zeros(len(names)), lower, upper)
        self.q = np.array(
            [given.get(name, zero) for name, zero in zip(names, near_zero.tolist(), strict=True)]
        )
        self.distances_m = self.engine.distances(self.q)
        self.order = np.argsort(self.distances_m).tolist()

    @property
    def positions(self) -> dict[str, float]:
        """The positions of all joints by name."""
        return dict(zip(self.engine.joint_names, self.q.tolist(), strict=True))


def _pose(values: list[float]) -> FramePose:
    return np.array(values[:3]), from_rpy(*values[3:])


def _check(options: argparse.Namespace) -> int:
    found = _Posture(options)
    scene, pairs = found.scene, found.engine.pairs
    things = [
        (one.name, one.role, one.shapes[0].kind if len(one.shapes) == 1 else "box")
        + (one.frame or found.description.root, f"{1e3 * one.margin_m:g}")
        for one in scene.solids
    ]
    things += [(one.name, "attached", one.shape.kind, one.link, "") for one in scene.carried]
    contacts = [
        f"{link} may touch {name}: up to {contact.speed_m_s:g} m/s within {contact.within_m:g} m"
        for (link, name), contact in scene.contacts.items()
    ]
    contacts += [
        f"{one.name} is there while {one.when}; in this list it always is"
        for one in scene.carried
        if one.when
    ]
    near = [
        (str(pairs[i]), f"{1e3 * found.distances_m[i]:.1f}", f"{1e3 * pairs[i].margin_m:g}")
        + ("wanted contact" if pairs[i].contact else _verdict(found.distances_m[i], pairs[i]),)
        for i in found.order[: options.nearest]
    ]
    inside = [
        i for i in found.order if found.distances_m[i] < pairs[i].margin_m and not pairs[i].contact
    ]
    bare = found.description.shapeless
    text = "\n\n".join(
        [
            table(("thing", "role", "kind", "frame", "margin mm"), things),
            *(["\n".join(contacts)] if contacts else []),
            table(("nearest pairs", "mm", "margin mm", ""), near),
            *([f"without a collision shape, so unchecked: {', '.join(bare)}"] if bare else []),
            f"{len(pairs)} pairs are checked; within their margin at this posture: {len(inside)}",
        ]
    )
    figures = {
        "things": [
            dict(zip(("name", "role", "kind", "frame"), row, strict=False)) for row in things
        ],
        "pairs": len(pairs),
        "unchecked_links": list(found.description.shapeless),
        "positions": found.positions,
        "nearest": [
            {
                "pair": [pairs[i].first, pairs[i].second],
                "distance_m": round(float(found.distances_m[i]), 6),
                "margin_m": pairs[i].margin_m,
                "contact": pairs[i].contact is not None,
            }
            for i in found.order[: options.nearest]
        ],
        "within_margin": [str(pairs[i]) for i in inside],
    }
    return Report(figures, text, PROBLEM if inside else OK).show(options.json)


def _verdict(distance_m: float, pair: Pair) -> str:
    if distance_m <= 0.0:
        return "touches"
    return "within its margin" if distance_m < pair.margin_m else ""


def _show(options: argparse.Namespace) -> int:
    found = _Posture(options)
    engine = found.engine
    marked = set()
    if found.order:
        nearest = engine.pairs[found.order[0]]
        marked = {nearest.first, nearest.second}
    pixels = draw(found.description, found.scene, engine.bodies, found.positions, marked)
    import cv2

    _, data = cv2.imencode(".png", pixels[:, :, ::-1])
    _write(options.output, data.tobytes())
    print(f"{options.output}: {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return OK


def _write(path: Path, data: bytes) -> None:
    """Write a new file; SettingsError where it exists or cannot be written."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise SettingsError(f"{path} exists, expected a new file: remove it first") from error
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main())
