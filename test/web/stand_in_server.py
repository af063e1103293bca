"""The page's server as its protocol says, small enough for tests of the page alone.

It runs in a thread with its own event loop. Tests can stall it, cut its connections, and bind the
same port again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import gr00t_ros
from aiohttp import WSMsgType, web
from fake_source import FakeSource

PAGE = Path(gr00t_ros.__file__).parent / "web" / "page"
TOKENS = {"command-token": "command", "watch-token": "watch"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class StandInServer:
    """Serves the page and one source on a port of 127.0.0.1 that the system chooses."""

    def __init__(self, source: FakeSource) -> None:
        self.source = source
        self.port = 0
        self.stalled = False
        self.sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._run(self._start())

    def stop(self) -> None:
        """End all connections and listen no more."""
        self._run(self._stop())

    def close(self) -> None:
        """Stop, and end the thread."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def address(self, token: str = "command-token") -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/?token={token}"

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        application = web.Application(middlewares=[_guarded])
        application.router.add_get("/ws", self._socket)
        application.router.add_get("/reports", self._reports)
        application.router.add_get("/", _index)
        application.router.add_static("/", PAGE)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        for socket in list(self.sockets):
            await socket.close()
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _reports(self, request: web.Request) -> web.Response:
        return web.json_response(self.source.reports)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        due = {"state", "curves", *self.source.cameras}
        role = request["role"]
        await socket.send_json({"type": "hello", **self.source.facts(), "role": role})
        sending = asyncio.create_task(self._send(socket, due))
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT and not self.stalled:
                    await self._received(socket, json.loads(message.data), due, role)
        finally:
            sending.cancel()
            self.sockets.discard(socket)
        return socket

    async def _received(
        self, socket: web.WebSocketResponse, message: dict[str, Any], due: set[str], role: str
    ) -> None:
        if message["type"] == "ack":
            kind = message["kind"]
            due.add(self.source.cameras[message["camera"]] if kind == "frame" else kind)
            return
        name = message["name"]
        if name in self.source.unanswered:
            self.source.commands.append((name, message["value"], role))
            return
        ok, text = await self.source.command(name, message["value"], role)
        await socket.send_json({"type": "answer", "id": message["id"], "ok": ok, "text": text})

    async def _send(self, socket: web.WebSocketResponse, due: set[str]) -> None:
        event = 0
        with contextlib.suppress(ConnectionError):
            while True:
                if not self.stalled:
                    for kind in ("state", "curves"):
                        if kind in due:
                            due.discard(kind)
                            await socket.send_json({"type": kind, **getattr(self.source, kind)()})
                    for index, camera in enumerate(self.source.cameras):
                        frame = self.source.frame(camera) if camera in due else None
                        if frame:
                            due.discard(camera)
                            head = bytes([index]) + frame[0].to_bytes(8, "little")
                            await socket.send_bytes(head + frame[1])
                    for one in self.source.events_since(event):
                        event = one["number"]
                        await socket.send_json({"type": "event", **one})
                await asyncio.sleep(0.1)


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    token = request.query.get("token") or request.cookies.get("token", "")
    if token not in TOKENS:
        return web.Response(status=403, text="no valid token: open the address of gr00t web")
    request["role"] = TOKENS[token]
    return await handler(request)


async def _index(request: web.Request) -> web.Response:
    text = (PAGE / "index.html").read_text()
    headers = {"Content-Security-Policy": POLICY}
    reply = web.Response(text=text, content_type="text/html", headers=headers)
    token = request.query.get("token")
    if token:
        reply.set_cookie("token", token, httponly=True, samesite="Strict")
    return reply
