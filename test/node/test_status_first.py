"""Mode and reason are published whatever else of a report raises, and the rest goes on."""

from contextlib import suppress
from operator import attrgetter
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import policy_node  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402

from gr00t_ros.node.status import SHADOW  # noqa: E402

DETAILS = (
    *("robot_state.reports", "robot_state.measured_or_none", "contacts.details"),
    *("sidecar.details", "coverage"),
)
BEHIND = ("server.entries", "follow_readiness", "keep_warm", "flows_done")


@pytest.fixture
def node(ros_domain):
    """A configured node in shadow with a fault that was latched before; nothing spins it."""
    with policy_node(ros_domain, shadow="true") as node:
        node._operator.latched = "the arm has touched the table"
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        yield node


@pytest.mark.parametrize("part", [*DETAILS, *BEHIND])
def test_mode_and_reason_are_told_whatever_else_raises(node, monkeypatch, part):
    """Once, as ever, and that it is shadow; readiness is followed as well."""
    sent, followed = [], []
    parts, publisher = node._parts, SimpleNamespace(publish=sent.append)
    monkeypatch.setattr(node._reporter, "_status", publisher)
    monkeypatch.setattr(parts, "follow_readiness", lambda: followed.append(1))
    owner, _, name = part.rpartition(".")

    def broken(*_):
        raise RuntimeError(f"{part} is broken")

    monkeypatch.setattr(attrgetter(owner)(parts) if owner else parts, name, broken)
    with pytest.raises(RuntimeError, match=f"{part} is broken"):
        node._report()
    assert [status.mode for status in sent] == ["fault_inactive"]
    assert sent[0].reason == f"{SHADOW}; the arm has touched the table"
    assert followed or part == "follow_readiness"
    with suppress(RuntimeError):
        node._report()
    assert len(sent) == 1, "the same status again after half a second"


def test_an_active_node_without_a_fault_waits_for_events(node, monkeypatch):
    """Each look at the clock wakes up the executor, which looks at all entities then."""
    assert node._pulse.timer_period_ns == 100_000_000
    active = SimpleNamespace(current_state=(3, "active"))
    with monkeypatch.context() as calm:
        calm.setattr(node, "_state_machine", active)
        calm.setattr(type(node._parts), "latched", "")
        node._follow_traces()
        assert node._pulse.timer_period_ns == 500_000_000
        calm.setattr(type(node._traces), "recording", True)
        node._follow_traces()
        assert node._pulse.timer_period_ns == 100_000_000
        calm.setattr(type(node._traces), "recording", False)
        node._follow_traces()
    node._follow_traces()
    assert node._pulse.timer_period_ns == 100_000_000, (
        "a node that is not active follows the server"
    )


def test_an_event_follows_nothing(node, monkeypatch):
    """What is followed gives the next event: the executor would never sleep."""
    followed = []
    for name in ("follow_readiness", "recheck", "keep_warm"):
        monkeypatch.setattr(node._parts, name, lambda: followed.append(1))
    node._tell()
    assert not followed
    node._report()
    assert followed
