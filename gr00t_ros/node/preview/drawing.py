"""The messages of the preview: ways as markers and paths, grippers as glyphs, joints as numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from gr00t_ros.graph.clearance_markers import MARKER_LIFETIME_S, to_point
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.robot.rotation import quaternion_from_matrix
from gr00t_ros.ros.windows import to_time
from gr00t_ros.session.preview import Arm, Gripper, Way, colours, grips

PREDICTED, COMMITTED, DRIVEN, GRIPPER = "predicted", "committed", "driven", "gripper"

_NEAR_TO_FAR = {
    PREDICTED: ((0.10, 0.35, 1.00, 1.0), (0.65, 0.85, 1.00, 0.5)),
    COMMITTED: ((0.00, 0.65, 0.15, 1.0), (0.75, 1.00, 0.45, 0.8)),
    DRIVEN: ((0.55, 0.55, 0.55, 0.3), (1.00, 1.00, 1.00, 1.0)),  # the newest point is last
}
_WIDTH_M = {PREDICTED: 0.004, COMMITTED: 0.008, DRIVEN: 0.003}
_LOWER, _UPPER = ColorRGBA(r=0.2, g=0.8, b=0.9, a=0.9), ColorRGBA(r=0.95, g=0.45, b=0.1, a=0.9)
_AT_ONCE, _PAUSE_S = 8, 50e-6
_GLYPH_M, _TEXT_M = 0.025, 0.025


def line(kind: str, arm: Arm, way: Way, stamp: Time) -> Marker:
    """A LINE_STRIP with a colour for each point; one that deletes the line where there is none."""
    marker = _marker(f"{kind}/{arm.name}", 0, Marker.LINE_STRIP, arm, stamp)
    if len(way) < 2:  # RViz refuses a line of one point
        marker.action = Marker.DELETE
        return marker
    marker.scale.x = _WIDTH_M[kind]
    shades = colours(len(way), *_NEAR_TO_FAR[kind]).tolist()
    for position, (r, g, b, a) in zip(way.positions, shades, strict=True):
        marker.points.append(to_point(position))
        marker.colors.append(ColorRGBA(r=r, g=g, b=b, a=a))
        give_way(len(marker.points))
    return marker


def glyphs(arm: Arm, way: Way, chunk: ActionChunk | None, stamp: Time) -> Iterator[Marker]:
    """A sphere and a text at the first row, and at each where a gripper passes its middle.

    The file does not say which end of a gripper's range is open, so the text has the value.
    """
    if chunk is None or len(way) != len(chunk.joints):
        return
    number = 0
    for gripper in arm.grippers:
        for row, fraction in grips(gripper, chunk):
            value = gripper.lower + fraction * (gripper.upper - gripper.lower)
            colour = _UPPER if fraction > 0.5 else _LOWER
            ball = _marker(f"{GRIPPER}/{arm.name}", number, Marker.SPHERE, arm, stamp)
            text = _marker(ball.ns, number + 1, Marker.TEXT_VIEW_FACING, arm, stamp)
            ball.color = text.color = colour
            ball.pose.position = to_point(way.positions[row])
            text.pose.position = to_point(way.positions[row] + [0.0, 0.0, 2.0 * _TEXT_M])
            ball.scale.x = ball.scale.y = ball.scale.z = _GLYPH_M
            text.scale.z = _TEXT_M
            end = "upper end" if fraction > 0.5 else "lower end"
            text.text = f"{gripper.name} {value:.3g} ({end}: {_end(gripper, fraction):.3g})"
            number += 2
            yield ball
            yield text


def path(arm: Arm, way: Way, offset_ns: int, stamp: Time) -> Path:
    """The way with a stamp for each pose; `offset_ns`: ROS time minus the way's time."""
    message = Path()
    message.header.frame_id, message.header.stamp = arm.frame, stamp
    if not len(way):
        return message
    turns = quaternion_from_matrix(way.rotations).tolist()
    for time_ns, position, turn in zip(way.times_ns.tolist(), way.positions, turns, strict=True):
        pose = PoseStamped()
        pose.header.frame_id, pose.header.stamp = arm.frame, to_time(time_ns + offset_ns)
        pose.pose.position = to_point(position)
        turned = pose.pose.orientation
        turned.x, turned.y, turned.z, turned.w = turn
        message.poses.append(pose)
        give_way(len(message.poses))
    return message


def give_way(count: int) -> None:
    """Release the GIL after every few points, so that the replay thread need not wait for it.

    Without this it waits for the interpreter's switch interval, 5 ms, which makes a window late.
    """
    if count % _AT_ONCE == 0:
        time.sleep(_PAUSE_S)


def _end(gripper: Gripper, fraction: float) -> float:
    return gripper.upper if fraction > 0.5 else gripper.lower


def _marker(namespace: str, number: int, kind: int, arm: Arm, stamp: Time) -> Marker:
    marker = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD)
    marker.header.frame_id, marker.header.stamp = arm.frame, stamp
    marker.pose.orientation.w = 1.0
    marker.lifetime.sec = MARKER_LIFETIME_S
    return marker
