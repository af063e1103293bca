"""The check of a policy server: when it is due, what came of it, what speaks against going on.

The worker makes it (sidecar/link.py). Refuses to know sessions and modes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.watchdog import Finding, Reaction
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.readiness import coverage
from gr00t_ros.ros.sidecar_process import SidecarProcess
from gr00t_ros.sidecar.link import Check

RECHECK_S = 1.0  # between two attempts to reach a server that did not pass the check


class ServerCheck:
    """`passed` is the last check's result, None where there is none or it failed."""

    def __init__(
        self, server: str, embodiment: Embodiment, values: Parameters, sidecar: SidecarProcess
    ) -> None:
        """`server`: its address, for the operator; `sidecar`: the process that may be behind it."""
        self._server, self._embodiment, self._sidecar = server, embodiment, sidecar
        self.values = values
        self.passed: Check | None = None
        self._error = self._unfit = ""
        self._checked_s = -RECHECK_S

    def follow(self, ask: Callable[[], bool]) -> None:
        """Call `ask` where a check is due: none has passed, or the server is too slow."""
        wanted = self.passed is None or self._slow() is not None
        held = self._sidecar.problem()
        if held:
            self.passed = None  # another process will be there: it is checked when it is ready
        due = wanted and not held and time.monotonic() - self._checked_s >= RECHECK_S
        if due and ask():
            self._checked_s = time.monotonic()

    def problems(self) -> list[str]:
        """Why an activation would be refused now."""
        found = []
        if self.passed is None:
            why = self._sidecar.problem() or self._error or "checking"
            found.append(f"policy server {self._server}: {why}")
        slow = self._slow()
        return [*found, slow] if slow else found

    def against(self) -> list[Finding]:
        """What speaks against going on: answers have shown that the server may not fit.

        By the check that they made due, once it has failed, else by the answer.
        """
        if not self._unfit:
            return []
        text = f"policy server {self._server}: {self._error or self._unfit}"
        return [Finding("chunk_shape", Reaction.FAULT, text)]

    def doubt(self, reason: str) -> None:
        """Check again: no reset nor activation before another one has passed."""
        self.passed, self._unfit = None, reason

    def take(self, check: Check | None, error: Exception | None) -> tuple[str, str]:
        """Take an outcome, on the worker thread; what is new to say: (warning, information)."""
        warning = said = ""
        if error is not None and str(error) != self._error:
            warning = f"policy server check: {error}"
        if check is not None and self.passed is None:
            label, keys = check.server.generation.label, check.server.key_style
            said = (
                f"policy server {self._server}: {label}, "
                f"{check.server.array_codec}, {keys} keys, first inference "
                f"{check.warmup_ns / 1e6:.0f} ms, the next {check.inference_ns / 1e6:.0f} ms"
            )
        self._error = "" if error is None else str(error)
        self._unfit = "" if check is not None else self._unfit
        self.passed = check
        return warning, said

    def _slow(self) -> str | None:
        """Why the server is too slow by its second inference; it is timed again until it is not."""
        check = self.passed
        if check is None:
            return None
        found = coverage(self._embodiment, self.values, check.inference_ns, "inference")
        return None if found.covered else found.text
