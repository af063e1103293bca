"""With roll_state, the state that is sent is where the arm is at the chunk's stamp, in motion."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from ros_fixtures import LIMIT_S, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, NODE, SWEEP, policy_node  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from sweep_policy import RANGE_RAD, SPEED_RAD_S  # noqa: E402

from gr00t_ros.errors import RefusedError  # noqa: E402
from gr00t_ros.msg import ActionChunk  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402
from gr00t_ros.serve.policies import HoldPolicy  # noqa: E402
from gr00t_ros.serve.server import PolicyServer  # noqa: E402
from gr00t_ros.tools import doctor_checks  # noqa: E402

LAG_RAD = 0.01  # of the simulated arm behind its commands at SPEED_RAD_S: 40 ms
ROLLED_S = 0.1  # the commit time alone; without roll_state the state is at least this much older

NEAR_S = 1.0
"""Between a pause and a chunk that it may change, before or behind it."""


class Chunks:
    """Per chunk: its stamp, when it was received, and the state that was sent; and the arm's way.

    The sweep policy answers with the state that it was sent as the first row.
    """

    def __init__(self, node):
        self.stamps_s, self.received_s, self.sent_rad = [], [], []
        self.times_s, self.measured_rad = [], []
        self._clock = node.get_clock()
        node.create_subscription(ActionChunk, f"{NODE}/action_chunk", self._on_chunk, qos.CHUNK)
        node.create_subscription(JointState, "/joint_states", self._on_joints, qos.SENSOR)

    def _on_chunk(self, message):
        group = next(g for g in message.groups if g.action_key == "joint_position")
        self.sent_rad.append(group.data[0])
        self.received_s.append(self._clock.now().nanoseconds / 1e9)
        self.stamps_s.append(_seconds(message.header.stamp))

    def _on_joints(self, message):
        self.times_s.append(_seconds(message.header.stamp))
        self.measured_rad.append(message.position[0])

    def rolled(self, statuses):
        """Indices of the chunks that begin after they were received, and have been passed since.

        Not those near a turn of the sweep, nor near a pause of a late machine: the plan changes
        there after the state was rolled.
        """
        stops_s = [_seconds(s.header.stamp) for s in list(statuses) if s.mode != "replaying"]
        times = zip(self.stamps_s, self.received_s, self.sent_rad, strict=False)
        newest_s = self.times_s[-1] if self.times_s else 0.0
        return [
            i
            for i, (at_s, received_s, sent_rad) in enumerate(times)
            if received_s < at_s < newest_s
            and abs(sent_rad) < RANGE_RAD / 2
            and not any(at_s - NEAR_S < stop_s < at_s + NEAR_S for stop_s in stops_s)
        ]


def _seconds(stamp):
    return stamp.sec + stamp.nanosec / 1e9


@NEEDS_ROBOT
def test_a_rolled_state_is_where_the_arm_is_at_the_chunk_s_stamp(rig):
    """The state of the observation itself would be a commit time and a latency behind."""
    assert SPEED_RAD_S * ROLLED_S > 2 * LAG_RAD, "a state that was not rolled is seen"
    chunks = Chunks(rig.node)
    rig.start_robot()
    rig.start_server(SWEEP)
    rig.move(roll_state="true")
    wait_until(lambda: len(chunks.rolled(rig.statuses)) >= 4, "four chunks with a rolled state")
    assert chunks.stamps_s[0] < chunks.received_s[0], "no latency was known before the first one"
    for i in chunks.rolled(rig.statuses):
        measured_rad = list(chunks.measured_rad)  # the times come first: there are as many at least
        times_s = chunks.times_s[: len(measured_rad)]
        there = float(np.interp(chunks.stamps_s[i], times_s, measured_rad))
        assert abs(chunks.sent_rad[i] - there) < LAG_RAD, f"chunk {i}"
    assert rig.change("deactivate")


@pytest.fixture
def relative_server():
    """The port of a server that makes all actions relative, the gripper's too."""
    policy = HoldPolicy(load_embodiment("franka_droid"))
    entry = policy.modality["action"]
    configs = tuple({**config, "rep": "RELATIVE"} for config in entry.action_configs)
    policy.modality = {**policy.modality, "action": replace(entry, action_configs=configs)}
    server = PolicyServer(policy, "B3", bind="tcp://127.0.0.1:0")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield int(server.address.rpartition(":")[2])
    server.stop()
    thread.join(LIMIT_S)
    server.close()


@pytest.mark.parametrize("roll_state", [True, False])
def test_the_check_that_a_query_makes_by_itself_refuses_a_gripper_that_is_relative(
    ros_domain, relative_server, roll_state
):
    """After a restart in motion no other check comes; nobody spins the node, so none comes here."""
    parameters = {"port": relative_server, "roll_state": str(roll_state).lower()}
    with policy_node(ros_domain, **parameters) as node:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        link = node._parts.server.link
        if roll_state:
            with pytest.raises(RefusedError, match="roll_state: .*gripper_position is relative"):
                link.query(lambda template: "filled", episode=1)
        else:
            assert link.query(lambda template: "filled", episode=1)[0] == "filled"
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "roll_state: the server's action gripper_position is relative"),
        ({"rtc": "auto"}, "roll_state: rtc counts steps from the observation's time"),
        (
            {"rtc": "auto", "sidecar_mode": "local"},
            "roll_state: rtc counts steps from the observation's time",
        ),
        ({"shadow": True}, "roll_state: in shadow the plan does not move the arm"),
        ({"roll_state": False}, ""),
    ],
)
def test_the_doctor_names_what_the_node_would_refuse(relative_server, given, words):
    """Before the node is started."""
    values = replace(DEFAULTS, port=relative_server, **{"roll_state": True, **given})
    rows = doctor_checks.server(load_embodiment("franka_droid"), values)
    failed = [row.text for row in rows if row.level == "fail"]
    assert len(failed) == bool(words)
    assert not words or words in failed[0]
