"""Which transports of Fast DDS a process uses: shared memory for camera images only.

Participants on one host share locks in shared memory. A process that is killed or stopped while it
holds one delays its own last messages, and blocks others that use the lock. Seen with Fast DDS 2.14
on two busy cores: of 300 killed publishers 6 had their last messages delivered 38 to 310 ms late, a
publisher to a killed node stood still for a second, and a topic stayed silent for good. A window
that late is a step. UDP has no lock that a process could hold: beside the same load no message of
400 killed publishers was later than 31 ms, the scheduler's own delay.

So commands, joint states and everything else go by UDP, and images, which are large and move
nothing, through a participant of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.files import config_folders

Variables = Mapping[str, str | None]

PROFILES: Final = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""The variables that name a file of profiles, of Fast DDS 2 (Jazzy) and of 3 (from Kilted on)."""
TRANSPORTS_VARIABLE: Final = "FASTDDS_BUILTIN_TRANSPORTS"
RANGE: Final = "ROS_AUTOMATIC_DISCOVERY_RANGE"
LOOPBACK_ONLY: Final = "ROS_LOCALHOST_ONLY"
# All are read when a participant is created, which is at the first node of a context.
_USERS: Final = {
    name: os.environ.get(name) for name in (TRANSPORTS_VARIABLE, RANGE, LOOPBACK_ONLY, *PROFILES)
}
_LOOPBACK_FILE: Final = "fastdds_loopback.xml"


def without_shared_memory(users: Variables, loopback: str, profiles: str) -> dict[str, str | None]:
    """The variables with which participants have no shared memory; None: not set.

    users: the variables as the user has set them.
    profiles: the variable that names a file of profiles; without it, LOCALHOST would become every
    interface.
    loopback: a file of profiles with UDP on the loopback interface. It takes the place of the range
    LOCALHOST, for which rmw_fastrtps adds shared memory whatever the other variables say.
    """
    version = "UDPv6" if (users.get(TRANSPORTS_VARIABLE) or "").upper().endswith("V6") else "UDPv4"
    found: dict[str, str | None] = {TRANSPORTS_VARIABLE: version}
    if (users.get(RANGE) or "").upper() == "LOCALHOST" or users.get(LOOPBACK_ONLY) == "1":
        found |= {RANGE: "SYSTEM_DEFAULT", LOOPBACK_ONLY: None}
        found |= dict.fromkeys(PROFILES) | {profiles: loopback}
    return found


def avoid_shared_memory() -> None:
    """Create the participants of this process from now on without shared memory.

    Raises SettingsError if the package's profile file is not installed.
    """
    if not get_rmw_implementation_identifier().startswith("rmw_fastrtps"):
        return
    files = [folder / _LOOPBACK_FILE for folder in config_folders("")]
    loopback = next((file for file in files if file.is_file()), None)
    if loopback is None:
        folders = ", ".join(str(file.parent) for file in files)
        raise SettingsError(f"{_LOOPBACK_FILE}: no such file in {folders}; install gr00t_ros again")
    _set_environment(without_shared_memory(_USERS, str(loopback), profiles_variable()))


class ImageNode:
    """A node beside `node` that only subscribes to images, with the transports of the user.

    Nothing spins it: its subscriptions are pulled. It does not remap: give it resolved names.
    """

    def __init__(self, node: Node) -> None:
        self._context = rclpy.Context()
        with _users_transports():
            rclpy.init(
                args=[],
                context=self._context,
                domain_id=node.context.get_domain_id(),
                signal_handler_options=SignalHandlerOptions.NO,
            )
            self.node = rclpy.create_node(
                f"{node.get_name()}_images",
                context=self._context,
                namespace=node.get_namespace(),
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
            )

    def destroy(self) -> None:
        """Destroy the node and its participant."""
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


def profiles_variable() -> str:
    """The one of PROFILES that this process' Fast DDS reads.

    With the one of version 2, version 3 prints a warning for each process. The libraries tell the
    versions apart: 2 is libfastrtps.so.
    """
    get_rmw_implementation_identifier()  # loads the library
    return PROFILES["/libfastrtps.so" not in Path("/proc/self/maps").read_text()]


@contextmanager
def _users_transports() -> Iterator[None]:
    """Create participants in the block with the transports of the user's environment."""
    own = {name: os.environ.get(name) for name in _USERS}
    _set_environment(_USERS)
    try:
        yield
    finally:
        _set_environment(own)


def _set_environment(values: Variables) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
