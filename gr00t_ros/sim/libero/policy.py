"""python -m gr00t_ros.sim.libero.policy: serves LIBERO's scripted policy behind GR00T's wire.

Prints ``READY tcp://HOST:PORT`` to stdout when clients can connect; all else goes to stderr.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

from gr00t_ros.command_line import DONE, MISUSE, CommandParser, program, whole_number
from gr00t_ros.errors import Gr00tError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.policies import state_widths
from gr00t_ros.serve.robots import Robots
from gr00t_ros.serve.server import Delay, PolicyServer
from gr00t_ros.sim.libero.scripted import make_policy

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM: DONE; MISUSE if it cannot start."""
    options = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    try:
        embodiment = load_embodiment(options.embodiment)
        server = PolicyServer(
            Robots(lambda: make_policy(embodiment)),
            bind=f"tcp://127.0.0.1:{options.port}",
            state_widths=state_widths(embodiment),
            delay=Delay(options.latency_ms),
        )
    except Gr00tError as error:
        log.error("%s", error)
        return MISUSE
    with server:
        server.stop_on(signal.SIGINT, signal.SIGTERM)
        print(f"READY {server.address}", flush=True)
        server.serve_forever()
    return DONE


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t sim libero-policy",
        description="Serve the policy that sees and does LIBERO's pick-and-place tasks, "
        "with this computer's clients only.",
        example="gr00t sim libero-policy --port 5555 --latency-ms 150",
    )
    add = parser.add_argument
    add("--port", type=whole_number(0, 65_535), default=5555, help="0 for a free one (%(default)s)")
    add(
        "--latency-ms",
        type=float,
        metavar="MS",
        default=0.0,
        help="least time from request to reply, of the wall clock (%(default)s)",
    )
    add("--embodiment", default="libero_panda", help="name or file (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(program(lambda: main(sys.argv[1:])))
