"""Scripted peers for the client's tests, each a process of its own: golden, silent, hostile.

Run as ``python peers.py MODE [ARGUMENT] [--port N]``; prints ``READY port`` once bound and serves
until it is terminated. The TCP modes speak just as much ZMTP 3.0 as their misbehaviour needs.
"""

import argparse
import contextlib
import socket
import struct
import sys
import time
from pathlib import Path

import msgpack
import zmq

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(request, codec):
    """Answer as upstream's server did."""
    endpoint = msgpack.unpackb(request)["endpoint"]
    return (GOLDEN / f"{codec}.{endpoint}.reply.bin").read_bytes()


def flat(request, codec):
    """Answer as a flat server did: nested observations are an error."""
    message = msgpack.unpackb(request)
    if message["endpoint"] != "get_action":
        return golden(request, codec)
    if "video" in message["data"]["observation"]:
        return msgpack.packb({"error": "Video key 'video.cam_a' must be in observation"})
    return (GOLDEN / f"{codec}.get_action_flat.reply.bin").read_bytes()


def picky(request, codec):
    """Refuse every observation."""
    if msgpack.unpackb(request)["endpoint"] != "get_action":
        return golden(request, codec)
    return msgpack.packb({"error": "I do not like it"})


def styleless(request, codec):
    """Say of either key style that the other is expected."""
    message = msgpack.unpackb(request)
    if message["endpoint"] != "get_action":
        return golden(request, codec)
    nested = "video" in message["data"]["observation"]
    wrong = "Video key 'video.cam_a' must be in observation"
    return msgpack.packb({"error": wrong if nested else "Observation must contain a 'video' key"})


def says(text, only_nested):
    """Answer `text` to each observation, or to nested ones alone."""

    def answer(request, codec):
        message = msgpack.unpackb(request)
        observation = message.get("data", {}).get("observation", {})
        hit = message["endpoint"] == "get_action" and ("video" in observation or not only_nested)
        return msgpack.packb({"error": text}) if hit else golden(request, codec)

    return answer


def echo_token(request, _):
    """Quote the token in the error, as no server should."""
    return msgpack.packb({"error": f"bad {msgpack.unpackb(request)['api_token']}"})


def unknown(request, _):
    """Answer as a generation of the future might: another marker."""
    if msgpack.unpackb(request)["endpoint"] == "ping":
        return golden(request, "npy")
    return msgpack.packb({"video": {"__ModalityConfigV2__": True, "as_bin": b"\x01"}})


REPLIES = {
    "unknown": unknown,
    "golden": golden,
    "flat": flat,
    "picky": picky,
    "styleless": styleless,
    "busy": says("busy: waited 500 ms for its turn", only_nested=False),
    "unknown-flat": says("no such thing here", only_nested=True),
    "wide": says("operands could not be broadcast together with shapes (1,1,3) (7,)", False),
    "echo-token": echo_token,
    "text": lambda _, text: text.encode(),
    "huge": lambda _, size: bytes(int(size)),
}


def serve_zmq(mode, argument, port):
    """One REP socket; `silent` never answers, `late` and `dies` do once each what they say."""
    context = zmq.Context()
    server = context.socket(zmq.REP)
    port = bind(server, port)
    print("READY", port, flush=True)
    while True:
        request = server.recv()
        if mode == "silent":
            time.sleep(3600)
        elif mode == "dies":
            sys.exit(0)
        elif mode == "late":
            time.sleep(float(argument))
            server.send(golden(request, "npy"))
        elif mode == "multipart":
            server.send_multipart([b"\x80", b"\x80"])
        else:
            server.send(REPLIES[mode](request, argument))


def bind(server, port):
    """Bind to `port`, or to any; return it."""
    server.bind(f"tcp://127.0.0.1:{port or '*'}")
    return int(server.getsockopt(zmq.LAST_ENDPOINT).decode().rsplit(":", 1)[1])


def serve_tcp(mode, port):
    """One raw TCP connection at a time."""
    listener = socket.create_server(("127.0.0.1", port))
    print("READY", listener.getsockname()[1], flush=True)
    while True:
        peer, _ = listener.accept()
        with contextlib.suppress(OSError):
            TCP_MODES[mode](peer)
        peer.close()


def mute(peer):
    """Accept and say nothing."""
    while peer.recv(4096):
        pass


def http(peer):
    """Answer as a web server on the wrong port would."""
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + b" " * 100)
    mute(peer)


def hang_up(peer):
    """Accept and close, as a forwarder without a server behind it does."""


def trickle_greeting(peer):
    """Never finish even the greeting."""
    drip(peer, b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))


def trickle_reply(peer):
    """Shake hands, take the request, then send the reply one byte at a time."""
    peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
    receive(peer, 64)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + b"REP"
    peer.sendall(bytes([4, len(ready)]) + ready)
    peer.recv(65536)
    drip(peer, b"\x01\x00\x02" + struct.pack(">Q", 100_000) + bytes(100_000))


TCP_MODES = {
    "mute": mute,
    "http": http,
    "hang-up": hang_up,
    "trickle-greeting": trickle_greeting,
    "trickle-reply": trickle_reply,
}


def drip(peer, data):
    """Send `data` at 50 bytes a second."""
    for at in range(len(data)):
        peer.sendall(data[at : at + 1])
        time.sleep(0.02)


def receive(peer, size):
    """Read exactly `size` bytes."""
    while size > 0:
        size -= len(peer.recv(size)) or size


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    parser.add_argument("argument", nargs="?")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.mode in TCP_MODES:
        serve_tcp(options.mode, options.port)
    serve_zmq(options.mode, options.argument, options.port)
