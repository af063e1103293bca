"""Rows of the fault matrix: the arm, its controllers, and the operator."""

from __future__ import annotations

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_fixtures import call
from trajectory_msgs.msg import JointTrajectory

from fault_matrix.observe import goes_on, passes_to_rest, stops
from fault_matrix.rig import Rig
from fault_matrix.row import BUSY, Act, Fault, Group
from gr00t_ros.ros import qos
from gr00t_ros.sim.controller import ENDS_MOVING

ARM = "/fr3_arm_controller/joint_trajectory"


def _rival(rig: Rig) -> None:
    rig.kept["rival"] = rig.node.create_publisher(JointTrajectory, ARM, qos.COMMAND)


def _no_rival(rig: Rig) -> None:
    rig.node.destroy_publisher(rig.kept.pop("rival"))


def _let_it_end_moving(value: bool) -> Act:
    """Change a parameter of the arm's controller that is read-only in no version of it."""

    def change(rig: Rig) -> None:
        typed = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
        request = SetParameters.Request(parameters=[Parameter(name=ENDS_MOVING, value=typed)])
        service = "/fr3_arm_controller/set_parameters"
        assert call(rig.node, SetParameters, service, request).results[0].successful

    return change


def _free(rig: Rig) -> None:
    rig.inject("arm", "none", into="robot")


def _resume(rig: Rig) -> None:
    assert rig.trigger("/gr00t_policy/resume").success


_ROWS = (
    Fault(
        "arm blocked",
        "the robot's joints are held, its servos push on",
        lambda rig: rig.inject("arm", "block", into="robot"),
        _free,
        "tracking_error",
        mode="fault",
        words=("commanded", "free the arm"),
        observe=stops("fault", if_late=("held at", "measured")),
        persists=True,
        short=True,
    ),
    Fault(
        "controllers deactivated",
        "the robot's `~/set_controller_active false`",
        lambda rig: rig.set_controllers(False),
        lambda rig: rig.set_controllers(True),
        "controller_silent",
        words=("activate the controller",),
        persists=True,
        jumps=True,
        short=True,
    ),
    Fault(
        "speed scaled down",
        "the robot's controllers tell a speed scaling of 0.5",
        lambda rig: rig.inject("controllers", "scale", 0.5, into="robot"),
        lambda rig: rig.inject("controllers", "none", into="robot"),
        "speed_scaling",
        words=("speed scaling is 0.5", "speed slider"),
        persists=True,
    ),
    Fault(
        "controller's parameter changed",
        f"{ENDS_MOVING} set to true at the arm's controller",
        _let_it_end_moving(True),
        _let_it_end_moving(False),
        "controller_parameter",
        words=("/fr3_arm_controller", f"{ENDS_MOVING} is true", "docs/controllers.md"),
        persists=True,
        short=True,
    ),
    Fault(
        "one window in five lost",
        "robot: `lose` 5 on its controllers, whose subscriptions are best effort",
        lambda rig: rig.inject("controllers", "lose", 5.0, into="robot"),
        lambda rig: rig.inject("controllers", "none", into="robot"),
        expect="none",
        silent=True,
        observe=goes_on,
        short=True,
    ),
    Fault(
        "all windows lost, states go on",
        "robot: `lose` 1 on its controllers: commands are cut off, states arrive",
        lambda rig: rig.inject("controllers", "lose", 1.0, into="robot"),
        lambda rig: rig.inject("controllers", "none", into="robot"),
        "reference_against_plan",
        mode="",
        words=("it plays an earlier window", "windows to it are lost"),
        observe=passes_to_rest("paused"),
        rests=True,
        short=True,
    ),
    Fault(
        "workspace box left",
        "relay: `move` 1 on /ee_pose, m along x: the flange is measured outside its box",
        lambda rig: rig.inject("/ee_pose", "move", 1.0),
        lambda rig: rig.inject("/ee_pose", "none"),
        "workspace_box",
        worse=True,
        words=("end effector: x is", "3 chunks in a row", "back into the box"),
    ),
    Fault(
        "second publisher",
        f"another node advertises {ARM}",
        _rival,
        _no_rival,
        "second_publisher",
        words=(ARM,),
        persists=True,
        short=True,
    ),
)


def _press(pressed: bool) -> Act:
    return lambda rig: setattr(rig, "pressed", pressed)


def _hold(held: bool) -> Act:
    return lambda rig: setattr(rig, "held", held)


def _silence(*switches: str) -> Act:
    return lambda rig: setattr(rig, "silent", set(switches))


# Longer than the silence that a busy machine may cause.
REQUIRED = (
    *(("e_stop_required", True), ("e_stop_silence_s", 3.0)),
    *(("dead_man_required", True), ("dead_man_s", 2.0)),
)

_OPERATOR = (
    Fault(
        "e-stop pressed",
        "true on `~/e_stop`, mended by false",
        _press(True),
        _press(False),
        "e_stop",
        words=("e-stop",),
        persists=True,
        short=True,
    ),
    Fault(
        "e-stop silent",
        "nothing on `~/e_stop`, which is required",
        _silence("e_stop"),
        _silence(),
        "e_stop",
        words=("e-stop topic silent",),
        persists=True,
    ),
    Fault(
        "dead-man switch released",
        "false on `~/dead_man`, mended by true",
        _hold(False),
        _hold(True),
        "dead_man",
        words=("dead-man",),
        short=True,
    ),
    Fault(
        "dead-man switch silent",
        "nothing on `~/dead_man`, which is required",
        _silence("dead_man"),
        _silence(),
        "dead_man",
        words=("dead-man",),
    ),
    Fault(
        "e-stop by service",
        "`~/estop`",
        lambda rig: rig.trigger("/gr00t_policy/estop"),
        expect="fault (e_stop)",
        mode="fault",
        words=("e-stop",),
        short=True,
    ),
    Fault(
        "operator's pause",
        "`~/pause`, mended by `~/resume`",
        lambda rig: rig.trigger("/gr00t_policy/pause"),
        _resume,
        expect="controlled stop until ~/resume",
        mode="paused_by_operator",
        words=("paused by the operator", "~/resume"),
    ),
)

GROUPS = (Group("Arm and controllers", _ROWS), Group("Operator", _OPERATOR, (*BUSY, *REQUIRED)))
