"""The table of modes: what the node is doing, and which event may change that to what.

    unconfigured ─configure─> waiting <─> ready ─activate─> blending_in <─> replaying
                                 ▲                               │ pause, fault, plan_ended, ...
                                 └──deactivated── stopping <─────┘
                                                     └─at_rest─> holding | paused | fault

Motion is published in `blending_in`, `replaying` and `stopping` alone.
An event that has no row for the present mode is a ModeError, never ignored.
"""

from __future__ import annotations

from enum import Enum

from gr00t_ros.core.errors import ModeError


class Mode(str, Enum):
    """What the node is doing; the values are the words in `~/status`."""

    UNCONFIGURED = "unconfigured"
    WAITING = "waiting"  # configured; the server's check or a stream is not there yet
    READY = "ready"  # configured; an activation would be accepted
    BLENDING_IN = "blending_in"  # active; from rest into the first chunk of an episode
    REPLAYING = "replaying"  # active; chunks are played
    STOPPING = "stopping"  # a controlled stop is under way
    HOLDING = "holding"  # active, at rest; continues with the next chunk
    PAUSED = "paused"  # active, at rest; continues when the inputs are healthy again
    FAULT = "fault"  # at rest, latched until ~/reset


class Event(str, Enum):
    """What may change the mode, and who causes it."""

    CONFIGURE = "configure"  # operator
    CLEANUP = "cleanup"  # operator
    READY = "ready"  # the check has passed and all streams are fresh
    NOT_READY = "not_ready"  # that is no longer so
    ACTIVATE = "activate"  # operator
    CHUNK = "chunk"  # a chunk was merged while at rest or blending in
    BLENDED = "blended"  # the blend-in's time is over
    STOP = "stop"  # a watch, the end of the plan, or the operator
    REST_HOLD = "rest_hold"  # the stop ended; nothing is wrong with the inputs
    REST_PAUSE = "rest_pause"  # the stop ended; a watch paused
    REST_FAULT = "rest_fault"  # the stop ended; a fault is latched
    REST_INACTIVE = "rest_inactive"  # the stop ended; the operator deactivated
    EPISODE = "episode"  # healthy again, reset or a changed instruction: a new episode


MOVING = frozenset({Mode.BLENDING_IN, Mode.REPLAYING, Mode.STOPPING})
ACTIVE = MOVING | {Mode.HOLDING, Mode.PAUSED, Mode.FAULT}

TABLE: dict[tuple[Mode, Event], Mode] = {
    (Mode.UNCONFIGURED, Event.CONFIGURE): Mode.WAITING,
    (Mode.WAITING, Event.READY): Mode.READY,
    (Mode.READY, Event.NOT_READY): Mode.WAITING,
    (Mode.WAITING, Event.CLEANUP): Mode.UNCONFIGURED,
    (Mode.READY, Event.CLEANUP): Mode.UNCONFIGURED,
    (Mode.READY, Event.ACTIVATE): Mode.BLENDING_IN,
    (Mode.BLENDING_IN, Event.CHUNK): Mode.BLENDING_IN,
    (Mode.BLENDING_IN, Event.BLENDED): Mode.REPLAYING,
    (Mode.REPLAYING, Event.CHUNK): Mode.REPLAYING,
    (Mode.HOLDING, Event.CHUNK): Mode.BLENDING_IN,
    (Mode.STOPPING, Event.CHUNK): Mode.BLENDING_IN,  # only a stop that would end in holding
    (Mode.STOPPING, Event.REST_HOLD): Mode.HOLDING,
    (Mode.STOPPING, Event.REST_PAUSE): Mode.PAUSED,
    (Mode.STOPPING, Event.REST_FAULT): Mode.FAULT,
    (Mode.STOPPING, Event.REST_INACTIVE): Mode.WAITING,
    (Mode.PAUSED, Event.EPISODE): Mode.BLENDING_IN,
    (Mode.HOLDING, Event.EPISODE): Mode.BLENDING_IN,
    (Mode.FAULT, Event.EPISODE): Mode.BLENDING_IN,
    **{(mode, Event.STOP): Mode.STOPPING for mode in ACTIVE},
}


def advance(mode: Mode, event: Event) -> Mode:
    """The mode after `event`; raises ModeError for a row that is not in the table."""
    try:
        return TABLE[mode, event]
    except KeyError:
        allowed = sorted(e.value for m, e in TABLE if m is mode)
        raise ModeError(
            f"mode {mode.value}: got event {event.value}, expected one of {', '.join(allowed)}"
        ) from None
