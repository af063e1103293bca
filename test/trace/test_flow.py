"""The times of one observation, from its cameras to the controller, with integers for a clock."""

import json
from pathlib import Path

import pytest

from gr00t_ros.errors import TraceError
from gr00t_ros.trace.flow import (
    CAMERA_STAGES,
    DROPPED,
    EXECUTED,
    FAILED,
    MERGED,
    PUBLISHED,
    REFUSED,
    STAGES,
    TOTAL,
    CameraTimes,
    Marks,
    executed,
    flow_of,
    from_plain,
    plain,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "trace.md"
OFFSET = 1_000_000
OUTCOMES = (EXECUTED, PUBLISHED, MERGED, REFUSED, DROPPED, FAILED)
STAGE_NAMES = (*(stage.name for stage in (*CAMERA_STAGES, *STAGES)), TOTAL)
CAMERAS = (CameraTimes("wrist", 50, 60, 80), CameraTimes("front", 40, 70, 80))


def marked(**later):
    """An observation that came from its cameras (40) to a publication (220), 10 ns a stage."""
    names = ["asked_ns", *(stage.end for stage in STAGES)]
    times = {name: 90 + 10 * step for step, name in enumerate(names[:-1])}
    return Marks(7, 2, cameras=CAMERAS, ros_offset_ns=OFFSET, sequence=5, **{**times, **later})


def test_the_stages_join_end_to_begin():
    """No time between two stages is left out, and none is counted twice."""
    assert [stage.begin for stage in STAGES[1:]] == [stage.end for stage in STAGES[:-1]]
    assert CAMERA_STAGES[0].end == CAMERA_STAGES[1].begin
    assert len(set(STAGE_NAMES)) == len(STAGE_NAMES)


def test_the_document_explains_every_stage_and_outcome():
    """With the table's own words."""
    text = DOCUMENT.read_text()
    for stage in (*CAMERA_STAGES, *STAGES):
        assert f"| `{stage.name}` | {stage.track} | {stage.text} |\n" in text
    assert all(f"`{name}`" in text for name in (TOTAL, *OUTCOMES))


def test_an_executed_observation_has_every_stage():
    """In order, and from the oldest camera stamp to the controller's cycle in all."""
    marks = marked()
    marks.changed_from_ros_ns = OFFSET + 300
    assert executed([marks], OFFSET + 301) == 1
    flow = flow_of(marks)
    assert (flow.outcome, flow.reason) == (EXECUTED, "")
    assert [span.stage for span in flow.spans[:4]] == [
        *("camera/wrist", "arrival/wrist", "camera/front", "arrival/front")
    ]
    durations = dict(flow.durations())
    assert tuple(durations) == STAGE_NAMES
    assert durations["camera"] == 30 and durations["arrival"] == 20  # the slower camera's
    assert {durations[stage.name] for stage in STAGES[:-1]} == {10}
    assert durations["controller"] == 301 - marks.published_ns
    assert durations[TOTAL] == 301 - 40


def test_stages_that_were_not_reached_are_left_out():
    """As for an observation whose query failed; a stamp from the future is no duration either."""
    marks = Marks(1, 1, 90, started_ns=100, pulled_ns=110, outcome=FAILED, reason="no server")
    marks.cameras = (CameraTimes("front", 70, 60, 80), CameraTimes("wrist", 50, 0, 80))
    flow = flow_of(marks)
    assert [span.stage for span in flow.spans] == ["arrival/front", "wait", "pull"]
    assert TOTAL not in dict(flow.durations())


@pytest.mark.parametrize(("state_ns", "ended"), [(0, 0), (300, 0), (301, 1), (400, 1), (401, 2)])
def test_a_state_belongs_to_the_chunk_whose_part_of_the_plan_it_is_in(state_ns, ended):
    """At the first knot that a chunk may change, the position is still that of the plan before."""
    first, second = marked(changed_from_ros_ns=300), marked(changed_from_ros_ns=400)
    assert executed([first, second], state_ns) == ended
    if ended == 1:
        assert first.outcome == EXECUTED and not second.executed_ns
        assert first.executed_ns == state_ns - OFFSET
    if ended == 2:
        assert (first.outcome, first.reason) == (PUBLISHED, "the next chunk replaced it")
        assert first.executed_ns == 0 and second.outcome == EXECUTED


def test_a_chunk_that_the_plan_left_before_its_part_is_not_executed():
    """A stop came between publication and the changed part."""
    marks = marked(changed_from_ros_ns=300, cut="stopped: e-stop")
    assert executed([marks], 301) == 1
    assert (marks.outcome, marks.reason, marks.executed_ns) == (PUBLISHED, "stopped: e-stop", 0)


def test_a_flow_comes_back_from_json():
    """As it is given to the process that writes the file."""
    flow = flow_of(marked())
    assert from_plain(json.loads(json.dumps(plain(flow)))) == flow


@pytest.mark.parametrize("value", [{}, [], "end", {"spans": [[1]]}, {"spans": [], "number": "x"}])
def test_what_is_no_flow_is_refused(value):
    """With one line."""
    with pytest.raises(TraceError, match="got no flow"):
        from_plain(value)
