"""The policy server of one configuration: the link to it, its check, and what is told of it.

Asks nothing by itself: the worker does (ros/queries.py). Refuses to know sessions and the robot.
"""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.server_access import Access
from gr00t_ros.ros.server_check import ServerCheck
from gr00t_ros.ros.server_report import ServerReport
from gr00t_ros.ros.sidecar_process import SidecarProcess
from gr00t_ros.sidecar.link import Check, Link


class PolicyServer:
    """`link` is the worker's alone; `address` is for the operator."""

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        values: Parameters,
        access: Access,
        address: str,
        sidecar: SidecarProcess,
        now_ns: Callable[[], int],
    ) -> None:
        """`sidecar`: the process that may be behind the address. Nothing is sent yet.

        `now_ns`: plan time, which inferences are timed by.
        """
        self._node, self._sidecar, self.address = node, sidecar, address
        self._hardware_id = f"{embodiment.robot}:{embodiment.tag}"
        client = access.client()
        self.link = Link(client, embodiment, access.token, values.strict, now_ns)
        self.check = ServerCheck(address, embodiment, values, sidecar)
        self._report = ServerReport(
            client.counts, values.strict, self._hardware_id, node.get_logger().info
        )

    def take(self, check: Check | None, error: Exception | None) -> None:
        """Take a check's outcome and log what is new of it; runs on the worker thread."""
        self._report.note(self.link.rows)
        warning, said = self.check.take(check, error)
        # Two lines of code: rclpy refuses another severity from the same line.
        if warning:
            self._node.get_logger().warning(warning)
        if said:
            self._node.get_logger().info(said)

    def entries(self) -> list[DiagnosticStatus]:
        """What /diagnostics says of it and of its process."""
        return [*self._report.entries(), *self._sidecar.entries(self._hardware_id)]
