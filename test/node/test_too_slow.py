"""A server that is too slow for its chunks is refused; stop_and_go has a limit too."""

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.motion.replay_settings import MS, Coverage, ReplaySettings  # noqa: E402
from gr00t_ros.node.readiness import too_slow  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402


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
    why = too_slow(found, replace(DEFAULTS, stop_and_go=stop_and_go))
    assert refused in why and bool(why) is bool(refused)


@pytest.mark.parametrize(("latency_ms", "silence_s"), [(1001, 1.0), (1500, 1.2)])
@pytest.mark.parametrize("stop_and_go", [False, True])
def test_a_server_that_takes_longer_than_it_may_be_silent_is_refused(
    latency_ms, silence_s, stop_and_go
):
    """However long its chunks are: each query would be a pause, for ever."""
    found = Coverage(ReplaySettings(), 400, 50 * MS, 8, latency_ms * MS, "inference")
    values = replace(DEFAULTS, sidecar_silence_s=silence_s, stop_and_go=stop_and_go)
    why = too_slow(found, values)
    assert f"inference {latency_ms} ms" in why and f"sidecar_silence_s ({silence_s:g} s)" in why
    assert not too_slow(found, replace(values, sidecar_silence_s=latency_ms / 1000))
