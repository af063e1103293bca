"""What package.xml, CMakeLists.txt, setup.py and CHANGELOG.rst say agrees with the tree."""

import ast
import functools
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_imports import ROS, imported, imported_by_name

from gr00t_ros.tools.gr00t import ALIASES, COMMANDS

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
CMAKE = (ROOT / "CMakeLists.txt").read_text()
SETUP = (ROOT / "setup.py").read_text()
# Python module -> rosdep key, where the two differ
KEYS = {
    "aiohttp": "python3-aiohttp",
    "cv2": "python3-opencv",
    "hypothesis": "python3-hypothesis",
    "matplotlib": "python3-matplotlib",
    "mujoco": "python3-mujoco-pip",
    "msgpack": "python3-msgpack",
    "numpy": "python3-numpy",
    "pytest": "python3-pytest",
    "rosbags": "python3-rosbags-pip",
    "scipy": "python3-scipy",
    "tf2_ros": "tf2_ros_py",
    "trimesh": "python3-trimesh-pip",
    "yaml": "python3-yaml",
    "zmq": "python3-zmq",
}
# No rosdep keys: launch/simulation.launch.py, dataset/parquet_file.py, dataset/video_decode.py,
# trace/perfetto_file.py and serve/lerobot_policy.py name the command that installs them.
WITHOUT_KEY = {"fast_simplification", "pyarrow", "av", "ray", "perfetto"} | {
    *("torch", "lerobot", "tokenizers", "transformers", "atheris"),
    *("packaging", "cyclonedx", "catkin_pkg"),  # of releases: no robot runs them
    "moveit_msgs",  # comes with MoveIt: graph/planning_scene.py names what to install
    "libero",  # an extra in an environment of its own: sim/libero/child.py runs in its Python
    "robosuite",  # the same: test/sim/libero/measure.py
    "child",  # sim/libero/child.py, for measure.py
    "franka_msgs",  # a robot's own, not in rosdep: test/fixtures/stand_in_interfaces.py builds one
}
OURS = {"bench", "gr00t_ros", "release"} | {
    path.stem for folder in ("test", "setup") for path in (ROOT / folder).rglob("*")
}


def declared(*tags: str) -> set[str]:
    """Dependencies of package.xml under the tags."""
    return {element.text for tag in tags for element in MANIFEST.iter(tag)}


def used(*folders: str) -> set[str]:
    """Packages that Python files of the folders import, beside Python's own and ours."""
    names = set().union(*map(imported_in, folders))
    return names - set(sys.stdlib_module_names) - OURS - WITHOUT_KEY


@functools.cache
def imported_in(folder: str) -> set[str]:
    """The first part of each name that a Python file of the folder imports."""
    sources = [path.read_text() for path in (ROOT / folder).rglob("*.py")]
    names = ({*imported(source, "gr00t_ros"), *imported_by_name(source)} for source in sources)
    return {name.split(".")[0] for name in set().union(*names)}


@pytest.mark.parametrize(
    ("folders", "tags"),
    [
        (("gr00t_ros", "launch"), ("depend", "exec_depend")),
        (("test",), ("depend", "exec_depend", "test_depend")),
    ],
)
def test_what_is_imported_is_declared(folders, tags):
    """Rosdep installs everything that the code needs."""
    assert {KEYS.get(name, name) for name in used(*folders)} <= declared(*tags)


def test_a_module_that_is_imported_by_its_name_counts():
    """tf2_ros is, since it may be missing."""
    assert "tf2_ros" in used("gr00t_ros")
    assert list(imported_by_name("import_module('a.b')\nf.import_module(x)\n")) == ["a.b"]


def test_what_the_node_does_not_need_is_installed_when_asked_for():
    """Pip's keys: rosdep refuses them on Ubuntu 24.04 unless the user allows pip."""
    by_pip = [one for one in MANIFEST.iter("exec_depend") if one.text.endswith("-pip")]
    assert {one.text for one in by_pip} == {key for key in KEYS.values() if key.endswith("-pip")}
    assert {one.get("condition") for one in by_pip} == {"$GR00T_SIMULATOR == 1"}


def test_ros_packages_of_the_import_table_are_declared():
    """The rooms may import no ROS package that package.xml does not name."""
    packages = {name for name in ROS if not name.startswith("gr00t_ros.")}
    assert packages <= declared("depend", "exec_depend")


def test_interfaces_are_generated_from_every_file():
    """CMake lists each file of msg/ and srv/, and no other."""
    listed = set(re.findall(r"(?:msg|srv)/\w+\.(?:msg|srv)", CMAKE))
    files = {f"{path.parent.name}/{path.name}" for path in ROOT.glob("[ms][sr][gv]/*.*")}
    assert listed == files


def test_packages_of_the_interfaces_fields_are_declared():
    """The generator finds the types of all fields."""
    text = "".join(path.read_text() for path in ROOT.glob("[ms][sr][gv]/*.*"))
    packages = set(re.findall(r"^(\w+)/\w+", text, re.MULTILINE))
    (listed,) = re.findall(r"set\(interface_dependencies ([^)]*)\)", CMAKE)
    assert packages == set(listed.split()) == declared("depend")


def test_executables_are_installed_and_can_be_run():
    """Every file of scripts/ is listed in CMake, is executable and names a command that exists."""
    listed = set(re.findall(r"scripts/(\w+)", CMAKE))
    assert listed == {path.name for path in (ROOT / "scripts").iterdir()}
    for name in listed:
        path = ROOT / "scripts" / name
        assert path.stat().st_mode & 0o111 == 0o111, name
        # the import stands where Ctrl-C ends it without a traceback
        pattern = r"^with starting\(.*\):\n    from gr00t_ros.tools.gr00t import (?:main|alias)$"
        assert re.search(pattern, path.read_text(), re.MULTILINE), name
        assert name == "gr00t" or known(name.replace("_", "-")), name


def test_console_commands_call_a_main_that_exists():
    """What pip installs can start: `gr00t`, and an alias for each name of `ros2 run`."""
    assert '"gr00t = gr00t_ros.tools.gr00t:main"' in SETUP
    aliases = set(re.findall(r'"gr00t-([\w-]+) = gr00t_ros.tools.gr00t:alias"', SETUP))
    scripts = {path.name.replace("_", "-") for path in (ROOT / "scripts").iterdir()}
    assert aliases == scripts - {"gr00t"} and all(map(known, aliases))


def known(alias: str) -> bool:
    """Whether a command of that name exists."""
    path, commands = ALIASES.get(alias, (alias,)), COMMANDS
    for word in path:
        command = commands.get(word)
        if command is None:
            return False
        commands = command.verbs or {}
    return True


def places(commands):
    """MODULE:FUNCTION of each command."""
    for command in commands.values():
        yield from places(command.verbs) if command.verbs else (command.place,)


@pytest.mark.parametrize("place", sorted(places(COMMANDS)))
def test_every_verb_has_a_function(place):
    """Without importing it."""
    module, _, function = place.partition(":")
    tree = ast.parse((ROOT / "gr00t_ros" / f"{module.replace('.', '/')}.py").read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_changelog_is_what_catkin_prepare_release_reads():
    """Forthcoming on top; each released version with its date, the newest that of package.xml."""
    pytest.importorskip("catkin_pkg", reason="comes with ROS 2 or from PyPI")
    from catkin_pkg.changelog import get_changelog_from_path
    from catkin_pkg.package import parse_package

    package = parse_package(str(ROOT))
    changelog = get_changelog_from_path(str(ROOT), package.name)
    titles = re.findall(r"^(.+)\n-{3,}$", (ROOT / "CHANGELOG.rst").read_text(), re.M)
    assert titles[0] == "Forthcoming"
    released = [version for version, _, _ in changelog.foreach_version()]
    assert released == [re.sub(r" \(.*", "", title) for title in titles[1:]]
    assert released[:1] in ([], [package.version])


def test_licence_is_apache():
    """package.xml, setup.py and the text agree."""
    assert MANIFEST.findtext("license") == "Apache-2.0"
    assert 'license="Apache-2.0"' in SETUP
    assert "Apache License" in (ROOT / "LICENSE").read_text()
