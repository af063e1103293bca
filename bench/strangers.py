"""Strangers before a proxy that asks for a token: each asks for as much work as it can, always.

    python -m bench.strangers PORT COUNT

One thread; prints PORT once the first of them was answered, and ends when it is terminated.
"""

from __future__ import annotations

import sys

import msgpack
import zmq

# The widest requests that a proxy might read: flat, as maps, as lists of lists, as texts. The token
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
    """Ask, and ask again as soon as one is answered."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    context, frames = zmq.Context(), list(FRAMES.values())
    poller = zmq.Poller()
    for number in range(count):
        stranger = context.socket(zmq.REQ)
        stranger.connect(f"tcp://127.0.0.1:{port}")
        stranger.send(frames[number % len(frames)])
        poller.register(stranger, zmq.POLLIN)
    told = False
    while True:
        for number, (stranger, _) in enumerate(poller.poll()):
            stranger.recv()
            stranger.send(frames[number % len(frames)])
        if not told:
            print(port, flush=True)
            told = True


if __name__ == "__main__":
    main()
