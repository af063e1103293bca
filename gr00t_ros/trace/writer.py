"""A process of its own that writes a trace: the node gives it flows as JSON, one a line.

`python -m gr00t_ros.trace.writer FILE` reads them from stdin and prints why it failed. Making the
file takes as long as it takes, and the node's threads do not wait for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gr00t_ros.command_line import DONE, MISUSE
from gr00t_ros.errors import TraceError
from gr00t_ros.trace.flow import Flow, from_plain, plain
from gr00t_ros.trace.perfetto_file import write_trace

_END = "end"
_NICE = 10  # the robot's processes go first


def lines(flows: Iterable[Flow]) -> Iterator[str]:
    """What `main` reads; the last line shows that none is missing."""
    for flow in flows:
        yield json.dumps(plain(flow)) + "\n"
    yield json.dumps(_END) + "\n"


def main(words: Sequence[str]) -> int:
    """Write the flows on stdin to the file that the only word names."""
    os.nice(_NICE)
    try:
        write_trace(Path(words[0]), _read(sys.stdin))
    except TraceError as error:
        print(error)
        return MISUSE
    return DONE


def _read(text: Iterable[str]) -> list[Flow]:
    values = [json.loads(line) for line in text]
    if not values or values[-1] != _END:
        raise TraceError("nothing was written: the node ended before it had given all observations")
    return [from_plain(value) for value in values[:-1]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
