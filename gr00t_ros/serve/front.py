"""The socket that a server of ours listens on: no peer can abort it, and no peer can fill it.

libzmq aborts the whole process where a connection that it stopped reading, because its queue is
full, is lost while a heartbeat is due on it (`!_io_error`, stream_engine_base.cpp, 4.3.5). So the
queues have no limit at which reading stops, the process's memory is watched instead, this side
sends no heartbeat, and TCP keepalive finds the peers that are gone. Rate is a token bucket for
each client. Wake ends a process's poll from another thread or from a signal, without a race. One
owner thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import zmq

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.address import needs_ipv6
from gr00t_ros.wire.curve import Admission

MAX_REMEMBERED: Final = 1024  # remembered; a stranger who changes his name fills this and no more


class RateLimit:
    """At most `burst` requests at once and `rate_hz` in the long run, for each client."""

    def __init__(self, rate_hz: float, burst: int) -> None:
        self._rate_hz, self._burst = rate_hz, burst
        self._levels: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def allows(self, client: Hashable, now_ns: int) -> bool:
        """Whether this client may ask now; counts the request where it may."""
        level, since_ns = self._levels.pop(client, (float(self._burst), now_ns))
        level = min(self._burst, level + (now_ns - since_ns) * 1e-9 * self._rate_hz)
        allowed = level >= 1.0
        self._levels[client] = (level - 1.0 if allowed else level, now_ns)
        if len(self._levels) > MAX_REMEMBERED:
            self._levels.popitem(last=False)
        return allowed

    def charge(self, client: Hashable, requests: float) -> None:
        """Count so many requests more of a client that was allowed one."""
        level, since_ns = self._levels.get(client, (0.0, 0))
        self._levels[client] = (max(0.0, level - requests), since_ns)


class Wake:
    """A socket pair that ends a poll: set from any thread or signal handler, and never drained."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._signals_were: int | None = None
        self.asked = False

    def set(self) -> None:
        """Ask to stop, for good."""
        self.asked = True
        with contextlib.suppress(OSError):  # full: already woken; closed: already stopped
            self._writer.send(b"\0")

    def set_on(self, *numbers: signal.Signals) -> None:
        """Let these signals call `set`; from the main thread, until `close`."""
        self._signals_were = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: self.set())

    def close(self) -> None:
        """Release the pair; idempotent."""
        if self._signals_were is not None:
            signal.set_wakeup_fd(self._signals_were)
            self._signals_were = None
        self.reader.close()
        self._writer.close()


_STATM = "/proc/self/statm"  # second field: resident pages (proc_pid_statm(5))


class Resident:
    """Tells the resident memory of this process, also when it has no descriptor left."""

    def __init__(self) -> None:
        try:
            self._file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def bytes(self) -> int:
        """Return how much it is now, 0 where it cannot be told."""
        try:
            return int(os.pread(self._file, 128, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def close(self) -> None:
        """Give the descriptor back; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 where it cannot be told."""
    resident = Resident()
    try:
        return resident.bytes()
    finally:
        resident.close()


def release_freed() -> None:
    """Give freed memory back to the system, which `resident_bytes` else goes on counting."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


log = logging.getLogger(__name__)

DEFAULT_GONE_MS: Final = 10_000
GONE_MS: Final = (1_000, 3_600_000)  # TCP's keepalive counts in seconds
DEFAULT_MEMORY_BYTES: Final = 1024 * 1024 * 1024
LOOK_MS: Final = 200  # between looks at the memory: 200 ms of a full 10 Gbit/s line are 250 MB
MAX_FRAMES: Final = 8  # kept of one message, where a request has three: the rest is dropped

_HANDSHAKE_MS: Final = 5_000
_WAITING_REPLIES: Final = 16  # for one client that does not read them; then they are dropped
_PROBES: Final = 3
_REBIND_NS: Final = 5_000_000_000
_SETTLE_NS: Final = 500_000_000  # until another thread has freed what the last cut-off let go
# What passes when ZeroMQ's other thread has closed the old sockets.
_PASSING: Final = (errno.EADDRINUSE, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class Received:
    """One message: its return address with the empty delimiter (or none), and its body."""

    route: tuple[bytes, ...]
    body: list[zmq.Frame]


class Front:
    """One bound ROUTER socket, replaced where its clients make this process collect too much."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        max_frame_bytes: int,
        admission: Admission | None = None,
        *,
        gone_ms: int = DEFAULT_GONE_MS,
        max_memory_bytes: int | None = DEFAULT_MEMORY_BYTES,
    ) -> None:
        """Bind; raise `SettingsError` where `address` cannot be used.

        max_frame_bytes: a peer that announces more is cut off. gone_ms: a peer whose machine or
        cable is silent, or that takes no reply, for that long is cut off. max_memory_bytes: of
        this process; above it all peers are cut off, and may come again. None: not watched,
        where the process itself may need any amount.
        """
        self._context, self._cap, self._admission = context, max_frame_bytes, admission
        self._gone_ms, self._max_memory_bytes = gone_ms, max_memory_bytes
        self._resident = Resident()
        self._looked_ns = 0
        try:
            self.socket = self._listen(address)
        except zmq.ZMQError as error:
            self._resident.close()
            raise SettingsError(f"cannot serve on {address}: {error.strerror}") from error
        self.address: str = self.socket.get_string(zmq.LAST_ENDPOINT)

    def receive(self) -> Received | None:
        """Return a message that has come, or None."""
        try:
            frame = self.socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        frames = [frame]
        while frame.more:
            frame = self.socket.recv(copy=False)
            if len(frames) < MAX_FRAMES:
                frames.append(frame)
        ends = (at for at, frame in enumerate(frames) if at and not len(frame))
        start = next(ends, -1) + 1
        route = tuple(frame.bytes for frame in frames[:start])
        return Received(route, frames[start:])

    def look_after(self) -> None:
        """Cut off all peers where they make ZeroMQ collect too much; cheap, call it often."""
        now_ns = time.monotonic_ns()
        if self._max_memory_bytes is None or now_ns - self._looked_ns < LOOK_MS * 1_000_000:
            return
        self._looked_ns = now_ns
        held = self._resident.bytes()
        if held > self._max_memory_bytes:
            log.error("%d MiB held: cutting off all clients", held >> 20)
            self.socket.close(linger=0)
            self.socket = self._listen_again()
            release_freed()
            self._looked_ns = time.monotonic_ns() + _SETTLE_NS

    def close(self) -> None:
        """Stop listening; idempotent."""
        self.socket.close()
        self._resident.close()

    def _listen(self, address: str) -> zmq.Socket[bytes]:
        front: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        front.set(zmq.LINGER, 0)
        front.set(zmq.RCVHWM, 0)  # see the module's text
        front.set(zmq.SNDHWM, _WAITING_REPLIES)
        front.set(zmq.MAXMSGSIZE, self._cap)
        front.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        front.set(zmq.TCP_KEEPALIVE, 1)
        front.set(zmq.TCP_KEEPALIVE_IDLE, max(1, self._gone_ms // 2_000))
        front.set(zmq.TCP_KEEPALIVE_INTVL, max(1, self._gone_ms // (2_000 * _PROBES)))
        front.set(zmq.TCP_KEEPALIVE_CNT, _PROBES)
        front.set(zmq.TCP_MAXRT, self._gone_ms)
        front.set(zmq.IPV6, int(needs_ipv6(address)))
        if self._admission is not None:
            self._admission.secure(front)
        try:
            front.bind(address)
        except zmq.ZMQError:
            front.close(linger=0)
            raise
        return front

    def _listen_again(self) -> zmq.Socket[bytes]:
        """Bind the address that another thread of ZeroMQ is about to free."""
        end_ns = time.monotonic_ns() + _REBIND_NS
        while True:
            try:
                return self._listen(self.address)
            except zmq.ZMQError as error:
                if error.errno not in _PASSING or time.monotonic_ns() > end_ns:
                    raise
                time.sleep(0.01)
