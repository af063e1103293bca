"""Each watch on arm and controllers reacts over real topics, gives its reason, and recovers.

One robot, one server and one node for the whole file: every test leaves the arm in motion.
"""

import signal

import numpy as np
import pytest
from ros_fixtures import call, own_domain, spinning_node, started, wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from node_robot import ARM, NEEDS_ROBOT, SWEEP, Rig  # noqa: E402
from passage import Passage  # noqa: E402
from pose_robot import POSE_FILE  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.inputs.controller_state import STATE_TYPES  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.franka.kinematics import HOME_RAD  # noqa: E402

pytestmark = NEEDS_ROBOT

STATE = "/fr3_arm_controller/controller_state"


class Moving:
    """A robot in motion, with the topics through which tests break it."""

    def __init__(self, rig, node):
        self.rig = rig
        self.state = Passage(node, STATE_TYPES[0], STATE)
        self.camera = Passage(node, Image, "/camera/exterior/image_raw")
        self.pose = Passage(node, PoseStamped, "/ee_pose")

    def start(self):
        """Everything, until the arm moves."""
        passages = (self.state, self.camera, self.pose)
        self.rig.start_robot(*(word for passage in passages for word in passage.remaps))
        self.rig.start_server(SWEEP)
        self.rig.move(embodiment=POSE_FILE, max_camera_age_s=2.0, sidecar_fault_s=600.0)

    def assert_fault(self, *parts):
        """A controlled stop into a latched fault with this reason; the arm rests."""
        status = self.rig.wait_for_mode("fault")
        assert all(part in status.reason for part in parts), status.reason
        self.rig.assert_rest()

    def assert_pause(self, *parts):
        """A controlled stop into a pause whose reason has these parts; the arm rests."""
        self.rig.wait_for_reason(*parts)
        self.rig.wait_for_mode("paused")
        self.rig.assert_rest()

    def assert_reset_into_motion(self):
        """The cause is gone: a reset is accepted, soon, and the arm moves again."""
        wait_for_success(self.rig.reset, "a reset once the cause is gone")
        self.rig.wait_for_motion()


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """The one bring-up of this file."""
    with (
        own_domain() as domain,
        started(tmp_path_factory.mktemp("watches")) as processes,
        spinning_node(domain) as node,
    ):
        rig = Rig(processes, node)
        moving = Moving(rig, node)
        moving.start()
        yield moving
        rig.close()


@pytest.fixture(autouse=True)
def in_motion(moving):
    """Each test begins with a moving arm, whatever the one before has left."""
    if moving.rig.statuses[-1].mode == "fault":
        moving.assert_reset_into_motion()
    moving.rig.wait_for_motion()


def test_an_arm_that_does_not_follow_faults_until_it_does(moving):
    """The controller measures a joint that is away from what it commands."""

    def block(message):
        message.feedback.positions[1] += 0.15
        return message

    moving.state.alter(block)
    moving.assert_fault("fr3_joint2: commanded", "more than 0.100 apart", "free the arm")

    def refused():
        answer = moving.rig.reset()
        if answer.success:  # states that came late: the watch began anew
            moving.assert_fault("fr3_joint2: commanded")
        return "the cause persists: fr3_joint2" in answer.message

    wait_until(refused, "a reset that is refused for it")
    moving.state.mend()
    moving.assert_reset_into_motion()


def test_a_speed_slider_that_is_moved_faults(moving):
    """At half speed the windows would restart at real time."""

    def slow(message):
        message.speed_scaling_factor = 0.5
        return message

    moving.state.alter(slow)
    moving.assert_fault("controller of arm: speed scaling is 0.5, not 1", "set the speed slider")
    assert "the cause persists" in moving.rig.reset().message
    moving.state.mend()
    moving.assert_reset_into_motion()


def test_a_controller_that_plays_something_else_pauses_and_goes_on_from_there(moving):
    """As after a lost window: 10 mrad away from what was sent for the stamp of its state."""

    def astray(message):
        message.reference.positions[2] += 0.01
        return message

    moving.rig.wait_for_motion()
    moving.state.alter(astray)
    moving.rig.wait_for_reason("fr3_joint3: the controller plays", "nobody else publishes commands")
    told = "paused: fr3_joint3: the controller plays"
    wait_until(lambda: told in moving.rig.policy.text(), told)  # a short pause is in no status
    moving.state.mend()  # a pause that does not last: the next plan starts from what is held
    moving.rig.wait_for_motion()


def test_a_controller_that_falls_silent_faults(moving):
    """As a deactivated one does: joint states still come."""
    moving.state.alter(lambda message: None)
    moving.assert_fault(f"controller of arm: last state on {STATE} is", "activate the controller")
    assert "the cause persists" in moving.rig.reset().message
    moving.state.mend()
    moving.assert_reset_into_motion()


def test_a_second_publisher_that_comes_while_the_arm_moves_faults(moving):
    """By its name and the topic; nothing is compared with what it sends."""
    rival = moving.rig.node.create_publisher(JointTrajectory, ARM, qos.COMMAND)
    moving.assert_fault(f"another publisher commands {ARM}: ", "stop the other publisher")
    named = f"the cause persists: another publisher commands {ARM}: test"  # discovered later
    wait_until(lambda: named in moving.rig.reset().message, "its name")
    moving.rig.node.destroy_publisher(rival)
    moving.assert_reset_into_motion()


def test_a_controller_whose_parameter_changes_while_the_arm_moves_faults(moving):
    """Named are controller, parameter and value; no reset before it is changed back."""
    name = "allow_nonzero_velocity_at_trajectory_end"

    def change(value):
        typed = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=typed)])
        service = "/fr3_arm_controller/set_parameters"
        assert call(moving.rig.node, SetParameters, service, request).results[0].successful

    change(True)
    said = f"/fr3_arm_controller: parameter {name} is true"
    moving.assert_fault(said, "docs/controllers.md")
    assert "the cause persists" in moving.rig.reset().message
    change(False)
    moving.assert_reset_into_motion()


def test_a_camera_that_repeats_its_picture_pauses(moving):
    """With stamps that go on: nothing but the content tells."""
    shown = []

    def freeze(message):
        shown.append(message.data)
        message.data = shown[0]
        return message

    moving.camera.alter(freeze)
    moving.assert_pause(
        "video.exterior_image_1_left", "frames in a row with the same content", "restart the camera"
    )
    moving.camera.mend()
    moving.rig.wait_for_motion()


def test_a_camera_in_the_dark_pauses(moving):
    """A covered lens still has noise."""

    def cover(message):
        message.data = (np.frombuffer(message.data, np.uint8) & 1).tobytes()
        return message

    moving.camera.alter(cover)
    moving.assert_pause("video.exterior_image_1_left", "black frames in a row", "uncover the lens")
    moving.camera.mend()
    moving.rig.wait_for_motion()


def test_a_camera_whose_stamps_are_apart_from_the_joint_states_pauses_at_the_third_try(moving):
    """Its frames are young enough; the joint states of their time are no longer there."""

    def late(message):
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec - 8 * 10**8
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        return message

    moving.camera.alter(late)
    moving.assert_pause(
        "exterior_image_1_left: ", "apart from the joint state", "in a row; synchronise the clock"
    )
    moving.camera.mend()
    moving.rig.wait_for_motion()


def test_an_end_effector_outside_its_box_faults_at_the_third_chunk(moving):
    """The robot tells a pose below its table."""

    def sink(message):
        message.pose.position.z = -0.1
        return message

    refused = moving.rig.statuses[-1].chunks_refused
    moving.pose.alter(sink)
    moving.assert_fault("end effector: z is -0.100 m", "3 chunks in a row", "widen the box")
    told = moving.rig.wait_for_status(lambda s: s.chunks_refused >= refused + 3, "three refusals")
    assert told.chunks_refused == refused + 3
    moving.pose.mend()
    moving.assert_reset_into_motion()


def test_a_policy_that_leads_out_of_the_box_faults_before_the_arm_is_there(moving):
    """By the chunk's own way: its first steps are inside, and nothing of it is played."""
    rig = moving.rig
    assert rig.instruct("under the table").success
    moving.assert_fault("3 answers", "end effector, step 3", "z would be", "0.020 to 1.100 allowed")
    assert abs(rig._joints.position[1] - HOME_RAD[1]) < 0.05
    assert rig.instruct("hold still").success
    moving.assert_reset_into_motion()


def test_an_error_that_needs_a_person_faults_and_has_the_server_checked_again(moving):
    """Another server may be behind the same port: no reset before it has passed a check."""
    rig = moving.rig
    checks = rig.server.text().count("get_modality_config")
    assert rig.instruct("a wrong width").success
    moving.assert_fault("joint_position must have width 9", "gr00t sidecar check")
    assert rig.instruct("hold still").success
    moving.assert_reset_into_motion()
    assert rig.server.text().count("get_modality_config") > checks


def test_an_error_that_may_pass_pauses_and_goes_on_by_itself(moving):
    """The reason is in the server's own words; it is checked before motion, without a reset."""
    rig = moving.rig
    checks = rig.server.text().count("get_modality_config")
    assert rig.instruct("an error").success
    moving.assert_pause("errors alone for", "no such thing in sight")
    assert rig.instruct("hold still").success
    rig.wait_for_motion()
    assert rig.server.text().count("get_modality_config") > checks


def test_a_server_that_hangs_pauses_and_goes_on_when_it_answers_again(moving):
    """Stopped for as long as its deadline takes to pass, and longer: only a check finds it back."""
    failures = moving.rig.statuses[-1].query_failures
    moving.rig.server.signal(signal.SIGSTOP)
    moving.assert_pause(
        f"policy server 127.0.0.1:{moving.rig.port}: no answer for", "start the policy server"
    )
    moving.rig.wait_for_status(lambda s: s.query_failures > failures, "the query's deadline")
    moving.rig.server.signal(signal.SIGCONT)
    moving.rig.wait_for_motion()


def test_the_second_chunk_that_is_no_number_faults(moving):
    """The policy diverges when it is told to; the count begins anew with a reset."""
    rig = moving.rig
    assert rig.instruct("nan").success
    moving.assert_fault("nan in row 39", "chunk 2 that is not finite", "restart the policy server")
    assert rig.instruct("hold still").success
    moving.assert_reset_into_motion()


@pytest.mark.parametrize("profile", qos.ANY, ids=["best effort", "reliable", "latched"])
def test_an_e_stop_button_faults_until_it_is_released_and_reset(moving, profile):
    """Whatever QoS its driver offers; it repeats the press, as drivers do: a writer that is matched
    may not be known to the reader yet, and a best-effort message is then lost.
    """
    rig = moving.rig
    button = rig.node.create_publisher(Bool, "/gr00t_policy/e_stop", profile)
    said = Bool(data=True)
    repeated = rig.node.create_timer(0.05, lambda: button.publish(said))
    try:
        moving.assert_fault("e-stop pressed by button topic ~/e_stop", "release the e-stop")
        assert "the cause persists: e-stop pressed" in rig.reset().message
    finally:
        said.data = False
        moving.assert_reset_into_motion()
        rig.node.destroy_timer(repeated)
        rig.node.destroy_publisher(button)


def test_the_arm_moves_only_while_a_required_dead_man_switch_is_held(moving):
    """Last in this file: what was tightened while active stays so."""
    rig = moving.rig
    switch = rig.node.create_publisher(Bool, "/gr00t_policy/dead_man", 1)
    value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=True)
    request = SetParameters.Request(parameters=[Parameter(name="dead_man_required", value=value)])
    (result,) = call(rig.node, SetParameters, "/gr00t_policy/set_parameters", request).results
    assert result.successful, result.reason
    moving.assert_pause("dead-man switch is not pressed", "press the dead-man switch")
    held = rig.node.create_timer(0.05, lambda: switch.publish(Bool(data=True)))
    rig.wait_for_motion()
    held.cancel()
    moving.assert_pause("dead-man switch last reported pressed")
    held.reset()
    rig.wait_for_motion()
    held.cancel()
    switch.publish(Bool(data=False))
    moving.assert_pause("dead-man switch is not pressed")
    rig.node.destroy_timer(held)
    rig.node.destroy_publisher(switch)
