"""Many workers and servers give the result of one, to the last bit."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")
pytest.importorskip("matplotlib", reason="reports need matplotlib")

from made_episodes import MadeReference
from ros_fixtures import wait_until

from gr00t_ros.evaluate.command import draw, evaluate_all
from gr00t_ros.evaluate.open_loop import OpenLoopSettings
from gr00t_ros.evaluate.results import NPZ_NAME, PAGE_NAME, read_results
from gr00t_ros.evaluate.servers import Address, ServerAccess
from gr00t_ros.evaluate.spread import EvaluationRun, Failure, WorkerTask
from gr00t_ros.evaluate.workers import ProcessPool, Ray, ThisProcess
from gr00t_ros.serve.policies import HoldPolicy

EPISODES = [MadeReference(number, rows=24) for number in range(3)]


@pytest.fixture
def servers(serve, robot):
    """Two hold servers."""
    started = [serve(HoldPolicy(robot)).address.rpartition(":")[2] for _ in range(2)]
    return [Address("127.0.0.1", int(port)) for port in started]


def outcome(robot, folder, servers, workers):
    """What must not depend on the workers: results.json without times, and all arrays."""
    folder.mkdir()
    try:
        found = evaluate_all(
            WorkerTask(robot, OpenLoopSettings(), ServerAccess()),
            EPISODES,
            servers,
            workers,
            folder,
            drawn=0,
            tell=lambda _: None,
        )
    finally:
        workers.close()
    with np.load(folder / NPZ_NAME) as arrays:
        raw = {name: arrays[name].tobytes() for name in arrays.files}
    kept = {name: part for name, part in found.items() if name not in ("timing", "servers")}
    return json.dumps(kept), raw


def test_a_pool_on_two_servers_gives_the_same_to_the_last_bit(robot, tmp_path, servers):
    """Against one server in this process."""
    alone = outcome(robot, tmp_path / "alone", servers[:1], ThisProcess())
    assert outcome(robot, tmp_path / "pool", servers, ProcessPool(2)) == alone
    assert len(alone[1]) == 9 * len(EPISODES)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_gives_the_same_to_the_last_bit(robot, tmp_path, servers):
    """On this machine; skipped where Ray is not installed."""
    alone = outcome(robot, tmp_path / "alone", servers[:1], ThisProcess())
    assert outcome(robot, tmp_path / "ray", servers, Ray("local", 2)) == alone


class Scripted:
    """Workers that note which server each query goes to, and answer as they are told."""

    def __init__(self, answer):
        self._answer, self.at_once, self.most, self.queries = answer, {}, {}, []

    def submit(self, function, *arguments):
        server = arguments[2] if function.__name__ == "query" else None
        if server is not None:
            self.queries.append((arguments[1].number, server.port))
            self.at_once[server.port] = self.at_once.get(server.port, 0) + 1
            most = max(self.most.get(server.port, 0), self.at_once[server.port])
            self.most[server.port] = most
        return (len(self.queries), arguments[1].number, server)

    def wait(self, handles):
        handle = handles[0]
        if handle[2] is not None:
            self.at_once[handle[2].port] -= 1
        return [(handle, self._answer(handle[1], handle[2]))]


TWO = [Address("a", 1), Address("b", 2)]


def test_each_server_gets_as_many_episodes_at_once_as_allowed(robot):
    """One by default, because a policy may remember its episode."""
    for in_flight in (1, 2):
        workers = Scripted(lambda number, server: Failure("broken data", of_server=False))
        references = [MadeReference(number) for number in range(6)]
        EvaluationRun(
            WorkerTask(robot, OpenLoopSettings(), ServerAccess()),
            references,
            TWO,
            workers,
            in_flight,
        ).run()
        assert workers.most == {1: in_flight, 2: in_flight}
        assert len(workers.queries) == 6


def test_an_episode_that_fails_is_tried_once_on_each_server_and_then_listed(robot):
    """Data that cannot be read is not tried again: no server can help."""

    def answer(number, server):
        return Failure(f"{server}: busy" if number else "no such file", of_server=number > 0)

    workers = Scripted(answer)
    _, failed, _ = EvaluationRun(
        WorkerTask(robot, OpenLoopSettings(), ServerAccess()), EPISODES[:2], TWO, workers
    ).run()
    assert sorted(workers.queries)[0][0] == 0
    assert sorted(port for number, port in workers.queries if number == 1) == [1, 2]
    assert failed[0].text == "no such file" and len(failed[0].servers) == 1
    assert "a:1: busy" in failed[1].text and "b:2: busy" in failed[1].text


def test_what_was_done_before_ctrl_c_is_in_the_report(robot, tmp_path, servers):
    """The other episodes are listed; the command ends as an interrupted one does."""

    class Interrupted(ThisProcess):
        def submit(self, function, *arguments):
            if any(one == EPISODES[2] for one in arguments):
                raise KeyboardInterrupt
            return super().submit(function, *arguments)

    told, task = [], WorkerTask(robot, OpenLoopSettings(), ServerAccess())
    with pytest.raises(KeyboardInterrupt):
        evaluate_all(task, EPISODES, servers[:1], Interrupted(), tmp_path, tell=told.append)
    results = read_results(tmp_path)
    assert [one["name"] for one in results["episodes"]] == ["made/0"]
    assert [one["text"] for one in results["failed"]] == ["interrupted before its end"] * 2
    assert told[-1].startswith("interrupted: ") and "has the 1 episodes" in told[-1]
    assert results["interrupted"] is True


def test_ctrl_c_while_the_episodes_are_drawn_loses_no_result(robot, tmp_path, servers):
    """All were measured: the report has them, with the plots that were there."""

    class Interrupted(ThisProcess):
        def submit(self, function, *arguments):
            if function is draw:
                raise KeyboardInterrupt
            return super().submit(function, *arguments)

    told, task = [], WorkerTask(robot, OpenLoopSettings(), ServerAccess())
    with pytest.raises(KeyboardInterrupt):
        evaluate_all(task, EPISODES, servers[:1], Interrupted(), tmp_path, tell=told.append)
    results = read_results(tmp_path)
    assert len(results["episodes"]) == 3 and not results["failed"] and results["interrupted"]
    assert {PAGE_NAME, NPZ_NAME} < {one.name for one in tmp_path.iterdir()}
    assert told[-1].startswith("interrupted: ") and "has the 3 episodes" in told[-1]


def end_this_process(*_):
    """What the kernel does to a worker that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_pool_goes_on_after_a_worker_was_killed():
    """Its step fails, and the next one runs in a new process."""
    pool = ProcessPool(1)
    try:
        ((_, error),) = pool.wait([pool.submit(end_this_process)])
        assert isinstance(error, Exception)
        ((_, value),) = pool.wait([pool.submit(int, "7")])
        assert value == 7
    finally:
        pool.close()


ORPHAN = """
import os, sys
from gr00t_ros.evaluate.workers import ProcessPool
pool = ProcessPool(1)
print(pool.wait([pool.submit(os.getpid)])[0][1], flush=True)
os._exit(0)
"""


def test_workers_end_with_the_evaluation():
    """Also if that was killed: they would wait for its next step for ever."""
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True)
    state = Path(f"/proc/{int(done.stdout)}/stat")

    def ended():
        try:
            return " Z " in state.read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(ended, "the worker's end")
