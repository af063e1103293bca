"""Replay of action chunks: guard, reference, shaper and plan behind one face for the node.

Its caller serialises the calls and passes plan time. Owns what was judged, counted and consumed;
the motion is the planner's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.commands import Commands, CommandWindow
from gr00t_ros.motion.guard import Verdict, check, clamp_commands, first_step
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.planner import Planner
from gr00t_ros.motion.poses import Poses, PoseWindow
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.limits import JointLimits, Workspace
from gr00t_ros.robot.outputs import NO_COMMANDS, CommandLimits, PoseOutput
from gr00t_ros.robot.rotation import Pose

__all__ = ["CommandWindow", "ReplayCounts", "Replay", "ReplaySettings", "Verdict", "Window"]

Floats = NDArray[np.float64]

# Spare time of the deadline of an answer, beside the commit time (control.md 3).
_ANSWER_SPARE_NS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What has left of the windows that were made last.

    joints: (J,) bool; commands: (C,) bool, in the order of the limits; poses: names of outputs.
    """

    joints: NDArray[np.bool_]
    commands: NDArray[np.bool_]
    poses: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReplayCounts:
    """What has happened since construction.

    windows: sent, of joints. held_joints: times a joint kept its course because its new motion
    would have broken a limit. rebases: times the plan had to go on from its own stop tail.
    """

    accepted: int = 0
    clamped: int = 0
    refused: int = 0
    late: int = 0
    windows: int = 0
    held_joints: int = 0
    rebases: int = 0


class Replay:
    """One plan over all joints: chunks in, windows out."""

    def __init__(
        self,
        limits: JointLimits,
        settings: ReplaySettings,
        workspace: Workspace | None = None,
        command_limits: CommandLimits = NO_COMMANDS,
        poses: Sequence[PoseOutput] = (),
    ) -> None:
        """Raises SettingsError for settings that contradict each other."""
        self._limits = limits
        self.workspace = workspace
        """May be replaced before a session: its chain comes from the robot's description."""
        self._command_limits = command_limits
        self._settings = settings.check()
        self._planner = Planner(limits, settings)
        self._commands = Commands(command_limits, settings.knot_ns, settings.horizon_ns)
        self._poses = Poses(poses, settings.knot_ns, settings.commit_ns, settings.horizon_ns)
        self._stopped: str | None = None
        self._newest: ActionChunk | None = None
        self._merged_ns = 0
        self._counts = ReplayCounts()

    # What the node tells.

    def start(self, now_ns: int, held: Floats) -> None:
        """Hold `held` (J,) rad, the position that the controller holds (design decision 11).

        Not for use in motion, nor after an own stop: the plan then goes on from its tail's end.
        Raises PlanError if a position is not finite.
        """
        self._planner.start(now_ns, held)
        self._commands.stop()
        self._poses.settle(now_ns)
        self._newest, self._stopped = None, None

    def forget(self, now_ns: int) -> None:
        """Drop what was merged and not sent yet; of a plan at rest, which goes on from its end.

        Says nothing, as `start`, and keeps the past of the plan: the stop tail that has just played
        out is in the next window as it was sent.
        """
        self._planner.forget(now_ns)
        self._commands.stop()
        self._poses.settle(now_ns)
        self._newest, self._stopped = None, None

    def start_poses(self, now_ns: int, measured: Mapping[str, Pose]) -> None:
        """Begin the outputs of poses, at rest, from where their end effectors are.

        Raises PlanError for one that is not measured or outside its box.
        """
        self._poses.start(now_ns, measured)

    def accept(self, chunk: ActionChunk, now_ns: int) -> Verdict:
        """Judge a chunk and follow it from the first knot that is not committed yet.

        Raises PlanError before `start`, or if time ran back; so does every call with a time.
        """
        branch = self._planner.branch(now_ns)
        if self._stopped is not None:
            reason = f"stopped: {self._stopped}"
            return self._judged(Verdict(False, False, "stopped", reason, 0, None))
        splice_ns = branch * self._settings.knot_ns
        held = self._planner.course.state(branch).position
        verdict = check(chunk, self._limits, splice_ns, held, self.workspace)
        if verdict.joints is not None and len(self._command_limits):
            verdict = clamp_commands(verdict, chunk.commands, self._command_limits)
        refusal = "" if verdict.joints is None else self._poses.judge(chunk.poses, now_ns)
        if refusal:
            verdict = Verdict(False, False, "pose", refusal, verdict.first_step, None)
        if verdict.joints is not None:
            self._planner.join(chunk, verdict.joints, branch)
            self._poses.follow(chunk.poses, now_ns)
            if verdict.commands is not None:
                self._commands.follow(chunk, verdict.commands)
            self._newest, self._merged_ns = chunk, splice_ns
        return self._judged(verdict)

    def stop(self, now_ns: int, reason: str) -> None:
        """Stop inside the limits as soon as what is committed has played; refuse further chunks."""
        self._commands.stop()
        self._planner.branch(now_ns)
        self._poses.stop()
        self._planner.stop()
        self._newest, self._stopped = None, reason

    def resume(self) -> None:
        """Take chunks again after a stop, even while it is still under way."""
        self._stopped = None

    def limit_speed(self, velocity_scale: float) -> None:
        """Use this share of the joints' velocity limits, and tell it in `settings`.

        In motion the arm slows down inside the limits that it has; a higher share counts at once.
        Raises SettingsError for a share out of range.
        """
        self._settings = replace(self._settings, velocity_scale=velocity_scale).check()
        self._planner.limit_speed(velocity_scale)

    def leave(self, now_ns: int) -> None:
        """Send no more of what is under way: the tail of what was sent plays; `start` ends this."""
        self._commands.stop()
        self._poses.settle(now_ns)
        self._planner.leave()
        self._newest = None

    def propose(self, now_ns: int, bears_loss: bool = True) -> Window | None:
        """The window to send now, or None when there is nothing new to say.

        The plan goes on from it once `keep` was called, and from what was sent before where that
        is not called. bears_loss: its `same_until_ns` holds although `lost_windows` before it are
        lost. Raises PlanError where no lawful motion was found.
        """
        return self._planner.propose(now_ns, bears_loss)

    def command_window(self, now_ns: int) -> CommandWindow | None:
        """What to command beside joints from now on, or None when there is nothing to say.

        As of `propose`, it counts once `keep` was called.
        """
        return self._commands.window(now_ns, self.lag_ns(now_ns))

    def pose_windows(self, now_ns: int, anew: bool = True) -> Mapping[str, PoseWindow]:
        """The windows of the outputs of poses that have something to say now.

        As of `propose`, they count once `keep` was called. anew: else they repeat what was sent.
        """
        lag_ns = self.lag_ns(now_ns)
        return self._poses.windows(now_ns, lag_ns, anew) if len(self._poses) else {}

    def keep(self, left: Sent | None = None) -> None:
        """What was made last has left: all of it, or as `left` says."""
        made = self._planner.proposed
        self._planner.keep(None if left is None else left.joints)
        self._commands.keep(None if left is None else left.commands)
        self._poses.keep(None if left is None else left.poses)
        windows = made and (left is None or bool(left.joints.any()))
        self._counts = replace(self._counts, windows=self._counts.windows + windows)

    def tick(self, now_ns: int) -> Window | None:
        """As `propose`, for a caller who sends the window at once and without fail."""
        window = self.propose(now_ns)
        self.keep()
        return window

    # What the node asks.

    def position(self, now_ns: int) -> Floats:
        """(J,) rad, what the controller plays or holds."""
        return self._planner.course.at(now_ns).position

    def velocity(self, now_ns: int) -> Floats:
        """(J,) rad/s, what the controller plays."""
        return self._planner.course.at(now_ns).velocity

    def at_rest(self, now_ns: int) -> bool:
        """Whether everything that was sent has played out."""
        joints = not self._planner.stop_due and self._planner.course.end_ns <= now_ns
        return joints and self._poses.at_rest(now_ns)

    @property
    def commands_at_rest(self) -> bool:
        """Whether all that is commanded beside joints was told to rest."""
        return self._commands.at_rest

    def sent(self, at_ns: int) -> tuple[Floats, Floats] | None:
        """(J,) rad and (J,) rad/s that were sent for a plan time; None where no longer kept."""
        course = self._planner.course
        if at_ns < course.first_knot * course.knot_ns:
            return None
        state = course.at(at_ns)
        return state.position, state.velocity

    def motion_left_ns(self, now_ns: int) -> int:
        """Time until everything that was sent has played out, ns; 0 at rest."""
        return max(0, self._planner.course.end_ns - now_ns, self._poses.end_ns() - now_ns)

    def motion_unsure_ns(self, now_ns: int) -> int:
        """As `motion_left_ns`, where it is not known whether what was made last has left."""
        end_ns = max(self._planner.proposed_end_ns, self._poses.end_ns(made=True))
        return max(0, end_ns - now_ns)

    def overdue_ns(self, now_ns: int) -> int:
        """How long ago a window left where that is too long for the motion, ns; 0 where it is not.

        What the controllers play is not known any more then.
        """
        return max(self._planner.overdue_ns(now_ns), self._poses.overdue_ns(now_ns))

    def hear(self, at_ns: int | None, slept: bool = False) -> None:
        """The controllers told something new at `at_ns`; None where nobody tells whether any does.

        slept: nobody listened before. It says which of the windows have come.
        """
        if at_ns is None:
            self._planner.deaf()
        else:
            self._planner.hear(at_ns, slept)

    def doubtful(self, now_ns: int) -> bool:
        """Whether a controller may play something else than was sent: it was not heard meanwhile.

        Nothing may be sent any more then.
        """
        return self._planner.doubtful(now_ns)

    @property
    def settings(self) -> ReplaySettings:
        """The numbers of this replay."""
        return self._settings

    @property
    def stopped(self) -> str | None:
        """The reason of the stop that refuses chunks, if there is one."""
        return self._stopped

    @property
    def counts(self) -> ReplayCounts:
        """What has happened so far."""
        planner = self._planner
        return replace(self._counts, held_joints=planner.held_joints, rebases=planner.rebases)

    @property
    def deviation_rad(self) -> Floats:
        """(J,) rad, the newest plan's distance from the raw reference where it was extended."""
        return self._planner.deviation

    def lag_ns(self, now_ns: int) -> int:
        """How far the reference has been slowed down to respect velocity limits, ns."""
        return self._planner.course.lag_at(now_ns // self._settings.knot_ns)

    def remaining_ns(self, now_ns: int) -> int:
        """Raw reference that is left, ns; 0 without one."""
        end_ns = self._planner.reference.end_ns
        return max(0, end_ns - now_ns) if end_ns is not None else 0

    def consumed_steps(self, now_ns: int) -> int:
        """Steps of the newest merged chunk that have been played since it was merged."""
        if self._newest is None:
            return 0
        first = first_step(self._newest, self._merged_ns)
        due = (now_ns - self._newest.stamp_ns) // self._newest.step_ns
        return max(0, min(due, len(self._newest.joints) - 1) + 1 - first)

    def query_by_ns(self, latency_ns: int) -> int | None:
        """Plan time by which to ask for the next chunk so that motion goes on; None: at once."""
        end_ns = self._planner.reference.end_ns
        if end_ns is None:
            return None
        return end_ns - latency_ns - self._settings.commit_ns - _ANSWER_SPARE_NS

    def _judged(self, verdict: Verdict) -> Verdict:
        counts, late = self._counts, verdict.kind == "late"
        self._counts = replace(
            counts,
            accepted=counts.accepted + verdict.accepted,
            clamped=counts.clamped + verdict.clamped,
            late=counts.late + late,
            refused=counts.refused + (not verdict.accepted and not late),
        )
        return verdict
