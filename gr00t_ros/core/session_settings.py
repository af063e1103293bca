"""Thresholds of a session and its counts: what a configuration may tune, and what it has seen.

Refuses to know what is done about them; that is session's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Thresholds of a session; see ros/parameters.py for their ranges."""

    execute_steps: int = 8  # of a chunk, before the next query; 0: that is as late as is safe
    blend_in_ns: int = 300_000_000  # time until a first chunk counts as blended in
    healthy_ticks: int = 10  # ticks without a finding before a pause ends
    retry_ns: int = 200_000_000  # wait after a failed query
    refusals_to_fault: int = 3  # control.md 3, consecutive failures
    rebase_rad: float = 1e-6  # reference and plan further apart, beyond a float32: not our plan
    shadow: bool = False  # nothing is commanded: the plan follows where others move the arm
    latency_memory: int = 32  # queries whose longest latency decides when to ask at the latest


@dataclass(slots=True)
class Counts:
    """What became of the chunks and queries of this configuration."""

    accepted: int = 0
    clamped: int = 0
    refused: int = 0
    dropped: int = 0
    failures: int = 0
    windows: int = 0
    restarts: int = 0  # in shadow: of the plan, where the arm is, because others moved it away
