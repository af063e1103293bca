"""How a node's process starts, runs and ends: argument checks, signals, what spins its nodes.

With a misspelt `velocity_scale` the default would stay in force, so the process does not start with
unknown arguments or parameters. A parameter under a wildcard such as `/**` may be meant for another
node, so an unknown one there is only a warning. rclpy's own signal handlers would shut down the
context before the last window is sent; our handlers set a flag instead, which the spin loop reads
at least every WAKE_S (control.md 4).
"""

from __future__ import annotations

import difflib
import gc
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy._rclpy_pybind11 import RCLError
from rclpy.context import Context
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    NameValidationException,
    ParameterUninitializedException,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args
from rclpy.validate_full_topic_name import validate_full_topic_name

from gr00t_ros.errors import Gr00tError, SettingsError, ThreadError
from gr00t_ros.robot.field import A_TOPIC, MOST_LETTERS, is_topic
from gr00t_ros.robot.files import read_yaml
from gr00t_ros.ros.join import join_as_node
from gr00t_ros.ros.node_help import NodeHelp, as_parameters, asks_for_help, corrected
from gr00t_ros.ros.periodic import FRAMES, CrashLog
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.signals import stop_on_signals

OK, FAILED, MISUSE = 0, 1, 2
"""Exit statuses of a node: ended by a signal; a thread died; wrong arguments, parameters, files."""

# Parameters of rclpy. It declares them only for topics that allow QoS overrides, such as /clock.
_RCLPY = "qos_overrides."
# Share of equal letters from which a node's name is a misspelt one: gr00t_streamer, which is
# another node, has 0.78 of gr00t_command_streamer.
_ALIKE = 0.8


def refuse_words(words: Sequence[str], about: NodeHelp | None = None) -> None:
    """Raise SettingsError for words that are neither options of the node nor ROS arguments.

    words: as they were typed. The error has the command line that was probably meant.
    """
    options = {} if about is None else about.options
    own = words.index("--ros-args") if "--ros-args" in words else len(words)
    # rcl reads NAME:=VALUE without --ros-args as a remapping, although a parameter was meant
    odd = [word for word in words[:own] if ":=" in word]
    odd = odd or remove_ros_args(["node", *as_parameters(words, options)])[1:]
    if not odd:
        return
    meant = "" if about is None else corrected(about, words)
    more = "" if about is None else f"; {about.command} --help lists them"
    raise SettingsError(
        f"arguments: got {' '.join(odd)}, expected options and ROS arguments"
        + (f"; did you mean: {meant}" if meant else more)
    )


def refuse_unknown(node: Node, argv: Sequence[str] | None = None) -> None:
    """Raise SettingsError for parameters that were set but that `node` has not declared.

    So it does for a parameter file that is meant for `node` and of which nothing reaches it; if
    some of it does, a section that is lost is a warning. Call this after all parameters are
    declared. argv: the process's arguments; None: sys.argv.
    """
    argv = sys.argv if argv is None else argv
    own = node.get_fully_qualified_name()
    for text, nothing_else in _misplaced(argv, own, node._parameter_overrides):
        if nothing_else:
            raise SettingsError(text)
        node.get_logger().warning(text)
    given = [name for name in node._parameter_overrides if not name.startswith(_RCLPY)]
    unknown = [name for name in given if not node.has_parameter(name)]
    shared = _shared(argv) if unknown else frozenset()
    declared = list(node._parameters)
    problems = {name: _unknown(name, node.get_name(), declared) for name in unknown}
    for name in shared.intersection(unknown):
        text = f"{problems.pop(name)} (ignored: it was set under a wildcard in a parameter file)"
        node.get_logger().warning(text)
    if problems:
        raise SettingsError("; ".join(problems.values()))


def _unknown(name: str, node: str, declared: Collection[str]) -> str:
    nearest = _nearest(name, declared)
    hint = f"did you mean {nearest}?" if nearest else "its --help and docs/interfaces.md list them"
    return f"parameter {name}: {node} has none of this name; {hint}"


def _nearest(name: str, names: Collection[str]) -> str:
    return next(iter(difflib.get_close_matches(name, names, 1)), "")


def _misplaced(
    argv: Sequence[str], node: str, given: Collection[str]
) -> Iterator[tuple[str, bool]]:
    """Yield (which section of a file looks meant for the node and is lost, whether all are).

    rcl takes `gr00t_policy:` for /gr00t_policy alone, and ignores the file in a namespace, with a
    `shadow: true` in it. A section whose namespace is written out is meant for that one. node: its
    full name; given: names of the parameters that were set.
    """
    name = node.rpartition("/")[2]
    for file in _values_of(argv, "--params-file"):
        try:
            sections = dict(_sections(read_yaml(Path(file), "a parameter", SettingsError), ""))
        except SettingsError:
            continue  # rcl has read it, and reads more than that
        reaching = {
            section
            for section, names in sections.items()
            if _matches(section, node) and set(names) <= set(given)
        }
        lost = [one for one in sections if one not in reaching and _looks_meant(one, name)]
        if lost:
            text = (
                f"parameter file {file}: got a section {lost[0]}, which is not for this node, "
                f"{node}: nothing in it would hold; expected /**/{name}"
            )
            yield text, not reaching


def _matches(section: str, node: str) -> bool:
    """Whether the name of a section is that of the node, or has wildcards that stand for it."""
    pattern = re.escape(f"/{section.lstrip('/')}")
    pattern = pattern.replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
    return re.fullmatch(pattern, node) is not None


def _looks_meant(section: str, name: str) -> bool:
    """Whether a section in no namespace of its own has a node's name, or that name misspelt.

    What follows the last `_` tells several nodes apart, as _left and _right do, or _1 and _2.
    """
    namespace, _, node = section.rpartition("/")
    if namespace.strip("/*"):
        return False
    return _alike(node, name) and _alike(node.rpartition("_")[2], name.rpartition("_")[2])


def _alike(name: str, own: str) -> bool:
    return bool(difflib.get_close_matches(name, [own], 1, _ALIKE))


def _shared(argv: Sequence[str]) -> frozenset[str]:
    """Names of parameters that appear only under wildcards in parameter files."""
    own = {
        value.partition(":=")[0].rpartition(":")[2] for value in _values_of(argv, "-p", "--param")
    }
    shared: set[str] = set()
    for file in _values_of(argv, "--params-file"):
        content = read_yaml(Path(file), "a parameter", SettingsError)
        for section, names in _sections(content, ""):
            (shared if section.endswith("*") else own).update(names)
    return frozenset(shared - own)


def _values_of(argv: Sequence[str], *options: str) -> list[str]:
    """What follows one of these options, in the order of the arguments."""
    return [value for option, value in zip(argv, argv[1:], strict=False) if option in options]


def _sections(content: Any, section: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (full name of the node as written in the file, names of its parameters)."""
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if key == "ros__parameters":
            yield section, list(_flat(value, ""))
        else:
            yield from _sections(value, f"{section}/{key}" if section else str(key))


def _flat(content: Any, prefix: str) -> Iterator[str]:
    if not isinstance(content, Mapping):
        yield prefix.rstrip(".")
        return
    for key, value in content.items():
        yield from _flat(value, f"{prefix}{key}.")


KINDS: Mapping[Any, str] = {
    **{bool: "true or false", int: "a whole number", float: "a number with a decimal point"},
    **{str: "text", list: "a list", tuple: "a list"},
    Parameter.Type.STRING: "text",
    Parameter.Type.STRING_ARRAY: "a list of texts",
    Parameter.Type.DOUBLE_ARRAY: "a list of numbers with decimal points",
}
"""The type of a parameter, or of its default -> what a value of it is."""


def declared(
    node: Node, name: str, default: Any, descriptor: ParameterDescriptor, expected: str = ""
) -> Any:
    """Declare a parameter and return its value; None if it has a type for a default and no value.

    Raises SettingsError for a value of another type or out of range. expected: what it says then;
    empty: the type, the range and the description.
    """
    try:
        return node.declare_parameter(name, default, descriptor).value
    except ParameterUninitializedException:
        return None
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        given = node._parameter_overrides.get(name)
        value = given.value if given else default
        expected = expected or _expected(default, descriptor)
        raise SettingsError(f"parameter {name}: got {value!r}, expected {expected}") from error


def _expected(default: Any, descriptor: ParameterDescriptor) -> str:
    kind = KINDS[default if isinstance(default, Parameter.Type) else type(default)]
    spans = (*descriptor.floating_point_range, *descriptor.integer_range)
    span = "".join(f" from {one.from_value:g} to {one.to_value:g}" for one in spans)
    return f"{kind}{span}: {descriptor.description}"


def ranged(default: float, low: float, high: float, meaning: str) -> ParameterDescriptor:
    """The descriptor of a parameter that is set at start only, with its range."""
    descriptor = ParameterDescriptor(description=meaning, read_only=True)
    if isinstance(default, int):
        limits = IntegerRange(from_value=int(low), to_value=int(high), step=0)
        descriptor.integer_range = [limits]
    else:
        limits = FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
        descriptor.floating_point_range = [limits]
    return descriptor


def checked_name(place: str, name: str) -> str:
    """`name`, if a ROS node can have it; else SettingsError with its `place`."""
    if not is_topic(name):
        raise _no_name(place, name)
    return name


def checked_topic(place: str, name: str) -> str:
    """`name`, if ROS takes it for a topic, as ``~/x`` and ``{node}/x`` too; else SettingsError.

    The rules are rcl's own; an embodiment's file has no node that a private name could belong to.
    """
    try:
        validate_full_topic_name(expand_topic_name(name, "node", "/namespace"))
    except (NameValidationException, TypeError, ValueError):  # TypeError: it is no Unicode
        raise _no_name(place, name) from None
    if len(name) > MOST_LETTERS:
        raise _no_name(place, name)
    return name


def _no_name(place: str, name: str) -> SettingsError:
    return SettingsError(f"{place}: got {name!r:.80}, expected {A_TOPIC}")


WAKE_S = 0.25
"""Longest delay until a signal is noticed; a timer or message of the node shortens it."""
ROS_REFUSALS = (
    *(InvalidParameterTypeException, InvalidParameterValueException),
    *(NameValidationException, RCLError),
)
"""What rclpy raises for values of its own parameters, and for names, of which some come from files
and the command line."""


def refused(error: Exception) -> str:
    """One line for a node that cannot start because of `error`."""
    if isinstance(error, Gr00tError):
        return str(error)
    return " ".join(str(error).split())


def run_node(
    make_node: Callable[[], Node],
    arguments: Sequence[str] | None = None,
    leave: Callable[[Node], None] | None = None,
    wake_s: float = WAKE_S,
    about: NodeHelp | None = None,
    shared_memory: bool = True,
) -> int:
    """Spin the node until SIGINT or SIGTERM, then call `leave` and destroy the node; returns OK.

    If arguments or parameters are invalid, print one line to stderr and return MISUSE. If a
    callback raises ThreadError, print where it came from and return FAILED.
    wake_s: the longest delay until a signal is noticed; each round takes about a ms.
    about: what --help prints, and the options; None: there are ROS arguments only.
    shared_memory: whether the node may use it (ros/transports.py): not if it commands a robot.
    """
    if about is not None and asks_for_help(arguments):
        print(about.text())
        return OK
    stop = stop_on_signals()
    try:
        if not shared_memory:
            avoid_shared_memory()
        initialise(arguments, about)
        node = make_node()
        try:
            refuse_unknown(node)
        except SettingsError:
            node.destroy_node()
            raise
        # All that exists now is never scanned again. Else a collection stops every thread for tens
        # of ms: a streamer, a simulated robot or a recorder is then late.
        gc.collect()
        gc.freeze()
        _spin(node, stop, leave, wake_s)
    except ThreadError:
        traceback.print_exc(limit=-FRAMES)
        return FAILED
    except (Gr00tError, *ROS_REFUSALS) as error:
        print(refused(error), file=sys.stderr)
        return MISUSE
    finally:
        rclpy.try_shutdown()
    return OK


def initialise(arguments: Sequence[str] | None, about: NodeHelp | None = None) -> None:
    """Initialise rclpy without its signal handlers; `arguments` None: those of this process.

    Raises SettingsError for arguments that rclpy cannot parse, and for others that `about` does not
    have as options.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = {} if about is None else about.options
    join_as_node(as_parameters(words, options))
    refuse_words(words, about)


def _spin(
    node: Node, stop: threading.Event, leave: Callable[[Node], None] | None, wake_s: float
) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    crashes = CrashLog("a callback raised", node.get_logger().error)
    try:
        while not stop.is_set():
            _spin_once(executor, crashes, wake_s)
    except ExternalShutdownException:
        pass
    finally:
        if leave is not None:
            leave(node)
        executor.shutdown()
        node.destroy_node()


def _spin_once(executor: SingleThreadedExecutor, crashes: CrashLog, wake_s: float) -> None:
    """One round; log a callback that raises: the node must keep running to stop the robot."""
    try:
        executor.spin_once(timeout_sec=wake_s)
    except (ExternalShutdownException, ThreadError):
        raise
    except Exception as error:
        crashes.tell(error, time.monotonic_ns())


class SpunApart:
    """Spins nodes that are rarely asked on a thread of their own, from its construction to `end`.

    An executor looks at the entities of all its nodes for each message: with the parameter services
    of five controllers, that was most of the work for a window.
    """

    def __init__(self, name: str, nodes: Sequence[Node], context: Context) -> None:
        """Start the thread of that name."""
        self._nodes = nodes
        self._error: Exception | None = None
        self._executor = SingleThreadedExecutor(context=context)
        for node in nodes:
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise ThreadError if a callback has raised: the nodes answer nobody since then."""
        if self._error is not None:
            raise ThreadError(f"{self._thread.name} thread: {self._error}") from self._error

    def end(self) -> None:
        """End the thread and destroy the nodes."""
        self._executor.shutdown()
        self._thread.join()
        for node in self._nodes:
            node.destroy_node()

    def _run(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            self._error = error
