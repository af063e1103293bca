"""The services ~/pause, ~/resume and ~/estop do what they say, or answer why not."""

import signal

import pytest
from ros_fixtures import wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from node_robot import NEEDS_ROBOT  # noqa: E402

from gr00t_ros.errors import PlanError, StalledError  # noqa: E402
from gr00t_ros.node.operator import why_not  # noqa: E402


@NEEDS_ROBOT
def test_a_pause_lasts_until_resume_and_an_e_stop_until_reset_through_every_transition(rig):
    """One arm in motion: paused, resumed, stopped by ~/estop, deactivated, cleaned up, reset."""
    rig.start_moving()
    episode = rig.statuses[-1].episode
    assert "only a pause by ~/pause" in rig.ask("resume").message
    assert rig.ask("pause").success
    assert "~/resume" in rig.wait_for_mode("paused_by_operator").reason
    rig.assert_rest()
    windows = len(rig.arm)
    assert rig.ask("pause").success, "once more is no error"
    assert "only a fault can be reset" in rig.reset().message

    rig.robot.signal(signal.SIGSTOP)
    rig.diagnostics.clear()  # the last one may be from before the start
    wait_until(lambda: rig.level("state.joint_position") == DiagnosticStatus.STALE, "STALE")
    assert "the cause persists: " in rig.ask("resume").message
    rig.robot.signal(signal.SIGCONT)
    assert rig.statuses[-1].mode == "paused_by_operator", "healthy inputs do not lift it"
    assert len(rig.arm) == windows, "a paused node commanded the robot"
    wait_for_success(lambda: rig.ask("resume"), "a resume once the cause is gone")
    rig.wait_for_motion()
    assert rig.statuses[-1].episode > episode

    assert rig.ask("estop").success
    assert "e-stop pressed by service ~/estop" in rig.wait_for_mode("fault").reason
    rig.assert_rest()
    windows = len(rig.arm)
    assert "mode is fault" in rig.ask("pause").message
    assert rig.change("deactivate")
    assert "e-stop pressed" in rig.wait_for_mode("fault_inactive").reason
    assert not rig.change("activate")
    latched = "a fault is latched: e-stop pressed by service ~/estop"
    rig.policy.wait_for_line(f"activation refused: {latched}")
    assert rig.change("cleanup")
    rig.wait_for_reason(latched)
    assert rig.change("configure")
    rig.wait_for_mode("fault_inactive")
    assert not rig.change("activate")
    wait_for_success(rig.reset, "a reset as soon as all streams are there")
    rig.wait_for_mode("ready")
    assert len(rig.arm) == windows, "a node in a fault commanded the robot"
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()


def test_an_unconfigured_node_keeps_an_e_stop_and_refuses_the_rest(rig):
    """Nothing moves; what is configured later has the fault until a reset."""
    rig.start_policy()
    for service in ("pause", "resume", "reset"):
        answer = rig.ask(service)
        assert (answer.success, answer.message) == (False, "not configured")
    assert rig.ask("estop").success
    rig.wait_for_reason("a fault is latched: e-stop pressed by service ~/estop")
    assert rig.change("configure")
    rig.wait_for_mode("fault_inactive")
    assert rig.change("cleanup")
    rig.wait_for_reason("a fault is latched: e-stop pressed by service ~/estop")
    assert rig.reset().success
    rig.wait_for_reason("not configured")
    assert rig.change("configure")
    rig.wait_for_mode("waiting")


def test_a_service_answers_whatever_its_action_raises():
    """A callback that raises would leave its caller without an answer."""

    def fails(error):
        raise error

    assert why_not(lambda: None) == ""
    assert why_not(lambda: fails(PlanError("plan: no"))) == "plan: no"
    assert why_not(lambda: fails(KeyError("x"))) == "internal error: KeyError: 'x'"
    assert "hardware e-stop" in why_not(lambda: fails(StalledError("it stands", begun=False)))
