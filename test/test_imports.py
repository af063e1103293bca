"""Imports run one way between rooms, and pure rooms stay free of ROS, sockets, clocks and locks.

Reads the sources (AST) and imports nothing of the package.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gr00t_ros"
ARCHITECTURE = (PACKAGE.parent / "ARCHITECTURE.md").read_text()

ROS = frozenset(
    "ament_index_python builtin_interfaces control_msgs controller_manager_msgs cv_bridge "
    "diagnostic_msgs geometry_msgs gr00t_ros.msg gr00t_ros.srv launch lifecycle_msgs nav_msgs "
    "rcl_interfaces rclpy rosgraph_msgs sensor_msgs std_msgs std_srvs trajectory_msgs "
    "visualization_msgs".split()
)
# Rooms, innermost first: a room imports rooms above it in this list only. Beside each, the
# packages outside Python's own that it may import.
ROOMS: dict[str, frozenset[str]] = {
    "": frozenset(),  # errors, command_line, folder, starting, middleware, witness, text_table
    "robot": frozenset({"numpy", "yaml"}),
    "observe": frozenset({"numpy"}),
    "motion": frozenset({"numpy"}),
    "collide": frozenset({"numpy", "mujoco", "trimesh"}),
    "watch": frozenset({"numpy"}),
    "session": frozenset({"numpy"}),
    "wire": frozenset({"numpy", "msgpack", "zmq"}),
    "dataset": frozenset({"numpy", "pyarrow", "av"}),
    "serve": frozenset({"numpy", "msgpack", "zmq", "torch", "lerobot"}),
    "proxy": frozenset({"numpy", "cv2", "msgpack", "zmq"}),
    "supervise": frozenset({"torch", "yaml"}),
    "pool": frozenset({"numpy", "ray", "zmq"}),
    "sidecar": frozenset({"numpy", "yaml"}),
    "trace": frozenset({"perfetto"}),
    "ros": frozenset({"numpy"}) | ROS,
    "inputs": frozenset({"numpy", "cv2"}) | ROS,
    "graph": frozenset({"numpy"}) | ROS,
    "node": frozenset({"numpy"}) | ROS,
    "stream": frozenset({"numpy", "msgpack"}) | ROS,
    "tools": frozenset({"numpy", "yaml", "cv2"}) | ROS,
    "bags": frozenset({"rosbags"}) | ROS,
    "record": frozenset({"numpy", "rosbags", "yaml"}) | ROS,
    "convert": frozenset({"numpy"}) | ROS,
    "evaluate": frozenset({"numpy", "matplotlib", "ray"}) | ROS,
    "layout": frozenset({"yaml"}),
    "web": frozenset({"numpy", "cv2", "aiohttp"}) | ROS,
    "sim": frozenset(
        {"numpy", "cv2", "mujoco", "trimesh", "fast_simplification", "msgpack", "libero"}
    )
    | ROS,
    "demo": frozenset({"numpy", "cv2", "yaml"}) | ROS,
    "rollout": frozenset({"numpy", "cv2"}) | ROS,
}
# Rooms that know nothing of each other although one stands above the other.
STRANGERS = frozenset(
    {
        *(("sim", "bags"), ("demo", "bags"), ("sim", "node"), ("sim", "tools")),
        *(("sim", "record"), ("sim", "convert"), ("sim", "evaluate"), ("demo", "evaluate")),
    }
)
# Pure rooms take `now_ns` and return values; their callers have the clock, threads and files.
PURE = frozenset({"robot", "observe", "motion", "collide", "watch", "session"})
IMPURE = frozenset(
    "asyncio concurrent ctypes datetime http io logging multiprocessing os pathlib queue random "
    "select signal socket subprocess tempfile threading time urllib".split()
)
# Files of the pure rooms that read files, and nothing else that is not pure.
READERS = {
    "robot/files.py": frozenset({"os", "pathlib"}),
    "robot/data_file.py": frozenset({"os", "pathlib"}),
    "collide/files.py": frozenset({"os", "pathlib"}),
}
# Sockets belong to few files; everything else sees bytes.
WITH_ZMQ = frozenset(
    {
        *("wire/client.py", "wire/curve.py", "serve/front.py", "serve/server.py"),
        *("proxy/proxy.py", "proxy/upstream.py", "pool/pool.py", "pool/served_policy.py"),
    }
)


def imported(source: str, package: str) -> Iterator[str]:
    """Absolute dotted names of everything that `source`, a file in `package`, imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_by_name(source: str) -> Iterator[str]:
    """Names that are given to `import_module` as they stand in the source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called == "import_module":
                yield str(node.args[0].value)


def room_of(parts: list[str]) -> str:
    """The room of a dotted name of the package: "" for the modules beside the rooms."""
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def complaints(file: str, source: str) -> list[str]:
    """What is wrong with the imports of `room/.../name.py`, one line each."""
    package = ".".join(["gr00t_ros", *file.split("/")[:-1]])
    names = list(imported(source, package))
    return [f"{file} imports {name}: {why}" for name in names if (why := _complaint(file, name))]


def _complaint(file: str, name: str) -> str:
    room = file.split("/")[0] if "/" in file else ""
    parts = name.split(".")
    if parts[0] == "gr00t_ros" and (len(parts) == 1 or parts[1] not in ("msg", "srv")):
        return _between_rooms(room, room_of(parts))
    if parts[0] in sys.stdlib_module_names:
        forbidden = IMPURE - READERS.get(file, frozenset()) if room in PURE else frozenset()
        return "a pure room has none of it" if parts[0] in forbidden else ""
    if parts[0] == "zmq" and file not in WITH_ZMQ:
        return f"only {sorted(WITH_ZMQ)} may"
    known = ".".join(parts[:2]) if parts[0] == "gr00t_ros" else parts[0]
    return "" if known in ROOMS[room] else f"{room} may import {sorted(ROOMS[room])}"


def _between_rooms(room: str, other: str) -> str:
    order = list(ROOMS)
    if order.index(other) > order.index(room):
        return f"{other} stands below {room} in the list of rooms"
    return "these rooms know nothing of each other" if (room, other) in STRANGERS else ""


FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_imports_run_in_one_direction(file):
    """No file imports from a room below its own, nor what its room has nothing to do with."""
    assert complaints(file, (PACKAGE / file).read_text()) == []


def imports_at_start(module: str, known: dict[str, Path]) -> set[str]:
    """Modules of the package that are loaded while `module` is."""
    package = module.rpartition(".")[0]
    tree = ast.parse(known[module].read_text())
    ahead = "\n".join(
        ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    )
    found = set()
    for name in imported(ahead, package):
        found |= {name, name.rpartition(".")[0]} & set(known)
    return found - {module}


def test_no_file_imports_itself_by_way_of_others():
    """Files import each other in an order, inside a room as well."""
    known = {
        ".".join(("gr00t_ros", *Path(file).with_suffix("").parts)): PACKAGE / file
        for file in FILES
        if not file.endswith("__init__.py")
    }
    left = {module: imports_at_start(module, known) for module in known}
    while ready := {module for module, needs in left.items() if not needs & set(left)}:
        left = {module: needs for module, needs in left.items() if module not in ready}
    assert left == {}


def test_rooms_are_small_enough_to_look_through():
    """No folder has more than 16 files, and every folder is a room of the list."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert {f.relative_to(PACKAGE).parts[0] for f in folders if f != PACKAGE} == set(ROOMS) - {""}
    assert {
        f.name: len(list(f.glob("*.py"))) for f in folders if len(list(f.glob("*.py"))) > 16
    } == {}


def listed_files() -> set[str]:
    """The files that ARCHITECTURE.md lists below each room, as `room/name`."""
    room, found = "", set()
    for line in ARCHITECTURE.splitlines():
        if match := re.match(r"\*\*(\w+)\*\*: ", line):
            room = match[1]
        elif room and (match := re.match(r"- `([\w/]+)`: ", line)):
            found.add(f"{room}/{match[1]}")
        elif line.startswith("## Read"):
            break
    return found


def test_architecture_lists_every_file():
    """A stranger finds each file with what it holds, and no file that is gone."""
    files = {file.removesuffix(".py") for file in FILES if "/" in file}
    assert listed_files() == {file for file in files if not file.endswith("__init__")}


def listed_texts() -> Iterator[tuple[str, str]]:
    """(room/name, what ARCHITECTURE.md says that the file holds)."""
    room = ""
    for line in ARCHITECTURE.partition("## Read")[0].splitlines():
        if match := re.match(r"\*\*(\w+)\*\*: ", line):
            room = match[1]
        elif room and (match := re.match(r"- `([\w/]+)`: (.*)", line)):
            yield f"{room}/{match[1]}", match[2]


def test_architecture_says_of_each_file_what_the_file_says():
    """The first sentence of its docstring: a list of its own would go stale."""
    texts = dict(listed_texts())
    assert texts.keys() == listed_files()
    for name, text in texts.items():
        said = ast.get_docstring(ast.parse((PACKAGE / f"{name}.py").read_text())) or ""
        first = " ".join(said.partition("\n\n")[0].split())
        assert text.rstrip(".") == first.rstrip("."), name


def test_the_reading_orders_are_short_and_whole():
    """A picture's way is read in at most 28 files and a watch in at most 7; all are there."""
    part = ARCHITECTURE.partition("## Read these in this order")[2].partition("\n## ")[0]
    ways = [re.findall(r"`([\w/]+)`", text) for text in part.split("\n\n") if "\u2192" in text]
    assert [len(way) for way in ways] == [len(set(way)) for way in ways]
    assert len(ways) == 2 and len(ways[0]) <= 28 and len(ways[1]) <= 7
    assert {f"{name}.py" for way in ways for name in way} <= set(FILES)


def calls_by_name(source: str) -> set[str]:
    """What `source` calls that needs no import and is not pure."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    return names & {"open", "print", "exec", "eval", "input"}


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.split("/")[0] in PURE and file not in READERS]
)
def test_pure_rooms_open_no_file(file):
    """`open` needs no import, so it is looked for by name, in sub-folders of a room too."""
    assert calls_by_name((PACKAGE / file).read_text()) == set()


def test_what_needs_no_import_is_found():
    """The check can fail, and does not look at methods and text."""
    assert calls_by_name("def late():\n    return open('x')") == {"open"}
    assert calls_by_name("valve.open()\n'print(1)'") == set()


# Tests that mean one folder alone: how many files it has, and what stands beside one file.
OF_ONE_FOLDER = {"test_imports.py", "test_launcher.py"}


def test_checks_of_sources_look_into_sub_folders():
    """A file that moves into a sub-folder of its room is checked as before."""
    tests = Path(__file__).parent.rglob("*.py")
    flat = {path.name for path in tests if re.search(r"\.glob\(.\*\.py", path.read_text())}
    assert flat == OF_ONE_FOLDER


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("motion/plan.py", "import time"),
        ("motion/plan.py", "import os.path"),
        ("motion/pose/course.py", "from datetime import datetime"),
        ("robot/contact/sources.py", "import random"),
        ("collide/files.py", "import urllib.request"),
        ("watch/arm.py", "import http.client"),
        ("session/session.py", "import ctypes"),
        ("motion/plan.py", "from threading import Lock"),
        ("motion/plan.py", "import rclpy"),
        ("motion/plan.py", "from gr00t_ros.wire import codec"),
        ("motion/plan.py", "from gr00t_ros import ros"),
        ("motion/plan.py", "from ..wire.codec import encode"),
        ("motion/plan.py", "from gr00t_ros.session.session import Session"),
        ("motion/plan.py", "def late():\n    from gr00t_ros.session import session"),
        ("robot/limits.py", "import pathlib"),
        ("robot/files.py", "import time"),
        ("robot/rotation.py", "from gr00t_ros.motion import plan"),
        ("errors.py", "from gr00t_ros.robot import limits"),
        ("wire/codec.py", "import zmq"),
        ("wire/client.py", "from gr00t_ros.msg import PolicyStatus"),
        ("wire/client.py", "from gr00t_ros.ros.qos import STATUS"),
        ("node/node.py", "import gr00t_ros.sim.physics"),
        ("node/node.py", "import mujoco"),
        ("sim/vision.py", "import torch"),
        ("sim/robot.py", "from gr00t_ros.bags.bag import open_bag"),
        ("sim/robot.py", "from gr00t_ros.node import node"),
        ("bags/play.py", "from gr00t_ros.sim.loop import Pace"),
        ("inputs/inputs.py", "from gr00t_ros.bags import bag"),
        ("inputs/inputs.py", "import rosbags"),
    ],
)
def test_a_wrong_import_is_found(file, line):
    """The check can fail, for each kind of wrong import and form of the statement."""
    assert len(complaints(file, line)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("motion/plan.py", "from gr00t_ros.errors import PlanError"),
        ("motion/plan.py", "from gr00t_ros import errors\nfrom . import sampler"),
        ("motion/plan.py", "import math\nimport numpy as np"),
        ("robot/files.py", "import os, pathlib, yaml"),
        ("wire/client.py", "import zmq, time\nfrom gr00t_ros.observe import modality"),
        ("node/node.py", "from gr00t_ros.wire.link import LinkWorker"),
        ("sim/robot.py", "from gr00t_ros.srv import InjectFault\nfrom .physics import World"),
    ],
)
def test_a_right_import_is_let_pass(file, line):
    """Nor does it complain about everything."""
    assert complaints(file, line) == []
