"""The node gr00t_record: records episodes of one robot, with who commanded it.

The executor thread has services, timers and the screen. The pull thread takes messages from the
middleware 200 times a second. The writing thread writes. The node never commands the robot: in a
takeover it calls the policy node's ~/pause and ~/resume.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from std_srvs.srv import SetBool, Trigger

from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.msg import EpisodeEvent, PolicyStatus
from gr00t_ros.record.episode_bag import channel_of
from gr00t_ros.record.preroll import Preroll, RecordedMessage
from gr00t_ros.record.recorder import Recorder
from gr00t_ros.record.recording import GB, Recording, unfinished
from gr00t_ros.record.session import (
    DISCARD,
    FAILURE,
    STOP,
    SUCCESS,
    PolicyNodeState,
    RecordingEvent,
    RecordingSession,
    RecordingSettings,
)
from gr00t_ros.record.topics import STATUS, RecordedTopic, recorded_topics
from gr00t_ros.record.writer import EpisodeWriter
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.node_help import missing_robot
from gr00t_ros.ros.periodic import PeriodicThread
from gr00t_ros.ros.policy_node import NOT_CONFIGURED, POLICY_NAME, STATUS_SILENT_S
from gr00t_ros.ros.process import (
    checked_name,
    checked_topic,
    declared,
    ranged,
    refuse_unknown,
    run_node,
)
from gr00t_ros.session.mode import AT_REST, MOVING, Mode
from gr00t_ros.srv import SetInstruction

NAME = "gr00t_record"
OPERATOR, POLICY = "operator", "policy"
PULL_NS = 5_000_000
CHECK_S, DIAGNOSE_S = 0.5, 1.0
ANSWER_S = 5.0
MARGIN_S = 0.5
"""Pre-roll beyond the history of an observation: how old its oldest sample may be."""
PARAMETERS: dict[str, tuple[Any, str]] = {
    # name: default, meaning
    "folder": ("", "Folder of the recording; it is created, or gone on in"),
    "embodiment": ("", "The robot: name or path of its file"),
    "policy_node": (POLICY_NAME, "The policy node's name"),
    "instruction": ("", "Instruction of the episodes, until a newer one; empty: the policy node's"),
    "teleop": (False, "No policy: all commands are a person's"),
    "episodes": (OPERATOR, "Who begins and ends episodes: operator, or policy (node's episodes)"),
    "topics": ("", "Further topics to record, separated by spaces"),
    "min_free_gb": (5.0, "Free disk below which no episode begins or goes on, GB"),
    "preroll_s": (0.0, "Time before an episode that is recorded, s; 0: the embodiment's history"),
    "queue_mb": (512, "Most memory for messages that wait for the disk, MB"),
}
_RANGES = {"min_free_gb": (0.0, 1e6), "preroll_s": (0.0, 600.0), "queue_mb": (16, 100_000)}
"""Least and most of each number."""
_FAULTED = (
    "{node} has latched a fault (gr00t operator status says why): let nothing else command the "
    "robot, call gr00t operator reset, then hand back again"
)
_STOPS = "the arm still stops, and {node} resumes only at rest: try again then"
_UNREACHED = "; stop the arm at the robot if it moves, end the policy node or try again"
_QUIET = frozenset(mode.value for mode in (AT_REST | MOVING) - {Mode.FAULT})
"""Modes of the policy node in which a takeover asks it to pause."""
_STALE_S = STATUS_SILENT_S + CHECK_S
"""So long after a pause the newest status may still be one from before it."""


class RecordNode(Node):
    """Creates the recording at its start, and records from the first ~/start on."""

    def __init__(self) -> None:
        """Subscribe and start both threads; raises Gr00tError for missing or wrong parameters."""
        super().__init__(NAME)
        for name, (default, meaning) in PARAMETERS.items():
            descriptor = ParameterDescriptor(description=meaning, read_only=True)
            if name in _RANGES:
                descriptor = ranged(default, *_RANGES[name], meaning)
            declared(self, name, default, descriptor)
        refuse_unknown(self)  # first, so that a misspelt name is not reported as a missing one
        self.embodiment = self._embodiment()
        self._begun_s, self._paused_s = time.monotonic(), float("-inf")
        policy = checked_name("parameter policy_node", self._text("policy_node"))
        self.policy_name = self._full_name(policy)
        for topic in self._text("topics").split():
            checked_topic("parameter topics", topic)
        folder, by = Path(self._text("folder")), self._text("episodes")
        if not self._text("folder"):
            raise SettingsError("parameter folder: got nothing, expected the recording's folder")
        if by not in (OPERATOR, POLICY) or (by == POLICY and self._value("teleop")):
            raise SettingsError(
                f"parameter episodes: got {by!r}, expected {OPERATOR} or {POLICY}; without a "
                f"policy (teleop) only {OPERATOR}"
            )
        events = f"/{NAME}/events"
        self._events = self.create_publisher(EpisodeEvent, "~/events", _EVENTS)
        self._event_channel = channel_of(
            self._events.topic_name or events, "gr00t_ros/msg/EpisodeEvent", _EVENTS
        )
        least_free = round(float(self._value("min_free_gb")) * GB)
        recording = Recording(folder, self._text("embodiment"), least_free)
        recording.claim()
        self.recorder = self._recorder(recording, by == POLICY)
        self._warn_of_unfinished(folder)
        self._serve()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self.recorder.check()
        self.create_timer(CHECK_S, self.recorder.check, clock=steady)
        self.create_timer(DIAGNOSE_S, self._diagnose, clock=steady)
        self._thread = PeriodicThread(
            "record_pull", PULL_NS, 0, self.recorder.pull, self.get_logger().error
        )
        self._thread.start()
        self.get_logger().info(f"ready to record to {folder}")

    def leave(self) -> None:
        """Take no more messages, end the open episode, and write everything."""
        self._thread.stop()
        self.recorder.close()
        for topic in self.recorder.topics:
            assert isinstance(topic, RecordedTopic)
            topic.destroy()

    # --- what a person or a program asks for ---------------------------------------------------

    def start(self, instruction: str = "") -> str:
        """Begin an episode; returns why not, empty if it began."""
        session = self.recorder.session
        return self._why_not(lambda now_ns: session.start(now_ns, instruction))

    def end(self, name: str) -> str:
        """End the open episode, or label the last one; returns why not, empty if it is done."""
        return self._why_not(lambda now_ns: self.recorder.session.end(now_ns, name))

    async def intervene(self, on: bool) -> str:
        """Take over from the policy, or hand back; returns why not, empty if it is done."""
        session, policy = self.recorder.session, self.recorder.session.policy
        mode = "" if policy is None else policy.mode
        if session.settings.teleop:
            return "a person commands all the time (teleop): there is nothing to take over"
        unknown = policy is None and self._may_run()
        if on and not session.taken_over:
            asked = unknown or mode in _QUIET
            problem = await self._ask("pause") if asked else ""
            if asked and not problem:
                self._paused_s = time.monotonic()
            return problem or self._why_not(session.take_over)
        if not on and session.taken_over:
            if mode == Mode.FAULT.value:
                return _FAULTED.format(node=self.policy_name)
            paused = mode == Mode.PAUSED_BY_OPERATOR.value
            if not paused and policy is not None and policy.active and self._stops(mode):
                return _STOPS.format(node=self.policy_name)
            problem = await self._ask("resume") if unknown or paused else ""
            return problem or self._why_not(session.hand_back)
        return ""

    def _may_run(self) -> bool:
        """Whether a policy node that says nothing may move the robot all the same.

        None is known at first; one that was killed is in the graph for some seconds more.
        """
        starts = time.monotonic() - self._begun_s < STATUS_SILENT_S
        serves = self._policy_services["pause"].service_is_ready()
        return starts or serves or self.count_publishers(self.recorder.status_topic) > 0

    def _stops(self, mode: str) -> bool:
        """Whether the pause of a takeover may still be under way in this active mode."""
        return mode == Mode.STOPPING.value or time.monotonic() - self._paused_s < _STALE_S

    def _why_not(self, change: Callable[[int], list[RecordingEvent]]) -> str:
        try:
            self.recorder.change(change)
        except Gr00tError as error:
            return str(error)
        return ""

    async def _ask(self, service: str) -> str:
        """Call a service of the policy node; returns why it refused, empty if it did not.

        A node that is not configured moves nothing: it is neither to pause nor to resume.
        """
        client = self._policy_services[service]
        if not client.service_is_ready():
            text = f"{self.policy_name}/{service}: no such service: does the policy node run?"
            return text + _UNREACHED
        future = client.call_async(Trigger.Request())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        limit = self.create_timer(ANSWER_S, future.cancel, self._beside, clock=steady)
        answer = await future
        self.destroy_timer(limit)
        if answer is None:
            return f"{self.policy_name}/{service}: no answer within {ANSWER_S:g} s{_UNREACHED}"
        if answer.success or answer.message == NOT_CONFIGURED:
            return ""
        return f"{self.policy_name}/{service}: {answer.message}"

    def spawn(self, work: Coroutine[Any, Any, str], done: Callable[[str], None]) -> None:
        """Run `intervene` beside the other callbacks; `done` gets its result."""
        assert self.executor is not None
        task = self.executor.create_task(work)
        task.add_done_callback(lambda ended: done(ended.result()))

    # --- services ------------------------------------------------------------------------------

    def _serve(self) -> None:
        # what a takeover waits for must run beside it, as must everything else
        self._beside = ReentrantCallbackGroup()
        self._policy_services = {
            name: self.create_client(
                Trigger, f"{self.policy_name}/{name}", callback_group=self._beside
            )
            for name in ("pause", "resume")
        }
        self.create_service(SetInstruction, "~/start", self._on_start)
        for name in (STOP, DISCARD, SUCCESS, FAILURE):
            self.create_service(Trigger, f"~/{name}", self._ender(name))
        self.create_service(SetBool, "~/intervene", self._on_intervene, callback_group=self._beside)

    def _on_start(
        self, request: SetInstruction.Request, response: SetInstruction.Response
    ) -> SetInstruction.Response:
        response.message = self.start(request.instruction)
        response.success = not response.message
        episode = self.recorder.session.episode
        response.episode = 0 if episode is None else episode.index
        return response

    def _ender(self, name: str) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def on_end(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.message = self.end(name)
            response.success = not response.message
            return response

        return on_end

    async def _on_intervene(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        response.message = await self.intervene(request.data)
        response.success = not response.message
        return response

    # --- parts ---------------------------------------------------------------------------------

    def _recorder(self, recording: Recording, by_policy: bool) -> Recorder:
        names = recorded_topics(self.embodiment, self.policy_name, self._text("topics").split())
        settings = RecordingSettings(
            self.embodiment.tag, self.policy_name, bool(self._value("teleop")), by_policy
        )
        session = RecordingSession(settings, self._text("instruction"), recording.next_index)
        writer = EpisodeWriter(
            int(self._value("queue_mb")) * 10**6,
            give_room=recording.give_reserve,
            log=self.get_logger().error,
        )
        recorder = Recorder(
            recording,
            session,
            Preroll(round(1e9 * self._preroll_s())),
            writer,
            [RecordedTopic(self, name) for name in names],
            lambda: int(self.get_clock().now().nanoseconds),
            self._announce,
        )
        recorder.by_receipt = not self.get_parameter("use_sim_time").value
        recorder.status_topic = self.resolve_topic_name(f"{self.policy_name}/{STATUS}")
        recorder.read_status = _policy
        return recorder

    def _preroll_s(self) -> float:
        """The parameter, or the history of an observation and its age."""
        given = float(self._value("preroll_s"))
        first = min(min(stream.delta_indices) for stream in self.embodiment.streams)
        needed = -first / self.embodiment.rate_hz + MARGIN_S
        if 0.0 < given < needed:
            raise SettingsError(
                f"parameter preroll_s: got {given:g} s, expected at least {needed:.2f} (the "
                "history of an observation), or 0"
            )
        return given or needed

    def _embodiment(self) -> Embodiment:
        if not self._text("embodiment"):
            raise missing_robot()
        return load_embodiment(self._text("embodiment"))

    def _announce(self, event: RecordingEvent) -> RecordedMessage:
        """Publish an event and log it; returns it as the bag has it."""
        message = EpisodeEvent(
            episode=event.episode, event=event.name, source=event.source, text=event.text
        )
        sec, nanosec = divmod(event.time_ns, 10**9)
        message.header.stamp = Time(sec=sec, nanosec=nanosec)
        self._events.publish(message)
        text = f": {event.text}" if event.text else ""
        self.get_logger().info(f"episode {event.episode}: {event.name} ({event.source}){text}")
        return RecordedMessage(self._event_channel, event.time_ns, serialize_message(message))

    def _warn_of_unfinished(self, folder: Path) -> None:
        names = [one.name for one in unfinished(folder)]
        if names:
            self.get_logger().warning(
                f"{', '.join(names)} not finished; if no recorder runs: "
                f"gr00t record recover {folder}"
            )

    def _diagnose(self) -> None:
        recorder = self.recorder
        episode, counts = recorder.session.episode, recorder.writer.counts
        silent = [one.topic for one in self.topics if one.channel is None]
        problem = recorder.writer.problem or recorder.session.problem
        lost = sum(counts.lost.values())
        level = DiagnosticStatus.OK
        if problem:
            level = DiagnosticStatus.ERROR
        elif lost:
            level = DiagnosticStatus.WARN
        text = "no episode is open" if episode is None else f"records episode {episode.index}"
        values = {
            "messages written": counts.written,
            "MB written": f"{counts.bytes / 1e6:.1f}",
            "MB in the queue": f"{counts.queued_bytes / 1e6:.1f}",
            "GB free": f"{recorder.recording.free_bytes / GB:.1f}",
            "source": recorder.session.source,
            "not published": ", ".join(silent),
            **{f"lost {topic}": count for topic, count in counts.lost.items()},
        }
        lost_text = f"{text}; {lost} messages lost" if lost else text
        status = entry(f"{NAME}: episodes", level, problem or lost_text, values.items())
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    @property
    def topics(self) -> list[RecordedTopic]:
        """The topics with their counts."""
        return [one for one in self.recorder.topics if isinstance(one, RecordedTopic)]

    def _full_name(self, node: str) -> str:
        """A node's name, relative to this node's namespace, in full."""
        return node if node.startswith("/") else f"{self.get_namespace().rstrip('/')}/{node}"

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _text(self, name: str) -> str:
        return str(self._value(name))


_EVENTS = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def _policy(data: bytes) -> PolicyNodeState:
    """What a status says, as it was serialised."""
    status = deserialize_message(data, PolicyStatus)
    return PolicyNodeState(status.mode, int(status.episode), status.instruction)


def leave(node: Node) -> None:
    """End the recorder's node."""
    assert isinstance(node, RecordNode)
    node.leave()
    session = node.recorder.session
    print(f"gr00t record: {session.next_index} episodes", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run_node(RecordNode, None, leave))
