"""How a node's process starts, runs and ends: unknown words refused, signals, a spin that wakes.

A misspelt `velocity_scale` would leave the default in force, so unknown arguments and parameters
refuse to start. Parameters under a wildcard such as `/**` may be meant for another node: those are
warned of. rclpy's own signal handlers would shut the context before the last window could be sent,
so ours set a flag that the spin loop reads every 50 ms of steady time (control.md 4).
"""

from __future__ import annotations

import difflib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.robot.files import read_yaml

# Of rclpy: declared for those topics alone whose owner allows it, such as /clock.
_RCLPY = "qos_overrides."


def refuse_words(arguments: Sequence[str], names: Collection[str]) -> None:
    """Raise SettingsError for words that are not ROS's, as `--embodiment x`.

    names: of the node's parameters, the nearest of which is told.
    """
    own = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    # rcl takes NAME:=VALUE without --ros-args for a remapping, whoever meant a parameter
    words = [word for word in arguments[:own] if ":=" in word]
    words = words or remove_ros_args(["node", *arguments])[1:]
    if not words:
        return
    name, _, value = words[0].lstrip("-").replace(":=", "=").partition("=")
    value = value or (words[1] if len(words) > 1 else "VALUE")
    name = _nearest(name, names) or name or "NAME"
    raise SettingsError(
        f"arguments: got {' '.join(words)}, expected none that are not ROS's; parameters follow "
        f"--ros-args: -p {name}:={value}"
    )


def refuse_unknown(node: Node, argv: Sequence[str] | None = None) -> None:
    """Raise SettingsError for parameters that were given and that `node` has not declared.

    Call it once all are declared. argv: what the process was started with, this one's if None.
    """
    given = [name for name in node._parameter_overrides if not name.startswith(_RCLPY)]
    unknown = [name for name in given if not node.has_parameter(name)]
    shared = _shared(sys.argv if argv is None else argv) if unknown else frozenset()
    declared = list(node._parameters)
    said = {name: _said(name, node.get_name(), declared) for name in unknown}
    for name in shared.intersection(unknown):
        text = f"{said.pop(name)} (ignored: it stands under a wildcard in a file of parameters)"
        node.get_logger().warning(text)
    if said:
        raise SettingsError("; ".join(said.values()))


def _said(name: str, node: str, declared: Collection[str]) -> str:
    nearest = _nearest(name, declared)
    hint = f"did you mean {nearest}?" if nearest else f"`ros2 param list /{node}` lists them"
    return f"parameter {name}: {node} has none of this name; {hint}"


def _nearest(name: str, names: Collection[str]) -> str:
    return next(iter(difflib.get_close_matches(name, names, 1)), "")


def _shared(argv: Sequence[str]) -> frozenset[str]:
    """Names that were given under wildcards in files, and nowhere else."""
    shared: set[str] = set()
    own: set[str] = set()
    for option, value in zip(argv, argv[1:], strict=False):
        if option in ("-p", "--param"):
            own.add(value.partition(":=")[0].rpartition(":")[2])
        elif option == "--params-file":
            content = read_yaml(Path(value), "a parameter", SettingsError)
            for section, name in _sections(content, ""):
                (shared if section.endswith("*") else own).add(name)
    return frozenset(shared - own)


def _sections(content: Any, section: str) -> Iterator[tuple[str, str]]:
    """Pairs of a node's name, as the file has it, and the name of one of its parameters."""
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if key == "ros__parameters":
            yield from ((section, name) for name in _flat(value, ""))
        else:
            yield from _sections(value, str(key))


def _flat(content: Any, prefix: str) -> Iterator[str]:
    if not isinstance(content, Mapping):
        yield prefix.rstrip(".")
        return
    for key, value in content.items():
        yield from _flat(value, f"{prefix}{key}.")


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
    stop = stop_on_signals()
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


def stop_on_signals() -> threading.Event:
    """Install handlers of SIGINT and SIGTERM; both set the event that is returned."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stop


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
