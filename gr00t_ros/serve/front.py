"""The listening socket of servers and proxy: no peer can abort the process or fill its memory.

libzmq aborts the whole process if it has stopped reading a connection because its queue is full,
and the connection is lost while a heartbeat is due on it (`!_io_error`, stream_engine_base.cpp,
4.3.5). So the queues have no limit that stops reading; the process's memory is watched instead.
This side sends no heartbeats; TCP keepalive finds the peers that are gone.

An empty frame is two bytes to its sender and a step here, and ZeroMQ gives the next peer's message
only after the last frame of this one. So a message of more frames than MAX_READ is not read to its
end: all peers are disconnected, as libzmq has no way to disconnect one of a ROUTER's.

Front is that socket. RateLimit is a token bucket for each client. Wake ends a process's poll from
another thread or from a signal, without a race. Use each from one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import select
import signal
import socket
import time
import weakref
from collections import OrderedDict
from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

import zmq

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.address import needs_ipv6
from gr00t_ros.wire.curve import Admission, ServerKeys
from gr00t_ros.wire.envelope import Bytes

DEFAULT_GONE_MS: Final = 10_000
GONE_MS: Final = (1_000, 3_600_000)  # TCP's keepalive counts in seconds
DEFAULT_MEMORY_BYTES: Final = 1024 * 1024 * 1024
LOOK_MS: Final = 200  # between checks of the memory: a full 10 Gbit/s line sends 250 MB in 200 ms
SLACK_BYTES: Final = 4096  # above a cap of requests: a slightly larger one gets an error reply
MAX_FRAMES: Final = 8  # kept of one message; a request has three, more are dropped
MAX_READ: Final = 128  # of one message, kept or dropped: 70 us, and no client of GR00T sends it
MAX_REMEMBERED: Final = 1024  # clients in a RateLimit: one that changes its name fills no more

_AT_ONCE: Final = 16  # requests received before the caller's other sockets are looked at again
_HANDSHAKE_MS: Final = 5_000
_WAITING_REPLIES: Final = 16  # for a client that does not read them; further replies are dropped
_PROBES: Final = 3
_REBIND_NS: Final = 5_000_000_000
_SETTLE_NS: Final = 500_000_000  # ZeroMQ's thread frees the cut-off clients' memory in this time
# Errors that go away when ZeroMQ's own thread has closed the old sockets.
_PASSING: Final = (errno.EADDRINUSE, errno.EMFILE, errno.ENFILE)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_LARGEST_BLOCK: Final = 32 * 1024 * 1024  # the largest that glibc accepts
_KEPT_BYTES: Final = 128 * 1024 * 1024
_STATM: Final = "/proc/self/statm"  # second field: resident pages (proc_pid_statm(5))

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """One message: its return address up to the empty delimiter (empty without one), its body."""

    route: tuple[bytes, ...]
    body: list[zmq.Frame]


class Front:
    """One bound ROUTER socket; replaced when its clients make the process use too much of it.

    That is memory, or time for one message. Register it for each poll, as the socket may be new.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        max_frame_bytes: int,
        keys: ServerKeys | None = None,
        *,
        gone_ms: int = DEFAULT_GONE_MS,
        max_memory_bytes: int | None = DEFAULT_MEMORY_BYTES,
    ) -> None:
        """Bind; raise `SettingsError` if `address` cannot be used.

        max_frame_bytes: a peer that announces a longer frame is disconnected. keys: use CURVE and
        admit these clients only. gone_ms: a peer is disconnected when its machine or cable is
        silent, or it reads no reply, for that long. max_memory_bytes: of this process, beyond what
        it has now; above it all peers are disconnected, and may connect again. None: memory is not
        watched, for a process that may itself need any amount.
        """
        self._context, self._cap = context, max_frame_bytes
        self._gone_ms, self._max_memory_bytes = gone_ms, max_memory_bytes
        self._admission = None if keys is None else Admission(context, keys)
        self._resident = Resident()
        self._began_bytes = self._resident.bytes()
        self._looked_ns = 0
        try:
            self.socket = self._listen(address)
        except zmq.ZMQError as error:
            self._close_rest()
            raise SettingsError(f"cannot serve on {address}: {error.strerror}") from error
        self.address: str = self.socket.get_string(zmq.LAST_ENDPOINT)

    def register(self, poller: zmq.Poller) -> None:
        """Make `poller` wait for messages and handshakes."""
        poller.register(self.socket, zmq.POLLIN)
        if self._admission is not None:
            poller.register(self._admission.socket, zmq.POLLIN)

    def has_message(self, ready: Container[object]) -> bool:
        """Answer a handshake that waits; return whether `ready`, from a poll, has a message."""
        if self._admission is not None and self._admission.socket in ready:
            self._admission.decide()
        return self.socket in ready

    def receive(self) -> Received | None:
        """Return a message that has arrived, or None.

        None too after one of more than MAX_READ frames, for which all peers are disconnected.
        """
        try:
            frame = self.socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        frames, read = [frame], 1
        while frame.more:
            if read == MAX_READ:
                self._begin_anew(f"{_peer_of(frame)} sent a message of more than {read} frames")
                return None
            frame = self.socket.recv(copy=False)
            read += 1
            if len(frames) < MAX_FRAMES:
                frames.append(frame)
        ends = (at for at, frame in enumerate(frames) if at and not len(frame))
        start = next(ends, -1) + 1
        route = tuple(frame.bytes for frame in frames[:start])
        return Received(route, frames[start:])

    def requests(self) -> Iterator[tuple[Hashable, tuple[bytes, ...], list[Bytes]]]:
        """Some requests that have arrived: the client, its return address, and the body.

        A message without a return address is dropped.
        """
        for _ in range(_AT_ONCE):
            message = self.receive()
            if message is None:
                return
            if message.route:
                client = _client_name(message.body) or message.route[0]
                yield client, message.route, [frame.buffer for frame in message.body]

    def send(self, route: tuple[bytes, ...], frame: Bytes) -> None:
        """Send one reply. A ROUTER never blocks: if the client has gone, its reply is dropped."""
        self.socket.send_multipart([*route, frame], copy=False)

    def look_after(self) -> None:
        """Disconnect all peers if the process uses too much memory; cheap, call it often."""
        now_ns = time.monotonic_ns()
        if self._max_memory_bytes is None or now_ns - self._looked_ns < LOOK_MS * 1_000_000:
            return
        self._looked_ns = now_ns
        grown_bytes = self._resident.bytes() - self._began_bytes
        if grown_bytes > self._max_memory_bytes:
            self._begin_anew(f"{grown_bytes >> 20} MiB of memory more in use")

    def close(self) -> None:
        """Stop listening; idempotent."""
        self.socket.close()
        self._close_rest()

    def _begin_anew(self, why: str) -> None:
        """Disconnect all peers; they may connect again, and what they sent is lost."""
        log.error("%s: disconnecting all clients", why)
        self.socket.close(linger=0)
        self.socket = self._listen_again()
        release_freed()
        self._looked_ns = time.monotonic_ns() + _SETTLE_NS

    def _close_rest(self) -> None:
        if self._admission is not None:
            self._admission.close()
        self._resident.close()

    def _listen(self, address: str) -> zmq.Socket[bytes]:
        front: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        front.set(zmq.LINGER, 0)
        front.set(zmq.RCVHWM, 0)  # see the module docstring
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
        """Bind the address again as soon as ZeroMQ's own thread has freed it."""
        end_ns = time.monotonic_ns() + _REBIND_NS
        while True:
            try:
                return self._listen(self.address)
            except zmq.ZMQError as error:
                if error.errno not in _PASSING or time.monotonic_ns() > end_ns:
                    raise
                time.sleep(0.01)


def _peer_of(frame: zmq.Frame) -> str:
    """The address that sent a frame."""
    try:
        return str(frame.get("Peer-Address"))
    except zmq.ZMQError:  # not a connection over TCP
        return "a client"


def _client_name(body: list[zmq.Frame]) -> str | None:
    """The name of an admitted client, which it cannot choose itself; None without CURVE."""
    try:
        return str(body[-1].get("User-Id")) or None
    except (zmq.ZMQError, IndexError):
        return None


class RateLimit:
    """Allows each client `burst` requests at once and `rate_hz` in the long run."""

    def __init__(self, rate_hz: float, burst: int) -> None:
        self._rate_hz, self._burst = rate_hz, burst
        self._levels: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def allows(self, client: Hashable, now_ns: int) -> bool:
        """Whether this client may send a request now; counts the request if so."""
        level, since_ns = self._levels.pop(client, (float(self._burst), now_ns))
        level = min(self._burst, level + (now_ns - since_ns) * 1e-9 * self._rate_hz)
        allowed = level >= 1.0
        self._levels[client] = (level - 1.0 if allowed else level, now_ns)
        if len(self._levels) > MAX_REMEMBERED:
            self._levels.popitem(last=False)
        return allowed

    def charge(self, client: Hashable, requests: float) -> None:
        """Count `requests` additional requests for a client that was allowed one."""
        level, since_ns = self._levels.get(client, (0.0, 0))
        self._levels[client] = (max(0.0, level - requests), since_ns)


class Wake:
    """A socket pair that ends a poll; set from any thread or signal handler, never drained.

    The pair is released by `close`, or with the last reference to this.
    """

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._release = weakref.finalize(self, _close, self.reader, self._writer)
        self._signals_were: int | None = None
        self.asked = False

    def set(self) -> None:
        """Ask for a stop; there is no way back."""
        self.asked = True
        with contextlib.suppress(OSError):  # full: woken already; closed: stopped already
            self._writer.send(b"\0")

    def set_on(self, *numbers: signal.Signals) -> None:
        """Make these signals call `set` until `close`; call this from the main thread."""
        self._signals_were = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: self.set())

    def wait(self, timeout_s: float) -> None:
        """Return when a stop is asked for, or after `timeout_s`."""
        poller = select.poll()
        poller.register(self.reader, select.POLLIN)
        poller.poll(timeout_s * 1e3)

    def close(self) -> None:
        """Release the pair; idempotent."""
        if self._signals_were is not None:
            signal.set_wakeup_fd(self._signals_were)
            self._signals_were = None
        self._release()


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


class Resident:
    """Reads the resident memory of this process, even when no file descriptor is left."""

    def __init__(self) -> None:
        try:
            self._file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def bytes(self) -> int:
        """Return the resident memory now, 0 if it cannot be read."""
        try:
            return int(os.pread(self._file, 128, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def close(self) -> None:
        """Close the descriptor; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 if it cannot be read."""
    resident = Resident()
    try:
        return resident.bytes()
    finally:
        resident.close()


def keep_freed() -> None:
    """Keep freed memory of this process for its next messages, up to 128 MiB of each heap.

    By default glibc returns each large block to the system and the kernel clears new pages for the
    next one: a fifth of the processor time of a proxy that batches eight robots' pictures.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def release_freed() -> None:
    """Return freed memory to the system; until then `resident_bytes` counts it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
