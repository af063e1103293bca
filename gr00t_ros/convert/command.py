"""gr00t dataset convert: recorded episodes and bags as a dataset that GR00T's finetuning reads."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from gr00t_ros.command_line import DONE, JSON_HELP, NO, CommandParser, fail, tell_progress
from gr00t_ros.convert.conversion import REFUSE, SPLIT, ConversionSettings, Result, convert
from gr00t_ros.convert.episodes import EpisodeReference
from gr00t_ros.convert.place import Named
from gr00t_ros.convert.recordings import Recorded, embodiment_of, other_files, recorded
from gr00t_ros.dataset.video_encode import CODECS
from gr00t_ros.dataset.writer import FORMATS
from gr00t_ros.errors import BagError, Gr00tError, SettingsError
from gr00t_ros.record.facts import EpisodeFacts
from gr00t_ros.robot.data_file import options_problem
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.text_table import one_line, printable_lines


def main(words: Sequence[str]) -> int:
    """Convert; the answer is no if an episode failed, or was left out as its facts are broken."""
    parser = _parser()
    options = parser.parse_args(words)
    if problem := options_problem(vars(options)):
        parser.error(problem)
    try:
        return _convert(options)
    except Gr00tError as error:
        return fail(parser.prog, error)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t dataset convert",
        description="Recorded episodes and bags as a dataset: LeRobot v2.1 in GR00T's flavour, or "
        "LeRobot v3.0. Rows are at the embodiment file's rate. State and pictures are those that "
        "the node would have sent, actions what was commanded.",
        example="gr00t dataset convert my_recording --output my_dataset --format groot",
    )
    add = parser.add_argument
    add("bags", nargs="+", type=Path, metavar="BAG", help="recording, episode or bag")
    add("--output", type=Path, required=True, metavar="DIR", help="the dataset to write")
    add("--embodiment", metavar="NAME|FILE", help="by default the recording's own file")
    add("--format", choices=tuple(FORMATS), default="groot", help="by default groot")
    add("--codec", choices=tuple(CODECS), default="h264", help="of the videos (%(default)s)")
    add("--keep-size", action="store_true", help="pictures at the camera's size, not resized")
    add(
        "--gaps",
        choices=(REFUSE, SPLIT),
        default=REFUSE,
        help="what to do with an episode whose rows have a gap (%(default)s)",
    )
    add("--instruction", default="", metavar="TEXT", help="of bags that have none, or of all")
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="episodes at a time (%(default)s)",
    )
    add("--resume", action="store_true", help="go on with a conversion that was not finished")
    add("--append", action="store_true", help="add the episodes to the dataset DIR (groot)")
    add("--json", action="store_true", help=JSON_HELP)
    return parser


def _convert(options: argparse.Namespace) -> int:
    embodiment = embodiment_of(options.embodiment, options.bags)
    found = recorded(
        options.bags, embodiment, keep_size=options.keep_size, instruction=options.instruction
    )
    _refuse(found, embodiment, options.workers)
    for line in found.broken:
        tell_progress(f"WARNING: left out: {printable_lines(line)}")
    for line in other_files(embodiment, options.embodiment, options.bags):
        tell_progress(f"WARNING: {printable_lines(line)}: --embodiment is used, not that file")
    settings = ConversionSettings(
        options.format,
        options.codec,
        options.gaps,
        options.workers,
        options.resume,
        options.append,
    )
    discarded = [one.name for one in found.discarded]
    result = convert(found.kept, embodiment, options.output, settings, discarded, tell_progress)
    if options.json:
        print(json.dumps(_figures(result, found), indent=1))
    elif result.named_before is not None:
        print(_nothing_to_do(result.named_before, options.output))
    else:
        print("\n".join(_report(result, options.output, found)))
    return NO if result.failed or found.broken else DONE


def _refuse(found: Recorded, embodiment: Embodiment, workers: int) -> None:
    if workers < 1:
        raise SettingsError(f"--workers: got {workers}, expected 1 at least")
    if not found.kept and found.broken:
        raise BagError("\n".join(found.broken))
    if not found.kept:
        raise SettingsError("episodes: got none that was kept and finished, expected one at least")
    given: set[Path] = set()
    for one in found.kept:
        if one.path.resolve() in given:
            raise SettingsError(f"{one.path}: is given twice: name each episode once")
        given.add(one.path.resolve())
        if one.facts is not None and one.facts.robot not in ("", embodiment.tag):
            raise SettingsError(
                f"{one.path}: was recorded as {one.facts.robot}, {embodiment.source} is of "
                f"{embodiment.tag}: give the file that it was recorded with"
            )


def _cuts(result: Result, references: Sequence[EpisodeReference]) -> dict[str, list[str]]:
    """Path of an episode -> what of it is not in the dataset."""
    new = [one for one in references if str(one.path) not in result.there]
    pairs = zip(new, result.done, strict=False)  # nothing is done if an episode failed
    return {str(one.path): done.cut for one, done in pairs if done.cut}


def _incomplete(references: Sequence[EpisodeReference]) -> dict[str, EpisodeFacts]:
    """Path of an episode -> its facts, where the recorder lost messages or had a problem."""
    found = {str(one.path): one.facts for one in references if one.facts is not None}
    return {path: facts for path, facts in found.items() if facts.dropped or facts.problem}


def _shortfall(facts: EpisodeFacts) -> str:
    lost = ", ".join(f"{count} of {topic}" for topic, count in (facts.dropped or {}).items())
    return "; ".join(filter(None, [lost and f"messages lost: {lost}", facts.problem]))


def _nothing_to_do(named: Named, output: Path) -> str:
    return (
        f"{output}: {named.episodes} episodes, {named.rows} rows; these bags are all in it "
        "since the conversion that was interrupted, nothing was added again"
    )


def _report(result: Result, output: Path, found: Recorded) -> list[str]:
    lines = []
    if result.contents is not None:
        made = result.contents
        lines.append(
            f"{output}: {len(made.episodes)} episodes, {made.frames} rows, "
            f"{len(made.schema.pictures)} cameras, {len(made.tasks)} instructions"
        )
        if made.schema.left_out:
            keys = ", ".join(made.schema.left_out)
            lines.append(f"  not in it, because no output executes them: action {keys}")
        unknown = made.unknown_success
        if 0 < len(unknown) < len(made.episodes):
            lines.append(
                f"  next.success is not in it, because it is unknown of {len(unknown)} episodes: "
                f"{', '.join(unknown):.300}"
            )
    lines += [f"  not added again, it is in it: {printable_lines(one)}" for one in result.there]
    if result.contents is None and not result.failed:
        lines.append(f"{output}: has all of these episodes already, nothing was added")
    for path, cuts in _cuts(result, found.kept).items():
        lines += [f"  left out of {path}: {cut}" for cut in cuts]
    for path, facts in _incomplete(found.kept).items():
        lines.append(f"  its recorder says of {path}: {one_line(_shortfall(facts), 500)}")
    lines += [f"  discarded: {one.name}" for one in found.discarded]
    lines += [
        f"  NOT FINISHED: {path}: still recorded, or its recorder was killed: gr00t record recover"
        for path in found.unfinished
    ]
    lines += [f"  UNREADABLE: {printable_lines(text)}" for text in found.broken]
    lines += [f"  FAILED: {printable_lines(text)}" for text in result.failed]
    if result.failed:
        lines.append(
            f"{output}: not written, {len(result.failed)} episodes failed; the finished ones are "
            "kept for --resume"
        )
    return lines


def _figures(result: Result, found: Recorded) -> dict[str, object]:
    made, before = result.contents, result.named_before
    episodes, rows = len(result.unchanged), sum(result.unchanged)
    if before is not None:
        episodes, rows = before.episodes, before.rows
    return {
        "episodes": len(made.episodes) if made is not None else episodes,
        "rows": made.frames if made is not None else rows,
        "added_before": before is not None,
        "there": result.there,
        "left_out_actions": list(made.schema.left_out) if made is not None else [],
        "unknown_success": list(made.unknown_success) if made is not None else [],
        "cut": _cuts(result, found.kept),
        "recorder": {
            path: {"dropped": facts.dropped, "problem": facts.problem}
            for path, facts in _incomplete(found.kept).items()
        },
        "discarded": [one.name for one in found.discarded],
        "unfinished": [str(one) for one in found.unfinished],
        "unreadable": found.broken,
        "failed": result.failed,
    }
