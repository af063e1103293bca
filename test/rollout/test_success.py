"""Rates have Wilson's interval; what failed beside the policy is counted apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.rollout.benchmark import Benchmark
from gr00t_ros.rollout.episode import blank
from gr00t_ros.rollout.strategy import STRATEGIES
from gr00t_ros.rollout.success import (
    FAULT,
    INFRASTRUCTURE,
    SUCCESS,
    TIMEOUT,
    rate_of,
    summarise,
    wilson,
)
from gr00t_ros.rollout.trial import Condition, Evaluation


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_the_interval_is_wilson_s(successes, episodes, low, high):
    """As published, to four digits."""
    assert wilson(successes, episodes) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_interval_has_the_rate_and_turns_with_it(successes, failures):
    """Inside 0 to 1; failures for successes is the same interval from the other side."""
    episodes = successes + failures
    low, high = wilson(successes, episodes)
    assert 0.0 <= low <= high <= 1.0
    if episodes:
        assert low <= successes / episodes <= high
    assert wilson(failures, episodes) == pytest.approx((1.0 - high, 1.0 - low))


def lines_of(outcomes):
    """A line for each outcome of task 0 under one condition, then the same for task 1."""
    evaluation = Evaluation(
        Benchmark("b", (), "", "/b"), {"s": (0, 1)}, len(outcomes), 0,
        (Condition(STRATEGIES["node"]),),
    )  # fmt: skip
    trials = list(evaluation.trials())
    return [
        {**blank(trial), "outcome": outcome, "cause": outcome}
        for trial, outcome in zip(trials, [*outcomes, *outcomes], strict=True)
    ]


def test_infrastructure_is_no_failure_of_the_policy_and_no_success():
    """It is in neither number of the rate, and its causes are told."""
    lines = lines_of([SUCCESS, TIMEOUT, FAULT, INFRASTRUCTURE])
    rate = rate_of(lines)
    assert (rate.successes, rate.episodes, rate.infrastructure) == (2, 6, 2)
    found = summarise(lines)
    assert found["infrastructure"] == 2 and found["causes"] == [INFRASTRUCTURE]
    (condition,) = found["conditions"]
    (suite,) = condition["suites"]
    assert [task["episodes"] for task in suite["tasks"]] == [3, 3]
    assert suite["rate"] == pytest.approx(1 / 3)


def test_without_a_verdict_there_is_no_rate():
    """Nothing is known: the interval is everything."""
    found = summarise(lines_of([INFRASTRUCTURE]))["conditions"][0]
    assert found["rate"] is None and (found["low"], found["high"]) == (0.0, 1.0)
