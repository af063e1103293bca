"""Starts one policy server and ends it, with all it started, when the process that asked is gone.

    python3 -m gr00t_ros.supervise.watcher < LIFELINE

Standard library only: a node starts it by this file's path with `python -I -S`. The lifeline's
first line is a `Spec` as JSON; its end of file, which the kernel delivers after any death of the
node, SIGKILL included, means: end the server. So the server is never without a guardian: the
watcher is its parent from its first instruction on. What happens goes to stdout, one JSON map a
line (`{"pid": 12}`, then `{"exit": 0}`, or `{"error": "..."}`); what the server prints goes
unread to stderr, the node's pipe.

The watcher has a session of its own, so that Ctrl-C in a terminal reaches the node alone. It is
its descendants' subreaper: one that leaves the server's process group still becomes its child,
and "no child left" (ECHILD) proves that nothing holds the GPU. It refuses to know what a policy
is, whether the server works, and when to start it again.
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
_LAST_S = 0.2  # what is to notice the end of a container gets at least this
_KILL_LIMIT_S = 10.0  # a process that a driver holds in the kernel may outlive even SIGKILL
_DOCKER_LIMIT_S = 20.0
_MAX_SPEC_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Spec:
    """What to start. grace_s: from SIGTERM to SIGKILL. container: to stop and remove by name."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    grace_s: float
    container: str | None = None
    docker: str = "docker"

    def line(self) -> bytes:
        """The lifeline's first line."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(slots=True)
class _Server:
    """The server's process, and its exit status once it has one."""

    pid: int
    status: int | None = None
    others: set[int] = field(default_factory=set)  # the watcher's own helpers


def main() -> int:
    """Guard one server until it has ended or the lifeline breaks, and leave nothing behind."""
    with contextlib.suppress(PermissionError):
        os.setsid()  # already the leader where Popen made the session
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
    except subprocess.SubprocessError as error:
        return _failed(f"cannot start {spec.command[0]}: {error}")
    _tell(pid=server.pid)
    _wait(server, woken)
    left = _end(server, spec)
    _tell(exit=server.status, left=left)
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
        # A second belt, for the watcher's own death. This process has one thread, so the signal
        # cannot come too early, as it would when one of a node's threads ends.
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    process.returncode = 0  # reaped below by its pid, with all the others
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
    """End everything; return how many processes would not die."""
    told = _signal_all(server, signal.SIGTERM, set())
    grace_end = time.monotonic() + spec.grace_s
    if spec.container is not None:
        # The signal to `docker run` may come before the container is there to get it.
        _docker(spec, server, "stop", "-t", str(round(spec.grace_s)), spec.container)
        limit = time.monotonic() + spec.grace_s + _DOCKER_LIMIT_S
        _until_alone(server, limit, signal.SIGTERM, told, or_helped=True)
    _until_alone(server, max(grace_end, time.monotonic() + _LAST_S), signal.SIGTERM, told)
    for helper in server.others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGKILL)
    server.others.clear()
    _until_alone(server, time.monotonic() + _KILL_LIMIT_S, signal.SIGKILL, set())
    if spec.container is not None:
        _docker(spec, server, "rm", "--force", spec.container)
        _until_alone(server, time.monotonic() + _DOCKER_LIMIT_S, None, set())
    return sum(1 for _ in _descendants())


def _until_alone(
    server: _Server,
    end_s: float,
    number: signal.Signals | None,
    told: set[int],
    or_helped: bool = False,
) -> None:
    """Reap until no child is left or it is `end_s`; those not yet told get the signal too.

    or_helped: also until no helper of the watcher's own is left.
    """
    while not _reap(server) and time.monotonic() < end_s and (server.others or not or_helped):
        if number is not None:
            told |= _signal_all(server, number, told)
        time.sleep(_POLL_S)


def _reap(server: _Server) -> bool:
    """Collect what has ended; return whether no descendant is left."""
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


def _signal_all(server: _Server, number: signal.Signals, told: set[int]) -> set[int]:
    """Send the signal once to each descendant; SIGCONT behind it, or a stopped one never gets it.

    No process group is signalled: a descendant's pid is its own until this process reaps it,
    a group's number may already be somebody else's.
    """
    fresh = {pid for pid in _descendants() if pid not in told and pid not in server.others}
    for pid in fresh:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)
    return fresh


def _descendants() -> Iterator[int]:
    """All processes below this one, zombies left out, from /proc."""
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
    """Start a docker command; its failure is no news, the container may be gone already."""
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
    """Let signals end a poll, each as its number; SIGINT and SIGHUP are the node's and do nothing.

    Handlers, not SIG_IGN, which the server would inherit.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader


def _first_line() -> bytes:
    """Read the lifeline up to its first line's end; nothing but its end of file follows."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_SPEC_BYTES:
        piece = os.read(LIFELINE, _MAX_SPEC_BYTES)
        if not piece:
            raise ValueError("the lifeline broke first")
        line += piece
    return line


def _tell(**event: object) -> None:
    with contextlib.suppress(OSError):  # the node is gone; nobody listens
        os.write(EVENTS, json.dumps(event).encode() + b"\n")


def _failed(text: str) -> int:
    _tell(error=text)
    return 1


def _prctl(option: int, value: int = 1) -> None:
    """Where the C library has no prctl (not Linux), the belts are fewer and the lifeline stays."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
