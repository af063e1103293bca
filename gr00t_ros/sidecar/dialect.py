"""What the server generations do differently on the wire, as one table (wire.md 1 to 5).

T, the pickling servers before N1.5's npy codec, has no row: ours do not speak it, and
endpoints.TorchEndpoints answers as they answer a client of today.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.core.modality import ModalityConfig, ModalityEntry
from gr00t_ros.sidecar.codec import MODALITY_MARKERS, ArrayCodec
from gr00t_ros.sidecar.messages import Generation

_OLD_MARKER, _NEW_MARKER = MODALITY_MARKERS


@dataclass(frozen=True, slots=True)
class Dialect:
    """One generation's way to speak.

    writes, reads: array codecs; an array in another codec stays a map, as upstream. n15: data is
    the bare observation, always flat; the reply is the action map alone, keys are prefixed,
    as_json is a JSON text, and there is no reset endpoint.
    """

    writes: ArrayCodec
    reads: tuple[ArrayCodec, ...]
    marker: str
    n15: bool = False

    def modality_reply(self, modality: ModalityConfig) -> dict[str, object]:
        """Return the get_modality_config reply as the plain maps that go on the wire."""
        return {name: self._entry(name, entry) for name, entry in modality.items()}

    def _entry(self, name: str, entry: ModalityEntry) -> dict[str, object]:
        delta_indices = list(entry.delta_indices)
        if self.n15:
            prefix = "" if name == "language" else f"{name}."
            keys = [prefix + key for key in entry.keys]
            fields = {"delta_indices": delta_indices, "modality_keys": keys}
            return {self.marker: True, "as_json": json.dumps(fields, separators=(",", ":"))}
        configs = entry.action_configs
        return {
            self.marker: True,
            "as_json": {
                "delta_indices": delta_indices,
                "modality_keys": list(entry.keys),
                "sin_cos_embedding_keys": None,
                "mean_std_embedding_keys": None,
                "action_configs": None if configs is None else [dict(item) for item in configs],
            },
        }


DIALECTS: Mapping[Generation, Dialect] = {
    Generation.A0: Dialect("npy", ("npy",), _OLD_MARKER, n15=True),
    Generation.A1: Dialect("npy", ("npy",), _OLD_MARKER),
    Generation.A2: Dialect("npy", ("npy",), _OLD_MARKER),
    Generation.B2: Dialect("msgpack_numpy", ("msgpack_numpy",), _NEW_MARKER),
    Generation.B3: Dialect("msgpack_numpy", ("npy", "msgpack_numpy"), _NEW_MARKER),
}
