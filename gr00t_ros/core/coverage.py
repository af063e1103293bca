"""Whether an action horizon reaches until the next chunk can take over, in numbers and words.

The rule is control.md 1, item 8 (ReplaySettings.needed_ns). Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.core.replay_settings import ReplaySettings

_MS = 1e6


@dataclass(frozen=True, slots=True)
class Coverage:
    """A chunk of `horizon_steps` steps of `step_ns`, of which `execute_steps` are played
    before the next query; 0: that goes out as late as is safe.

    `latency_ns` is from an observation's stamp to its chunk's arrival; `measure` says how it was
    taken, such as "p99 latency".
    """

    settings: ReplaySettings
    horizon_steps: int
    step_ns: int
    execute_steps: int
    latency_ns: int
    measure: str

    @property
    def covered(self) -> bool:
        """Whether motion goes on from one chunk to the next."""
        return self.horizon_steps * self.step_ns >= self._needed_ns

    @property
    def text(self) -> str:
        """The rule with its numbers, and what to change where it does not hold."""
        executed_ns = self.execute_steps * self.step_ns
        sums = (
            f"{self._needed_ns / _MS:.0f} ms = {self.measure} {self.latency_ns / _MS:.0f} + the "
            f"longer of it and {self.execute_steps} executed steps ({executed_ns / _MS:.0f}) + "
            f"commit {self.settings.commit_ns / _MS:.0f}"
        )
        horizon_ms = self.horizon_steps * self.step_ns / _MS
        chunk = f"a chunk of {self.horizon_steps} steps is {horizon_ms:.0f} ms"
        if self.covered:
            return f"{chunk}, needed are {sums}"
        faster = "use a faster server or network, or " if self.latency_ns else "use "
        return (
            f"{chunk}, too short: needed are {sums}; {self._remedy} {faster}a policy with a longer "
            "horizon"
        )

    @property
    def _remedy(self) -> str:
        """The largest execute_steps that is covered, where there is one.

        Before a latency is known, also one that will be covered: half the chunk.
        """
        left_ns = self.horizon_steps * self.step_ns - self.settings.commit_ns - self.latency_ns
        if left_ns < self.latency_ns:
            return "no execute_steps is low enough:"
        most = left_ns // self.step_ns
        if self.latency_ns:
            return f"lower execute_steps to {most}, or"
        half = min(most, self.horizon_steps // 2)
        better = f", better to {half}, which leaves {self._spare_ns(half) / _MS:.0f} ms"
        return (
            f"lower execute_steps to {most}, which leaves {self._spare_ns(most) / _MS:.0f} ms for "
            f"the latency{better if half < most else ''}, or"
        )

    def _spare_ns(self, execute_steps: int) -> int:
        """The longest latency with which so many executed steps are covered."""
        left_ns = self.horizon_steps * self.step_ns - self.settings.commit_ns
        return min(left_ns - execute_steps * self.step_ns, left_ns // 2)

    @property
    def _needed_ns(self) -> int:
        return self.settings.needed_ns(self.step_ns, self.execute_steps, self.latency_ns)
