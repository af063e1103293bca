"""The watches on the policy server, on what it is asked with and on what it answers.

Belongs to the replay thread, as RunningWatches does.
"""

from __future__ import annotations

from collections.abc import Iterator

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import (
    ChunkError,
    DeadlineError,
    ObservationError,
    SkewError,
    UnreachableError,
)
from gr00t_ros.core.mode import MOVING, Mode
from gr00t_ros.core.watch_motion import WorkspaceBox
from gr00t_ros.core.watch_sidecar import NonFinite, SidecarDead
from gr00t_ros.core.watch_streams import Skew
from gr00t_ros.core.watchdog import Finding, Reaction
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.queries import Queries
from gr00t_ros.ros.surroundings import Surroundings

_SILENT = (DeadlineError, UnreachableError)
_PROBE_NS = 250_000_000
"""Between two attempts to find that a pause, which asks nothing, may end."""


class PolicyWatches:
    """sidecar_dead, non_finite, skew and workspace_box, from the outcomes of queries."""

    def __init__(
        self,
        around: Surroundings,
        queries: Queries,
        embodiment: Embodiment,
        values: Parameters,
        server: str,
    ) -> None:
        """`queries` is asked to look again where a session that rests asks nothing itself.

        `server`: its address, for the operator.
        """
        self._server = server
        self._around, self._queries, self._workspace = around, queries, embodiment.workspace
        self.apply(values)
        self.begin()

    def apply(self, values: Parameters) -> None:
        """Take over changed thresholds."""
        self._values = values

    def begin(self) -> None:
        """Forget what was before an activation or a reset."""
        self._sidecar = SidecarDead(self._server)
        self._non_finite, self._skew = NonFinite(), Skew()
        self._skewed: Finding | None = None
        box = self._workspace
        self._box = None if box is None else WorkspaceBox(box.lower, box.upper)
        self._asked_ns = self._probed_ns = 0

    def asked(self, now_ns: int) -> None:
        """A query was handed to the worker (steady time)."""
        self._asked_ns = now_ns
        self._sidecar.asked(now_ns)

    def heard(self, chunk_came: bool, error: Exception | None) -> Finding | None:
        """Take a query's outcome; the finding on its answer, to be dropped or faulted by."""
        if isinstance(error, ObservationError):  # then nothing was sent
            self._sidecar.withdrawn(self._asked_ns)
            self.looked(error)
            return None
        if isinstance(error, _SILENT):
            return None
        self._sidecar.answered()
        if isinstance(error, ChunkError) and error.kind == "finite":
            return self._non_finite.see(str(error))
        if not chunk_came:
            return None
        self.looked(None)
        return self._outside()

    def checked(self, error: Exception | None) -> None:
        """Take the outcome of a check: a server that refuses is there."""
        if not isinstance(error, _SILENT):
            self._sidecar.answered()

    def looked(self, error: Exception | None) -> None:
        """Take what came of assembling an observation."""
        if error is None:
            self._skewed = self._skew.see("", 0, 0)
        elif isinstance(error, SkewError):
            self._skewed = self._skew.see(error.stream, error.apart_ns, error.allowed_ns)

    def findings(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """What stands (steady time); has it looked at again where the session rests."""
        self._sidecar.pause_ns = int(self._values.sidecar_silence_s * 1e9)
        self._sidecar.fault_ns = int(self._values.sidecar_fault_s * 1e9)
        dead = self._sidecar.finding(now_ns)
        skewed = self._skewed
        if skewed is not None and skewed.reaction is Reaction.DROP:
            skewed = None
        rests = mode not in MOVING and mode is not Mode.HOLDING
        if rests and (dead or skewed) and now_ns - self._probed_ns >= _PROBE_NS:
            self._probed_ns = now_ns
            self._queries.check() if dead else self._queries.look()
        yield from (finding for finding in (dead, skewed) if finding is not None)

    def _outside(self) -> Finding | None:
        if self._box is None or self._workspace is None:
            return None
        position = self._around.end_effector(self._workspace)
        self._box.limit = self._values.refusals_to_fault
        return None if position is None else self._box.see(position)
