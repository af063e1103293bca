"""The node activates only when it may command the robot, and stops and restarts as it must."""

import signal

import pytest
from ros_fixtures import wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from node_robot import ARM, GRIPPER, NEEDS_ROBOT, SWEEP  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.errors import StalledError  # noqa: E402
from gr00t_ros.motion.replay_settings import HORIZON_TOO_SHORT  # noqa: E402
from gr00t_ros.node.node import PolicyNode  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

pytestmark = NEEDS_ROBOT
URDF = (
    '<robot><joint name="fr3_joint1" type="revolute">'
    '<limit lower="-{limit}" upper="{limit}" velocity="9"/></joint></robot>'
)


def refusal(rig):
    """The reason that a refused activation leaves in the log."""
    before = rig.policy.text().count("activation refused")
    assert not rig.change("activate")
    assert rig.state == "inactive"
    wait_until(lambda: rig.policy.text().count("activation refused") > before, "the refusal's log")
    return rig.policy.text().rpartition("activation refused: ")[2]


def test_a_robot_is_commanded_by_nobody_else(rig):
    """A second publisher refuses the activation by its name, a second reader does not.

    So does a robot whose own description allows less than the file, or cannot be read.
    """
    rig.start_robot()
    rig.start_server()
    rig.start_policy()
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    recorder = rig.node.create_subscription(JointTrajectory, ARM, lambda _: None, qos.COMMAND)
    rival = rig.node.create_publisher(JointTrajectory, GRIPPER, qos.COMMAND)
    rig.wait_for_reason(f"another publisher commands {GRIPPER}: test")
    assert f"another publisher commands {GRIPPER}: test" in refusal(rig)
    rig.node.destroy_publisher(rival)
    description = rig.node.create_publisher(String, "/robot_description", qos.STATUS)
    description.publish(String(data=URDF.format(limit=1)))
    rig.wait_for_reason("limits.fr3_joint1.position: ", "more than /robot_description allows")
    assert "limits.fr3_joint1.position" in refusal(rig)
    description.publish(String(data=URDF.format(limit=1) + "<!--"))
    rig.wait_for_reason("/robot_description: no XML: line 1", "publish a description that can be")
    assert "/robot_description: no XML" in refusal(rig)
    description.publish(String(data=URDF.format(limit=9)))
    rig.wait_for_mode("ready")
    # a late machine is refused for its joints' age; a recorder would be refused each time
    wait_until(lambda: rig.change("activate"), "an activation beside a recorder")
    rig.wait_for_mode("replaying")
    rig.node.destroy_subscription(recorder)


def test_a_controller_that_does_not_interpolate_is_refused(rig):
    """Named are the controllers, the parameter and what it has to be."""
    rig.start_robot("-p", "interpolation_method:=none")
    rig.start_server()
    rig.start_policy()
    assert rig.change("configure")
    said = "/fr3_arm_controller: parameter interpolation_method is none"
    rig.wait_for_reason(said, "/gripper_controller: parameter interpolation_method is none")
    assert said in refusal(rig)
    assert "set it to splines" in refusal(rig)


def test_a_server_too_slow_for_its_horizon_is_refused_with_the_numbers_until_it_is_not(rig):
    """1.4 s and a chunk of 2.67 s do not fit; a fast server in its place makes the node ready."""
    rig.start_robot()
    rig.start_server("hold", delay_ms=1400)
    rig.start_policy(timeout_ms=20_000)
    assert rig.change("configure")
    reason = rig.wait_for_reason("a chunk of 40 steps is 2667 ms, too short: needed are").reason
    assert "execute_steps" in reason
    assert "too short" in refusal(rig)
    rig.server.stop()
    rig.start_server()
    rig.wait_for_mode("ready")


@NEEDS_ROBOT
def test_with_stop_and_go_a_robot_stops_between_two_chunks_and_goes_on(rig):
    """A query after 2.4 s, an answer 0.3 s later, a chunk of 2.67 s: a stop, which is no fault."""
    rig.start_robot()
    rig.start_server(SWEEP, delay_ms=300)  # from 0.5 s on the sweep is a jump on a late machine
    rig.move(stop_and_go=True, execute_steps=36)
    short = [pair.value for pair in rig.statuses[-1].details if pair.key == HORIZON_TOO_SHORT]
    assert short and "too short: needed are" in short[0]
    rig.wait_for_status(
        lambda s: s.mode in ("stopping", "holding") and "no chunk left to play" in s.reason,
        "the end of a chunk",
    )
    rig.wait_for_motion()
    assert "fault" not in {line.partition(":")[0] for line in rig.told()}


def test_a_lost_server_stops_the_arm_and_a_new_one_lets_it_go_on(rig):
    """Killed: a controlled stop, and the reason names the server; restarted: motion again.

    Before that each changed instruction begins an episode, an empty one does not.
    """
    rig.start_moving(sidecar_fault_s=600.0)
    episode = rig.statuses[-1].episode
    answer = rig.instruct("  put the red cube on the blue plate ")
    assert answer.success and answer.episode > episode  # a late machine pauses: one more
    changed = rig.wait_for_status(lambda s: s.episode >= answer.episode, "the episode")
    assert changed.instruction == "put the red cube on the blue plate"
    answer = rig.instruct("  ")
    assert (answer.success, answer.episode) == (False, 0)
    assert "got 0 bytes" in answer.message
    rig.wait_for_motion()

    rig.server.signal(signal.SIGKILL)
    rig.server.wait()
    # a late machine may be the first reason
    lost = f"policy server 127.0.0.1:{rig.port}: no answer for"
    rig.wait_for_status(lambda s: s.mode == "paused" and lost in s.reason, "the lost server")
    rig.assert_rest()
    assert rig.state == "active"
    wait_until(lambda: rig.level("replay") == DiagnosticStatus.WARN, "diagnostics WARN")
    rig.policy.wait_for_line(f"(stopping|paused): {lost}")

    rig.start_server(SWEEP)
    rig.wait_for_motion()
    rig.wait_for_status(lambda s: s.mode == "replaying" and not s.reason, "no reason any more")
    wait_until(lambda: rig.level("replay") == DiagnosticStatus.OK, "diagnostics OK")


def test_silent_joint_states_pause_the_arm_and_later_fault(rig):
    """A pause ends by itself with the silence; a fault needs a reset, refused while it is silent.

    The robot's process sleeps. It goes on where its clock is, so the arm moves on meanwhile.
    """
    rig.start_moving(joint_fault_age_s=5.0, controller_silence_s=60.0)
    episode = rig.statuses[-1].episode
    rig.robot.signal(signal.SIGSTOP)
    rig.wait_for_mode("paused")
    # whichever of the robot's messages is found late first; a late machine pauses by itself before
    late = ("old, at most", "nothing new on /")
    wait_until(lambda: any(text in rig.statuses[-1].reason for text in late), "its reason")
    wait_until(lambda: rig.level("replay") == DiagnosticStatus.WARN, "diagnostics WARN")
    wait_until(lambda: rig.level("state.joint_position") == DiagnosticStatus.STALE, "STALE")
    rig.robot.signal(signal.SIGCONT)
    rig.wait_for_motion()
    assert rig.statuses[-1].episode > episode, "a pause ends in a new episode"
    wait_until(lambda: rig.level("state.joint_position") == DiagnosticStatus.OK, "fresh again")

    rig.robot.signal(signal.SIGSTOP)
    fault = rig.wait_for_mode("fault")
    assert "/joint_states" in fault.reason or "/ee_pose" in fault.reason
    wait_until(lambda: rig.level("replay") == DiagnosticStatus.ERROR, "diagnostics ERROR")
    assert not rig.reset().success, "the cause persists"
    rig.robot.signal(signal.SIGCONT)
    wait_until(lambda: rig.level("state.joint_position") == DiagnosticStatus.OK, "fresh again")
    assert rig.statuses[-1].mode == "fault", "a fault is latched"
    wait_for_success(rig.reset, "a reset once the cause is gone")
    rig.wait_for_motion()


@pytest.mark.parametrize("fails", [False, True])
def test_the_publishers_speak_before_the_session_begins(ros_domain, fails):
    """What a silent one drops would count as sent; of an activation that fails they are silent."""
    rclpy.init(args=["--ros-args", "-p", "embodiment:=franka_droid"], domain_id=ros_domain)
    node, spoke = PolicyNode(), []
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        parts = node._parts
        publishers = parts.outputs._publishers.values()

        def activate():
            spoke.extend(publisher.is_activated for publisher in publishers)
            if fails:
                raise StalledError("the replay thread does not answer", begun=False)

        parts.follow_readiness, parts.activate = list, activate
        done = TransitionCallbackReturn.FAILURE if fails else TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == done
        assert spoke == [True, True]
        assert [publisher.is_activated for publisher in publishers] == [not fails] * 2
    finally:
        node.leave()
        node.destroy_node()
        rclpy.shutdown()
