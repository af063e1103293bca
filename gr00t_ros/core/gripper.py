"""Grippers that take goals: what the file says of them, and when a value is another goal.

A goal is sent on change alone, with hysteresis, so that a policy that wavers does not make a
gripper chatter; before the first value there is none, so nothing opens or closes on a guess.
Knows no message, no action and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.core.schema import Place

_FRANKA = ("speed", "force", "epsilon")


@dataclass(frozen=True, slots=True)
class GripperGoals:
    """How values become goals, in the unit of the output's one name.

    switch (low, high): a value at or below `low` asks for the range's lower end, at or above `high`
    for its upper end, between them for neither. Without: a value asks for itself once it is
    `hysteresis` away from the last goal, or at an end of the range. effort: N or N m, None for the
    gripper's own. Franka: speed m/s, force N, epsilon (inner, outer) m of a grasp.
    """

    switch: tuple[float, float] | None = None
    hysteresis: float = 0.0
    effort: float | None = None
    speed: float = 0.0
    force: float = 0.0
    epsilon: tuple[float, float] = (0.0, 0.0)


def read_goals(place: Place, franka: bool) -> GripperGoals:
    """The `goals` of an output; Franka's opens and closes, so that it needs a switch."""
    if franka:
        at = place.fields(("switch", *_FRANKA))
        return GripperGoals(
            switch=at["switch"].interval(),
            speed=at["speed"].positive(),
            force=at["force"].positive(),
            epsilon=_pair(at["epsilon"]),
        )
    at = place.fields((), ("switch", "hysteresis", "effort"))
    if ("switch" in at) == ("hysteresis" in at):
        raise place.problem("expected one of switch and hysteresis")
    return GripperGoals(
        switch=at["switch"].interval() if "switch" in at else None,
        hysteresis=at["hysteresis"].positive() if "hysteresis" in at else 0.0,
        effort=_optional(at, "effort"),
    )


def _optional(at: Mapping[str, Place], key: str) -> float | None:
    return at[key].positive() if key in at else None


def _pair(place: Place) -> tuple[float, float]:
    values = tuple(item.number(0.0) for item in place.items())
    if len(values) != 2:
        raise place.error("[inner, outer]")
    return values[0], values[1]


class GoalPicker:
    """What a gripper was asked for last, and whether a value asks for something else."""

    def __init__(self, goals: GripperGoals, lower: float, upper: float) -> None:
        """lower, upper: the range of the output's value."""
        self._goals, self._ends = goals, (lower, upper)
        self.last: float | None = None
        """The last goal that the gripper has taken, None before the first."""

    def wanted(self, value: float) -> float | None:
        """The goal that `value` asks for; None where the last one stands."""
        goal = self._goal(value)
        return None if goal == self.last else goal

    def _goal(self, value: float) -> float | None:
        if self._goals.switch is not None:
            low, high = self._goals.switch
            if low < value < high:
                return self.last
            return self._ends[0] if value <= low else self._ends[1]
        near = self.last is not None and abs(value - self.last) < self._goals.hysteresis
        return self.last if near and value not in self._ends else value
