"""Checks a whole dataset: its metadata, its episodes in parallel, and then what they add up to."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.alignment import (
    Curve,
    RowLag,
    action_curve,
    judge_action,
    judge_pictures,
    picture_curve,
    states_of,
)
from gr00t_ros.dataset.checks.files import check_files
from gr00t_ros.dataset.checks.meta import MetaCheck, width_of
from gr00t_ros.dataset.checks.pictures import PictureCheck, check_roles, check_swapped
from gr00t_ros.dataset.checks.rows import RowCheck
from gr00t_ros.dataset.checks.statistics import (
    MAX_VALUES,
    Gathered,
    Moments,
    check_relative_stats,
    check_stats,
)
from gr00t_ros.dataset.checks.table import DatasetFinding, Findings
from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.dataset.parquet_file import Array
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment


@dataclass(slots=True)
class CheckedEpisode:
    """What is kept of an episode: small, whatever its pictures.

    moments, values: of each float column; values only where quantiles are wanted. action: the
    correlation of action and state, pictures: of each camera and the state. means: camera -> mean
    picture. wander: camera -> how much its picture as a whole changes (pictures.py).
    """

    index: int
    findings: list[DatasetFinding] = field(default_factory=list)
    rows: int = 0
    moments: dict[str, Moments] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    action: Curve | None = None
    pictures: dict[str, Curve] = field(default_factory=dict)
    means: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    wander: dict[str, float] = field(default_factory=dict)


def check_episode(
    dataset: LeRobotDataset,
    index: int,
    embodiment: Embodiment | None,
    tasks: Collection[int] | None,
    first_index: int | None,
    keeps_values: bool,
) -> CheckedEpisode:
    """Read an episode's rows and decode its pictures, each once, and check them."""
    row_check = RowCheck(dataset, index, embodiment)
    facts = CheckedEpisode(index, row_check.run(tasks, first_index))
    columns = row_check.columns
    facts.rows = max(map(len, columns.values()), default=0)
    floats = {name: rows for name, rows in columns.items() if rows.dtype.kind == "f"}
    facts.moments = {name: Moments.of(rows) for name, rows in floats.items()}
    facts.values = floats if keeps_values else {}
    deltas = {a.key for a in embodiment.action if a.representation == "delta"} if embodiment else ()
    facts.action = action_curve(dataset, columns, set(deltas))
    states = states_of(dataset, columns)
    for key in dataset.cameras:
        check = PictureCheck(dataset, index, key, embodiment)
        facts.findings += check.run(facts.rows or dataset.lengths[index])
        seen = check.facts
        if seen.mean is not None:
            facts.means[key] = seen.mean
            facts.wander[key] = seen.wander
        if states is not None and len(seen.energy) == len(states):
            facts.findings += check.frozen(states)
            found = picture_curve(seen.energy, states, dataset.fps)
            if found is not None:
                facts.pictures[key] = found
    return facts


_AHEAD: Final = 2  # episodes that wait for each worker: what is in memory stays small

Progress = Callable[[int, int], None]
EpisodeJob = tuple[int, int]
"""An episode, and the `index` of its first row."""


@dataclass(slots=True)
class Checked:
    """What was found in a dataset; `lags`: "state" or a camera -> how far it is behind, rows.

    dataset is None if its rows could not be looked for.
    """

    dataset: LeRobotDataset | None
    findings: Findings
    episodes: int = 0
    rows: int = 0
    lags: dict[str, RowLag] = field(default_factory=dict)


def check_dataset(
    path: Path, embodiment: Embodiment | None, workers: int, progress: Progress
) -> Checked:
    """Check the dataset in folder `path`; `progress` gets episodes done and of how many.

    Raises SettingsError if there is no dataset, or pyarrow or PyAV is not installed.
    """
    _need_libraries()
    meta = MetaCheck(path, embodiment)
    dataset = meta.run()
    findings = meta.findings
    if dataset is None:
        return Checked(None, findings)
    check_files(dataset, findings)
    whole = _Whole(dataset, findings)
    jobs = _jobs(dataset)
    setup = (path, embodiment, _keeps_values(dataset))
    for count, facts in enumerate(_checked(setup, jobs, workers), start=1):
        whole.add(facts)
        progress(count, len(jobs))
    whole.finish(embodiment)
    return Checked(dataset, findings, len(jobs), whole.rows, whole.lags)


def _need_libraries() -> None:
    try:
        import av  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"a dataset is checked with {error.name}, which is missing: pip install pyarrow av"
        ) from error


def _jobs(dataset: LeRobotDataset) -> list[EpisodeJob]:
    jobs, first = [], 0
    for index in sorted(dataset.lengths):
        jobs.append((index, first))
        first += dataset.lengths[index]
    return jobs


def _keeps_values(dataset: LeRobotDataset) -> bool:
    """Whether all values fit into memory, for quantiles; those of v3 are not compared."""
    features = dataset.features.values()
    width = sum(width_of(of) or 1 for of in features if "float" in str(of.get("dtype")))
    return not dataset.is_v3 and width * sum(dataset.lengths.values()) <= MAX_VALUES


class _Whole:
    """What the episodes add up to."""

    def __init__(self, dataset: LeRobotDataset, findings: Findings) -> None:
        self._dataset, self._findings = dataset, findings
        self._gathered = Gathered()
        self._actions: dict[int, Curve] = {}
        self._pictures: dict[str, dict[int, Curve]] = {key: {} for key in dataset.cameras}
        self._means: dict[int, dict[str, NDArray[np.float32]]] = {}
        self._wander: dict[str, list[float]] = {}
        self.rows = 0
        self.lags: dict[str, RowLag] = {}

    def add(self, facts: CheckedEpisode) -> None:
        """Add an episode."""
        self._findings.extend(facts.findings)
        self._gathered.add(facts.moments, facts.values)
        self.rows += facts.rows
        self._means[facts.index] = facts.means
        if facts.action is not None:
            self._actions[facts.index] = facts.action
        for key, found in facts.pictures.items():
            self._pictures[key][facts.index] = found
        for key, wander in facts.wander.items():
            self._wander.setdefault(key, []).append(wander)

    def finish(self, embodiment: Embodiment | None) -> None:
        """Make the checks that need all episodes."""
        dataset, findings = self._dataset, self._findings
        self._gathered.constants(dataset, embodiment, findings)
        check_stats(dataset, self._gathered, findings)
        check_relative_stats(dataset, embodiment, findings)
        self._lag("state", judge_action(self._actions, dataset, findings))
        for key, curves in self._pictures.items():
            self._lag(key, judge_pictures(key, curves, dataset, findings))
        check_swapped(self._means, dataset.cameras, findings)
        wander = {key: float(np.median(of)) for key, of in self._wander.items()}
        check_roles(wander, dataset.cameras, findings)

    def _lag(self, name: str, lag: RowLag | None) -> None:
        if lag is not None:
            self.lags[name] = lag


# --- workers ---------------------------------------------------------------------------------


class _Worker:
    """Checks episodes of one dataset; each process opens the dataset once."""

    def __init__(self, path: Path, embodiment: Embodiment | None, keeps_values: bool) -> None:
        self._dataset = LeRobotDataset(path)
        self._embodiment, self._keeps_values = embodiment, keeps_values
        try:
            self._tasks: set[int] | None = set(self._dataset.tasks())
        except SettingsError:
            self._tasks = None  # the check of meta/ reports it

    def check(self, job: EpisodeJob) -> CheckedEpisode:
        index, first = job
        return check_episode(
            self._dataset, index, self._embodiment, self._tasks, first, self._keeps_values
        )


_worker: _Worker | None = None


def _begin(*setup: Any) -> None:
    global _worker
    _worker = _Worker(*setup)


def _check(job: EpisodeJob) -> CheckedEpisode:
    assert _worker is not None
    return _worker.check(job)


def _checked(
    setup: tuple[Any, ...], jobs: list[EpisodeJob], workers: int
) -> Iterator[CheckedEpisode]:
    """Yield the episodes in order, checked by so many processes; by this one if by one."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        worker = _Worker(*setup)
        yield from map(worker.check, jobs)
        return
    try:
        yield from _spread(setup, jobs, workers)
    except BrokenProcessPool as error:
        raise SettingsError(
            f"a process that checked {setup[0]} ended: too little memory? Use --workers 1"
        ) from error


def _spread(
    setup: tuple[Any, ...], jobs: list[EpisodeJob], workers: int
) -> Iterator[CheckedEpisode]:
    context = multiprocessing.get_context("spawn")  # pyarrow's threads do not survive a fork
    with ProcessPoolExecutor(workers, context, _begin, setup) as pool:
        left, running, done = iter(jobs), set[Future[CheckedEpisode]](), dict[int, CheckedEpisode]()
        order = iter(jobs)
        awaited = next(order, None)
        while awaited is not None:
            # what is done and waits for an earlier episode counts, so that memory stays bounded
            while len(running) + len(done) < _AHEAD * workers and (job := next(left, None)):
                running.add(pool.submit(_check, job))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            done |= {facts.index: facts for facts in (future.result() for future in finished)}
            while awaited is not None and awaited[0] in done:
                yield done.pop(awaited[0])
                awaited = next(order, None)
