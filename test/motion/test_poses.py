"""Several end effectors follow a chunk together or not at all, and start and stop together."""

import pytest
from pose_cases import KNOT, LIMITS, MS, line, pose

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.pose.windows import Poses
from gr00t_ros.robot.outputs import PoseOutput

OUTPUTS = tuple(
    PoseOutput(name, "pose_stamped", f"/{name}", "base", (), "xyz_axis_angle", name, LIMITS)
    for name in ("left", "right")
)


def both(now_ns=0, left=None, right=None):
    """Two end effectors that have begun."""
    made = Poses(OUTPUTS, KNOT, 60 * MS, 400 * MS)
    made.start(now_ns, {"left": left or pose(), "right": right or pose(y=-0.2)})
    return made


def sent(made, now_ns, lag_ns):
    """The windows of that time, which then have left."""
    windows = made.windows(now_ns, lag_ns)
    made.keep()
    return windows


def test_both_follow_their_own_chunk_and_say_so_at_one_time():
    """Windows of both, with one stamp; at rest once both have played."""
    made = both()
    chunks = {"left": line(0.01), "right": line(-0.005, start=pose(y=-0.2))}
    assert made.judge(chunks, 0) == ""
    made.follow(chunks, 0)
    windows = sent(made, 0, 0)
    assert set(windows) == {"left", "right"} and {w.stamp_ns for w in windows.values()} == {0}
    assert windows["left"].poses[-1].position[0] > 0.4 > windows["right"].poses[-1].position[0]
    assert not made.at_rest(0)
    for knot in range(1, 120):
        sent(made, knot * KNOT, 0)
    assert made.at_rest(120 * KNOT) and sent(made, 120 * KNOT, 0) == {}


def test_what_one_cannot_follow_none_does():
    """The other hand would go on alone."""
    made = both()
    chunks = {"left": line(0.01), "right": line(0.01, start=pose(y=0.2))}
    assert made.judge(chunks, 0).startswith("output right: jump")


def test_a_second_start_goes_on_from_the_last_pose_unless_others_have_moved_it():
    """A hand that sags by 1 cm holds its command; one moved by 20 cm is taken where it is."""
    made = both()
    made.start(500 * MS, {"left": pose(z=0.29), "right": pose(y=0.0)})
    assert sent(made, 500 * MS, 0) == {}, "nothing moves, so nothing is said"
    chunks = {name: line(0.01, stamp_ns=500 * MS) for name in ("left", "right")}
    assert made.judge(chunks, 500 * MS) == ""
    made.follow(chunks, 500 * MS)
    windows = sent(made, 500 * MS, 0)
    assert windows["left"].poses[0].position.tolist() == [0.4, 0.0, 0.3]
    assert windows["right"].poses[0].position.tolist() == [0.4, 0.0, 0.3]


def test_what_is_settled_is_forgotten_and_held_unsaid():
    """After a jump of the clock the tail plays without us, and its end is where we go on."""
    made = both()
    made.follow({"left": line(0.01), "right": line(0.01, start=pose(y=-0.2))}, 0)
    ends = {name: w.poses[-1] for name, w in sent(made, 400 * MS, 0).items()}
    made.rest_at_end(100 * MS)
    assert sent(made, 100 * MS, 0) == {} and made.at_rest(100 * MS)
    chunk = {n: line(0.01, stamp_ns=100 * MS, start=end) for n, end in ends.items()}
    assert made.judge(chunk, 100 * MS) == ""


def test_a_stop_brings_both_to_rest():
    """Nobody goes on because the other had nothing to stop."""
    made = both()
    made.follow({"left": line(0.01), "right": line(0.01, start=pose(y=-0.2))}, 0)
    for knot in range(20):
        sent(made, knot * KNOT, 0)
    made.stop()
    windows = sent(made, 20 * KNOT, 0)
    assert all(len(w.poses) < 18 for w in windows.values())


def test_an_end_effector_that_is_not_measured_starts_nothing():
    """Named, so that a person knows which topic to look for."""
    with pytest.raises(PlanError, match="output right: its end effector is not measured"):
        Poses(OUTPUTS, KNOT, 60 * MS, 400 * MS).start(0, {"left": pose()})
