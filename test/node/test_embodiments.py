"""Every embodiment file works over real topics with a strict server of its tag.

The robot is the stand-in of the file, the server is made from what the tag's sources say. Three
files that differ most are in the short suite, the others in the soak.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from robot_of_file import commanded, plain
from ros_fixtures import collect, wait_until
from stand_in_interfaces import gripper_actions  # noqa: F401
from tag_policy import TagPolicy
from tag_shapes import N15, TagShapes, shapes_of

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import Twist, TwistStamped  # noqa: E402
from node_robot import NODE, Rig  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float64  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.robot.embodiment import Embodiment, parse  # noqa: E402
from gr00t_ros.robot.outputs import CommandOutput  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.serve.server import PolicyServer  # noqa: E402

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
SHORT = ("libero_panda", "real_g1", "so101")
FILES = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.soak])
    for path in sorted(FOLDER.glob("*.yaml"))
]
# A busy machine: the robot may be late, and all its topics with it.
PATIENT = {
    "max_camera_age_s": 2.0,
    "max_joint_age_s": 1.0,
    "tracking_error_rad": 0.5,
    "tracking_error_s": 2.0,
    "reference_error_rad": 0.05,
    "velocity_scale": 0.8,
}
JOINTS = "/all_joints"
FLAT = ("oxe_droid", "gr1", "unitree_g1")
"""Tags of N1.6, which is served behind --use_sim_policy_wrapper."""
REACHED = 5e-3


@contextmanager
def serving(policy: TagPolicy, port: int, flat: bool, n15: bool) -> Iterator[None]:
    """A strict server in a thread of this process."""
    generation = "A0" if n15 else "A2" if flat else "B3"
    with PolicyServer(policy, generation, flat, bind=f"tcp://127.0.0.1:{port}") as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.stop()
            thread.join()


def wider(shapes: TagShapes, key: str) -> TagShapes:
    """A server of another checkpoint: one value more in an action key."""
    width, said = shapes.action[key]
    return replace(shapes, action={**shapes.action, key: (width + 1, said)})


@pytest.mark.parametrize("path", FILES)
def test_commands_arrive_on_every_output_as_the_policy_means_them(
    request, processes, ros_node, path
):
    """Refused while a question is open and while a width differs; then names, goals and stamps."""
    robot = parse(yaml.safe_load(path.read_text()), path.name)
    if any(output.goals is not None for output in robot.commands):
        request.getfixturevalue("gripper_actions")
    shapes = shapes_of(robot.robot, robot.tag)
    rig = Rig(processes, ros_node)
    sent = received(ros_node, robot)
    named = ("--ros-args", "-p", f"embodiment:={path}")
    joints = ("-p", f"joints_topic:={JOINTS}")
    processes.start("-m", "gr00t_ros.sim.stand_in.robot", *named, *joints, name="robot")
    # half a chunk is played before the next is asked for: the shortest has 8 steps
    node = {"embodiment": path, "execute_steps": min(8, robot.action_horizon // 2), **PATIENT}
    questions = [mark.path for mark in robot.unsettled]
    if questions:
        rig.start_policy(**node)
        rig.wait_for_mode("unconfigured")
        assert not rig.change("configure")
        rig.wait_for_status(
            lambda s: all(question in s.reason for question in questions), "every open question"
        )
        rig.policy.stop()
        rig.statuses.clear()
        wait_until(lambda: not ros_node.count_publishers(f"{NODE}/status"), "its end")
        node["settled"] = ",".join(questions)
    if robot.commands:
        processes.start("-m", "gr00t_ros.stream.commands", *named, name="streamer")
    rig.start_policy(**node)
    rig.wait_for_mode("unconfigured")
    assert rig.change("configure")
    flat, key = robot.tag in FLAT, list(shapes.action)[-1]
    n15 = robot.robot in N15
    with serving(TagPolicy(wider(shapes, key)), rig.port, flat, n15):
        rig.wait_for_reason(f"action {key}: got shape")
    policy = TagPolicy(shapes)
    with serving(policy, rig.port, flat, n15):
        rig.wait_for_mode("ready")
        if n15:  # it has no reset, and an episode began with the zeros of the check
            policy.reset(None)
        wait_until(lambda: rig.change("activate"), "an accepted activation")
        rig.wait_for_mode("replaying")
        policy.goals_stay = True
        wait_until(lambda: policy.goals, "goals")
        goals = commanded(plain(path), {key: rows[0] for key, rows in policy.goals.items()})
        for output in (*robot.outputs, *robot.commands):
            wait_until(
                lambda output=output: off(sent[output.name], output, goals) < reached(output),
                f"{output.name} at its goal",
            )
        assert_in_step(sent, robot)
        assert rig.change("deactivate")
    for output in filter(lambda one: not by_action(one), robot.commands):
        frames = {m.header.frame_id for m in sent[output.name] if hasattr(m, "header")}
        assert frames <= {output.frame}
        if output.velocities:
            still = [0.0] * len(output.names)
            wait_until(lambda o=output, s=still: told(sent[o.name], o) == s, "a base at rest")
    rig.close()


def received(node: Any, robot: Embodiment) -> dict[str, list[Any]]:
    """Every message of each output from now on, by its name."""
    kinds = {"twist": Twist, "twist_stamped": TwistStamped, "float64": Float64}
    outputs = (*robot.outputs, *robot.commands)
    sent = {
        output.name: collect(node, kinds.get(output.type, JointTrajectory), output.topic, 50)
        for output in outputs
        if not by_action(output)
    }
    # A gripper by action is at once where its goals lead it.
    joints = collect(node, JointState, JOINTS, qos.SENSOR)
    return sent | {output.name: joints for output in robot.commands if by_action(output)}


def by_action(output: Any) -> bool:
    """Whether an output is commanded by goals of an action, not by messages."""
    return isinstance(output, CommandOutput) and output.goals is not None


def reached(output: Any) -> float:
    """How near a goal is reached: a value within the hysteresis of the last goal asks for none."""
    return REACHED + (output.goals.hysteresis if by_action(output) else 0.0)


def numbers_of(message: Any, count: int) -> list[float]:
    """The values of a command's message, in the order of its output's names."""
    if isinstance(message, Float64):
        return [message.data]
    twist = getattr(message, "twist", message)
    move, turn = twist.linear, twist.angular
    six = [move.x, move.y, move.z, turn.x, turn.y, turn.z]
    return six if count == 6 else [move.x, move.y, turn.z]


def off(sent: list[Any], output: Any, goals: dict[str, float]) -> float:
    """How far the newest message is from what the policy wants of the output."""
    if not sent:
        return np.inf
    wanted = [goals[name] for name in output.names]
    return float(np.abs(np.subtract(told(sent, output), wanted)).max())


def told(sent: list[Any], output: Any) -> list[float]:
    """Of a joint output the end of the last window, of another the last message's numbers."""
    if by_action(output):
        at = dict(zip(sent[-1].name, sent[-1].position, strict=True))
        return [at[name] for name in output.names]
    if isinstance(output, CommandOutput):
        return numbers_of(sent[-1], len(output.names))
    return list(sent[-1].points[-1].positions)


def assert_in_step(sent: dict[str, list[Any]], robot: Embodiment) -> None:
    """The right names in order, one stamp for all outputs, a stop at the end of each window."""
    stamps = []
    for output in robot.outputs:
        windows = list(sent[output.name])
        assert {tuple(window.joint_names) for window in windows} == {output.names}
        assert not any(any(window.points[-1].velocities) for window in windows)
        stamps.append({(w.header.stamp.sec, w.header.stamp.nanosec) for w in windows})
    # a late reader loses windows, of each output others
    assert len(set.intersection(*stamps)) >= 5
