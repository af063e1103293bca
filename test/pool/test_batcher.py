"""The batcher on a virtual clock: no admitted request is answered later than its front expected."""

from itertools import accumulate
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.pool.admission import Expectation
from gr00t_ros.pool.replica import Batcher
from gr00t_ros.pool.rows import Row

MS = 1_000_000
OBSERVATION = {
    "video": {"camera": np.zeros((1, 1, 1, 1, 3), np.uint8)},
    "state": {"joints": np.zeros((1, 1, 2), np.float32)},
    "language": {"task": [["go"]]},
}


class NoMoreRobotsError(Exception):
    """Ends the batcher's loop."""


class Replica:
    """A policy, its robots and time on one thread, integer ns: nothing really waits.

    Stands for the condition, for `threading`, `time` and `Future` in replica.py, and for the
    policy. came_ns: when each robot asks.
    """

    modality = {}

    def __init__(self, came_ns, batch_ns):
        self.now_ns, self.due_ns, self.batch_ns = 0, list(came_ns), batch_ns
        self.asked, self.answered = [], []

    def serve(self, rows, wait_ns):
        """Answer all robots by the batcher's own loop."""
        replica, loops = self, []

        class Answer:
            """A future that is read by nobody here."""

            __class_getitem__ = classmethod(lambda cls, _: cls)

            def result(self):
                """Nothing: the robot that asked goes on at once."""

            def set_result(self, _):
                """Note when."""
                replica.answered.append(replica.now_ns)

        def thread(target, **_):
            loops.append(target)
            return SimpleNamespace(start=lambda: None)

        clock = {"monotonic": lambda: self.now_ns / 1e9, "monotonic_ns": lambda: self.now_ns}
        with pytest.MonkeyPatch.context() as patch:
            module = "gr00t_ros.pool.replica"
            threads = SimpleNamespace(Condition=lambda: self, Thread=thread)
            patch.setattr(f"{module}.threading", threads)
            patch.setattr(f"{module}.time", SimpleNamespace(**clock))
            patch.setattr(f"{module}.Future", Answer)
            self.batcher = Batcher(self, rows, wait_ns / 1e9)
            with pytest.raises(NoMoreRobotsError):
                loops[0]()

    def __call__(self, observation, options):
        """The policy: time passes, and robots ask meanwhile."""
        end_ns = self.now_ns + self.batch_ns
        while self.due_ns and self.due_ns[0] <= end_ns:
            self._next()
        self.now_ns = end_ns
        return {"joints": observation["state"]["joints"]}, {}

    def _next(self):
        """Let the next robot ask."""
        self.now_ns = max(self.now_ns, self.due_ns.pop(0))
        self.asked.append((self.now_ns, len(self.asked) - len(self.answered)))
        self.batcher(Row("robot", OBSERVATION))

    # The condition.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """As a lock."""

    def notify(self):
        """The loop is on this thread."""

    def wait_for(self, is_true):
        """Let robots ask until the batcher goes on."""
        while not is_true():
            if not self.due_ns:
                raise NoMoreRobotsError
            self._next()

    def wait(self, limit_s):
        """Until a robot asks, or the limit."""
        until_ns = self.now_ns + round(limit_s * 1e9)
        if self.due_ns and self.due_ns[0] <= until_ns:
            self._next()
        else:
            self.now_ns = until_ns


@settings(max_examples=examples(200), deadline=None)
@example([4] * 40, 8, 5, 85)
@example([4] * 40, 8, 5, 1)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
    st.integers(1, 9),
    st.integers(0, 12),
    st.integers(1, 40),
)
def test_no_answer_comes_later_than_admission_expects(gaps_ms, rows, wait_ms, batch_ms):
    """Whenever robots ask: all waits of a batch are in the expected time, and bounded by a call."""
    replica = Replica(accumulate(gap * MS for gap in gaps_ms), batch_ms * MS)
    replica.serve(rows, wait_ms * MS)
    assert len(replica.answered) == len(replica.asked) == len(gaps_ms)
    expected = Expectation(rows, wait_ms * MS, batch_ms * MS)
    for (came_ns, ahead), answered_ns in zip(replica.asked, replica.answered, strict=True):
        assert answered_ns - came_ns <= expected.after_ns(ahead, 1)
    assert expected.after_ns(0, 1) <= max(wait_ms + batch_ms, 2 * batch_ms) * MS
