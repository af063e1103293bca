"""Skew between the streams of one observation is dropped, and pauses when it repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.inputs import Skew

MS = 1_000_000


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("apart_ns", "skewed"), [(0, False), (50 * MS, False), (50 * MS + 1, True), (10**12, True)]
)
def test_a_stream_too_far_apart_drops_the_observation(sign, apart_ns, skewed) -> None:
    """Before or after; what is allowed is allowed."""
    found = Skew().see("video.wrist", sign * apart_ns, 50 * MS)
    assert (found is not None) is skewed
    if found is not None:
        assert (found.watch, found.reaction) == ("skew", Reaction.DROP)
        assert found.reason.startswith(
            f"video.wrist: {apart_ns / 1e9:.3f} s apart from the joint state, at most 0.050 s "
            "allowed, 1 in a row; "
        )


@given(st.lists(st.booleans(), max_size=20))
def test_the_third_in_a_row_pauses_and_so_do_those_after_it(skewed) -> None:
    """One good observation begins the count anew."""
    watch, run = Skew(), 0
    for bad in skewed:
        found = watch.see("video.wrist", 60 * MS if bad else 0, 50 * MS)
        run = run + 1 if bad else 0
        expected = (None, Reaction.DROP, Reaction.DROP, Reaction.PAUSE)[min(run, 3)]
        assert (found and found.reaction) == expected
