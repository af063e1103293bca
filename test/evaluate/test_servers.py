"""Real servers as processes: what the hold policy and the scripted policy must give."""

import json
import signal

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")
pytest.importorskip("matplotlib", reason="reports need matplotlib")

from made_episodes import MadeReference, SavedReference, made_episode, scripted_episode

from gr00t_ros.evaluate.command import evaluate_all
from gr00t_ros.evaluate.open_loop import OpenLoopSettings
from gr00t_ros.evaluate.results import NPZ_NAME, PAGE_NAME, read_results
from gr00t_ros.evaluate.servers import Address, ServerAccess
from gr00t_ros.evaluate.spread import EvaluationRun, WorkerTask
from gr00t_ros.evaluate.workers import ThisProcess
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.serve.server import Delay
from gr00t_ros.supervise.launcher import free_port


@pytest.fixture
def run(robot, tmp_path):
    """Evaluate an episode against the server at a port; the content of results.json."""

    def of(reference, port, settings=None, robot=robot, drawn=0, folder="out"):
        task = WorkerTask(robot, settings or OpenLoopSettings(), ServerAccess())
        output = tmp_path / folder
        output.mkdir()
        servers = [Address("127.0.0.1", port)]
        return evaluate_all(
            task, [reference], servers, ThisProcess(), output, drawn=drawn, tell=lambda _: None
        )

    return of


def test_the_hold_policys_error_is_the_hold_baseline_to_the_last_digit(run, start_sidecar):
    """Through the wire and back, for every component and in the summary."""
    port = start_sidecar("hold", "--embodiment", "desk6", "--port", "0").port
    found = run(MadeReference(1), port)
    for part in (*found["episodes"][0]["components"], *found["summary"]["components"]):
        assert part["mse"] == part["hold_mse"] > 0.0
        assert part["mae"] == part["hold_mae"] and part["count"] == part["hold_count"] == 72
    assert "holds" in {one["kind"] for one in found["summary"]["findings"]}


def test_the_scripted_policys_error_is_its_latency_alone(run, robot, start_sidecar):
    """The server that made the data: exact with its latency, and without it that is the finding."""
    port = start_sidecar("scripted", "--embodiment", "desk6", "--port", "0").port
    reference = SavedReference(scripted_episode(robot, late=3))
    assert np.ptp(reference.episode.action["arm"], axis=0).max() > 0.2
    exact = run(reference, port, OpenLoopSettings(latency_ns=150_000_000), folder="exact")
    assert [one["mse"] for one in exact["summary"]["components"]] == [0.0] * 6
    assert [one["then_mse"] for one in exact["episodes"][0]["components"]] == [0.0] * 6
    assert exact["summary"]["findings"] == []
    early = run(reference, port, folder="early")
    moving = [one for one in early["summary"]["components"] if one["motion"] > 1e-3]
    assert moving and all(one["mse"] > 0.0 for one in moving)
    (finding,) = (one for one in early["summary"]["findings"] if one["kind"] == "latency")
    assert finding["text"].startswith("100 % of the error vanishes") and "150 ms" in finding["text"]


def test_the_files_of_an_evaluation(run, serve, robot, tmp_path):
    """The page holds its pictures, the JSON reads back, the arrays are those of the figures."""
    server = serve(HoldPolicy(robot))
    found = run(MadeReference(2), int(server.address.rpartition(":")[2]), drawn=1)
    assert read_results(tmp_path / "out") == json.loads(json.dumps(found))
    page = (tmp_path / "out" / PAGE_NAME).read_text()
    assert page.count("data:image/png") == 6 and page.count("data:image/jpeg") == 8
    assert "The policy holds the state" in page and "made/2" in page and "http" not in page
    with np.load(tmp_path / "out" / NPZ_NAME) as arrays:
        apart = arrays["000000/played"] - arrays["000000/recorded"]
    mse = found["episodes"][0]["components"][0]["mse"]
    assert mse == pytest.approx(np.mean(apart[:, 0] ** 2))


def test_without_any_result_the_report_names_every_failure(run, start_sidecar, tmp_path):
    """Nobody listens: the page is there all the same."""
    gone = start_sidecar("hold", "--embodiment", "desk6", "--port", str(free_port("127.0.0.1")))
    gone.end(signal.SIGINT)
    found = run(MadeReference(4, rows=16), gone.port, drawn=1)
    assert found["episodes"] == [] and found["summary"]["components"] == []
    page = (tmp_path / "out" / PAGE_NAME).read_text()
    assert "1 episode failed" in page and f"127.0.0.1:{gone.port}" in page


@pytest.mark.parametrize("generation", ["A0", "A1", "A2"])
def test_servers_of_all_generations_are_asked(run, serve, robot, generation):
    """The node's own client finds out codec and keys."""
    server = serve(HoldPolicy(robot), generation)
    found = run(MadeReference(3, rows=16), int(server.address.rpartition(":")[2]))
    assert found["failed"] == [] and found["episodes"][0]["queries"] == 2


class Errs(HoldPolicy):
    """Fails in the episode whose first joint begins high."""

    def __call__(self, observation, options):
        if observation["state"]["arm"][0, -1, 0] > 0.2:
            raise ValueError("no such thing in sight")
        return super().__call__(observation, options)


def test_an_error_of_the_server_ends_the_episode_and_not_the_run(serve, robot):
    """Its text is listed; the other episodes are there."""
    server = serve(Errs(robot))
    address = Address("127.0.0.1", int(server.address.rpartition(":")[2]))
    references = [MadeReference(n, rows=16) for n in range(5)]
    starts = [made_episode(robot, 16, seed=n).state["arm"][:, 0].max() > 0.2 for n in range(5)]
    assert 0 < sum(starts) < 5
    task = WorkerTask(robot, OpenLoopSettings(), ServerAccess())
    measured, failed, _ = EvaluationRun(task, references, [address], ThisProcess()).run()
    assert len(measured) + len(failed) == 5 and 0 < len(failed) < 5
    assert all("no such thing in sight" in one.text for one in failed)
    assert failed[0].servers == (str(address),)


def test_a_server_that_is_gone_is_replaced_by_another(serve, robot, start_sidecar):
    """The first one ends before; every episode is done by the second."""
    gone = start_sidecar("hold", "--embodiment", "desk6", "--port", str(free_port("127.0.0.1")))
    dead = Address("127.0.0.1", gone.port)
    gone.end(signal.SIGINT)
    server = serve(HoldPolicy(robot), delay=Delay(0.0, 0.0))
    alive = Address("127.0.0.1", int(server.address.rpartition(":")[2]))
    task = WorkerTask(robot, OpenLoopSettings(), ServerAccess())
    references = [MadeReference(n, 16) for n in range(2)]
    measured, failed, _ = EvaluationRun(task, references, [dead, alive], ThisProcess()).run()
    assert len(measured) == 2 and failed == []
    _, failed, _ = EvaluationRun(task, references[:1], [dead], ThisProcess()).run()
    assert str(dead) in failed[0].text and failed[0].servers == (str(dead),)
