"""A TCP connection that can be cut, between the node and a policy server that can be exchanged."""

import contextlib
import select
import socket
import threading

CHUNK_BYTES = 1 << 20
WAKE_S = 0.05


class Cable:
    """Forwards each connection on `port` to the present target; a context manager.

    `stall` keeps all connections and forwards nothing, as an unplugged cable does. `close_all` ends
    them; while `refusing`, every new connection is refused too, as by a host that is down.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.target = 0
        self.stalled = self.refusing = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="cable", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Cable":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self.close_all()
        self._thread.join()
        self._listener.close()

    def close_all(self) -> None:
        """End all present connections."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._listener], [], [], WAKE_S)
            if not ready or self.stalled:
                self._stop.wait(WAKE_S if ready else 0.0)
                continue
            client, _ = self._listener.accept()
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.refusing:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                pair = {client: server, server: client}
                with self._lock:
                    self._open |= set(pair)
                try:
                    self._copy(pair)
                finally:
                    with self._lock:
                        self._open -= set(pair)

    def _copy(self, pair: dict[socket.socket, socket.socket]) -> None:
        while not self._stop.is_set():
            if self.stalled:
                self._stop.wait(WAKE_S)
                continue
            ready, _, _ = select.select(list(pair), [], [], WAKE_S)
            for one in ready if not self.stalled else ():
                data = one.recv(CHUNK_BYTES)
                if not data:
                    return
                pair[one].sendall(data)
