"""A server that is too slow for its chunks is refused; stop_and_go has a limit too."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.motion.replay_settings import MS, Coverage, ReplaySettings  # noqa: E402
from gr00t_ros.node.readiness import too_slow  # noqa: E402


@pytest.mark.parametrize(
    ("latency_ms", "stop_and_go", "refused"),
    [
        (300, False, ""),
        (301, False, "too short: needed are"),
        (301, True, ""),
        (650, True, ""),  # 15 steps are 750 ms, the commit is 100
        (651, True, "stop_and_go does not help"),
    ],
)
def test_what_begins_with_sixteen_steps_of_50_ms(latency_ms, stop_and_go, refused):
    """As LIBERO's, with a query each eighth step."""
    found = Coverage(ReplaySettings(), 16, 50 * MS, 8, latency_ms * MS, "inference")
    why = too_slow(found, stop_and_go)
    assert refused in why and bool(why) is bool(refused)
