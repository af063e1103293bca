"""How the simulation's processes run one node and end: signals, spinning, leaving order.

Refuses to know what the node does.
"""

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from gr00t_ros.core.errors import SettingsError

WAKE_S = 0.05
"""An idle spin notices a signal only when it wakes (control.md 4)."""


def run_node(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Spin the node until SIGINT or SIGTERM; returns the process's exit status.

    rclpy's own handlers would shut the context under the node's threads and last
    publications, so they stay off: the node is destroyed first, in a living context.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    rclpy.init(
        args=list(args) if args is not None else None,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    try:
        _spin(make_node(), stop)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        rclpy.shutdown()
    return 0


def _spin(node: Node, stop: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=WAKE_S)
    finally:
        executor.shutdown()
        node.destroy_node()
