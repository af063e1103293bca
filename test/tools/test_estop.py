"""gr00t operator estop says that the stop is confirmed, or that it is not: whatever happens."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.witness import _all_of  # noqa: E402

NOT_CONFIRMED = "STOP NOT CONFIRMED: press the robot's hardware e-stop!"

ASKED = """
import os, sys, time
{before}
from types import SimpleNamespace
from gr00t_ros.command_line import program
from gr00t_ros.tools import operator

def ask(options, tell):
    {ask}

if {replaced}:
    operator._ask_to_stop = ask
operator.urgent_call = lambda *_: SimpleNamespace(success=True, message="")
sys.exit(program(lambda: operator.main(["estop"])))
"""


def estop(*redirect, ask="", before="", **environment):
    """The command as a process, before a node that confirms; `ask`: what asks in its place.

    before: what is run first.
    """
    script = ASKED.format(ask=ask or "pass", replaced=bool(ask), before=before)
    words = [sys.executable, "-c", script]
    return subprocess.run(
        ["bash", "-c", f'exec "$0" "$@" {" ".join(redirect)}', *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_a_machine_without_a_process_to_spare_is_asked_to_stop_all_the_same(call):
    """Out of memory, processes or files: the stop comes before its witness."""
    ended = estop(ask="return 0", before=f"os.{call} = lambda: os.kill(-(2**30), 0)")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "environment",
    [
        *({"ROS_DOMAIN_ID": text} for text in ("233", "300", "-1", "0x100", "lab", "1.5")),
        {"RMW_IMPLEMENTATION": "rmw_of_nobody"},
    ],
    ids=str,
)
def test_an_environment_that_no_process_can_join_with_is_named(environment):
    """The middleware would end the process by exit(1) or exit(102), without a word."""
    ended = subprocess.run(
        [sys.executable, "-m", "gr00t_ros.tools.gr00t", "operator", "estop", "--timeout", "1"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ((name, value),) = environment.items()
    assert ended.returncode == 2, ended
    assert f"{NOT_CONFIRMED} {name}: got '{value}', expected " in ended.stderr


@pytest.mark.parametrize(
    ("ask", "how"),
    [
        ("os._exit(0)", "status 0"),
        ("os._exit(1)", "status 1"),
        ("os._exit(102)", "status 102"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("raise MemoryError", "status 0"),
    ],
)
def test_an_end_of_the_process_that_asks_is_told_and_is_never_a_stop(ask, how):
    """Also with the status of a stop, or of a refusal: only what it told itself counts."""
    ended = estop(ask=ask)
    assert ended.returncode == 2, ended
    assert f"{NOT_CONFIRMED} the process that asks ended" in ended.stderr
    assert ended.stderr.rstrip().endswith(how)


IGNORED = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
REAPED = "wait = os.waitpid; os.waitpid = lambda *of: (wait(*of), wait(*of))"


@pytest.mark.parametrize(("before", "how"), [(IGNORED, "status 1"), (REAPED, "unknown status")])
def test_the_stop_is_asked_once_and_has_its_witness_where_children_are_forgotten(before, how):
    """As below a program that ignores SIGCHLD, which its children inherit."""
    ended = estop(ask="os.write(1, b'asked'); os._exit(1)", before=before)
    assert (ended.returncode, ended.stdout) == (2, "asked"), ended
    assert f"{NOT_CONFIRMED} the process that asks ended with" in ended.stderr
    assert ended.stderr.rstrip().endswith(how)
    ended = estop(ask="os.write(1, b'asked'); tell(0); os._exit(1)", before=before)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "asked", "")


def test_a_stop_that_was_confirmed_stays_confirmed_however_the_process_ends():
    """As where the middleware crashes while it leaves the graph."""
    ended = estop(ask="tell(0); os.abort()")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("redirect", ["", ">&-", ">/dev/full", "<&- >&- 2>&-", "> >(exec true)"])
def test_a_confirmed_stop_is_status_0_wherever_its_text_goes(redirect):
    """1 would say that the node refused."""
    ended = estop(redirect)
    assert ended.returncode == 0, ended
    assert ("stop confirmed by /gr00t_policy" in ended.stdout) == (not redirect)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 2)], ids=["INT", "TERM"]
)
def test_a_signal_to_the_command_alone_ends_it_with_a_word(number, status):
    """It reaches the process that asks."""
    ask = (
        "print('asks', flush=True); any(iter(lambda: options.stop.wait(0.05), True)); "
        "print('x', file=sys.stderr); tell(130)"
    )
    script = ASKED.format(ask=ask, replaced=True, before="")
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "asks\n"
        child.send_signal(number)
        assert child.wait(timeout=60) == status
        said = child.stderr.read()
    assert said == "x\n" if status == 130 else NOT_CONFIRMED in said and "SIGTERM" in said


def test_a_signal_that_interrupts_no_call_is_taken_all_the_same():
    """Such as one that comes just before the call that waits: its handler runs after the call."""
    reader, writer = os.pipe()
    main = Path(f"/proc/self/task/{threading.get_native_id()}/stat")

    def signal_to_itself():
        while main.read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda *_: (os.write(writer, b"x"), os.close(writer)))
    thread = threading.Thread(target=signal_to_itself)
    try:
        thread.start()
        assert _all_of(reader) == b"x"
    finally:
        signal.signal(signal.SIGINT, before)
        thread.join()
