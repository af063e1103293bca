"""Imports run in one direction: sim, bags -> ros -> sidecar -> core, and in core down a list.

Reads the sources (AST) and imports nothing of the package.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gr00t_ros"

ROS = frozenset(
    "ament_index_python builtin_interfaces control_msgs controller_manager_msgs cv_bridge "
    "diagnostic_msgs geometry_msgs gr00t_ros.msg gr00t_ros.srv launch lifecycle_msgs "
    "rcl_interfaces rclpy rosgraph_msgs sensor_msgs std_msgs std_srvs trajectory_msgs".split()
)
# Room -> the rooms below it and the packages beside Python's own that it may import.
ROOMS: dict[str, frozenset[str]] = {
    "core": frozenset({"numpy"}),
    "sidecar": frozenset(
        {"core", "numpy", "msgpack", "yaml", "zmq", "pyarrow", "torch", "lerobot"}
    ),
    "ros": frozenset({"core", "sidecar", "numpy", "cv2"}) | ROS,
    "sim": frozenset({"core", "sidecar", "ros", "numpy", "cv2", "mujoco"})
    | {"trimesh", "fast_simplification"}
    | ROS,
    "bags": frozenset({"core", "sidecar", "ros", "rosbags"}) | ROS,
}
# The core in the order of the data: a file imports only files above it.
CORE = (
    "errors server_error rotation turn schema scale framing limits output_types gripper command "
    "streams state_sources pose_limits pose_follower pose_output pose_course poses "
    "actions kinematics workspace unsettled embodiment "
    "modality fit buffer state joint_states writers observation "
    "chunk reference guard commands "
    "stop shaper sampler pace plan replay_settings coverage arrival planner replay "
    "low_cmd wbc_goal "
    "watchdog pause_reason settling mode session_settings stops asking session latency offset "
    "awake "
    "watch_row watch_rows_inputs watch_rows_policy watch_rows_arm watch_table watch_document "
    "shadow_error watch_camera watch_clock watch_sidecar watch_streams watch_motion watch_operator"
).split()
# The core takes `now_ns` and returns values; its caller has the clock, threads and files.
NOT_IN_CORE = frozenset(
    "asyncio concurrent io logging multiprocessing os pathlib queue select signal socket "
    "subprocess tempfile threading time".split()
)
# Sockets belong to few files; everything else sees bytes.
WITH_ZMQ = frozenset(
    f"sidecar/{name}.py"
    for name in ("client", "connection", "front", "server", "curve", "proxy", "upstream")
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


def complaints(file: str, source: str) -> list[str]:
    """What is wrong with the imports of `room/.../name.py`, one line each."""
    room = file.split("/")[0]
    package = ".".join(["gr00t_ros", *file.split("/")[:-1]])
    names = list(imported(source, package))
    return [
        f"{file} imports {name}: {why}" for name in names if (why := _complaint(file, room, name))
    ]


def _complaint(file: str, room: str, name: str) -> str:
    parts = name.split(".")
    if parts == ["gr00t_ros"]:
        return ""
    if parts[0] == "gr00t_ros" and parts[1] == room:
        return _order(file, parts[2]) if room == "core" and len(parts) > 2 else ""
    if parts[0] in sys.stdlib_module_names:
        return "the core has none of it" if room == "core" and parts[0] in NOT_IN_CORE else ""
    if parts[0] == "zmq" and room == "sidecar" and file not in WITH_ZMQ:
        return f"only {sorted(WITH_ZMQ)} may"
    if parts[0] == "gr00t_ros":
        known = ".".join(parts[:2]) if parts[1] in ("msg", "srv") else parts[1]
    else:
        known = parts[0]
    return "" if known in ROOMS[room] else f"{room} may import {sorted(ROOMS[room])}"


def _order(file: str, name: str) -> str:
    own = Path(file).stem
    if own == "__init__" or name not in CORE or own not in CORE:
        return "" if name in CORE and own in CORE else "one of them has no place in CORE"
    return "" if CORE.index(name) < CORE.index(own) else "it does not stand above it in CORE"


FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/**/*.py"))


@pytest.mark.parametrize("file", FILES)
def test_imports_run_in_one_direction(file):
    """No file imports from a room above its own, nor what its room has nothing to do with."""
    assert complaints(file, (PACKAGE / file).read_text()) == []


def test_every_core_file_has_its_place_in_the_order():
    """The list is complete and names no file that is gone."""
    files = {path.stem for path in (PACKAGE / "core").glob("*.py")} - {"__init__"}
    assert set(CORE) == files


def test_core_opens_no_file():
    """`open` needs no import, so it is looked for by name."""
    for path in (PACKAGE / "core").glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if _is_call(node)]
        names = {func.id for func in calls if isinstance(func, ast.Name)}
        assert not names & {"open", "print", "exec", "eval"}, path.name


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/plan.py", "import time"),
        ("core/plan.py", "import os.path"),
        ("core/plan.py", "from threading import Lock"),
        ("core/plan.py", "import rclpy"),
        ("core/plan.py", "from gr00t_ros.sidecar import codec"),
        ("core/plan.py", "from gr00t_ros import ros"),
        ("core/plan.py", "from ..sidecar.codec import encode"),
        ("core/plan.py", "from gr00t_ros.core.replay import Replay"),
        ("core/plan.py", "from . import replay"),
        ("core/plan.py", "def late():\n    from gr00t_ros.core import session"),
        ("core/drawer.py", "from gr00t_ros.core.errors import PlanError"),
        ("sidecar/codec.py", "import zmq"),
        ("sidecar/client.py", "from gr00t_ros.msg import PolicyStatus"),
        ("sidecar/client.py", "from gr00t_ros.ros.qos import STATUS"),
        ("ros/node.py", "import gr00t_ros.sim.physics"),
        ("ros/node.py", "import mujoco"),
        ("sim/vision.py", "import torch"),
        ("sim/robot.py", "from gr00t_ros.bags.bag import open_bag"),
        ("bags/play.py", "from gr00t_ros.sim.pace import Pace"),
        ("ros/inputs.py", "from gr00t_ros.bags import bag"),
        ("ros/inputs.py", "import rosbags"),
    ],
)
def test_a_wrong_import_is_found(file, line):
    """The check can fail, for each kind of wrong import and form of the statement."""
    assert len(complaints(file, line)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/plan.py", "from gr00t_ros.core.errors import PlanError"),
        ("core/plan.py", "from . import errors, sampler"),
        ("core/plan.py", "import math\nimport numpy as np"),
        ("sidecar/client.py", "import zmq, time\nfrom gr00t_ros.core import modality"),
        ("ros/node.py", "from gr00t_ros.sidecar.worker import Worker"),
        ("sim/robot.py", "from gr00t_ros.srv import InjectFault\nfrom .physics import World"),
    ],
)
def test_a_right_import_is_let_pass(file, line):
    """Nor does it complain about everything."""
    assert complaints(file, line) == []
