"""A request of gr00t operator is carried out at most once, unless twice is as good as once."""

import argparse
import math
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.task import Future  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from gr00t_ros.errors import NodeError  # noqa: E402
from gr00t_ros.tools import operator  # noqa: E402
from gr00t_ros.tools.policy_client import PolicyClient  # noqa: E402

STOPPING = Trigger.Response(message="mode is stopping, only a pause by ~/pause can be left")
DONE = Trigger.Response(success=True)


class Service:
    """A service of a node that is there, of which the first answers are lost."""

    def __init__(self, lost=0):
        self.lost, self.requests, self.there = lost, 0, True

    def service_is_ready(self):
        return self.there

    def call_async(self, _request):
        self.requests += 1
        future = Future()
        if self.requests > self.lost:
            future.set_result(DONE)
        return future

    def remove_pending_request(self, _future):
        pass


class Graph:
    """The policy node's services pause and get_parameters, as rclpy's node shows them."""

    def __init__(self, pause, harmless):
        self.pause, self.harmless = pause, harmless

    def create_client(self, kind, _name):
        return self.pause if kind is Trigger else self.harmless

    def count_services(self, name):
        return int(name == "/gr00t_policy/get_parameters")

    def get_topic_names_and_types(self):
        return []

    get_node_names_and_namespaces = get_topic_names_and_types


def client(graph, timeout_s=30.0, spin=lambda _s: None):
    """A PolicyClient that joins no ROS graph."""
    one = PolicyClient.__new__(PolicyClient)
    one.name, one.timeout_s, one.node, one._clients = "/gr00t_policy", timeout_s, graph, {}
    one._context = SimpleNamespace(get_domain_id=lambda: 7)
    one.spin = spin
    return one


def test_a_request_waits_for_an_introduction_and_the_next_one_is_sent_at_once():
    """A node that does not know the client would carry the request out and drop the answer."""
    graph = Graph(Service(), Service(lost=1))
    one = client(graph)
    assert one.call(Trigger, "pause", None).success
    assert (graph.harmless.requests, graph.pause.requests) == (2, 1)
    assert one.call(Trigger, "pause", None).success
    assert (graph.harmless.requests, graph.pause.requests) == (2, 2)


def test_a_node_that_answers_nothing_is_asked_for_nothing():
    """The error says so: nothing will happen later."""
    graph = Graph(Service(), Service(lost=math.inf))
    with pytest.raises(NodeError, match="answers nothing within 0.4 s, and was not asked for this"):
        client(graph, 0.4).call(Trigger, "pause", None)
    assert graph.pause.requests == 0


def test_a_request_that_was_sent_to_a_node_that_is_gone_may_be_carried_out():
    """It is not said that there is no such service."""
    graph = Graph(Service(lost=math.inf), Service())

    def vanish(_s):
        graph.pause.there = not graph.pause.requests

    with pytest.raises(NodeError, match="the request may still be carried out"):
        client(graph, 0.4, vanish).call(Trigger, "pause", None)
    assert graph.pause.requests == 1


def test_without_the_service_it_says_what_it_sees():
    """Nothing was asked."""
    graph = Graph(Service(), Service())
    graph.pause.there = False
    with pytest.raises(NodeError, match="no service /gr00t_policy/pause .* ROS_DOMAIN_ID 7"):
        client(graph, 0.4).call(Trigger, "pause", None)


def test_a_pause_is_asked_for_at_once_and_again():
    """A stop does not wait until its answer is sure to come."""
    graph = Graph(Service(lost=1), Service(lost=math.inf))
    assert client(graph).call_at_once(Trigger, "pause", None).success
    assert (graph.harmless.requests, graph.pause.requests) == (0, 2)


@pytest.mark.parametrize(("answer_s", "requests"), [(0.01, 3), (0.75, 1), (20.0, 1)])
def test_a_refused_resume_is_repeated_at_once_or_not_at_all(
    monkeypatch, capsys, answer_s, requests
):
    """After a gap the node takes it for a new press: it would end a newer stop."""
    now, answers = SimpleNamespace(s=100.0), [STOPPING, STOPPING, DONE]
    one = SimpleNamespace(sent_s=0.0)

    def call(_kind, _service, _request, until_s=math.inf):
        assert now.s <= until_s
        one.sent_s = now.s
        now.s += answer_s
        return answers.pop(0)

    def sleep(pause_s):
        now.s += pause_s

    @contextmanager
    def connected(_options):
        now.s += 2.0  # discovery
        yield one

    one.call = call
    monkeypatch.setattr(operator, "time", SimpleNamespace(monotonic=lambda: now.s, sleep=sleep))
    monkeypatch.setattr(operator, "_connected", connected)
    options = argparse.Namespace(node="/gr00t_policy", timeout=30.0, service="resume")
    assert operator._leave(options) == (0 if requests == 3 else 1)
    assert 3 - len(answers) == requests
    assert ("mode is stopping" in capsys.readouterr().err) is (requests < 3)
