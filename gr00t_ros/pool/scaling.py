"""How many replicas a pool has and what each needs: the options of its deployment. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.proxy.core import check_range

MAX_REPLICAS: Final = 1024
BATCHES: Final = 8  # that a replica takes at once, with the one that its policy has
_HEALTH_PERIOD_S: Final = 1.0
_HEALTH_TIMEOUT_S: Final = 30.0
_GRACE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """From `least` to `most` replicas; cpus, gpus: of each, may be a part of one.

    Raises `SettingsError`.
    """

    least: int = 1
    most: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        check_range("replicas", self.least, 1, MAX_REPLICAS)
        check_range("replicas", self.most, self.least, MAX_REPLICAS)
        check_range("cpus", self.cpus, 0, 1024)
        check_range("gpus", self.gpus, 0, 64)


def read_replicas(text: str) -> tuple[int, int]:
    """Return the least and the most of ``N`` or ``N-M``; raises `SettingsError`."""
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    if found is None:
        raise SettingsError(f"replicas: got {text!r:.40}, expected N, or N-M to scale between them")
    return int(found[1]), int(found[2] or found[1])


def deployment_options(scaling: Scaling, rows: int) -> dict[str, Any]:
    """Return the options of Ray Serve's deployment.

    A replica takes several batches of requests: those that it does not take wait in Ray Serve,
    which looks for a free replica at growing intervals, and a replica then has nothing to do. How
    many wait is bounded by the admission. It scales so that on average one batch is with each
    replica.
    """
    options: dict[str, Any] = {
        "max_ongoing_requests": BATCHES * rows,
        "ray_actor_options": {"num_cpus": scaling.cpus, "num_gpus": scaling.gpus},
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
        "graceful_shutdown_timeout_s": _GRACE_S,
        "logging_config": {"enable_access_log": False},  # a line for each request
    }
    if scaling.least == scaling.most:
        return options | {"num_replicas": scaling.least}
    scale = {"min_replicas": scaling.least, "max_replicas": scaling.most}
    return options | {"autoscaling_config": scale | {"target_ongoing_requests": rows}}
