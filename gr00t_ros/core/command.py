"""What is commanded beside joints: outputs of velocities, levels and poses, and their limits.

A joint's position must be smooth, so it has a place in the plan; a command here is only kept inside
a range and a rate of change, and rests at zero (velocities) or stays where it is. Knows no message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.gripper import GripperGoals, read_goals
from gr00t_ros.core.output_types import OUTPUT_TYPES
from gr00t_ros.core.schema import Place

Array = NDArray[np.float64]

_AT_ONCE = 1e9  # a second: more than any gripper's range in one knot


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """One receiver of commands: gr00t_command_streamer sends them to `topic` as `type` says.

    `names` are the quantities in the order of OUTPUT_TYPES; `frame` is the frame_id of stamped
    types. A gripper has `goals`, and `topic` is the name of its action (franka_gripper: of what
    its actions move and grasp lie below).
    """

    name: str
    type: str  # a key of OUTPUT_TYPES that carries commands
    topic: str
    names: tuple[str, ...]
    frame: str = ""
    goals: GripperGoals | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that take its goals, none but of a gripper."""
        if self.goals is None:
            return ()
        if self.type == "franka_gripper":
            return f"{self.topic}/move", f"{self.topic}/grasp"
        return (self.topic,)

    @property
    def velocities(self) -> bool:
        """Whether its values are velocities, which rest at zero."""
        return OUTPUT_TYPES[self.type].velocities


@dataclass(frozen=True, slots=True, eq=False)
class CommandLimits:
    """Limits of C commands, one output's after the other; every array is read-only (C,).

    lower, upper: values are clamped to them. rate: largest change a second. start: what the robot
    does before the first command, NaN where that is not known (grippers). velocity: bool, rests at
    zero and is 0 at each stop, at once; the others keep their value.
    """

    names: tuple[str, ...]
    lower: Array
    upper: Array
    rate: Array
    start: Array
    velocity: NDArray[np.bool_]

    def __len__(self) -> int:
        """C, the number of commands."""
        return len(self.names)


_NONE = np.empty(0)
NO_COMMANDS = CommandLimits((), _NONE, _NONE, _NONE, _NONE, np.empty(0, dtype=np.bool_))
"""Of a robot that is all joints."""


def read_command(name: str, place: Place) -> CommandOutput:
    """One output of the file whose type carries commands."""
    kind = place.entries()["type"].text()
    own = ("goals",) if OUTPUT_TYPES[kind].goals else ()
    stamped = kind == "twist_stamped"
    at = place.fields(("type", "topic", "names", *(("frame",) if stamped else own)))
    names, widths = at["names"].names(), OUTPUT_TYPES[kind].widths
    if len(names) not in widths:
        raise at["names"].error(f"{' or '.join(map(str, widths))} names for {kind}")
    frame = at["frame"].text() if stamped else ""
    goals = read_goals(at["goals"], kind == "franka_gripper") if own else None
    return CommandOutput(name, kind, at["topic"].topic(), names, frame, goals)


def read_command_limits(
    places: Mapping[str, Place], outputs: tuple[CommandOutput, ...]
) -> CommandLimits:
    """The limits of all commands of all outputs, from the entries of the file's `limits`."""
    owners = [(name, output) for output in outputs for name in output.names]
    rows = [_limits(places[name], output) for name, output in owners]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T.copy()
    velocity = np.array([output.velocities for _, output in owners], dtype=np.bool_)
    for array in (table, velocity):
        array.setflags(write=False)  # before the views are taken: they inherit it
    lower, upper, rate, start = table
    return CommandLimits(tuple(name for name, _ in owners), lower, upper, rate, start, velocity)


def _limits(place: Place, output: CommandOutput) -> tuple[float, ...]:
    """Lower, upper, rate and start."""
    if output.goals is not None:
        return _of_gripper(place, output.goals)
    at = place.fields(("range", "rate", *(() if output.velocities else ("start",))))
    lower, upper = at["range"].interval()
    start = at["start"] if "start" in at else Place(0.0, place.where, place.path)
    if not lower <= start.number() <= upper:
        raise start.problem(f"{start.number():g} is outside the range [{lower:g}, {upper:g}]")
    fastest = max(abs(lower), abs(upper)) if output.velocities else 0.0
    return lower, upper, at["rate"].deceleration(fastest), start.number()


def _of_gripper(place: Place, goals: GripperGoals) -> tuple[float, ...]:
    """A goal has no rate; where the gripper is before the first one is not known."""
    lower, upper = place.fields(("range",))["range"].interval()
    if goals.switch is not None and not lower <= goals.switch[0] < goals.switch[1] <= upper:
        raise place.problem(f"the switch {list(goals.switch)} is outside [{lower:g}, {upper:g}]")
    if goals.hysteresis >= upper - lower:
        raise place.problem(f"the hysteresis {goals.hysteresis:g} is as wide as the range")
    return lower, upper, _AT_ONCE, math.nan
