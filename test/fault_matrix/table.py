"""The whole matrix, in the order of the document."""

from __future__ import annotations

from dataclasses import replace

from fault_matrix import rows_arm, rows_inputs, rows_lifecycle, rows_node, rows_server
from fault_matrix.row import Group

GROUPS: tuple[Group, ...] = (
    *rows_server.GROUPS,
    *rows_inputs.GROUPS,
    *rows_arm.GROUPS,
    *rows_node.GROUPS,
    *rows_lifecycle.GROUPS,
)


def short(group: Group) -> Group:
    """The rows of a group that are part of ./dev test."""
    return replace(group, faults=tuple(fault for fault in group.faults if fault.short))
