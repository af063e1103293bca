"""A relay before a policy server that delays what the server sends: added latency for any server.

    python -m gr00t_ros.rollout.delay --to HOST:PORT --delay-ms MS

It forwards bytes between TCP connections and knows nothing of what they say, so that it also works
with CURVE. Prints READY tcp://127.0.0.1:PORT; ends at SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence

from gr00t_ros.command_line import DONE, CommandParser, number
from gr00t_ros.wire.address import parse_place

_AT_ONCE = 1 << 18


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float
) -> None:
    """Write what is read, each part `delay_s` after it came."""
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        while data := await reader.read(_AT_ONCE):
            parts.put_nowait((loop.time() + delay_s, data))
        parts.put_nowait((loop.time() + delay_s, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due_s, data = await parts.get()
            await asyncio.sleep(due_s - loop.time())
            if not data:
                break
            writer.write(data)
            await writer.drain()
    finally:
        taking.cancel()
        writer.close()


async def _serve(host: str, port: int, delay_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        ways = (_forward(reader, to_server, 0.0), _forward(from_server, writer, delay_s))
        tasks = [asyncio.create_task(way) for way in ways]
        # one end closed: a client that connects anew must not share the server's old connection
        _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    stop = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(f"READY tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Relay until a signal comes."""
    parser = CommandParser(prog="python -m gr00t_ros.rollout.delay", description=__doc__)
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the policy server")
    parser.add_argument("--delay-ms", type=number(0.0, 1e5), required=True, metavar="MS")
    options: argparse.Namespace = parser.parse_args(argv)
    host, port = parse_place(options.to, 1)
    asyncio.run(_serve(host, port, options.delay_ms * 1e-3))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
