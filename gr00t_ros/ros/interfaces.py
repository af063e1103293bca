"""Message classes of packages that only robots have, imported when an output needs them."""

from __future__ import annotations

import importlib
from typing import Any

from gr00t_ros.core.errors import SettingsError


def message_class(package: str, name: str, origin: str, kind: str = "msg") -> Any:
    """`package`.`kind`.`name`; raises SettingsError that names the package and its origin."""
    try:
        module = importlib.import_module(f"{package}.{kind}")
    except ImportError as error:
        raise SettingsError(
            f"{package}: not installed here ({error}), expected the ROS 2 package of {origin}, "
            "built and sourced before this node"
        ) from error
    found = getattr(module, name, None)
    if found is None:
        raise SettingsError(f"{package}.{kind}: has no {name}, expected that of {origin}")
    return found
