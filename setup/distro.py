"""Which ROS 2 distribution ./dev works with: --distro, else ROS_DISTRO, else Jazzy."""

import os
import sys

DISTROS = ("jazzy", "kilted")
"""Those with wheels on PyPI; the first is taken where none is chosen."""
OPTION = "--distro"


def take_option(argv: list[str]) -> dict[str, str]:
    """Remove `--distro NAME` from `argv`; returns the environment variable that it stands for.

    It stands before the command or right behind it: further behind, arguments belong to pytest,
    Sphinx or the demo. Another name than those of DISTROS ends ./dev with status 2.
    """
    for at in (1, 2):
        option, equals, name = "".join(argv[at : at + 1]).partition("=")
        if option != OPTION:
            continue
        end = at + (1 if equals else 2)
        name = name or "".join(argv[at + 1 : end])
        if name not in DISTROS:
            print(f"./dev: {OPTION} is {name!r}, expected {' or '.join(DISTROS)}", file=sys.stderr)
            sys.exit(2)
        del argv[at:end]
        return {"ROS_DISTRO": name}
    return {}


def chosen() -> str:
    """The distribution of ROS_DISTRO; DISTROS[0] where it is not set, or names one without wheels.

    A sourced ROS 2 has set it: its libraries are kept out, so that it does no harm.
    """
    name = os.environ.get("ROS_DISTRO", "")
    return name if name in DISTROS else DISTROS[0]


def note() -> str:
    """What a user of another sourced ROS 2 should know; empty if there is nothing to say."""
    name = os.environ.get("ROS_DISTRO", "")
    if not name or name in DISTROS:
        return ""
    return (
        f"ROS_DISTRO is {name}, of which PyPI has no wheels: ./dev takes {chosen()} and nothing of "
        f"{name}. {OPTION} chooses {' or '.join(DISTROS)}; for {name} build with colcon (README.md)"
    )
