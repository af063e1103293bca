"""Takes the chains of an embodiment's kinematics from the robot's published description.

The description's chain replaces a chain that is written in the file. A chain from a URDF that the
file names is kept, and compared with the description. A description that contradicts the file is
never used: the stream then has no chain, and carries the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

import numpy as np

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.rotation import Chain, Pose
from gr00t_ros.robot.streams import StateStream
from gr00t_ros.robot.urdf.chain import has_links, urdf_chain

AGREE_M, AGREE_RAD = 0.02, 0.05
"""How far apart the ends of two chains of one robot may be. A calibration moves a link by
millimetres; another link or another robot differs by centimetres. Chosen."""

_SAMPLES = 12  # positions of all joints at which two chains are compared


def described(robot: Embodiment, root: Element, where: str) -> tuple[Embodiment, tuple[str, ...]]:
    """`robot` (as read from its file) with the chains of a description, and its box's problems.

    `where`: the name of the description in messages. A stream whose chain the description does not
    give gets a `chain_problem`. A description without links states no kinematics; `robot` is then
    returned unchanged.
    """
    if not has_links(root):
        return robot, unknown_chains(robot)
    state = tuple(_stream(one, root, where) for one in robot.state)
    box, problem = robot.workspace, ""
    if box is not None and box.link:
        try:
            chain = _chain(box.chain, box.base, box.link, robot.joint_names, root, where)
            box = box if box.chain_from_urdf else replace(box, chain=chain)
        except SettingsError as error:
            problem = f"workspace: {error}"
    result = replace(robot, state=state, workspace=box)
    return result, (problem,) if problem else unknown_chains(result)


def unknown_chains(robot: Embodiment) -> tuple[str, ...]:
    """Why a plan cannot be compared with the box: only a description can give its chain."""
    box = robot.workspace
    if box is None or not box.link or box.chain is not None:
        return ()
    return (f"workspace: {not_described(box.base, box.link)}",)


def unreadable(robot: Embodiment, why: str) -> Embodiment:
    """`robot` with the reason `why` its description cannot be read, in streams without a chain."""
    lacking = [one for one in robot.state if one.source == "kinematics" and one.chain is None]
    if not lacking:
        return robot
    state = (replace(one, chain_problem=why) if one in lacking else one for one in robot.state)
    return replace(robot, state=tuple(state))


def not_described(base: str, link: str) -> str:
    """The message for a chain that only a description can give, before one is received."""
    return (
        f"the chain from {base!r} to {link!r} is not known: nothing on /robot_description has it; "
        "start robot_state_publisher, or write chain or urdf into the embodiment file"
    )


def while_active(used: Embodiment, newest: Embodiment, where: str) -> Embodiment:
    """`used` (the chains of an active session) without the chains that `newest` contradicts.

    `newest`: the same file with the chains of the newest description.
    """
    state = []
    for mine, other in zip(used.state, newest.state, strict=True):
        problem = other.chain_problem
        if mine.chain is not None and other.chain is not None:
            apart = _apart(mine.chain, other.chain)
            if apart:
                problem = f"{where}: {other.link!r} is {apart} from where it was"
        if problem:
            problem += (
                "; the description changed while active: deactivate the node, and activate it "
                "again once the description is right"
            )
            mine = replace(mine, chain=None, chain_problem=problem)
        state.append(mine)
    return replace(used, state=tuple(state))


def _stream(stream: StateStream, root: Element, where: str) -> StateStream:
    if stream.source != "kinematics":
        return stream
    try:
        base = stream.frame or ""
        chain = _chain(stream.chain, base, stream.link, stream.names, root, where, True)
    except SettingsError as error:
        return replace(stream, chain=None, chain_problem=str(error))
    return stream if stream.chain_from_urdf else replace(stream, chain=chain)


def _chain(
    known: Chain | None,
    base: str,
    link: str,
    names: Sequence[str],
    root: Element,
    where: str,
    all_of_them: bool = False,
) -> Chain:
    """The description's chain for values in the order of `names`.

    Raises SettingsError if it has joints that are not in `names`, if one of them is missing (with
    `all_of_them`), or if it differs from the `known` chain.
    """
    chain = urdf_chain(root, base, link, where)
    expected = names if known is None else known.joint_names
    exact = all_of_them or known is not None
    others = [name for name in chain.joint_names if name not in expected]
    missing = [name for name in expected if name not in chain.joint_names] if exact else []
    if others or missing:
        raise SettingsError(
            f"{where}: {link!r} is moved from {base!r} by {', '.join(chain.joint_names)}, the "
            f"embodiment file expects {', '.join(expected)}: is it the file of this robot?"
        )
    chain = chain.among(names)
    apart = "" if known is None else _apart(known, chain)
    if apart:
        raise SettingsError(
            f"{where}: {link!r} is {apart} from where the embodiment file's own chain has it, at "
            f"most {AGREE_M:g} m and {AGREE_RAD:g} rad are allowed: is it the file of this robot, "
            "and does its chain end at this link?"
        )
    return chain


def _apart(one: Chain, other: Chain) -> str:
    """The largest distance between the ends of two chains of the same joints; empty if equal."""
    names = one.joint_names
    phase = np.arange(_SAMPLES)[:, None] * 1.7 + np.arange(len(names)) * 2.3
    values = np.vstack([np.zeros(len(names)), np.sin(phase)])
    first, second = one.among(names).pose(values), other.among(names).pose(values)
    worst_m = worst_rad = 0.0
    for row in range(len(values)):
        pose, beside = Pose(first[0][row], first[1][row]), Pose(second[0][row], second[1][row])
        far_m, far_rad = pose.away_from(beside)
        worst_m, worst_rad = max(worst_m, far_m), max(worst_rad, far_rad)
    if worst_m <= AGREE_M and worst_rad <= AGREE_RAD:
        return ""
    return f"up to {worst_m:.3f} m and {worst_rad:.2f} rad"
