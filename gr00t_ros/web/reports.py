"""Reports in a folder: evaluations, comparisons and demo runs, listed, and their files.

A report is a folder with the figures that its program writes last, or a comparison as one JSON
file. What is listed and served lies inside the given folder, with every symbolic link followed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.evaluate.results import JSON_NAME, SCHEMA
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.text_table import one_line
from gr00t_ros.web.snapshot import empty

PAGE: Final = "report.html"
FIGURES: Final = "figures.json"
"""What the demo writes beside its page."""
SUMMARY: Final = "summary.json"
"""What `gr00t eval libero` writes beside its page."""

_KINDS: Final = {JSON_NAME: "open loop", FIGURES: "demo", SUMMARY: "closed loop"}
"""The file with the figures of a report -> its kind."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest file that is served."""
MOST_LISTED: Final = 500
"""The newest reports that are listed."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; sandbox"
)
"""The header for a report's files: they have styles and pictures inside, and run nothing."""

CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".npz": "application/octet-stream",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".mp4": "video/mp4",
}
"""The kinds of files that are served; no logs: that of `gr00t web` has its token."""

_MOST_FIGURES_BYTES: Final = 16 * 1024 * 1024  # larger ones are listed without reading them
_MOST_TITLE: Final = 160
_COMPARED: Final = {"relative_error", "components", "findings", "settings", "episodes"}


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of a report that may be served; `path` has no symbolic link."""

    path: Path
    content_type: str


class Reports:
    """The reports of one folder, looked up anew at each call: new ones appear by themselves."""

    def __init__(self, folder: Path) -> None:
        """`folder` is one report or has several; raises SettingsError if it is no folder."""
        if not folder.is_dir():
            raise SettingsError(
                f"{folder}: no such folder, expected reports of gr00t eval or ./dev demo"
            )
        self._folder = folder.resolve()

    def listed(self) -> list[dict[str, Any]]:
        """The newest reports first: name, kind, path below /reports, time_s, title."""
        found = [entry for path in self._candidates() if (entry := self._entry(path)) is not None]
        return sorted(found, key=lambda one: (-one["time_s"], one["name"]))[:MOST_LISTED]

    def file(self, name: str, inside: str) -> ReportFile:
        """The file of the report `name`; `inside` is its path there, empty for the page.

        Raises SettingsError for a name that is not listed, a path that leaves the report, another
        kind of file, and one that is too large.
        """
        root = self._root(name)
        asked = f"{name}/{inside}" if inside else name
        path = root
        if root.is_dir():
            path = _inside(root, root / (inside or PAGE), asked)
        elif inside:
            raise SettingsError(f"{asked}: got a path inside a file, expected {name}")
        if path.suffix.lower() not in CONTENT_TYPES:
            kinds = ", ".join(CONTENT_TYPES)
            raise SettingsError(f"{asked}: got a file that is not served, expected {kinds}")
        size = _size(path, asked)
        if size > MOST_BYTES:
            raise SettingsError(
                f"{asked}: got {size} bytes, expected at most {MOST_BYTES}; open it from the disk"
            )
        return ReportFile(path, CONTENT_TYPES[path.suffix.lower()])

    def _root(self, name: str) -> Path:
        if name == self._folder.name and _figures(self._folder) is not None:
            return self._folder
        if not _can_be_asked(name):
            raise SettingsError(f"{name!r}: got no name of a report, expected one of the list")
        path = _inside(self._folder, self._folder / name, name)
        if path.is_dir() and _figures(path) is not None:
            return path
        if path.is_file() and self._entry(path) is not None:
            return path
        raise SettingsError(f"{name}: got a name that is no report, expected one of the list")

    def _candidates(self) -> Iterator[Path]:
        """Folders with figures and JSON files that lie in the folder, whatever links say."""
        if _figures(self._folder) is not None:
            yield self._folder
            return
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            return
        for path in paths:
            resolved = _resolved(path) if _can_be_asked(path.name) else None
            if resolved is None or not resolved.is_relative_to(self._folder):
                continue
            if _figures(resolved) is not None or (resolved.is_file() and path.suffix == ".json"):
                yield path

    def _entry(self, path: Path) -> dict[str, Any] | None:
        """The list's entry of a candidate; None if it is no report."""
        file = path if path.is_file() else _figures(path)
        if file is None:
            return None
        try:
            status = file.stat()
            content = read_json(file) if status.st_size <= _MOST_FIGURES_BYTES else None
        except (OSError, SettingsError):
            return None  # not finished, or no JSON: not a report
        described = _described(file, content)
        if described is None:
            return None
        kind, title = described
        return {
            "name": path.name,
            "kind": kind,
            "path": f"{path.name}/" if path.is_dir() else path.name,
            "time_s": status.st_mtime,
            "title": one_line(title, _MOST_TITLE),
        }


def _can_be_asked(name: str) -> bool:
    """Whether a name can stand in an address: a name of a file, in UTF-8, without a backslash."""
    if not name or name in (".", "..") or any(one in name for one in "/\\\0"):
        return False
    return not any(0xD800 <= ord(one) <= 0xDFFF for one in name)


def _figures(folder: Path) -> Path | None:
    """The file with the figures of a folder that is a report."""
    for name in _KINDS:
        file = _resolved(folder / name)
        page = _resolved(folder / PAGE)
        if file is None or page is None or not (file.is_file() and page.is_file()):
            continue
        if file.is_relative_to(folder.resolve()) and page.is_relative_to(folder.resolve()):
            return file
    return None


def _described(file: Path, content: dict[str, Any] | None) -> tuple[str, str] | None:
    """Kind and title of a report; None if the figures are of something else."""
    kind = _KINDS.get(file.name)
    if content is None:
        return (kind, f"{kind}: too many figures to show here") if kind else None
    if content.get("schema") == SCHEMA:
        return "open loop", _evaluation_title(content)
    if file.name == FIGURES and isinstance(content.get("success"), bool):
        verdict = "SUCCESS" if content["success"] else "FAILURE"
        parts = [content.get(name) for name in ("robot", "instruction", "problem")]
        return "demo", f"{verdict}: " + ", ".join(str(one) for one in parts if one)
    if file.name == SUMMARY and content.keys() >= {"conditions", "episodes"}:
        return "closed loop", _closed_loop_title(content)
    if content.keys() >= _COMPARED:
        errors = " and ".join(str(one) for one in _list(content["relative_error"]))
        return "comparison", f"relative errors {errors} of two evaluations"
    return None


def _closed_loop_title(content: dict[str, Any]) -> str:
    rates = [_map(one) for one in _list(content["conditions"])]
    parts = [
        f"{one.get('strategy')} {one.get('latency_ms')} ms: {one.get('successes')} of "
        f"{one.get('episodes')}"
        for one in rates
    ]
    return ", ".join([f"{content['episodes']} episodes", *parts])


def _evaluation_title(content: dict[str, Any]) -> str:
    settings, summary = (_map(content.get(name)) for name in ("settings", "summary"))
    episodes = len(_list(content.get("episodes")))
    parts = [f"{settings.get('robot', 'unknown robot')}, {episodes} episodes"]
    error = summary.get("relative_error")
    if isinstance(error, float):
        parts.append(f"relative error {error:.3g}")
    findings = len(_list(summary.get("findings")))
    return ", ".join([*parts, f"{findings} findings"])


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _resolved(path: Path) -> Path | None:
    """The path without symbolic links; None if it cannot be: missing, a loop, or a bad name."""
    try:
        return path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None


def _inside(folder: Path, path: Path, asked: str) -> Path:
    """The path without symbolic links, which lies in the folder; SettingsError if it does not."""
    resolved = _resolved(path)
    if resolved is None:
        raise SettingsError(f"{asked}: no such file, expected one of the report's")
    if not resolved.is_relative_to(folder):
        raise SettingsError(f"{asked}: got a path that leaves the folder, expected one inside")
    return resolved


def _size(path: Path, asked: str) -> int:
    """The bytes of a regular file."""
    try:
        status = path.stat()
    except OSError as error:
        raise SettingsError(f"{asked}: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"{asked}: got a folder or a device, expected a file")
    return status.st_size


_NOTHING = "this page only lists reports: no robot is commanded"


class ReportSource:
    """A Source (web/view) with nothing to show beside the list of reports."""

    cameras: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """No node, no camera, no command."""
        return {
            **{"node": "", "robot": "", "cameras": [], "source": "report", "joints": []},
            **{"can_command": False, "can_record": False, "duration_s": None},
        }

    def state(self) -> dict[str, Any]:
        """No status."""
        return empty()

    def frame(self, camera: str) -> tuple[int, bytes] | None:
        """No picture."""
        return None

    def events_since(self, number: int) -> list[dict[str, Any]]:
        """No event."""
        return []

    def curves(self) -> dict[str, Any]:
        """No curve."""
        return {"names": [], "t": [], "predicted": [], "commanded": [], "measured": []}

    async def command(self, name: str, value: Any, who: str) -> tuple[bool, str]:
        """Refuse it."""
        return False, _NOTHING

    def close(self) -> None:
        """Nothing is held."""
