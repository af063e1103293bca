"""The judge of the endurance run can tell growth from a process that holds what it holds."""

import gc
import os
from dataclasses import replace

import pytest
from fault_matrix.growth import Held, growth, held

STILL = [Held(100.0 + n % 3, 12, 40 + n % 2) for n in range(16)]


def test_a_process_that_comes_and_goes_a_little_does_not_grow() -> None:
    """Nor is its warm-up growth."""
    warm_up = [replace(one, memory_mb=20.0) for one in STILL[:4]]
    assert growth(STILL) == ""
    assert growth([*warm_up, *STILL[4:]]) == ""


@pytest.mark.parametrize(("field", "step"), [("memory_mb", 3.0), ("threads", 1), ("files", 1)])
def test_what_grows_a_little_each_time_is_named(field: str, step: float) -> None:
    """A thread, a file, or 3 MB a sample."""
    grown = [replace(one, **{field: getattr(one, field) + step * n}) for n, one in enumerate(STILL)]
    assert growth(grown).startswith(f"{field} from ")


def test_this_process_holds_something() -> None:
    """The numbers are read, not made up: an open file counts."""
    gc.collect()  # what an earlier test left must not be closed between the two looks
    before = held(os.getpid())
    with open(os.devnull) as file:
        assert held(os.getpid()).files == before.files + 1, file
    assert before.memory_mb > 1.0
    assert before.threads >= 1


def test_too_few_samples_are_refused() -> None:
    """They would prove anything."""
    with pytest.raises(ValueError, match="4 or more"):
        growth(STILL[:3])
