"""The clients that ``bench wire`` compares: our template, two plain codecs, raw TCP."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import msgpack
import numpy as np
import zmq

from bench import wire_peer
from gr00t_ros.wire import messages
from gr00t_ros.wire.arrays import ArrayCodec
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.messages import Generation
from gr00t_ros.wire.template import RequestTemplate

CAMERAS = ("exterior", "wrist")
TIMEOUT_MS = 20_000


class Variant(Protocol):
    """One client: encode, decode, and the whole round trip."""

    def encode(self) -> object:
        """Make the request's bytes from the observation."""

    def decode(self) -> object:
        """Read a reply."""

    def ask(self) -> object:
        """Encode, send, receive, decode."""

    @property
    def waited_ns(self) -> int:
        """CPU that this thread has used so far in waits for replies, with the GIL released."""

    def close(self) -> None:
        """End the connection."""


class Wait:
    """A poller that counts the CPU time of its waits."""

    def __init__(self, poller: zmq.Poller) -> None:
        self._poller = poller
        self.spent_ns = 0

    def poll(self, timeout_ms: int) -> list[tuple[Any, int]]:
        """Wait as the poller does."""
        start = time.thread_time_ns()
        ready = self._poller.poll(timeout_ms)
        self.spent_ns += time.thread_time_ns() - start
        return ready


class Template:
    """Our client. The images are decoded into their slots, or copied there from another array."""

    def __init__(self, port: int, shape: tuple[int, int, int], copies: bool) -> None:
        self._client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested")
        server = self._client.connect()
        self.template = RequestTemplate(
            dict.fromkeys(CAMERAS, shape),
            {"joint_position": (1, 7)},
            "instruction",
            generation=server.generation,
            key_style=server.key_style,
        )
        link = self._client._connection  # a private part: the client does not count its waits
        assert link is not None
        self._wait = Wait(link._readable)
        link._readable = self._wait  # type: ignore[assignment]  # it does what the client needs
        self._images = _images(shape) if copies else {}
        self._state = np.zeros((1, 1, 7), np.float32)
        self._reply = wire_peer.action_reply(server.array_codec)

    def encode(self) -> object:
        """Write the changing parts into the prebuilt bytes."""
        for key, image in self._images.items():
            self.template.video[key][...] = image
        self.template.state["joint_position"][...] = self._state
        self.template.set_instruction("put the red cube on the blue plate")
        return self.template.frame

    def decode(self) -> object:
        """Read a reply as the client does."""
        reply = messages.read_reply(self._reply, messages.GET_ACTION, len(self._reply))
        return messages.parse_action(reply, Generation.A1, "nested")

    def ask(self) -> object:
        """One call of the client."""
        self.encode()
        return self._client.get_action(self.template)

    @property
    def waited_ns(self) -> int:
        """CPU of the client's waits for replies."""
        return self._wait.spent_ns

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class Plain:
    """The obvious codec: every array through hooks, every frame copied."""

    def __init__(self, port: int, shape: tuple[int, int, int], array_codec: ArrayCodec) -> None:
        self._hooks = HOOKS[array_codec]
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        self._wait = Wait(poller)
        self._images, self._state = _images(shape), np.zeros((1, 1, 7), np.float32)
        self._reply = wire_peer.action_reply(array_codec)

    def encode(self) -> bytes:
        """Pack the observation."""
        observation = {
            "video": self._images,
            "state": {"joint_position": self._state},
            "language": {"instruction": [["put the red cube on the blue plate"]]},
        }
        data = {"observation": observation, "options": None}
        message = {"endpoint": "get_action", "data": data}
        return bytes(msgpack.packb(message, default=self._hooks[0]))

    def decode(self) -> object:
        """Unpack a reply."""
        return msgpack.unpackb(self._reply, object_hook=self._hooks[1])

    def ask(self) -> object:
        """Send and receive with copies."""
        self._socket.send(self.encode())
        self._wait.poll(TIMEOUT_MS)
        return msgpack.unpackb(self._socket.recv(), object_hook=self._hooks[1])

    @property
    def waited_ns(self) -> int:
        """CPU of the waits for replies."""
        return self._wait.spent_ns

    def close(self) -> None:
        """Close socket and context."""
        self._context.destroy(linger=0)


class RawTcp:
    """The same bytes through a plain socket: the limit of the machine."""

    def __init__(self, port: int, frame: memoryview) -> None:
        self._frame = frame
        self._buffer = memoryview(bytearray(1 << 20))
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller = zmq.Poller()
        poller.register(self._socket.fileno(), zmq.POLLIN)
        self._wait = Wait(poller)

    def encode(self) -> object:
        """Nothing to do."""
        return self._frame

    def decode(self) -> object:
        """Nothing to do."""
        return self._buffer

    def ask(self) -> object:
        """Write the frame, read the reply."""
        wire_peer.send(self._socket, self._frame)
        self._wait.poll(TIMEOUT_MS)
        return wire_peer.receive(self._socket, self._buffer)

    @property
    def waited_ns(self) -> int:
        """CPU of the waits for replies."""
        return self._wait.spent_ns

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _write_npy(array: Any) -> dict[str, Any]:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": stream.getvalue()}


def _read_npy(value: dict[Any, Any]) -> Any:
    if "__ndarray_class__" in value:
        return np.load(io.BytesIO(value["as_npy"]), allow_pickle=False)
    return value


def _write_nd(array: Any) -> dict[bytes, Any]:
    fields = {b"nd": True, b"type": array.dtype.str, b"kind": b"", b"shape": array.shape}
    return fields | {b"data": array.data}


def _read_nd(value: dict[Any, Any]) -> Any:
    if b"nd" in value:
        return np.ndarray(value[b"shape"], np.dtype(value[b"type"]), value[b"data"])
    return value


HOOKS = {"npy": (_write_npy, _read_npy), "msgpack_numpy": (_write_nd, _read_nd)}


def _images(shape: tuple[int, int, int]) -> dict[str, Any]:
    random = np.random.default_rng(1)
    return {key: random.integers(0, 256, (1, *shape, 3), np.uint8) for key in CAMERAS}


@contextmanager
def peer(kind: str, array_codec: ArrayCodec) -> Iterator[int]:
    """Run a trivial server in another process until the context ends; yields its port."""
    command = [sys.executable, "-m", "bench.wire_peer", kind, array_codec]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def connected(shape: tuple[int, int, int]) -> Iterator[dict[str, Any]]:
    """Yield every variant, connected to servers that end with the context."""
    with ExitStack() as stack:
        npy = stack.enter_context(peer("zmq", "npy"))
        msgpack_numpy = stack.enter_context(peer("zmq", "msgpack_numpy"))
        slots = Template(npy, shape, copies=False)
        variants: dict[str, Variant] = {
            "template": slots,
            "template, images copied in": Template(npy, shape, copies=True),
            "npy plain": Plain(npy, shape, "npy"),
            "msgpack-numpy plain": Plain(msgpack_numpy, shape, "msgpack_numpy"),
            "raw TCP": RawTcp(stack.enter_context(peer("tcp", "npy")), slots.template.frame),
        }
        for variant in variants.values():
            stack.callback(variant.close)
        yield variants
