"""Many episodes on many workers and servers, with the same result as one after the other.

An episode is first queried, on one server, then measured. A server gets at most `in_flight`
episodes at once; more than one suits only policies without a memory. An episode whose server fails
is tried on each other server, and then listed as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gr00t_ros.errors import ChunkError, Gr00tError, SidecarError, WireError
from gr00t_ros.evaluate.diagnosis import diagnose
from gr00t_ros.evaluate.measures import Measures, measure
from gr00t_ros.evaluate.open_loop import OpenLoopSettings, Predictions, predict_episode
from gr00t_ros.evaluate.results import Failed, Plain, episode_arrays, episode_figures
from gr00t_ros.evaluate.servers import Address, ServerAccess, connected
from gr00t_ros.evaluate.sources import UnreadEpisode
from gr00t_ros.robot.embodiment import Embodiment


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What every worker needs to know."""

    embodiment: Embodiment
    settings: OpenLoopSettings
    access: ServerAccess


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step of an episode gave nothing; of_server: another server may do it."""

    text: str
    of_server: bool


@dataclass(frozen=True, slots=True, eq=False)
class EpisodePredictions:
    """The predictions of one episode, and those with two cameras exchanged."""

    predictions: Predictions
    swapped: Predictions | None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One episode's entry of results.json, its raw arrays, and the measures for its plots."""

    figures: Plain
    arrays: dict[str, Any]
    measures: Measures


def query(task: WorkerTask, reference: Any, address: Address) -> EpisodePredictions | Failure:
    """Let one server answer one episode; runs on a worker."""
    try:
        episode = reference.load(task.embodiment)
    except Gr00tError as error:
        return Failure(str(error), of_server=False)
    straight = _without_swap(task.settings)
    try:
        with connected(address, task.access, task.embodiment) as policy:
            answers = predict_episode(episode, task.embodiment, straight, policy)
            swapped = None
            if task.settings.swap is not None:
                swapped = predict_episode(episode, task.embodiment, task.settings, policy)
    except (SidecarError, WireError, ChunkError) as error:
        return Failure(f"{address}: {error}", of_server=True)
    except Gr00tError as error:
        return Failure(str(error), of_server=False)
    return EpisodePredictions(answers, swapped)


def _without_swap(settings: OpenLoopSettings) -> OpenLoopSettings:
    from dataclasses import replace

    return replace(settings, swap=None)


def evaluate(
    task: WorkerTask, reference: Any, number: int, answered: EpisodePredictions
) -> Measured | Failure:
    """Measure one episode; runs on a worker."""
    try:
        episode = reference.load(task.embodiment)
        found = measure(
            episode, task.embodiment, task.settings, answered.predictions, answered.swapped
        )
    except Gr00tError as error:
        return Failure(str(error), of_server=False)
    figures = episode_figures(number, found, diagnose(found))
    return Measured(figures, episode_arrays(found), found)


class Workers(Protocol):
    """Where steps run: in this process, in a pool of processes, or on Ray."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Begin `function`; return a handle for `wait`."""
        ...

    def wait(self, handles: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Handles that have ended, at least one, each with its value or the worker's exception."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


@dataclass(slots=True)
class _Job:
    """One episode on its way."""

    number: int
    reference: UnreadEpisode
    tried: list[Address] = field(default_factory=list)
    crashes: int = 0
    answered: EpisodePredictions | None = None
    errors: list[str] = field(default_factory=list)


class EvaluationRun:
    """All episodes of one evaluation; `run` returns when each has a result or has failed."""

    def __init__(
        self,
        task: WorkerTask,
        references: Sequence[Any],
        servers: Sequence[Address],
        workers: Workers,
        in_flight: int = 1,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._task, self._servers, self._workers = task, list(servers), workers
        self._jobs = [_Job(number, ref) for number, ref in enumerate(references)]
        self._free = {server: in_flight for server in self._servers}
        self._progress = progress
        self._running: dict[Any, tuple[_Job, Address | None]] = {}
        self._measured: dict[int, Measured] = {}
        self._answered: dict[int, EpisodePredictions] = {}
        self._failed: dict[int, Failed] = {}
        self.interrupted = False
        """Whether Ctrl-C ended the run: the episodes that were not done are listed as failed."""

    def run(self) -> tuple[list[Measured], list[Failed], dict[int, EpisodePredictions]]:
        """Results and failures in the order of the episodes, and the answers by number."""
        try:
            self._run()
        except KeyboardInterrupt:
            self.interrupted = True
            for job in self._jobs:
                if job.number not in self._measured and job.number not in self._failed:
                    failed = Failed(
                        job.number, job.reference.name, "interrupted before its end", ()
                    )
                    self._failed[job.number] = failed
        order = range(len(self._jobs))
        measured = [self._measured[n] for n in order if n in self._measured]
        return measured, [self._failed[n] for n in order if n in self._failed], self._answered

    def _run(self) -> None:
        waiting = list(self._jobs)
        while waiting or self._running:
            waiting = [job for job in waiting if not self._begin(job)]
            for handle, value in self._workers.wait(list(self._running)):
                job, server = self._running.pop(handle)
                if server is not None:
                    self._free[server] += 1
                if self._ended(job, server, value):
                    waiting.append(job)

    def _begin(self, job: _Job) -> bool:
        """Begin the job's next step; False while no server is free for it."""
        if job.answered is not None:
            handle = self._workers.submit(
                evaluate, self._task, job.reference, job.number, job.answered
            )
            self._running[handle] = (job, None)
            return True
        for server in self._servers:
            if server not in job.tried and self._free[server] > 0:
                self._free[server] -= 1
                job.tried.append(server)
                handle = self._workers.submit(query, self._task, job.reference, server)
                self._running[handle] = (job, server)
                return True
        return False

    def _ended(self, job: _Job, server: Address | None, value: Any) -> bool:
        """Handle the end of a step; True if the job goes on."""
        if isinstance(value, EpisodePredictions):
            job.answered = self._answered[job.number] = value
            return True
        if isinstance(value, Measured):
            self._measured[job.number] = value
            self._tell(job, value.figures["name"])
            return False
        if isinstance(value, Failure):
            job.errors.append(value.text)
            again = value.of_server and len(job.tried) < len(self._servers)
        else:
            job.errors.append(f"the worker ended: {type(value).__name__}: {value}")
            job.crashes += 1
            again = job.crashes == 1
            if again and server is not None:
                job.tried.remove(server)
        if not again:
            tried = tuple(map(str, job.tried))
            self._failed[job.number] = Failed(
                job.number, job.reference.name, "; then ".join(job.errors), tried
            )
            self._tell(job, f"{job.reference.name} FAILED: {job.errors[-1]}")
        return again

    def _tell(self, job: _Job, text: str) -> None:
        done = len(self._measured) + len(self._failed)
        self._progress(f"{done} of {len(self._jobs)}: {text}")
