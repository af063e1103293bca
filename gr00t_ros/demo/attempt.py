"""One attempt of a demo: it is followed and told line by line, and its processes are ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.executors import Executor
from std_srvs.srv import Trigger

from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.demo.watcher import Watcher
from gr00t_ros.errors import Gr00tError
from gr00t_ros.ros.asked import AskedOnce, IntroducedClient

NEEDED = ("robot", "sidecar", "commands", "policy", "record")
"""Processes without which an attempt is over, where it has them."""
_ANSWER_S = 10.0


def attempt(bringup: Bringup, executor: Executor, play: Callable[[], str]) -> str:
    """What `play` says went wrong, or raised; "" on success.

    Ends all processes, and the executor.
    """
    try:
        return play()
    except KeyboardInterrupt:
        return "interrupted"
    except Gr00tError as error:
        return str(error)
    finally:
        bringup.end()
        executor.shutdown()


def followed(watcher: Watcher, executor: Executor, bringup: Bringup) -> str | None:
    """Spin once and tell what is new; "" on success, None while it goes on.

    Else what went wrong: one of the NEEDED processes has ended.
    """
    executor.spin_once(timeout_sec=0.1)
    for moment_s, line in watcher.new_events():
        say(f"{moment_s:6.1f} s  {line}")
    if watcher.success:
        return ""
    ended = bringup.ended(*NEEDED)
    return f"{ended} ended by itself:\n{bringup.log(ended)[-2000:]}" if ended else None


def labelled(watcher: Watcher, executor: Executor, problem: str) -> str:
    """End the recorded episode with the verdict; returns what went wrong, also with that."""
    verdict = "failure" if problem else "success"
    client = IntroducedClient(watcher, Trigger, f"/gr00t_record/{verdict}")
    asked = client.ask(Trigger.Request())
    done = answered(asked, executor, _ANSWER_S)
    if done is None and asked.sent:  # the whole time for the answer alone
        done = answered(asked, executor, _ANSWER_S)
    if done is None:
        silent = "is silent" if asked.sent else "does not answer"
        return problem or f"not recorded: the recorder {silent}"
    return problem if done.success else problem or f"not recorded: {done.message}"


def answered(asked: AskedOnce, executor: Executor, limit_s: float) -> Any:
    """The answer of a service, None if it does not come within limit_s."""
    end_s = time.monotonic() + limit_s
    while (answer := asked.answer()) is None and time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)
    return answer


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)
