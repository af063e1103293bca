"""What differs between two evaluations, such as of two checkpoints on the same episodes."""

from __future__ import annotations

from typing import Any

from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate.results import Plain
from gr00t_ros.text_table import table


def comparison(first: Plain, second: Plain) -> Plain:
    """Differences for each component, findings that came or went, and settings that differ.

    Raises SettingsError if the components are not the same.
    """
    parts = [_by_label(one) for one in (first, second)]
    if parts[0].keys() != parts[1].keys():
        apart = sorted(parts[0].keys() ^ parts[1].keys())
        raise SettingsError(f"compare: got components of one file only: {', '.join(apart)}")
    rows = [_row(label, parts[0][label], parts[1][label]) for label in parts[0]]
    kinds = [
        {one["kind"]: one["episodes"] for one in side["summary"]["findings"]}
        for side in (first, second)
    ]
    findings = [
        {"kind": kind, "a": kinds[0].get(kind, 0), "b": kinds[1].get(kind, 0)}
        for kind in dict.fromkeys((*kinds[0], *kinds[1]))
        if kinds[0].get(kind) != kinds[1].get(kind)
    ]
    settings = [
        {"setting": name, "a": first["settings"].get(name), "b": second["settings"].get(name)}
        for name in first["settings"]
        if first["settings"][name] != second["settings"].get(name)
    ]
    names = [[one["name"] for one in side["episodes"]] for side in (first, second)]
    return {
        "relative_error": [side["summary"]["relative_error"] for side in (first, second)],
        "components": rows,
        "findings": findings,
        "settings": settings,
        "same_episodes": names[0] == names[1],
        "episodes": [len(one) for one in names],
    }


def _by_label(results: Plain) -> dict[str, Plain]:
    return {f"{one['key']}: {one['name']}": one for one in results["summary"]["components"]}


def _row(label: str, a: Plain, b: Plain) -> Plain:
    row: Plain = {"component": label, "unit": a["unit"]}
    for name in ("mse", "mae", "seam_rms", "predicted_turns_hz"):
        change = b[name] / a[name] - 1.0 if a[name] and b[name] is not None else None
        row[name] = [a[name], b[name], change]
    return row


def text_of(found: Plain) -> str:
    """The comparison as tables for people."""
    rows = []
    for one in found["components"]:
        cells: list[Any] = [one["component"], one["unit"]]
        for name in ("mse", "mae", "seam_rms", "predicted_turns_hz"):
            a, b, change = one[name]
            cells += [_number(a), _number(b), "" if change is None else f"{100 * change:+.1f} %"]
        rows.append(cells)
    header = ["component", "unit"]
    for name in ("MSE", "MAE", "seams", "turns/s"):
        header += [f"{name} A", "B", "change"]
    a, b = found["relative_error"]
    parts = [f"relative error: A {_number(a)}, B {_number(b)}", table(header, rows)]
    if found["findings"]:
        rows = [[one["kind"], one["a"], one["b"]] for one in found["findings"]]
        parts.append(table(["finding", "episodes A", "episodes B"], rows))
    else:
        parts.append("findings: the same")
    if found["settings"]:
        rows = [[one["setting"], one["a"], one["b"]] for one in found["settings"]]
        parts.append("The settings differ:\n" + table(["setting", "A", "B"], rows))
    if not found["same_episodes"]:
        parts.append(
            f"The episodes are not the same (A {found['episodes'][0]}, B {found['episodes'][1]}): "
            "the figures do not compare two policies alone."
        )
    return "\n\n".join(parts)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
