"""What the node would have commanded: chunks through guard, reference, shaper, plan, offline.

A Session is driven as the node's replay thread drives it, with integers for a clock: a chunk is
merged when its latency is over, and a window is made every refresh period. The plan begins at the
recorded command. If the arm comes to rest because chunks are refused or missing, the plan begins
anew at the recorded command with the next chunk, because that is where the policy saw the arm.
Outputs of poses are not replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError
from gr00t_ros.evaluate.components import joint_rows, without_poses
from gr00t_ros.evaluate.open_loop import OpenLoopSettings, Predictions, runs
from gr00t_ros.motion.chunk import ActionChunk, from_reply
from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session

Floats = NDArray[np.float64]

_START_NS = 1_000_000_000
_GOES_ON = frozenset({Mode.BLENDING_IN, Mode.REPLAYING})


@dataclass(slots=True)
class Guarded:
    """Results of the guard for the chunks, and how often the plan stopped or began anew.

    reasons: kind of refusal or clamp -> how often, and the first text. refused_rows: rows of the
    queries whose chunks were refused. stops: how often no chunk was left. faults: how often
    refusals in a row would have faulted the node.
    """

    chunks: int = 0
    accepted: int = 0
    clamped: int = 0
    refused: int = 0
    late: int = 0
    stops: int = 0
    faults: int = 0
    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)
    refused_rows: list[int] = field(default_factory=list)

    def note(self, row: int, verdict: Verdict) -> None:
        """Count one verdict."""
        if verdict.dropped:
            self.late += 1
        elif verdict.accepted:
            self.accepted += 1
            self.clamped += verdict.clamped
        else:
            self.refuse(row, verdict.kind, verdict.reason)
            return
        if verdict.kind:
            self.add_reason(verdict.kind, verdict.reason)

    def refuse(self, row: int, kind: str, reason: str) -> None:
        """Count one chunk that is not followed."""
        self.refused += 1
        self.refused_rows.append(row)
        self.add_reason(kind, reason)

    def add_reason(self, kind: str, text: str) -> None:
        """Count one reason; its first text is kept."""
        count, first = self.reasons.get(kind, (0, text))
        self.reasons[kind] = (count + 1, first)


@dataclass(frozen=True, slots=True, eq=False)
class Deployed:
    """The shaped motion on the plan's grid.

    time_s: (M,) since row 0. position, velocity: (M, J) in the unit of the joints; a row of NaN
    stands where the plan began anew. recorded: (M, J) the recorded command at these times.
    left_out: names of outputs that were not replayed.
    """

    joints: tuple[str, ...]
    grid_s: float
    time_s: Floats
    position: Floats
    velocity: Floats
    recorded: Floats
    guard: Guarded
    left_out: tuple[str, ...]


def deploy(
    embodiment: Embodiment,
    settings: OpenLoopSettings,
    predictions: Predictions,
    recorded: Mapping[str, NDArray[np.float32]],
    counted: NDArray[np.bool_],
) -> Deployed:
    """Replay the chunks of one episode; `recorded` are its actions, `counted` (N,) its rows."""
    run = _Run(embodiment, settings, predictions, joint_rows(embodiment, recorded))
    for first, end in runs(counted):
        run.play(first, end)
    return run.result()


class _Run:
    """The replay of one episode, one run of rows after the other."""

    def __init__(
        self,
        embodiment: Embodiment,
        settings: OpenLoopSettings,
        predictions: Predictions,
        joints: Floats,
    ) -> None:
        self._full = embodiment
        self._embodiment = without_poses(embodiment)
        self._settings, self._predictions, self._joints = settings, predictions, joints
        self._plan = replace(ReplaySettings(), velocity_scale=settings.velocity_scale)
        self._guard = Guarded()
        self._session: Session | None = None
        self._in_a_row = 0  # refused chunks
        self._times: list[float] = []
        self._samples: list[tuple[Floats, Floats]] = []

    def play(self, first: int, end: int) -> None:
        """Play the rows [first, end)."""
        step_ns, refresh_ns = self._embodiment.step_ns, self._plan.refresh_ns
        waiting = [
            (number, row)
            for number, row in enumerate(self._predictions.rows.tolist())
            if first <= row < end
        ]
        self._session = None
        now_ns, end_ns = _START_NS + first * step_ns, _START_NS + (end - 1) * step_ns
        while now_ns < end_ns + refresh_ns:  # the tick after the last row takes what is due there
            while waiting and self._arrival_ns(waiting[0][1]) <= now_ns:
                self._merge(*waiting.pop(0), now_ns)
            if self._session is not None:  # _merge makes it, which mypy does not see
                self._tick(self._session, now_ns)  # type: ignore[unreachable]
            now_ns += refresh_ns
        # What is left arrives after the last row.
        self._guard.chunks += len(waiting)
        self._guard.late += len(waiting)

    def result(self) -> Deployed:
        """The motion of all runs."""
        width = len(self._embodiment.joint_names)
        time_s = np.array(self._times)
        position = np.array([at for at, _ in self._samples]).reshape(-1, width)
        velocity = np.array([speed for _, speed in self._samples]).reshape(-1, width)
        recorded = np.stack(
            [_at(time_s * self._embodiment.rate_hz, column) for column in self._joints.T], axis=1
        )
        return Deployed(
            self._embodiment.joint_names,
            self._plan.refresh_ns * 1e-9,
            time_s,
            position,
            velocity,
            recorded,
            self._guard,
            tuple(output.name for output in self._full.poses),
        )

    def _arrival_ns(self, row: int) -> int:
        return _START_NS + row * self._embodiment.step_ns + self._settings.latency_ns

    def _merge(self, number: int, row: int, now_ns: int) -> None:
        """Offer one chunk; begin the plan first if there is none that goes on."""
        self._guard.chunks += 1
        if row in self._predictions.unfit:
            self._guard.refuse(row, "finite", self._predictions.unfit[row])
            self._refused()
            return
        session = self._session
        if session is None or self._rests(session, now_ns):
            session = self._session = self._begun(now_ns)
        if session is None:
            return
        verdict = session.merge(self._chunk(number, row, session.episode), now_ns, None)
        if verdict.dropped or verdict.accepted:
            self._in_a_row = 0
        else:
            self._refused()
        self._guard.note(row, verdict)

    def _rests(self, session: Session, now_ns: int) -> bool:
        """Whether the arm rests for want of a chunk, while the recorded one has moved on."""
        refused = self._in_a_row > 0 and session.replay.at_rest(now_ns)
        return refused or session.mode not in _GOES_ON

    def _refused(self) -> None:
        """Count refusals in a row; one too many is a fault, after which the plan begins anew."""
        self._in_a_row += 1
        if self._in_a_row == SessionSettings().refusals_to_fault:
            self._guard.faults += 1
            self._in_a_row, self._session = 0, None

    def _begun(self, now_ns: int) -> Session | None:
        """A new session at the recorded command; None where nothing finite was recorded."""
        at = (now_ns - _START_NS) / self._embodiment.step_ns
        held = np.array([_at(np.array([at]), column)[0] for column in self._joints.T])
        replay = Replay(
            self._embodiment.limits,
            self._plan,
            self._embodiment.workspace,
            self._embodiment.command_limits,
        )
        session = Session(replay, SessionSettings(execute_steps=self._settings.every_rows))
        session.set_ready(True, "")
        try:
            session.activate(now_ns, held)
        except PlanError:
            return None
        if self._samples:
            self._sample(now_ns, np.full(len(held), np.nan), np.full(len(held), np.nan))
        return session

    def _chunk(self, number: int, row: int, episode: int) -> ActionChunk:
        reply = {a.key: self._predictions.chunks[a.key][number] for a in self._embodiment.action}
        stamp_ns = _START_NS + row * self._embodiment.step_ns
        return from_reply(self._embodiment, reply, number, episode, stamp_ns)

    def _tick(self, session: Session, now_ns: int) -> None:
        moved = session.mode in _GOES_ON
        session.tick(now_ns, (), None)
        session.replay.command_window(now_ns)
        session.keep()
        self._guard.stops += moved and session.mode is Mode.STOPPING
        self._sample(now_ns, session.replay.position(now_ns), session.replay.velocity(now_ns))

    def _sample(self, now_ns: int, position: Floats, velocity: Floats) -> None:
        self._times.append((now_ns - _START_NS) * 1e-9)
        self._samples.append((position, velocity))


def _at(rows: Floats, column: Floats) -> Floats:
    """A column (N,) at fractional rows, linear; NaN where a neighbour is not finite."""
    low = np.clip(np.floor(rows).astype(np.int64), 0, len(column) - 1)
    high = np.minimum(low + 1, len(column) - 1)
    part = rows - low
    value: Floats = np.where(
        part > 0, column[low] + (column[high] - column[low]) * part, column[low]
    )
    return value
