"""Numbers for a forward command controller are sent only in the controller's own order."""

from types import SimpleNamespace

import numpy as np
import pytest
from rcl_interfaces.msg import ParameterValue
from rclpy.node import Node
from rclpy.task import Future
from ros_fixtures import wait_until

from gr00t_ros.graph import controllers
from gr00t_ros.graph.controllers import DISCOVERED_S, NOT_KNOWN, ControllerJoints
from gr00t_ros.stream.points import ForwardPoints

NAME = "forward_position_controller"
TOPIC = f"/{NAME}/commands"


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
        self.there, self.readers, self.now_s, self.futures = False, {}, 100.0, []
        self.sent = []
        monkeypatch.setattr(controllers.time, "monotonic", lambda: self.now_s)

    def create_client(self, *_):
        def call(_request):
            self.futures.append(Future())
            return self.futures[-1]

        return SimpleNamespace(service_is_ready=lambda: self.there, call_async=call)

    def create_publisher(self, *_):
        return SimpleNamespace(topic_name=TOPIC, publish=self.sent.append)

    def create_timer(self, _period_s, call, clock):
        self.call = call
        return SimpleNamespace(cancel=lambda: None)

    def get_subscriptions_info_by_topic(self, _topic):
        return [
            SimpleNamespace(node_namespace="/", node_name=name, endpoint_gid=gid)
            for gid, name in self.readers.items()
        ]

    def after(self, seconds):
        """Let the time pass, with a call each 0.1 s."""
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.call()

    def answer(self, *joints, seconds=0.3):
        """Let the controller answer the newest request with its joints, and the time pass."""
        value = ParameterValue(type=9, string_array_value=joints)
        self.futures[-1].set_result(SimpleNamespace(values=[value]))
        self.after(seconds)


def test_a_receiver_without_parameters_is_taken_as_it_is_once_it_was_discovered(monkeypatch):
    """A driver of one's own has no such services; before it reads there is nothing to judge."""
    graph = Graph(monkeypatch)
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    graph.after(60.0)
    assert NOT_KNOWN in one.problem
    graph.readers = {b"1": "driver"}
    graph.after(0.9 * DISCOVERED_S)
    assert NOT_KNOWN in one.problem
    graph.after(0.2 * DISCOVERED_S)
    assert one.problem == ""


def test_a_controller_that_answers_late_is_waited_for_and_its_answer_counts(monkeypatch):
    """Its answer may be lost and is asked for again; after six seconds it is taken as it is."""
    graph = Graph(monkeypatch)
    graph.there, graph.readers = True, {b"1": NAME}
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    graph.after(5.0)
    assert NOT_KNOWN in one.problem and len(graph.futures) > 1
    graph.after(2.0)
    assert one.problem == ""
    graph.answer("lift", "pan")
    assert one.problem.startswith("joints: got ['pan', 'lift'], expected")


@pytest.mark.parametrize("first", [("pan", "lift"), ("lift", "pan")])
def test_a_controller_that_is_loaded_again_is_asked_again(monkeypatch, first):
    """Its joints are not known meanwhile, and an old answer does not count for it."""
    graph = Graph(monkeypatch)
    graph.there, graph.readers = True, {b"1": NAME}
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    graph.after(0.1)
    graph.answer(*first)
    assert bool(one.problem) is (first != ("pan", "lift"))
    graph.readers = {}
    graph.after(5.0)
    assert NOT_KNOWN not in one.problem, "nothing is new"
    graph.readers = {b"2": NAME}
    graph.after(0.1)
    assert NOT_KNOWN in one.problem
    graph.answer(*reversed(first))
    assert bool(one.problem) is (first == ("pan", "lift")) and NOT_KNOWN not in one.problem


def test_no_point_goes_to_a_controller_that_was_loaded_again_before_it_answers(monkeypatch):
    """The last point is sent for ever: not only windows would move joints to wrong positions."""
    graph = Graph(monkeypatch)
    graph.there, graph.readers = True, {b"1": NAME}
    points = ForwardPoints(graph, SimpleNamespace(command_topic=TOPIC, joints=["pan", "lift"]))
    graph.after(0.1)
    graph.answer("pan", "lift")
    assert points.send(np.array([0.1, 0.2]), 0) and len(graph.sent) == 1
    graph.readers = {b"2": NAME}
    graph.after(0.1)
    assert not points.send(np.array([0.1, 0.2]), 0) and len(graph.sent) == 1
    graph.answer("pan", "lift", seconds=0.1)
    assert not points.send(np.array([0.1, 0.2]), 0), "the player holds after 0.1 s without a point"
    graph.after(0.2)
    assert points.send(np.array([0.1, 0.2]), 0) and len(graph.sent) == 2


def test_a_killed_controller_that_leaves_the_graph_is_no_new_one(monkeypatch):
    """It is listed beside the new one for its lease: the points must not stop at its end."""
    graph = Graph(monkeypatch)
    graph.there, graph.readers = True, {b"1": NAME}
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    for readers in ({b"1": NAME}, {b"1": NAME, b"2": NAME}):
        graph.readers = readers
        graph.after(0.1)
        graph.answer("pan", "lift")
    asked = len(graph.futures)
    graph.readers = {b"2": NAME}
    graph.after(5.0)
    assert one.problem == "" and len(graph.futures) == asked


def test_only_the_controllers_own_subscription_is_a_new_controller(monkeypatch):
    """An echo or a bag that begins to read changes nothing, whenever it begins."""
    graph = Graph(monkeypatch)
    one = ControllerJoints(graph, TOPIC, ["pan", "lift"])
    graph.readers = {b"1": "recorder"}
    graph.after(1.1 * DISCOVERED_S)
    graph.there, graph.readers[b"2"] = True, NAME
    graph.after(0.1)
    assert NOT_KNOWN in one.problem, "the controller appeared, which nobody has asked yet"
    graph.answer("pan", "lift")
    graph.readers[b"3"] = "echo"
    graph.after(5.0)
    assert one.problem == "" and len(graph.futures) == 1


def test_other_topics_have_no_controller_to_ask():
    """Nothing is created for them."""
    for topic in ("/commands", "/driver/points"):
        assert ControllerJoints(None, topic, ["pan"]).problem == ""
