"""One server for several simulations: refused where a reset would be that of all of them."""

import threading

import pytest

from gr00t_ros.errors import RefusedError
from gr00t_ros.evaluate.servers import Access
from gr00t_ros.proxy.core import Limits
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.rollout.shared_server import refuse_shared, resets

ACCESS = Access(5_000)


def port_of(address):
    """The port of tcp://127.0.0.1:PORT."""
    return int(address.rpartition(":")[2])


@pytest.fixture
def server(serve, golden_policy):
    """A server whose policy is reset by whoever asks."""
    return serve(golden_policy)


@pytest.fixture
def proxy(server, request):
    """A proxy before it that makes batches of so many requests."""
    settings = ProxySettings(server.address, "tcp://127.0.0.1:*", Limits(batch=request.param))
    with Proxy(settings) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield proxy
        proxy.stop()
        thread.join(20.0)


def test_a_server_of_its_own_is_reset_and_not_shared(server):
    """One simulation may ask it; two may not, unless its policy has no memory."""
    place = "127.0.0.1", port_of(server.address)
    assert resets(*place, ACCESS)
    refuse_shared(*place, 1, False, ACCESS)
    refuse_shared(*place, 2, True, ACCESS)
    with pytest.raises(RefusedError, match="cannot tell their episodes apart"):
        refuse_shared(*place, 2, False, ACCESS)


@pytest.mark.parametrize("proxy", [2], indirect=True)
def test_a_batching_proxy_is_shared_and_resets_nothing(proxy):
    """It is made for several robots, and says that it did not reset."""
    place = "127.0.0.1", port_of(proxy.address)
    assert not resets(*place, ACCESS)
    refuse_shared(*place, 2, False, ACCESS)


@pytest.mark.parametrize("proxy", [1], indirect=True)
def test_a_proxy_that_passes_a_reset_on_is_not_shared(proxy):
    """What is behind it would be reset by either."""
    place = "127.0.0.1", port_of(proxy.address)
    with pytest.raises(RefusedError, match="expected 1"):
        refuse_shared(*place, 2, False, ACCESS)
