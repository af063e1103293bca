"""The page's server before real clients: who gets in, what they may do, and who slows down whom."""

import asyncio
import importlib
import inspect
import json
import socket
import struct
from contextlib import asynccontextmanager
from functools import partial

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="no aiohttp: pip install aiohttp")

from web_browser import browser  # noqa: E402 - it needs aiohttp
from web_source import FakeSource  # noqa: E402

from gr00t_ros.web import server as module  # noqa: E402
from gr00t_ros.web.admission import Allowance, Hosts, Tokens  # noqa: E402
from gr00t_ros.web.reports import Reports  # noqa: E402
from gr00t_ros.web.server import MOST_BROWSERS, WebServer  # noqa: E402
from gr00t_ros.wire.access import Token  # noqa: E402

WATCH, COMMAND = "watch-token-of-the-tests", "command-token-of-the-tests"
LIMIT_S = 30.0


class Served:
    """One server with a source that a test commands, its log and its address."""

    def __init__(self, listed=None, silent_s=30.0):
        self.source, self.log, self.watched = FakeSource(), [], []
        tokens = Tokens(Token(WATCH), Token(COMMAND))
        self.server = WebServer(
            self.source, tokens, Hosts(True), self.log.append, listed, self.watched.append, silent_s
        )

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server.port}"


@asynccontextmanager
async def served(**settings):
    """A server while the block runs."""
    one = Served(**settings)
    await one.server.start("127.0.0.1", 0)
    try:
        yield one
    finally:
        await one.server.close()


def run(test):
    """Run a coroutine function with a server."""
    asyncio.run(asyncio.wait_for(test, 120))


async def until(condition, what):
    """Wait until it is true; fails after LIMIT_S."""
    end = asyncio.get_running_loop().time() + LIMIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


async def status_of(session, url, **headers):
    """Status, text and headers of a GET."""
    async with session.get(url, headers=headers) as reply:
        return reply.status, await reply.text(), reply.headers


async def by_hand(one, path, *headers):
    """The status of a GET whose headers no client would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", one.server.port)
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{one.server.port}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode(errors="surrogateescape"))
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


def test_without_a_right_token_nothing_is_seen(tmp_path):
    """Neither page, scripts, reports nor WebSocket, whatever else is right."""

    async def test():
        async with served(listed=Reports(tmp_path)) as one, aiohttp.ClientSession() as session:
            for path in ("/", "/page.js", "/reports", "/reports/a/b", "/nothing"):
                for query in ("", "?token=", "?token=wrong", f"?token={WATCH}x", "?token=%00é"):
                    status, text, _ = await status_of(session, f"{one.base}{path}{query}")
                    assert status == 403 and "no valid token" in text and len(text) < 100
            for query in ("", "?token=wrong"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{one.base}/ws{query}", headers={"Origin": one.base})
                assert refused.value.status == 403
            for cookie in (f"gr00t_web_{one.server.port}=\udcff", "=", ";" * 99, "a=" + "x" * 5000):
                assert await by_hand(one, "/", f"Cookie: {cookie}") == 403
            assert one.server.browsers == 0 and one.watched == []

    run(test())


def test_the_token_becomes_a_cookie_that_no_script_reads():
    """HttpOnly, SameSite=Strict, with the strict headers; the cookie alone then lets in."""

    async def test():
        jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of IP addresses too
        async with served() as one, aiohttp.ClientSession(cookie_jar=jar) as session:
            status, text, headers = await status_of(session, f"{one.base}/?token={WATCH}")
            assert status == 200 and "<html" in text
            cookie = headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY" and "aiohttp" not in headers["Server"]
            for path in ("/page.js", "/page.css", "/reports"):
                status, _, headers = await status_of(session, f"{one.base}{path}")
                assert status == 200 and headers["Content-Security-Policy"] == policy
            status, _, headers = await status_of(session, f"{one.base}/no_such_file")
            assert status == 404 and headers["Content-Security-Policy"] == policy

    run(test())


def test_another_name_or_page_is_refused():
    """DNS rebinding has a foreign Host; a foreign web page has a foreign Origin, or none."""

    async def test():
        async with served() as one, aiohttp.ClientSession() as session:
            port = one.server.port
            for host in ("evil.example", f"evil.example:{port}", "10.0.0.7", "127.0.0.1.evil", ""):
                url = f"{one.base}/?token={COMMAND}"
                assert (await status_of(session, url, Host=host))[0] in (400, 403), host
            assert (await status_of(session, url, Host=f"localhost:{port}"))[0] == 200
            bad = ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1")
            for headers in ({}, *({"Origin": origin} for origin in bad)):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{one.base}/ws?token={COMMAND}", headers=headers)
                assert refused.value.status == 403
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                async with session.request(method, f"{one.base}/ws?token={COMMAND}") as reply:
                    assert reply.status == 405
            assert one.source.commands == []

    run(test())


def test_who_may_only_watch_cannot_command():
    """Not even an e-stop; the answer says why, and the log has who tried it."""

    async def test():
        async with served() as one, browser(one.base, WATCH) as eyes:
            await eyes.wait(lambda: eyes.last("state") and eyes.frames, "a state and a picture")
            assert eyes.last("hello")["role"] == "watch"
            for name in ("pause", "estop", "instruction"):
                answer = await eyes.command(name, "lift the cup")
                assert not answer["ok"] and "only watch" in answer["text"]
            assert one.source.commands == []
            assert any("estop" in line and "watch token" in line for line in one.log)

    run(test())


def test_a_command_is_answered_and_logged_with_who_and_what():
    """Its value too, on one line whatever it contains."""

    async def test():
        async with served() as one, browser(one.base, COMMAND) as hands:
            one.source.refused["resume"] = "mode is replaying"
            answer = await hands.command("instruction", "lift\nthe cup\x1b[2J")
            assert answer["ok"]
            answer = await hands.command("resume")
            assert (answer["ok"], answer["text"]) == (False, "mode is replaying")
            assert [(name, "127.0.0.1" in who) for name, _, who in one.source.commands] == [
                ("instruction", True),
                ("resume", True),
            ]
            said = [line for line in one.log if "command token, 127.0.0.1" in line]
            assert any("instruction" in line and "lift" in line for line in said)
            assert any("resume: NOT done: mode is replaying" in line for line in said)
            assert not any("\n" in line or "\x1b" in line for line in said)

    run(test())


def test_commands_are_limited_and_the_stop_never_is(monkeypatch):
    """After a burst, and before its next command comes, only e-stop reaches the source."""
    monkeypatch.setattr("gr00t_ros.web.browser.Allowance", partial(Allowance, per_s=0.0))

    async def test():
        async with served() as one, browser(one.base, COMMAND) as hands:
            answers = [await hands.command("pause") for _ in range(20)]
            assert [answer["ok"] for answer in answers] == [True] * 10 + [False] * 10
            assert "too many" in answers[-1]["text"]
            for _ in range(30):
                assert (await hands.command("estop"))["ok"]
            assert [name for name, *_ in one.source.commands].count("estop") == 30

    run(test())


def test_a_stop_passes_a_command_that_is_not_answered():
    """And several presses while it is under way are one stop, each of them answered."""

    async def test():
        async with served() as one, browser(one.base, COMMAND) as hands:
            before, release = one.source.command, asyncio.Event()

            async def command(name, value, who):
                if name == "pause":
                    await asyncio.Event().wait()
                await release.wait()
                return await before(name, value, who)

            one.source.command = command
            await hands.socket.send_json({"type": "command", "id": -1, "name": "pause"})
            for number in (-2, -3):
                await hands.socket.send_json({"type": "command", "id": number, "name": "estop"})
            await hands.socket.send_json({"type": "command", "id": -4, "name": "nonsense"})
            await until(lambda: any("one of the commands" in line for line in one.log), "the last")
            release.set()
            await hands.wait(
                lambda: {m["id"] for m in hands.messages if m["type"] == "answer"} == {-2, -3},
                "both answers",
            )
            assert [name for name, *_ in one.source.commands] == ["estop"]

    run(test())


BAD = ["", "{", "[]", "7", '"x"', "null", '{"type": 1}', "{}", "[" * 5000, '{"type": "ack"}']
BAD += ['{"type": "ack", "kind": "frame"}', '{"type": "ack", "kind": "frame", "camera": 99}']
BAD += ['{"type": "ack", "kind": ["state"]}', '{"type": "ack", "kind": "frame", "camera": true}']
BAD += ['{"type": "command"}', '{"type": "command", "id": true, "name": "estop"}']
BAD += ['{"type": "command", "id": 1, "name": {}}', '{"type": "command", "id": 1, "name": "rm"}']
BAD += [
    json.dumps({"type": "command", "id": 1, "name": name, "value": value})
    for name, value in (
        ("instruction", None),
        ("instruction", ""),
        ("instruction", "x" * 1001),
        ("instruction", "\ud800"),
        ("instruction", "put it down\0 never"),
        ("seek", "now"),
        ("seek", float("nan")),
        ("speed", 10**400),
        ("speed", True),
        ("record_label", "perhaps"),
    )
]


def test_a_thousand_malformed_messages_close_their_sender_only():
    """After a hundred; no command comes of them, and another browser notices nothing."""

    async def test():
        async with served() as one, browser(one.base, WATCH) as other:
            sent = 0
            while sent < 1000:
                async with browser(one.base, COMMAND) as bad:
                    await bad.wait(lambda bad=bad: bad.last("hello"), "a hello")
                    for number in range(100):
                        await bad.socket.send_str(BAD[number % len(BAD)])
                    sent += 100
                    await bad.wait(lambda bad=bad: bad.socket.closed, "its end")
                    assert bad.socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
            async with browser(one.base, COMMAND) as large:
                await large.socket.send_str("x" * 100_000)
                await large.wait(lambda: large.socket.closed, "its end")
                assert large.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
            seen = len(other.messages)
            await other.wait(lambda: len(other.messages) > seen, "more states")
            assert one.source.commands == [] and len(one.log) < 100

    run(test())


def test_twenty_browsers_see_the_same_and_one_snapshot_serves_all():
    """States, pictures and events reach each; when they leave, nobody is counted."""

    async def test():
        async with served() as one:
            made, state = [], one.source.state
            one.source.state = lambda: made.append(1) or state()
            blocks = [browser(one.base, COMMAND if n % 2 else WATCH) for n in range(20)]
            eyes = [await block.__aenter__() for block in blocks]
            one.source.tell("warn", "something happened")
            for each in eyes:
                ready = lambda each=each: (  # noqa: E731 - a condition
                    len([m for m in each.messages if m["type"] == "state"]) > 3
                    and {index for index, *_ in each.frames} == {0, 1}
                    and each.last("event").get("text") == "something happened"
                )
                await each.wait(ready, "state, pictures and the event")
            states = sum(m["type"] == "state" for each in eyes for m in each.messages)
            assert len(made) < states / 2
            assert one.watched[-1] == 20 and all(f[2][:2] == b"\xff\xd8" for f in eyes[0].frames)
            for block in blocks:
                await block.__aexit__(None, None, None)
            await until(lambda: one.watched[-1] == 0, "nobody watching")

    run(test())


def test_too_many_who_watch_do_not_keep_out_who_commands():
    """Each role has its own places."""

    async def test():
        async with served() as one, aiohttp.ClientSession() as session:
            origin = {"Origin": one.base}
            url = f"{one.base}/ws?token={WATCH}"
            kept = [await session.ws_connect(url, headers=origin) for _ in range(MOST_BROWSERS)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{one.base}/ws?token={WATCH}", headers=origin)
            assert refused.value.status == 503 and not any(each.closed for each in kept)
            async with browser(one.base, COMMAND) as hands:
                assert (await hands.command("estop"))["ok"]

    run(test())


def test_a_reload_storm_leaves_nothing_behind():
    """Connections that end before their first message, and right after it."""

    async def test():
        async with served() as one, aiohttp.ClientSession() as session:
            for number in range(150):
                url = f"{one.base}/ws?token={COMMAND}"
                storm = await session.ws_connect(url, headers={"Origin": one.base})
                if number % 3 == 0:
                    await storm.receive()
                if number % 2:
                    storm._response.connection.transport.abort()
                else:
                    await storm.close()
            await until(lambda: one.server.browsers == 0, "no browser left")
            async with browser(one.base, COMMAND) as hands:
                assert (await hands.command("estop"))["ok"]

    run(test())


async def deaf(one):
    """A WebSocket by hand that asks for everything and never reads; its transport."""
    loop = asyncio.get_running_loop()
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await loop.sock_connect(plain, ("127.0.0.1", one.server.port))
    lines = [f"GET /ws?token={COMMAND} HTTP/1.1", f"Host: 127.0.0.1:{one.server.port}"]
    lines += [f"Origin: {one.base}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "", ""]
    await loop.sock_sendall(plain, "\r\n".join(lines).encode())
    return plain


def test_who_reads_nothing_holds_one_message_of_each_kind_and_is_closed():
    """The others see every state in the meantime."""

    async def test():
        async with served(silent_s=1.5) as one, browser(one.base, WATCH) as other:
            taken, jpeg = [], b"\xff\xd8" + bytes(1_000_000)
            one.source.frame = lambda camera: taken.append(camera) or (len(taken), jpeg)
            await other.wait(lambda: len(other.frames) > 4, "pictures")
            silent = await deaf(one)
            await until(lambda: one.server.browsers == 2, "the one that reads nothing")
            states, frames = len(other.messages), len(other.frames)
            await until(lambda: one.server.browsers == 1, "its end")
            assert len(other.messages) > states and len(other.frames) > frames
            # beside what the other has got: at most one of each camera on the way to either
            assert len(taken) <= len(other.frames) + 4
            assert any("no acknowledgement" in line for line in one.log)
            silent.close()

    run(test())


def test_a_picture_is_sent_again_only_after_its_acknowledgement():
    """So a browser that shows slowly gets the newest one next, and none in between."""

    async def test():
        async with served() as one, aiohttp.ClientSession() as session:
            number = [0]

            def frame(camera):
                number[0] += 1
                return number[0], b"\xff\xd8" + struct.pack("<Q", number[0])

            one.source.frame = frame
            url = f"{one.base}/ws?token={WATCH}"
            slow = await session.ws_connect(url, headers={"Origin": one.base})
            stamps = []
            while len(stamps) < 3:
                message = await slow.receive()
                if message.type is not aiohttp.WSMsgType.BINARY or message.data[0] != 0:
                    continue
                stamps.append(int.from_bytes(message.data[1:9], "little"))
                before = number[0]
                await until(lambda before=before: one.server.browsers == 1, "the browser")
                ack = {"type": "ack", "kind": "frame", "camera": 1}
                newest = number[0] + 5
                while number[0] < newest:  # the other camera goes on
                    kind = await slow.receive()
                    if kind.type is aiohttp.WSMsgType.BINARY:
                        assert kind.data[0] == 1, "a second picture without an acknowledgement"
                        await slow.send_json(ack)
                    else:
                        name = json.loads(kind.data)["type"]
                        if name in ("state", "curves"):
                            await slow.send_json({"type": "ack", "kind": name})
                await slow.send_json({"type": "ack", "kind": "frame", "camera": 0})
            assert all(late - early >= 5 for early, late in zip(stamps, stamps[1:], strict=False))
            await slow.close()

    run(test())


def test_a_command_that_comes_late_moves_nothing(monkeypatch):
    """A network that was gone delivers a press seconds later: only stops are still wanted then."""
    monkeypatch.setattr("gr00t_ros.web.browser.SEEN_S", 2.0)

    async def test():
        async with (
            served() as one,
            browser(one.base, COMMAND) as near,
            aiohttp.ClientSession() as session,
        ):
            url = f"{one.base}/ws?token={COMMAND}"
            far = await session.ws_connect(url, headers={"Origin": one.base})
            await asyncio.sleep(2.5)  # longer than SEEN_S, in which `far` looks at nothing
            for number, name in enumerate(("resume", "reset", "instruction", "pause", "estop")):
                message = {"type": "command", "id": number, "name": name, "value": "go"}
                await far.send_json(message)
            answers = {}
            while len(answers) < 5:
                message = await far.receive(LIMIT_S)
                found = json.loads(message.data) if isinstance(message.data, str) else {}
                if found.get("type") == "answer":
                    answers[found["id"]] = found
            assert [answers[number]["ok"] for number in range(5)] == [False] * 3 + [True] * 2
            assert "look at the robot" in answers[0]["text"]
            assert [name for name, _, _ in one.source.commands] == ["pause", "estop"]
            assert (await near.command("reset"))["ok"]
            await far.close()

    run(test())


def test_requests_that_are_no_http_are_not_logged(capsys, caplog):
    """Anybody can send them without a token, also with one in them; other errors are told."""

    async def test():
        async with served() as one, aiohttp.ClientSession() as session:
            for line in (f"/?token={COMMAND}\x1b[31m", "/ HTTP/9.9", "/ \0"):
                assert await by_hand(one, line) == 400
            assert one.log == []
            one.server._files = None
            status, _, _ = await status_of(session, f"{one.base}/?token={WATCH}")
            assert status == 500 and one.log == ["a request failed: AttributeError"]

    run(test())
    assert capsys.readouterr().err == caplog.text == ""


OF_3_9 = ("timeout", "receive_timeout", "autoclose", "autoping", "heartbeat", "protocols")
OF_3_9 += ("compress", "max_msg_size")


def test_it_serves_with_the_aiohttp_of_ubuntu_24_04(monkeypatch):
    """ROS 2 Jazzy's python3-aiohttp is 3.9: no typed keys of requests, fewer settings."""
    made = aiohttp.web.WebSocketResponse.__init__

    def old(self, **settings):
        assert not settings.keys() - {*OF_3_9}
        made(self, **settings)

    assert {*OF_3_9} <= inspect.signature(made).parameters.keys()
    monkeypatch.delattr(aiohttp.web, "RequestKey", raising=False)
    monkeypatch.setattr(aiohttp.web.WebSocketResponse, "__init__", old)
    importlib.reload(module)

    async def test():
        async with served() as one, browser(one.base, WATCH) as watcher:
            await watcher.wait(lambda: watcher.last("hello"), "hello")

    run(test())
