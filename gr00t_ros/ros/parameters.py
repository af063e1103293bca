"""One table of all node parameters: name, default, range, unit, what may change when.

The table is all there is: descriptors for rqt, the check of a change and the frozen
`Parameters` that the rest of the node reads are made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros.parameter_row import Row
from gr00t_ros.ros.sidecar_parameters import SIDECAR
from gr00t_ros.ros.unknown import refuse_unknown
from gr00t_ros.ros.watch_parameters import WATCHES


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values of all rows of TABLE, under the same names, `a_b` for a row `a.b`."""

    embodiment: str
    settled: str
    instruction: str
    shadow: bool
    controller_manager: str
    host: str
    port: int
    timeout_ms: int
    key_style: str
    api_token_file: str
    curve_server_key: str
    curve_client_key: str
    strict: bool
    keep_warm_s: float
    max_reply_mb: int
    execute_steps: int
    knot_ms: int
    refresh_ms: int
    commit_ms: int
    horizon_ms: int
    fade_ms: int
    merge: str
    velocity_scale: float
    max_camera_age_s: float
    max_joint_age_s: float
    camera_fault_age_s: float
    joint_fault_age_s: float
    max_skew_ms: int
    refusals_to_fault: int
    healthy_ticks: int
    retry_ms: int
    rest_velocity: float
    stop_timeout_s: float
    realtime_priority: int
    frozen_camera_frames: int
    black_camera_level: float
    black_camera_frames: int
    clock_jump_s: float
    clock_silence_s: float
    sidecar_silence_s: float
    sidecar_fault_s: float
    server_errors_s: float
    server_errors_fault_s: float
    reference_error_rad: float
    tracking_error_rad: float
    tracking_error_s: float
    controller_silence_s: float
    e_stop_required: bool
    e_stop_silence_s: float
    dead_man_required: bool
    dead_man_s: float
    sidecar_mode: str
    sidecar_profile: str
    sidecar_model_path: str
    sidecar_embodiment_tag: str
    sidecar_device: str
    sidecar_python: str
    sidecar_working_directory: str
    sidecar_port: int
    sidecar_accept_noncommercial: bool


_A_ROBOT = "name of a file in config/embodiments, a path, or tag:EMBODIMENT_TAG"

TABLE: dict[str, Row] = {
    "embodiment": Row(
        "",
        f"Embodiment, has to be given: {_A_ROBOT}",
        read_only=True,
    ),
    "settled": Row(
        "",
        "Places that the embodiment file marks unsettled and that are as assumed there, by comma",
        read_only=True,
    ),
    "instruction": Row(
        "", "Instruction for the policy; another text begins an episode, as by ~/set_instruction"
    ),
    "shadow": Row(
        False,
        "Run without commanding: windows go to ~/shadow/OUTPUT, none to a controller",
        by_configure=True,
    ),
    "controller_manager": Row(
        "/controller_manager",
        "controller_manager's node, asked which controllers are active; empty: nobody is asked",
        read_only=True,
    ),
    "host": Row("127.0.0.1", "Host of the GR00T policy server", read_only=True),
    "port": Row(5555, "TCP port of the GR00T policy server", "", 1, 65535, read_only=True),
    "timeout_ms": Row(
        2000, "Deadline of every call to the policy server", "ms", 10, 120000, read_only=True
    ),
    "key_style": Row(
        "auto",
        "Observation keys: nested (Gr00tPolicy), flat (sim wrapper, N1.5), auto probes",
        read_only=True,
        choices=("auto", "nested", "flat"),
    ),
    "api_token_file": Row(
        "",
        "File that holds the server's api_token; empty: environment GR00T_API_TOKEN, else none",
        read_only=True,
    ),
    "curve_server_key": Row(
        "",
        "CURVE: the server's or proxy's .public file; empty: no encryption",
        read_only=True,
    ),
    "curve_client_key": Row("", "CURVE: this robot's own .secret file", read_only=True),
    "strict": Row(
        False,
        "Refuse a server for every difference to the embodiment, also for what it tolerates",
        read_only=True,
    ),
    "keep_warm_s": Row(
        0.0,
        "Idle time after which a zero observation is inferred to keep the server warm; 0: never",
        "s",
        0.0,
        3600.0,
    ),
    "max_reply_mb": Row(16, "Cap on the size of a reply", "MB", 1, 1024, read_only=True),
    "execute_steps": Row(
        8,
        "Steps of a chunk played before the next query; 0: query as late as is safe",
        "steps",
        0,
        128,
    ),
    "knot_ms": Row(20, "Knot spacing of the plan, the shaper's step", "ms", 10, 20, read_only=True),
    "refresh_ms": Row(20, "Period of published windows", "ms", 10, 50, read_only=True),
    "commit_ms": Row(
        100, "Part of a window that never changes again", "ms", 40, 400, read_only=True
    ),
    "horizon_ms": Row(
        400, "Reach of a window before its stop tail begins", "ms", 100, 2000, read_only=True
    ),
    "fade_ms": Row(
        300, "Time over which the offset of a new chunk fades", "ms", 0, 2000, read_only=True
    ),
    "merge": Row(
        "offset_decay",
        "How a new chunk joins the reference",
        read_only=True,
        choices=("offset_decay", "crossfade", "newest", "ensemble"),
    ),
    "velocity_scale": Row(
        0.5,
        "Share of the embodiment's velocity limits that the plan may use",
        "",
        0.05,
        0.8,
        tighten="down",
    ),
    "max_camera_age_s": Row(
        0.25, "Age of a camera image that pauses", "s", 0.05, 2.0, tighten="down"
    ),
    "max_joint_age_s": Row(
        0.1, "Age of a joint state or pose that pauses", "s", 0.05, 1.0, tighten="down"
    ),
    "camera_fault_age_s": Row(
        2.0, "Age of a camera image that faults", "s", 0.1, 60.0, tighten="down"
    ),
    "joint_fault_age_s": Row(
        0.5, "Age of a joint state that faults", "s", 0.1, 60.0, tighten="down"
    ),
    "max_skew_ms": Row(
        100, "Stamps of one observation at most this far apart", "ms", 50, 1000, read_only=True
    ),
    "refusals_to_fault": Row(
        3,
        "Refused chunks, or answers that are no message, in a row that fault",
        "",
        1,
        100,
        tighten="down",
    ),
    "healthy_ticks": Row(
        10, "Refreshes without a finding before a pause ends", "", 1, 1000, tighten="up"
    ),
    "retry_ms": Row(200, "Wait after a failed query", "ms", 0, 10000),
    "rest_velocity": Row(
        0.01,
        "Measured speed below which a deactivated arm is at rest",
        "rad/s",
        0.001,
        0.1,
        read_only=True,
    ),
    "stop_timeout_s": Row(
        2.0, "Longest wait for rest when deactivating", "s", 0.5, 10.0, read_only=True
    ),
    "realtime_priority": Row(
        0,
        "SCHED_FIFO priority asked for by the replay thread; 0: ordinary scheduling",
        "",
        0,
        90,
        read_only=True,
    ),
    **WATCHES,
    **SIDECAR,
}


def declare(node: Node, defaults: Mapping[str, Any]) -> Parameters:
    """Declare every row on `node` and return the values it was started with.

    defaults: in place of the table's, what the environment says; a value that the node is given
    wins over both. Raises SettingsError for a value of another type, out of range or none of the
    choices, for a parameter of no such name, and where no robot is named.
    """
    for name, row in TABLE.items():
        try:
            node.declare_parameter(name, defaults.get(name, row.default), row.descriptor())
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            raise SettingsError(f"parameter {name}: {error}") from error
    refuse_unknown(node)
    values = read(node)
    if not values.embodiment:
        raise SettingsError("parameter embodiment: got nothing, expected " + _A_ROBOT)
    for name, row in TABLE.items():
        if row.choices and value_of(values, name) not in row.choices:
            raise SettingsError(refusal(name, value_of(values, name)))
    return values


def read(node: Node) -> Parameters:
    """The present values of all rows."""
    return Parameters(**{field_of(name): node.get_parameter(name).value for name in TABLE})


def value_of(values: Parameters, name: str) -> Any:
    """The value of the parameter of that name."""
    return getattr(values, field_of(name))


def refusal(name: str, value: object) -> str:
    """What to say when a parameter's value is none of its choices."""
    return f"parameter {name}: got {value!r}, expected one of {', '.join(TABLE[name].choices)}"


def check_change(
    changes: Iterable[Parameter], now: Parameters, active: bool, configured: bool
) -> str:
    """Why a change is refused, empty when it is not.

    While active, a parameter of the table's `tighten` column may only move that way; while
    configured, one of the `by_configure` column stays.
    """
    for change in changes:
        row = TABLE.get(change.name)
        if row is None:
            continue
        if row.choices and change.value not in row.choices:
            return refusal(change.name, change.value)
        if configured and row.by_configure and change.value != value_of(now, change.name):
            return (
                f"parameter {change.name}: got {change.value}, only configure takes it up; "
                f"{'deactivate, ' if active else ''}clean up, set it and configure again"
            )
        if active and row.loosens(value_of(now, change.name), change.value):
            return (
                f"parameter {change.name}: got {change.value}, while active it may only go "
                f"{row.tighten} from {value_of(now, change.name)}; deactivate first"
            )
    return ""


def changed(changes: Iterable[Parameter], now: Parameters) -> Parameters:
    """The values as they would be after these changes."""
    new = {field_of(c.name): c.value for c in changes if c.name in TABLE}
    return replace(now, **new)


def field_of(name: str) -> str:
    """The attribute of Parameters for the parameter of that name."""
    return name.replace(".", "_")
