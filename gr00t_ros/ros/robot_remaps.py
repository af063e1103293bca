"""What a robot's launch arguments rename: topics and controllers -> remap rules as text.

Knows neither launch nor nodes; robot_launch hands in the arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTROLLER_TOPICS = ("joint_trajectory", "controller_state")


def robot_remaps(
    chosen: Mapping[str, str], topics: Mapping[str, str], controllers: Mapping[str, str]
) -> str:
    """Return `FROM:=TO FROM:=TO` for every argument that was given another value.

    `topics` and `controllers`: argument -> what the embodiment file has, a topic or a controller's
    name. `chosen`: argument -> what the robot has. A controller renames both of its topics.
    """
    pairs = [(own, chosen[name]) for name, own in topics.items()]
    pairs += [
        (f"/{own.strip('/')}/{topic}", f"/{chosen[name].strip('/')}/{topic}")
        for name, own in controllers.items()
        for topic in CONTROLLER_TOPICS
    ]
    return " ".join(f"{own}:={other}" for own, other in pairs if own != other)
