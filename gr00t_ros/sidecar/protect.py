"""gr00t sidecar proxy and keys: protects a policy server, and makes CURVE key files.

proxy prints one line to stdout, ``READY tcp://HOST:PORT``. keys prints the files' names, but never
a key.
"""

import argparse
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.proxy.core import ALLOWED, RANGES, Limits, check_range
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.serve.front import DEFAULT_GONE_MS, GONE_MS
from gr00t_ros.sidecar.serve import log, start_log
from gr00t_ros.wire.access import read_token
from gr00t_ros.wire.address import LOOPBACK, listen_address, parse_place, server_address
from gr00t_ros.wire.curve import PUBLIC, SECRET, SERVER, new_pair, read_server_keys, write_pair

MIB = 1024 * 1024


def proxy(argv: Sequence[str]) -> int:
    """Run the proxy until SIGINT or SIGTERM, then return 0; return 1 if it cannot start."""
    options = _proxy_parser().parse_args(argv)
    start_log()
    # Allow as many connections as the system permits: clients that only hold connections open must
    # not keep others out. The memory limit disconnects them.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        settings = _settings(options)
        proxy = Proxy(settings)
    except Gr00tError as error:
        log.error("%s", error)
        return 1
    with proxy:
        proxy.stop_on(signal.SIGINT, signal.SIGTERM)
        log.info("before %s, with %s", settings.upstream, _guards(settings))
        print(f"READY {proxy.address}", flush=True)
        proxy.serve_forever()
    log.info("stopped: %s", proxy.core.counts)
    return 0


def _settings(options: argparse.Namespace) -> ProxySettings:
    host, port = _place("--listen", options.listen, 0)
    _check_numbers(options)
    # Not from the environment, where it could be the clients' token or the server's.
    token = read_token(options.token_file, {})
    settings = ProxySettings(
        upstream=server_address(*_place("--upstream", options.upstream, 1)),
        listen=listen_address(host, port),
        limits=Limits(
            max_request_bytes=round(options.max_request_mib * MIB),
            max_wait_ms=options.max_wait_ms,
            deadline_ms=options.deadline_ms,
            rate_hz=options.rate_hz,
            burst=options.burst,
            endpoints=(*ALLOWED, *options.endpoint),
        ),
        token=token,
        upstream_token=read_token(options.upstream_token_file, {}),
        keys=read_server_keys(options.keys) if options.keys else None,
        receive_ms=options.receive_ms,
    )
    if settings.keys is None and settings.token is None and host not in LOOPBACK:
        raise SettingsError(
            f"--listen {options.listen} can be reached from other machines: expected --keys"
            " FOLDER (see gr00t sidecar keys), or --token-file"
        )
    return settings


def _check_numbers(options: argparse.Namespace) -> None:
    """Raise `SettingsError`, which names the option as on the command line, if out of range."""
    for name, (lowest, highest) in RANGES.items():
        if name == "max_request_bytes":
            check_range("--max-request-mib", options.max_request_mib, lowest / MIB, highest / MIB)
        else:
            check_range(f"--{name.replace('_', '-')}", getattr(options, name), lowest, highest)
    check_range("--receive-ms", options.receive_ms, *GONE_MS)


def _place(option: str, text: str, lowest_port: int) -> tuple[str, int]:
    try:
        return parse_place(text, lowest_port)
    except SettingsError as error:
        raise SettingsError(f"{option} {error}") from None


def _guards(settings: ProxySettings) -> str:
    names = [] if settings.keys is None else sorted(settings.keys.clients.values())
    keys = f"CURVE for {', '.join(names)}" if names else "no encryption"
    return f"{keys}, {'a token' if settings.token else 'no token'}"


def _proxy_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar proxy",
        description="Encryption, a token and limits for a policy server that has none.",
        epilog="example: gr00t sidecar proxy --upstream 127.0.0.1:5555 --listen 0.0.0.0:5556 "
        "--keys /etc/gr00t/keys",
    )
    add = parser.add_argument
    defaults = Limits()
    mib = defaults.max_request_bytes / MIB
    add("--upstream", required=True, metavar="HOST:PORT", help="the policy server")
    add("--listen", default="127.0.0.1:5556", metavar="HOST:PORT", help="(%(default)s)")
    add("--keys", metavar="FOLDER", help="use CURVE; admit the clients whose public keys are there")
    add("--token-file", help="the token that every client must send")
    add("--upstream-token-file", help="the token for the server; clients' are not passed on")
    add("--endpoint", action="append", default=[], help="forward it too; may be repeated")
    add("--max-request-mib", type=float, default=mib, metavar="MIB", help="(%(default)s)")
    add("--max-wait-ms", type=int, default=defaults.max_wait_ms, help="for a turn (%(default)s)")
    add("--deadline-ms", type=int, default=defaults.deadline_ms, help="for a reply (%(default)s)")
    add(
        "--receive-ms",
        type=int,
        default=DEFAULT_GONE_MS,
        help="disconnect a client whose machine or cable is silent that long (%(default)s)",
    )
    add("--rate-hz", type=float, default=defaults.rate_hz, help="of one client (%(default)s)")
    add("--burst", type=int, default=defaults.burst, help="of one client, at once (%(default)s)")
    return parser


def keys(argv: Sequence[str]) -> int:
    """Write the missing key pairs of the server and of each robot; return 0, or 2 on an error."""
    options = _keys_parser().parse_args(argv)
    folder = Path(options.folder)
    try:
        for name in dict.fromkeys((SERVER, *options.names)):
            is_new = write_pair(folder, name, *new_pair())
            print(f"{'wrote' if is_new else 'kept'} {folder / name}{PUBLIC} and {SECRET}")
    except SettingsError as error:
        print(f"gr00t sidecar keys: {error}", file=sys.stderr)
        return 2
    print(f"The server or proxy: --keys {folder}; it admits every name here.")
    print(f"A robot needs copies of {SERVER}{PUBLIC} and of its own {SECRET} file, nothing else.")
    return 0


def _keys_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar keys",
        description="Make CURVE keys for a server and its robots; existing keys are kept.",
        epilog="example: gr00t sidecar keys /etc/gr00t/keys arm1 arm2",
    )
    parser.add_argument("folder", help="folder of the keys; made if it does not exist")
    parser.add_argument("names", nargs="*", default=["robot"], help="names of the robots (robot)")
    return parser
