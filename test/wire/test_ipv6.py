"""Client, servers and proxy work over IPv6, and with names that have addresses of both families."""

import socket
import threading
from contextlib import closing

import pytest

from gr00t_ros.errors import UnreachableError
from gr00t_ros.proxy.core import Limits
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.wire import address
from gr00t_ros.wire.client import PolicyServerClient

LIMIT_S = 20.0
BOTH = "robot.test"


def _has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


@pytest.fixture
def both(monkeypatch):
    """A name that means ::1 and then 127.0.0.1."""
    known = socket.getaddrinfo

    def look_up(host, port, *others, **settings):
        hosts = ("::1", "127.0.0.1") if host == BOTH else (host,)
        return [place for one in hosts for place in known(one, port, *others, **settings)]

    monkeypatch.setattr(address.socket, "getaddrinfo", look_up)


@pytest.fixture
def proxy_before():
    """Run proxies on ::1 before an address; ended afterwards."""
    running = []

    def start(upstream):
        proxy = Proxy(
            ProxySettings(upstream, "tcp://[::1]:0", Limits(max_wait_ms=20_000), connect_ms=20_000)
        )
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        running.append((proxy, thread))
        return proxy

    yield start
    for proxy, thread in running:
        proxy.stop()
        thread.join(LIMIT_S)
        proxy.close()


def port_of(server):
    """The port of a bound server."""
    return int(server.address.rpartition(":")[2])


def _client(server):
    """A hasty client that asks the server's port on IPv4."""
    return PolicyServerClient("127.0.0.1", port_of(server), 200)


def ping(host, port):
    """Ping with a client of its own; the number of connections it took."""
    with closing(PolicyServerClient(host, port, 20_000)) as client:
        assert client.ping() > 0
        return client.counts.connections


def test_a_server_on_ipv6_answers_there_and_only_there(serve, golden_policy):
    """Its address has the brackets that clients need."""
    server = serve(golden_policy, bind=f"tcp://[::1]:{free_port('127.0.0.1')}")
    assert server.address.startswith("tcp://[::1]:")
    assert ping("::1", port_of(server)) == ping("[::1]", port_of(server)) == 1
    with pytest.raises(UnreachableError), closing(_client(server)) as client:
        client.ping()


def test_every_interface_means_both_families(serve, golden_policy):
    """As a robot finds it, whichever address its name has."""
    server = serve(golden_policy, bind=address.listen_address("*", 0))
    assert ping("::1", port_of(server)) == ping("127.0.0.1", port_of(server)) == 1


@pytest.mark.parametrize(("bind", "connections"), [("[::1]", 1), ("127.0.0.1", 2)])
def test_a_name_is_tried_in_both_families(serve, golden_policy, both, bind, connections):
    """The second address within the first call, not after it."""
    server = serve(golden_policy, bind=f"tcp://{bind}:{free_port('127.0.0.1')}")
    assert ping(BOTH, port_of(server)) == connections


@pytest.mark.parametrize("bind", ["[::1]", "127.0.0.1"])
def test_a_proxy_on_ipv6_finds_the_server_behind_a_name(
    serve, golden_policy, proxy_before, both, bind
):
    """From either family to either family."""
    server = serve(golden_policy, bind=f"tcp://{bind}:{free_port('127.0.0.1')}")
    proxy = proxy_before(f"tcp://{BOTH}:{port_of(server)}")
    assert ping("::1", port_of(proxy)) == 1


def test_the_processes_take_ipv6_on_their_command_lines(start_sidecar):
    """Server, proxy and question in processes of their own."""
    server = start_sidecar("hold", "--embodiment", "franka_droid", "--host", "::1", "--port", "0")
    upstream = f"[::1]:{server.port}"
    proxy = start_sidecar("proxy", "--upstream", upstream, "--listen", "[::1]:0")
    asked = start_sidecar("ping", "--server", f"[::1]:{proxy.port}")
    assert asked.wait()[0] == 0
    assert asked.ready.startswith("address") and f"[::1]:{proxy.port}" in asked.ready
