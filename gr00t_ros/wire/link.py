"""The node's connection to its policy server, and the thread that asks it.

PolicyLink checks the server once, queries it often, and checks again after a loss; it owns the
client and the request buffers of one embodiment, and its owner thread is the worker's. Worker runs
one job at a time, and the newest job wins. `submit`, `withdraw`, `idle` and `stop` may be called
from any thread; jobs and `deliver` run on the worker's thread. Times are `time.monotonic_ns`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import Gr00tError, RefusedError, RemoteError, UnreachableError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.observe.modality import Difference, ModalityRow, compare, fit, wrong_rows
from gr00t_ros.observe.readings import PoseReading, encode
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import POSES
from gr00t_ros.watch.server import OTHER, Outlook, kind_of, suspects
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyClient
from gr00t_ros.wire.handshake import Server
from gr00t_ros.wire.template import RequestBuffers, RequestTemplate

Filled = TypeVar("Filled")
Action = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Check:
    """What the check found, with zero observations.

    warmup_ns: the server's first inference for us. inference_ns: the second, which is warm.
    shapes: (H, D) of each action key.
    """

    server: Server
    differences: tuple[Difference, ...]
    warmup_ns: int
    inference_ns: int
    shapes: Mapping[str, tuple[int, ...]]


class PolicyLink:
    """Connects, compares modalities, infers once without motion, then answers queries."""

    def __init__(
        self,
        client: PolicyClient,
        embodiment: Embodiment,
        token: Token | None,
        strict: bool = False,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take over `client`; nothing is sent before `check` or `query`.

        now_ns: the clock that inferences are timed by. Plans run on it, so that a simulation at
        half speed counts half of what a person waits.

        strict: refuse a server for every difference, also for those that it tolerates.
        """
        self._client, self._embodiment, self._token = client, embodiment, token
        self._strict, self._now_ns = strict, now_ns
        self._buffers: RequestBuffers | None = None
        self._episode: int | None = None
        self._connection = 0
        self._probed_ns: int | None = None
        self.checked: Check | None = None
        self.rows: tuple[ModalityRow, ...] = ()
        """The last comparison with a server's modality config, whether it fitted or not."""

    def check(self) -> Check:
        """Connect and prove that this server can serve this embodiment.

        Raises RefusedError that names every fatal difference, ChunkError when the answer to a
        zero observation is no chunk of the embodiment, and what the client raises; a RemoteError
        about a width names the state keys that it may mean.
        """
        try:
            return self._check()
        except RemoteError as error:
            keys = suspects(error.said, {s.key: s.width for s in self._embodiment.state})
            if not keys:
                raise
            sent = ", ".join(f"{s.key} {s.width}" for s in self._embodiment.state if s.key in keys)
            raise RemoteError(f"{error} (state as it was sent: {sent})", error.said) from None

    def _check(self) -> Check:
        self.checked = self._probed_ns = None
        server = self._client.connect(self._probe)
        found_ns = self._now_ns()
        self._connection = self._client.counts.connections
        differences = self._compare(server)
        buffers = RequestBuffers(lambda: self._template(server))
        template = self._template(server)
        warmup_ns = 0 if self._probed_ns is None else found_ns - self._probed_ns
        if self._probed_ns is None:  # else the search for the key style has inferred already
            _, warmup_ns = self._infer(template)
        action, inference_ns = self._infer(template)
        shapes = {key: values.shape for key, values in action.items()}
        self._buffers, self._episode = buffers, None
        self.checked = Check(server, differences, warmup_ns, inference_ns, shapes)
        return self.checked

    def query(
        self, fill: Callable[[RequestTemplate], Filled], episode: int
    ) -> tuple[Filled, Action, int]:
        """Fill a template, send it, return what `fill` returned, the action, and the inference ns.

        The server is reset at the first query of an episode. After a failed exchange the next
        query checks again, since another server may have taken the place of the lost one; so
        does this one where the client had to connect anew, and drops the answer (UnreachableError).
        """
        if self.checked is None or self._buffers is None:
            self.check()
        assert self._buffers is not None  # check() made them or raised
        self._reset(episode)
        template = self._buffers.take()
        if template is None:
            raise RefusedError("no request buffer is free: a query is still in flight")
        return self._send(self._buffers, template, fill)

    def warm(self) -> None:
        """Infer a zero observation and forget it, so that the server stays ready to answer fast.

        The server is reset before the next query: a policy with a memory must not keep this one.
        Raises as `check` does; but for the server's own error text the next query or check then
        checks again.
        """
        checked, self._episode = self.checked, None
        if checked is None:
            self.check()
            return
        try:
            self._client.get_action(self._template(checked.server))
        except RemoteError:
            self._refuse_unchecked()
            raise
        except Gr00tError:
            self.checked = None
            raise
        self._refuse_unchecked()

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _infer(self, template: RequestTemplate) -> tuple[Action, int]:
        """Return the answer to a zero observation, and how long it took in ns."""
        started_ns = self._now_ns()
        action = self._client.get_action(template)
        took_ns = self._now_ns() - started_ns
        from_reply(self._embodiment, action, sequence=0, episode=0, stamp_ns=0)
        return action, took_ns

    def _send(
        self,
        buffers: RequestBuffers,
        template: RequestTemplate,
        fill: Callable[[RequestTemplate], Filled],
    ) -> tuple[Filled, Action, int]:
        try:
            filled = fill(template)
        except BaseException:
            buffers.give_back(template)
            raise
        started_ns = self._now_ns()
        try:
            action = self._client.get_action(template)
        except RemoteError:
            buffers.give_back(template)
            self._refuse_unchecked()
            raise
        except BaseException:
            buffers.drop(template)
            self.checked = None
            raise
        took_ns = self._now_ns() - started_ns
        buffers.give_back(template)
        self._refuse_unchecked()
        return filled, action, took_ns

    def _refuse_unchecked(self) -> None:
        """Check what is behind a connection made since the check, and never use its answer."""
        if self._client.counts.connections == self._connection:
            return
        self.check()
        raise UnreachableError(
            f"{self._client.address}: the connection was lost; the server that is there now fits, "
            "its first answer is dropped"
        )

    def _reset(self, episode: int) -> None:
        if episode == self._episode:
            return
        try:
            self._client.reset()
        except RemoteError as error:
            kind = kind_of(error.said)
            if kind.outlook is Outlook.PASSES and kind is not OTHER:
                raise  # busy: it was not reset, and is before anything is asked
            # else a server without episodes, which has nothing to forget
        except Gr00tError:
            self.checked = None
            raise
        self._episode = episode

    def _probe(self, server: Server) -> RequestTemplate:
        self._compare(server)
        template = self._template(server)
        self._probed_ns = self._now_ns()
        return template

    def _compare(self, server: Server) -> tuple[Difference, ...]:
        differences = compare(self._embodiment, server.modality)
        self.rows = fit(self._embodiment, server.modality)
        wrong = wrong_rows(self.rows, self._strict)
        if wrong:
            listed = "\n".join(f"  - {row.text}" for row in wrong)
            raise RefusedError(
                f"{self._client.address} does not fit embodiment {self._embodiment.robot} "
                f"({self._embodiment.source}):\n{listed}"
            )
        return differences

    def _template(self, server: Server) -> RequestTemplate:
        robot = self._embodiment
        template = RequestTemplate(
            {v.key: (len(v.delta_indices), v.height_px, v.width_px) for v in robot.video},
            {s.key: (len(s.delta_indices), s.width) for s in robot.state},
            robot.language_keys,
            generation=server.generation,
            key_style=server.key_style,
            array_codec=server.array_codec,
            token=self._token,
        )
        for stream in robot.state:
            if stream.source in POSES:  # zeros say no rotation, and a server undoes actions by it
                unturned = np.array([0.0, 0.0, 0.0, 1.0])
                origin = PoseReading(np.zeros(3), unturned, stream.frame or "")
                template.state[stream.key][:] = encode(stream, origin)
        return template


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
