"""Watcher and server as processes: whichever of them dies, and however, no server is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from docker_stand_in import IMAGE
from server_profiles import FAMILY, LIMIT_S, alive, family_of, open_descriptors, until_gone

from gr00t_ros.supervise.watched_server import WatchedServer
from gr00t_ros.supervise.watcher import Spec

OWNER = """
import os, sys
from gr00t_ros.supervise.watched_server import WatchedServer
from gr00t_ros.supervise.watcher import Spec
grace_s, container, command = float(sys.argv[1]), sys.argv[2] or None, sys.argv[3:]
server = WatchedServer(Spec(command, dict(os.environ), "/", grace_s, container))
while not server.ended:
    for line in server.wait(1.0):
        print(line, flush=True)
"""
"""Owns one server as a node does; its words are the grace, a container and the command."""


def family(*words: str) -> list[str]:
    """The command of a server with two children."""
    return [sys.executable, "-S", "-c", FAMILY, *words]


def start(*command: str, grace_s: float = 5.0, **environment: str) -> WatchedServer:
    """A server of this process."""
    return WatchedServer(Spec(command, {**os.environ, **environment}, "/", grace_s))


def lines_until(server: WatchedServer, condition) -> list[str]:
    """All lines until the condition holds."""
    lines, end = [], time.monotonic() + LIMIT_S
    while not condition(lines):
        lines += server.wait(0.1)
        assert time.monotonic() < end, lines
    return lines


def run_to_end(server: WatchedServer) -> list[str]:
    """All lines until the server has ended."""
    return lines_until(server, lambda _: server.ended)


def test_lines_exit_code_and_environment_come_through():
    """What the server prints on either stream, what it gets, and how it ends."""
    code = "import os, sys; print('out', os.environ['WORD']); sys.stderr.write('err'); sys.exit(7)"
    server = start(sys.executable, "-S", "-c", code, WORD="hello")
    assert sorted(run_to_end(server)) == ["err", "out hello"]
    assert (server.exit_code, server.problem) == (7, "")
    assert sorted(server.last_lines()) == ["err", "out hello"]


def test_a_signal_is_a_negative_exit_code():
    """As everywhere in Python."""
    server = start(sys.executable, "-S", "-c", "import os; os.abort()")
    run_to_end(server)
    assert server.exit_code == -signal.SIGABRT


@pytest.mark.parametrize("command", [["/no/such/program"], [str(Path(__file__))]])
def test_a_program_that_cannot_be_started_is_said_so(command):
    """Not there, or no program."""
    server = start(*command)
    run_to_end(server)
    assert server.exit_code is None
    assert f"cannot start {command[0]}" in server.problem


def test_the_end_takes_all_descendants_along():
    """Also one in another session that ignores SIGTERM: its grace is over, then SIGKILL."""
    server = start(*family(), grace_s=0.2)
    pids = family_of(lines_until(server, lambda lines: lines and server.pid)[0])
    assert server.pid == pids[0] and all(map(alive, pids))
    server.end()
    run_to_end(server)
    assert not any(map(alive, pids))
    assert (server.exit_code, server.problem) == (-signal.SIGTERM, "")


def test_a_server_that_leaves_children_behind_takes_them_along():
    """Its own exit code is told; a worker that outlived it would hold the GPU."""
    code = FAMILY.rstrip().rpartition("\n")[0] + "\nsys.exit(3)\n"
    server = start(sys.executable, "-S", "-c", code, grace_s=0.2)
    pids = family_of(run_to_end(server)[0])
    assert server.exit_code == 3
    assert not any(map(alive, pids))


def test_a_stopped_server_is_ended_too():
    """SIGSTOP holds no process back from its end."""
    server = start(*family(), grace_s=5.0)
    pids = family_of(lines_until(server, lambda lines: lines and server.pid)[0])
    os.kill(pids[0], signal.SIGSTOP)
    server.end()
    run_to_end(server)
    assert not any(map(alive, pids))
    assert server.exit_code == -signal.SIGTERM, "it was not let end by itself"


def owner(*words: str) -> tuple[subprocess.Popen, str]:
    """A process that owns a server, and the first line it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, *words], stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline()


@pytest.mark.parametrize("stubborn", [False, True])
def test_no_server_outlives_the_sigkill_of_its_owner(stubborn):
    """Nothing of the owner runs any more; the watcher sees the pipe's end and does it all."""
    process, line = owner("0.2", "", *family(*["stubborn"] * stubborn))
    pids = family_of(line)
    process.kill()
    process.wait()
    until_gone(pids)
    process.stdout.close()


def test_the_owner_s_terminal_does_not_reach_the_server():
    """Ctrl-C goes to the node's process group, and the node decides when its server ends."""
    process, line = owner("0.2", "", *family())
    pids = family_of(line)
    assert all(os.getpgid(pid) != os.getpgid(process.pid) for pid in pids)
    assert os.getsid(pids[0]) != os.getsid(process.pid)
    process.kill()
    process.wait()
    until_gone(pids)
    process.stdout.close()


def test_a_killed_watcher_is_noticed_and_its_server_ended():
    """The second belt: the parent-death signal, and the owner for the rest of the group."""
    server = start(*family())
    pids = family_of(lines_until(server, lambda lines: lines and server.pid)[0])
    os.kill(server._process.pid, signal.SIGKILL)
    run_to_end(server)
    assert server.problem == "its watcher was killed"
    until_gone([pids[0], pids[2]])
    os.kill(pids[1], signal.SIGKILL)  # the one that left the session: this belt does not hold it


def container(name: str) -> list[str]:
    """The command of a container whose process prints its pid and ignores SIGTERM."""
    code = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""
    return ["docker", "run", "--rm", "--name", name, IMAGE, sys.executable, "-S", "-c", code]


def test_the_container_ends_with_the_sigkill_of_its_owner(docker):
    """By its name: the signal to `docker run` alone would not end it."""
    process, line = owner("0.2", "c1", *container("c1"))
    process.kill()
    process.wait()
    until_gone([int(line)])
    process.stdout.close()


def test_a_killed_docker_run_leaves_no_container(docker):
    """The real one leaves it, and so does the stand-in; the watcher does not."""
    server = WatchedServer(Spec(container("c2"), dict(os.environ), "/", 0.2, "c2"))
    pid = int(lines_until(server, lambda lines: lines and server.pid)[0])
    os.kill(server.pid, signal.SIGKILL)
    run_to_end(server)
    assert server.exit_code == -signal.SIGKILL
    until_gone([pid])


def test_a_container_is_asked_before_it_is_killed(docker, tmp_path):
    """`docker stop`, also where `docker run` is gone and passes no signal on."""
    words = tmp_path / "last_words"
    code = f"""
import os, pathlib, signal, sys, time
def end(*_):
    pathlib.Path({str(words)!r}).write_text("bye")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(os.getpid(), flush=True)
time.sleep(600)
"""
    command = [*container("c4")[:-1], code]
    server = WatchedServer(Spec(command, dict(os.environ), "/", 10.0, "c4"))
    lines_until(server, lambda lines: lines and server.pid)
    os.kill(server.pid, signal.SIGKILL)
    run_to_end(server)
    assert words.read_text() == "bye"


def test_a_container_that_docker_does_not_stop_is_removed(docker, monkeypatch):
    """A daemon that answers `stop` with an error must not keep the GPU busy."""
    monkeypatch.setenv("DOCKER_STAND_IN_FAILS", "stop")
    server = WatchedServer(Spec(container("c5"), dict(os.environ), "/", 0.2, "c5"))
    pid = int(lines_until(server, lambda lines: lines and server.pid)[0])
    server.end()
    run_to_end(server)
    until_gone([pid])


def test_a_killed_watcher_leaves_no_container(docker):
    """Then the owner itself removes it."""
    server = WatchedServer(Spec(container("c3"), dict(os.environ), "/", 0.2, "c3"))
    pid = int(lines_until(server, lambda lines: lines and server.pid)[0])
    os.kill(server._process.pid, signal.SIGKILL)
    run_to_end(server)
    until_gone([pid])


def test_a_start_and_its_end_leave_no_descriptor_open():
    """Pipes and sockets go with the server."""
    run_to_end(start(sys.executable, "-S", "-c", ""))
    before = open_descriptors()
    for _ in range(3):
        run_to_end(start(sys.executable, "-S", "-c", ""))
    assert open_descriptors() == before
