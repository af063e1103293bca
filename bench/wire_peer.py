"""The trivial servers of ``bench wire``, each a process: one fixed reply to every request.

    python -m bench.wire_peer zmq|tcp npy|msgpack_numpy

Prints the port, then serves until it is terminated. TCP messages carry their length in 8 bytes.
"""

from __future__ import annotations

import socket
import struct
import sys

import numpy as np
import zmq

from gr00t_ros.observe.modality import MODALITIES
from gr00t_ros.wire.arrays import ArrayCodec
from gr00t_ros.wire.codec import MODALITY_MARKERS, encode
from gr00t_ros.wire.messages import GET_MODALITY_CONFIG, PING

LENGTH = struct.Struct(">Q")


def action_reply(array_codec: ArrayCodec) -> bytes:
    """Return a DROID-sized get_action reply: 40 steps of 7 joints, gripper and end effector."""
    widths = {"joint_position": 7, "gripper_position": 1, "eef_9d": 9}
    action = {key: np.zeros((1, 40, width), np.float32) for key, width in widths.items()}
    return encode([action, {}], array_codec)


def modality_reply(array_codec: ArrayCodec) -> bytes:
    """Return a modality config that makes a client send `array_codec`."""
    marker = MODALITY_MARKERS[0 if array_codec == "npy" else 1]
    config = {marker: True, "as_json": {"delta_indices": [0], "modality_keys": ["a"]}}
    return encode(dict.fromkeys(MODALITIES, config), array_codec)


def receive(connection: socket.socket, buffer: memoryview) -> int:
    """Read one message into `buffer`; return its size, 0 at the end of the connection."""
    head = connection.recv(LENGTH.size, socket.MSG_WAITALL)
    if len(head) < LENGTH.size:
        return 0
    (size,) = LENGTH.unpack(head)
    return connection.recv_into(buffer[:size], size, socket.MSG_WAITALL)


def send(connection: socket.socket, data: bytes | memoryview) -> None:
    """Write one message; length and data go in one call as far as the kernel accepts them."""
    sent = connection.sendmsg([LENGTH.pack(len(data)), data]) - LENGTH.size
    if sent < len(data):
        connection.sendall(memoryview(data)[sent:])


def serve_zmq(array_codec: ArrayCodec) -> None:
    """Answer on one REP socket; only the two requests of a connect get their own replies."""
    server = zmq.Context().socket(zmq.REP)
    print(server.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    action = action_reply(array_codec)
    others = {
        encode({"endpoint": PING}, array_codec): encode({"status": "ok"}, array_codec),
        encode({"endpoint": GET_MODALITY_CONFIG}, array_codec): modality_reply(array_codec),
    }
    while True:
        request = server.recv(copy=False)
        server.send(action if len(request) > 100 else others[request.bytes])


def serve_tcp(array_codec: ArrayCodec) -> None:
    """Answer on one TCP connection after the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    buffer, answer = memoryview(bytearray(64 << 20)), action_reply(array_codec)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while receive(connection, buffer):
            send(connection, answer)


if __name__ == "__main__":
    codec = sys.argv[2]
    serve = {"zmq": serve_zmq, "tcp": serve_tcp}[sys.argv[1]]
    serve(codec)  # type: ignore[arg-type]  # one of the codecs, from wire_variants.peer
