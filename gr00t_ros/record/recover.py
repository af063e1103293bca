"""gr00t record recover: repairs killed or broken episodes, from what their bag holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import open_bag
from gr00t_ros.command_line import DONE, CommandParser
from gr00t_ros.errors import BagError
from gr00t_ros.msg import EpisodeEvent
from gr00t_ros.record.episode_bag import mcap_path, write_metadata
from gr00t_ros.record.facts import (
    DISCARDED,
    FILE,
    EpisodeFacts,
    is_right,
    read_facts,
    write_facts,
)
from gr00t_ros.record.mcap_file import McapFile
from gr00t_ros.record.recording import EMBODIMENT, EPISODE, episode_folders
from gr00t_ros.record.session import ENDS, INTERVENE, PROBLEM, RESUME, SOURCE, START, label
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.text_table import printable

EVENTS = "gr00t_ros/msg/EpisodeEvent"
STATUS = "gr00t_ros/msg/PolicyStatus"
KILLED = "recovered: its recorder was killed, the last messages and the counts of drops are missing"
REBUILT = "recovered: its episode.json was broken, labels after its end and drops may be missing"
ENDED = "recovered: its recorder was killed after its end, the counts of drops are missing"
_SUCCESS = {True: "success", False: "failure", None: "success unknown"}


def main(words: Sequence[str]) -> int:
    """Repair what was not finished or cannot be read, and name it."""
    parser = CommandParser(
        prog="gr00t record recover",
        description="Repairs the episodes of a recording whose recorder was killed, or whose "
        "episode.json is broken: index and metadata of the bag, and episode.json. An episode that "
        "was still open is kept, and its success is unknown.",
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
    """Repair each episode without facts that can be read; yields a line for each.

    Raises BagError at the end, with those that cannot be repaired.
    """
    one = EPISODE.fullmatch(folder.name) and (folder.parent / EMBODIMENT).exists()
    recording = folder.parent if one else folder
    robot = load_embodiment(str(recording / EMBODIMENT)).tag
    failed = []
    for episode in [folder] if one else episode_folders(recording):
        broken = ""
        try:
            if read_facts(episode) is not None:
                continue
        except BagError as error:
            broken = str(error).partition("; ")[0]
        try:
            yield _recover(episode, robot, broken)
        except BagError as error:
            failed.append(str(error))
    if failed:
        raise BagError("\n".join(failed))


def _labels(broken: Path) -> dict[str, Any]:
    """What can be read of outcome and success in a broken file: they may be later than the bag."""
    try:
        content = read_json(broken, BagError)
    except BagError:
        return {}
    return {key: content[key] for key in ("outcome", "success") if is_right(content, key)}


def _recover(episode: Path, robot: str, broken: str) -> str:
    """Repair one episode; an empty one is discarded. broken: why its facts cannot be read."""
    index = int(episode.name.removeprefix("episode_"))
    facts = EpisodeFacts(index, "", robot, "", 0, problem=REBUILT if broken else KILLED)
    filled = _repair(episode)
    beside, labels, said = episode / f"{FILE}.broken", dict[str, Any](), ""
    if broken:
        (episode / FILE).replace(beside)
        labels, said = _labels(beside), f"; {beside.name} is kept: {printable(broken)}"
    if not filled:
        facts.outcome = DISCARDED
        facts.problem = "recovered: nothing was written to its bag"
        write_facts(episode, facts)
        return f"{episode}: holds no message; discarded{said}"
    with open_bag(episode) as bag:
        topics = [topic.name for topic in bag.topics if topic.type_name == EVENTS]
        nodes = [one.name.rpartition("/")[0] for one in bag.topics if one.type_name == STATUS]
        facts.policy_node = nodes[0] if len(nodes) == 1 else ""
        facts.start_ns, facts.stop_ns = bag.start_ns, bag.end_ns
        events = [
            (message.time_ns, deserialize_message(message.data, EpisodeEvent))
            for message in bag.messages(topics)
        ]
    # of another number where a person has renamed the folder
    numbers = [event.episode for _, event in events if event.event == START]
    for time_ns, event in events:
        if [event.episode] == numbers[-1:]:
            _replay(facts, event, time_ns)
    if facts.interventions and not facts.interventions[-1][1]:
        facts.interventions[-1] = (facts.interventions[-1][0], facts.stop_ns)
    facts.outcome = labels.get("outcome", facts.outcome)
    facts.success = labels.get("success", facts.success)
    write_facts(episode, facts)
    label_text = f"{facts.outcome}, {_SUCCESS[facts.success]}"
    return f"{episode}: {facts.duration_s:.1f} s recovered; {label_text}{said}"


def _repair(episode: Path) -> bool:
    """Write the index of an episode's file and its metadata; False if it holds no message."""
    path = mcap_path(episode)
    if not path.exists():
        others = sorted(episode.glob("*.mcap"))
        if len(others) > 1:
            names = [one.name for one in others]
            raise BagError(f"{episode}: got {names}, expected {path.name}")
        if not others:
            return False
        path = others[0]  # the folder was renamed
    try:
        file = McapFile.of_killed(path)
    except BagError as error:
        if "holds nothing" in str(error):
            return False
        raise
    file.close()
    if not file.totals.counts:
        return False
    write_metadata(episode, file)
    return True


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
