"""gr00t web as a command: what it refuses, what it prints, and TLS with certificates of its own."""

import argparse
import asyncio
import fcntl
import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="no aiohttp: pip install aiohttp")

from web_browser import browser  # noqa: E402 - it needs aiohttp

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.web import certificate  # noqa: E402
from gr00t_ros.web.__main__ import _addresses, main  # noqa: E402
from gr00t_ros.web.admission import Allowance, Hosts, Tokens, checked, same_origin  # noqa: E402
from gr00t_ros.web.reports import ReportSource  # noqa: E402
from gr00t_ros.web.server import WebServer  # noqa: E402
from gr00t_ros.wire.access import Token  # noqa: E402

WATCH = "watch-token-of-the-tests"


def refusal(capsys, *words):
    """The one line with which the command refuses to start."""
    assert main(list(words)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("gr00t web: ")
    return lines[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "robot.local"])
def test_beyond_loopback_it_starts_with_tls_only(capsys, tmp_path, host):
    """The error names every way out."""
    line = refusal(capsys, "--report", str(tmp_path), "--host", host)
    assert host in line and "--certificate" in line and "--self-signed" in line and "ssh -L" in line


def test_tokens_of_files_are_private_long_and_different(capsys, tmp_path):
    """One file for both would let whoever watches command."""
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    report = ("--report", str(tmp_path))
    file.chmod(0o644)
    assert "chmod 600" in refusal(capsys, *report, "--token", str(file))
    file.chmod(0o600)
    assert "the same" in refusal(capsys, *report, "--token", str(file), "--watch-token", str(file))
    assert "--watch-only" in refusal(capsys, *report, "--token", str(file), "--watch-only")
    file.write_text("short")
    assert "at least 16" in refusal(capsys, *report, "--token", str(file))
    with pytest.raises(SettingsError, match="at least 16"):
        checked(Tokens(Token("x"), None))


def test_every_token_of_a_file_stands_in_its_address_as_it_must():
    """A plus would become a blank there; what is not ASCII is refused."""
    options = argparse.Namespace(host="::1", certificate=None, self_signed=True)
    tokens = Tokens(Token("abc/def+ghi=jkl&m"), None)
    (line,) = _addresses(options, SimpleNamespace(port=7), tokens)[1:]
    url = line.split()[-1]
    assert url.startswith("https://[::1]:7/?token=")
    assert parse_qs(urlsplit(url).query)["token"] == [tokens.watch.reveal()]
    with pytest.raises(SettingsError, match="ASCII"):
        checked(Tokens(Token("\u00e9" * 20), None))


def test_wrong_files_of_a_certificate_are_named(capsys, tmp_path):
    """A certificate without its key, and files that are none."""
    report, file = ("--report", str(tmp_path)), str(tmp_path / "none.pem")
    assert "expected both" in refusal(capsys, *report, "--certificate", file)
    line = refusal(capsys, *report, "--certificate", file, "--key", file)
    assert "none.pem" in line and "expected a PEM certificate" in line


def test_a_self_signed_certificate_is_kept_and_only_its_owner_reads_the_key(tmp_path):
    """A second start has the same; another address makes a new one; a client can trust it."""
    files = certificate.self_signed(tmp_path / "web", "127.0.0.1")
    first = certificate.fingerprint(files[0])
    assert os.stat(files[1]).st_mode & 0o077 == 0
    assert certificate.self_signed(tmp_path / "web", "127.0.0.1") == files
    assert certificate.fingerprint(files[0]) == first and len(first) == 95

    async def test():
        tokens = Tokens(Token(WATCH), None)
        server = WebServer(ReportSource(), tokens, Hosts(True), lambda line: None)
        await server.start("127.0.0.1", 0, certificate.context(*files))
        trust = ssl.create_default_context(cafile=str(files[0]))
        base = f"https://127.0.0.1:{server.port}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/?token={WATCH}", ssl=trust) as reply:
                assert reply.status == 200 and "Secure" in reply.headers["Set-Cookie"]
            url, origin = f"{base}/ws?token={WATCH}", {"Origin": base}
            socket = await session.ws_connect(url, headers=origin, ssl=trust)
            assert (await socket.receive_json())["source"] == "report"
            await socket.close()
            plain = f"http://127.0.0.1:{server.port}/?token={WATCH}"
            with pytest.raises(aiohttp.ClientError):
                await session.get(plain)
        await server.close()

    asyncio.run(asyncio.wait_for(test(), 60))
    certificate.self_signed(tmp_path / "web", "192.168.1.7")
    assert certificate.fingerprint(files[0]) != first


def test_without_openssl_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    """Or how to do without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="apt-get install openssl, or give your own"):
        certificate.self_signed(tmp_path, "127.0.0.1")


def test_a_taken_port_is_told_with_what_to_do():
    """In one line."""

    async def test():
        servers = [
            WebServer(ReportSource(), Tokens(Token(WATCH), None), Hosts(True), lambda line: None)
            for _ in range(2)
        ]
        await servers[0].start("127.0.0.1", 0)
        with pytest.raises(SettingsError, match="choose another --port"):
            await servers[1].start("127.0.0.1", servers[0].port)
        await servers[0].close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("loopback", "host", "allowed"),
    [
        (True, "127.0.0.1:8780", True),
        (True, "127.8.8.8", True),
        (True, "[::1]:8780", True),
        (True, "LocalHost:1", True),
        (True, "192.168.1.7:8780", False),
        (True, "localhost.evil.example", False),
        (True, "127.0.0.1@evil.example", False),
        (True, "", False),
        (True, None, False),
        (False, "192.168.1.7:8780", True),
        (False, "[fe80::1]:8780", True),
        (False, "Robot.local:8780", True),
        (False, "evil.example:8780", False),
    ],
)
def test_hosts_that_count_as_this_machine(loopback, host, allowed):
    """Names of others are never among them; an address cannot be rebound."""
    assert Hosts(loopback, ["robot.local"]).allow(host) is allowed


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://localhost:8780", True),
        ("http://LOCALHOST:8780", True),
        ("https://localhost:8780", False),
        ("http://localhost", False),
        ("http://localhost:8780.evil.example", False),
        ("http://[", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_only_the_page_itself_is_its_origin(origin, same):
    """Scheme, host and port."""
    assert same_origin(origin, "http", "localhost:8780") is same


def test_an_allowance_is_a_burst_and_then_a_rate():
    """And never more than the burst, however long nobody asked."""
    allowance = Allowance(0.0, burst=3, per_s=2.0)
    assert [allowance.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(0.5), allowance.take(0.5)] == [True, False]
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]


OPENING = """
import sys, time
import gr00t_ros.web.__main__ as page

def slow(options, ros_arguments):
    print("OPENING", flush=True)
    time.sleep(600.0)

page._source = slow
sys.exit(page.main(["--bag", "large"]))
"""


def test_ctrl_c_ends_it_while_a_large_bag_is_opened(processes):
    """Its index may take minutes on a slow disk."""
    child = processes.start("-c", OPENING, name="page")
    child.wait_for_line("OPENING")
    child.signal(signal.SIGINT)
    assert child.wait() == 0


def test_a_flood_of_connections_is_told_in_a_line(tmp_path):
    """Not in a traceback for each; who is connected is still answered."""
    command = [sys.executable, "-m", "gr00t_ros.web", "--report", str(tmp_path), "--port", "0"]
    few = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
    command = [sys.executable, "-c", few + "os.execv(sys.argv[1], sys.argv[1:])", *command]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def test(address):
        token = parse_qs(address.query)["token"][0]
        base = f"http://{address.netloc}"
        async with browser(base, token) as operator, AsyncExitStack() as sockets:
            for _ in range(80):
                one = sockets.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex((address.hostname, address.port))
            await asyncio.sleep(1.0)
            assert not (await asyncio.wait_for(operator.command("estop"), 10.0))["ok"]

    try:
        page.stdout.readline()
        asyncio.run(test(urlsplit(page.stdout.readline().split()[-1])))
    finally:
        page.terminate()
        _, said = page.communicate(timeout=20.0)
    assert "Too many open files" in said and "Traceback" not in said
    assert len(said.splitlines()) < 10


def test_a_halted_terminal_keeps_no_command_from_its_answer(tmp_path):
    """Each command is logged: with Ctrl-S, or a pipe that nobody reads, writing waits for ever."""
    reader, full = os.pipe()
    os.write(full, b"x" * fcntl.fcntl(full, fcntl.F_SETPIPE_SZ, 4096))
    command = [sys.executable, "-m", "gr00t_ros.web", "--report", str(tmp_path), "--port", "0"]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=full, text=True)

    async def test(address):
        token = parse_qs(address.query)["token"][0]
        async with browser(f"http://{address.netloc}", token) as operator:
            for _ in range(3):
                answer = await asyncio.wait_for(operator.command("estop"), 10.0)
                assert not answer["ok"]

    try:
        page.stdout.readline()
        asyncio.run(test(urlsplit(page.stdout.readline().split()[-1])))
        page.terminate()
        assert page.wait(10.0) == 0
    finally:
        page.kill()
        page.wait()
        page.stdout.close()
        os.close(reader)
        os.close(full)
