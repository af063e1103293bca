"""gr00t-sidecar: serve a policy as a GR00T policy server of a chosen generation does.

Owns the command line, the signals and the log's form. Prints one line on stdout,
``READY tcp://HOST:PORT``, once clients can connect; everything else goes to stderr.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from gr00t_ros.core.errors import Gr00tError
from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sidecar.messages import Generation
from gr00t_ros.sidecar.modality_of import state_widths
from gr00t_ros.sidecar.policies import POLICIES, make_policy
from gr00t_ros.sidecar.server import Delay, PolicyServer
from gr00t_ros.sidecar.token import ENVIRONMENT_VARIABLE, read_token

log = logging.getLogger("gr00t_ros.sidecar")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or an allowed kill; 0 then, 1 where it could not start."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s sidecar: %(message)s",
    )
    try:
        server = _server(options)
    except Gr00tError as error:
        log.error("%s", error)
        return 1
    with server:
        server.stop_on(signal.SIGINT, signal.SIGTERM)
        print(f"READY {server.address}", flush=True)
        server.serve_forever()
    log.info("stopped: %s", server.counts)
    return 0


def _server(options: argparse.Namespace) -> PolicyServer:
    embodiment = load_embodiment(options.embodiment)
    token = read_token(options.token_file)
    server = PolicyServer(
        make_policy(options.policy, embodiment),
        options.codec,
        options.flat,
        token,
        f"tcp://{options.host}:{options.port}",
        strict=not options.no_strict,
        state_widths=state_widths(embodiment),
        allow_kill=options.allow_kill,
        delay=Delay(options.delay_ms, options.jitter_ms),
        seed=options.seed,
    )
    if token is None and options.host not in ("127.0.0.1", "localhost"):
        log.warning("no token, and not only this machine can reach %s", server.address)
    return server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar",
        description="A stand-in for a GR00T policy server: same wire, another policy behind it.",
    )
    add = parser.add_argument
    names = ", ".join(sorted(POLICIES))
    add("policy", help=f"one of {names}; or package.module:factory, Embodiment -> Policy")
    add("--embodiment", default="franka_droid", help="name or path of its YAML file (%(default)s)")
    add("--host", default="127.0.0.1", help="address to serve on; * is every one (%(default)s)")
    add("--port", type=int, default=5555, help="TCP port, 0 for a free one (%(default)s)")
    add(
        "--codec",
        choices=[item.value for item in Generation],
        default="B3",
        help="generation: A0 N1.5, A1 N1.6, A2 N1.7 EA, B2 and B3 N1.7, T torch (%(default)s)",
    )
    add("--flat", action="store_true", help="flat keys, as behind --use_sim_policy_wrapper")
    add("--token-file", help=f"file with the API token; else {ENVIRONMENT_VARIABLE} where set")
    add("--no-strict", action="store_true", help="leave out upstream's checks of observations")
    add("--allow-kill", action="store_true", help="let any client end this server, as upstream's")
    add("--delay-ms", type=float, default=0.0, help="artificial inference time (%(default)s)")
    add("--jitter-ms", type=float, default=0.0, help="its uniform spread, +- (%(default)s)")
    add("--seed", type=int, help="of the spread")
    return parser


if __name__ == "__main__":
    sys.exit(main())
