"""The service ~/trace: records the flows of some seconds and has them written as a trace.

It answers when the file is there, or with the reason why there is none. The executor collects the
flows. A thread of its own gives them to a process of its own, which makes the file
(trace/perfetto_file), so neither the executor nor the replay thread waits for the disk.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from itertools import islice
from pathlib import Path

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from gr00t_ros.errors import TraceError
from gr00t_ros.srv import Trace
from gr00t_ros.trace.flow import Flow
from gr00t_ros.trace.perfetto_file import SUFFIX, lines, refuse_path

SHORTEST_S, LONGEST_S = 0.1, 300.0
MOST_FLOWS = 6_000
"""A recording ends with so many (20 MB): 20 a second for the longest time."""
_WRITE_S = 60.0
_GROUP, _PAUSE_S = 8, 0.001  # so many lines are made at once, then other threads have their turn


class _FlowRecording:
    """One request that is answered later."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.began_ns = time.monotonic_ns()
        self.flows: list[Flow] = []
        self.ended_early = ""
        self.writing: futures.Future[str] | None = None
        self.answer: Future = Future()

    @property
    def lasts_s(self) -> float:
        """For how long it has been recording, s."""
        return (time.monotonic_ns() - self.began_ns) / 1e9

    def take(self, flows: Sequence[Flow]) -> None:
        """Add flows that have ended, while it records."""
        if self.writing is None:
            self.flows += flows[: MOST_FLOWS - len(self.flows)]

    def write(self) -> None:
        """Begin to write what was recorded."""
        self.seconds = min(self.seconds, self.lasts_s)
        self.writing = futures.Future()
        threading.Thread(target=self._write, name="gr00t_trace", daemon=True).start()

    def _write(self) -> None:
        assert self.writing is not None
        try:
            self.writing.set_result(_written(self.path, self.flows))
        except Exception as error:  # whatever it is, the request gets an answer
            self.writing.set_result(f"{self.path}: {type(error).__name__}: {error}")


class TraceService:
    """The service of one node; all methods run on its executor thread."""

    def __init__(self, node: Node, why_not: Callable[[], str], follow: Callable[[], None]) -> None:
        """Create the service. why_not: why nothing can be recorded now, empty if it can.

        follow: calls `tick` now, and ten times a second while `recording`.
        """
        self._why_not, self._follow = why_not, follow
        self._recording: _FlowRecording | None = None
        # In a group of its own: other requests are served while this one waits.
        group = ReentrantCallbackGroup()
        node.create_service(Trace, "~/trace", self._trace, callback_group=group)

    @property
    def recording(self) -> bool:
        """Whether a recording is under way, or its file is being written."""
        return self._recording is not None

    def tick(self, flows: Sequence[Flow]) -> None:
        """Take the flows that have ended, if a recording is under way."""
        recording = self._recording
        if recording is None:
            return
        recording.take(flows)
        writing = recording.writing
        if writing is None:
            if recording.lasts_s >= recording.seconds:
                recording.write()
            elif len(recording.flows) >= MOST_FLOWS:
                self.end((), f"the recording was full with {MOST_FLOWS} observations")
        elif writing.done():
            self._recording = None
            recording.answer.set_result(writing.result())

    def end(self, flows: Sequence[Flow], reason: str) -> None:
        """End a recording before its time, with the flows that have ended so far."""
        recording = self._recording
        if recording is not None and recording.writing is None:
            recording.take(flows)
            recording.ended_early = f"{reason} after {recording.lasts_s:.1f} s"
            recording.write()

    async def _trace(self, request: Trace.Request, response: Trace.Response) -> Trace.Response:
        self._follow()  # the flows that have ended before do not belong to this recording
        try:
            recording = self._recording = self._begin(request)
        except TraceError as error:
            response.message = str(error)
            return response
        self._follow()
        problem = await recording.answer
        response.success = not problem and not recording.ended_early
        response.message = str(problem or recording.path)
        if recording.ended_early:
            asked = f"{recording.ended_early} of {request.seconds:g} s"
            count = len(recording.flows)
            kept = problem or f"{count} observations until then are in {recording.path}"
            response.message = f"{asked}; {kept}"
        return response

    def _begin(self, request: Trace.Request) -> _FlowRecording:
        """The recording that a request asks for. Raises TraceError if there can be none."""
        running = self._recording
        if running is not None:
            left_s = max(0.0, running.seconds - running.lasts_s)
            raise TraceError(
                f"a recording to {running.path} is under way, {left_s:.1f} s are left: wait for it"
            )
        if not SHORTEST_S <= request.seconds <= LONGEST_S:
            raise TraceError(
                f"seconds: got {request.seconds:g}, expected {SHORTEST_S:g} to {LONGEST_S:g}"
            )
        if problem := self._why_not():
            raise TraceError(problem)
        path = Path(request.path) if request.path else _default_path()
        if not path.is_absolute():
            raise TraceError(f"path: got {request.path!r:.200}, expected one that begins with /")
        refuse_path(path)
        return _FlowRecording(path, request.seconds)


def _default_path() -> Path:
    """A new file below ROS's own folder; raises TraceError if that cannot be made."""
    folder = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "gr00t_traces"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceError(f"{folder}: cannot be made ({error.strerror}): give a path") from error
    return folder / time.strftime(f"trace_%Y%m%d_%H%M%S{SUFFIX}")


def _written(path: Path, flows: Sequence[Flow]) -> str:
    """Have the flows written; returns why there is no file, empty if there is."""
    if not flows:
        return (
            f"{path}: nothing was written, because no observation ended in this time; ~/status "
            "says why the node does not query"
        )
    command = [sys.executable, "-m", "gr00t_ros.trace.perfetto_file", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdin is not None
        given = lines(flows)
        with contextlib.suppress(BrokenPipeError):  # it has ended, and said why
            while group := "".join(islice(given, _GROUP)):
                child.stdin.write(group)
                child.stdin.flush()
                time.sleep(_PAUSE_S)
        try:
            output, _ = child.communicate(timeout=_WRITE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return f"{path}: not written within {_WRITE_S:g} s; is the disk there?"
    if child.returncode == 0:
        return ""
    printed = output.strip().splitlines()
    return printed[-1] if printed else f"the writing process ended with {child.returncode}"
