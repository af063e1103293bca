"""The times of `bench reaction`, on runs whose first changed cycle is known."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.serialization import serialize_message
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from bench.reaction import _targets
from bench.reaction_plot import svg
from bench.reaction_rig import Run
from bench.reaction_trials import STAGES, Row, Trials
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.windows import parse_trajectory, to_time
from gr00t_ros.sim.record import Record
from gr00t_ros.trace.flow import Flow, Span

MS, OFFSET_NS, NAME = 1_000_000, 7_000_000_000, "robotiq_85_left_knuckle_joint"
LEAVES, SENT, SHOWN, END = 1300, 1180, 1100, 3000
"""ms: when the new window leaves the old one, when it was sent, the picture's stamp, the end."""


def window(begin, *positions):
    """A window with a point every 100 ms from `begin` ms on, as the node sends it."""
    points = []
    for number, position in enumerate(positions):
        point = JointTrajectoryPoint(positions=[position], velocities=[0.0], accelerations=[0.0])
        point.time_from_start.sec, rest = divmod(100 * number, 1000)
        point.time_from_start.nanosec = rest * MS
        points.append(point)
    message = JointTrajectory(joint_names=[NAME], points=points)
    message.header.stamp = to_time(begin * MS + OFFSET_NS)
    return message


def run_of(flows=(), modes=(), stalls=(), velocities=None, commits=()):
    """A run with one change: the second window leaves the first one LEAVES ms after the start."""
    old, new = window(900, *[0.1] * 20), window(1100, 0.1, 0.1, 0.1, 0.12, 0.12)
    sampler, rows = JtcSampler(1), []
    sampler.hold(np.array([0.1]))
    times_ns = np.arange(900, END, dtype=np.int64) * MS
    for time_ns in times_ns.tolist():
        for message, sent in ((old, 900), (new, SENT)):
            if time_ns == sent * MS:
                trajectory = parse_trajectory(message, (NAME,), OFFSET_NS)
                assert sampler.accept(trajectory, time_ns, np.array([0.1])) is None
        rows.append(sampler.sample(time_ns))
    position, velocity, acceleration = (np.array(column) for column in zip(*rows, strict=True))
    velocity = velocity if velocities is None else velocities(velocity)
    record = Record((NAME,), OFFSET_NS, times_ns, position, velocity, acceleration, position)
    sent = tuple(
        (at * MS + OFFSET_NS, serialize_message(message))
        for at, message in ((900, old), (SENT, new))
    )
    names = load_embodiment("franka_droid").limits
    column = names.names.index(NAME)
    limits = type(names)(
        names=(NAME,),
        **{
            field: getattr(names, field)[column : column + 1]
            for field in ("lower", "upper", "velocity", "acceleration", "jerk", "envelope")
        },
        **{
            field: getattr(names, field)[column : column + 1]
            for field in ("margin", "jump", "held")
        },
    )
    changes = np.array([SHOWN * MS + OFFSET_NS])
    return Run(
        record, limits, changes, flows, modes, commits, stalls, sent, 950 * MS + OFFSET_NS,
        END * MS + OFFSET_NS, 1.0,
    )  # fmt: skip


def flow(stamp, number=1):
    """The flow of an observation with a picture of that stamp, ms; a stage every 5 ms."""
    names = ("wait", "pull", "encode", "send", "server", "merge", "shaping", "publish")
    times = [*range(stamp + 10, stamp + 50, 5), SENT]
    spans = [Span("camera/a", stamp * MS, (stamp + 5) * MS)]
    spans += [
        Span(name, begin * MS, end * MS)
        for name, (begin, end) in zip(names, pairwise(times), strict=True)
    ]
    return Flow(number, 1, 1, stamp * MS + OFFSET_NS, OFFSET_NS, "executed", "", tuple(spans))


def judged(run):
    """The trials of one run."""
    trials = Trials([])
    trials.add(run, 0.0)
    return trials


REPLAYING = ((900 * MS + OFFSET_NS, "replaying"),)


def test_the_first_cycle_that_leaves_the_window_before_ends_the_time():
    """One cycle after the knot at which they part, with flows or without."""
    expected = LEAVES + 1 - SHOWN
    (plain,) = judged(run_of()).found
    assert plain.reaction_ms == pytest.approx(expected) and plain.stages == ()
    (ours,) = judged(run_of((flow(SHOWN),), REPLAYING)).found
    assert ours.reaction_ms == pytest.approx(expected)
    assert len(ours.stages) == len(STAGES) and sum(ours.stages) == pytest.approx(expected)
    assert min(ours.stages) >= 0.0


def test_pictures_that_no_query_took_are_a_stage():
    """The observation before the change is no answer to it."""
    (trial,) = judged(run_of((flow(SHOWN - 33), flow(SHOWN + 20, 2)), REPLAYING)).found
    assert trial.stages[0] == pytest.approx(20.0)
    assert trial.used_ms == pytest.approx(trial.reaction_ms - 20.0)


def test_a_change_without_a_fair_time_is_void_with_its_reason():
    """A pause of the node, a stall of the machine, no window because of it."""
    paused = (*REPLAYING, ((SHOWN + 10) * MS + OFFSET_NS, "paused"))
    stall = (((SHOWN + 5) * MS + OFFSET_NS, (SHOWN + 30) * MS + OFFSET_NS),)
    assert judged(run_of((flow(SHOWN),), paused)).paused == 1
    assert judged(run_of((flow(SHOWN),), REPLAYING, stall)).stalled == 1
    assert judged(run_of((flow(SHOWN - 33),), REPLAYING)).lost == 1
    assert judged(run_of((flow(SHOWN),), REPLAYING, velocities=np.ones_like)).moving == 1


def test_a_change_that_no_motion_followed_misses_a_goal():
    """Else a node that misses most pictures would be as good as the few that it took."""
    plain = Row("plain_client", 30.0, 2, False, 0.0, 34.0, 60.0, {}, 34.0)
    for lost in (0, 1):
        void = {"moving": 3, "lost": lost}
        ours = Row("gr00t_ros", 30.0, 2, False, 0.0, 50.0, 80.0, {}, 60.0, 100.0, 9, void)
        missed = [target.name for target in _targets([ours, plain]) if not target.passed]
        assert missed == ["changes that no motion followed, gr00t_ros"] * lost


def test_the_commit_time_of_a_trial_is_the_one_that_the_node_told_last_before_it_sent():
    """What it tells afterwards was not in force."""
    told = [(900, 100.0), (SENT - 80, 52.0), (SENT + 1, 70.0)]
    commits = tuple((at * MS + OFFSET_NS, ms) for at, ms in told)
    (trial,) = judged(run_of((flow(SHOWN),), REPLAYING, commits=commits)).found
    assert trial.commit_ms == 52.0
    assert judged(run_of()).found[0].commit_ms == 0.0


@pytest.mark.parametrize("last_stage", [20.0, 32.0, 60.0, 200.0])
@pytest.mark.parametrize("commit", [32.0, 100.0])
def test_only_the_commit_time_excuses_what_the_plain_client_does_not_wait_for(commit, last_stage):
    """However long the stage took that contains it: with it a wait for a knot and a cycle."""
    plain = Row("plain_client", 30.0, 2, False, 0.0, 17.0, 20.0, {}, 17.0)
    stages = {"commit, controller": last_stage}
    for beyond in (-1.0, 0.0, 5.0):
        change = 17.0 + commit + beyond
        ours = Row("gr00t_ros", 30.0, 2, False, 0.0, 50.0, 80.0, stages, change, commit)
        (goal,) = (one for one in _targets([ours, plain]) if "plain client" in one.name)
        assert goal.value == pytest.approx(beyond) and goal.passed == (beyond <= 0)


def test_cycles_beyond_a_limit_are_counted():
    """A step of velocity is a cycle of too much acceleration, and of jerk on both its sides."""
    assert judged(run_of()).breaks > 0  # 0.02 rad in 100 ms is beyond the jerk limit
    still = judged(run_of(velocities=np.zeros_like)).breaks
    stepped = judged(
        run_of(velocities=lambda v: np.where(np.arange(len(v))[:, None] > 500, 0.3, 0))
    )
    assert stepped.breaks > still


def test_the_picture_has_a_bar_for_each_row_of_the_node():
    """And a mark for each other method."""
    ours = Row("gr00t_ros", 30.0, 2, False, 0.0, 50.0, 80.0, dict.fromkeys(STAGES, 4.0), 60.0)
    floor = Row("floor", 30.0, 2, False, 0.0, 20.0, 40.0, {"wire": 1.0}, 20.0)
    drawn = svg([ours, floor])
    assert drawn.count("<title>") == len(STAGES) and drawn.count("<line") == 1
