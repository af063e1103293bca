"""Queries on the worker thread: newest observation in, action chunk out, to the replay thread.

Owns the worker and the link. Any exception of a query becomes an event for the session; it cannot
stop the replay thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import Gr00tError, RemoteError
from gr00t_ros.inputs.images import decode_video
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.inputs.rolling import Rolling
from gr00t_ros.motion.chunk import ActionChunk, from_reply
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.node.tracing.flows import Flows, cameras_of
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.observe.observation import Observation, refuse
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.session.overlap import Followed, Overlap, overlap_with
from gr00t_ros.trace.flow import Marks
from gr00t_ros.watch.server import advised
from gr00t_ros.wire.link import CheckResult, Exchanged, PolicyLink
from gr00t_ros.wire.template import RequestTemplate
from gr00t_ros.wire.worker import ExchangeJob, LinkWorker, Outcome


@dataclass(frozen=True, slots=True)
class QueryReply:
    """A chunk, the ROS stamp of its observation, and the time between request and reply."""

    chunk: ActionChunk
    stamp_ros_ns: int
    inference_ns: int
    marks: Marks | None = None
    """When what was done for it."""


class Stamps(NamedTuple):
    """When the observation of a request was made, ns of ROS time and of plan time."""

    ros_ns: int
    plan_ns: int


class Queries:
    """Checks the server and queries it, with one request in flight.

    The worker thread calls `on_check(check, error)` and `on_reply(reply, error)` with one argument
    None, and `on_assembled(error)` with None if an observation could be assembled. After `on_reply`
    it calls `on_exchange(exchanged)` with what went over the wire, if the server answered; the next
    query waits until it returns. It can be asked for before, once `taken` was called.
    """

    def __init__(
        self,
        link: PolicyLink,
        inputs: Inputs,
        embodiment: Embodiment,
        clock: PlanClock,
        on_check: Callable[[CheckResult | None, Exception | None], None],
        on_reply: Callable[[QueryReply | None, Exception | None], None],
        on_assembled: Callable[[Exception | None], None],
        on_exchange: Callable[[Exchanged], None],
        flows: Flows,
        on_pictures: Callable[[Observation, Mapping[str, NDArray[np.uint8]]], None] | None = None,
        rolling: Rolling | None = None,
    ) -> None:
        """Start the worker; from now on only the worker uses `link` and its client.

        `on_pictures(observation, video)`: the pictures of a request, key -> (1, T, H, W, 3), which
        are valid only until it returns; it must not raise, because the query would fail.
        `rolling`: rolls the state forward before it is sent.
        """
        self._link, self._inputs, self._embodiment = link, inputs, embodiment
        self._clock, self._on_check, self._on_reply = clock, on_check, on_reply
        self._on_assembled, self._on_exchange, self._flows = on_assembled, on_exchange, flows
        self._on_pictures, self._rolling = on_pictures, rolling
        self._worker = LinkWorker(self._deliver, finish=link.close)
        self._delivered: ExchangeJob | None = None  # the query whose result `on_reply` got last
        self.instruction = ""
        self.sent = 0
        self._asked_s = time.monotonic()
        self.latencies = Latencies()

    def check(self) -> bool:
        """Let the worker check the server; False if it is busy."""
        return self._submit(ExchangeJob(self._link.check, "check"))

    def keep_warm(self, idle_s: float) -> bool:
        """Let the worker infer a zero observation if the last request is `idle_s` old.

        Returns whether it does; never before a check has passed. If the server is gone or has
        changed, `on_check` is called.
        """
        is_due = time.monotonic() - self._asked_s >= idle_s
        if not is_due or self._link.checked is None:
            return False
        return self._submit(ExchangeJob(self._link.warm, "warm"))

    def ask(self, episode: int, times: QueryTimes | None, followed: Followed | None) -> bool:
        """Let the worker query for `episode`; False if it is busy.

        The worker waits within `times` (steady time) for the picture with which the query leaves,
        and assembles the newest observation then. None: at once. followed: the chunk that the
        answer continues, if the server answered it last and has RTC.
        """
        asked_ns = time.monotonic_ns()
        return self._submit(
            ExchangeJob(lambda: self._query(episode, asked_ns, times, followed), "query")
        )

    @property
    def reset_ns(self) -> int:
        """When the last reset before a query was answered, steady time; from any thread."""
        return self._link.reset_ns

    def taken(self) -> None:
        """The result that `on_reply` got is known to whoever decides when the next query is due.

        From now on `ask` does not wait for `on_exchange`, which may take longer than a tick.
        """
        if self._delivered is not None:
            self._worker.release(self._delivered)

    def try_assembly(self) -> bool:
        """Let the worker assemble an observation without sending it; False if it is busy."""
        return self._worker.submit_if_idle(ExchangeJob(self._observed, "assembly"))

    def stop(self, timeout_s: float) -> bool:
        """End the worker after its current call, whose timeout limits the wait."""
        return self._worker.stop(timeout_s)

    def _submit(self, job: ExchangeJob) -> bool:
        submitted = self._worker.submit_if_idle(job)
        if submitted:
            self._asked_s = time.monotonic()
        return submitted

    def _query(
        self, episode: int, asked_ns: int, times: QueryTimes | None, followed: Followed | None
    ) -> QueryReply:
        if times is not None:
            self._inputs.wait(times)
        marks = self._flows.begin(episode, asked_ns)
        try:
            reply = self._answer(episode, marks, followed)
        except Exception as error:
            self._mark_exchange(marks)
            self._flows.fail(marks, error_text(error))
            raise
        self._mark_exchange(marks)
        marks.parsed_ns = time.monotonic_ns()
        return reply

    def _mark_exchange(self, marks: Marks) -> None:
        """Note when the request was sent and answered, if it was one of this observation."""
        sent_ns, received_ns = self._link.times_ns
        if marks.encoded_ns and sent_ns >= marks.encoded_ns:
            marks.sent_ns, marks.received_ns = sent_ns, received_ns

    def _answer(self, episode: int, marks: Marks, followed: Followed | None) -> QueryReply:
        started_ns = self._clock.now_ns()
        fill = partial(self._fill, marks, followed)
        stamps, action, inference_ns = self._link.query(fill, episode)
        self.sent += 1
        chunk = from_reply(self._embodiment, action, self.sent, episode, stamps.plan_ns)
        rolled_ns = 0 if self._rolling is None else self._rolling.by_ns
        chunk = replace(chunk, rolled_ns=rolled_ns, asked_ns=started_ns)
        now_ns = self._clock.now_ns()
        self.latencies.add("query", now_ns - started_ns)
        self.latencies.add("inference", inference_ns)
        self.latencies.add("end_to_end", max(0, now_ns - chunk.observed_ns))
        marks.sequence = chunk.sequence
        return QueryReply(chunk, stamps.ros_ns, inference_ns, marks)

    def _fill(self, marks: Marks, followed: Followed | None, template: RequestTemplate) -> Stamps:
        """Write the newest observation into `template`; returns its stamps.

        Plan time by the offset of now: if ROS time is stepped while the server infers, the offset
        at the reply is another clock's.
        """
        started_ns = self._clock.now_ns()
        # The server may have been checked or reset since the query began.
        marks.started_ns = time.monotonic_ns()
        template.set_instruction(self.instruction)
        observation = self._observed(marks)
        offset_ns = self._clock.offset_ns()
        decode_video(self._embodiment, observation, template.video)
        marks.decoded_ns = time.monotonic_ns()
        if self._on_pictures is not None:
            self._on_pictures(observation, template.video)
        if self._rolling is not None:
            observation = self._rolling(observation, self.latencies)
        for key, rows in observation.state.items():
            template.state[key][0] = rows
        stamp_ns = observation.stamp_ns - offset_ns
        template.set_overlap(self._overlap(followed, stamp_ns))
        self.latencies.add("assemble", self._clock.now_ns() - started_ns)
        marks.encoded_ns = time.monotonic_ns()
        return Stamps(observation.stamp_ns, stamp_ns)

    def _overlap(self, followed: Followed | None, stamp_ns: int) -> Overlap | None:
        """What the answer continues: the server's last answer, if that is what is followed.

        A chunk that was refused, or came too late, is not followed; the server does not know it.
        """
        if followed is None or followed.chunk.sequence != self.sent or not self._link.can_continue:
            return None
        return overlap_with(followed, stamp_ns)

    def _observed(self, marks: Marks | None = None) -> Observation:
        marks = marks or Marks(0, 0)  # of an assembly that nobody measures
        self._inputs.pull_streams()
        marks.pulled_ns = time.monotonic_ns()
        observation = self._inputs.assembled()
        marks.assembled_ns = time.monotonic_ns()
        if isinstance(observation, tuple):
            refuse(observation)
        marks.stamp_ros_ns = observation.stamp_ns
        marks.ros_offset_ns = self._clock.ros_minus_steady_ns()
        marks.cameras = cameras_of(observation, marks.ros_offset_ns)
        return observation

    def _deliver(self, outcome: Outcome) -> None:
        """Hand on what a job returned: of a check a CheckResult, of a query a QueryReply."""
        if outcome.job.tag == "check":
            self._on_check(outcome.reply, outcome.error)  # type: ignore[arg-type]
        elif outcome.job.tag == "warm":
            if outcome.error is not None and not isinstance(outcome.error, RemoteError):
                self._on_check(None, outcome.error)
        elif outcome.job.tag == "assembly":
            self._on_assembled(outcome.error)
        else:
            self._delivered = outcome.job
            self._on_reply(outcome.reply, outcome.error)  # type: ignore[arg-type]
            if self._link.exchanged is not None:
                self._on_exchange(self._link.exchanged)


def error_text(error: Exception) -> str:
    """The text for a failed query: our own errors as they are, others with their type."""
    return advised(error) if isinstance(error, Gr00tError) else f"{type(error).__name__}: {error}"
