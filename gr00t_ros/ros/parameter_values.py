"""The values of the node's parameters: declared, read, changed, and as settings of the pure rooms.

ros/parameters has the table of all parameters. Units are converted only here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.observe.observation import ObservationSettings
from gr00t_ros.ros.node_help import missing_robot
from gr00t_ros.ros.parameters import FIELDS, PARAMETERS, Parameters
from gr00t_ros.ros.process import declared, refuse_unknown
from gr00t_ros.session.schedule import SessionSettings

_MS = 1_000_000


def declare(node: Node, defaults: Mapping[str, Any]) -> Parameters:
    """Declare every row on `node` and return the values with which it was started.

    defaults: values from the environment that replace the table's defaults; a parameter that was
    set overrides both. Raises SettingsError for a value of another type, out of range or not among
    the choices, for an unknown parameter, and if no embodiment is given.
    """
    for name, row in PARAMETERS.items():
        declared(node, name, defaults.get(name, row.default), row.descriptor(), row.values)
    refuse_unknown(node)
    values = read(node)
    if not values.embodiment:
        raise missing_robot()
    for name, row in PARAMETERS.items():
        if row.choices and value_of(values, name) not in row.choices:
            raise SettingsError(refusal(name, value_of(values, name)))
    return values


def read(node: Node) -> Parameters:
    """The present values of all rows."""
    return Parameters(
        **{attribute: node.get_parameter(name).value for name, attribute in FIELDS.items()}
    )


def value_of(values: Parameters, name: str) -> Any:
    """The value of the parameter of that name."""
    return getattr(values, FIELDS[name])


def refusal(name: str, value: object) -> str:
    """The error text for a value that is not among the parameter's choices."""
    return f"parameter {name}: got {value!r}, expected one of {', '.join(PARAMETERS[name].choices)}"


def check_change(
    changes: Iterable[Parameter], now: Parameters, active: bool, configured: bool
) -> str:
    """Why a change is refused; empty if it is allowed.

    While active, a parameter with `tighten` may only change in that direction. While configured,
    a parameter with `by_configure` cannot change.
    """
    for change in changes:
        row = PARAMETERS.get(change.name)
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
    """The values after these changes."""
    new = {FIELDS[c.name]: c.value for c in changes if c.name in FIELDS}
    return replace(now, **new)


_SIMULATED_AHEAD_NS = 200_000_000  # the executor is busy for less, or the node is late anyway


def observation(values: Parameters, simulated: bool = False) -> ObservationSettings:
    """Largest ages and skew of an observation.

    In simulated time a stamp may be further ahead: other threads take messages while the
    executor, which takes /clock, may be busy.
    """
    settings = ObservationSettings(
        video_max_age_ns=int(values.max_camera_age_s * 1e9),
        state_max_age_ns=int(values.max_joint_age_s * 1e9),
        skew_ns=values.max_skew_ms * _MS,
    )
    return replace(settings, future_ns=_SIMULATED_AHEAD_NS) if simulated else settings


def session(values: Parameters) -> SessionSettings:
    """Thresholds of the session."""
    return SessionSettings(
        execute_steps=values.execute_steps,
        blend_in_ns=values.fade_ms * _MS,
        healthy_ticks=values.healthy_ticks,
        retry_ns=values.retry_ms * _MS,
        refusals_to_fault=values.refusals_to_fault,
        collision_patience_ns=int(values.collision_patience_s * 1e9),
        shadow=values.shadow,
    )


def replay(values: Parameters) -> ReplaySettings:
    """Grid, window and merge of the plan; Replay raises SettingsError if they contradict."""
    return ReplaySettings(
        knot_ns=values.knot_ms * _MS,
        refresh_ns=values.refresh_ms * _MS,
        commit_ns=values.commit_ms * _MS,
        commit=values.commit,  # type: ignore[arg-type]  # as merge
        horizon_ns=values.horizon_ms * _MS,
        fade_ns=values.fade_ms * _MS,
        merge=values.merge,  # type: ignore[arg-type]  # the table's choices are the literal's
        merge_commands=values.merge_commands,  # type: ignore[arg-type]  # as merge
        velocity_scale=values.velocity_scale,
    )
