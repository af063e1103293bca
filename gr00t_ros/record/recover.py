"""gr00t record recover: repairs episodes whose recorder was killed, from what their bag holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import open_bag
from gr00t_ros.command_line import DONE, CommandParser
from gr00t_ros.errors import BagError
from gr00t_ros.msg import EpisodeEvent
from gr00t_ros.record.episode_bag import mcap_path, write_metadata
from gr00t_ros.record.facts import DISCARDED, EpisodeFacts, write_facts
from gr00t_ros.record.mcap_file import McapFile
from gr00t_ros.record.recording import EMBODIMENT, EPISODE, unfinished
from gr00t_ros.record.session import ENDS, INTERVENE, PROBLEM, RESUME, SOURCE, START, label
from gr00t_ros.robot.files import load_embodiment

EVENTS = "gr00t_ros/msg/EpisodeEvent"
KILLED = "recovered: its recorder was killed, the last messages and the counts of drops are missing"
ENDED = "recovered: its recorder was killed after its end, the counts of drops are missing"
_SUCCESS = {True: "success", False: "failure", None: "success unknown"}


def main(words: Sequence[str]) -> int:
    """Repair what was not finished, and name it."""
    parser = CommandParser(
        prog="gr00t record recover",
        description="Repairs the episodes of a recording whose recorder was killed: index and "
        "metadata of the bag, and episode.json. An episode that was still open is kept, its "
        "success is unknown.",
        example="gr00t record recover my_recording",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the recording, or of one episode")
    folder = Path(parser.parse_args(words).folder)
    lines = list(recover(folder))
    print("\n".join(lines) if lines else f"{folder}: all episodes are finished")
    return DONE


def recover(folder: Path) -> Iterator[str]:
    """Repair each episode that was not finished; yields a line for each."""
    one = EPISODE.fullmatch(folder.name) and mcap_path(folder).exists()
    recording = folder.parent if one else folder
    robot = load_embodiment(str(recording / EMBODIMENT)).tag
    for episode in unfinished(recording):
        if not one or episode == folder:
            yield _recover(episode, robot)


def _recover(episode: Path, robot: str) -> str:
    """Repair one episode; an empty one is discarded."""
    index = int(episode.name.removeprefix("episode_"))
    facts = EpisodeFacts(index, "", robot, "", 0, problem=KILLED)
    if not _repair(episode):
        facts.outcome = DISCARDED
        facts.problem = "recovered: its recorder was killed before the first message was written"
        write_facts(episode, facts)
        return f"{episode}: holds no message; discarded"
    with open_bag(episode) as bag:
        topics = [topic.name for topic in bag.topics if topic.type_name == EVENTS]
        facts.start_ns, facts.stop_ns = bag.start_ns, bag.end_ns
        for message in bag.messages(topics):
            event = deserialize_message(message.data, EpisodeEvent)
            if event.episode == index:
                _replay(facts, event, message.time_ns)
    if facts.interventions and not facts.interventions[-1][1]:
        facts.interventions[-1] = (facts.interventions[-1][0], facts.stop_ns)
    write_facts(episode, facts)
    return f"{episode}: {facts.duration_s:.1f} s recovered; {facts.outcome}, {_SUCCESS[facts.success]}"


def _repair(episode: Path) -> bool:
    """Write the index of an episode's file and its metadata; False if it holds no message."""
    path = mcap_path(episode)
    if not path.exists():
        return False
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
        facts.problem = f"{event.text}; {ENDED}" if event.event == PROBLEM else ENDED
    elif event.event == RESUME and facts.interventions:
        facts.interventions[-1] = (facts.interventions[-1][0], time_ns)
