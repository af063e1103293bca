"""How much of the chunk that is being followed the next chunk should continue: real-time chunking.

A server with RTC (arXiv 2506.07339) fits a new chunk to the end of the one before: its first steps
are those that will be executed anyway, the steps after them lead over to what it predicts anew.
Step k of the new chunk is at the same time as step executed_steps + k of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.motion.chunk import ActionChunk


@dataclass(frozen=True, slots=True)
class Followed:
    """The chunk that is followed, when a query is sent.

    lag_ns: how far behind its own time it is followed. acts_after_ns: longest time from an
    observation's stamp until its chunk can change the motion.
    """

    chunk: ActionChunk
    lag_ns: int
    acts_after_ns: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Steps, 0 <= frozen_steps <= overlap_steps = steps of a chunk - executed_steps.

    executed_steps: steps of the chunk before that lie before the observation. overlap_steps: all
    others: first steps of the new chunk that continue it. frozen_steps: those of them that will be
    executed before the new chunk can act.
    """

    executed_steps: int
    overlap_steps: int
    frozen_steps: int


def overlap_with(followed: Followed, stamp_ns: int) -> Overlap | None:
    """The overlap of a chunk for an observation of `stamp_ns` (plan time) with the one before.

    Executed steps are rounded to the nearest: a server has whole steps only. Frozen steps are
    rounded up. None if the observation is older than the chunk, or the chunk ends before it.
    """
    chunk = followed.chunk
    since_ns = stamp_ns - followed.lag_ns - chunk.stamp_ns
    executed = (2 * since_ns + chunk.step_ns) // (2 * chunk.step_ns)
    left = len(chunk.joints) - executed
    if executed < 0 or left <= 0:
        return None
    frozen = -(-followed.acts_after_ns // chunk.step_ns)
    return Overlap(executed, left, min(frozen, left))
