"""Requests to services while discovery goes on: nothing is lost, nothing is carried out twice."""

import math
from concurrent.futures import Future
from itertools import pairwise
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.ros import asked as room  # noqa: E402
from gr00t_ros.ros.asked import TRANSITIONS, AskedService, IntroducedClient, LifecycleClient  # noqa: E402


class Service:
    """A client of a service that is discovered late and whose first answers are lost."""

    def __init__(self, ready_after, lost):
        self._not_ready, self._lost = ready_after, lost
        self.requests, self.given_up = 0, 0
        self.futures = []

    def vanish(self):
        """It is not there when it is asked next."""
        self._not_ready = 1

    def service_is_ready(self):
        """Whether it is discovered by now."""
        self._not_ready -= 1
        return self._not_ready < 0

    def call_async(self, _request):
        """A future of which no result comes while answers are lost."""
        self.requests += 1
        future = Future()
        self.futures.append(future)
        if self.requests > self._lost:
            future.set_result("answer")
        return future

    def remove_pending_request(self, _future):
        """A request of which the answer is not waited for any more."""
        self.given_up += 1


def test_a_request_waits_for_its_service_and_is_repeated_only_if_that_was_asked_for():
    """Twice the same instruction would be two episodes; twice the same e-stop is one stop."""
    once = Service(ready_after=2, lost=1)
    asked = AskedService(once, "/x", None, math.inf)
    assert [asked.answer() for _ in range(5)] == [None] * 5
    assert once.requests == 1 and asked.sent
    again = Service(ready_after=2, lost=1)
    asked = AskedService(again, "/x", None, 0.0)
    assert [asked.answer() for _ in range(4)] == [None, None, None, "answer"]
    assert again.requests == 2


def test_a_request_that_is_lost_for_minutes_is_repeated_each_few_seconds(monkeypatch):
    """A node that was started anew answers the next one; requests do not pile up."""
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    service = Service(ready_after=0, lost=1000)
    asked = AskedService(service, "/x", None, 0.25)
    sent_s = []
    for step in range(600):
        clock.now_s, before = step * 0.1, service.requests
        assert asked.answer() is None
        sent_s += [clock.now_s] * (service.requests - before)
    waits_s = [round(later - earlier, 6) for earlier, later in pairwise(sent_s)]
    assert sorted(waits_s) == waits_s and 3.9 < waits_s[-1] < 4.2
    assert service.requests - service.given_up == 8


def test_an_answer_that_is_there_is_taken_before_anything_is_sent():
    """The request would be carried out a second time; and the ninth gave up the first one."""
    service = Service(ready_after=0, lost=8)
    asked = AskedService(service, "/x", None, 0.0)
    assert [asked.answer() for _ in range(8)] == [None] * 8
    service.futures[0].set_result("first")
    asked.again()
    assert asked.answer() == "first"
    assert (service.requests, service.given_up) == (8, 0)


class Graph:
    """A node that makes clients of /robot/save and, where it `introduces`, of its parameters."""

    def __init__(self, introduces=True, lost=1):
        self.service = Service(ready_after=2, lost=0)
        self.harmless = Service(ready_after=1 if introduces else math.inf, lost=lost)
        self._serves = introduces

    def create_client(self, kind, _name):
        """The client of one of the two."""
        return self.service if kind is None else self.harmless

    def count_services(self, name):
        """As rclpy's node does."""
        assert name == "/robot/get_parameters"
        return int(self._serves)


@pytest.mark.parametrize("introduces", [True, False])
def test_a_request_that_must_not_be_repeated_waits_for_an_introduction(introduces, monkeypatch):
    """A node that answered another request knows the client; one without parameters cannot."""
    monkeypatch.setattr(room, "_AGAIN_S", 0.0)
    graph = Graph(introduces)
    client = IntroducedClient(graph, None, "/robot/save")
    asked, answers = client.ask(None), []
    while not answers or answers[-1] is None:
        answers.append(asked.answer())
        assert not introduces or graph.harmless.requests > 1 or not asked.sent
    assert answers[-1] == "answer" and graph.service.requests == 1
    assert graph.harmless.requests == (2 if introduces else 0)
    assert client.ask(None).answer() == "answer", "a second request needs no introduction"
    graph.service.vanish()
    assert not client.is_known()
    assert client.ask(None).answer() == "answer"
    assert graph.harmless.requests == (3 if introduces else 0), "a node that was gone is asked anew"


NEXT = {"unconfigured": "configure", "inactive": "activate"}


class Lifecycle:
    """A lifecycle node and its two services, of which answers and requests may be lost."""

    def __init__(self, lost_answers=0, lost_requests=0, refuses=False):
        self.state = "unconfigured"
        self.changes = self.sent = 0
        self._lost_answers, self._lost_requests = lost_answers, lost_requests
        self._refuses = refuses

    def create_client(self, kind, _name):
        """A client of one of the two services."""
        asked = self._change if kind.__name__ == "ChangeState" else self._present
        return SimpleNamespace(service_is_ready=lambda: True, call_async=asked)

    def _present(self, _request):
        future = Future()
        future.set_result(SimpleNamespace(current_state=SimpleNamespace(label=self.state)))
        return future

    def _change(self, request):
        future = Future()
        self.sent += 1
        if self._lost_requests:
            self._lost_requests -= 1
            return future
        label = request.transition.label
        success = not self._refuses and label == NEXT[self.state]
        if success:
            self.state, self.changes = TRANSITIONS[label][1], self.changes + 1
        if self._lost_answers:
            self._lost_answers -= 1
            return future
        future.set_result(SimpleNamespace(success=success))
        return future


def made(node, label):
    """The answer of a transition, within some looks."""
    asked = LifecycleClient(node, "/x").change(label)
    return next(answer for _ in range(50) if (answer := asked.answer()) is not None)


@pytest.fixture
def patient(monkeypatch):
    """The state is asked at once, not after seconds."""
    monkeypatch.setattr(room, "_SILENT_S", 0.0)


@pytest.mark.parametrize("lost", [{}, {"lost_answers": 1}, {"lost_requests": 2}])
def test_a_transition_is_made_once_whatever_is_lost(lost, patient):
    """A lost answer is not a refusal, and a lost request is sent again."""
    node = Lifecycle(**lost)
    assert made(node, "configure") is True
    assert node.changes == 1 and node.state == "inactive"


@pytest.mark.parametrize("lost", [{}, {"lost_answers": 1}, {"lost_requests": 1}])
def test_a_refusal_stays_one(lost, patient):
    """Also where its answer was lost."""
    node = Lifecycle(refuses=True, **lost)
    assert made(node, "configure") is False
    assert node.changes == 0


def test_a_transition_that_the_state_does_not_allow_is_refused(patient):
    """The goal is the present state: that is no success."""
    assert made(Lifecycle(), "cleanup") is False
    assert made(Lifecycle(), "activate") is False


def test_a_node_that_starts_anew_has_not_made_the_transition(patient):
    """Its state is neither that of before nor the goal; the request died with the old node."""
    node = Lifecycle(lost_requests=5)
    node.state = "inactive"
    asked = LifecycleClient(node, "/x").change("activate")
    assert asked.answer() is None
    node.state = "activating"
    assert asked.answer() is None
    node.state = "unconfigured"
    assert asked.answer() is False
    assert node.changes == 0


def test_without_a_state_nothing_is_asked_for():
    """The node may not know this client yet: it would drop its answer."""
    node = Lifecycle()
    node._present = lambda _request: Future()
    asked = LifecycleClient(node, "/x").change("configure")
    assert [asked.answer() for _ in range(5)] == [None] * 5
    assert node.changes == 0


def test_a_transition_that_is_not_repeated_is_not_sent_in_another_state(patient):
    """It would arrive later, when somebody has brought the node to where it begins."""
    node = Lifecycle()
    node.state = "active"
    asked = LifecycleClient(node, "/x").change("activate", repeats=False)
    assert asked.answer() is False and asked.why_not == asked.CHANGED
    assert node.sent == 0


def test_a_transition_that_is_not_repeated_and_got_lost_says_so(patient):
    """The caller knows more than the state."""
    node = Lifecycle(lost_requests=9)
    node.state = "inactive"
    asked = LifecycleClient(node, "/x").change("activate", repeats=False)
    answers = [asked.answer() for _ in range(3)]
    assert answers[-1] is False and asked.why_not == asked.LOST
    assert node.sent == 1


def test_a_request_that_is_too_late_is_not_sent(monkeypatch):
    """A service that is found again after a second."""
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    service = Service(ready_after=1, lost=0)
    asked = AskedService(service, "/x", None, math.inf, until_s=0.8)
    assert asked.answer() is None
    clock.now_s = 0.9
    assert asked.answer() is None and not asked.sent
    in_time = AskedService(service, "/x", None, math.inf, until_s=1.0)
    assert in_time.answer() == "answer"
