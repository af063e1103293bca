"""gr00t record recover: repairs killed or broken episodes, from what their bag holds."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gr00t_ros.bags.bag import open_bag
from gr00t_ros.bags.message_types import read_message
from gr00t_ros.command_line import DONE, CommandParser
from gr00t_ros.errors import BagError, EmbodimentError
from gr00t_ros.msg import EpisodeEvent
from gr00t_ros.record.episode_bag import bag_file, write_metadata
from gr00t_ros.record.facts import (
    DISCARDED,
    EMPTY,
    EPISODE_FILE,
    EpisodeFacts,
    is_right,
    read_facts,
    write_facts,
)
from gr00t_ros.record.mcap_repair import Repaired, is_closed, is_without_chunks, repair
from gr00t_ros.record.recording import EMBODIMENT_FILE, EPISODE, episode_folders
from gr00t_ros.record.session import ENDS, INTERVENE, PROBLEM, RESUME, SOURCE, START, label
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.policy_node import STATUS_TYPE
from gr00t_ros.text_table import printable

EVENTS = "gr00t_ros/msg/EpisodeEvent"
DAMAGED = "recovered: its bag was damaged after its end, messages are missing"
KILLED = "recovered: its recorder was killed, the last messages and the counts of drops are missing"
REBUILT = "recovered: its episode.json was broken, labels after its end and drops may be missing"
ENDED = "recovered: its recorder was killed after its end, the counts of drops are missing"
_SUCCESS = {True: "success", False: "failure", None: "success unknown"}


def main(words: Sequence[str]) -> int:
    """Repair what was not finished or cannot be read, and name it."""
    parser = CommandParser(
        prog="gr00t record recover",
        description="Repairs the episodes of a recording whose recorder was killed, or whose bag "
        "or episode.json is broken: index and metadata of the bag, and episode.json. An episode "
        "that was still open is kept, and its success is unknown. Where a bag is made anew without "
        "what is damaged in it, the old one stays beside it.",
        example="gr00t record recover my_recording",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the recording, or of one episode")
    folder = Path(parser.parse_args(words).folder)
    finished = True
    for line in recover(folder):
        finished = False
        print(line)
    if finished:
        print(f"{folder}: all episodes are finished")
    return DONE


def recover(folder: Path) -> Iterator[str]:
    """Repair each episode that is not finished, or whose facts or bag are broken; a line for each.

    Raises BagError at the end, with those that cannot be repaired.
    """
    one = EPISODE.fullmatch(folder.name) and (
        any(folder.glob("*.mcap")) or (folder.parent / EMBODIMENT_FILE).exists()
    )
    recording = folder.parent if one else folder
    failed, robot = [], ""
    try:
        robot = load_embodiment(str(recording / EMBODIMENT_FILE)).tag
    except EmbodimentError as error:
        failed.append(f"{error}; its episodes do not need it to be repaired: put the file there")
    for episode in [folder] if one else episode_folders(recording):
        try:
            line = _recovered(episode, robot)
        except BagError as error:
            text = str(error)
            where = "" if str(episode) in text else f"{episode}: cannot be repaired: "
            failed.append(f"{where}{text}")
        except (OSError, ValueError, LookupError, struct.error) as error:
            why = f"{type(error).__name__} {error}"
            failed.append(f"{episode}: this episode cannot be repaired: {why}")
        else:
            if line:
                yield line
    if failed:
        raise BagError("\n".join(failed))


def _recovered(episode: Path, robot: str) -> str:
    """Repair one episode where that is needed; what was done, empty if it is finished and whole."""
    broken = ""
    try:
        facts = read_facts(episode)
    except BagError as error:
        facts, broken = None, str(error).partition("; ")[0]
    if facts is None:
        return _rebuilt(episode, robot, broken)
    return _mended(episode, facts)


def _mended(episode: Path, facts: EpisodeFacts) -> str:
    """Repair the bag of an episode that had been finished; its facts stay."""
    path = bag_file(episode)
    if path is None or facts.problem == EMPTY:
        return ""  # of another format by now, or discarded by an earlier repair
    try:
        found = repair(path)
    except BagError:
        if is_closed(path):
            return ""  # of another writer
        raise
    if found is None and is_closed(path) and is_without_chunks(path):
        return ""  # finished without a message
    if found is None:
        raise _no_message(path)
    if not found.changed:
        return ""
    write_metadata(episode, found.file)
    facts.problem = "; ".join(filter(None, [facts.problem, DAMAGED]))
    write_facts(episode, facts)
    return f"{episode}: its bag was repaired, episode.json is as it was{_left_out(found)}"


def _no_message(path: Path) -> BagError:
    """What to do with a bag of which nothing can be read, although messages were or may be lost."""
    return BagError(
        f"{path}: {path.stat().st_size} bytes, no message that can be read; nothing was changed: "
        f"if it is a copy, copy it again; if there is no other one, remove {path.parent}"
    )


def _left_out(found: Repaired) -> str:
    """What a repair left out, for its line."""
    if found.kept is None:
        return ""
    return f"; {found.left_out} bytes are left out, {found.kept.name} has all as it was"


def _labels(broken: Path) -> dict[str, Any]:
    """What can be read of outcome and success in a broken file: they may be later than the bag."""
    try:
        content = read_json(broken, BagError)
    except BagError:
        return {}
    return {key: content[key] for key in ("outcome", "success") if is_right(content, key)}


def _rebuilt(episode: Path, robot: str, broken: str) -> str:
    """Repair one episode; one in which nothing was recorded is discarded.

    broken: why its facts cannot be read.
    """
    index = int(episode.name.removeprefix("episode_"))
    facts = EpisodeFacts(index, "", robot, "", 0, problem=REBUILT if broken else KILLED)
    path = bag_file(episode)
    found = None if path is None else repair(path)
    if found is None and path is not None and (broken or not is_without_chunks(path)):
        raise _no_message(path)
    if path is None and any(episode.iterdir()):
        raise BagError(f"{episode}: its bag is not there: put the file there, or remove the folder")
    beside, labels, notes = episode / f"{EPISODE_FILE}.broken", dict[str, Any](), ""
    if broken:
        (episode / EPISODE_FILE).replace(beside)
        labels, notes = _labels(beside), f"; {beside.name} is kept: {printable(broken)}"
    if found is None:
        facts.outcome, facts.problem = DISCARDED, EMPTY
        write_facts(episode, facts)
        return f"{episode}: holds no message; discarded"
    notes = _left_out(found) + notes
    write_metadata(episode, found.file)
    with open_bag(episode) as bag:
        topics = [topic.name for topic in bag.topics if topic.type_name == EVENTS]
        nodes = [one.name.rpartition("/")[0] for one in bag.topics if one.type_name == STATUS_TYPE]
        facts.policy_node = nodes[0] if len(nodes) == 1 else ""
        facts.start_ns, facts.stop_ns = bag.start_ns, bag.end_ns
        events = [(one.time_ns, read_message(one, EpisodeEvent)) for one in bag.messages(topics)]
    # of another number where a person has renamed the folder
    numbers = [event.episode for _, event in events if event.event == START]
    for time_ns, event in events:
        if [event.episode] == numbers[-1:]:
            _replay(facts, event, time_ns)
    if facts.interventions and not facts.interventions[-1][1]:
        facts.interventions[-1] = (facts.interventions[-1][0], facts.stop_ns)
    facts.outcome = labels.get("outcome", facts.outcome)
    facts.success = labels.get("success", facts.success)
    if found.kept is not None:
        facts.problem += f"; {found.left_out} damaged bytes of its bag were left out"
    write_facts(episode, facts)
    label_text = f"{facts.outcome}, {_SUCCESS[facts.success]}"
    return f"{episode}: {facts.duration_s:.1f} s recovered; {label_text}{notes}"


def _replay(facts: EpisodeFacts, event: EpisodeEvent, time_ns: int) -> None:
    """Take what an event in the bag says about its episode."""
    if event.event == START:
        facts.start_ns, facts.instruction = time_ns, event.text
        facts.sources = [(time_ns, event.source)]
    elif event.event == SOURCE:
        facts.sources.append((time_ns, event.source))
    elif event.event == INTERVENE:
        facts.interventions.append((time_ns, 0))
    elif event.event in ENDS:
        label(facts, event.event)
        facts.stop_ns = time_ns
        how = ENDED if facts.problem == KILLED else facts.problem
        facts.problem = f"{event.text}; {how}" if event.event == PROBLEM else how
    elif event.event == RESUME and facts.interventions:
        facts.interventions[-1] = (facts.interventions[-1][0], time_ns)
