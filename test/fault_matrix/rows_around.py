"""Rows of the fault matrix: obstacles, contacts, and the process that sends the base's commands."""

from __future__ import annotations

import signal

from fault_matrix.around import ARM_SIZE, ARM_XYZ, WALL_SIZE, WALL_XYZ
from fault_matrix.rig import Rig
from fault_matrix.row import BUSY, Act, Fault, Group

AWAY_RAD = -0.1
"""Joint 1 at less than this: the arm is on the other side of the wall's place."""


def _wall(rig: Rig) -> None:
    rig.wait(lambda: rig.position_rad("fr3_joint1") < AWAY_RAD, "an arm away from the wall")
    rig.around.put(WALL_XYZ, WALL_SIZE)


def _no_wall(rig: Rig) -> None:
    rig.around.clear()
    assert rig.trigger("/gr00t_policy/resume").success


def _silence(*sources: str) -> Act:
    return lambda rig: setattr(rig.around, "silent", set(sources))


def _touch(touched: bool) -> Act:
    return lambda rig: setattr(rig.around, "touched", touched)


_SCENE = (
    Fault(
        "obstacle in the way",
        "a wall on `~/obstacles`, mended by its deletion and `~/resume`; collision_patience_s 1 s",
        _wall,
        _no_wall,
        "obstacle_ahead",
        mode="paused_by_operator",
        words=("obstacle box/0", "the policy has led there", "~/resume"),
        recovery="~/resume",
    ),
    Fault(
        "obstacle at the arm",
        "a box on `~/obstacles` around the arm's foot, mended by its deletion",
        lambda rig: rig.around.put(ARM_XYZ, ARM_SIZE),
        lambda rig: rig.around.clear(),
        "obstacle_touches",
        words=("obstacle box/0",),
    ),
    Fault(
        "detector of obstacles silent",
        "nothing on `~/obstacles`",
        _silence("obstacles"),
        _silence(),
        "scene_stale",
        words=("obstacles: nothing received for",),
    ),
)

_TOUCH = (
    Fault(
        "contact while moving",
        "true on the topic of the contact sensor, mended by false",
        _touch(True),
        _touch(False),
        "contact",
        words=("contact sensor on /collision_detected",),
    ),
    Fault(
        "contact sensor silent",
        "nothing on the topic of the contact sensor",
        _silence("contact"),
        _silence(),
        "contact",
        words=("contact sensor on /collision_detected", "last usable message"),
    ),
)

_STREAMER = (
    Fault(
        "command streamer frozen",
        "SIGSTOP; mended by SIGCONT",
        lambda rig: rig.send("commands", signal.SIGSTOP),
        lambda rig: rig.send("commands", signal.SIGCONT),
        "streamer_silent",
        words=("gr00t_command_streamer, which plays output", "last heard"),
        persists=True,
    ),
    Fault(
        "command streamer killed",
        "SIGKILL; mended by starting it anew",
        lambda rig: rig.send("commands", signal.SIGKILL),
        lambda rig: rig.start_commands(),
        "streamer_silent",
        words=("gr00t_command_streamer, which plays output", "last heard"),
        persists=True,
    ),
)

# Longer than the silence that a busy machine may cause.
_CONTACT = (*BUSY, ("contact", "pause"), ("contact_silence_s", 2.0))
_OBSTACLES = (
    *(*BUSY, ("collision", "required"), ("obstacles", "markers"), ("obstacles_stale_s", 3.0)),
    ("collision_patience_s", 1.0),
)

GROUPS = (
    Group("Obstacles", _SCENE, _OBSTACLES, around=True),
    Group("Contacts and a base", (*_TOUCH, *_STREAMER), _CONTACT, around=True),
)
