"""Unitree's LowCmd for arms and waist, and GR00T-WholeBodyControl's goal, as plain numbers.

Source of layout and motor order: unitree_ros2 eea2719, unitree_hg/msg/LowCmd.msg, MotorCmd.msg and
the C structures over which its examples compute the checksum. Source of the goal:
NVlabs/GR00T-WholeBodyControl 1983e88, decoupled_wbc: run_teleop_policy_loop.py,
interpolation_policy.py, run_g1_control_loop.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError

Floats = NDArray[np.float64]

MOTORS = 35
WEIGHT_MOTOR = 29
"""The `q` of this motor is arm_sdk's weight, 0 to 1: the share of its command that the robot's own
arm control applies."""

RAMP_NS = 2_000_000_000
"""Time from weight 0 to 1 and back, as Unitree's arm_sdk example takes to lower it."""

LEAD_NS = 40_000_000
"""The target time of a goal lies this far ahead: two periods of the receiver's loop of 50 Hz, so
that its interpolation does not run out when one goal comes a period late."""

SAME_CLOCK_NS = 200_000_000
"""Largest difference between two readings of one monotonic clock, one of them sent over a topic at
50 Hz. The clocks of two hosts differ more: each counts from its own boot."""

_FIRST_MOTOR = 12
_ARM = "shoulder_pitch shoulder_roll shoulder_yaw elbow wrist_roll wrist_pitch wrist_yaw".split()
ARM_SDK_JOINTS = (
    *(f"waist_{axis}_joint" for axis in ("yaw", "roll", "pitch")),
    *(f"{side}_{joint}_joint" for side in ("left", "right") for joint in _ARM),
)
"""The joints that /arm_sdk moves: motors 12 to 28 of the 29-joint G1, in its URDF's order."""

_MOTOR = np.dtype(
    [("mode", "u1"), ("", "u1", 3)]
    + [(name, "<f4") for name in ("q", "dq", "tau", "kp", "kd")]
    + [("reserve", "<u4")]
)
_LAYOUT = np.dtype(
    [("mode_pr", "u1"), ("mode_machine", "u1"), ("", "u1", 2)]
    + [("motor_cmd", _MOTOR, MOTORS), ("reserve", "<u4", 4)]
)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# Even after a sleep of the process, one step of the weight covers at most this much time.
_LONGEST_STEP_NS = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """Stiffness (N,) N m/rad and damping (N,) N m s/rad of the joints of one output."""

    stiffness: Floats
    damping: Floats


class ArmCommand:
    """Positions of some of arm_sdk's joints -> all fields of a LowCmd, its checksum included."""

    def __init__(self, joints: Sequence[str], gains: Gains) -> None:
        """SettingsError: a joint that arm_sdk does not move, or gains that do not fit."""
        foreign = [joint for joint in joints if joint not in ARM_SDK_JOINTS]
        if foreign:
            raise SettingsError(
                f"joints: got {', '.join(foreign)}, expected some of arm_sdk's: "
                f"{', '.join(ARM_SDK_JOINTS)}"
            )
        _check_gains(gains, len(joints))
        self._motors = [_FIRST_MOTOR + ARM_SDK_JOINTS.index(joint) for joint in joints]
        self._fields = np.zeros((), _LAYOUT)
        self._fields["motor_cmd"]["kp"][self._motors] = gains.stiffness
        self._fields["motor_cmd"]["kd"][self._motors] = gains.damping

    def fields(self, position: Floats, weight: float) -> tuple[NDArray[Any], int]:
        """The LowCmd without its checksum, a structured array (), and the checksum.

        position: (N,) rad in the order of the joints. Velocity and torque stay 0, as in Unitree's
        examples: if the stream ends suddenly, no velocity must stay commanded.
        Raises ValueError for numbers that are not finite and a weight outside [0, 1].
        """
        if not (np.isfinite(position).all() and 0.0 <= weight <= 1.0):
            raise ValueError(f"got {position} with weight {weight}, expected finite and 0 to 1")
        fields = self._fields.copy()
        fields["motor_cmd"]["q"][self._motors] = position
        fields["motor_cmd"]["q"][WEIGHT_MOTOR] = weight
        return fields, checksum(fields.tobytes())


def checksum(data: bytes) -> int:
    """Unitree's CRC32 of whole little-endian 32-bit words, each read from its highest bit.

    Polynomial 0x04C11DB7, start 0xFFFFFFFF, no reflection, no inversion at the end: CRC-32/MPEG-2
    of the words in big-endian order. zlib has the same polynomial with mirrored bits and an
    inverted end, so zlib computes it here.
    """
    mirrored = np.frombuffer(data, "<u4").byteswap().tobytes().translate(_REVERSED)
    return int(f"{zlib.crc32(mirrored) ^ 0xFFFFFFFF:032b}"[::-1], 2)


class ArmWeight:
    """arm_sdk's weight: rises over RAMP_NS after `take`, falls over RAMP_NS after `release`.

    Only `release` lowers it: without weight the arms fall. All times are of one clock, which may
    stand still, jump or run back; the weight then changes more slowly, never faster.
    """

    def __init__(self, start: float = 0.0) -> None:
        """Arms neither taken nor released; `start`: the weight that the last sender left.

        A sender that was killed leaves 1: beginning at 0 would drop the arms.
        """
        self._weight = start
        self._target: float | None = None
        self._updated_ns = 0

    @property
    def full(self) -> bool:
        """Whether the robot follows only these commands."""
        return self._weight == 1.0 and self._target == 1.0

    @property
    def released(self) -> bool:
        """Whether the arms were given back, or never taken."""
        return self._target is None or (self._target == 0.0 and self._weight == 0.0)

    def take(self, now_ns: int) -> None:
        """Begin to raise the weight; no effect on a second call or after a release."""
        if self._target is None:
            self._target, self._updated_ns = 1.0, now_ns

    def release(self, now_ns: int) -> None:
        """Begin to lower the weight from its present value; only for an orderly end.

        No effect if the arms were never taken.
        """
        if self._target == 1.0:
            self._target, self._updated_ns = 0.0, now_ns

    def at(self, now_ns: int) -> float:
        """The weight to send now."""
        if self._target is None:
            return self._weight
        step = min(max(now_ns - self._updated_ns, 0), _LONGEST_STEP_NS) / RAMP_NS
        self._updated_ns = now_ns
        away = self._target - self._weight
        self._weight = self._target if abs(away) <= step else self._weight + np.sign(away) * step
        return self._weight


def _check_gains(gains: Gains, count: int) -> None:
    for name, values in (("stiffness", gains.stiffness), ("damping", gains.damping)):
        if values.shape != (count,) or not (np.isfinite(values).all() and (values > 0.0).all()):
            raise SettingsError(f"{name}: got {values}, expected {count} numbers above 0")


def goal(
    position: Floats,
    monotonic_ns: int,
    walk: Sequence[float] | None = None,
    height_m: float | None = None,
) -> dict[str, object]:
    """The goal to send at monotonic_ns of the robot host's clock, as plain lists and numbers.

    position: (N,) rad, the upper body's joints in the receiver's order. walk: x, y (m/s) and about
    z (rad/s). If both `walk` and `height_m` are None they are left out, and the receiver's keyboard
    walks the robot. With either, the receiver stops walking when no goal has come for 1 s.
    Raises ValueError for numbers that are not finite.
    """
    content: dict[str, object] = {
        "target_upper_body_pose": position.tolist(),
        "target_time": (monotonic_ns + LEAD_NS) / 1e9,
        "timestamp": monotonic_ns / 1e9,
    }
    if walk is not None:
        content["navigate_cmd"] = list(walk)
    if height_m is not None:
        content["base_height_command"] = height_m
    numbers = [*position, *(walk or ()), 0.0 if height_m is None else height_m]
    if not np.isfinite(numbers).all():
        raise ValueError(f"got {content}, expected finite numbers")
    return content


def another_clock(status: Mapping[object, object], monotonic_ns: int) -> str:
    """Why target times of this host's clock are wrong for the sender of `status`; "" if they fit.

    The receiver's control loop sends its own monotonic time as `timestamp`, s, with its status.
    """
    time_s = status.get("timestamp")
    if isinstance(time_s, bool) or not isinstance(time_s, (int, float)) or not np.isfinite(time_s):
        return f"timestamp: got {time_s!r} in the robot's status, expected its monotonic time in s"
    apart_s = time_s - monotonic_ns / 1e9
    if abs(apart_s) <= SAME_CLOCK_NS / 1e9:
        return ""
    return (
        f"host: the robot's monotonic clock is {apart_s:+.2f} s from this one's, expected the same "
        "clock: target_time is read by it, so run this streamer on the robot's own computer"
    )
