"""The terminal of a recorder: its screen, and the keys that begin and end episodes."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

from rclpy.clock import Clock, ClockType

from gr00t_ros.record.node import RecordNode
from gr00t_ros.record.screen import View, screen
from gr00t_ros.record.session import DISCARD, FAILURE, STOP, SUCCESS
from gr00t_ros.tools.operator_screen import frame

_KEYS_S, _DRAW_S = 0.05, 0.25

KEYS: Final = {
    # key: what it does
    "b": "begin",
    "s": "stop and keep",
    "d": "discard",
    "y": "success",
    "n": "failure",
    " ": "take over, hand back",
    "q": "quit",
}
_ENDS: Final = {"s": STOP, "d": DISCARD, "y": SUCCESS, "n": FAILURE}


def is_terminal() -> bool:
    """Whether there is a terminal for keys and screen."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    return sys.stdin.isatty() and sys.stdout.isatty() and not dumb


class Terminal:
    """Reads keys one by one inside the context; `show` draws a node's screen from then on."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._before: list[object] | None = None
        self._said = ""
        self._first = True

    def __enter__(self) -> Terminal:
        """Read keys without waiting for a line."""
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back as it was."""
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def show(self, node: RecordNode) -> RecordNode:
        """Draw the node's screen and carry out keys while it is spun; returns the node."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        view = View(node)
        node.create_timer(_KEYS_S, lambda: self._read(node), clock=steady)
        node.create_timer(_DRAW_S, lambda: self._draw(view), clock=steady)
        return node

    def _read(self, node: RecordNode) -> None:
        while select.select([sys.stdin], [], [], 0.0)[0]:
            key = os.read(sys.stdin.fileno(), 1).decode(errors="replace")
            if not key:
                return
            press(key, node, self._say)

    def _say(self, text: str) -> None:
        self._said = text

    def _draw(self, view: View) -> None:
        width, rows = shutil.get_terminal_size()
        lines = screen(view.figures(), KEYS, self._said, width)
        sys.stdout.write(frame(lines, rows, self._first))
        sys.stdout.flush()
        self._first = False


def press(key: str, node: RecordNode, say: Callable[[str], None]) -> None:
    """Carry out one key; `say` gets what came of it, some later for a takeover."""
    if key in _ENDS:
        say(node.end(_ENDS[key]) or KEYS[key])
    elif key == "b":
        say(node.start() or KEYS[key])
    elif key == " ":
        on = not node.recorder.session.taken_over
        say("asks the policy node ...")
        node.spawn(node.intervene(on), lambda problem: say(problem or _TAKEN[on]))
    elif key == "q":
        os.kill(os.getpid(), 2)  # as Ctrl-C: the open episode is kept
    else:
        say(f"key {key!r} does nothing")


_TAKEN = {True: "taken over: the robot is yours", False: "handed back"}
