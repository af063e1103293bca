"""Names of message types -> their classes, and their definitions as a bag stores them.

The definitions come from the packages on this machine (share/PACKAGE/msg), so that a recorded bag
can be read where these packages are not installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import BagMessage, missing_rosbags
from gr00t_ros.errors import BagError
from gr00t_ros.text_table import one_line


def message_class(type_name: str) -> Any:
    """The class of a type such as sensor_msgs/msg/Image; BagError if it is not installed."""
    package, kind, name = _parts(type_name)
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f"{type_name}: not importable here: {error}") from error


def read_message(message: BagMessage, message_class: Any) -> Any:
    """The message of a bag as its class; BagError with topic and bag time if it is none."""
    try:
        return deserialize_message(message.data, message_class)
    except Exception as error:  # of the middleware, whatever the bytes do to it
        raise BagError(
            f"{message.topic}: the message at {message.time_ns} ns ({len(message.data)} bytes) is "
            f"no {type_name(message_class)}: {one_line(str(error), 200)}"
        ) from error


def type_name(message_class: Any) -> str:
    """The name of a message class, as in the ROS graph and in bags."""
    package, kind, *_ = message_class.__module__.split(".")
    return f"{package}/{kind}/{message_class.__name__}"


def typestore(type_names: list[str]) -> Any:
    """A rosbags typestore of these types and of all types of their fields.

    Raises BagError for a type whose package or .msg file is missing.
    """
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise missing_rosbags(error) from error
    store = get_typestore(Stores.EMPTY)
    known = dict(store.fielddefs)
    for name in type_names:
        _collect(name, known)
    store.register({name: known[name] for name in known if name not in store.fielddefs})
    return store


def _collect(name: str, known: dict[str, Any]) -> None:
    """Add the fields of a type, and of the types of its fields, to `known`."""
    from rosbags.typesys import get_types_from_msg

    if name in known:
        return
    known.update(get_types_from_msg(_definition(name), name))
    for _, field in known[name][1]:
        for nested in _nested(field):
            _collect(nested, known)


def _nested(field: tuple[Any, Any]) -> Iterator[str]:
    kind, detail = field
    if kind.name == "NAME":
        yield detail
    elif kind.name in ("ARRAY", "SEQUENCE"):
        yield from _nested(detail[0])


def _definition(type_name: str) -> str:
    package, kind, name = _parts(type_name)
    try:
        file = _share(package) / kind / f"{name}.msg"
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BagError(f"{type_name}: its definition is not to be found: {error}") from error


def _share(package: str) -> Path:
    """The package's share folder; without a prefix path, that of the virtual environment."""
    try:
        return Path(get_package_share_directory(package))
    except (LookupError, OSError):  # PackageNotFoundError, or AMENT_PREFIX_PATH is not set
        return Path(sys.prefix, "share", package)


def _parts(type_name: str) -> tuple[str, str, str]:
    parts = type_name.split("/")
    if len(parts) != 3 or not all(parts):
        raise BagError(f"{type_name}: no message type, expected one like sensor_msgs/msg/Image")
    return parts[0], parts[1], parts[2]
