"""Whether several simulations may ask one policy server at once without harming each other.

A reset without a robot's id is one of all robots that ask the server. So a server is shared if it
keeps an episode for each robot id, and each worker has an id of its own; or if it is a pool of this
package or a proxy that makes batches, which reset nothing: what is behind them is asked by many
robots anyway. Upstream's Gr00tPolicy has no memory, but its answer does not tell it from a policy
that has one.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final
from uuid import uuid4

from gr00t_ros.errors import RefusedError, RemoteError
from gr00t_ros.evaluate.servers import ServerAccess
from gr00t_ros.wire.address import shown
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.messages import has_no_reset
from gr00t_ros.wire.robot_id import ROBOT_ID, Standing, named, standing

PROBE: Final = "eval-probe"
"""The id of each question: one place at a server, and no episode."""


def new_id() -> str:
    """The id of one worker: no other worker, run or machine has it."""
    return f"eval-{uuid4()}"


def standing_of(host: str, port: int, access: ServerAccess) -> Standing:
    """What the server does with a reset of a robot that nobody has; SHARED without a reset.

    Raises RemoteError if it answers an error, such as that it is busy, has no place for one more
    robot, or takes no such option; and what the client raises.
    """
    client = PolicyServerClient(host, port, access.timeout_ms, access.token, curve=access.curve)
    with closing(client):
        client.ping()
        try:
            return standing(client.reset(named(None, PROBE)), PROBE)
        except RemoteError as error:
            if has_no_reset(error):
                return Standing.SHARED
            raise


def refuse_shared(host: str, port: int, found: Standing, simulations: int, stateless: bool) -> None:
    """Raise RefusedError if `simulations` would reset each other's state in this server.

    stateless: the user says that the policy has no memory.
    """
    if simulations > 1 and not stateless and found is Standing.IGNORED:
        raise RefusedError(
            f"{shown(host, port)}: got {simulations} workers, expected 1: this server resets its "
            f"policy for all that ask it, and does not know {ROBOT_ID}, by which it would tell "
            "their episodes apart. Make the policy in gr00t_ros.serve.robots.Robots, start a "
            "server for each run, put a policy without a memory behind gr00t sidecar pool (or "
            "proxy --batch), or say that it has none: --stateless (Gr00tPolicy without RTC has "
            "none)"
        )
