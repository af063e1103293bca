"""The parameters of the watches: their numbers are those of core/watch_table, told once.

Here is what the table does not know: the text for rqt, and which way is tighter.
"""

from __future__ import annotations

from gr00t_ros.core.watch_table import ROWS
from gr00t_ros.ros.parameter_row import Row

OFF_BELOW_FRAMES = 2
"""One frame repeats nothing: `frozen_camera_frames` below this is the watch switched off."""

_THRESHOLDS = {t.name: t for watch in ROWS for t in watch.thresholds if t.home == "parameter"}


def _row(
    name: str, description: str, tighten: str = "down", off_below: float | None = None
) -> tuple[str, Row]:
    """The row of the threshold of that name."""
    one = _THRESHOLDS[name]
    row = Row(
        one.default,
        description,
        one.unit,
        one.low,
        one.high,
        tighten=tighten,
        off_below=off_below,
    )
    return name, row


WATCHES: dict[str, Row] = dict(
    (
        _row(
            "frozen_camera_frames",
            "Frames in a row with equal stamp or content that pause; 0: off, if noiseless",
            off_below=OFF_BELOW_FRAMES,
        ),
        _row("black_camera_level", "Mean level up to which a frame is black", "up"),
        _row("black_camera_frames", "Black frames in a row that pause"),
        _row("clock_jump_s", "Jump ahead of ROS time that pauses"),
        _row("clock_silence_s", "Silence of /clock that pauses, with use_sim_time"),
        _row("sidecar_silence_s", "Time without an answer of the policy server that pauses"),
        _row("sidecar_fault_s", "Time without an answer of the policy server that faults"),
        _row("server_errors_s", "Time of nothing but errors of the policy server that pauses"),
        _row("server_errors_fault_s", "Time of such errors since the last chunk that faults"),
        _row("reference_error_rad", "Distance of what a controller plays from what it was sent"),
        _row("tracking_error_rad", "Distance of a joint from its command that faults"),
        _row("tracking_error_s", "Time for which a joint may be farther away than that"),
        _row("controller_silence_s", "Age of a controller's state that faults"),
        _row("e_stop_required", "Fault where nothing is heard on ~/e_stop", "up"),
        _row("e_stop_silence_s", "Silence of ~/e_stop that faults, where it is required"),
        _row("dead_man_required", "Move only while ~/dead_man keeps saying true", "up"),
        _row("dead_man_s", "Silence of ~/dead_man that pauses, where it is required"),
    )
)
