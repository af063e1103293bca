"""Every benchmark runs, shows its goals beside its figures, and fails where one is missed.

One short slice of each, of which no figure is judged: that is `./dev bench NAME`.
"""

import numpy as np
import pytest
from bench_runs import ALONE, OF_NODES, assert_runs

import bench.__main__ as program
from bench import replay
from bench.paired import Report, Target
from bench.replay_child import PERIOD_NS

MS = 1_000_000


@pytest.mark.parametrize(
    "name", [name for name in program.BENCHES if name not in (*OF_NODES, *ALONE)]
)
def test_every_benchmark_runs_and_shows_its_goals(processes, tmp_path, name):
    """In a process of its own; those of running nodes are in test_bench_nodes.py and _alone.py."""
    if name in ("commit", "convert"):
        pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    if name == "pool":
        pytest.importorskip("ray", reason="Ray is not installed")
    assert_runs(processes, tmp_path, name)


@pytest.mark.parametrize(
    ("value", "at_least", "status", "verdict"),
    [
        (1.0, False, 0, "PASS  a figure: 1 (<= 2)"),
        (2.5, False, 1, "FAIL  a figure: 2.5 (<= 2)"),
        (1.0, True, 1, "FAIL  a figure: 1 (>= 2)"),
        (float("nan"), False, 1, "FAIL  a figure: nan (<= 2)"),
    ],
)
def test_a_goal_that_is_missed_is_exit_status_one(
    monkeypatch, capsys, value, at_least, status, verdict
):
    """And the goal stands beside the figure either way; in a smoke run it is only shown."""

    def run(smoke=False):
        return Report("client", ("a line",), {}, (Target("a figure", value, 2, at_least),))

    monkeypatch.setattr("bench.client.run", run)
    assert program.main(["client"]) == status
    assert capsys.readouterr().out == f"a line\n{verdict}\n"
    assert program.main(["client", "--smoke"]) == 0
    assert verdict in capsys.readouterr().out


def times(*late, ticks=200, period_ns=PERIOD_NS):
    """A loop's ticks, of which those in `late` come a whole period late."""
    return np.array(
        [k * period_ns + (period_ns if k in late else 0) for k in range(ticks)], dtype=np.int64
    )


WHOLE = [(0, 10**12)]


def test_a_tick_that_the_bare_loop_missed_too_is_not_missed_alone():
    """Within 0.1 s; what the one or the other misses by itself is counted apart."""
    ours, bare = times(50, 120), times(60, 190)
    found = replay._jitter("x", ours, WHOLE, PERIOD_NS, bare)
    assert (found.missed, found.missed_alone, found.bare_alone) == (2, 1, 1)
    assert found.noise == 1
    calm = replay._jitter("x", times(), WHOLE, PERIOD_NS, bare)
    assert (calm.missed, calm.missed_alone, calm.bare_alone, calm.noise) == (0, 0, 2, 0)


def test_the_bare_loop_is_looked_at_with_the_period_of_the_loop_beside_it():
    """A window that is 10 ms late is compared with what was 10 ms late, not 2.5."""
    windows = times(ticks=50, period_ns=4 * PERIOD_NS)
    found = replay._jitter("x", windows, WHOLE, 4 * PERIOD_NS, times(60, 101))
    assert found.bare_alone == 0
    stall = times()
    stall[100] += 3 * PERIOD_NS
    assert replay._jitter("x", windows, WHOLE, 4 * PERIOD_NS, stall).bare_alone == 1


@pytest.mark.parametrize(
    ("alone", "bare_alone", "noise"),
    [(0, 0, 0), (2, 0, 2), (6, 0, 6), (7, 0, 6), (50, 0, 6), (2, 1, 2), (9, 1, 9), (10, 1, 9)],
)
def test_what_chance_explains_is_noise_and_no_more(alone, bare_alone, noise):
    """2^-6 is above a chance of 1 %, 2^-7 is not; of 9 to 1 it is (10 + 1) / 2^10."""
    assert replay.noise_of(alone, bare_alone) == noise
