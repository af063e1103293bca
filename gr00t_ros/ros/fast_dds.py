"""Fast DDS 2 (Jazzy) and 3 (from Kilted on) read their profiles from different variables."""

from pathlib import Path
from typing import Final

from rclpy.utilities import get_rmw_implementation_identifier

PROFILES: Final = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""The environment variables that name a file of profiles, of Fast DDS 2 and of Fast DDS 3."""


def profiles_variable() -> str:
    """The one of PROFILES that this process' Fast DDS reads.

    With the one of version 2, version 3 prints a warning for each process. The libraries tell the
    versions apart: 2 is libfastrtps.so.
    """
    get_rmw_implementation_identifier()  # loads the library
    return PROFILES["/libfastrtps.so" not in Path("/proc/self/maps").read_text()]
