"""The limits of a pose are read as the file has them; each wrong one is refused by name."""

import pytest
from pose_cases import FILE

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.limits import read_pose_limits


def test_the_limits_are_those_of_the_file():
    """Each key where it belongs, the box as two corners that nobody can change."""
    limits = read_pose_limits(Field(FILE, "file.yaml"))
    assert (limits.speed_m_s, limits.acceleration_m_s2) == (0.25, 1.0)
    assert (limits.turn_speed_rad_s, limits.turn_acceleration_rad_s2) == (0.8, 3.0)
    assert (limits.jump_m, limits.jump_rad) == (0.05, 0.3)
    assert limits.lower.tolist() == [0.2, -0.4, 0.05] and limits.upper.tolist() == [0.7, 0.4, 0.6]
    assert not limits.lower.flags.writeable


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"speed": 0.0}, "speed"),
        ({"x": [0.7, 0.2]}, "x"),
        ({"jump": [0.05]}, "jump"),
        ({"jump": [0.05, -1.0]}, "jump"),
        ({"jerk": 1.0}, "jerk"),
    ],
)
def test_limits_that_are_none_are_refused_by_their_key(change, named):
    """A missing limit is no limit."""
    with pytest.raises(EmbodimentError, match=named):
        read_pose_limits(Field(FILE | change, "file.yaml"))
