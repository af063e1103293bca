"""Episodes and sources: which episode is open, who commands the robot, and what happened.

Without ROS, clock and files: the caller passes bag time, publishes the events that a call returns,
and writes an episode when `episode` has changed. Calls come from several threads, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gr00t_ros.dataset.episode import HUMAN, IDLE, POLICY, STOPPING
from gr00t_ros.errors import BagError
from gr00t_ros.record.facts import DISCARDED, KEPT, EpisodeFacts
from gr00t_ros.session.mode import ACTIVE, FAULTED, Mode

START, STOP, SOURCE, INTERVENE, RESUME = "start", "stop", "source", "intervene", "resume"
SUCCESS, FAILURE, DISCARD, PROBLEM = "success", "failure", "discard", "problem"
"""The events."""
ENDS = (STOP, SUCCESS, FAILURE, DISCARD, PROBLEM)
"""The events that end an episode."""

_MOVING = (Mode.BLENDING_IN.value, Mode.REPLAYING.value)
_PAUSED = (Mode.STOPPING.value, Mode.PAUSED.value, Mode.PAUSED_BY_OPERATOR.value)
_ACTIVE = frozenset(mode.value for mode in ACTIVE)
_FAULTED = frozenset(mode.value for mode in FAULTED)


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """What happened to an episode; `source`: who commands the robot from then on."""

    time_ns: int
    episode: int
    name: str
    source: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class PolicyNodeState:
    """What the policy node's newest status says."""

    mode: str
    episode: int
    instruction: str

    @property
    def active(self) -> bool:
        """Whether the node is active: it moves the robot, or will."""
        return self.mode in _ACTIVE


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """teleop: no policy commands the robot. by_policy: the policy node's episodes are recorded."""

    robot: str
    policy_node: str
    teleop: bool = False
    by_policy: bool = False


class RecordingSession:
    """One recorder's episodes, one after the other.

    episode: the open one. last: the one before it, which can still be labelled. problem: why no
    episode can begin now, empty if one can; the caller sets it.
    """

    def __init__(self, settings: RecordingSettings, instruction: str, next_index: int) -> None:
        """instruction: of the episodes, as long as no other one is given; empty: the policy's."""
        self.settings, self._given = settings, instruction
        self.episode: EpisodeFacts | None = None
        self.last: EpisodeFacts | None = None
        self.problem = ""
        self.policy: PolicyNodeState | None = None
        self.taken_over = False
        self.next_index = next_index
        self._recorded = -1  # the policy node's episode of which an episode was begun last
        self._instructed = ""  # the policy node's instruction, as it was seen last

    @property
    def instruction(self) -> str:
        """The instruction of an episode that begins now and has none of its own."""
        if self.settings.by_policy:
            return self._instructed or self._given
        return self._given or self._instructed

    @property
    def source(self) -> str:
        """Who commands the robot now."""
        if self.settings.teleop:
            return HUMAN
        mode = self.policy.mode if self.policy is not None else ""
        if mode in _MOVING:
            return POLICY
        if mode == Mode.STOPPING.value:
            return STOPPING
        return HUMAN if self.taken_over else IDLE

    def start(self, now_ns: int, instruction: str = "") -> list[RecordingEvent]:
        """Begin an episode; raises BagError if one is open, or `problem` is set.

        An instruction is also that of the next episodes, until there is a newer one.
        """
        if self.episode is not None:
            raise BagError(f"episode {self.episode.index} is open: stop or discard it first")
        if self.problem:
            raise BagError(self.problem)
        self._given = instruction or self._given
        text, about = instruction or self.instruction, self.settings
        facts = EpisodeFacts(self.next_index, text, about.robot, about.policy_node, now_ns)
        facts.sources.append((now_ns, self.source))
        if self.taken_over:
            facts.interventions.append((now_ns, 0))
        self.episode = facts
        self.next_index += 1
        if self.policy is not None:
            self._recorded = self.policy.episode
        return [self._event(now_ns, START, text)]

    def end(self, now_ns: int, name: str, text: str = "") -> list[RecordingEvent]:
        """End the open episode with STOP, SUCCESS, FAILURE, DISCARD or PROBLEM.

        Without an open episode the last one is labelled. Raises BagError if there is neither, or
        for a second stop.
        """
        facts = self.episode
        if facts is None:
            if self.last is None or name in (STOP, PROBLEM):
                raise BagError(f"{name}: no episode is open")
            label(self.last, name)
            return [RecordingEvent(now_ns, self.last.index, name, self.source, text)]
        label(facts, name)
        facts.stop_ns = now_ns
        facts.problem = text if name == PROBLEM else ""
        if self.taken_over:
            facts.interventions[-1] = (facts.interventions[-1][0], now_ns)
        event = self._event(now_ns, name, text)
        self.episode, self.last = None, facts
        return [event]

    def take_over(self, now_ns: int) -> list[RecordingEvent]:
        """A person takes over, from now on."""
        if self.taken_over:
            return []
        self.taken_over = True
        events = self._sourced(now_ns)
        if self.episode is None:
            return events
        self.episode.interventions.append((now_ns, 0))
        return [self._event(now_ns, INTERVENE), *events]

    def hand_back(self, now_ns: int) -> list[RecordingEvent]:
        """The takeover ends."""
        if not self.taken_over:
            return []
        self.taken_over = False
        events = self._sourced(now_ns)
        if self.episode is None:
            return events
        self.episode.interventions[-1] = (self.episode.interventions[-1][0], now_ns)
        return [self._event(now_ns, RESUME), *events]

    def follow(self, now_ns: int, policy: PolicyNodeState | None) -> list[RecordingEvent]:
        """Take the policy node's newest status; None: it is silent.

        A policy that moves again after its pause ends a takeover. Its new instruction divides an
        open episode, so that both parts are labelled with what was asked for. Episodes by the
        policy begin when it begins to move the robot. They end when it becomes inactive, with a
        fault, and with its episode; but an episode after a pause, with the same instruction,
        continues the one before. After a silence another one has what is left of the node's.
        """
        before, self.policy = self.policy, policy
        resumed = before is not None and policy is not None and _resumes(before, policy)
        events = self.hand_back(now_ns) if resumed else []
        events += self._sourced(now_ns)
        events += self._divide(now_ns)
        if not self.settings.by_policy:
            return events
        if resumed and policy is not None and self.episode is not None:
            self._recorded = policy.episode
        return [*events, *self._follow_episodes(now_ns)]

    def _divide(self, now_ns: int) -> Iterator[RecordingEvent]:
        """End the open episode where the policy node has a new instruction, and begin another.

        The new instruction replaces an older one that an operator has given, except in teleop. An
        episode by the policy ends with the node's own episode, except in a takeover.
        """
        policy, old = self.policy, self._instructed
        if policy is None or not policy.instruction:
            return
        self._instructed = new = policy.instruction
        if old in ("", new) or (self.settings.teleop and self._given):
            return
        self._given = ""
        if self.episode is None or self.episode.instruction == new:
            return
        if self.settings.by_policy and not self.taken_over:
            return
        yield from self.end(now_ns, STOP, "the policy node has a new instruction")
        if not self.problem:
            yield from self.start(now_ns)

    def _follow_episodes(self, now_ns: int) -> Iterator[RecordingEvent]:
        policy = self.policy
        if self.episode is not None and not self.taken_over:
            if policy is None or not policy.active or policy.mode in _FAULTED:
                yield from self.end(now_ns, STOP, "the policy node has stopped")
                if policy is None:
                    self._recorded = -1
            elif policy.episode != self._recorded:
                yield from self.end(now_ns, STOP, "the policy node begins another episode")
        moves = policy is not None and policy.mode in _MOVING
        if policy is None or not moves or self.episode is not None or self.problem:
            return
        if policy.episode != self._recorded:
            yield from self.start(now_ns)

    def _sourced(self, now_ns: int) -> list[RecordingEvent]:
        """The event of a new source, if the open episode has one."""
        facts, source = self.episode, self.source
        if facts is None or facts.sources[-1][1] == source:
            return []
        facts.sources.append((now_ns, source))
        return [self._event(now_ns, SOURCE)]

    def _event(self, now_ns: int, name: str, text: str = "") -> RecordingEvent:
        assert self.episode is not None
        return RecordingEvent(now_ns, self.episode.index, name, self.source, text)


def _resumes(before: PolicyNodeState, now: PolicyNodeState) -> bool:
    """Whether the policy goes on with the same task after a pause of a watch or an operator.

    It counts another episode then, and may have to stop again before its status says that it moves.
    With a new instruction it counts one while it still moves or rests.
    """
    goes_on = before.mode in _PAUSED and now.mode in (*_MOVING, Mode.STOPPING.value)
    return goes_on and before.episode < now.episode and before.instruction == now.instruction


def label(facts: EpisodeFacts, name: str) -> None:
    """What an end says about an episode."""
    if name in (SUCCESS, FAILURE):
        facts.success = name == SUCCESS
    if name == DISCARD:
        facts.outcome = DISCARDED
    elif name != PROBLEM:
        facts.outcome = KEPT
