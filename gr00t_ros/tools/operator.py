"""gr00t operator: status, pause, resume, estop, reset, instruction and set, from a terminal.

A client of one policy node that needs no ros2 command line. Little beside the standard library is
imported before a verb runs, and estop imports nothing but its service: it sends its request as
early as it can.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from gr00t_ros.command_line import (
    DONE,
    INTERRUPTED,
    JSON_HELP,
    MISUSE,
    NO,
    CommandParser,
    nearest,
    program,
    status_of,
)
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.ros.policy_node import POLICY_NODE, STATUS_SILENT_S
from gr00t_ros.signals import StopEvent, stop_on_signals
from gr00t_ros.text_table import printable
from gr00t_ros.tools.policy_client import (
    PolicyClient,
    described,
    outside,
    set_value,
    typed,
    urgent_call,
)
from gr00t_ros.witness import Tell, witnessed

if TYPE_CHECKING:
    from gr00t_ros.tools.operator_screen import NodeView

TIMEOUT_S = 5.0
"""Discovery takes up to three seconds."""

HARDWARE = "press the robot's hardware e-stop"
_OTHERS = ("e_stop", "e-stop")  # further spellings of the verb estop: a hurried operator's
_STOPS = ("estop", *_OTHERS)
_NOTICE_S = 1.0
_DRAW_S = 0.25
_MOST_LETTERS = 200  # ROS allows 247 for the name of a service, which begins with the node's
_NAME = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")

# Printed when the node accepted the request.
ACCEPTED: Mapping[str, str] = {
    "pause": "the arm stops, and rests until: gr00t operator resume",
    "resume": "a new episode begins, the arm moves again",
    "reset": "the fault is cleared; an active node begins a new episode, and the arm moves again",
}
_EXAMPLES = {
    "status": "--json",
    "instruction": '"put the red cube on the blue plate"',
    "set": "velocity_scale 0.2",
}
STOPPING_TEXTS = ("mode is stopping, only", "may still play an abandoned plan")
"""Parts of the refusals of resume and reset while a stop is not over (session/session.py)."""
_AGAIN_S = 0.1
GAP_S = 0.8
"""Resume and reset are not repeated later than this after the last one was sent: node/operator.py
takes one that follows its refusal by 1 s for a new press, which ends a newer stop."""
STOPPED = (
    "it stops its motion and latches a fault until gr00t operator reset. It does not stop other "
    "programs that command the robot"
)


@contextmanager
def _connected(options: argparse.Namespace) -> Iterator[PolicyClient]:
    client = PolicyClient(options.node, options.timeout, options.ros_arguments, options.stop)
    try:
        yield client
    finally:
        client.close()


def _status(options: argparse.Namespace) -> int:
    """One report of now, or the live screen with --watch."""
    if options.watch:
        return _watch(options)
    from gr00t_ros.session.mode import Mode
    from gr00t_ros.tools import operator_screen

    with _connected(options) as client:
        client.follow()
        if client.view().status.mode != Mode.UNCONFIGURED.value:
            # The first message is a stored one: the second shows that the node still runs.
            client.wait_for_status(STATUS_SILENT_S + _DRAW_S)
        view = client.view()
    if options.json:
        print(json.dumps(operator_screen.figures(view), indent=1))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(operator_screen.screen(view, width)))
    return DONE


def _watch(options: argparse.Namespace) -> int:
    """The status until Ctrl-C: one screen on a terminal, else a line for each status."""
    terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with _connected(options) as client:
        client.follow()
        # A KeyboardInterrupt that is raised inside a callback of rclpy may be lost.
        stop = stop_on_signals()
        if terminal and not options.json:
            _draw(client, stop)
        else:
            _print_lines(client, options.json, stop)
    return DONE


def _draw(client: PolicyClient, stop: threading.Event) -> None:
    from gr00t_ros.tools import operator_screen

    first = True
    while not stop.is_set():
        width, rows = shutil.get_terminal_size()
        lines = operator_screen.screen(client.view(), width)
        print(operator_screen.frame(lines, rows, first), end="", flush=True)
        first = False
        client.wait_for_status(_DRAW_S)


def _print_lines(client: PolicyClient, as_json: bool, stop: threading.Event) -> None:
    """A line for each status, and one when the node becomes silent."""
    from gr00t_ros.tools import operator_screen

    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    printed, silent = 0, False
    while not stop.is_set():
        view = client.view()
        if client.received > printed or (view.silence and not silent):
            text = json.dumps(operator_screen.figures(view)) if as_json else _timed(view)
            print(text, flush=True)
            printed = client.received
        silent = bool(view.silence)
        client.wait_for_status(_DRAW_S)
        if any(event & select.POLLERR for _, event in reader.poll(0)):
            raise BrokenPipeError  # `| head` has ended, although nothing was printed since


def _timed(view: NodeView) -> str:
    from gr00t_ros.tools import operator_screen

    return f"{time.strftime('%H:%M:%S')}  {operator_screen.line(view)}"


def _pause(options: argparse.Namespace) -> int:
    """Ask for the pause at once, and again while no answer comes: twice is as good as once."""
    from std_srvs.srv import Trigger

    with _connected(options) as client:
        answer = client.call_at_once(Trigger, options.service, Trigger.Request())
    return _answered(options, answer.success, answer.message, ACCEPTED[options.service])


def _leave(options: argparse.Namespace) -> int:
    """Leave a pause or a fault, by resume or reset: the node's own message if it refuses.

    While the arm still stops they are asked for again: a stop takes up to a second. Not after a
    gap, in which this process or the network stood still.
    """
    from std_srvs.srv import Trigger

    end_s = time.monotonic() + options.timeout
    with _connected(options) as client:
        answer = client.call(Trigger, options.service, Trigger.Request())
        while any(part in answer.message for part in STOPPING_TEXTS):
            time.sleep(_AGAIN_S)
            until_s = client.sent_s + GAP_S
            if time.monotonic() > min(until_s, end_s):
                break
            answer = client.call(Trigger, options.service, Trigger.Request(), until_s)
    return _answered(options, answer.success, answer.message, ACCEPTED[options.service])


def _estop(options: argparse.Namespace) -> int:
    """Call the service ~/estop until the node confirms; anything else is reported as no stop."""
    if "rclpy" in sys.modules:  # its threads would be missing in a child process
        return _ask_to_stop(options, lambda _status: None)
    try:
        status, ended = witnessed(partial(_ask_to_stop, options))
    except OSError:  # no process to be had: the stop comes before its witness
        return _ask_to_stop(options, lambda _status: None)
    if status is None:
        with suppress(OSError):  # stderr may be closed
            os.write(2, f"{_not_confirmed(f'the process that asks ended {ended}')}\n".encode())
        return MISUSE
    return status


def _ask_to_stop(options: argparse.Namespace, tell: Tell) -> int:
    """Ask until the node answers, and print and tell what became of it."""
    noticed: list[str] = []
    status = MISUSE

    def notice(spent_s: float) -> None:
        if spent_s >= _NOTICE_S and not noticed:
            noticed.append(f"no answer yet: {HARDWARE} if the robot must stop now")
            with suppress(OSError):  # a closed stderr must not end the attempt
                print(noticed[0], file=sys.stderr, flush=True)

    why = "interrupted"
    try:
        from std_srvs.srv import Trigger

        with ExitStack() as joined:
            where = (options.node, options.timeout, options.ros_arguments, options.stop)
            make = partial(PolicyClient, *where)
            answer = urgent_call(joined, make, Trigger, "estop", Trigger.Request(), notice)
            why = "" if answer.success else answer.message or "the node gave no reason"
            status = NO if why else DONE
            if not why:
                tell(status)
                print(f"stop confirmed by {options.node}: {STOPPED}", flush=True)
    except KeyboardInterrupt:
        status = INTERRUPTED if why else status
    except Exception as error:  # a stop that was confirmed stays confirmed
        why = why and (str(error) or "the request failed without a reason")
    if why:
        print(_not_confirmed(why), file=sys.stderr, flush=True)
    tell(status)
    return status


def _not_confirmed(why: str) -> str:
    return f"gr00t operator: STOP NOT CONFIRMED: {HARDWARE}! {printable(why)}"


def _instruction(options: argparse.Namespace) -> int:
    from gr00t_ros.srv import SetInstruction

    if len(options.text) > 1:
        name = "" if options.node == POLICY_NODE else f"--node {options.node} "
        text = json.dumps(" ".join(options.text), ensure_ascii=False)
        raise SettingsError(f"quote the text: gr00t operator {name}instruction {text}")
    request = SetInstruction.Request(instruction=_utf8(options.text[0]))
    with _connected(options) as client:
        answer = client.call(SetInstruction, "set_instruction", request)
    text = f"episode {answer.episode} begins with this instruction"
    return _answered(options, answer.success, answer.message, text)


def _set(options: argparse.Namespace) -> int:
    """Set a parameter to a value of the type and range that the node has declared."""
    with _connected(options) as client:
        descriptor = described(client, options.name)
        value = typed(descriptor, _utf8(options.value))
        refused = outside(descriptor, value) or set_value(client, options.name, value)
    return _answered(options, not refused, refused, f"{options.name} is {value} now")


def _utf8(text: str) -> str:
    """`text`, if it can be sent; bytes of the command line that are no UTF-8 are surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{printable(text)!r}: expected UTF-8 text") from None
    return text


def _answered(options: argparse.Namespace, success: bool, message: str, accepted: str) -> int:
    if success:
        print(f"{options.node}: {accepted}")
        return DONE
    print(f"gr00t operator: {options.node}: {printable(message)}", file=sys.stderr)
    return NO


def node_name(text: str) -> str:
    """A node's full name, as the type of an option."""
    name = "/" + text.strip("/")
    if not _NAME.fullmatch(name) or len(name) > _MOST_LETTERS:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected a full name such as {POLICY_NODE}"
        )
    return name


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected seconds above 0")
    return value


class _Operator(CommandParser):
    """The options in front of the verb."""

    @property
    def verbs(self) -> frozenset[str]:
        """The verbs, in every spelling."""
        return frozenset(name for action in self._actions for name in action.choices or ())

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse an unknown option in front of the verb, also where no verb follows."""
        front = list(takewhile(lambda word: word not in self.verbs, words))
        if not {"-h", "--help"} & set(front):
            self._refuse_options(front)


class _Verb(CommandParser):
    """The options of one verb; `tolerant` ignores superfluous words."""

    def __init__(self, *args: Any, tolerant: bool = False, **settings: Any) -> None:
        """Take the settings of CommandParser."""
        super().__init__(*args, **settings)
        self._tolerant = tolerant

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as CommandParser does, or hand back what is unknown."""
        if self._tolerant:
            return argparse.ArgumentParser.parse_known_args(self, args, namespace)
        return super().parse_known_args(args, namespace)


def _parser() -> _Operator:
    parser = _Operator(
        prog="gr00t operator",
        description="Observe and stop a running policy node, and change its instruction and "
        "parameters. The stops are functional stops: keep the hardware e-stop within reach.",
        notes="`gr00t operator VERB --help` shows the options of a verb and an example.\n"
        "ROS arguments follow --ros-args. Exit status 0: done; 1: the node refused;\n"
        "2: no node, no answer, wrong usage; 130: Ctrl-C before the answer.",
        example="gr00t operator set velocity_scale 0.2",
    )
    shared = _Verb(add_help=False)
    for one, by_default in ((parser, True), (shared, False)):  # in front of the verb, or behind it
        _add_shared(one, by_default)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Verb)

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str, **more: Any) -> _Verb:
        example = f"gr00t operator {name} {_EXAMPLES.get(name, '')}".rstrip()
        one: _Verb = verbs.add_parser(
            name, parents=[shared], help=text, description=text, example=example, **more
        )
        one.set_defaults(run=run, service=name)
        return one

    status = verb("status", _status, "what the node does now and why, what to do, and its figures")
    status.add_argument("--watch", action="store_true", help="as the verb watch")
    watch = verb("watch", _watch, "the status until Ctrl-C: a live screen, or lines into a pipe")
    for one in (status, watch):
        one.add_argument("--json", action="store_true", help=JSON_HELP)
    verb("pause", _pause, "stop the arm until resume (service ~/pause)")
    verb("resume", _leave, "end a pause by pause; the arm moves again (service ~/resume)")
    verb("reset", _leave, "clear a latched fault; an active node moves again (service ~/reset)")
    text = "stop the arm and latch a fault until reset (service ~/estop)"
    verb("estop", _estop, text, aliases=_OTHERS, tolerant=True)
    usage = "%(prog)s [-h] [--node NAME] [--timeout S] TEXT"  # several words only for the error
    text = "a new instruction: a new episode begins"
    instruction = verb("instruction", _instruction, text, usage=usage)
    quoted = "one argument: quote it"
    instruction.add_argument("text", metavar="TEXT", nargs="+", help=quoted)
    change = verb("set", _set, "set a parameter of the node; its type comes from the node")
    change.add_argument("name", metavar="NAME", help="the parameter")
    change.add_argument("value", metavar="VALUE", help="its new value")
    return parser


def _add_shared(parser: argparse.ArgumentParser, by_default: bool) -> None:
    """The options of all verbs; without `by_default` they leave the given ones untouched."""

    def add(option: str, default: object, **more: Any) -> None:
        parser.add_argument(option, default=default if by_default else argparse.SUPPRESS, **more)

    add(
        "--node",
        POLICY_NODE,
        type=node_name,
        metavar="NAME",
        help=f"the policy node ({POLICY_NODE})",
    )
    limit = f"longest wait for the node and its answer ({TIMEOUT_S} s)"
    add("--timeout", TIMEOUT_S, type=_seconds, metavar="S", help=limit)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    split = words.index("--ros-args") if "--ros-args" in words else len(words)
    own = words[:split]
    stopping = any(word in _STOPS for word in own)
    parser = _parser()
    try:
        if not stopping:  # a stop is not refused for a superfluous word
            parser.refuse_unknown(own)
        options, _ = parser.parse_known_args(own)
    except SystemExit as end:
        misspelt = not parser.verbs & set(own) and any(nearest(word, _STOPS) for word in own)
        if end.code and (stopping or misspelt):
            print(f"NOTHING WAS STOPPED: {HARDWARE}!", file=sys.stderr)
        raise
    options.ros_arguments, options.stop = words[split:], StopEvent()
    before = signal.signal(signal.SIGINT, lambda *_: options.stop.set())
    try:
        return int(options.run(options))
    except Gr00tError as error:
        print(f"gr00t operator: {error}", file=sys.stderr)
        return status_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(program(main))
