"""The watches' parameters have the defaults and ranges of the design, and the code uses each."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rcl_interfaces.msg import ParameterDescriptor

import gr00t_ros
from gr00t_ros.ros.parameters import PARAMETERS
from gr00t_ros.watch.table import ROWS

# Written out here, not read from the code: control.md 3, and what the rows' comments give reasons
# for where control.md has no number. Name: default, unit, from, to, the way that is tighter, or
# empty where it can be set at the start only.
EXPECTED = {
    "max_camera_age_s": (0.25, "s", 0.05, 2.0, "down"),
    "camera_fault_age_s": (2.0, "s", 0.1, 60.0, "down"),
    "max_joint_age_s": (0.1, "s", 0.05, 1.0, "down"),
    "joint_fault_age_s": (0.5, "s", 0.1, 60.0, "down"),
    "max_skew_ms": (100, "ms", 50, 1000, ""),
    "frozen_camera_frames": (10, "frames", 0, 1000, "down"),
    "black_camera_level": (3.0, "of 255", 0.0, 32.0, "up"),
    "black_camera_frames": (10, "frames", 2, 1000, "down"),
    "clock_jump_s": (0.5, "s", 0.05, 5.0, "down"),
    "clock_silence_s": (0.5, "s", 0.1, 10.0, "down"),
    "sidecar_silence_s": (1.0, "s", 0.1, 60.0, "down"),
    "sidecar_fault_s": (10.0, "s", 1.0, 600.0, "down"),
    "server_errors_s": (2.0, "s", 0.1, 60.0, "down"),
    "server_errors_fault_s": (30.0, "s", 1.0, 3600.0, "down"),
    "refusals_to_fault": (3, "", 1, 100, "down"),
    "tracking_error_rad": (0.1, "rad or m", 0.01, 0.5, "down"),
    "tracking_error_s": (0.2, "s", 0.02, 2.0, "down"),
    "controller_silence_s": (0.5, "s", 0.05, 60.0, "down"),
    "reference_error_rad": (0.002, "rad or m", 0.001, 0.05, "down"),
    "collision_patience_s": (5.0, "s", 0.5, 60.0, "down"),
    "obstacles_stale_s": (1.0, "s", 0.05, 10.0, "down"),
    "self_margin_m": (0.01, "m", 0.001, 0.1, ""),
    "contact_silence_s": (0.2, "s", 0.02, 2.0, "down"),
    "e_stop_required": (False, "", None, None, "up"),
    "e_stop_silence_s": (0.5, "s", 0.1, 5.0, "down"),
    "dead_man_required": (False, "", None, None, "up"),
    "dead_man_s": (0.5, "s", 0.05, 5.0, "down"),
}
SOURCE = Path(next(iter(gr00t_ros.__path__)))


def test_every_threshold_that_is_a_parameter_is_expected_here() -> None:
    """A new one has to be written down a second time, by hand, and an old one cannot vanish."""
    named = {t.name for watch in ROWS for t in watch.thresholds if t.home == "parameter"}
    assert named == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_threshold_has_the_designs_number(name: str) -> None:
    """Default, unit, range and the direction that is allowed while active."""
    row = PARAMETERS[name]
    assert (row.default, row.unit, row.low, row.high, row.tighten) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_what_rqt_shows_of_a_threshold_is_its_range(name: str) -> None:
    """From the descriptor that is declared."""
    _, unit, low, high, tighter = EXPECTED[name]
    descriptor: ParameterDescriptor = PARAMETERS[name].descriptor()
    ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
    assert [(one.from_value, one.to_value) for one in ranges] == (
        [] if low is None else [(low, high)]
    )
    assert descriptor.description.endswith(f"[{unit}]" if unit else "")
    assert descriptor.read_only is not bool(tighter)


def read_attributes() -> set[str]:
    """Every attribute that some line of the package reads."""
    return {
        node.attr
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_every_threshold_is_read_by_some_code() -> None:
    """A parameter that nobody reads would be a watch that cannot be turned."""
    assert set(EXPECTED) <= read_attributes()
