"""Numbers for a forward command controller are sent only in the controller's own order."""

from types import SimpleNamespace

import pytest
from rcl_interfaces.msg import ParameterValue
from rclpy.node import Node
from rclpy.task import Future
from ros_fixtures import wait_until

from gr00t_ros.graph import controllers
from gr00t_ros.graph.controllers import DISCOVERED_S, NOT_KNOWN, ControllerJoints

TOPIC = "/forward_position_controller/commands"


@pytest.mark.parametrize(
    ("theirs", "fits"),
    [(["lift", "pan"], False), (["pan"], False), (["pan", "lift"], True), (None, True)],
)
def test_the_controllers_own_list_of_joints_is_compared(ros_node, theirs, fits):
    """In another order each joint would jump to the position of another one."""
    node = Node("forward_position_controller", context=ros_node.context)
    ros_node.executor.add_node(node)
    if theirs is not None:
        node.declare_parameter("joints", theirs)
    one = ControllerJoints(ros_node, TOPIC, ["pan", "lift"])
    assert one.problem == f"joints: /forward_position_controller: {NOT_KNOWN}"
    wait_until(lambda: NOT_KNOWN not in one.problem, "the controller's answer")
    ros_node.executor.remove_node(node)
    node.destroy_node()
    if fits:
        assert one.problem == ""
        return
    assert one.problem.startswith(
        "joints: got ['pan', 'lift'], expected those of /forward_position_controller in its "
        f"order: {theirs}; "
    )


class Graph:
    """A node whose timer the test calls, with a service that may be missing or silent."""

    def __init__(self, monkeypatch):
        self.there, self.readers, self.now_s, self.futures = False, 0, 100.0, []
        monkeypatch.setattr(controllers.time, "monotonic", lambda: self.now_s)

    def create_client(self, *_):
        def call(_request):
            self.futures.append(Future())
            return self.futures[-1]

        return SimpleNamespace(service_is_ready=lambda: self.there, call_async=call)

    def create_timer(self, _period_s, call, clock):
        self.call = call
        return SimpleNamespace(cancel=lambda: None)

    def count_subscribers(self, _topic):
        return self.readers

    def after(self, seconds):
        """Let the time pass, with a call each 0.1 s."""
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.call()


def test_a_receiver_without_parameters_is_taken_as_it_is_once_it_was_discovered(monkeypatch):
    """A driver of one's own has no such services; before it reads there is nothing to judge."""
    graph = Graph(monkeypatch)
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    graph.after(60.0)
    assert NOT_KNOWN in one.problem
    graph.readers = 1
    graph.after(0.9 * DISCOVERED_S)
    assert NOT_KNOWN in one.problem
    graph.after(0.2 * DISCOVERED_S)
    assert one.problem == ""


def test_a_controller_that_answers_late_is_waited_for_and_its_answer_counts(monkeypatch):
    """Its answer may be lost and is asked for again; after six seconds it is taken as it is."""
    graph = Graph(monkeypatch)
    graph.there, graph.readers = True, 1
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    graph.after(5.0)
    assert NOT_KNOWN in one.problem and len(graph.futures) > 1
    graph.after(2.0)
    assert one.problem == ""
    value = ParameterValue(type=9, string_array_value=["lift", "pan"])
    graph.futures[-1].set_result(SimpleNamespace(values=[value]))
    graph.after(0.1)
    assert one.problem.startswith("joints: got ['pan', 'lift'], expected")


def test_other_topics_have_no_controller_to_ask():
    """Nothing is created for them."""
    for topic in ("/commands", "/driver/points"):
        assert ControllerJoints(None, topic, ["pan"]).problem == ""
