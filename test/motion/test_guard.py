"""The guard refuses chunks that must not be followed, with joint, step, value and limit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from oracle import HOME, MS, UPPER, fr3_limits

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.guard import Verdict, check, first_step
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.limits import JointLimits, Workspace

STEP_NS = 50 * MS
FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"


def chunk(joints: np.ndarray, stamp_ns: int = 0) -> ActionChunk:
    """A chunk of these joints."""
    return ActionChunk(3, 1, stamp_ns, STEP_NS, joints, {})


def still(steps: int = 16) -> np.ndarray:
    """(steps, 7) at home."""
    return np.tile(HOME, (steps, 1))


def judge(joints: np.ndarray, splice_ns: int = 0, limits: JointLimits | None = None) -> Verdict:
    """The verdict on these joints while the arm is at home."""
    return check(chunk(joints), limits or fr3_limits(), splice_ns, HOME)


def test_a_chunk_inside_all_limits_is_accepted_unchanged() -> None:
    """Nothing is clamped, nothing is said."""
    verdict = judge(still())
    assert (verdict.accepted, verdict.clamped, verdict.kind, verdict.reason) == (
        True,
        False,
        "",
        "",
    )
    np.testing.assert_array_equal(verdict.joints, still())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 7, 15])
def test_one_value_that_is_not_finite_refuses_the_chunk(value: float, row: int) -> None:
    """Even in a row that is already due: a policy that emits NaN is broken."""
    joints = still()
    joints[row, 2] = value
    verdict = judge(joints, splice_ns=4 * STEP_NS)
    assert (verdict.accepted, verdict.kind, verdict.joints) == (False, "finite", None)
    assert verdict.reason.startswith(f"fr3_joint3, step {row}: got {value}")


@pytest.mark.parametrize("shape", [(16, 6), (16, 8), (16,), (0, 7), (1, 16, 7)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    """Joints are never guessed."""
    verdict = judge(np.zeros(shape))
    assert (verdict.accepted, verdict.kind) == (False, "shape")


def test_a_position_up_to_0_05_rad_outside_is_clamped() -> None:
    """The limits are those less the margin; the chunk itself stays as it came."""
    edge = UPPER[4] - 0.05
    limits = fr3_limits(jump=9.0)
    joints = still()
    joints[:, 4] = np.linspace(edge - 0.05, edge + 0.049, 16)
    verdict = judge(joints, limits=limits)
    assert (verdict.accepted, verdict.clamped, verdict.kind) == (True, True, "position")
    assert verdict.reason.startswith(
        "fr3_joint5, step 15: got 2.8055 rad or m, limits -2.7565 to 2.75"
    )
    assert verdict.joints is not None
    assert verdict.joints[:, 4].max() == edge
    assert joints[:, 4].max() > edge


def test_a_position_farther_outside_is_refused() -> None:
    """More than 0.05 rad is no rounding: the policy is wrong."""
    joints = still()
    joints[9, 4] = UPPER[4] - 0.05 + 0.051
    verdict = judge(joints, limits=fr3_limits(jump=9.0))
    assert (verdict.accepted, verdict.kind) == (False, "position")
    assert "fr3_joint5, step 9" in verdict.reason


@pytest.mark.parametrize(("jump", "accepted"), [(0.149, True), (0.151, False), (-0.151, False)])
def test_the_first_step_is_close_to_the_position_that_will_be_held(
    jump: float, accepted: bool
) -> None:
    """0.15 rad is the limit, in both directions."""
    joints = still()
    joints[:, 1] += jump
    verdict = judge(joints)
    assert verdict.accepted is accepted
    if not accepted:
        assert verdict.kind == "jump"
        at = joints[0, 1]
        assert f"fr3_joint2, step 0: got {at:.4f} rad or m, the first position" in verdict.reason
        assert f"it is 0.1510 from the held {at - jump:.4f}, expected at most" in verdict.reason
        assert "limits.fr3_joint2.jump, 0.1500: check joint order, unit and" in verdict.reason


def test_steps_that_are_already_due_do_not_count_as_the_first() -> None:
    """The first step that remains at the splice is what the arm would jump to."""
    joints = still()
    joints[:6, 1] += np.array([0.3, 0.25, 0.2, 0.16, 0.1, 0.05])
    assert judge(joints, splice_ns=0).kind == "jump"
    late = judge(joints, splice_ns=3 * STEP_NS + 1)
    assert (late.accepted, late.first_step) == (True, 4)
    joints[4:, 1] += 0.3
    late = judge(joints, splice_ns=3 * STEP_NS + 1)
    assert "fr3_joint2, step 4: got" in late.reason and "the first position that is" in late.reason


def test_a_chunk_faster_than_a_joint_is_refused() -> None:
    """The whole velocity limit counts here; the scaled one is the pace's."""
    joints = still()
    joints[8:, 3] += 2.63 * 0.05
    verdict = judge(joints)
    assert (verdict.accepted, verdict.kind) == (False, "velocity")
    assert verdict.reason == (
        "fr3_joint4, step 8: got 2.630 rad or m a second, limit 2.620: check rate_hz against the "
        "training data, and the unit"
    )
    joints = still()
    joints[8:, 3] += 2.61 * 0.05
    assert judge(joints).accepted


def test_a_joint_whose_jump_is_unchecked_may_step() -> None:
    """A binary gripper opens and closes in one step, which the shaper smooths."""
    joints = still()
    joints[8:, 4] += 1.5
    assert not judge(joints).accepted
    assert judge(joints, limits=fr3_limits(jump=np.inf)).accepted


def test_a_chunk_whose_steps_are_all_due_is_late() -> None:
    """There is nothing left to follow."""
    assert judge(still(4), splice_ns=3 * STEP_NS).accepted
    verdict = judge(still(4), splice_ns=3 * STEP_NS + 1)
    assert (verdict.accepted, verdict.kind) == (False, "late")


@pytest.mark.parametrize(
    ("splice_ns", "expected"), [(-5, 0), (0, 0), (1, 1), (STEP_NS, 1), (STEP_NS + 1, 2)]
)
def test_the_first_step_is_the_first_that_is_not_due(splice_ns: int, expected: int) -> None:
    """A row due exactly at the splice still counts."""
    assert first_step(chunk(still()), splice_ns) == expected


def box(**sides) -> Workspace:
    """The box that ships, with other sides: x, y, z -> [lower, upper] m."""
    mapping = yaml.safe_load(FILE.read_text())
    mapping["workspace"] |= sides
    workspace = parse(mapping, FILE.name).workspace
    assert workspace is not None
    return workspace


def led_down(steps: int = 16) -> np.ndarray:
    """(steps, 7) that lower the flange from home, z about 0.54 m, by the shoulder."""
    joints = still(steps)
    joints[:, 1] += 0.05 * np.arange(steps)
    return joints


def way(joints: np.ndarray) -> np.ndarray:
    """(T, 3) m of the flange."""
    chain = box().chain
    assert chain is not None
    return chain.pose(joints)[0]


def test_a_chunk_whose_way_leaves_the_box_is_refused_with_axis_value_bound_and_step() -> None:
    """Of the first row that is outside; the same chunk passes in a box that is deep enough."""
    joints, limits = led_down(), fr3_limits()
    z = way(joints)[:, 2]
    assert (np.diff(z) < 0.0).all()
    bound = float(z[8] + z[9]) / 2
    for first in (0, 4):
        verdict = check(chunk(joints), limits, first * STEP_NS, joints[first], box(z=[bound, 1.10]))
        assert (verdict.accepted, verdict.kind, verdict.joints) == (False, "workspace", None)
        assert verdict.reason == (
            f"end effector, step 9: z would be {z[9]:.3f} m, {bound:.3f} to 1.100 allowed: move "
            "the task inside the box, or correct workspace"
        )
    assert check(chunk(joints), limits, 0, HOME, box(z=[z[-1], 1.10])).accepted


@given(st.sampled_from([0, 1, 2]), st.booleans(), st.sampled_from([-1e-6, 0.0, 1e-6]))
def test_the_sides_belong_to_the_box(axis, upper, beyond) -> None:
    """Exhaustively around each of the six, for an arm that stands still."""
    at, corners = way(still(1))[0], {"x": [-1.0, 1.0], "y": [-1.0, 1.0], "z": [-1.0, 1.0]}
    corners["xyz"[axis]][int(upper)] = float(at[axis] + (-beyond if upper else beyond))
    verdict = check(chunk(still()), fr3_limits(), 0, HOME, box(**corners))
    assert verdict.accepted is (beyond <= 0.0)


def test_rows_that_are_due_already_may_be_outside() -> None:
    """They are not played: a late chunk may begin where the arm no longer is."""
    joints = led_down()[::-1].copy()
    z = way(joints)[:, 2]
    room = box(z=[float(z[5] + z[6]) / 2, 1.10])
    assert check(chunk(joints), fr3_limits(), 6 * STEP_NS, joints[6], room).accepted
    refused = check(chunk(joints), fr3_limits(), 5 * STEP_NS, joints[5], room)
    assert refused.kind == "workspace" and "step 5: z would be" in refused.reason


def test_what_is_compared_is_what_would_be_played() -> None:
    """A row that is clamped leaves the box by less than it was asked to, or not at all."""
    limits, joints = fr3_limits(jump=9.0), still()
    joints[:, 3] = np.linspace(HOME[3], limits.upper[3] - 0.05 + 0.049, 16)
    limits = replace(limits, velocity=np.full(7, 99.0))
    clamped = np.minimum(joints, limits.upper - limits.margin)
    nearest = float(way(clamped)[:, 0].min())
    assert way(joints)[:, 0].min() < nearest - 0.01
    verdict = check(chunk(joints), limits, 0, HOME, box(x=[nearest, 1.0], z=[0.0, 2.0]))
    assert verdict.accepted and verdict.clamped


def test_a_box_without_a_chain_judges_no_way() -> None:
    """A pose stream tells where the arm is, not where it will be."""
    assert check(chunk(led_down()), fr3_limits(), 0, HOME, replace(box(), chain=None)).accepted


def grip(value: float, margin: float = 0.0) -> Verdict:
    """The verdict on a DROID gripper that is told `value` rad, with this margin of 0.0 to 0.8."""
    limits = parse(yaml.safe_load(FILE.read_text()), FILE.name).limits
    limits = replace(limits, margin=np.full(8, margin))
    joints = np.tile([*HOME, value], (16, 1))
    return check(chunk(joints), limits, 0, np.array([*HOME, 0.4]))


def test_a_gripper_reaches_its_ends_and_holds_there() -> None:
    """As a reply's float32 has them too, which is a hundred millionth too far."""
    for end in (0.0, 0.8, float(np.float32(0.8))):
        verdict = grip(end)
        assert (verdict.accepted, verdict.clamped, verdict.reason) == (True, False, "")
        assert verdict.joints is not None
        assert 0.0 <= verdict.joints[:, 7].min() <= verdict.joints[:, 7].max() <= 0.8


@pytest.mark.parametrize(("margin", "accepted"), [(0.04, True), (0.06, False)])
def test_a_margin_that_clamps_or_refuses_is_named(margin: float, accepted: bool) -> None:
    """The joint's own range is as wide as the operator thinks: the margin narrows it."""
    verdict = grip(0.8, margin)
    assert (verdict.accepted, verdict.kind) == (accepted, "position")
    expected = f"limits {margin:.4f} to {0.8 - margin:.4f} (margin {margin:g} of 0 to 0.8)"
    assert f"got 0.8000 rad or m, {expected}" in verdict.reason
    assert accepted or verdict.reason.endswith("a gripper needs margin 0.0")
