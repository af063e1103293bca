"""A sample is late by its stamp or by its arrival, and in the future only beyond a tolerance."""

import pytest

from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.freshness import Age


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
