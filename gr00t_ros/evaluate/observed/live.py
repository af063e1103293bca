"""The next query of a running policy node, taken from its topic ~/exchange.

It subscribes and publishes nothing. The node sends its queries as it would without it.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from gr00t_ros import __version__
from gr00t_ros.errors import NodeError, WireError
from gr00t_ros.sidecar.exchange import Exchange, read_action, read_request
from gr00t_ros.sidecar.exchange_file import Dumped
from gr00t_ros.text_table import one_line
from gr00t_ros.tools.policy_client import PolicyClient
from gr00t_ros.wire.messages import Generation

_SPIN_S: Final = 0.05
_FIND_S: Final = 10.0  # discovery of a node that is there


def next_exchange(name: str, wait_s: float) -> Dumped:
    """Return the node's next query; raises NodeError if there is none within the time.

    name: of the policy node, such as /gr00t_policy. wait_s: from when it was found.
    """
    from gr00t_ros.msg import Exchange as Message
    from gr00t_ros.ros import qos

    client = PolicyClient("/" + name.strip("/"), _FIND_S, (), threading.Event())
    try:
        client.follow()
        found: list[Any] = []
        topic = f"{client.name}/exchange"
        client.node.create_subscription(Message, topic, found.append, qos.EXCHANGE)
        end_s = time.monotonic() + wait_s
        while not found and time.monotonic() < end_s:
            client.spin(_SPIN_S)
        if not found:
            raise _silent(client, topic, wait_s)
    finally:
        client.close()
    return of_message(found[0])


def of_message(message: Any) -> Dumped:
    """Return the content of an Exchange message; raises WireError if it is none of a query."""
    try:
        generation = Generation(message.generation)
    except ValueError as error:
        raise WireError(f"exchange: generation {message.generation!r:.40}") from error
    stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
    duration = message.inference_duration
    request, reply = bytes(message.request), bytes(message.reply)
    return Dumped(
        read_request(request, generation, stamp_ns),
        Exchange(
            generation,
            message.array_codec,
            message.key_style,
            message.server,
            request,
            reply,
            read_action(reply, generation, message.key_style),
            message.token_removed,
            duration.sec * 1_000_000_000 + duration.nanosec,
        ),
        message.embodiment_tag,
        f"node of {message.robot}",
        __version__,
        {
            "video": tuple(message.video_delta_indices),
            "state": tuple(message.state_delta_indices),
        },
    )


def _silent(client: PolicyClient, topic: str, wait_s: float) -> NodeError:
    """Return the error for a node that sent no query, with its mode."""
    status = client.status
    assert status is not None  # `follow` waited for it
    publishers = client.node.count_publishers(topic)
    if not publishers:
        return NodeError(f"{topic}: nobody publishes it: is {client.name} of this gr00t_ros?")
    reason = f": {one_line(status.reason, 200)}" if status.reason else ""
    return NodeError(
        f"{client.name}: no query within {wait_s:g} s, in mode {status.mode}{reason}; it asks its "
        "server only while it is active (in shadow too), and publishes no query of more than 2 MB "
        "(its log says so)"
    )
