"""Clients without the token of a proxy: each sends requests that cost as much work as possible.

    python -m bench.strangers PORT COUNT

One thread; prints PORT after the first answer, and runs until it is terminated.
"""

from __future__ import annotations

import sys

import msgpack
import zmq

# The largest requests that a proxy might read: numbers, maps, lists of lists, texts. The token
# comes last, and is wrong.
WIDE = 65_536
DATA = {
    "65,536 numbers": [0] * WIDE,
    "65,536 maps": [{}] * WIDE,
    "1,000 lists of 64": [[0] * 64] * 1_000,
    "32,768 entries": {str(number): number for number in range(WIDE // 2)},
    "4,000 texts": ["x" * 40] * 4_000,
    "4,000 numbers": [0] * 4_000,
}
FRAMES = {
    name: msgpack.packb({"endpoint": "get_action", "data": data, "api_token": "wrong"})
    for name, data in DATA.items()
}


def main() -> None:
    """Send requests; send the next one as soon as one is answered."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    context, frames = zmq.Context(), list(FRAMES.values())
    poller = zmq.Poller()
    for number in range(count):
        stranger = context.socket(zmq.REQ)
        stranger.connect(f"tcp://127.0.0.1:{port}")
        stranger.send(frames[number % len(frames)])
        poller.register(stranger, zmq.POLLIN)
    ready = False
    while True:
        for number, (stranger, _) in enumerate(poller.poll()):
            stranger.recv()
            stranger.send(frames[number % len(frames)])
        if not ready:
            print(port, flush=True)
            ready = True


if __name__ == "__main__":
    main()
