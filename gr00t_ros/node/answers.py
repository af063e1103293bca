"""What becomes of a query's outcome: a chunk to merge, a failure to count, a fault.

Runs on the replay thread, to which the worker posts each outcome.
"""

from __future__ import annotations

from collections.abc import Callable

from gr00t_ros.motion.guard import Verdict
from gr00t_ros.node.queries import QueryReply, error_text
from gr00t_ros.node.watches import HELD_UNKNOWN, RunningWatches
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.session import Session
from gr00t_ros.watch.finding import Finding, Reaction
from gr00t_ros.watch.server import Outlook, outlook_of


class ReplyHandler:
    """Hands outcomes to the watches, then to the session."""

    def __init__(
        self,
        watches: RunningWatches,
        publish: Callable[[QueryReply, Verdict | None], None],
        unfit: Callable[[str], None],
    ) -> None:
        """`publish` tells of every chunk that came, and of the verdict, None where none was due.

        `unfit` hears why a server's answers can never be used, or were none too often in a row:
        another server may be there, and is checked before anything goes on.
        """
        self._watches, self._publish, self._unfit = watches, publish, unfit

    def apply(
        self, session: Session, now_ns: int, reply: QueryReply | None, error: Exception | None
    ) -> None:
        """Take one outcome; `reply` or `error` is None."""
        present = reply is not None and reply.chunk.episode == session.episode
        finding = self._watches.policy.heard(present, error)
        if finding is not None:
            _refuse(session, now_ns, finding)
            if reply is not None:
                self._publish(reply, None)
        elif reply is not None:
            self._publish(reply, self._merge(session, now_ns, reply))
        else:
            assert error is not None  # the worker tells one of both
            self._fail(session, now_ns, error)

    def _fail(self, session: Session, now_ns: int, error: Exception) -> None:
        """Fault where a person is needed, else have it tried again as the error allows."""
        outlook, text = outlook_of(error), error_text(error)
        if session.active and outlook is Outlook.PERSON:
            if session.mode is not Mode.FAULT:  # else the first reason stays
                session.fault(now_ns, text)
            self._unfit(text)
            return
        counted, passing = outlook is Outlook.COUNTED, outlook is Outlook.PASSES
        if session.query_failed(text, now_ns, counted, passing):
            self._unfit(text)

    def _merge(self, session: Session, now_ns: int, reply: QueryReply) -> Verdict | None:
        """Offer the chunk; not where a plan at rest would begin at a place that is not known."""
        held = self._watches.go_on_from(now_ns) if session.active else None
        begins = session.mode in (Mode.BLENDING_IN, Mode.HOLDING)
        if begins and held is None and session.replay.at_rest(now_ns):
            session.query_failed(HELD_UNKNOWN, now_ns, answered=False)
            return None
        return session.merge(reply.chunk, now_ns, held)


def _refuse(session: Session, now_ns: int, finding: Finding) -> None:
    """Drop the answer; one that faults does so in a session that is under way."""
    if finding.reaction is Reaction.FAULT and session.active and session.mode is not Mode.FAULT:
        session.fault(now_ns, finding.reason)
    session.query_failed(finding.reason, now_ns, answered=True)
