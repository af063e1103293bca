"""The course of commands beside joints (velocities and levels) on the plan's knots; its windows.

Changes stay within a rate limit. At the end of each window all velocities are zero, so that a
player stops if no window follows. At a stop they are zero at once, but those of a vector with
limits (a tool's) go there inside them. Once plan time stands still, the windows of a stop are zero
at once, and the player makes the ramp: its robot's clock may run. Nothing is committed: a player
always takes the newest window.

Row k of a chunk is for stamp + k*step. A velocity is constant over its step and zero after the last
one: a delta that is spread over its step is executed once. A level is linear between two steps. The
methods of merging successive chunks are those of joints (motion/reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.pose.course import REST_REPEATS
from gr00t_ros.motion.reference import (
    ENSEMBLE_CHUNKS,
    Merge,
    SampledChunk,
    SplicedChunk,
    fading,
    first_with_weight,
    merged,
)
from gr00t_ros.robot.limits import CommandLimits

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

STANDING_TICKS = 50
"""After so many ticks at one plan time, a second at 50 Hz, the clock stands still."""
# Minimum number of zero windows to publish before the session may end, or one more than may be lost
# if that is more: DDS delivers reliably, but a reader may still lose the first.
_REPEATS_TO_REST = 5


@dataclass(frozen=True, slots=True, eq=False)
class CommandWindow:
    """Values (N, C) float64 at stamp_ns + times_ns (N,), plan clock; the last row stays.

    NaN: a command without a value so far; do not send it.
    """

    stamp_ns: int
    times_ns: Times
    values: Floats


class Commands:
    """The last commands and the chunks that are followed.

    Call `window`, send it, then call `keep`. The caller makes all calls one after another.
    """

    def __init__(
        self,
        limits: CommandLimits,
        knot_ns: int,
        horizon_ns: int,
        merge: Merge = "newest",
        fade_ns: int = 0,
        lost_windows: int = 1,
    ) -> None:
        """horizon_ns: how far a window reaches before its velocities go to zero.

        lost_windows: so many in a row may be lost.

        merge, fade_ns: how a new chunk follows the one before, as Reference has them.
        """
        self._limits, self._knot_ns = limits, knot_ns
        self._knots = horizon_ns // knot_ns
        self._first_knot = 0
        self._rows: Floats = limits.start[None]
        self._reference = CommandReference(limits.velocity, merge, fade_ns)
        self._repeats_left = 0
        self._repeats_to_rest = max(_REPEATS_TO_REST, lost_windows + 1)
        self._newest_ns, self._at_newest = 0, 0  # newest plan time, and windows made at it
        self._made: tuple[int, Floats, bool] | None = None  # first knot, rows, chunk is over

    def follow(self, chunk: ActionChunk, values: Floats, at_ns: int = 0) -> None:
        """Follow the guarded `values` (T, C) of a chunk from the next window on.

        at_ns: now, less the lag with which the joints follow: where a fade begins.
        """
        self._made = None
        if len(self._limits):
            self._reference.follow(chunk, values, at_ns)

    def stop(self) -> None:
        """Bring velocities to zero from the next window on; all other commands keep their value."""
        if self._reference or self._rows[-1][self._limits.velocity].any():
            self._repeats_left = REST_REPEATS
        self._reference.clear()
        self._made = None

    @property
    def at_rest(self) -> bool:
        """Whether no chunk is followed and so many zero windows were sent that one was received."""
        return not self._reference and self._repeats_left <= REST_REPEATS - self._repeats_to_rest

    def window(self, now_ns: int, lag_ns: int) -> CommandWindow | None:
        """The window to send now, or None if nothing is left to send; then call `keep`.

        lag_ns: how far behind its own time the joints follow the chunk.
        """
        knot = now_ns // self._knot_ns
        value = self._rows[min(max(knot - self._first_knot, 0), len(self._rows) - 1)]
        self._made, over = None, False
        self._at_newest = self._at_newest + 1 if now_ns == self._newest_ns else 0
        self._newest_ns = now_ns
        if self._reference:
            rows, over = self._following(knot, value, lag_ns)
        elif self._repeats_left:
            stands = self._at_newest >= STANDING_TICKS
            rests = self._limits.velocity if stands else self._limits.at_once
            rows = self._to_rest([np.where(rests, 0.0, value)])
        else:
            return None
        self._made = knot, rows, over
        times_ns = np.arange(len(rows), dtype=np.int64) * self._knot_ns
        return CommandWindow(knot * self._knot_ns, times_ns, rows)

    def keep(self, commands: NDArray[np.bool_] | None = None) -> None:
        """Record that the last window was sent: for the `commands` (C,), or for all of them.

        The other commands continue as they were sent before, and are sent again.
        """
        made, self._made = self._made, None
        if made is None or (commands is not None and not commands.any()):
            return
        knot, rows, over = made
        if commands is not None and not commands.all():
            index = np.arange(max(len(rows), len(self._rows)))
            new = rows[np.minimum(index, len(rows) - 1)]
            old = self._rows[np.clip(index + knot - self._first_knot, 0, len(self._rows) - 1)]
            rows = np.where(commands, new, old)
        elif over:
            self._reference.clear()
        elif not self._reference:
            self._repeats_left -= len(rows) == 1  # a longer one is not at rest yet
        self._first_knot, self._rows = knot, rows

    def _following(self, knot: int, value: Floats, lag_ns: int) -> tuple[Floats, bool]:
        """The rows of a window, and whether the newest chunk ends with it."""
        times_ns = (knot + 1 + np.arange(self._knots)) * self._knot_ns - lag_ns
        # A fading offset on top of a course in motion may be beyond the range that was guarded.
        targets = self._limits.within(self._reference.sample(times_ns))
        over = bool(times_ns[0] >= self._reference.over_ns)
        value = np.where(np.isnan(value), targets[0], value)
        over = over and np.array_equal(value, targets[-1])
        rows = [value]
        for target in targets:
            rows.append(self._towards(rows[-1], target))
        return self._to_rest(rows), over

    def _to_rest(self, rows: list[Floats]) -> Floats:
        """`rows`, continued until all velocities are zero."""
        rest = np.where(self._limits.velocity, 0.0, rows[-1])
        while not np.array_equal(rows[-1], rest, equal_nan=True):
            rows.append(self._towards(rows[-1], rest))
        return np.array(rows)

    def _towards(self, value: Floats, target: Floats) -> Floats:
        return self._limits.towards(value, target, self._knot_ns * 1e-9)


class CommandReference:
    """The chunks that still have weight, merged by the method `merge`; times are their own."""

    def __init__(self, velocity: NDArray[np.bool_], merge: Merge, fade_ns: int) -> None:
        """velocity: (C,) which commands rest at zero. fade_ns: as Reference has it."""
        self._velocity, self._merge, self._fade_ns = velocity, merge, fade_ns
        self._chunks: tuple[SplicedChunk, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a chunk to follow."""
        return bool(self._chunks)

    @property
    def over_ns(self) -> int:
        """When the newest chunk has been executed; only while there is one."""
        return self._chunks[-1].over_ns

    def clear(self) -> None:
        """Drop all chunks."""
        self._chunks = ()

    def follow(self, chunk: ActionChunk, values: Floats, splice_ns: int) -> None:
        """Follow the guarded `values` (T, C) of a chunk from splice_ns on.

        Without a chunk before it there is nothing to fade from: the rate limit alone begins it.
        """
        no_jump = np.zeros(values.shape[1])
        new = SplicedChunk(
            splice_ns, chunk.stamp_ns, chunk.step_ns, values, no_jump, self._velocity
        )
        if self._chunks and self._merge == "offset_decay":
            new = new.joined(splice_ns, self.sample(np.array([splice_ns]))[0])
        self._chunks = (*self._still_used(splice_ns), new)

    def sample(self, times_ns: Times) -> Floats:
        """(N, C) targets; velocities are zero once the newest chunk is over."""
        value = merged(self._merge, list(self._sampled(times_ns)))
        moving = (times_ns < self.over_ns)[:, None]
        return np.where(self._velocity & ~moving, 0.0, value)

    def _sampled(self, times_ns: Times) -> Iterator[SampledChunk]:
        for spliced in self._chunks:
            left = fading(times_ns, spliced.splice_ns, self._fade_ns)
            value = spliced.sample(times_ns) + left * spliced.jump
            yield value, left, times_ns < spliced.over_ns

    def _still_used(self, splice_ns: int) -> tuple[SplicedChunk, ...]:
        if self._merge == "crossfade":
            splices_ns = [spliced.splice_ns for spliced in self._chunks]
            first = first_with_weight(splices_ns, self._fade_ns, splice_ns)
            return tuple(p for p in self._chunks[first:] if p.over_ns > splice_ns)
        if self._merge == "ensemble":
            return tuple(p for p in self._chunks if p.over_ns > splice_ns)[1 - ENSEMBLE_CHUNKS :]
        return ()
