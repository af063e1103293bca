"""gr00t-sidecar faulty: serve a policy whose answers fail as they are told to.

Refuses to know what a fault does (sidecar/faulty.py); ends the process where one asks for it.
"""

import argparse
import logging
import os
from collections.abc import Sequence

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.cli.serve import add_options, serve, start_log
from gr00t_ros.sidecar.endpoints import Answers
from gr00t_ros.sidecar.faulty import FORM, KINDS, Faulty, read_fault
from gr00t_ros.sidecar.messages import Generation
from gr00t_ros.sidecar.policies import make_policy

CRASH_STATUS = 70


def main(argv: Sequence[str]) -> int:
    """Serve until stopped or crashed on purpose; 0, CRASH_STATUS, or 1 where it cannot start."""
    options = _parser().parse_args(argv)
    try:
        faults = [read_fault(text) for text in options.fault]
    except SettingsError as error:
        start_log()
        logging.getLogger("gr00t_ros.sidecar").error("%s", error)
        return 1
    codec = Generation(options.codec).array_codec

    def around(inner: Answers) -> Answers:
        return Faulty(inner, faults, codec, lambda: os._exit(CRASH_STATUS), options.seed)

    return serve(options, lambda embodiment: make_policy(options.policy, embodiment), around)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar faulty",
        description="A policy server that fails on purpose.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="kinds:\n" + "\n".join(f"  {kind:8} {text}" for kind, text in KINDS.items()),
    )
    parser.add_argument("--policy", default="hold", help="whose answers fail (%(default)s)")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar=FORM,
        help="as nan, drop:3, late=5000:1, error=text:5+, crash:20, nan:10%%; may be repeated",
    )
    add_options(parser)
    return parser
