"""One browser's WebSocket: sends what all are shown, takes acknowledgements and commands.

The next message of a kind is only made when the browser has acknowledged the last one. So a slow
browser gets fewer messages and none that is old, and one that reads nothing holds one of each.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from gr00t_ros.errors import SettingsError
from gr00t_ros.text_table import one_line
from gr00t_ros.web.admission import COMMAND, Allowance
from gr00t_ros.web.request import Ack, PageCommand, parse
from gr00t_ros.web.view import PICTURE_HEADER_BYTES, PageSource

STATE_S: Final = 0.1
CURVES_S: Final = 0.2


class PageMessages:
    """The messages to browsers, made anew when they are older than their period."""

    def __init__(self, source: PageSource) -> None:
        """Encode nothing yet."""
        self.source = source
        self._texts: dict[str, tuple[float, str]] = {}

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras; a live source learns of them when its node begins."""
        return tuple(self.source.cameras)

    def hello(self, role: str) -> str:
        """What does not change, with what this browser may do."""
        facts = {**self.source.facts(), "cameras": list(self.cameras)}
        return json.dumps({"type": "hello", **facts, "role": role})

    def state(self) -> str:
        """The newest state."""
        return self._kept("state", STATE_S, self.source.state)

    def curves(self) -> str:
        """The newest curves."""
        return self._kept("curves", CURVES_S, self.source.curves)

    def _kept(self, kind: str, period_s: float, make: Callable[[], Mapping[str, Any]]) -> str:
        now_s = time.monotonic()
        made_s, text = self._texts.get(kind, (0.0, ""))
        if not text or now_s - made_s >= period_s:
            made_s, text = now_s, json.dumps({"type": kind, **make()})
            self._texts[kind] = (made_s, text)
        return text


TICK_S: Final = 0.05
SILENT_S: Final = 30.0
"""A browser that acknowledges nothing for so long is closed."""

MOST_BAD: Final = 100
"""Messages that are malformed or not allowed, before a browser is closed."""

ESTOP: Final = "estop"
SEEN_S: Final = 3.0
"""What moves the robot is refused from a browser whose newest state is older than this."""

_MOVING: Final = frozenset({"resume", "reset", "instruction"})
_MOST_WAITING: Final = 100
_LOGGED: Final = 300
_ONLY_WATCHES: Final = "this address may only watch: open the one that commands"
_TOO_OFTEN: Final = "too many commands: wait a second (e-stop is never limited)"
_LATE: Final = (
    f"it came late, from a page that had not heard the robot for {SEEN_S:g} s: look at the robot, "
    "then press again"
)
_Kind = tuple[str, int]


class Browser:
    """One connection; `run` lasts as long as it does."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        abort: Callable[[], None],
        shown: PageMessages,
        role: str,
        who: str,
        log: Callable[[str], None],
        silent_s: float = SILENT_S,
    ) -> None:
        """abort: ends the connection at once. who: as the log names this browser."""
        self._socket, self._abort, self._shown = socket, abort, shown
        self._role, self._who, self._log, self._silent_s = role, who, log, silent_s
        self._waits: dict[_Kind, float] = {}  # sent and not acknowledged: since when
        self._sent_s: dict[_Kind, float] = {}
        self._stamps: dict[int, int] = {}
        self._seen_s = time.monotonic()  # when the newest state that the browser has was sent
        self._event = 0
        self._bad = 0
        self._allowance = Allowance(time.monotonic())
        self._commands: set[asyncio.Task[None]] = set()
        self._stopping: list[int] = []  # numbers of the e-stops that wait for one answer

    async def run(self) -> None:
        """Send and receive until the connection ends."""
        others = [asyncio.create_task(self._send()), asyncio.create_task(self._guard())]
        for one in others:
            one.add_done_callback(self._ended)
        try:
            await self._receive()
        finally:
            for one in others:
                one.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that raised ends the connection: half of it would show what is no longer so."""
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, ConnectionError):
                self._log(f"{self._who}: closed: {type(error).__name__}: {error}")
            self._abort()

    # --- to the browser --------------------------------------------------------------------------

    async def _send(self) -> None:
        hello, cameras = "", self._shown.cameras
        while True:
            if (new := self._shown.hello(self._role)) != hello:
                hello, cameras = new, self._shown.cameras
                self._waits = {kind: at for kind, at in self._waits.items() if kind[0] != "frame"}
                self._stamps.clear()
                await self._socket.send_str(hello)
            if self._is_due(("state", -1), STATE_S):
                await self._send_text(("state", -1), self._shown.state())
            if self._is_due(("curves", -1), CURVES_S):
                await self._send_text(("curves", -1), self._shown.curves())
            for index, camera in enumerate(cameras):
                await self._send_picture(index, camera)
            for event in self._shown.source.events_since(self._event):
                self._event = event["number"]
                await self._socket.send_str(json.dumps({"type": "event", **event}))
            await asyncio.sleep(TICK_S)

    def _is_due(self, kind: _Kind, period_s: float) -> bool:
        past_s = time.monotonic() - self._sent_s.get(kind, 0.0)
        return kind not in self._waits and past_s >= period_s - TICK_S / 2

    async def _send_text(self, kind: _Kind, text: str) -> None:
        self._sent_s[kind] = self._waits[kind] = time.monotonic()
        await self._socket.send_str(text)

    async def _send_picture(self, index: int, camera: str) -> None:
        kind = ("frame", index)
        found = None if kind in self._waits else self._shown.source.frame(camera)
        if found is None or self._stamps.get(index) == found[0]:
            return
        stamp_ns, jpeg = found
        self._stamps[index] = stamp_ns
        self._waits[kind] = time.monotonic()
        head = bytes([index]) + stamp_ns.to_bytes(PICTURE_HEADER_BYTES - 1, "little")
        await self._socket.send_bytes(head + jpeg)

    async def _guard(self) -> None:
        """End the connection of a browser that acknowledges nothing."""
        while True:
            oldest_s = min(self._waits.values(), default=time.monotonic())
            if time.monotonic() - oldest_s > self._silent_s:
                self._log(f"{self._who}: closed: no acknowledgement for {self._silent_s:g} s")
                self._abort()
                return
            await asyncio.sleep(min(1.0, self._silent_s / 4))

    # --- from the browser ------------------------------------------------------------------------

    async def _receive(self) -> None:
        async for message in self._socket:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise SettingsError("message: got bytes, expected text")
                self._take(parse(message.data))
            except SettingsError as error:
                await self._count_bad(str(error))

    async def _count_bad(self, what: str) -> None:
        self._bad += 1
        if self._bad == 1:
            self._log(f"{self._who}: {what}")
        if self._bad >= MOST_BAD:
            self._log(f"{self._who}: closed: {self._bad} messages were malformed or not allowed")
            text = b"too many messages were malformed or not allowed"
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=text)

    def _take(self, message: Ack | PageCommand) -> None:
        if isinstance(message, Ack):
            sent_s = self._waits.pop((message.kind, message.camera), None)
            if sent_s is None:
                raise SettingsError("ack: got one for nothing that was sent")
            if message.kind == "state":
                self._seen_s = sent_s
        elif self._role != COMMAND:
            self._refuse(message, _ONLY_WATCHES)
        elif message.name == ESTOP:
            self._stop(message)
        elif message.name in _MOVING and time.monotonic() - self._seen_s > SEEN_S:
            self._refuse(message, _LATE)
        elif self._allowance.take(time.monotonic()):
            self._spawn(self._command(message))
        else:
            self._refuse(message, _TOO_OFTEN)

    def _refuse(self, asked: PageCommand, why: str) -> None:
        if self._bad < MOST_BAD:
            self._log(f"{self._who}: {_command_text(asked)}: refused: {why}")
            self._spawn(self._answer(asked.number, False, why))
        raise SettingsError(f"{asked.name}: {why}")

    def _stop(self, asked: PageCommand) -> None:
        """Call the node's e-stop; further presses in the meantime share its answer."""
        if len(self._stopping) < _MOST_WAITING:
            self._stopping.append(asked.number)
        if len(self._stopping) == 1:
            self._spawn(self._command(asked))

    async def _command(self, asked: PageCommand) -> None:
        self._log(f"{self._who}: {_command_text(asked)}")
        try:
            done, text = await self._shown.source.command(asked.name, asked.value, self._who)
        except Exception as error:  # a person waits for an answer, whatever went wrong
            done, text = False, f"internal error: {type(error).__name__}: {error}"
        result = "done" if done else "NOT done"
        self._log(f"{self._who}: {asked.name}: {result}: {one_line(text, _LOGGED)}")
        numbers = [asked.number]
        if asked.name == ESTOP:
            numbers, self._stopping = self._stopping, []
        for number in numbers:
            await self._answer(number, done, text)

    async def _answer(self, number: int, done: bool, text: str) -> None:
        answer = {"type": "answer", "id": number, "ok": done, "text": text}
        with suppress(ConnectionError):  # the browser has gone; the log has the answer
            await self._socket.send_str(json.dumps(answer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the receiving, also if this connection ends: a stop goes on."""
        task = asyncio.create_task(work)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)


def _command_text(asked: PageCommand) -> str:
    return (
        asked.name
        if asked.value is None
        else f"{asked.name} {one_line(str(asked.value), _LOGGED)!r}"
    )
