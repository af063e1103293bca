"""The child process with LIBERO's environment, seen from our side.

Each request waits for its answer. Pictures come by themselves, in a thread that reads the child's
output. The child's own prints go to our standard error.
"""

from __future__ import annotations

import contextlib
import queue
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack

from gr00t_ros.errors import SimulationError
from gr00t_ros.sim.libero.extra import environment

CHILD = Path(__file__).with_name("child.py")
STEP_LIMIT_S = 30.0
RESET_LIMIT_S = 120.0
"""A task's world takes 1 to 5 s, the first one more; a busy machine is several times slower."""
LARGEST_BYTES = 1 << 24
"""Of a message; two pictures have 0.4 MB."""
_END_S = 5.0


class Child:
    """Start it, `ask` from one thread at a time, and `close` it."""

    def __init__(
        self, python: Path, on_pictures: Callable[[int, Mapping[str, bytes]], None]
    ) -> None:
        """`on_pictures` gets the tag of a request and the cameras' pictures, in another thread."""
        self._on_pictures = on_pictures
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._problem = ""
        self._process = subprocess.Popen(
            [python, CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C reaches only us: the child ends when its input does
        )
        self._reader = threading.Thread(target=self._read, name="child", daemon=True)
        self._reader.start()

    def ask(self, what: str, limit_s: float = STEP_LIMIT_S, **arguments: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises SimulationError with what went wrong in the child, if it ended, or did not answer.
        """
        self.check()
        body = msgpack.packb({"do": what, **arguments})
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack(">I", len(body)) + body)
            self._process.stdin.flush()
            answer = self._answers.get(timeout=limit_s)
        except OSError:  # the reader tells how it ended
            self._reader.join(_END_S)
            answer = {"error": self._problem or "the simulation takes no requests"}
        except queue.Empty:
            # not asked again: a late answer would be taken for that of the next request
            self._problem = f"{what}: got no answer in {limit_s:.0f} s"
            answer = {"error": self._problem}
        if "error" in answer:
            raise SimulationError(f"LIBERO: {answer['error']}")
        return answer

    def check(self) -> None:
        """Raise SimulationError if the child has ended or its cameras have failed."""
        if self._problem:
            raise SimulationError(f"LIBERO: {self._problem}")

    def close(self) -> None:
        """End the child: its input ends; killed if it does not end then."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        try:
            while (message := self._receive()) is not None:
                self._take(message)
        except Exception as error:  # whatever it is: nobody may wait for a reader that has ended
            self._problem = f"the simulation's process answered garbage: {error!r}"
            self._process.kill()
        status = self._process.wait()
        self._problem = self._problem or f"the simulation's process ended with status {status}"
        self._answers.put({"error": self._problem})  # for who waits now

    def _take(self, message: Mapping[str, Any]) -> None:
        if "answer" in message:
            self._answers.put(dict(message["answer"]))
        elif "pictures" in message:
            self._on_pictures(message["tag"], message["pictures"])
        else:
            self._problem = str(message.get("error"))

    def _receive(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        head = self._process.stdout.read(4)
        if len(head) < 4:
            return None
        (length,) = struct.unpack(">I", head)
        if length > LARGEST_BYTES:
            raise SimulationError(f"got a message of {length} bytes, expected {LARGEST_BYTES}")
        body = self._process.stdout.read(length)
        return dict(msgpack.unpackb(body)) if len(body) == length else None
