"""A policy that runs a GR00T N1.7 checkpoint with LeRobot's implementation instead of NVIDIA's.

Loads NVIDIA's checkpoint folders (config.json, weights, processor_config.json, statistics.json)
through LeRobot's own model and processors. Checkpoints that LeRobot saved after fine-tuning are not
supported. torch and lerobot are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from gr00t_ros.dataset.schema import IMAGES
from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import MODALITIES, ModalityConfig, ModalityEntry
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.serve.policies import Action, PolicyObservation

INSTALL: Final = "pip install 'lerobot[groot]>=0.6.1' (Python 3.12 or newer)"
# Values in processor_config.json to enum names on the wire (wire.md 5).
_FORMATS: Final = {"xyz+rot6d": "XYZ_ROT6D", "xyz+rotvec": "XYZ_ROTVEC"}


class LerobotPolicy:
    """One embodiment tag of a checkpoint; batch size 1, one row of state, options are ignored.

    LeRobot makes relative actions absolute with the state of the request, as upstream's server.
    """

    def __init__(
        self, checkpoint: Path, tag: str, device: str = "cuda", backbone: str | None = None
    ) -> None:
        """Load the model; backbone: folder of its tokenizer, else it is downloaded from the hub.

        Raises `SettingsError` if the folder is not such a checkpoint or does not have the tag, and
        if LeRobot is not installed.
        """
        modality, statistics = read_checkpoint(checkpoint, tag)
        self.modality = modality
        self._widths = {
            key: _width(statistics, "action", key, checkpoint) for key in modality["action"].keys
        }
        policy, before, after = _load(checkpoint, tag, modality, device, backbone)
        self._policy, self._before, self._after = policy, before, after

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Predict one chunk; raises SettingsError for a batch size other than 1."""
        import torch

        video, state = observation["video"], observation["state"]
        if any(len(frames) != 1 for frames in video.values()):
            raise SettingsError("batch size: expected 1")
        batch: dict[str, Any] = {
            f"{IMAGES}{key}": torch.from_numpy(np.array(video[key].transpose(0, 1, 4, 2, 3)))
            for key in self.modality["video"].keys
        }
        rows = [np.array(state[key][:, -1]) for key in self.modality["state"].keys]
        batch["observation.state"] = torch.from_numpy(np.concatenate(rows, axis=1))
        key = self.modality["language"].keys[0]
        batch["task"] = [texts[0] for texts in observation["language"][key]]
        chunk = self._after(self._policy.predict_action_chunk(self._before(batch)))
        return self._split(chunk.float().numpy()), {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Clear LeRobot's queue of actions."""
        self._policy.reset()
        return {}

    def _split(self, chunk: Any) -> dict[str, Any]:
        """Split (1, H, sum of widths), in the checkpoint's order, into key -> (1, H, D) float32."""
        found, start = {}, 0
        for key, width in self._widths.items():
            found[key] = np.array(chunk[:, :, start : start + width], np.float32)
            start += width
        return found


def read_checkpoint(checkpoint: Path, tag: str) -> tuple[ModalityConfig, Mapping[str, Any]]:
    """Return the modality config and the statistics of one tag; raises `SettingsError`."""
    processor = read_json(checkpoint / "processor_config.json").get("processor_kwargs", {})
    configs = processor.get("modality_configs", {})
    if tag not in configs:
        known = ", ".join(sorted(configs)) or "none"
        raise SettingsError(f"{checkpoint}: embodiment tag {tag!r:.80}, expected one of {known}")
    try:
        modality = {name: _entry(configs[tag].get(name)) for name in MODALITIES}
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{checkpoint}: modality config of {tag}: {error}") from error
    if len(modality["state"].delta_indices) != 1 or not modality["language"].keys:
        raise SettingsError(f"{checkpoint}: {tag}: expected one row of state and a language key")
    statistics = read_json(checkpoint / "statistics.json").get(tag)
    if not isinstance(statistics, dict):
        raise SettingsError(f"{checkpoint}: statistics.json has no {tag}: actions have no units")
    return modality, statistics


def _entry(config: Mapping[str, Any] | None) -> ModalityEntry:
    if config is None:
        return ModalityEntry((), ())
    actions = config.get("action_configs")
    return ModalityEntry(
        tuple(config["delta_indices"]),
        tuple(config["modality_keys"]),
        None if actions is None else tuple(_action_config(action) for action in actions),
    )


def _action_config(config: Mapping[str, Any]) -> Mapping[str, object]:
    form = str(config["format"])
    return {
        "rep": str(config["rep"]).upper(),
        "type": str(config["type"]).upper(),
        "format": _FORMATS.get(form, form.upper()),
        "state_key": config.get("state_key"),
    }


def _width(statistics: Mapping[str, Any], modality: str, key: str, checkpoint: Path) -> int:
    entry = statistics.get(modality, {}).get(key, {})
    width = max((len(entry[name]) for name in ("min", "mean", "q01") if name in entry), default=0)
    if not width:
        raise SettingsError(f"{checkpoint}: statistics.json has no width of {modality}.{key}")
    return width


def _load(
    checkpoint: Path, tag: str, modality: ModalityConfig, device: str, backbone: str | None
) -> tuple[Any, Any, Any]:
    """Return LeRobot's policy, in float32 or bf16 by its settings, and its two processors."""
    try:
        from lerobot.configs import FeatureType, PolicyFeature
        from lerobot.policies.groot.configuration_groot import (
            GrootConfig,
            is_raw_groot_n1_7_checkpoint,
        )
        from lerobot.policies.groot.modeling_groot import GrootPolicy
        from lerobot.policies.groot.processor_groot import make_groot_pre_post_processors
    except ImportError as error:
        raise SettingsError(f"LeRobot's GR00T cannot be loaded: {error}. {INSTALL}") from error
    if not is_raw_groot_n1_7_checkpoint(checkpoint):
        raise SettingsError(f"{checkpoint}: no GR00T N1.7 checkpoint in NVIDIA's own layout")
    picture = PolicyFeature(type=FeatureType.VISUAL, shape=(3, 256, 256))
    config = GrootConfig(
        base_model_path=str(checkpoint),
        embodiment_tag=tag,
        device=device,
        # for libero_sim LeRobot would turn the gripper's 0..1 into the simulator's own -1 and 1;
        # upstream's server does not, and the embodiment file has what the values mean
        action_decode_transform="none",
        input_features={f"{IMAGES}{key}": picture for key in modality["video"].keys},
    )
    policy = GrootPolicy(config).to(device).eval()
    before, after = make_groot_pre_post_processors(config)
    for step in before.steps:
        if backbone is not None and hasattr(step, "model_name"):
            step.model_name = backbone
    return policy, before, after
