"""A gripper gets one goal at a time, only on a change, and keeps it at every stop.

The short tests have a driver in Python. The long one uses real actions over DDS, generated from
our own definitions. Nothing here was run against the real packages or a gripper.
"""

import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ros_fixtures import wait_for_discovery, wait_until
from stand_in_interfaces import gripper_actions  # noqa: F401

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from builtin_interfaces.msg import Time
from rclpy.task import Future
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.errors import SettingsError
from gr00t_ros.node.outputs import action_servers
from gr00t_ros.node.readiness import server_problems
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.files import find_embodiment
from gr00t_ros.ros.qos import COMMAND
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.stream.command_types import COMMAND_TYPES, GripperSender

FRANKA = {"switch": [0.03, 0.05], "speed": 0.1, "force": 30.0, "epsilon": [0.08, 0.07]}
ABORTED, CANCELED = 6, 5


def gripper_file(kind="franka_gripper", goals=FRANKA):
    """The DROID file with a gripper by goals, as a mapping."""
    content = yaml.safe_load(Path(find_embodiment("franka_droid")).read_text())
    (old,) = content["outputs"]["gripper"]["names"]
    content["outputs"]["gripper"] = {
        "type": kind,
        "topic": "/hand",
        "names": ["width"],
        "goals": goals,
    }
    content["action"]["gripper_position"] = {"output": "gripper", "scale": [0.08, 0.0]}
    del content["limits"][old]
    content["limits"]["width"] = {"range": [0.0, 0.08]}
    return content


class Driver:
    """Stands in for an action's client, its server and the fingers."""

    def __init__(self, cancels_first):
        self.cancels_first, self.ready, self.accepts = cancels_first, True, True
        self.goals, self.cancelled, self.results = [], [], []

    def of(self, position):
        """The goal is the position."""
        return self, position

    def server_is_ready(self):
        """As the test says."""
        return self.ready

    def send_goal_async(self, goal):
        """Answered at once."""
        self.goals.append(goal)
        self.results.append(Future())
        answer = Future()
        answer.set_result(Handle(self, len(self.results) - 1))
        return answer

    def end(self, index, status):
        """The goal of that number comes to its end."""
        self.results[index].set_result(type("Result", (), {"status": status}))


class Handle:
    """One accepted or refused goal."""

    def __init__(self, driver, index):
        self.accepted, self._driver, self._index = driver.accepts, driver, index

    def get_result_async(self):
        """Done when the test ends the goal."""
        return self._driver.results[self._index]

    def cancel_goal_async(self):
        """Only noted: the test says when it is done."""
        self._driver.cancelled.append(self._index)


class NoTimer:
    """A node without an executor: the test looks by itself."""

    def create_timer(self, *arguments, **more):
        """Never fires."""

    def get_logger(self):
        """Says nothing."""
        return self

    def error(self, *arguments, **more):
        """Says nothing."""

    warning = error


def sender(driver):
    """A sender of the Franka file with this driver."""
    robot = parse(gripper_file(), "it")
    (output,) = robot.commands
    return GripperSender(lambda *_: driver, NoTimer(), output, robot)


def ask(one, *widths):
    """Values of the stream, looked at after each."""
    for width in widths:
        one.send([width], Time())
        one._send_changed()


def test_goals_are_sent_on_change_and_never_before_a_value():
    """Fifty values a second, two goals."""
    driver = Driver(cancels_first=False)
    one = sender(driver)
    one._send_changed()
    assert driver.goals == []
    ask(one, *[0.08] * 50, *[0.04] * 50, *[0.0] * 50, 0.04, 0.03)
    assert driver.goals == [0.08, 0.0]


def test_a_driver_that_does_not_preempt_ends_the_running_goal_first():
    """Grasp waits for the end of move, and is sent once."""
    driver = Driver(cancels_first=True)
    one = sender(driver)
    ask(one, 0.08, 0.0, 0.0, 0.0)
    assert (driver.goals, driver.cancelled) == ([0.08], [0])
    driver.end(0, CANCELED)
    ask(one, 0.0, 0.0)
    assert driver.goals == [0.08, 0.0]


def test_a_goal_that_ended_is_not_asked_again_and_its_failure_is_told():
    """A grasp that met nothing has closed; asked again it would only squeeze again."""
    driver = Driver(cancels_first=True)
    one = sender(driver)
    ask(one, 0.0)
    driver.end(0, ABORTED)
    ask(one, 0.0, 0.0)
    assert driver.goals == [0.0]
    assert "gave up position 0" in one.problem
    ask(one, 0.08)
    assert (driver.goals, driver.cancelled, one.problem) == ([0.0, 0.08], [], "")


@pytest.mark.parametrize(("ready", "accepts"), [(False, True), (True, False)])
def test_a_goal_that_nobody_took_is_told_and_asked_again_later(ready, accepts, monkeypatch):
    """Without a server or refused: once a second, and the newest value by then."""
    driver = Driver(cancels_first=False)
    driver.ready, driver.accepts = ready, accepts
    one = sender(driver)
    ask(one, *[0.0] * 20)
    assert len(driver.goals) == (1 if ready else 0)
    assert "refused" in one.problem or "no server" in one.problem
    driver.ready = driver.accepts = True
    later_s = time.monotonic() + 1.1
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    ask(one, 0.08, 0.08)
    assert driver.goals[-1] == 0.08
    assert one.problem == ""


@pytest.mark.parametrize(("ready", "accepts"), [(False, True), (True, False)])
def test_a_goal_that_nobody_took_is_forgotten_when_the_policy_ends(ready, accepts, monkeypatch):
    """A driver that starts an hour later closes no fingers around a hand."""
    driver = Driver(cancels_first=False)
    driver.ready, driver.accepts = ready, accepts
    one = sender(driver)
    ask(one, *[0.0] * 5)
    asked = len(driver.goals)
    driver.ready = driver.accepts = True
    later_s = time.monotonic() + 3600.0
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    one._send_changed()
    assert len(driver.goals) == asked
    assert "refused" in one.problem or "no server" in one.problem
    ask(one, 0.08)
    assert driver.goals[asked:] == [0.08]


@pytest.mark.parametrize("cancels_first", [False, True])
def test_the_last_goal_reaches_a_driver_that_refused_it_while_it_moved(cancels_first, monkeypatch):
    """The stream ends 0.5 s after the last window; the hand must not stay closed."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    driver = Driver(cancels_first)
    one = sender(driver)
    ask(one, 0.0)
    driver.accepts = False
    ask(one, 0.08)
    if cancels_first:
        driver.end(0, CANCELED)
    for _ in range(40):
        now_s[0] += 0.1
        one._send_changed()
    driver.accepts = True
    now_s[0] += 1.1
    one._send_changed()
    assert (driver.goals[-1], one.problem) == (0.08, "")
    assert 4 <= len(driver.goals) <= 7
    one._send_changed()
    assert len(driver.goals) <= 7


def test_the_last_goal_is_sent_again_where_its_answer_was_lost(monkeypatch):
    """Two seconds after it, which is longer than a value is wanted without a driver."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    driver = Driver(cancels_first=False)
    answered, driver.send_goal_async = driver.send_goal_async, lambda goal: Future()
    one = sender(driver)
    ask(one, 0.08)
    driver.send_goal_async = answered
    for _ in range(21):
        now_s[0] += 0.1
        one._send_changed()
    assert driver.goals == [0.08]


def test_a_goal_that_was_refused_is_forgotten_where_the_driver_goes(monkeypatch):
    """The next driver that starts gets no goal of a policy that has ended."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    driver = Driver(cancels_first=False)
    driver.accepts = False
    one = sender(driver)
    ask(one, 0.08)
    driver.ready = False
    now_s[0] += 1.1
    one._send_changed()
    driver.ready = driver.accepts = True
    now_s[0] += 1.1
    one._send_changed()
    assert driver.goals == [0.08]


def test_a_driver_that_is_started_anew_gets_the_goal_that_is_wanted(monkeypatch):
    """It does not know the goal of the one before; while there is none, that is told."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    driver = Driver(cancels_first=True)
    one = sender(driver)
    ask(one, 0.0)
    driver.ready = False
    now_s[0] += 1.5
    ask(one, 0.0)
    assert (driver.goals, driver.cancelled) == ([0.0], [])
    assert "no server of action /hand: is the gripper's driver running?" in one.problem
    driver.ready = True
    now_s[0] += 1.5
    ask(one, 0.04, 0.0, 0.0)
    assert (driver.goals, driver.cancelled, one.problem) == ([0.0, 0.0], [], "")


def test_a_package_that_is_not_installed_is_named(processes, tmp_path):
    """The streamer ends with one line that says what to install."""
    file = tmp_path / "hand.yaml"
    file.write_text(yaml.safe_dump(gripper_file()))
    options = f"['--ros-args', '-p', 'embodiment:={file}']"
    child = processes.start(
        "-c",
        "import sys; sys.modules['franka_msgs'] = None; sys.modules['franka_msgs.action'] = None;"
        f"import gr00t_ros.stream.commands as s; sys.exit(s.main({options}))",
        name="streamer",
    )
    assert child.wait() == 2
    assert "franka_msgs: not installed here" in child.text()
    assert "frankarobotics/franka_ros2" in child.text()


@pytest.mark.parametrize("kind", ["gripper_command", "parallel_gripper_command"])
def test_without_control_msgs_the_output_the_package_and_another_way_are_named(monkeypatch, kind):
    """What was needed, for which output, where it comes from, and what needs no package."""
    monkeypatch.setitem(sys.modules, "control_msgs", None)
    monkeypatch.setitem(sys.modules, "control_msgs.action", None)
    robot = parse(gripper_file(kind, {"hysteresis": 0.01}), "it")
    node = SimpleNamespace(get_logger=lambda: None)
    make = COMMAND_TYPES[kind].sender
    with pytest.raises(SettingsError) as error:
        make(node, robot.commands[0], robot)
    for part in (
        f"output gripper, type {kind}: control_msgs: not installed here",
        "(apt: ros-<distro>-control-msgs), built and sourced before this node",
        "or command the gripper as a joint of a trajectory controller, type joint_trajectory",
    ):
        assert part in str(error.value)


class Hand:
    """Servers of all the actions of one kind of gripper, and what they were asked."""

    def __init__(self, node, kind):
        import control_msgs.action
        import franka_msgs.action
        from rclpy.action import ActionServer, CancelResponse
        from rclpy.callback_groups import ReentrantCallbackGroup

        self.goals = []
        served = {
            "franka_gripper": {
                "/hand/move": franka_msgs.action.Move,
                "/hand/grasp": franka_msgs.action.Grasp,
            },
            "gripper_command": {"/hand": control_msgs.action.GripperCommand},
            "parallel_gripper_command": {"/hand": control_msgs.action.ParallelGripperCommand},
        }[kind]
        self.servers = [
            ActionServer(
                node,
                action,
                name,
                partial(self._execute, action),
                cancel_callback=lambda _: CancelResponse.ACCEPT,
                callback_group=ReentrantCallbackGroup(),
            )
            for name, action in served.items()
        ]

    async def _execute(self, action, handle):
        self.goals.append(handle.request)
        handle.succeed()
        return action.Result()


FIELDS = {
    "franka_gripper": lambda g: (g.width, g.speed, getattr(g, "force", None)),
    "gripper_command": lambda g: (g.command.position, g.command.max_effort),
    "parallel_gripper_command": lambda g: (
        list(g.command.name), list(g.command.position), list(g.command.effort)
    ),
}  # fmt: skip
EXPECTED = {
    "franka_gripper": [(0.08, 0.1, None), (0.0, 0.1, 30.0)],
    "gripper_command": [(0.08, 20.0), (0.0, 20.0)],
    "parallel_gripper_command": [(["width"], [0.08], [20.0]), (["width"], [0.0], [20.0])],
}


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(FIELDS))
def test_windows_become_goals_over_real_actions(
    gripper_actions,  # noqa: F811
    ros_node,
    processes,
    tmp_path,
    kind,
):
    """Open, close, silence, SIGTERM: two goals, with all their fields, and not one more."""
    goals = FRANKA if kind == "franka_gripper" else {"switch": [0.03, 0.05], "effort": 20.0}
    file = tmp_path / "hand.yaml"
    file.write_text(yaml.safe_dump(gripper_file(kind, goals)))
    hand = Hand(ros_node, kind)
    needed = action_servers(ros_node, parse(gripper_file(kind, goals), "it"))
    wait_until(lambda: not server_problems(ros_node, needed), "servers that are seen")
    windows = ros_node.create_publisher(JointTrajectory, "/gr00t_policy/windows/gripper", COMMAND)
    options = ("--ros-args", "-p", f"embodiment:={file}")
    streamer = processes.start("-m", "gr00t_ros.stream.commands", *options, name="streamer")
    wait_for_discovery(windows.get_subscription_count, "a streamer that listens")
    for number, width in enumerate((0.08, 0.0)):
        message = JointTrajectory(joint_names=["width"])
        message.header.stamp = to_time(time.time_ns())
        message.points = [
            JointTrajectoryPoint(positions=[width], time_from_start=to_duration(ns))
            for ns in (0, 1_000_000_000)
        ]
        windows.publish(message)
        wait_until(lambda number=number: len(hand.goals) > number, f"goal {number}")
    streamer.signal(signal.SIGTERM)
    assert streamer.wait() == 0
    assert [FIELDS[kind](goal) for goal in hand.goals] == EXPECTED[kind]
    if kind == "franka_gripper":
        assert (hand.goals[1].epsilon.inner, hand.goals[1].epsilon.outer) == (0.08, 0.07)
