"""The launch files start the processes that they say, with the parameters that were given."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from libero_child import interpreter
from ros_fixtures import call, collect, wait_until

pytest.importorskip("launch_ros", reason="launch_ros is in no package registry, only in ROS 2")

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters

from gr00t_ros.msg import PolicyStatus
from gr00t_ros.ros.qos import STATUS
from gr00t_ros.sim.libero.extra import VARIABLE, slow_time
from gr00t_ros.sim.robots import ROBOTS
from gr00t_ros.supervise import launcher
from gr00t_ros.tools.launch import refuse_misspelt

ROOT = Path(__file__).resolve().parents[2]
RUNNER = str(Path(__file__).with_name("run_launch_file.py"))

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def launched(processes):
    """Starts a launch file of this package with arguments."""

    def start(name: str, *arguments: str):
        return processes.start(RUNNER, str(ROOT / "launch" / name), *arguments, name="launch")

    return start


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listens on, also while a launch takes its time to start a server."""
    return launcher.free_port("127.0.0.1")


def parameters(node, of: str, *names: str) -> list[object]:
    """Values of parameters of another node, as text, number or bool."""
    request = GetParameters.Request(names=names)
    values = call(node, GetParameters, f"{of}/get_parameters", request).values
    return [
        {1: v.bool_value, 2: v.integer_value, 3: v.double_value, 4: v.string_value}[v.type]
        for v in values
    ]


@pytest.mark.parametrize("text", ["7", "put: it #2"])
def test_policy_starts_the_node_with_what_was_given(launched, ros_node, free_port, text):
    """Arguments reach the node's parameters; a text stays that text, whatever YAML makes of it."""
    launch = launched(
        "policy.launch.py",
        *(
            f"port:={free_port}",
            f"instruction:={text}",
            "namespace:=cell_a",
            "embodiment:=franka_droid",
        ),
    )
    names = ("port", "instruction", "embodiment", "use_sim_time", "sidecar.mode")
    values = parameters(ros_node, "/cell_a/gr00t_policy", *names)
    assert values == [free_port, text, "franka_droid", False, "existing"]
    launch.wait_for_line("waiting for gr00t_policy: ")
    assert launch.stop() == 0


def test_ctrl_c_while_autostart_waits_is_a_normal_end(launched, ros_node, free_port):
    """As a terminal sends it, to launch and all its processes at once: nothing red."""
    launch = launched("policy.launch.py", f"port:={free_port}", "embodiment:=franka_droid")
    launch.wait_for_line(r"gr00t_autostart.*waiting for gr00t_policy: ")
    os.killpg(launch.pid, signal.SIGINT)
    assert launch.wait() == 0
    for process in ("policy-1", "autostart-2"):
        assert f"[{process}]: process has finished cleanly" in launch.text()
    assert "[ERROR]" not in launch.text()
    assert "Traceback" not in launch.text()


def test_policy_starts_a_local_server_where_asked(launched, ros_node):
    """The arguments become the two parameters, and the server is ended with the launch."""
    launch = launched(
        "policy.launch.py", "embodiment:=franka_droid", "sidecar:=local", "profile:=hold"
    )
    names = ("sidecar.mode", "sidecar.profile")
    assert parameters(ros_node, "/gr00t_policy", *names) == ["local", "hold"]
    launch.wait_for_line(r"\[hold\] READY tcp://127.0.0.1")
    assert launch.stop() == 0


def test_arguments_win_over_the_parameter_file_and_leave_the_rest(
    launched, ros_node, tmp_path, free_port
):
    """An argument that was not given does not hide the file's value."""
    file = tmp_path / "params.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    port: 1\n    host: 127.0.0.2\n    timeout_ms: 1234\n"
        "    embodiment: franka_droid\n    a_parameter_of_another_node: 1\n"
    )
    launch = launched(
        "policy.launch.py", f"params_file:={file}", f"port:={free_port}", "autostart:=false"
    )
    values = parameters(ros_node, "/gr00t_policy", "port", "host", "timeout_ms")
    assert values == [free_port, "127.0.0.2", 1234]
    state = call(ros_node, GetState, "/gr00t_policy/get_state", GetState.Request())
    assert state.current_state.id == State.PRIMARY_STATE_UNCONFIGURED
    assert launch.stop() == 0


@pytest.mark.parametrize(
    ("file", "camera", "moved"),
    [
        ("franka.launch.py", "exterior_camera", "arm_controller"),
        ("g1.launch.py", "ego_camera", "waist_controller"),
    ],
)
def test_a_robots_file_renames_its_cameras_and_controllers(
    launched, ros_node, free_port, file, camera, moved
):
    """The node of that embodiment listens and publishes where this robot has it."""
    launch = launched(
        file,
        *(f"port:={free_port}", f"{camera}:=/head/color", f"{moved}:=/cell/jtc", "host:=127.0.0.2"),
        *("namespace:=cell_a", "log_level:=warn"),
    )
    node = "/cell_a/gr00t_policy"
    host, shadow = parameters(ros_node, node, "host", "shadow")
    assert (host, shadow) == ("127.0.0.2", False)
    wait_until(lambda: ros_node.count_subscribers("/head/color"), "the renamed camera")
    wait_until(lambda: ros_node.count_publishers("/cell/jtc/joint_trajectory"), "the controller")
    wait_until(lambda: ros_node.count_subscribers("/cell/jtc/controller_state"), "its state")
    assert launch.stop() == 0


def test_shadow_is_a_launch_argument(launched, ros_node, free_port):
    """And reaches the node."""
    launch = launched("g1.launch.py", f"port:={free_port}", "shadow:=true")
    assert parameters(ros_node, "/gr00t_policy", "shadow", "embodiment") == [True, "unitree_g1"]
    assert launch.stop() == 0


@pytest.mark.parametrize(
    ("relay", "robot"), [("false", "franka"), ("true", "franka"), ("false", "g1")]
)
def test_simulation_comes_up_until_the_policy_moves_the_robot(
    launched, ros_node, free_port, relay, robot
):
    """Robot, sidecar, node and autostart find each other, directly or through the relay."""
    pytest.importorskip("mujoco", reason="the simulator is not installed")
    arguments = (f"port:={free_port}", f"relay:={relay}", f"robot:={robot}")
    launch = launched("simulation.launch.py", *arguments)
    status = collect(ros_node, PolicyStatus, "/gr00t_policy/status", STATUS)

    def moving() -> bool:
        assert "process has died" not in launch.text()
        return bool(status) and status[-1].chunks_accepted > 0 and status[-1].windows_published > 0

    wait_until(moving, "an accepted chunk and a published window", limit_s=90.0)
    state = call(ros_node, GetState, "/gr00t_policy/get_state", GetState.Request())
    assert state.current_state.id == State.PRIMARY_STATE_ACTIVE
    assert launch.stop() == 0


@pytest.fixture
def point_mass(monkeypatch, tmp_path):
    """LIBERO's place is taken by a stand-in child, so that the extra is not needed."""
    monkeypatch.setenv(VARIABLE, str(interpreter(tmp_path)))


@pytest.mark.usefixtures("point_mass")
def test_libero_comes_up_with_the_input_ages_that_slow_time_needs(launched, ros_node, free_port):
    """Robot, policy server, streamer and node start with what they need."""
    launch = launched("libero.launch.py", f"port:={free_port}", "autostart:=false")
    slow = slow_time()
    names = ("port", "embodiment", "use_sim_time", *slow)
    values = parameters(ros_node, "/gr00t_policy", *names)
    assert values == [free_port, "libero_panda", True, *slow.values()]
    names = ("suite", "task", "real_time_factor")
    assert parameters(ros_node, "/libero", *names) == ["libero_object", 0, 0.25]
    assert parameters(ros_node, "/gr00t_command_streamer", "use_sim_time") == [True]
    launch.wait_for_line(f"READY tcp://127.0.0.1:{free_port}")
    assert launch.stop() == 0


@pytest.mark.usefixtures("point_mass")
def test_another_libero_task_needs_its_sentence(launched):
    """The robot never moves on a guess."""
    launch = launched("libero.launch.py", "task:=3")
    launch.wait_for_line("instruction: got none for libero_object task 3")
    assert launch.wait() == 1
    assert "process started" not in launch.text()


def test_the_recorder_gets_what_was_given(launched, ros_node, tmp_path):
    """Options and parameters; it records without a screen."""
    folder = tmp_path / "recording"
    words = (f"folder:={folder}", "embodiment:=franka_droid", "instruction:=7", "teleop:=true")
    launch = launched("record.launch.py", *words, "min_free_gb:=0.1")
    launch.wait_for_line("ready to record to")
    values = parameters(ros_node, "/gr00t_record", "instruction", "teleop", "min_free_gb")
    assert values == ["7", True, 0.1]
    assert launch.stop() == 0
    assert (folder / "embodiment.yaml").exists()


def test_the_page_is_served_until_launch_ends(launched):
    """Its addresses stand in launch's output; a switch reaches it."""
    launch = launched("web.launch.py", "port:=0", "watch_only:=true")
    launch.wait_for_line("watch: +http://127.0.0.1:[0-9]+/.token=")
    assert "command: " not in launch.text()
    assert launch.stop() == 0


def test_a_missing_simulator_is_named_with_its_command(launched, monkeypatch, tmp_path):
    """Nothing is started, and one line says what to run."""
    # a package of that name that is not there for find_spec
    hide = tmp_path / "sitecustomize.py"
    hide.write_text("import sys\nsys.modules['mujoco'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    launch = launched("simulation.launch.py", "robot:=franka")
    launch.wait_for_line("MuJoCo is not installed. Run once:\n.*pip install mujoco")
    assert launch.wait() == 1
    assert "process started" not in launch.text()


EXPECTED = set("namespace embodiment host port use_sim_time shadow params_file".split())
OWN = tuple(f"{name}.launch.py" for name in "bag libero record simulation web".split())
FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def module_of(file: Path):
    """The launch file as a Python module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments_of(file: Path):
    """What `ros2 launch --show-args` lists."""
    return module_of(file).generate_launch_description().get_launch_arguments()


def test_every_argument_has_a_description():
    """`ros2 launch --show-args` explains all of them."""
    for file in FILES:
        arguments = arguments_of(file)
        assert len(arguments) > 5
        assert all(len(argument.description) > 10 for argument in arguments), file.name
        assert {argument.name for argument in arguments} >= EXPECTED or file.name in OWN, file.name


def test_the_simulation_has_no_default_robot(launched):
    """The error lists the robots; nothing is started."""
    launch = launched("simulation.launch.py", "robto:=g1")
    line = launch.wait_for_line("missing required argument 'robot' (.*)")[1]
    assert all(robot in line for robot in ROBOTS) and "[robto]" in line
    assert launch.wait() == 1
    assert "process started" not in launch.text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_launch_file_refuses_an_argument_that_it_does_not_have(launched, file):
    """Also one that is unlike all that it has; nothing is started."""
    needed = [f"{one.name}:=x" for one in arguments_of(file) if one.default_value is None]
    launch = launched(file.name, *needed, "zzz:=1")
    launch.wait_for_line(f"launch argument zzz: {file.name} has none of this name, expected one of")
    assert launch.wait() == 1
    assert "process started" not in launch.text()


@pytest.mark.parametrize("name", ["bag", "libero"])
def test_a_launch_file_refuses_what_it_gives_the_node_itself(launched, name):
    """shadow:=false with a bag, or another robot in LIBERO, was without effect."""
    file = ROOT / "launch" / f"{name}.launch.py"
    needed = [f"{one.name}:=x" for one in arguments_of(file) if one.default_value is None]
    launch = launched(file.name, *needed, "use_sim_time:=false")
    launch.wait_for_line(f"launch argument use_sim_time: {file.name} sets it itself")
    assert launch.wait() == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_policy_does_not_mistake_the_arguments_of_our_other_files(file):
    """They are in its configurations where one includes it, or a file of yours includes both."""
    known = [one.name for one in arguments_of(ROOT / "launch" / "policy.launch.py")]
    given = {one.name: "" for one in arguments_of(file)}
    refuse_misspelt(given, known, "policy.launch.py")


INCLUDES = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushROSNamespace

def generate_launch_description():
    ours = PythonLaunchDescriptionSource({file!r})
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value="1") for name in {declared!r}),
        PushROSNamespace("cell_a"),
        GroupAction(
            [IncludeLaunchDescription(ours, launch_arguments={given!r}.items())],
            forwarding={forwarding!r},
        ),
    ])
"""


@pytest.fixture
def included(processes, tmp_path):
    """Starts a file of somebody else that includes franka.launch.py."""

    def start(given: dict[str, str], declared: str = "", forwarding: bool = True):
        outer = tmp_path / "outer.launch.py"
        text = INCLUDES.format(
            file=str(ROOT / "launch" / "franka.launch.py"),
            declared=declared.split(),
            given=given,
            forwarding=forwarding,
        )
        outer.write_text(text)
        return processes.start(RUNNER, str(outer), name="launch")

    return start


def test_an_included_file_refuses_what_was_probably_meant_for_it(included):
    """Given by the file that includes it; nothing is started."""
    launch = included({"shadow_mode": "true"})
    launch.wait_for_line("launch argument shadow_mode: .*did you mean shadow?")
    assert launch.wait() == 1
    assert "process started" not in launch.text()


@pytest.mark.parametrize(
    ("declared", "forwarding"),
    [("robot_ip use_rviz camera_namespace velocity_control", True), ("scale", False)],
)
def test_an_including_file_has_arguments_of_its_own(
    included, ros_node, free_port, declared, forwarding
):
    """Those that nobody else has are hidden by a group."""
    given = {"port": str(free_port), "autostart": "false", "shadow": "true"}
    launch = included(given, declared, forwarding)
    node = "/cell_a/gr00t_policy" if forwarding else "/gr00t_policy"
    assert parameters(ros_node, node, "shadow") == [True]
    assert launch.stop() == 0
