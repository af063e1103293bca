"""The doctor's table: one row a check, with what was found and what to do.

What refuses an activation is robot_checks' and the policy server's word and a failure here; what
the node would tolerate, but an operator should know, is a warning. Decides nothing about motion.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rclpy.node import Node

from gr00t_ros.ros.described_limits import TOPIC as DESCRIPTION
from gr00t_ros.ros.described_limits import DescribedLimits
from gr00t_ros.ros.readiness import instruction_problems
from gr00t_ros.ros.stream_report import StreamReport
from gr00t_ros.ros.surroundings import Readings

PASS, WARN, FAIL = "pass", "warn", "fail"

LOAD_SHARE = 0.9
JITTER_S = 0.02


@dataclass(frozen=True, slots=True)
class Row:
    """One check: `subject` within `area`, its level, and in a sentence what was found."""

    level: str
    area: str
    subject: str
    text: str


def failures(area: str, problems: Iterable[str], fine: str) -> list[Row]:
    """One failure a problem; "NAME: ..." is about NAME. Without any one row that passes."""
    rows = []
    for problem in problems:
        subject, colon, text = problem.partition(": ")
        named = colon and " " not in subject
        rows.append(Row(FAIL, area, subject if named else "", text if named else problem))
    return rows or [Row(PASS, area, "", fine)]


def instruction(text: str) -> list[Row]:
    """Whether there is one: as the node's own check, an activation is refused without it."""
    return failures("instruction", instruction_problems(text), text)


def streams(reports: Sequence[StreamReport], problems: Sequence[str]) -> list[Row]:
    """Every stream and controller: what the node says against it, else its age."""
    rows, named = [], set()
    for one in reports:
        found = [problem for problem in problems if problem.startswith(f"{one.name}: ")]
        named.update(found)
        text = f"{one.topic}: newest {max(one.age_s, 0.0):.2f} s old"
        silent = one.name.startswith("controller.") and not one.fresh
        if found:
            rows += failures("stream", found, "")
        elif silent or one.problem:
            why = one.problem or f"nothing from {one.topic}"
            rows.append(Row(WARN, "stream", one.name, f"{why}; the plan would start as measured"))
        else:
            rows.append(Row(PASS, "stream", one.name, text))
    rest = [problem for problem in problems if problem not in named]
    return rows + (failures("stream", rest, "") if rest else [])


def controllers(readings: Readings) -> list[Row]:
    """Controllers that move more joints than the output which commands them."""
    rows = []
    for output, reading in readings:
        names = () if reading is None else reading.reference.names
        others = ", ".join(name for name in names if name not in output.names)
        if others:
            text = f"its controller moves {others} too: it takes windows without them only with "
            text += "allow_partial_joints_goal true"
            rows.append(Row(WARN, "controller", output.name, text))
    return rows


def limits(described: DescribedLimits, problems: Sequence[str]) -> list[Row]:
    """The file's limits against the robot's description."""
    if described.unreadable:
        return [Row(WARN, "limits", DESCRIPTION, described.unreadable)]
    if described.ranges is None:
        text = f"nothing on {DESCRIPTION}: the file's limits cannot be compared; start "
        text += "robot_state_publisher to have them compared"
        return [Row(WARN, "limits", DESCRIPTION, text)]
    missing = described.missing()
    rows = failures("limits", problems, f"inside those of {DESCRIPTION}")
    if missing:
        text = f"no joint that moves in {DESCRIPTION}: {', '.join(missing)}; is it another robot's?"
        rows.append(Row(WARN, "limits", "", text))
    unstated = described.unstated()
    if unstated:
        text = f"{DESCRIPTION} states no range or no velocity of {', '.join(unstated)}: these of "
        rows.append(Row(WARN, "limits", "", f"{text}the file could not be compared"))
    return rows


def host(node: Node, simulated: bool, worst_late_s: float) -> list[Row]:
    """The machine that would run the node: its clock and its processor."""
    rows = []
    if simulated and node.get_clock().now().nanoseconds == 0:
        text = "use_sim_time is true and nothing comes on /clock: start the simulator or the bag"
        rows.append(Row(FAIL, "clock", "/clock", text))
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] / cores
    shown = f"load {load:.2f} a core, a wake-up up to {1e3 * worst_late_s:.0f} ms late"
    busy = load > LOAD_SHARE or worst_late_s > JITTER_S
    advice = "; free the processor: the node plans every 20 ms" if busy else ""
    rows.append(Row(WARN if busy else PASS, "cpu", "", shown + advice))
    return rows
