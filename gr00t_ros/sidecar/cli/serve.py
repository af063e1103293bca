"""gr00t-sidecar POLICY: serve a policy as a GR00T policy server of a chosen generation does.

Owns the options, the signals and the log's form of every server of ours. Prints one line on
stdout, ``READY tcp://HOST:PORT``, once clients can connect; everything else goes to stderr.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import Gr00tError
from gr00t_ros.sidecar.address import listen_address
from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sidecar.endpoints import Answers
from gr00t_ros.sidecar.keys import read_server_keys
from gr00t_ros.sidecar.messages import Generation
from gr00t_ros.sidecar.modality_of import state_widths
from gr00t_ros.sidecar.policies import POLICIES, Policy, make_policy
from gr00t_ros.sidecar.server import Delay, PolicyServer
from gr00t_ros.sidecar.starting import starting
from gr00t_ros.sidecar.token import ENVIRONMENT_VARIABLE, read_token

log = logging.getLogger("gr00t_ros.sidecar")

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def main(argv: Sequence[str]) -> int:
    """Serve until SIGINT, SIGTERM or an allowed kill; 0 then, 1 where it could not start."""
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar",
        description="A stand-in for a GR00T policy server: same wire, another policy behind it.",
    )
    names = ", ".join(sorted(POLICIES))
    parser.add_argument(
        "policy", help=f"one of {names}; or package.module:factory, Embodiment -> Policy"
    )
    add_options(parser)
    options = parser.parse_args(argv)
    return serve(options, lambda embodiment: make_policy(options.policy, embodiment))


def serve(
    options: argparse.Namespace,
    policy_of: Callable[[Embodiment], Policy],
    around: Callable[[Answers], Answers] | None = None,
) -> int:
    """Serve the policy for the embodiment of `options`, those of `add_options`."""
    start_log()
    try:
        with starting():
            server = _server(options, policy_of, around)
    except Gr00tError as error:
        log.error("%s", error)
        return 1
    with server:
        server.stop_on(signal.SIGINT, signal.SIGTERM)
        print(f"READY {server.address}", flush=True)
        server.serve_forever()
    log.info("stopped: %s", server.counts)
    return 0


def start_log() -> None:
    """Write the log to stderr, one line an event."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s sidecar: %(message)s",
    )


def _server(
    options: argparse.Namespace,
    policy_of: Callable[[Embodiment], Policy],
    around: Callable[[Answers], Answers] | None,
) -> PolicyServer:
    embodiment = load_embodiment(options.embodiment)
    token = read_token(options.token_file)
    server = PolicyServer(
        policy_of(embodiment),
        options.codec,
        options.flat,
        token,
        listen_address(options.host, options.port),
        strict=not options.no_strict,
        state_widths=state_widths(embodiment),
        allow_kill=options.allow_kill,
        delay=Delay(options.delay_ms, options.jitter_ms),
        seed=options.seed,
        around=around,
        keys=read_server_keys(options.keys) if options.keys else None,
    )
    if token is None and not options.keys and options.host not in LOOPBACK:
        log.warning("no token and no keys, and not only this machine can reach %s", server.address)
    return server


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # ZeroMQ would take it modulo 65536
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to 65535")
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every server of ours understands."""
    add = parser.add_argument
    add("--embodiment", default="franka_droid", help="name or path of its YAML file (%(default)s)")
    add("--host", default="127.0.0.1", help="address to serve on; * is every one (%(default)s)")
    add("--port", type=_port, default=5555, help="TCP port, 0 for a free one (%(default)s)")
    add(
        "--codec",
        choices=[item.value for item in Generation],
        default="B3",
        help="generation: A0 N1.5, A1 N1.6, A2 N1.7 EA, B2 and B3 N1.7, T torch (%(default)s)",
    )
    add("--flat", action="store_true", help="flat keys, as behind --use_sim_policy_wrapper")
    add("--token-file", help=f"file with the API token; else {ENVIRONMENT_VARIABLE} where set")
    add("--keys", metavar="FOLDER", help="CURVE, for the clients whose public keys are there")
    add("--no-strict", action="store_true", help="leave out upstream's checks of observations")
    add("--allow-kill", action="store_true", help="let any client end this server, as upstream's")
    add("--delay-ms", type=float, default=0.0, help="artificial inference time (%(default)s)")
    add("--jitter-ms", type=float, default=0.0, help="its uniform spread, +- (%(default)s)")
    add("--seed", type=int, help="of everything that is drawn")
