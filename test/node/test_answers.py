"""Each outcome of a query is merged, counted, dropped or a fault; real session, fake watches.

Every error that a query may raise is told apart: counted, dropped, a fault, or a server to check.
"""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import (
    ChunkError,
    ClosedError,
    DeadlineError,
    ObservationError,
    RefusedError,
    RemoteError,
    SkewError,
    TooLargeError,
    UnreachableError,
    WireError,
)
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.node.answers import MOST_EXCHANGE_BYTES, ReplyHandler, action_chunk, too_large
from gr00t_ros.node.queries import QueryReply
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.watch.server import advised
from gr00t_ros.watch.table import finding

EMBODIMENT = load_embodiment("franka_droid")
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])
START_NS, TICK_NS = 10**12, 20_000_000
DROP = finding("workspace_box", "end effector: z is 2 m")
FAULT = finding("non_finite", "row 3: chunk 2 that is not finite", True)


class Rig:
    """A session, what the watches say next, and what was published and reported."""

    def __init__(self, active=True):
        replay = Replay(EMBODIMENT.limits, ReplaySettings(), EMBODIMENT.workspace)
        self.session, self.now_ns = Session(replay, SessionSettings()), START_NS
        self.finding, self.heard, self.published, self.unfit = None, [], [], []
        policy = SimpleNamespace(received=self._heard)
        watches = SimpleNamespace(policy=policy, go_on_from=lambda now_ns: HOME)
        publish = lambda reply, verdict: self.published.append((reply, verdict))  # noqa: E731
        self.answers = ReplyHandler(watches, publish, self.unfit.append)
        if active:
            self.session.set_ready(True, "")
            self.session.activate(START_NS, HOME)

    def _heard(self, chunk_came, error):
        self.heard.append((chunk_came, error))
        return self.finding

    def reasons(self):
        """Of ~/action_chunk, where none was accepted."""
        messages = [action_chunk(EMBODIMENT, *answer) for answer in self.published]
        assert not any(message.accepted for message in messages)
        return [message.reason for message in messages]

    def chunk(self, episode=None, joints=HOME, age_ns=0):
        number = self.session.episode if episode is None else episode
        rows, stamp_ns = np.tile(joints, (40, 1)), self.now_ns - age_ns
        raw = {key.key: np.zeros((40, key.width), np.float32) for key in EMBODIMENT.action}
        reply = QueryReply(
            ActionChunk(0, number, stamp_ns, EMBODIMENT.step_ns, rows, raw), stamp_ns, 0
        )
        self.answers.apply(self.session, self.now_ns, reply, None)
        return self

    def fail(self, error, times=1):
        for _ in range(times):
            self.answers.apply(self.session, self.now_ns, None, error)
        return self

    def tick(self, count=3):
        for _ in range(count):
            self.now_ns += TICK_NS
            self.session.tick(self.now_ns, (), HOME)
            self.session.keep()
        return self


def test_a_chunk_is_merged_and_published_with_its_verdict() -> None:
    """Whatever the guard makes of it."""
    rig = Rig().chunk().chunk(joints=HOME + 1.0)
    assert [verdict.kind for _, verdict in rig.published] == ["", "position"]
    assert rig.heard == [(True, None), (True, None)]
    counts = rig.session.counts
    assert (counts.accepted, counts.refused, rig.unfit) == (1, 1, [])


def test_a_chunk_of_an_older_episode_is_dropped_and_tells_nothing_of_where_the_arm_is() -> None:
    """The watches hear that something came, not that a chunk did."""
    rig = Rig().chunk(episode=0)
    assert rig.heard == [(False, None)]
    assert rig.reasons() == ["dropped: of an older episode, or not wanted now"]
    assert (rig.session.counts.dropped, rig.session.counts.refused) == (1, 0)


def test_a_chunk_whose_steps_are_all_due_is_dropped_and_not_refused() -> None:
    """The machine was late: that is no fault of the policy, and nothing counts it as one."""
    rig = Rig().chunk(age_ns=60 * EMBODIMENT.step_ns)
    (reason,) = rig.reasons()
    assert reason.startswith("dropped: all 40 steps due ")
    assert (rig.session.counts.dropped, rig.session.counts.refused) == (1, 0)
    assert rig.session.counts.refusal == ""


def test_a_chunk_that_a_watch_refuses_is_published_and_not_merged() -> None:
    """It counts as one refused: the third in a row faults with the watch's reason."""
    rig = Rig()
    rig.finding = DROP
    for count in (1, 2, 3):
        rig.chunk()
        assert rig.session.counts.refused == count
        assert (rig.session.mode is Mode.BLENDING_IN) is (count < 3)
    assert rig.reasons() == [DROP.reason] * 3
    assert rig.session.counts.refusal == DROP.reason
    assert rig.session.counts.accepted == 0
    assert rig.session.reason == (
        "3 answers of the policy server refused in a row, the last: end effector: z is 2 m; move "
        "the arm back into the box, or widen the box"
    )


def test_a_watch_that_faults_does_so_at_once_and_keeps_the_first_reason() -> None:
    """With the watch's own text; what comes later while the fault stands does not replace it."""
    rig = Rig()
    rig.finding = FAULT
    rig.fail(ChunkError("nan", kind="finite"))
    rig.tick()
    assert rig.session.mode is Mode.FAULT and rig.session.reason == FAULT.reason
    rig.finding = finding("non_finite", "another", True)
    rig.fail(ChunkError("nan", kind="finite"))
    assert rig.session.reason == FAULT.reason and rig.published == []


def test_a_fault_that_an_answer_after_the_deactivation_would_be_is_none() -> None:
    """There is no motion to stop."""
    rig = Rig(active=False)
    rig.finding = FAULT
    rig.fail(ChunkError("nan", kind="finite"))
    assert rig.session.mode is Mode.WAITING and rig.session.counts.failures == 1


WIDE = RemoteError(
    "get_action: the server answered: State key 'a' must have width 7", "must have width 7"
)
UNFIT = [
    WIDE,
    RefusedError("another embodiment"),
    *(ChunkError(f"wrong {kind}", kind=kind) for kind in ("keys", "dtype", "shape")),
]


@pytest.mark.parametrize("error", UNFIT, ids=str)
def test_what_the_next_query_cannot_mend_faults_at_once_and_has_the_server_checked(error) -> None:
    """Another embodiment, wrong keys or shapes."""
    rig = Rig().fail(error).tick()
    assert (rig.session.mode, rig.session.reason) == (Mode.FAULT, advised(error))
    assert rig.unfit == [advised(error)]


@pytest.mark.parametrize("error", UNFIT, ids=str)
def test_what_comes_late_into_a_fault_does_not_replace_its_reason(error) -> None:
    """The e-stop's, of which the operator has to know; the server is checked all the same."""
    rig = Rig()
    rig.session.fault(rig.now_ns, "e-stop pressed")
    assert rig.tick().session.mode is Mode.FAULT
    rig.fail(error)
    assert (rig.session.mode, rig.session.reason) == (Mode.FAULT, "e-stop pressed")
    assert rig.unfit == [advised(error)]


@pytest.mark.parametrize("error", UNFIT, ids=str)
def test_after_the_deactivation_it_is_counted_and_no_more(error) -> None:
    """The check before the next activation finds it."""
    rig = Rig(active=False).fail(error, times=5)
    assert rig.session.mode is Mode.WAITING and rig.unfit == []


ANSWERS = [
    WireError("garbage"),
    TooLargeError("20 MB"),
    ChunkError("nan", kind="finite"),
]


@pytest.mark.parametrize("error", ANSWERS, ids=str)
@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_the_third_answer_in_a_row_that_is_an_error_faults_and_has_the_server_checked(
    error, times
) -> None:
    """Once; another server may be behind the same port."""
    rig = Rig().fail(error, times)
    assert rig.session.counts.failures == times
    assert rig.unfit == [str(error)] * (times >= 3)
    assert (rig.tick().session.mode is Mode.FAULT) is (times >= 3)
    if times >= 3:
        assert rig.session.reason.endswith(f"refused in a row, the last: {error}")


def test_a_good_chunk_between_begins_the_row_anew() -> None:
    """Two answers that are none, a chunk, two such answers."""
    rig = Rig().fail(ANSWERS[0], 2).chunk().fail(ANSWERS[1], 2)
    assert rig.session.counts.failures == 4 and rig.unfit == []
    assert rig.tick().session.mode is Mode.BLENDING_IN


@pytest.mark.parametrize(
    "said", ["busy: waited 500 ms for its turn", "CUDA out of memory", "unheard of", ""]
)
def test_an_error_that_may_pass_never_faults_by_its_number_and_is_told_with_its_remedy(
    said,
) -> None:
    """Its watch goes by time; no other server is suspected."""
    rig = Rig().chunk()
    while rig.session.mode is not Mode.HOLDING:
        rig.tick()
    error = RemoteError(f"get_action: the server answered: {said}", said)
    rig.fail(error, times=20).tick()
    assert rig.session.mode is Mode.HOLDING and rig.unfit == []
    assert (rig.session.counts.failures, rig.session.counts.refused) == (20, 0)
    assert rig.session.reason == f"no chunk left to play: {advised(error)}"


def test_a_connection_that_the_server_closed_never_faults_by_its_number() -> None:
    """A proxy without memory cuts all off again and again: its watch goes by time as well."""
    error = ClosedError("the server closed the connection before its reply")
    rig = Rig().chunk().fail(error, times=20).tick()
    assert rig.session.mode is Mode.BLENDING_IN and rig.unfit == []
    assert (rig.session.counts.failures, rig.session.counts.refused) == (20, 0)


SILENT = [
    DeadlineError("no answer within 2000 ms"),
    UnreachableError("nobody listens"),
    ObservationError("no joint state"),
    SkewError("apart", "wrist", 2, 1),
    ValueError("ours"),
]


@pytest.mark.parametrize("error", SILENT, ids=repr)
def test_what_is_no_answer_never_faults_by_its_number(error) -> None:
    """Silence is sidecar_dead's, a missing observation the streams'."""
    rig = Rig().fail(error, times=20).tick()
    assert rig.session.mode is Mode.BLENDING_IN and rig.unfit == []
    assert (rig.session.counts.failures, rig.session.counts.refused) == (20, 0)


def test_an_error_that_is_not_ours_is_named_with_its_type() -> None:
    """The operator reads it while the arm holds."""
    rig = Rig().chunk()
    while rig.session.mode is not Mode.HOLDING:
        rig.tick()
    rig.fail(ValueError("bad"))
    assert rig.session.reason == "no chunk left to play: ValueError: bad"


@pytest.mark.parametrize(("more", "published"), [(0, True), (1, False)])
def test_a_query_that_would_delay_windows_is_not_published(more, published) -> None:
    """Rclpy holds the interpreter's lock while it publishes, beside the replay thread."""
    frame = memoryview(bytes(MOST_EXCHANGE_BYTES - 100 + more))
    problem = too_large(SimpleNamespace(frame=frame, reply=bytes(100)))
    assert (problem == "") is published
    assert published or "2.0 MB" in problem and "gr00t sidecar dump --bag" in problem
