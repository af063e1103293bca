"""The doctor's table: one row a check, with what was found and what to do.

What refuses an activation is robot_checks' and the policy server's word and a failure here; what
the node would tolerate, but an operator should know, is a warning. Decides nothing about motion.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rclpy.node import Node

from gr00t_ros.core.embodiment import Embodiment, VideoStream
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros.described_limits import TOPIC as DESCRIPTION
from gr00t_ros.ros.described_limits import DescribedLimits
from gr00t_ros.ros.readiness import NO_INSTRUCTION
from gr00t_ros.ros.stream_report import StreamReport
from gr00t_ros.ros.surroundings import Readings
from gr00t_ros.ros.traffic import Topic

PASS, WARN, FAIL = "pass", "warn", "fail"

RATE_SHARE = 0.8
"""Of the rate that the file promises: below, late and skewed are measured by the wrong rate."""
CLOCK_OFFSET_S = 0.05
"""Later than a driver and a network usually are: a pause at 0.1 s is near (max_joint_age_s)."""
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
    """Whether there is one: an activation wants it, and it can be given until then."""
    row = (
        Row(PASS, "instruction", "", text) if text else Row(WARN, "instruction", "", NO_INSTRUCTION)
    )
    return [row]


def streams(
    reports: Sequence[StreamReport], problems: Sequence[str], topics: Mapping[str, Topic]
) -> list[Row]:
    """Every stream and controller: what the node says against it, else its age and rate."""
    rows, named = [], set()
    for one in reports:
        found = [problem for problem in problems if problem.startswith(f"{one.name}: ")]
        named.update(found)
        text = f"{one.topic}: newest {max(one.age_s, 0.0):.2f} s old"
        if one.topic in topics:
            text += f", {topics[one.topic].rate_hz:.1f} Hz"
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


def traffic(node: Node, embodiment: Embodiment, topics: Mapping[str, Topic]) -> list[Row]:
    """Rates, stamps, publishers and picture sizes of the sensor topics."""
    rows = []
    for name, topic in topics.items():
        publishers = node.get_publishers_info_by_topic(name)
        rows += [Row(WARN, "topic", name, text) for text in _odd(topic, len(publishers))]
    sizes = {stream.topic: stream for stream in embodiment.video}
    for name, video in sizes.items():
        rows += [Row(WARN, "camera", name, text) for text in _size(topics[name], video)]
    heard = any(topic.steady_ns for topic in topics.values())
    fine = [Row(PASS, "topic", "", "rates, stamps, publishers and sizes as the file says")]
    return rows or fine * heard


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


def _odd(topic: Topic, publishers: int) -> list[str]:
    found = []
    if publishers > 1:
        found.append(f"{publishers} publishers at once: samples of two sources mix; stop one")
    if not topic.steady_ns:
        return found
    if topic.rate_hz < RATE_SHARE * topic.declared_hz:
        found.append(
            f"{topic.rate_hz:.1f} Hz, the file says {topic.declared_hz:g}: set the driver's rate, "
            "or rate_hz in the file"
        )
    if abs(topic.offset_s) > CLOCK_OFFSET_S:
        found.append(
            f"arrives {topic.offset_s:.3f} s after its stamp: synchronise the clocks (chrony, PTP) "
            "or find the delay"
        )
    if topic.backward:
        found.append("stamps run backward: two sources, or a driver that stamps out of order")
    return found


def _size(topic: Topic, video: VideoStream) -> list[str]:
    if topic.size_px is None:
        return []
    height_px, width_px = topic.size_px
    if video.framing is not None:
        try:
            height_px, width_px = video.framing.size(height_px, width_px)
        except ObservationError:  # the stream's own row names the crop that lies outside
            return []
    shown = f"pictures are {height_px}x{width_px}, sent as {video.height_px}x{video.width_px}"
    if height_px < video.height_px or width_px < video.width_px:
        return [f"{shown}: enlarged, the policy sees less than it was trained on"]
    ratio = height_px * video.width_px / (width_px * video.height_px)
    if video.fit == "stretch" and not 0.98 < ratio < 1.02:
        return [f"{shown}: distorted by fit: stretch; choose pad"]
    return []


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
        text = f"not in {DESCRIPTION}: {', '.join(missing)}; is it another robot's?"
        rows.append(Row(WARN, "limits", "", text))
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
