"""An output of poses: its entry in the file, and every way of writing a pose, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pose_cases import FILE as LIMITS
from scipy.spatial.transform import Rotation

from gr00t_ros.errors import EmbodimentError, RotationError
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.outputs import read_pose
from gr00t_ros.robot.streams import POSE_ENCODINGS, StateStream

DROID = [[0, 0, -1], [-1, 0, 0], [0, 1, 0]]
STATE = (
    StateStream("eef_9d", "pose", "/ee_pose", encode="xyz_rot6d_rows", frame="base"),
    StateStream("joints", "joints", "/joint_states", names=("a",)),
)
ENTRY = {
    "type": "pose_stamped",
    "topic": "/target_pose",
    "frame": "base",
    "names": [f"e{k}" for k in range(9)],
    "encode": "xyz_rot6d_rows",
    "pose": "eef_9d",
    "limits": LIMITS,
}


def output(**change):
    """The output of an entry with these changes."""
    return read_pose("hand", Field(ENTRY | change, "file.yaml"), STATE)


def of_encode(encode, **change):
    """An output of that encode."""
    return output(encode=encode, names=[f"e{k}" for k in range(POSE_ENCODINGS[encode])], **change)


def rows(encode, position, rotation, rotate):
    """How a data set that turned by `rotate` writes these poses down."""
    turned = rotation if rotate is None else rotation * Rotation.from_matrix(rotate)
    numbers = {
        "xyz_rot6d_rows": turned.as_matrix()[:, :2].reshape(-1, 6),
        "xyz_axis_angle": turned.as_rotvec(),
        "xyz_quaternion": turned.as_quat(),
    }[encode]
    return np.concatenate([position, numbers], axis=1)


@pytest.mark.parametrize("rotate", [None, DROID])
@pytest.mark.parametrize("encode", POSE_ENCODINGS)
@given(st.lists(st.tuples(*[st.floats(-2.0, 2.0)] * 3), min_size=1, max_size=4))
def test_every_way_of_writing_a_pose_is_read_back(encode, rotate, vectors):
    """Positions as they are, rotations without what the data set turned them by."""
    made = of_encode(encode, **({} if rotate is None else {"rotate": rotate}))
    rotation = Rotation.from_rotvec(vectors)
    position = np.array(vectors) / 3.0
    poses = made.poses(rows(encode, position, rotation, rotate))
    for pose, at, matrix in zip(poses, position, rotation.as_matrix(), strict=True):
        np.testing.assert_array_equal(pose.position, at)
        np.testing.assert_allclose(pose.rotation, matrix, atol=1e-9)


def test_numbers_that_say_no_rotation_are_refused():
    """Two rows along one line, and a quaternion of length 0.5, would be turned into some motion."""
    with pytest.raises(RotationError):
        output().poses(np.array([[0, 0, 0, 1.0, 0, 0, 1, 0, 0]]))
    with pytest.raises(RotationError):
        of_encode("xyz_quaternion").poses(np.array([[0, 0, 0, 0.5, 0, 0, 0.0]]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"names": ["a", "b"]}, "9 names for xyz_rot6d_rows"),
        ({"encode": "euler"}, "xyz_rot6d_rows"),
        ({"pose": "joints"}, "eef_9d"),
        ({"frame": "world"}, "in frame 'base', expected 'world'"),
        ({"limits": {}}, "limits"),
        ({"rotate": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}, "rotate"),
    ],
)
def test_an_entry_that_is_wrong_is_named_by_its_key(change, named):
    """Before anything is sent anywhere."""
    with pytest.raises(EmbodimentError, match=named):
        output(**change)


def test_the_link_is_that_of_the_state_key_unless_the_output_names_one():
    """A topic of poses has none."""
    of_tf = StateStream("eef_9d", "tf", "/tf base -> tip", frame="base", link="tip")
    entry = Field(ENTRY, "file.yaml")
    assert output().link == ""
    assert output(link="tool0").link == "tool0"
    assert read_pose("hand", entry, (of_tf,)).link == "tip"
    assert read_pose("hand", Field(ENTRY | {"link": "tool0"}, "f"), (of_tf,)).link == "tool0"
