"""Whether several simulations may ask one policy server at once without harming each other.

A reset has no name of a robot, so a server that remembers its episode forgets it for all robots. A
pool of this package, and a proxy that makes batches, answer a reset themselves and say so: what is
behind them is asked by many robots anyway. A proxy without batches passes it on. Upstream's
Gr00tPolicy has no memory, but its answer does not tell it from a policy that has one.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

from gr00t_ros.errors import RefusedError, RemoteError
from gr00t_ros.evaluate.servers import Access
from gr00t_ros.wire.client import PolicyClient

SKIPPED: Final = "skipped"
"""Key in the answer of a batching proxy or a pool, which reset nothing."""


def resets(host: str, port: int, access: Access) -> bool:
    """Whether a reset reaches the policy; False behind a pool, and without a reset."""
    client = PolicyClient(host, port, access.timeout_ms, access.token, curve=access.curve)
    with closing(client):
        client.ping()
        try:
            return SKIPPED not in client.reset()
        except RemoteError:  # N1.5 has no reset
            return False


def refuse_shared(host: str, port: int, simulations: int, stateless: bool, access: Access) -> None:
    """Raise RefusedError if `simulations` would reset each other's state in this server.

    stateless: the user says that the policy has no memory. Raises as the client does if the server
    does not answer.
    """
    if simulations > 1 and not stateless and resets(host, port, access):
        raise RefusedError(
            f"{host}:{port}: got {simulations} workers, expected 1: this server resets its policy "
            "for all that ask it, and cannot tell their episodes apart. Start a server for each "
            "run, or put a policy without a memory behind gr00t sidecar pool (or proxy --batch), "
            "or say that it has none: --stateless (Gr00tPolicy without RTC has none)"
        )
