"""Imports run one way between rooms, and pure rooms stay free of ROS, sockets, clocks and locks.

Reads the sources (AST) and imports nothing of the package.
"""

import ast
import functools
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
    # errors, command_line, folder, starting, signals, middleware, witness, text_table
    "": frozenset(),
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
    "inputs": frozenset({"numpy", "cv2", "tf2_ros"}) | ROS,
    "graph": frozenset({"numpy", "moveit_msgs"}) | ROS,
    "node": frozenset({"numpy"}) | ROS,
    "stream": frozenset({"numpy", "msgpack"}) | ROS,
    "tools": frozenset({"numpy", "yaml", "cv2"}) | ROS,
    "bags": frozenset({"rosbags"}) | ROS,
    "record": frozenset({"numpy", "rosbags", "yaml"}) | ROS,
    "convert": frozenset({"numpy", "tf2_ros"}) | ROS,
    "evaluate": frozenset({"numpy", "matplotlib", "ray"}) | ROS,
    "layout": frozenset({"yaml"}),
    "web": frozenset({"numpy", "cv2", "aiohttp"}) | ROS,
    "sim": frozenset(
        {"numpy", "cv2", "mujoco", "trimesh", "fast_simplification", "msgpack", "libero", "tf2_ros"}
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
# Modules beside the rooms that are as pure: the only ones of those that a pure room may import.
PURE_BESIDE = frozenset({"errors.py", "text_table.py"})
IMPURE = frozenset(
    "asyncio concurrent ctypes datetime fcntl glob http importlib io logging mmap multiprocessing "
    "os pathlib queue random secrets select selectors shutil signal socket socketserver sqlite3 "
    "ssl subprocess tempfile threading time urllib uuid".split()
)
# Files of the pure rooms that read files, and nothing else that is not pure.
READERS = {
    "robot/files.py": frozenset({"os", "pathlib"}),
    "robot/data_file.py": frozenset({"os", "pathlib"}),
    "collide/files.py": frozenset({"os", "pathlib"}),
}
# Files that import by a name which is not in their text, and where it comes from.
COMPUTED = {
    "command_line.py": "a command's place, from a table: test_every_verb_has_a_function",
    "serve/policies.py": "MODULE:FACTORY of a policy of one's own",
    "bags/message_types.py": "a message type that a bag names",
    "stream/points.py": "a message type that an output names",
    "supervise/in_server/nf4.py": "torch, transformers and bitsandbytes; the module of a server",
    "bench/__main__.py": "a benchmark, from the command line",
}
# Folders beside the package, and the packages that each may import beside Python's own and ours.
# They may import every room, and of each other only what is named here.
BESIDE: dict[str, frozenset[str]] = {
    "launch": frozenset({"launch", "launch_ros"}),
    "bench": frozenset({"bench", "numpy", "yaml", "cv2", "msgpack", "zmq", "ray", "aiohttp"}) | ROS,
    "examples/small_policy": frozenset({"examples.small_policy", "numpy", "cv2", "av"})
    | {"pyarrow", "torch"},
    "examples/loop": frozenset({"examples.loop", "examples.small_policy", "numpy", "cv2", "av"})
    | {"matplotlib"}
    | ROS,
}
# Sockets belong to few files; everything else sees bytes.
WITH_ZMQ = frozenset(
    {
        *("wire/client.py", "wire/curve.py", "serve/front.py", "serve/server.py"),
        *("proxy/proxy.py", "proxy/upstream.py", "pool/pool.py", "pool/served_policy.py"),
    }
)


@functools.lru_cache(4)
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All nodes of the syntax tree of `source`; several questions are asked of the same one."""
    return tuple(ast.walk(ast.parse(source)))


def imported(source: str, package: str) -> Iterator[str]:
    """Absolute dotted names of everything that `source`, a file in `package`, imports."""
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


BY_NAME = ("import_module", "__import__")


def imported_by_name(source: str) -> Iterator[str]:
    """Names that are given to `import_module` or `__import__` as they stand in the source."""
    yield from (name for _, name in _imports_by_name(source) if name)


def imports_computed(source: str) -> int:
    """How often `source` mentions one of BY_NAME without a name of a module as text."""
    known = [func for func, name in _imports_by_name(source) if name]
    mentions = [node for node in nodes(source) if _called(node) in BY_NAME]
    return len(mentions) - len(known)


def _imports_by_name(source: str) -> Iterator[tuple[ast.expr, str]]:
    """The function of each call of BY_NAME with its name of a module, "" if that is no text."""
    for node in nodes(source):
        if isinstance(node, ast.Call) and _called(node.func) in BY_NAME:
            named = [*node.args, *(word.value for word in node.keywords if word.arg == "name")]
            text = isinstance(named[0], ast.Constant) if named else False
            yield node.func, str(named[0].value) if text else ""


def _called(node: ast.AST) -> str:
    """`f` of `f` and of `module.f`; the alias of an import counts as `f`."""
    if isinstance(node, ast.alias):
        return node.name if node.asname else ""
    return getattr(node, "attr", getattr(node, "id", ""))


def room_of(parts: list[str]) -> str:
    """The room of a dotted name of the package: "" for the modules beside the rooms."""
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def complaints(file: str, source: str) -> list[str]:
    """What is wrong with the imports of `room/.../name.py`, one line each."""
    package = ".".join(["gr00t_ros", *file.split("/")[:-1]])
    names = [*imported(source, package), *imported_by_name(source)]
    return [f"{file} imports {name}: {why}" for name in names if (why := _complaint(file, name))]


def _complaint(file: str, name: str) -> str:
    room = file.split("/")[0] if "/" in file else ""
    parts = name.split(".")
    pure = room in PURE or file in PURE_BESIDE
    if parts[0] == "gr00t_ros" and (len(parts) == 1 or parts[1] not in ("msg", "srv")):
        if pure and parts[1:] and f"{parts[1]}.py" in set(FILES) - PURE_BESIDE:
            return f"of the modules beside the rooms it may import {sorted(PURE_BESIDE)}"
        return _between_rooms(room, room_of(parts))
    if parts[0] in sys.stdlib_module_names:
        forbidden = IMPURE - READERS.get(file, frozenset()) if pure else frozenset()
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


@pytest.mark.parametrize("folder", BESIDE)
def test_folders_beside_the_package_import_what_they_may(folder):
    """Launch files, benchmarks and examples have no dependency that nobody has looked at."""
    found = set()
    for path in (PACKAGE.parent / folder).rglob("*.py"):
        package = ".".join(path.relative_to(PACKAGE.parent).parts[:-1])
        source = path.read_text()
        found |= {*imported(source, package), *imported_by_name(source)}
    assert found and outside(folder, found) == []


def outside(folder: str, names: set[str]) -> list[str]:
    """The names that a folder beside the package may not import."""
    known = {*BESIDE[folder], *sys.stdlib_module_names, "gr00t_ros"}
    return sorted(name for name in names if not starts(name) & known)


def starts(name: str) -> set[str]:
    """The first part of a dotted name, and its first two."""
    return {name.split(".")[0], ".".join(name.split(".")[:2])}


def test_an_import_of_a_folder_beside_the_package_is_found():
    """The check can fail: examples do not import benchmarks, nor these what nobody installs."""
    assert outside("examples/loop", {"bench.paired", "json", "gr00t_ros.wire"}) == ["bench.paired"]
    assert outside("examples/small_policy", {"examples.loop.plant"}) == ["examples.loop.plant"]
    assert outside("launch", {"launch.actions.Node", "yaml"}) == ["yaml"]


def test_nothing_imports_by_a_name_that_cannot_be_checked():
    """But for a few files, whose names come from outside; an entry that is needless goes."""
    root = PACKAGE.parent
    paths = [*PACKAGE.rglob("*.py"), *(p for f in BESIDE for p in (root / f).rglob("*.py"))]
    found = {path for path in paths if imports_computed(path.read_text())}
    names = {str(path.relative_to(root)).removeprefix("gr00t_ros/") for path in found}
    assert names == set(COMPUTED)
    assert not [name for name in COMPUTED if name.split("/")[0] in PURE]


@pytest.mark.parametrize(
    ("source", "names", "computed"),
    [
        ("import_module('a.b')", ["a.b"], 0),
        ("importlib.import_module(name='a')\n__import__('b')", ["a", "b"], 0),
        ("import_module(f'a.{b}')", [], 1),
        ("list(map(importlib.import_module, names))", [], 1),
        ("from importlib import import_module as f\nf(name)", [], 1),
        ("from importlib import import_module\nimport_module('a')", ["a"], 0),
        ("__import__(name)", [], 1),
    ],
)
def test_imports_by_name_are_found(source, names, computed):
    """As text where they can be checked, else counted."""
    assert (list(imported_by_name(source)), imports_computed(source)) == (names, computed)


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


def threads_of(source: str) -> Iterator[str]:
    """Names of the threads that `source` makes, as they stand in it: `gr00t_pull` is pull."""
    for node in nodes(source):
        if isinstance(node, ast.Call) and _called(node.func) in ("Thread", "PeriodicThread"):
            words = [word.value for word in node.keywords if word.arg == "name"]
            for word in [*words, *node.args[:1]]:
                if isinstance(word, ast.Constant):
                    yield str(word.value).removeprefix("gr00t_")


def test_the_table_of_threads_has_each_thread_of_the_node():
    """Those that the room node makes, and three whose name is not there: see the table."""
    part = ARCHITECTURE.partition("## Threads of the node")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| (\w+)", part, re.MULTILINE)[1:]
    made = {
        name for path in (PACKAGE / "node").rglob("*.py") for name in threads_of(path.read_text())
    }
    assert made >= {"replay", "pull"}
    assert sorted(listed) == sorted({*made, "executor", "worker", "supervisor"})


def test_the_reading_orders_are_short_and_whole():
    """A picture's way is read in at most 28 files and a watch in at most 7; all are there."""
    part = ARCHITECTURE.partition("## Read these in this order")[2].partition("\n## ")[0]
    ways = [re.findall(r"`([\w/]+)`", text) for text in part.split("\n\n") if "\u2192" in text]
    assert [len(way) for way in ways] == [len(set(way)) for way in ways]
    assert len(ways) == 2 and len(ways[0]) <= 28 and len(ways[1]) <= 7
    assert {f"{name}.py" for way in ways for name in way} <= set(FILES)


def calls_by_name(source: str) -> set[str]:
    """What `source` calls that needs no import and is not pure."""
    calls = [node.func for node in nodes(source) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    return names & {"open", "print", "exec", "eval", "input", "__import__"}


@pytest.mark.parametrize(
    "file",
    [
        *(file for file in FILES if file.split("/")[0] in PURE and file not in READERS),
        *sorted(PURE_BESIDE),
    ],
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
        ("motion/plan.py", "import importlib"),
        ("motion/plan.py", "__import__('time')"),
        ("motion/plan.py", "import fcntl"),
        ("motion/plan.py", "from gr00t_ros.folder import write_whole"),
        ("robot/urdf/chain.py", "from ... import command_line"),
        ("robot/files.py", "import gr00t_ros.starting"),
        ("text_table.py", "import os"),
        ("errors.py", "from gr00t_ros.witness import Witness"),
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
        ("node/node.py", "mujoco = importlib.import_module('mujoco')"),
        ("sim/robot.py", "import_module('gr00t_ros.node.node')"),
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
        ("motion/plan.py", "from gr00t_ros.text_table import one_line\nimport gr00t_ros"),
        ("inputs/readings.py", "importlib.import_module('tf2_ros')"),
        ("robot/files.py", "import os, pathlib, yaml"),
        ("wire/client.py", "import zmq, time\nfrom gr00t_ros.observe import modality"),
        ("node/node.py", "from gr00t_ros.wire.worker import LinkWorker"),
        ("sim/robot.py", "from gr00t_ros.srv import InjectFault\nfrom .physics import World"),
    ],
)
def test_a_right_import_is_let_pass(file, line):
    """Nor does it complain about everything."""
    assert complaints(file, line) == []
