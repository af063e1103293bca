"""The outputs and limits of a starting embodiment file, from controllers and a URDF.

Refuses to invent a limit: what a URDF does not say is FILL_IN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from gr00t_ros.core.schema import FILL_IN
from gr00t_ros.sidecar.known import JointRange, Known
from gr00t_ros.sidecar.yaml_text import listed, text

_GRIPS: Final = re.compile(
    r"grip|finger|knuckle|hand(?!l)|jaw|claw|thumb|(?<![a-z])(index|middle|ring|pinky)_",
    re.IGNORECASE,
)
_ARM: Final = re.compile("arm", re.IGNORECASE)
_GRIPPER_SPAN: Final = 0.2  # rad or m: parallel grippers open 0.04 to 0.17 m, no arm has so little
_ABOUT_LIMITS: Final = (
    "# position and velocity from robot_description; acceleration and jerk are in no URDF: take",
    "# the maker's data sheet, begin far below it (a Franka here runs with 6 and 400). Where a",
    "# gripper is not told by its name: margin 0.0, jump and held unchecked. Else it never reaches",
    "# its ends, and a policy that closes it is refused.",
)


def output_lines(known: Known) -> Iterator[str]:
    """Yield the `outputs` section: every trajectory controller that was seen."""
    yield ""
    if not known.controllers:
        yield f"outputs: {FILL_IN}  # name: {{type, topic, state_topic, names}} of each controller"
        return
    yield "outputs:  # remove what the policy shall not command"
    for controller in known.controllers:
        yield f"  {text(controller.name)}:"
        yield "    type: joint_trajectory"
        yield f"    topic: {controller.topic}"
        yield f"    state_topic: {controller.state_topic}"
        yield f"    names: {listed(controller.names)}"


def limit_lines(known: Known) -> Iterator[str]:
    """Yield the `limits` section: all joints of the controllers, with the URDF's numbers."""
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
        whose = [of for of in (controller.name, *keys) if not _ARM.search(of)]
        grips = any(map(_GRIPS.search, (name, *whose)))  # never a whole arm by its key's name
        yield from (f"    {line}" for line in (_gripper() if grips else _other(found)))


def _range(found: JointRange | None) -> Iterator[str]:
    """What a URDF says; a limit that it does not state is infinite, and open here."""
    stated = found is not None and math.isfinite(found.upper - found.lower)
    yield f"position: {[found.lower, found.upper] if found and stated else FILL_IN}"
    stated = found is not None and math.isfinite(found.velocity)
    yield f"velocity: {found.velocity if found and stated else FILL_IN}"
    yield f"acceleration: {FILL_IN}"
    yield f"jerk: {FILL_IN}"


def _gripper() -> Iterator[str]:
    yield "margin: 0.0  # a gripper or hand: it must reach its ends and hold there"
    yield "jump: unchecked  # it is told to open or close in one step, which is made smooth"
    yield "held: unchecked  # what it holds keeps it from where it is told to be"


def _other(found: JointRange | None) -> Iterator[str]:
    """Of an arm, or of an axis of unknown unit: a joint of 10 cm has no margin of 5."""
    span = math.inf if found is None else found.upper - found.lower
    if span < _GRIPPER_SPAN:
        yield f"margin: {FILL_IN}  # so short: a gripper? Then 0.0, unchecked, unchecked"
        yield f"jump: {FILL_IN}"
        yield f"held: {FILL_IN}"
        return
    part = min(1.0, span)
    yield f"margin: {0.05 * part:.3g}  # kept inside the position limits"
    yield f"jump: {0.15 * part:.3g}  # of a chunk's first step from the held position"
    yield f"held: {0.05 * part:.3g}  # |held - measured| at a start"
