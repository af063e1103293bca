"""Check observations and actions as upstream's strict mode does, in upstream's words.

Clients learn from these texts what they did wrong (wire.md 6 to 8), so they are kept to the
letter, quirks included; the order of the checks is that of Isaac-GR00T's newest
gr00t/policy/gr00t_policy.py (Gr00tPolicy and Gr00tSimPolicyWrapper). The width check alone is
ours: upstream fails deeper, in normalisation. Refuses to know sockets, bytes and policies.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gr00t_ros.core.errors import ChunkError, ObservationError
from gr00t_ros.core.modality import ModalityConfig

_AXES = {"Video": "(B, T, H, W, C)", "State": "(B, T, D)"}
_DTYPES = {"Video": np.uint8, "State": np.float32}


def check_nested(observation: Mapping[str, Any], modality: ModalityConfig) -> None:
    """Check ``{"video": {key: (B,T,H,W,3) uint8}, "state": {key: (B,T,D) float32}, "language"}``.

    T is the number of the modality's delta indices; language is ``{key: [[str]] * B}``. Keys
    and modalities beyond those of the modality config are let pass. Raises ObservationError
    with upstream's text, and TypeError where upstream's len() does (a value without length).
    """
    for name in ("video", "state", "language"):
        if name not in observation:
            raise ObservationError(f"Observation must contain a '{name}' key")
        if not isinstance(observation[name], dict):
            raise ObservationError(
                f"Observation '{name}' must be a dictionary. "
                f"Got {type(observation[name])}: {observation[name]}"
            )
    batch: int | None = None
    for name in ("video", "state", "language"):
        for key in modality[name].keys:
            title = f"{name.capitalize()} key '{key}'"
            if key not in observation[name]:
                raise ObservationError(f"{title} must be in observation")
            value = observation[name][key]
            size = len(value)
            if batch is not None and size != batch:
                raise ObservationError(f"{title} must have batch size {batch}. Got {size}")
            batch = size
            _check_value(name.capitalize(), key, value, len(modality[name].delta_indices))


def check_flat(observation: Mapping[str, Any], modality: ModalityConfig) -> None:
    """Check the flat form: ``video.<key>``, ``state.<key>``, language bare as a list of B strings.

    Shapes and dtypes as in check_nested; as upstream's wrapper it does not compare batch sizes.
    Raises ObservationError with upstream's text.
    """
    for name in ("video", "state"):
        for key in modality[name].keys:
            flat = f"{name}.{key}"
            if flat not in observation:
                raise ObservationError(f"{name.capitalize()} key '{flat}' must be in observation")
            horizon = len(modality[name].delta_indices)
            _check_array(name.capitalize(), key, observation[flat], horizon)
    for key in modality["language"].keys:
        if key not in observation:
            raise ObservationError(f"Language key '{key}' must be in observation")
        texts = observation[key]
        if not isinstance(texts, list | tuple):
            raise ObservationError(
                f"Language key '{key}' must be a tuple or list. Got {type(texts)}"
            )
        if not isinstance(texts[0], str):
            raise ObservationError(f"Language batch item must be a string. Got {type(texts[0])}")


def check_widths(observation: Mapping[str, Any], widths: Mapping[str, int]) -> None:
    """Check the last axis of each nested state array against the embodiment's widths.

    Raises ObservationError naming key, width got and width expected.
    """
    for key, width in widths.items():
        got = observation["state"][key].shape[-1]
        if got != width:
            raise ObservationError(f"State key '{key}' must have width {width}. Got {got}")


def check_action(action: Mapping[str, Any], modality: ModalityConfig) -> None:
    """Check a policy's own action: every key a (B, H, D) float32 array, H the action horizon.

    Raises ChunkError with upstream's text: a policy of ours that breaks this is our fault, and
    the client must see an error rather than a chunk of the wrong shape.
    """
    horizon = len(modality["action"].delta_indices)
    for key in modality["action"].keys:
        title = f"Action key '{key}'"
        value = action.get(key)
        if key not in action:
            raise ChunkError(f"{title} must be in action")
        if not isinstance(value, np.ndarray):
            raise ChunkError(f"{title} must be a numpy array. Got {type(value)}")
        if value.dtype != np.float32:
            raise ChunkError(f"{title} must be a numpy array of type np.float32. Got {value.dtype}")
        if value.ndim != 3:
            raise ChunkError(f"{title} must be a numpy array of shape (B, T, D), got {value.shape}")
        if value.shape[1] != horizon:
            raise ChunkError(f"{title}s horizon must be {horizon}. Got {value.shape[1]}")


def _check_value(kind: str, key: str, value: object, horizon: int) -> None:
    if kind == "Language":
        _check_language(key, value, horizon)
    else:
        _check_array(kind, key, value, horizon)


def _check_array(kind: str, key: str, value: object, horizon: int) -> None:
    title = f"{kind} key '{key}'"
    dtype = _DTYPES[kind]
    if not isinstance(value, np.ndarray):
        raise ObservationError(f"{title} must be a numpy array. Got {type(value)}")
    if value.dtype != dtype:
        raise ObservationError(
            f"{title} must be a numpy array of type np.{dtype.__name__}. Got {value.dtype}"
        )
    if value.ndim != len(_AXES[kind].split(",")):
        raise ObservationError(
            f"{title} must be a numpy array of shape {_AXES[kind]}, got {value.shape}"
        )
    # Upstream writes the key's closing quote as the genitive's apostrophe: 'key's horizon.
    if value.shape[1] != horizon:
        raise ObservationError(f"{title}s horizon must be {horizon}. Got {value.shape[1]}")
    if kind == "Video" and value.shape[-1] != 3:
        raise ObservationError(f"{title}s channel 'C' must be 3. Got {value.shape[-1]}")


def _check_language(key: str, value: object, horizon: int) -> None:
    title = f"Language key '{key}'"
    if not isinstance(value, list):
        raise ObservationError(f"{title} must be a list. Got {type(value)}")
    for item in value:
        if len(item) != horizon:
            # Upstream names the batch size here, not the item's length.
            raise ObservationError(f"{title}s horizon must be {horizon}. Got {len(value)}")
        if not isinstance(item, list):
            raise ObservationError(f"Language batch item must be a list. Got {type(item)}")
        if len(item) != 1:
            raise ObservationError(
                f"Language batch item must have exactly one item. Got {len(item)}"
            )
        if not isinstance(item[0], str):
            raise ObservationError(f"Language batch item must be a string. Got {type(item[0])}")
