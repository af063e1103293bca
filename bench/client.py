"""How late the client's deadlines are, for every way in which a server can fail to answer.

Each peer misbehaves in its own way in a thread of this process, while the client asks it with
a deadline. Lateness is the time of the call beyond the deadline. All peers alternate in random
order in one run, with and without a thread that keeps the GIL busy as a node's other threads do.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import zmq

from bench.paired import Report, Target, interleave, percentile
from gr00t_ros.errors import Gr00tError
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.curve import ClientKeys, new_pair

TIMEOUT_MS = 100
ROUNDS, SMOKE_ROUNDS = 40, 1
TRICKLE_S = 0.01
TARGET_MS = 50.0


@contextmanager
def silent() -> Iterator[int]:
    """Take requests and never answer."""
    context = zmq.Context()
    server = context.socket(zmq.ROUTER)
    yield server.bind_to_random_port("tcp://127.0.0.1")
    context.destroy(linger=0)


@contextmanager
def mute() -> Iterator[int]:
    """Accept connections and send nothing, not even ZeroMQ's greeting."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def nobody() -> Iterator[int]:
    """Refuse connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


@contextmanager
def trickling() -> Iterator[int]:
    """Greet one byte at a time."""
    with threaded(drip) as port:
        yield port


@contextmanager
def hanging_up() -> Iterator[int]:
    """Accept and close."""
    with threaded(lambda peer: None) as port:
        yield port


def drip(peer: socket.socket) -> None:
    """Send a greeting more slowly than any deadline."""
    for byte in b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48):
        peer.sendall(bytes([byte]))
        time.sleep(TRICKLE_S)


@contextmanager
def threaded(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve every connection in its own thread."""
    stopped = threading.Event()

    def one(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            serve(peer)

    def accept() -> None:
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                threading.Thread(target=one, args=(listener.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        stopped.set()
        thread.join()


@contextmanager
def busy_thread() -> Iterator[None]:
    """Keep the GIL busy with pure Python code that never pauses."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopped.set()
    thread.join()


PEERS = {
    "nobody listens": nobody,
    "hangs up": hanging_up,
    "mute": mute,
    "trickles": trickling,
    "silent": silent,
}


def lateness_ms(port: int, curve: ClientKeys | None = None) -> float:
    """Return how much longer than its deadline one call of a new client took, ms."""
    client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, curve=curve)
    start = time.perf_counter_ns()
    with contextlib.suppress(Gr00tError):
        client.ping()
    took_ms = (time.perf_counter_ns() - start) / 1e6
    client.close()
    return took_ms - TIMEOUT_MS


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the lateness of each peer, ms; negative if it failed before the deadline."""
    keys = ClientKeys(new_pair()[0], new_pair()[1])
    with ExitStack() as stack:
        ports = {name: stack.enter_context(peer()) for name, peer in PEERS.items()}
        variants = {name: partial(lateness_ms, port) for name, port in ports.items()}
        variants["mute, CURVE"] = partial(lateness_ms, ports["mute"], keys)
        return interleave(variants, rounds, warm_up=min(5, rounds))


def run(smoke: bool = False) -> Report:
    """Measure in a quiet process and in a busy one."""
    rounds = SMOKE_ROUNDS if smoke else ROUNDS
    samples = {"quiet": measure(rounds)}
    with busy_thread():
        samples["busy GIL"] = measure(rounds)
    figures = {case: _figures(found) for case, found in samples.items()}
    worst = max(row["p99_ms"] for row in figures["quiet"].values())
    busy = max(row["p99_ms"] for row in figures["busy GIL"].values())
    targets = (
        Target("lateness p99, worst peer, ms", worst, TARGET_MS),
        Target("the same beside a busy thread, ms", busy, 2 * TARGET_MS),
    )
    return Report("client", tuple(_lines(figures, rounds)), figures, targets)


def _figures(found: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "p50_ms": statistics.median(values),
            "p99_ms": percentile(values, 99),
            "max_ms": max(values),
        }
        for name, values in found.items()
    }


def _lines(figures: Mapping[str, Mapping[str, Mapping[str, float]]], rounds: int) -> Iterator[str]:
    yield f"lateness of a deadline of {TIMEOUT_MS} ms, {rounds} rounds"
    for case, rows in figures.items():
        yield f"\n{case:>20}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
        for name, row in rows.items():
            yield f"{name:>20}{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}{row['max_ms']:9.2f}"
    yield ""
