"""The whole matrix, in the order of the document."""

from __future__ import annotations

from fault_matrix import (
    rows_arm,
    rows_around,
    rows_inputs,
    rows_lifecycle,
    rows_node,
    rows_server,
)
from fault_matrix.row import BUSY, Group

GROUPS: tuple[Group, ...] = (
    *rows_server.GROUPS,
    *rows_inputs.GROUPS,
    *rows_arm.GROUPS,
    *rows_around.GROUPS,
    *rows_node.GROUPS,
    *rows_lifecycle.GROUPS,
)


_LATE_MACHINE: dict[str, object] = {
    "joint_fault_age_s": 3.0,
    "camera_fault_age_s": 6.0,
    "sidecar_fault_s": 600.0,
}
"""Longer than what pauses, as by default: a busy machine's silence must not be a fault."""


def _short(name: str, *groups: Group) -> Group:
    """The rows of these groups that are part of ./dev test, on one bring-up."""
    chosen = [group for group in groups if any(fault.short for fault in group.faults)]
    faults = tuple(fault for group in chosen for fault in group.faults if fault.short)
    policy = _LATE_MACHINE | dict(pair for group in chosen for pair in group.policy) | dict(BUSY)
    return Group(name, faults, tuple(policy.items()), any(group.simulated for group in chosen))


SHORT: tuple[Group, ...] = (
    _short("Server, cameras and joint states", *rows_server.GROUPS, *rows_inputs.THAT_COME_BACK),
    _short(
        "Arm, operator, node and lifecycle",
        *(*rows_inputs.THAT_STAY_AWAY, *rows_arm.GROUPS),
        *(*rows_lifecycle.GROUPS, *rows_node.ON_STEADY_TIME),
    ),
)
"""The groups that ./dev test runs: two bring-ups, without rendering.

Rows on simulated time need a third one; test/node/test_simulated_clock_watch.py has similar tests.
"""
