"""gr00t-sidecar keys: make CURVE key files for a server and the robots that it admits.

Prints the files' names, never a key.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.curve import new_pair
from gr00t_ros.sidecar.keys import PUBLIC, SECRET, SERVER, write_pair


def main(argv: Sequence[str]) -> int:
    """Write what is missing of the server's pair and of each robot's; 0, or 2 where it cannot."""
    options = _parser().parse_args(argv)
    folder = Path(options.folder)
    try:
        for name in dict.fromkeys((SERVER, *options.names)):
            is_new = write_pair(folder, name, *new_pair())
            print(f"{'wrote' if is_new else 'kept'} {folder / name}{PUBLIC} and {SECRET}")
    except SettingsError as error:
        print(f"gr00t-sidecar keys: {error}", file=sys.stderr)
        return 2
    print(f"The server or proxy: --keys {folder}; it admits every name here.")
    print(f"A robot needs copies of {SERVER}{PUBLIC} and of its own {SECRET} file, nothing else.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t-sidecar keys",
        description="Make CURVE keys for a server and the robots it admits; keeps those there.",
    )
    parser.add_argument("folder", help="where; made where it is not there")
    parser.add_argument("names", nargs="*", default=["robot"], help="of the robots (robot)")
    return parser
