"""The .npz file of an observation and, where a server was asked, of its request and reply.

Written by `gr00t sidecar dump`, read by `gr00t sidecar parity`. Its arrays video.KEY, state.KEY and
instruction are those that `gr00t sidecar infer` takes. docs/sidecar.md lists all arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityConfig, ModalityEntry
from gr00t_ros.sidecar.exchange import SEED, Exchange, RawObservation
from gr00t_ros.sidecar.npz_file import read_npz, write_npz
from gr00t_ros.text_table import one_line
from gr00t_ros.wire.messages import Generation

VERSION: Final = 1
VERSION_KEY: Final = "format_version"
INSTRUCTION: Final = "instruction"
VIDEO_PREFIX: Final = "video."
STATE_PREFIX: Final = "state."
ACTION_PREFIX: Final = "action."
DELTAS_PREFIX: Final = "delta_indices."

_AGAIN: Final = "write it again: gr00t sidecar dump --observation FILE.npz"
_CODECS: Final = ("npy", "msgpack_numpy")
_STYLES: Final = ("nested", "flat")
_MAX_TEXT: Final = 4096
_MAX_LANGUAGE_KEYS: Final = 64

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Dumped:
    """The content of one file.

    exchange: None if no server was asked. source: where the observation comes from, for people.
    deltas: the delta indices of video and state, None if they are unknown.
    """

    observation: RawObservation
    exchange: Exchange | None = None
    embodiment_tag: str = ""
    source: str = ""
    gr00t_ros: str = ""
    deltas: Mapping[str, tuple[int, ...]] | None = None


def is_raw(name: str) -> bool:
    """Whether an array of that name is part of the raw observation, as `infer` takes it."""
    return name == INSTRUCTION or name.startswith((VIDEO_PREFIX, STATE_PREFIX))


def delta_indices(modality: ModalityConfig) -> dict[str, tuple[int, ...]]:
    """Return the delta indices of video and state, which say what the rows of an array are."""
    empty = ModalityEntry((), ())
    return {name: modality.get(name, empty).delta_indices for name in ("video", "state")}


def write_dump(path: Path, dumped: Dumped) -> None:
    """Write a new file; raises SettingsError where it cannot be written or is there already."""
    seen, done = dumped.observation, dumped.exchange
    arrays: dict[str, Any] = {
        VERSION_KEY: np.array(VERSION),
        **{
            f"{VIDEO_PREFIX}{key}": np.ascontiguousarray(values, np.uint8)
            for key, values in seen.video.items()
        },
        **{
            f"{STATE_PREFIX}{key}": np.ascontiguousarray(values, np.float32)
            for key, values in seen.state.items()
        },
        INSTRUCTION: np.array(seen.instruction),
        "language_keys": np.array(seen.language_keys),
        "options": np.array(json.dumps(dict(seen.options))),
        "stamp_ns": np.array(seen.stamp_ns, np.int64),
        "embodiment_tag": np.array(dumped.embodiment_tag),
        "source": np.array(dumped.source),
        "gr00t_ros": np.array(dumped.gr00t_ros),
    }
    seed = seen.options.get(SEED)
    if isinstance(seed, int):
        arrays[SEED] = np.array(seed)
    for name, steps in (dumped.deltas or {}).items():
        arrays[f"{DELTAS_PREFIX}{name}"] = np.array(steps, np.int64)
    if done is not None:
        arrays |= {
            "request": np.frombuffer(done.request, np.uint8),
            "reply": np.frombuffer(done.reply, np.uint8),
            "token_removed": np.array(done.token_removed),
            "generation": np.array(done.generation.value),
            "array_codec": np.array(done.array_codec),
            "key_style": np.array(done.key_style),
            "server": np.array(done.server),
            "inference_ns": np.array(done.inference_ns, np.int64),
            **{f"{ACTION_PREFIX}{key}": np.asarray(rows) for key, rows in done.action.items()},
        }
    write_npz(path, arrays)


def read_dump(path: Path) -> Dumped:
    """Return the content of a file that `gr00t sidecar dump` wrote.

    Raises SettingsError in one line, with what to do: for an observation without a server's answer
    in a file of `infer`, an unknown version, and a file without the raw observation.
    """
    arrays = read_npz(path)
    raw = [name for name in arrays if name.startswith((VIDEO_PREFIX, STATE_PREFIX))]
    if VERSION_KEY not in arrays and raw:
        raise SettingsError(
            f"{path}: an observation without a server's answer; ask one and write a new file: "
            f"gr00t sidecar dump --from {path} --observation NEW.npz --embodiment NAME|FILE"
        )
    if VERSION_KEY not in arrays:
        has = one_line(", ".join(arrays), 200) or "nothing"
        raise SettingsError(
            f"{path}: no {VERSION_KEY} and no raw observation (arrays {VIDEO_PREFIX}KEY and "
            f"{STATE_PREFIX}KEY), has {has}; {_AGAIN}"
        )
    version = _scalar(arrays, VERSION_KEY, "iu", path)
    if version != VERSION:
        raise SettingsError(
            f"{path}: {VERSION_KEY} {version}, expected {VERSION}: read it with the gr00t_ros that "
            f"wrote it ({one_line(_text(arrays, 'gr00t_ros', path), 40) or 'unknown'}), or {_AGAIN}"
        )
    if not raw:
        raise SettingsError(
            f"{path}: no raw observation (arrays {VIDEO_PREFIX}KEY and {STATE_PREFIX}KEY), without "
            f"which it cannot be sent to another server; {_AGAIN}"
        )
    return Dumped(
        _observation(arrays, path),
        _exchange(arrays, path),
        _text(arrays, "embodiment_tag", path),
        _text(arrays, "source", path),
        _text(arrays, "gr00t_ros", path),
        _deltas(arrays, path),
    )


def _observation(arrays: Arrays, path: Path) -> RawObservation:
    video, state = part(arrays, VIDEO_PREFIX), part(arrays, STATE_PREFIX)
    for key, values in video.items():
        if values.dtype != np.uint8 or values.ndim != 4 or values.shape[-1] != 3:
            raise _wrong(path, f"{VIDEO_PREFIX}{key}", values, "uint8 (T, H, W, 3)")
    for key, values in state.items():
        if values.dtype != np.float32 or values.ndim != 2:
            raise _wrong(path, f"{STATE_PREFIX}{key}", values, "float32 (T, D)")
    keys = _required(arrays, "language_keys", path)
    if keys.dtype.kind != "U" or keys.ndim != 1 or not 0 < len(keys) <= _MAX_LANGUAGE_KEYS:
        raise _wrong(path, "language_keys", keys, "some texts")
    try:
        options = json.loads(_text(arrays, "options", path) or "{}")
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: options: no JSON: {error}") from error
    if not isinstance(options, dict):
        raise SettingsError(f"{path}: options: got {type(options).__name__}, expected a map")
    stamp_ns = _scalar(arrays, "stamp_ns", "iu", path)
    texts = tuple(map(str, keys))
    return RawObservation(
        video, state, texts, _text(arrays, INSTRUCTION, path), options, int(stamp_ns)
    )


def _exchange(arrays: Arrays, path: Path) -> Exchange | None:
    if "reply" not in arrays:
        return None
    names = [generation.value for generation in Generation]
    generation = _choice(arrays, "generation", names, path)
    action = part(arrays, ACTION_PREFIX)
    for key, rows in action.items():
        if rows.dtype.kind != "f" or rows.ndim != 2:
            raise _wrong(path, f"{ACTION_PREFIX}{key}", rows, "floats (H, D)")
    return Exchange(
        Generation(generation),
        _choice(arrays, "array_codec", _CODECS, path),  # type: ignore[arg-type]  # one of them
        _choice(arrays, "key_style", _STYLES, path),  # type: ignore[arg-type]  # one of them
        _text(arrays, "server", path),
        _bytes(arrays, "request", path),
        _bytes(arrays, "reply", path),
        action,
        bool(_scalar(arrays, "token_removed", "b", path)),
        int(_scalar(arrays, "inference_ns", "iu", path)),
    )


def _deltas(arrays: Arrays, path: Path) -> dict[str, tuple[int, ...]] | None:
    found = part(arrays, DELTAS_PREFIX)
    for name, steps in found.items():
        if steps.dtype.kind != "i" or steps.ndim != 1:
            raise _wrong(path, f"{DELTAS_PREFIX}{name}", steps, "whole numbers (T,)")
    return {name: tuple(map(int, steps)) for name, steps in found.items()} or None


def part(arrays: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names have the prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }


def _required(arrays: Arrays, name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise SettingsError(f"{path}: no array {name}; {_AGAIN}")
    return arrays[name]


def _scalar(arrays: Arrays, name: str, kinds: str, path: Path) -> Any:
    value = _required(arrays, name, path)
    if value.ndim != 0 or value.dtype.kind not in kinds:
        raise _wrong(path, name, value, "one value")
    return value.item()


def _text(arrays: Arrays, name: str, path: Path) -> str:
    text = str(_scalar(arrays, name, "U", path))
    if len(text) > _MAX_TEXT:
        raise SettingsError(f"{path}: {name}: {len(text)} characters, expected {_MAX_TEXT} at most")
    return text


def _choice(arrays: Arrays, name: str, known: list[str] | tuple[str, ...], path: Path) -> str:
    text = _text(arrays, name, path)
    if text not in known:
        raise SettingsError(f"{path}: {name} {text!r:.40}, expected one of {', '.join(known)}")
    return text


def _bytes(arrays: Arrays, name: str, path: Path) -> bytes:
    values = _required(arrays, name, path)
    if values.dtype != np.uint8 or values.ndim != 1:
        raise _wrong(path, name, values, "uint8 (N,)")
    return values.tobytes()


def _wrong(path: Path, name: str, values: NDArray[Any], expected: str) -> SettingsError:
    got = f"{values.dtype} {values.shape}"
    return SettingsError(f"{path}: {one_line(name, 80)}: got {got:.80}, expected {expected}")
