"""One robot as GR00T knows it: tag, streams, action keys, outputs, limits, parsed from a mapping.

Does not open files or parse YAML: the caller passes the mapping and the name of its file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.actions import ActionKey, Output, read_action, read_outputs
from gr00t_ros.robot.contact.sources import ContactSource, read_contacts
from gr00t_ros.robot.field import UNIT, Field
from gr00t_ros.robot.keys import FILE
from gr00t_ros.robot.limits import (
    CommandLimits,
    JointLimits,
    Workspace,
    read_limits,
    read_workspace,
)
from gr00t_ros.robot.outputs import CommandOutput, PoseOutput, read_command_limits
from gr00t_ros.robot.questions import Unsettled, read_marks
from gr00t_ros.robot.streams import (
    RATE_RANGE_HZ,
    ReadUrdf,
    StateStream,
    Stream,
    VideoStream,
    read_state,
    read_video,
)

__all__ = [
    "ActionKey",
    "MODEL_VERSIONS",
    "CommandLimits",
    "CommandOutput",
    "ContactSource",
    "Embodiment",
    "JointLimits",
    "Output",
    "PoseOutput",
    "StateStream",
    "Stream",
    "Unsettled",
    "VideoStream",
    "Workspace",
    "parse",
]

VIEW_SIZES = ("same", "any")
MAX_STEPS = 1000
MODEL_VERSIONS = ("N1.5", "N1.6", "N1.7")


@dataclass(frozen=True, slots=True, eq=False)
class Embodiment:
    """A robot and its embodiment tag; tuples keep the order of the file.

    `rate_hz` is the rate of action steps and of history; `source` names the file in messages;
    `unsettled` are its marks, whose assumed values are used here. The instruction is sent under
    each of `language_keys`. `server_tags`: model version -> the tag that this version's server
    takes as its option, if it is not `tag`.
    `outputs` and `limits` are those of joints, `commands` and `command_limits` of velocities and
    levels; `poses` have their own limits. `contacts` measure that the arm touches something.
    """

    robot: str
    tag: str
    rate_hz: float
    language_keys: tuple[str, ...]
    action_horizon: int
    video: tuple[VideoStream, ...]
    state: tuple[StateStream, ...]
    action: tuple[ActionKey, ...]
    outputs: tuple[Output, ...]
    limits: JointLimits
    source: str
    commands: tuple[CommandOutput, ...]
    command_limits: CommandLimits
    workspace: Workspace | None = None
    unsettled: tuple[Unsettled, ...] = ()
    poses: tuple[PoseOutput, ...] = ()
    server_tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    contacts: tuple[ContactSource, ...] = ()

    @property
    def step_ns(self) -> int:
        """Time between two action steps and two delta indices."""
        return round(1e9 / self.rate_hz)

    @property
    def language_key(self) -> str:
        """The first language key, the one that servers read."""
        return self.language_keys[0]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All that an observation needs from topics: cameras, then state that is not constant."""
        return (*self.video, *(stream for stream in self.state if stream.topics))

    @property
    def streamed(self) -> tuple[CommandOutput | PoseOutput, ...]:
        """The outputs whose windows gr00t_command_streamer plays: it must run if there is one."""
        return (*self.commands, *self.poses)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """All commanded joints: the outputs' names one after the other (plan joint order)."""
        return tuple(name for output in self.outputs for name in output.names)


def _no_file(field: Field) -> str:
    raise field.problem("a URDF file can only be named in an embodiment file that is read by path")


def parse(mapping: Mapping[str, object], where: str, read_urdf: ReadUrdf = _no_file) -> Embodiment:
    """The embodiment that a file's content describes; `where` names the file in messages.

    `read_urdf` reads the URDF files that it names.

    Raises EmbodimentError with the key's path, what was got and what was expected: unknown or
    missing keys, wrong types, lengths and ranges, non-finite numbers, an output that does not
    exist, a joint named twice, commanded by no key or without limits. A generated file
    (`gr00t sidecar describe`) that still has places to fill in is refused first.
    """
    unfilled = list(Field(mapping, where).unfilled())
    if unfilled:
        places = "".join(f"\n- {path}" for path in unfilled)
        raise EmbodimentError(f"{where}: {len(unfilled)} still to be filled in:{places}")
    field, unsettled = read_marks(Field(mapping, where))
    at = field.keys(FILE)
    rate_hz = at["rate_hz"].number(*RATE_RANGE_HZ)
    state = read_state(at["state"].entries(), rate_hz, read_urdf)
    outputs, commands, poses = read_outputs(at["outputs"].entries(), state)
    joint_names = tuple(name for output in outputs for name in output.names)
    if not joint_names:
        raise at["outputs"].problem(
            "none of them has joints, expected one at least: the plan is one of joints (a gripper "
            "as joint_trajectory, for example)"
        )
    command_names = tuple(name for output in commands for name in output.names)
    limits = at["limits"].fields((*joint_names, *command_names))
    joint_limits = read_limits(limits, joint_names)
    action = read_action(at["action"].entries(), (*outputs, *commands, *poses))
    _refuse_ends_out_of_reach(at["action"].entries(), action, joint_limits)
    any_size = "view_sizes" in at and at["view_sizes"].choice(*VIEW_SIZES) == "any"
    if "variant_of" in at:
        at["variant_of"].text()  # robot/files.py reads it when it looks for the file of a tag
    return Embodiment(
        robot=at["robot"].text(),
        tag=at["embodiment_tag"].text(),
        rate_hz=rate_hz,
        language_keys=_language_keys(at["language_key"]),
        action_horizon=at["action_horizon"].integer(1, MAX_STEPS),
        video=read_video(at["video"].entries(), rate_hz, any_size),
        state=state,
        action=action,
        outputs=outputs,
        limits=joint_limits,
        source=where,
        commands=commands,
        command_limits=read_command_limits(limits, commands),
        workspace=(
            read_workspace(at["workspace"], state, joint_names, read_urdf)
            if "workspace" in at
            else None
        ),
        unsettled=unsettled,
        poses=poses,
        server_tags=_server_tags(at["server_tags"]) if "server_tags" in at else {},
        contacts=read_contacts(at["contact"].entries()) if "contact" in at else (),
    )


def _language_keys(field: Field) -> tuple[str, ...]:
    """One key, or a list of several."""
    return field.names() if isinstance(field.value, (list, tuple)) else (field.text(),)


def _server_tags(field: Field) -> Mapping[str, str]:
    """One text for each model version that is named."""
    return {version: item.text() for version, item in field.fields((), MODEL_VERSIONS).items()}


def _refuse_ends_out_of_reach(
    fields: Mapping[str, Field], action: tuple[ActionKey, ...], limits: JointLimits
) -> None:
    """A threshold produces two values; both must be inside the joint's limits."""
    for key in action:
        if key.threshold is None:
            continue
        for ends, name in zip(_ends(key), key.names, strict=True):
            problem = next((p for end in ends for p in limits.outside({name: end})), None)
            if problem is not None:
                low, high = ends
                raise fields[key.key].problem(
                    f"its threshold makes {low:g} or {high:g} of every value of {name}, and "
                    f"{problem.replace('it is at', 'got')}: no end may lie outside, so set its "
                    "margin to 0.0, or scale to ends that the joint reaches"
                )


def _ends(key: ActionKey) -> tuple[tuple[float, float], ...]:
    """The two positions that a key with a threshold commands, for each of its joints, rad or m."""
    return key.scale.joint if key.scale is not None else (UNIT,) * len(key.names)
