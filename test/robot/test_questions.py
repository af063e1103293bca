"""Marks at what nothing settles: the assumed value is read, the question stays until answered."""

import copy
from pathlib import Path

import pytest
import yaml

from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.questions import open_marks, read_marks, refuse_open, settled_names

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
VALID = yaml.safe_load(FILE.read_text())


def marked(question="Is it 15 Hz?", assumed=15.0):
    """A robot whose rate and wrist picture nobody has settled."""
    mapping = copy.deepcopy(VALID)
    mapping["rate_hz"] = {"unsettled": question, "assumed": assumed}
    size = {"unsettled": "Which size?", "assumed": [180, 320]}
    mapping["video"]["wrist_image_left"]["size"] = size
    return mapping


def test_a_mark_is_read_as_its_assumed_value_wherever_it_stands():
    """Nothing but the questions differs from the file without marks."""
    robot = parse(marked(), "robot.yaml")
    assert robot.rate_hz == 15.0
    assert (robot.video[1].height_px, robot.video[1].width_px) == (180, 320)
    assert [(mark.path, mark.question) for mark in robot.unsettled] == [
        ("rate_hz", "Is it 15 Hz?"),
        ("video.wrist_image_left.size", "Which size?"),
    ]
    assert "assumed: [180, 320]" in str(robot.unsettled[1])
    assert parse(VALID, "robot.yaml").unsettled == ()


def test_a_mark_may_stand_in_a_list():
    """One joint of seven can be the open one."""
    mark = {"unsettled": "Which first?", "assumed": "a"}
    plain, marks = read_marks(Field({"names": [mark, "b"]}, "robot.yaml"))
    assert plain.value == {"names": ["a", "b"]}
    assert [m.path for m in marks] == ["names[0]"]


@pytest.mark.parametrize(
    ("mark", "named"),
    [
        ({"unsettled": "?"}, "rate_hz: missing assumed"),
        ({"unsettled": "", "assumed": 15.0}, "rate_hz.unsettled: got ''"),
        ({"unsettled": "?", "assumed": 15.0, "note": 1}, "rate_hz: unknown key 'note'"),
        ({"unsettled": "?", "assumed": "fast"}, "rate_hz: got 'fast', expected a finite number"),
        ({"unsettled": "?", "assumed": "FILL_IN"}, "still to be filled in:\n- rate_hz.assumed"),
        ({"unsettled": "?", "assumed": {"unsettled": "?", "assumed": 15.0}}, "rate_hz: got {"),
    ],
)
def test_a_mark_without_question_or_value_is_refused_by_its_place(mark, named):
    """An assumed value has to be one that the place could have."""
    mapping = dict(VALID, rate_hz=mark)
    with pytest.raises(EmbodimentError) as caught:
        parse(mapping, "robot.yaml")
    assert named in str(caught.value)


def test_open_marks_are_refused_with_question_and_assumption_until_all_are_named():
    """Each by its own name; the refusal says both ways out."""
    marks = parse(marked(), "robot.yaml").unsettled
    with pytest.raises(EmbodimentError) as caught:
        refuse_open(marks, ["rate_hz"], "robot.yaml")
    text = str(caught.value)
    assert "1 unsettled" in text and "video.wrist_image_left.size: Which size?" in text
    assert "parameter settled" in text and "Is it 15 Hz?" not in text
    refuse_open(marks, ["rate_hz", "video.wrist_image_left.size"], "robot.yaml")
    refuse_open((), (), "robot.yaml")


def test_a_name_of_no_mark_is_refused():
    """A misspelt name or one of another robot settles nothing, and is not passed over."""
    marks = parse(marked(), "robot.yaml").unsettled
    with pytest.raises(SettingsError, match="settled names rate, expected.*rate_hz, video"):
        open_marks(marks, ["rate"], "robot.yaml")
    with pytest.raises(SettingsError, match="none is"):
        open_marks((), ["rate_hz"], "robot.yaml")


def test_names_are_separated_by_commas():
    """Blanks do not matter, and nothing is no name."""
    assert settled_names(" rate_hz,state.eef_9d.topic ,") == ("rate_hz", "state.eef_9d.topic")
    assert settled_names("") == ()
