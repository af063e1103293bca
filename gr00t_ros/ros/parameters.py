"""All node parameters: name, type, default, range, unit, text, and when each may change.

The fields of `Parameters` name every parameter. The descriptors for rqt, the check of a change
(ros/parameter_values) and config/policy.yaml are made from them. The defaults and ranges of the
watches come from watch/table, those of the replay's times from motion/replay_settings, both by the
same name; their text for rqt and the direction that is stricter stand here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from gr00t_ros.motion.reference import MERGES
from gr00t_ros.motion.replay_settings import COMMITS, RANGES, RULES, ReplaySettings
from gr00t_ros.ros.process import KINDS
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.watch.table import ROWS


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter; `tighten` is "down" or "up": the only direction allowed while active.

    `read_only`: can only be set when the node starts; `by_configure`: takes effect only in
    configure. step: from one whole number of the range to the next. Values below `off_below`
    disable the watch, which counts as the loosest setting.
    """

    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: int = 1
    read_only: bool = False
    tighten: str = ""
    choices: tuple[str, ...] = ()
    off_below: float | None = None
    by_configure: bool = False

    @property
    def text(self) -> str:
        """Description, when it can be set, and unit."""
        return self.description + self.when + (f" [{self.unit}]" if self.unit else "")

    @property
    def span(self) -> str:
        """Its range with the unit, or its choices; empty for neither."""
        if self.low is not None:
            steps = f" in steps of {self.step}" if self.step > 1 else ""
            return f"{self.low:g} to {self.high:g} {self.unit}".rstrip() + steps
        return f"one of {', '.join(self.choices)}" if self.choices else ""

    @property
    def values(self) -> str:
        """The type of its values, and its range or choices."""
        kind = KINDS[type(self.default)]
        return f"{kind}, {self.span}" if self.span else kind

    def descriptor(self) -> ParameterDescriptor:
        """The descriptor from which rqt makes a slider or an input field."""
        descriptor = ParameterDescriptor(description=self.text, read_only=self.read_only)
        if self.choices:
            descriptor.additional_constraints = "one of " + ", ".join(self.choices)
        if isinstance(self.default, float) and self.low is not None:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high or 0.0))
            ]
        elif isinstance(self.default, int) and self.low is not None:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high or 0), step=self.step)
            ]
        return descriptor

    @property
    def when(self) -> str:
        """When the parameter can be set; empty if always."""
        if self.read_only:
            return "; start only"
        if self.by_configure:
            return "; only before configure"
        return f"; while active only {self.tighten}" if self.tighten else ""

    def loosens(self, before: Any, after: Any) -> bool:
        """Whether `tighten` forbids the change from `before` to `after` while active.

        Choices are listed from the loosest to the strictest.
        """
        if not self.tighten:
            return False
        if self.choices:
            before, after = (self.choices.index(value) for value in (before, after))
        if self.off_below is not None:
            before, after = (math.inf if v < self.off_below else v for v in (before, after))
        return bool(after > before if self.tighten == "down" else after < before)


OFF_BELOW_FRAMES = 2
"""`frozen_camera_frames` below this disables the watch: a single frame cannot be a repetition."""

EXISTING, LOCAL = "existing", "local"
AUTO = "auto"
OFF, REQUIRED = "off", "required"
SHOW, PAUSE, FAULT = "show", "pause", "fault"
MARKERS, PLANNING_SCENE = "markers", "planning_scene"
_PROFILE_S = "; empty: as in the profile"
_A_ROBOT = "name of a file in config/embodiments, a path, or tag:EMBODIMENT_TAG"
_ROW = "row"
_MS = 1_000_000
_REPLAY, _SESSION = ReplaySettings(), SessionSettings()
_THRESHOLDS = {t.name: t for watch in ROWS for t in watch.thresholds if t.home == "parameter"}

_Make = Callable[[str], tuple[str, ParameterRow]]
"""Makes the name and the row of the parameter for a field of `Parameters` of that name."""


def _parameter(*row: Any, group: str = "", **named: Any) -> Any:
    """A field with the row of these values; in `group` the parameter's name is GROUP.REST."""

    def make(name: str) -> tuple[str, ParameterRow]:
        return f"{group}.{name[len(group) + 1 :]}" if group else name, ParameterRow(*row, **named)

    return field(metadata={_ROW: make})


def _threshold(description: str, tighten: str = "down", **named: Any) -> Any:
    """A field for a threshold of watch/table: default, unit and range are those of that row."""

    def make(name: str) -> tuple[str, ParameterRow]:
        one = _THRESHOLDS[name]
        return name, ParameterRow(
            one.default, description, one.unit, one.low, one.high, tighten=tighten, **named
        )

    return field(metadata={_ROW: make})


def _replay_time(description: str) -> Any:
    """A field for a time of motion/replay_settings: default, range, step and rules are its own."""

    def make(name: str) -> tuple[str, ParameterRow]:
        allowed, rule = RANGES[name], RULES.get(name)
        return name, ParameterRow(
            int(_REPLAY.value(name)),
            f"{description}; needs {rule}" if rule else description,
            "ms",
            allowed.low,
            allowed.high,
            allowed.step or 1,
            read_only=True,
        )

    return field(metadata={_ROW: make})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The values of all parameters; each field also has the parameter's row."""

    embodiment: str = _parameter("", f"Embodiment, required: {_A_ROBOT}", read_only=True)
    settled: str = _parameter(
        "",
        "Comma-separated names of the places that the embodiment file marks as unsettled and "
        "whose assumed values are right for this robot",
        read_only=True,
    )
    instruction: str = _parameter(
        "", "Instruction for the policy; a new text begins a new episode, as ~/set_instruction does"
    )
    shadow: bool = _parameter(
        False,
        "Run without commanding the robot: windows go to ~/shadow/OUTPUT, not to a controller",
        by_configure=True,
    )
    controller_manager: str = _parameter(
        "/controller_manager",
        "controller_manager node that is asked which controllers are active; empty: do not ask",
        read_only=True,
    )
    host: str = _parameter("127.0.0.1", "Host of the GR00T policy server", read_only=True)
    port: int = _parameter(
        5555, "TCP port of the GR00T policy server", "", 1, 65535, read_only=True
    )
    timeout_ms: int = _parameter(
        2000, "Timeout of every call to the policy server", "ms", 10, 120000, read_only=True
    )
    key_style: str = _parameter(
        "auto",
        "Observation keys: nested (Gr00tPolicy), flat (sim wrapper, N1.5), auto (detect)",
        read_only=True,
        choices=("auto", "nested", "flat"),
    )
    api_token_file: str = _parameter(
        "",
        "File with the server's api_token; empty: environment variable GR00T_API_TOKEN, else none",
        read_only=True,
    )
    curve_server_key: str = _parameter(
        "", "CURVE: .public key file of the server or proxy; empty: no encryption", read_only=True
    )
    curve_client_key: str = _parameter("", "CURVE: .secret key file of this robot", read_only=True)
    strict: bool = _parameter(
        False,
        "Reject a server for any difference from the embodiment, even one that it tolerates",
        read_only=True,
    )
    robot_id: str = _parameter(
        "",
        "Name of this robot for a server that several robots ask: it must prove that it keeps an "
        "episode for each, or be a pool or batching proxy, which has none; empty: not named",
        read_only=True,
    )
    rtc: str = _parameter(
        OFF,
        "Real-time chunking: auto lets the server fit each chunk to the one before, if it proves "
        "at its check and in each answer that it does; off: requests without options, as before",
        read_only=True,
        choices=(OFF, AUTO),
    )
    keep_warm_s: float = _parameter(
        0.0,
        "Idle time before an inference with a zero observation keeps the server warm; 0: never",
        "s",
        0.0,
        3600.0,
    )
    max_reply_mb: int = _parameter(16, "Largest size of a reply", "MB", 1, 1024, read_only=True)
    collision: str = _parameter(
        OFF,
        "required: send only windows that are proven to touch nothing, stop ramp included; off: no "
        "check, the robot's own body and the scene are not known",
        by_configure=True,
        choices=(OFF, REQUIRED),
    )
    scene: str = _parameter(
        "",
        "Scene file: what stands around the robot, and what it may touch; empty: only the robot's "
        "own body is checked",
        by_configure=True,
    )
    contact: str = _parameter(
        SHOW,
        "What a contact does that a source of the embodiment file measures; show: nothing but its "
        "line in status and diagnostics; each choice is stricter than the one before it",
        tighten="up",
        choices=(SHOW, PAUSE, FAULT),
    )
    obstacles: str = _parameter(
        OFF,
        "Live obstacles besides the scene: markers (visualization_msgs/MarkerArray on ~/obstacles),"
        " planning_scene (MoveIt's ~/planning_scene and ~/collision_object), off: none",
        by_configure=True,
        choices=(OFF, MARKERS, PLANNING_SCENE),
    )
    obstacle_margin_m: float = _parameter(
        0.03,
        "Distance that every link keeps from live obstacles: the error of their perception, and "
        "how far they move until the next message",
        "m",
        0.001,
        0.5,
        by_configure=True,
    )
    execute_steps: int = _parameter(
        _SESSION.execute_steps,
        "Steps of a chunk from its query to the next; 0: query as late as is safe",
        "steps",
        0,
        128,
    )
    stop_and_go: bool = _parameter(
        False,
        "Begin although a chunk is too short for its latency: the robot stops at the end of each "
        "chunk, until the next one is there; false: refuse the activation",
        by_configure=True,
    )
    knot_ms: int = _replay_time("Knot spacing of the plan and step of the shaper")
    refresh_ms: int = _replay_time("Period of published windows")
    commit_ms: int = _replay_time("Part of a published window that later windows never change")
    commit: str = _parameter(
        _REPLAY.commit,
        "How much of that is used; fixed: always all; measured: as little as the delivery of the "
        "controllers' states needs, for controllers on this computer (motion.md)",
        read_only=True,
        choices=COMMITS,
    )
    horizon_ms: int = _replay_time("Length of a window before its stop ramp begins")
    fade_ms: int = _replay_time("Time over which the offset of a new chunk decays to zero")
    merge: str = _parameter(
        _REPLAY.merge,
        "How a new chunk is merged into the reference",
        read_only=True,
        choices=MERGES,
    )
    merge_commands: str = _parameter(
        _REPLAY.merge_commands,
        "The same for velocities and levels; newest: each step is executed once, as it was "
        "predicted last",
        read_only=True,
        choices=MERGES,
    )
    roll_state: bool = _parameter(
        False,
        "Send the joint state as the plan will have it when the chunk is executed; off: as it was "
        "measured, because policies are trained on pictures and states of one time",
        by_configure=True,
    )
    velocity_scale: float = _parameter(
        _REPLAY.velocity_scale,
        "Fraction of the embodiment's velocity limits that the plan may use",
        "",
        0.05,  # an operator has a part of what the plan can use
        0.8,
        tighten="down",
    )
    max_camera_age_s: float = _threshold("Age of a camera image that causes a pause")
    max_joint_age_s: float = _threshold("Age of a joint state or pose that causes a pause")
    camera_fault_age_s: float = _threshold("Age of a camera image that causes a fault")
    joint_fault_age_s: float = _threshold("Age of a joint state that causes a fault")
    max_skew_ms: int = _threshold(
        "Largest time between the stamps of one observation", tighten="", read_only=True
    )
    refusals_to_fault: int = _threshold(
        "Consecutive refused chunks or undecodable replies that cause a fault"
    )
    healthy_ticks: int = _parameter(
        _SESSION.healthy_ticks,
        "Consecutive ticks without a finding before a pause ends",
        "",
        1,
        1000,
        tighten="up",
    )
    retry_ms: int = _parameter(
        _SESSION.retry_ns // _MS, "Waiting time after a failed query", "ms", 0, 10000
    )
    rest_velocity: float = _parameter(
        0.01,
        "Measured joint speed below which the arm counts as at rest when deactivating",
        "rad/s",
        0.001,
        0.1,
        read_only=True,
    )
    stop_timeout_s: float = _parameter(
        2.0, "Longest time to wait for rest when deactivating", "s", 0.5, 10.0, read_only=True
    )
    realtime_priority: int = _parameter(
        0,
        "SCHED_FIFO priority that the replay thread requests; 0: ordinary scheduling",
        "",
        0,
        90,
        read_only=True,
    )
    frozen_camera_frames: int = _threshold(
        "Consecutive frames with equal stamp or content that cause a pause; 0: off, for a "
        "camera without noise",
        off_below=OFF_BELOW_FRAMES,
    )
    black_camera_level: float = _threshold(
        "Frames with a mean brightness up to this are black", "up"
    )
    black_camera_frames: int = _threshold("Consecutive black frames that cause a pause")
    clock_jump_s: float = _threshold("Forward jump of ROS time that causes a pause")
    clock_silence_s: float = _threshold(
        "Time without /clock that causes a pause, with use_sim_time"
    )
    sidecar_silence_s: float = _threshold("Time without a policy server reply that causes a pause")
    sidecar_fault_s: float = _threshold("Time without a policy server reply that causes a fault")
    server_errors_s: float = _threshold(
        "Time with only errors from the policy server that causes a pause"
    )
    server_errors_fault_s: float = _threshold(
        "Time with only such errors since the last chunk that causes a fault"
    )
    reference_error_rad: float = _threshold(
        "Largest allowed difference between a controller's reference and what it was sent"
    )
    tracking_error_rad: float = _threshold(
        "Distance of a joint from its command that causes a fault after tracking_error_s"
    )
    tracking_error_s: float = _threshold("Time for which a joint may exceed tracking_error_rad")
    controller_silence_s: float = _threshold("Age of a controller's state that causes a fault")
    collision_patience_s: float = _threshold(
        "Time in front of an obstacle after which the arm waits for ~/resume"
    )
    obstacles_stale_s: float = _threshold(
        "Time without a message of live obstacles that causes a pause"
    )
    self_margin_m: float = _threshold(
        "Distance that the robot keeps from its own body, without a scene file",
        tighten="",
        read_only=True,
    )
    contact_silence_s: float = _threshold(
        "Time without a usable message of a source of contacts that pauses or faults, as "
        "contact says"
    )
    e_stop_required: bool = _threshold(
        "Fault if no message arrives on the button topic ~/e_stop", "up"
    )
    e_stop_silence_s: float = _threshold(
        "Time without a message on the button topic ~/e_stop that causes a fault, if "
        "e_stop_required"
    )
    dead_man_required: bool = _threshold("Move only while ~/dead_man keeps publishing true", "up")
    dead_man_s: float = _threshold(
        "Time without a message on ~/dead_man that causes a pause, if dead_man_required"
    )
    sidecar_mode: str = _parameter(
        EXISTING,
        "existing: connect to host and port; local: start sidecar.profile on this machine",
        read_only=True,
        choices=(EXISTING, LOCAL),
        group="sidecar",
    )
    sidecar_profile: str = _parameter(
        "n17",
        "Profile that says how the server is started: name of a file in config/sidecar, or a path",
        read_only=True,
        group="sidecar",
    )
    sidecar_model_path: str = _parameter(
        "", f"Checkpoint{_PROFILE_S}", read_only=True, group="sidecar"
    )
    sidecar_embodiment_tag: str = _parameter(
        "",
        "Embodiment tag as the server's option spells it; empty: from the profile, else from the "
        "embodiment file",
        read_only=True,
        group="sidecar",
    )
    sidecar_device: str = _parameter(
        "", f"Device such as cuda:0{_PROFILE_S}", read_only=True, group="sidecar"
    )
    sidecar_python: str = _parameter(
        "",
        f"Python interpreter of the server's environment{_PROFILE_S}",
        read_only=True,
        group="sidecar",
    )
    sidecar_working_directory: str = _parameter(
        "",
        f"Working directory, such as a checkout of Isaac-GR00T{_PROFILE_S}",
        read_only=True,
        group="sidecar",
    )
    sidecar_port: int = _parameter(
        0,
        "TCP port of the local server; 0: from the profile, else a free port",
        "",
        0,
        65535,
        read_only=True,
        group="sidecar",
    )
    sidecar_accept_noncommercial: bool = _parameter(
        False,
        "I use weights with a non-commercial license only for non-commercial purposes; the "
        "environment variable GR00T_ACCEPT_NONCOMMERCIAL=1 says the same",
        read_only=True,
        group="sidecar",
    )


def _rows() -> Iterator[tuple[str, tuple[str, ParameterRow]]]:
    for one in fields(Parameters):
        make: _Make = one.metadata[_ROW]
        yield one.name, make(one.name)


_NAMED = dict(_rows())
PARAMETERS: dict[str, ParameterRow] = dict(_NAMED.values())
"""All rows by the name of their parameter."""
FIELDS = {name: attribute for attribute, (name, _) in _NAMED.items()}
"""The field of `Parameters` by the name of its parameter."""
DEFAULTS = Parameters(**{attribute: row.default for attribute, (_, row) in _NAMED.items()})
