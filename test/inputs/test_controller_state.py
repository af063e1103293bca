"""A controller state is read into the reference and the feedback of its joints, by name."""

import types

import pytest
from trajectory_msgs.msg import JointTrajectoryPoint

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.readings import STATE_TYPES, controller_state
from gr00t_ros.msg import ControllerState


def _state(reference=(0.5, 1.5), feedback=(0.25, 1.25), velocities=()):
    message = ControllerState(joint_names=["b", "a"], speed_scaling_factor=0.5)
    message.header.stamp.sec, message.header.stamp.nanosec = 3, 4
    message.reference = JointTrajectoryPoint(positions=reference)
    message.feedback = JointTrajectoryPoint(positions=feedback, velocities=velocities)
    return message


def test_our_own_type_is_always_listened_to():
    """The simulator publishes it where control_msgs is not installed."""
    assert ControllerState in STATE_TYPES


def test_reference_and_feedback_are_read_by_name():
    """Names, positions, velocities where there are any, and the speed scaling."""
    stamp_ns, reading = controller_state(_state(velocities=(0.1, 0.2)))
    assert stamp_ns == 3_000_000_004
    assert reading.reference.names == ("b", "a")
    assert reading.reference.position.tolist() == [0.5, 1.5]
    assert reading.reference.velocity is None
    assert reading.feedback.velocity.tolist() == [0.1, 0.2]
    assert reading.speed_scaling == 0.5


def test_a_controller_without_speed_scaling_runs_at_full_speed():
    """control_msgs before the field existed."""
    message = _state()
    older = types.SimpleNamespace(
        **{name: getattr(message, name) for name in ("header", "joint_names")},
        reference=message.reference,
        feedback=message.feedback,
    )
    assert controller_state(older)[1].speed_scaling == 1.0


@pytest.mark.parametrize("field", ["reference", "feedback"])
def test_another_number_of_positions_than_joints_is_refused(field):
    """A held position that cannot be told by joint is none."""
    with pytest.raises(ObservationError, match=f"{field} has 1 positions for 2 joints"):
        controller_state(_state(**{field: (1.0,)}))
