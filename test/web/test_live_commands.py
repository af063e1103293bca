"""What the page asks of a policy node: a press is repeated while that cannot undo a newer stop."""

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from std_srvs.srv import Trigger  # noqa: E402

from gr00t_ros.web import live_commands as room  # noqa: E402
from gr00t_ros.web.live_commands import LiveCommands  # noqa: E402

STOPPING = Trigger.Response(message="mode is stopping, only a fault can be reset")
DONE = Trigger.Response(success=True)


@pytest.fixture
def asked(monkeypatch):
    """Presses buttons of a page whose node needs `answer_s` for each answer."""
    now = SimpleNamespace(s=100.0)

    async def sleep(pause_s):
        now.s += pause_s

    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: now.s))
    monkeypatch.setattr(room, "asyncio", SimpleNamespace(sleep=sleep))

    def press(name, answers, answer_s=0.01):
        commands = LiveCommands.__new__(LiveCommands)
        commands._policy, commands._clients, given = "/gr00t_policy", {}, []
        commands._clients[f"/gr00t_policy/{name}"] = None

        async def answer(asked, _limit_s):
            now.s += 0.0 if given else 1.0  # the first one waits for discovery
            given.append(asked)
            asked.sent_s, now.s = now.s, now.s + answer_s
            return answers[len(given) - 1], ""

        commands._answer = answer
        return asyncio.run(commands.carry_out(name, None)), given

    return press


@pytest.mark.parametrize(("answer_s", "requests"), [(0.01, 3), (0.75, 1), (20.0, 1)])
@pytest.mark.parametrize("name", ["resume", "reset"])
def test_a_refused_press_is_repeated_at_once_or_not_at_all(asked, name, answer_s, requests):
    """After a gap the node takes it for a new press: it would end a newer stop."""
    (done, text), given = asked(name, [STOPPING, STOPPING, DONE], answer_s)
    assert len(given) == requests
    assert done is (requests == 3)
    assert ("mode is stopping" in text) is not done


def test_a_pause_is_asked_for_again_without_an_answer_and_a_resume_is_not(asked):
    """Twice the same pause is one pause."""
    (done, _), given = asked("pause", [DONE])
    assert done and given[0]._again_s == room._STOP_AGAIN_S
    _, given = asked("resume", [DONE])
    assert given[0]._again_s == float("inf")
