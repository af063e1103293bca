"""What a trajectory controller is configured to do with windows, asked of its own parameters.

Two settings of joint_trajectory_controller break the splice of windows and are refused before a
start (control.md 1, item 8). A controller without parameter services, such as a driver's own, is
taken as it is. Nothing here waits: answers arrive on the executor.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.task import Future

# Parameter -> what it does to a rolling window when it is true.
FORBIDDEN = {
    "allow_trajectory_replacement": "re-anchors windows whose stamp is past: a step of the arm",
    "allow_nonzero_velocity_at_trajectory_end": "takes windows that do not end at rest",
}


class ControllerParameters:
    """Asks each controller once it is there; the controller owns `TOPIC/..`, its command topic."""

    def __init__(self, node: Node, command_topics: Iterable[str]) -> None:
        """Make a client for the controller of each command topic, /NAME/joint_trajectory.

        Other topics are read by no trajectory controller: a streamer, a base.
        """
        self._node = node
        self._clients = {
            name: node.create_client(GetParameters, f"{name}/get_parameters")
            for name in dict.fromkeys(_controllers(command_topics))
        }
        self._asked: set[tuple[str, str]] = set()
        self._forbidden: set[tuple[str, str]] = set()
        self.answers = 0

    def poll(self) -> None:
        """Ask those controllers that are there and were not asked yet.

        One request a parameter: rclcpp answers a request with an unknown name by nothing at all.
        """
        for controller, client in self._clients.items():
            for name in FORBIDDEN:
                if (controller, name) not in self._asked and client.service_is_ready():
                    self._asked.add((controller, name))
                    future = client.call_async(GetParameters.Request(names=[name]))
                    future.add_done_callback(partial(self._answered, controller, name))

    def forget(self) -> None:
        """Ask again: a controller may have been loaded anew."""
        self._asked.clear()

    def problems(self) -> list[str]:
        """What must be changed at the controllers, one sentence each."""
        return [
            f"{controller}: parameter {name} is true: {FORBIDDEN[name]}; set it to false"
            for controller, name in sorted(self._forbidden)
        ]

    def destroy(self) -> None:
        """Remove the clients from the node."""
        for client in self._clients.values():
            self._node.destroy_client(client)

    def _answered(self, controller: str, name: str, future: Future) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        self.answers += 1
        values = future.result().values
        true = [v for v in values if v.type == ParameterType.PARAMETER_BOOL and v.bool_value]
        (self._forbidden.add if true else self._forbidden.discard)((controller, name))


def _controllers(command_topics: Iterable[str]) -> list[str]:
    split = [topic.rpartition("/") for topic in command_topics]
    return [name for name, _, last in split if name and last == "joint_trajectory"]
