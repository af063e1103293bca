"""Interfaces of packages that only robots have, generated from minimal definitions of our own.

    def test_something(unitree_hg, processes):     # importable here and in every child


The definitions have the names and types of the fields that this package fills (unitree_ros2
eea2719), so that real messages of the same form go over real topics. They show nothing of the
robot behind them. Built once a session with CMake and the generators of the ROS 2 in use.
"""

import ctypes
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

UNITREE_HG = {
    "MotorCmd": "uint8 mode\nfloat32 q\nfloat32 dq\nfloat32 tau\nfloat32 kp\nfloat32 kd\n"
    "uint32 reserve\n",
    "LowCmd": "uint8 mode_pr\nuint8 mode_machine\nMotorCmd[35] motor_cmd\nuint32[4] reserve\n"
    "uint32 crc\n",
}
CONTROL_MSGS = {
    "GripperCommand": "float64 position\nfloat64 max_effort\n",
    "GripperCommand.action": "GripperCommand command\n---\nfloat64 position\nfloat64 effort\n"
    "bool stalled\nbool reached_goal\n---\nfloat64 position\nfloat64 effort\nbool stalled\n"
    "bool reached_goal\n",
    "ParallelGripperCommand.action": "sensor_msgs/JointState command\n---\n"
    "sensor_msgs/JointState state\nbool stalled\nbool reached_goal\n---\n"
    "sensor_msgs/JointState state\n",
}
FRANKA_MSGS = {
    "GraspEpsilon": "float64 inner\nfloat64 outer\n",
    "Grasp.action": "float64 width\nGraspEpsilon epsilon\nfloat64 speed\nfloat64 force\n---\n"
    "bool success\nstring error\n---\n",
    "Move.action": "float64 width\nfloat64 speed\n---\nbool success\nstring error\n---\n",
}
CONTROLLER_MANAGER_MSGS = {
    "ControllerState": "string name\nstring state\nstring type\n",
    "ListControllers.srv": "---\nControllerState[] controller\n",
}
_CMAKE = """cmake_minimum_required(VERSION 3.21)
project({package})
foreach(part ament_cmake rosidl_cmake rosidl_generator_c rosidl_typesupport_c
    rosidl_typesupport_introspection_c rosidl_generator_cpp rosidl_typesupport_fastrtps_cpp
    rosidl_typesupport_fastrtps_c rosidl_generator_py)
  find_package(${{part}} REQUIRED)
endforeach()
foreach(part {dependencies})
  find_package(${{part}} REQUIRED)
endforeach()
# wheels export include directories of the machine that built them
get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
list(FILTER imported INCLUDE REGEX "__rosidl_generator_py$")
foreach(target IN LISTS imported)
  get_target_property(directories ${{target}} INTERFACE_INCLUDE_DIRECTORIES)
  list(FILTER directories EXCLUDE REGEX "^/opt/python/")
  set_target_properties(${{target}} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${{directories}}")
endforeach()
rosidl_generate_interfaces(${{PROJECT_NAME}} {files} DEPENDENCIES {dependencies})
"""
_PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>{package}</name><version>0.0.0</version>
  <description>Stand-in for tests</description>
  <maintainer email="nobody@example.org">nobody</maintainer><license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <build_depend>rosidl_default_generators</build_depend>
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


def build(folder: Path, package: str, definitions: dict[str, str], *dependencies: str) -> Path:
    """The prefix under `folder` into which the interfaces of `package` were generated.

    `definitions`: name of a message, NAME.action or NAME.srv -> its text.
    """
    source, prefix = folder / package, folder / "install"
    files = {
        f"{name.partition('.')[2]}/{name}" if "." in name else f"msg/{name}.msg": definition
        for name, definition in definitions.items()
    }
    for file, definition in files.items():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_text(definition)
    (source / "package.xml").write_text(_PACKAGE.format(package=package))
    cmake = _CMAKE.format(
        package=package, files=" ".join(files), dependencies=" ".join(dependencies)
    )
    (source / "CMakeLists.txt").write_text(cmake + "ament_package()\n")
    environment = dict(os.environ)
    paths = filter(None, [sys.prefix, environment.get("AMENT_PREFIX_PATH")])
    environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = os.pathsep.join(paths)
    scripts = sysconfig.get_path("scripts")
    environment["PATH"] = os.pathsep.join([scripts, environment.get("PATH", os.defpath)])
    options = [
        f"-DCMAKE_INSTALL_PREFIX={prefix}",
        f"-DCMAKE_INSTALL_RPATH={prefix}/lib",
        f"-DPython3_EXECUTABLE={sys.executable}",
    ]
    for command in (
        ["cmake", "-S", source, "-B", folder / "build", "-G", "Ninja", *options],
        ["cmake", "--build", folder / "build", "--target", "install"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return prefix


@contextmanager
def importable(prefix: Path) -> Iterator[None]:
    """Have this process and the children it starts find the packages of `prefix`."""
    (packages,) = prefix.glob("lib/python*/site-packages")
    for library in sorted((prefix / "lib").glob("*.so")):
        ctypes.CDLL(str(library))  # what is loaded is found by its name, without a search path
    with pytest.MonkeyPatch.context() as changed:
        changed.syspath_prepend(str(packages))
        changed.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
        changed.setenv("LD_LIBRARY_PATH", str(prefix / "lib"), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def unitree_hg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """unitree_hg.msg with LowCmd and MotorCmd, to the end of the session."""
    with importable(build(tmp_path_factory.mktemp("unitree_hg"), "unitree_hg", UNITREE_HG)):
        yield


_ACTION = ("action_msgs", "unique_identifier_msgs", "service_msgs", "builtin_interfaces")
_STATES = ("std_msgs", "geometry_msgs", "sensor_msgs")


@pytest.fixture(scope="session")
def gripper_actions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """control_msgs and franka_msgs with the actions of grippers, to the end of the session."""
    folders = tmp_path_factory.mktemp("control_msgs"), tmp_path_factory.mktemp("franka_msgs")
    control = build(folders[0], "control_msgs", CONTROL_MSGS, *_ACTION, *_STATES)
    franka = build(folders[1], "franka_msgs", FRANKA_MSGS, *_ACTION)
    with importable(control), importable(franka):
        yield


@pytest.fixture(scope="session")
def controller_manager_msgs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """controller_manager_msgs with ListControllers, to the end of the session."""
    folder = tmp_path_factory.mktemp("controller_manager_msgs")
    package = "controller_manager_msgs"
    with importable(build(folder, package, CONTROLLER_MANAGER_MSGS, *_ACTION[2:])):
        yield
