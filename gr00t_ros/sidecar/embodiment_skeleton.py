"""The beginning of an embodiment file: known facts are filled in, the rest is marked FILL_IN.

A modality config and facts in, YAML text out. A field is filled in if one source settles it. A mere
possibility becomes a comment after FILL_IN. The strict reader names every field that is still
FILL_IN. Limits are never guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from gr00t_ros.observe.modality import ModalityConfig, ModalityEntry, announced_kind
from gr00t_ros.robot.field import FILL_IN
from gr00t_ros.robot.known import JointRange, Known, KnownCamera, listed, text

_GRIPS: Final = re.compile(
    r"grip|finger|knuckle|hand(?!l)|jaw|claw|thumb|(?<![a-z])(index|middle|ring|pinky)_",
    re.IGNORECASE,
)
_ARM: Final = re.compile("arm", re.IGNORECASE)
_GRIPPER_SPAN: Final = 0.2  # rad or m: parallel grippers open 0.04 to 0.17 m; arm joints move more
_ABOUT_LIMITS: Final = (
    "# No URDF has acceleration and jerk: docs/limits.md says how to choose them. An arm whose",
    "# maker states none begins with 5.0 and 100.0, a gripper in rad with 20.0 and 400.0, in m",
    "# with 1.0 and 20.0.",
    "# If a gripper's name does not show that it is one, set margin 0.0, jump and held unchecked.",
    "# Otherwise it never reaches its ends, and a policy that closes it is refused.",
)
_NONE: Final = ModalityEntry((), ())
_COMMANDS: Final = ("ABSOLUTE NON_EEF", "RELATIVE NON_EEF", "")
_SILENT: Final = "not described by the server"
_NOT_ASKED: Final = "no server was asked what these values are: joint positions are expected"


def skeleton(
    modality: ModalityConfig,
    source: str,
    tag: str | None = None,
    known: Known | None = None,
    robot: str | None = None,
    served: bool = True,
    command: str = "gr00t embodiment new",
) -> str:
    """Return the YAML of an embodiment with `modality`'s keys; `source`: where they come from.

    `known` fills in what it settles: rate, image sizes, joint names that one JointState topic or
    one controller has, controllers, URDF limits. `served`: whether a server announced `modality`,
    and not a dataset. `command`: what writes the file.
    """
    known = known or Known()
    action = modality.get("action", _NONE)
    rate = FILL_IN if known.rate_hz is None else f"{known.rate_hz:g}"
    steps = action.delta_indices
    lines = [
        f"# Begun by `{command}` from {text(source)}.",
        f"# Replace every {FILL_IN}, then: gr00t embodiment validate FILE. What a key means:",
        "# gr00t embodiment explain KEY, docs/embodiment_file.md; all keys in place:",
        "# config/embodiment_template.yaml.",
        *_notes("", known),
        f"robot: {text(robot) if robot else FILL_IN}",
        f"embodiment_tag: {text(tag) if tag else FILL_IN}",
        f"rate_hz: {rate}  # of action steps and of history",
        f"action_horizon: {len(steps) or FILL_IN}{_horizon_remark(steps, served)}",
        *_language(modality.get("language", _NONE)),
        *_section("video", modality.get("video", _NONE), known, served),
        *_section("state", modality.get("state", _NONE), known, served),
        *_actions(action, known, served),
        *_outputs(known),
        *_limits(known),
    ]
    return "\n".join(lines) + "\n"


def _horizon_remark(steps: tuple[int, ...], served: bool) -> str:
    if not steps:
        where = "" if served else " in the modality config of your fine-tuning; no dataset has them"
        return f"  # number of steps that the policy predicts: its action delta_indices{where}"
    if steps == tuple(range(len(steps))):
        return ""
    return f"  # the server's steps are {list(steps)}: this cannot be replayed"


def _language(entry: ModalityEntry) -> Iterator[str]:
    one = text(entry.keys[0]) if entry.keys else FILL_IN
    yield f"language_key: {listed(entry.keys) if len(entry.keys) > 1 else one}"


def _section(name: str, entry: ModalityEntry, known: Known, served: bool) -> Iterator[str]:
    yield ""
    yield f"{name}:" if entry.keys else f"{name}: {FILL_IN}  # no key is announced"
    remark = "" if served else "  # the newest alone, as in GR00T's fine-tuning; no dataset has it"
    body = _camera if name == "video" else partial(_state, served=served)
    for key in entry.keys:
        yield f"  {text(key)}:"
        yield from (f"    {line}" for line in (*_notes(f"{name}.{key}", known), *body(key, known)))
        yield f"    delta_indices: {list(entry.delta_indices)}{remark}"


def _camera(key: str, known: Known) -> Iterator[str]:
    seen = "; ".join(map(_seen, known.cameras))
    yield f"topic: {FILL_IN}" + (f"  # seen: {seen}" if seen else "")
    size = known.sizes.get(key)
    if size is None or f"video.{key}" in known.questions:
        hint = f"; the dataset's: {list(size)}" if size else ""
        yield f"size: {FILL_IN}  # [height, width] in pixels, the same for all cameras{hint}"
    else:
        yield f"size: [{size[0]}, {size[1]}]  # from the dataset; the same for all cameras"
    yield f"fit: {FILL_IN}  # pad or stretch"


def _seen(camera: KnownCamera) -> str:
    rate = f", {camera.rate_hz:.0f} Hz" if camera.rate_hz else ""
    return f"{camera.topic} {camera.height_px}x{camera.width_px} {camera.transport}{rate}"


def _state(key: str, known: Known, served: bool) -> Iterator[str]:
    names = known.state_names.get(key, ())
    topic = known.joint_topic(names)
    if topic is not None and f"state.{key}" not in known.questions:
        yield "from: joints"
        yield f"topic: {topic}"
        yield f"names: {listed(names)}"
        yield from _scale_remark(key, names, known)
        return
    yield f"from: {FILL_IN}  # joints, pose, tf, imu, constant, kinematics: docs/own_robot.md"
    yield f"topic: {FILL_IN}{_topics(known)}"
    hint = f"; the dataset's: {listed(names)}" if names else ""
    order = (
        "the server's order, as many as the checkpoint's width" if served else "the dataset's order"
    )
    yield f"names: {FILL_IN}  # in {order}{hint}"
    yield from _scale_remark(key, names, known)


def _scale_remark(key: str, names: tuple[str, ...], known: Known) -> Iterator[str]:
    """Yield how a gripper's values become its joint's, as a comment: no source states the unit."""
    if not (names and any(map(_GRIPS.search, (key, *names)))) or _ARM.search(key):
        return
    found = known.ranges.get(names[0])
    ends = "[AT_0, AT_1]" if found is None else f"[{found.lower:g}, {found.upper:g}]"
    yield f"# If the training data has 0 .. 1 here, add scale: {ends}, the joint's position at 0"
    yield "# and at 1; other ends than 0 and 1: range, docs/own_robot.md."


def _topics(known: Known) -> str:
    every = known.joint_topics.items()
    seen = "; ".join(
        f"{topic} has {listed(has) if has else 'no positions'}" for topic, has in every
    )
    return f"  # joint states: {seen}" if seen else ""


def _actions(entry: ModalityEntry, known: Known, served: bool) -> Iterator[str]:
    yield ""
    yield "action:" if entry.keys else f"action: {FILL_IN}  # no key is announced"
    configs = entry.action_configs or (None,) * len(entry.keys)
    for key, config in zip(entry.keys, configs, strict=True):
        announced = announced_kind(config)
        silent = _SILENT if served else _NOT_ASKED
        yield f"  {text(key)}:  # {text(announced) if announced else silent}"
        yield from (f"    {line}" for line in _notes(f"action.{key}", known))
        names = known.action_names.get(key, ())
        if announced in _COMMANDS:
            yield from _command(names, known, f"action.{key}" in known.questions)
            yield from (f"    {line}" for line in _scale_remark(key, names, known))
        else:
            yield "    ignored: true  # these are no joint positions"
            yield f"    names: {listed(names) if names else FILL_IN}  # one for each of its values"
            if announced.startswith("DELTA"):
                yield "    representation: delta"


def _command(names: tuple[str, ...], known: Known, is_open: bool) -> Iterator[str]:
    controller = None if is_open else known.controller(names)
    if controller is None:
        hint = f" The dataset's names: {listed(names)}" if names else ""
        yield f"    output: {FILL_IN}  # or ignored: true with names.{hint}"
        if any(map(_GRIPS.search, names)):
            yield "    # A gripper behind an action (parallel_gripper_command): docs/outputs.md."
    else:
        yield f"    output: {text(controller.name)}"
        yield f"    names: {listed(names)}"


def _notes(place: str, known: Known) -> Iterator[str]:
    """Yield the sources' remarks on a place as comments, then its questions."""
    yield from (f"# {text(remark)}" for remark in known.remarks.get(place, ()))
    yield from (f"# QUESTION: {text(question)}" for question in known.questions.get(place, ()))


def _outputs(known: Known) -> Iterator[str]:
    """Yield the `outputs` section: every trajectory controller that was found."""
    yield ""
    if not known.controllers:
        yield f"outputs: {FILL_IN}  # name: {{type, topic, state_topic, names}} of each controller"
        return
    yield "outputs:  # remove those that the policy must not command"
    for controller in known.controllers:
        yield f"  {text(controller.name)}:"
        yield "    type: joint_trajectory"
        yield f"    topic: {controller.topic}"
        yield f"    state_topic: {controller.state_topic}"
        yield f"    names: {listed(controller.names)}"


def _limits(known: Known) -> Iterator[str]:
    """Yield the `limits` section: all joints of the controllers, with the URDF's limits."""
    yield ""
    names = [(name, controller) for controller in known.controllers for name in controller.names]
    if not names:
        yield f"limits: {FILL_IN}  # of every joint that an output names"
        return
    yield from _ABOUT_LIMITS
    yield "limits:"
    for name, controller in names:
        keys = [key for key, has in known.action_names.items() if name in has]
        found = known.ranges.get(name)
        yield f"  {text(name)}:"
        yield from (f"    {line}" for line in _range(found))
        owners = [owner for owner in (controller.name, *keys) if not _ARM.search(owner)]
        grips = any(map(_GRIPS.search, (name, *owners)))  # an arm's key may name the gripper too
        yield from (f"    {line}" for line in (_gripper() if grips else _other(found)))


def _range(found: JointRange | None) -> Iterator[str]:
    """Yield the URDF's limits; a limit that it does not state is infinite, and stays open."""
    stated = found is not None and math.isfinite(found.upper - found.lower)
    yield f"position: {[found.lower, found.upper] if found and stated else FILL_IN}"
    stated = found is not None and math.isfinite(found.velocity)
    yield f"velocity: {found.velocity if found and stated else FILL_IN}"
    yield f"acceleration: {FILL_IN}"
    yield f"jerk: {FILL_IN}"


def _gripper() -> Iterator[str]:
    yield "margin: 0.0  # a gripper or hand: it must reach its ends and hold there"
    yield "jump: unchecked  # a policy opens or closes it in one step, which is then made smooth"
    yield "held: unchecked  # a grasped object keeps it from the commanded position"


def _other(found: JointRange | None) -> Iterator[str]:
    """Yield the margins of an arm's joint, or of an axis of unknown unit, in parts of its range.

    A prismatic joint of 10 cm must not get an angle's margin, which would be 5 cm.
    """
    span = math.inf if found is None else found.upper - found.lower
    if span < _GRIPPER_SPAN:
        yield f"margin: {FILL_IN}  # short range: for a gripper 0.0, unchecked, unchecked"
        yield f"jump: {FILL_IN}"
        yield f"held: {FILL_IN}"
        return
    part = min(1.0, span)
    yield f"margin: {0.05 * part:.3g}  # kept inside the position limits"
    yield f"jump: {0.15 * part:.3g}  # from the held position to a chunk's first step"
    yield f"held: {0.05 * part:.3g}  # |held - measured| at a start"
