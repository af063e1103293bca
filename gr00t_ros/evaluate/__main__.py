"""gr00t eval open-loop, libero, closed-loop and compare: the list of its verbs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gr00t_ros.command_line import Command, program, run

EVAL = Command(
    "",
    verbs={
        "open-loop": Command(
            "a policy server against recorded episodes", "evaluate.command:open_loop"
        ),
        "libero": Command(
            "LIBERO in the loop, graded: success per task", "rollout.command:libero_loop"
        ),
        "closed-loop": Command(
            "any simulation with ResetTask and TaskState, graded", "rollout.command:closed_loop"
        ),
        "compare": Command(
            "two evaluations, such as two checkpoints", "evaluate.command:compare_two"
        ),
    },
    about="Evaluates a policy without a robot.",
    example="gr00t eval open-loop --dataset-path DIR --embodiment desk6 --port 5555 --output out",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status; `--compare` is another name of `compare`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--compare"]:
        words[0] = "compare"
    return run(EVAL, "gr00t eval", words)


if __name__ == "__main__":
    sys.exit(program(main))
