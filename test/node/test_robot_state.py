"""A joint state that is too old is no measurement, and a start uses held positions first."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.controller_state import ControllerReading
from gr00t_ros.inputs.stream_report import StreamReport
from gr00t_ros.motion.clocks import Awake
from gr00t_ros.node.robot_state import RobotState
from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.parameters import DEFAULTS

EMBODIMENT = load_embodiment("franka_droid")
POSITION = np.linspace(0.1, 0.8, 8)


class OneJointState:
    """Inputs with one joint state, and controllers that tell twice its positions or nothing.

    controllers: all of them tell, none, or the one of that name.
    """

    def __init__(self, stamp_age_s, receive_age_s, controllers):
        now_ns = time.monotonic_ns()
        reading = JointReading(EMBODIMENT.joint_names, POSITION.copy(), None)
        stamp_ns, received_ns = (now_ns - int(s * 1e9) for s in (stamp_age_s, receive_age_s))
        self._sample = Sample(stamp_ns, received_ns, reading)
        self._controllers = controllers

    def joints(self, _names):
        return self._sample

    def controller(self, output):
        if self._controllers is not True and output != self._controllers:
            return None
        joints = JointReading(EMBODIMENT.joint_names, 2 * POSITION, None)
        now_ns = time.monotonic_ns()
        return Sample(now_ns, now_ns, ControllerReading(joints, joints, 1.0))


def robot_state(stamp_age_s, receive_age_s, controllers=False, max_joint_age_s=1.0):
    """The robot state of a node with a joint state of these ages."""
    inputs = OneJointState(stamp_age_s, receive_age_s, controllers)
    clock = SimpleNamespace(ros_now_ns=time.monotonic_ns)
    parameters = SimpleNamespace(max_joint_age_s=max_joint_age_s)
    return RobotState(inputs, EMBODIMENT, clock, parameters)


def measured(*ages_s, **more):
    """The measured position with a joint state of these ages."""
    return robot_state(*ages_s, **more).measured()


def test_a_joint_state_within_twice_the_allowed_age_is_a_measurement():
    """A stream that pauses the motion may still tell where the arm stands."""
    np.testing.assert_array_equal(measured(1.5, 1.5), POSITION)


@pytest.mark.parametrize("ages", [(60.0, 0.0), (0.0, 60.0)])
def test_an_older_joint_state_is_refused_with_its_age(ages):
    """Old by its stamp or by its arrival: an arm that nobody measures is not at rest."""
    with pytest.raises(ObservationError, match=r"60\.\d\d s old, at most 2\.00 s"):
        measured(*ages)


def test_where_joint_states_are_too_old_the_controllers_feedback_is_the_measurement():
    """Their own feedback is as good, and new."""
    np.testing.assert_array_equal(measured(60.0, 60.0, controllers=True), 2 * POSITION)


def test_a_plan_starts_where_each_controller_holds_and_else_where_the_arm_is_measured():
    """A streamer that has no window yet leaves the gripper's own word as it is, and no further."""
    state = robot_state(0.0, 0.0, controllers="gripper")
    np.testing.assert_array_equal(state.start_position(), [*POSITION[:7], 2 * POSITION[7]])
    assert state.held() is None
    every = robot_state(0.0, 0.0, controllers=True)
    np.testing.assert_array_equal(every.start_position(), 2 * POSITION)
    np.testing.assert_array_equal(every.held(), 2 * POSITION)
    np.testing.assert_array_equal(robot_state(0.0, 0.0).start_position(), POSITION)


def test_a_controller_that_has_told_and_is_late_is_waited_for():
    """A blocked arm is measured where its controller does not hold it: a start there is a step."""
    state = robot_state(0.0, 0.0, controllers=True)
    np.testing.assert_array_equal(state.start_position(), 2 * POSITION)
    state._inputs._controllers = "gripper"
    with pytest.raises(ObservationError, match="output arm: no usable state of its controller"):
        state.start_position()


@pytest.mark.parametrize(
    ("simulated", "stamp_s", "arrival_s", "known"),
    [
        *((False, 0.3, 0.1, True), (False, 0.1, 0.3, False)),
        *((True, 0.1, 0.3, True), (True, 0.3, 0.3, False), (True, 0.1, 2.1, False)),
    ],
)
def test_what_a_controller_holds_is_known_for_a_fifth_of_a_second(
    simulated, stamp_s, arrival_s, known
):
    """By arrival; in simulated time by the stamp as well, until the controller counts as silent."""
    state = robot_state(0.0, 0.0)
    state._clock.simulated, state.parameters.controller_silence_s = simulated, 2.0
    joints = JointReading(EMBODIMENT.joint_names, 2 * POSITION, None)
    now_ns = time.monotonic_ns()
    stamp_ns, received_ns = (now_ns - int(age_s * 1e9) for age_s in (stamp_s, arrival_s))
    sample = Sample(stamp_ns, received_ns, ControllerReading(joints, joints, 1.0))
    state._inputs.controller = lambda output: sample
    assert (state.held() is not None) is known


def test_what_goes_on_is_what_each_controller_holds_and_else_our_own_plan() -> None:
    """Not what is measured: an arm that sags would be lifted by a step."""
    planned = np.linspace(-0.1, -0.8, 8)
    state = robot_state(0.0, 0.0, controllers="gripper")
    np.testing.assert_array_equal(state.held_or(planned), [*planned[:7], 2 * POSITION[7]])
    assert state.held() is None
    every = robot_state(0.0, 0.0, controllers=True)
    np.testing.assert_array_equal(every.held_or(planned), 2 * POSITION)
    np.testing.assert_array_equal(robot_state(0.0, 0.0).held_or(planned), planned)


def test_nothing_goes_on_from_our_own_plan_where_a_controller_that_has_told_is_late() -> None:
    """Somebody else may have moved the arm meanwhile."""
    state = robot_state(0.0, 0.0, controllers=True)
    assert state.held_or(POSITION) is not None
    state._inputs._controllers = "gripper"
    assert state.held_or(POSITION) is None


def test_of_an_age_only_what_both_threads_were_awake_counts(monkeypatch):
    """The replay thread slept, then the executor: neither heard anything meanwhile."""
    now_ns = time.monotonic_ns()
    standing = SimpleNamespace(monotonic_ns=lambda: now_ns)
    monkeypatch.setattr("gr00t_ros.node.robot_state.time", standing)
    replay, executor = Awake(60_000_000), Awake(60_000_000)
    for thread, times_s in ((replay, (-2.0, -1.2, 0.0)), (executor, (-2.0, -0.9, 0.0))):
        for at_s in times_s:
            thread.ran(now_ns + int(at_s * 1e9))
            if at_s == times_s[1]:  # then it runs again, without a gap
                for step in range(1, int(-at_s * 50) + 1):
                    thread.ran(now_ns + int(at_s * 1e9) + step * 20_000_000)
    inputs = SimpleNamespace(awake=executor)
    around = RobotState(inputs, EMBODIMENT, None, None, replay)
    assert around.awake_ns(1_500_000_000) / 1e9 == pytest.approx(0.9, abs=0.03)
    assert around.awake_ns(500_000_000) / 1e9 == pytest.approx(0.5, abs=0.03)
    # what the replay thread pulls itself: no sleep of the other thread may hide a cut
    assert around.replay_awake_ns(1_500_000_000) / 1e9 == pytest.approx(1.2, abs=0.03)


@pytest.mark.parametrize(
    ("name", "age_ms", "pulls"),
    [("state.arm", 300, 1), ("state.arm", 100, 0), ("state.arm", None, 0), ("video.front", 300, 0)],
)
def test_a_joint_state_that_waits_is_taken_before_it_counts_as_late(name, age_ms, pulls):
    """The pull thread may be late, not the driver. Pictures have their own reader."""
    age_ns, pulled = None if age_ms is None else age_ms * 1_000_000, []

    def streams():
        newest_ns = 0 if pulled else age_ns
        return (StreamReport(name, "/topic", newest_ns, 200_000_000, 1, 0, "", True),)

    inputs = SimpleNamespace(
        streams=streams,
        pull_robot=lambda: pulled.append(1),
        controller=lambda _output: None,
        cameras=tuple,
        awake=Awake(60_000_000),
    )
    around = RobotState(inputs, EMBODIMENT, None, DEFAULTS)
    found = [one for one in around.findings() if one.watch == "stream_age"]
    assert len(pulled) == pulls
    assert bool(found) is (name == "video.front" or age_ms is None)


def test_joint_states_in_degrees_are_found_also_where_no_controller_tells() -> None:
    """Held is then what is measured: the two agree, and both are wrong."""
    state, home = robot_state(0.0, 0.0), np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])
    state._inputs._sample.value.position[:] = home
    assert state.outside_finding() is None
    state._inputs._sample.value.position[:] = np.degrees(home)
    found = state.outside_finding()
    assert "fr3_joint4: measured at -126.1, limits" in found.reason
    assert found.reason.endswith("let the driver publish radians")


@pytest.mark.parametrize(
    ("least_way_s", "simulated", "shadow", "found"),
    [
        (0.049, False, False, False),
        (None, False, False, True),
        (None, True, False, True),
        (None, False, True, False),
        (0.051, False, False, True),
        (-0.031, False, False, True),
        (-0.031, True, False, True),
        (0.029, True, False, False),
        (0.051, False, True, False),
    ],
)
def test_the_clock_of_each_controller_that_gets_windows_is_watched(
    least_way_s, simulated, shadow, found
) -> None:
    """In simulated time too, but not where nothing is commanded."""
    state = robot_state(0.0, 0.0)
    state._clock.simulated = simulated  # then it is how late /clock arrives here
    state.parameters.shadow, state.parameters.controller_silence_s = shadow, 0.5
    joints, now_ns = JointReading(EMBODIMENT.joint_names, POSITION, None), time.monotonic_ns()
    reading = ControllerReading(joints, joints, 1.0)
    sample = Sample(now_ns, now_ns, reading, least_way_ns=least_way_s and round(least_way_s * 1e9))
    inputs = state._inputs
    inputs.controller, inputs.awake = lambda output: sample, Awake(60_000_000)
    inputs.cameras = inputs.streams = lambda *_: ()
    watches = [one.watch for one in state.findings()]
    assert watches == (["controller_clock"] * len(EMBODIMENT.outputs) if found else [])
