"""Autostart activates a node only after the node's status says ready."""

import os
import threading
import time
from unittest.mock import MagicMock

import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.task import Future

from gr00t_ros.msg import PolicyStatus
from gr00t_ros.ros import asked as asked_module
from gr00t_ros.ros.asked import LifecycleClient
from gr00t_ros.ros.qos import STATUS
from gr00t_ros.tools import autostart as autostart_module
from gr00t_ros.tools.autostart import Autostart

STATES = {
    "unconfigured": State.PRIMARY_STATE_UNCONFIGURED,
    "inactive": State.PRIMARY_STATE_INACTIVE,
    "active": State.PRIMARY_STATE_ACTIVE,
}


class ScriptedPolicy:
    """The lifecycle services and the status of a policy node whose answers a test chooses."""

    def __init__(self, node: Node) -> None:
        self.state = "unconfigured"
        self.configures = True
        self.refusals = 0
        self.asked: list[str] = []
        self._publisher = node.create_publisher(PolicyStatus, "/gr00t_policy/status", STATUS)
        node.create_service(GetState, "/gr00t_policy/get_state", self._on_get)
        node.create_service(ChangeState, "/gr00t_policy/change_state", self._on_change)

    def say(self, ready: bool, reason: str = "") -> None:
        """Publish a status."""
        self._publisher.publish(PolicyStatus(ready=ready, reason=reason))

    def _on_get(self, _request, response):
        response.current_state = State(id=STATES[self.state], label=self.state)
        return response

    def _on_change(self, request, response):
        self.asked.append(request.transition.label)
        if request.transition.label == "configure":
            response.success = self.configures
            self.state = "inactive" if self.configures else "unconfigured"
        elif self.refusals:
            self.refusals -= 1
            response.success = False
        else:
            self.state, response.success = "active", True
        return response


@pytest.fixture
def policy(ros_node):
    """A policy node that is unconfigured and has said nothing yet."""
    return ScriptedPolicy(ros_node)


@pytest.fixture
def autostart(processes):
    """The real process."""
    return processes.start("-m", "gr00t_ros.tools.autostart", name="autostart")


def test_activates_only_after_the_node_says_ready(policy, autostart):
    """The reason for waiting is logged, and ready is what ends the wait."""
    autostart.wait_for_line("no status yet")
    policy.say(False, "camera exterior is 3.1 s old")
    autostart.wait_for_line("waiting for gr00t_policy: camera exterior is 3.1 s old")
    assert policy.asked == ["configure"]
    policy.say(True)
    assert autostart.wait() == 0
    assert policy.asked == ["configure", "activate"]


def test_a_refused_activation_is_repeated_only_after_a_newer_ready(policy, autostart):
    """The reason of the refusal is logged; a stale ready does not count."""
    policy.refusals = 1
    policy.say(True)
    wait_until(lambda: policy.asked == ["configure", "activate"], "the first attempt")
    policy.say(False, "the sidecar went away")
    autostart.wait_for_line("refused to activate: the sidecar went away")
    autostart.wait_for_line("waiting for gr00t_policy: the sidecar went away")
    assert policy.asked == ["configure", "activate"]
    policy.say(True)
    assert autostart.wait() == 0
    assert policy.asked == ["configure", "activate", "activate"]


def test_a_node_that_refuses_to_configure_ends_it(policy, autostart):
    """A configuration that is wrong stays wrong: the exit status says so."""
    policy.configures = False
    assert autostart.wait() == 1
    assert policy.asked == ["configure"]
    assert "refused to configure" in autostart.text()


def test_a_node_that_is_active_already_is_left_alone(policy, autostart):
    """Nothing is asked of it."""
    policy.state = "active"
    assert autostart.wait() == 0
    assert policy.asked == []


def test_an_interrupt_ends_the_wait(policy, autostart):
    """The process ends by itself, without SIGKILL and without a traceback."""
    autostart.wait_for_line("no status yet")
    assert autostart.stop() == 0, "launch shows any other status in red"
    assert "interrupted before node gr00t_policy was activated" in autostart.text()
    assert "Traceback" not in autostart.text()


def test_without_a_policy_node_it_says_at_once_what_to_start(autostart):
    """With the ROS domain in which it looks: another one is the usual cause."""
    domain = os.environ["ROS_DOMAIN_ID"]
    autostart.wait_for_line(f"no node gr00t_policy in ROS_DOMAIN_ID {domain} yet; start it with")
    assert "gr00t policy --embodiment NAME" in autostart.text()
    assert autostart.stop() == 0


class Graph:
    """The policy node and the executor of an Autostart without ROS."""

    def __init__(self, statuses, states=(), refuses=False, after="change"):
        """statuses: told one by one; states: of get_state. The last one of each stays.

        refuses: changes; else their answers are lost. after: statuses are told after the first
        change was asked for, or after the first `state` that is asked for after that, or at `once`.
        """
        self.refuses, self.after = refuses, after
        self.statuses, self.states, self.asked = list(statuses), list(states) or ["inactive"], []
        self.asked_after = []
        self.one = Autostart.__new__(Autostart)
        self.one._policy, self.one._stop = "gr00t_policy", threading.Event()
        self.one._status, self.one._logged = PolicyStatus(ready=True), ("", 0.0)
        self.one._activating = self.one._was_active = False
        self.one._mode, self.one._episode = "", None
        self.one._lifecycle = LifecycleClient(self, "/gr00t_policy")
        self.one._executor = self
        self.one.get_logger = MagicMock()

    def create_client(self, _kind, _name):
        return self

    def service_is_ready(self):
        return True

    def call_async(self, request):
        future = Future()
        self.asked_after = [*self.asked]
        if isinstance(request, GetState.Request):
            label = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            future.set_result(GetState.Response(current_state=State(label=label)))
        else:
            self.asked.append(request.transition.label)
            if self.refuses:
                future.set_result(ChangeState.Response(success=False))
        return future

    def remove_pending_request(self, _future):
        pass

    def spin_once(self, timeout_sec):
        """The next status arrives."""
        time.sleep(0.01)
        tells = {"once": True, "change": self.asked, "state": self.asked_after}[self.after]
        if tells and self.statuses:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            self.one._on_status(status)

    def shutdown(self):
        pass

    def warnings(self):
        """What was logged as a warning."""
        return [call.args[0] for call in self.one.get_logger.return_value.warning.mock_calls]

    def told(self):
        """What was logged as information."""
        return [call.args[0] for call in self.one.get_logger.return_value.info.mock_calls]


ACTIVE = PolicyStatus(mode="blending_in", episode=1)
READY = PolicyStatus(mode="ready", ready=True)


@pytest.fixture
def hasty(monkeypatch):
    """The state is asked soon after a request, not after seconds."""
    monkeypatch.setattr(asked_module, "_SILENT_S", 0.2)


@pytest.mark.parametrize(
    "statuses",
    [
        [PolicyStatus(mode=mode, ready=True) for mode in ("blending_in", "stopping", "ready")],
        [PolicyStatus(mode="ready", ready=True, episode=1)],
    ],
    ids=["seen", "episode"],
)
def test_a_node_that_a_person_deactivated_is_not_activated_again_for_a_lost_answer(hasty, statuses):
    """The arm would begin to move by itself, seconds after it was stopped.

    Statuses are overwritten by newer ones: then only the episode tells that it was active.
    """
    graph = Graph(statuses)
    assert graph.one.run() == 0
    assert graph.asked == ["activate"]


def test_an_activation_that_was_lost_itself_is_asked_for_again(hasty):
    """No status shows that the node was active."""
    graph = Graph([READY] * 60 + [PolicyStatus(mode="replaying", episode=1)])
    assert graph.one.run() == 0
    assert len(graph.asked) > 1
    assert "did not answer and is inactive" in graph.warnings()[0]


def test_a_node_that_starts_anew_while_it_is_asked_ends_the_wait(hasty):
    """Its state is another one: the request that was lost is not carried out any more."""
    graph = Graph([PolicyStatus(mode="unconfigured")], ["inactive"] * 4 + ["unconfigured"])
    assert graph.one.run() == 1
    assert graph.asked == ["activate"]
    assert "was started anew, or changed by somebody else" in graph.warnings()[0]
    graph.one.get_logger.return_value.error.assert_called_once()


def test_a_node_that_somebody_else_activates_meanwhile_is_not_activated_again(hasty):
    """Its refusal says so little; that person may have deactivated it since then."""
    graph = Graph([ACTIVE], refuses=True)
    assert graph.one.run() == 0
    assert graph.asked == ["activate"]


def test_an_activation_that_was_carried_out_late_counts_as_one(hasty):
    """The state was told before it, the status after it."""
    graph = Graph([ACTIVE], after="state")
    assert graph.one.run() == 0
    assert graph.asked == ["activate"]
    assert "gr00t_policy is active" in graph.told() and not graph.warnings()


WAITING = PolicyStatus(mode="waiting")
STOPPING = PolicyStatus(mode="stopping", episode=1)
AGAIN = PolicyStatus(mode="ready", ready=True, episode=1)


@pytest.mark.parametrize("seen", [[ACTIVE], [ACTIVE, STOPPING], [STOPPING]])
@pytest.mark.parametrize("refuses", [True, False])
def test_a_node_that_a_person_activated_and_deactivated_is_left_alone(hasty, seen, refuses):
    """Before the first attempt, or after one that was refused: the arm would move again."""
    graph = Graph([WAITING, *seen, AGAIN], refuses=refuses, after="change" if refuses else "once")
    graph.one._status = READY if refuses else WAITING
    assert graph.one.run() == 0
    assert graph.asked == ["activate"] * refuses


def test_nothing_is_sent_after_a_status_of_an_active_node(hasty):
    """Somebody activates it while autostart asks for its state; the answer is of before."""
    graph = Graph([ACTIVE], after="once")
    answers = []

    def late(request):
        future = Future()
        if not isinstance(request, GetState.Request):
            graph.asked.append(request.transition.label)
        answers.append(future)
        if len(answers) < 4:
            future.set_result(GetState.Response(current_state=State(label="inactive")))
        return future

    spin_once = graph.spin_once

    def spin(timeout_sec):
        spin_once(timeout_sec)
        answers[-1].set_result(GetState.Response(current_state=State(label="inactive")))

    graph.call_async, graph.spin_once = late, spin
    assert graph.one.run() == 0
    assert graph.asked == [] and len(answers) == 4


def test_a_stop_that_goes_on_since_before_is_no_activation(hasty):
    """Somebody deactivated the node, and starts autostart to have it activated again."""
    done = PolicyStatus(mode="ready", ready=True, episode=3)
    graph = Graph([STOPPING] * 3 + [done], after="once")
    graph.one._status = None
    graph.refuses = True
    graph.states = ["inactive"] * 4 + ["unconfigured"]
    assert graph.one.run() == 1
    assert graph.asked == ["activate"]


def test_a_node_that_says_nothing_after_a_refusal_ends_no_wait_for_ever(hasty, monkeypatch):
    """One that is not configured publishes its status only when that changes."""
    monkeypatch.setattr(autostart_module, "REPEAT_S", 0.1)
    graph = Graph([], ["inactive"] * 4 + ["unconfigured"], refuses=True)
    assert graph.one.run() == 1
    assert graph.warnings() == ["gr00t_policy refused to activate: no status yet"]
