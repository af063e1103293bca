"""Rows of the table of watches: the policy server and its chunks."""

from __future__ import annotations

from gr00t_ros.core.limits import POSITION_UNIT
from gr00t_ros.core.watch_row import Threshold, Watch
from gr00t_ros.core.watchdog import Reaction

_DROP, _PAUSE, _FAULT = Reaction.DROP, Reaction.PAUSE, Reaction.FAULT
_REFUSALS = Threshold("refusals_to_fault", "", 3, 1, 100)
_THIRD = "refusals_to_fault in a row"

POLICY: tuple[Watch, ...] = (
    Watch(
        "inference_deadline",
        "whether an answer comes before the plan that it continues has ended",
        _DROP,
        (Threshold("spare time beside commit_ms", "ms", 20, home="constant"),),
        "The policy server or the network is slower than the chunk is long.",
        "lower execute_steps, or use a faster server",
        "core.replay.Replay",
        note="the query goes out in time for it; an answer without a step to come is dropped, and "
        "the end of the plan is a stop that holds until the next chunk",
    ),
    Watch(
        "sidecar_dead",
        "time since the first question that the policy server left unanswered",
        _PAUSE,
        (
            Threshold("sidecar_silence_s", "s", 1.0, 0.1, 60.0),
            Threshold("sidecar_fault_s", "s", 10.0, 1.0, 600.0),
        ),
        "The policy server died or hangs, or the network is cut.",
        "start the policy server, and check the network",
        "core.watch_sidecar.SidecarDead",
        _FAULT,
        "silent for the fault time",
        "a paused node checks the server four times a second, each time for timeout_ms at most; a "
        "chunk that ends before is a hold, which the next chunk continues",
    ),
    Watch(
        "server_errors",
        "time for which the policy server has answered nothing but errors that may pass: busy, out "
        "of memory, any text that is not known to need a person; or has closed the connection",
        _PAUSE,
        (
            Threshold("server_errors_s", "s", 2.0, 0.1, 60.0),
            Threshold("server_errors_fault_s", "s", 30.0, 1.0, 3600.0),
        ),
        "The server has too many clients or too little memory, or fails inside.",
        "read the policy server's log",
        "core.watch_sidecar.ServerErrors",
        _FAULT,
        "for the fault time since the last chunk",
        "the query is tried again after retry_ms, each time twice as long up to 4 s; a paused node "
        "checks the server in the same way. A text that needs a person (keys, shapes, token, "
        "another embodiment) faults at once: core/server_error.py has the table, docs/sidecar.md "
        "shows it",
    ),
    Watch(
        "consecutive_failures",
        "answers in a row that are no message or a refused chunk; errors are server_errors, "
        "silence is sidecar_dead",
        _FAULT,
        (_REFUSALS,),
        "The policy does not fit this robot, or the scene is far from what it was trained on.",
        "read the last refusal; check the embodiment file against the server's model",
        "core.watchdog.consecutive_refusals",
        note="where the last was no message, another server may be there: no reset before it has "
        "passed the check again",
    ),
    Watch(
        "non_finite",
        "NaN or infinity in an action chunk",
        _DROP,
        (Threshold("such chunks that fault", "", 2, home="constant"),),
        "The policy diverged, or its normalisation statistics are wrong.",
        "restart the policy server; check its checkpoint and statistics",
        "core.watch_sidecar.NonFinite",
        _FAULT,
        "the second since activation or the last reset",
        "it counts as one of consecutive_failures as well",
    ),
    Watch(
        "chunk_shape",
        "keys, widths, horizon and dtype of an answer; error texts that need a person",
        _FAULT,
        (),
        "The server serves another embodiment or another model than was checked.",
        "serve the model of the embodiment file, or name the right embodiment",
        "core.chunk.from_reply",
    ),
    Watch(
        "position_limit",
        "positions of a chunk outside the joint limits and their margin",
        _DROP,
        (
            Threshold("limits.JOINT.margin", POSITION_UNIT, 0.05, home="embodiment"),
            Threshold("excess that is clamped", POSITION_UNIT, 0.05, home="constant"),
            _REFUSALS,
        ),
        "The policy asks for a pose that the robot does not have.",
        "move the arm nearer to the middle of its range, or check joint order and units",
        "core.guard.check",
        _FAULT,
        _THIRD,
    ),
    Watch(
        "first_step_jump",
        "distance of a chunk's first step from the position that the plan will hold",
        _DROP,
        (Threshold("limits.JOINT.jump", POSITION_UNIT, 0.15, home="embodiment"), _REFUSALS),
        "The observation was of another pose, or relative actions are taken as absolute.",
        "check the joint order, and that the server undoes relative actions",
        "core.guard.check",
        _FAULT,
        _THIRD,
    ),
)
