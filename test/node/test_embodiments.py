"""Every embodiment file works over real topics with a strict server of its tag.

The robot is made from the file, the server from what the tag's sources say. Three files that
differ most are in the short suite, the others in the soak.
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
from ros_fixtures import wait_until
from stand_in_interfaces import gripper_actions  # noqa: F401
from tag_policy import TagPolicy
from tag_shapes import N15, TagShapes, shapes_of

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NODE, Rig  # noqa: E402
from puppet import Puppet, numbers_of  # noqa: E402

from gr00t_ros.robot.embodiment import parse  # noqa: E402
from gr00t_ros.robot.outputs import CommandOutput  # noqa: E402
from gr00t_ros.serve.server import PolicyServer  # noqa: E402

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
SHORT = ("libero_panda", "real_g1", "so101")
FILES = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.soak])
    for path in sorted(FOLDER.glob("*.yaml"))
]
# The robot is a timer of this process: it may be late, and all its topics with it.
PATIENT = {
    "max_camera_age_s": 2.0,
    "max_joint_age_s": 1.0,
    "tracking_error_rad": 0.5,
    "tracking_error_s": 2.0,
    "reference_error_rad": 0.05,
    "velocity_scale": 0.8,
}
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
    puppet = Puppet(ros_node, robot)
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
        streamer = ("--ros-args", "-p", f"embodiment:={path}")
        processes.start("-m", "gr00t_ros.stream.commands", *streamer, name="streamer")
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
        goals = commanded(plain(path), {key: rows[0] for key, rows in policy.goals.items()})
        for output in (*robot.outputs, *robot.commands):
            wait_until(
                lambda output=output: off(puppet.sent[output.name], output, goals) < REACHED,
                f"{output.name} at its goal",
            )
        assert_in_step(puppet)
        assert rig.change("deactivate")
    for output in robot.commands:
        frames = {m.header.frame_id for m in puppet.sent[output.name] if hasattr(m, "header")}
        assert frames <= {output.frame}
        if output.velocities:
            still = [0.0] * len(output.names)
            wait_until(
                lambda o=output, s=still: told(puppet.sent[o.name], o) == s, "a base at rest"
            )
    rig.close()
    puppet.stop()


def off(sent: list[Any], output: Any, goals: dict[str, float]) -> float:
    """How far the newest message is from what the policy wants of the output."""
    if not sent:
        return np.inf
    wanted = [goals[name] for name in output.names]
    return float(np.abs(np.subtract(told(sent, output), wanted)).max())


def told(sent: list[Any], output: Any) -> list[float]:
    """Of a joint output the end of the last window, of another the last message's numbers."""
    if isinstance(output, CommandOutput):
        return numbers_of(sent[-1], len(output.names))
    return list(sent[-1].points[-1].positions)


def assert_in_step(puppet: Puppet) -> None:
    """The right names in order, one stamp for all outputs, a stop at the end of each window."""
    stamps = []
    for output in puppet.robot.outputs:
        windows = list(puppet.sent[output.name])
        assert {tuple(window.joint_names) for window in windows} == {output.names}
        assert not any(any(window.points[-1].velocities) for window in windows)
        stamps.append({(w.header.stamp.sec, w.header.stamp.nanosec) for w in windows})
    # a late reader loses windows, of each output others
    assert len(set.intersection(*stamps)) >= 5
