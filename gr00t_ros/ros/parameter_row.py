"""What is known of one node parameter: default, meaning, unit, range, and what may change when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter; `tighten` is "down" or "up": the only direction allowed while active.

    `read_only`: given at the start of the node only; `by_configure`: taken up by configure only.
    With `off_below` smaller values switch the parameter's watch off, which no limit is looser than.
    """

    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    read_only: bool = False
    tighten: str = ""
    choices: tuple[str, ...] = ()
    off_below: float | None = None
    by_configure: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """The descriptor that rqt turns into a slider or a field."""
        unit = f" [{self.unit}]" if self.unit else ""
        descriptor = ParameterDescriptor(
            description=self.description + self._when + unit, read_only=self.read_only
        )
        if self.choices:
            descriptor.additional_constraints = "one of " + ", ".join(self.choices)
        if isinstance(self.default, float) and self.low is not None:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high or 0.0))
            ]
        elif isinstance(self.default, int) and self.low is not None:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high or 0), step=1)
            ]
        return descriptor

    @property
    def _when(self) -> str:
        """When it can be set, where that is not always."""
        if self.read_only:
            return "; start only"
        if self.by_configure:
            return "; only before configure"
        return f"; while active only {self.tighten}" if self.tighten else ""

    def loosens(self, before: float, after: float) -> bool:
        """Whether a change from `before` to `after` is one that `tighten` forbids while active."""
        if not self.tighten:
            return False
        if self.off_below is not None:
            before, after = (math.inf if v < self.off_below else v for v in (before, after))
        return after > before if self.tighten == "down" else after < before
