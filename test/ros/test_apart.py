"""An error in a thread beside the main node is told and ends the process: it must not go unseen."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

PROCESS = """
import sys
from rclpy.node import Node
from gr00t_ros.ros.process import SpunApart
from gr00t_ros.ros.process import run_node

class Robot(Node):
    def __init__(self):
        super().__init__("robot")
        self.controller = Node("controller")
        self.controller.create_timer(0.01, self.fail)
        self.apart = SpunApart("parameters", [self.controller], self.context)
        self.create_timer(0.01, self.apart.check)

    def fail(self):
        raise ValueError("the services are broken")

    def destroy_node(self):
        self.apart.end()
        super().destroy_node()

sys.exit(run_node(Robot))
"""


def test_a_callback_that_raises_in_a_thread_of_its_own_ends_the_process(processes):
    """The text has the thread, the error and the line that raised it."""
    child = processes.start("-c", PROCESS, name="robot")
    assert child.wait() == 1, child.text()
    assert "parameters thread: the services are broken" in child.text()
    assert "in fail" in child.text(), "where it came from"
