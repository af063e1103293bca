"""gr00t record info: the episodes of a recording as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gr00t_ros.command_line import DONE, JSON_HELP, NO, CommandParser
from gr00t_ros.dataset.episode import SOURCES
from gr00t_ros.errors import BagError, EmbodimentError
from gr00t_ros.record.episode_bag import bag_file
from gr00t_ros.record.facts import EMPTY, KEPT, EpisodeFacts, read_facts
from gr00t_ros.record.mcap_repair import is_closed
from gr00t_ros.record.recording import EMBODIMENT_FILE, episode_folders
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.text_table import printable, table

_Found = Mapping[Path, EpisodeFacts | BagError | None]
_SUCCESS = {True: "success", False: "failure", None: ""}
_HEADER = ("episode", "s", "outcome", "success", *SOURCES, "takeovers", "drops", "MB", "problem")


def main(words: Sequence[str]) -> int:
    """Print the episodes; 1 if one was not finished, or something of them cannot be read."""
    parser = CommandParser(
        prog="gr00t record info",
        description="Lists the episodes of a recording: length, outcome, success, seconds of each "
        "source, takeovers, messages lost, size.",
        example="gr00t record info my_recording",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the recording")
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    options = parser.parse_args(words)
    folder = Path(options.folder)
    found = {one: _read(one) for one in episode_folders(folder)}
    if options.json:
        print(json.dumps(_figures(folder, found), indent=1))
    else:
        print("\n".join(_report(folder, found)))
    whole = all(isinstance(facts, EpisodeFacts) for facts in found.values())
    return DONE if whole and not _robot(folder)[1] else NO


def _read(folder: Path) -> EpisodeFacts | BagError | None:
    """The facts of an episode, why it cannot be read, or None if it was not finished."""
    try:
        facts, path = read_facts(folder), bag_file(folder)
        if facts is None or path is None or facts.problem == EMPTY or is_closed(path):
            return facts
    except BagError as error:
        return error
    except OSError as error:
        return BagError(f"{error.filename or folder}: cannot be read: {error.strerror}")
    return BagError(f"{path}: is cut off: gr00t record recover {folder} repairs it")


def _robot(folder: Path) -> tuple[str, str]:
    """The robot of a recording, and why that is unknown."""
    try:
        return load_embodiment(str(folder / EMBODIMENT_FILE)).robot, ""
    except EmbodimentError as error:
        return "", str(error)


def _report(folder: Path, found: _Found) -> list[str]:
    killed = [one.name for one, facts in found.items() if facts is None]
    kept = [one for one in found.values() if isinstance(one, EpisodeFacts) and one.outcome == KEPT]
    seconds = sum(one.duration_s for one in kept)
    robot, problem = _robot(folder)
    lines = [table(_HEADER, [_row(*one) for one in found.items()])] if found else []
    name = robot or "unknown robot"
    lines.append(f"{name}: {len(kept)} of {len(found)} episodes kept, {seconds:.1f} s")
    lines += [
        f"{number} times: {instruction}" for instruction, number in _instructions(kept).items()
    ]
    lines += [
        f"unreadable: {printable(str(one))}" for one in found.values() if isinstance(one, BagError)
    ]
    if problem:
        lines.append(f"unreadable: {printable(problem)}")
    if killed:
        names = ", ".join(killed)
        lines.append(f"not finished: {names}; if no recorder runs: gr00t record recover {folder}")
    return lines


def _instructions(kept: Sequence[EpisodeFacts]) -> dict[str, int]:
    texts = [one.instruction for one in kept]
    return {text: texts.count(text) for text in dict.fromkeys(texts)}


def _row(folder: Path, facts: EpisodeFacts | BagError | None) -> tuple[object, ...]:
    if not isinstance(facts, EpisodeFacts):
        outcome = "NOT FINISHED" if facts is None else "UNREADABLE"
        cells: tuple[object, ...] = ("", outcome, "", *[""] * len(SOURCES), "", "")
        return (folder.name, *cells, _megabytes(folder), "")
    return (
        folder.name,
        f"{facts.duration_s:.1f}",
        facts.outcome,
        _SUCCESS[facts.success],
        *(f"{facts.seconds_of(source):.1f}" for source in SOURCES),
        len(facts.interventions),
        sum(facts.dropped.values()),
        _megabytes(folder),
        facts.problem,
    )


def _megabytes(folder: Path) -> str:
    size = _bytes(folder)
    return "" if size is None else f"{size / 1e6:.1f}"


def _bytes(folder: Path) -> int | None:
    """Size of an episode's files; None if its folder cannot be read."""
    try:
        return sum(one.stat().st_size for one in folder.iterdir() if one.is_file())
    except OSError:
        return None


def _figures(folder: Path, found: _Found) -> dict[str, object]:
    robot, problem = _robot(folder)
    return {
        "embodiment": robot,
        **({"problem": problem} if problem else {}),
        "episodes": [_episode(*one) for one in found.items()],
    }


def _episode(folder: Path, facts: EpisodeFacts | BagError | None) -> dict[str, object]:
    size: dict[str, object] = {
        "folder": folder.name,
        "bytes": _bytes(folder),
        "finished": isinstance(facts, EpisodeFacts),
    }
    if not isinstance(facts, EpisodeFacts):
        return size if facts is None else {**size, "problem": str(facts)}
    return {
        **size,
        "index": facts.index,
        "seconds": facts.duration_s,
        "instruction": facts.instruction,
        "outcome": facts.outcome,
        "success": facts.success,
        "source_s": {source: facts.seconds_of(source) for source in SOURCES},
        "interventions": len(facts.interventions),
        "dropped": facts.dropped,
        "problem": facts.problem,
    }
