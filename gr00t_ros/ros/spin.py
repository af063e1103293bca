"""How a node's process runs and leaves: signals, a spin that always wakes, an order of leaving.

rclpy's own signal handlers would shut the context before a last window could be sent, so ours
only set a flag that the spin loop looks at every 50 ms of steady time (control.md 4).
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from types import FrameType

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from gr00t_ros.core.errors import Gr00tError, SettingsError
from gr00t_ros.ros.unknown import refuse_unknown, refuse_words

WAKE_S = 0.05
REFUSED = (InvalidParameterTypeException, InvalidParameterValueException)
"""What rclpy raises where a parameter is declared that was given another type or a wrong value."""


def run_node(
    make_node: Callable[[], Node],
    arguments: Sequence[str] | None = None,
    leave: Callable[[Node], None] | None = None,
    wake_s: float = WAKE_S,
    names: Collection[str] = (),
) -> int:
    """Spin the node until SIGINT or SIGTERM, then `leave` it and destroy it; returns 0.

    A node that refuses its arguments or parameters ends with one line on stderr and status 1.
    wake_s: how soon a signal is seen; each round takes the interpreter's lock for 0.2 ms.
    The nodes that the node has as `companions` are spun with it; it destroys them itself.
    names: of the node's parameters, for what is said of an argument that is none.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    try:
        initialise(arguments, names)
        node = make_node()
        try:
            refuse_unknown(node)
        except SettingsError:
            node.destroy_node()
            raise
        _spin(node, stop, leave, wake_s)
    except (Gr00tError, *REFUSED) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


def initialise(arguments: Sequence[str] | None, names: Collection[str] = ()) -> None:
    """Initialise rclpy without its signal handlers; `arguments`: this process's own if None.

    Raises SettingsError for what rclpy cannot read, and for words that are not ROS's.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # UnknownROSArgsError, RCLError
        raise SettingsError(f"ROS arguments: not understood: {error}") from error
    refuse_words(words, names)


def _spin(
    node: Node, stop: threading.Event, leave: Callable[[Node], None] | None, wake_s: float
) -> None:
    executor = SingleThreadedExecutor()
    for one in (node, *getattr(node, "companions", ())):
        executor.add_node(one)
    try:
        while not stop.is_set():
            _spin_once(executor, node, wake_s)
    except ExternalShutdownException:
        pass
    finally:
        if leave is not None:
            leave(node)
        executor.shutdown()
        node.destroy_node()


def _spin_once(executor: SingleThreadedExecutor, node: Node, wake_s: float) -> None:
    """One round; a callback that raises is logged, since the node must outlive it to stop."""
    try:
        executor.spin_once(timeout_sec=wake_s)
    except ExternalShutdownException:
        raise
    except Exception:
        node.get_logger().error(f"a callback raised:\n{traceback.format_exc(limit=8)}")
