"""Rows of the table of watches: what comes in, streams and clocks."""

from __future__ import annotations

from gr00t_ros.core.watch_row import Threshold, Watch
from gr00t_ros.core.watchdog import Reaction

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
        "core.watchdog.stream_age",
        _FAULT,
        "older than the fault age",
        "a stream that is declared slower pauses after three of its periods",
    ),
    Watch(
        "stream_content",
        "whether the newest message could go into an observation",
        _PAUSE,
        (),
        "A joint is missing, twice there or not a number, or a stamp lies in the future.",
        "compare the topic with the embodiment file",
        "ros.surroundings.Surroundings",
    ),
    Watch(
        "mixed_publishers",
        "whether two publishers send the same joints, or the same topic without joints",
        _PAUSE,
        (
            # ours: a slower second publisher than that is ignored, message by message
            Threshold("memory of a publisher that was heard", "s", 10.0, home="constant"),
        ),
        "A second driver, a bag or a joint_state_publisher runs beside the robot's own.",
        "stop one of them",
        "core.writers.Writers",
        note="by the numbers that publishers give their messages; partial joint states of several "
        "publishers are merged by name, and a restarted publisher is no second one; where the "
        "middleware tells no numbers, each publisher needs joints of its own",
    ),
    Watch(
        "skew",
        "distance between the stamps of one observation's streams",
        _DROP,
        (
            Threshold("max_skew_ms", "ms", 100, 50, 1000),
            Threshold("skewed observations that pause", "", 3, home="constant"),
        ),
        "A camera's clock or its delay differs from that of the joint states.",
        "synchronise the clocks, or stamp images when they are exposed",
        "core.watch_streams.Skew",
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
        "core.watch_camera.FrozenCamera",
        note="0 switches it off, for pictures without noise; frames are looked at 15 times a "
        "second or more, and where each has the stamp of the first, stream_age pauses sooner",
    ),
    Watch(
        "black_camera",
        "frames in a row whose mean level is near black",
        _PAUSE,
        (
            # ours: a covered lens still shows a level or two of noise; a dim room is far above
            Threshold("black_camera_level", "of 255", 3.0, 0.0, 32.0),
            Threshold("black_camera_frames", "frames", 10, 2, 1000),
        ),
        "The lens is covered, the light is off, or exposure failed.",
        "uncover the lens and switch on the light",
        "core.watch_camera.BlackCamera",
        note="raw pictures and JPEG; a PNG is not judged",
    ),
    Watch(
        "clock_backward",
        "the clock of the plan, or the ROS clock, running back",
        _PAUSE,
        (
            Threshold("step that is let pass, with use_sim_time", "ms", 1.0, home="constant"),
            Threshold("step that is let pass, without", "ms", 50.0, home="constant"),
        ),
        "A bag or simulation was restarted, or the system's clock was set back.",
        "let the clock run on; it continues by itself",
        "core.session.Session",
        note="a plan on simulated time is a fault where no controller tells what it holds",
    ),
    Watch(
        "clock_forward",
        "the ROS clock running ahead of the steady one",
        _PAUSE,
        (Threshold("clock_jump_s", "s", 0.5, 0.05, 5.0),),
        "The system's clock was set, the machine slept, or a bag jumped.",
        "let time be set before the node starts; it continues by itself",
        "core.watch_clock.ClockJump",
    ),
    Watch(
        "silent_clock",
        "steady time without a change of the simulated clock",
        _PAUSE,
        (Threshold("clock_silence_s", "s", 0.5, 0.1, 10.0),),
        "The simulation or the bag is paused, or nobody publishes /clock.",
        "let the simulation run, or set use_sim_time to false",
        "core.watch_clock.SilentClock",
        note="with use_sim_time only; plan time stands still with the clock, so nothing moves",
    ),
)
