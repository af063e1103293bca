"""The shipped controller files fit the embodiments and pass the node's own check."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.parameter import Parameter
from rclpy.parameter import parameter_value_to_python as python

from gr00t_ros.graph.controllers import FORBIDDEN, forbidden
from gr00t_ros.robot.files import load_embodiment

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "franka": ("franka_droid", "franka_droid_n16"),
    "g1": ("unitree_g1", "real_g1"),
    "ur5e": ("ur5e_2f85",),
    "xarm6": ("xarm6_gripper",),
}
TYPES = {"scaled_joint_trajectory_controller": "ur_controllers/ScaledJointTrajectoryController"}


def controllers(name: str) -> dict[str, dict[str, Any]]:
    """The parameters of each controller of a file."""
    text = (ROOT / "config" / "controllers" / f"{name}.yaml").read_text()
    return {key: value["ros__parameters"] for key, value in yaml.safe_load(text).items()}


@pytest.mark.parametrize(("name", "embodiment"), [(n, e) for n, es in SHIPPED.items() for e in es])
def test_each_output_has_its_controller_with_its_joints_in_order(
    name: str, embodiment: str
) -> None:
    """And no controller is there that nobody commands."""
    robot, listed = load_embodiment(embodiment), controllers(name)
    outputs = {o.topic: o for o in robot.outputs if o.type == "joint_trajectory"}
    assert {f"/{one}/joint_trajectory" for one in listed} == set(outputs)
    for one, parameters in listed.items():
        output = outputs[f"/{one}/joint_trajectory"]
        assert tuple(parameters["joints"]) == output.names
        assert output.state_topic == f"/{one}/controller_state"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_setting_that_breaks_windows_is_set_to_what_is_needed(name: str) -> None:
    """Written out, not left to a default that differs between branches."""
    for one, parameters in controllers(name).items():
        usual = "joint_trajectory_controller/JointTrajectoryController"
        assert parameters["type"] == TYPES.get(one, usual)
        for setting in FORBIDDEN:
            message = Parameter(setting, value=parameters[setting]).to_parameter_msg().value
            assert python(message) == parameters[setting]
            assert not forbidden(setting, message)


@pytest.mark.parametrize("name", ["ur5e", "xarm6"])
def test_a_tolerance_of_the_driver_s_own_file_is_switched_off_for_every_joint(name: str) -> None:
    """The driver's file stays in force for what ours does not mention."""
    arm, *_ = controllers(name).values()
    tolerances = [arm["constraints"][joint] for joint in arm["joints"]]
    assert tolerances == [{"trajectory": 0.0, "goal": 0.0}] * 6


def test_the_page_has_every_setting_and_both_files() -> None:
    """docs/controllers.md is what the fault's remedy leads to."""
    page = (ROOT / "docs" / "controllers.md").read_text()
    for word in (*FORBIDDEN, *(f"config/controllers/{name}.yaml" for name in SHIPPED)):
        assert f"`{word}`" in page
