"""gr00t-sidecar ping: what answers there, in which generation, codec and keys, and how fast.

Sends ping and get_modality_config only: nothing is inferred, and no embodiment is needed.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing

from gr00t_ros.sidecar.cli.report import Report, facts, milliseconds
from gr00t_ros.sidecar.cli.target import Target, ask, question
from gr00t_ros.sidecar.handshake import Server


def main(argv: Sequence[str]) -> int:
    """Print who answers; 0, 1 where it refuses or makes no sense, 2 where nobody answers."""
    return ask(question("ping", str(__doc__).partition(":")[2].strip()), argv, _ping)


def _ping(target: Target, options: argparse.Namespace) -> Report:
    with closing(target.client("nested")) as client:
        server = client.connect()
        figures = describe(client.address, server)
    shown = figures | {
        name: f"{', '.join(entry.keys) or 'no keys'}  {_steps(entry.delta_indices)}"
        for name, entry in server.modality.items()
    }
    return Report(figures | {"modality": _modality(server)}, facts(shown))


def describe(address: str, server: Server) -> dict[str, object]:
    """Return what a connection tells of a server, for every verb alike."""
    return {
        "address": address,
        "generation": server.generation.label,
        "codec": server.array_codec,
        "ping_ms": milliseconds(server.ping_ns),
    }


def _modality(server: Server) -> dict[str, object]:
    return {
        name: {"keys": list(entry.keys), "delta_indices": list(entry.delta_indices)}
        for name, entry in server.modality.items()
    }


def _steps(delta_indices: tuple[int, ...]) -> str:
    if len(delta_indices) < 4:
        return str(list(delta_indices))
    return f"[{delta_indices[0]} .. {delta_indices[-1]}, {len(delta_indices)} steps]"
