"""One attempt of a demo: it is followed and told line by line, and its processes are ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.executors import Executor
from std_srvs.srv import Trigger

from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.demo.watcher import Watcher
from gr00t_ros.errors import Gr00tError

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
    client: Any = watcher.create_client(Trigger, f"/gr00t_record/{verdict}")
    if not client.wait_for_service(_ANSWER_S):
        return problem or "the recorder does not answer"
    answer = client.call_async(Trigger.Request())
    executor.spin_until_future_complete(answer, _ANSWER_S)
    done = answer.result() if answer.done() else None
    if done is None or not done.success:
        return problem or f"not recorded: {done.message if done else 'the recorder is silent'}"
    return problem


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)
