"""address: hosts of both IP families in ZeroMQ's form, and names looked up by a deadline."""

import socket
import threading
import time

import pytest

from gr00t_ros.errors import SettingsError, UnreachableError
from gr00t_ros.wire import address

SOON_NS = 20_000_000_000


def deadline_ns(left_ns=SOON_NS):
    """A deadline that far ahead."""
    return time.monotonic_ns() + left_ns


@pytest.fixture
def names(monkeypatch):
    """Answer for names as a resolver would; a name that is not set is unknown."""
    known = {}

    def look_up(host, port, **_):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, 1, 6, "", (text, port))
            for text in known[host]
        ]

    monkeypatch.setattr(address.socket, "getaddrinfo", look_up)
    return known


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("*", "tcp://*:5555"),
        ("10.0.0.7", "tcp://10.0.0.7:5555"),
        ("::1", "tcp://[::1]:5555"),
        ("[::1]", "tcp://[::1]:5555"),
        ("both", "tcp://10.0.0.7:5555"),
        ("six", "tcp://[fd00::7]:5555"),
    ],
)
def test_a_server_binds_a_literal_or_the_first_address_of_a_name(names, host, expected):
    """A name with both families means IPv4, as it always did to ZeroMQ."""
    names |= {"both": ["fd00::7", "10.0.0.7"], "six": ["fd00::7"]}
    names |= {"10.0.0.7": ["10.0.0.7"], "::1": ["::1"]}
    assert address.listen_address(host, 5555) == expected


@pytest.mark.parametrize(("host", "port"), [("", 1), ("a b", 1), ("nobody", 1), ("::1", 65536)])
def test_what_cannot_be_bound_is_refused(names, host, port):
    """In one line, before any socket."""
    with pytest.raises(SettingsError):
        address.listen_address(host, port)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("thor:5555", ("thor", 5555)),
        ("[::1]:0", ("[::1]", 0)),
        ("*:5556", ("*", 5556)),
        ("tcp://thor:5555", ("thor", 5555)),
        ("tcp://[::1]:5555", ("[::1]", 5555)),
    ],
)
def test_a_place_is_host_and_port(text, place):
    """IPv6 in its brackets; as a server prints it too."""
    assert address.parse_place(text, 0) == place


@pytest.mark.parametrize(
    ("host", "text"), [("::1", "[::1]:5"), ("[::1]", "[::1]:5"), ("thor", "thor:5")]
)
def test_a_place_is_shown_so_that_its_port_is_seen(host, text):
    """As it may be written on a command line."""
    assert address.shown(host, 5) == text


@pytest.mark.parametrize("text", ["::1:5556", "thor", ":5555", "thor:", "thor:65536", "thor:٣"])
def test_a_text_that_is_no_place_is_refused(text):
    """An IPv6 address without brackets could end anywhere."""
    with pytest.raises(SettingsError, match="expected"):
        address.parse_place(text, 0)


def test_a_name_gives_all_its_addresses_and_a_literal_itself(names):
    """In the resolver's order, each once."""
    names["robot"] = ["fd00::7", "10.0.0.7", "fd00::7"]
    assert address.numeric("tcp://robot:5", deadline_ns()) == (
        "tcp://[fd00::7]:5",
        "tcp://10.0.0.7:5",
    )
    for literal in ("tcp://[::1]:5", "tcp://[fe80::1%lo]:5", "tcp://10.0.0.7:5"):
        assert address.numeric(literal, deadline_ns(0)) == (literal,)


@pytest.mark.parametrize("name", ["nobody.invalid", "a..b", "x" * 300])
def test_an_unknown_name_is_unreachable(name):
    """Whatever the resolver or the codec of names says."""
    with pytest.raises(UnreachableError, match=name[:20].replace(".", r"\.")):
        address.numeric(f"tcp://{name}:5", deadline_ns())


def test_a_resolver_that_hangs_is_cut_by_the_deadline(monkeypatch):
    """A robot whose name server is gone must still end its calls."""
    go = threading.Event()
    monkeypatch.setattr(address.socket, "getaddrinfo", lambda *_, **__: go.wait(20.0) and [])
    with pytest.raises(UnreachableError, match="not looked up in time"):
        address.numeric("tcp://robot:5", deadline_ns(1_000_000))
    go.set()
