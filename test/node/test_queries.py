"""Queries: one is in flight, and the next is asked for in the tick that takes its result."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import WireError  # noqa: E402
from gr00t_ros.node.queries import Queries  # noqa: E402
from gr00t_ros.trace.flow import Marks  # noqa: E402

LIMIT_S = 20.0


class Exchanges:
    """A link whose server answers errors, and its queries; notes what happens in which order."""

    exchanged, times_ns = "bytes", (0, 0)

    def __init__(self, takes):
        self.order, self.asked, self.done, self._takes = [], [], threading.Event(), takes
        flows = SimpleNamespace(begin=lambda *_: Marks(0, 0), fail=lambda *_: None)
        clock, nothing = SimpleNamespace(now_ns=lambda: 0), lambda *_: None
        self.queries = Queries(
            self, None, None, clock, nothing, self._reply, nothing, self._publish, flows
        )

    def query(self, _fill, _episode):
        """As PolicyLink's."""
        self.order.append("sent")
        raise WireError("no chunk")

    def close(self):
        """As PolicyLink's."""

    def _reply(self, _reply, error):
        """What the replay thread does in one tick, at the worst moment for the worker."""
        self.order.append("answered")
        assert isinstance(error, WireError)
        if self._takes:
            self.queries.taken()
        if len(self.asked) < 2:
            self.asked.append(self.queries.ask(1, None, None))

    def _publish(self, _exchanged):
        self.order.append("published")
        if self.order.count("published") == len(self.asked) + 1 or not self.asked[0]:
            self.done.set()


def test_a_query_that_is_due_is_asked_for_while_the_one_before_is_published():
    """It loses no tick, and leaves when the worker is free: never two at a time."""
    exchanges = Exchanges(takes=True)
    assert exchanges.queries.ask(1, None, None)
    assert exchanges.done.wait(LIMIT_S) and exchanges.queries.stop(LIMIT_S)
    assert exchanges.asked == [True, True]
    assert exchanges.order == ["sent", "answered", "published"] * 3


def test_before_its_result_was_taken_nothing_is_asked_for():
    """A tick that does not know of it yet would ask for a query that is not due."""
    exchanges = Exchanges(takes=False)
    assert exchanges.queries.ask(1, None, None)
    assert exchanges.done.wait(LIMIT_S) and exchanges.queries.stop(LIMIT_S)
    assert exchanges.asked == [False]
