"""gr00t-sidecar describe: start an embodiment file from a live server's modality config.

What cannot be known from the wire is marked to be filled in; see sidecar/skeleton.py.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.cli.report import Report
from gr00t_ros.sidecar.cli.target import Target, ask, question
from gr00t_ros.sidecar.environment import EMBODIMENT_TAG
from gr00t_ros.sidecar.skeleton import skeleton


def main(argv: Sequence[str]) -> int:
    """Write the file; 0, 1 where the server makes no sense, 2 where nobody answers."""
    parser = question("describe", "Start an embodiment file from a live policy server.")
    parser.add_argument("--output", metavar="FILE", help="a new file; else stdout")
    parser.add_argument("--tag", help=f"its embodiment tag; else {EMBODIMENT_TAG}, else open")
    return ask(parser, argv, _describe)


def _describe(target: Target, options: argparse.Namespace) -> Report:
    with closing(target.client("nested")) as client:
        server = client.connect()
        source = f"{client.address} ({server.generation.label})"
    text = skeleton(server.modality, source, options.tag or target.environment.embodiment_tag)
    if not options.output:
        return Report({"yaml": text}, text.rstrip("\n"))
    try:
        with Path(options.output).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SettingsError(f"{options.output}: {error.strerror}") from error
    return Report({"file": options.output}, f"wrote {options.output}; fill in what it marks")
