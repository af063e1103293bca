"""The outputs and limits of a starting embodiment file, from controllers and a URDF.

Refuses to invent a limit: what a URDF does not say is FILL_IN.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from gr00t_ros.core.schema import FILL_IN
from gr00t_ros.sidecar.known import JointRange, Known
from gr00t_ros.sidecar.yaml_text import listed, text


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
    names = [name for controller in known.controllers for name in controller.names]
    if not names:
        yield f"limits: {FILL_IN}  # of every joint that an output names"
        return
    yield "# position and velocity from robot_description; acceleration and jerk are in no URDF:"
    yield "# take the maker's data sheet, begin far below it (a Franka here runs with 6 and 400)."
    yield "limits:"
    for name in names:
        yield f"  {text(name)}:"
        yield from (f"    {line}" for line in _joint(known.ranges.get(name)))


def _joint(found: JointRange | None) -> Iterator[str]:
    ranged = found is not None and isfinite(found.upper - found.lower)
    fast = found is not None and isfinite(found.velocity)
    yield f"position: {[found.lower, found.upper]}" if found and ranged else f"position: {FILL_IN}"
    yield f"velocity: {found.velocity}" if found and fast else f"velocity: {FILL_IN}"
    yield f"acceleration: {FILL_IN}"
    yield f"jerk: {FILL_IN}"
    yield "margin: 0.05  # kept inside the position limits"
    yield "jump: 0.15  # of a chunk's first step from the held position"
    yield "held: 0.05  # |held - measured| at a start"
