"""A configure that fails leaves nothing behind, and the next one finds the node as new."""

import itertools
import sys
import threading
from collections import Counter

import pytest
from ros_fixtures import LIMIT_S, call, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import ARM, NEEDS_ROBOT, NODE, policy_node  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from gr00t_ros.ros.parameters import PARAMETERS  # noqa: E402

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
STEPS = (
    *((Node, f"create_{kind}") for kind in ("publisher", "subscription", "client", "timer")),
    (threading.Thread, "start"),
)
"""What a machine, the middleware or a wrong name may refuse while a part is made."""


@pytest.fixture
def node(ros_domain):
    """A policy node in this process, which nothing spins."""
    with policy_node(ros_domain) as node:
        yield node


def held(node, before):
    """What the node and its node for images have, by names; and threads that `before` lacks.

    A thread that ends gets the time for it, once the node is not configured.
    """
    found = Counter()
    for one in (node, node._images.node):
        found.update(f"publisher of {each.topic_name}" for each in one.publishers)
        found.update(f"subscription to {each.topic_name}" for each in one.subscriptions)
        found.update(f"client of {each.srv_name}" for each in one.clients)
        found.update(f"service {each.srv_name}" for each in one.services)
        found.update("timer" for _ in one.timers)
        found.update("waitable" for _ in one.waitables)
    found.update("lifecycle publisher" for _ in node._managed_entities)
    found.update("check of parameters" for _ in node._on_set_parameters_callbacks)
    for thread in set(threading.enumerate()) - before:
        if node._parts is None:
            thread.join(LIMIT_S)
        found.update([f"thread {thread.name}"] * thread.is_alive())
    return found


def put(node, **values):
    """Set parameters, which are accepted."""
    changes = [Parameter(name, value=value) for name, value in values.items()]
    assert all(result.successful for result in node.set_parameters(changes))


@pytest.mark.parametrize(
    ("settings", "hidden"),
    [
        ({"scene": "table"}, ""),
        ({"obstacles": "markers"}, ""),
        ({"collision": "required", "scene": "/nowhere.yaml"}, ""),
        ({"collision": "required"}, "mujoco"),
        ({"collision": "required", "obstacles": "planning_scene"}, "moveit_msgs.msg"),
    ],
)
def test_a_configure_that_is_refused_leaves_nothing(node, monkeypatch, settings, hidden):
    """Nor does a cleanup; corrected, it makes what it makes on a new node, each part once.

    hidden: a module that is not installed.
    """
    threads = set(threading.enumerate())
    empty = held(node, threads)
    assert node.trigger_configure() == SUCCESS
    configured = held(node, threads)
    assert configured["subscription to /joint_states"] == 1 and configured > empty
    assert node.trigger_cleanup() == SUCCESS
    assert held(node, threads) == empty

    put(node, **settings)
    with monkeypatch.context() as patched:
        if hidden:
            patched.setitem(sys.modules, hidden, None)
        assert node.trigger_configure() == FAILURE
    assert held(node, threads) == empty
    put(node, use_sim_time=True)
    put(node, use_sim_time=False, **{name: PARAMETERS[name].default for name in settings})

    assert node.trigger_configure() == SUCCESS
    assert held(node, threads) == configured


class Refusal:
    """Lets the calls of all STEPS pass up to a number, and refuses that one."""

    def __init__(self, monkeypatch):
        self.number = self.calls = 0
        self.refused = ""
        for kind, name in STEPS:
            monkeypatch.setattr(kind, name, self._counted(name, getattr(kind, name)))

    def at(self, number):
        self.number, self.calls, self.refused = number, 0, ""

    def _counted(self, name, step):
        def counted(*args, **kwargs):
            self.calls += 1
            if self.calls == self.number:
                self.refused = f"{name}{args[1:]}"
                raise RuntimeError(f"{name} is refused")
            return step(*args, **kwargs)

        return counted


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_a_configure_leaves_nothing_whichever_of_its_steps_fails(node, monkeypatch, every):
    """Entities and threads in turn: also in the midst of a part, which nobody holds yet."""
    threads = set(threading.enumerate())
    empty, refusal = held(node, threads), Refusal(monkeypatch)
    for number in itertools.count(1, every):
        refusal.at(number)
        done = node.trigger_configure()
        if not refusal.refused:
            break
        assert done != SUCCESS, refusal.refused
        assert held(node, threads) == empty, refusal.refused
    assert number > 30 and done == SUCCESS, "a whole configure, after a failure of each step"


@NEEDS_ROBOT
def test_the_operator_corrects_a_setting_and_the_node_activates(rig):
    """As the message of the failure advises: no restart, and it is no stranger to itself."""
    rig.start_robot()
    rig.start_server()
    rig.start_policy(scene="table")
    assert not rig.change("configure")
    rig.wait_for_reason("configure failed", "scene: got table")
    request = SetParameters.Request(parameters=[Parameter("scene", value="").to_parameter_msg()])
    answer = call(rig.node, SetParameters, f"{NODE}/set_parameters", request)
    assert answer.results[0].successful
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    wait_until(lambda: rig.change("activate"), "an accepted activation")

    def names():
        return [one.node_name for one in rig.node.get_publishers_info_by_topic(ARM)]

    wait_for_discovery(lambda: names() == ["gr00t_policy"], "the policy node alone")
