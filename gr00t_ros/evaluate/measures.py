"""Everything that is measured of one episode, from its recording and the predictions for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.episode import SOURCES, Episode
from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate import accuracy
from gr00t_ros.evaluate.accuracy import Errors, Seams
from gr00t_ros.evaluate.components import Component, columns, components, held, joint_rows
from gr00t_ros.evaluate.deployed import Deployed, deploy
from gr00t_ros.evaluate.lags import NO_LAG, Lag, lag, picture_change, picture_lag
from gr00t_ros.evaluate.open_loop import OpenLoopSettings, Predictions, counted_rows
from gr00t_ros.robot.embodiment import Embodiment

Floats = NDArray[np.float64]

TURN_SHARE = 0.02
TURN_LEAST = 1e-3
"""A turn counts if the motion goes back by this share of the recorded span, and by 1e-3."""


@dataclass(frozen=True, slots=True, eq=False)
class Smoothness:
    """Smoothness of C components.

    most, rms: (3, C) velocity, acceleration and jerk, in units a second, a second^2 and a second^3.
    turns_hz: (C,) changes of direction a second.
    """

    most: Floats
    rms: Floats
    turns_hz: Floats


def smoothness(motion: Floats, step_s: float, deadband: Floats) -> Smoothness:
    """The smoothness of a motion (N, C), by differences of successive rows; gaps are NaN rows.

    deadband: (C,) how far a motion must go back until that counts as a turn.
    """
    orders, values = [], motion
    for _ in range(3):
        values = np.diff(values, axis=0) / step_s
        orders.append(values)
    most = np.stack([_reduced(np.abs(one), np.max) for one in orders])
    rms = np.stack([np.sqrt(_reduced(one**2, np.mean)) for one in orders])
    duration_s = step_s * np.maximum(np.isfinite(orders[0]).sum(axis=0), 1)
    turns = [turning_points(column, band) for column, band in zip(motion.T, deadband, strict=True)]
    return Smoothness(most, rms, np.array(turns) / duration_s)


def turn_deadband(recorded: Floats) -> Floats:
    """(C,) the deadband of turns for a recorded motion (N, C)."""
    finite = np.isfinite(recorded)
    some = finite.any(axis=0)
    high = np.where(finite, recorded, -np.inf).max(axis=0, initial=-np.inf)
    low = np.where(finite, recorded, np.inf).min(axis=0, initial=np.inf)
    span = np.where(some, high - low, 0.0)
    return np.maximum(TURN_SHARE * span, TURN_LEAST)


def turning_points(column: Floats, deadband: float) -> int:
    """How often a motion (N,) changes direction by more than `deadband`."""
    turns, direction, extreme = 0, 0, np.nan
    for value in column[np.isfinite(column)].tolist():
        if np.isnan(extreme):
            extreme = value
        elif direction >= 0 and value < extreme - deadband:
            turns, direction, extreme = turns + (direction > 0), -1, value
        elif direction <= 0 and value > extreme + deadband:
            turns, direction, extreme = turns + (direction < 0), 1, value
        elif direction >= 0:
            extreme = max(extreme, value) if direction else extreme
        else:
            extreme = min(extreme, value)
    return turns


def _reduced(values: Floats, of: Callable[[Floats], np.floating[Any]]) -> Floats:
    """(C,) a reduction over the finite rows of each column; NaN where there is none."""
    found = np.full(values.shape[1], np.nan)
    for column in range(values.shape[1]):
        finite = values[np.isfinite(values[:, column]), column]
        if len(finite):
            found[column] = of(finite)
    return found


STILL = 1e-4
"""A component moves if its recorded standard deviation is larger, in its unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """One episode of N rows, C components, J joints; arrays as in the modules that make them.

    recorded, played, hold: (N, C) the recorded action, what is played of the predictions, and the
    held state. errors: "policy" and the baselines. motion: (C,) RMS of the recorded change between
    two queries. swapped: errors with two cameras exchanged, or None. then: distance from what was
    predicted when the episode was recorded, None if that was not recorded.
    """

    name: str
    instruction: str
    success: bool | None
    rate_hz: float
    settings: OpenLoopSettings
    late: int
    parts: tuple[Component, ...]
    counted: NDArray[np.bool_]
    left_out: Mapping[str, int]
    predictions: Predictions
    chunks: Floats
    recorded: Floats
    played: Floats
    hold: Floats
    errors: Mapping[str, Errors]
    by_step: Errors
    by_latency: Floats
    seams: Seams
    motion: Floats
    smooth: Mapping[str, Smoothness]
    deployed: Deployed
    shaped: Smoothness
    shaped_recorded: Smoothness
    lag: Lag
    state_lag: Lag
    picture_lags: Mapping[str, Lag]
    swapped: Errors | None
    then: Errors | None

    @property
    def moving(self) -> NDArray[np.bool_]:
        """(C,) the components that move in the recording."""
        rows = self.recorded[self.counted]
        finite = np.isfinite(rows)
        count = np.maximum(finite.sum(axis=0), 1)
        mean = np.where(finite, rows, 0.0).sum(axis=0) / count
        variance = np.where(finite, (rows - mean) ** 2, 0.0).sum(axis=0) / count
        return np.asarray(np.sqrt(variance) > STILL)

    def relative(self, errors: Errors) -> float:
        """MSE over the recorded variance: sums over each key's moving components, then their mean.

        NaN if nothing moves. Sums, because a joint that hardly moves must not decide.
        """
        rows, moving = self.recorded[self.counted], self.moving
        shares = []
        for key in dict.fromkeys(part.key for part in self.parts):
            use = moving & np.array([part.key == key for part in self.parts])
            if use.any():
                shares.append(errors.mse[use].sum() / np.nanvar(rows[:, use], axis=0).sum())
        return float(np.mean(shares)) if shares else float("nan")

    def key_motion(self) -> Floats:
        """(C,) the mean of `motion` over the components of the same key."""
        keys = np.array([part.key for part in self.parts])
        return np.array([self.motion[keys == key].mean() for key in keys])


def measure(
    episode: Episode,
    embodiment: Embodiment,
    settings: OpenLoopSettings,
    predictions: Predictions,
    swapped: Predictions | None = None,
) -> Measures:
    """All measures of one episode; `swapped`: the predictions with two cameras exchanged."""
    parts = _recorded_parts(episode, embodiment, settings)
    counted, late = counted_rows(episode, settings), settings.late_rows(embodiment)
    recorded, rows = columns(parts, episode.action), predictions.rows
    chunks = columns(parts, predictions.chunks)
    horizon = embodiment.action_horizon
    played = accuracy.executed(rows, chunks, late, counted)
    kept = columns(parts, held(embodiment, episode))
    shift = max(settings.latency_ns / embodiment.step_ns, 1.0)
    played_as = {
        "policy": played,
        "hold": accuracy.held_since(rows, kept, horizon, late, 0, counted),
        "repeat": accuracy.held_since(rows, recorded, horizon, late, 1, counted),
        "shifted": accuracy.shifted(recorded, shift),
    }
    use = counted & np.isfinite(played).any(axis=1)
    errors = {name: accuracy.errors(values, recorded, use) for name, values in played_as.items()}
    every, step_s = settings.every_rows, 1.0 / embodiment.rate_hz
    deployed = deploy(embodiment, settings, predictions, episode.action, counted)
    truth = np.where(use[:, None], recorded, np.nan)
    band = turn_deadband(truth)
    joints_band = turn_deadband(deployed.recorded)
    other = None
    if swapped is not None:
        exchanged = columns(parts, swapped.chunks)
        other = accuracy.errors(
            accuracy.executed(swapped.rows, exchanged, late, counted), recorded, use
        )
    return Measures(
        name=episode.name,
        instruction=episode.instruction,
        success=episode.success,
        rate_hz=embodiment.rate_hz,
        settings=settings,
        late=late,
        parts=parts,
        counted=counted,
        left_out=_left_out(episode, settings),
        predictions=predictions,
        chunks=chunks,
        recorded=recorded,
        played=played,
        hold=played_as["hold"],
        errors=errors,
        by_step=accuracy.by_step(rows, chunks, recorded, counted),
        by_latency=accuracy.by_latency(rows, chunks, recorded, counted, every),
        seams=accuracy.seams(rows, chunks, late, every, counted),
        motion=_motion(truth, every),
        smooth={
            "recorded": smoothness(truth, step_s, band),
            "predicted": smoothness(np.where(use[:, None], played, np.nan), step_s, band),
        },
        deployed=deployed,
        shaped=smoothness(deployed.position, deployed.grid_s, joints_band),
        shaped_recorded=smoothness(joint_rows(embodiment, episode.action), step_s, joints_band),
        lag=lag(played, recorded, use),
        state_lag=_state_lag(parts, kept, recorded, counted),
        picture_lags=_picture_lags(episode, kept, counted),
        swapped=other,
        then=accuracy.errors(played, columns(parts, episode.predicted), counted)
        if all(part.key in episode.predicted for part in parts)
        else None,
    )


def _recorded_parts(
    episode: Episode, embodiment: Embodiment, settings: OpenLoopSettings
) -> tuple[Component, ...]:
    """The components to measure: of the keys that were recorded.

    Raises SettingsError where none of the wanted keys was.
    """
    parts = components(embodiment, settings.keys)
    recorded = tuple(part for part in parts if part.key in episode.action)
    if not recorded:
        raise SettingsError(
            f"episode {episode.name}: modality keys: got {', '.join({p.key: 0 for p in parts})}, "
            f"expected of those that it has: {', '.join(episode.action) or 'none'}"
        )
    return recorded


def _state_lag(
    parts: Sequence[Component], kept: Floats, recorded: Floats, counted: NDArray[np.bool_]
) -> Lag:
    """The state behind the action; a key with two positions, such as a gripper that holds a thing,
    does not reach what it is commanded.
    """
    follows = np.array([part.threshold is None for part in parts])
    return lag(kept[:, follows], recorded[:, follows], counted)


def _left_out(episode: Episode, settings: OpenLoopSettings) -> dict[str, int]:
    """Rows of each source that do not count."""
    return {
        source: int((episode.source == number).sum())
        for number, source in enumerate(SOURCES)
        if source not in settings.sources and (episode.source == number).any()
    }


def _motion(recorded: Floats, every: int) -> Floats:
    """(C,) RMS of the change in `every` rows."""
    change = recorded[every:] - recorded[:-every]
    finite = np.isfinite(change)
    total = np.where(finite, change**2, 0.0).sum(axis=0)
    rms: Floats = np.sqrt(total / np.maximum(finite.sum(axis=0), 1))
    return rms


def _picture_lags(episode: Episode, kept: Floats, counted: NDArray[np.bool_]) -> dict[str, Lag]:
    """Each camera's pictures against the motion of the state, where the state shows it."""
    known = np.isfinite(kept).all(axis=0)
    if not known.any() or counted.sum() < 8:
        return {camera: NO_LAG for camera in episode.video}
    state = np.where(counted[:, None], kept[:, known], np.nan)
    return {
        camera: picture_lag(picture_change(pictures), state)
        for camera, pictures in episode.video.items()
    }
