"""gr00t sidecar as a process: its ready line, signals, exit status and log."""

import signal
import stat

import pytest

from gr00t_ros.wire.codec import decode, encode

ROBOT = ("--embodiment", "franka_droid")
PING = encode({"endpoint": "ping"}, "npy")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_ready_serves_and_ends_cleanly_on_a_signal(start_sidecar, connect, number):
    """Exit status 0, one ready line, a count of what was done."""
    sidecar = start_sidecar("hold", "--embodiment", "franka_droid", "--port", "0")
    assert sidecar.ready.startswith("READY tcp://127.0.0.1:") and sidecar.port > 0
    assert decode(connect(sidecar.address).ask(PING))["status"] == "ok"
    status, log = sidecar.end(number)
    assert status == 0
    assert "ping: 15 B in, 37 B out" in log and "requests=1" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "words",
    [
        ("wave", *ROBOT),
        ("faulty", *ROBOT, "--fault", "nan"),
        ("proxy", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0"),
    ],
    ids=lambda words: words[0],
)
def test_every_server_ends_with_0_at_ctrl_c(start_sidecar, words):
    """It was told to end."""
    sidecar = start_sidecar(*words, *(() if words[0] == "proxy" else ("--port", "0")))
    assert sidecar.ready.startswith("READY ")
    status, log = sidecar.end(signal.SIGINT)
    assert status == 0 and "Traceback" not in log


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nobody",), "unknown verb 'nobody'; expected one of ping"),
        (("no.body:policy", *ROBOT), "policy 'no.body:policy' (no.body:policy) cannot be loaded"),
        (("hold", "--embodiment", "nobody"), "embodiment 'nobody': no such file"),
        (("hold", *ROBOT, "--token-file", "/no/such/file"), "api token file"),
        (("hold", *ROBOT, "--jitter-ms", "5"), "0 <= jitter <= mean"),
        (("hold", *ROBOT, "--host", "256.1.1.1"), "cannot serve on '256.1.1.1'"),
        (("replay", *ROBOT, "--dataset", "/no"), "/no: no such folder, expected one that has meta"),
        (("lerobot", *ROBOT, "--checkpoint", "/no"), "--checkpoint /no: no such folder, expected"),
    ],
)
def test_what_it_cannot_start_with_is_one_line_and_status_two(start_sidecar, arguments, text):
    """No traceback, no ready line."""
    sidecar = start_sidecar(*arguments, "--port", "0")
    status, log = sidecar.wait()
    assert (sidecar.ready, status) == ("", 2)
    assert text in log and log.count("\n") == 1


def test_the_token_of_a_file_is_asked_for_and_not_shown(start_sidecar, connect, tmp_path):
    """Neither in the log nor on the command line."""
    path = tmp_path / "token"
    path.write_text("s3cret-t0ken\n")
    path.chmod(0o600)
    path.chmod(stat.S_IRUSR)
    sidecar = start_sidecar(
        "hold", "--embodiment", "franka_droid", "--port", "0", "--token-file", str(path)
    )
    peer = connect(sidecar.address)
    assert decode(peer.ask(PING)) == {"error": "Unauthorized: Invalid API token"}
    good = encode({"endpoint": "ping", "api_token": "s3cret-t0ken"}, "npy")
    assert decode(peer.ask(good))["status"] == "ok"
    _, log = sidecar.end(signal.SIGTERM)
    assert "s3cret" not in log


def test_an_allowed_kill_ends_the_process(start_sidecar, connect):
    """As upstream's clients end a server."""
    sidecar = start_sidecar("hold", "--embodiment", "franka_droid", "--port", "0", "--allow-kill")
    assert connect(sidecar.address).ask(encode({"endpoint": "kill"}, "npy")) == b"\xc0"
    assert sidecar.wait()[0] == 0
