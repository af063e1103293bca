"""One thread that asks the policy server, one request at a time; the newest job wins.

It refuses to know what a job does: a job is a callable, usually ``client.get_action`` bound to
a template. Times are `time.monotonic_ns`. `submit`, `withdraw`, `idle` and `stop` may be called
from any thread; jobs and `deliver` run on the worker's own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One exchange: `run` is called on the worker thread, `tag` is the caller's own."""

    run: Callable[[], object]
    tag: object = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: `reply`, or `error` where it raised; times in monotonic ns."""

    job: Job
    reply: object
    error: Exception | None
    queued_ns: int
    sent_ns: int
    received_ns: int


class Worker:
    """The worker thread; `deliver(outcome)` is called on it after each job that ran.

    `finish` runs on the thread after the last job, e.g. ``client.close``. An exception in a
    job becomes its outcome's error; one in `deliver` is logged; neither ends the thread.
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
        self._pending: tuple[Job, int] | None = None
        self._running = False
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether no job runs or waits."""
        with self._changed:
            return self._pending is None and not self._running

    def submit(self, job: Job) -> Job | None:
        """Queue `job`; return the job that it replaces, or `job` itself once stopping."""
        with self._changed:
            if self._stopping:
                return job
            replaced = self._pending
            self._pending = (job, time.monotonic_ns())
            self._changed.notify()
        return replaced[0] if replaced else None

    def withdraw(self) -> Job | None:
        """Take back the waiting job, if there is one; it will not run."""
        with self._changed:
            waiting, self._pending = self._pending, None
        return waiting[0] if waiting else None

    def stop(self, timeout_s: float) -> bool:
        """Let the running job end and no other start; return whether the thread has ended.

        The running job is not cut: give its own deadline, or 0 not to wait for it.
        """
        with self._changed:
            self._stopping = True
            self._pending = None
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (taken := self._next()) is not None:
            self._report(self._run(*taken))
            with self._changed:
                self._running = False
        if self._finish is not None:
            self._finish()

    def _next(self) -> tuple[Job, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._pending is not None)
            taken, self._pending = self._pending, None
            self._running = taken is not None
            return taken

    def _run(self, job: Job, queued_ns: int) -> Outcome:
        sent_ns = time.monotonic_ns()
        reply: object = None
        failure: Exception | None = None
        try:
            reply = job.run()
        except Exception as error:  # whatever a job raises is its caller's to judge
            failure = error
        return Outcome(job, reply, failure, queued_ns, sent_ns, time.monotonic_ns())

    def _report(self, outcome: Outcome) -> None:
        try:
            self._deliver(outcome)
        except Exception:  # the thread must live on for the next observation
            _LOG.exception("the sidecar worker could not deliver an outcome")
