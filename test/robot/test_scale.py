"""Joint values and the policy's: straight lines, upwards and downwards, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.field import UNIT, Field, Scale, read_scale

ENDS = st.tuples(st.floats(-200.0, 200.0), st.floats(-200.0, 200.0)).filter(
    lambda pair: abs(pair[0] - pair[1]) > 1e-3
)


def places(**content):
    """The places of a stream's map."""
    return Field(content, "robot.yaml", "state.x").entries()


@given(ENDS, ENDS, st.floats(0.0, 1.0))
def test_there_and_back_is_the_same_joint_value(joint, policy, fraction):
    """What is measured, sent, answered unchanged and commanded is where the joint is."""
    scale = Scale((joint,), (policy,))
    position = np.array([joint[0] + fraction * (joint[1] - joint[0])])
    sent = scale.to_policy(scale.fraction(position))
    assert min(policy) - 1e-9 <= sent[0] <= max(policy) + 1e-9
    np.testing.assert_allclose(scale.to_joint(sent), position, atol=1e-9)


@given(ENDS, ENDS, st.floats(0.0, 1.0))
def test_the_line_is_numpys(joint, policy, fraction):
    """Interpolation between the two points, as an independent function has it."""
    value = float(np.clip(policy[0] + fraction * (policy[1] - policy[0]), *sorted(policy)))
    upwards = np.argsort(policy)
    expected = np.interp(value, np.array(policy)[upwards], np.array(joint)[upwards])
    got = Scale((joint,), (policy,)).to_joint(np.array([value]))
    np.testing.assert_allclose(got, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("scale", "policy", "joint", "sent"),
    [
        ([0.0, 0.8], [0, 1], 0.8, 1.0),  # Robotiq 2F-85: radians, 0 open .. 1 closed
        ([0.04, 0.0], [0, 1], 0.04, 0.0),  # a Franka finger: metres, open is 0
        ([0.0, 0.085], [0, 1], 0.085, 1.0),  # width in metres, 1 is open
        ([-1.5, 1.5], [-100, 100], 0.75, 50.0),  # LeRobot motor units
        ([0.0, 0.8], [0.085, 0.0], 0.2, 0.06375),  # radians to width
    ],
)
def test_grippers_of_every_kind(scale, policy, joint, sent):
    """Values by hand, both ways."""
    found = read_scale(places(scale=scale, range=policy), 1)
    position = np.array([joint])
    np.testing.assert_allclose(found.to_policy(found.fraction(position)), [sent], atol=1e-12)
    np.testing.assert_allclose(found.to_joint(np.array([sent])), position, atol=1e-12)


def test_each_joint_may_have_its_own_pair():
    """Motors have ranges of their own; a chunk's rows are converted at once."""
    found = read_scale(places(scale=[[0, 2], [1, -1]], range=[[-100, 100], [0, 100]]), 2)
    rows = np.array([[-100.0, 0.0], [100.0, 100.0], [0.0, 50.0]])
    np.testing.assert_allclose(found.to_joint(rows), [[0, 1], [2, -1], [1, 0]])
    assert read_scale(places(scale=[0, 2]), 2) == Scale(((0.0, 2.0),) * 2, (UNIT,) * 2)
    assert read_scale(places(topic="/a"), 2) is None


def test_a_list_of_another_length_is_refused():
    """Two pairs say nothing of three joints."""
    with pytest.raises(EmbodimentError, match=r"state\.x\.scale: got 2 pairs, .* each of 3 joints"):
        read_scale(places(scale=[[0, 1], [0, 1]]), 3)
