"""The worker thread of the link: runs one exchange at a time and takes no other meanwhile.

`submit_if_idle`, `release` and `stop` may be called from any thread; jobs and `deliver` run on the
worker's thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeJob:
    """One exchange: `run` is called on the worker thread; `tag` is for the caller's use."""

    run: Callable[[], object]
    tag: object = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job: `reply`, or `error` if it raised."""

    job: ExchangeJob
    reply: object
    error: Exception | None


class LinkWorker:
    """The worker thread; `deliver(outcome)` is called on it after each job that ran.

    `finish` runs on the thread after the last job, e.g. ``client.close``. An exception in a job
    becomes the error of its outcome; an exception in `deliver` is logged. Neither ends the thread.
    """

    def __init__(
        self,
        deliver: Callable[[Outcome], None],
        finish: Callable[[], None] | None = None,
        name: str = "gr00t-sidecar",
    ) -> None:
        self._deliver = deliver
        self._finish = finish
        self._changed = threading.Condition()
        self._pending: ExchangeJob | None = None
        self._running: ExchangeJob | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def release(self, job: ExchangeJob) -> None:
        """Do not count `job` as running while the rest of its outcome is delivered.

        The next job then starts as soon as `deliver` returns, never before.
        """
        with self._changed:
            if self._running is job:
                self._running = None

    def submit_if_idle(self, job: ExchangeJob) -> bool:
        """Queue `job` if none runs or waits; False if one does, and after `stop`.

        One that was released does not run. Of two threads that submit at once one is refused: no
        job is dropped without an outcome.
        """
        with self._changed:
            if self._stopping or self._pending is not None or self._running is not None:
                return False
            self._pending = job
            self._changed.notify()
        return True

    def stop(self, timeout_s: float) -> bool:
        """Let the running job end and start no other; return whether the thread has ended.

        The running job is not interrupted: pass its own deadline, or 0 to return at once.
        """
        with self._changed:
            self._stopping = True
            self._pending = None
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (taken := self._next()) is not None:
            self._report(self._run(taken))
            self.release(taken)
        if self._finish is not None:
            self._finish()

    def _next(self) -> ExchangeJob | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._pending is not None)
            taken, self._pending = self._pending, None
            self._running = taken
            return taken

    def _run(self, job: ExchangeJob) -> Outcome:
        reply: object = None
        failure: Exception | None = None
        try:
            reply = job.run()
        except Exception as error:  # the caller decides what the error means
            failure = error
        return Outcome(job, reply, failure)

    def _report(self, outcome: Outcome) -> None:
        try:
            self._deliver(outcome)
        except Exception:  # the thread must keep running for the next observation
            _LOG.exception("the sidecar worker could not deliver an outcome")
