"""The guard refuses what must not be followed, and says which joint, step, value and limit."""

import numpy as np
import pytest
from oracle import HOME, MS, UPPER, fr3_limits

from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.guard import Verdict, check, first_step
from gr00t_ros.core.limits import JointLimits

STEP_NS = 50 * MS


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
    assert verdict.reason.startswith("fr3_joint5, step 15: got 2.8055 rad, limits -2.7565 to 2.75")
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
        assert "fr3_joint2, step 0: got a first step of 0.1510 rad" in verdict.reason
        assert "limit 0.1500" in verdict.reason


def test_steps_that_are_already_due_do_not_count_as_the_first() -> None:
    """The first step that remains at the splice is what the arm would jump to."""
    joints = still()
    joints[:6, 1] += np.array([0.3, 0.25, 0.2, 0.16, 0.1, 0.05])
    assert judge(joints, splice_ns=0).kind == "jump"
    late = judge(joints, splice_ns=3 * STEP_NS + 1)
    assert (late.accepted, late.first_step) == (True, 4)


def test_a_chunk_faster_than_a_joint_is_refused() -> None:
    """The whole velocity limit counts here; the scaled one is the pace's."""
    joints = still()
    joints[8:, 3] += 2.63 * 0.05
    verdict = judge(joints)
    assert (verdict.accepted, verdict.kind) == (False, "velocity")
    assert verdict.reason == "fr3_joint4, step 8: got 2.630 rad/s, limit 2.620"
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
