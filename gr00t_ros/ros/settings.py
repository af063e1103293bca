"""Node parameters -> the settings of the core; the one place where units change."""

from __future__ import annotations

from gr00t_ros.core.observation import ObservationSettings
from gr00t_ros.core.replay_settings import ReplaySettings
from gr00t_ros.core.session_settings import SessionSettings
from gr00t_ros.ros.parameters import Parameters

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
