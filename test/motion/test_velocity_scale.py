"""A velocity scale lowered in motion slows the arm inside all limits, down to the new one.

What was sent before at the old scale is played as it was sent.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import QUICK, examples
from oracle import (
    HOME,
    MS,
    QUIET,
    START_NS,
    Events,
    Network,
    Policy,
    Record,
    assert_lawful,
    assert_spliced,
    count_held_joints,
    fr3_limits,
    play,
)

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.limits import JointLimits

OLD = 0.8
DURATION_NS = 6000 * MS
END = np.array([-2.4, *HOME[1:]])
CALM = Policy(lambda seconds: sweep(seconds), disagreement=0.0)


def sweep(seconds: np.ndarray) -> np.ndarray:
    """Wide swings of four joints, at up to 0.7 of their velocity limits."""
    t = np.maximum(np.asarray(seconds, dtype=float), 0)[:, None]
    size = np.array([2.0, 0.3, 0.0, 0.0, 2.0, 0.0, 1.5])
    return np.asarray(
        np.minimum(t, 1) ** 2 * size * np.sin(np.array([0.9, 1, 1, 1, 1.5, 1, 2]) * t)
    )


def away(seconds: np.ndarray) -> np.ndarray:
    """One joint at 1.8 of its 2.62 rad/s, from end to end."""
    t = np.maximum(np.asarray(seconds, dtype=float), 0)[:, None]
    way = np.where(t < 0.5, 1.8 * t**2, 1.8 * t - 0.45)
    return np.asarray(np.minimum(way, 4.8) * np.eye(7)[0])


def lowered(
    policy: Policy,
    changes: list[tuple[int, float]],
    limits: JointLimits,
    network: Network = QUIET,
    seed: int = 0,
    chosen: ReplaySettings | None = None,
    **options: Any,
) -> tuple[Record, Replay]:
    """A motion begun at the old scale, to which `changes` (time since the start, scale) happen."""
    replay = Replay(limits, replace(chosen or ReplaySettings(), velocity_scale=OLD))
    home = options.get("held", HOME)
    events: Events = policy.events(replay, DURATION_NS, seed, home=home)
    for at_ns, scale in changes:
        events.append((START_NS + at_ns, lambda _now_ns, scale=scale: replay.limit_speed(scale)))
    record = play(replay, events, DURATION_NS, network, seed, **options)
    return record, replay


def slow_from_ns(record: Record, limits: JointLimits, scale: float, after_ns: int) -> int:
    """Plan time of the first new knot of a window after a change that is nowhere faster."""
    most = scale * limits.velocity + 1e-9

    def is_slow(window: Window) -> bool:
        return bool((np.abs(window.velocities[_new(window)]) <= most).all())

    def _new(window: Window) -> np.ndarray:
        return np.asarray(window.times_ns >= 160 * MS)  # 50 back, 100 committed, on the grid

    later = (w for w in record.windows if w.stamp_ns + 50 * MS > after_ns)
    return next(w.stamp_ns + 160 * MS for w in later if is_slow(w))


AWAY = Policy(away, disagreement=0.0)

DRAWN = {
    "at_ms": st.integers(200, 2200),  # at 20 rad/s^3 it takes 2.6 s to be slow
    "scale": st.floats(0.05, OLD),
    "jerk": st.sampled_from([20.0, 100.0, 400.0]),
    "wrong": st.sampled_from([0.0, 0.1]),
    "loses": st.booleans(),
    "seed": st.integers(0, 1000),
    "knot_ms": st.sampled_from([10, 20]),
    "from_desired": st.booleans(),
}


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries(DRAWN))
def test_a_scale_lowered_at_any_moment_keeps_every_limit(drawn: dict[str, Any]) -> None:
    """Splice, acceleration and jerk always; the old velocity until it is slow, then the new."""
    limits = replace(fr3_limits(jump=10.0), jerk=np.full(7, drawn["jerk"]))
    at_ns, scale, knot_ns = drawn["at_ms"] * MS, drawn["scale"], drawn["knot_ms"] * MS
    record, replay = lowered(
        replace(CALM, disagreement=drawn["wrong"]),
        [(at_ns, scale)],
        limits,
        Network() if drawn["loses"] else QUIET,
        drawn["seed"],
        ReplaySettings(knot_ns=knot_ns),
        from_desired=drawn["from_desired"],
    )
    assert_lawful(record, limits, OLD)
    if not drawn["loses"]:
        assert_spliced(record, knot_ns)
    slow_ns = slow_from_ns(record, limits, scale, START_NS + at_ns)
    rest = record.derivative(1)[(slow_ns - START_NS) // MS :]
    assert len(rest) > 1000
    assert (np.abs(rest) <= scale * limits.velocity + 1e-6).all()
    assert replay.settings.velocity_scale == scale


def test_the_arm_goes_on_slower_and_no_joint_keeps_its_course(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It neither stops nor turns round, also where jerk allows no quick braking."""
    held = count_held_joints(monkeypatch)
    for jerk in (20.0,) if QUICK else (20.0, 400.0):
        limits = replace(fr3_limits(jump=10.0), jerk=np.full(7, jerk))
        record, _ = lowered(AWAY, [(800 * MS, 0.1)], limits, held=END)
        assert_lawful(record, limits, OLD)
        speed = record.derivative(1)[:, 0]
        assert speed[700:1000].max() > 1.0, "it was fast"
        slow = slow_from_ns(record, limits, 0.1, START_NS + 800 * MS) - START_NS
        assert speed[800 : slow // MS].min() > 0.0, f"turned round at {jerk} rad/s^3"
        assert 0.1 < speed[slow // MS + 1000] <= 0.262 + 1e-6
        assert held and not any(held)
        assert record.position[-1, 0] > record.position[slow // MS, 0] + 0.1


def test_a_lowering_twice_a_raise_under_way_and_one_at_rest() -> None:
    """The last one counts; a raise is law at once, a lowering at rest as well."""
    limits = fr3_limits(jump=10.0)
    record, _ = lowered(CALM, [(800 * MS, 0.5), (900 * MS, 0.1), (1000 * MS, 0.3)], limits)
    assert_lawful(record, limits, OLD)
    rest = np.abs(record.derivative(1)[3000:]) / limits.velocity
    assert 0.1 < rest.max() <= 0.3 + 1e-6
    record, _ = lowered(CALM, [(0, 0.1)], limits)
    assert_lawful(record, limits, 0.1)
    record, _ = lowered(CALM, [(0, 0.1), (2000 * MS, OLD)], limits)
    share = np.abs(record.derivative(1)) / limits.velocity
    assert share[:2000].max() <= 0.1 + 1e-6 and share[2200:].max() > 0.4
    assert_lawful(record, limits, OLD)


def closed(at_ms: int, scale: float, horizon_ms: int = 400) -> tuple[JointLimits, Record]:
    """A gripper that closes from 0 to 0.8 rad after a step command, at 0.4 rad/s until `at_ms`."""
    limits = JointLimits(
        names=("gripper",),
        lower=np.array([0.0]),
        upper=np.array([0.8]),
        velocity=np.array([0.5]),
        acceleration=np.array([10.0]),
        jerk=np.array([400.0]),
        margin=np.array([0.0]),
        jump=np.array([np.inf]),
        held=np.array([np.inf]),
        envelope=np.full((1, 4), np.nan),
    )
    chosen = ReplaySettings(velocity_scale=OLD, horizon_ns=horizon_ms * MS)
    replay = Replay(limits, chosen)
    rows = np.where(np.arange(12) < 10, 0.0, 0.8)[:, None]
    chunk = ActionChunk(0, 1, START_NS, 50 * MS, rows, {})
    events: Events = [
        (START_NS, lambda now_ns: replay.accept(chunk, now_ns)),
        (START_NS + at_ms * MS, lambda _now_ns: replay.limit_speed(scale)),
    ]
    record = play(replay, events, 5000 * MS, QUIET, held=np.zeros(1))
    assert_lawful(record, limits, OLD)
    return limits, record


def test_a_joint_on_its_way_to_a_reference_that_rests_is_slowed_too() -> None:
    """A gripper closes long after its step command; nothing new is to come."""
    limits, record = closed(1200, 0.4)
    speed = record.derivative(1)[:, 0]
    assert speed[:1200].max() == pytest.approx(0.4, abs=1e-6)
    slow = (slow_from_ns(record, limits, 0.4, START_NS + 1200 * MS) - START_NS) // MS
    assert record.position[slow, 0] < 0.5, "on the way"
    assert speed[slow:].max() == pytest.approx(0.2, abs=1e-6)
    np.testing.assert_allclose(record.position[-1], 0.8, atol=1e-3)


def test_a_joint_whose_plan_ends_where_the_reference_rests_is_slowed_too() -> None:
    """With the longest horizon all its way was sent already: it is not played at the old speed."""
    horizon_ms = 1000
    _, before = closed(4900, OLD, horizon_ms)
    at_ms = int(np.argmax(before.position[:, 0] > 0.6))
    assert before.derivative(1)[at_ms, 0] == pytest.approx(0.4, abs=1e-6), "it is fast"
    limits, record = closed(at_ms, 0.1, horizon_ms)
    slow = (slow_from_ns(record, limits, 0.1, START_NS + at_ms * MS) - START_NS) // MS
    assert record.position[slow, 0] < 0.75, "on the way"
    assert record.derivative(1)[slow:, 0].max() == pytest.approx(0.05, abs=1e-6)
    np.testing.assert_allclose(record.position[-1], 0.8, atol=1e-3)


def stopped(scale: float) -> int:
    """How long a stop takes that comes two windows after a change of the scale, ns."""
    limits, left_ns = fr3_limits(jump=10.0), []
    replay = Replay(limits, replace(ReplaySettings(), velocity_scale=OLD))
    events: Events = AWAY.events(replay, DURATION_NS, home=END)
    events += [
        (START_NS + 760 * MS, lambda _now_ns: replay.limit_speed(scale)),
        (START_NS + 800 * MS, lambda now_ns: replay.stop(now_ns, "a test")),
        (START_NS + 830 * MS, lambda now_ns: left_ns.append(replay.motion_left_ns(now_ns))),
    ]
    assert_lawful(play(replay, events, 1500 * MS, QUIET, held=END), limits, OLD)
    return int(left_ns[0])


def test_a_stop_while_slowing_down_is_no_longer_than_ever() -> None:
    """To slow down is no reason to stop later."""
    assert 0 < stopped(0.1) <= stopped(OLD)


def test_a_scale_out_of_range_is_refused_and_changes_nothing() -> None:
    """As at the start."""
    replay = Replay(fr3_limits(), ReplaySettings())
    for wrong in (0.0, 1.01, float("nan")):
        with pytest.raises(SettingsError, match="velocity_scale: got"):
            replay.limit_speed(wrong)
    assert replay.settings.velocity_scale == 0.5
