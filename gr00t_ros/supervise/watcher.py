"""Starts one policy server, and ends it with all its child processes when the node is gone.

    python3 -m gr00t_ros.supervise.watcher < LIFELINE

Standard library only: the node runs this file by its path with `python -I -S`. The first line of
the lifeline (stdin) is a `Spec` as JSON. Its end of file means: end the server. The kernel delivers
that end of file after any death of the node, SIGKILL included. The watcher is the server's parent
from the start, so the server is never unwatched. Events go to stdout, one JSON map a line
(`{"pid": 12}`, then `{"exit": 0}`, or `{"error": "..."}`). The server's output goes directly to
stderr, the node's pipe.

The watcher has a session of its own, so that Ctrl-C in a terminal reaches the node only. It is the
subreaper of its descendants: a process that leaves the server's process group still becomes its
child, and "no child left" (ECHILD) proves that nothing holds the GPU. The supervisor checks whether
the server works, and restarts it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

LIFELINE, EVENTS, OUTPUT = 0, 1, 2  # the watcher's three descriptors
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_POLL_S = 0.02
_LAST_S = 0.2  # minimum time for `docker run` to notice the end of its container
_KILL_LIMIT_S = 10.0  # a process that is blocked in a driver may survive even SIGKILL
DOCKER_LIMIT_S = 20.0
_MAX_SPEC_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Spec:
    """What to start. grace_s: from SIGTERM to SIGKILL. container: the name to stop and remove."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    grace_s: float
    container: str | None = None
    docker: str = "docker"

    def line(self) -> bytes:
        """Return the first line of the lifeline."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(slots=True)
class _Server:
    """The server's process, and its exit status after it has ended."""

    pid: int
    status: int | None = None
    others: set[int] = field(default_factory=set)  # docker commands of the watcher


def main() -> int:
    """Watch one server until it ends or the lifeline breaks; then end all its processes."""
    with contextlib.suppress(PermissionError):
        os.setsid()  # not permitted, and not needed, if Popen has made the session
    woken = _wake_on_signals()
    _prctl(_PR_SET_CHILD_SUBREAPER)
    try:
        spec = Spec(**json.loads(_first_line()))
    except (ValueError, TypeError) as error:
        return _failed(f"the watcher got no launch specification: {error}")
    try:
        server = _Server(_start(spec))
    except OSError as error:
        return _failed(f"cannot start {spec.command[0]}: {error.strerror or error}")
    except (ValueError, subprocess.SubprocessError) as error:
        return _failed(f"cannot start {spec.command[0]}: {error}")
    _report(pid=server.pid)
    _wait(server, woken)
    left = _end(server, spec)
    _report(exit=server.status, left=left)
    return 0


def _start(spec: Spec) -> int:
    """Start the server as the leader of its own session and process group."""
    process = subprocess.Popen(
        spec.command,
        cwd=spec.directory,
        env=spec.environment,
        stdin=subprocess.DEVNULL,
        stdout=OUTPUT,
        stderr=OUTPUT,
        start_new_session=True,
        # A second safeguard, for the watcher's own death. The signal comes when the parent thread
        # ends; the watcher has one thread only, so it cannot come too early.
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    process.returncode = 0  # `_reap` collects it by its pid, as all others
    return process.pid


def _wait(server: _Server, woken: socket.socket) -> None:
    """Return when the server has ended, the lifeline broke or SIGTERM came."""
    poller = select.poll()
    poller.register(LIFELINE, select.POLLIN)
    poller.register(woken.fileno(), select.POLLIN)
    while server.status is None:
        ready = dict(poller.poll())
        if woken.fileno() in ready and signal.SIGTERM in woken.recv(64):
            return
        if LIFELINE in ready and not os.read(LIFELINE, 4096):
            return
        _reap(server)


def _end(server: _Server, spec: Spec) -> int:
    """End all processes; return how many survived SIGKILL."""
    signalled = _signal_all(server, signal.SIGTERM, set())
    grace_end = time.monotonic() + spec.grace_s
    if spec.container is not None:
        # SIGTERM may reach `docker run` before the container exists and can receive it.
        _docker(spec, server, "stop", "-t", str(round(spec.grace_s)), spec.container)
        limit = time.monotonic() + spec.grace_s + DOCKER_LIMIT_S
        _until_alone(server, limit, signal.SIGTERM, signalled, or_helped=True)
    _until_alone(server, max(grace_end, time.monotonic() + _LAST_S), signal.SIGTERM, signalled)
    for helper in server.others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGKILL)
    server.others.clear()
    _until_alone(server, time.monotonic() + _KILL_LIMIT_S, signal.SIGKILL, set())
    if spec.container is not None:
        _docker(spec, server, "rm", "--force", spec.container)
        _until_alone(server, time.monotonic() + DOCKER_LIMIT_S, None, set())
    return sum(1 for _ in _descendants())


def _until_alone(
    server: _Server,
    end_s: float,
    number: signal.Signals | None,
    signalled: set[int],
    or_helped: bool = False,
) -> None:
    """Reap until no child is left, or until `end_s`; send the signal to new descendants too.

    signalled: the pids that have had it. or_helped: stop as well when no docker command is left.
    """
    while not _reap(server) and time.monotonic() < end_s and (server.others or not or_helped):
        if number is not None:
            signalled |= _signal_all(server, number, signalled)
        time.sleep(_POLL_S)


def _reap(server: _Server) -> bool:
    """Collect ended processes; return whether no descendant is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
        if pid == server.pid:
            server.status = os.waitstatus_to_exitcode(status)
        server.others.discard(pid)


def _signal_all(server: _Server, number: signal.Signals, signalled: set[int]) -> set[int]:
    """Signal each descendant that is not in `signalled`; return their pids.

    SIGCONT follows, because a stopped process would not handle the signal. Process groups are not
    signalled: a descendant's pid stays its own until this process reaps it, but the number of a
    group may already belong to other processes.
    """
    fresh = {pid for pid in _descendants() if pid not in signalled and pid not in server.others}
    for pid in fresh:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)
    return fresh


def _descendants() -> Iterator[int]:
    """Yield the pids of all descendants, without zombies, from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _parent(name)) is not None:
            children.setdefault(parent, []).append(int(name))
    found = list(children.get(os.getpid(), ()))
    for pid in found:
        found.extend(children.get(pid, ()))
        yield pid


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(parent)


def _docker(spec: Spec, server: _Server, *arguments: str) -> None:
    """Start a docker command; failures are ignored, as the container may have ended already."""
    with contextlib.suppress(OSError):
        process = subprocess.Popen(
            [spec.docker, *arguments],
            env=spec.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process.returncode = 0
        server.others.add(process.pid)


def _wake_on_signals() -> socket.socket:
    """Make signals end a poll, which reads their numbers; SIGINT and SIGHUP do nothing more.

    Uses handlers instead of SIG_IGN, because the server would inherit SIG_IGN.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader


def _first_line() -> bytes:
    """Read the lifeline's first line; only its end of file follows."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_SPEC_BYTES:
        piece = os.read(LIFELINE, _MAX_SPEC_BYTES)
        if not piece:
            raise ValueError("the lifeline broke first")
        line += piece
    return line


def _report(**event: object) -> None:
    with contextlib.suppress(OSError):  # the node is gone
        os.write(EVENTS, json.dumps(event).encode() + b"\n")


def _failed(text: str) -> int:
    _report(error=text)
    return 1


def _prctl(option: int, value: int = 1) -> None:
    """Call prctl; where the C library has none (not Linux), only the lifeline protects."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
