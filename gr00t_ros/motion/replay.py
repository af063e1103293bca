"""Replay of action chunks: guard, reference, shaper and plan behind one interface for the node.

The caller makes all calls one after another and passes plan time. Replay keeps the newest chunk,
the planner the motion.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.clearance import Ahead, MotionCheck, PoseMotionCheck
from gr00t_ros.motion.commands import Commands, CommandWindow
from gr00t_ros.motion.guard import Verdict, check, clamp_commands, refused
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.planner import Planner
from gr00t_ros.motion.pose.course import PoseWindow
from gr00t_ros.motion.pose.windows import Poses
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.limits import NO_COMMANDS, CommandLimits, JointLimits, Workspace
from gr00t_ros.robot.outputs import PoseOutput
from gr00t_ros.robot.rotation import Pose

__all__ = ["CommandWindow", "Replay", "ReplaySettings", "Verdict", "Window"]

Floats = NDArray[np.float64]

# Spare time of the deadline of an answer, in addition to the commit time (control.md 3).
ANSWER_SPARE_NS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SentParts:
    """Which parts of the windows made last were sent.

    joints: (J,) bool; commands: (C,) bool, in the order of the limits; poses: names of outputs.
    """

    joints: NDArray[np.bool_]
    commands: NDArray[np.bool_]
    poses: frozenset[str]


class Replay:
    """One plan over all joints: chunks in, windows out.

    Call `start`, then `accept` for each chunk. At each refresh call `propose`, `command_window` and
    `pose_windows`, send what they return, and call `keep`.
    """

    def __init__(
        self,
        limits: JointLimits,
        settings: ReplaySettings,
        workspace: Workspace | None = None,
        command_limits: CommandLimits = NO_COMMANDS,
        poses: Sequence[PoseOutput] = (),
        motion_check: MotionCheck | None = None,
    ) -> None:
        """motion_check: what each window of joints must pass; None: no check.

        Raises SettingsError for settings that contradict each other.
        """
        self._limits = limits
        self.workspace = workspace
        """May be replaced before a session: its chain comes from the robot's description."""
        self._command_limits = command_limits
        self._settings = settings.check()
        self.planner = Planner(limits, settings, motion_check)
        """The motion of the joints: read it here, command it by the methods of Replay."""
        self.commit = self.planner.commit
        """Chooses the commit time of each window of joints, and takes what is measured for it."""
        self._commands = Commands(
            command_limits,
            settings.knot_ns,
            settings.horizon_ns,
            settings.merge_commands,
            settings.fade_ns,
            settings.lost_windows,
        )
        self._poses = Poses(poses, settings.knot_ns, settings.commit_ns, settings.horizon_ns)
        self._stopped: str | None = None
        self._newest: ActionChunk | None = None
        self.on_guarded: Callable[[], None] = _nothing
        """Called by `accept` between the check of a chunk and its merge, for measurements."""

    # Starts, chunks and stops.

    def start(self, now_ns: int, held: Floats) -> None:
        """Begin a new plan at rest at `held` (J,) rad, which the controllers hold (decision 11).

        Do not call it in motion, nor after a stop of this plan: the plan then continues from the
        end of its stop ramp. Raises PlanError if a position is not finite.
        """
        self.planner.start(now_ns, held)
        self._commands.stop()
        self._poses.rest_at_end(now_ns)
        self._newest, self._stopped = None, None

    def forget(self, now_ns: int) -> None:
        """Drop what was merged and not sent yet, of a plan at rest; it continues from its end.

        Sends no window, as `start`. It keeps the past of the plan: the next window contains the
        stop ramp that has just played, as it was sent.
        """
        self.planner.forget(now_ns)
        self._commands.stop()
        self._poses.rest_at_end(now_ns)
        self._newest, self._stopped = None, None

    def start_poses(self, now_ns: int, measured: Mapping[str, Pose]) -> None:
        """Begin the pose outputs, at rest, where their end effectors are; see `Poses.start`.

        Raises PlanError for one that is not measured or outside its box.
        """
        self._poses.start(now_ns, measured)

    def accept(self, chunk: ActionChunk, now_ns: int) -> Verdict:
        """Check a chunk and follow it from the first knot that is not committed yet.

        Raises PlanError before `start` or if time ran back, as every call with a time does.
        """
        branch = self.planner.branch(now_ns)
        if self._stopped is not None:
            return refused("stopped", f"stopped: {self._stopped}")
        splice_ns = branch * self._settings.knot_ns
        planned = self.planner.course.state(branch).position
        verdict = check(chunk, self._limits, splice_ns, planned, self.workspace)
        if verdict.joints is not None and len(self._command_limits):
            verdict = clamp_commands(verdict, chunk.commands, self._command_limits)
        refusal = "" if verdict.joints is None else self._poses.judge(chunk.poses, now_ns)
        if refusal:
            verdict = refused("pose", refusal, verdict.first_step)
        self.on_guarded()
        if verdict.joints is not None:
            self.planner.join(chunk, verdict.joints, branch)
            self._poses.follow(chunk.poses, now_ns)
            if verdict.commands is not None:
                self._commands.follow(chunk, verdict.commands, now_ns - self.lag_ns(now_ns))
            self._newest = chunk
        return verdict

    def stop(self, now_ns: int, reason: str, soon: bool = False) -> None:
        """Stop inside the limits after the committed part; refuse chunks until `resume`.

        soon: joints stop inside the committed part, as in `Planner.stop`.
        """
        self._commands.stop()
        self.planner.branch(now_ns)
        self._poses.stop()
        self.planner.stop(soon)
        self._newest, self._stopped = None, reason

    def stop_anew(self, joint_names: Collection[str], at_ns: int) -> bool:
        """Make good a soon stop whose windows were lost; see `Planner.stop_anew`."""
        names = self._limits.names
        return self.planner.stop_anew(np.array([name in joint_names for name in names]), at_ns)

    def resume(self) -> None:
        """Accept chunks again after a stop, also while it is still under way."""
        self._stopped = None

    def limit_speed(self, velocity_scale: float) -> None:
        """Use this share of the joints' velocity limits, and store it in `settings`.

        In motion the arm slows down inside its present limits; a higher share applies at once.
        Raises SettingsError for a share out of range.
        """
        self._settings = replace(self._settings, velocity_scale=velocity_scale).check()
        self.planner.limit_speed(velocity_scale)

    def abandon(self, now_ns: int) -> None:
        """Send no more windows; the stop ramp of the last one plays. `start` ends this."""
        self._commands.stop()
        self._poses.rest_at_end(now_ns)
        self.planner.abandon()
        self._newest = None

    # Windows: make them, send them, then `keep`.

    def propose(self, now_ns: int, tolerates_loss: bool = True) -> Window | None:
        """The window of joints to send now, or None if nothing is left to send.

        Call `keep` once it was sent; else the plan continues from what was sent before.
        tolerates_loss: compute `same_until_ns` as if the last `lost_windows` windows had been lost.
        Raises PlanError if no motion inside the limits was found.
        """
        return self.planner.propose(now_ns, tolerates_loss)

    def command_window(self, now_ns: int) -> CommandWindow | None:
        """The window of commands (not of joints) to send now, or None if nothing is left to send.

        Call `keep` once it was sent.
        """
        return self._commands.window(now_ns, self.lag_ns(now_ns))

    def pose_windows(self, now_ns: int, anew: bool = True) -> Mapping[str, PoseWindow]:
        """The windows to send now, of those pose outputs that have something left to send.

        Call `keep` after they were sent. anew: True: continue the motion; False: repeat what was
        sent.
        """
        lag_ns = self.lag_ns(now_ns)
        return self._poses.windows(now_ns, lag_ns, anew) if len(self._poses) else {}

    def keep(self, sent: SentParts | None = None) -> bool:
        """Record that the windows made last were sent: all of them, or the parts in `sent`.

        Returns whether a window of joints was sent.
        """
        made = self.planner.proposed
        self.planner.keep(None if sent is None else sent.joints)
        self._commands.keep(None if sent is None else sent.commands)
        self._poses.keep(None if sent is None else sent.poses)
        return made and (sent is None or bool(sent.joints.any()))

    def tick(self, now_ns: int) -> Window | None:
        """Make a window and keep it, for a caller that always sends it at once."""
        window = self.propose(now_ns)
        self.keep()
        return window

    # The state of the plan.

    def position(self, now_ns: int) -> Floats:
        """(J,) rad that the controllers should play or hold at `now_ns`, by what was sent."""
        return self.planner.course.at(now_ns).position

    def velocity(self, now_ns: int) -> Floats:
        """(J,) rad/s that the controllers should play at `now_ns`, by what was sent."""
        return self.planner.course.at(now_ns).velocity

    def at_rest(self, now_ns: int) -> bool:
        """Whether everything that was sent has played out."""
        joints = not self.planner.stop_due and self.planner.course.end_ns <= now_ns
        return joints and self._poses.at_rest(now_ns)

    def surely_at_rest(self, now_ns: int, held_age_ns: int) -> bool:
        """Whether all rests at `now_ns`, even if windows of joints were lost.

        held_age_ns: how old the held position of the controllers may be. After a gap, and where a
        change was not sent often enough to arrive, it must be of an arm at rest as well.
        """
        unknown = self.planner.repeats_due or self.overdue_ns(now_ns) > 0
        known = not unknown or self.stop_ramp_left_ns(now_ns - held_age_ns) == 0
        return known and self.at_rest(now_ns)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the plan's joints, in its order."""
        return self._limits.names

    @property
    def commands_at_rest(self) -> bool:
        """Whether enough zero windows of the commands were sent."""
        return self._commands.at_rest

    def sent(self, at_ns: int) -> tuple[Floats, Floats] | None:
        """(J,) rad and (J,) rad/s that were sent for a plan time; None if no longer stored."""
        course = self.planner.course
        if at_ns < course.first_knot * course.knot_ns:
            return None
        state = course.at(at_ns)
        return state.position, state.velocity

    def sent_before(self, at_ns: int) -> Iterator[tuple[Floats, Floats]]:
        """As `sent`, (J,) rad and (J,) rad/s, by each of the earlier windows, newest first.

        A controller plays one of these if all later windows were lost.
        """
        for state in self.planner.replaced(at_ns):
            yield state.position, state.velocity

    def motion_left_ns(self, now_ns: int) -> int:
        """Time until everything that was sent has played, ns; 0 at rest."""
        return max(0, self.planner.course.end_ns - now_ns, self._poses.end_ns() - now_ns)

    def stop_ramp_left_ns(self, now_ns: int) -> int:
        """As `motion_left_ns`, whichever of the sent windows of joints were lost."""
        return max(self.motion_left_ns(now_ns), self.planner.latest_end_ns - now_ns)

    def motion_left_at_most_ns(self, now_ns: int) -> int:
        """As `motion_left_ns`, if it is unknown whether the windows made last were sent."""
        end_ns = max(self.planner.proposed_end_ns, self._poses.end_ns(made=True))
        return max(0, end_ns - now_ns)

    def overdue_ns(self, now_ns: int) -> int:
        """Time since the last window was sent, ns, if it exceeds that window's commit time; else 0.

        What the controllers play is then unknown, because an earlier window may be lost.
        """
        return max(self.planner.overdue_ns(now_ns), self._poses.overdue_ns(now_ns))

    # What is in the way.

    @property
    def motion_check(self) -> MotionCheck | None:
        """The check that each window of joints must pass. It may be replaced before a session."""
        return self.planner.clearance.check

    @motion_check.setter
    def motion_check(self, check: MotionCheck | None) -> None:
        self.planner.clearance.check = check

    @property
    def pose_check(self) -> PoseMotionCheck | None:
        """The check that all windows of poses must pass. It may be replaced before a session."""
        return self._poses.clearance.check

    @pose_check.setter
    def pose_check(self, check: PoseMotionCheck | None) -> None:
        self._poses.clearance.check = check

    @property
    def ahead(self) -> Ahead:
        """What was found on the way of the window made last, or of the last one tried."""
        return (
            self.planner.clearance.ahead if self.pose_check is None else self._poses.clearance.ahead
        )

    @property
    def in_the_way(self) -> str:
        """What was found last in the way that the chunk leads; empty if nothing is."""
        return self.planner.clearance.rate.why or self._poses.clearance.rate.why

    @property
    def unproven_stops(self) -> int:
        """How often the arm stopped on a way that was not proven: something came into it."""
        return self.planner.clearance.unproven_stops + self._poses.clearance.unproven_stops

    @property
    def over_budget(self) -> int:
        """How many windows were not sent because their proof took longer than one tick has."""
        return self.planner.clearance.over_budget + self._poses.clearance.over_budget

    def unblock(self) -> None:
        """Begin to count anew for how long something is in the way."""
        self.planner.clearance.rate.free()
        self._poses.clearance.rate.free()

    def blocked_ns(self, now_ns: int) -> int:
        """For how long the arm has been standing in front of something, ns; 0 if it is not."""
        both = self.planner.clearance.rate, self._poses.clearance.rate
        return max(rate.blocked_ns(now_ns) for rate in both)

    @property
    def settings(self) -> ReplaySettings:
        """The settings of this replay."""
        return self._settings

    @property
    def stopped(self) -> str | None:
        """The reason of the stop during which chunks are refused; None without one."""
        return self._stopped

    def lag_ns(self, now_ns: int) -> int:
        """How far the reference is behind its own time, to respect velocity limits, ns."""
        return self.planner.course.lag_at(now_ns // self._settings.knot_ns)

    def remaining_ns(self, now_ns: int) -> int:
        """Time left until the end of the raw reference, ns; 0 without one."""
        end_ns = self.planner.reference.end_ns
        return max(0, end_ns - now_ns) if end_ns is not None else 0

    def new_earlier(self, now_ns: int, next_ns: int) -> bool:
        """Whether windows made for `now_ns` are new from an earlier knot than for `next_ns`.

        Windows of commands commit nothing, so they are new from the next knot on.
        """
        knot_ns = self._settings.knot_ns
        commands = len(self._command_limits) > 0 and now_ns // knot_ns < next_ns // knot_ns
        planner = self.planner
        return commands or planner.new_from_knot(now_ns) < planner.new_from_knot(next_ns)

    def consumed_at_ns(self, steps: int) -> int | None:
        """When so many steps (> 0) have passed since the query of the newest chunk left.

        So from query to query that many steps pass, whatever latency and commit time are
        (control.md 1, item 8). Plan time; None if the chunk has not more steps than that, or there
        is none.
        """
        newest = self._newest
        if newest is None or not 0 < steps < len(newest.joints):
            return None
        return max(newest.observed_ns, newest.asked_ns) + steps * newest.step_ns

    @property
    def newest(self) -> ActionChunk | None:
        """The newest chunk that was accepted, while it is followed; None without one."""
        return self._newest

    def query_by_ns(self, latency_ns: int) -> int | None:
        """Latest plan time to query the next chunk so that motion continues; None: at once."""
        end_ns = self.planner.reference.end_ns
        if end_ns is None:
            return None
        return end_ns - latency_ns - self._settings.commit_ns - ANSWER_SPARE_NS


def _nothing() -> None:
    """What is called where nobody measures."""
