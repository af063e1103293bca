"""Open loop: the observations of one episode go to a policy, its action chunks come back.

A query is made every `every_rows` rows. Each observation has the history that the embodiment file
asks for, so the first query is at the first row that has it. Nothing that the policy answers
changes the next observation: all of them are the recorded ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.episode import HUMAN, POLICY, SOURCES, Episode, EpisodePictures
from gr00t_ros.errors import ChunkError, SettingsError
from gr00t_ros.evaluate.components import components
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.robot.embodiment import Embodiment, Stream
from gr00t_ros.session.schedule import SessionSettings

Action = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class OpenLoopSettings:
    """How episodes are evaluated.

    every_rows: rows between two queries, by default the node's execute_steps. latency_ns: from an
    observation to its chunk; steps that are due by then are dropped, as the node does. steps:
    rows of an episode that are used at most. keys: action keys that are compared, all if empty.
    sources: of the rows that count. swap: two cameras whose pictures are exchanged in a second
    pass. velocity_scale: of the offline plan.
    """

    every_rows: int = SessionSettings().execute_steps
    latency_ns: int = 0
    steps: int | None = None
    keys: tuple[str, ...] = ()
    sources: tuple[str, ...] = (POLICY, HUMAN)
    swap: tuple[str, str] | None = None
    velocity_scale: float = 0.5

    def check(self, embodiment: Embodiment) -> OpenLoopSettings:
        """Return itself. Raises SettingsError for what does not fit the embodiment."""
        horizon = embodiment.action_horizon
        if not 1 <= self.every_rows <= horizon:
            raise SettingsError(
                f"action horizon: got {self.every_rows} rows between two queries, expected 1 to "
                f"{horizon}, the length of a chunk of {embodiment.source}"
            )
        if not 0 <= self.late_rows(embodiment) < horizon:
            raise SettingsError(
                f"latency: got {self.latency_ns / 1e6:g} ms, expected 0 to less than a chunk, "
                f"{horizon * embodiment.step_ns / 1e6:g} ms"
            )
        cameras = [stream.key for stream in embodiment.video]
        for camera in self.swap or ():
            if camera not in cameras:
                raise SettingsError(
                    f"swap cameras: got {camera}, expected two of {', '.join(cameras)}"
                )
        components(embodiment, self.keys)
        return self

    def late_rows(self, embodiment: Embodiment) -> int:
        """Steps of a chunk that are due before it arrives: ceil(latency / step)."""
        return -(-self.latency_ns // embodiment.step_ns)


@dataclass(frozen=True, slots=True, eq=False)
class RowObservation:
    """The observation of one row: video key -> (T, H, W, 3), state key -> (T, D)."""

    row: int
    video: Mapping[str, NDArray[np.uint8]]
    state: Mapping[str, NDArray[np.float32]]
    instruction: str


class Predictor(Protocol):
    """A policy server, or a stand-in for it in tests."""

    def begin(self) -> None:
        """Begin a run of rows: the policy forgets what was before."""
        ...

    def predict(self, observation: RowObservation) -> tuple[Action, int]:
        """Key -> (H, D) float32, and the time of the inference, ns."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a policy answered in one episode.

    rows: (K,) int64, the row of each query. chunks: key -> (K, H, D) float32 as the server sent
    them. unfit: row of a query -> why the node would drop its chunk at once (not finite).
    skipped: rows without a query because their observation is not finite. inference_ns: (K,).
    """

    rows: NDArray[np.int64]
    chunks: Mapping[str, NDArray[np.float32]]
    unfit: Mapping[int, str]
    skipped: tuple[int, ...]
    inference_ns: NDArray[np.int64]


def counted_rows(episode: Episode, settings: OpenLoopSettings) -> NDArray[np.bool_]:
    """(N,) bool: the rows that count, by their source and `steps`."""
    wanted = [SOURCES.index(source) for source in settings.sources]
    counted = np.isin(episode.source, wanted)
    if settings.steps is not None:
        counted[settings.steps :] = False
    return counted


def query_rows(
    episode: Episode, embodiment: Embodiment, settings: OpenLoopSettings
) -> NDArray[np.int64]:
    """(K,) the rows of all queries: each run of rows that count begins anew with one."""
    streams: tuple[Stream, ...] = (*embodiment.video, *embodiment.state)
    deltas = [delta for stream in streams for delta in stream.delta_indices]
    counted = counted_rows(episode, settings)
    counted[: -min((0, *deltas))] = False
    found: list[int] = []
    for first, end in runs(counted):
        found += range(first, end, settings.every_rows)
    return np.array(found, np.int64)


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, end) of each run of True in `flags` (N,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def run_ends(rows: NDArray[np.int64], counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(K,) where the run of rows that count ends, for each of these rows, which count."""
    ends = np.array([end for _, end in runs(counted)], np.int64)
    return ends[np.searchsorted(ends, rows, side="right")]


def observations(
    episode: Episode, embodiment: Embodiment, rows: Sequence[int]
) -> Iterator[RowObservation]:
    """The observation of each of these ascending rows, with the history that streams ask for."""
    views = {
        stream.key: _Window(episode.video[stream.key], stream.delta_indices, rows)
        for stream in embodiment.video
    }
    for row in rows:
        state = {
            stream.key: np.stack([episode.state[stream.key][row + d] for d in stream.delta_indices])
            for stream in embodiment.state
        }
        video = {key: view.at(row) for key, view in views.items()}
        yield RowObservation(row, video, state, episode.instruction)


class _Window:
    """Pictures of one camera, each read once and in ascending order: readers seek slowly."""

    def __init__(
        self, pictures: EpisodePictures, deltas: Sequence[int], rows: Sequence[int]
    ) -> None:
        self._pictures, self._deltas = pictures, deltas
        self._to_read = iter(sorted({row + delta for row in rows for delta in deltas}))
        self._kept: dict[int, NDArray[np.uint8]] = {}

    def at(self, row: int) -> NDArray[np.uint8]:
        """(T, H, W, 3) the pictures of a row's history, oldest first."""
        wanted = [row + delta for delta in self._deltas]
        while wanted[-1] not in self._kept:
            number = next(self._to_read)
            self._kept[number] = self._pictures[number]
        for number in [one for one in self._kept if one < wanted[0]]:
            del self._kept[number]
        return np.stack([self._kept[number] for number in wanted])


def check_episode(episode: Episode, embodiment: Embodiment) -> None:
    """Raise SettingsError if the episode is not one of this embodiment, or has no rows.

    An action key that no output executes may be missing: nobody can say what was commanded.
    """
    where = f"episode {episode.name}"
    if abs(episode.rate_hz / embodiment.rate_hz - 1.0) > 1e-3:
        raise SettingsError(
            f"{where}: got {episode.rate_hz:g} rows a second, expected {embodiment.rate_hz:g} "
            f"({embodiment.source}): convert it at this rate"
        )
    needed = {
        "state": ({s.key: s.width for s in embodiment.state}, episode.state),
        "action": (
            {
                a.key: a.width
                for a in embodiment.action
                if a.output is not None or a.key in episode.action
            },
            episode.action,
        ),
    }
    for kind, (widths, arrays) in needed.items():
        for key, width in widths.items():
            got = arrays[key].shape if key in arrays else None
            if got != (len(episode), width):
                raise SettingsError(
                    f"{where}: {kind} {key}: got {'none' if got is None else got}, expected "
                    f"{(len(episode), width)} ({embodiment.source})"
                )
    for stream in embodiment.video:
        if stream.key not in episode.video:
            raise SettingsError(
                f"{where}: video {stream.key}: got none, expected one of {embodiment.source}"
            )


def predict_episode(
    episode: Episode, embodiment: Embodiment, settings: OpenLoopSettings, policy: Predictor
) -> Predictions:
    """Query the policy at every query row of the episode.

    The policy begins anew at each run of rows that count: a run ends where the node stopped or
    paused.

    Raises SettingsError for an episode of another robot, ChunkError for an answer of wrong keys,
    shape or type, and what the policy raises.
    """
    check_episode(episode, embodiment)
    answered, unfit, skipped, taken_ns = [], {}, [], []
    chunks: dict[str, list[NDArray[np.float32]]] = {a.key: [] for a in embodiment.action}
    rows = query_rows(episode, embodiment, settings)
    ends = run_ends(rows, counted_rows(episode, settings)).tolist()
    present = None
    for observation, end in zip(
        observations(episode, embodiment, rows.tolist()), ends, strict=True
    ):
        row = observation.row
        if end != present:
            policy.begin()
            present = end
        if not all(np.isfinite(values).all() for values in observation.state.values()):
            skipped.append(row)
            continue
        action, inference_ns = policy.predict(_swapped(observation, settings.swap))
        try:
            from_reply(embodiment, action, row, 0, 0)
        except ChunkError as error:
            if error.kind != "finite":
                raise
            unfit[row] = str(error)
        for key, values in chunks.items():
            values.append(np.array(action[key], np.float32))
        answered.append(row)
        taken_ns.append(inference_ns)
    horizon = embodiment.action_horizon
    stacked = {
        a.key: np.stack(chunks[a.key]) if answered else np.zeros((0, horizon, a.width), np.float32)
        for a in embodiment.action
    }
    return Predictions(
        np.array(answered, np.int64), stacked, unfit, tuple(skipped), np.array(taken_ns, np.int64)
    )


def _swapped(observation: RowObservation, swap: tuple[str, str] | None) -> RowObservation:
    if swap is None:
        return observation
    first, second = swap
    video = dict(observation.video)
    video[first], video[second] = video[second], video[first]
    return RowObservation(observation.row, video, observation.state, observation.instruction)
