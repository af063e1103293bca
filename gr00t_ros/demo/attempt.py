"""One attempt of a demo: it is followed and told line by line, and its processes are ended."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.executors import Executor

from gr00t_ros.demo.bringup import Bringup, Watcher
from gr00t_ros.errors import Gr00tError


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


def followed(watcher: Watcher, executor: Executor, bringup: Bringup, *roles: str) -> str | None:
    """Spin once and tell what is new; "" on success, None while it goes on.

    Else what went wrong: one of the processes `roles` has ended.
    """
    executor.spin_once(timeout_sec=0.1)
    for moment_s, line in watcher.new_events():
        say(f"{moment_s:6.1f} s  {line}")
    if watcher.success:
        return ""
    ended = bringup.ended(*roles)
    return f"{ended} ended by itself:\n{bringup.log(ended)[-2000:]}" if ended else None


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)
