"""Plays trials in this process: its stack of processes is kept as long as all of them are well."""

from __future__ import annotations

import atexit
import time
from pathlib import Path
from typing import Final

from gr00t_ros.errors import Gr00tError
from gr00t_ros.rollout.episode import TrialRun, blank
from gr00t_ros.rollout.observer import Observer
from gr00t_ros.rollout.shared_server import new_id
from gr00t_ros.rollout.stack import Stack
from gr00t_ros.rollout.trial import Evaluation, Plain, Trial

LOGS: Final = "logs"
PICTURES: Final = "pictures"


class Worker:
    """One stack of processes, made anew after each episode that left it in doubt."""

    def __init__(self, evaluation: Evaluation, folder: Path) -> None:
        """folder: of the evaluation; logs and pictures go there."""
        self.evaluation = evaluation
        self._folder = folder
        self._robot_id = new_id()
        self._stack: Stack | None = None
        self._observer: Observer | None = None

    def play(self, trial: Trial) -> Plain:
        """The line of one episode; never raises for what goes wrong in it."""
        try:
            stack, observer = self._running()
        except Gr00tError as error:
            self.close()
            return {**blank(trial), "cause": str(error)}
        episode = TrialRun(stack, observer, trial, self._folder / PICTURES)
        line = episode.run()
        if not episode.clean:
            self.close()
        return line

    def close(self) -> None:
        """End the processes."""
        observer, self._observer = self._observer, None
        stack, self._stack = self._stack, None
        try:
            if observer is not None:
                observer.close()
        finally:
            if stack is not None:
                stack.close()

    @property
    def stack(self) -> Stack | None:
        """The processes that run now."""
        return self._stack

    def _running(self) -> tuple[Stack, Observer]:
        if self._stack is None or self._observer is None:
            logs = self._folder / LOGS / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns()}"
            self._stack = Stack(self.evaluation, logs, self._robot_id)
            self._observer = Observer(
                self.evaluation.benchmark, self._stack.robot, self._stack.check
            )
        return self._stack, self._observer


_kept: Worker | None = None


def play(evaluation: Evaluation, trial: Trial, folder: Path) -> Plain:
    """Play one trial with the worker of this process; runs on a worker of evaluate.workers."""
    global _kept
    if _kept is None or _kept.evaluation != evaluation:
        end()
        _kept = Worker(evaluation, folder)
        atexit.register(end)
    return _kept.play(trial)


def end() -> None:
    """End the worker of this process."""
    global _kept
    worker, _kept = _kept, None
    atexit.unregister(end)
    if worker is not None:
        worker.close()
