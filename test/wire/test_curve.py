"""CURVE between our client and our server: only the right keys get an answer."""

import socket
import time

import pytest

from gr00t_ros.errors import DeadlineError, RefusedError, UnreachableError
from gr00t_ros.wire import client as client_module
from gr00t_ros.wire.curve import ClientKeys, new_pair, read_client_keys, read_server_keys


def of(folder, name="r1", server="server"):
    """The keys of one client."""
    return read_client_keys(folder / f"{server}.public", folder / f"{name}.secret")


@pytest.fixture
def secured(serve, golden_policy, keys):
    """A server that takes the clients of the folder only."""
    return serve(golden_policy, keys=read_server_keys(keys))


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_an_admitted_client_has_the_whole_exchange(secured, client_of, keys, name):
    """As without keys."""
    client = client_of(secured.address, key_style="nested", curve=of(keys, name))
    server = client.connect()
    assert server.modality["action"].keys == ("joints",)
    assert client.reset() == {}


def test_a_stranger_s_key_is_refused_at_once_by_name(secured, client_of, keys):
    """It is told, and nothing it sends arrives."""
    public = (keys / "server.public").read_text().strip()
    client = client_of(secured.address, curve=ClientKeys(public, new_pair()[1]))
    with pytest.raises(RefusedError, match="does not admit this client's CURVE key"):
        client.ping()
    assert secured.counts.requests == 0


def test_a_client_without_keys_is_refused_at_once(secured, client_of):
    """With what to do."""
    with pytest.raises(RefusedError, match="takes CURVE only"):
        client_of(secured.address).ping()
    assert secured.counts.requests == 0


def test_another_server_s_public_key_gets_no_handshake(secured, client_of, keys):
    """Somebody in the middle, or a copy of an old file: nothing is sent to him."""
    client = client_of(secured.address, 1500, curve=of(keys, server="r2"))
    with pytest.raises(UnreachableError, match="is this its CURVE public key"):
        client.ping()
    assert secured.counts.requests == 0


@pytest.mark.parametrize("last", [client_module.NoTimeError, DeadlineError])
def test_an_attempt_without_time_tells_what_the_one_before_it_found(
    client_of, keys, monkeypatch, last
):
    """The last of several attempts may have a ms left: it knows nothing, accepted or not."""

    class Attempt:
        def __init__(self, *_given):
            pass

        def exchange(self, _frame, where, deadline_ns):
            if len(errors) == 2:  # until little time is left
                time.sleep(max(deadline_ns - time.monotonic_ns() - 90_000_000, 0) * 1e-9)
            raise errors.pop(0)(f"{where}: {'nobody' if not errors else 'is this its key?'}")

        def close(self):
            pass

    errors = [client_module.NotConnectedError, last]
    monkeypatch.setattr(client_module, "Connection", Attempt)
    with pytest.raises(UnreachableError, match=r"is this its key\?"):
        client_of("tcp://127.0.0.1:1", 1500, curve=of(keys)).ping()


def test_a_handshake_that_does_not_end_names_the_key(client_of, keys):
    """The other side takes the connection and is silent, as a frozen or a very busy server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no handshake before the deadline.*CURVE"):
            client_of(address, 3_000, curve=of(keys)).ping()


def test_a_server_without_curve_is_refused_by_a_client_with_keys(
    serve, client_of, golden_policy, keys
):
    """No falling back to plain text."""
    server = serve(golden_policy)
    with pytest.raises(RefusedError, match="does not speak CURVE"):
        client_of(server.address, curve=of(keys)).ping()
    assert server.counts.requests == 0


def test_keys_and_refusals_leave_no_secret_in_the_log(secured, client_of, keys, caplog):
    """On either side."""
    caplog.set_level("DEBUG")
    client_of(secured.address, curve=of(keys)).ping()
    with pytest.raises(RefusedError):
        client_of(secured.address).ping()
    secrets = [path.read_text().strip() for path in keys.glob("*.secret")]
    assert secrets and not any(secret in caplog.text for secret in secrets)
