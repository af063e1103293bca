"""A policy for each robot that names itself: the episode of one is never that of another.

Requests without a robot's id are for one more policy, as if it were alone. A robot is known from
its reset on. An action for one that is not known is refused: behind a proxy a memory that is gone
would go unnoticed, and the arm would follow a policy that begins in the middle of a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.serve.policies import Action, Policy, PolicyObservation
from gr00t_ros.wire.robot_id import ROBOT_ID, named, read_id

MAX_ROBOTS: Final = 64
IDLE_S: Final = 600.0
"""A robot that asked nothing for so long loses its place if another needs it."""


@dataclass(slots=True)
class _Robot:
    """The policy of one robot, and when it asked last, s."""

    policy: Policy
    asked_s: float


class Robots:
    """Holds at most MAX_ROBOTS policies, made by `make`, besides the one without an id."""

    def __init__(
        self, make: Callable[[], Policy], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """make: returns a new policy, cheaply: it is called at a robot's first reset."""
        self._make, self._clock_s = make, clock_s
        self._unnamed = make()
        self._robots: dict[str, _Robot] = {}  # the one that asked longest ago is the first

    @property
    def modality(self) -> ModalityConfig:
        """That of each policy."""
        return self._unnamed.modality

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return the answer of the robot's policy; SettingsError if the robot is not known."""
        robot_id = read_id(options)
        if not robot_id:
            return self._unnamed(observation, options)
        robot = self._robots.get(robot_id)
        if robot is None:
            raise SettingsError(
                f"{ROBOT_ID} {robot_id!r}: got an observation of a robot without an episode here, "
                "expected its reset before: the server began anew, or needed its place; reset it"
            )
        self._keep(robot_id, robot.policy)
        return robot.policy(observation, options)

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Reset the robot's policy; the reply has the id besides the policy's own reply.

        Raises SettingsError for a robot that finds no place.
        """
        robot_id = read_id(options)
        if not robot_id:
            return self._unnamed.reset(options)
        known = self._robots.get(robot_id)
        if known is None:
            self._make_room(robot_id)
        policy = self._make() if known is None else known.policy
        reply = policy.reset(options)
        self._keep(robot_id, policy)
        return named(reply, robot_id) or {}

    def _keep(self, robot_id: str, policy: Policy) -> None:
        self._robots.pop(robot_id, None)
        self._robots[robot_id] = _Robot(policy, self._clock_s())

    def _make_room(self, robot_id: str) -> None:
        """Drop the robot that asked longest ago where there is no place and it is idle."""
        if len(self._robots) < MAX_ROBOTS:
            return
        first, robot = next(iter(self._robots.items()))
        if self._clock_s() - robot.asked_s < IDLE_S:
            raise SettingsError(
                f"{ROBOT_ID} {robot_id!r}: got one robot more, expected at most {MAX_ROBOTS} that "
                f"asked within {IDLE_S:g} s: start another server for it"
            )
        del self._robots[first]
