"""./dev loop: records demonstrations, trains a small policy on them, and deploys it.

The policy is worth nothing by itself. It is the test of the data: if pictures, state and actions of
the recording did not belong together, a policy trained on them would not put the cube on the plate.
A second call with the same --output continues where the first one ended.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from examples.loop import stages
from examples.loop.plant import PLANTS, fault, plant
from examples.loop.stages import Loop, StageError
from examples.loop.summary import add_time, write_summary

STAGES: dict[str, Callable[[Loop], object]] = {
    "record": stages.record,
    "convert": stages.convert,
    "plant": plant,
    "validate": stages.validate,
    "train": stages.train,
    "evaluate": stages.evaluate,
    "deploy": stages.deploy,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages; 0 when all were run, 1 when one did not reach its end."""
    options = _options(arguments)
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    loop = Loop(
        options.output.absolute(),
        options.episodes,
        options.held_out,
        options.train_minutes,
        options.threads,
        options.live,
        options.plant or "",
    )
    try:
        for name in STAGES:
            print(f"{name} ...", flush=True)
            began = time.monotonic()
            try:
                STAGES[name](loop)
            finally:
                spent_s = time.monotonic() - began
                add_time(loop, name, spent_s)
            print(f"{name}: {spent_s:.0f} s", flush=True)
            if name == options.until:
                return 0
    except StageError as error:
        print(f"./dev loop: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("./dev loop: interrupted; the same command continues", file=sys.stderr)
        return 130
    print(write_summary(loop), flush=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev loop", description=__doc__)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="folder of everything it makes")
    add("--episodes", type=int, default=80, help="to record (%(default)s)")
    add("--held-out", type=int, default=10, help="scenes of the deployment (%(default)s)")
    add("--train-minutes", type=float, default=20.0, help="(%(default)s)")
    add("--threads", type=int, default=2, help="processors of the training (%(default)s)")
    add(
        "--live",
        action="store_true",
        help="record with the real nodes in real time, instead of in lockstep",
    )
    add(
        "--plant",
        metavar="FAULT",
        type=fault,
        help=f"put a fault into what is trained on: {', '.join(PLANTS)}",
    )
    add("--until", choices=tuple(STAGES), help="end after this stage")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
