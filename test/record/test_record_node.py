"""The recorder as a process, over DDS: services, keys, takeover, SIGKILL and a full disk."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from ros_fixtures import DEPTH, call, collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
highlevel = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from gr00t_ros.msg import EpisodeEvent, PolicyStatus  # noqa: E402
from gr00t_ros.record.mcap_file import BEGIN, END  # noqa: E402
from gr00t_ros.record.node import POLICY  # noqa: E402
from gr00t_ros.record.recording import EMBODIMENT_FILE  # noqa: E402
from gr00t_ros.robot.files import find_embodiment, load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.srv import SetInstruction  # noqa: E402

EMBODIMENT = "franka_droid"
NODE = "/gr00t_record"
RECORD = ("-m", "gr00t_ros.record")
OPTIONS = ("--embodiment", EMBODIMENT, "--min-free-gb", "0.1")
S = 10**9


class Stand:
    """What a recorder sees: joints at 100 Hz, a description, and a policy node's status."""

    def __init__(self, node):
        self.node = node
        self.asked: list[str] = []
        self.refusal = ""
        self.events = collect(node, EpisodeEvent, f"{NODE}/events", qos.STATUS)
        self._joints = node.create_publisher(JointState, "/joint_states", DEPTH)
        self._status = node.create_publisher(PolicyStatus, "/gr00t_policy/status", qos.STATUS)
        description = node.create_publisher(String, "/robot_description", qos.STATUS)
        description.publish(String(data="<robot/>"))
        self.mode, self.episode, self.instruction = "ready", 0, "the policy's task"
        node.create_timer(0.01, self._send_joints)
        node.create_timer(0.1, self.say)
        for name in ("pause", "resume"):
            node.create_service(Trigger, f"/gr00t_policy/{name}", self._answerer(name))

    def say(self, mode="", episode=None):
        """Publish the status, with another mode or episode."""
        self.mode, self.episode = mode or self.mode, self.episode if episode is None else episode
        self._status.publish(
            PolicyStatus(mode=self.mode, episode=self.episode, instruction=self.instruction)
        )

    def _send_joints(self):
        message = JointState(name=["j"], position=[0.0])
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._joints.publish(message)

    def _answerer(self, name):
        def answer(_request, response):
            self.asked.append(name)
            response.success, response.message = not self.refusal, self.refusal
            if response.success and name == "pause":
                self.say("paused_by_operator")
            elif response.success:
                self.say("replaying", self.episode + 1)
            return response

        return answer

    def ask(self, name, kind=Trigger, **request):
        """The answer of one of the recorder's services."""
        return call(self.node, kind, f"{NODE}/{name}", kind.Request(**request))

    def start(self, instruction=""):
        """Begin an episode once the recorder receives everything."""
        assert self.ask("start", SetInstruction, instruction=instruction).success

    def joined(self):
        """Wait until the recorder reads the joints and the status."""
        topics = ("/joint_states", "/gr00t_policy/status", "/robot_description")
        wait_for_discovery(
            lambda: all(self.node.count_subscribers(topic) > 0 for topic in topics), "a recorder"
        )

    def wait_for(self, *names):
        """Wait for these events to have come, in this order, and return the last one."""

        def last():
            left = list(names)
            for event in list(self.events):
                if left and event.event == left[0]:
                    left.pop(0)
                if not left:
                    return event
            return None

        return wait_until(last, f"events {names}")


@pytest.fixture
def stand(ros_node):
    """Everything that is recorded."""
    return Stand(ros_node)


def facts_of(folder, index=0):
    """The content of episode.json, once it is there."""
    path = folder / f"episode_{index:06d}" / "episode.json"
    wait_until(path.exists, str(path))
    return json.loads(path.read_text())


def read(folder, index=0):
    """Topic -> (bag time, message) of an episode, by rosbags' own reader."""
    found: dict[str, list] = {}
    with highlevel.AnyReader([folder / f"episode_{index:06d}"]) as reader:
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((time_ns, message))
    return found


def test_an_episode_by_services(processes, stand, tmp_path):
    """The folder's format, pre-roll, latched topics, events, a label, and a discarded episode."""
    folder = tmp_path / "recording"
    recorder = processes.start(*RECORD, str(folder), *OPTIONS, name="record")
    stand.joined()
    first_ns = stand.node.get_clock().now().nanoseconds
    wait_until(lambda: stand.node.get_clock().now().nanoseconds > first_ns + 2 * S, "2 s")
    stand.start("open the door")
    assert "episode 0 is open" in stand.ask("start", SetInstruction).message
    stand.wait_for("start")
    stand.say("replaying", 1)
    stand.wait_for("start", "source")
    assert stand.ask("success").success
    assert stand.ask("failure").success, "on second thought"
    wait_until(lambda: facts_of(folder)["success"] is False, "the second label")
    stand.start()
    assert stand.ask("discard").success
    assert "no episode is open" in stand.ask("stop").message
    stand.start()
    stand.instruction = "another"
    wait_until(lambda: stand.events[-1].text == "another", "an episode of the new instruction")
    assert recorder.stop() == 0

    assert (folder / EMBODIMENT_FILE).read_bytes() == find_embodiment(EMBODIMENT).read_bytes()
    facts = facts_of(folder)
    assert facts | {"start_ns": 0, "stop_ns": 0, "sources": 0} == {
        "index": 0,
        "instruction": "open the door",
        "outcome": "kept",
        "success": False,
        "start_ns": 0,
        "stop_ns": 0,
        "sources": 0,
        "interventions": [],
        "dropped": {},
        "robot": load_embodiment(EMBODIMENT).tag,
        "policy_node": "/gr00t_policy",
    }
    assert [name for _, name in facts["sources"]] == ["idle", "policy"]
    found = read(folder)
    times = [time_ns for time_ns, _ in found["/joint_states"]]
    assert times == sorted(times) and times[-1] <= facts["stop_ns"]
    before_s = (facts["start_ns"] - times[0]) / S
    assert 0.0 < before_s <= 1.5, "the history of an observation, and its age"
    for time_ns, message in found["/joint_states"]:
        stamp_ns = message.header.stamp.sec * S + message.header.stamp.nanosec
        assert stamp_ns <= time_ns <= facts["stop_ns"], "bag time is the time of receipt"
    assert [message.data for _, message in found["/robot_description"]] == ["<robot/>"]
    events = [(m.event, m.source, m.episode) for _, m in found[f"{NODE}/events"]]
    assert events == [("start", "idle", 0), ("source", "policy", 0), ("success", "policy", 0)]
    assert facts_of(folder, 1)["outcome"] == "discarded"
    assert facts_of(folder, 1)["instruction"] == "open the door", "none was given"
    assert facts_of(folder, 2)["instruction"] == "open the door"
    assert facts_of(folder, 3)["instruction"] == "another", "of the policy node, in the middle"


def test_a_takeover_pauses_the_policy_and_every_moment_has_its_source(processes, stand, tmp_path):
    """An episode of the policy node; a refused pause is no takeover."""
    folder = tmp_path / "recording"
    processes.start(*RECORD, str(folder), *OPTIONS, "--episodes", POLICY, name="record")
    stand.joined()
    stand.say("replaying", 1)
    stand.wait_for("start")
    stand.refusal = "there is no motion to pause"
    answer = stand.ask("intervene", SetBool, data=True)
    assert answer.message == "/gr00t_policy/pause: there is no motion to pause"
    stand.refusal = ""
    assert stand.ask("intervene", SetBool, data=True).success
    stand.wait_for("start", "intervene")
    stand.wait_for("start", "source")
    assert stand.ask("intervene", SetBool, data=False).success
    stand.wait_for("start", "intervene", "resume", "source")
    assert stand.asked == ["pause", "pause", "resume"]
    stand.say("waiting")
    assert stand.wait_for("start", "intervene", "resume", "stop").text
    facts = facts_of(folder)
    names = [name for _, name in facts["sources"]]
    assert [name for name in names if name != "idle"] == ["policy", "human", "policy"]
    ((from_ns, to_ns),) = facts["interventions"]
    human = [time_ns for time_ns, name in facts["sources"] if name == "human"]
    assert from_ns <= human[0] <= to_ns
    assert facts["instruction"] == "the policy's task"


@pytest.mark.parametrize("chunk", [False, True])
def test_a_killed_recorder_leaves_episodes_that_are_recovered(processes, stand, tmp_path, chunk):
    """What was finished stays; the open one is named, repaired and kept."""
    folder = tmp_path / "recording"
    recorder = processes.start(*RECORD, str(folder), *OPTIONS, "--teleop", name="record")
    stand.joined()
    stand.start("first")
    assert stand.ask("success").success
    facts_of(folder)
    stand.start("second")
    path = folder / "episode_000001" / "episode_000001_0.mcap"
    before = len(BEGIN + END) if chunk else 0
    wait_until(lambda: path.exists() and path.stat().st_size > before, str(path))
    recorder.signal(signal.SIGKILL)
    recorder.wait()
    info = processes.start(*RECORD, "info", str(folder), name="info")
    assert info.wait() == 1
    assert f"episode_000001; if no recorder runs: gr00t record recover {folder}" in info.text()
    recover = processes.start(*RECORD, "recover", str(folder), name="recover")
    assert recover.wait() == 0
    facts = facts_of(folder, 1)
    assert facts_of(folder)["success"] is True
    if facts["outcome"] == "discarded":
        assert not chunk and "holds no message" in recover.text()
        return
    assert "recovered; kept, success unknown" in recover.text()
    assert (facts["instruction"], facts["success"], facts["outcome"]) == ("second", None, "kept")
    assert facts["sources"] == [[facts["start_ns"], "human"]]
    found = read(folder, 1)
    assert len(found["/joint_states"]) > 10
    info = processes.start(*RECORD, "info", str(folder), "--json", name="json")
    assert info.wait() == 0
    assert [one["finished"] for one in json.loads(info.text())["episodes"]] == [True, True]


def test_a_remapped_topic_is_recorded_under_the_name_of_the_embodiment_file(
    processes, stand, tmp_path
):
    """So the recording is converted with the file beside it; nothing else has that name."""
    folder = tmp_path / "recording"
    remaps = ("--ros-args", "-r", "/joint_states:=/left/joint_states")
    left = stand.node.create_publisher(JointState, "/left/joint_states", DEPTH)
    stand.node.create_timer(0.01, lambda: left.publish(JointState(name=["left"], position=[1.0])))
    recorder = processes.start(*RECORD, str(folder), *OPTIONS, "--teleop", *remaps, name="record")
    wait_for_discovery(
        lambda: stand.node.count_subscribers("/left/joint_states") > 0, "the recorder"
    )
    stand.start()
    path = folder / "episode_000000" / "episode_000000_0.mcap"
    wait_until(lambda: path.exists() and path.stat().st_size > 0, str(path))
    assert stand.ask("stop").success
    assert recorder.stop() == 0
    found = read(folder)
    assert "/left/joint_states" not in found
    assert {tuple(message.name) for _, message in found["/joint_states"]} == {("left",)}


def test_a_disk_that_is_too_full_refuses_an_episode(processes, stand, tmp_path):
    """In the answer, on /diagnostics, and with what to do."""
    diagnostics = collect(stand.node, DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
    options = ("--embodiment", EMBODIMENT, "--min-free-gb", "1e6")
    processes.start(*RECORD, str(tmp_path / "recording"), *options, name="record")
    stand.joined()
    answer = stand.ask("start", SetInstruction)
    assert not answer.success
    assert "GB free, expected at least 1000000.00 (min_free_gb): delete" in answer.message
    found = wait_until(
        lambda: [s for array in list(diagnostics) for s in array.status if NODE[1:] in s.name],
        "diagnostics",
    )
    assert found[-1].level == b"\x02" and "min_free_gb" in found[-1].message


def test_keys_in_a_terminal_begin_and_end_episodes(stand, tmp_path, ros_domain):
    """The screen shows them; q ends the recorder, and the terminal is as before."""
    folder = tmp_path / "recording"
    ours, its = pty.openpty()
    command = [sys.executable, *RECORD, str(folder), *OPTIONS, "--teleop"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "60"}
    shown = ""

    def seen(text):
        nonlocal shown
        shown += os.read(ours, 65536).decode(errors="replace")
        return text in shown

    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as child:
        try:
            wait_until(lambda: seen("[space] take over"), "the screen")
            stand.joined()
            for key, then in (("b", "RECORDS EPISODE 0"), ("y", "last       episode 0")):
                os.write(ours, key.encode())
                wait_until(lambda then=then: seen(then), then)
            os.write(ours, b"x")
            wait_until(lambda: seen("key 'x' does nothing"), "the answer to an unknown key")
            os.write(ours, b"b")
            wait_until(lambda: seen("RECORDS EPISODE 1"), "the next episode")
            os.write(ours, b"q")
            wait_until(lambda: seen("2 episodes"), "the end")
            assert child.wait(30.0) == 0
        finally:
            child.kill()
    assert (facts_of(folder)["success"], facts_of(folder, 1)["outcome"]) == (True, "kept")
    assert facts_of(folder, 1)["sources"][0][1] == "human"


def test_a_recording_goes_on_in_its_folder_for_the_same_robot_only(processes, tmp_path):
    """One line says why not."""
    folder = tmp_path / "recording"
    folder.mkdir()
    (folder / EMBODIMENT_FILE).write_text("robot: another\n")
    recorder = processes.start(*RECORD, str(folder), *OPTIONS, name="record")
    assert recorder.wait() == 2
    assert "was recorded with another embodiment file" in recorder.text()
    assert (folder / EMBODIMENT_FILE).read_text() == "robot: another\n"
