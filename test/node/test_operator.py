"""The services ~/pause, ~/resume and ~/estop do what they say, or answer why not."""

import math
import signal
from types import SimpleNamespace

import pytest
from ros_fixtures import wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from node_robot import NEEDS_ROBOT  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from gr00t_ros.errors import PlanError, StalledError  # noqa: E402
from gr00t_ros.node import operator  # noqa: E402
from gr00t_ros.node.operator import NEWER_STOP, Operator, why_not  # noqa: E402


@NEEDS_ROBOT
def test_a_pause_lasts_until_resume_and_an_e_stop_until_reset_through_every_transition(rig):
    """One arm in motion: paused, resumed, stopped by ~/estop, deactivated, cleaned up, reset."""
    rig.start_moving()
    episode = rig.statuses[-1].episode
    assert rig.ask("pause").success
    assert "~/resume" in rig.wait_for_mode("paused_by_operator").reason
    rig.assert_rest()
    rested_ns = rig.now_ns()
    assert rig.ask("pause").success, "once more is no error"
    assert "only a fault can be reset" in rig.reset().message

    rig.robot.signal(signal.SIGSTOP)
    rig.diagnostics.clear()  # the last one may be from before the start
    wait_until(lambda: rig.level("state.joint_position") == DiagnosticStatus.STALE, "STALE")
    assert "the cause persists: " in rig.ask("resume").message
    rig.robot.signal(signal.SIGCONT)
    assert rig.statuses[-1].mode == "paused_by_operator", "healthy inputs do not lift it"
    rig.assert_no_commands_since(rested_ns)
    wait_for_success(lambda: rig.ask("resume"), "a resume once the cause is gone")
    rig.wait_for_motion()
    assert rig.statuses[-1].episode > episode

    assert rig.ask("estop").success
    assert "e-stop pressed by service ~/estop" in rig.wait_for_mode("fault").reason
    rig.assert_rest()
    stopped_ns = rig.now_ns()
    assert "mode is fault" in rig.ask("pause").message
    assert "only a pause by ~/pause" in rig.ask("resume").message
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
    rig.assert_no_commands_since(stopped_ns)
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


def test_a_late_pause_is_told_to_come_if_there_is_motion_and_a_late_e_stop_to_come(monkeypatch):
    """Without motion a pause is refused, and then nobody waits for the answer."""
    stand, late = Stand(monkeypatch), "this stop is carried out once it does"

    def stalls(action, stops=False):
        raise StalledError(late, begun=True)

    monkeypatch.setattr(stand, "_stop", stalls)
    assert stand.ask("pause").startswith(f"{late}, if there is motion then; press")
    assert stand.ask("estop").startswith(f"{late}; press")


class Stand:
    """The services of a node whose arm stops for `stops_s`; each leave is accepted after that."""

    def __init__(self, monkeypatch):
        self.now_s, self.stops_s, self.left = 100.0, 0.5, []
        self.pressed_s = -math.inf
        self._stopped_s = -math.inf
        self.services = {}
        monkeypatch.setattr(operator, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        node = SimpleNamespace(
            get_logger=lambda: SimpleNamespace(error=lambda text: None),
            create_service=lambda kind, name, take: self.services.update({name[2:]: take}),
        )
        Operator(node, lambda: self)

    @property
    def replay(self):
        return SimpleNamespace(call=self._stop)

    def _stop(self, action, stops=False):
        assert stops, "else a stop is cancelled where the replay thread is late"
        self._stopped_s = self.now_s
        return ""

    def leave(self, leave):
        if self.now_s < self._stopped_s + self.stops_s:
            return "mode is stopping, only a fault can be reset"
        self.left.append(leave)
        return ""

    def ask(self, name, after_s=0.1):
        self.now_s += after_s
        return self.services[name](Trigger.Request(), Trigger.Response()).message


@pytest.mark.parametrize(("stop", "leave"), [("estop", "reset"), ("pause", "resume")])
def test_a_press_that_is_asked_again_while_the_arm_stops_ends_no_newer_stop(
    monkeypatch, stop, leave
):
    """The page and gr00t operator repeat it: a later e-stop would have ended by the earlier press.

    The next press is a new one, and so is one that comes later than programs repeat theirs.
    """
    stand = Stand(monkeypatch)
    assert stand.ask(stop) == ""
    for _ in range(3):
        assert "mode is stopping" in stand.ask(leave)
    assert stand.ask(stop) == ""
    stand.stops_s = 0.15  # nearly over: the next one would be accepted
    assert stand.ask(leave, 0.2) == NEWER_STOP
    assert stand.left == []
    assert stand.ask(leave) == NEWER_STOP, "another program repeats an earlier press as well"
    assert stand.ask(leave, 1.1) == "" and len(stand.left) == 1
    assert stand.ask(stop) == ""
    assert "mode is stopping" in stand.ask(leave)
    assert stand.ask(leave) == "", "without a newer stop it is accepted when the arm rests"
    assert stand.ask(stop) == ""
    assert "mode is stopping" in stand.ask(leave)
    assert stand.ask(stop) == ""
    assert stand.ask(leave, 1.5) == "", "somebody has pressed it after the newer stop"


def test_a_button_that_is_pressed_meanwhile_is_a_newer_stop_too(monkeypatch):
    """The topic ~/e_stop, also if it is released at once."""
    stand = Stand(monkeypatch)
    assert stand.ask("estop") == ""
    assert "mode is stopping" in stand.ask("reset")
    stand.pressed_s = stand.now_s + 0.05
    assert stand.ask("reset", 0.6) == NEWER_STOP and stand.left == []
