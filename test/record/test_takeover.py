"""A takeover with the real policy node and the simulated robot."""

import json

import pytest
from ros_fixtures import call, wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from node_robot import ARM, NEEDS_ROBOT  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402

pytestmark = [NEEDS_ROBOT, pytest.mark.soak]


def test_a_person_moves_the_arm_in_between_and_the_policy_goes_on(rig, processes, tmp_path):
    """One episode: policy, stopping, human, policy; through the topics that the policy commands.

    The second publisher is a fault of the policy node, which a reset clears before the hand-back.
    """
    folder = tmp_path / "recording"
    options = ("--embodiment", "franka_droid", "--episodes", "policy", "--min-free-gb", "0.1")
    recorder = processes.start("-m", "gr00t_ros.record", str(folder), *options, name="record")
    recorder.wait_for_line("ready to record")
    rig.start_moving()
    recorder.wait_for_line(r"episode 0: start \(policy\)")

    def intervene(on):
        return call(rig.node, SetBool, "/gr00t_record/intervene", SetBool.Request(data=on))

    assert intervene(True).success
    rig.wait_for_mode("paused_by_operator")
    recorder.wait_for_line(r"episode 0: source \(human\)")
    rig.assert_rest()
    person = rig.node.create_publisher(JointTrajectory, ARM, 1)
    rig.wait_for_mode("fault")
    assert "has latched a fault" in intervene(False).message
    goal = rig.arm_moved_by(0.1, within_s=1.0)
    wait_until(lambda: person.get_subscription_count() > 0, "the arm's controller")
    person.publish(goal)
    wait_until(lambda: rig.arm_at(0, rig.goal), "the arm at the person's goal")
    rig.assert_rest()  # the policy would begin at an arm that still moves, and pause
    rig.node.destroy_publisher(person)
    wait_for_success(rig.reset, "a reset")
    rig.wait_for_mode("paused_by_operator")
    wait_until(lambda: intervene(False).success, "a hand-back")
    rig.wait_for_mode("replaying")
    done = call(rig.node, Trigger, "/gr00t_record/success", Trigger.Request())
    assert done.success
    assert recorder.stop() == 0

    facts = json.loads((folder / "episode_000000" / "episode.json").read_text())
    names = [name for _, name in facts["sources"] if name != "idle"]
    assert [name for name in names if name != "stopping"] == ["policy", "human", "policy"]
    ((from_ns, to_ns),) = facts["interventions"]
    (human_ns,) = [time_ns for time_ns, name in facts["sources"] if name == "human"]
    assert from_ns <= human_ns < to_ns
    with open_bag(folder / "episode_000000") as bag:
        times = [message.time_ns for message in bag.messages([ARM])]
    assert any(time_ns < from_ns for time_ns in times), "windows of the policy"
    assert any(human_ns < time_ns < to_ns for time_ns in times), "the person's command"
    assert any(time_ns > to_ns for time_ns in times), "and the policy again"
