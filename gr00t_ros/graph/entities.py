"""What a node has in the ROS graph: publishers, subscriptions, clients, services; and its timers.

rclpy keeps each of them until the node destroys it, whoever forgets it. So a part whose constructor
raises in the middle leaves entities that nobody can destroy any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.node import Node


@contextmanager
def undone_on_failure(*nodes: Node) -> Iterator[None]:
    """If the block raises, destroy what these nodes have got while it ran."""
    before = [_entities(node) for node in nodes]
    try:
        yield
    except BaseException:
        for node, kept in zip(nodes, before, strict=True):
            for entity, destroy in _entities(node).items():
                if entity not in kept:
                    destroy(entity)
        raise


def _entities(node: Node) -> dict[Any, Callable[[Any], object]]:
    """Each entity of a node with the function that destroys it."""
    found: dict[Any, Callable[[Any], object]] = {
        **dict.fromkeys(node.publishers, node.destroy_publisher),
        **dict.fromkeys(node.subscriptions, node.destroy_subscription),
        **dict.fromkeys(node.clients, node.destroy_client),
        **dict.fromkeys(node.services, node.destroy_service),
        **dict.fromkeys(node.timers, node.destroy_timer),
    }
    if isinstance(node, LifecycleNode):  # else an activation would still reach the publisher
        ours = [one for one in found if isinstance(one, LifecyclePublisher)]
        found |= dict.fromkeys(ours, node.destroy_lifecycle_publisher)
    return found
