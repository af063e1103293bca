"""A supervised server: ready, crashed, late, killed or ended, and no process is left behind."""

import os
import random
import re
import signal
import socket
import sys
import threading
import time

import pytest
from docker_stand_in import IMAGE
from server_profiles import FAMILY, alive, family_of, hold, open_descriptors, script, until

from gr00t_ros.errors import LaunchError, UnreachableError
from gr00t_ros.serve.front import resident_bytes
from gr00t_ros.supervise.license import LICENSE_VARIABLE
from gr00t_ros.supervise.profile import parse
from gr00t_ros.supervise.supervisor import Phase, Restarts, Supervisor
from gr00t_ros.wire.client import PolicyServerClient

MOST_GROWTH_BYTES = 20 * 2**20  # of which the allocator keeps what it likes
NO_PAUSE = Restarts(limit=2, first_s=0.01, longest_s=0.01)
SLEEP = "import time; print('Loading checkpoint shards', flush=True); time.sleep(600)"


class Log(list):
    """What a supervisor logged."""

    def __call__(self, severity, text):
        self.append(f"{severity}: {text}")

    def has(self, *parts):
        """The first entry with all the parts, or an empty text."""
        return next((line for line in list(self) if all(p in line for p in parts)), "")


@pytest.fixture
def log():
    """Collects what is logged."""
    return Log()


@pytest.fixture
def supervise(log):
    """Start supervisors; each is stopped after the test and its server gone."""
    started = []

    def _supervise(profile, restarts=NO_PAUSE, **settings):
        started.append(Supervisor(profile, None, log, restarts=restarts, **settings))
        started[-1].start()
        return started[-1]

    yield _supervise
    pids = [s.state().pid for s in started]
    assert all([s.stop(20.0) for s in started]), "a supervisor did not end"
    assert not [pid for pid in pids if pid is not None and alive(pid)]


def wait_for(supervisor, *phases):
    """The state, once it is in one of these phases."""
    return until(
        lambda: (state := supervisor.state()).phase in phases and state,
        f"{[p.value for p in phases]}, it is {supervisor.state()}",
    )


def test_a_server_becomes_ready_answers_and_is_ended(supervise, log):
    """Its address is known from the start, its lines come with its name before them."""
    supervisor = supervise(hold())
    port = supervisor.state().port
    state = wait_for(supervisor, Phase.READY)
    assert (state.host, state.port, state.ready, str(state)) == ("127.0.0.1", port, True, "ready")
    # The state comes from a ping, the lines through a pipe: which is first is not known.
    until(lambda: log.has("info: [test] READY tcp://127.0.0.1", str(port)), "its line")
    until(lambda: log.has("info: test: ready at 127.0.0.1"), "the supervisor's line")
    client = PolicyServerClient(state.host, state.port, 5000)
    client.ping()
    client.close()
    assert supervisor.stop(10.0)
    assert supervisor.state().phase is Phase.STOPPED
    assert not alive(state.pid)


def test_a_crash_while_loading_is_told_with_exit_code_and_last_lines(supervise, log):
    """It is started again as often as the limit says, then no more, and that is said."""
    code = "import sys; print('CUDA out of memory', flush=True); sys.exit(3)"
    supervisor = supervise(script(code))
    state = wait_for(supervisor, Phase.FAILED)
    assert "crashed while loading with exit code 3; last lines: CUDA out of memory" in str(state)
    assert (state.exit_code, state.restart, state.restarts) == (3, 2, 2)
    assert log.has("warning", "restart 1 of 2") and log.has("warning", "restart 2 of 2")
    assert log.has("error", "restart 2 of 2 used")
    assert len([line for line in log if "[test] CUDA" in line]) == 3


def test_still_loading_is_no_crash_and_shows_the_last_line(supervise):
    """What one sees while gigabytes are read."""
    supervisor = supervise(script(SLEEP))
    until(lambda: supervisor.state().last_line == "Loading checkpoint shards", "its line")
    state = supervisor.state()
    assert (state.phase, str(state), state.exit_code) == (Phase.LOADING, "loading", None)
    assert alive(state.pid)


def test_one_that_runs_and_never_answers_is_not_reachable_and_is_ended(supervise):
    """After ready_timeout_s; it is told apart from a crash."""
    supervisor = supervise(script(SLEEP, ready_timeout_s=2.0), Restarts(limit=0))
    pid = until(lambda: supervisor.state().pid, "a pid")
    state = wait_for(supervisor, Phase.FAILED)
    assert "not reachable: it ran for 2 s (ready_timeout_s) and did not answer at 127" in str(state)
    assert "crashed" not in str(state)
    assert not alive(pid)


def test_a_listener_that_is_no_policy_server_is_not_ready(supervise):
    """A port that is open is not enough: a ping must be answered."""
    code = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection = listener.accept()[0]
    connection.close()
"""
    supervisor = supervise(script(code, "{port}", ready_timeout_s=2.0), Restarts(limit=0))
    assert "not reachable" in str(wait_for(supervisor, Phase.FAILED))


def test_a_server_that_refuses_the_ping_answers_too(supervise, monkeypatch):
    """With a token it wants; who asks with the token is the client's part."""
    monkeypatch.setenv("GR00T_API_TOKEN", "secret")
    wait_for(supervise(hold(), environment=dict(os.environ)), Phase.READY)


def test_a_killed_server_comes_back_at_the_same_address(supervise, log):
    """And says how it ended: by a signal, after service."""
    supervisor = supervise(hold())
    before = wait_for(supervisor, Phase.READY)
    os.kill(before.pid, signal.SIGKILL)
    state = until(lambda: (s := supervisor.state()).pid not in (None, before.pid) and s, "another")
    state = wait_for(supervisor, Phase.READY)
    assert state.port == before.port and state.pid != before.pid
    crashed = log.has("warning", "crashed after ", "restart 1 of 2")
    assert re.search(r"crashed after \d+ s of service with SIGKILL", crashed)


def test_a_missing_environment_is_final_and_says_what_installs_it(supervise, log):
    """No restart would help."""
    profile = script("pass", python="/no/such/python", install="make python")
    state = wait_for(supervise(profile), Phase.FAILED)
    assert "its python /no/such/python is not there; install it with: make python" in str(state)
    assert state.restart == 0 and not log.has("restart")


def test_a_taken_port_is_waited_for(supervise):
    """The server before it may need a moment to go."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        supervisor = supervise(hold(port=port), Restarts(limit=1000, first_s=0.05, longest_s=0.05))
        assert f"127.0.0.1:{port} is taken" in str(wait_for(supervisor, Phase.RESTARTING))
    assert wait_for(supervisor, Phase.READY).port == port


def test_a_server_that_listens_everywhere_though_told_otherwise_is_named(supervise, log):
    """As N1.5's does, whose option for the host is for its client."""
    options = ("--host", "0.0.0.0", "--port", "{port}")
    content = [
        "{python}",
        "-m",
        "gr00t_ros.sidecar",
        "hold",
        "--embodiment",
        "franka_droid",
        *options,
    ]
    profile = parse({"command": content, "model_version": "none"}, "test", "test.yaml")
    wait_for(supervise(profile), Phase.READY)
    until(lambda: log.has("warning", "it listens on every interface"), "a warning")


def test_stopping_returns_at_once_and_the_server_ends_in_the_background(supervise):
    """A node's transition waits for nothing; a stubborn family needs its grace."""
    supervisor = supervise(script(FAMILY, "stubborn", stop_timeout_s=0.3))
    line = until(lambda: supervisor.state().last_line, "a family")
    assert supervisor.stop() is False
    until(lambda: not any(map(alive, family_of(line))), "its end")
    assert wait_for(supervisor, Phase.STOPPED)


def test_the_next_one_starts_when_the_one_before_is_gone(supervise):
    """Two do not fit one GPU: cleanup and configure follow one another without a pause."""
    first = supervise(script(FAMILY, "stubborn", stop_timeout_s=2.0))
    line = until(lambda: first.state().last_line, "a family")
    first.stop()
    second = supervise(script(SLEEP), after=first)
    assert second.state().phase is Phase.WAITING
    until(lambda: second.state().pid, "the second one's server")
    assert not any(map(alive, family_of(line)))


def test_a_pause_before_a_restart_ends_when_stopped(supervise):
    """Whoever stops does not wait for a backoff of minutes."""
    supervisor = supervise(script("raise SystemExit(1)"), Restarts(first_s=600.0, longest_s=600.0))
    wait_for(supervisor, Phase.RESTARTING)
    assert supervisor.stop(20.0)


def test_one_that_was_healthy_has_all_its_restarts_again(supervise):
    """The limit is for one that fails again and again, not for a long life."""
    supervisor = supervise(hold(), Restarts(limit=1, first_s=0.01, healthy_s=0.0))
    for _ in range(3):
        os.kill(wait_for(supervisor, Phase.READY).pid, signal.SIGKILL)
        assert wait_for(supervisor, Phase.RESTARTING, Phase.LOADING).restart == 1


def test_pauses_double_up_to_the_longest():
    """One, two, four, and never more than a minute."""
    pauses = [Restarts().pause_s(number) for number in (1, 2, 3, 7, 10_000)]
    assert pauses == [1.0, 2.0, 4.0, 60.0, 60.0]


@pytest.mark.parametrize("between_s", [0.0, 0.001])
def test_a_flood_of_lines_is_thinned_and_counted(supervise, log, between_s):
    """A server that prints without end, also in pieces of lines, must not fill /rosout."""
    code = (
        "import os, time\nfor i in range(800):\n    os.write(1, b'%d' % i)\n"
        f"    time.sleep({between_s})\n    os.write(1, b'\\n')\ntime.sleep(600)"
    )
    began_s = time.monotonic()
    supervisor = supervise(script(code))

    def counted():
        told = [re.search(r"\[test\] (?:\((\d+) more lines\)|\d+)$", line) for line in list(log)]
        return sum(int(one[1] or 1) for one in told if one)

    until(lambda: supervisor.state().last_line == "799", "the flood's last line")
    until(lambda: counted() == 800, "every line, shown or counted")
    shown = [line for line in list(log) if "[test]" in line]
    assert len(shown) <= 50 + 50 * (time.monotonic() - began_s)
    assert log.has("more lines")


def test_no_secret_of_environment_or_command_reaches_the_log(supervise, log):
    """Also when the server itself prints its command line and then crashes."""
    code = "import os, sys; print(sys.argv, os.environ['HF_TOKEN'], flush=True); sys.exit(1)"
    words = ("--api-token", "s3cret-a", "--password=s3cret-b", "--model", "shown")
    profile = script(
        code, *words, environment={"HF_TOKEN": "s3cret-c", "TOKENIZERS_PARALLELISM": "shown"}
    )
    state = wait_for(supervise(profile), Phase.FAILED)
    said = "\n".join([*log, str(state), state.last_line])
    assert "s3cret" not in said
    assert "--api-token <redacted> --password=<redacted> --model shown" in said
    assert "'shown'] <redacted>" in state.last_line


def test_the_license_is_asked_for_before_anything_starts(log):
    """Without an acknowledgement no object, hence no server; with one it is on record."""
    profile = parse({"command": ["{python}"], "model_version": "N1.6"}, "old", "old.yaml")
    with pytest.raises(LaunchError, match="Noncommercial.*accept_noncommercial"):
        Supervisor(profile, None, log, environment={})
    supervisor = Supervisor(profile, None, log, environment={LICENSE_VARIABLE: "1"})
    assert "acknowledged by GR00T_ACCEPT_NONCOMMERCIAL" in supervisor.state().license
    supervisor = Supervisor(profile, None, log, accept_noncommercial=True, environment={})
    assert "acknowledged by parameter" in supervisor.state().license


def test_a_container_is_supervised_as_a_process_is(supervise, docker):
    """Ready, killed, again, ended: through a docker that keeps its containers."""
    command = ["docker", "run", "--rm", "--name", "{container}", "{image}", sys.executable]
    command += [
        "-m",
        "gr00t_ros.sidecar",
        "hold",
        "--embodiment",
        "franka_droid",
        "--host",
        "{host}",
        "--port",
        "{port}",
    ]
    content = {"command": command, "model_version": "none", "image": IMAGE, "stop_timeout_s": 1.0}
    supervisor = supervise(parse(content, "boxed", "boxed.yaml"), environment=dict(os.environ))
    before = wait_for(supervisor, Phase.READY)
    os.kill(before.pid, signal.SIGKILL)  # docker run alone: its container must go as well
    until(lambda: supervisor.state().pid not in (None, before.pid), "another docker run")
    wait_for(supervisor, Phase.READY)
    assert supervisor.stop(20.0)
    client = PolicyServerClient(before.host, before.port, 500)
    with pytest.raises(UnreachableError):
        client.ping()
    client.close()


def kill_again_and_again(supervise, times, longest_wait_s):
    """Kill a server at random moments; afterwards one answers and nothing has leaked."""
    chance = random.Random(5)
    supervisor = supervise(hold(), Restarts(limit=10 * times, first_s=0.01, longest_s=0.01))
    wait_for(supervisor, Phase.READY)
    descriptors, threads, held = open_descriptors(), threading.active_count(), resident_bytes()
    pids = set()
    for _ in range(times):
        time.sleep(chance.uniform(0.0, longest_wait_s))
        pid = until(lambda: supervisor.state().pid, "a server")
        pids.add(pid)
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: supervisor.state().pid != pid, "its end to be seen")
    wait_for(supervisor, Phase.READY)
    assert len(pids) == times
    assert not [pid for pid in pids if alive(pid)]
    # ZeroMQ's own thread closes the last probe's socket a moment after the server is called ready.
    until(
        lambda: open_descriptors() <= descriptors and threading.active_count() <= threads,
        f"at most {descriptors} descriptors and {threads} threads, as before",
    )
    assert resident_bytes() - held < MOST_GROWTH_BYTES


def test_a_server_killed_at_random_moments_leaks_nothing(supervise):
    """The short form."""
    kill_again_and_again(supervise, 4, 0.6)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_server_killed_fifty_times_in_five_minutes_leaks_nothing(supervise):
    """For `./dev soak`."""
    kill_again_and_again(supervise, 50, 12.0)
