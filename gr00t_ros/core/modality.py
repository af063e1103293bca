"""The server's modality config, and how it differs from an embodiment, by name.

Refuses to know bytes: sidecar/messages.py makes a ModalityConfig from a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MODALITIES = ("video", "state", "action", "language")


@dataclass(frozen=True, slots=True)
class ModalityEntry:
    """One modality of a server: `keys` without the N1.5 prefix, delta indices, action configs.

    `action_configs` runs parallel to `keys` (N1.6 and later: maps with rep, type, format,
    state_key; None on N1.5 and for modalities other than action).
    """

    delta_indices: tuple[int, ...]
    keys: tuple[str, ...]
    action_configs: tuple[Mapping[str, object], ...] | None = None


ModalityConfig = Mapping[str, ModalityEntry]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; str() is a line for an operator.

    kind: missing (the server has it, the embodiment lacks it), extra (the other way round),
    order, history, horizon or representation. `fatal`: activation must be refused.
    """

    modality: str
    key: str
    kind: str
    got: str
    expected: str
    fatal: bool
    text: str

    def __str__(self) -> str:
        """The line for an operator."""
        return self.text
