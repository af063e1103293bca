"""A GR00T N1.7 checkpoint of a few hundred kilobytes with random weights, for LeRobot to load.

Every class in it is LeRobot's or transformers' own; only the sizes are small, and the tokenizer
knows bytes alone. Made on the spot: nothing is downloaded.
"""

import json
from pathlib import Path
from typing import Any

from gr00t_ros.core.embodiment import Embodiment

VISION = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *VISION)
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
)
WIDTH = 64


def make_backbone(folder: Path) -> None:
    """Write the tokenizer, the image processors and the config of a tiny Qwen3-VL."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen3VLConfig
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token=SPECIAL[0],
        additional_special_tokens=list(SPECIAL[1:]),
        chat_template=CHAT,
    )
    numbers = {text: tokenizer.convert_tokens_to_ids(text) for text in SPECIAL}
    tokenizer.save_pretrained(folder)
    sizes = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    Qwen3VLVideoProcessor(**sizes).save_pretrained(folder)
    Qwen2VLImageProcessor(**sizes).save_pretrained(folder)
    Qwen3VLConfig(
        image_token_id=numbers["<|image_pad|>"],
        video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"],
        vision_end_token_id=numbers["<|vision_end|>"],
        tie_word_embeddings=True,
        text_config=_text(len(tokenizer)),
        vision_config=_vision(),
    ).save_pretrained(folder)


def _text(vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "qwen3_vl_text",
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rope_scaling": {
            "mrope_interleaved": True,
            "mrope_section": [4, 2, 2],
            "rope_type": "default",
        },
        "tie_word_embeddings": True,
    }


def _vision() -> dict[str, Any]:
    return {
        "model_type": "qwen3_vl",
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 256,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "deepstack_visual_indexes": [0],
    }


def make_checkpoint(folder: Path, backbone: Path, robot: Embodiment) -> None:
    """Write the model and its processor's settings for one embodiment; relative joints."""
    import torch
    from lerobot.policies.groot.groot_n1_7 import GR00TN17, GR00TN17Config

    torch.manual_seed(1)
    attention = {"num_attention_heads": 4, "attention_head_dim": 16, "dropout": 0.0}
    config = GR00TN17Config(
        model_name=str(backbone),
        model_dtype="float32",
        dtype="float32",
        backbone_embedding_dim=WIDTH,
        select_layer=2,
        hidden_size=WIDTH,
        input_embedding_dim=WIDTH,
        num_inference_timesteps=2,
        diffusion_model_cfg={
            **attention,
            "positional_embeddings": None,
            "num_layers": 4,
            "norm_type": "ada_norm",
            "final_dropout": True,
            "output_dim": WIDTH,
            "interleave_self_attention": True,
        },
        vl_self_attention_cfg={
            **attention,
            "positional_embeddings": None,
            "num_layers": 1,
            "final_dropout": True,
        },
    )
    GR00TN17(config, load_backbone_weights=False).save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(_processor(robot)))
    (folder / "statistics.json").write_text(json.dumps({robot.tag: _statistics(robot)}))
    (folder / "embodiment_id.json").write_text(json.dumps({robot.tag: 24}))


def _processor(robot: Embodiment) -> dict[str, Any]:
    history = {"delta_indices": [0]}
    joints = {"rep": "relative", "type": "non_eef", "format": "default", "state_key": None}
    absolute = joints | {"rep": "absolute"}
    keys = [action.key for action in robot.action]
    modality = {
        "video": {
            "delta_indices": list(robot.video[0].delta_indices),
            "modality_keys": [stream.key for stream in robot.video],
        },
        "state": history | {"modality_keys": [stream.key for stream in robot.state]},
        "action": {
            "delta_indices": list(range(robot.action_horizon)),
            "modality_keys": keys,
            "action_configs": [joints if key == "joint_position" else absolute for key in keys],
        },
        "language": history | {"modality_keys": [robot.language_key]},
    }
    return {
        "processor_kwargs": {
            "modality_configs": {robot.tag: modality},
            "use_relative_action": True,
            "use_percentiles": False,
            "max_action_horizon": robot.action_horizon,
            "image_target_size": [64, 64],
            "image_crop_size": [60, 60],
            "formalize_language": True,
        }
    }


def _statistics(robot: Embodiment) -> dict[str, Any]:
    widths = {stream.key: stream.width for stream in robot.state}

    def entry(key: str) -> dict[str, list[float]]:
        low, high = [-1.0] * widths[key], [1.0] * widths[key]
        return {"min": low, "max": high, "mean": [0.0] * widths[key], "std": high}

    actions = {action.key: entry(action.key) for action in robot.action}
    relative = {"joint_position": actions["joint_position"]}
    return {
        "state": {key: entry(key) for key in widths},
        "action": actions,
        "relative_action": relative,
    }
