"""The watches that have a memory, as the replay thread asks them at each tick of an active session.

Belongs to the replay thread alone: others reach it by ReplayThread.post and call. What needs no
memory is Surroundings', which an activation asks as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.mode import MOVING, Mode
from gr00t_ros.core.replay import Replay
from gr00t_ros.core.watch_clock import ClockJump, SilentClock
from gr00t_ros.core.watch_motion import TrackingError, reference_against_plan
from gr00t_ros.core.watchdog import Finding, Reaction
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.rivals import Rivals
from gr00t_ros.ros.surroundings import Surroundings

_S = 1e9


class RunningWatches:
    """All watches of an active session; the replay thread's Surroundings."""

    def __init__(
        self,
        surroundings: Surroundings,
        rivals: Rivals,
        embodiment: Embodiment,
        clock: PlanClock,
        replay: Replay,
        values: Parameters,
    ) -> None:
        """Watch what `surroundings` and `rivals` tell, by the thresholds of `values`.

        `replay` is the session's, asked for what it has sent.
        """
        self._around, self._rivals, self._clock = surroundings, rivals, clock
        self._limits, self._replay = embodiment.limits, replay
        ends = accumulate(len(output.names) for output in embodiment.outputs)
        self._columns = {
            output.name: end - len(output.names)
            for output, end in zip(embodiment.outputs, ends, strict=True)
        }
        self._jumped = False
        self.apply(values)
        self.begin()

    def apply(self, values: Parameters) -> None:
        """Take over changed thresholds."""
        self._values = values

    def begin(self) -> None:
        """Forget what was before an activation or a reset."""
        self._tracking = TrackingError(self._limits)
        self._jump = ClockJump(self._clock.simulated)
        self._silent_clock = SilentClock()

    def findings(self, now_ns: int, mode: Mode) -> tuple[Finding, ...]:
        """What all watches say, graver causes first: a session tells the first of a kind."""
        steady_ns = time.monotonic_ns()
        return (
            *self._rivals.findings(),
            *self._controllers(steady_ns),
            *self._plans(mode),
            *self._clocks(),
            *self._around.findings(now_ns),
            *self._held(mode),
        )

    def held(self) -> NDArray[np.float64] | None:
        """(J,) position that the controllers hold, None when unknown."""
        return self._around.held()

    def ask(self, episode: int) -> bool:
        """Have the worker query with the newest observation; False when it is busy."""
        return self._around.ask(episode)

    def _controllers(self, steady_ns: int) -> Iterator[Finding]:
        """Tracking, from one message of each controller."""
        try:
            positions = self._around.played_and_measured(self._around.controllers())
        except ObservationError as error:
            yield Finding("stream_content", Reaction.PAUSE, f"controller: {error}")
            return
        if positions is None:
            return
        self._tracking.limit_rad = self._values.tracking_error_rad
        self._tracking.limit_ns = int(self._values.tracking_error_s * _S)
        found = self._tracking.check(steady_ns, *positions)
        if found is not None:
            yield found

    def _plans(self, mode: Mode) -> Iterator[Finding]:
        """What each controller plays against what it was sent for the stamp of its state."""
        if mode not in MOVING or self._values.shadow:
            return
        for output, stamp_ns, played in self._around.references():
            columns = slice(self._columns[output.name], self._columns[output.name] + len(played))
            sent = self._replay.sent(stamp_ns - self._clock.offset_ns())
            if sent is None:
                continue
            position, velocity = (part[columns] for part in sent)
            found = reference_against_plan(
                output.names, played, position, velocity, self._values.reference_error_rad
            )
            if found is not None:
                yield found

    def _held(self, mode: Mode) -> Iterator[Finding]:
        """A pause does not end by itself while the controller holds another place than measured."""
        if mode is not Mode.PAUSED or self._values.shadow:
            return
        try:
            found = self._around.held_finding()
        except ObservationError:
            return  # what is missing is a finding of the streams
        if found is not None:
            yield replace(found, reaction=Reaction.PAUSE)

    def _clocks(self) -> Iterator[Finding]:
        """A jump makes what was received belong to another time: it is forgotten, a tick later.

        Until then the session needs to know where the controllers are.
        """
        if self._jumped:
            self._around.forget()
            self._jumped = False
        pair = self._clock.pair()
        if pair is None:
            return
        self._jump.forward_ns = int(self._values.clock_jump_s * _S)
        found = self._jump.check(*pair)
        if found is not None:
            self._jumped = True
            # Of a plan on simulated time the session itself sees that it ran back.
            if not (self._clock.simulated and found.watch == "clock_backward"):
                yield found
        if self._clock.simulated:
            self._silent_clock.limit_ns = int(self._values.clock_silence_s * _S)
            found = self._silent_clock.check(*pair)
            if found is not None:
                yield found
