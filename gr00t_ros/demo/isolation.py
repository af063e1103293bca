"""A ROS domain for one run alone, on this machine only: it cannot command a real robot."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import rclpy
from rclpy.context import Context

from gr00t_ros.errors import SettingsError
from gr00t_ros.ros.join import join_as_client

DOMAINS = range(1, 102)
"""0 is the default of all programs; above 101 the ports of DDS are ephemeral ones."""

_LOOK_S = 2.0  # discovery on one machine; on a busy one it takes more than a second
_TRIES = 5
# These settings name networks, peers or servers, and would undo the restriction to this machine.
_LEADING_OUT = (
    "CYCLONEDDS_URI",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "ROS_DISCOVERY_SERVER",
    "ROS_LOCALHOST_ONLY",
    "ROS_STATIC_PEERS",
    "ROS_SUPER_CLIENT",
    "ZENOH_ROUTER_CONFIG_URI",
    "ZENOH_SESSION_CONFIG_URI",
)


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS_DOMAIN_ID without any other node, set in the environment while the block runs.

    Discovery is restricted to this machine. The domain of the environment is never used: the user's
    robot may be there. Raises SettingsError if no domain without other nodes is found.
    """
    before = dict(os.environ)
    given = before.get("ROS_DOMAIN_ID", "0")
    try:
        for domain in random.sample([one for one in DOMAINS if str(one) != given], _TRIES):
            with _locked(domain) as ours:
                _replace_environment(_restricted(before, domain))
                if ours and not _others(domain):
                    yield domain
                    return
        raise SettingsError(
            f"ROS_DOMAIN_ID: got other ROS nodes in each of {_TRIES} domains on this machine, "
            "expected one without; end the programs that are left running"
        )
    finally:
        _replace_environment(before)


def _replace_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _restricted(environment: Mapping[str, str], domain: int) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name not in _LEADING_OUT}
    if "zenoh" in kept.get("RMW_IMPLEMENTATION", ""):
        del kept["RMW_IMPLEMENTATION"]  # it ignores the discovery range; the default does not
    return {**kept, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def _locked(domain: int) -> Iterator[bool]:
    """Whether no other run of this kind on this machine has the domain; it is ours in the block."""
    # An abstract socket is a lock that ends with its process, however that ends.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        try:
            lock.bind(f"\0gr00t_ros_domain_{domain}")
            ours = True
        except OSError:
            ours = False
        yield ours


def _others(domain: int) -> list[str]:
    """The other nodes in a domain, after a short look."""
    context = Context()
    join_as_client(context=context, domain_id=domain)
    node = rclpy.create_node("gr00t_looks_for_others", context=context, enable_rosout=False)
    try:
        time.sleep(_LOOK_S)
        return [name for name in node.get_node_names() if name != node.get_name()]
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
