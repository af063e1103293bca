"""Which controllers are active, asked of controller_manager: a name and a state where a controller
that fell silent has only an age.

Asks where controller_manager_msgs is installed and somebody answers; else nothing is known and
nothing is said. `look` runs on the executor thread and never waits; `findings` only reads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.task import Future

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding
from gr00t_ros.ros.pulled import InvalidHandle

try:  # in no package index: only real ROS installs have it
    from controller_manager_msgs.srv import ListControllers
except ImportError:
    ListControllers = None

ASK_S = 0.9
"""Between two questions at least: the caller's timer has about a second."""

ANSWER_S = 3.0
"""After so long an answer says nothing of now, and a question is given up."""

ACTIVE = "active"
UNLOADED = "not loaded any more"


def controllers_of(node: Node, robot: Embodiment) -> dict[str, str]:
    """Output -> the controller behind it: NAME of its command topic /NAME/..., as remapped."""
    topics = {output.name: node.resolve_topic_name(output.topic) for output in robot.outputs}
    return {output: topic.split("/")[-2] for output, topic in topics.items()}


class ControllerManager:
    """The watch on the state of each controller that controller_manager has listed."""

    def __init__(
        self,
        node: Node,
        namespace: str,
        controllers: Mapping[str, str],
        service: Any = ListControllers,
    ) -> None:
        """`controllers`: controllers_of; an empty `namespace` asks nobody."""
        self._node, self._namespace, self._controllers = node, namespace, dict(controllers)
        self._service, self._client = service, None
        if service is not None and namespace and self._controllers:
            self._client = node.create_client(service, f"{namespace}/list_controllers")
        self._asked_s = -ANSWER_S
        self._waiting: Future | None = None
        # When it was heard and what, in one: the other threads read it while it is replaced.
        self._answer: tuple[float, dict[str, str]] = (-ANSWER_S, {})

    def look(self) -> None:
        """Ask where a question is due; callable as often as one likes."""
        client, now_s = self._client, time.monotonic()
        patience_s = ASK_S if self._waiting is None else ANSWER_S
        if client is None or now_s - self._asked_s < patience_s:
            return
        try:
            if self._waiting is not None:
                client.remove_pending_request(self._waiting)
                self._waiting = None
            if not client.service_is_ready():
                return
            future = client.call_async(self._service.Request())
        except InvalidHandle:  # the node was destroyed between two calls
            return
        self._waiting, self._asked_s = future, now_s
        future.add_done_callback(self._answered)

    def findings(self) -> tuple[Finding, ...]:
        """One for each output whose controller was listed, by the last answer, as not active.

        A controller that was never listed is a driver's own; an old answer says nothing.
        """
        heard_s, states = self._answer
        if time.monotonic() - heard_s > ANSWER_S:
            return ()
        return tuple(
            finding(
                "controller_inactive",
                f"controller {controller} of output {output} is {states[controller]} by "
                f"{self._namespace}, expected {ACTIVE}",
            )
            for output, controller in self._controllers.items()
            if states.get(controller, ACTIVE) != ACTIVE
        )

    def destroy(self) -> None:
        """Remove the client from the node."""
        if self._client is not None:
            self._node.destroy_client(self._client)

    def _answered(self, future: Future) -> None:
        self._waiting = None if future is self._waiting else self._waiting
        if future.cancelled() or future.exception() is not None:
            return
        listed = {one.name: one.state for one in future.result().controller}
        gone = {name: UNLOADED for name in self._answer[1] if name not in listed}
        self._answer = time.monotonic(), gone | listed
