"""The workers of an evaluation: this process, a pool of processes on this machine, or Ray."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate.spread import Workers

RAY_INSTALL: Final = "pip install ray"
LOCAL: Final = "local"


class ThisProcess:
    """Runs each step at once, in this process."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run it; the handle holds the value."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # reported with its episode
            future.set_exception(error)
        return future

    def wait(self, handles: Sequence[Any]) -> list[tuple[Any, Any]]:
        """All of them have ended."""
        return [(one, _value(one)) for one in handles]

    def close(self) -> None:
        """There is nothing to end."""


class ProcessPool:
    """Processes on this machine. If one is killed, a new pool goes on with the steps after it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Let a process run it."""
        if self._pool is not None:
            try:
                return self._pool.submit(function, *arguments)
            except BrokenExecutor:
                self.close()
        # Spawned: a forked process would share ZeroMQ's threads and sockets with this one.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._count, context, _end_with_parent)
        return self._pool.submit(function, *arguments)

    def wait(self, handles: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Wait until at least one has ended; the ended handles, each with its value."""
        done, _ = wait(handles, return_when=FIRST_COMPLETED)
        return [(one, _value(one)) for one in handles if one in done]

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _end_with_parent() -> None:
    """In a worker: end without a traceback at Ctrl-C, and when the evaluation has ended."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _value(future: Future[Any]) -> Any:
    error = future.exception()
    return future.result() if error is None else error


class Ray:
    """Steps as Ray tasks: on this machine (`local`), or on the cluster at an address.

    The machines of a cluster need this package, and see bags and datasets under the same paths.
    """

    def __init__(self, address: str, count: int) -> None:
        """count: CPUs of a local Ray. Raises SettingsError if Ray is missing or not reached."""
        try:
            import ray
        except ImportError as error:
            raise SettingsError(f"ray: not installed, expected it here: {RAY_INSTALL}") from error
        self._ray = ray
        local = address == LOCAL
        # The paths of this process, so that workers on this machine import the same package.
        paths = os.pathsep.join(filter(None, sys.path))
        try:
            ray.init(
                address=None if local else address,
                num_cpus=count if local else None,
                include_dashboard=False if local else None,
                configure_logging=False,
                log_to_driver=False,
                runtime_env={"env_vars": {"PYTHONPATH": paths}} if local else None,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SettingsError(f"ray at {address}: {error}") from error

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Let Ray run it once: failures are handled with the episode."""
        return self._ray.remote(function).options(max_retries=0).remote(*arguments)

    def wait(self, handles: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Wait until at least one has ended; the ended handles, each with its value."""
        done, _ = self._ray.wait(list(handles), num_returns=1)
        return [(one, self._value(one)) for one in done]

    def close(self) -> None:
        """Leave Ray; a local one ends."""
        self._ray.shutdown()

    def _value(self, handle: Any) -> Any:
        try:
            return self._ray.get(handle)
        except Exception as error:  # reported with its episode
            return error


def make_workers(count: int, ray_address: str | None) -> Workers:
    """The workers for --workers and --ray."""
    if ray_address is not None:
        return Ray(ray_address, count)
    return ThisProcess() if count == 1 else ProcessPool(count)
