"""What is commanded beside joints: outputs of velocities, levels and poses, and their limits.

A joint's position must be smooth, so it has a place in the plan; a command here is only kept inside
a range and a rate of change, and rests at zero (velocities) or stays where it is. Knows no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.output_types import OUTPUT_TYPES
from gr00t_ros.core.schema import Place

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """One receiver of commands: gr00t_command_streamer sends them to `topic` as `type` says.

    `names` are the quantities in the order of OUTPUT_TYPES; `frame` is the frame_id of stamped
    types.
    """

    name: str
    type: str  # a key of OUTPUT_TYPES that carries commands
    topic: str
    names: tuple[str, ...]
    frame: str = ""

    @property
    def velocities(self) -> bool:
        """Whether its values are velocities, which rest at zero."""
        return OUTPUT_TYPES[self.type].velocities


@dataclass(frozen=True, slots=True, eq=False)
class CommandLimits:
    """Limits of C commands, one output's after the other; every array is read-only (C,).

    lower, upper: values are clamped to them. rate: largest change a second. start: what the robot
    does before the first command. velocity: bool, rests at zero and is 0 at each stop, at once;
    the others keep their value.
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
    stamped = kind == "twist_stamped"
    at = place.fields(("type", "topic", "names", *(("frame",) if stamped else ())))
    names, widths = at["names"].names(), OUTPUT_TYPES[kind].widths
    if len(names) not in widths:
        raise at["names"].error(f"{' or '.join(map(str, widths))} names for {kind}")
    frame = at["frame"].text() if stamped else ""
    return CommandOutput(name, kind, at["topic"].topic(), names, frame)


def read_command_limits(
    places: Mapping[str, Place], outputs: tuple[CommandOutput, ...]
) -> CommandLimits:
    """The limits of all commands of all outputs, from the entries of the file's `limits`."""
    owners = [(name, output.velocities) for output in outputs for name in output.names]
    rows = [_limits(places[name], velocity) for name, velocity in owners]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T.copy()
    velocity = np.array([velocity for _, velocity in owners], dtype=np.bool_)
    for array in (table, velocity):
        array.setflags(write=False)  # before the views are taken: they inherit it
    lower, upper, rate, start = table
    return CommandLimits(tuple(name for name, _ in owners), lower, upper, rate, start, velocity)


def _limits(place: Place, velocity: bool) -> tuple[float, ...]:
    """Lower, upper, rate and start."""
    at = place.fields(("range", "rate", *(() if velocity else ("start",))))
    lower, upper = at["range"].interval()
    start = at["start"] if "start" in at else Place(0.0, place.where, place.path)
    if not lower <= start.number() <= upper:
        raise start.problem(f"{start.number():g} is outside the range [{lower:g}, {upper:g}]")
    return lower, upper, at["rate"].positive(), start.number()
