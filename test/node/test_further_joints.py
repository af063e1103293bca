"""A controller that moves more joints than its output may refuse all windows: the pause says so."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.inputs.controller_state import ControllerReading
from gr00t_ros.node.watches import RunningWatches
from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.robot.actions import Output
from gr00t_ros.session.mode import Mode

OUTPUT = Output("arm", "joint_trajectory", "/arm/command", "/arm/state", ("j1", "j2"))


@pytest.mark.parametrize("further", [(), ("finger",)])
def test_a_controller_that_stands_and_moves_further_joints_is_told_from_a_slow_network(further):
    """It refuses a window without all of its joints, and says so in its own log alone."""
    names = (*OUTPUT.names, *further)
    held = JointReading(names, np.zeros(len(names)))
    state = Sample(1, 1, ControllerReading(held, held, 1.0))
    watches = object.__new__(RunningWatches)
    watches._values = SimpleNamespace(shadow=False, reference_error_rad=0.002)
    watches._robot = SimpleNamespace(references=lambda: ((OUTPUT, state, np.zeros(2)),))
    watches._sent = lambda output, stamp_ns: (np.full(2, 0.1), np.zeros(2))
    watches._sent_before = lambda output, stamp_ns: iter(())
    (found,) = watches._plans(Mode.REPLAYING)
    assert "j1: the controller plays 0.0000, sent was 0.1000" in found.reason
    text = "; its controller moves finger too: it takes windows without them only with allow_"
    assert (text in found.reason) is bool(further)
