"""Limits of the embodiment file beyond those of robot_description are reported."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from std_msgs.msg import String  # noqa: E402
from urdf_robot import fr3_urdf, with_kinematics  # noqa: E402

from gr00t_ros.graph.limits import DescribedLimits, chain_problems  # noqa: E402
from gr00t_ros.robot.embodiment import parse  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.tools import doctor_checks  # noqa: E402

FRANKA = load_embodiment("franka_droid")


class FakeNode:
    """Keeps the callback of the one subscription."""

    def create_subscription(self, _kind, topic, take, _profile):
        """Remember who wants the description."""
        self.topic, self.take = topic, take


def described(**changes) -> str:
    """A description that has the file's own limits, but for `changes`: joint=(low, high, vel)."""
    limits, joints = FRANKA.limits, []
    for row, name in enumerate(limits.names):
        own = (limits.lower[row], limits.upper[row], limits.velocity[row])
        low, high, velocity = changes.get(name, own)
        limit = f'<limit lower="{low}" upper="{high}" velocity="{velocity}" effort="1"/>'
        joints.append(f'<joint name="{name}" type="revolute">{limit}</joint>')
    return f"<robot>{''.join(joints)}</robot>"


@pytest.fixture
def heard():
    """What is found after these descriptions."""

    def hear(*texts: str) -> DescribedLimits:
        node = FakeNode()
        limits = DescribedLimits(node, FRANKA)
        assert node.topic == "/robot_description"
        for text in texts:
            node.take(String(data=text))
        return limits

    return hear


def test_the_same_limits_and_wider_ones_are_no_problem(heard):
    """The file may be stricter than the robot."""
    assert heard().problems() == heard(described()).problems() == []
    assert heard(described(fr3_joint1=(-3.0, 3.0, 9.0))).problems() == []


@pytest.mark.parametrize(
    ("limits", "word"), [((-1.0, 3.0, 9.0), "position"), ((-3.0, 3.0, 1.0), "velocity")]
)
def test_a_file_that_allows_more_than_the_robot_is_named(heard, limits, word):
    """With the joint and both numbers."""
    (problem,) = heard(described(fr3_joint3=limits)).problems()
    assert problem.startswith(f"limits.fr3_joint3.{word}")
    assert f"{limits[0 if word == 'position' else 2]:g}" in problem


def test_joints_that_the_description_does_not_have_are_listed(heard):
    """Another robot's description: nothing to compare, but worth a word."""
    limits = heard('<robot><joint name="a" type="fixed"/></robot>')
    assert limits.problems() == []
    assert limits.missing() == FRANKA.limits.names


def test_of_an_sdf_the_doctor_says_that_its_limits_are_not_compared(heard):
    """Not that they are inside, and not that it is another robot's."""
    joint = '<joint name="fr3_joint1" type="revolute"><axis><limit><lower>-1</lower>'
    sdf = f"<sdf><model>{joint}</limit></axis></joint></model></sdf>"
    limits = heard(described(), sdf)
    (row,) = doctor_checks.limits(limits, limits.problems())
    assert (row.level, row.subject) == (doctor_checks.WARN, "/robot_description")
    assert "an SDF" in row.text and "not compared; publish a URDF" in row.text
    limits = heard(sdf, described())
    (row,) = doctor_checks.limits(limits, limits.problems())
    assert row.level == doctor_checks.PASS


@pytest.mark.parametrize(
    "limit",
    [
        '<limit lower="-1" upper="1" velocity="0"/>',
        '<limit lower="-1" upper="1"/>',
        '<limit upper="1" velocity="9"/>',
    ],
)
def test_a_range_is_compared_also_where_the_rest_is_not_stated(heard, limit):
    """And nobody is asked whether the description is another robot's."""
    name = FRANKA.limits.names[0]
    joint = f'<robot><joint name="{name}" type="revolute">{limit}</joint></robot>'
    limits = heard(joint)
    (problem,) = limits.problems()
    assert problem.startswith(f"limits.{name}.position")
    assert name not in limits.missing()
    assert limits.unstated() == (() if "9" in limit else (name,))


def test_the_velocity_of_a_continuous_joint_is_compared(heard):
    """It has no range, which is no problem."""
    name = FRANKA.limits.names[0]
    joint = f'<robot><joint name="{name}" type="continuous"><limit velocity="0.1"/></joint></robot>'
    limits = heard(joint)
    (problem,) = limits.problems()
    assert problem.startswith(f"limits.{name}.velocity")
    assert name not in limits.missing() and limits.unstated() == (name,)


def test_a_joint_that_the_description_holds_fixed_is_missing(heard):
    """What is commanded must move."""
    name = FRANKA.limits.names[0]
    assert name in heard(f'<robot><joint name="{name}" type="fixed"/></robot>').missing()


@pytest.mark.parametrize(
    ("unreadable", "says"),
    [
        ("<robot", "no XML"),
        ("<robot><xacro:arm/></robot>", "a xacro that was not expanded"),
        (described().replace(FRANKA.limits.names[1], FRANKA.limits.names[0]), "two joints are na"),
    ],
)
def test_a_description_that_cannot_be_read_is_a_problem_until_another_comes(
    heard, unreadable, says
):
    """It may allow less than the file. The newest description is the robot's."""
    for limits in (heard(unreadable), heard(described(), unreadable)):
        assert says in limits.unreadable
        (problem,) = limits.problems()
        assert problem.startswith("/robot_description: ")
        assert says in problem and "publish a description that can be read" in problem
    limits = heard(unreadable, described())
    assert not limits.unreadable and limits.problems() == []


def test_a_contradiction_is_found_whatever_else_stands_in_the_description(heard):
    """A robot_state_publisher took it, so it describes the robot that is driven."""
    less = described(fr3_joint3=(-1.0, 1.0, 9.0))
    for odd in ("<!-- ---- arm ---- -->", "<gazebo><sensor:camera/></gazebo>", "<a b='c&d'/>"):
        (problem,) = heard(less.replace("<robot>", f"<robot>{odd}")).problems()
        assert problem.startswith("limits.fr3_joint3.position")


def test_the_chains_of_a_description_are_used_and_kept_while_active():
    """The newest one counts at the next activation; an unreadable one changes nothing."""
    node, used = FakeNode(), []
    limits = DescribedLimits(node, FRANKA, used.append)
    assert limits.chain_problems == () and limits.robot is FRANKA
    node.take(String(data="<robot"))
    assert used == []
    node.take(String(data='<robot><link name="a"/></robot>'))
    assert "has no link" in limits.robot.state[0].chain_problem
    assert limits.chain_problems and used[-1] is limits.robot
    node.take(String(data="<robot/>"))
    assert limits.begin() is limits.robot is used[-1] is FRANKA
    node.take(String(data='<robot><link name="a"/></robot>'))
    assert "has no link" in used[-1].state[0].chain_problem
    node.take(String(data="<robot/>"))
    assert "has no link" in limits.robot.state[0].chain_problem
    limits.end()
    assert limits.robot is used[-1] is FRANKA


def test_a_description_that_cannot_be_read_is_the_reason_why_a_chain_is_not_known():
    """Such as a xacro that nobody expanded; one that was read before stays."""
    content = with_kinematics(chain=None, names=list(FRANKA.state[0].names))
    del content["workspace"]["chain"]
    node = FakeNode()
    limits = DescribedLimits(node, parse(content, "robot.yaml"))
    assert "is not known" in limits.chain_problems[0]
    node.take(String(data="<robot><xacro:arm/></robot>"))
    for problem in (limits.robot.state[0].chain_problem, *limits.chain_problems):
        assert "a xacro that was not expanded" in problem
    node.take(String(data=fr3_urdf()))
    node.take(String(data="<robot><xacro:arm/></robot>"))
    assert limits.robot.state[0].chain is not None and limits.chain_problems == ()
    assert limits.robot.workspace.chain is not None


def test_chains_are_compared_with_a_description_before_any_node_runs():
    """By the tool that validates a file: a line for each, none where they agree."""
    content = with_kinematics(chain=None, names=list(FRANKA.state[0].names))
    from_names = parse(content, "robot.yaml")
    assert chain_problems(FRANKA, "") == chain_problems(FRANKA, fr3_urdf()) == []
    assert chain_problems(from_names, fr3_urdf()) == []
    (unknown,) = chain_problems(from_names, "")
    assert unknown.startswith("state.eef_9d: the chain from 'fr3_link0' to 'fr3_link8' is not kn")
    other = chain_problems(FRANKA, fr3_urdf(fr3_joint3=[0, -0.4, 0]))
    assert [line.split(": ")[0] for line in other] == ["state.eef_9d", "workspace"]
