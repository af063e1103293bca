"""Queries: one is in flight, and the next is asked for in the tick that takes its result."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import WireError  # noqa: E402
from gr00t_ros.node.queries import Queries  # noqa: E402
from gr00t_ros.observe.observation import Observation  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.trace.flow import Marks  # noqa: E402

LIMIT_S = 20.0


class Exchanges:
    """A link whose server answers errors, and its queries; notes what happens in which order."""

    exchanged, times_ns, reset_ns = "bytes", (0, 0), 0

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


def test_the_time_of_a_reset_is_known_while_the_query_is_in_flight():
    """The replay thread asks for it, the worker's link has it."""
    exchanges = Exchanges(takes=True)
    exchanges.reset_ns = 7
    assert exchanges.queries.reset_ns == 7 and exchanges.queries.stop(LIMIT_S)


def test_before_its_result_was_taken_nothing_is_asked_for():
    """A tick that does not know of it yet would ask for a query that is not due."""
    exchanges = Exchanges(takes=False)
    assert exchanges.queries.ask(1, None, None)
    assert exchanges.done.wait(LIMIT_S) and exchanges.queries.stop(LIMIT_S)
    assert exchanges.asked == [False]


class SteppedClock:
    """A plan clock whose ROS time is stepped by `step_ns` while the server infers."""

    def __init__(self, step_ns):
        self._step_ns, self._offset_ns, self._now_ns = step_ns, 10**18, 5 * 10**9

    def now_ns(self):
        return self._now_ns

    def offset_ns(self):
        return self._offset_ns

    def ros_minus_steady_ns(self):
        return self._offset_ns

    def infer(self):
        """100 ms pass."""
        self._now_ns += 100_000_000
        self._offset_ns += self._step_ns


@pytest.mark.parametrize("step_ns", [0, 200_000_000, -200_000_000])
def test_a_clock_that_is_stepped_while_the_server_infers_moves_no_chunk(step_ns):
    """Its rows count from its observation, whose stamp is of the clock before the step."""
    robot = replace(load_embodiment("franka_droid"), video=(), state=())
    clock, replies, answered = SteppedClock(step_ns), [], threading.Event()
    observed = Observation(clock.now_ns() + clock.offset_ns() - 30_000_000, {}, {})
    inputs = SimpleNamespace(pull_streams=lambda: None, assembled=lambda: observed)
    action = {a.key: np.zeros((robot.action_horizon, a.width), np.float32) for a in robot.action}
    action["eef_9d"][:] = [0, 0, 0, 1, 0, 0, 0, 1, 0]
    ends = {"set_instruction": lambda _: None, "set_overlap": lambda _: None}
    template = SimpleNamespace(video={}, state={}, **ends)

    def query(fill, _episode):
        filled = fill(template)
        clock.infer()
        return filled, action, 100_000_000

    def take(reply, error):
        replies.append(reply or error)
        answered.set()

    link = SimpleNamespace(query=query, close=lambda: None, exchanged=None, times_ns=(0, 0))
    flows = SimpleNamespace(begin=lambda *_: Marks(0, 0))
    queries = Queries(link, inputs, robot, clock, None, take, None, None, flows)
    assert queries.ask(1, None, None) and answered.wait(LIMIT_S) and queries.stop(LIMIT_S)
    (reply,) = replies
    assert reply.stamp_ros_ns == observed.stamp_ns
    assert reply.chunk.stamp_ns == 5 * 10**9 - 30_000_000
