"""What the node hands to the replay thread: an error there has a consequence and a text."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import PlanError  # noqa: E402
from gr00t_ros.motion.replay import Replay  # noqa: E402
from gr00t_ros.motion.replay_settings import ReplaySettings  # noqa: E402
from gr00t_ros.node.wiring import Configured  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.session.mode import Mode  # noqa: E402
from gr00t_ros.session.schedule import SessionSettings  # noqa: E402
from gr00t_ros.session.session import Session  # noqa: E402

HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])
START_NS, TICK_NS = 10**12, 20_000_000


def raises(*_arguments):
    """A part that is broken."""
    raise RuntimeError("the middleware refused a message")


def nothing(*_arguments):
    """A part that works."""


def active_session():
    """A session that waits for its first chunk."""
    session = Session(
        Replay(load_embodiment("franka_droid").limits, ReplaySettings()), SessionSettings()
    )
    session.set_ready(True, "")
    session.activate(START_NS, HOME)
    return session


@pytest.mark.parametrize("broken", ["flows", "answers"])
def test_a_reply_that_cannot_be_taken_over_is_a_failed_query_with_a_reason(broken):
    """In a row they are a fault, so that no robot stands for ever without a cause."""
    session, taken = active_session(), []
    parts = SimpleNamespace(
        flows=SimpleNamespace(take=raises if broken == "flows" else nothing),
        _answers=SimpleNamespace(apply=raises if broken == "answers" else nothing),
        queries=SimpleNamespace(taken=lambda: taken.append(True)),
    )
    reply = SimpleNamespace(marks="marks")
    limit = session.settings.refusals_to_fault
    for number in range(1, limit + 1):
        now_ns = START_NS + number * TICK_NS
        with pytest.raises(RuntimeError):
            Configured._take(parts, session, now_ns, reply, None)
        assert "internal error: RuntimeError: the middleware" in session.queries.last_failure
        assert len(taken) == session.counts.failures == number
        session.tick(now_ns, (), HOME)
        session.keep()
    for number in range(limit + 1, limit + 60):
        session.tick(START_NS + number * TICK_NS, (), HOME)
        session.keep()
    assert session.mode is Mode.FAULT and "internal error" in session.reason


def test_an_instruction_whose_change_raises_is_not_used():
    """Its caller is told that it failed: the next query has the old one."""

    class Refusing:
        episode = 1

        def change_instruction(self, now_ns):
            raise PlanError("no")

    parts = SimpleNamespace(
        queries=SimpleNamespace(instruction="old"),
        replay=SimpleNamespace(call=lambda change: change(Refusing(), START_NS)),
    )
    with pytest.raises(PlanError):
        Configured.change_instruction(parts, "new")
    assert parts.queries.instruction == "old"


@pytest.mark.parametrize("mode", Mode)
def test_a_server_is_kept_warm_between_episodes_alone(mode):
    """It is reset after it: a policy with memory would begin anew in the middle of a task."""
    warmed = []
    parts = SimpleNamespace(
        _values=SimpleNamespace(keep_warm_s=0.5),
        replay=SimpleNamespace(snapshot=SimpleNamespace(mode=mode)),
        queries=SimpleNamespace(keep_warm=warmed.append),
    )
    Configured.keep_warm(parts)
    in_episode = {Mode.BLENDING_IN, Mode.REPLAYING, Mode.STOPPING, Mode.HOLDING}
    assert warmed == ([] if mode in in_episode else [0.5])
