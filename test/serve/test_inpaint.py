"""Our policies continue the chunk before where options ask for it, in both dialects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.serve.inpaint import Inpainting, inpainted, read_rtc
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.wire.rtc import RtcDialect, rtc_options

HORIZON = 16


class Numbered:
    """Answers its count in every value of each row, plus the row."""

    modality = {"action": ModalityEntry(tuple(range(HORIZON)), ("arm",))}

    def __init__(self):
        self.count, self.resets = 0, 0

    def __call__(self, observation, options):
        self.count += 1
        rows = 100.0 * self.count + np.arange(HORIZON)
        return {"arm": np.tile(rows[None, :, None], (1, 1, 2)).astype(np.float32)}, {"n": 1}

    def reset(self, options):
        self.resets += 1
        return {}


@given(
    executed=st.integers(0, HORIZON),
    overlap=st.integers(0, HORIZON),
    frozen=st.integers(0, HORIZON),
    rate=st.sampled_from([0.0, 1.0, 6.0]),
)
@settings(max_examples=examples(60), deadline=None)
def test_frozen_steps_are_the_old_ones_then_a_ramp_leads_to_the_new_ones(
    executed, overlap, frozen, rate
):
    """Exactly the old ones, exactly the new ones, and in between ever nearer to the new ones."""
    overlap = min(overlap, HORIZON - executed)
    frozen = min(frozen, overlap)
    old = {"a": np.zeros((1, HORIZON, 1), np.float32)}
    new = {"a": np.ones((1, HORIZON, 1), np.float32)}
    rows = inpainted(old, new, Overlap(executed, overlap, frozen), rate)["a"][0, :, 0]
    assert rows.dtype == np.float32 and len(rows) == HORIZON
    assert (rows[:frozen] == 0.0).all() and (rows[overlap:] == 1.0).all()
    ramp = rows[frozen:overlap]
    assert (np.diff(ramp) > 0.0).all() and (ramp > 0.0).all() and (ramp < 1.0).all()


@pytest.mark.parametrize("dialect", RtcDialect)
def test_each_dialect_continues_the_chunk_before_from_the_same_step(dialect):
    """Only the map says so in its reply; without a chunk before there is nothing to continue."""
    policy, overlap = Inpainting(Numbered()), Overlap(10, 6, 2)
    options = rtc_options(dialect, HORIZON, overlap)
    named = dialect is RtcDialect.MAP
    _, info = policy({}, options)
    assert info.get("rtc_applied") is (False if named else None) and info["n"] == 1
    action, info = policy({}, options)
    np.testing.assert_array_equal(action["arm"][0, :2, 0], [110.0, 111.0])
    np.testing.assert_array_equal(action["arm"][0, 6:, 0], 200.0 + np.arange(6, 16))
    assert info.get("rtc_applied") is (True if named else None)
    again, _ = policy({}, options)
    np.testing.assert_array_equal(again["arm"][0, :2], action["arm"][0, 10:12])


def test_a_reset_forgets_the_chunk_and_no_options_change_nothing():
    """As without the wrapper."""
    inner = Numbered()
    policy, options = Inpainting(inner), rtc_options(RtcDialect.MAP, HORIZON, Overlap(10, 6, 2))
    policy({}, None)
    assert policy.reset(None) == {} and inner.resets == 1
    assert policy({}, options)[1]["rtc_applied"] is False
    action, info = policy({}, None)
    assert info == {"n": 1} and action["arm"][0, 0, 0] == 300.0
    action, info = policy({}, rtc_options(RtcDialect.MAP, HORIZON, None))
    assert info["rtc_applied"] is False and action["arm"][0, 0, 0] == 400.0


@pytest.mark.parametrize(
    "options",
    [
        {"rtc": 3},
        {"rtc": {"enabled": True, "executed_steps": 17}},
        {"rtc": {"enabled": True, "executed_steps": 10, "overlap_steps": 7}},
        {"rtc": {"enabled": True, "overlap_steps": 4, "frozen_steps": 5}},
        {"rtc": {"enabled": True, "overlap_steps": 4, "ramp_rate": float("nan")}},
        {"rtc_overlap_steps": -1},
        {"rtc_overlap_steps": True},
        {"rtc_overlap_steps": 4, "rtc_frozen_steps": 5},
    ],
)
def test_steps_that_contradict_each_other_are_an_error(options):
    """Its text is the reply."""
    with pytest.raises(SettingsError, match="expected"):
        read_rtc(options, HORIZON)
