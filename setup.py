"""Serves pip only: builds with CMake as colcon does and packs the install tree in a wheel."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
NAME = "gr00t_ros"
NO_GENERATORS = """
gr00t_ros: ROS 2's message generators are not to be seen here. With ROS 2 installed use colcon.
Without: pip install -r requirements.txt, then pip install --no-build-isolation .
"""


class BinaryDistribution(Distribution):
    """Makes the wheel one of this platform: it holds compiled message libraries."""

    def has_ext_modules(self) -> bool:
        """True: pip must put the package where extension modules go."""
        return True


class CMakeBuild(build_py):
    """Builds with CMake, takes Python from the install tree and the rest as data files."""

    def run(self) -> None:
        """Build into a fresh tree, so that what was deleted in the source is not shipped."""
        if not all(map(find_spec, ("ament_package", "catkin_pkg"))):
            raise SystemExit(NO_GENERATORS)
        build = Path(self.build_lib).resolve().parent / "cmake"
        shutil.rmtree(build, ignore_errors=True)
        tree = build / "install"
        self._cmake(build, tree)
        (package,) = tree.glob(f"**/*-packages/{NAME}")
        compiled = shutil.ignore_patterns("__pycache__")  # the generators leave some
        shutil.copytree(package, Path(self.build_lib) / NAME, ignore=compiled, dirs_exist_ok=True)
        shutil.rmtree(package.parent)
        self.distribution.data_files = data_files(tree)

    def _cmake(self, build: Path, tree: Path) -> None:
        environment = dict(os.environ)
        # A virtual environment with the ROS 2 wheels is a prefix as /opt/ros/jazzy is.
        prefix = os.pathsep.join(filter(None, [sys.prefix, environment.get("AMENT_PREFIX_PATH")]))
        environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = prefix
        scripts = sysconfig.get_path("scripts")
        environment["PATH"] = os.pathsep.join([scripts, environment.get("PATH", os.defpath)])
        generator = ["-G", "Ninja"] if shutil.which("ninja", path=environment["PATH"]) else []
        options = [
            f"-DCMAKE_INSTALL_PREFIX={tree}",
            f"-DPython3_EXECUTABLE={sys.executable}",
            "-DBUILD_TESTING=OFF",
            "-DGR00T_UNITY_BUILD=ON",
        ]
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(build), *generator, *options],
            ["cmake", "--build", str(build), "--target", "install"],
        ):
            subprocess.run(command, check=True, env=environment)


def data_files(tree: Path) -> list[tuple[str, list[str]]]:
    """Every file below `tree` with its folder relative to the prefix it will lie under."""
    folders: dict[str, list[str]] = {}
    for file in sorted(path for path in tree.rglob("*") if path.is_file()):
        folder = file.parent.relative_to(tree).as_posix()
        folders.setdefault(folder, []).append(os.path.relpath(file, ROOT))
    return sorted(folders.items())


setup(
    name=NAME,
    version=ElementTree.parse(ROOT / "package.xml").findtext("version"),
    description="Runs GR00T policies on ROS 2 robots inside the robots' limits",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE", "THIRD_PARTY.md"],
    python_requires=">=3.10,<3.15",
    packages=[NAME],
    distclass=BinaryDistribution,
    cmdclass={"build_py": CMakeBuild},
    install_requires=["msgpack", "numpy", "opencv-python-headless<5", "PyYAML", "pyzmq"],
    extras_require={
        "bags": ["rosbags==0.11.9"],
        "dataset": ["rosbags==0.11.9", "pyarrow", "av"],
        "eval": ["rosbags==0.11.9", "pyarrow", "av", "matplotlib"],
        "pool": ["ray[serve]"],
        "ray": ["ray"],
        "trace": ["rosbags==0.11.9", "perfetto", "protobuf"],
        "web": ["aiohttp>=3.9"],
    },
    entry_points={
        "console_scripts": [
            "gr00t = gr00t_ros.tools.gr00t:main",
            # the names from before `gr00t` had them as verbs
            "gr00t-policy = gr00t_ros.tools.gr00t:alias",
            "gr00t-sidecar = gr00t_ros.tools.gr00t:alias",
            "gr00t-sim-robot = gr00t_ros.tools.gr00t:alias",
            "gr00t-sim-relay = gr00t_ros.tools.gr00t:alias",
            "gr00t-command-streamer = gr00t_ros.tools.gr00t:alias",
            "gr00t-streamer = gr00t_ros.tools.gr00t:alias",
            "gr00t-doctor = gr00t_ros.tools.gr00t:alias",
            "gr00t-embodiment = gr00t_ros.tools.gr00t:alias",
            "gr00t-bag = gr00t_ros.tools.gr00t:alias",
            "gr00t-record = gr00t_ros.tools.gr00t:alias",
            "gr00t-dataset = gr00t_ros.tools.gr00t:alias",
            "gr00t-autostart = gr00t_ros.tools.gr00t:alias",
            "gr00t-trace = gr00t_ros.tools.gr00t:alias",
            "gr00t-eval = gr00t_ros.tools.gr00t:alias",
            "gr00t-web = gr00t_ros.tools.gr00t:alias",
            "gr00t-layout = gr00t_ros.tools.gr00t:alias",
        ]
    },
)
