"""The watches on the policy server, on what it is asked with and on what it answers.

Belongs to the replay thread, as RunningWatches does.
"""

from __future__ import annotations

from collections.abc import Iterator

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ChunkError, ObservationError, SkewError
from gr00t_ros.core.mode import MOVING, Mode
from gr00t_ros.core.server_error import Outlook, advised, outlook_of
from gr00t_ros.core.watch_motion import WorkspaceBox
from gr00t_ros.core.watch_sidecar import NonFinite, ServerErrors, SidecarDead
from gr00t_ros.core.watch_streams import Skew
from gr00t_ros.core.watchdog import Finding, Reaction
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.queries import Queries
from gr00t_ros.ros.surroundings import Surroundings

_PROBE_NS = 250_000_000
"""Between two attempts to find that a pause, which asks nothing, may end."""


class PolicyWatches:
    """sidecar_dead, server_errors, non_finite, skew, workspace_box, by the outcomes of queries."""

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
        awake_ns = self._around.awake_ns
        self._sidecar = SidecarDead(self._server, awake_ns=awake_ns)
        self._errors = ServerErrors(self._server, awake_ns=awake_ns)
        self._non_finite, self._skew = NonFinite(), Skew()
        self._skewed: Finding | None = None
        box = self._workspace
        self._box = None if box is None else WorkspaceBox(box.lower, box.upper)
        self._asked_ns = self._probed_ns = self._now_ns = 0

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
        outlook = None if error is None else outlook_of(error)
        if outlook is Outlook.SILENT:
            return None
        self._sidecar.answered()
        if error is None:
            self._errors.answered()
        elif outlook is Outlook.PASSES:
            self._errors.failed(advised(error))
        if isinstance(error, ChunkError) and error.kind == "finite":
            return self._non_finite.see(str(error))
        if not chunk_came:
            return None
        self.looked(None)
        return self._outside()

    def checked(self, error: Exception | None) -> None:
        """Take the outcome of a check: a server that refuses is there, and no wait mends it."""
        outlook = None if error is None else outlook_of(error)
        if outlook is Outlook.SILENT:
            return
        self._sidecar.answered()
        if error is not None and outlook is Outlook.PASSES:
            self._errors.failed(advised(error))
        else:
            self._errors.recovered(self._now_ns)

    def looked(self, error: Exception | None) -> None:
        """Take what came of assembling an observation."""
        if error is None:
            self._skewed = self._skew.see("", 0, 0)
        elif isinstance(error, SkewError):
            self._skewed = self._skew.see(error.stream, error.apart_ns, error.allowed_ns)

    def findings(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """What stands (steady time); has it looked at again where the session rests."""
        values, self._now_ns = self._values, now_ns
        self._sidecar.pause_ns = int(values.sidecar_silence_s * 1e9)
        self._sidecar.fault_ns = int(values.sidecar_fault_s * 1e9)
        self._errors.pause_ns = int(values.server_errors_s * 1e9)
        self._errors.fault_ns = int(values.server_errors_fault_s * 1e9)
        dead, errors = self._sidecar.finding(now_ns), self._errors.finding(now_ns)
        skewed = self._skewed
        if skewed is not None and skewed.reaction is Reaction.DROP:
            skewed = None
        rests = mode not in MOVING and mode is not Mode.HOLDING
        due = dead or self._errors.try_due(now_ns)
        if rests and (due or skewed) and now_ns - self._probed_ns >= _PROBE_NS:
            self._probed_ns = now_ns
            self._queries.check() if due else self._queries.look()
        yield from (finding for finding in (dead, errors, skewed) if finding is not None)

    def _outside(self) -> Finding | None:
        if self._box is None or self._workspace is None:
            return None
        position = self._around.end_effector(self._workspace)
        self._box.limit = self._values.refusals_to_fault
        return None if position is None else self._box.see(position)
