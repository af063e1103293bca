"""What every test shares; imports nothing of ROS, so that the rooms without ROS run without it."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from laws import examples
from scheduling import noted_policy, schedule

# As ./dev sets them, for those who start pytest themselves in an activated .venv.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
os.environ.setdefault("MUJOCO_GL", "egl")

# A job in the background ignores Ctrl-C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["ros_fixtures", "wire_fixtures"]

# Two shared cores: a slow example is no bug, and the whole suite has minutes.
settings.register_profile("default", deadline=None, max_examples=examples(60))
settings.load_profile("default")


@pytest.fixture(autouse=True)
def ordinary_scheduling() -> Iterator[None]:
    """Fail the test that leaves real-time scheduling behind: all later ones would inherit it."""
    yield
    policies = os.sched_getscheduler(0), noted_policy()
    if policies != (os.SCHED_OTHER, os.SCHED_OTHER):
        schedule()
        pytest.fail(f"scheduling policy: got {policies} after the test, expected SCHED_OTHER")


REAL_TIME = {"node", "tools", "record", "graph", "examples", "inputs", "layout", "preview"}
"""Rooms whose tests mostly wait for nodes that run in real time."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, spread the files with running nodes evenly: too many at once are late."""
    if not hasattr(config, "workerinput"):
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [file for file in files if not REAL_TIME.isdisjoint(file.parts)]
    others = [file for file in files if REAL_TIME.isdisjoint(file.parts)]
    places = [
        ((number + 0.5) / len(group), file)
        for group in (waiting, others)
        for number, file in enumerate(group)
    ]
    items[:] = [item for _, file in sorted(places) for item in files[file]]
