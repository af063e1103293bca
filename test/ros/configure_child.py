"""Configures and cleans up a policy node again and again; says what its process holds by then.

    python configure_child.py WARM_UP CYCLES

Prints two numbers: the objects that the garbage collector keeps after WARM_UP and after CYCLES.
"""

import gc
import sys

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from gr00t_ros.ros.node import PolicyNode


def main(warm_up: int, cycles: int) -> None:
    """Count objects, frozen ones included, as the collector leaves them."""
    rclpy.init(args=["--ros-args", "-p", "embodiment:=franka_droid", "-p", "port:=9"])
    node = PolicyNode()
    for cycle in range(1, cycles + 1):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        if cycle in (warm_up, cycles):
            print(gc.get_freeze_count())
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
