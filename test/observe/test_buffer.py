"""StampedBuffer against the plain definitions of its questions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.observe.buffer import Age, Sample, StampedBuffer

STAMPS = st.lists(st.integers(0, 60), max_size=30)


def sample(stamp_ns):
    """A sample that tells its stamp."""
    return Sample(stamp_ns, stamp_ns + 1000, f"frame {stamp_ns}")


def filled(stamps, span_ns=10**9, capacity=1000):
    """A buffer after pushes of these stamps."""
    buffer = StampedBuffer(span_ns, capacity)
    for stamp_ns in stamps:
        buffer.push(sample(stamp_ns))
    return buffer


def test_an_empty_buffer_answers_none():
    """Nothing received is None, never a made-up sample."""
    buffer = StampedBuffer(100, 10)
    assert buffer.latest() is None
    assert buffer.oldest() is None
    assert buffer.nearest(5) is None
    assert len(buffer) == 0


@pytest.mark.parametrize("stamp_ns", [10, 9, 0])
def test_a_stamp_that_is_not_newer_is_refused_and_changes_nothing(stamp_ns):
    """A repeated or backward stamp is the caller's to judge; the buffer keeps what it had."""
    buffer = filled([5, 10])
    assert buffer.push(sample(stamp_ns)) is False
    assert buffer.latest() == sample(10)
    assert len(buffer) == 2


def test_after_a_clear_older_stamps_are_welcome_again():
    """A clock that jumped back is answered with clear()."""
    buffer = filled([1000])
    buffer.clear()
    assert buffer.latest() is None
    assert buffer.push(sample(3)) is True
    assert buffer.latest() == sample(3)


def test_the_older_of_two_equally_near_samples_is_nearest():
    """A tie goes to the past, so the answer does not depend on what came later."""
    assert filled([10, 20]).nearest(15) == sample(10)


@pytest.mark.parametrize(("span_ns", "capacity"), [(-1, 5), (10, 0)])
def test_a_buffer_that_could_hold_nothing_is_refused(span_ns, capacity):
    """A negative span or no capacity is a programming error, told at once."""
    with pytest.raises(ValueError, match="expected at least 0 and at least 1"):
        StampedBuffer(span_ns, capacity)


@settings(max_examples=examples(200), deadline=None)
@given(STAMPS, st.integers(0, 40), st.integers(1, 12), st.integers(-10, 70))
def test_every_question_is_answered_as_brute_force_does(stamps, span_ns, capacity, asked_ns):
    """Kept samples, latest and nearest equal their definitions on a plain list."""
    buffer, kept = StampedBuffer(span_ns, capacity), []
    for stamp_ns in stamps:
        newer = not kept or stamp_ns > kept[-1]
        assert buffer.push(sample(stamp_ns)) is newer
        if newer:
            kept = [s for s in kept if s >= stamp_ns - span_ns] + [stamp_ns]
            kept = kept[-capacity:]
    assert len(buffer) == len(kept)
    assert buffer.latest() == (sample(kept[-1]) if kept else None)
    assert buffer.oldest() == (sample(kept[0]) if kept else None)
    nearest = min(kept, key=lambda s: (abs(s - asked_ns), s), default=None)
    assert buffer.nearest(asked_ns) == (None if nearest is None else sample(nearest))


@pytest.mark.parametrize(
    ("stamp_ns", "received_ns", "age_ns", "late"),
    [
        (1_000, 100, 0, False),
        (950, 60, 50, False),
        (949, 100, 51, True),  # an old stamp on a message that has just arrived
        (1_000, 49, 51, True),  # nothing has arrived since
        (1_020, 100, 0, False),
    ],
)
def test_the_larger_of_both_ages_decides(stamp_ns, received_ns, age_ns, late) -> None:
    """At a limit of 50 ns."""
    age = Age.of(Sample(stamp_ns, received_ns, None), 1_000, 100)
    assert (age.ns, age.late(50)) == (age_ns, late)


def test_a_stamp_ahead_of_the_clock_is_in_the_future_beyond_the_tolerance() -> None:
    """Clocks that agree within the tolerance are no problem."""
    age = Age.of(Sample(1_030, 100, None), 1_000, 100)
    assert age.future(29) and not age.future(30)
