"""The reported reason of a pause is its cause, not a consequence of it."""

import pytest

from gr00t_ros.watch.finding import Finding, Reaction, better_reason


def told(by, *watches):
    """The watch that is told of in place of `by`, None for `by` itself."""
    found = better_reason(by, by, [Finding(w, Reaction.PAUSE, w) for w in watches])
    return found and found.watch


@pytest.mark.parametrize(
    ("by", "present", "expected"),
    [
        ("stream_age", ["stream_age"], None),
        ("stream_age", ["silent_clock", "stream_age"], "silent_clock"),
        ("stream_content", ["silent_clock", "stream_content"], "silent_clock"),
        ("controller_silent", ["silent_clock", "controller_silent"], "silent_clock"),
        ("stream_age", ["silent_clock"], "silent_clock"),
        ("stream_age", ["stream_content"], "stream_content"),
        ("stream_content", ["stream_age", "stream_content"], None),
        ("silent_clock", ["silent_clock", "stream_age"], None),
        ("silent_clock", ["sidecar_dead", "silent_clock"], None),
        ("silent_clock", ["stream_age"], "stream_age"),
        ("silent_clock", ["sidecar_dead"], "sidecar_dead"),
        ("clock_backward", ["stream_age"], None),
        ("replay_starvation", ["stream_age"], None),
        ("clock_backward", ["controller_clock", "stream_age"], None),
        ("stream_age", ["controller_clock", "stream_age"], "controller_clock"),
        ("controller_clock", ["silent_clock", "controller_clock"], "silent_clock"),
        ("silent_clock", ["silent_clock", "controller_clock"], None),
        ("controller_clock", ["controller_clock", "stream_age"], None),
        ("clock_forward", ["sidecar_dead", "stream_age"], "sidecar_dead"),
    ],
)
def test_the_cause_is_told_as_long_as_it_is_there(by, present, expected) -> None:
    """A symptom gives way to a cause, a cause that is gone to what is still wrong."""
    assert told(by, *present) == expected


@pytest.mark.parametrize("by", ["clock_backward", "clock_forward", "replay_starvation"])
def test_an_event_long_ago_gives_way_to_what_is_still_wrong(by) -> None:
    """A camera that died while the CPU was busy is no matter of the CPU."""
    still = Finding("stream_age", Reaction.PAUSE, "video.wrist: newest sample is 9.00 s old")
    assert better_reason(by, "told", [still], lasting=False) is None
    assert better_reason(by, "told", [still], lasting=True) is still


def test_a_stream_that_is_well_again_gives_way_to_one_that_is_not() -> None:
    """Both are stream_age's; the streams are told apart by the name before the colon."""
    told = "state.eef_9d: newest sample on /ee_pose is 0.11 s old"
    pose = Finding("stream_age", Reaction.PAUSE, "state.eef_9d: newest sample is 0.30 s old")
    joints = Finding("stream_age", Reaction.PAUSE, "state.joints: newest sample is 0.20 s old")
    assert better_reason("stream_age", told, [joints, pose]) is None
    assert better_reason("stream_age", told, [joints]) is joints


@pytest.mark.parametrize("by", ["stream_age", "frozen_camera", "clock_forward"])
def test_what_is_told_does_not_change_with_the_same_findings(by) -> None:
    """Each is told once, not by turns."""
    present = ["frozen_camera", "dead_man", "stream_age"]
    first = told(by, *present) or by
    assert told(first, *present) is None
