"""With LIBERO: what the moving tool does when camera, policy server or policy node fail.

One running simulation for all tests of this file, behind the fault relay. Each test waits until
the tool moves, breaks one thing and judges the simulation's own record, in simulated time.
"""

import signal
import sys

import numpy as np
import pytest
from ros_fixtures import LATE_MACHINE, call, collect, own_domain, spinning_node, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.time import Time  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from gr00t_ros.demo.bringup import Bringup, ros_arguments  # noqa: E402
from gr00t_ros.demo.libero import CAMERAS, EMBODIMENT  # noqa: E402
from gr00t_ros.msg import PolicyStatus  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.libero.commands import SILENCE_NS, STEP_NS  # noqa: E402
from gr00t_ros.sim.libero.extra import INSTALL, SUITE, libero_python, slow_time  # noqa: E402
from gr00t_ros.sim.libero.motion import TOOL, broken  # noqa: E402
from gr00t_ros.sim.record import load_record  # noqa: E402
from gr00t_ros.sim.sensors import SENSOR_OUT  # noqa: E402
from gr00t_ros.srv import InjectFault, ResetTask  # noqa: E402

pytestmark = [
    pytest.mark.skipif(libero_python() is None, reason=f"no LIBERO: {INSTALL}"),
    pytest.mark.timeout(240),
]

S = 1_000_000_000
MOVING_M_S, STILL_M_S = 0.05, 0.005
LIMIT_S = 60.0
CHUNK_NS = 16 * STEP_NS
"""All that a node without a new chunk has left to play."""
TAIL_NS = CHUNK_NS + SILENCE_NS + 6 * STEP_NS
"""From the last twist that counts the tool's spring is still in six of LIBERO's steps."""
WATCHED_NS = 4 * STEP_NS
"""The tool is watched for this long after it has to be still."""


class Loop:
    """LIBERO, relay, policy server, streamer and policy node; `complete` starts what is missing."""

    def __init__(self, node, folder):
        self._node, self._folder = node, folder
        self.bringup, self._port = Bringup(folder), 0
        self._poses = collect(node, PoseStamped, "/ee_pose", SENSOR_OUT)
        self.statuses = collect(node, PolicyStatus, "/gr00t_policy/status", qos.STATUS)

    def start(self):
        """Bring the simulation to the beginning of an episode, with its pictures relayed."""
        topics = [f"/camera/{name}/image_raw" for name in CAMERAS]
        record = {"record_path": str(self._folder / "record.npz")}
        robot = ros_arguments(record, [f"{topic}:=/sim{topic}" for topic in topics])
        self.bringup.start("robot", [sys.executable, "-m", "gr00t_ros.sim.libero.robot", *robot])
        none = {"joint_state_topics": [""], "pose_topics": [""]}
        self.bringup.start_node("relay", {"image_topics": topics, **none})
        self.complete_server()
        request = ResetTask.Request(suite=SUITE, task=0, episode=0, seed=0)
        answer = call(self._node, ResetTask, "/libero/reset_task", request, LIMIT_S)
        assert answer.success, answer.message
        self._instruction = answer.instruction
        self.bringup.start_node("commands", {"embodiment": EMBODIMENT, "use_sim_time": True})

    def complete_server(self):
        """The policy server, always on the same port."""
        if "sidecar" in self.bringup.children:
            return
        module = "gr00t_ros.sim.libero.policy"
        self.bringup.start("sidecar", [sys.executable, "-m", module, "--port", str(self._port)])
        self._port = self.bringup.port("sidecar", LIMIT_S)

    def wait_for_motion(self):
        """Start what is missing, and wait until chunks are replayed and the tool moves."""
        self.complete_server()
        if "policy" not in self.bringup.children:
            own = {"embodiment": EMBODIMENT, "use_sim_time": True, "port": self._port}
            told = {"instruction": self._instruction, **slow_time(), **LATE_MACHINE}
            self.bringup.start_node("policy", own | told)
            self.bringup.stop("autostart")
            self.bringup.start_node("autostart", {})
        moving = "mode replaying and a moving tool"
        self.wait(lambda: self.mode == "replaying" and self.speed_m_s > MOVING_M_S, moving)

    @property
    def mode(self):
        """Of the newest status."""
        return self.statuses[-1].mode if self.statuses else ""

    @property
    def now_ns(self):
        """The newest simulated time that was seen."""
        return Time.from_msg(self._poses[-1].header.stamp).nanoseconds

    @property
    def speed_m_s(self):
        """From the poses of the last control step."""
        rows = [
            (Time.from_msg(pose.header.stamp).nanoseconds * 1e-9, *_place(pose))
            for pose in self._poses[-6:]
        ]
        if len(rows) < 6 or rows[-1][0] <= rows[0][0]:
            return 0.0
        way = np.subtract(rows[-1], rows[0])
        return float(np.linalg.norm(way[1:]) / way[0])

    def kill(self, role):
        """SIGKILL to one process; returns the simulated time of it."""
        child = self.bringup.children.pop(role)
        child.send_signal(signal.SIGKILL)
        child.wait(10.0)
        return self.now_ns

    def inject(self, stream, fault):
        """Inject a fault into a camera; returns the simulated time of it."""
        request = InjectFault.Request(stream=stream, fault=fault)
        answer = call(self._node, InjectFault, "/gr00t_sim_relay/inject_fault", request)
        assert answer.success, answer.message
        return self.now_ns

    def wait(self, condition, what):
        """As wait_until; the failure shows what the node said."""
        try:
            return wait_until(condition, what, LIMIT_S)
        except pytest.fail.Exception as failure:
            said = [f"{s.mode}: {s.reason}" for s in self.statuses[-200:]]
            pytest.fail("\n".join([str(failure), *dict.fromkeys(said)]))

    def assert_at_rest(self, broken_ns, within_ns):
        """The tool moved when it broke, is still after `within_ns`, and broke no limit."""
        still_ns = broken_ns + within_ns
        self.wait(lambda: self.now_ns > still_ns + WATCHED_NS, "simulated time")
        assert call(self._node, Trigger, "/libero/save_record", Trigger.Request()).success
        record = load_record(self._folder / "record.npz")
        rows = record.commands[TOOL]
        speed_m_s = np.linalg.norm(rows.values[:, 7:10], axis=1)
        before = (rows.time_ns > broken_ns - 4 * STEP_NS) & (rows.time_ns <= broken_ns)
        after = (rows.time_ns > still_ns) & (rows.time_ns <= still_ns + WATCHED_NS)
        fast = rows.time_ns[(speed_m_s > STILL_M_S) & (rows.time_ns > broken_ns)]
        print(f"moved until {(fast.max(initial=broken_ns) - broken_ns) / S:.2f} s after the fault")
        assert speed_m_s[before].max() > MOVING_M_S
        assert after.sum() > 50 and speed_m_s[after].max() < STILL_M_S
        assert not broken(record, load_embodiment(EMBODIMENT).command_limits)


def _place(pose):
    place = pose.pose.position
    return place.x, place.y, place.z


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """The one bring-up of this file."""
    folder = tmp_path_factory.mktemp("libero_loop")
    with own_domain() as domain, spinning_node(domain) as node:
        loop = Loop(node, folder)
        try:
            loop.start()
            yield loop
        finally:
            roles = tuple(loop.bringup.children)
            loop.bringup.end()
            for role in roles:
                print(f"--- {role}\n{loop.bringup.log(role)[-3000:]}")


def test_a_frozen_camera_pauses_the_node_and_the_tool_rests(loop):
    """The same picture with the same stamp again and again; the pause names the camera."""
    loop.wait_for_motion()
    frozen_ns = loop.inject("/camera/front/image_raw", "freeze")
    loop.wait(lambda: loop.mode == "paused", "the pause")
    assert "image" in loop.statuses[-1].reason
    age_ns = round(slow_time()["max_camera_age_s"] * S)
    try:
        loop.assert_at_rest(frozen_ns, age_ns + TAIL_NS)
        assert loop.mode == "paused"
    finally:
        loop.inject("/camera/front/image_raw", "none")


def test_a_killed_policy_server_pauses_the_node_and_the_tool_rests(loop):
    """What is left of the last chunk is played; then the node pauses until the server is back."""
    loop.wait_for_motion()
    loop.assert_at_rest(loop.kill("sidecar"), TAIL_NS)
    loop.wait(lambda: loop.mode == "paused", "the pause")


def test_the_tool_rests_when_the_policy_node_is_killed(loop):
    """Nobody commands: the last window ends, then the robot's own time without a twist."""
    loop.wait_for_motion()
    loop.assert_at_rest(loop.kill("policy"), TAIL_NS)
