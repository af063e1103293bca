"""A gap in a thread's notes counts as sleep, and sleep does not count towards an age."""

import pytest

from gr00t_ros.motion.clocks import Awake, awake_ns

MS = 1_000_000


def ran(*times_ms):
    """Notes of a thread that may pause for 60 ms."""
    made = Awake(60 * MS)
    for at_ms in times_ms:
        made.ran(at_ms * MS)
    return made


def test_a_gap_above_what_is_allowed_is_a_sleep():
    """It is told once, with its length."""
    made = ran(0, 20, 80)
    assert made.sleeps(140 * MS) == ()
    assert made.ran(141 * MS) == 61 * MS
    assert made.ran(161 * MS) == 0
    assert made.sleeps(161 * MS) == ((80 * MS, 141 * MS),)


def test_a_sleep_that_lasts_is_one_already():
    """Whoever asks from another thread need not wait for its end."""
    assert ran(0).sleeps(1000 * MS) == ((0, 1000 * MS),)
    assert Awake(60 * MS).sleeps(1000 * MS) == ()


@pytest.mark.parametrize(
    ("since", "now", "sleeps", "awake"),
    [
        (0, 100, (), 100),
        (0, 100, ((20, 50),), 70),
        (30, 100, ((20, 50),), 50),
        (0, 40, ((20, 50),), 20),
        (0, 100, ((20, 50), (40, 70)), 50),  # two threads
        (0, 100, ((40, 70), (20, 90)), 30),
        (60, 100, ((20, 50),), 40),
        (100, 0, ((20, 50),), 0),
    ],
)
def test_of_an_age_the_sleeps_do_not_count(since, now, sleeps, awake):
    """Overlapping sleeps count once."""
    assert awake_ns(since, now, sleeps) == awake


def test_old_sleeps_are_forgotten():
    """A process that runs for months keeps no list of all its gaps."""
    made = ran(*range(0, 100_000, 100))
    assert 0 < len(made.sleeps(100_000 * MS)) < 100
