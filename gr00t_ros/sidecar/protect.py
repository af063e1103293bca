"""gr00t sidecar proxy and keys: protects a policy server, and makes CURVE key files.

proxy prints one line to stdout, ``READY tcp://HOST:PORT``. keys prints the files' names, but never
a key.
"""

import argparse
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gr00t_ros.command_line import DONE, MISUSE, CommandParser
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.proxy.core import ALLOWED, RANGES, Limits, check_range
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.serve.front import DEFAULT_GONE_MS, GONE_MS, keep_freed
from gr00t_ros.sidecar.serve import log, start_log
from gr00t_ros.wire.access import Token, read_token
from gr00t_ros.wire.address import LOOPBACK, listen_address, parse_place, server_address
from gr00t_ros.wire.curve import (
    PUBLIC,
    SECRET,
    SERVER,
    ServerKeys,
    new_pair,
    read_server_keys,
    write_pair,
)

MIB = 1024 * 1024
_PLACES = "--upstream HOST:PORT names the policy server, --listen HOST:PORT where clients connect"
_SILENT = "disconnect a client whose machine or cable is silent that long"


def proxy(argv: Sequence[str]) -> int:
    """Run the proxy until SIGINT or SIGTERM: DONE; MISUSE if it cannot start."""
    options = proxy_parser(
        "proxy",
        "Encryption, a token and limits for a policy server that has none.",
        "--upstream 127.0.0.1:5555 --listen 0.0.0.0:5556 --keys /etc/gr00t/keys",
    ).parse_args(argv)
    return run_proxy(lambda: proxy_settings(options))


def run_proxy(settings_of: Callable[[], ProxySettings]) -> int:
    """Run a proxy of these settings, which may raise Gr00tError, as `proxy` does."""
    start_log()
    allow_connections()
    try:
        settings = settings_of()
        proxy = Proxy(settings)
    except Gr00tError as error:
        log.error("%s", error)
        return MISUSE
    keep_freed()
    with proxy:
        proxy.stop_on(signal.SIGINT, signal.SIGTERM)
        log.info("before %s, with %s", settings.upstream, _guards(settings))
        print(f"READY {proxy.address}", flush=True)
        proxy.serve_forever()
    log.info("stopped: %s", proxy.core.counts)
    if settings.pictures is not None:
        log.info("stopped: %s", settings.pictures.counts)
    return DONE


def proxy_settings(options: argparse.Namespace) -> ProxySettings:
    """The settings that the options of `proxy_parser` stand for; raises SettingsError."""
    host, port = place_of("--listen", options.listen, 0)
    check_numbers(options, RANGES)
    check_range("--receive-ms", options.receive_ms, *GONE_MS)
    token, keys = guards_of(options)
    return ProxySettings(
        upstream=server_address(*place_of("--upstream", options.upstream, 1)),
        listen=listen_address(host, port),
        limits=Limits(
            max_request_bytes=round(options.max_request_mib * MIB),
            max_wait_ms=options.max_wait_ms,
            deadline_ms=options.deadline_ms,
            rate_hz=options.rate_hz,
            burst=options.burst,
            endpoints=(*ALLOWED, *options.endpoint),
            batch=options.batch,
            wait_ms=options.wait_ms,
        ),
        token=token,
        upstream_token=read_token(options.upstream_token_file, {}),
        keys=keys,
        receive_ms=options.receive_ms,
    )


def allow_connections() -> None:
    """Allow as many connections as the system permits.

    Clients that only hold connections open must not keep others out. The memory limit of the front
    disconnects them.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def guards_of(options: argparse.Namespace) -> tuple[Token | None, ServerKeys | None]:
    """The clients' token and the keys of `add_front`'s options.

    Raises SettingsError if nothing guards an address that other machines can reach. The token is
    not read from the environment, where it could be the policy server's.
    """
    host, _ = place_of("--listen", options.listen, 0)
    token = read_token(options.token_file, {})
    keys = read_server_keys(options.keys) if options.keys else None
    if keys is None and token is None and host not in LOOPBACK:
        raise SettingsError(
            f"--listen {options.listen} can be reached from other machines: expected --keys"
            " FOLDER (see gr00t sidecar keys), or --token-file"
        )
    return token, keys


def check_numbers(options: argparse.Namespace, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raise `SettingsError`, which names the option as on the command line, if out of range."""
    for name, (lowest, highest) in ranges.items():
        if name == "max_request_bytes":
            check_range("--max-request-mib", options.max_request_mib, lowest / MIB, highest / MIB)
        else:
            check_range(f"--{name.replace('_', '-')}", getattr(options, name), lowest, highest)


def place_of(option: str, text: str, lowest_port: int) -> tuple[str, int]:
    """Return host and port of an option's HOST:PORT; `SettingsError` names the option."""
    try:
        return parse_place(text, lowest_port)
    except SettingsError as error:
        raise SettingsError(f"{option} {error}") from None


def _guards(settings: ProxySettings) -> str:
    names = [] if settings.keys is None else sorted(settings.keys.clients.values())
    keys = f"CURVE for {', '.join(names)}" if names else "no encryption"
    return f"{keys}, {'a token' if settings.token else 'no token'}"


def proxy_parser(verb: str, description: str, example: str) -> CommandParser:
    """The parser of a verb that runs a proxy; `example`: what stands behind the verb in it."""
    parser = CommandParser(
        prog=f"gr00t sidecar {verb}",
        description=description,
        example=f"gr00t sidecar {verb} {example}",
    )
    parser.instead |= dict.fromkeys(("--server", "--host", "--port"), _PLACES)
    parser.missing["--upstream"] = "the policy server"
    add = parser.add_argument
    defaults = Limits()
    add("--upstream", required=True, metavar="HOST:PORT", help="the policy server")
    add_front(parser, defaults.max_request_bytes, defaults.rate_hz, defaults.burst)
    add(
        "--upstream-token-file",
        metavar="FILE",
        help="the token for the server; clients' are not passed on",
    )
    add(
        "--endpoint",
        metavar="NAME",
        action="append",
        default=[],
        help="forward this endpoint too; may be repeated",
    )
    for name, kind, metavar, default, text in (
        (
            "--max-wait-ms",
            int,
            "MS",
            defaults.max_wait_ms,
            "longest wait for a turn (%(default)s ms)",
        ),
        (
            "--deadline-ms",
            int,
            "MS",
            defaults.deadline_ms,
            "longest wait for a reply (%(default)s ms)",
        ),
        ("--receive-ms", int, "MS", DEFAULT_GONE_MS, f"{_SILENT} (%(default)s ms)"),
        (
            "--batch",
            int,
            "N",
            defaults.batch,
            "requests of up to N robots go to the server as one (%(default)s: each by itself)",
        ),
        (
            "--wait-ms",
            float,
            "MS",
            defaults.wait_ms,
            "longest pause in which a batch waits for robots that come back at once"
            " (%(default)s ms)",
        ),
    ):
        add(name, type=kind, metavar=metavar, default=default, help=text)
    return parser


def add_front(parser: CommandParser, max_request_bytes: int, rate_hz: float, burst: int) -> None:
    """Add the options of a front: its address, whom it admits, and each client's limits."""
    add = parser.add_argument
    add(
        "--listen",
        default="127.0.0.1:5556",
        metavar="HOST:PORT",
        help="where clients connect (%(default)s)",
    )
    add("--keys", metavar="FOLDER", help="use CURVE; admit the clients whose public keys are there")
    add("--token-file", metavar="FILE", help="the token that every client must send")
    for name, kind, metavar, default, text in (
        (
            *("--max-request-mib", float, "MIB", max_request_bytes / MIB),
            "largest request (%(default)s MiB)",
        ),
        ("--rate-hz", float, "HZ", rate_hz, "requests of one client (%(default)s Hz)"),
        ("--burst", int, "N", burst, "requests of one client at once (%(default)s)"),
    ):
        add(name, type=kind, metavar=metavar, default=default, help=text)


def keys(argv: Sequence[str]) -> int:
    """Write the missing key pairs of the server and of each robot; MISUSE on an error."""
    options = _keys_parser().parse_args(argv)
    folder = Path(options.folder)
    try:
        for name in dict.fromkeys((SERVER, *options.names)):
            is_new = write_pair(folder, name, *new_pair())
            print(f"{'wrote' if is_new else 'kept'} {folder / name}{PUBLIC} and {SECRET}")
    except SettingsError as error:
        print(f"gr00t sidecar keys: {error}", file=sys.stderr)
        return MISUSE
    print(f"The server or proxy: --keys {folder}; it admits every name here.")
    print(f"A robot needs copies of {SERVER}{PUBLIC} and of its own {SECRET} file, nothing else.")
    return DONE


def _keys_parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t sidecar keys",
        description="Make CURVE keys for a server and its robots; existing keys are kept.",
        example="gr00t sidecar keys /etc/gr00t/keys arm1 arm2",
    )
    parser.add_argument("folder", metavar="FOLDER", help="of the keys; made if it does not exist")
    parser.add_argument(
        "names", metavar="NAME", nargs="*", default=["robot"], help="of each robot (robot)"
    )
    return parser
