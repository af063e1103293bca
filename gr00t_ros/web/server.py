"""The page's server: its files, reports and WebSockets, behind tokens, hosts and origins."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import WSCloseCode, web
from aiohttp.http_exceptions import HttpProcessingError

from gr00t_ros.errors import SettingsError
from gr00t_ros.text_table import one_line
from gr00t_ros.web import reports
from gr00t_ros.web.admission import Hosts, Tokens, same_origin
from gr00t_ros.web.browser import SILENT_S, Browser, PageMessages
from gr00t_ros.web.request import MOST_BYTES
from gr00t_ros.web.view import PageSource

PAGE: Final = Path(__file__).parent / "page"
MOST_BROWSERS: Final = 32
"""Of each role: those who watch do not keep out those who may press e-stop."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_POLICY: Final = "Content-Security-Policy"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Server": "gr00t_ros",
}
_CLOSE_S: Final = 1.0
_LOGGED: Final = 300
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer:
    """Serves one source on one port; `start` listens, `close` ends all connections."""

    def __init__(
        self,
        source: PageSource,
        tokens: Tokens,
        hosts: Hosts,
        log: Callable[[str], None],
        listed: reports.Reports | None = None,
        watched: Callable[[int], None] = lambda browsers: None,
        silent_s: float = SILENT_S,
    ) -> None:
        """watched: hears how many browsers are connected, whenever that changes."""
        self._shown, self._tokens, self._hosts = PageMessages(source), tokens, hosts
        self._log, self._reports, self._watched = log, listed, watched
        self._silent_s = silent_s
        self._files = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.is_file()}
        self._sockets: set[web.WebSocketResponse] = set()
        self._roles: Counter[str] = Counter()
        self._number = 0
        self._scheme = "http"
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def browsers(self) -> int:
        """How many are connected now."""
        return len(self._sockets)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen; port 0: one that is free. Raises SettingsError if that is not possible."""
        self._scheme = "http" if tls is None else "https"
        application = web.Application(middlewares=[self._admit])
        application.on_response_prepare.append(_secure)
        add = application.router.add_get
        add("/ws", self._socket)
        add("/reports", self._list)
        add("/reports/{name}", self._report)
        add("/reports/{name}/{inside:.*}", self._report)
        add("/", self._file)
        add("/{file}", self._file)
        self._runner = web.AppRunner(
            application, access_log=None, logger=_logger(self._log), shutdown_timeout=_CLOSE_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        except OSError as error:
            await self.close()
            raise SettingsError(
                f"--host {host} --port {port}: got {error.strerror or error}, expected an address "
                "of this machine and a port that is free: choose another --port"
            ) from error
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Say goodbye to every browser and listen no more."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        ends = [one.close(code=WSCloseCode.GOING_AWAY) for one in self._sockets]
        if ends:
            await asyncio.wait([asyncio.ensure_future(one) for one in ends], timeout=_CLOSE_S)
        await runner.cleanup()

    # --- admission -------------------------------------------------------------------------------

    @property
    def _cookie(self) -> str:
        """The cookie's name: browsers do not keep cookies of several ports apart."""
        return f"gr00t_web_{self.port}"

    @web.middleware
    async def _admit(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let in who has a token and addresses this machine by its own name."""
        if not self._hosts.allow(request.headers.get("Host")):
            return _refused("this is not the name of the server: see gr00t web --allow-host")
        if not self._role(request):
            return _refused("no valid token: open the address that gr00t web printed at its start")
        return await handler(request)

    def _role(self, request: web.Request) -> str:
        """What the token of a request lets it do; empty without a valid one."""
        given = request.query.get("token") or request.cookies.get(self._cookie)
        return self._tokens.role(given)

    # --- what is served --------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info.get("file", "index.html")
        content = self._files.get(name)
        if content is None:
            raise web.HTTPNotFound(text=f"{name!r:.80}: no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        kind = "text/javascript" if name.endswith(".js") else kind
        charset = "utf-8" if kind.startswith("text/") else None
        response = web.Response(body=content, content_type=kind, charset=charset)
        if token := request.query.get("token"):  # it was checked by _admit
            secure = self._scheme == "https"
            response.set_cookie(
                self._cookie, token, httponly=True, samesite="Strict", secure=secure, path="/"
            )
        return response

    async def _list(self, _request: web.Request) -> web.Response:
        found = [] if self._reports is None else await asyncio.to_thread(self._reports.listed)
        return web.json_response(found)

    async def _report(self, request: web.Request) -> web.StreamResponse:
        name, inside = request.match_info["name"], request.match_info.get("inside", "")
        if self._reports is None:
            raise web.HTTPNotFound(text="no reports: start gr00t web with --report DIR")
        try:
            file = await asyncio.to_thread(self._reports.file, name, inside)
        except SettingsError as error:
            raise web.HTTPNotFound(text=str(error)) from None
        headers = {
            "Content-Type": file.content_type,
            _POLICY: reports.CONTENT_SECURITY_POLICY,
        }
        return web.FileResponse(file.path, headers=headers)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not same_origin(
            request.headers.get("Origin"), self._scheme, request.headers.get("Host")
        ):
            return _refused("the header Origin is not this page's: another page asks")
        role = self._role(request)
        if self._roles[role] >= MOST_BROWSERS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_BROWSERS} browsers are connected already")
        self._number += 1
        who = f"browser {self._number} ({role} token, {request.remote})"
        socket = web.WebSocketResponse(compress=False, max_msg_size=MOST_BYTES, timeout=_CLOSE_S)
        self._roles[role] += 1
        try:
            await socket.prepare(request)
            self._join(socket)
            await Browser(
                socket, _aborting(request), self._shown, role, who, self._log, self._silent_s
            ).run()
        finally:
            self._roles[role] -= 1
            self._leave(socket)
        return socket

    def _join(self, socket: web.WebSocketResponse) -> None:
        self._sockets.add(socket)
        self._watched(len(self._sockets))

    def _leave(self, socket: web.WebSocketResponse) -> None:
        self._sockets.discard(socket)
        self._watched(len(self._sockets))


class _Problems(logging.Handler):
    """What aiohttp logs, one line each; nothing of requests that are no HTTP.

    Anybody can send those, as many as they like, and with a token in them.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, with the error's name only: its text may quote the request."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            what = record.getMessage() if error is None else type(error).__name__
            self._log(f"a request failed: {one_line(what, _LOGGED)}")


def _logger(log: Callable[[str], None]) -> logging.Logger:
    found = logging.Logger("gr00t web")  # not among the known ones: each server has its own
    found.addHandler(_Problems(log))
    return found


def _aborting(request: web.Request) -> Callable[[], None]:
    def abort() -> None:
        if request.transport is not None:
            request.transport.abort()

    return abort


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of every answer; a report has its own policy."""
    policy = response.headers.get(_POLICY, CONTENT_SECURITY_POLICY)
    response.headers.update({**_HEADERS, _POLICY: policy})


def _refused(why: str) -> web.Response:
    return web.Response(status=403, text=f"{why}\n")
