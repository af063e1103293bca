"""The demo in one command: starts robot, policy server and node, does the task, writes a report.

`python3 -m gr00t_ros.demo`, or `./dev demo`. Prints a last line with the verdict and exits 0 or 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gr00t_ros.command_line import number
from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.demo.page import start_page
from gr00t_ros.errors import Gr00tError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.sim.libero.extra import LIBERO, SUITE
from gr00t_ros.sim.robots import DEFAULT_ROBOT, ROBOTS, find_robot
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.wire.address import LOOPBACK

_GENERATIONS = ("A0", "A1", "A2", "B2", "B3")
_FACTORS = (0.25, 1.0)
"""Speeds of simulated time. Below the least, the node's watches that use its own steady clock take
inputs for late ones."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one demo; returns the process's exit status."""
    options = _options(arguments)
    if options.robot == LIBERO:
        from gr00t_ros.demo.libero import run_episode

        return run_episode(options)
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    folder = Path(options.report or f"reports/{time.strftime('%Y%m%d-%H%M%S')}-{options.seed}")
    bringup = Bringup(folder)
    avoid_shared_memory()  # a demo that was killed can have left its locks taken
    try:
        if options.watch:
            start_page(bringup)
        start(bringup, options)
        # after the start: the processes load while this one imports what it needs to follow them
        from gr00t_ros.demo.follow import finish, follow

        run = follow(bringup, options)
    except (Gr00tError, KeyboardInterrupt) as error:  # before there was anything to report
        print(f"FAILURE: {str(error) or 'interrupted'}", flush=True)
        return 1
    finally:
        bringup.end()
    return finish(run, folder, options)


def start(bringup: Bringup, options: argparse.Namespace) -> None:
    """Start robot, policy server, policy node and autostart at once, as launch does.

    None waits for another here: the node waits for its streams and checks the server, and autostart
    waits for the node.
    """
    title, folder = find_robot(options.robot).title, bringup.folder
    print(
        f"starting: simulated {title} (seed {options.seed}), policy server, node; logs in {folder}",
        flush=True,
    )
    record, slow = folder.absolute() / "record.npz", options.real_time_factor < 1.0
    world = {"robot": options.robot, "seed": options.seed, "record_path": str(record)}
    factor = {"publish_clock": True, "real_time_factor": options.real_time_factor} if slow else {}
    clock = {"use_sim_time": True} if slow else {}
    bringup.start_node("robot", {**world, **factor})
    port = free_port(LOOPBACK[0])
    bringup.serve(
        options.policy,
        *("--port", str(port), "--codec", options.codec, "--embodiment", options.embodiment),
        *("--delay-ms", str(options.delay_ms)),
        *(["--flat"] if options.flat or options.codec == "A0" else []),  # A0 has flat keys only
    )
    parameters = {
        "embodiment": options.embodiment,
        "port": port,
        "instruction": options.instruction,
        **clock,
        **({"collision": "required", "scene": options.scene} if options.scene else {}),
    }
    if load_embodiment(options.embodiment).streamed:
        bringup.start_node("commands", {"embodiment": options.embodiment, **clock})
    if options.record:
        bringup.start_recorder(options.record, options.embodiment, use_sim_time=slow)
    bringup.start_node("policy", parameters)
    bringup.start_node("autostart", {})


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--robot", default=DEFAULT_ROBOT, choices=(*ROBOTS, LIBERO))
    parser.add_argument("--seed", type=int, default=0, help="places the things on the table")
    parser.add_argument("--instruction", help="(default: the robot's own task)")
    parser.add_argument(
        "--policy", default="scripted", metavar="NAME", help="as gr00t sidecar serves it"
    )
    parser.add_argument(
        "--codec", default="B3", choices=_GENERATIONS, help="server generation (docs/sidecar.md)"
    )
    parser.add_argument("--flat", action="store_true", help="server behind the simulation wrapper")
    parser.add_argument("--embodiment", help="name or path (default: the robot's own)")
    parser.add_argument(
        "--scene", default="", metavar="NAME|FILE", help="keep clear of this scene (config/scenes)"
    )
    parser.add_argument("--delay-ms", type=int, default=0, help="added inference time")
    parser.add_argument(
        "--timeout",
        type=float,
        help="seconds until it has failed (default: 60, longer at a lower speed)",
    )
    parser.add_argument(
        "--real-time-factor",
        type=number(*_FACTORS),
        default=1.0,
        metavar="F",
        help="speed of simulated time, 0.25 to 1, for a machine that is too slow for 1 "
        f"(%(default)s; {LIBERO} has its own)",
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--record", type=Path, metavar="DIR", help="record the episode there too")
    parser.add_argument("--report", help="folder of the report (default reports/<time>-<seed>)")
    parser.add_argument("--watch", action="store_true", help="show it in a browser: gr00t web")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument("--suite", default=SUITE, help=f"of the robot {LIBERO} (%(default)s)")
    parser.add_argument("--task", type=int, default=0, help="index in its suite (%(default)s)")
    options = parser.parse_args(arguments)
    if options.robot == LIBERO:  # its tasks have their own words
        return options
    robot = find_robot(options.robot)
    if options.timeout is None:
        options.timeout = 60.0 / options.real_time_factor
    options.instruction = options.instruction or robot.instruction
    options.embodiment = options.embodiment or robot.embodiment
    return options


if __name__ == "__main__":
    sys.exit(main())
