"""The fixtures keep tests apart and leave nothing behind."""

import contextlib
import importlib
import json
import os
import re
import signal
import socket
import sys
import textwrap
from pathlib import Path

import child_process
import pytest
from preloaded import Forked
from ros_fixtures import (
    DOMAINS,
    Processes,
    call,
    claim_domain,
    collect,
    wait_for_discovery,
    wait_until,
)

STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("READY", flush=True)
while True:
    time.sleep(0.1)
"""
FORKING = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("READY", child.pid, flush=True)
"""


WHAT_IT_IS = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), sys.path[:2], dict(os.environ)]))
print(os.getsid(0) == os.getpid())
print("an error", file=sys.stderr)
raise SystemExit(len(sys.argv))
"""


@pytest.fixture
def own_interpreter(monkeypatch):
    """An interpreter of this environment, whatever the first child of this process was given."""
    made = []
    monkeypatch.setattr(child_process, "_interpreters", made)
    yield
    for interpreter in made:
        interpreter.close()


@pytest.fixture(params=["started", "forked"])
def program(request, tmp_path):
    """The arguments that run a text as a program; a script is forked (preloaded.py)."""

    def arguments(code):
        if request.param == "started":
            return ("-c", code)
        file = tmp_path / "child.py"
        file.write_text(code)
        return (str(file),)

    return arguments


def test_a_domain_in_use_is_not_handed_out_again(ros_domain):
    """Two tests at once, in whatever processes, have different domains."""
    with socket.socket(socket.AF_UNIX) as lock:
        with pytest.raises(pytest.fail.Exception, match="in use by another test"):
            claim_domain(lock, [ros_domain])
        assert claim_domain(lock, DOMAINS) != ros_domain


def test_a_child_that_ignores_interrupts_is_ended(processes, monkeypatch, program):
    """SIGINT is followed by SIGTERM, and the exit status says so."""
    shorter = ((signal.SIGINT, 0.3), *child_process.ESCALATION[1:])
    monkeypatch.setattr(child_process, "ESCALATION", shorter)
    child = processes.start(*program(STUBBORN))
    child.wait_for_line("^READY$")
    assert child.stop() == -signal.SIGTERM


def test_a_process_left_behind_fails_the_test_and_is_killed(ros_domain, tmp_path, program):
    """What a child has started and left is found by its session."""
    children = Processes(tmp_path)
    pid = int(children.start(*program(FORKING)).wait_for_line(r"READY (\d+)")[1])
    with pytest.raises(AssertionError, match="left running by children of this test"):
        children.close()
    wait_until(lambda: not _running(pid), "the end of the process that was left behind")


def _running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_ends_early_fails_the_wait_with_its_last_words(processes, program):
    """Nobody waits the whole limit for a line that can no longer come."""
    child = processes.start(*program("raise SystemExit('the last words')"))
    with pytest.raises(pytest.fail.Exception, match="the last words"):
        child.wait_for_line("READY", limit_s=600)


def test_a_forked_child_is_as_one_that_is_started(
    own_interpreter, processes, tmp_path, monkeypatch
):
    """Arguments, folder, search path, environment, session, output and exit status."""
    file = tmp_path / "what.py"
    file.write_text(WHAT_IT_IS)
    monkeypatch.chdir(tmp_path)
    given = {"A_NAME": "a value"}
    forked = processes.start(str(file), "one", "two", **given)
    started = processes.start("-B", str(file), "one", "two", **given)
    assert isinstance(forked.popen, Forked) and not isinstance(started.popen, Forked)
    assert forked.wait() == started.wait() == 3
    assert forked.text() == started.text()


def test_a_forked_child_has_its_priority_in_its_own_session(processes, program):
    """Its first instruction has it: a robot that runs in real time comes before what computes."""
    autogroup = Path("/proc/self/autogroup")
    if not autogroup.is_file() or os.geteuid():
        pytest.skip("no autogroups, or not root: a priority cannot be raised")
    child = processes.start(*program("import time; time.sleep(600)"))
    nice = int(Path(f"/proc/{child.pid}/autogroup").read_text().split()[-1])
    assert nice == child_process.PRIORITY
    assert os.getsid(child.pid) == child.pid


def test_a_forked_module_is_as_one_that_is_started(own_interpreter, processes):
    """Its usage has the same name, and an unknown argument the same status."""
    for words in (["--help"], ["hold", "--unknown"]):
        forked = processes.start("-m", "gr00t_ros.sidecar", *words)
        started = processes.start("-B", "-m", "gr00t_ros.sidecar", *words)
        assert isinstance(forked.popen, Forked) and not isinstance(started.popen, Forked)
        assert forked.wait() == started.wait()
        assert forked.text() == started.text() and forked.text()


SLEEPING = "import os, time\nprint('PARENT', os.getppid(), flush=True)\ntime.sleep(600)"


@pytest.fixture
def sleeping(own_interpreter, tmp_path):
    """A forked child that sleeps, and its file; nobody reaps it."""
    file = tmp_path / "sleeping.py"
    file.write_text(SLEEPING)
    child = child_process.Child([str(file)], tmp_path / "sleeping.log", dict(os.environ))
    yield child, file
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)


def test_an_answer_that_nobody_waited_for_is_not_that_of_the_next_request(sleeping, processes):
    """As of a start that a test's timeout interrupted: its child is nobody's, and ends."""
    child, file = sleeping
    parent = int(child.wait_for_line(r"PARENT (\d+)")[1])
    (interpreter,) = child_process._interpreters
    request = {"arguments": [str(file)], "environment": dict(os.environ), "folder": os.getcwd()}
    with open(os.devnull, "wb") as output:
        text = json.dumps(request | {"number": 0}).encode()
        socket.send_fds(interpreter._socket, [text], [output.fileno()])
    again = processes.start(str(file))
    again.wait_for_line(f"PARENT {parent}")
    assert isinstance(again.popen, Forked)
    wait_until(lambda: running_children(parent) == {child.pid, again.pid}, "the end of the third")
    assert again.stop() == -signal.SIGINT


def running_children(parent: int) -> set[int]:
    """Processes with this parent, but not those that have ended and that nobody has reaped."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid for pid in pids if _running(pid) and _parent(pid) == parent}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[1])
    except OSError:
        return 0


def test_a_child_is_started_where_the_interpreter_has_died(sleeping, processes):
    """Its death fails no test that begins afterwards."""
    child, file = sleeping
    os.kill(int(child.wait_for_line(r"PARENT (\d+)")[1]), signal.SIGKILL)
    for _ in range(2):
        other = processes.start(str(file))
        other.wait_for_line("PARENT")
        assert not isinstance(other.popen, Forked)
    with pytest.raises(ChildProcessError, match="has died"):
        child.popen._interpreter.reap(child.pid)


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "PYTHONPATH"])
def test_what_is_read_at_imports_is_not_lost(own_interpreter, processes, tmp_path, name):
    """A child with another value of such a variable is not forked."""
    value = {"PYTHONWARNINGS": "error", "PYTHONPATH": str(tmp_path)}[name]
    again = processes.start("-m", "gr00t_ros.sidecar", "--help")
    child = processes.start("-m", "gr00t_ros.sidecar", "--help", **{name: value})
    assert not isinstance(child.popen, Forked) and isinstance(again.popen, Forked)
    assert child.wait() == again.wait() == 0


def test_a_node_hears_a_child_in_its_domain(processes, ros_node):
    """Discovery, a topic and a service work between the test and its child."""
    from std_msgs.msg import String
    from std_srvs.srv import Trigger

    processes.start("-c", textwrap.dedent(TALKER), name="talker")
    messages = collect(ros_node, String, "/chatter")
    assert call(ros_node, Trigger, "/trigger", Trigger.Request()).message == sys.version
    wait_until(lambda: messages, "a message of the child")
    assert messages[0].data == "hello"


TALKER = """
import sys
import rclpy
from std_msgs.msg import String
from std_srvs.srv import Trigger

def answer(request, response):
    response.message = sys.version
    return response

rclpy.init()
node = rclpy.create_node("talker")
publisher = node.create_publisher(String, "/chatter", 10)
timer = node.create_timer(0.05, lambda: publisher.publish(String(data="hello")))
service = node.create_service(Trigger, "/trigger", answer)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
    pass
"""


def test_only_discovery_is_ever_run_again(ros_domain, monkeypatch):
    """./dev test's pattern matches a wait for discovery, and no other failure."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "setup"))
    once_more = importlib.import_module("parts").ONCE_MORE
    with pytest.raises(pytest.fail.Exception) as discovery:
        wait_for_discovery(lambda: False, "a subscription", limit_s=0.01)
    with pytest.raises(pytest.fail.Exception) as mode:
        wait_until(lambda: False, "mode paused", limit_s=0.01)
    option = next(one for one in once_more if one.startswith("--only-rerun="))
    pattern = option.removeprefix("--only-rerun=")
    assert re.search(pattern, str(discovery.value))
    assert not re.search(pattern, str(mode.value))


def test_a_spun_node_lives_on_when_rclpy_finds_a_destroyed_entity(ros_node, monkeypatch):
    """Another thread may destroy a publisher while rclpy puts it into its wait set."""
    from rclpy.event_handler import EventHandler
    from rclpy.impl.implementation_singleton import rclpy_implementation

    add, met = EventHandler.add_to_wait_set, []

    def destroyed(handler, wait_set):
        if not met:
            met.append(handler)
            raise rclpy_implementation.InvalidHandle("destruction was requested")
        add(handler, wait_set)

    monkeypatch.setattr(EventHandler, "add_to_wait_set", destroyed)
    fired = []
    ros_node.create_timer(0.01, lambda: fired.append(bool(met)))
    wait_until(lambda: True in fired, what="a callback after the exception")
