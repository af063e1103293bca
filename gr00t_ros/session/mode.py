"""The table of modes: what the node is doing, and which event may change that to what.

    unconfigured ─configure─> waiting <─> ready ─activate─> blending_in <─> replaying
                                 ▲                               │ pause, fault, plan_ended, ...
                                 └──deactivated── stopping <─────┘
                                                     │ at rest
        holding | paused | paused_by_operator | fault | waiting | fault_inactive

Motion is published only in `blending_in`, `replaying` and `stopping`. Shadow is not a mode: the
same table holds, nothing is commanded, and `~/status.shadow` is true. Only `~/reset` ends a fault:
it survives a deactivation, a cleanup and a new configuration. An event without a row for the
present mode raises ModeError.
"""

from __future__ import annotations

from enum import Enum

from gr00t_ros.errors import ModeError


class Mode(str, Enum):
    """What the node is doing; the values are those of `~/status.mode`."""

    UNCONFIGURED = "unconfigured"
    WAITING = "waiting"  # configured; the server's check or a stream is missing
    READY = "ready"  # configured; an activation would be accepted
    BLENDING_IN = "blending_in"  # active; moves from rest into the first chunk of an episode
    REPLAYING = "replaying"  # active; chunks are played
    STOPPING = "stopping"  # a controlled stop is under way, or not known to be over
    HOLDING = "holding"  # active, at rest; continues with the next chunk
    PAUSED = "paused"  # active, at rest; continues when the inputs are healthy again
    PAUSED_BY_OPERATOR = "paused_by_operator"  # active, at rest; continues only by ~/resume
    FAULT = "fault"  # active, at rest, latched until ~/reset
    FAULT_INACTIVE = "fault_inactive"  # configured; latched, no activation before ~/reset


class Event(str, Enum):
    """What may change the mode; CAUSES names the cause of each."""

    CONFIGURE = "configure"
    CLEANUP = "cleanup"
    READY = "ready"
    NOT_READY = "not_ready"
    ACTIVATE = "activate"
    CHUNK = "chunk"
    BLENDED = "blended"
    STOP = "stop"
    REST_HOLD = "rest_hold"
    REST_PAUSE = "rest_pause"
    REST_OPERATOR = "rest_operator"
    REST_FAULT = "rest_fault"
    REST_INACTIVE = "rest_inactive"
    REST_LATCHED = "rest_latched"
    HEALTHY = "healthy"
    RESUME = "resume"
    RESET = "reset"
    RESET_PAUSED = "reset_paused"
    LATCH = "latch"


CAUSES: dict[Event, str] = {
    Event.CONFIGURE: "operator: the transition configure",
    Event.CLEANUP: "operator: the transition cleanup",
    Event.READY: "node: the server's check has passed and all streams are fresh",
    Event.NOT_READY: "node: the check or a stream is no longer good",
    Event.ACTIVATE: "operator: the transition activate",
    Event.CHUNK: "policy server: a chunk was merged while at rest, blending in or replaying",
    Event.BLENDED: "plan: the blend-in time since the first chunk is over",
    Event.STOP: "a watch; the plan's end; operator: ~/pause, ~/estop, instruction, deactivate",
    Event.REST_HOLD: "plan: the stop ended, the inputs are healthy",
    Event.REST_PAUSE: "plan: the stop ended, a watch paused",
    Event.REST_OPERATOR: "plan: the stop ended, the operator paused or something is in the way",
    Event.REST_FAULT: "plan: the stop ended, a fault is latched",
    Event.REST_INACTIVE: "plan: the stop ended, the operator deactivated",
    Event.REST_LATCHED: "plan: the stop ended, the operator deactivated and a fault is latched",
    Event.HEALTHY: "watches: no finding for healthy_ticks; a new episode",
    Event.RESUME: "operator: ~/resume; a new episode",
    Event.RESET: "operator: ~/reset; a new episode, if the node is active",
    Event.RESET_PAUSED: "operator: ~/reset of a fault that was latched during the operator's pause",
    Event.LATCH: "operator: ~/estop while inactive; node: a fault kept through cleanup",
}

MOVING = frozenset({Mode.BLENDING_IN, Mode.REPLAYING, Mode.STOPPING})
AT_REST = frozenset({Mode.HOLDING, Mode.PAUSED, Mode.PAUSED_BY_OPERATOR, Mode.FAULT})
ACTIVE = MOVING | AT_REST
FAULTED = frozenset({Mode.FAULT, Mode.FAULT_INACTIVE})

TRANSITIONS: dict[tuple[Mode, Event], Mode] = {
    (Mode.UNCONFIGURED, Event.CONFIGURE): Mode.WAITING,
    (Mode.WAITING, Event.READY): Mode.READY,
    (Mode.READY, Event.NOT_READY): Mode.WAITING,
    (Mode.WAITING, Event.CLEANUP): Mode.UNCONFIGURED,
    (Mode.READY, Event.CLEANUP): Mode.UNCONFIGURED,
    (Mode.FAULT_INACTIVE, Event.CLEANUP): Mode.UNCONFIGURED,
    (Mode.READY, Event.ACTIVATE): Mode.BLENDING_IN,
    (Mode.BLENDING_IN, Event.CHUNK): Mode.BLENDING_IN,
    (Mode.BLENDING_IN, Event.BLENDED): Mode.REPLAYING,
    (Mode.REPLAYING, Event.CHUNK): Mode.REPLAYING,
    (Mode.HOLDING, Event.CHUNK): Mode.BLENDING_IN,
    (Mode.STOPPING, Event.CHUNK): Mode.BLENDING_IN,  # only if the stop would end in holding
    (Mode.STOPPING, Event.REST_HOLD): Mode.HOLDING,
    (Mode.STOPPING, Event.REST_PAUSE): Mode.PAUSED,
    (Mode.STOPPING, Event.REST_OPERATOR): Mode.PAUSED_BY_OPERATOR,
    (Mode.STOPPING, Event.REST_FAULT): Mode.FAULT,
    (Mode.STOPPING, Event.REST_INACTIVE): Mode.WAITING,
    (Mode.STOPPING, Event.REST_LATCHED): Mode.FAULT_INACTIVE,
    (Mode.PAUSED, Event.HEALTHY): Mode.BLENDING_IN,
    (Mode.PAUSED_BY_OPERATOR, Event.RESUME): Mode.BLENDING_IN,
    (Mode.FAULT, Event.RESET): Mode.BLENDING_IN,
    (Mode.FAULT, Event.RESET_PAUSED): Mode.PAUSED_BY_OPERATOR,
    (Mode.FAULT_INACTIVE, Event.RESET): Mode.WAITING,
    (Mode.WAITING, Event.LATCH): Mode.FAULT_INACTIVE,
    (Mode.READY, Event.LATCH): Mode.FAULT_INACTIVE,
    (Mode.FAULT_INACTIVE, Event.LATCH): Mode.FAULT_INACTIVE,
    **{(mode, Event.STOP): Mode.STOPPING for mode in ACTIVE},
}

# If there are two reasons to stop, the one listed first decides which mode follows.
_SEVERITY = (
    Event.REST_LATCHED,
    Event.REST_INACTIVE,
    Event.REST_FAULT,
    Event.REST_OPERATOR,
    Event.REST_PAUSE,
    Event.REST_HOLD,
)


def more_severe(one: Event, other: Event) -> Event:
    """The REST_ event that ends a stop with two reasons, given the REST_ event of each.

    A fault and a deactivation combine: the stop ends inactive and latched.
    """
    if {one, other} == {Event.REST_FAULT, Event.REST_INACTIVE}:
        return Event.REST_LATCHED
    return min(one, other, key=_SEVERITY.index)


def ends_in(mode: Mode, after_stop: Event) -> Event:
    """The least REST_ event of a stop that begins in `mode`.

    after_stop: the REST_ event of the stop that is under way, used in mode stopping.
    """
    if mode is Mode.STOPPING:
        return after_stop
    if mode is Mode.FAULT:
        return Event.REST_FAULT
    return Event.REST_OPERATOR if mode is Mode.PAUSED_BY_OPERATOR else Event.REST_HOLD


def advance(mode: Mode, event: Event) -> Mode:
    """The mode after `event`; raises ModeError if the table has no such row."""
    try:
        return TRANSITIONS[mode, event]
    except KeyError:
        allowed = sorted(e.value for m, e in TRANSITIONS if m is mode)
        raise ModeError(
            f"mode {mode.value}: got event {event.value}, expected one of {', '.join(allowed)}"
        ) from None
