"""Rolls the state of each observation forward to the execution of its chunk (parameter roll_state).

Runs on the worker thread. What the plan does until then comes from the windows that were sent, as
`sent` returns them, and from the shortest of the last latencies: without either,
the observation is sent as it was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.motion.plan import Course, moved
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.observe.observation import Observation
from gr00t_ros.observe.rolled import ROLL_STATE, StateRoll
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.session.schedule import LATENCY_MEMORY


def state_roll(robot: Embodiment, shadow: bool, rtc: bool) -> StateRoll:
    """What rolls the state of this robot.

    Raises SettingsError if the state of this robot cannot be rolled, and in shadow, where another
    program moves the arm, and with RTC, whose steps count from the observation.
    """
    if shadow:
        raise SettingsError(
            f"{ROLL_STATE}: in shadow the plan does not move the arm; expected false"
        )
    if rtc:
        raise SettingsError(
            f"{ROLL_STATE}: rtc counts steps from the observation's time, not from the time to "
            f"which the state is rolled: set rtc off, or {ROLL_STATE} false"
        )
    return StateRoll(robot)


class Rolling:
    """Use it from one thread. `by_ns`: how far the last observation was rolled, 0 if it was not."""

    def __init__(
        self,
        robot: Callable[[], Embodiment],
        sent: Callable[[], tuple[Sequence[Course], int]],
        offset_ns: Callable[[], int],
        shadow: bool,
        rtc: bool,
    ) -> None:
        """robot: the embodiment with its present chains. sent: the courses, newest first, and the
        commit time, ns. offset_ns: ROS time less plan time.

        Raises SettingsError as `state_roll`.
        """
        state_roll(robot(), shadow, rtc)
        self._robot, self._sent, self._offset_ns = robot, sent, offset_ns
        self.by_ns = 0

    def refuse(self, config: ModalityConfig) -> None:
        """Raise RefusedError if a server with this config makes it wrong; each check asks it."""
        StateRoll(self._robot()).refuse_relative(config)

    def __call__(self, observation: Observation, latencies: Latencies) -> Observation:
        """The observation to send; ObservationError if a pose cannot be computed."""
        self.by_ns = 0
        latency_ns = latencies.shortest_ns("end_to_end", LATENCY_MEMORY)
        if latency_ns is None:
            return observation
        courses, commit_ns = self._sent()
        motion = moved(courses, observation.stamp_ns - self._offset_ns(), latency_ns, commit_ns)
        if motion is None:
            return observation
        rolled = StateRoll(self._robot()).roll(observation, motion.by_ns, motion.joints)
        self.by_ns = motion.by_ns
        return rolled
