"""The real gr00t_streamer over real DDS follows its windows, whatever process dies or errs."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from ros_fixtures import collect, wait_for_discovery, wait_until
from streamer_child import STREAMER

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.msg import ControllerState
from gr00t_ros.ros.qos import COMMAND, SENSOR
from gr00t_ros.ros.windows import parse_trajectory, to_duration, to_time

NAMES = ("a", "b")
START = np.array([0.1, -0.2])
LEAD_S = 2.0  # a window waits so long at the start, while the streamer may still be found
PARAMETERS = "joints:=[a,b] window_topic:=/windows command_topic:=/commands".split()


def swing(now_ns, seconds=1.5):
    """A message: rest for LEAD_S, then both joints on minimum-jerk curves of their own."""
    u = np.clip(np.arange(0.0, LEAD_S + seconds + 0.01, 0.02) - LEAD_S, 0.0, seconds) / seconds
    q = 10 * u**3 - 15 * u**4 + 6 * u**5
    v = (30 * u**2 - 60 * u**3 + 30 * u**4) / seconds
    a = (60 * u - 180 * u**2 + 120 * u**3) / seconds**2
    size, square = 0.3, -0.2
    position = START + np.column_stack([size * q, square * q**2])
    velocity = np.column_stack([size * v, square * 2 * q * v])
    acceleration = np.column_stack([size * a, square * 2 * (v**2 + q * a)])
    message = JointTrajectory(joint_names=list(NAMES))
    message.header.stamp = to_time(now_ns)
    message.points = [
        JointTrajectoryPoint(
            positions=position[k].tolist(),
            velocities=velocity[k].tolist(),
            accelerations=acceleration[k].tolist(),
            time_from_start=to_duration(k * 20_000_000),
        )
        for k in range(len(u))
    ]
    return message


def path(messages):
    """Times (N,) ns and positions (N, 2) every ms: what the controller's model makes of windows."""
    windows = [parse_trajectory(message, NAMES, 0) for message in messages]
    first_ns, last_ns = windows[0].stamp_ns, max(window.end_ns for window in windows)
    times_ns = np.arange(first_ns, last_ns + 2_000_000, 1_000_000)
    positions = np.full((len(times_ns), 2), np.nan)
    for window in windows:
        model = JtcSampler(2, interpolate_from_desired_state=True)
        model.accept(window, window.stamp_ns, window.positions[0])
        for index in np.flatnonzero(times_ns >= window.stamp_ns):
            positions[index] = model.sample(int(times_ns[index]))[0]
    return times_ns, positions


def times_on(curve, points):
    """Where on the path each point lies, (N,) ns; fails for a point that is not on it."""
    times_ns, positions = curve
    a, way = positions[:-1], np.diff(positions, axis=0)
    square = np.maximum((way**2).sum(axis=1), 1e-30)
    found, after_ns = [], 0
    for point in points:
        part = np.clip(((point - a) * way).sum(axis=1) / square, 0.0, 1.0)
        off = np.abs(a + part[:, None] * way - point).max(axis=1)
        at_ns = times_ns[:-1] + part * 1e6
        fits = np.flatnonzero((off < 2e-6) & (at_ns >= after_ns - 1e5))
        assert len(fits), f"{point} is not on the windows' path, {off.min():.1e} rad beside it"
        after_ns = at_ns[fits[0]]
        found.append(after_ns)
    return np.array(found)


def assert_without_steps(curve, received):
    """Points lie on the path in order, none ahead of its time, no faster than the path's own."""
    received = list(received)  # it still grows
    points = np.array([point for _, point in received])
    times_ns = times_on(curve, points)
    ahead_ns = times_ns - np.array([at_ns for at_ns, _ in received])
    assert ahead_ns.max() < 2e6
    seconds = np.diff(times_ns) * 1e-9
    moved = seconds > 1e-4
    speed = np.abs(np.diff(points, axis=0))[moved] / seconds[moved, None]
    fastest = np.abs(np.diff(curve[1], axis=0)).max() * 1e3
    assert speed.max() <= fastest * 1.01
    assert np.abs(np.diff(points, axis=0)[~moved]).max(initial=0.0) < 1e-4 * fastest + 1e-5


class Bench:
    """The robot and the eyes of the tests: joint states out, everything else collected."""

    def __init__(self, node, processes, *more):
        self.node = node
        self.received = []
        node.create_subscription(
            Float64MultiArray,
            "/commands",
            lambda m: self.received.append((time.time_ns(), np.array(m.data))),
            1000,
        )
        self.diagnostics = collect(node, DiagnosticArray, "/diagnostics")
        self.states = collect(node, ControllerState, "/gr00t_streamer/controller_state", SENSOR)
        self.windows = node.create_publisher(JointTrajectory, "/windows", COMMAND)
        self.joints = node.create_publisher(JointState, "/joint_states", 1)
        options = [word for one in (*PARAMETERS, *more) for word in ("-p", one)]
        self.streamer = processes.start(STREAMER, "--ros-args", *options, name="streamer")

    def measure(self, position=START):
        """Publish joint states from now on."""
        state = JointState(name=["b", "other", "a"], position=[position[1], 9.0, position[0]])
        self.tell((self.joints, state))

    def tell(self, *told):
        """Publish each (publisher, joint state) from now on, in this order every time.

        None of them speaks before the streamer can hear all.
        """
        for publisher, _ in told:
            wait_for_discovery(publisher.get_subscription_count, "the streamer's ear for joints")

        def publish():
            for publisher, state in told:
                state.header.stamp = to_time(time.time_ns())
                publisher.publish(state)

        return self.node.create_timer(0.01, publish)

    def send(self, message):
        """Publish a window once the streamer can hear it."""
        wait_for_discovery(self.windows.get_subscription_count, "the streamer's subscription")
        self.windows.publish(message)

    def begin(self):
        """Have a window accepted and its points streamed; returns the window."""
        self.measure()
        wait_until(lambda: self.said("waiting for the first window"), "a measured position")
        message = self.played()
        # what streams is one of the windows sent: the last one replaces all
        self.send(message)
        return message

    def played(self, now_ns=time.time_ns):
        """Send first windows from `now_ns()` on until one is played; returns the last one sent."""
        sent = []

        def is_played():
            sent.append(swing(now_ns()))
            self.send(sent[-1])
            end = time.monotonic() + 0.2
            while not self.received and time.monotonic() < end:
                time.sleep(0.01)
            return self.received

        wait_until(is_played, "a window that is played")
        return sent[-1]

    def moving(self, message):
        """Wait until the motion itself is under way."""
        first = np.array(message.points[0].positions)
        wait_until(lambda: np.abs(self.received[-1][1] - first).max() > 0.05, "motion")

    def ended(self, goal):
        """Wait until the end has been streamed again and again."""
        wait_until(
            lambda: all(np.array_equal(p, goal) for _, p in self.received[-20:]), f"rest at {goal}"
        )

    def said(self, text):
        """Whether the newest diagnostics say `text`."""
        return bool(self.diagnostics) and self.diagnostics[-1].status[0].message == text

    def value(self, key):
        """The newest diagnostic value of that name."""
        values = [v for m in self.diagnostics for s in m.status for v in s.values if v.key == key]
        return values[-1].value if values else None


@pytest.fixture
def bench(ros_node, processes):
    """A streamer process that waits for its first window."""
    made = Bench(ros_node, processes)
    made.streamer.wait_for_line("waiting for windows on /windows")
    return made


def test_streams_what_the_controllers_model_says_and_holds_the_end(bench):
    """Every point is a sample of the window; its end is held, and told on controller_state."""
    message = bench.begin()
    goal = np.array(message.points[-1].positions)
    bench.moving(message)
    bench.ended(goal)
    assert_without_steps(path([message]), bench.received)
    wait_until(lambda: bench.states and bench.states[-1].reference.positions.tolist() == [*goal],
               "the held position on controller_state")  # fmt: skip
    np.testing.assert_allclose(bench.states[-1].feedback.positions, START)
    wait_until(lambda: bench.value("lateness p50/p99/max us"), "diagnostics")


def test_the_policy_node_may_start_only_once_the_joints_were_proven(bench, ros_node):
    """Its first windows would be refused before: the heartbeat is what an activation waits for."""
    beats = collect(ros_node, String, "/windows/alive", SENSOR)
    wait_for_discovery(lambda: ros_node.count_publishers("/windows/alive"), "the heartbeat's topic")
    wait_until(lambda: len(bench.diagnostics) > 2, "a streamer that runs")
    assert not beats
    bench.measure()
    wait_until(lambda: beats, "a heartbeat")


def test_plays_the_tail_when_the_policy_node_is_killed_in_mid_motion(bench, processes, ros_node):
    """On to the end of the last window's stop tail without a step, then hold."""
    sent = collect(ros_node, JointTrajectory, "/windows", 1000)
    bench.measure()
    wait_until(lambda: bench.said("waiting for the first window"), "a measured joint state")
    here = str(Path(__file__).parents[1] / "fixtures" / "window_child.py")
    child = processes.start(here, "/windows", *map(str, START), name="policy")
    wait_for_discovery(lambda: bench.received and sent, "a window that is played")
    bench.received.clear()  # the streamer may have received windows before the test did: at rest
    child.signal(signal.SIGUSR1)
    wait_until(lambda: bench.received, "the next point")
    bench.moving(sent[0])
    child.signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    wait_until(lambda: len({tuple(p) for _, p in bench.received[-50:]}) == 1, "rest")
    bench.ended(np.array(sent[-1].points[-1].positions))
    assert np.abs(np.array(sent[-1].points[10].velocities)).max() > 0.05, "it was not moving"
    assert_without_steps(path(sent), bench.received)


def test_windows_that_are_rejected_leave_the_motion_untouched(bench):
    """NaN, a jump, strange joints, a moving end, an end in the past: each refused with its why."""
    message = bench.begin()
    bench.moving(message)
    for spoil in (_nan, _jump, _strange, _moving_end, _past):
        before = bench.streamer.text().count("rejected window")  # the first may have come too soon
        bench.send(spoil(swing(time.time_ns())))
        wait_until(lambda n=before: bench.streamer.text().count("rejected window") > n, "its why")
    bench.ended(np.array(message.points[-1].positions))
    assert_without_steps(path([message]), bench.received)
    log = bench.streamer.text()
    for why in ("NaN", "jump of a", "'c' doesn't match", "final velocity", "in the past"):
        assert why in log, why
    wait_until(lambda: int(bench.value("windows rejected") or 0) >= 5, "the count in diagnostics")


def _nan(message):
    message.points[30].positions = [float("nan"), 0.0]
    return message


def _jump(message):
    for point in message.points:
        point.positions = (np.array(point.positions) + [0.9, 0.0]).tolist()
    return message


def _strange(message):
    message.joint_names = ["c", "b"]
    return message


def _moving_end(message):
    message.points[-1].velocities = [0.1, 0.0]
    return message


def _past(message):
    message.header.stamp = to_time(1_000_000_000)
    return message


def test_publishes_nothing_before_a_first_window_that_begins_where_the_robot_is(bench):
    """Without joint states, and away from them, there is no first window."""
    bench.send(swing(time.time_ns()))
    bench.streamer.wait_for_line("rejected window: first window: no joint state of a, b on ")
    bench.measure(START + [0.03, 0.0])
    wait_until(
        lambda: bench.send(swing(time.time_ns())) or "jump of a" in bench.streamer.text(),
        "the jump to be refused",
    )
    wait_until(lambda: bench.value("windows rejected"), "diagnostics")
    assert bench.received == []
    assert bench.value("windows accepted") == "0"
    # the node is told where a first window has to begin, and that it may
    wait_until(lambda: bench.states, "a state before the first window")
    np.testing.assert_allclose(bench.states[-1].reference.positions, START + [0.03, 0.0])
    wait_until(lambda: bench.states[-1].speed_scaling_factor == 1.0, "a streamer that may start")


def a_zero():
    """A joint_state_publisher's message: zero for every joint."""
    return JointState(name=["a", "b"], position=[0.0, 0.0])


def a_truth(*names):
    """A driver's message with where these joints are, by default all."""
    positions = dict(zip(NAMES, START, strict=True))
    return JointState(name=names or NAMES, position=[positions[n] for n in names or NAMES])


MIXED = "two publishers at once of a, b on /joint_states (test, test): stop one of them"


@pytest.mark.parametrize("zeros_first", [True, False])
def test_while_two_publishers_send_the_joints_no_first_window_is_played(
    bench, ros_node, zeros_first
):
    """Whoever is heard first, wherever the window begins; when one has left, it is played."""
    zeros = ros_node.create_publisher(JointState, "/joint_states", 1)
    both = [(zeros, a_zero()), (bench.joints, a_truth())]
    beats = collect(ros_node, String, "/windows/alive", SENSOR)
    timer = bench.tell(*(both if zeros_first else reversed(both)))
    windows = [swing(0), swing(0)]
    for point in windows[1].points:
        point.positions = (np.array(point.positions) - START).tolist()  # from zero
    told = []

    def refused():
        for message in windows:
            message.header.stamp = to_time(time.time_ns())
            bench.send(message)
        told[:] = [m for m in bench.diagnostics if m.status[0].message == MIXED]
        return len(told) > 6  # seconds, longer than one publisher alone has to be heard

    wait_until(refused, "seven warnings")
    assert f"rejected window: first window: {MIXED}" in bench.streamer.text()
    assert bench.received == [] and not beats
    assert {state.speed_scaling_factor for state in bench.states} == {0.0}

    ros_node.destroy_timer(timer)
    ros_node.destroy_publisher(zeros)
    message = bench.begin()
    bench.moving(message)
    bench.ended(np.array(message.points[-1].positions))
    assert_without_steps(path([message]), bench.received)


def test_a_second_publisher_of_the_joints_leaves_a_motion_as_it_is(bench, ros_node):
    """The player needs no measured position in motion; the diagnostics name the publishers."""
    zeros = ros_node.create_publisher(JointState, "/joint_states", 1)
    message = bench.begin()
    bench.tell((zeros, a_zero()))
    wait_until(lambda: bench.said(MIXED), "the second publisher's name")
    bench.ended(np.array(message.points[-1].positions))
    assert_without_steps(path([message]), bench.received)
    assert bench.states[-1].speed_scaling_factor == 1.0


@pytest.mark.parametrize("publishers", [1, 2])
def test_joints_that_come_in_several_messages_are_a_measured_position(bench, ros_node, publishers):
    """Of one publisher in turns, or of two with joints of their own."""
    second = ros_node.create_publisher(JointState, "/joint_states", 1)
    bench.tell((bench.joints, a_truth("a")),
               (second if publishers == 2 else bench.joints, a_truth("b")))  # fmt: skip
    wait_until(lambda: bench.said("waiting for the first window"), "a measured position")
    message = bench.played()
    np.testing.assert_allclose(bench.received[0][1], START)
    bench.ended(np.array(message.points[-1].positions))


def test_sigterm_in_mid_motion_plays_on_to_the_end(bench):
    """It leaves with status 0 when the window has been played, and not before."""
    message = bench.begin()
    bench.moving(message)
    bench.streamer.signal(signal.SIGTERM)
    assert bench.streamer.wait() == 0
    goal = np.array(message.points[-1].positions)
    wait_until(lambda: np.array_equal(bench.received[-1][1], goal), "the last point")
    assert_without_steps(path([message]), bench.received)


class SimulatedClock:
    """Simulated time, twice as fast as steady time, which tests stop and set."""

    def __init__(self, node):
        self.now_ns, self.runs = 0, False
        self._publisher = node.create_publisher(Clock, "/clock", 1)
        node.create_timer(0.005, self._tell)

    def _tell(self):
        if self.runs:
            self.now_ns += 10_000_000
            self._publisher.publish(Clock(clock=to_time(self.now_ns)))


def test_simulated_time_that_stops_and_jumps_moves_the_arm_by_no_step(ros_node, processes):
    """Before its first time there is no window; it pauses the points, and a jump moves none."""
    bench, clock = Bench(ros_node, processes, "use_sim_time:=true"), SimulatedClock(ros_node)
    bench.measure()
    wait_until(lambda: bench.said("use_sim_time: no time on /clock yet"), "no time")
    bench.send(swing(100_000_000_000))
    bench.streamer.wait_for_line("rejected window: begin: got 100.000 s in the future")
    clock.now_ns, clock.runs = 100_000_000_000, True
    wait_until(lambda: bench.said("waiting for the first window"), "the clock to be heard")
    message = bench.played(lambda: clock.now_ns - 50_000_000)
    bench.send(message)  # again, as in `begin`
    bench.moving(message)

    clock.runs = False
    wait_until(lambda: len({tuple(p) for _, p in bench.received[-40:]}) == 1, "a pause")
    goal = np.array(message.points[-1].positions)
    assert not np.array_equal(bench.received[-1][1], goal)
    paused_at = len(bench.received)
    clock.now_ns, clock.runs = 5_000_000_000, True
    bench.streamer.wait_for_line(r"the clock went back by [0-9]{2,3}\.[0-9]+ s")
    wait_until(lambda: np.abs(bench.received[-1][1] - bench.received[paused_at][1]).max() > 0.03,
               "motion after the jump")  # fmt: skip
    clock.now_ns += 100_000_000_000
    bench.streamer.wait_for_line(r"the clock went on by [0-9]{2,3}\.[0-9]+ s")
    bench.ended(goal)
    points = np.array([point for _, point in list(bench.received)])
    times_on(path([message]), points)
    # a point may come 0.1 s late, 0.2 s of this clock; a jump would be more than 0.1 rad
    assert np.abs(np.diff(points, axis=0)).max() < 0.08

    before = int(bench.value("windows accepted"))

    def accepted():
        stay = swing(clock.now_ns - 50_000_000)
        stay.points = [stay.points[0], stay.points[-1]]
        for point in stay.points:
            point.positions = goal.tolist()
        bench.send(stay)
        return int(bench.value("windows accepted")) > before

    wait_until(accepted, "a window of the new time")


def test_wrong_parameters_are_named(processes):
    """A rate outside its range, and joints that are not given."""
    child = processes.start("-m", "gr00t_ros.stream.joints", name="streamer")
    assert child.wait() != 0
    assert "joints: got nothing, expected" in child.text()
    options = [word for one in (*PARAMETERS, "rate_hz:=2000") for word in ("-p", one)]
    child = processes.start("-m", "gr00t_ros.stream.joints", "--ros-args", *options, name="fast")
    assert child.wait() != 0
    assert "rate_hz" in child.text()
