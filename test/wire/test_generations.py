"""Our client works with our server, in its own process, in every generation and key style."""

import itertools
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from laws import QUICK

from gr00t_ros.errors import DeadlineError, RefusedError, RemoteError, UnreachableError
from gr00t_ros.observe.modality import compare
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.messages import Generation
from gr00t_ros.wire.template import RequestTemplate

SECRET = "s3cret-t0ken"
# A client cannot tell A2 from A1, nor B3 from B2 (wire.md 6).
SEEN_AS = {"A0": "A0", "A1": "A1", "A2": "A1", "B2": "B2", "B3": "B2"}
CASES = [
    pytest.param(generation, flat, token, id=f"{generation}-{'flat' if flat else 'nested'}-{token}")
    for generation, flat, token in itertools.product(SEEN_AS, (False, True), ("token", "open"))
    if flat or generation != "A0"
]
if QUICK:  # each generation, key style and token, not all combinations: each case is a process
    CASES = CASES[::3]


@pytest.fixture(scope="module")
def embodiment():
    """The shipped DROID arm."""
    return load_embodiment("franka_droid")


@pytest.fixture
def start(start_sidecar, tmp_path):
    """Start the hold policy in one generation; returns the process and the client's token."""

    def _start(generation, flat=False, token="open", port=None):
        arguments = [
            "hold",
            "--embodiment",
            "franka_droid",
            "--port",
            str(port or free_port("127.0.0.1")),
            "--codec",
            generation,
        ]
        arguments += ["--flat"] if flat else []
        if token == "token":
            path = tmp_path / "token"
            path.write_text(SECRET)
            path.chmod(0o600)
            arguments += ["--token-file", str(path)]
        return start_sidecar(*arguments), Token(SECRET) if token == "token" else None

    return _start


@pytest.fixture
def client_of():
    """Make clients with a generous deadline; closed after the test."""
    clients = []

    def _client_of(sidecar, token=None, **settings):
        clients.append(PolicyServerClient("127.0.0.1", sidecar.port, 20_000, token, **settings))
        return clients[-1]

    yield _client_of
    for client in clients:
        client.close()


def _request(embodiment, server, token, **state_shapes):
    """A zero observation, or one with other state shapes than the embodiment's."""
    return RequestTemplate(
        {v.key: (len(v.delta_indices), v.height_px, v.width_px) for v in embodiment.video},
        {s.key: (len(s.delta_indices), s.width) for s in embodiment.state} | state_shapes,
        embodiment.language_key,
        generation=server.generation,
        key_style=server.key_style,
        token=token,
        instruction="stay",
    )


def _connect(client, embodiment, token):
    return client.connect(lambda server: _request(embodiment, server, token))


@pytest.mark.parametrize(("generation", "flat", "token"), CASES)
def test_a_server_is_recognised_and_answers_with_the_right_action(
    start, client_of, embodiment, generation, flat, token
):
    """Nothing configured but address and token: codec, key style and modality are found."""
    sidecar, token = start(generation, flat, token)
    client = client_of(sidecar, token)
    server = _connect(client, embodiment, token)
    assert server.generation is Generation(SEEN_AS[generation])
    assert server.key_style == ("flat" if flat else "nested")
    assert not [item for item in compare(embodiment, server.modality) if item.fatal]

    request = _request(embodiment, server, token)
    rng = np.random.default_rng(3)
    for state in request.state.values():
        state[...] = rng.normal(size=state.shape)
    action = client.get_action(request)
    assert set(action) == {key.key for key in embodiment.action}
    for key, rows in action.items():
        assert rows.shape[0] == embodiment.action_horizon and rows.dtype == np.float32
        assert np.array_equal(rows, np.repeat(request.state[key][0], len(rows), axis=0))
    assert client.reset() == {}


@pytest.mark.parametrize("generation", ["A0", "A1", "B2", "B3"])
def test_the_servers_own_text_reaches_the_caller_and_the_connection_lives(
    start, client_of, embodiment, generation
):
    """A wrong observation is told in the server's words, and the next request works."""
    sidecar, token = start(generation)
    client = client_of(sidecar)
    server = _connect(client, embodiment, token)
    wrong = _request(embodiment, server, token, joint_position=(1, 6))
    with pytest.raises(RemoteError, match="'joint_position' must have width 7. Got 6"):
        client.get_action(wrong)
    assert client.get_action(_request(embodiment, server, token))


@pytest.mark.parametrize(
    ("flat", "style", "text"),
    [
        (False, "flat", "Observation must contain a 'video' key"),
        (True, "nested", "Video key 'video.exterior_image_1_left' must be in observation"),
    ],
)
def test_a_wrongly_configured_key_style_is_told_by_the_server(
    start, client_of, embodiment, flat, style, text
):
    """Nothing on the wire tells it before the first get_action."""
    sidecar, token = start("A1", flat)
    client = client_of(sidecar, key_style=style)
    server = _connect(client, embodiment, token)
    with pytest.raises(RemoteError, match=text):
        client.get_action(_request(embodiment, server, token))


@pytest.mark.parametrize("generation", ["A0", "A1", "B3"])
def test_a_client_without_the_token_is_refused_at_connect(start, client_of, embodiment, generation):
    """Not at the first action, when the robot is already waiting."""
    sidecar, _ = start(generation, token="token")
    with pytest.raises(RefusedError, match="check the api token"):
        _connect(client_of(sidecar, Token("wrong")), embodiment, Token("wrong"))


def test_generation_t_is_refused_with_what_to_do(start, client_of, embodiment):
    """Its replies would have to be unpickled."""
    sidecar, _ = start("T")
    with pytest.raises(RefusedError, match="torch protocol"):
        _connect(client_of(sidecar), embodiment, None)


def test_a_generation_of_the_future_is_refused_with_what_was_seen(client_of):
    """Its marker is named, so that a report of it is worth something."""
    peers = Path(__file__).parents[1] / "fixtures" / "peers.py"
    with subprocess.Popen(
        [sys.executable, str(peers), "unknown"], stdout=subprocess.PIPE, text=True
    ) as peer:
        try:
            client = PolicyServerClient("127.0.0.1", int(peer.stdout.readline().split()[1]), 20_000)
            with closing(client), pytest.raises(RefusedError) as refused:
                client.connect()
        finally:
            peer.kill()
    assert "'video': map of '__ModalityConfigV2__', 'as_bin'" in str(refused.value)


@pytest.mark.parametrize(
    ("generation", "flat"), list(zip(SEEN_AS, (True, False, True, False, True), strict=True))
)
def test_a_link_lives_through_a_servers_errors_silence_and_death(
    start, embodiment, generation, flat
):
    """Check, query, reset, error text, deadline, kill, restart: in that order, on one link."""
    sidecar, _ = start(generation, flat)
    client = PolicyServerClient("127.0.0.1", sidecar.port, 20_000)
    with closing(PolicyLink(client, embodiment, None)) as link:
        assert link.check().server.generation is Generation(SEEN_AS[generation])
        still = link.query(lambda template: None, 1)[1]
        assert {key: rows.shape for key, rows in still.items()} == dict(link.checked.shapes)

        wrong = _request(embodiment, link.checked.server, None, joint_position=(1, 6))
        with pytest.raises(RemoteError, match="width 7"):
            client.get_action(wrong)
        assert link.query(lambda template: None, 2)[2] > 0

        sidecar.process.send_signal(signal.SIGSTOP)
        request = _request(embodiment, link.checked.server, None)
        with pytest.raises(DeadlineError, match="no reply before the deadline"):
            client.get_action(request, 100)
        sidecar.process.send_signal(signal.SIGKILL)
        sidecar.wait()
        with pytest.raises(UnreachableError):
            client.get_action(request, 100)

        start(generation, flat, port=sidecar.port)
        with pytest.raises(UnreachableError, match="the server that is there now fits"):
            link.query(lambda template: None, 3)
        assert link.query(lambda template: None, 3)[2] > 0
