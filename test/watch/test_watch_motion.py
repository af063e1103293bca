"""An arm that does not follow, or a controller that does not play our plan, is found."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.watch.arm import (
    ControllerLate,
    StreamerLife,
    TrackingError,
    WorkspaceBox,
    controller_clock,
    controller_silent,
    earlier_window,
    joints_late,
    reference_against_plan,
    speed_scaling,
)
from gr00t_ros.watch.finding import RESET, Reaction

MS = 1_000_000
NAMES = ("fr3_joint1", "fr3_joint2", "gripper")
ZERO = np.zeros(3)


class Limits(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.names)


LIMITS = Limits(names=NAMES, held=np.array([0.05, 0.05, np.inf]))


def away(joint: int, by_rad: float):
    """Positions with one joint away from zero."""
    position = np.zeros(3)
    position[joint] = by_rad
    return position


def tracked(measured, until_ns: int, start_ns: int = 0):
    """What is found at last when the arm stands at `measured` from `start_ns` on."""
    watch, found = TrackingError(LIMITS), None
    for now_ns in [*range(start_ns, start_ns + until_ns, 20 * MS), start_ns + until_ns]:
        found = watch.check(now_ns, ZERO, measured)
    return found


@pytest.mark.parametrize("joint", [0, 1])
@pytest.mark.parametrize("by_rad", [-0.1001, 0.1001, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("for_ns", "faults"), [(0, False), (200 * MS, False), (200 * MS + 1, True), (400 * MS, True)]
)
def test_a_joint_that_stays_away_faults_by_name(joint, by_rad, for_ns, faults) -> None:
    """To either side, or nowhere; the time itself is allowed."""
    found = tracked(away(joint, by_rad), for_ns, 3 * MS)
    assert (found is not None) is faults
    if found is not None:
        assert (found.watch, found.reaction) == ("tracking_error", Reaction.FAULT)
        assert found.reason == (
            f"{NAMES[joint]}: commanded 0.0000, measured {by_rad:.4f} rad or m, "
            f"more than 0.100 apart for {for_ns / 1e9:.2f} s, at most 0.20 s allowed; "
            f"free the arm, then {RESET}"
        )


@pytest.mark.parametrize("by_rad", [0.1, -0.1, 0.0])
def test_a_joint_within_the_limit_may_stay_there(by_rad) -> None:
    """The limit itself is allowed."""
    assert tracked(away(0, by_rad), 1000 * MS) is None


@pytest.mark.parametrize("by_rad", [0.8, np.nan])
def test_an_exempt_joint_may_be_anywhere(by_rad) -> None:
    """A gripper around an object never reaches what it is commanded."""
    assert tracked(away(2, by_rad), 1000 * MS) is None


def test_a_joint_that_came_back_begins_anew() -> None:
    """Two short errors are not one long one."""
    watch, far = TrackingError(LIMITS), away(0, 0.2)
    for now_ms in range(0, 1000, 20):
        here = ZERO if now_ms % 200 == 180 else far
        assert watch.check(now_ms * MS, ZERO, here) is None


def test_each_joint_has_its_own_time() -> None:
    """Errors that wander from joint to joint are not one error."""
    watch = TrackingError(LIMITS)
    for now_ms in range(0, 1000, 20):
        assert watch.check(now_ms * MS, ZERO, away(now_ms // 100 % 2, 0.2)) is None


def test_the_joint_that_is_longest_away_is_named() -> None:
    """Not the one that is farthest."""
    watch = TrackingError(LIMITS)
    for now_ms in range(0, 220, 20):
        watch.check(now_ms * MS, ZERO, np.array([0.9 if now_ms else 0.0, 0.2, 0.0]))
    found = watch.check(220 * MS, ZERO, np.array([0.9, 0.2, 0.0]))
    assert found is not None and found.reason.startswith("fr3_joint2: ")


@pytest.mark.parametrize("gap_ns", [200 * MS + 1, 10**12, -1, -(10**12)])
def test_a_gap_or_time_that_went_back_begins_anew(gap_ns) -> None:
    """What nobody looked at is not known to have lasted."""
    watch, far = TrackingError(LIMITS), away(0, 0.2)
    start_ns = 10**13
    for now_ms in range(0, 200, 20):
        watch.check(start_ns + now_ms * MS, ZERO, far)
    resumed_ns = start_ns + 180 * MS + gap_ns
    assert watch.check(resumed_ns, ZERO, far) is None
    assert watch.check(resumed_ns + 200 * MS, ZERO, far) is None
    assert watch.check(resumed_ns + 200 * MS + 1, ZERO, far) is not None


@pytest.mark.parametrize(("limit_ms", "tick_ns"), [(20, 20_300_000), (50, 50_300_000)])
def test_ticks_further_apart_than_the_limit_find_a_blocked_arm_all_the_same(limit_ms, tick_ns):
    """The least tracking_error_s at the default rate, and a rate of 20 Hz: each tick jitters."""
    watch, far = TrackingError(LIMITS, limit_ns=limit_ms * MS), away(0, 0.2)
    found = [watch.check(k * tick_ns, ZERO, far) for k in range(5)]
    assert found[0] is None and None not in found[1:]


@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=30))
def test_no_arm_within_the_limit_ever_faults(errors) -> None:
    """However it moves."""
    watch = TrackingError(LIMITS)
    for i, error in enumerate(errors):
        assert watch.check(i * 50 * MS, ZERO, away(1, error)) is None


@given(st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3), st.booleans())
def test_only_the_difference_counts_wherever_the_arm_is(position, blocked) -> None:
    """An arm that follows never faults, one that is off by more than the limit does."""
    watch, commanded = TrackingError(LIMITS), np.array(position)
    measured = commanded + away(1, 0.11 if blocked else 0.09)
    found = [watch.check(ms * MS, commanded, measured) for ms in range(0, 260, 20)][-1]
    assert (found is not None) is blocked
    played = commanded + away(1, 0.0021 if blocked else 0.0019)
    assert (reference_against_plan(NAMES, played, commanded, ZERO) is not None) is blocked


def test_a_second_look_at_the_same_instant_is_no_gap() -> None:
    """Two ticks may see the same state of the controller."""
    watch, far = TrackingError(LIMITS), away(0, 0.2)
    found = [watch.check(ms * MS, ZERO, far) for ms in (0, 0, 100, 100, 200, 200, 210, 210)]
    assert found[:6] == [None] * 6 and None not in found[6:]


LOWER, UPPER = np.array([0.2, -0.4, 0.0]), np.array([0.7, 0.4, 0.6])
INSIDE = np.array([0.5, 0.0, 0.3])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("corner", [LOWER, UPPER])
@pytest.mark.parametrize(("beyond", "outside"), [(-1e-6, False), (0.0, False), (1e-6, True)])
def test_a_chunk_that_comes_outside_the_box_is_dropped(axis, corner, beyond, outside) -> None:
    """The sides belong to the box."""
    position = INSIDE.copy()
    position[axis] = corner[axis] + (beyond if corner is UPPER else -beyond)
    found = WorkspaceBox(LOWER, UPPER).see(position)
    assert (found is not None) is outside
    if found is not None:
        assert (found.watch, found.reaction) == ("workspace_box", Reaction.DROP)
        assert found.reason.startswith(
            f"end effector: {'xyz'[axis]} is {position[axis]:.3f} m, {LOWER[axis]:.3f} to "
            f"{UPPER[axis]:.3f} allowed, 1 chunks in a row; "
        )


@given(st.lists(st.booleans(), max_size=12))
def test_the_third_chunk_in_a_row_outside_the_box_faults(outside) -> None:
    """One inside begins the count anew; a position that is no number is outside."""
    watch, run = WorkspaceBox(LOWER, UPPER), 0
    for out in outside:
        found = watch.see(np.array([0.5, np.nan, 0.3]) if out else INSIDE)
        run = run + 1 if out else 0
        expected = (None, Reaction.DROP, Reaction.DROP, Reaction.FAULT)[min(run, 3)]
        assert (found and found.reaction) == expected


@pytest.mark.parametrize(
    ("age_ns", "faults"),
    [(None, False), (0, False), (500 * MS, False), (500 * MS + 1, True), (10**15, True)],
)
def test_a_controller_that_fell_silent_faults(age_ns, faults) -> None:
    """One that never told its state is not known to have fallen silent."""
    found = controller_silent("arm", "/arm/controller_state", age_ns)
    assert (found is not None) is faults
    if found is not None:
        assert (found.watch, found.reaction) == ("controller_silent", Reaction.FAULT)
        assert found.reason == (
            f"controller of arm: last state on /arm/controller_state is {age_ns / 1e9:.2f} s old, "
            f"at most 0.50 s allowed; activate the controller, then {RESET}"
        )


def test_a_streamer_that_fell_silent_faults_and_so_does_one_that_never_spoke() -> None:
    """The graph still lists one that was killed: only a heartbeat is a sign of life."""
    life = StreamerLife("base", "gr00t_command_streamer")
    found = life.silent(0, 500 * MS)
    assert (found.watch, found.reaction) == ("streamer_silent", Reaction.FAULT)
    assert found.reason == (
        "gr00t_command_streamer, which plays output base: nothing heard of it yet; "
        f"start the streamer, then {RESET}"
    )
    life.receive("first", 10 * MS)
    assert life.silent(510 * MS, 500 * MS) is None
    found = life.silent(510 * MS + 1, 500 * MS)
    assert "last heard 0.50 s ago, at most 0.50 s allowed" in found.reason


def test_a_streamer_that_was_started_again_faults_until_it_is_begun_with() -> None:
    """However quickly it came back: the new one has never played the window that was sent."""
    life = StreamerLife("base", "gr00t_command_streamer")
    life.receive("first", 0)
    life.begin()
    assert life.replaced() is None
    life.receive("second", 20 * MS)
    assert life.silent(20 * MS, 500 * MS) is None
    assert "started again" in life.replaced().reason
    for instance in ("second", "first"):  # which still runs: a second one does
        life.receive(instance, 40 * MS)
        assert life.replaced() is not None
    life.begin()
    assert life.replaced() is None


@pytest.mark.parametrize(
    ("factor", "faults"),
    [
        (1.0, False),
        (0.9991, False),
        (1.0009, False),
        (0.9989, True),
        (1.0011, True),
        (0.0, True),
        (-1.0, True),
        (100.0, True),
        (np.nan, True),
        (np.inf, True),
    ],
)
def test_a_speed_scaling_that_is_not_one_faults(factor, faults) -> None:
    """Rounding is let pass, percent and nonsense are not."""
    found = speed_scaling("arm", factor)
    assert (found is not None) is faults
    if found is not None:
        assert (found.watch, found.reaction) == ("speed_scaling", Reaction.FAULT)
        assert found.reason.startswith(f"controller of arm: speed scaling is {factor:g}, not 1; ")


@pytest.mark.parametrize(
    ("least_way_ms", "side"),
    [(0, ""), (50, ""), (-30, ""), (51, "after"), (-31, "before"), (1.7e12, "after")],
)
def test_a_controller_with_another_clock_gets_no_windows(least_way_ms, side) -> None:
    """It would play them at other times: what is allowed is what the commit time covers."""
    found = controller_clock("arm", "/arm/controller_state", round(least_way_ms * MS))
    assert (found is not None) is bool(side)
    if found is not None:
        assert (found.watch, found.reaction) == ("controller_clock", Reaction.PAUSE)
        assert found.stop_ramp_only
        assert f"arrives {abs(least_way_ms) / 1e3:.3f} s {side} its stamp, " in found.reason
        assert "synchronise the clocks" in found.reason


def test_a_controller_whose_clock_is_not_known_yet_gets_no_windows() -> None:
    """Nothing has diverged: what plays stops by its own windows."""
    found = controller_clock("arm", "/arm/controller_state", None)
    assert (found.watch, found.reaction) == ("controller_clock", Reaction.PAUSE)
    assert not found.stop_ramp_only
    assert "controller of arm: its clock is not known yet" in found.reason
    assert "/arm/controller_state" in found.reason


@pytest.mark.parametrize("joint", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("speed", "apart", "pauses"),
    [
        (0.0, 0.0, False),
        (0.0, 0.00199, False),
        (0.0, 0.00201, True),
        (1.0, 0.00699, False),
        (1.0, 0.00701, True),
        (-1.0, 0.00699, False),
        (-1.0, 0.00701, True),
        (0.0, np.nan, True),
        (np.nan, 0.0, True),
    ],
)
def test_a_controller_that_plays_something_else_pauses(joint, sign, speed, apart, pauses) -> None:
    """Two milliradians and five milliseconds of the joint's speed, to either side."""
    found = reference_against_plan(
        NAMES, away(joint, sign * apart), np.zeros(3), away(joint, speed)
    )
    assert (found is not None) is pauses
    if found is not None:
        assert (found.watch, found.reaction) == ("reference_against_plan", Reaction.PAUSE)
        assert found.reason.startswith(f"{NAMES[joint]}: the controller plays {sign * apart:.4f}, ")


def test_the_joint_farthest_beyond_what_it_is_allowed_is_named() -> None:
    """A fast joint may be farther from its plan than a slow one."""
    apart, speed = np.array([0.010, 0.006, 0.0]), np.array([1.5, 0.0, 0.0])
    found = reference_against_plan(NAMES, apart, np.zeros(3), speed)
    assert found is not None
    assert found.reason == (
        "fr3_joint2: the controller plays 0.0060, sent was 0.0000 rad or m, at most 0.0020 apart "
        "allowed; check the network's delay and that nobody else publishes commands"
    )


@pytest.mark.parametrize(
    ("played", "told"),
    [
        ([0.1, 0.2, 0.3], False),  # what was sent last
        ([0.1, 0.2, 0.2999], False),  # less apart than two windows are told apart
        ([0.1, 0.2, 0.299], True),  # what was sent before
        ([0.1, 0.2, 0.2995], False),  # between both: neither
        ([0.1, 0.202, 0.3], False),  # 4 ms of joint 2's motion: the stamp's jitter
        ([0.1, 0.202, 0.301], False),  # something else, which the other watch judges
        ([0.1, 0.2, math.nan], False),
    ],
)
def test_a_controller_that_plays_an_earlier_window_is_told_from_one_that_is_late(
    played: list[float], told: bool
) -> None:
    """The windows that followed are lost, although the controller's states arrive."""
    speed = np.array([0.0, 0.5, 0.0])
    newest = np.array([0.1, 0.2, 0.3]), speed
    before = [newest, (np.array([0.1, 0.2, 0.299]), speed)]
    found = earlier_window("arm", np.array(played), newest, iter(before))
    assert (found is not None) is told
    if found is not None:
        assert (found.watch, found.reaction, found.stop_ramp_only) == (
            "reference_against_plan",
            Reaction.PAUSE,
            True,
        )
        assert "controller of arm: it plays an earlier window, 1.00 mrad" in found.reason


def heard(*stamps_ms: int, commit_ms: int = 100) -> ControllerLate:
    """A controller whose states were heard as they were stamped."""
    late = ControllerLate("arm", "/arm/controller_state", commit_ms * MS)
    for stamp_ms in stamps_ms:
        late.receive(stamp_ms * MS, stamp_ms * MS)
    return late


def test_a_controller_is_late_beyond_the_commit_time() -> None:
    """At 50 Hz; nothing may be sent then."""
    late = heard(*range(0, 200, 20))
    assert late.finding(280 * MS) is None
    found = late.finding(281 * MS)
    assert (found.watch, found.reaction, found.stop_ramp_only) == (
        "controller_late",
        Reaction.PAUSE,
        True,
    )
    assert "controller of arm: nothing new on /arm/controller_state for 0.10 s" in found.reason


@pytest.mark.parametrize("period_ms", [50, 100])
def test_a_controller_that_tells_slowly_is_not_cut_off(period_ms: int) -> None:
    """Three of its own periods; a gap in what it told makes it no slower."""
    late = heard(*range(0, 20 * period_ms, period_ms), 5000, 5000 + period_ms)
    last_ms = 5000 + period_ms
    assert late.finding((last_ms + 3 * period_ms) * MS) is None
    assert late.finding((last_ms + 3 * period_ms + 1) * MS) is not None


def test_the_same_state_again_tells_nothing_new() -> None:
    """A way that repeats an old message is cut as well."""
    late = heard(*range(0, 200, 20))
    for at_ms in range(200, 400, 20):
        late.receive(180 * MS, at_ms * MS)
    assert late.finding(300 * MS) is not None


def test_what_a_sleeping_listener_did_not_hear_makes_no_controller_late() -> None:
    """Only the time in which it was awake counts, and that is told."""
    late = heard(*range(0, 200, 20))
    assert late.finding(500 * MS, lambda age_ns: age_ns - 300 * MS) is None
    found = late.finding(500 * MS, lambda age_ns: age_ns - 200 * MS)
    assert found is not None and "for 0.12 s" in found.reason


def test_a_period_that_is_not_known_yet_is_taken_for_a_slow_one() -> None:
    """And a controller that never told is not late at all."""
    assert heard(0).finding(200 * MS) is None
    assert heard(0).finding(201 * MS) is not None
    assert heard(0, commit_ms=400).finding(400 * MS) is None
    assert heard().finding(10_000 * MS) is None


def test_of_a_controller_that_never_tells_its_joint_states_are_the_sign_of_life() -> None:
    """A fault: nobody can say which windows it has got."""
    assert joints_late("arm", 100 * MS, 100 * MS) is None
    found = joints_late("arm", 101 * MS, 100 * MS)
    assert (found.reaction, found.stop_ramp_only) == (Reaction.FAULT, True)
