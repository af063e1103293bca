"""A policy server that is silent, sends errors or sends non-finite chunks is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.server import NonFinite, ServerErrors, SidecarDead

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


def found_after_reset(reset_ns, now_ns, earlier_ns=None):
    """What is found of a query at 5 s, whose reset was answered `reset_ns` later."""
    watch = SidecarDead("gpu:5555")
    if earlier_ns is not None:
        watch.asked(earlier_ns)
    watch.asked(5 * S)
    watch.reset_answered(5 * S + reset_ns)
    return watch.finding(5 * S + now_ns)


@pytest.mark.parametrize("reset_ns", [1, S // 2, S])
def test_an_episodes_reset_and_its_first_inference_may_each_take_the_time(reset_ns) -> None:
    """Slow is not silent; a server that answers the reset and then hangs is."""
    assert found_after_reset(reset_ns, reset_ns + S) is None
    found = found_after_reset(reset_ns, reset_ns + S + 1)
    assert found.reaction is Reaction.PAUSE
    assert "no answer for 1.00 s, at most 1.00 s allowed" in found.reason
    assert found_after_reset(reset_ns, 10 * S).reaction is Reaction.PAUSE
    found = found_after_reset(reset_ns, 10 * S + 1)
    assert found.reaction is Reaction.FAULT, "counted from the request"
    assert "no answer for 10.00 s, at most 10.00 s allowed" in found.reason


@pytest.mark.parametrize(
    ("reset_ns", "earlier_ns"), [(-1, None), (0, None), (S + 1, None), (S // 2, 4 * S + S // 2)]
)
def test_a_reset_renews_no_time_that_is_not_its_querys(reset_ns, earlier_ns) -> None:
    """One before the query, one that was late itself, and one after a query without an answer."""
    found = found_after_reset(reset_ns, S + 2, earlier_ns)
    assert found is not None and found.reaction is Reaction.PAUSE


def test_a_reset_that_is_answered_late_does_not_put_off_the_fault() -> None:
    """The time for the fault counts from the question, also where that for the pause is near it."""
    watch = SidecarDead("gpu:5555", 8 * S, 10 * S)
    watch.asked(S)
    watch.reset_answered(8 * S)
    assert watch.finding(11 * S) is None
    found = watch.finding(11 * S + 1)
    assert found is not None and found.reaction is Reaction.FAULT


def test_the_next_question_knows_nothing_of_an_earlier_reset() -> None:
    """It has its own time."""
    watch = SidecarDead("gpu:5555")
    watch.asked(0)
    watch.reset_answered(S // 2)
    watch.answered()
    watch.asked(20 * S)
    watch.reset_answered(S // 2)
    assert watch.finding(21 * S) is None and watch.finding(21 * S + 1) is not None


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


@pytest.mark.parametrize(
    ("lasts_ns", "reaction"),
    [
        (0, None),
        (2 * S, None),
        (2 * S + 1, Reaction.PAUSE),
        (30 * S, Reaction.PAUSE),
        (30 * S + 1, Reaction.FAULT),
    ],
)
def test_errors_alone_pause_above_one_time_and_fault_above_the_other(lasts_ns, reaction) -> None:
    """Counted from the first, told in the words of the last."""
    watch = ServerErrors("gpu:5555")
    watch.failed("busy: first")
    assert watch.finding(5 * S) is None
    watch.failed("busy: last; do something")
    found = watch.finding(5 * S + lasts_ns)
    assert (found and found.reaction) == reaction
    if found is not None:
        limit = 30 if reaction is Reaction.FAULT else 2
        assert found.watch == "server_errors"
        assert found.reason.startswith(
            f"policy server gpu:5555: errors alone for {lasts_ns / 1e9:.2f} s, at most {limit:.2f} "
            "s allowed, the last: busy: last; do something; "
        )


def test_a_chunk_ends_errors_and_what_they_count() -> None:
    """One good answer in time, again and again: never a finding."""
    watch = ServerErrors("gpu:5555")
    for second in range(0, 200, 2):
        watch.failed("busy")
        assert watch.finding(second * S) is None
        assert watch.finding((second + 2) * S) is None
        watch.answered()
        assert watch.finding((second + 2) * S) is None and not watch.try_due(10**15)


def test_a_check_that_passes_ends_the_pause_and_not_what_counts_towards_the_fault() -> None:
    """A server that infers zeros and fails on each real observation is not tried for ever."""
    watch, now_ns, pauses = ServerErrors("gpu:5555"), 0, 0
    for _ in range(100):
        watch.failed("boom")
        watch.finding(now_ns)
        now_ns += 3 * S
        found = watch.finding(now_ns)
        if found.reaction is Reaction.FAULT:
            break
        pauses += 1
        watch.recovered(now_ns)
        assert watch.finding(now_ns) is None
        now_ns += 600 * S  # a while without errors: it counts not
    assert pauses == 10


def test_the_server_is_tried_again_longer_and_longer_apart() -> None:
    """From a quarter of a second to four; a chunk begins anew."""
    watch, now_ns, waits = ServerErrors("gpu:5555"), 0, []
    for _ in range(7):
        watch.failed("busy")
        watch.finding(now_ns)
        assert not watch.try_due(now_ns)
        since_ns = now_ns
        while not watch.try_due(now_ns):
            now_ns += S // 100
        waits.append((now_ns - since_ns) / S)
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    watch.answered()
    watch.failed("busy")
    watch.finding(now_ns)
    assert watch.try_due(now_ns + S // 4)


def test_a_clock_that_runs_back_makes_errors_young() -> None:
    """Never older than they are."""
    watch = ServerErrors("gpu:5555")
    watch.failed("busy")
    watch.finding(100 * S)
    assert watch.finding(0) is None and watch.finding(2 * S) is None
