"""watch_sidecar: a policy server that is silent, or whose chunks are no numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.core.watch_sidecar import NonFinite, SidecarDead
from gr00t_ros.core.watchdog import Reaction

S = 1_000_000_000


@pytest.mark.parametrize(
    ("silent_ns", "reaction"),
    [
        (0, None),
        (S - 1, None),
        (S, None),
        (S + 1, Reaction.PAUSE),
        (10 * S - 1, Reaction.PAUSE),
        (10 * S, Reaction.PAUSE),
        (10 * S + 1, Reaction.FAULT),
        (10**15, Reaction.FAULT),
    ],
)
def test_silence_pauses_above_one_time_and_faults_above_the_other(silent_ns, reaction) -> None:
    """Counted from the question, not from the last answer."""
    watch = SidecarDead("gpu:5555")
    watch.answered()
    watch.asked(5 * S)
    found = watch.finding(5 * S + silent_ns)
    assert (found and found.reaction) == reaction
    if found is not None:
        limit = 10 if reaction is Reaction.FAULT else 1
        assert found.watch == "sidecar_dead"
        assert found.reason == (
            f"policy server gpu:5555: no answer for {silent_ns / 1e9:.2f} s, at most {limit:.2f} s "
            "allowed; start the policy server, and check the network"
        )


def test_who_is_not_asked_is_not_silent() -> None:
    """However much time goes by."""
    watch = SidecarDead("gpu:5555")
    assert watch.finding(10**15) is None


def test_an_answer_ends_the_silence() -> None:
    """Until the next question stays open."""
    watch = SidecarDead("gpu:5555")
    watch.asked(0)
    assert watch.finding(20 * S) is not None
    watch.answered()
    assert watch.finding(30 * S) is None
    watch.asked(30 * S)
    assert watch.finding(31 * S) is None
    assert watch.finding(31 * S + 1) is not None


@given(st.lists(st.integers(0, 20 * S), min_size=1, max_size=10))
def test_asking_again_does_not_renew_the_time(times_ns) -> None:
    """The silence began with the first question that stayed open."""
    watch = SidecarDead("gpu:5555")
    for now_ns in sorted(times_ns):
        watch.asked(now_ns)
    found = watch.finding(20 * S)
    assert (found is not None) is (20 * S - min(times_ns) > S)


def test_a_question_that_was_never_sent_is_no_silence_and_ends_none() -> None:
    """A camera that is late keeps an observation from being sent; the server is not to blame."""
    watch = SidecarDead("gpu:5555")
    watch.asked(5 * S)
    watch.withdrawn(5 * S)
    assert watch.finding(100 * S) is None
    watch.asked(100 * S)
    watch.asked(101 * S)
    watch.withdrawn(101 * S)
    assert watch.finding(101 * S + 1) is not None


def test_a_question_before_the_open_one_takes_its_place() -> None:
    """Time that went back must not hide a silence."""
    watch = SidecarDead("gpu:5555")
    watch.asked(100 * S)
    watch.asked(0)
    assert watch.finding(2 * S) is not None


def test_the_first_chunk_that_is_no_number_is_dropped_and_the_second_faults() -> None:
    """Healthy ones between do not help: the count ends with a reset alone."""
    watch = NonFinite()
    seen = [watch.see("fr3_joint1, step 3").reaction for _ in range(3)]
    assert seen == [Reaction.DROP, Reaction.FAULT, Reaction.FAULT]
    watch.reset()
    found = watch.see("fr3_joint2, step 0")
    assert (found.watch, found.reaction) == ("non_finite", Reaction.DROP)
    assert found.reason == (
        "fr3_joint2, step 0: chunk 1 that is not finite, fault at 2; restart the policy server; "
        "check its checkpoint and statistics"
    )
