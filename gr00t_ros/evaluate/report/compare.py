"""What differs between two evaluations, such as of two checkpoints on the same episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate.results import JSON_NAME, Plain, read_results
from gr00t_ros.text_table import table

_FIGURES: Final = ("mse", "mae", "seam_rms", "predicted_turns_hz")
_LARGEST: Final = 1e300


def read_compared(path: Path) -> Plain:
    """Read results.json, or the one in a folder, and check all that `comparison` reads of it.

    Raises SettingsError with the file and the place in it.
    """
    results = read_results(path)
    path = path / JSON_NAME if path.is_dir() else path
    summary = _part(path, results, "summary", dict, "")
    _number_at(path, summary, "relative_error", "summary.")
    for place, one in _entries(path, summary, "components", "summary."):
        for name in ("key", "name", "unit"):
            _part(path, one, name, str, place)
        for name in _FIGURES:
            _number_at(path, one, name, place)
    for place, one in _entries(path, summary, "findings", "summary."):
        _part(path, one, "kind", str, place)
        _part(path, one, "episodes", int, place)
    _part(path, results, "settings", dict, "")
    for place, one in _entries(path, results, "episodes", ""):
        _part(path, one, "name", str, place)
    return results


_WORDS: Final = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def _part(path: Path, within: Plain, name: str, kind: type, place: str) -> Any:
    """The value of `name`, which is of this type; `place`: of `within`, with a dot behind it."""
    value = within.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(path, f"{place}{name}", within, name, _WORDS[kind])
    return value


def _entries(path: Path, within: Plain, name: str, place: str) -> list[tuple[str, Plain]]:
    """Each object of the list `name`, with its place and a dot behind it."""
    entries = _part(path, within, name, list, place)
    for number, one in enumerate(entries):
        if not isinstance(one, dict):
            where = f"{place}{name}[{number}]"
            raise SettingsError(f"{path}: {where}: got {one!r:.60}, expected an object")
    return [(f"{place}{name}[{number}].", one) for number, one in enumerate(entries)]


def _number_at(path: Path, within: Plain, name: str, place: str) -> None:
    value = within.get(name, "")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and -_LARGEST <= value <= _LARGEST):
        raise _wrong(path, f"{place}{name}", within, name, "a finite number or null")


def _wrong(path: Path, place: str, within: Plain, name: str, expected: str) -> SettingsError:
    got = f"{within[name]!r:.60}" if name in within else "none"
    return SettingsError(f"{path}: {place}: got {got}, expected {expected}")


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
    for name in _FIGURES:
        change = b[name] / a[name] - 1.0 if a[name] and b[name] is not None else None
        row[name] = [a[name], b[name], change]
    return row


def text_of(found: Plain) -> str:
    """The comparison as tables for people."""
    rows = []
    for one in found["components"]:
        cells: list[Any] = [one["component"], one["unit"]]
        for name in _FIGURES:
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
