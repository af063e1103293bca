"""Latency percentiles are measured durations, of the newest ones only."""

from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.motion.clocks import Latencies, Percentiles

durations = st.integers(0, 10**12)


def test_a_stage_without_samples_is_all_zero() -> None:
    """Neither an error nor a stage that then exists."""
    latencies = Latencies()
    assert latencies.summary("inference") == Percentiles(0, 0, 0, 0)
    assert latencies.stages() == ()


def test_one_to_a_hundred_have_these_percentiles() -> None:
    """In any order: by the ranks, rounded up."""
    latencies = Latencies()
    for duration_ns in sorted(range(1, 101), key=lambda n: n * 37 % 101):
        latencies.add("decode", duration_ns)
    assert latencies.summary("decode") == Percentiles(100, 51, 100, 100)


def test_stages_are_kept_apart_in_the_order_of_their_first_sample() -> None:
    """One stage's samples never show in another."""
    latencies = Latencies()
    for stage, duration_ns in (("query", 5), ("assemble", 7), ("query", 9)):
        latencies.add(stage, duration_ns)
    assert latencies.stages() == ("query", "assemble")
    assert latencies.summary("query") == Percentiles(2, 9, 9, 9)
    assert latencies.summary("assemble") == Percentiles(1, 7, 7, 7)


@given(st.lists(durations, min_size=1, max_size=40), st.integers(1, 12))
def test_percentiles_are_samples_of_the_window_and_the_count_goes_on(samples, window) -> None:
    """Half of the newest `window` are at most p50, and p50 <= p99 <= max."""
    latencies = Latencies(window)
    for duration_ns in samples:
        latencies.add("inference", duration_ns)
    newest = samples[-window:]
    found = latencies.summary("inference")
    assert found.count == len(samples)
    assert {found.p50_ns, found.p99_ns} <= set(newest)
    assert 2 * sum(d <= found.p50_ns for d in newest) >= len(newest)
    assert 2 * sum(d >= found.p50_ns for d in newest) >= len(newest)
    assert found.p50_ns <= found.p99_ns <= found.max_ns == max(newest)
    if len(newest) < 100:
        assert found.p99_ns == max(newest)
