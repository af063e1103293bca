"""One table of all node parameters: name, default, range, unit, text, what may change when.

Descriptors for rqt, the check of a change and the frozen `Parameters` are made from the table. The
numbers of the watches come from watch/table; the text for rqt and which way is tighter stand here.
The functions at the end turn parameters into the settings of the pure rooms, the one place where
units change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.observe.observation import ObservationSettings
from gr00t_ros.ros.process import refuse_unknown
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.watch.table import ROWS


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter; `tighten` is "down" or "up": the only direction allowed while active.

    `read_only`: given at the start of the node only; `by_configure`: taken up by configure only.
    With `off_below` smaller values switch the parameter's watch off, which no limit is looser than.
    """

    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    read_only: bool = False
    tighten: str = ""
    choices: tuple[str, ...] = ()
    off_below: float | None = None
    by_configure: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """The descriptor that rqt turns into a slider or a field."""
        unit = f" [{self.unit}]" if self.unit else ""
        descriptor = ParameterDescriptor(
            description=self.description + self._when + unit, read_only=self.read_only
        )
        if self.choices:
            descriptor.additional_constraints = "one of " + ", ".join(self.choices)
        if isinstance(self.default, float) and self.low is not None:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high or 0.0))
            ]
        elif isinstance(self.default, int) and self.low is not None:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high or 0), step=1)
            ]
        return descriptor

    @property
    def _when(self) -> str:
        """When it can be set, where that is not always."""
        if self.read_only:
            return "; start only"
        if self.by_configure:
            return "; only before configure"
        return f"; while active only {self.tighten}" if self.tighten else ""

    def loosens(self, before: float, after: float) -> bool:
        """Whether a change from `before` to `after` is one that `tighten` forbids while active."""
        if not self.tighten:
            return False
        if self.off_below is not None:
            before, after = (math.inf if v < self.off_below else v for v in (before, after))
        return after > before if self.tighten == "down" else after < before


OFF_BELOW_FRAMES = 2
"""One frame repeats nothing: `frozen_camera_frames` below this is the watch switched off."""

_THRESHOLDS = {t.name: t for watch in ROWS for t in watch.thresholds if t.home == "parameter"}


def _row(
    name: str, description: str, tighten: str = "down", off_below: float | None = None
) -> tuple[str, ParameterRow]:
    """The row of the threshold of that name."""
    one = _THRESHOLDS[name]
    row = ParameterRow(
        one.default,
        description,
        one.unit,
        one.low,
        one.high,
        tighten=tighten,
        off_below=off_below,
    )
    return name, row


WATCHES: dict[str, ParameterRow] = dict(
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


EXISTING, LOCAL = "existing", "local"
_PROFILE_S = "; empty: the profile's"

SIDECAR: dict[str, ParameterRow] = {
    "sidecar.mode": ParameterRow(
        EXISTING,
        "existing: connect to host and port; local: start sidecar.profile on this machine",
        read_only=True,
        choices=(EXISTING, LOCAL),
    ),
    "sidecar.profile": ParameterRow(
        "n17",
        "How the server is started: name of a file in config/sidecar, or a path",
        read_only=True,
    ),
    "sidecar.model_path": ParameterRow("", f"Checkpoint{_PROFILE_S}", read_only=True),
    "sidecar.embodiment_tag": ParameterRow(
        "",
        "Embodiment tag as the server's option spells it; empty: the profile's, else the file's",
        read_only=True,
    ),
    "sidecar.device": ParameterRow("", f"Device such as cuda:0{_PROFILE_S}", read_only=True),
    "sidecar.python": ParameterRow(
        "", f"Interpreter of the server's environment{_PROFILE_S}", read_only=True
    ),
    "sidecar.working_directory": ParameterRow(
        "", f"Folder, such as a checkout of Isaac-GR00T{_PROFILE_S}", read_only=True
    ),
    "sidecar.port": ParameterRow(
        0, "TCP port of the local server; 0: the profile's, else a free one", "", 0, 65535, True
    ),
    "sidecar.accept_noncommercial": ParameterRow(
        False,
        "I use weights under a non-commercial license non-commercially; also by the environment "
        "variable GR00T_ACCEPT_NONCOMMERCIAL=1",
        read_only=True,
    ),
}


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

TABLE: dict[str, ParameterRow] = {
    "embodiment": ParameterRow(
        "",
        f"Embodiment, has to be given: {_A_ROBOT}",
        read_only=True,
    ),
    "settled": ParameterRow(
        "",
        "Places that the embodiment file marks unsettled and that are as assumed there, by comma",
        read_only=True,
    ),
    "instruction": ParameterRow(
        "", "Instruction for the policy; another text begins an episode, as by ~/set_instruction"
    ),
    "shadow": ParameterRow(
        False,
        "Run without commanding: windows go to ~/shadow/OUTPUT, none to a controller",
        by_configure=True,
    ),
    "controller_manager": ParameterRow(
        "/controller_manager",
        "controller_manager's node, asked which controllers are active; empty: nobody is asked",
        read_only=True,
    ),
    "host": ParameterRow("127.0.0.1", "Host of the GR00T policy server", read_only=True),
    "port": ParameterRow(5555, "TCP port of the GR00T policy server", "", 1, 65535, read_only=True),
    "timeout_ms": ParameterRow(
        2000, "Deadline of every call to the policy server", "ms", 10, 120000, read_only=True
    ),
    "key_style": ParameterRow(
        "auto",
        "Observation keys: nested (Gr00tPolicy), flat (sim wrapper, N1.5), auto probes",
        read_only=True,
        choices=("auto", "nested", "flat"),
    ),
    "api_token_file": ParameterRow(
        "",
        "File that holds the server's api_token; empty: environment GR00T_API_TOKEN, else none",
        read_only=True,
    ),
    "curve_server_key": ParameterRow(
        "",
        "CURVE: the server's or proxy's .public file; empty: no encryption",
        read_only=True,
    ),
    "curve_client_key": ParameterRow("", "CURVE: this robot's own .secret file", read_only=True),
    "strict": ParameterRow(
        False,
        "Refuse a server for every difference to the embodiment, also for what it tolerates",
        read_only=True,
    ),
    "keep_warm_s": ParameterRow(
        0.0,
        "Idle time after which a zero observation is inferred to keep the server warm; 0: never",
        "s",
        0.0,
        3600.0,
    ),
    "max_reply_mb": ParameterRow(16, "Cap on the size of a reply", "MB", 1, 1024, read_only=True),
    "execute_steps": ParameterRow(
        8,
        "Steps of a chunk played before the next query; 0: query as late as is safe",
        "steps",
        0,
        128,
    ),
    "knot_ms": ParameterRow(
        20, "Knot spacing of the plan, the shaper's step", "ms", 10, 20, read_only=True
    ),
    "refresh_ms": ParameterRow(20, "Period of published windows", "ms", 10, 50, read_only=True),
    "commit_ms": ParameterRow(
        100, "Part of a window that never changes again", "ms", 40, 400, read_only=True
    ),
    "horizon_ms": ParameterRow(
        400, "Reach of a window before its stop tail begins", "ms", 100, 2000, read_only=True
    ),
    "fade_ms": ParameterRow(
        300, "Time over which the offset of a new chunk fades", "ms", 0, 2000, read_only=True
    ),
    "merge": ParameterRow(
        "offset_decay",
        "How a new chunk joins the reference",
        read_only=True,
        choices=("offset_decay", "crossfade", "newest", "ensemble"),
    ),
    "velocity_scale": ParameterRow(
        0.5,
        "Share of the embodiment's velocity limits that the plan may use",
        "",
        0.05,
        0.8,
        tighten="down",
    ),
    "max_camera_age_s": ParameterRow(
        0.25, "Age of a camera image that pauses", "s", 0.05, 2.0, tighten="down"
    ),
    "max_joint_age_s": ParameterRow(
        0.1, "Age of a joint state or pose that pauses", "s", 0.05, 1.0, tighten="down"
    ),
    "camera_fault_age_s": ParameterRow(
        2.0, "Age of a camera image that faults", "s", 0.1, 60.0, tighten="down"
    ),
    "joint_fault_age_s": ParameterRow(
        0.5, "Age of a joint state that faults", "s", 0.1, 60.0, tighten="down"
    ),
    "max_skew_ms": ParameterRow(
        100, "Stamps of one observation at most this far apart", "ms", 50, 1000, read_only=True
    ),
    "refusals_to_fault": ParameterRow(
        3,
        "Refused chunks, or answers that are no message, in a row that fault",
        "",
        1,
        100,
        tighten="down",
    ),
    "healthy_ticks": ParameterRow(
        10, "Refreshes without a finding before a pause ends", "", 1, 1000, tighten="up"
    ),
    "retry_ms": ParameterRow(200, "Wait after a failed query", "ms", 0, 10000),
    "rest_velocity": ParameterRow(
        0.01,
        "Measured speed below which a deactivated arm is at rest",
        "rad/s",
        0.001,
        0.1,
        read_only=True,
    ),
    "stop_timeout_s": ParameterRow(
        2.0, "Longest wait for rest when deactivating", "s", 0.5, 10.0, read_only=True
    ),
    "realtime_priority": ParameterRow(
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


_MS = 1_000_000


def observation(values: Parameters) -> ObservationSettings:
    """Ages and skew of observations."""
    return ObservationSettings(
        video_max_age_ns=int(values.max_camera_age_s * 1e9),
        state_max_age_ns=int(values.max_joint_age_s * 1e9),
        skew_ns=values.max_skew_ms * _MS,
    )


def session(values: Parameters) -> SessionSettings:
    """Thresholds of the session."""
    return SessionSettings(
        execute_steps=values.execute_steps,
        blend_in_ns=values.fade_ms * _MS,
        healthy_ticks=values.healthy_ticks,
        retry_ns=values.retry_ms * _MS,
        refusals_to_fault=values.refusals_to_fault,
        shadow=values.shadow,
    )


def replay(values: Parameters) -> ReplaySettings:
    """Grid, window and merge of the plan; Replay raises SettingsError where they contradict."""
    return ReplaySettings(
        knot_ns=values.knot_ms * _MS,
        refresh_ns=values.refresh_ms * _MS,
        commit_ns=values.commit_ms * _MS,
        horizon_ns=values.horizon_ms * _MS,
        fade_ns=values.fade_ms * _MS,
        merge=values.merge,  # type: ignore[arg-type]  # the table's choices are the literal's
        velocity_scale=values.velocity_scale,
    )
