"""gr00t sidecar: the list of its verbs. It serves policies and questions policy servers.

A word such as package.module:factory in place of a verb serves a policy of one's own.
"""

import sys
from collections.abc import Sequence

from gr00t_ros.command_line import DONE, Command, program, run

# Text, not imports: a verb imports only the modules that it needs, and so starts faster.
SIDECAR = Command(
    "",
    verbs={
        "ping": Command(
            "which server answers: generation, codec, keys, round trip", "sidecar.ask:ping"
        ),
        "check": Command(
            "whether a server fits an embodiment, key by key; nothing moves", "sidecar.ask:check"
        ),
        "bench": Command("round trip and inference time, p50 and p99", "sidecar.ask:bench"),
        "infer": Command("one inference with an observation from a file", "sidecar.ask:infer"),
        "dump": Command(
            "an observation with the server's exact answer, as a file",
            "evaluate.observed.dump:dump",
        ),
        "parity": Command(
            "does another server answer a dumped observation alike", "sidecar.parity:parity"
        ),
        "describe": Command("begin an embodiment file from a live server", "sidecar.ask:describe"),
        "start": Command(
            "start NVIDIA's or another server by its profile, as the node does",
            "sidecar.serve:start",
            DONE,
        ),
        "proxy": Command(
            "encryption, a token and limits for a server that has none",
            "sidecar.protect:proxy",
            DONE,
        ),
        "compress": Command(
            "at the robot: send pictures as JPEG to restore", "sidecar.pictures:compress", DONE
        ),
        "restore": Command(
            "at the server: plain pictures again, as for proxy", "sidecar.pictures:restore", DONE
        ),
        "pool": Command(
            "serve replicas of one policy on Ray to many robots", "sidecar.pool:pool", DONE
        ),
        "keys": Command("make CURVE key files for a server and its robots", "sidecar.protect:keys"),
        "hold": Command("serve: stay where the robot is", "sidecar.serve:hold", DONE),
        "wave": Command("serve: move every joint gently", "sidecar.serve:wave", DONE),
        "scripted": Command("serve: the task of a simulated robot", "sidecar.serve:scripted", DONE),
        "replay": Command("serve the actions of a recorded dataset", "sidecar.serve:replay", DONE),
        "lerobot": Command(
            "serve a GR00T N1.7 checkpoint through LeRobot", "sidecar.serve:lerobot", DONE
        ),
        "faulty": Command(
            "serve a policy with faults in its answers, on purpose", "sidecar.serve:faulty", DONE
        ),
    },
    about="Serve a policy in place of a GR00T server, start NVIDIA's, or ask one that runs.",
    example="gr00t sidecar wave --embodiment my_robot.yaml --port 5555",
    other=(
        "MODULE:FACTORY",
        Command("serve a policy of your own: docs/sidecar.md", "sidecar.serve:own_policy", DONE),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    return run(SIDECAR, "gr00t sidecar", sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(program(main))
