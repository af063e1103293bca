"""Refuses a middleware that is not installed before rclpy is imported.

With such an RMW_IMPLEMENTATION the import of rclpy ends the process from inside C, by exit(102): no
exception is raised, and nothing that was begun is finished or reported.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from gr00t_ros.errors import SettingsError

_INDEX: Final = "share/ament_index/resource_index/rmw_typesupport"
_NO_MIDDLEWARE: Final = "rmw_implementation"  # it loads one; it is in the index too


class _Check(MetaPathFinder):
    """Finds no module, and raises SettingsError where rclpy could not be imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "rclpy":
            check_middleware()
        return None


_CHECK: Final = _Check()


def check_at_import() -> None:
    """Let every later import of rclpy raise SettingsError where `check_middleware` does."""
    if _CHECK not in sys.meta_path:
        sys.meta_path.insert(0, _CHECK)


def check_middleware() -> None:
    """Raise SettingsError if RMW_IMPLEMENTATION names a middleware that is not installed."""
    name = os.environ.get("RMW_IMPLEMENTATION", "")
    if not name:
        return
    installed = _installed()
    if name in installed or _loads(name):
        return
    known = ", ".join(sorted(installed)) or "none found"
    raise SettingsError(
        f"RMW_IMPLEMENTATION: got {name!r:.60}, expected an installed middleware ({known}); "
        "install it, or unset the variable"
    )


def _installed() -> set[str]:
    """The middlewares in ament's index; a folder that cannot be read has none."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    names: set[str] = set()
    for prefix in (*prefixes, sys.prefix):
        with suppress(OSError):
            names.update(os.listdir(os.path.join(prefix, _INDEX)))
    return names - {_NO_MIDDLEWARE}


def _loads(name: str) -> bool:
    """Whether the middleware's library is where the loader looks, although no index has it."""
    try:
        ctypes.CDLL(f"lib{name}.so")
    except OSError:
        return False
    return True
