"""gr00t-sidecar start: start a policy server by its profile, as the node does, without ROS.

Prints one line on stdout, ``READY tcp://HOST:PORT``, each time the server can be asked; the
server's own lines and what becomes of it go to stderr.
"""

import argparse
import logging
import select
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gr00t_ros.core.errors import Gr00tError
from gr00t_ros.sidecar.address import server_address
from gr00t_ros.sidecar.cli.serve import start_log
from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sidecar.license import ENVIRONMENT_VARIABLE
from gr00t_ros.sidecar.profile import Overrides, load_profile
from gr00t_ros.sidecar.supervisor import Severity, Supervisor
from gr00t_ros.sidecar.supervisor_state import Phase
from gr00t_ros.sidecar.wake import Wake

log = logging.getLogger("gr00t_ros.sidecar")

_LOOK_S: Final = 0.1
_LEVELS: Final[dict[Severity, int]] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_TEXTS: Final = {
    "model_path": "checkpoint",
    "embodiment_tag": "embodiment tag as the server's option spells it; else the embodiment's",
    "device": "such as cuda:0",
    "python": "interpreter of the server's environment",
    "working_directory": "such as a checkout of Isaac-GR00T",
    "host": "address to serve on",
}


def main(argv: Sequence[str]) -> int:
    """Keep the server running until SIGINT or SIGTERM; 0 then, 1 where it cannot run."""
    options = _parser().parse_args(argv)
    start_log()
    wake = Wake()
    wake.set_on(signal.SIGINT, signal.SIGTERM)
    try:
        profile = load_profile(options.profile)
        if options.embodiment is not None:
            tag = options.embodiment_tag or profile.embodiment_tag
            robot = load_embodiment(options.embodiment)
            profile = replace(profile, embodiment_tag=tag).serving(robot)
        supervisor = Supervisor(
            profile,
            Overrides(port=options.port, **{name: getattr(options, name) for name in _TEXTS}),
            lambda severity, text: log.log(_LEVELS[severity], "%s", text),
            accept_noncommercial=options.accept_noncommercial,
        )
    except Gr00tError as error:
        log.error("%s", error)
        return 1
    supervisor.start()
    try:
        return _watch(supervisor, wake)
    finally:
        supervisor.stop()
        supervisor.join()
        wake.close()


def _watch(supervisor: Supervisor, wake: Wake) -> int:
    poller = select.poll()
    poller.register(wake.reader, select.POLLIN)
    told: int | None = None
    while not wake.asked:
        state = supervisor.state()
        if state.phase is Phase.FAILED:
            return 1
        if state.ready and told != state.pid:
            told = state.pid
            print(f"READY {server_address(state.host, state.port)}", flush=True)
        poller.poll(_LOOK_S * 1e3)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar start",
        description="Start a policy server in an environment of its own, restart it when it "
        "crashes, and end it with this command. Options win over the profile.",
    )
    parser.add_argument("profile", help="name of a file in config/sidecar, or a path")
    for name, text in _TEXTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=text)
    parser.add_argument("--embodiment", metavar="NAME|FILE", help="the robot that is to be served")
    parser.add_argument("--port", type=int, help="TCP port, 0 for a free one")
    parser.add_argument(
        "--accept-noncommercial",
        action="store_true",
        help=f"my use of non-commercial weights is non-commercial; else {ENVIRONMENT_VARIABLE}=1",
    )
    return parser
