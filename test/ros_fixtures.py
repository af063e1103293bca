"""Fixtures for tests that need ROS: a domain of their own, child processes, a spinning node.

    def test_something(processes, ros_node):
        sidecar = processes.start("-m", "gr00t_ros.sidecar", "scripted")   # python arguments
        sidecar.wait_for_line("READY")
        replies = collect(ros_node, PolicyStatus, "/gr00t_policy/status", qos)
        wait_until(lambda: replies, what="a status")

One bring-up for all tests of a module: `own_domain`, `started` and `spinning_node` as blocks of a
fixture of its own. Imports no rclpy before a fixture needs it. Nothing here sleeps for a fixed
time: it waits for a condition with a limit far above what a loaded machine takes.
"""

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from child_process import Child

LIMIT_S = 30.0  # discovery alone may take three seconds on an idle machine
DOMAINS = range(1, 102)  # 0 is everybody's; above 101 lie the ephemeral ports


DISCOVERY = "discovery: "
"""Begins the failure of a wait that ./dev test may run once more; no other wait may use it."""


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """The first true value of `condition()`; fails the test after `limit_s` seconds.

    It is an assertion like any other: a mode, a reason or a motion that does not come is a failure.
    """
    end = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {limit_s:.0f} s in vain for {what}")
        time.sleep(0.01)
    return value


def wait_for_discovery(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """As `wait_until`, for DDS endpoints that find each other and services that answer.

    DDS may lose these on a busy machine whatever our code does, so that the test runs once more.
    """
    try:
        return wait_until(condition, what, limit_s)
    except pytest.fail.Exception as failure:
        pytest.fail(f"{DISCOVERY}{failure}")


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other test on this machine has while the block runs."""
    # An abstract socket is a lock that vanishes with its process, whatever kills it.
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock,
        pytest.MonkeyPatch.context() as environment,
    ):
        domain = claim_domain(lock, DOMAINS)
        environment.setenv("ROS_DOMAIN_ID", str(domain))
        environment.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield domain


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """A ROS_DOMAIN_ID of the test's own."""
    with own_domain() as domain:
        yield domain


def claim_domain(lock: socket.socket, domains: Sequence[int]) -> int:
    """One of `domains` that is free, kept until `lock` is closed."""
    # A random order, because participants of the last test may linger in its domain.
    for domain in random.Random().sample(domains, len(domains)):
        try:
            lock.bind(f"\0gr00t_ros_test_domain_{domain}")
        except OSError:
            continue
        return domain
    pytest.fail("every ROS domain is in use by another test")


class Processes:
    """Starts the children of one test and answers for their end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def start(self, *arguments: str, name: str = "", **environment: str) -> Child:
        """Start this interpreter with `arguments`, its output going to a log file.

        `environment` is laid over the test's own, which has the test's ROS domain.
        """
        number = len(self._children)
        log = self._folder / f"{number}-{name or Path(arguments[-1]).stem or 'child'}.log"
        child = Child(arguments, log, self._environment() | environment)
        self._children.append(child)
        return child

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return os.environ | {
            # scripts ask for `python3` and must get this one
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
            "PYTHONUNBUFFERED": "1",
            "ROS_LOG_DIR": str(self._folder / "ros_log"),
        }

    def close(self) -> None:
        """Stop all, newest first, show their logs, fail if one left a process behind."""
        leftovers = []
        for child in reversed(self._children):
            child.stop()
            leftovers += child.kill_leftovers()
            print(f"--- {child.log.name}, exit status {child.status}\n{child.tail()}")
        assert not leftovers, f"left running by children of this test: {leftovers}"


@pytest.fixture
def processes(ros_domain: int, tmp_path: Path) -> Iterator[Processes]:
    """Starts children in the test's domain; all are gone when the test ends."""
    with started(tmp_path) as children:
        yield children


@contextmanager
def started(folder: Path) -> Iterator[Processes]:
    """Starts children in the present domain, with logs in `folder`; all are gone afterwards."""
    children = Processes(folder)
    try:
        yield children
    finally:
        children.close()


@pytest.fixture
def ros_node(ros_domain: int) -> Iterator[Any]:
    """An rclpy node in the test's domain, in a context of its own, spun by a thread."""
    with spinning_node(ros_domain) as node:
        yield node


@contextmanager
def spinning_node(domain: int, name: str = "test") -> Iterator[Any]:
    """An rclpy node in that domain, in a context of its own, spun by a thread."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node(name, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, name="test node", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(LIMIT_S)  # without it the interpreter aborts at exit
        node.destroy_node()
        rclpy.shutdown(context=context)
        assert not thread.is_alive(), "a callback of the test's node never returned"


def collect(node: Any, kind: type, topic: str, qos: Any = 10) -> list[Any]:
    """A list to which every message of `topic` is appended from now on."""
    messages: list[Any] = []
    node.create_subscription(kind, topic, messages.append, qos)
    return messages


def call(node: Any, kind: type, service: str, request: Any, limit_s: float = LIMIT_S) -> Any:
    """The response of a service that may still be coming up."""
    client = _client(node, kind, service)
    wait_for_discovery(client.service_is_ready, f"service {service}", limit_s)
    future = client.call_async(request)
    wait_for_discovery(future.done, f"an answer of {service}", limit_s)
    return future.result()


def _client(node: Any, kind: type, service: str) -> Any:
    """The node's one client of that service.

    It is kept: a server drops its answer to a client that it has not discovered within 100 ms
    (rmw_fastrtps), so each new one is a chance to lose the answer on a busy machine.
    """
    name = node.resolve_service_name(service)
    known = (client for client in node.clients if client.srv_name == name)
    return next(known, None) or node.create_client(kind, service)
