"""The server that a verb questions, from command line and environment, and the verb's report.

Options win over the environment (wire/access.py). A report is text for people or JSON for programs,
with the exit status.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from gr00t_ros.command_line import (
    DONE,
    INTERRUPTED,
    JSON_HELP,
    NO,
    CommandParser,
    status_of,
    whole_number,
)
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import TAG, load_embodiment, shipped_embodiments
from gr00t_ros.starting import starting
from gr00t_ros.text_table import printable, printable_lines
from gr00t_ros.wire.access import (
    ENVIRONMENT_VARIABLE,
    HOST_VARIABLE,
    PORT_VARIABLE,
    TAG_VARIABLE,
    TIMEOUT_VARIABLE,
    TOKEN_VARIABLE,
    Environment,
    Token,
    read_environment,
    read_token,
)
from gr00t_ros.wire.address import parse_place, refuse_closed
from gr00t_ros.wire.client import DEFAULT_TIMEOUT_MS, PolicyServerClient
from gr00t_ros.wire.curve import ClientKeys, read_client_keys
from gr00t_ros.wire.handshake import KeyStyleSetting

OK, PROBLEM = DONE, NO
"""Exit statuses: all well; the server answers and something is wrong."""
positive = whole_number(1, 10**9)
seed = whole_number(0, 2**32 - 1)  # as torch takes it


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one verb: `figures` for JSON, `text` with the same content for people."""

    figures: Mapping[str, object]
    text: str
    status: int = OK

    def show(self, as_json: bool) -> int:
        """Print the report to stdout and return the exit status."""
        print(json.dumps(_finite(self.figures), indent=1) if as_json else self.text, flush=True)
        return self.status


def facts(values: Mapping[str, object]) -> str:
    """Return one line for each fact, with the names in one column."""
    width = max(map(len, values), default=0)
    return "\n".join(f"{name:{width}}  {printable(str(value))}" for name, value in values.items())


def milliseconds(duration_ns: int) -> float:
    """Return a duration in ms, to the microsecond."""
    return round(duration_ns / 1e6, 3)


def _finite(value: object) -> object:
    """Return `value` with NaN and infinity as texts, as JSON has neither."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class Target:
    """One server: its address, how to connect, and the embodiment that it should serve."""

    host: str
    port: int
    timeout_ms: int
    token: Token | None
    key_style: KeyStyleSetting
    curve: ClientKeys | None
    environment: Environment
    embodiment_name: str | None

    def client(self, key_style: KeyStyleSetting | None = None) -> PolicyServerClient:
        """Return a client of the server, not yet connected.

        Raises UnreachableError if nobody listens there.
        """
        refuse_closed(self.host, self.port)
        style = key_style or self.key_style
        return PolicyServerClient(
            self.host, self.port, self.timeout_ms, self.token, style, curve=self.curve
        )

    def embodiment(self) -> Embodiment:
        """Return the embodiment of the option, else of the environment's tag."""
        if self.embodiment_name is not None:
            return load_embodiment(self.embodiment_name)
        return load_embodiment(f"{TAG}{self.environment.embodiment_tag}")


def ask(
    parser: CommandParser,
    argv: Sequence[str],
    verb: Callable[[Target, argparse.Namespace], Report],
) -> int:
    """Parse the options, run the verb, print its report; errors go to stderr, or into the JSON."""
    options = parser.parse_args(argv)
    try:
        with questioning():
            report = verb(target_of(options), options)
        return report.show(options.json)
    except Gr00tError as error:
        print(f"{parser.prog}: {printable_lines(str(error))}", file=sys.stderr)
        figures = {"problem": str(error), "kind": type(error).__name__}
        status = status_of(error)
        return Report(figures, "", status).show(True) if options.json else status


def questioning() -> AbstractContextManager[None]:
    """Within this context Ctrl-C ends the process at once.

    A KeyboardInterrupt while ZeroMQ makes a socket leaves it open, and its context would wait for
    it for ever. Nothing here needs a clean end.
    """
    return starting(INTERRUPTED)


def target_of(options: argparse.Namespace) -> Target:
    """Return the server that the options of `add_server` name, else the environment.

    Raises SettingsError for a token, key or address that cannot be used.
    """
    found = read_environment(os.environ)
    host, port = getattr(options, "host", None) or "", getattr(options, "port", None) or 0
    if options.server and (host or port):
        raise SettingsError("server: got --server and --host or --port, expected one of both")
    if options.server:
        host, port = parse_place(options.server, 1)
    return Target(
        host=host or found.host or "127.0.0.1",
        port=port or found.port or 5555,
        timeout_ms=options.timeout_ms or found.timeout_ms or DEFAULT_TIMEOUT_MS,
        token=read_token(options.token_file) if options.token_file else found.token,
        key_style=options.key_style,
        curve=client_keys(options.server_key, options.client_key),
        environment=found,
        embodiment_name=getattr(options, "embodiment", None),
    )


def client_keys(server_key: str | None, client_key: str | None) -> ClientKeys | None:
    """The keys in these files, None without both; raises SettingsError for one alone."""
    if bool(server_key) != bool(client_key):
        raise SettingsError("--server-key and --client-key: got one, expected both or neither")
    return read_client_keys(server_key, client_key) if server_key and client_key else None


def question(verb: str, description: str, example: str = "", notes: str = "") -> CommandParser:
    """Return the parser of a verb that questions a server, with the options of all such verbs.

    example: what an example of the verb has behind the server. notes: lines before it.
    """
    parser = CommandParser(
        prog=f"gr00t sidecar {verb}",
        description=description,
        example=f"gr00t sidecar {verb} --server gpu:5555 {example}".rstrip(),
        notes=notes,
    )
    add_server(parser)
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    return parser


def add_server(parser: CommandParser) -> None:
    """Add the options that name a policy server and how to connect to it."""
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        help=f"the policy server; else {HOST_VARIABLE} and {PORT_VARIABLE}, else 127.0.0.1:5555",
    )
    parser.instead |= dict.fromkeys(("--host", "--port"), "a server is named by --server HOST:PORT")
    add_connection(parser)


def add_connection(parser: CommandParser) -> None:
    """Add the options that say how to connect to a policy server."""
    add = parser.add_argument
    add(
        "--timeout-ms",
        type=positive,
        metavar="MS",
        help=f"deadline of each call; else {TIMEOUT_VARIABLE}, else {DEFAULT_TIMEOUT_MS} ms",
    )
    names = f"{ENVIRONMENT_VARIABLE} or {TOKEN_VARIABLE}"
    add("--token-file", metavar="FILE", help=f"file with the API token; else {names}")
    add("--server-key", metavar="FILE", help="CURVE: the server's .public file")
    add("--client-key", metavar="FILE", help="CURVE: this client's .secret file")
    add(
        "--key-style",
        choices=("auto", "nested", "flat"),
        default="auto",
        help="of the request's keys (%(default)s: try nested, then flat)",
    )


def add_place(parser: CommandParser) -> None:
    """Add --host and --port, by which upstream's tools name a server, beside --server."""
    for option in ("--host", "--port"):
        del parser.instead[option]
    parser.add_argument("--host", metavar="HOST", help="in place of --server, with --port")
    parser.add_argument("--port", type=_port, metavar="PORT", help="in place of --server")


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{value}: expected 1 to 65535")
    return value


def add_embodiment(parser: CommandParser, by_tag: bool = True) -> None:
    """Add the option that names the embodiment; there is no default robot.

    by_tag: the environment's embodiment tag may name the embodiment instead.
    """
    tag = os.environ.get(TAG_VARIABLE) if by_tag else None
    other = f"; else the one of {TAG_VARIABLE}" if by_tag else ""
    parser.add_argument(
        "--embodiment",
        metavar="NAME|FILE",
        required=not tag,
        help=f"the robot: name of a shipped embodiment file, or path of your own{other}",
    )
    parser.missing["--embodiment"] = (
        "the robot, for which there is no default: the path of your embodiment file, or one of "
        f"{', '.join(shipped_embodiments())}"
    )
