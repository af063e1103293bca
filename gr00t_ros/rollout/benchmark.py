"""A simulated benchmark as an evaluation knows it: commands, embodiment, suites and topics."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.sim.libero.extra import slow_time
from gr00t_ros.watch.table import default, highest

PORT: Final = "{port}"
"""In a policy's command: replaced by the port on which it must listen; 0: a free one."""
_STEADY: Final = (
    *("sidecar_silence_s", "sidecar_fault_s", "server_errors_s"),
    *("controller_silence_s", "clock_silence_s"),
)
"""Thresholds that the node compares with its own steady clock, whatever simulated time does."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How a benchmark is started and reached.

    simulation: command of the process that has TASK_STATE and RESET_TASK under `namespace`, and
    the robot's topics as `embodiment` names them. policy: command of its scripted policy, which
    prints `READY tcp://...:PORT`; empty: it has none. suites: name -> number of tasks; empty: any.
    real_time_factor: seconds of simulated time in one second, at most. parameters: of the policy
    node, for this simulation. recorded: it has the parameter record_path and the service
    save_record, which writes a record that sim/libero/motion judges.
    """

    name: str
    simulation: tuple[str, ...]
    embodiment: str
    namespace: str
    policy: tuple[str, ...] = ()
    suites: Mapping[str, int] = field(default_factory=dict)
    real_time_factor: float = 1.0
    parameters: Mapping[str, object] = field(default_factory=dict)
    recorded: bool = False

    @property
    def state_topic(self) -> str:
        """The topic of TaskState."""
        return f"{self.namespace}/task_state"

    @property
    def reset_service(self) -> str:
        """The service ResetTask."""
        return f"{self.namespace}/reset_task"

    @property
    def save_service(self) -> str:
        """The service that writes the record, if it is `recorded`."""
        return f"{self.namespace}/save_record"

    def tasks(self, suite: str, wanted: str) -> tuple[int, ...]:
        """The tasks that `wanted` names, such as 0,2,5-7 or all; SettingsError for others."""
        count = self.suites.get(suite)
        if self.suites and count is None:
            known = ", ".join(self.suites)
            raise SettingsError(f"suite: got {suite!r}, expected one of {known}")
        if wanted == "all":
            if count is None:
                raise SettingsError("tasks: got 'all', expected numbers: how many is not known")
            return tuple(range(count))
        tasks = sorted({task for part in wanted.split(",") for task in _span(part)})
        if count is not None and tasks[-1] >= count:
            raise SettingsError(f"tasks: got {tasks[-1]}, expected 0 to {count - 1} in {suite}")
        return tuple(tasks)


def _span(part: str) -> range:
    first, dash, last = part.strip().partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 20:
        raise SettingsError(f"tasks: got {part!r:.40}, expected numbers such as 0,2,5-7, or all")
    return range(int(first), int(last or first) + 1)


def _slowed(name: str, real_time_factor: float) -> float:
    """The default of a threshold in slow simulated time, as far as its range goes."""
    return float(min(default(name) / real_time_factor, highest(name)))


def libero(real_time_factor: float = 0.25) -> Benchmark:
    """LIBERO through ROS topics (docs/libero.md)."""
    python = (sys.executable, "-m")
    factor = ("--real-time-factor", f"{real_time_factor:g}")
    return Benchmark(
        name="libero",
        simulation=(*python, "gr00t_ros.sim.libero.robot", *factor),
        embodiment="libero_panda",
        namespace="/libero",
        policy=(*python, "gr00t_ros.sim.libero.policy", "--port", PORT),
        suites=dict.fromkeys(("libero_spatial", "libero_object", "libero_goal", "libero_10"), 10),
        real_time_factor=real_time_factor,
        parameters={
            **slow_time(),
            **{name: _slowed(name, real_time_factor) for name in _STEADY},
        },
        recorded=True,
    )
