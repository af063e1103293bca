"""A recording ends in time, before its time, or full; each request gets one clear answer."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("perfetto", reason="the Python package perfetto is not installed")

from ros_fixtures import wait_until  # noqa: E402
from trace_reader import slices_of  # noqa: E402

from gr00t_ros.node.node import PolicyNode  # noqa: E402
from gr00t_ros.node.tracing import recording  # noqa: E402
from gr00t_ros.node.tracing.recording import TraceService  # noqa: E402
from gr00t_ros.srv import Trace  # noqa: E402
from gr00t_ros.trace.flow import Flow, Span  # noqa: E402


def flow(number):
    """An observation that ended."""
    return Flow(number, 0, 1, 0, 0, "failed", "no server", (Span("pull", 10, 20),))


class Asked:
    """The service's coroutine, as the executor runs it: one step after each tick."""

    def __init__(self, seconds, path, refused=""):
        node = SimpleNamespace(create_service=lambda *_words, **_options: None)
        self.service = TraceService(node, lambda: refused, lambda: None)
        request = Trace.Request(seconds=float(seconds), path=str(path))
        self._steps = self.service._trace(request, Trace.Response())
        self.answer = None
        self.step()

    def step(self):
        """Whether the answer is there."""
        try:
            self._steps.send(None)
        except StopIteration as end:
            self.answer = end.value
        return self.answer is not None

    def wait(self):
        """Tick until the answer is there."""
        wait_until(lambda: self.service.tick([]) or self.step(), "an answer")
        return self.answer.success, self.answer.message


def test_a_recording_that_is_ended_early_says_so_and_keeps_what_there_is(tmp_path):
    """As by a deactivation; flows that end later do not come into it."""
    path = tmp_path / "x.pftrace"
    asked = Asked(60, path)
    asked.service.tick([flow(1), flow(2)])
    asked.service.end([flow(3)], "the node was deactivated")
    asked.service.tick([flow(4)])
    success, text = asked.wait()
    assert not success and text.startswith("the node was deactivated after 0.")
    assert text.endswith(f" s of 60 s; 3 observations until then are in {path}")
    assert [one.flows for one in slices_of(path.read_bytes())] == [(1,), (2,), (3,)]


def test_a_recording_without_an_observation_writes_nothing(tmp_path):
    """A pause, for example."""
    asked = Asked(0.1, tmp_path / "x.pftrace")
    success, text = asked.wait()
    assert not success and "no observation ended in this time" in text
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_bounded(tmp_path, monkeypatch):
    """By a number of observations that no robot reaches."""
    monkeypatch.setattr(recording, "MOST_FLOWS", 3)
    path = tmp_path / "x.pftrace"
    asked = Asked(60, path)
    asked.service.tick([flow(number) for number in range(1, 9)])
    success, text = asked.wait()
    assert not success and text.startswith("the recording was full with 3 observations after")
    assert len(slices_of(path.read_bytes())) == 3


def test_a_file_that_has_come_in_between_is_not_overwritten(tmp_path):
    """It is there when the trace is written."""
    path = tmp_path / "x.pftrace"
    asked = Asked(0.1, path)
    asked.service.tick([flow(1)])
    path.write_bytes(b"mine")
    success, text = asked.wait()
    assert not success and "not overwritten" in text
    assert path.read_bytes() == b"mine"


def test_a_process_that_cannot_start_is_an_answer(tmp_path, monkeypatch):
    """Not a request that waits for ever."""
    monkeypatch.setattr(recording.sys, "executable", "/nowhere/python3")
    asked = Asked(0.1, tmp_path / "x.pftrace")
    asked.service.tick([flow(1)])
    success, text = asked.wait()
    assert not success and "FileNotFoundError" in text


def test_the_default_path_is_a_new_file_below_ros_home(tmp_path, monkeypatch):
    """Or an error if it cannot be made."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "home"))
    asked = Asked(0.1, "")
    asked.service.tick([flow(1)])
    success, text = asked.wait()
    assert success and text.startswith(f"{tmp_path}/home/gr00t_traces/trace_")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "file"))
    answer = Asked(0.1, "").answer
    assert not answer.success and "cannot be made (Not a directory): give a path" in answer.message


@pytest.mark.parametrize("raising", ["flows_done", "end"])
def test_a_recording_that_cannot_end_does_not_keep_the_robots_threads_running(raising):
    """Cleaned up: the error is logged, and all that commands the robot is closed."""

    def fail(*_words):
        raise RuntimeError("can't start new thread")

    closed, logged = [], []
    node = PolicyNode.__new__(PolicyNode)
    node._parts = SimpleNamespace(
        flows_done=fail if raising == "flows_done" else list,
        close=lambda: closed.append(True),
        latched="",
    )
    node._traces = SimpleNamespace(end=fail if raising == "end" else lambda *_words: None)
    node._operator = SimpleNamespace(latched="")
    node.get_logger = lambda: SimpleNamespace(error=logged.append)
    node._close()
    assert closed == [True] and node._parts is None
    assert "can't start new thread" in logged[0]
