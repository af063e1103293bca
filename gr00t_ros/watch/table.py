"""The one table of watches: reaction, thresholds, cause and remedy of each.

The thresholds come from control.md 3 and 4, unless a row names another source. docs/watchdogs.md,
the parameters (ros/parameters) and the reaction and remedy of `finding` come from this table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from gr00t_ros.collide.obstacles import MOST_OBSTACLES
from gr00t_ros.collide.window import BUDGET
from gr00t_ros.motion.guard import CLAMP_RAD
from gr00t_ros.motion.replay import ANSWER_SPARE_NS
from gr00t_ros.motion.replay_settings import CLOCK_OFFSET_NS, DELIVERY_JITTER_NS, MS
from gr00t_ros.observe.joint_states import REMEMBERED_NS
from gr00t_ros.observe.transit import KNOWN_NS, KNOWN_OF, LEAST_OF
from gr00t_ros.robot.limits import POSITION_UNIT
from gr00t_ros.watch.finding import RESET, RESUME, Finding, Reaction

Home = Literal["parameter", "embodiment", "constant"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a watch compares with; without `low` and `high` if it cannot be set.

    home: a parameter of the node, a key of the embodiment file's limits (a number per joint;
    `default` is that of franka_droid's arm), or a constant: of a room above this one, else it
    stands here and the code reads it with `default`.
    """

    name: str
    unit: str
    default: float | int | bool
    low: float | None = None
    high: float | None = None
    home: Home = "parameter"


@dataclass(frozen=True, slots=True)
class Watch:
    """One row. by: the code of the watch, as MODULE.NAME below gr00t_ros.

    worse, when: a graver reaction and its condition; milder, milder_when: a milder one. None and
    empty if there is none. note: further facts about what the node does.
    """

    name: str
    watches: str
    reaction: Reaction
    thresholds: tuple[Threshold, ...]
    cause: str
    remedy: str
    by: str
    worse: Reaction | None = None
    when: str = ""
    note: str = ""
    milder: Reaction | None = None
    milder_when: str = ""


_DROP, _PAUSE, _FAULT = Reaction.DROP, Reaction.PAUSE, Reaction.FAULT

INPUTS: tuple[Watch, ...] = (
    Watch(
        "stream_age",
        "age of each stream's newest sample, by its stamp and by its arrival",
        _PAUSE,
        (
            Threshold("max_camera_age_s", "s", 0.25, 0.05, 2.0),
            Threshold("camera_fault_age_s", "s", 2.0, 0.1, 60.0),
            Threshold("max_joint_age_s", "s", 0.1, 0.05, 1.0),
            Threshold("joint_fault_age_s", "s", 0.5, 0.1, 60.0),
        ),
        "A driver stopped, or the network loses its messages.",
        "check the driver and the network",
        "watch.inputs.stream_age",
        _FAULT,
        "older than the fault age",
        "a stream that is declared slower pauses after three of its periods; while the clock "
        "stands still or has just jumped it is no fault",
    ),
    Watch(
        "stream_content",
        "whether the newest message can be used in an observation",
        _PAUSE,
        (),
        "A joint is missing, there twice or not a number, or a stamp lies in the future.",
        "compare the topic with the embodiment file",
        "node.robot_state.RobotState",
    ),
    Watch(
        "mixed_publishers",
        "whether two publishers send the same joints, or the same topic without joints",
        _PAUSE,
        (
            # our choice: of a second publisher slower than that, each message is ignored
            Threshold(
                "time that a publisher is remembered", "s", REMEMBERED_NS / 1e9, home="constant"
            ),
        ),
        "A second driver, a bag or a joint_state_publisher runs beside the robot's own.",
        "stop one of them",
        "observe.joint_states.JointPublishers",
        note="publishers are told apart by the numbers that they give their messages; partial "
        "joint states of several publishers are merged by name, and a restarted publisher does not "
        "count as a second one; if the middleware has no such numbers, each publisher needs joints "
        "of its own",
    ),
    Watch(
        "skew",
        "distance between the stamps of one observation's streams",
        _DROP,
        (
            Threshold("max_skew_ms", "ms", 100, 50, 1000),
            Threshold("skewed observations that pause", "", 3, home="constant"),
        ),
        "A camera's clock or delay differs from that of the joint states.",
        "synchronise the clocks, or stamp images when they are exposed",
        "watch.inputs.Skew",
        _PAUSE,
        "the third in a row",
        "a skewed observation is not sent; a stream that is declared slow may be one and a half of "
        "its periods apart",
    ),
    Watch(
        "frozen_camera",
        "frames in a row with the stamp or the content of the one before",
        _PAUSE,
        (Threshold("frozen_camera_frames", "frames", 10, 0, 1000),),
        "The driver repeats its last picture, or the camera hangs.",
        "restart the camera's driver",
        "watch.inputs.FrozenCamera",
        note="0 disables it, for pictures without noise; frames are checked at least 15 times a "
        "second; if all frames have the stamp of the first, stream_age pauses sooner",
    ),
    Watch(
        "black_camera",
        "frames in a row whose mean level is near black",
        _PAUSE,
        (
            # our choice: a covered lens still shows noise of level 1 or 2; a dim room is far above
            Threshold("black_camera_level", "of 255", 3.0, 0.0, 32.0),
            Threshold("black_camera_frames", "frames", 10, 2, 1000),
        ),
        "The lens is covered, the light is off, or exposure failed.",
        "uncover the lens and switch on the light",
        "watch.inputs.BlackCamera",
        note="for raw pictures and JPEG; PNG is not checked",
    ),
    Watch(
        "clock_backward",
        "a step back of the plan's clock or of the ROS clock",
        _PAUSE,
        (
            Threshold("largest step ignored, with use_sim_time", "ms", 1.0, home="constant"),
            Threshold("largest step ignored, without", "ms", 50.0, home="constant"),
        ),
        "A bag or simulation was restarted, or the system's clock was set back.",
        "let the clock run on; it continues by itself",
        "session.session.Session",
        _FAULT,
        "with simulated time, if no controller publishes its state",
    ),
    Watch(
        "clock_forward",
        "a jump of the ROS clock ahead of steady time",
        _PAUSE,
        (Threshold("clock_jump_s", "s", 0.5, 0.05, 5.0),),
        "The system's clock was set, the machine slept, or a bag jumped ahead.",
        "let time be set before the node starts; it continues by itself",
        "watch.inputs.ClockJump",
    ),
    Watch(
        "silent_clock",
        "steady time since the last change of the simulated clock",
        _PAUSE,
        (Threshold("clock_silence_s", "s", 0.5, 0.1, 10.0),),
        "The simulation or the bag is paused, or nobody publishes /clock.",
        "let the simulation run, or set use_sim_time to false",
        "watch.inputs.SilentClock",
        note="only with use_sim_time; plan time stands still with the clock, so nothing moves",
    ),
)


LONGEST_WAIT_NS = 4_000_000_000
"""Longest wait between two requests to a server that answers with errors that may pass."""

_REFUSALS = Threshold("refusals_to_fault", "", 3, 1, 100)
_THIRD = "refusals_to_fault in a row"

POLICY: tuple[Watch, ...] = (
    Watch(
        "inference_deadline",
        "whether an answer arrives before the plan that it continues has ended",
        _DROP,
        (Threshold("spare time beside commit_ms", "ms", ANSWER_SPARE_NS / MS, home="constant"),),
        "The policy server or the network takes longer than the chunk lasts.",
        "lower execute_steps, or use a faster server",
        "motion.replay.Replay",
        note="the query is sent early enough for the measured latency; an answer whose steps are "
        "all in the past is dropped; at the end of the plan the arm stops and holds until the "
        "next chunk",
    ),
    Watch(
        "sidecar_dead",
        "time since the first request that the policy server has not answered",
        _PAUSE,
        (
            Threshold("sidecar_silence_s", "s", 1.0, 0.1, 60.0),
            Threshold("sidecar_fault_s", "s", 10.0, 1.0, 600.0),
        ),
        "The policy server died or hangs, or the network is cut.",
        "start the policy server, and check the network",
        "watch.server.SidecarDead",
        _FAULT,
        "silent for the fault time",
        "a paused node checks the server four times a second, each time for timeout_ms at most; if "
        "the chunk ends sooner, the arm holds until the next chunk; the time for the pause counts "
        "anew when the reset before an episode's first query is answered",
    ),
    Watch(
        "server_errors",
        "time for which the policy server has only sent errors that may pass (busy, out of memory, "
        "any text that is not known to need a person) or has closed the connection",
        _PAUSE,
        (
            Threshold("server_errors_s", "s", 2.0, 0.1, 60.0),
            Threshold("server_errors_fault_s", "s", 30.0, 1.0, 3600.0),
        ),
        "The server has too many clients, too little memory or an internal failure.",
        "read the policy server's log",
        "watch.server.ServerErrors",
        _FAULT,
        "for the fault time since the last chunk",
        "the query is repeated after retry_ms, then after waits that double up to "
        f"{LONGEST_WAIT_NS / 1e9:g} s; a paused "
        "node checks the server in the same way. A text that needs a person (keys, shapes, token, "
        "another embodiment) faults at once: the table is in watch/server.py and in "
        "docs/sidecar.md",
    ),
    Watch(
        "consecutive_failures",
        "answers in a row that are invalid messages or refused chunks; for errors see "
        "server_errors, for silence sidecar_dead",
        _FAULT,
        (_REFUSALS,),
        "The policy does not fit this robot, or the scene differs much from its training data.",
        "read the last refusal; check the embodiment file against the server's model",
        "watch.server.consecutive_refusals",
        note="after an invalid message the address may belong to another server: a reset is "
        "refused until the server has passed the check again",
    ),
    Watch(
        "non_finite",
        "NaN or infinity in an action chunk",
        _DROP,
        (Threshold("such chunks that fault", "", 2, home="constant"),),
        "The policy diverged, or its normalisation statistics are wrong.",
        "restart the policy server; check its checkpoint and statistics",
        "watch.server.NonFinite",
        _FAULT,
        "the second since activation or the last reset",
        "it also counts as one of consecutive_failures",
    ),
    Watch(
        "chunk_shape",
        "keys, widths, horizon and dtype of an answer; error texts that need a person",
        _FAULT,
        (),
        "The server serves another embodiment or another model than was checked.",
        "serve the model of the embodiment file, or name the right embodiment",
        "motion.chunk.from_reply",
    ),
    Watch(
        "position_limit",
        "positions of a chunk outside the joint limits less their margin",
        _DROP,
        (
            Threshold("limits.JOINT.margin", POSITION_UNIT, 0.05, home="embodiment"),
            Threshold("excess that is clamped", POSITION_UNIT, CLAMP_RAD, home="constant"),
            _REFUSALS,
        ),
        "The policy commands a pose that the robot cannot reach.",
        "move the arm nearer to the middle of its range, or check joint order and units",
        "motion.guard.check",
        _FAULT,
        _THIRD,
    ),
    Watch(
        "first_step_jump",
        "distance of a chunk's first step from the planned position at that time",
        _DROP,
        (Threshold("limits.JOINT.jump", POSITION_UNIT, 0.15, home="embodiment"), _REFUSALS),
        "The observation shows another pose, or relative actions are taken as absolute.",
        "check the joint order, and that the server undoes relative actions",
        "motion.guard.check",
        _FAULT,
        _THIRD,
    ),
)


_SILENCE = Threshold("controller_silence_s", "s", 0.5, 0.05, 60.0)

ARM: tuple[Watch, ...] = (
    Watch(
        "held_position",
        "distance of the position that the controller holds from the measured one",
        _FAULT,
        (Threshold("limits.JOINT.held", POSITION_UNIT, 0.05, home="embodiment"),),
        "The controller pushes against something, or does not control this robot.",
        "activate the controller and free the arm",
        "watch.arm.held_position",
        note="~/resume, ~/reset and an activation are refused; a pause that would end by itself "
        "continues, also while the state of a controller that has published one is late; for a "
        "controller that never publishes its state, the held position is where our plan came to "
        "rest",
        milder=_PAUSE,
        milder_when="in a pause that would end by itself, which it prolongs",
    ),
    Watch(
        "outside_limits",
        "the measured position against the file's position limits",
        _FAULT,
        (
            Threshold("limits.JOINT.margin", POSITION_UNIT, 0.05, home="embodiment"),
            # our choice: a hundredth of a joint's range, for calibration and noise
            Threshold("further distance allowed, of the range", "", 0.01, home="constant"),
        ),
        "The joint states are in degrees, of another robot or not calibrated, or the limits are "
        "another robot's.",
        "let the driver publish radians, or correct the file's limits",
        "watch.arm.outside_limits",
        note="~/resume, ~/reset and an activation are refused",
    ),
    Watch(
        "tracking_error",
        "distance of the measured position from the controller's reference, per joint",
        _FAULT,
        (
            Threshold("tracking_error_rad", POSITION_UNIT, 0.1, 0.01, 0.5),
            Threshold("tracking_error_s", "s", 0.2, 0.02, 2.0),
        ),
        "The arm is blocked, overloaded, or its controller is badly tuned.",
        f"free the arm, then {RESET}",
        "watch.arm.TrackingError",
        note="each output is judged alone, and only while its controller publishes a state; "
        "joints whose held difference is unchecked, such as a gripper, are exempt",
    ),
    Watch(
        "workspace_box",
        "the end effector against its box: as measured when a chunk arrives, and along the chunk",
        _DROP,
        (Threshold("workspace", "m", False, home="embodiment"), _REFUSALS),
        "The policy leads the arm out of its workspace.",
        "move the arm back into the box, or widen the box",
        "watch.arm.WorkspaceBox",
        _FAULT,
        _THIRD,
        "the measured pose is that of the stream that the box names, else it is computed from the "
        "joints by its chain; the path of a chunk is checked by motion/guard.py if there is a "
        "chain; without a box nothing is checked",
    ),
    Watch(
        "controller_silent",
        "age of the controller's own state, as the sign that it is active",
        _FAULT,
        # our choice: the fault age of joint states; control.md 3 has no number for it
        (_SILENCE,),
        "The controller was deactivated, or its process died.",
        f"activate the controller, then {RESET}",
        "watch.arm.controller_silent",
        note="a controller that has never published its state is not watched",
        milder=_PAUSE,
        milder_when="while the clock stands still or has just jumped",
    ),
    Watch(
        "controller_late",
        "plan time since the controller's newest state, as the sign that the network to it works",
        _PAUSE,
        (
            Threshold("times commit_ms", "", 1, home="constant"),
            # control.md 1, item 11; three periods: one state may be lost and one late
            Threshold("times its own period, where that is longer", "", 3, home="constant"),
        ),
        "The network between node and controller is cut, or loses messages.",
        "check the network between node and controller",
        "watch.arm.ControllerLate",
        _FAULT,
        "in motion, if not every controller publishes its state; for one that never does, its "
        "joint states are watched instead",
        note="nothing more is sent, and the controller plays the stop ramp of its last window; a "
        "new episode starts from the held position once its state is received again. For "
        "controllers that publish at the default 50 Hz or faster, a shorter silence also pauses "
        "if a window that changed the motion was sent during it and may be lost (motion/plan.py)",
    ),
    Watch(
        "controller_clock",
        "the least way of each controller's last states, from stamp to arrival",
        _PAUSE,
        (
            Threshold(
                "its clock ahead of this computer's", "ms", CLOCK_OFFSET_NS / MS, home="constant"
            ),
            Threshold(
                "its clock behind, with the way of a state",
                "ms",
                (CLOCK_OFFSET_NS + DELIVERY_JITTER_NS) / MS,
                home="constant",
            ),
            Threshold("states in a row", "", LEAST_OF, home="constant"),
            Threshold("or at first as many", "", KNOWN_OF, home="constant"),
            Threshold("which arrive over", "s", KNOWN_NS / 1e9, home="constant"),
        ),
        "The clocks of two computers differ, the network between them is slow, or the controller "
        "runs in simulated time and the node does not.",
        "synchronise the clocks (chrony, PTP), or set use_sim_time for both and let /clock arrive "
        "in time",
        "watch.arm.controller_clock",
        note="nothing more is sent, and the controller plays the stop ramp of its last window. "
        "Before so many states, after configure and after a clock jump, its clock is not known: no "
        "motion begins. In simulated time this finds a /clock that arrives late here. Not in "
        "shadow, or for a controller that has never published its state",
    ),
    Watch(
        "streamer_silent",
        "age of the heartbeat of each streamer that plays windows, and whether it is the same one",
        _FAULT,
        # as for a controller, because it replaces one
        (_SILENCE, Threshold("between two heartbeats", "s", 0.02, home="constant")),
        "The streamer has died, hangs, or was started again, so that its output no longer moves "
        "with the others.",
        f"start the streamer, then {RESET}",
        "watch.arm.StreamerLife",
        note="the heartbeat's topic is the topic of the windows with /alive; without a heartbeat "
        "an activation is refused; a streamer with a lower rate_hz sends one at each of its ticks; "
        "in shadow no streamer is needed",
    ),
    Watch(
        "controller_inactive",
        "the controller's state as reported by controller_manager",
        _FAULT,
        (
            # our choice: control.md 3 has no number for it
            Threshold("between two requests", "s", 0.9, home="constant"),
            Threshold("age from which an answer is ignored", "s", 3.0, home="constant"),
        ),
        "The controller was deactivated, unloaded or replaced by another one.",
        f"activate the controller, then {RESET}",
        "graph.controllers.ControllerManager",
        note="used if controller_manager_msgs is installed and the parameter controller_manager "
        "names its node; a controller that it never listed belongs to a driver and is watched by "
        "controller_silent",
    ),
    Watch(
        "controller_parameter",
        "parameters of a controller with which windows would be steps, read from it and on change",
        _FAULT,
        (),
        "The controller is configured, or was changed, so that windows become steps.",
        f"docs/controllers.md has the settings of a controller; then {RESET}",
        "graph.controllers.ControllerParameters",
        note="before an activation and while active; allow_trajectory_replacement is true by "
        "default after ros2_controllers 6.9.0; the parameters of a controller that subscribes "
        "anew are read again within a second; an activation waits for a controller's answers, and "
        "one without parameter services is not checked",
    ),
    Watch(
        "speed_scaling",
        "the controller's speed scaling factor",
        _FAULT,
        (Threshold("allowed deviation from 1", "", 1e-3, home="constant"),),
        "The robot's speed slider is not at 100 %, or its program does not run (0), so that each "
        "window would restart at real time.",
        f"set the speed slider to 100 % (at 0: start the robot's program), then {RESET}",
        "watch.arm.speed_scaling",
        note="gr00t_streamer reports 0 while it plays no windows; its entry in /diagnostics has "
        "the reason",
    ),
    Watch(
        "reference_against_plan",
        "distance of the controller's reference from what was sent for that time",
        _PAUSE,
        (
            # our choice: control.md 1 has about 1 mrad; states are stamped within 5 ms of sampling
            Threshold("reference_error_rad", POSITION_UNIT, 0.002, 0.001, 0.05),
            Threshold("jitter of the state's stamp", "ms", 5.0, home="constant"),
            # our choice: far above rounding, far below what a lost window changes in two states
            Threshold("share of it, where an earlier window fits", "", 0.1, home="constant"),
        ),
        "A window came late or was lost, or another program commanded the arm.",
        "check the network's delay and that nobody else publishes commands",
        "watch.arm.reference_against_plan",
        _FAULT,
        "not every controller publishes its state",
        note="nothing more is sent, and the controller plays the stop ramp of its last window; a "
        "new episode starts from the position held then; states older than 50 ms are not "
        "compared. If a reference fits an earlier window three times better, the windows to the "
        "controller are lost while its states arrive: a tenth of the distance then suffices",
    ),
    Watch(
        "obstacle_ahead",
        "the way of each window, stop ramp included, against the scene and the robot's own body",
        _PAUSE,
        (
            # our choice: a policy sees itself stand for ten observations before a person is asked
            Threshold("collision_patience_s", "s", 5.0, 0.5, 60.0),
            Threshold("self_margin_m", "m", 0.01, 0.001, 0.1),
            # our choice: the evaluations that fit into a tick beside its other work
            Threshold(
                "evaluations of distances in a tick for new windows", "", BUDGET, home="constant"
            ),
        ),
        "The policy leads the arm towards something, or something has come into its way.",
        f"look at what is in the way, then {RESUME}",
        "session.session.Session",
        note="with the parameter collision: required. A window that is not proven clear is not "
        "sent: the arm glides to a stop in front of the obstacle and goes on by itself as soon as "
        "the policy leads elsewhere. After collision_patience_s it pauses until ~/resume, also if "
        "the way is clear by then (mode paused_by_operator). If something comes into the committed "
        "way, the arm stops from the end of that part on, and the stop is counted as unproven",
    ),
    Watch(
        "in_collision",
        "the distances of all checked pairs, at the position where a plan would start",
        _FAULT,
        (),
        "The arm touches something, or the scene does not fit the place.",
        "move the arm away by hand, or correct the scene file; for two links that always touch: "
        "gr00t scene pairs",
        "collide.window.touching",
        note="with the parameter collision: required; an activation, ~/resume and ~/reset are "
        "refused. A pair inside its margin that does not touch may be left, but not come nearer",
    ),
    Watch(
        "scene_stale",
        "steady time since the last message of live obstacles",
        _PAUSE,
        # our choice: ten messages of a slow detector; what appears in that time is not seen
        (Threshold("obstacles_stale_s", "s", 1.0, 0.05, 10.0),),
        "The program that detects obstacles has died or hangs, or the network is cut.",
        "check the program that publishes the obstacles; it must repeat its message, also an "
        "empty one, and offer reliable delivery",
        "graph.obstacles.ObstacleStream",
        note="with the parameter obstacles: markers or planning_scene. The obstacles that were "
        "received last stay in the check; an activation is refused until a message has arrived",
    ),
    Watch(
        "obstacle_unchecked",
        "live obstacles that cannot be checked: not a solid, not finite, in an unknown frame, "
        "too many",
        _PAUSE,
        (Threshold("shapes at once", "", MOST_OBSTACLES, home="constant"),),
        "The publisher describes an obstacle in a way that has no clear solid or no known place.",
        "correct or delete that obstacle",
        "graph.obstacles.ObstacleStream",
        note="with the parameter obstacles: markers or planning_scene; it lasts until the obstacle "
        "is replaced or deleted, so that it never goes unchecked without a finding",
    ),
    Watch(
        "obstacle_touches",
        "the distances of live obstacles to the robot, at its measured position",
        _PAUSE,
        (),
        "Something came to the arm, or the detector takes the arm itself for an obstacle.",
        "let it leave, or filter the robot out of what the detector sees",
        "graph.collision.Collision",
        note="with the parameter obstacles: markers or planning_scene",
    ),
    Watch(
        "uncommanded_joint",
        "joints of the description that the node does not command, against the start's positions",
        _FAULT,
        # our choice: above a standing robot's sway; the checked distances have room for it
        (Threshold("largest move", POSITION_UNIT, 0.01, home="constant"),),
        "Another program moves joints whose positions the collision check takes as fixed.",
        f"let the other joints rest, then {RESET}",
        "graph.collision.Collision",
        note="with the parameter collision: required; the joints of a gripper that gets goals, and "
        "sliding joints with a range up to 0.1 m, such as fingers, count as anywhere in their "
        "range and are not watched",
    ),
    Watch(
        "contact",
        "external torques, forces or a flag that show that the arm touches something",
        _PAUSE,
        (
            Threshold("contact.NAME.thresholds", "Nm or N", False, home="embodiment"),
            # our choice: several messages of a topic of 30 Hz
            Threshold("contact_silence_s", "s", 0.2, 0.02, 2.0),
        ),
        "The arm touches something that it should not, or the source of contacts cannot be used.",
        "free the arm, and look at what it touched",
        "watch.contact.ContactWatch",
        _FAULT,
        "with the parameter contact: fault",
        note="the sources are in the embodiment file below contact; without thresholds, or with "
        "the parameter contact: show, they are only shown. A silent source, values that are not "
        "finite or too few, and two publishers of the same values are findings too; other joints "
        "on the topic are none. The stop begins earlier than others: it leaves the committed part "
        "of the window. A pause ends by itself when the contact has gone",
    ),
    Watch(
        "second_publisher",
        "other publishers on a command topic",
        _FAULT,
        (Threshold("publishers beside the node's own", "", 0, home="constant"),),
        "Another node or a second instance of this one commands the same controller.",
        "stop the other publisher",
        "graph.controllers.OtherPublishers",
        note="the ROS graph is read once a second, except in shadow, where nothing is commanded",
    ),
    Watch(
        "e_stop",
        "the e-stop topic and service; silence of the topic, if it is required",
        _FAULT,
        (
            Threshold("e_stop_required", "", False),
            Threshold("e_stop_silence_s", "s", 0.5, 0.1, 5.0),
        ),
        "An e-stop was pressed, or the publisher of its topic died.",
        f"release the e-stop, then {RESET}",
        "watch.operator.EStop",
        note="active while the node is configured; a press while inactive also latches a fault",
    ),
    Watch(
        "dead_man",
        "time since the operator's dead-man switch was last reported pressed",
        _PAUSE,
        (
            Threshold("dead_man_required", "", False),
            Threshold("dead_man_s", "s", 0.5, 0.05, 5.0),
        ),
        "The switch was released, or its publisher died.",
        "press the dead-man switch",
        "watch.operator.DeadMan",
    ),
    Watch(
        "replay_starvation",
        "gap between two ticks of the replay thread, or between two windows in motion; simulated "
        "time counts no more than it passed",
        _PAUSE,
        (Threshold("periods of refresh_ms", "", 3, home="constant"),),
        "The CPU is overloaded, or the process was stopped.",
        "check the CPU's load, and give the node realtime_priority",
        "node.replay_thread.ReplayThread",
    ),
    Watch(
        "old_episode",
        "whether a chunk belongs to the present episode",
        _DROP,
        (),
        "Its query was sent before a pause, a reset or a changed instruction.",
        "nothing: the next chunk is of the present episode",
        "session.session.Session",
    ),
)


ROWS: tuple[Watch, ...] = (*INPUTS, *POLICY, *ARM)
WATCHES: dict[str, Watch] = {row.name: row for row in ROWS}


_DEFAULTS = {one.name: one.default for row in ROWS for one in row.thresholds}
_UNITS = {one.name: one.unit for row in ROWS for one in row.thresholds}


def default(threshold: str) -> Any:
    """The default of the threshold of that name, in the row's unit."""
    return _DEFAULTS[threshold]


def highest(threshold: str) -> float:
    """The highest value of the threshold of that name that can be set; inf without a range."""
    found = (one.high for watch in ROWS for one in watch.thresholds if one.name == threshold)
    high = next(found, None)
    return math.inf if high is None else high


def default_ns(threshold: str) -> int:
    """The default of a threshold that is in s or ms, as ns."""
    return round({"s": 1e9, "ms": 1e6}[_UNITS[threshold]] * float(_DEFAULTS[threshold]))


def finding(watch: str, seen: str, worse: bool = False) -> Finding:
    """The finding of a row: its reaction or the worse one, and the text `seen` with its remedy."""
    return reasoned(watch, f"{seen}; {WATCHES[watch].remedy}", worse)


def reasoned(watch: str, reason: str, worse: bool = False, stop_ramp_only: bool = False) -> Finding:
    """The finding of a row whose `reason` names its own remedy, because the cause is known.

    stop_ramp_only: as in Finding.
    """
    row = WATCHES[watch]
    reaction = row.worse if worse and row.worse is not None else row.reaction
    return Finding(watch, reaction, reason, stop_ramp_only)


def milder(found: Finding) -> Finding:
    """The finding with the mildest reaction of its row."""
    row = WATCHES[found.watch]
    return replace(found, reaction=row.milder or row.reaction)


def graver(found: Finding) -> Finding:
    """The finding with the gravest reaction of its row."""
    row = WATCHES[found.watch]
    return replace(found, reaction=row.worse or row.reaction)
