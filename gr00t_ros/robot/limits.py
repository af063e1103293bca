"""What may be commanded: limits of joints, commands and poses, and the workspace box.

This file owns the numbers. motion/guard and motion/shaper apply the joint limits, motion/guard,
motion/commands and stream/command_player those of commands, motion/pose/follower the pose limits,
motion/guard and watch/arm the workspace.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.field import REST_S, Field
from gr00t_ros.robot.keys import ENVELOPE, JOINT_LIMITS, POSE_LIMITS, WORKSPACE
from gr00t_ros.robot.rotation import Chain, Pose, read_chain
from gr00t_ros.robot.streams import POSES, ReadUrdf, StateStream, read_urdf_chain

Array = NDArray[np.float64]

ROUNDING = 1e-6
"""Tolerance, rad or m: a float32 limit may exceed the float64 one by rounding."""

POSITION_UNIT = "rad or m"
"""Unit in texts: the file does not say which joints are prismatic (m)."""


TO_LIMIT = "to limit "
"""Prefix of keys in a status' details; the value says how far the joint is from its limit."""


@dataclass(frozen=True, slots=True, eq=False)
class JointLimits:
    """Limits of J joints in plan joint order; every array is read-only (J,) float64.

    lower, upper: position, rad. velocity, acceleration, jerk: rad/s, rad/s^2, rad/s^3, positive.
    margin: kept inside the position limits, rad. jump: largest distance of a chunk's first step
    from the held position, rad, inf where unchecked. held: largest |held - measured| at a start,
    rad, inf where unchecked. envelope: (J, 4) float64 [offset, slope, upper, lower] of the FR3's
    velocity limit that depends on position, NaN rows where there is none:
    v <= -offset + sqrt(slope * (upper - q)), v >= offset - sqrt(slope * (q - lower))
    (libfranka rate_limiting.h, computeUpperLimitsJointVelocity and its lower twin).
    """

    names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    margin: Array
    jump: Array
    held: Array
    envelope: Array

    def __len__(self) -> int:
        """J, the number of joints."""
        return len(self.names)

    def of(self, names: Sequence[str]) -> JointLimits:
        """The limits of these joints alone, in the order of `names`."""
        columns = [self.names.index(name) for name in names]
        arrays = [one.name for one in fields(self) if one.name != "names"]
        chosen = {name: getattr(self, name)[columns] for name in arrays}
        return replace(self, names=tuple(names), **chosen)

    def allowed(self, joint: int) -> str:
        """The range in which joint number `joint` may be commanded, and its margin, as text."""
        lower, upper, margin = self.lower[joint], self.upper[joint], self.margin[joint]
        text = f"{lower + margin:.4f} to {upper - margin:.4f}"
        return f"{text} (margin {margin:g} of {lower:g} to {upper:g})" if margin > 0.0 else text

    def outside(self, positions: Mapping[str, float]) -> Iterator[str]:
        """Yield a line for each joint whose position, rad or m, is outside its limits less margin.

        Joints that are not in `positions` are skipped. A position that is not finite gets a line.
        """
        for joint, name in enumerate(self.names):
            at = positions.get(name)
            low = self.lower[joint] + self.margin[joint] - ROUNDING
            high = self.upper[joint] - self.margin[joint] + ROUNDING
            if at is not None and not low <= at <= high:
                yield f"limits.{name}: it is at {at:.4f}, limits {self.allowed(joint)}"

    def closest(self, positions: Array, most: int) -> list[tuple[int, float]]:
        """The joints closest to an end of their allowed range: number, and distance in rad or m.

        positions: (J,) in plan joint order. The order is by the distance as a share of the range,
        so that rad and m compare; a distance below 0 is outside. A joint without a margin is left
        out: it is meant to reach its ends, as a gripper does.
        """
        low, high = self.lower + self.margin, self.upper - self.margin
        left = np.minimum(positions - low, high - positions)
        order = np.argsort(left / (high - low))
        return [(int(j), float(left[j])) for j in order if self.margin[j] > 0.0][:most]


def read_limits(fields: Mapping[str, Field], joint_names: tuple[str, ...]) -> JointLimits:
    """The limits of all joints of all outputs, from the entries of the file's `limits`."""
    rows = [_joint(fields[name]) for name in joint_names]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 12).T.copy()
    envelope = table[8:].T.copy()
    for array in (table, envelope):
        array.setflags(write=False)  # before the views are taken: they inherit it
    lower, upper, velocity, acceleration, jerk, margin, jump, held = table[:8]
    return JointLimits(
        names=joint_names,
        lower=lower,
        upper=upper,
        velocity=velocity,
        acceleration=acceleration,
        jerk=jerk,
        margin=margin,
        jump=jump,
        held=held,
        envelope=envelope,
    )


def _joint(field: Field) -> tuple[float, ...]:
    """lower, upper, velocity, acceleration, jerk, margin, jump, held and the envelope's four."""
    at = field.keys(JOINT_LIMITS)
    lower, upper = at["position"].interval()
    margin = at["margin"].number(low=0.0)
    if not lower + margin < upper - margin:
        raise at["margin"].error(
            f"less than half of position [{lower:g}, {upper:g}], {(upper - lower) / 2.0:g}: "
            "nothing would be left of the range; a gripper needs 0.0 to reach its ends, a short "
            "axis 5 % of its range"
        )
    speeds = tuple(at[name].positive() for name in ("velocity", "acceleration", "jerk"))
    _refuse_long_stops(at["jerk"], *speeds)
    return (
        lower,
        upper,
        *speeds,
        margin,
        *(_unless_unchecked(at[name]) for name in ("jump", "held")),
        *(_envelope(at["velocity_envelope"]) if "velocity_envelope" in at else [np.nan] * 4),
    )


def _refuse_long_stops(field: Field, velocity: float, acceleration: float, jerk: float) -> None:
    """Refuse limits with which a joint could not stop within REST_S.

    Jerk ends the acceleration, builds up the braking and ends that. In between the braking is
    constant, if the velocity is large enough.
    """
    turn_s = acceleration / jerk
    constant = velocity >= acceleration * turn_s
    brake_s = velocity / acceleration + turn_s if constant else 2.0 * math.sqrt(velocity / jerk)
    if turn_s + brake_s > REST_S:
        raise field.problem(
            f"got {jerk:g}, with which a stop from velocity {velocity:g} while accelerating with "
            f"{acceleration:g} takes {turn_s + brake_s:.3g} s ({turn_s:.3g} s to end the "
            f"acceleration, {brake_s:.3g} s to brake), expected at most {REST_S:g} s: "
            "raise jerk or acceleration, or lower velocity"
        )


def _unless_unchecked(field: Field) -> float:
    if field.value == "unchecked":
        return np.inf
    if isinstance(field.value, str):
        raise field.error("a number above 0, or unchecked")
    return field.positive()


def _envelope(field: Field) -> tuple[float, ...]:
    at = field.keys(ENVELOPE)
    offset, slope = at["offset"].number(low=0.0), at["slope"].positive()
    upper, lower = at["upper"].number(), at["lower"].number()
    if not lower < upper:
        raise field.error("lower < upper")
    return offset, slope, upper, lower


@dataclass(frozen=True, slots=True)
class VectorLimit:
    """Limits of the length of a vector of velocities, such as the speed of a tool.

    names: its commands. speed: the largest length. rate: the largest length of its change in a
    second. `name` is for messages.
    """

    name: str
    names: tuple[str, ...]
    speed: float
    rate: float


@dataclass(frozen=True, slots=True, eq=False)
class CommandLimits:
    """Limits of C commands, one output's after the other; every array is read-only (C,).

    lower, upper: values are clamped to them. rate: largest change a second. start: what the robot
    does before the first command, NaN where that is not known (grippers). velocity: bool, rests at
    zero and goes to 0 at each stop; the others keep their value. vectors: limits of several
    velocities together, beside their own.
    """

    names: tuple[str, ...]
    lower: Array
    upper: Array
    rate: Array
    start: Array
    velocity: NDArray[np.bool_]
    vectors: tuple[VectorLimit, ...] = ()

    def __len__(self) -> int:
        """C, the number of commands."""
        return len(self.names)

    def only(self, names: Sequence[str]) -> CommandLimits:
        """The limits of these commands, in this order; a vector's names are all in it or none."""
        at = [self.names.index(name) for name in names]
        found = CommandLimits(
            tuple(names),
            lower=self.lower[at],
            upper=self.upper[at],
            rate=self.rate[at],
            start=self.start[at],
            velocity=self.velocity[at],
            vectors=tuple(one for one in self.vectors if set(one.names) <= set(names)),
        )
        for array in (found.lower, found.upper, found.rate, found.start, found.velocity):
            array.setflags(write=False)
        return found

    @property
    def at_once(self) -> NDArray[np.bool_]:
        """(C,) velocities that are zero at once at a stop: those of no vector, such as a base's.

        A vector stops inside its limits: a tool would get a blow, while a base has its own ramp.
        """
        vectors = {name for vector in self.vectors for name in vector.names}
        found: NDArray[np.bool_] = self.velocity & [name not in vectors for name in self.names]
        return found

    def columns(self, vector: VectorLimit) -> list[int]:
        """Where the vector's commands are."""
        return [self.names.index(name) for name in vector.names]

    def within(self, values: Array) -> Array:
        """`values` (N, C) clamped to the ranges, then shortened to the vectors' speeds."""
        found: Array = np.clip(values, self.lower, self.upper)
        for vector in self.vectors:
            at = self.columns(vector)
            found[:, at] *= _shares(found[:, at], vector.speed)
        return found

    def towards(self, before: Array, target: Array, seconds: float) -> Array:
        """`before` (C,) moved towards `target` as far as it may in `seconds`; exact once there.

        A vector moves on the line to its target: between two allowed ones all are allowed.
        """
        step, most = target - before, self.rate * seconds
        found: Array = np.where(np.abs(step) <= most, target, before + np.clip(step, -most, most))
        for vector in self.vectors:
            at = self.columns(vector)
            way = step[at]
            slowest = np.max(np.abs(way) / most[at], initial=0.0)
            slowest = max(slowest, np.linalg.norm(way) / (vector.rate * seconds))
            found[at] = target[at] if slowest <= 1.0 else before[at] + way / slowest
        return found


def _shares(vectors: Array, longest: float) -> Array:
    """(N, 1): the part of each of the vectors (N, M) that is no longer than `longest`."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    shares: Array = longest / np.maximum(lengths, longest)
    return shares


_NONE = np.empty(0)
NO_COMMANDS = CommandLimits((), _NONE, _NONE, _NONE, _NONE, np.empty(0, dtype=np.bool_))
"""For a robot without command outputs."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseLimits:
    """Limits of one end effector in the frame of its output.

    lower, upper: (3,) float64 m, read-only, corners of the box that its poses stay in.
    jump_m, jump_rad: largest distance of a chunk's first pose from the one that is held.
    """

    speed_m_s: float
    acceleration_m_s2: float
    turn_speed_rad_s: float
    turn_acceleration_rad_s2: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    jump_m: float
    jump_rad: float

    def near(self, one: Pose, other: Pose) -> bool:
        """Whether two poses are within the jump of each other."""
        far, turned = one.away_from(other)
        return far <= self.jump_m and turned <= self.jump_rad


def read_pose_limits(field: Field) -> PoseLimits:
    """The limits of the file: speed m/s, acceleration m/s^2, turn_* rad, box m, jump [m, rad]."""
    at = field.keys(POSE_LIMITS)
    corners = np.array([at[axis].interval() for axis in "xyz"]).T.copy()
    corners.setflags(write=False)  # before the views are taken: they inherit it
    jump = [item.positive() for item in at["jump"].items()]
    if len(jump) != 2:
        raise at["jump"].error("[m, rad]")
    speed, turn_speed = at["speed"].positive(), at["turn_speed"].positive()
    return PoseLimits(
        speed_m_s=speed,
        acceleration_m_s2=at["acceleration"].deceleration(speed),
        turn_speed_rad_s=turn_speed,
        turn_acceleration_rad_s2=at["turn_acceleration"].deceleration(turn_speed),
        lower=corners[0],
        upper=corners[1],
        jump_m=jump[0],
        jump_rad=jump[1],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Workspace:
    """Corners (3,) float64 m, read-only, in the frame of the pose and of the chain's base.

    `pose`: the state stream that measures the position of the end effector. `chain`: computes that
    position from joints in plan order; only with a chain is the path of a chunk checked too. At
    least one of the two is given, or `base` and `link`: the links between which the robot's
    description gives the chain, which replaces the file's. `chain_from_urdf`: the chain is from a
    URDF that the file names.
    """

    pose: str | None
    chain: Chain | None
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    base: str = ""
    link: str = ""
    chain_from_urdf: bool = False


def read_workspace(
    field: Field, state: Sequence[StateStream], joint_names: Sequence[str], read_urdf: ReadUrdf
) -> Workspace:
    """The box of the file, for a plan of `joint_names`.

    Raises EmbodimentError for a stream that is no pose, for a chain that is none of these joints
    and for a box with neither.
    """
    at = field.keys(WORKSPACE)
    if ("base" in at) != ("link" in at):
        raise field.problem("got one of base and link, expected both: the ends of the chain")
    if not any(name in at for name in ("pose", "chain", "link")):
        raise field.problem("got a box alone, expected pose (a state stream), chain (links), both")
    if "urdf" in at and ("chain" in at or "link" not in at):
        raise at["urdf"].problem("expected base and link beside it, and no chain: the file has it")
    pose = at["pose"].choice(*_poses(at["pose"], state)) if "pose" in at else None
    corners = np.array([at[axis].interval() for axis in "xyz"]).T.copy()
    corners.setflags(write=False)  # before the views are taken: they inherit it
    base, link = (at[name].text() if name in at else "" for name in ("base", "link"))
    chain = None
    if "chain" in at:
        chain = read_chain(at["chain"], joint_names)
    elif "urdf" in at:
        chain = read_urdf_chain(at["urdf"], base, link, read_urdf)
        others = [name for name in chain.joint_names if name not in joint_names]
        if others:
            raise at["urdf"].problem(
                f"its chain from {base} to {link} has joints that are not commanded: "
                f"{', '.join(others)}; choose another base or link"
            )
        chain = chain.among(joint_names)
    return Workspace(pose, chain, corners[0], corners[1], base, link, "urdf" in at)


def _poses(field: Field, state: Sequence[StateStream]) -> list[str]:
    poses = [stream.key for stream in state if stream.source in POSES]
    if not poses:
        raise field.problem(
            "got a state stream, but the file has none with from: pose, tf or kinematics"
        )
    return poses
