"""A node that a thread spins, for benches and tests; the product spins on its main thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.task import Future

LIMIT_S = 30.0


@contextmanager
def spun(node: Node) -> Iterator[None]:
    """Spin `node` while the block runs, and destroy it afterwards.

    The block may destroy what it has created. Raises RuntimeError if a callback never returns.
    """
    executor, ended = SingleThreadedExecutor(context=node.context), Future()
    executor.add_node(node)
    # A daemon: an interpreter that ends with a failure does not wait for a callback.
    spinner = threading.Thread(target=_spin, args=(executor, ended), name="spun node", daemon=True)
    spinner.start()
    try:
        yield
    finally:
        # Not Executor.shutdown: it destroys what the thread still waits for, and the thread raises.
        ended.set_result(None)
        spinner.join(LIMIT_S)  # without it the interpreter aborts at exit
        executor.shutdown()
        node.destroy_node()
    if spinner.is_alive():
        raise RuntimeError(f"a callback of node {node.get_name()} did not return in {LIMIT_S} s")


def _spin(executor: SingleThreadedExecutor, ended: Future) -> None:
    while not ended.done():
        try:
            executor.spin_until_future_complete(ended)
        except rclpy_implementation.InvalidHandle:
            # Another thread destroyed an entity while rclpy put it into its wait set. The next
            # wait set is without it.
            continue
