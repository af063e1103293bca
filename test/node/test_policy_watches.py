"""Each watch of PolicyWatches reacts at its threshold, with its reason, and ends as it must.

Stand-ins for the inputs and for the worker; time is what the test says.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import (
    ChunkError,
    DeadlineError,
    ObservationError,
    RefusedError,
    RemoteError,
    SkewError,
    UnreachableError,
    WireError,
)
from gr00t_ros.node.watches import PolicyWatches
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.parameters import DEFAULTS
from gr00t_ros.session.mode import MOVING, Mode
from gr00t_ros.watch.finding import Reaction

EMBODIMENT = load_embodiment("franka_droid")
BOX = EMBODIMENT.workspace
MS, S = 1_000_000, 1_000_000_000
START_NS = 5 * S
INSIDE = np.array([0.5, 0.0, 0.5])
SILENCE = [DeadlineError("late"), UnreachableError("nobody")]
WORDS = [RemoteError("KeyError"), WireError("garbage"), RefusedError("other"), ChunkError("wrong")]


class Rig:
    """The watches, the position that they are told, and what they have asked for."""

    def __init__(self, embodiment=EMBODIMENT, **values):
        self.position, self.asked = INSIDE, []
        queries = SimpleNamespace(
            check=lambda: self.asked.append("check"),
            try_assembly=lambda: self.asked.append("assembly"),
            reset_ns=0,
        )
        self.queries = queries
        self.slept_ns = 0
        around = SimpleNamespace(
            end_effector=lambda workspace: self.position,
            awake_ns=lambda age_ns: max(0, age_ns - self.slept_ns),
        )
        self.watches = PolicyWatches(
            around, queries, embodiment, replace(DEFAULTS, **values), "robot:5555"
        )

    def found(self, now_ns=START_NS, mode=Mode.REPLAYING):
        return list(self.watches.findings(now_ns, mode))

    def skew(self, times=3):
        for _ in range(times):
            self.watches.assembled(SkewError("apart", "wrist", 120 * MS, 100 * MS))


# sidecar_dead


@pytest.mark.parametrize(
    ("silent_ns", "reaction", "limit"),
    [
        (0, None, ""),
        (1 * S - 1, None, ""),
        (1 * S, None, ""),
        (1 * S + 1, Reaction.PAUSE, "1.00"),
        (10 * S, Reaction.PAUSE, "1.00"),
        (10 * S + 1, Reaction.FAULT, "10.00"),
        (10**6 * S, Reaction.FAULT, "10.00"),
    ],
)
def test_an_unanswered_question_pauses_and_then_faults(silent_ns, reaction, limit) -> None:
    """Later questions do not make the first one younger."""
    rig = Rig()
    rig.watches.asked(START_NS)
    rig.watches.asked(START_NS + silent_ns // 2)
    found = rig.found(START_NS + silent_ns)
    assert [one.reaction for one in found] == ([] if reaction is None else [reaction])
    for one in found:
        assert one.watch == "sidecar_dead"
        assert one.reason == (
            f"policy server robot:5555: no answer for {silent_ns / 1e9:.2f} s, at most {limit} s "
            "allowed; start the policy server, and check the network"
        )


def test_the_times_of_silence_are_parameters_also_while_it_lasts() -> None:
    """Tightened while running they hold at once."""
    rig = Rig()
    rig.watches.asked(START_NS)
    assert rig.found(START_NS + 600 * MS) == []
    rig.watches.apply(replace(DEFAULTS, sidecar_silence_s=0.5, sidecar_fault_s=0.7))
    assert [f.reaction for f in rig.found(START_NS + 600 * MS)] == [Reaction.PAUSE]
    assert [f.reaction for f in rig.found(START_NS + 701 * MS)] == [Reaction.FAULT]


@pytest.mark.parametrize("error", [*SILENCE, *WORDS, None], ids=repr)
def test_whoever_answers_is_there_whatever_the_answer_is(error) -> None:
    """To a query and to a check; a deadline that passed is no answer."""
    for tell in ("received", "checked"):
        rig = Rig()
        rig.watches.asked(START_NS)
        if tell == "received":
            rig.watches.received(error is None, error)
        else:
            rig.watches.checked(error)
        silent = isinstance(error, (DeadlineError, UnreachableError))
        assert len(rig.found(START_NS + 2 * S)) == silent


def test_a_sleep_of_this_process_is_no_silence_of_the_server_that_faults() -> None:
    """SIGSTOP for longer than sidecar_fault_s, with a question open: its answer waits."""
    rig = Rig()
    rig.watches.asked(START_NS)
    rig.slept_ns = 15 * S
    (found,) = rig.found(START_NS + 16 * S)
    assert found.reaction is Reaction.PAUSE
    assert "no answer for 16.00 s (this node slept for 15.00 s of it)" in found.reason
    assert rig.found(START_NS + 25 * S + 1)[0].reaction is Reaction.FAULT


def test_nor_does_a_sleep_count_to_the_time_of_errors_alone() -> None:
    """Nothing was asked in it."""
    rig = Rig()
    rig.watches.received(False, BUSY)
    assert rig.found() == []
    rig.slept_ns = 60 * S
    assert rig.found(START_NS + 62 * S) == []
    assert rig.found(START_NS + 62 * S + 1)[0].reaction is Reaction.PAUSE
    rig.watches.checked(None)
    rig.slept_ns = 0
    rig.watches.received(False, BUSY)
    assert rig.found(START_NS + 63 * S) == []
    assert rig.found(START_NS + 90 * S)[0].reaction is Reaction.PAUSE
    assert rig.found(START_NS + 92 * S)[0].reaction is Reaction.FAULT


def test_a_question_that_was_never_sent_is_no_silence_and_an_older_one_stays() -> None:
    """For want of an observation: nobody was asked."""
    rig = Rig()
    rig.watches.asked(START_NS)
    rig.watches.received(False, ObservationError("no joint state"))
    assert rig.found(START_NS + 20 * S) == []
    rig.watches.asked(START_NS)
    rig.watches.asked(START_NS + S)
    rig.watches.received(False, ObservationError("no joint state"))
    assert len(rig.found(START_NS + 2 * S)) == 1


@pytest.mark.parametrize(("reset_ms", "infers_ms"), [(0, 900), (500, 600), (900, 900)])
def test_a_slow_server_may_take_the_time_for_the_reset_and_again_to_infer(reset_ms, infers_ms):
    """A pause would drop the answer, and begin an episode with another reset: for ever."""
    rig = Rig()
    rig.watches.asked(START_NS)
    for ms in range(0, reset_ms + infers_ms, 20):
        rig.queries.reset_ns = START_NS + reset_ms * MS if ms >= reset_ms else 0
        assert rig.found(START_NS + ms * MS) == []
    rig.watches.received(True, None)
    assert rig.found(START_NS + 20 * S) == []


def test_a_server_that_hangs_after_a_reset_pauses_and_is_not_renewed_by_a_check() -> None:
    """A check asks for a reset too: only that of the query in flight counts, and once."""
    rig = Rig()
    rig.watches.asked(START_NS)
    rig.queries.reset_ns = START_NS + 500 * MS
    assert rig.found(START_NS + 1500 * MS) == []
    assert [f.reaction for f in rig.found(START_NS + 1501 * MS)] == [Reaction.PAUSE]
    rig.watches.received(False, DeadlineError("late"))
    rig.queries.reset_ns = START_NS + 2000 * MS
    assert [f.reaction for f in rig.found(START_NS + 2001 * MS)] == [Reaction.PAUSE]
    rig.watches.asked(START_NS + 2002 * MS)
    rig.queries.reset_ns = START_NS + 2003 * MS
    assert [f.reaction for f in rig.found(START_NS + 2004 * MS)] == [Reaction.PAUSE]
    assert rig.found(START_NS + 10 * S + 1)[0].reaction is Reaction.FAULT


# server_errors


BUSY = RemoteError("get_action: the server answered: busy: later", "busy: later")


@pytest.mark.parametrize("tell", ["received", "checked"])
def test_errors_that_may_pass_pause_and_fault_by_the_parameters(tell) -> None:
    """Of queries and of checks; the reason has the server's words."""
    rig = Rig(server_errors_s=2.0, server_errors_fault_s=30.0)
    rig.watches.received(False, BUSY) if tell == "received" else rig.watches.checked(BUSY)
    for after_ns, reactions in (
        (0, []),
        (2 * S, []),
        (2 * S + 1, [Reaction.PAUSE]),
        (30 * S + 1, [Reaction.FAULT]),
    ):
        found = rig.found(START_NS + after_ns)
        assert [one.reaction for one in found] == reactions
        assert all(one.watch == "server_errors" and "busy: later" in one.reason for one in found)


@pytest.mark.parametrize("error", [*SILENCE, *WORDS[1:], None], ids=repr)
def test_a_chunk_or_a_check_ends_the_pause_of_errors_and_silence_does_not(error) -> None:
    """What needs a person is not waited for: the next query tells it."""
    rig = Rig()
    rig.watches.received(False, BUSY)
    assert rig.found() == []
    rig.watches.checked(error)
    assert len(rig.found(START_NS + 3 * S)) == isinstance(error, (DeadlineError, UnreachableError))
    rig = Rig()
    rig.watches.received(False, BUSY)
    rig.found()
    rig.watches.received(True, None)
    assert rig.found(START_NS + 3 * S) == []


def test_a_paused_session_has_a_server_with_errors_checked_ever_later() -> None:
    """As often as it answers an error, with what a person can do."""
    rig, times = Rig(), []
    rig.watches.received(False, BUSY)
    for ms in range(0, 20_000, 20):
        rig.found(START_NS + ms * MS, Mode.PAUSED)
        if rig.asked:
            times.append(ms)
            rig.asked.clear()
            rig.watches.checked(BUSY)
    apart = [b - a for a, b in zip([0, *times[:-1]], times, strict=True)]
    assert [round(ms / 1000, 1) for ms in apart[:7]] == [0.3, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    rig = Rig()
    rig.watches.received(False, BUSY)
    for ms in range(0, 20_000, 20):
        rig.found(START_NS + ms * MS, Mode.HOLDING)
    assert rig.asked == [], "a session that asks by itself is left alone"


# non_finite


def test_the_second_chunk_that_is_no_number_faults_until_all_begins_anew() -> None:
    """Good chunks between do not help; other faults of a chunk are not counted."""
    rig = Rig()
    nan = ChunkError("action arm: nan in row 3", kind="finite")
    first = rig.watches.received(False, nan)
    assert (first.watch, first.reaction) == ("non_finite", Reaction.DROP)
    assert first.reason.startswith(
        "action arm: nan in row 3: chunk 1 that is not finite, fault at 2; restart the policy"
    )
    assert rig.watches.received(True, None) is None
    for kind in ("keys", "dtype", "shape"):
        assert rig.watches.received(False, ChunkError("wrong", kind=kind)) is None
    assert rig.watches.received(False, nan).reaction is Reaction.FAULT
    rig.watches.begin()
    assert rig.watches.received(False, nan).reaction is Reaction.DROP


# skew


@pytest.mark.parametrize(("times", "pauses"), [(0, False), (1, False), (2, False), (3, True)])
def test_the_third_observation_in_a_row_with_skew_pauses(times, pauses) -> None:
    """Each of them was no observation; a query says it as a look does."""
    for tell in ("assembled", "received"):
        rig = Rig()
        if tell == "assembled":
            rig.skew(times)
        else:
            for _ in range(times):
                rig.watches.received(False, SkewError("apart", "wrist", 120 * MS, 100 * MS))
        found = rig.found()
        assert [(f.watch, f.reaction) for f in found] == [("skew", Reaction.PAUSE)] * pauses
        for one in found:
            assert one.reason.startswith(
                "wrist: 0.120 s apart from the joint state, at most 0.100 s allowed, 3 in a row; "
            )


@pytest.mark.parametrize("ends", ["chunk", "assembly"])
def test_an_observation_without_skew_ends_it_and_a_missing_one_does_not(ends) -> None:
    """What is missing tells nothing of stamps."""
    rig = Rig()
    rig.skew()
    rig.watches.assembled(ObservationError("no frame"))
    assert len(rig.found()) == 1
    rig.watches.received(True, None) if ends == "chunk" else rig.watches.assembled(None)
    assert rig.found() == []
    rig.skew(2)
    assert rig.found() == []


# workspace_box


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize(("beyond", "outside"), [(-1e-6, False), (0.0, False), (1e-6, True)])
def test_a_chunk_that_comes_while_the_arm_is_outside_its_box_is_dropped(
    axis, side, beyond, outside
) -> None:
    """The sides belong to the box."""
    rig, bound = Rig(), getattr(BOX, side)[axis]
    rig.position = INSIDE.copy()
    rig.position[axis] = bound + (beyond if side == "upper" else -beyond)
    found = rig.watches.received(True, None)
    assert (found is not None) is outside
    if found is not None:
        assert (found.watch, found.reaction) == ("workspace_box", Reaction.DROP)
        assert found.reason.startswith(f"end effector: {'xyz'[axis]} is {bound:.3f} m, ")


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_so_many_chunks_in_a_row_outside_fault(limit) -> None:
    """As many as the parameter says; one inside begins anew, answers without a chunk do not."""
    rig = Rig(refusals_to_fault=limit)
    rig.position = INSIDE + [0.0, 0.0, 9.0]
    told = []
    for _ in range(limit + 1):
        told.append(rig.watches.received(True, None).reaction)
        assert rig.watches.received(False, RemoteError("KeyError")) is None
    assert told == [Reaction.DROP] * (limit - 1) + [Reaction.FAULT] * 2
    rig.position = INSIDE
    assert rig.watches.received(True, None) is None
    rig.position = INSIDE + [0.0, 0.0, 9.0]
    expected = Reaction.FAULT if limit == 1 else Reaction.DROP
    assert rig.watches.received(True, None).reaction is expected


def test_without_a_position_or_without_a_box_nothing_is_compared() -> None:
    """Streams that are missing have their own watch."""
    rig = Rig()
    rig.position = None
    assert rig.watches.received(True, None) is None
    rig = Rig(replace(EMBODIMENT, workspace=None))
    rig.position = np.array([9.0, 9.0, 9.0])
    assert rig.watches.received(True, None) is None


# Together


def test_a_dead_server_is_told_before_a_skew() -> None:
    """A session tells the first of a kind."""
    rig = Rig()
    rig.skew()
    rig.watches.asked(START_NS)
    assert [f.watch for f in rig.found(START_NS + 2 * S)] == ["sidecar_dead", "skew"]


@pytest.mark.parametrize("mode", list(Mode))
def test_where_the_session_rests_it_is_looked_again_four_times_a_second(mode) -> None:
    """A dead server is checked, a skew looked for: a pause asks nothing itself."""
    asks_itself = mode in MOVING or mode is Mode.HOLDING
    rig = Rig()
    rig.watches.asked(START_NS)
    for ms in range(2000, 3000, 20):
        rig.found(START_NS + ms * MS, mode)
    assert rig.asked == ([] if asks_itself else ["check"] * 4)
    rig = Rig()
    rig.skew()
    for ms in range(0, 1000, 20):
        rig.found(START_NS + ms * MS, mode)
    assert rig.asked == ([] if asks_itself else ["assembly"] * 4)


def test_where_nothing_is_wrong_nothing_is_looked_for() -> None:
    """Two in a row are not yet a finding."""
    rig = Rig()
    rig.skew(2)
    assert rig.found(mode=Mode.PAUSED) == [] and rig.asked == []


def test_beginning_forgets_all() -> None:
    """An activation and a reset begin with a clean sheet."""
    rig = Rig()
    rig.skew()
    rig.watches.asked(START_NS)
    rig.watches.received(False, DeadlineError("late"))
    rig.watches.begin()
    assert rig.found(START_NS + 20 * S) == []


def test_beginning_does_not_forget_a_query_in_flight() -> None:
    """The next one waits for it: a server that hangs since before ~/resume must be noticed."""
    rig = Rig()
    rig.watches.asked(START_NS)
    rig.watches.begin()
    assert rig.found(START_NS + S) == []
    assert [f.reaction for f in rig.found(START_NS + S + 1)] == [Reaction.PAUSE]
    rig.watches.received(False, None)  # of the episode before: it is an answer all the same
    assert rig.found(START_NS + 20 * S) == []


def test_a_query_in_flight_that_was_not_sent_after_all_is_no_silence_after_beginning() -> None:
    """There was no observation."""
    rig = Rig()
    rig.watches.asked(START_NS)
    rig.watches.begin()
    rig.watches.received(False, ObservationError("no joint state"))
    assert rig.found(START_NS + 20 * S) == []
