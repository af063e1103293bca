"""The ModalityConfig that a server made for an embodiment would announce.

The mirror of core/modality.compare: there a server's config is held against the file, here the
file makes one. Refuses to know generations and bytes.
"""

from collections.abc import Mapping, Sequence

from gr00t_ros.core.embodiment import ActionKey, Embodiment, StateStream, VideoStream
from gr00t_ros.core.errors import EmbodimentError
from gr00t_ros.core.modality import ModalityConfig, ModalityEntry


def modality_of(embodiment: Embodiment) -> ModalityConfig:
    """Return the modality config: video, state, action and language with their delta indices.

    A GR00T server has one list of delta indices per modality, so streams of one modality that
    differ raise EmbodimentError. Language is one
    instruction, whatever its keys; actions are steps 0 .. H-1.
    """
    action_steps = tuple(range(embodiment.action_horizon))
    return {
        "video": _entry(embodiment, "video", embodiment.video),
        "state": _entry(embodiment, "state", embodiment.state),
        "action": ModalityEntry(
            action_steps,
            tuple(action.key for action in embodiment.action),
            tuple(_action_config(embodiment, action) for action in embodiment.action),
        ),
        "language": ModalityEntry((0,), embodiment.language_keys),
    }


def state_widths(embodiment: Embodiment) -> Mapping[str, int]:
    """Return D of each state key, which a real server knows from its checkpoint's statistics."""
    return {stream.key: stream.width for stream in embodiment.state}


def _entry(
    embodiment: Embodiment, name: str, streams: Sequence[VideoStream | StateStream]
) -> ModalityEntry:
    histories = {stream.delta_indices for stream in streams}
    if len(histories) > 1:
        raise EmbodimentError(
            f"{embodiment.source}: {name}: got different delta_indices {sorted(histories)}, "
            f"expected the same for all keys: a server has one list per modality"
        )
    delta_indices = next(iter(histories), (0,))
    return ModalityEntry(delta_indices, tuple(stream.key for stream in streams))


def _action_config(embodiment: Embodiment, action: ActionKey) -> Mapping[str, object]:
    # Enum names as upstream sends them (wire.md 5). The file says what a reply holds; a real
    # checkpoint that predicts RELATIVE and undoes it says so here, ours computes it directly.
    poses = {stream.key for stream in embodiment.state if stream.encode == "xyz_rot6d_rows"}
    pose = action.key in poses
    return {
        "rep": action.representation.upper(),
        "type": "EEF" if pose else "NON_EEF",
        "format": "XYZ_ROT6D" if pose else "DEFAULT",
        "state_key": None,
    }
