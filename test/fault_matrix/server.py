"""A policy server whose answers fail as a file says; the file is read at each request.

    python -m fault_matrix.server --policy scripted --fault-file FILE [options of gr00t sidecar]

The file holds faults as for `gr00t sidecar faulty`, separated by spaces; actions are counted from
each change of the file.
"""

import os
import sys
from pathlib import Path

from gr00t_ros.command_line import CommandParser
from gr00t_ros.serve.endpoints import Answer, Answers
from gr00t_ros.serve.faulty import Faulty, read_fault
from gr00t_ros.serve.policies import make_policy
from gr00t_ros.sidecar.serve import add_options, serve
from gr00t_ros.wire.messages import Generation


class Switched:
    """The answers of another server, with the faults that the file holds now."""

    def __init__(self, inner: Answers, file: Path, codec: str) -> None:
        self._inner, self._file, self._codec = inner, file, Generation(codec).array_codec
        self._said: str | None = None
        self._now: Answers = inner

    def answer(self, frame: bytes, max_bytes: int) -> Answer:
        """Answer with the faults of this moment."""
        said = self._file.read_text() if self._file.exists() else ""
        if said != self._said:
            faults = [read_fault(text) for text in said.split()]
            self._now = Faulty(self._inner, faults, self._codec, lambda: os._exit(70), 0)
            self._said = said
        return self._now.answer(frame, max_bytes)

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Refuse as the other server does."""
        return self._inner.refuse(text, endpoint)


def main() -> int:
    """Serve until stopped."""
    parser = CommandParser(prog="fault_matrix.server")
    parser.add_argument("--policy", required=True)
    parser.add_argument("--fault-file", type=Path, required=True)
    add_options(parser)
    options = parser.parse_args()
    return serve(
        options,
        lambda embodiment: make_policy(options.policy, embodiment),
        lambda inner: Switched(inner, options.fault_file, options.codec),
    )


if __name__ == "__main__":
    sys.exit(main())
