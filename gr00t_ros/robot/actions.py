"""What comes from the server: action keys and the outputs they go to, as the file has them.

Does not depend on arrays or messages; motion/chunk.py applies the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gr00t_ros.robot.field import Field, Scale, read_scale
from gr00t_ros.robot.keys import COMMANDED, IGNORED, JOINT_OUTPUT
from gr00t_ros.robot.outputs import OUTPUT_TYPES, CommandOutput, PoseOutput, read_command, read_pose
from gr00t_ros.robot.streams import StateStream

UNITS = ("rad", "m", "m/s", "m/s, rad/s", "normalized", "motor_units", "")
REPRESENTATIONS = ("absolute", "delta")

_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Output:
    """One controller: its topics and the joints it moves, in its order.

    Only a joint_trajectory controller plays a stop ramp by itself. For the other types
    gr00t_streamer plays the windows, sends the points to `topic` and publishes on `state_topic`
    (its ~/controller_state) what it holds.
    """

    name: str
    type: str  # a key of OUTPUT_TYPES that carries joints
    topic: str
    state_topic: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActionKey:
    """One key of the server's reply: mapped to joints of an output, or ignored on purpose.

    `output` None: ignored. Otherwise column i commands the joint or command `names[i]`. With a
    threshold a value v becomes the upper end of `range` if v > threshold, else the lower end (1 and
    0 without a range). With a `scale` the result is converted to the joint's unit. A delta is the
    change in one step; it needs an output that takes velocities or adds up poses. For velocities it
    is divided by the time of a step. `unit` and `representation` are those of the reply.
    """

    key: str
    width: int
    output: str | None
    names: tuple[str, ...]
    threshold: float | None = None
    scale: Scale | None = None
    unit: str = "rad"
    representation: str = "absolute"  # "absolute" | "delta"


AnyOutput = Output | CommandOutput | PoseOutput


def read_outputs(
    fields: Mapping[str, Field], state: Sequence[StateStream]
) -> tuple[tuple[Output, ...], tuple[CommandOutput, ...], tuple[PoseOutput, ...]]:
    """The outputs of the file: of joints, of commands, of poses.

    Each name and each topic is in one output: a receiver plays its last window whole.
    """
    owner: dict[str, str] = {}
    topics: dict[str, str] = {}
    outputs: list[AnyOutput] = []
    for name, field in fields.items():
        output = _read(name, field, state)
        if (other := topics.setdefault(output.topic, name)) != name:
            raise field.entries()["topic"].problem(
                f"{output.topic} belongs to output {other!r} too, expected one output a topic"
            )
        for joint in output.names:
            if joint in owner:
                raise field.entries()["names"].problem(
                    f"{joint} belongs to output {owner[joint]!r} too, expected one output a joint"
                )
            owner[joint] = name
        outputs.append(output)
    return (
        tuple(output for output in outputs if isinstance(output, Output)),
        tuple(output for output in outputs if isinstance(output, CommandOutput)),
        tuple(output for output in outputs if isinstance(output, PoseOutput)),
    )


def _read(name: str, field: Field, state: Sequence[StateStream]) -> AnyOutput:
    carries = OUTPUT_TYPES[_type(name, field)].carries
    if carries == "poses":
        return read_pose(name, field, state)
    return _output(name, field) if carries == "joints" else read_command(name, field)


def _output(name: str, field: Field) -> Output:
    at = field.keys(JOINT_OUTPUT)
    return Output(
        name=name,
        type=at["type"].text(),
        topic=at["topic"].topic(),
        state_topic=at["state_topic"].topic(),
        names=at["names"].names(),
    )


def _type(name: str, field: Field) -> str:
    at = field.entries().get("type")
    if at is None:
        raise field.problem("missing type")
    kind = at.choice(*OUTPUT_TYPES)
    if OUTPUT_TYPES[kind].sender and not _TOKEN.fullmatch(name):
        raise field.problem(f"{name!r} becomes part of a topic, expected letters, digits and _")
    return kind


def read_action(fields: Mapping[str, Field], outputs: Sequence[AnyOutput]) -> tuple[ActionKey, ...]:
    """The action keys of the file; exactly one of them commands each name of each output."""
    by_name = {output.name: output for output in outputs}
    commanded: dict[str, str] = {}
    keys = []
    for key, field in fields.items():
        action = (
            _ignored(key, field) if "ignored" in field.entries() else _mapped(key, field, by_name)
        )
        for joint in action.names if action.output is not None else ():
            if joint in commanded:
                raise field.problem(f"{joint} is commanded by {commanded[joint]!r} too")
            commanded[joint] = key
        keys.append(action)
    _refuse_uncommanded(fields, outputs, commanded)
    _refuse_mixed(fields, outputs, keys)
    return tuple(keys)


def _ignored(key: str, field: Field) -> ActionKey:
    at = field.keys(IGNORED)
    if at["ignored"].value is not True:
        raise at["ignored"].error("true (or an output in its place)")
    names = at["names"].names()
    return ActionKey(
        key=key,
        width=len(names),
        output=None,
        names=names,
        unit=_unit(at, ""),
        representation=at["representation"].choice(*REPRESENTATIONS)
        if "representation" in at
        else "absolute",
    )


def _mapped(key: str, field: Field, outputs: Mapping[str, AnyOutput]) -> ActionKey:
    at = field.keys(COMMANDED)
    name = at["output"].text()
    if name not in outputs:
        raise at["output"].error(f"one of the outputs: {', '.join(outputs)}")
    names = at["names"].names() if "names" in at else outputs[name].names
    foreign = [joint for joint in names if joint not in outputs[name].names]
    if foreign:
        raise at["names"].problem(
            f"{', '.join(foreign)} not in output {name!r}, expected of: "
            f"{', '.join(outputs[name].names)}"
        )
    normalized = "scale" in at or "threshold" in at
    return ActionKey(
        key=key,
        width=len(names),
        output=name,
        names=names,
        threshold=at["threshold"].number() if "threshold" in at else None,
        scale=read_scale(at, len(names)),
        unit=_unit(at, "normalized" if normalized else "rad"),
        representation=_representation(at, outputs[name]),
    )


def _representation(at: Mapping[str, Field], output: AnyOutput) -> str:
    """Absolute or delta. A delta needs an output that takes velocities or adds up poses."""
    if "representation" not in at:
        return "absolute"
    representation = at["representation"].choice(*REPRESENTATIONS)
    if representation == "delta" and not _takes_deltas(output):
        raise at["representation"].problem(
            f"deltas cannot go to {output.type} output {output.name!r}: what they add up to is "
            "known only to who executes them, expected an output of velocities such as "
            "twist_stamped, or of poses without rotate: pose_stamped"
        )
    return representation


def _takes_deltas(output: AnyOutput) -> bool:
    if isinstance(output, PoseOutput):
        return output.rotate is None  # no data set says how a fixed rotation applies to a delta
    return isinstance(output, CommandOutput) and output.velocities


def _unit(at: Mapping[str, Field], default: str) -> str:
    if "unit" not in at:
        return default
    return at["unit"].choice(*UNITS)


def _refuse_uncommanded(
    fields: Mapping[str, Field],
    outputs: Sequence[AnyOutput],
    commanded: Mapping[str, str],
) -> None:
    for output in outputs:
        idle = [joint for joint in output.names if joint not in commanded]
        if idle:
            raise next(iter(fields.values())).problem(
                f"no action key commands {', '.join(idle)} of output {output.name!r}"
            )


def _refuse_mixed(
    fields: Mapping[str, Field], outputs: Sequence[AnyOutput], keys: Sequence[ActionKey]
) -> None:
    """Refuse a pose output that gets absolute values from one key and deltas from another."""
    for output in outputs:
        if isinstance(output, PoseOutput):
            of_it = {key.representation: key.key for key in keys if key.output == output.name}
            if len(of_it) > 1:
                raise fields[of_it["delta"]].problem(
                    f"output {output.name!r} gets deltas here and absolute values from "
                    f"{of_it['absolute']!r}, expected one of the two"
                )
