"""Commands stay inside range and rate; velocities are zero at each window's end and stop."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.commands import Commands
from gr00t_ros.motion.guard import Verdict, clamp_commands
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.limits import CommandLimits, VectorLimit

MS = 1_000_000
KNOT_NS, HORIZON_NS, STEP_NS = 20 * MS, 400 * MS, 50 * MS
LIMITS = CommandLimits(
    names=("vx", "height"),
    lower=np.array([-0.5, 0.5]),
    upper=np.array([0.5, 0.8]),
    rate=np.array([1.0, 0.1]),
    start=np.array([0.0, 0.74]),
    velocity=np.array([True, False]),
)


def chunk(rows, stamp_ns=0):
    """A chunk of these commands and no joints."""
    return ActionChunk(0, 0, stamp_ns, STEP_NS, np.zeros((len(rows), 0)), {}, np.array(rows))


def sent(commands, now_ns, lag_ns):
    """The window of that time, which then has left."""
    window = commands.window(now_ns, lag_ns)
    commands.keep()
    return window


def driving(vx=0.3, height=0.7, steps=40):
    """Commands that follow a constant chunk, ticked for half a second; the time and the windows."""
    commands = Commands(LIMITS, KNOT_NS, HORIZON_NS)
    one = chunk([[vx, height]] * steps)
    commands.follow(one, one.commands)
    return commands, [sent(commands, k * KNOT_NS, 0) for k in range(25)]


def test_nothing_is_said_before_the_first_chunk():
    """A robot that nobody commands yet is not told to hold either."""
    assert sent(Commands(LIMITS, KNOT_NS, HORIZON_NS), 0, 0) is None


def test_a_command_is_approached_at_its_rate_and_then_held():
    """Velocity from zero, height from its start, each by what its rate allows in a knot."""
    _, windows = driving()
    first = windows[0].values
    np.testing.assert_allclose(first[0], [0.0, 0.74])
    np.testing.assert_allclose(first[1], [0.02, 0.738])
    np.testing.assert_allclose(windows[-1].values[0], [0.3, 0.7], atol=1e-12)


def test_every_window_leaves_velocities_at_zero_and_levels_where_they_are():
    """Whoever plays the last window of a node that died stops the base, at the rate."""
    _, windows = driving()
    for window in windows:
        assert window.values[-1, 0] == 0.0
        assert np.abs(np.diff(window.values[:, 0])).max() <= 0.02 + 1e-12
    assert windows[-1].values[-1, 1] == windows[-1].values[20, 1]
    assert windows[-1].times_ns[-1] <= HORIZON_NS + 0.3 * 1e9 + KNOT_NS


def test_a_stop_is_zero_at_once_is_repeated_and_then_silent():
    """Zero on any fault; the height keeps what it has just been told."""
    commands, windows = driving()
    at_ns = 25 * KNOT_NS
    told = windows[-1].values[1]
    commands.stop()
    stopped = [sent(commands, at_ns + k * KNOT_NS, 0) for k in range(40)]
    said = [w for w in stopped if w is not None]
    assert 10 <= len(said) < 40
    for window in said:
        np.testing.assert_allclose(window.values, [[0.0, told[1]]])
    assert stopped[len(said)] is None


def test_at_a_chunks_end_the_base_comes_to_rest_and_nothing_more_is_said():
    """Silence of the server drives nobody on."""
    commands = Commands(LIMITS, KNOT_NS, HORIZON_NS)
    one = chunk([[0.3, 0.7]] * 10)
    commands.follow(one, one.commands)
    windows = [sent(commands, k * KNOT_NS, 0) for k in range(100)]
    last = max(k for k, window in enumerate(windows) if window is not None)
    assert windows[last].values[0, 0] == 0.0
    # 10 steps of 50 ms, then 0.3 m/s at 1 m/s^2
    assert 39 <= last <= 41
    commands.stop()
    assert sent(commands, 101 * KNOT_NS, 0) is None


def test_a_velocity_is_that_of_its_whole_step_and_a_level_is_between_two():
    """A delta spread over its step is executed once, neither more nor less."""
    fast = CommandLimits(*(getattr(LIMITS, n) for n in ("names", "lower", "upper")),
                         np.array([1e3, 1e3]), LIMITS.start, LIMITS.velocity)  # fmt: skip
    commands = Commands(fast, KNOT_NS, HORIZON_NS)
    rows = [[0.1, 0.70], [0.2, 0.80], [0.0, 0.80]]
    one = chunk(rows, stamp_ns=10 * MS)
    commands.follow(one, one.commands)
    window = sent(commands, 0, 0)
    at = dict(zip(window.times_ns // MS, window.values.tolist(), strict=True))
    assert [at[t][0] for t in (20, 40, 60, 80, 100, 120, 180)] == [0.1, 0.1, 0.2, 0.2, 0.2, 0, 0]
    np.testing.assert_allclose([at[t][1] for t in (20, 40, 60)], [0.72, 0.76, 0.80])


def test_commands_lag_with_the_joints():
    """A reference that was slowed down for an arm is slowed down for the base too."""
    ours, theirs = (Commands(LIMITS, KNOT_NS, HORIZON_NS) for _ in range(2))
    one, later = chunk([[0.0, 0.74]] * 4 + [[0.3, 0.74]] * 36), None
    ours.follow(one, one.commands)
    theirs.follow(one, one.commands)
    now, later = sent(ours, 0, 0), sent(theirs, 0, 100 * MS)
    np.testing.assert_allclose(later.values[5:21], now.values[:16])


ROWS = st.lists(st.tuples(*[st.floats(-3, 3)] * 2), min_size=1, max_size=12)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(ROWS, st.integers(1, 30), st.booleans()), min_size=1, max_size=6))
def test_what_is_commanded_stays_inside_range_and_rate_whatever_comes(events):
    """Chunks of any values at any time: as played, no value leaves range or rate but by a stop."""
    commands, knot = Commands(LIMITS, KNOT_NS, HORIZON_NS), 0
    accepted = Verdict(True, False, "", "", 0, None)
    before = LIMITS.start
    for rows, ticks, stop in events:
        one = chunk(rows, knot * KNOT_NS)
        verdict = clamp_commands(accepted, one.commands, LIMITS)
        commands.follow(one, verdict.commands)
        for _ in range(ticks):
            window = sent(commands, knot * KNOT_NS, 0)
            knot += 1
            if window is None:
                continue
            np.testing.assert_allclose(window.values[0], before, atol=1e-12)
            assert np.all(window.values >= LIMITS.lower - 1e-12)
            assert np.all(window.values <= LIMITS.upper + 1e-12)
            steps = np.abs(np.diff(window.values, axis=0))
            assert np.all(steps <= LIMITS.rate * 0.02 + 1e-12)
            assert window.values[-1, 0] == 0.0
            before = window.values[min(1, len(window.values) - 1)]
        if stop:
            commands.stop()
            sent(commands, knot * KNOT_NS, 0)
            before = np.array([0.0, before[1]])


def test_a_command_outside_its_range_is_clamped_and_named():
    """Whatever its size (control.md 3, base command); joints that were clamped are named first."""
    accepted = Verdict(True, False, "", "", 0, None)
    verdict = clamp_commands(accepted, np.array([[0.1, 0.7], [9.0, 0.7]]), LIMITS)
    assert (verdict.accepted, verdict.clamped, verdict.kind) == (True, True, "command")
    assert verdict.reason == "vx, step 1: got 9.0000, limits -0.5000 to 0.5000"
    assert verdict.commands.tolist() == [[0.1, 0.7], [0.5, 0.7]]
    inside = clamp_commands(accepted, np.array([[0.1, 0.7]]), LIMITS)
    assert (inside.clamped, inside.reason) == (False, "")
    joints = Verdict(True, True, "position", "joint1: clamped", 0, None)
    verdict = clamp_commands(joints, np.array([[9.0, 0.7]]), LIMITS)
    assert (verdict.kind, verdict.reason) == ("position", "joint1: clamped")


def test_commands_that_are_no_numbers_or_too_few_are_refused():
    """The wire's checks come before; nothing that slips through them reaches a base."""
    accepted = Verdict(True, False, "", "", 0, None)
    for wrong in (np.array([[np.nan, 0.7]]), np.zeros((3, 1))):
        verdict = clamp_commands(accepted, wrong, LIMITS)
        assert not verdict.accepted
        assert verdict.joints is None
        assert verdict.kind == "command"


def test_of_what_nobody_knows_where_it_is_nothing_is_said_before_the_first_value():
    """A gripper neither opens nor closes on a guess; then each value holds at once, and stays."""
    gripper = replace(
        LIMITS,
        start=np.array([0.0, np.nan]),
        rate=np.array([1.0, 1e9]),
        lower=np.array([-0.5, 0.0]),
    )
    commands = Commands(gripper, KNOT_NS, HORIZON_NS)
    commands.stop()
    assert sent(commands, 0, 0) is None
    one = chunk([[0.3, 0.08]] * 4 + [[0.3, 0.0]] * 40)
    commands.follow(one, one.commands)
    commands.stop()
    assert np.isnan(sent(commands, 0, 0).values[:, 1]).all(), "it was never asked"
    commands.follow(one, one.commands)
    window = sent(commands, KNOT_NS, 0)
    assert window.values[0, 1] == 0.08
    assert window.values[-1, 1] == 0.0
    commands.stop()
    assert sent(commands, 2 * KNOT_NS, 0).values.tolist() == [[0.0, 0.08]]


def test_a_window_that_did_not_leave_is_no_part_of_the_course():
    """The next one goes on from what was sent, and a stop is said as often as if nothing was."""
    commands, other = driving()[0], driving()[0]
    commands.window(25 * KNOT_NS, 0)
    for at_ns in (26 * KNOT_NS, 27 * KNOT_NS):
        np.testing.assert_array_equal(sent(commands, at_ns, 0).values, sent(other, at_ns, 0).values)
    commands.stop()
    for k in range(30):
        commands.window((28 + k) * KNOT_NS, 0)
        assert not commands.at_rest
    assert len([1 for k in range(40) if sent(commands, (60 + k) * KNOT_NS, 0) is not None]) == 25


def test_of_two_outputs_the_one_whose_window_left_goes_on_and_the_other_as_it_was_sent():
    """A process that stops between two messages: each of them is told the truth afterwards."""
    commands = driving()[0]
    before = commands._rows[:, 1].copy()
    new = chunk([[-0.5, 0.5]] * 40, 25 * KNOT_NS)
    commands.follow(new, new.commands)
    window = commands.window(25 * KNOT_NS, 0)
    commands.keep(np.array([True, False]))
    np.testing.assert_array_equal(commands._rows[: len(window.values), 0], window.values[:, 0])
    np.testing.assert_array_equal(commands._rows[: len(before) - 1, 1], before[1:])


AXES = ("x", "y", "z")
TOOL = CommandLimits(
    (*AXES, "level"),
    lower=np.array([-0.3, -0.3, -0.3, 0.0]),
    upper=np.array([0.3, 0.3, 0.3, 1.0]),
    rate=np.array([2.0, 2.0, 2.0, 1.0]),
    start=np.zeros(4),
    velocity=np.array([True, True, True, False]),
    vectors=(VectorLimit("tool along its axes", AXES, 0.4, 2.5),),
)
TOOL_ROWS = st.lists(st.tuples(*[st.floats(-1, 1)] * 4), min_size=1, max_size=12)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(TOOL_ROWS, st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=6)
)
def test_a_tools_speed_and_its_change_stay_inside_their_lengths_whatever_comes(events):
    """Three axes that are each inside their limits may together be faster than the tool may.

    So do they at stops, also at one that the next chunk ends.
    """
    commands, knot, before = Commands(TOOL, KNOT_NS, HORIZON_NS), 0, np.zeros(3)
    accepted = Verdict(True, False, "", "", 0, None)
    for rows, ticks, stopped in events:
        one = chunk(rows, knot * KNOT_NS)
        commands.follow(one, clamp_commands(accepted, one.commands, TOOL).commands)
        for tick in range(ticks + stopped):
            if tick == ticks:
                commands.stop()
            window = sent(commands, knot * KNOT_NS, 0)
            knot += 1
            if window is None:
                continue
            assert np.linalg.norm(window.values[0, :3] - before) <= 2.5 * 0.02 + 1e-9
            before = window.values[min(1, len(window.values) - 1), :3]
            speeds = np.linalg.norm(window.values[:, :3], axis=1)
            changes = np.linalg.norm(np.diff(window.values[:, :3], axis=0), axis=1)
            assert speeds.max() <= 0.4 + 1e-9 and changes.max(initial=0.0) <= 2.5 * 0.02 + 1e-9
            assert not window.values[-1, :3].any()


def test_a_stop_of_a_tool_is_a_ramp_and_over_once_enough_windows_were_zero():
    """From 0.4 m/s at 2.5 m/s^2: 0.16 s. A base beside it would be zero at once."""
    commands = Commands(TOOL, KNOT_NS, HORIZON_NS)
    one = chunk([[0.0, 0.0, 0.3, 0.5]] * 40)
    commands.follow(one, one.commands)
    for k in range(25):
        sent(commands, k * KNOT_NS, 0)
    commands.stop()
    speeds = []
    while not commands.at_rest:
        window = sent(commands, (25 + len(speeds)) * KNOT_NS, 0)
        speeds.append(window.values[0, 2])
        assert not window.values[-1, :3].any()
    np.testing.assert_allclose(speeds[:7], [0.3, 0.26, 0.22, 0.18, 0.14, 0.1, 0.06], atol=1e-9)
    assert speeds[8:] == [0.0] * 5  # 2 m/s^2 of the axis, the tighter one


@pytest.mark.parametrize("refresh_ns", [10 * MS, KNOT_NS])
@pytest.mark.parametrize("lost", range(11))
def test_every_change_is_sent_once_more_than_windows_may_be_lost(lost, refresh_ns):
    """The zeros of a stop, and a chunk's last level, before the base counts as at rest."""
    commands = Commands(LIMITS, KNOT_NS, HORIZON_NS, lost_windows=lost)
    one = chunk([[0.3, 0.7]] * 10)
    commands.follow(one, one.commands)
    chosen = ReplaySettings(refresh_ns=refresh_ns, lost_windows=lost)
    ticks = range(0, chosen.rounds_ns, refresh_ns)  # at least: the guard refuses what ends sooner
    windows = [sent(commands, now_ns, 0) for now_ns in ticks]
    assert not any(commands.at_rest or window is None for window in windows)
    commands.stop()
    zeros = 0
    while not commands.at_rest:
        zeros += not sent(commands, chosen.rounds_ns + zeros * refresh_ns, 0).values[:, 0].any()
    assert zeros >= lost + 1


def test_a_stop_on_a_clock_that_stands_still_is_zero_a_second_after_the_clock_stopped():
    """Ticks of 20 ms go on. The second counts from the clock's last time, not from the stop."""
    commands = Commands(TOOL, KNOT_NS, HORIZON_NS)
    one = chunk([[0.0, 0.0, 0.3, 0.5]] * 40)
    commands.follow(one, one.commands)
    for k in range(25):
        sent(commands, k * KNOT_NS, 0)
    for _ in range(30):  # still followed, at the time of the last tick
        assert sent(commands, 24 * KNOT_NS, 0).values[0, 2] == 0.3
    commands.stop()
    ramp = [sent(commands, 24 * KNOT_NS, 0).values[:, 2] for _ in range(19)]
    assert all(rows[0] == 0.3 and rows[-1] == 0.0 for rows in ramp)
    rest = sent(commands, 24 * KNOT_NS, 0).values
    assert len(rest) == 1 and not rest[0, :3].any()
    for _ in range(4):
        assert not commands.at_rest
        sent(commands, 24 * KNOT_NS, 0)
    assert commands.at_rest


def test_a_tool_that_would_be_too_fast_keeps_its_direction_and_is_named():
    """Each axis alone is allowed."""
    accepted = Verdict(True, False, "", "", 0, None)
    verdict = clamp_commands(accepted, np.array([[0.3, 0.3, -0.3, 0.5]]), TOOL)
    assert verdict.reason == "tool along its axes, step 0: got 0.5196, limit 0.4000"
    third = 0.4 / np.sqrt(3.0)
    np.testing.assert_allclose(verdict.commands, [[third, third, -third, 0.5]])


def test_a_tool_moves_on_the_line_between_two_allowed_velocities():
    """Axis by axis it would leave the length in between: 0.4045 of 0.4."""
    before, target = np.array([0.1, 0.28, 0.267, 0.0]), np.array([[0.0, 0.3, 0.27, 0.0]])
    (target,) = TOOL.within(target)
    for seconds in (0.001, 0.01, 0.02, 0.04):
        reached = TOOL.towards(before, target, seconds)
        assert np.linalg.norm(reached[:3]) <= 0.4 + 1e-12
        assert (np.abs(reached - before) <= TOOL.rate * seconds + 1e-12).all()
    np.testing.assert_array_equal(TOOL.towards(before, target, 1.0), target)


VELOCITY = st.tuples(*[st.floats(-0.3, 0.3)] * 3)


@settings(max_examples=examples(200), deadline=None)
@given(VELOCITY, VELOCITY, st.floats(1e-4, 0.5), st.tuples(*[st.floats(0.1, 10)] * 3))
def test_no_velocity_between_two_allowed_ones_is_beyond_a_limit(first, last, seconds, rates):
    """Also where one axis may change much faster than another."""
    limits = replace(TOOL, rate=np.array([*rates, 1.0]))
    before, target = limits.within(np.array([[*first, 0.0], [*last, 0.5]]))
    reached = limits.towards(before, target, seconds)
    assert np.linalg.norm(reached[:3]) <= 0.4 + 1e-9
    assert (np.abs(reached - before) <= limits.rate * seconds + 1e-9).all()
    assert np.linalg.norm((reached - before)[:3]) <= 2.5 * seconds + 1e-9
