"""How a process joins the ROS graph: its domain, its log file, and what is said if it cannot.

The ROS_DOMAIN_ID is checked here, because Fast DDS ends the process from inside C, by exit(1), for
one that has no ports. rclpy is imported at the join: a client that is in a hurry imports little.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import unicode_problem
from gr00t_ros.text_table import printable

if TYPE_CHECKING:
    from rclpy.context import Context

LAST_DOMAIN: Final = 232
"""The last ROS_DOMAIN_ID whose ports (7400 + 250 for each) are ports: docs.ros.org, "Domain ID"."""

# Fewer forms than Python's int() takes: 1_0 is no number of C, and rcl joins domain 1 for it.
_NUMBER_OF_C: Final = re.compile(
    r"\s*([-+]?)(?:0[xX]([0-9a-fA-F]{1,8})|(0[0-7]{0,99})|([1-9][0-9]{0,99}))\s*", re.ASCII
)
_WITHOUT_FILE: Final = ("--ros-args", "--disable-external-lib-logs")


def join_as_client(
    words: Sequence[str] = (), context: Context | None = None, domain_id: int | None = None
) -> None:
    """Initialise rclpy without a log file, which a stop or a question must not depend on.

    words: ROS arguments. context: None: the default one. domain_id: None: that of ROS_DOMAIN_ID.
    Raises SettingsError. Like `join_as_node`, it leaves signals to the caller.
    """
    _join([*words, *_WITHOUT_FILE], context, domain_id)


def join_as_node(words: Sequence[str]) -> None:
    """Initialise rclpy's default context, with a log file in ROS's own folder if that is writable.

    Otherwise the file is in a temporary folder, or there is none; stderr says which, and why.
    """
    _join([*words, *_log_arguments()], None, None)


def check_text(words: Sequence[str]) -> None:
    """Raise SettingsError for a word that is not UTF-8: no ROS argument can have its bytes."""
    for word in words:
        if unicode_problem(word):
            raise SettingsError(f"arguments: got {printable(word)!r:.200}, expected UTF-8 text")


def _join(words: list[str], context: Context | None, domain_id: int | None) -> None:
    check_text(words)
    if domain_id is None:
        check_domain()
    import rclpy
    from rclpy._rclpy_pybind11 import RCLInvalidROSArgsError, UnknownROSArgsError
    from rclpy.signals import SignalHandlerOptions

    try:
        rclpy.init(
            args=words,
            context=context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
    except (RCLInvalidROSArgsError, UnknownROSArgsError) as error:
        raise SettingsError(
            f"ROS arguments: not understood: {error}; its own options come before --ros-args"
        ) from error
    except RuntimeError as error:  # RCLError
        raise SettingsError(f"ROS does not start: {error}") from error


def check_domain() -> None:
    """Raise SettingsError for a ROS_DOMAIN_ID in the environment that cannot be joined."""
    text = os.environ.get("ROS_DOMAIN_ID", "")
    if text and not 0 <= _as_rcl_reads(text) <= LAST_DOMAIN:
        raise SettingsError(
            f"ROS_DOMAIN_ID: got {text!r:.60}, expected a whole number from 0 to {LAST_DOMAIN}; "
            "set it to the robot's, in this shell"
        )


def _as_rcl_reads(text: str) -> int:
    """The number that `text` is, as rcl's strtoul reads it: with C's 0x and 0; -1 for none.

    rcl also joins domain 10 for ``10abc`` and 4 for ``4.2``, by their first digits (domain_id.c).
    That is no number here: a misprint must not join the domain of another robot.
    """
    number = _NUMBER_OF_C.fullmatch(text)
    if number is None:
        return -1
    sign, hexadecimal, octal, decimal = number.groups()
    base, digits = (16, hexadecimal) if hexadecimal else (8, octal) if octal else (10, decimal)
    return int(f"{sign}{digits}", base)


def _log_arguments() -> tuple[str, ...]:
    """ROS arguments of a process that keeps a log file; may set ROS_LOG_DIR."""
    from rclpy.logging import get_logging_directory

    try:
        folder = get_logging_directory()
        _write_into(folder)
        return ()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no HOME
        why = " ".join(str(error).split())
    try:
        os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="gr00t_ros_log_")
        _say(f"{why}; the log is in {os.environ['ROS_LOG_DIR']}")
        return ()
    except OSError as error:
        _say(f"{why}; {error}; there is no log file, only this output")
        return _WITHOUT_FILE


def _write_into(folder: Path) -> None:
    """Make the folder as rcl would, and write a file into it; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _say(text: str) -> None:
    print(f"ROS log folder: {text}. Set ROS_LOG_DIR to keep it elsewhere.", file=sys.stderr)
