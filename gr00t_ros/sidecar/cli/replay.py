"""gr00t-sidecar replay: serve the actions of a recorded dataset as a policy would."""

import argparse
from collections.abc import Sequence

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.sidecar.cli.serve import add_options, serve
from gr00t_ros.sidecar.lerobot_dataset import LeRobotDataset
from gr00t_ros.sidecar.replay import ReplayPolicy


def main(argv: Sequence[str]) -> int:
    """Serve until stopped; 0, or 1 where it cannot start."""
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar replay",
        description="Serve a dataset's actions; reset with episode_index and step_index.",
    )
    parser.add_argument(
        "--dataset", required=True, metavar="FOLDER", help="LeRobot v2 or v2.1, GR00T's flavour"
    )
    parser.add_argument(
        "--execution-horizon",
        type=int,
        default=8,
        help="steps that a client executes of each chunk (%(default)s)",
    )
    add_options(parser)
    options = parser.parse_args(argv)

    def policy(embodiment: Embodiment) -> ReplayPolicy:
        return ReplayPolicy(LeRobotDataset(options.dataset), embodiment, options.execution_horizon)

    return serve(options, policy)
