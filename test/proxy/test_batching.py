"""Batches on real sockets: clients of every generation, a strict server, one that refuses them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gr00t_ros.errors import RemoteError
from gr00t_ros.proxy.core import Limits
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.wire.template import RequestTemplate

LIMIT_S = 20.0
ROBOTS = 4
KEY = "annotation.human.task_description"


class Echo:
    """Answers each row with its own joints and how many words its instruction has, and notes sizes.

    The first action waits until `open`, so that the others come meanwhile.
    """

    def __init__(self, inner, most=ROBOTS):
        self.modality, self.reset, self.most = inner.modality, inner.reset, most
        self.horizon = len(inner.modality["action"].delta_indices)
        self.widths = {key: value.shape[2] for key, value in inner.action.items()}
        self.sizes, self.open = [], threading.Event()

    def __call__(self, observation, options):
        joints, texts = observation["state"]["joints"], observation["language"][KEY]
        self.sizes.append(len(joints))
        assert self.open.wait(LIMIT_S)
        if len(joints) > self.most:
            raise ValueError(f"batch of {len(joints)}: {texts}")
        words = [len(text.split()) for ((text),) in texts]
        if any(not count for count in words):
            raise ValueError(f"no instruction: {texts}")
        rows = joints[:, -1, 0] * 10 + np.array(words)
        return {
            key: np.broadcast_to(rows[:, None, None], (len(rows), self.horizon, width)).astype("f4")
            for key, width in self.widths.items()
        }, {}


@pytest.fixture
def answers(serve, client_of):
    """Let four robots ask at once through a batching proxy; return what each got."""
    with ThreadPoolExecutor(ROBOTS) as pool:
        proxies = []

        def run(policy, generation="B3", flat=False, texts=("a", "a b", "a b c", "a b c d")):
            server = serve(policy, generation, flat=flat and generation != "A0")
            limits = Limits(batch=ROBOTS, wait_ms=1_000, max_wait_ms=10_000)
            proxy = Proxy(ProxySettings(server.address, "tcp://127.0.0.1:*", limits))
            proxies.append((proxy, threading.Thread(target=proxy.serve_forever)))
            proxies[-1][1].start()
            style = "flat" if flat else "nested"
            clients = [client_of(proxy.address, key_style=style) for _ in texts]
            found = [client.connect() for client in clients]
            before = proxy.core.counts.requests
            first = pool.submit(ask, clients[0], found[0], 9, "first")
            wait(lambda: policy.sizes)
            rest = [
                pool.submit(ask, *both, number, text)
                for number, (both, text) in enumerate(
                    zip(list(zip(clients, found, strict=True))[1:], texts[1:], strict=True), 1
                )
            ]
            wait(lambda: proxy.core.counts.requests == before + len(texts))
            policy.open.set()
            assert first.result() == 91
            rest.append(pool.submit(ask, clients[0], found[0], 0, texts[0]))
            return proxy, [one.result() for one in (rest[-1], *rest[:-1])]

        yield run
        for proxy, thread in proxies:
            proxy.stop()
            thread.join(LIMIT_S)
            proxy.close()


def wait(condition):
    """Until it is true, with a generous limit."""
    tick = threading.Event()
    for _ in range(int(LIMIT_S * 100)):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("the condition never came true")


def ask(client, server, number, text):
    """One action's first value, or the error's text."""
    template = RequestTemplate(
        {"cam_a": (1, 4, 4), "cam_b": (1, 4, 4)},
        {"joints": (1, 3)},
        KEY,
        generation=server.generation,
        key_style=server.key_style,
        array_codec=server.array_codec,
        instruction=text,
    )
    template.state["joints"][...] = number
    try:
        action = client.get_action(template)
    except RemoteError as error:
        return error.server_text
    (value,) = {float(value) for values in action.values() for value in values.ravel()}
    return value


@pytest.mark.parametrize(
    ("generation", "flat"),
    [("A0", True), ("A1", False), ("A1", True), ("B2", False), ("B3", False), ("B3", True)],
)
def test_robots_of_every_generation_get_their_own_rows_of_one_batch(
    answers, golden_policy, generation, flat
):
    """From a server with upstream's strict checks; language is that of each row."""
    policy = Echo(golden_policy)
    _, found = answers(policy, generation, flat)
    assert found == [1, 12, 23, 34] and policy.sizes == [1, 4]


def test_a_bad_instruction_fails_for_its_robot_only(answers, golden_policy):
    """The server's text, which quotes all rows, comes to nobody."""
    policy = Echo(golden_policy)
    _, found = answers(policy, texts=("a", "secret", "", "a b c d"))
    assert found == [1, 11, "no instruction: [['']]", 34]
    assert policy.sizes == [1, 4, 1, 1, 1, 1]


def test_a_server_that_refuses_batches_serves_all_robots_all_the_same(
    answers, golden_policy, client_of, caplog
):
    """The log says so once; the error's own text is nobody's reply."""
    policy = Echo(golden_policy, most=1)
    proxy, found = answers(policy)
    assert found == [1, 12, 23, 34] and policy.sizes == [1, 4, 1, 1, 1, 1]
    wait(lambda: "refuses batches of 4" in caplog.text)
    assert caplog.text.count("refuses batches") == 1
    assert proxy.core.counts.failed == 0
    assert (
        client_of(proxy.address, key_style="nested")
        .connect()
        .proxy.startswith("batches of at most 2, the server")
    )
