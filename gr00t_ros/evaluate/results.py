"""The results of an evaluation as plain values: results.json (SCHEMA), arrays.npz, the summary.

Everything but "timing" is the same to the last bit for the same episodes, policy and settings,
whatever the number of workers and servers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate.accuracy import BASELINES
from gr00t_ros.evaluate.components import Component
from gr00t_ros.evaluate.diagnosis import PROBLEM, Diagnosis
from gr00t_ros.evaluate.lags import Lag
from gr00t_ros.evaluate.measures import Measures, Smoothness
from gr00t_ros.evaluate.open_loop import OpenLoopSettings
from gr00t_ros.robot.data_file import MAX_RESULTS_BYTES, read_json
from gr00t_ros.robot.embodiment import Embodiment

SCHEMA: Final = "gr00t_ros.evaluation/1"
JSON_NAME, NPZ_NAME, PAGE_NAME = "results.json", "arrays.npz", "report.html"

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """An episode without a result: the last error's text, and the servers that were tried."""

    number: int
    name: str
    text: str
    servers: tuple[str, ...]


def plain(value: Any) -> Any:
    """Arrays as lists, NaN and infinity as None, tuples as lists."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def episode_figures(number: int, m: Measures, findings: Sequence[Diagnosis]) -> Plain:
    """One episode's entry of results.json."""
    recorded = m.recorded[m.counted]
    played = m.played[m.counted]
    guard = m.deployed.guard
    figures: Plain = {
        "number": number,
        "name": m.name,
        "instruction": m.instruction,
        "success": m.success,
        "rows": len(m.recorded),
        "rows_counted": int(m.counted.sum()),
        "rows_left_out": dict(m.left_out),
        "queries": len(m.predictions.rows),
        "queries_skipped": len(m.predictions.skipped),
        "not_finite": {
            "recorded": int((~np.isfinite(recorded)).sum()),
            "predicted": int((~np.isfinite(m.chunks)).sum()),
            "chunks": len(m.predictions.unfit),
            "rows_without_prediction": int((~np.isfinite(played)).all(axis=1).sum()),
        },
        "relative_error": m.relative(m.errors["policy"]),
        "relative_baselines": {name: m.relative(m.errors[name]) for name in BASELINES},
        "relative_swapped": None if m.swapped is None else m.relative(m.swapped),
        "components": [_component(m, c, part) for c, part in enumerate(m.parts)],
        "by_step": {"mse": m.by_step.mse.T, "mae": m.by_step.mae.T},
        "by_latency": {"mse": m.by_latency.T},
        "seams": {"count": len(m.seams.rows), "rms_by_step": m.seams.rms_by_step().T},
        "lags": {
            "prediction": _lag(m.lag, m.rate_hz),
            "state": _lag(m.state_lag, m.rate_hz),
            "pictures": {key: _lag(one, m.rate_hz) for key, one in m.picture_lags.items()},
        },
        "deployed": {
            "chunks": guard.chunks,
            "accepted": guard.accepted,
            "clamped": guard.clamped,
            "refused": guard.refused,
            "late": guard.late,
            "stops": guard.stops,
            "faults": guard.faults,
            "reasons": {
                kind: {"count": count, "first": text}
                for kind, (count, text) in guard.reasons.items()
            },
            "left_out": list(m.deployed.left_out),
            "joints": [_joint(m, j, name) for j, name in enumerate(m.deployed.joints)],
        },
        "findings": [asdict(finding) for finding in findings],
    }
    found: Plain = plain(figures)
    return found


def _component(m: Measures, c: int, part: Component) -> Plain:
    sizes = np.abs(m.seams.apart[:, : m.seams.played, c])
    entry: Plain = {
        "key": part.key,
        "name": part.name,
        "unit": part.unit,
        "count": m.errors["policy"].count[c],
        "mse": m.errors["policy"].mse[c],
        "mae": m.errors["policy"].mae[c],
    }
    for name in BASELINES:
        entry |= {
            f"{name}_count": m.errors[name].count[c],
            f"{name}_mse": m.errors[name].mse[c],
            f"{name}_mae": m.errors[name].mae[c],
        }
    if part.threshold is not None:
        use = m.counted & np.isfinite(m.played[:, c]) & np.isfinite(m.recorded[:, c])
        apart = (m.played[use, c] > part.threshold) != (m.recorded[use, c] > part.threshold)
        entry["decisions_wrong"] = float(apart.mean()) if len(apart) else None
    entry |= {
        "then_mse": None if m.then is None else m.then.mse[c],
        "motion": m.motion[c],
        "seam_rms": m.seams.rms()[c],
        "seam_most": np.nanmax(sizes) if np.isfinite(sizes).any() else None,
        "seam_jump_rms": _rms(m.seams.jump[:, c]),
    }
    for name, one in m.smooth.items():
        entry[name] = _smoothness(one, c)
    return entry


def _joint(m: Measures, j: int, name: str) -> Plain:
    apart = m.deployed.position[:, j] - m.deployed.recorded[:, j]
    finite = apart[np.isfinite(apart)]
    return {
        "name": name,
        "from_recorded_rms": _rms(finite),
        "from_recorded_most": np.abs(finite).max() if len(finite) else None,
        "shaped": _smoothness(m.shaped, j),
        "recorded": _smoothness(m.shaped_recorded, j),
    }


def _smoothness(one: Smoothness, c: int) -> Plain:
    names = ("velocity", "acceleration", "jerk")
    entry = {f"{name}_most": one.most[order, c] for order, name in enumerate(names)}
    entry |= {f"{name}_rms": one.rms[order, c] for order, name in enumerate(names)}
    return {**entry, "turns_hz": one.turns_hz[c]}


def _rms(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(finite**2))) if len(finite) else None


def _lag(one: Lag, rate_hz: float) -> Plain:
    return {"rows": one.rows, "ms": 1e3 * one.rows / rate_hz, "explained": one.explained}


def episode_arrays(m: Measures) -> dict[str, NDArray[np.generic]]:
    """The raw arrays of one episode, for arrays.npz."""
    return {
        "rows": m.predictions.rows,
        "chunks": m.chunks,
        "recorded": m.recorded,
        "played": m.played,
        "hold": m.hold,
        "counted": m.counted,
        "shaped_time_s": m.deployed.time_s,
        "shaped": m.deployed.position,
        "shaped_recorded": m.deployed.recorded,
    }


# --- summary -----------------------------------------------------------------------------------


def summarise(episodes: Sequence[Plain], failed: Sequence[Failed]) -> Plain:
    """Over all episodes: pooled errors, the worst first, findings with how many episodes have them.

    Errors are pooled over rows, so that a long episode counts more.
    """
    order = sorted(episodes, key=lambda one: -(_number(one["relative_error"], math.inf)))
    components = [_pooled([one["components"][c] for one in episodes]) for c in _count(episodes)]
    return {
        "episodes": len(episodes),
        "failed": len(failed),
        "worst_first": [one["number"] for one in order],
        "relative_error": mean([one["relative_error"] for one in episodes]),
        "relative_baselines": {
            name: mean([one["relative_baselines"][name] for one in episodes]) for name in BASELINES
        },
        "components": components,
        "keys": _keys(components),
        "findings": _merged(episodes),
        "deployed": {
            name: sum(one["deployed"][name] for one in episodes)
            for name in ("chunks", "accepted", "clamped", "refused", "late", "stops", "faults")
        },
    }


def _count(episodes: Sequence[Plain]) -> range:
    return range(len(episodes[0]["components"]) if episodes else 0)


def _number(value: Any, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def mean(values: Sequence[Any]) -> float | None:
    """The mean of the values that are known; None if none is."""
    known = [float(value) for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _pooled(entries: Sequence[Plain]) -> Plain:
    """One component over all episodes."""
    found: Plain = {name: entries[0][name] for name in ("key", "name", "unit")}
    for prefix in ("", *(f"{name}_" for name in BASELINES)):
        counts = [entry[f"{prefix}count"] for entry in entries]
        total = sum(counts)
        found[f"{prefix}count"] = total
        for kind in ("mse", "mae"):
            values = [_number(entry[f"{prefix}{kind}"], 0.0) for entry in entries]
            summed = math.fsum(v * n for v, n in zip(values, counts, strict=True))
            # One episode keeps its figure to the last digit.
            one = entries[0][f"{prefix}{kind}"] if len(entries) == 1 else None
            found[f"{prefix}{kind}"] = one if one is not None or not total else summed / total
    for name in ("motion", "seam_rms", "seam_most", "decisions_wrong"):
        if name in entries[0]:
            found[name] = mean([entry[name] for entry in entries])
    for name in ("recorded", "predicted"):
        found[f"{name}_turns_hz"] = mean([entry[name]["turns_hz"] for entry in entries])
    return found


def _keys(components: Sequence[Plain]) -> list[Plain]:
    """Each action key: the means over its components."""
    names = list(dict.fromkeys(one["key"] for one in components))
    figures = ["mse", "mae", *(f"{name}_{kind}" for name in BASELINES for kind in ("mse", "mae"))]
    return [
        {"key": key, "units": sorted({one["unit"] for one in components if one["key"] == key})}
        | {
            figure: mean([one[figure] for one in components if one["key"] == key])
            for figure in figures
        }
        for key in names
    ]


def _merged(episodes: Sequence[Plain]) -> list[Plain]:
    """Findings by kind, the most frequent problems first; text and parts of the worst episode."""
    ranked = sorted(episodes, key=lambda one: -_number(one["relative_error"], math.inf))
    found: dict[str, Plain] = {}
    for episode in ranked:
        for finding in episode["findings"]:
            entry = found.setdefault(
                finding["kind"], {**finding, "episode": episode["name"], "episodes": 0}
            )
            entry["episodes"] += 1
    return sorted(found.values(), key=lambda one: (one["level"] != PROBLEM, -one["episodes"]))


# --- files -------------------------------------------------------------------------------------


def settings_figures(settings: OpenLoopSettings, embodiment: Embodiment) -> Plain:
    """The settings, as results.json has them."""
    return {
        "embodiment": embodiment.source,
        "robot": embodiment.robot,
        "rate_hz": embodiment.rate_hz,
        "action_horizon": embodiment.action_horizon,
        "every_rows": settings.every_rows,
        "latency_ms": settings.latency_ns / 1e6,
        "late_rows": settings.late_rows(embodiment),
        "steps": settings.steps,
        "sources": list(settings.sources),
        "modality_keys": list(settings.keys),
        "swap_cameras": None if settings.swap is None else list(settings.swap),
        "velocity_scale": settings.velocity_scale,
    }


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays.npz into `folder`, which exists."""
    np.savez_compressed(folder / NPZ_NAME, **dict(arrays))  # type: ignore[arg-type]  # no options


def write_results(folder: Path, results: Plain) -> None:
    """Write results.json at once: a folder that has it is complete, unless it is `interrupted`."""
    text = json.dumps(results, indent=1, allow_nan=False)
    unfinished = folder / f"{JSON_NAME}.unfinished"
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(folder / JSON_NAME)


def read_results(path: Path) -> Plain:
    """Read results.json, or the one in a folder; SettingsError if it is none of this version."""
    file = path / JSON_NAME if path.is_dir() else path
    content = read_json(file, max_bytes=MAX_RESULTS_BYTES)
    schema = content.get("schema")
    if schema != SCHEMA:
        raise SettingsError(f"{file}: got schema {schema!r:.60}, expected {SCHEMA!r} of gr00t eval")
    return content
