"""A launch file refuses what it does not know; included, what is probably meant for it."""

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot import files
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.tools.launch import (
    MOTION,
    OF_LAUNCH,
    launch_description,
    refuse_misspelt,
    refuse_unknown,
    remappings,
    starts,
)

FOLDER = Path(__file__).resolve().parents[2] / "launch"
FILES = sorted(FOLDER.glob("*.launch.py"))
POLICY = """
    embodiment settled host port execute_steps instruction velocity_scale shadow sidecar profile
    params_file namespace remaps use_sim_time command_streamer autostart log_level
""".split()
LAUNCH = """
    launch launch.actions launch.conditions launch.launch_description_sources launch.substitutions
    launch_ros launch_ros.actions launch_ros.substitutions
""".split()
WRONG = [
    ("shadwo", "shadow"),
    ("shadow_mode", "shadow"),
    ("use_shadow", "shadow"),
    ("SHADOW", "shadow"),
    ("velocity_scal", "velocity_scale"),
    ("vel_scale", "velocity_scale"),
    ("velocity", "velocity_scale"),
    ("scale", "velocity_scale"),
    ("velocity-scale", "velocity_scale"),
    ("max_velocity_scale", "velocity_scale"),
    ("steps", "execute_steps"),
    ("execution_steps", "execute_steps"),
    ("embodyment", "embodiment"),
    ("embodiment_file", "embodiment"),
    ("auto_start", "autostart"),
]
# Arguments of the launch files of UR, Franka, xArm, RealSense, MoveIt, Nav2, Gazebo and
# ros2_control's demos, and what launch_ros keeps beside arguments.
OTHERS = """
    activate_joint_controller add_gripper align_depth.enable arm_id camera_name camera_namespace
    config_file container_name controllers_file depth_module.depth_profile description_file
    description_package device_type dof enable_color fake_sensor_commands global_params
    gripper_type gui headless headless_mode hw_ns initial_joint_controller initial_reset
    joint_velocity jsp_gui kinematics_params_file launch_rviz launch_servo limited load_gripper map
    mock_sensor_commands model moveit_config_package paused physical_params planner prefix report
    reverse_port rgb_camera.color_profile robot_description robot_ip robot_name robot_sdf
    robot_type ros_namespace ros_remaps rosbag_filename rviz rviz_config rviz_config_file
    safety_limits script_sender_port serial_no show_rviz sim sim_gazebo slam tf_prefix
    tool_device_name ur_type usb_port_id use_composition use_fake_hardware use_mock_hardware
    use_respawn use_robot_state_pub use_rviz use_sim use_simulator use_tool_communication
    velocity_control velocity_limits verbose visual_params warehouse_host world x_pose xacro_args
    yaw
""".split()


@pytest.mark.parametrize("commands", [0, 1])
@pytest.mark.parametrize("poses", [0, 1])
def test_the_simulation_starts_the_streamer_for_whatever_that_plays(monkeypatch, commands, poses):
    """Else no activation would ever be accepted; launch itself is replaced, as it is not needed."""
    for name in LAUNCH:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    robot = load_embodiment("franka_droid")
    robot = replace(robot, commands=(object(),) * commands, poses=(object(),) * poses)
    monkeypatch.setattr(files, "load_embodiment", lambda _: robot)
    spec = importlib.util.spec_from_file_location("simulation", FOLDER / "simulation.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._policy(dict.fromkeys([*POLICY, *module.ARGUMENTS], "x"))
    given = dict(module.IncludeLaunchDescription.call_args.kwargs["launch_arguments"])
    assert given["command_streamer"] == str(bool(commands or poses))


@pytest.mark.parametrize(
    ("name", "start"), [("policy.launch.py", "_policy"), ("record.launch.py", "_record")]
)
def test_a_parameter_file_that_is_not_there_is_refused(monkeypatch, tmp_path, name, start):
    """launch_ros leaves it out with a warning: its shadow: true would not hold, and the arm move.

    No shell expands ~ behind `params_file:=`.
    """
    for module in LAUNCH:
        monkeypatch.setitem(sys.modules, module, MagicMock())
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "slow.yaml").write_text("/**: {ros__parameters: {shadow: true}}")
    spec = importlib.util.spec_from_file_location("launched", FOLDER / name)
    launched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launched)

    def files(text):
        given = dict.fromkeys([*POLICY, *launched.ARGUMENTS], "") | {"params_file": text}
        flags = dict.fromkeys(["use_sim_time", "teleop", "autostart"], "false")
        launched.Node.reset_mock()
        getattr(launched, start)(MagicMock(launch_configurations=given | flags))
        return [
            one
            for call in launched.Node.call_args_list
            for one in call.kwargs.get("parameters", [])
            if isinstance(one, str)
        ]

    assert files("") == []
    assert set(files("~/slow.yaml")) == {str(tmp_path / "slow.yaml")}
    for wrong in ("~/slow.yml", str(tmp_path), "no such file.yaml", "~nobody_of_this_name/a.yaml"):
        with pytest.raises(SettingsError, match="params_file: got .* there is no file "):
            files(wrong)


@pytest.mark.parametrize(
    "wrong", ["/a", "/a=/b", "/a:=", ":=/b", "/a:=/b,/c:=/d", "/a:=/b, /c:=/d", "/a := /b"]
)
def test_what_is_no_remapping_is_refused_with_the_form(wrong):
    """It ended in launch's TypeError, or in a topic with a comma."""
    assert remappings("/a:=/b  c:=~/d") == [("/a", "/b"), ("c", "~/d")]
    with pytest.raises(SettingsError, match="remaps: got .*, expected FROM:=TO, and blanks"):
        remappings(f"/x:=/y {wrong}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_in_a_path_the_home_folder_is_expanded(monkeypatch, file):
    """`folder:=~/cups` made a folder ~ where launch was started: no shell expands it there."""
    for module in LAUNCH:
        monkeypatch.setitem(sys.modules, module, MagicMock())
    text = file.read_text()
    rows = re.findall(r'^    "(\w+)": \(.*?, "([^"]*)"\),$', text, re.MULTILINE)
    described = {
        name: what
        for name, what in rows
        if re.search(r"\b[Ff](ile|older)\b", what) and "embodiment file" not in what
    }
    named = set(described) - {"params_file"}  # parameter_files
    spec = importlib.util.spec_from_file_location("launched", file)
    launched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launched)
    made = MagicMock()
    monkeypatch.setattr(launched, "launch_description", made, raising=False)
    if hasattr(launched, "ARGUMENTS"):
        launched.generate_launch_description()
        assert set(made.call_args.kwargs.get("paths", ())) == named


def test_an_argument_that_is_a_path_has_no_tilde_behind_the_check(monkeypatch, tmp_path):
    """Other arguments keep it: ~/x is a private topic."""
    for module in LAUNCH:
        monkeypatch.setitem(sys.modules, module, MagicMock())
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = [SimpleNamespace(name=name) for name in ("folder", "cmd_vel")]
    made = sys.modules["launch"].LaunchDescription
    made.return_value.get_launch_arguments.return_value = arguments
    launch_description("cell.launch.py", arguments, paths=("folder", "other"))
    check = sys.modules["launch.actions"].OpaqueFunction.call_args.kwargs["function"]
    given = {"folder": "~/cups", "cmd_vel": "~/x"}
    assert check(SimpleNamespace(launch_configurations=given)) == []
    assert given == {"folder": f"{tmp_path}/cups", "cmd_vel": "~/x"}


@pytest.mark.parametrize(("name", "meant"), WRONG)
@pytest.mark.parametrize("refuse", [refuse_unknown, refuse_misspelt])
def test_a_name_that_reads_like_an_argument_is_refused_with_it(refuse, name, meant):
    """Launch ignores it: the arm would move without shadow, or at full speed."""
    with pytest.raises(SettingsError, match=rf"{name}: policy\.launch\.py .*mean {meant}\?"):
        refuse({"host": "gpu", name: "1"}, POLICY, "policy.launch.py")


@given(st.text(min_size=1).filter(lambda name: name not in (*POLICY, *OF_LAUNCH)))
def test_a_command_line_has_no_other_argument_than_those_of_its_file(name):
    """However unlike them it is; the error has the nearest one, or all."""
    with pytest.raises(SettingsError) as refused:
        refuse_unknown([name], POLICY, "policy.launch.py")
    hint = str(refused.value).removeprefix(f"launch argument {name}: ")
    assert any(f"did you mean {one}?" in hint for one in POLICY) or ", ".join(POLICY) in hint


def test_what_a_file_has_and_what_launch_reads_itself_is_taken():
    """`ros2 launch --launch-prefix` is an argument too when it arrives."""
    for refuse in (refuse_unknown, refuse_misspelt):
        refuse(dict.fromkeys([*POLICY, *OF_LAUNCH], "1"), POLICY, "policy.launch.py")


def test_what_a_file_gives_an_included_one_cannot_be_given():
    """shadow:=false with a bag was without effect."""
    with pytest.raises(SettingsError, match=r"shadow: bag\.launch\.py sets it itself"):
        refuse_unknown(["bag", "shadow"], ["bag", "host"], "bag.launch.py", ["shadow"])


@pytest.mark.parametrize("name", OTHERS)
def test_arguments_of_a_file_that_includes_ours_are_left_alone(name):
    """Others have names such as these, which mean something else."""
    refuse_misspelt({name: "1"}, POLICY, "policy.launch.py")


def test_an_including_file_may_pass_on_an_argument_of_a_similar_name():
    """It gives ours under its right name then; a default, which is empty, is nothing given."""
    given = {"vel_scale": "0.1", "velocity_scale": "0.1"}
    refuse_misspelt(given, POLICY, "policy.launch.py")
    with pytest.raises(SettingsError, match="did you mean velocity_scale"):
        refuse_misspelt(given | {"velocity_scale": ""}, POLICY, "policy.launch.py")


@pytest.mark.parametrize(
    ("words", "whether"),
    [
        ("ros2 launch gr00t_ros franka.launch.py host:=a", True),
        ("ros2 launch --debug gr00t_ros -n franka.launch.py", True),
        (f"ros2 launch {FOLDER}/franka.launch.py", True),
        (f"ros2 launch {FOLDER}/../launch/franka.launch.py", True),
        ("ros2 launch gr00t_ros g1.launch.py", False),
        ("ros2 launch cell franka.launch.py base:=gr00t_ros", False),
        (f"ros2 launch cell cell.launch.py base:={FOLDER}/franka.launch.py", False),
        ("ros2 launch cell gr00t_ros", False),
    ],
)
def test_the_command_line_says_which_file_is_started(words, whether):
    """By package and name as ros2 launch finds it, or by its path."""
    assert starts(words.split(), FOLDER / "franka.launch.py") is whether


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_launch_file_has_the_check(file):
    """A description that is made otherwise would ignore what it does not know."""
    text = file.read_text()
    assert re.search(r"return (launch_description|robot_launch)\(\s*__file__", text)
    assert "LaunchDescription(" not in text.replace("IncludeLaunchDescription(", "")


def test_the_arguments_of_motion_are_the_nodes():
    """Words are compared with names that policy.launch.py has."""
    text = (FOLDER / "policy.launch.py").read_text()
    assert all(f'"{name}": ' in text for name in (*MOTION, *POLICY))
