"""Coverage states the numbers of the rule of horizon and latency, and what to change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.guard import first_step
from gr00t_ros.motion.replay_settings import MS, Coverage, ReplaySettings

FINE = Coverage(ReplaySettings(), 16, 33_333_333, 8, 160 * MS, "p99 latency")


def test_a_horizon_that_covers_says_its_numbers() -> None:
    """control.md 1, item 8: 16 steps at 30 Hz are fine to about 160 ms."""
    assert FINE.covered
    assert FINE.text == (
        "a chunk of 16 steps is 533 ms, needed are 527 ms = p99 latency 160 + the longer of it "
        "and 8 executed steps (267) + commit 100"
    )


def test_one_that_does_not_says_what_to_change() -> None:
    """And is unusable at 250 ms."""
    slow = replace(FINE, latency_ns=250 * MS)
    assert not slow.covered
    for part in ("533 ms, too short: needed are 617 ms", "no execute_steps is", "longer horizon"):
        assert part in slow.text


def test_before_a_latency_is_known_a_value_is_named_that_leaves_time_for_it() -> None:
    """simpler_*: the largest would be refused again after the first inference."""
    short = Coverage(ReplaySettings(), 8, 200 * MS, 8, 0, "latency so far")
    assert short.text.partition("; ")[2] == (
        "lower execute_steps to 7, which leaves 100 ms for the latency, better to 4, which leaves "
        "700 ms, or use a policy with a longer horizon"
    )
    for steps, spare_ms in ((7, 100), (4, 700)):
        chosen = replace(short, execute_steps=steps, latency_ns=spare_ms * MS)
        assert chosen.covered and not replace(chosen, latency_ns=chosen.latency_ns + MS).covered


@pytest.mark.parametrize(("steps", "covered"), [(16, True), (15, False)])
def test_the_last_step_decides(steps: int, covered: bool) -> None:
    """The rule is at least, to the nanosecond."""
    exact = replace(FINE, step_ns=MS, execute_steps=8, latency_ns=0)
    settings = ReplaySettings(commit_ns=8 * MS)
    assert replace(exact, settings=settings, horizon_steps=steps).covered is covered


@given(
    steps=st.integers(1, 64),
    step_ms=st.integers(10, 100),
    executed=st.integers(0, 64),
    latency_ms=st.integers(0, 3000),
)
def test_a_named_execute_steps_is_the_largest_that_is_covered(
    steps: int, step_ms: int, executed: int, latency_ms: int
) -> None:
    """And where none is named, none would do."""
    one = Coverage(ReplaySettings(), steps, step_ms * MS, executed, latency_ms * MS, "p99 latency")
    if one.covered:
        return
    named = one.text.partition("lower execute_steps to ")[2].partition(",")[0]
    if named:
        assert int(named) < executed and replace(one, execute_steps=int(named)).covered
        assert not replace(one, execute_steps=int(named) + 1).covered
    else:
        assert "no execute_steps is low enough" in one.text
        assert not replace(one, execute_steps=0).covered


@pytest.mark.parametrize("execute_steps", [0, 1, 8, 15])
@pytest.mark.parametrize("step_ns", [20 * MS, 33_333_333, 200 * MS])
def test_the_limit_is_the_largest_latency_that_is_covered(execute_steps, step_ns):
    """One nanosecond more is not covered."""
    limit_ns = replace(FINE, execute_steps=execute_steps, step_ns=step_ns).limit_ns
    for more_ns, covered in ((0, True), (1, False)):
        one = replace(
            FINE, execute_steps=execute_steps, step_ns=step_ns, latency_ns=limit_ns + more_ns
        )
        assert one.covered == covered


@given(
    steps=st.integers(1, 64),
    step_ms=st.integers(10, 100),
    latency_ms=st.integers(0, 3000),
)
def test_a_step_is_left_where_the_guard_finds_one(
    steps: int, step_ms: int, latency_ms: int
) -> None:
    """Else a robot that may stop between two chunks would wait for ever."""
    one = Coverage(ReplaySettings(), steps, step_ms * MS, 0, latency_ms * MS, "inference")
    chunk = ActionChunk(0, 1, 0, step_ms * MS, np.zeros((steps, 7)), {})
    takes_over_ns = one.latency_ns + one.settings.commit_ns
    assert one.any_left is (first_step(chunk, takes_over_ns) < steps)
