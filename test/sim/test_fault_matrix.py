"""Every fault of the matrix has the reaction of the table of watches; here the short form.

One bring-up for each group, without rendering. A row with another reaction fails its group, and the
failure shows what the node reported.
"""

import os

import pytest
from closed_loop import NEEDS_MODEL

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from fault_matrix.endurance import WATCHED, endure  # noqa: E402
from fault_matrix.growth import growth  # noqa: E402
from fault_matrix.row import Fault, Group  # noqa: E402
from fault_matrix.runner import run_group  # noqa: E402
from fault_matrix.table import GROUPS, SHORT  # noqa: E402

from gr00t_ros.watch.table import WATCHES  # noqa: E402

pytestmark = NEEDS_MODEL


def problems(group: Group, rendered: bool) -> list[str]:
    """What went wrong, row by row."""
    outcomes = run_group(group, rendered)
    return [f"{one.fault.name}: {one.problem}" for one in outcomes if one.problem]


@pytest.mark.parametrize("group", SHORT, ids=lambda group: group.name)
def test_each_fault_has_the_reaction_of_the_table(group: Group) -> None:
    """Reaction, reason, limits in the robot's record, and the way back."""
    assert not problems(group, rendered=False)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_whole_matrix_with_cameras_and_the_policy_that_sees(group: Group) -> None:
    """As ./dev faults, which also writes docs/faults.md."""
    assert not problems(group, rendered=True)


def test_every_watch_of_the_table_is_meant_to_be_seen() -> None:
    """Each row names a watch that exists, and each name of a row is its own."""
    faults: list[Fault] = [fault for group in GROUPS for fault in group.faults]
    assert {fault.watch for fault in faults if fault.watch} <= set(WATCHES)
    assert len({fault.name for fault in faults}) == len(faults)


def test_a_short_group_has_no_parameter_for_rows_that_it_leaves_out() -> None:
    """A server that may be silent for 2 s only faulted while another row's one was started anew."""
    silent = next(group for group in GROUPS if group.name == "Server that stays silent")
    assert not any(fault.short for fault in silent.faults)
    assert all(dict(group.policy)["sidecar_fault_s"] == 600.0 for group in SHORT)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_faults_by_the_hour_leave_nothing_behind() -> None:
    """Memory, threads and files of node and server; GR00T_FAULT_SOAK_S is its length, s."""
    endured = endure(float(os.environ.get("GR00T_FAULT_SOAK_S", "3600")))
    assert not endured.problems
    assert {role: growth(samples) for role, samples in endured.held.items()} == {
        role: "" for role in WATCHED
    }
