"""gr00t sidecar dump: writes one observation and what a policy server answers to it, as a file.

The observation comes from a running policy node, with the node's own request and reply; from a bag
or a dataset; from another file; or it is made up. Nothing moves. ROS is imported only for a node
or a bag.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from gr00t_ros import __version__
from gr00t_ros.command_line import CommandParser
from gr00t_ros.dataset.episode import Episode
from gr00t_ros.errors import ChunkError, SettingsError
from gr00t_ros.evaluate.open_loop import observations
from gr00t_ros.evaluate.sources import chosen, dataset_references
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.observe.readings import PoseReading, encode
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import POSES, StateStream, Stream
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.sidecar.ask import server_facts
from gr00t_ros.sidecar.exchange import SEED, RawObservation, ask_for_action
from gr00t_ros.sidecar.exchange_file import (
    INSTRUCTION,
    STATE_PREFIX,
    VERSION_KEY,
    VIDEO_PREFIX,
    Dumped,
    delta_indices,
    part,
    read_dump,
    write_dump,
)
from gr00t_ros.sidecar.npz_file import read_npz
from gr00t_ros.sidecar.target import (
    OK,
    PROBLEM,
    Report,
    Target,
    add_place,
    ask,
    facts,
    milliseconds,
    question,
    seed,
)
from gr00t_ros.wire.link import PolicyLink

_SPAN: Final = 0.5  # of made-up joints, in their unit
_NOTES: Final = """\
Where the observation comes from, one of:
  --node [NAME]          a running policy node: its next request and the reply to it, as they
                         were sent; the server gets no request from here
  --bag BAG --at S       a recording or a bag, as the node would have assembled it
  --dataset-path DIR     a LeRobot dataset, with --at S
  --from FILE.npz        a file of this command, or one for gr00t sidecar infer
  --random               made up: noise, and joints near zero
All but --node ask the server: one check with zeros as the node makes it, then this observation."""


def dump(argv: Sequence[str]) -> int:
    """Write the file; 1 if the answer is not a chunk of the embodiment."""
    return ask(_parser(), argv, _dump)


def _parser() -> CommandParser:
    parser = question(
        "dump",
        "Write an observation, and the exact request and reply of a policy server, into one .npz "
        "file for gr00t sidecar parity. Nothing moves.",
        "--embodiment my_robot.yaml --bag my_bag --at 3.5 --observation A.npz",
        _NOTES,
    )
    add_place(parser)
    add = parser.add_argument
    add("--observation", type=Path, required=True, metavar="FILE.npz", help="a new file")
    parser.missing["--observation"] = "the new file to write"
    sources = parser.add_mutually_exclusive_group(required=True)
    sources.add_argument("--node", nargs="?", const=POLICY_NODE, metavar="NAME", help="see below")
    sources.add_argument("--bag", type=Path, metavar="BAG", help="see below")
    sources.add_argument("--dataset-path", type=Path, metavar="DIR", help="see below")
    sources.add_argument("--from", type=Path, dest="origin", metavar="FILE.npz", help="see below")
    sources.add_argument("--random", action="store_true", help="see below")
    add("--embodiment", metavar="NAME|FILE", help="the robot; not for --node")
    add("--at", type=_seconds, metavar="S", help="s from the start of the episode")
    add("--episode", type=int, default=None, metavar="N", help="of several; else the first")
    add("--instruction", metavar="TEXT", help="in place of the one that was recorded")
    add("--seed", type=seed, metavar="N", help="in the request's options, and of --random")
    add("--wait", type=_seconds, default=10.0, metavar="S", help="for the node, s (%(default)s s)")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 or more s")
    return value


def _dump(target: Target, options: argparse.Namespace) -> Report:
    if options.observation.exists():
        raise SettingsError(f"{options.observation}: is there already, expected a new file")
    if options.node is not None:
        return _of_node(options)
    robot = _robot(target, options)
    source, observation = _observed(options, robot)
    client = target.client()
    with closing(PolicyLink(client, robot, target.token)) as link:
        checked = link.check()
        exchange = ask_for_action(client, checked.server, observation, target.token)
        found = server_facts(client.address, checked.server)
    deltas = delta_indices(checked.server.modality)
    dumped = Dumped(observation, exchange, robot.tag, source, __version__, deltas)
    write_dump(options.observation, dumped)
    return _report(options.observation, dumped, found, robot)


def _of_node(options: argparse.Namespace) -> Report:
    """Write the node's next exchange."""
    given = {"server": options.server, "host": options.host, "port": options.port}
    given |= {name: getattr(options, name) for name in ("seed", "instruction", "at", "episode")}
    for name, value in given.items():
        if value is not None:
            raise SettingsError(
                f"--{name}: does not go with --node, which writes the node's own request and reply"
            )
    from gr00t_ros.evaluate.observed.live import next_exchange

    dumped = next_exchange(options.node, options.wait)
    write_dump(options.observation, dumped)
    return _report(options.observation, dumped, {}, None)


def _robot(target: Target, options: argparse.Namespace) -> Embodiment:
    """Return the embodiment: the option's, the recording's own, else the environment's."""
    if options.embodiment is None and options.bag is not None:
        from gr00t_ros.convert.recordings import embodiment_of

        return embodiment_of(None, [options.bag])
    if options.embodiment is None and target.environment.embodiment_tag is None:
        raise SettingsError("embodiment: got none, expected --embodiment NAME|FILE")
    return target.embodiment()


def _observed(options: argparse.Namespace, robot: Embodiment) -> tuple[str, RawObservation]:
    """Return where the observation comes from, in words, and the observation."""
    if options.origin is not None:
        return _of_file(options, robot)
    if options.random:
        return _made_up(options, robot)
    if options.at is None:
        raise SettingsError("at: got none, expected --at S, the time in the episode")
    return of_parts(_parts(options, robot), robot, options.at, options)


def _parts(options: argparse.Namespace, robot: Embodiment) -> Sequence[Episode]:
    """Return the episode that the options name, in parts without a gap."""
    if options.bag is None:
        numbers = [] if options.episode is None else [options.episode]
        references = chosen(dataset_references(options.dataset_path), numbers)
        if not references:
            raise SettingsError(f"{options.dataset_path}: no episode in it")
        return (references[0].load(robot),)
    from gr00t_ros.convert.recordings import read_episodes

    found = read_episodes(options.bag, robot, instruction=options.instruction or "")
    number = options.episode or 0
    if not 0 <= number < len(found):
        raise SettingsError(
            f"{options.bag}: episode {number}, expected one of {len(found)}, counted from 0"
        )
    parts: tuple[Episode, ...] = found[number].load_parts().episodes
    return parts


def of_parts(
    parts: Sequence[Episode], robot: Embodiment, at_s: float, options: argparse.Namespace
) -> tuple[str, RawObservation]:
    """Return the observation of the row at `at_s` after the first row.

    Raises SettingsError where there is none: outside, in a gap, or without its history.
    """
    streams: tuple[Stream, ...] = (*robot.video, *robot.state)
    first = -min((0, *(delta for stream in streams for delta in stream.delta_indices)))
    spans = []
    for episode in parts:
        late_s = (int(episode.stamps_ns[0]) - int(parts[0].stamps_ns[0])) / 1e9
        row = round((at_s - late_s) * episode.rate_hz)
        if first <= row < len(episode):
            return _row(episode, robot, row, options)
        start_s, end_s = (late_s + n / episode.rate_hz for n in (first, len(episode) - 1))
        if start_s <= end_s:
            spans.append(f"{start_s:g} to {end_s:g} s")
    raise SettingsError(
        f"{parts[0].name}: nothing at {at_s:g} s, expected {' or '.join(spans) or 'a longer part'} "
        f"(the history that {robot.source} asks for takes {first} rows)"
    )


def _row(
    episode: Episode, robot: Embodiment, row: int, options: argparse.Namespace
) -> tuple[str, RawObservation]:
    (seen,) = observations(episode, robot, [row])
    text = options.instruction if options.instruction is not None else seen.instruction
    stamp_ns = int(episode.stamps_ns[row])
    observation = RawObservation(
        seen.video, seen.state, robot.language_keys, text, _options(options), stamp_ns
    )
    return f"{episode.name}, row {row} ({row / episode.rate_hz:g} s)", observation


def _options(options: argparse.Namespace) -> dict[str, Any]:
    return {} if options.seed is None else {SEED: options.seed}


def _of_file(options: argparse.Namespace, robot: Embodiment) -> tuple[str, RawObservation]:
    """Return the observation of a file of `dump` or for `infer`, of this embodiment."""
    arrays = read_npz(options.origin)
    if VERSION_KEY in arrays:
        seen = read_dump(options.origin).observation
        video, state, text, stamp_ns = seen.video, seen.state, seen.instruction, seen.stamp_ns
        inherited: Mapping[str, Any] = seen.options
    else:
        video, state = part(arrays, VIDEO_PREFIX), part(arrays, STATE_PREFIX)
        text, stamp_ns, inherited = str(arrays.get(INSTRUCTION, "")), 0, {}
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {}
    for view in robot.video:
        size = (len(view.delta_indices), view.height_px, view.width_px, 3)
        shapes[f"video.{view.key}"] = (np.uint8, size)
    for stream in robot.state:
        rows = (len(stream.delta_indices), stream.width)
        shapes[f"state.{stream.key}"] = (np.float32, rows)
    given = {f"video.{k}": v for k, v in video.items()} | {
        f"state.{k}": v for k, v in state.items()
    }
    for name, (dtype, shape) in shapes.items():
        got = given.get(name)
        if got is None or got.dtype != dtype or got.shape != shape:
            described = "nothing" if got is None else f"{got.dtype} {got.shape}"
            raise SettingsError(
                f"{options.origin}: {name}: got {described}, expected {np.dtype(dtype)} {shape} "
                f"as in {robot.source}"
            )
    if options.instruction is not None:
        text = options.instruction
    observation = RawObservation(
        {view.key: video[view.key] for view in robot.video},
        {stream.key: state[stream.key] for stream in robot.state},
        robot.language_keys,
        text,
        {**inherited, **_options(options)},
        stamp_ns,
    )
    return f"{options.origin.name}", observation


def _made_up(options: argparse.Namespace, robot: Embodiment) -> tuple[str, RawObservation]:
    """Return noise as pictures and joints near zero; the same for the same seed."""
    number = 0 if options.seed is None else int(options.seed)
    rng = np.random.default_rng(number)
    video = {
        view.key: rng.integers(
            0, 256, (len(view.delta_indices), view.height_px, view.width_px, 3), np.uint8
        )
        for view in robot.video
    }
    state = {
        stream.key: np.tile(_state(stream, rng), (len(stream.delta_indices), 1))
        for stream in robot.state
    }
    text = options.instruction if options.instruction is not None else "made up"
    observation = RawObservation(video, state, robot.language_keys, text, _options(options))
    return f"made up with seed {number}", observation


def _state(stream: StateStream, rng: np.random.Generator) -> Any:
    """(D,) float32; a pose has a valid rotation."""
    if stream.source == "constant":
        return encode(stream, None)
    values = rng.uniform(-_SPAN, _SPAN, stream.width)
    if stream.source in POSES:
        identity = np.array([0.0, 0.0, 0.0, 1.0])
        position = rng.uniform(-_SPAN, _SPAN, 3)
        return encode(stream, PoseReading(position, identity, stream.frame or ""))
    return values.astype(np.float32)


def _report(
    path: Path, dumped: Dumped, found: Mapping[str, object], robot: Embodiment | None
) -> Report:
    """Return what was written; a problem if the answer is no chunk of the embodiment."""
    exchange, seen = dumped.exchange, dumped.observation
    assert exchange is not None  # every source has one
    problem = ""
    if robot is not None:
        try:
            action = {key: rows.astype(np.float32) for key, rows in exchange.action.items()}
            from_reply(robot, action, sequence=0, episode=0, stamp_ns=0)
        except ChunkError as error:
            problem = str(error)
    rows: dict[str, object] = {
        "file": str(path),
        "source": dumped.source,
        **({"address": exchange.server} | dict(found)),
        "key_style": exchange.key_style,
        "instruction": seen.instruction,
        "seed": seen.options.get(SEED, "none"),
        "request_bytes": len(exchange.request),
        "reply_bytes": len(exchange.reply),
        "inference_ms": milliseconds(exchange.inference_ns),
    }
    actions = {key: list(values.shape) for key, values in exchange.action.items()}
    shown = ", ".join(f"{key} {' x '.join(map(str, shape))}" for key, shape in actions.items())
    if exchange.token_removed:
        rows["api_token"] = "removed from the request in the file"
    text = facts(rows | {"actions": shown})
    figures = rows | {"actions": actions, "problem": problem}
    return Report(figures, f"{text}\n\n{problem}" if problem else text, PROBLEM if problem else OK)
