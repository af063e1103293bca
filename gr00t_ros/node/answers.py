"""Handles the outcome of a query: merge a chunk, count a failure, or fault; its messages.

Runs on the replay thread; the worker posts each outcome to it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from gr00t_ros.motion.guard import Verdict, refused
from gr00t_ros.msg import ActionChunk, ActionGroup, Exchange
from gr00t_ros.node.queries import QueryReply, Stamps, error_text
from gr00t_ros.node.watches import RunningWatches
from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.policy_node import DROPPED
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.session import Session
from gr00t_ros.session.start import HELD_UNKNOWN
from gr00t_ros.watch.finding import Finding, Reaction
from gr00t_ros.watch.server import Outlook, outlook_of
from gr00t_ros.wire.envelope import read_envelope
from gr00t_ros.wire.link import Exchanged


class ReplyHandler:
    """Passes each outcome to the watches, then to the session."""

    def __init__(
        self,
        watches: RunningWatches,
        publish: Callable[[QueryReply, Verdict], None],
        unfit: Callable[[str], None],
    ) -> None:
        """Set the callbacks `publish` and `unfit`.

        `publish` gets every chunk that was received and the verdict. `unfit` gets the reason when
        the server's answers can never be used, or failed too often in a row: it may be another
        server now, so it is checked before motion continues.
        """
        self._watches, self._publish, self._unfit = watches, publish, unfit

    def apply(
        self, session: Session, now_ns: int, reply: QueryReply | None, error: Exception | None
    ) -> None:
        """Handle one outcome; either `reply` or `error` is None."""
        present = reply is not None and reply.chunk.episode == session.episode
        finding = self._watches.policy.received(present, error)
        if finding is not None:
            _refuse(session, now_ns, finding)
            if reply is not None:
                self._publish(reply, refused("watch", finding.reason))
        elif reply is not None:
            self._publish(reply, self._merge(session, now_ns, reply))
        else:
            assert error is not None  # the worker passes one of both
            self._fail(session, now_ns, error)

    def _fail(self, session: Session, now_ns: int, error: Exception) -> None:
        """Fault if only a person can help, else count the failure so that the query is repeated."""
        outlook, text = outlook_of(error), error_text(error)
        if session.active and outlook is Outlook.PERSON:
            if session.mode is not Mode.FAULT:  # keep the reason of an earlier fault
                session.fault(now_ns, text)
            self._unfit(text)
            return
        counted, passing = outlook is Outlook.COUNTED, outlook is Outlook.PASSES
        if session.query_failed(text, now_ns, counted, passing):
            self._unfit(text)

    def _merge(self, session: Session, now_ns: int, reply: QueryReply) -> Verdict:
        """Offer the chunk to the session, unless a plan would start at an unknown position."""
        held = self._watches.go_on_from(now_ns) if session.active else None
        begins = session.mode in (Mode.BLENDING_IN, Mode.HOLDING)
        if begins and held is None and session.replay.at_rest(now_ns):
            session.query_failed(HELD_UNKNOWN, now_ns, answered=False)
            session.counts.dropped += 1
            return refused("unwanted", HELD_UNKNOWN)
        return session.merge(reply.chunk, now_ns, held)


def _refuse(session: Session, now_ns: int, finding: Finding) -> None:
    """Drop the answer; if the finding is a fault and the session is active, fault."""
    if finding.reaction is Reaction.FAULT and session.active and session.mode is not Mode.FAULT:
        session.fault(now_ns, finding.reason)
    session.query_failed(finding.reason, now_ns, answered=True)


def action_chunk(embodiment: Embodiment, reply: QueryReply, verdict: Verdict) -> ActionChunk:
    """The message of one chunk."""
    chunk = reply.chunk
    message = ActionChunk(
        sequence=chunk.sequence,
        episode=chunk.episode,
        embodiment_tag=embodiment.tag,
        step_duration=to_duration(chunk.step_ns),
        first_step=verdict.first_step,
        inference_duration=to_duration(reply.inference_ns),
        accepted=verdict.accepted,
        reason=f"{DROPPED}{verdict.reason}" if verdict.dropped else verdict.reason,
        groups=[_group(key, reply) for key in embodiment.action],
    )
    message.header.stamp = to_time(reply.stamp_ros_ns)
    return message


MOST_EXCHANGE_BYTES = 2_000_000
"""The largest request and reply that are published together.

rclpy holds the interpreter's lock while it publishes. With a subscriber that has stopped reading,
this was seen to last 76 ms for 5 MB and 1.1 s for 15 MB, and the replay thread waits for it.
"""


def too_large(exchanged: Exchanged) -> str:
    """Why this query is not published on ~/exchange; empty if it may be."""
    size = exchanged.frame.nbytes + len(exchanged.reply)
    if size <= MOST_EXCHANGE_BYTES:
        return ""
    return (
        f"~/exchange: got a query of {size / 1e6:.1f} MB, expected at most "
        f"{MOST_EXCHANGE_BYTES / 1e6:g} MB: it is not published, because that would delay the "
        "windows; take the observation from a bag (gr00t sidecar dump --bag)"
    )


def exchange_message(embodiment: Embodiment, exchanged: Exchanged, server: str) -> Exchange:
    """The message of one query as it went over the wire, without the API token.

    server: its address for people. Arrays of bytes are not checked element by element, lists are.
    """
    envelope, found = read_envelope(exchanged.frame), exchanged.server
    video, state = (found.modality[name].delta_indices for name in ("video", "state"))
    message = Exchange(
        robot=embodiment.robot,
        embodiment_tag=embodiment.tag,
        server=server,
        generation=found.generation.value,
        array_codec=found.array_codec,
        key_style=found.key_style,
        video_delta_indices=list(video),
        state_delta_indices=list(state),
        token_removed=envelope.token is not None,
        inference_duration=to_duration(exchanged.inference_ns),
        request=array("B", bytes(envelope.with_token(None))),
        reply=array("B", exchanged.reply),
    )
    assert isinstance(exchanged.filled, Stamps)  # what a query's template was filled with
    message.header.stamp = to_time(exchanged.filled.ros_ns)
    return message


def _group(key: ActionKey, reply: QueryReply) -> ActionGroup:
    rows = reply.chunk.raw[key.key]
    return ActionGroup(
        action_key=key.key,
        names=list(key.names),
        unit=key.unit,
        representation=key.representation,
        output=key.output or "",
        rows=len(rows),
        data=rows.ravel(),
    )
