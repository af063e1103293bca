"""Finds and reads the files of a collision model: URDF, SRDF, scene files and meshes.

A mesh is read as its points alone, because only their convex hull counts.
"""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import Description, disabled_pairs, read_description
from gr00t_ros.collide.scene import Scene, parse_scene
from gr00t_ros.errors import SceneError, SettingsError
from gr00t_ros.robot.data_file import read_text
from gr00t_ros.robot.files import config_folders, find_yaml, line_of, read_yaml
from gr00t_ros.robot.urdf.text import MAX_BYTES

Floats = NDArray[np.float64]

_MAX_MESH_BYTES: Final = 256 * 1024 * 1024  # the finest meshes of arms have 30 MB
_VERTEX: Final = re.compile(r"^\s*(?:v|vertex)\s+(\S+)\s+(\S+)\s+(\S+)", re.MULTILINE)
_STL_LINE: Final = re.compile(rb"^[ \t]*(end[ \t]*)?(solid|facet|vertex)\b", re.MULTILINE)
_UNIT: Final = re.compile(rb"""<unit\b[^>]*\bmeter\s*=\s*["']([^"']*)["']""")
_LARGEST_M: Final = 1e6  # before the scale, which may turn millimetres into metres


def load_description(urdf: Path, srdf: Path | None = None) -> Description:
    """The robot of a URDF file, with the disabled pairs of an SRDF file; raises SettingsError."""
    disabled = None
    if srdf is not None:
        disabled = disabled_pairs(read_text(srdf, MAX_BYTES, SettingsError), str(srdf))
    text = read_text(urdf, MAX_BYTES, SettingsError)
    return read_description(text, str(urdf), partial(read_mesh, beside=urdf.parent), disabled)


def load_scene(name_or_path: str) -> Scene:
    """Read a scene file: a path, or the name of a file in config/scenes.

    Raises SceneError naming the file and the line of what is wrong, SettingsError if there is no
    such file.
    """
    path = find_yaml(name_or_path, config_folders("scenes"), "scene", SettingsError)
    mapping = read_yaml(path, "a scene", SceneError, SettingsError)
    try:
        return parse_scene(mapping, str(path), partial(read_mesh, beside=path.parent))
    except SceneError as error:
        raise located(error, path) from error


def located(error: SceneError, path: Path) -> SceneError:
    """The error with the line of its place in the scene file; unchanged where it has none."""
    line = line_of(path, error.place) if error.place else None
    text = str(error) if line is None else str(error).replace(f"{path}:", f"{path}:{line}:", 1)
    return SceneError(text, error.place)


def read_mesh(url: str, place: str, beside: Path | None = None) -> Floats:
    """(K, 3) different points of a mesh file: STL or OBJ, and DAE where trimesh is installed.

    beside: the folder that relative paths start from. Raises SettingsError that names `place` and
    the URL: no such file, an unknown format, or no solid in it.
    """
    path = find_mesh(url, place, beside)
    try:
        points = _points(path, f"{place}: mesh {url!r:.200}")
    except OSError as error:
        raise SettingsError(f"{place}: mesh {path}: {error.strerror or error}") from error
    points = np.unique(points, axis=0)
    if not points.size or not np.abs(points).max() <= _LARGEST_M:
        raise SettingsError(
            f"{place}: mesh {url!r:.200}: no points, or some that are not finite or beyond "
            f"{_LARGEST_M:g}: expected an undamaged file"
        )
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if len(spread) < 3 or spread[2] <= 1e-7 * spread[0]:
        raise SettingsError(
            f"{place}: mesh {url!r:.200}: all points in one plane, expected a solid: give the link "
            "a thin box instead"
        )
    return points


def find_mesh(url: str, place: str, beside: Path | None = None) -> Path:
    """The file of a mesh: package://PACKAGE/... below share of each prefix, file:// or a path.

    The prefixes are those of AMENT_PREFIX_PATH and that of this Python. Raises SettingsError that
    names the mesh and the places where it was looked for.
    """
    if url.startswith(("package://", "model://")):
        prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
        rest = url.partition("://")[2]
        tried = [Path(one, "share", rest) for one in (*prefixes, sys.prefix)]
        remedy = "source the workspace that has the package (AMENT_PREFIX_PATH)"
    else:
        tried = [Path(beside or Path(), url.removeprefix("file://"))]
        remedy = "correct the path in the file"
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        places = ", ".join(dict.fromkeys(map(str, tried)))
        raise SettingsError(f"{place}: mesh {url!r:.200}: no such file as {places}; {remedy}")
    return found


def _points(path: Path, place: str) -> Floats:
    kind = path.suffix.lower()
    if kind == ".dae":
        return _dae_points(path, place)
    if kind not in (".stl", ".obj"):
        raise SettingsError(
            f"{place} is of format {kind!r}, expected STL, OBJ or DAE: convert it to STL, or give "
            "the link simple shapes"
        )
    size = path.stat().st_size
    if size > _MAX_MESH_BYTES:
        raise SettingsError(f"{place}: {size} bytes, expected {_MAX_MESH_BYTES} at most")
    data = path.read_bytes()
    count = int.from_bytes(data[80:84], "little")
    binary = len(data) >= 84 + 50 * count if data[:5] != b"solid" else len(data) == 84 + 50 * count
    if kind == ".stl" and binary and count:
        row = np.dtype([("normal", "<f4", 3), ("points", "<f4", (3, 3)), ("colour", "<u2")])
        faces = np.frombuffer(data, row, count, 84)
        return np.asarray(faces["points"].reshape(-1, 3), dtype=np.float64)
    if kind == ".stl" and not _is_whole(data):
        raise SettingsError(
            f"{place} is cut off: it has not all the triangles that a binary file counts, nor ends "
            "with endsolid as a text does: expected an undamaged stl file"
        )
    try:
        found = _VERTEX.findall(data.decode("utf-8", "replace"))
        return np.array(found, dtype=np.float64).reshape(-1, 3)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}: expected an undamaged {kind[1:]} file") from error


def _is_whole(text: bytes) -> bool:
    """Whether an STL text ends its last solid; what stands behind that, such as a comment, may."""
    last = deque(_STL_LINE.finditer(text), maxlen=1)
    return bool(last) and last[0][1] is not None and last[0][2] == b"solid"


def _dae_points(path: Path, place: str) -> Floats:
    """The points of a COLLADA file, in its scene's axes, by trimesh, which leaves out its unit."""
    try:
        import trimesh

        mesh: Any = trimesh.load(path, force="mesh")
        unit = _UNIT.search(path.read_bytes())  # of the file's asset, which is its first element
        return np.asarray(mesh.vertices, dtype=np.float64) * (float(unit[1]) if unit else 1.0)
    except Exception as error:  # whatever the parsers raise, without pycollada too
        text = " ".join(str(error).split())
        raise SettingsError(
            f"{place} is a DAE file, which could not be read ({text:.200}): python3 -m pip install "
            "trimesh pycollada, or convert it to STL"
        ) from error
