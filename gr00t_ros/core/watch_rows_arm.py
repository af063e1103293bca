"""Rows of the table of watches: the arm, its controllers, the operator and the node itself."""

from __future__ import annotations

from gr00t_ros.core.limits import POSITION_UNIT
from gr00t_ros.core.watch_row import Threshold, Watch
from gr00t_ros.core.watchdog import Reaction

_DROP, _PAUSE, _FAULT = Reaction.DROP, Reaction.PAUSE, Reaction.FAULT
_REFUSALS = Threshold("refusals_to_fault", "", 3, 1, 100)
_SILENCE = Threshold("controller_silence_s", "s", 0.5, 0.05, 60.0)
_THIRD = "refusals_to_fault in a row"

ARM: tuple[Watch, ...] = (
    Watch(
        "held_position",
        "distance of the position that the controller holds from the measured one",
        _FAULT,
        (Threshold("limits.JOINT.held", POSITION_UNIT, 0.05, home="embodiment"),),
        "The controller pushes against something, or does not control this robot.",
        "activate the controller and free the arm",
        "core.watchdog.held_position",
        note="~/resume, ~/reset and an activation are refused; a pause that would end by itself "
        "goes on, also while a controller that has told is late; of one that never tells, held is "
        "where our own plan came to rest",
    ),
    Watch(
        "outside_limits",
        "the measured position against the file's position limits",
        _FAULT,
        (
            Threshold("limits.JOINT.margin", POSITION_UNIT, 0.05, home="embodiment"),
            # ours: a hundredth of a joint's range, for calibration and noise
            Threshold("further outside that is let pass, of the range", "", 0.01, home="constant"),
        ),
        "The joint states are in degrees, of another robot or not calibrated, or the limits are "
        "another robot's.",
        "let the driver publish radians, or correct the file's limits",
        "core.watchdog.outside_limits",
        note="~/resume, ~/reset and an activation are refused",
    ),
    Watch(
        "tracking_error",
        "distance of the measured arm from what the controller plays, per joint",
        _FAULT,
        (
            Threshold("tracking_error_rad", POSITION_UNIT, 0.1, 0.01, 0.5),
            Threshold("tracking_error_s", "s", 0.2, 0.02, 2.0),
        ),
        "The arm is blocked, overloaded, or its controller is badly tuned.",
        "free the arm, then call ~/reset",
        "core.watch_motion.TrackingError",
        note="joints whose held difference is unchecked, such as a gripper, are exempt",
    ),
    Watch(
        "workspace_box",
        "the end effector against its box: as measured when a chunk arrives, and along the chunk",
        _DROP,
        (Threshold("workspace", "m", False, home="embodiment"), _REFUSALS),
        "The policy leads the arm out of the space that it was given.",
        "move the arm back into the box, or widen the box",
        "core.watch_motion.WorkspaceBox",
        _FAULT,
        _THIRD,
        "measured is the pose stream that the box names, else the joints through its chain; the "
        "way of a chunk is compared by core.guard where there is a chain; without a box nothing is",
    ),
    Watch(
        "controller_silent",
        "age of the controller's own state, as the sign that it is active",
        _FAULT,
        # ours: as joint states fault; control.md 3 has no number for it
        (_SILENCE,),
        "The controller was deactivated, or its process died.",
        "activate the controller, then call ~/reset",
        "core.watch_motion.controller_silent",
        note="a controller whose state nobody has ever published is not watched",
    ),
    Watch(
        "controller_late",
        "plan time since the controller told something new: is the way to it whole?",
        _PAUSE,
        (
            Threshold("times commit_ms", "", 1, home="constant"),
            # control.md 1, item 11; three periods: one state may be lost and one late
            Threshold("times its own period, where that is longer", "", 3, home="constant"),
        ),
        "The network between node and controller is cut, or loses messages.",
        "check the network between node and controller",
        "core.watch_motion.ControllerLate",
        _FAULT,
        "in motion, where not every controller tells what it holds; of one that never does the "
        "joint states count",
        note="nothing more is sent, the tail of what the controller has plays; a new episode "
        "starts from what it holds once it is heard again. Of controllers that tell as often as "
        "the default of 50 Hz also a shorter silence, where a change of the motion was sent "
        "meanwhile and may be lost (core/arrival.py)",
    ),
    Watch(
        "streamer_silent",
        "age of the heartbeat of each streamer that plays windows, and whether it is the same one",
        _FAULT,
        # as of a controller, in whose place it stands
        (_SILENCE, Threshold("between two heartbeats", "s", 0.02, home="constant")),
        "The streamer has died, hangs, or was started again, so that its output no longer moves "
        "with the others.",
        "start the streamer, then call ~/reset",
        "core.watch_motion.StreamerLife",
        note="beside each topic of windows, on its name with /alive; without a heartbeat no "
        "activation is accepted; a streamer whose rate_hz is lower sends as often as it ticks; in "
        "shadow no streamer is needed",
    ),
    Watch(
        "controller_inactive",
        "the controller's state as controller_manager tells it",
        _FAULT,
        (
            # ours: control.md 3 has no number for it
            Threshold("between two questions", "s", 0.9, home="constant"),
            Threshold("age of an answer that says nothing any more", "s", 3.0, home="constant"),
        ),
        "The controller was deactivated, unloaded or replaced by another one.",
        "activate the controller, then call ~/reset",
        "ros.controller_manager.ControllerManager",
        note="asked where controller_manager_msgs is installed and parameter controller_manager "
        "names its node; what it never listed is a driver's own, and controller_silent's",
    ),
    Watch(
        "controller_parameter",
        "parameters of a controller that break windows, asked of it and heard of when they change",
        _FAULT,
        (),
        "The controller is configured, or was changed, to something that makes windows steps.",
        "docs/controllers.md has the settings of a controller; then call ~/reset",
        "ros.controller_parameters.ControllerParameters",
        note="before an activation and while active; allow_trajectory_replacement is true by "
        "default after ros2_controllers 6.9.0; a controller that subscribes anew "
        "is asked again within a second; one without parameter services is taken as it is",
    ),
    Watch(
        "speed_scaling",
        "the controller's speed scaling factor",
        _FAULT,
        (Threshold("deviation from 1 that is let pass", "", 1e-3, home="constant"),),
        "The robot's speed slider is not at 100 %, so that windows would restart at real time.",
        "set the speed slider to 100 %, then call ~/reset",
        "core.watch_motion.speed_scaling",
    ),
    Watch(
        "reference_against_plan",
        "distance of what the controller plays from what it was sent for that instant",
        _PAUSE,
        (
            # ours: control.md 1 says about 1 mrad; states are stamped within 5 ms of their sample
            Threshold("reference_error_rad", POSITION_UNIT, 0.002, 0.001, 0.05),
            Threshold("jitter of the state's stamp", "ms", 5.0, home="constant"),
        ),
        "A window came late or was lost, or somebody else commanded the arm.",
        "check the network's delay and that nobody else publishes commands",
        "core.watch_motion.reference_against_plan",
        _FAULT,
        "one of the controllers does not tell what it holds",
        note="nothing more is sent, the tail of what the controller has plays; a new episode "
        "starts from what it holds then; states older than the last 50 ms are not compared",
    ),
    Watch(
        "second_publisher",
        "other publishers on a command topic",
        _FAULT,
        (Threshold("publishers beside the node's own", "", 0, home="constant"),),
        "Another node or a second instance of this one commands the same controller.",
        "stop the other publisher",
        "ros.rivals.Rivals",
        note="the graph is asked once a second; in shadow nobody is commanded and nothing is asked",
    ),
    Watch(
        "e_stop",
        "the e-stop topic and service; silence, where the topic is required",
        _FAULT,
        (
            Threshold("e_stop_required", "", False),
            Threshold("e_stop_silence_s", "s", 0.5, 0.1, 5.0),
        ),
        "Somebody asked for a stop, or the e-stop's own publisher died.",
        "release the e-stop, then call ~/reset",
        "core.watch_operator.EStop",
        note="heard while the node is configured; a press while inactive latches a fault as well",
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
        "core.watch_operator.DeadMan",
    ),
    Watch(
        "replay_starvation",
        "gap between two ticks of the replay thread",
        _PAUSE,
        (Threshold("periods of refresh_ms", "", 3, home="constant"),),
        "The CPU is overloaded, or the process was stopped.",
        "check the CPU's load, and give the node realtime_priority",
        "ros.replay_thread.ReplayThread",
    ),
    Watch(
        "old_episode",
        "whether a chunk belongs to the present episode",
        _DROP,
        (),
        "It was asked for before a pause, a reset or a changed instruction.",
        "nothing: the next chunk is of the present episode",
        "core.session.Session",
    ),
)
