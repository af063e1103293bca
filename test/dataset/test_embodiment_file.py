"""Where two embodiment files differ, and their copy in a dataset."""

import pytest
import yaml
from urdf_robot import fr3_urdf, with_kinematics

from gr00t_ros.dataset.embodiment_file import COPY, copy_to, difference
from gr00t_ros.robot.files import load_embodiment

ROBOT = {
    "robot": "one",
    "state": {"arm": {"names": ["a", "b"], "scale": [0.0, 0.4]}, "jaw": {"names": ["c"]}},
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "# said\nrobot: one\nstate: {arm: {scale: [0, 0.4], names: [a, b]}, jaw: {names: [c]}}",
            "",
        ),
        ("{robot: two}", "robot is two, not one"),
        (
            "{robot: one, state: {arm: {names: [a, x], scale: [0.0, 0.4]}, jaw: {names: [c]}}}",
            "state.arm.names[1] is x, not b",
        ),
        ("{robot: one, state: {arm: {names: [a]}}}", "state.arm.names is ['a'], not ['a', 'b']"),
        (
            "{robot: one, state: {jaw: {names: [c]}, arm: {names: [a, b], scale: [0.0, 0.4]}}}",
            "the order of state is jaw, arm, not arm, jaw",
        ),
    ],
)
def test_the_first_difference_is_named_with_both_values(tmp_path, text, said):
    """The order of keys is that of columns; comments and the order of fields mean nothing."""
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(text)
    other.write_text(yaml.safe_dump(ROBOT, sort_keys=False))
    assert difference(one, other) == said


def test_a_key_that_only_one_file_has_is_a_difference(tmp_path):
    """In either."""
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("robot: one")
    other.write_text("{robot: one, rate_hz: 15.0}")
    assert difference(one, other) == "rate_hz is missing, not 15.0"
    assert difference(other, one) == "rate_hz is 15.0, not missing"


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_file_that_names_others_by_relative_paths_is_not_copied(tmp_path, is_absolute):
    """Its copy would name nothing, which is told."""
    urdf = tmp_path / "arm.urdf"
    urdf.write_text(fr3_urdf())
    mapping = with_kinematics(chain=None, urdf=str(urdf) if is_absolute else urdf.name)
    source, folder = tmp_path / "mine.yaml", tmp_path / "set"
    source.write_text(yaml.safe_dump(mapping))
    folder.mkdir()
    problem = copy_to(folder, load_embodiment(str(source)))
    assert (problem == "") == (folder / COPY.name).exists() == is_absolute
    assert is_absolute or "by absolute paths" in problem
