"""gr00t sidecar start as a process: it gets ready, and ends by a signal, a kill or a refusal."""

import os
import signal
from pathlib import Path

from server_profiles import alive, until, until_gone

N17 = ("n17", "--embodiment", "franka_droid")


def server_of(sidecar):
    """The pids below a gr00t sidecar start: its watcher and the server."""

    def children(pid):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")  # each thread has its own
        return [int(word) for path in tasks for word in path.read_text().split()]

    (watcher,) = children(sidecar.process.pid)
    return [watcher, *children(watcher)]


def test_it_is_ready_at_a_free_port_and_ends_with_its_server(start_sidecar):
    """The server's own line is passed on with the profile's name; status 0 after SIGINT."""
    sidecar = start_sidecar("start", "hold", "--embodiment", "franka_droid")
    assert sidecar.ready.startswith("READY tcp://127.0.0.1:")
    pids = server_of(sidecar)
    status, log = sidecar.end(signal.SIGINT)
    assert status == 0
    assert f"[hold] READY tcp://127.0.0.1:{sidecar.port}" in log and "Traceback" not in log
    assert not any(map(alive, pids))


def test_its_sigkill_leaves_nothing(start_sidecar):
    """As that of a node."""
    sidecar = start_sidecar("start", "hold", "--embodiment", "franka_droid")
    pids = server_of(sidecar)
    sidecar.end(signal.SIGKILL)
    until_gone(pids)


def test_a_killed_server_is_ready_again(start_sidecar):
    """A second READY line, of the same address."""
    sidecar = start_sidecar("start", "hold", "--embodiment", "franka_droid")
    os.kill(server_of(sidecar)[1], signal.SIGKILL)
    assert sidecar.process.stdout.readline().strip() == sidecar.ready
    until(lambda: len(server_of(sidecar)) == 2, "another server")


def test_what_cannot_run_is_status_two_with_the_reason(start_sidecar, monkeypatch):
    """A missing environment, an unknown name, a license that nobody acknowledged."""
    monkeypatch.delenv("GR00T_ACCEPT_NONCOMMERCIAL", raising=False)
    for words, reason in (
        (("n17",), "the command needs embodiment_tag, which is empty; name an embodiment"),
        (("n16", "--embodiment", "franka_droid"), "no server_tags: {N1.6: NAME}"),
        ((*N17, "--working-directory", "/no/such"), "/no/such is not there; install it with: git"),
        (
            ("hold",),
            "needs embodiment, which is empty; name an embodiment (--embodiment NAME|FILE)",
        ),
        (("n99",), "'n99': no such file"),
        (("n16", "--embodiment", "franka_droid_n16"), "GR00T_ACCEPT_NONCOMMERCIAL=1"),
        (("hold", "--port", "70000"), "70000"),
        (
            ("hold", "--embodiment", "franka_droid", "--host", "nosuch.invalid"),
            "sidecar profile hold: host 'nosuch.invalid': ",
        ),
    ):
        sidecar = start_sidecar("start", *words)
        status, log = sidecar.wait()
        assert (sidecar.ready, status) == ("", 2), log
        assert reason in log and "Traceback" not in log
