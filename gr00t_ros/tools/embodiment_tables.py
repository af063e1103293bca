"""What an embodiment file says, as tables for people and as rows for programs. No ROS."""

from __future__ import annotations

import math

from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import Scale
from gr00t_ros.sidecar.target import facts
from gr00t_ros.text_table import table

_PARTS = ("part", "key", "goes to or comes from", "what")
_VALUES = ("key", "value", "name", "the policy's value")


def figures_of(embodiment: Embodiment) -> dict[str, object]:
    """The tables of `summary` for programs: one map for each row."""
    tables = {
        "parts": (_PARTS, _parts(embodiment)),
        "values": (_VALUES, _values(embodiment)),
        "limits": (_LIMITS, _limits(embodiment)),
    }
    return _about(embodiment) | {
        name: [dict(zip(header, row, strict=True)) for row in rows]
        for name, (header, rows) in tables.items()
    }


def _about(embodiment: Embodiment) -> dict[str, object]:
    return {
        "file": embodiment.source,
        "robot": embodiment.robot,
        "embodiment tag": embodiment.tag,
        "steps": f"{embodiment.action_horizon} at {embodiment.rate_hz:g} Hz",
        "language key": ", ".join(embodiment.language_keys),
    }


def summary(embodiment: Embodiment) -> str:
    """The file as tables, to be compared with the documents of the robot and the policy."""
    parts = [
        facts(_about(embodiment)),
        table(_PARTS, _parts(embodiment)),
        table(_VALUES, _values(embodiment)),
        table(_LIMITS, _limits(embodiment)),
    ]
    return "\n\n".join(parts)


def _parts(embodiment: Embodiment) -> list[tuple[str, ...]]:
    """One row for each stream, action, output and open question."""
    rows: list[tuple[str, ...]] = [
        ("video", v.key, v.topic, f"{v.height_px}x{v.width_px} {v.fit}, {list(v.delta_indices)}")
        for v in embodiment.video
    ]
    rows += [
        ("state", s.key, ", ".join(s.topics) or "constant", f"{s.width} values")
        for s in embodiment.state
    ]
    rows += [
        ("action", a.key, a.output or "ignored", f"{a.width} values") for a in embodiment.action
    ]
    rows += [("output", o.name, o.topic, f"{len(o.names)} joints") for o in embodiment.outputs]
    rows += [("output", o.name, o.topic, o.type) for o in embodiment.commands]
    rows += [("output", o.name, o.topic, o.type) for o in embodiment.poses]
    rows += [("contact", c.name, c.topic, _contact(c)) for c in embodiment.contacts]
    rows += [("unsettled", u.path, "", f"assumed: {u.assumed:.40}") for u in embodiment.unsettled]
    return rows


def _contact(source: ContactSource) -> str:
    shown = "" if source.reacts else ", only shown"
    limits = ", ".join(f"{limit:g}" for limit in source.thresholds)
    return f"{source.type}{shown}" + (f", {limits} {source.unit}" if limits else "")


def _values(embodiment: Embodiment) -> list[tuple[str, ...]]:
    """One row for each value of states and actions, in the policy's order."""
    rows: list[tuple[str, ...]] = []
    for stream in embodiment.state:
        if stream.encode is not None:
            columns = stream.columns or range(stream.width)
            what = [f"{stream.encode}[{column}]" for column in columns]
            unit = "" if stream.frame is None else f"in {stream.frame}"
            lines = [(name, unit) for name in what]
        elif stream.names:
            lines = [(n, _line(stream.scale, i, "")) for i, n in enumerate(stream.names)]
        else:
            lines = [(f"{value:g}", "constant") for value in stream.values]
        rows += [(f"state.{stream.key}", str(i), *line) for i, line in enumerate(lines)]
    for action in embodiment.action:
        for i, name in enumerate(action.names):
            text = _line(action.scale, i, action.unit)
            text += "" if action.threshold is None else f", above {action.threshold:g} the upper"
            text += ", delta" if action.representation == "delta" else ""
            rows.append((f"action.{action.key}", str(i), name, text))
    return rows


def _line(scale: Scale | None, i: int, unit: str) -> str:
    """The unit and the ranges that map the policy's value to the joint's."""
    if scale is None:
        return unit or "as it is"
    (first, last), (low, high) = scale.joint[i], scale.policy[i]
    return f"{unit} {low:g} .. {high:g} is {first:g} .. {last:g}".strip()


_LIMITS = (
    "output",
    "joint",
    "position (rad, m)",
    "a second",
    "a second^2",
    "a second^3",
    "margin",
    "jump",
    "held",
)


def _limits(embodiment: Embodiment) -> list[tuple[str, ...]]:
    """One row for each joint and command, in its controller's order."""
    limits, rows = embodiment.limits, []
    of = {name: output.name for output in embodiment.outputs for name in output.names}
    for i, name in enumerate(limits.names):
        ends = f"[{limits.lower[i]:g}, {limits.upper[i]:g}]"
        numbers = (limits.velocity, limits.acceleration, limits.jerk, limits.margin)
        checks = (limits.jump, limits.held)
        cells = [f"{array[i]:g}" for array in numbers]
        cells += [f"{array[i]:g}" if math.isfinite(array[i]) else "unchecked" for array in checks]
        rows.append((of[name], name, ends, *cells))
    command, none = embodiment.command_limits, ("",) * 5
    owner = {name: output for output in embodiment.commands for name in output.names}
    for i, name in enumerate(command.names):
        ends = f"[{command.lower[i]:g}, {command.upper[i]:g}]"
        rate = f"{command.rate[i]:g}" if owner[name].goals is None else "by goals"
        rows.append((owner[name].name, name, ends, rate, *none))
    for output in embodiment.commands:
        for vector in output.vectors:
            together = f"|{', '.join(vector.names)}|"
            rows.append((output.name, together, f"{vector.speed:g}", f"{vector.rate:g}", *none))
    return rows
