"""The command player plays a window's values in time, and refuses windows that do not fit."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from builtin_interfaces.msg import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.commands import Commands
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.outputs import CommandOutput
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.sim.record import TimedRows, broken_commands
from gr00t_ros.stream.command_player import CommandPlayer
from gr00t_ros.stream.command_types import float64, twist, twist_stamped

MS = 1_000_000
FILE = Path(__file__).parents[2] / "config" / "embodiments" / "unitree_g1.yaml"
G1 = parse(yaml.safe_load(FILE.read_text()), FILE.name)
BASE, HEIGHT = G1.commands
OFFSET_NS = 5_000_000_000  # of ROS time to the plan clock


def window(rows, stamp_ns, names=BASE.names, step_ns=20 * MS):
    """The message of these rows, stamped in ROS time."""
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = to_time(stamp_ns + OFFSET_NS)
    message.points = [
        JointTrajectoryPoint(
            positions=list(map(float, row)), time_from_start=to_duration(k * step_ns)
        )
        for k, row in enumerate(rows)
    ]
    return message


RAMP = [[0.04, 0, 0], [0.02, 0, 0], [0, 0, 0]]
"""As fast as the file allows: 1 m/s^2."""


def playing(rows=RAMP, stamp_ns=1000 * MS, output=BASE, now_ns=1000 * MS):
    """A player that has accepted a window."""
    player = CommandPlayer(output, G1.command_limits)
    assert player.accept(window(rows, stamp_ns, output.names), OFFSET_NS, now_ns, now_ns) is None
    return player


def test_a_window_is_played_by_its_stamp_and_its_end_is_said_for_half_a_second():
    """Linear between its knots, then zero for a while, then the topic is free."""
    player = playing()
    values = [player.sample((1000 + t) * MS, (1000 + t) * MS) for t in (0, 10, 40, 500, 560)]
    np.testing.assert_allclose([v[0] for v in values[:4]], [0.04, 0.03, 0.0, 0.0])
    assert values[4] is None
    assert CommandPlayer(BASE, G1.command_limits).sample(0, 0) is None


def test_simulated_time_that_stands_still_ends_a_window_all_the_same():
    """A simulator that stopped publishing its clock must not keep a base in motion."""
    player = playing()
    assert player.sample(1000 * MS, 1000 * MS)[0] == pytest.approx(0.04)
    assert player.sample(1000 * MS, 1040 * MS)[0] == 0.0


def test_simulated_time_that_is_slow_is_followed():
    """A quarter as fast as this machine's: a window is not played ahead of the robot's time."""
    player = playing()
    for passed in range(0, 41, 5):
        now_ns, steady_ns = (1000 + passed) * MS, (1000 + 4 * passed) * MS
        assert player.sample(now_ns, steady_ns)[0] == pytest.approx(0.04 - passed / 1000)


@pytest.mark.parametrize("ticks", [1, 2, 5, 10])
def test_between_the_messages_of_a_slow_clock_no_window_is_played_to_and_fro(ticks):
    """A tenth of this machine's speed; the values change by the rate of the robot's time."""
    player = CommandPlayer(BASE, G1.command_limits)
    said, steady_ns = [], 0
    for now_ns in range(0, 600 * MS, 4 * MS):
        for tick in range(ticks):
            if now_ns % (100 * MS) == 0 and tick == 0:
                hill_now = window([[0.02 * k, 0, 0] for k in (*range(20), *range(20, -1, -1))], 0)
                assert player.accept(hill_now, OFFSET_NS, now_ns, steady_ns) is None
            said.append((now_ns, player.sample(now_ns, steady_ns)[0]))
            steady_ns += 40 * MS // ticks
    values = np.array([value for now_ns, value in said if now_ns < 400 * MS])
    assert (np.diff(values) >= 0.0).all(), "up the hill, never back"
    each = [[v for t, v in said if t == now_ns][-1] for now_ns in range(0, 600 * MS, 4 * MS)]
    later = np.diff(each)[15:]  # its pace is known by then
    assert np.abs(later).max() <= 1.1 * G1.command_limits.rate[0] * 8e-3


def test_a_clock_that_runs_back_lets_a_window_end_by_steady_time():
    """The velocity falls to zero as if the clock went on."""
    player = playing()
    assert player.sample(1010 * MS, 1010 * MS)[0] == pytest.approx(0.03)
    assert player.sample(10 * MS, 1030 * MS)[0] == pytest.approx(0.01)
    assert player.sample(20 * MS, 1040 * MS)[0] == 0.0


def test_a_tool_is_not_faster_along_all_axes_together_than_it_may_be():
    """A window beyond the length is refused; one that comes late is approached within it."""
    panda = load_embodiment("libero_panda")
    (servo,), limits = panda.commands, panda.command_limits
    along, about = limits.vectors
    turns = [0.99 * about.speed, 0.99 * about.speed, 0, 0, 0, 0]
    player = CommandPlayer(servo, limits)
    assert "servo about its axes: got" in player.accept(
        window([[*turns[2:5], *turns[:3]], [0] * 6], 0, servo.names), OFFSET_NS, 0, 0
    )
    most = 0.99 * along.speed / np.sqrt(3.0)
    rows = [[most] * 3 + [0.0] * 3] * 5 + [[0.0] * 6]
    assert player.accept(window(rows, 0, servo.names), OFFSET_NS, 0, 0) is None
    said = np.array([player.sample(t * MS, t * MS) for t in range(0, 80, 5)])
    changes = np.linalg.norm(np.diff(said[:, :3], axis=0), axis=1)
    assert changes.max() <= 1.1 * along.rate * 5e-3 + 1e-9


@pytest.mark.parametrize("late_ms", [5, 20, 50])
def test_a_tool_that_is_late_stays_inside_its_length(late_ms):
    """What is sent between two windows of allowed velocities is checked by nobody else."""
    panda = load_embodiment("libero_panda")
    (servo,), limits = panda.commands, panda.command_limits
    turns = limits.within(
        np.array([[0, 0, 0, 1.438, 1.336, -1.548], [0, 0, 0, 0.18, 1.662, -1.859]], float)
    )
    player = CommandPlayer(servo, limits)
    rows = [turns[0] * k / 30 for k in range(31)] + [turns[0]] * 10 + [np.zeros(6)]
    assert player.accept(window(rows, 0, servo.names), OFFSET_NS, 0, 0) is None
    for t in range(0, 700, 5):
        player.sample(t * MS, t * MS)
    other = [turns[1]] * 10 + [np.zeros(6)]
    now_ns = (700 + late_ms) * MS
    assert player.accept(window(other, 700 * MS, servo.names), OFFSET_NS, now_ns, now_ns) is None
    said = player.sample(now_ns, now_ns)
    assert 2.3 < np.linalg.norm(said[3:]) <= 2.5 + 1e-9


def hill(top, stamp_ns, first=0.0):
    """A window that rises by the rate from `first`, to `top`, and falls to zero."""
    rows = [first]
    while rows[-1] < top:
        rows.append(min(rows[-1] + 0.02, top))
    while rows[-1] > 0.0:
        rows.append(max(rows[-1] - 0.02, 0.0))
    return window([[row, 0, 0] for row in rows], stamp_ns)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.02, 0.5), st.integers(0, 300), st.booleans()), max_size=8),
    st.integers(0, 60),
)
def test_no_late_or_lost_window_and_no_late_call_changes_a_velocity_beyond_its_rate(sent, slept_ms):
    """But to zero, which is a stop. A tenth is spared; a call that slept counts 0.1 s at most."""
    player, told, now_ms = playing(), [], 1000
    for number, (top, late_ms, lost) in enumerate(sent):
        made_ms = 1000 + 60 * number
        first = max(0.0, min(0.5, top - 0.1))
        for _ in range(3):
            now_ms += 20 + (slept_ms if number == 2 else 0)
            told.append((now_ms, player.sample(now_ms * MS, now_ms * MS)))
        if not lost:
            stamp_ns = (made_ms + 60 - late_ms) * MS
            player.accept(hill(top, stamp_ns, first), OFFSET_NS, now_ms * MS, now_ms * MS)
    for (before_ms, before), (after_ms, after) in pairwise(told):
        if before is None or after is None or not after.any():
            continue
        most = 1.0 * min(after_ms - before_ms, 100) / 1000 * 1.1 + 1e-9
        assert np.abs(after - before).max() <= most


def test_a_streamer_that_begins_in_the_middle_of_a_motion_ramps_up():
    """It does not know what the base does: from zero, as far as a tenth of a second allows."""
    player = CommandPlayer(BASE, G1.command_limits)
    moving = hill(0.5, 1000 * MS, 0.5)
    assert player.accept(moving, OFFSET_NS, 1000 * MS, 1000 * MS) is None
    first, second = (player.sample(t * MS, t * MS)[0] for t in (1000, 1020))
    assert first == pytest.approx(0.11) and second == pytest.approx(0.132)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1500), st.floats(0.3, 0.74)), min_size=1, max_size=4),
    st.integers(0, 500),
)
def test_no_late_first_window_of_a_motion_is_a_step_of_a_level(motions, late_ms):
    """Nor after a rest in which the topic was free: it goes on from the level that was left."""
    rate = G1.command_limits.rate[G1.command_limits.names.index(HEIGHT.names[0])]
    player, told, now_ms, level = CommandPlayer(HEIGHT, G1.command_limits), [], 1000, 0.7
    for rest_ms, goal in motions:
        now_ms += rest_ms
        way = np.linspace(level, goal, 2 + int(abs(goal - level) / (rate * 0.02)))
        stamp_ns = (now_ms - late_ms) * MS
        player.accept(
            window([[at] for at in way], stamp_ns, HEIGHT.names),
            OFFSET_NS,
            now_ms * MS,
            now_ms * MS,
        )
        for _ in range(150):
            now_ms += 20
            value = player.sample(now_ms * MS, now_ms * MS)
            level = level if value is None else value[0]
            told.append(level)
    assert np.abs(np.diff([0.7, *told])).max() <= rate * 0.02 * 1.1 + 1e-9


def test_a_stop_is_zero_for_velocities_and_leaves_a_height():
    """What SIGTERM makes of each kind."""
    player = playing()
    player.stop(1010 * MS, 1010 * MS)
    assert player.sample(1011 * MS, 1011 * MS).tolist() == [0.0, 0.0, 0.0]
    height = playing([[0.702], [0.7]], output=HEIGHT)
    height.stop(1010 * MS, 1010 * MS)
    assert height.sample(1030 * MS, 1030 * MS).tolist() == pytest.approx([0.701])


def moving_tool():
    """A player whose tool moves with 0.43 m/s; the window goes on for a second."""
    panda = load_embodiment("libero_panda")
    (servo,), limits = panda.commands, panda.command_limits
    most = np.array([0.25] * 3 + [0.0] * 3)
    rise = [most * k / 10 for k in range(11)]
    rows = [*rise, *[most] * 50, *rise[::-1]]
    player = CommandPlayer(servo, limits)
    assert player.accept(window(rows, 0, servo.names), OFFSET_NS, 0, 0) is None
    said = [player.sample(t * MS, t * MS) for t in range(0, 301, 5)]
    np.testing.assert_allclose(said[-1], most)
    return player, limits.vectors[0], servo


@pytest.mark.parametrize("clock_stands", [False, True])
def test_a_streamer_that_ends_brings_a_tool_to_rest_inside_its_limits(clock_stands):
    """What SIGTERM makes of it, tick by tick, until nothing moves; also on simulated time."""
    player, along, _ = moving_tool()
    said = [player.sample(300 * MS, 300 * MS)]
    for t in range(305, 1500, 5):
        at = (300 if clock_stands else t) * MS, t * MS
        player.stop(*at)
        said.append(player.sample(*at))
        if not player.moves(*at):
            break
    assert not said[-1].any(), "it is at rest before its time runs out"
    changes = np.linalg.norm(np.diff(np.array(said)[:, :3], axis=0), axis=1)
    assert changes.max() <= along.rate * 5e-3 + 1e-7


def clocks(rate, step_ms, stands_ms=(0, 0)):
    """Plan time (ns) of each 20 ms of steady time: slow, in steps; it stands between two times."""
    plan_ms = 0.0
    for steady_ms in range(0, 30_000, 20):
        if not stands_ms[0] <= steady_ms < stands_ms[1]:
            plan_ms += 20 * rate
        yield int(plan_ms // step_ms * step_ms) * MS + 1000 * MS, steady_ms * MS


@pytest.mark.parametrize(
    ("rate", "step_ms", "stands_ms"),
    [
        *((rate, step_ms, (0, 0)) for rate in (1.0, 0.25, 0.1) for step_ms in (4, 10, 50)),
        (1.0, 4, (300, 3000)),  # in motion: the stop comes then, and the clock runs again
        (1.0, 4, (560, 3000)),  # in the ramp of the stop
    ],
)
def test_a_tool_follows_the_nodes_windows_and_its_stop_inside_the_limits(rate, step_ms, stands_ms):
    """A window at each tick of the node, whatever the clock does; then rest, and nothing more."""
    panda = load_embodiment("libero_panda")
    (servo,), limits = panda.commands, panda.command_limits.only(panda.commands[0].names)
    node = Commands(limits, 20 * MS, 400 * MS)
    player, told = CommandPlayer(servo, panda.command_limits), []
    rows = np.array([[0.25 * (-1) ** (k // 4)] * 3 + [0.0] * 3 for k in range(40)])
    chunk = ActionChunk(0, 1, 1000 * MS, 50 * MS, np.zeros((40, 1)), rows)
    node.follow(chunk, limits.within(rows))
    stopped = False
    for now_ns, steady_ns in clocks(rate, step_ms, stands_ms):
        if not stopped and (now_ns >= 1500 * MS or steady_ns == 1000 * MS and stands_ms[0]):
            stopped = True
            node.stop()
        made = node.window(now_ns, 0)
        if made is not None:
            node.keep()
            message = window(made.values, made.stamp_ns, servo.names)
            assert player.accept(message, OFFSET_NS, now_ns, steady_ns) is None
        values = player.sample(now_ns, steady_ns)
        if values is not None:
            told.append((steady_ns if stands_ms[0] else now_ns, values))
    sent = TimedRows(np.array([at for at, _ in told]), np.array([values for _, values in told]))
    assert stopped and node.at_rest and not sent.values[-1].any()
    assert broken_commands(sent, limits) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (window([[np.nan, 0, 0], [0, 0, 0]], 1000 * MS), "NaN"),
        (window([[0.6, 0, 0], [0, 0, 0]], 1000 * MS), "lin_vel_x: got 0.6000 at point 0"),
        (window([[0.1, 0, 0]], 1000 * MS), "at the end, expected zero"),
        (window(RAMP, 2000 * MS), "ahead of this clock"),
        (window(RAMP, 100 * MS), "s ago, expected one to come"),
        (window(RAMP, 1000 * MS, step_ns=0), "do not increase"),
        (window(RAMP, 1000 * MS, ("a", "b", "c")), "doesn't match"),
        (window([], 1000 * MS), "no points"),
    ],
)
def test_an_unfit_window_is_refused_and_the_one_before_it_plays_on(message, expected):
    """No value reaches the robot that its file does not allow, and none that stays."""
    player = playing()
    assert expected in player.accept(message, OFFSET_NS, 1010 * MS, 1010 * MS)
    assert player.sample(1020 * MS, 1020 * MS)[0] == pytest.approx(0.02)
    assert player.accepted == 1


def test_three_velocities_are_planar_and_six_are_all_of_a_twist():
    """x, y and about z; or x, y, z and about x, y, z, stamped in the output's frame."""
    planar = twist(BASE, np.array([1.0, 2.0, 3.0]), Time())
    assert (planar.linear.x, planar.linear.y, planar.linear.z) == (1.0, 2.0, 0.0)
    assert (planar.angular.x, planar.angular.y, planar.angular.z) == (0.0, 0.0, 3.0)
    servo = CommandOutput("eef", "twist_stamped", "/twist", tuple("abcdef"), "base_link")
    stamped = twist_stamped(servo, np.arange(6.0), Time(sec=7))
    assert stamped.header.stamp.sec == 7
    assert stamped.header.frame_id == "base_link"
    linear, angular = stamped.twist.linear, stamped.twist.angular
    assert [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z] == list(range(6))
    assert float64(HEIGHT, np.array([0.7]), Time()).data == 0.7
