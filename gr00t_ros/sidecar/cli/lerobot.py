"""gr00t-sidecar lerobot: serve a GR00T N1.7 checkpoint as LeRobot runs it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.sidecar.cli.serve import add_options, serve
from gr00t_ros.sidecar.lerobot_policy import INSTALL, LerobotPolicy


def main(argv: Sequence[str]) -> int:
    """Serve until stopped; 0, or 1 where it cannot start."""
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar lerobot",
        description=f"Serve a GR00T N1.7 checkpoint through LeRobot. Needs {INSTALL}.",
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FOLDER", help="a checkpoint in NVIDIA's layout")
    add("--tag", help="embodiment tag of the checkpoint; else the embodiment file's")
    add("--device", default="cuda", help="of torch (%(default)s)")
    add("--backbone", metavar="FOLDER", help="the backbone's tokenizer; else from the hub")
    add_options(parser)
    options = parser.parse_args(argv)

    def policy(embodiment: Embodiment) -> LerobotPolicy:
        tag = options.tag or embodiment.tag
        return LerobotPolicy(Path(options.checkpoint), tag, options.device, options.backbone)

    return serve(options, policy)
