"""The state of one stream now: its age, its message count and, in one sentence, its problem."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.controller_state import CONTROL_MSGS_STATE, OWN_STATE, ControllerReading
from gr00t_ros.inputs.source import JointSource, Source, SourceSubscription
from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS, Age, Sample
from gr00t_ros.observe.observation import ObservationSettings, content
from gr00t_ros.observe.readings import refuse_unusable, select
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.streams import StateStream, Stream
from gr00t_ros.ros.pulled import InvalidHandle

LOOK_NS = 1_000_000_000
"""Period of the graph queries about one topic: a query is not cheap."""

SYNCHRONISE = "synchronise the clocks (chrony, PTP)"
_DISAGREE = f"clocks disagree; {SYNCHRONISE}, or set use_sim_time for all nodes or for none"
_NO_CLOCK = (
    "use_sim_time is true and nothing comes on /clock: start the simulation or the bag, or set it "
    "to false"
)
_SHOWN = 3  # joints that are named; the rest is counted


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream: `name` is video.KEY, state.KEY or controller.OUTPUT, `topic` as remapped.

    `age_ns` is the larger of stamp age and receive age of the newest usable sample; None: never
    received. `received` counts the messages taken, `refused` those of them that cannot be used.
    """

    name: str
    topic: str
    age_ns: int | None
    max_age_ns: int
    received: int
    refused: int
    problem: str
    usable: bool  # whether the newest sample's content could go into an observation
    mixed: tuple[str, ...] = ()  # joints with two publishers at a time; "" for a whole topic

    @property
    def is_video(self) -> bool:
        """Whether it is of a camera."""
        return self.name.startswith("video.")

    @property
    def age_s(self) -> float:
        """Age in seconds, -1 if nothing usable was received."""
        return -1.0 if self.age_ns is None else self.age_ns / 1e9

    @property
    def max_age_s(self) -> float:
        """Age in seconds above which the stream is late."""
        return self.max_age_ns / 1e9

    @property
    def fresh(self) -> bool:
        """Whether a usable sample is at most max_age old."""
        return self.age_ns is not None and self.age_ns <= self.max_age_ns


def report(
    name: str,
    stream: Stream | Output,
    sources: Sequence[Source],
    now_ros_ns: int,
    now_ns: int,
    settings: ObservationSettings,
) -> StreamReport:
    """Report on a stream whose topics are `sources`; the oldest newest sample gives its age."""
    samples = [source.buffer_of(stream).latest() for source in sources]
    ages = [None if one is None else Age.of(one, now_ros_ns, now_ns) for one in samples]
    ages_ns = [None if age is None else age.ns for age in ages]
    oldest = max(range(len(sources)), key=lambda i: (ages_ns[i] is None, ages_ns[i] or 0))
    newest = [sample for sample in samples if sample is not None]
    unusable = ""
    ahead = [age for age in ages if age is not None and age.future(settings.future_ns)]
    if ahead:
        furthest = min(ahead, key=lambda age: age.stamp_ns)
        unusable = f"{furthest.in_future}: {_NO_CLOCK if not now_ros_ns else _DISAGREE}"
    elif len(newest) == len(sources):
        unusable = _unusable(stream, newest)
    max_age_ns = (
        CONTROLLER_MAX_AGE_NS if isinstance(stream, Output) else settings.max_age_ns(stream)
    )
    late = _late(stream, sources[oldest], ages[oldest], max_age_ns)
    return StreamReport(
        name,
        sources[oldest].subscription.topic,
        ages_ns[oldest],
        max_age_ns,
        sum(source.received for source in sources),
        sum(source.refused for source in sources),
        _problem(stream, sources) or unusable or late,
        not unusable,
        next((mixed for source in sources if (mixed := source.mixed(now_ns))), ()),
    )


def _late(stream: Stream | Output, source: Source, age: Age | None, max_age_ns: int) -> str:
    """Why a stream is late although its topic still delivers; empty if it is not late."""
    if age is not None and not age.late(max_age_ns):
        return ""
    if isinstance(source, JointSource) and isinstance(stream, StateStream):
        behind = source.behind(stream.names, max_age_ns // 2)
        if behind:
            comes = "does not come" if age is None else "no longer comes"
            return (
                f"{', '.join(behind)} {comes} on {source.subscription.topic}, other joints do: let "
                "its publisher name it in each message, or start the one that does"
            )
    if age is None:
        return ""
    behind_ns = age.stamp_ns - age.silent_ns  # age of the stamp when the message arrived
    if behind_ns > max(age.silent_ns, max_age_ns // 2):
        return (
            f"messages come, but their stamps are {behind_ns / 1e9:.2f} s old: {SYNCHRONISE} or "
            "find the delay; a bag or a simulation with a clock of its own needs use_sim_time"
        )
    return ""


def _problem(stream: Stream | Output, sources: Sequence[Source]) -> str:
    """The problem of the first topic that has one; with the topic's name if there are several."""
    for source in sources:
        if problem := source.problem_of(stream):
            return problem if len(sources) == 1 else f"{source.subscription.topic}: {problem}"
    return ""


def _unusable(stream: Stream | Output, newest: Sequence[Sample]) -> str:
    """Why the content of a valid message cannot be used, such as a missing joint."""
    try:
        if isinstance(stream, StateStream):
            refuse_unusable(stream, content(newest))
        elif isinstance(stream, Output) and isinstance(newest[0].value, ControllerReading):
            select(stream.names, newest[0].value.reference)
            select(stream.names, newest[0].value.feedback)
    except ObservationError as error:
        return str(error)
    return ""


class Graph:
    """The publishers of each topic: why a topic is silent, and which nodes publish on it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._looked_ns: dict[str, int] = {}
        self._why: dict[str, str] = {}
        self._names: dict[str, tuple[str, ...]] = {}

    def look(
        self, subscription: SourceSubscription, now_ns: int, mixed: bool = False
    ) -> Sequence[TopicEndpointInfo] | None:
        """The publishers of a topic, asked once a second; called by the pull thread.

        Asks immediately if it is `mixed` and fewer than two are known. None if it does not ask now.
        """
        name = subscription.topic
        unknown = mixed and len(self._names.get(name, ())) < 2
        if now_ns - self._looked_ns.get(name, now_ns - LOOK_NS) < LOOK_NS and not unknown:
            return None
        self._looked_ns[name] = now_ns
        return self.ask(subscription)

    def ask(self, subscription: SourceSubscription) -> Sequence[TopicEndpointInfo] | None:
        """The publishers of a topic, asked now; None if the node was destroyed."""
        name = subscription.topic
        topic = name.split(" ")[0]  # a transform is called "/tf FRAME -> LINK"
        try:
            publishers = self._node.get_publishers_info_by_topic(topic)
        except InvalidHandle:  # the node was destroyed between two ticks
            return None
        self._names[name] = tuple(sorted(info.node_name for info in publishers))
        self._why[name] = _explanation(topic, publishers, subscription.type_names)
        return publishers

    def mixed(self, topic: str, joints: Sequence[str]) -> str:
        """The text about `joints` that two publishers send at the same time."""
        nodes = ", ".join(self._names.get(topic, ())) or "of nodes that the graph does not know"
        what = topic if "" in joints else f"{listed(joints)} on {topic}"
        return f"two publishers at once of {what} ({nodes}): stop one of them"

    def explain(self, one: StreamReport) -> StreamReport:
        """`one` with what the graph explains: two publishers, or why no message arrives."""
        if one.mixed:
            return replace(one, problem=self.mixed(one.topic, one.mixed), usable=False)
        if one.fresh or one.problem:
            return one
        return replace(one, problem=self._why.get(one.topic, ""))


def listed(joints: Sequence[str]) -> str:
    """The first _SHOWN of `joints` by name, and how many more there are."""
    shown = ", ".join(joints[:_SHOWN])
    more = len(joints) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def other_type(topic: str, publishers: Sequence[TopicEndpointInfo], types: Collection[str]) -> str:
    """Why none of the publishers can be read; empty if one can, or if there is none."""
    published = {info.topic_type for info in publishers}
    if not published or not published.isdisjoint(types):
        return ""
    got, expected = ", ".join(sorted(published)), " or ".join(types)
    return f"{topic} is published as {got}, expected {expected}: {_for_type(got, types)}"


def _for_type(got: str, types: Collection[str]) -> str:
    """What to do about a topic that has another type than those that can be read."""
    if got == CONTROL_MSGS_STATE and OWN_STATE in types:
        return (
            "install control_msgs (ros-<distro>-control-msgs) where this node runs, or publish "
            f"{OWN_STATE}, which has the same fields"
        )
    return "remap it, or name its topic"


def _explanation(
    topic: str, publishers: Sequence[TopicEndpointInfo], types: Collection[str]
) -> str:
    if not publishers:
        return f"nobody publishes {topic}: is its driver running, in this ROS domain?"
    if text := other_type(topic, publishers, types):
        return text
    nodes = " and ".join(sorted({info.node_name for info in publishers}))
    return (
        f"{nodes} publishes {topic}, but nothing came from it lately: check whether its device "
        "delivers, and the network between"
    )
