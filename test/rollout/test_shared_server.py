"""One server for several simulations: refused where a reset would be that of all of them."""

import threading
from contextlib import nullcontext
from dataclasses import replace

import pytest
from wire_fixtures import GoldenPolicy

from gr00t_ros.errors import RefusedError, RemoteError
from gr00t_ros.evaluate.servers import ServerAccess
from gr00t_ros.proxy.core import Limits
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.rollout import stack, worker
from gr00t_ros.rollout.benchmark import Benchmark
from gr00t_ros.rollout.shared_server import refuse_shared, standing_of
from gr00t_ros.rollout.strategy import STRATEGIES
from gr00t_ros.rollout.trial import Condition, Evaluation
from gr00t_ros.serve.robots import MAX_ROBOTS, Robots
from gr00t_ros.wire.robot_id import Standing

ACCESS = ServerAccess(5_000)
PLACE = ("gpu", 5555)
CONDITION = Condition(STRATEGIES["node"])
EVALUATION = Evaluation(
    *(Benchmark("b", ("python", "sim.py"), "libero_panda", "/b"), {"s": (0, 1)}, 2, 7),
    (CONDITION,),
    PLACE,
)


def place_of(address):
    """Host and port of tcp://127.0.0.1:PORT."""
    return "127.0.0.1", int(address.rpartition(":")[2])


class Proxies:
    """Starts proxies in threads."""

    def __init__(self):
        self._running = []

    def before(self, server, batch):
        """One that makes batches of so many requests; where it is."""
        settings = ProxySettings(server.address, "tcp://127.0.0.1:*", Limits(batch=batch))
        proxy = Proxy(settings)
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        self._running.append((proxy, thread))
        return place_of(proxy.address)

    def end(self):
        """Stop all of them."""
        for proxy, thread in self._running:
            proxy.stop()
            thread.join(20.0)
            proxy.close()


@pytest.fixture
def proxies():
    """Ended after the test."""
    proxies = Proxies()
    yield proxies
    proxies.end()


@pytest.mark.parametrize(
    ("found", "simulations", "stateless", "refused"),
    [
        (Standing.IGNORED, 2, False, True),
        (Standing.IGNORED, 1, False, False),
        (Standing.IGNORED, 2, True, False),
        (Standing.KEPT, 2, False, False),
        (Standing.SHARED, 2, False, False),
    ],
)
def test_only_simulations_that_would_reset_each_other_are_refused(
    found, simulations, stateless, refused
):
    """One may ask any server, and several a policy that has no memory."""
    if refused:
        with pytest.raises(RefusedError, match="gpu:5555: got 2 workers, expected 1: .*robot_id"):
            refuse_shared(*PLACE, found, simulations, stateless)
    else:
        refuse_shared(*PLACE, found, simulations, stateless)


def test_a_server_of_upstream_s_kind_is_not_shared_with_or_without_a_proxy(
    serve, golden_policy, proxies
):
    """It resets for whoever asks; only a proxy that makes batches resets nothing."""
    server = serve(golden_policy)
    assert standing_of(*place_of(server.address), ACCESS) is Standing.IGNORED
    assert standing_of(*proxies.before(server, 1), ACCESS) is Standing.IGNORED
    assert standing_of(*proxies.before(server, 2), ACCESS) is Standing.SHARED


def test_a_server_that_keeps_episodes_is_shared_and_no_robot_of_it_is_reset(serve, proxies):
    """Not even by the question; a proxy without batches hands options and reply on."""
    resets = []

    class Watched(GoldenPolicy):
        def reset(self, options):
            resets.append(self)
            return {}

    server = serve(Robots(Watched))
    assert standing_of(*place_of(server.address), ACCESS) is Standing.KEPT
    assert standing_of(*proxies.before(server, 1), ACCESS) is Standing.KEPT
    assert standing_of(*proxies.before(server, 2), ACCESS) is Standing.SHARED
    assert len(resets) == 2 and len(set(map(id, resets))) == 1, "the questions have one place"


@pytest.mark.parametrize("text", ["unknown option robot_id", "busy", "CUDA out of memory"])
def test_an_error_is_not_taken_for_a_server_without_resets(serve, text):
    """It may reset its policy for all robots at the next question."""

    class Refusing(GoldenPolicy):
        def reset(self, options):
            raise ValueError(text)

    with pytest.raises(RemoteError, match=text):
        standing_of(*place_of(serve(Refusing()).address), ACCESS)


def test_n15_has_no_reset_that_could_harm_others(serve, golden_policy):
    """Its server answers that it knows no such endpoint."""
    server = serve(golden_policy, "A0")
    assert standing_of(*place_of(server.address), ACCESS) is Standing.SHARED


def test_a_server_without_room_is_not_taken_for_one_without_resets(serve):
    """A worker more would be refused by it, too."""
    robots = Robots(GoldenPolicy)
    for number in range(MAX_ROBOTS):
        robots.reset({"robot_id": f"arm {number}"})
    with pytest.raises(RemoteError, match="start another server"):
        standing_of(*place_of(serve(robots).address), ACCESS)


class Started:
    """Instead of demo.bringup.Bringup: keeps the commands."""

    commands = []

    def __init__(self, folder):
        self.folder = folder

    def start(self, role, command):
        self.commands.append((role, command))

    def stop(self, role):
        """Nothing runs."""

    def end(self):
        """Nothing runs."""


@pytest.fixture
def started(monkeypatch):
    """The commands that stacks start."""
    monkeypatch.setattr(Started, "commands", [])
    monkeypatch.setattr(stack, "Bringup", Started)
    monkeypatch.setattr(stack, "own_domain", nullcontext)
    monkeypatch.setattr(stack, "avoid_shared_memory", lambda: None)
    monkeypatch.setattr(worker, "Observer", lambda *_: nullcontext())
    monkeypatch.setenv("ROS_LOG_DIR", "")
    return Started.commands


def ids(commands):
    """The ids of the nodes that were started."""
    return [
        word.removeprefix("robot_id:=")
        for role, command in commands
        if role == stack.NODE
        for word in command
        if word.startswith("robot_id:=")
    ]


def test_each_worker_s_nodes_have_one_id_of_their_own(started, tmp_path):
    """Also those of its next stack: else an evaluation would fill the server's places."""
    evaluation = replace(EVALUATION, names_robots=True)
    for one in (worker.Worker(evaluation, tmp_path) for _ in range(2)):
        for _ in range(2):
            one._running()[0].use(CONDITION)
            one._stack.close()
            one._stack = None
    found = ids(started)
    assert found[0] == found[1] != found[2] == found[3] and len(found) == 4


def test_a_server_that_does_not_know_ids_gets_none(started, tmp_path):
    """Its node would not begin."""
    worker.Worker(EVALUATION, tmp_path)._running()[0].use(CONDITION)
    assert [role for role, _ in started].count(stack.NODE) == 1 and ids(started) == []


def test_ids_are_no_setting():
    """A run goes on at a server of the other kind."""
    assert replace(EVALUATION, names_robots=True).settings() == EVALUATION.settings()
