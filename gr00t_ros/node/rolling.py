"""Rolls the state of each observation forward to the execution of its chunk (parameter roll_state).

Runs on the worker thread. What the plan does until then comes from the windows that were sent, as
the replay thread's snapshot has them, and from the shortest of the last latencies: without either,
the observation is sent as it was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.ahead import moved
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.node.replay_thread import Snapshot
from gr00t_ros.observe.observation import Observation
from gr00t_ros.observe.rolled import NAME, StateRoll
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.wire.link import Check

LATENCIES: Final = 32  # newest queries, as SessionSettings.latency_memory


class Rolling:
    """Use it from one thread. `by_ns`: how far the last observation was rolled, 0 if it was not."""

    def __init__(
        self,
        robot: Callable[[], Embodiment],
        snapshot: Callable[[], Snapshot],
        clock: PlanClock,
        shadow: bool,
    ) -> None:
        """robot: the embodiment with its present chains.

        Raises SettingsError if the state of this robot cannot be rolled, and in shadow, where
        another program moves the arm.
        """
        if shadow:
            raise SettingsError(f"{NAME}: in shadow the plan does not move the arm; expected false")
        StateRoll(robot())
        self._robot, self._snapshot, self._clock = robot, snapshot, clock
        self.by_ns = 0

    def refuse(self, check: Check) -> None:
        """Raise SettingsError if this server's actions do not allow it."""
        StateRoll(self._robot()).refuse_relative(check.server.modality)

    def __call__(self, observation: Observation, latencies: Latencies) -> Observation:
        """The observation to send; ObservationError if a pose cannot be computed."""
        self.by_ns = 0
        latency_ns, now = latencies.shortest_ns("end_to_end", LATENCIES), self._snapshot()
        if latency_ns is None:
            return observation
        stamp_ns = observation.stamp_ns - self._clock.offset_ns()
        motion = moved(now.courses, stamp_ns, latency_ns, now.commit_ns)
        if motion is None:
            return observation
        rolled = StateRoll(self._robot()).roll(observation, motion.by_ns, motion.joints)
        self.by_ns = motion.by_ns
        return rolled
