"""Documents of a release: `python3 -m release third_party|sbom|aarch64 > FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from gr00t_ros.errors import SettingsError
from release import aarch64, sbom, third_party

DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "third_party": third_party.document,
    "sbom": sbom.document,
    "aarch64": aarch64.document,
}


def main() -> int:
    """Print the document that the command line names."""
    parser = argparse.ArgumentParser(prog="python3 -m release", description=__doc__)
    parser.add_argument("document", choices=tuple(DOCUMENTS))
    try:
        print(DOCUMENTS[parser.parse_args().document](), end="")
    except SettingsError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
