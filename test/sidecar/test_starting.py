"""Ctrl-C ends a process at once while it imports; afterwards its own handler decides."""

import signal

import pytest
from ros_fixtures import started

SCRIPT = """
import signal, sys, time
from gr00t_ros.starting import starting
signal.signal(signal.SIGINT, {before})
with starting({status}):
    print("IMPORTING", flush=True)
    {importing}
print("IMPORTED", signal.getsignal(signal.SIGINT) is {before}, flush=True)
"""


@pytest.fixture
def processes(tmp_path):
    """Starts children without a ROS domain: these need no ROS."""
    with started(tmp_path) as children:
        yield children


@pytest.mark.parametrize("status", [0, 130])
def test_an_interrupt_while_importing_ends_it_without_a_traceback(processes, status):
    """With the status that was asked for: launch shows any but 0 as an error."""
    source = SCRIPT.format(
        before="signal.default_int_handler", status=status, importing="time.sleep(60)"
    )
    child = processes.start("-c", source, name="starting")
    child.wait_for_line("IMPORTING")
    child.signal(signal.SIGINT)
    assert child.wait() == status
    assert "Traceback" not in child.text()


@pytest.mark.parametrize("before", ["signal.default_int_handler", "signal.SIG_IGN"])
def test_what_stood_before_stands_again(processes, before):
    """And a signal that is ignored stays ignored, also while it imports."""
    send = "signal.raise_signal(signal.SIGINT)" if before == "signal.SIG_IGN" else "pass"
    source = SCRIPT.format(before=before, status=7, importing=send)
    child = processes.start("-c", source, name="starting")
    assert child.wait() == 0
    child.wait_for_line("IMPORTED True")
