"""A policy node's status as the screen, the line and the JSON of gr00t operator.

Pure: a NodeView in, text out. All text of the node is made printable, because a terminal executes
escape sequences. A width of None means no terminal: nothing is cut.
"""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gr00t_ros.msg import PolicyStatus
from gr00t_ros.robot.limits import TO_LIMIT
from gr00t_ros.ros.policy_node import POLICY_NODE, STATUS_SILENT_S
from gr00t_ros.session.mode import Mode
from gr00t_ros.text_table import printable, table
from gr00t_ros.watch.finding import call

_LABEL = 11  # columns of the label in front of a value
_COUNTS: tuple[str, ...] = ("queries", "query_failures", "chunks_accepted", "chunks_clamped")
_COUNTS += ("chunks_refused", "chunks_dropped", "windows_published")
_FACTS = ("robot", "embodiment_tag", "server", "server_generation", "array_codec", "key_style")

# {operator}: the command with the node's name; {moves}: what the arm does. Every mode has an entry.
_REMEDIES: Mapping[Mode, str] = {
    Mode.UNCONFIGURED: "configure and activate the node: gr00t autostart does both",
    Mode.WAITING: "remove the reason above; gr00t doctor lists every cause",
    Mode.READY: "activate the node: gr00t autostart does it. Then {moves}",
    Mode.BLENDING_IN: "to stop the arm: {operator} pause, or {operator} estop",
    Mode.REPLAYING: "to stop the arm: {operator} pause, or {operator} estop",
    Mode.STOPPING: "wait until the arm rests",
    Mode.HOLDING: "wait for the next chunk: then {moves}",
    Mode.PAUSED: "remove the reason above: then {moves} again by itself",
    Mode.PAUSED_BY_OPERATOR: "{resume}: {moves} again",
    Mode.FAULT: "remove the reason above, then {reset}: {moves} again",
    Mode.FAULT_INACTIVE: "remove the reason above, then {reset}, then activate the node",
}
_MOVING = (Mode.BLENDING_IN, Mode.REPLAYING)


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is known of one policy node: its newest status, and the seconds since its arrival.

    warnings: what is wrong around the node, such as a second node of the same name.
    """

    node: str
    domain: int
    status: PolicyStatus
    age_s: float
    warnings: tuple[str, ...] = ()

    @property
    def shadow(self) -> bool:
        """Whether the node commands no controller."""
        return any(one.key == "shadow" and one.value == "true" for one in self.status.details)

    @property
    def remedy(self) -> str:
        """What the operator can do now."""
        return remedy(self.status.mode, self.node, self.shadow)

    @property
    def silence(self) -> str:
        """Why the status no longer counts; empty while the node publishes it as it should.

        An unconfigured node publishes its status only when it changes.
        """
        if self.age_s <= STATUS_SILENT_S or self.status.mode == Mode.UNCONFIGURED.value:
            return ""
        return (
            f"no status for {self.age_s:.1f} s, expected two a second: the node has ended, stands "
            "still or is not reached. If the robot must stop now, press the hardware e-stop"
        )


def screen(view: NodeView, width: int | None = None) -> list[str]:
    """The whole status as lines, each at most `width` columns wide."""
    lines = [*_head(view, width), "", *_streams(view.status), "", *_latencies(view.status)]
    lines += [*_limits(view.status), *_details(view.status)]
    while lines[-1] == "":
        lines.pop()
    return lines if width is None else [cut(line, width) for line in lines]


def frame(lines: Sequence[str], rows: int, first: bool) -> str:
    """The text that draws `lines` over the last frame on a terminal with `rows` rows.

    One row stays free for the cursor, so that the terminal never scrolls.
    """
    room = max(1, rows - 1)
    if len(lines) > room:
        hidden = len(lines) - room + 1
        more = f"... {hidden} more lines: enlarge the terminal, or see the verb status"
        lines = [*lines[: room - 1], cut(more, max(map(columns, lines)))]
    begin = "\x1b[2J\x1b[H" if first else "\x1b[H"
    return begin + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"


def line(view: NodeView) -> str:
    """The status in one line, for output that is no terminal."""
    status = view.status
    late = [stream.name for stream in status.streams if not stream.fresh or stream.problem]
    parts = [
        status.mode,
        f"episode {status.episode}",
        f"chunks {status.chunks_accepted} accepted, {status.chunks_refused} refused",
        f"streams {len(status.streams) - len(late)} of {len(status.streams)} good",
        view.silence or status.reason,
    ]
    return printable("  ".join(part for part in parts if part))


def figures(view: NodeView) -> dict[str, object]:
    """The whole status as plain values for JSON; a number that is unknown or not finite is null."""
    status = view.status
    return {
        "node": view.node,
        "ros_domain_id": view.domain,
        "age_s": _number(view.age_s),
        "warnings": [*filter(None, (view.silence,)), *view.warnings],
        "stamp_s": status.header.stamp.sec + status.header.stamp.nanosec / 1e9,
        "mode": status.mode,
        "reason": status.reason,
        "remedy": view.remedy,
        "ready": status.ready,
        "episode": status.episode,
        "instruction": status.instruction,
        **{name: getattr(status, name) for name in _FACTS},
        "streams": [
            {
                "name": stream.name,
                "topic": stream.topic,
                "fresh": stream.fresh,
                "age_s": _number(stream.age_s) if stream.age_s >= 0.0 else None,
                "max_age_s": _number(stream.max_age_s),
                "received": stream.received,
                "problem": stream.problem,
            }
            for stream in status.streams
        ],
        **{name: getattr(status, name) for name in _COUNTS},
        "latencies": [
            {
                "stage": stage.stage,
                "count": stage.count,
                "p50_s": _number(stage.p50_s),
                "p99_s": _number(stage.p99_s),
                "max_s": _number(stage.max_s),
            }
            for stage in status.latencies
        ],
        "details": [{"key": pair.key, "value": pair.value} for pair in status.details],
    }


def remedy(mode: str, node: str, shadow: bool = False) -> str:
    """What the operator can do in this mode; empty for a mode of another version of the node."""
    if shadow and mode in (one.value for one in _MOVING):
        return "none is needed: in shadow no controller is commanded"
    text = next((text for known, text in _REMEDIES.items() if known.value == mode), "")
    name = "" if node == POLICY_NODE else node
    return text.format(
        operator=f"gr00t operator --node {name}" if name else "gr00t operator",
        reset=call("reset", name),
        resume=call("resume", name),
        moves="the plan runs in shadow" if shadow else "the arm moves",
    )


def columns(text: str) -> int:
    """The columns of a terminal that `text` takes: East Asian wide characters take two."""
    return len(text) + sum(unicodedata.east_asian_width(char) in "WF" for char in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns; "..." at its end if something was cut off."""
    if columns(text) <= width:
        return text
    text = text[:width]
    while text and columns(text) > width - 3:
        text = text[:-1]
    return (text + "...")[:width]


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _head(view: NodeView, width: int | None) -> Iterator[str]:
    status = view.status
    age = f"status {view.age_s:.1f} s old"
    yield printable(f"{view.node}  {status.mode.upper()}  ({age}, ROS_DOMAIN_ID {view.domain})")
    for text in filter(None, (view.silence, *view.warnings)):
        yield from _value("WARNING", text, width)
    # One line for each part: an activation is refused with several reasons in one text, and a file
    # that leaves questions open with all of them.
    for number, part in enumerate(re.split("; |\n", status.reason or "none")):
        yield from _value("reason" if number == 0 else "", part, width)
    yield from _value("remedy", view.remedy, width)
    facts = [f"{status.robot} {status.embodiment_tag}".strip(), _server(status)]
    yield from _value("robot", ", ".join(filter(None, facts)), width)
    yield from _value("episode", f"{status.episode}: {status.instruction or 'none'}", width)
    yield from _value("chunks", _chunks(status), width)


def _value(label: str, text: str, width: int | None) -> list[str]:
    """A label and its text, continued below the text where the width ends."""
    text = printable(text)
    parts = [text]
    if width is not None:
        wide = columns(text) > len(
            text
        )  # textwrap counts characters, and each may take two columns
        room = max(10, width - _LABEL) // (2 if wide else 1)
        parts = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    labels = [label, *[""] * (len(parts) - 1)]
    return [f"{name:{_LABEL}}{part}".rstrip() for name, part in zip(labels, parts, strict=True)]


def _server(status: PolicyStatus) -> str:
    if not status.server:
        return ""
    found = " ".join(filter(None, (status.server_generation, status.array_codec)))
    return f"server {status.server}" + (f" ({found})" if found else "")


def _chunks(status: PolicyStatus) -> str:
    return (
        f"{status.chunks_accepted} accepted ({status.chunks_clamped} clamped), "
        f"{status.chunks_refused} refused, {status.chunks_dropped} dropped; "
        f"{status.queries} queries, {status.query_failures} failed; "
        f"{status.windows_published} windows sent"
    )


def _streams(status: PolicyStatus) -> list[str]:
    if not status.streams:
        return ["no streams: the node is not configured"]
    rows = [
        (
            stream.name,
            f"{stream.age_s:.3f}" if stream.age_s >= 0.0 else "never",
            f"{stream.max_age_s:.3f}",
            stream.received,
            "" if stream.fresh else "LATE",
            stream.problem,
        )
        for stream in status.streams
    ]
    return table(("stream", "age s", "limit s", "received", "", "problem"), rows).split("\n")


def _latencies(status: PolicyStatus) -> list[str]:
    if not status.latencies:
        return []
    rows = [
        (stage.stage, *(f"{1e3 * s:.1f}" for s in (stage.p50_s, stage.p99_s, stage.max_s)))
        for stage in status.latencies
    ]
    return [*table(("latency", "p50 ms", "p99 ms", "max ms"), rows).split("\n"), ""]


def _limits(status: PolicyStatus) -> list[str]:
    rows = [
        (pair.key.removeprefix(TO_LIMIT), pair.value)
        for pair in status.details
        if pair.key.startswith(TO_LIMIT)
    ]
    return [*table(("closest to limits", "left"), rows).split("\n"), ""] if rows else []


def _details(status: PolicyStatus) -> list[str]:
    return [
        printable(f"{pair.key}: {pair.value}")
        for pair in status.details
        if not pair.key.startswith(TO_LIMIT)
    ]
