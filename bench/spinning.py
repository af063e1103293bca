"""A node that a thread spins, as the policy node is by its main thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

LIMIT_S = 30.0


@contextmanager
def spun(node: Node) -> Iterator[None]:
    """Spin `node` while the block runs, and destroy it afterwards."""
    executor, ended = SingleThreadedExecutor(), Future()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin_until_future_complete, args=(ended,))
    spinner.start()
    try:
        yield
    finally:
        # Not Executor.shutdown: it destroys what the thread still waits for, and the thread raises.
        ended.set_result(None)
        spinner.join(LIMIT_S)
        executor.shutdown()
        node.destroy_node()
