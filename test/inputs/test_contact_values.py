"""Messages of sources of contacts become values, or an error with what was got."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

import numpy as np  # noqa: E402
from geometry_msgs.msg import WrenchStamped  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray  # noqa: E402

from gr00t_ros.collide.dynamics import InverseDynamics  # noqa: E402
from gr00t_ros.errors import ObservationError, SettingsError  # noqa: E402
from gr00t_ros.inputs.contact import values_of  # noqa: E402
from gr00t_ros.robot.contact.sources import ContactSource  # noqa: E402

TORQUES = ContactSource("t", "external_torques", "/t", ("b", "a"))
EFFORT = ContactSource("e", "effort", "/joint_states", ("swing",))
G = 9.81
# A mass of 2 kg at 0.5 m from a joint about y, which points along x at 0.
PENDULUM = """
<robot name="pendulum">
  <link name="base"/>
  <link name="arm">
    <inertial>
      <origin xyz="0.5 0 0"/><mass value="2"/>
      <inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <visual><geometry><mesh filename="package://gone/gone.dae"/></geometry></visual>
  </link>
  <joint name="swing" type="continuous">
    <parent link="base"/><child link="arm"/><axis xyz="0 1 0"/>
  </joint>
</robot>
"""


def joints(effort, position=(0.0,), velocity=(0.0,), names=("swing",)):
    """A JointState."""
    return JointState(
        name=list(names), position=list(position), velocity=list(velocity), effort=list(effort)
    )


def test_torques_come_by_name_or_as_an_array_in_the_files_order():
    """franka_ros2 publishes a JointState."""
    values, moving = values_of(TORQUES, JointState(name=["a", "b"], effort=[1.0, 2.0]), None)
    assert (values.tolist(), moving) == ([2.0, 1.0], False)
    assert values_of(TORQUES, Float64MultiArray(data=[3.0, 4.0]), None)[0].tolist() == [3.0, 4.0]


def test_a_force_and_a_flag_are_read():
    """Three numbers and one."""
    message = WrenchStamped()
    message.wrench.force.y = -3.0
    source = ContactSource("w", "wrench", "/w", ("x", "y", "z"))
    assert values_of(source, message, None)[0].tolist() == [0.0, -3.0, 0.0]
    flag = ContactSource("f", "flag", "/f")
    assert [values_of(flag, Bool(data=one), None)[0].tolist() for one in (True, False)] == [
        [1.0],
        [0.0],
    ]


@pytest.mark.parametrize(
    ("source", "message", "error"),
    [
        (TORQUES, JointState(name=["a", "b"]), "got 0 values of effort for 2 joints, expected one"),
        (TORQUES, JointState(name=["a"], effort=[1.0]), "got no effort of b"),
        (EFFORT, joints((1.0,), velocity=()), "got 0 values of velocity for 1 joints"),
        (EFFORT, joints((1.0,), names=("other",)), "got no effort of swing"),
    ],
)
def test_missing_numbers_are_an_error(source, message, error):
    """With what was got and what was expected."""
    with pytest.raises(ObservationError, match=error):
        values_of(source, message, InverseDynamics(PENDULUM, "it"))


def test_efforts_lose_what_weight_and_speed_explain():
    """At any angle: the residual of a drive that only carries the mass is zero."""
    dynamics = InverseDynamics(PENDULUM, "it")
    for angle in (-1.0, 0.0, 0.7):
        carried = -2.0 * 0.5 * G * np.cos(angle)
        values, moving = values_of(EFFORT, joints((carried + 7.0,), (angle,), (0.0,)), dynamics)
        assert values.tolist() == pytest.approx([7.0], abs=1e-9)
        assert not moving
    assert values_of(EFFORT, joints((0.0,), velocity=(0.2,)), dynamics)[1]


def test_efforts_need_a_description_with_the_joint():
    """Else it is said what is missing."""
    with pytest.raises(ObservationError, match="nothing received on robot_description"):
        values_of(EFFORT, joints((1.0,)), None)
    other = PENDULUM.replace('"swing"', '"other"')
    with pytest.raises(ObservationError, match="robot_description has no joints swing"):
        values_of(EFFORT, joints((1.0,)), InverseDynamics(other, "it"))


@pytest.mark.parametrize(
    ("mass", "error"),
    [
        ("0", "it: got links of 0 kg in all, expected masses"),
        ("nan", "it: got links of nan kg in all"),
        ("heavy", "it: a mass is no number"),
        ("-1", "it: got links of -1 kg in all"),
    ],
)
def test_a_description_without_masses_is_refused(mass, error):
    """The weight that it does not have would be taken for a contact."""
    with pytest.raises(SettingsError, match=error):
        InverseDynamics(PENDULUM.replace('value="2"', f'value="{mass}"'), "it")


def test_only_the_robots_own_links_have_masses():
    """Not those that a simulator finds inside of <gazebo>."""
    extra = '<gazebo><link name="arm"><inertial><mass value="9"/></inertial></link></gazebo>'
    text = PENDULUM.replace('value="2"', 'value="0"').replace("</robot>", f"{extra}</robot>")
    with pytest.raises(SettingsError, match="it: got links of 0 kg in all"):
        InverseDynamics(text, "it")


@pytest.mark.parametrize(
    "extra",
    [
        '<transmission name="t"><joint name="swing"/></transmission>',
        '<ros2_control name="c" type="system"><joint name="swing"/></ros2_control>',
        '<gazebo reference="arm"><mu1>0.2</mu1></gazebo>',
        '<gazebo><sensor:camera name="a&b"/></gazebo>',
        '<material name="grey"><color rgba="0 0 0 1"/></material>',
    ],
)
def test_what_a_description_has_besides_does_not_matter(extra):
    """Elements of other programs are left out."""
    dynamics = InverseDynamics(PENDULUM.replace("</robot>", f"{extra}</robot>"), "it")
    assert dynamics.torques({"swing": (0.0, 0.0)}) == pytest.approx({"swing": -G})


def test_a_description_that_the_engine_refuses_is_an_error_with_its_name():
    """Inertias that no body has."""
    with pytest.raises(SettingsError, match="it: "):
        InverseDynamics(PENDULUM.replace('type="continuous"', 'type="bent"'), "it")
