"""The node gr00t_streamer: windows of the policy node as points to a forward command controller.

JointPlayer computes the command at any time of the plan clock. The streaming thread samples it at
`rate_hz`. When no window follows, it plays the last window to its end, which is at rest.
"""

from __future__ import annotations

import copy
import sys
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.graph.heartbeat import Heartbeat
from gr00t_ros.inputs.stream_report import Graph
from gr00t_ros.motion.sampler import JointMotion, JtcSampler, Trajectory
from gr00t_ros.msg import ControllerState
from gr00t_ros.robot.limits import POSITION_UNIT
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.node_help import NodeHelp
from gr00t_ros.ros.periodic import LATENESS, SWITCH_S, PeriodicThread, ask_for_fifo
from gr00t_ros.ros.process import run_node
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.ros.windows import parse_trajectory, to_time
from gr00t_ros.stream.command_player import LAST_SENT, LATE_NS, LEAVE_S
from gr00t_ros.stream.measured import MeasuredJoints
from gr00t_ros.stream.points import HELP_ROWS, POINTS, Points, declare_settings

Floats = NDArray[np.float64]

RELEASE_S = 4.0
"""Longest wait at the end for the arms to be given back to the robot (stream/unitree.RAMP_NS)."""

# Plan time that gains this much on steady time has jumped (watch/inputs.py). A simulation may
# run faster than steady time, in steps of its /clock.
_JUMP_NS = 500_000_000
# After this long without a new point the arm has come to rest at the last point.
_ASLEEP_NS = 300_000_000
REST_NS = 500_000_000
"""A robot measured for so long at the point that is held rests there, and is not passing by."""
_CLOCKS = ": is the clock of the policy node's computer that of this one?"
_STATE_NS, _DIAGNOSTICS_NS = 20_000_000, 1_000_000_000


class JointPlayer:
    """Returns nothing before its first window, and holds the end of its last."""

    def __init__(self, joint_names: tuple[str, ...], max_jump_rad: float) -> None:
        """`max_jump_rad`: most that a window may move a joint at the instant it takes over."""
        self._names, self._max_jump_rad = joint_names, max_jump_rad
        self._sampler = JtcSampler(len(joint_names), interpolate_from_desired_state=True)
        self._lock = threading.Lock()
        self._started = False
        self._end_ns = 0
        self._last: tuple[int, int] | None = None  # plan time and steady time of the last call
        self._catches_up_until_ns = 0
        """Until then, in steady time, /clock may come that was not taken during a late call."""
        self._commanded: Floats | None = None
        self._sent: tuple[Floats, int] | None = None  # the last point that has gone, steady time
        self.waits = False
        """Whether nothing may be sent until a window begins, or the robot rests, where it holds."""
        self._there_ns: int | None = None  # since when the robot is measured there, steady time
        self.accepted = 0

    def tell_time(self, now_ns: int, steady_ns: int) -> str:
        """Take both times of one instant, before the first use of `now_ns`.

        Returns what was wrong, or "". After a jump of plan time or a late call the motion is
        shifted, so that it continues from the last commanded point. After a longer sleep the
        player holds that point, because the arm has come to rest there.
        """
        last, self._last = self._last, (now_ns, steady_ns)
        if last is None or self._commanded is None:
            return ""
        went_ns, lost_ns = now_ns - last[0], steady_ns - last[1]
        most_ns = LATE_NS if steady_ns < self._catches_up_until_ns else _JUMP_NS
        if lost_ns > LATE_NS:
            self._catches_up_until_ns = steady_ns + _ASLEEP_NS
        if lost_ns > _ASLEEP_NS:
            with self._lock:
                self._sampler.hold(self._commanded)
                self._end_ns = now_ns
            return f"asleep for {lost_ns / 1e9:.2f} s: holding the last commanded point"
        if went_ns >= 0 and went_ns - lost_ns <= most_ns and lost_ns <= LATE_NS:
            return ""
        with self._lock:
            self._sampler.shift(went_ns)
            self._end_ns += went_ns
        why = "the clock went on" if went_ns >= 0 else "the clock went back"
        return f"{why} by {abs(went_ns) / 1e9:.3f} s in {lost_ns / 1e9:.3f} s: playing on from here"

    def hold(self, position: Floats, now_ns: int) -> None:
        """Start at rest at `position` (J,) rad or m, without a window."""
        with self._lock:
            self._sampler.hold(position)
            self._end_ns, self._started = now_ns, True

    @property
    def started(self) -> bool:
        """Whether there is a motion to play or a position to hold."""
        return self._started

    def accept(self, window: Trajectory, now_ns: int, measured: Floats | None) -> str | None:
        """Play a window from now on, or return why it is refused; the motion then stays as it is.

        measured: (J,) rad or m, None when it is not known; only the first window needs it.
        """
        reason = _not_finite(window) or _begins_later(window, now_ns) or _over(window, now_ns)
        if reason is not None:
            return reason
        with self._lock:
            trial = copy.copy(self._sampler)  # shallow: the sampler never writes into its arrays
        held = trial.sample(now_ns)[0] if self._started else measured
        if held is None:
            return "first window: the measured joint state is not known"
        reason = trial.accept(window, now_ns, held) or self._jump(trial, held, now_ns)
        if reason is not None:
            return reason
        with self._lock:
            self._sampler.accept(window, now_ns, held)
            self._end_ns = (window.stamp_ns or now_ns) + int(window.times_ns[-1])
            self._started, self.waits = True, False
            self.accepted += 1
        return None

    def sample(self, now_ns: int) -> JointMotion | None:
        """Position, velocity and acceleration, each (J,); None before the first window."""
        with self._lock:
            if not self._started:
                return None
            motion = self._sampler.sample(now_ns)
            self._commanded = motion[0]
            return motion

    def gone(self, sent: bool, now_ns: int, steady_ns: int) -> None:
        """Whether the point of the last `sample` has gone to the receiver.

        Where none has gone for LATE_NS, the receiver holds the last one that has: what is played
        since would be a step, and the receiver may have been started anew elsewhere. That point is
        held, and nothing is sent, until a window begins there or `measured_at` finds the robot
        there.
        """
        assert self._commanded is not None, "sampled"
        if sent:
            self._sent = self._commanded, steady_ns
        elif self._sent is None or steady_ns - self._sent[1] > LATE_NS:
            self.hold(self._commanded if self._sent is None else self._sent[0], now_ns)
            self.waits, self._there_ns = True, None

    def measured_at(self, position: Floats | None, now_ns: int, steady_ns: int) -> None:
        """End the wait once the robot was measured at the held point for REST_NS.

        To send that point is then no step. position: (J,) rad or m; None when it is not known, or
        when the receiver takes nothing.
        """
        if position is None or not self._held_at(position, now_ns):
            self._there_ns = None
        elif self._there_ns is None:
            self._there_ns = steady_ns
        elif steady_ns - self._there_ns >= REST_NS:
            self.waits = False

    def _held_at(self, position: Floats, now_ns: int) -> bool:
        motion = self.sample(now_ns)
        return motion is not None and np.abs(motion[0] - position).max() <= self._max_jump_rad

    def moves(self, now_ns: int) -> bool:
        """Whether the last window still plays."""
        with self._lock:
            return self._started and now_ns < self._end_ns

    def _jump(self, trial: JtcSampler, held: Floats, now_ns: int) -> str | None:
        away = np.abs(trial.sample(now_ns)[0] - held)
        worst = int(away.argmax())
        if away[worst] <= self._max_jump_rad:
            return None
        return (
            f"jump of {self._names[worst]}: got {away[worst]:.4f} {POSITION_UNIT} from where "
            f"it is now, expected at most {self._max_jump_rad}"
        )


def _begins_later(window: Trajectory, now_ns: int) -> str | None:
    if window.stamp_ns <= now_ns:
        return None
    later_s = (window.stamp_ns - now_ns) / 1e9
    return f"begin: got {later_s:.3f} s in the future, expected a window that has begun{_CLOCKS}"


def _over(window: Trajectory, now_ns: int) -> str | None:
    if not window.stamp_ns or window.end_ns >= now_ns:
        return None
    ago_s = (now_ns - window.end_ns) / 1e9
    return f"end: got {ago_s:.3f} s in the past, expected one to come{_CLOCKS}"


def _not_finite(window: Trajectory) -> str | None:
    for name in ("positions", "velocities", "accelerations"):
        field = getattr(window, name)
        if field is not None and not np.isfinite(field).all():
            return f"{name}: got NaN or infinity, expected finite numbers"
    return None


class Streamer(Node):
    """Sends nothing before its first window; publishes what it plays on ~/controller_state."""

    def __init__(self) -> None:
        """Start the streaming thread; raises SettingsError for missing or wrong parameters."""
        super().__init__("gr00t_streamer")
        self._settings = settings = declare_settings(self)
        self._clock_of_plan = PlanClock(self)
        self._player = JointPlayer(settings.joints, settings.max_jump_rad)
        self._ready = False  # whether the position was proven once
        self._rejected, self._last_rejection = 0, ""
        self._points: Points = POINTS[settings.command_type](self, settings)
        self._states = self.create_publisher(ControllerState, "~/controller_state", qos.SENSOR)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._joints = MeasuredJoints(
            PulledSubscription(self, (JointState,), "/joint_states", profiles=(qos.JOINTS,)),
            Graph(self),
            settings.joints,
        )
        self._windows = PulledSubscription(
            self, (JointTrajectory,), settings.window_topic, raw=False, profiles=(qos.COMMAND,)
        )
        self._heart = Heartbeat(self, self._windows.topic)
        self._leaving, self._ends_sent = False, 0
        self._state_due_ns = self._diagnostics_due_ns = 0
        self._spare_ns = round(0.5e9 / settings.rate_hz)
        if settings.realtime_priority:
            # This does not make it faster, but the thread is not preempted while it holds the GIL.
            ask_for_fifo(settings.realtime_priority)
        self._thread = PeriodicThread(
            "gr00t_streamer",
            round(1e9 / settings.rate_hz),
            settings.realtime_priority,
            self._tick,
            self.get_logger().error,
        )
        self._thread.start()
        self.get_logger().info(
            f"waiting for windows on {self._windows.topic}, for {len(settings.joints)} joints "
            f"at {settings.rate_hz} Hz to {self._points.topic}"
        )

    def leave(self) -> None:
        """Take no more windows, play the last one to its end, give the arms back, then stop."""
        self._leaving = True
        self._spin_until(lambda: self._ends_sent >= LAST_SENT, LEAVE_S)
        self._points.release(time.monotonic_ns())
        self._spin_until(lambda: self._points.released, RELEASE_S)
        self._thread.stop()  # it waits for the point that is being sent

    def _spin_until(self, done: Callable[[], bool], limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while not done() and time.monotonic() < deadline_s:
            self._spin_leaving()

    def _spin_leaving(self) -> None:
        """Run the executor once, so that simulated time arrives; log its errors and continue."""
        try:
            executor = self.executor
            assert executor is not None  # run_node's, which ends after it has called `leave`
            executor.spin_once(timeout_sec=0.01)
        except Exception as error:
            self.get_logger().error(f"while leaving: {error}", throttle_duration_sec=1.0)

    def _tick(self) -> None:
        """Send the point that is due first, then do the rest; runs on the streaming thread.

        The clock is read once for all of it, because simulated time may jump in between.
        """
        steady_ns, now_ns = time.monotonic_ns(), self._clock_of_plan.now_ns()
        wrong = self._player.tell_time(now_ns, steady_ns)
        leaving = self._leaving  # before it is sent: no window is taken afterwards
        self._stream(now_ns, steady_ns)
        if leaving and not self._player.moves(now_ns):
            self._ends_sent += 1
        # The policy node starts once it receives heartbeats. No window is taken while leaving, and
        # the first one not before the measured position was proven.
        if not self._leaving and self._ready:
            self._heart.beat(steady_ns)
        if wrong:
            self.get_logger().error(wrong)
        works = (
            self._take_window,
            self._measure,
            self._end_wait,
            self._report_state,
            self._diagnose,
        )
        for work in works:
            work(now_ns, steady_ns)
            if time.monotonic_ns() - steady_ns > self._spare_ns:
                return  # the rest can wait: the next point is due soon

    def _stream(self, now_ns: int, steady_ns: int) -> None:
        motion = self._player.sample(now_ns)
        if motion is not None and not self._player.waits:
            self._player.gone(self._points.send(motion[0], steady_ns), now_ns, steady_ns)

    def _take_window(self, now_ns: int, steady_ns: int) -> None:
        """Take the newest window and play it from now on, or report why it is refused."""
        message = None if self._leaving else self._windows.take()
        if message is None:
            return
        measured = None if self._player.started else self._joints.first(steady_ns)
        if isinstance(measured, str):
            self._reject(f"first window: {measured}")
            return
        refused = self._points.refuses(steady_ns)
        if refused:
            self._reject(refused)
            return
        window = parse_trajectory(message, self._settings.joints, self._clock_of_plan.offset_ns())
        if isinstance(window, str):
            reason: str | None = window
        else:
            reason = self._player.accept(window, now_ns, measured)
        if reason is not None:
            self._reject(reason)

    def _reject(self, reason: str) -> None:
        """Log a new kind of reason (its first word) at once, the same kind once a second."""
        again = reason.split()[0] == self._last_rejection.split(" ")[0]
        self._rejected += 1
        self._last_rejection = reason
        log = self.get_logger().error
        if again:
            log(f"rejected window: {reason}", throttle_duration_sec=1.0)
        else:
            log(f"rejected window: {reason}")

    def _measure(self, now_ns: int, steady_ns: int) -> None:
        """Take the joint states; begin to hold what is proven, where the robot has to be held."""
        self._joints.pull(steady_ns, self._clock_of_plan.ros_now_ns())
        if time.monotonic_ns() - steady_ns <= self._spare_ns:
            self._joints.look(steady_ns)
        if self._player.started:
            return
        self._ready = self._ready or not self._joints.doubt(steady_ns)
        if self._ready and self._points.holds_first and now_ns and not self._leaving:
            measured = self._joints.first(steady_ns)
            if not isinstance(measured, str):
                self._player.hold(measured, now_ns)

    def _end_wait(self, now_ns: int, steady_ns: int) -> None:
        """Send again what is held once the robot is there: the base's commands go along with it."""
        if not self._player.waits:
            return
        against = self._joints.doubt(steady_ns) or self._points.refuses(steady_ns)
        measured = None if against else self._joints.position(steady_ns)
        self._player.measured_at(measured, now_ns, steady_ns)

    def _refuses(self, steady_ns: int) -> str:
        """Why no window may be played now; empty if one may."""
        doubt = "" if self._player.started else self._joints.doubt(steady_ns)
        return doubt or self._points.refuses(steady_ns)

    def _report_state(self, now_ns: int, steady_ns: int) -> None:
        """Publish what is played at `now_ns`: the policy node starts from it (design decision 11).

        Before the first window it is the measured position, because that window has to begin
        there; the node can also see from it that none of its windows is played. While no window may
        be played the speed scaling is published as 0, so that the node does not start.
        """
        if steady_ns < self._state_due_ns:
            return
        self._state_due_ns = steady_ns + _STATE_NS
        measured = self._joints.position(steady_ns)
        if measured is None:
            return
        rest = np.zeros_like(measured)
        motion = self._player.sample(now_ns) or (measured, rest, rest)
        position, velocity, acceleration = (part.tolist() for part in motion)
        message = ControllerState(
            joint_names=list(self._settings.joints),
            reference=JointTrajectoryPoint(
                positions=position, velocities=velocity, accelerations=acceleration
            ),
            feedback=JointTrajectoryPoint(positions=measured.tolist()),
            error=JointTrajectoryPoint(positions=(motion[0] - measured).tolist()),
            output=JointTrajectoryPoint(positions=position),
            speed_scaling_factor=0.0 if self._refuses(steady_ns) else 1.0,
        )
        message.header.stamp = to_time(now_ns + self._clock_of_plan.offset_ns())
        self._states.publish(message)

    def _diagnose(self, now_ns: int, steady_ns: int) -> None:
        if steady_ns < self._diagnostics_due_ns:
            return
        self._diagnostics_due_ns = steady_ns + _DIAGNOSTICS_NS
        lateness = self._thread.latencies.summary(LATENESS)
        level, text = self._condition(now_ns, steady_ns)
        values = {
            "lateness p50/p99/max us": "/".join(
                f"{ns / 1e3:.0f}" for ns in (lateness.p50_ns, lateness.p99_ns, lateness.max_ns)
            ),
            "missed": self._thread.missed,
            "SCHED_FIFO": self._thread.realtime,
            "windows accepted": self._player.accepted,
            "windows rejected": self._rejected,
            "last rejection": self._last_rejection,
        }
        status = entry(f"gr00t_streamer: {self._points.topic}", level, text, values.items())
        message = DiagnosticArray(status=[status])
        message.header.stamp = to_time(self._clock_of_plan.ros_now_ns())
        self._diagnostics.publish(message)

    def _condition(self, now_ns: int, steady_ns: int) -> tuple[bytes, str]:
        topic = self._settings.command_topic
        refused = self._refuses(steady_ns)
        if refused:
            return DiagnosticStatus.WARN, refused
        if self.count_publishers(topic) > 1:
            return DiagnosticStatus.ERROR, f"another publisher commands {topic}: stop it"
        # what plays goes on: it needs no measured position, and the policy node pauses by itself
        mixed = self._joints.mixed(steady_ns)
        if mixed:
            return DiagnosticStatus.WARN, mixed
        if now_ns == 0:
            return DiagnosticStatus.WARN, "use_sim_time: no time on /clock yet"
        if not self._player.accepted:
            return DiagnosticStatus.OK, "waiting for the first window"
        moves = self._player.moves(now_ns)
        return DiagnosticStatus.OK, "playing" if moves else "holding"


def _leave(node: Node) -> None:
    assert isinstance(node, Streamer)
    node.leave()


HELP = NodeHelp(
    "gr00t stream joints",
    "Node gr00t_streamer: plays the windows of one joint output as points of a forward command "
    "controller, or as a Unitree robot's LowCmd, at its rate. Start it beside the policy node.",
    HELP_ROWS,
    "gr00t stream joints --ros-args --params-file streamer.yaml",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    sys.setswitchinterval(SWITCH_S)
    return run_node(Streamer, arguments, _leave, about=HELP, shared_memory=False)


if __name__ == "__main__":
    sys.exit(main())
