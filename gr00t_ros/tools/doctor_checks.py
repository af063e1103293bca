"""The doctor's table: one row a check, with what was found and what to do.

A finding that would refuse an activation (node/readiness, the policy server's check) is a failure.
A finding that the node tolerates but that an operator should know is a warning. The policy server
gets the same requests as at configure, with a zero observation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import JointState

from gr00t_ros.errors import ClosedError, Gr00tError, ObservationError, UnreachableError
from gr00t_ros.graph.collision import Collision
from gr00t_ros.graph.contact import unable
from gr00t_ros.graph.limits import DESCRIPTION, DescribedLimits
from gr00t_ros.graph.traffic import TopicTraffic
from gr00t_ros.inputs.contact import MESSAGES
from gr00t_ros.inputs.rolling import state_roll
from gr00t_ros.inputs.stream_report import SYNCHRONISE, StreamReport
from gr00t_ros.node.readiness import coverage, instruction_problems, too_slow
from gr00t_ros.node.robot_state import ControllerReadings, Positions
from gr00t_ros.node.server import read_access
from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.modality import ModalityConfig, wrong_rows
from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import VideoStream
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import AUTO, LOCAL, OFF, SHOW, Parameters
from gr00t_ros.ros.pulled import graph_name
from gr00t_ros.watch.arm import further_joints
from gr00t_ros.wire.address import shown
from gr00t_ros.wire.link import CheckResult, PolicyLink

PASS, WARN, FAIL = "pass", "warn", "fail"

LOAD_SHARE = 0.9
JITTER_S = 0.02
RATE_SHARE = 0.8
"""Least share of the file's rate. Below it, "late" and "skewed" are judged with a wrong rate."""
LOST_SHARE = 0.05
"""Largest share of lost messages. Above it a needed picture is often missing."""
CLOCK_OFFSET_S = 0.05
"""Largest delay of a usual driver and network. A pause at 0.1 s (max_joint_age_s) is near."""


@dataclass(frozen=True, slots=True)
class DoctorRow:
    """One check: its level, `subject` within `area`, and in one sentence what was found."""

    level: str
    area: str
    subject: str
    text: str


def failures(area: str, problems: Iterable[str], fine: str) -> list[DoctorRow]:
    """One failure for each problem ("NAME: ..." has subject NAME), or one row that passes."""
    rows = []
    for problem in problems:
        subject, colon, text = problem.partition(": ")
        named = colon and " " not in subject
        rows.append(DoctorRow(FAIL, area, subject if named else "", text if named else problem))
    return rows or [DoctorRow(PASS, area, "", fine)]


def instruction(text: str) -> list[DoctorRow]:
    """Whether there is an instruction; without it the node refuses an activation."""
    return failures("instruction", instruction_problems(text), text)


def streams(reports: Sequence[StreamReport], problems: Sequence[str]) -> list[DoctorRow]:
    """Every stream and controller: the node's problem with it, else its age."""
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
            start = "; the plan would start as measured" if silent else ""
            rows.append(DoctorRow(WARN, "stream", one.name, f"{why}{start}"))
        else:
            rows.append(DoctorRow(PASS, "stream", one.name, text))
    rest = [problem for problem in problems if problem not in named]
    return rows + (failures("stream", rest, "") if rest else [])


def controllers(readings: ControllerReadings) -> list[DoctorRow]:
    """Controllers that move more joints than the output that commands them."""
    rows = []
    for output, reading in readings:
        names = () if reading is None else reading.reference.names
        if text := further_joints(output.names, names):
            rows.append(DoctorRow(WARN, "controller", output.name, text))
    return rows


def limits(described: DescribedLimits, problems: Sequence[str]) -> list[DoctorRow]:
    """The file's limits compared with the robot's description."""
    if described.ranges is None and not problems:
        text = f"nothing on {DESCRIPTION}: the file's limits cannot be compared; start "
        text += "robot_state_publisher to have them compared"
        return [DoctorRow(WARN, "limits", DESCRIPTION, text)]
    if described.root == "sdf" and not problems:
        text = "an SDF, whose limits and chains are not read: the file's limits are not compared; "
        text += "publish a URDF to have them compared"
        return [DoctorRow(WARN, "limits", DESCRIPTION, text)]
    missing = described.missing()
    rows = failures("limits", problems, f"inside those of {DESCRIPTION}")
    if missing:
        text = f"no joint that moves in {DESCRIPTION}: {', '.join(missing)}; is it another robot's?"
        rows.append(DoctorRow(WARN, "limits", "", text))
    unstated = described.unstated()
    if unstated:
        text = f"{DESCRIPTION} states no range or no velocity of {', '.join(unstated)}: these of "
        rows.append(DoctorRow(WARN, "limits", "", f"{text}the file could not be compared"))
    return rows


def collision(check: Collision | None, why: str, start: Positions | None) -> list[DoctorRow]:
    """The collision check: scene, description, frames, live obstacles, and the nearest pair.

    check: None if it could not be made, for the reason `why`. start: (J,) of a plan, None if it is
    not known. No row without a check.
    """
    if check is None:
        return failures("collision", [why], "")
    if not check.required:
        return []
    problems = check.problems(start)
    if problems:
        return failures("collision", problems, "")
    warned = [DoctorRow(WARN, "collision", "attached", text) for text in check.unmeasured()]
    return warned + [DoctorRow(PASS, "collision", *fact) for fact in check.facts(start)]


def host(node: Node, simulated: bool, worst_late_s: float) -> list[DoctorRow]:
    """The machine that would run the node: its clock and its processor."""
    rows = []
    if simulated and node.get_clock().now().nanoseconds == 0:
        text = "use_sim_time is true and nothing comes on /clock: start the simulator or the bag"
        rows.append(DoctorRow(FAIL, "clock", "/clock", text))
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] / cores
    shown = f"load {load:.2f} a core, a wake-up up to {1e3 * worst_late_s:.0f} ms late"
    busy = load > LOAD_SHARE or worst_late_s > JITTER_S
    advice = "; free the processor: the node plans every 20 ms" if busy else ""
    rows.append(DoctorRow(WARN if busy else PASS, "cpu", "", shown + advice))
    return rows


def server(embodiment: Embodiment, values: Parameters) -> list[DoctorRow]:
    """Connect, compare and infer twice; blocks until the server answers or its deadlines pass."""
    try:
        refuse = _refusal(embodiment, values)
    except Gr00tError as error:
        return [DoctorRow(FAIL, "server", "", str(error))]
    if values.sidecar_mode == LOCAL:
        text = "the node starts it itself, so it could not be asked; start it, then give host, port"
        return [DoctorRow(WARN, "server", values.sidecar_profile, text)]
    address = shown(values.host, values.port)
    try:
        access = read_access(values)
        link = PolicyLink(
            access.client(),
            embodiment,
            access.token,
            values.strict,
            wants_rtc=values.rtc == AUTO,
            resets=False,
            refuse=refuse,
        )  # without robot_id too: no robot's own episode is asked
    except Gr00tError as error:
        return [DoctorRow(FAIL, "server", address, str(error))]
    try:
        check = link.check()
    except Gr00tError as error:
        different = _differences(link, values.strict)
        fatal = any(row.level == FAIL for row in different)
        text = "does not fit the embodiment: see modality" if fatal else str(error)
        if isinstance(error, UnreachableError) and not isinstance(error, ClosedError):
            text += "; start the server, or give its host and port"
        return [DoctorRow(FAIL, "server", address, " ".join(text.split())), *different]
    finally:
        link.close()
    return [*_reached(embodiment, values, check), *_differences(link, values.strict)]


def _refusal(embodiment: Embodiment, values: Parameters) -> Callable[[ModalityConfig], None] | None:
    """What the node refuses a server for because of roll_state; SettingsError if any server."""
    if not values.roll_state:
        return None
    return state_roll(embodiment, values.shadow, values.rtc != OFF).refuse_relative


def _reached(embodiment: Embodiment, values: Parameters, check: CheckResult) -> list[DoctorRow]:
    address, found = shown(values.host, values.port), check.server
    text = f"{found.generation.label}, {found.array_codec}, {found.key_style} keys"
    covered = coverage(embodiment, values, check.inference_ns, "inference")
    slow = too_slow(covered, values)
    level = FAIL if slow else PASS if covered.covered else WARN
    return [
        DoctorRow(PASS, "server", address, text),
        DoctorRow(level, "latency", address, slow or covered.text),
        *([DoctorRow(PASS, "rtc", address, check.rtc)] if values.rtc == AUTO else []),
    ]


def _differences(link: PolicyLink, strict: bool) -> list[DoctorRow]:
    """The keys of the modality config that differ; a failure where the node would not start."""
    wrong = wrong_rows(link.rows, strict)
    found = [
        DoctorRow(FAIL if row in wrong else WARN, "modality", f"{row.modality}.{row.key}", row.text)
        for row in link.rows
        if row.text
    ]
    if link.rows and not found:
        return [DoctorRow(PASS, "modality", "", f"all {len(link.rows)} keys match the embodiment")]
    return found


def traffic(
    node: Node, embodiment: Embodiment, topics: Mapping[str, TopicTraffic]
) -> list[DoctorRow]:
    """Every sensor topic with messages: what is unusual about it, else how they arrive."""
    videos: dict[str, list[VideoStream]] = {}
    for stream in embodiment.video:
        videos.setdefault(stream.topic, []).append(stream)
    rows = []
    for name, topic in topics.items():
        publishers = node.get_publishers_info_by_topic(name)
        odd = _odd(topic, publishers)
        odd += [text for video in videos.get(name, ()) for text in _size(topic, video)]
        shown = node.resolve_topic_name(name)
        rows += [DoctorRow(WARN, "topic", shown, text) for text in odd]
        if topic.steady_ns and not odd:
            rows.append(DoctorRow(PASS, "topic", shown, _arrival(topic, publishers)))
    return rows


def contacts(
    node: Node, embodiment: Embodiment, values: Parameters, topics: Mapping[str, TopicTraffic]
) -> list[DoctorRow]:
    """Each source of contacts: who publishes it, its rate, and whether it has thresholds.

    A source that reacts and cannot be used would refuse an activation; else it is a warning.
    """
    rows = [DoctorRow(FAIL, "contact", "", text) for text in (unable(embodiment, values),) if text]
    for source in embodiment.contacts:
        shown = f"{source.name} on {node.resolve_topic_name(source.topic)}"
        publishers = node.get_publishers_info_by_topic(node.resolve_topic_name(source.topic))
        wrong = _contact_problem(source, publishers, topics[source.topic], values.contact_silence_s)
        if several := _without_joints(publishers):
            rows.append(DoctorRow(WARN, "contact", shown, several))
        if wrong:
            reacts = values.contact != SHOW and source.reacts
            rows.append(DoctorRow(FAIL if reacts else WARN, "contact", shown, wrong))
            continue
        rate = f"{topics[source.topic].rate_hz:.1f} Hz"
        if not source.reacts:
            text = f"{rate}, no thresholds in the file, so it is only shown: gr00t bag contact"
            rows.append(DoctorRow(WARN, "contact", shown, f"{text} proposes some"))
            continue
        limits = ", ".join(f"{limit:g}" for limit in source.thresholds)
        text = f"thresholds {limits} {source.unit} ({source.source})" if limits else "a flag"
        does = "only shown" if values.contact == SHOW else f"{values.contact}s"
        rows.append(DoctorRow(PASS, "contact", shown, f"{rate}, {text}, {does}"))
    return rows


def _without_joints(publishers: Sequence[TopicEndpointInfo]) -> str:
    """Why several publishers cannot share a topic; empty if they can: each may have its joints."""
    joints = graph_name(JointState)
    nodes = sorted(info.node_name for info in publishers if info.topic_type != joints)
    if len(nodes) < 2:
        return ""
    return (
        f"{len(nodes)} publishers at once ({', '.join(nodes)}): if both send, an activation is "
        "refused where contacts stop the arm: stop one of them"
    )


def _contact_problem(
    source: ContactSource,
    publishers: Sequence[TopicEndpointInfo],
    topic: TopicTraffic,
    silence_s: float,
) -> str:
    """Why the messages of a source cannot be used, empty if they can."""
    if not publishers:
        return "nobody publishes it: start its publisher, or take the source out of the file"
    kinds = [graph_name(kind) for kind in MESSAGES[source.type]]
    sent = sorted({info.topic_type for info in publishers})
    if not set(sent) & set(kinds):
        return f"publishes {', '.join(sent)}, {source.type} expects {' or '.join(kinds)}"
    if not topic.rate_hz:
        names = ", ".join(sorted(info.node_name for info in publishers))
        return f"{names} publishes it, but nothing arrives: does its device deliver?"
    if topic.rate_hz * silence_s < 1.0:
        return (
            f"{topic.rate_hz:.1f} Hz: after {silence_s:g} s (contact_silence_s) without a message "
            "it counts as silent; raise the rate, or that time"
        )
    return ""


def command_readers(node: Node, topics: Iterable[str]) -> list[DoctorRow]:
    """The subscribers of each command topic, and whether a lost message is sent again."""
    rows = []
    for topic in topics:
        for info in node.get_subscriptions_info_by_topic(topic):
            reliability = info.qos_profile.reliability
            shown = reliability.short_key.replace("_", " ")
            text = f"read by {info.node_name}, {shown}"
            if reliability == ReliabilityPolicy.BEST_EFFORT:
                text += ": a message that is lost does not come again, commit_ms covers windows"
            rows.append(DoctorRow(PASS, "reader", topic, text))
    return rows


def clocks(
    node: Node, samples: Iterable[tuple[str, Sample | None]], ros_now_ns: int, now_ns: int
) -> list[DoctorRow]:
    """Controllers whose clock differs from this host's: a window is played by its stamp.

    `samples`: each controller's state topic and its newest state, pulled every 20 ms.
    """
    rows = []
    for name, sample in samples:
        if sample is None:
            continue
        offset_s = (ros_now_ns - (now_ns - sample.received_ns) - sample.stamp_ns) / 1e9
        if abs(offset_s) > CLOCK_OFFSET_S:
            text = f"{_apart(offset_s)}; it plays windows by their stamps: {SYNCHRONISE}"
            rows.append(DoctorRow(WARN, "clock", node.resolve_topic_name(name), text))
    return rows


def _arrival(topic: TopicTraffic, publishers: Sequence[TopicEndpointInfo]) -> str:
    parts = [f"{topic.rate_hz:.1f} Hz", f"{1e3 * topic.offset_s:.0f} ms after its stamp"]
    if topic.size_px is not None:
        parts.append("{}x{}".format(*topic.size_px))
    for info in publishers:
        parts.append(f"{info.topic_type} of {info.node_name}")
        parts.append(info.qos_profile.reliability.short_key.replace("_", " "))
    return ", ".join(parts)


def _apart(offset_s: float) -> str:
    way = "after" if offset_s > 0.0 else "before"
    return f"arrives {abs(offset_s):.3f} s {way} its stamp"


def _odd(topic: TopicTraffic, publishers: Sequence[TopicEndpointInfo]) -> list[str]:
    found = []
    if len(publishers) > 1 and not topic.shared:
        nodes = ", ".join(sorted(info.node_name for info in publishers))
        found.append(f"{len(publishers)} publishers at once ({nodes}): does each send its own?")
    if not topic.steady_ns:
        return found
    sent_hz = topic.rate_hz
    if len(publishers) == 1:  # several publishers have separate sequence numbers
        sent_hz = topic.sent_hz
    if sent_hz > topic.rate_hz and topic.lost_share > LOST_SHARE:
        found.append(
            f"{sent_hz:.1f} Hz are sent and {topic.rate_hz:.1f} Hz arrive, "
            f"{100 * topic.lost_share:.0f} % are lost on the way: {_against_loss(publishers)}"
        )
    if sent_hz < RATE_SHARE * topic.declared_hz:
        found.append(
            f"{sent_hz:.1f} Hz are sent, the file says {topic.declared_hz:g}: set the "
            "driver's rate, or rate_hz in the file"
        )
    if abs(topic.offset_s) > CLOCK_OFFSET_S:
        found.append(f"{_apart(topic.offset_s)}: {SYNCHRONISE} or find the delay")
    if topic.backward:
        found.append("stamps run backward: two sources, or a driver that stamps out of order")
    return found


def _against_loss(publishers: Sequence[TopicEndpointInfo]) -> str:
    """What to change: first the publishers' QoS, then the middleware."""
    advice = "give its publisher a larger shared-memory segment, or the host larger socket buffers"
    weak = sorted({i.node_name for i in publishers if not qos.all_reliable((i,))})
    if weak:
        advice = f"let {', '.join(weak)} offer reliable, or {advice}"
    return f"{advice} (docs/dds.md)"


def _size(topic: TopicTraffic, video: VideoStream) -> list[str]:
    if topic.size_px is None:
        return []
    height_px, width_px = topic.size_px
    if video.framing is not None:
        try:
            height_px, width_px = video.framing.size(height_px, width_px)
        except ObservationError:  # the stream's own row reports a crop outside the picture
            return []
    shown = f"pictures are {height_px}x{width_px}, sent as {video.height_px}x{video.width_px}"
    if height_px < video.height_px or width_px < video.width_px:
        return [f"{shown}: enlarged, the policy sees less than it was trained on"]
    ratio = height_px * video.width_px / (width_px * video.height_px)
    if video.fit == "stretch" and not 0.98 < ratio < 1.02:
        return [f"{shown}: distorted by fit: stretch; choose pad"]
    return []
