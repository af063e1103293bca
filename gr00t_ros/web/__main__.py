"""gr00t web: shows in a browser what the policy sees and does, and takes commands."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gr00t_ros.command_line import DONE, CommandParser, fail, program, whole_number
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.tools.operator import node_name
from gr00t_ros.web.admission import Hosts, Tokens, checked, is_loopback, new_token
from gr00t_ros.web.log import Log
from gr00t_ros.web.view import PageSource
from gr00t_ros.wire.access import Token, read_token

if TYPE_CHECKING:
    import ssl

    from gr00t_ros.web.reports import Reports
    from gr00t_ros.web.server import WebServer

PORT = 8780


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until SIGINT or SIGTERM; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    split = words.index("--ros-args") if "--ros-args" in words else len(words)
    options = _parser().parse_args(words[:split])
    try:
        tls, tokens, server_class = _tls(options), _tokens(options), _server_class()
        reports = _reports(options.report)
        source, watched = _source(options, words[split:])  # of a large bag: Ctrl-C ends it
        log = Log()
        try:
            hosts = Hosts(is_loopback(options.host), options.allow_host)
            server = server_class(source, tokens, hosts, log, reports, watched)
            asyncio.run(_serve(options, server, tokens, tls, log))
        finally:
            source.close()
            log.close()
    except Gr00tError as error:
        return fail("gr00t web", error)
    except KeyboardInterrupt:
        pass  # before the handlers of signals stood
    return DONE


async def _serve(
    options: argparse.Namespace,
    server: WebServer,
    tokens: Tokens,
    tls: ssl.SSLContext | None,
    log: Log,
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_exception_handler(log.problem)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await server.start(options.host, options.port, tls)
    try:
        print("\n".join(_addresses(options, server, tokens)), flush=True)
        await stop.wait()
    finally:
        await server.close()


def _server_class() -> type[WebServer]:
    try:
        import aiohttp  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise SettingsError(
            f"aiohttp: {error}; install it: pip install aiohttp, or apt-get install python3-aiohttp"
        ) from error
    from gr00t_ros.web.server import WebServer

    return WebServer


def _tokens(options: argparse.Namespace) -> Tokens:
    """The tokens of the given files, and new ones in the place of others."""

    def token(path: str | None) -> Token:
        given = read_token(path) if path else None
        return given or new_token()

    if options.watch_only and options.token:
        raise SettingsError("--token FILE: got it with --watch-only, expected one of the two")
    command = None if options.watch_only else token(options.token)
    return checked(Tokens(token(options.watch_token), command))


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    """TLS by the options; beyond loopback nothing is served without it."""
    if bool(options.certificate) != bool(options.key):
        raise SettingsError("--certificate FILE, --key FILE: got one of them, expected both")
    if options.certificate and options.self_signed:
        raise SettingsError("--self-signed: got it with --certificate, expected one of the two")
    if not options.certificate and not options.self_signed:
        if not is_loopback(options.host):
            raise SettingsError(
                f"--host {options.host}: got an address beyond this machine without TLS, expected "
                "--certificate FILE --key FILE, or --self-signed; or stay on 127.0.0.1 and use "
                f"ssh -L {options.port}:127.0.0.1:{options.port} ROBOT"
            )
        return None
    from gr00t_ros.web import certificate

    files = Path(options.certificate or ""), Path(options.key or "")
    if options.self_signed:
        files = certificate.self_signed(certificate.own_folder(), options.host)
    found = certificate.context(*files)
    if options.self_signed:
        print(f"certificate {files[0]}: compare its SHA-256 in the browser's warning:")
        print(f"  {certificate.fingerprint(files[0])}", flush=True)
    return found


def _source(
    options: argparse.Namespace, ros_arguments: list[str]
) -> tuple[PageSource, Callable[[int], None]]:
    """What is shown, and what hears how many browsers there are."""
    if options.bag:
        from gr00t_ros.web.bag.source import open_source

        bag = open_source(Path(options.bag), options.node or POLICY_NODE, options.embodiment)
        bag.start()
        for line in bag.missing:
            print(f"gr00t web: {line}", file=sys.stderr, flush=True)
        return bag, _ignore
    if options.embodiment:
        raise SettingsError("--embodiment: got it without --bag, expected it for a bag only")
    if options.report and options.node is None:
        from gr00t_ros.web.reports import ReportSource

        return ReportSource(), _ignore
    from gr00t_ros.web.live import LiveSource

    live = LiveSource(options.node or POLICY_NODE, ros_arguments, options.recorder)
    return live, live.watched


def _ignore(_browsers: int) -> None:
    """Nothing depends on it."""


def _reports(folder: str | None) -> Reports | None:
    if not folder:
        return None
    from gr00t_ros.web.reports import Reports

    return Reports(Path(folder))


def _addresses(options: argparse.Namespace, server: WebServer, tokens: Tokens) -> list[str]:
    """The lines with the address of each role; they contain the tokens."""
    scheme = "https" if options.certificate or options.self_signed else "http"
    host = options.host if options.host not in ("0.0.0.0", "::") else socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{host}:{server.port}/?token="
    lines = ["gr00t web: open one of these addresses; whoever has one can use it:"]
    if tokens.command is not None:
        lines.append(f"  command: {base}{quote(tokens.command.reveal(), safe='')}")
    return [*lines, f"  watch:   {base}{quote(tokens.watch.reveal(), safe='')}"]


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t web",
        description="Shows a running policy node, a bag or reports in a browser: cameras as the "
        "policy sees them, mode with reason and remedy, latencies, joint curves, and buttons for "
        "pause, resume, reset, e-stop, instruction and recording. The e-stop of the page is a "
        "functional stop: keep the hardware e-stop within reach.",
        notes="It prints an address for commanding and one for watching; each contains its token.\n"
        "Beyond this machine it serves with TLS only. ROS arguments follow --ros-args.",
        example="gr00t web --node /gr00t_policy",
    )
    add = parser.add_argument
    add("--node", type=node_name, metavar="NAME", help=f"the policy node ({POLICY_NODE})")
    text = "the recorder's node (/gr00t_record)"
    add("--recorder", type=node_name, default="/gr00t_record", metavar="NAME", help=text)
    add("--bag", metavar="BAG", help="show a bag or a recorded episode instead of a node")
    add("--embodiment", metavar="NAME|FILE", help="with --bag: the robot, if the bag has none")
    text = "list the reports in this folder; without --node and --bag, only these"
    add("--report", metavar="DIR", help=text)
    add("--port", type=whole_number(0, 65535), default=PORT, metavar="N", help=f"({PORT})")
    text = "address to listen on (127.0.0.1); beyond this machine only with TLS"
    add("--host", default="127.0.0.1", metavar="ADDRESS", help=text)
    text = "further name under which browsers address this machine; may be repeated"
    add("--allow-host", action="append", default=[], metavar="NAME", help=text)
    add("--token", metavar="FILE", help="file with the token for commanding (a new one)")
    add("--watch-token", metavar="FILE", help="file with the token for watching (a new one)")
    add("--watch-only", action="store_true", help="nobody can command")
    add("--certificate", metavar="FILE", help="TLS: the certificate, PEM")
    add("--key", metavar="FILE", help="TLS: its private key, PEM")
    text = "TLS: a certificate of its own, made by openssl once and kept"
    add("--self-signed", action="store_true", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(program(main))
