"""Runs a GR00T server's script with 4-bit weights (NF4), for cards of 8 GB.

    SERVER_PYTHON nf4.py gr00t/eval/run_gr00t_server.py --model-path ...

Runs inside the server's own environment, by this file's path. It imports nothing of this package,
and torch, transformers and bitsandbytes only by name, as they are not installed in ours. Upstream's
scripts have no option for 4-bit weights, so three things are replaced before the script runs:

- transformers' AutoModel loads every model with bitsandbytes' NF4;
- `model.to(device, dtype=bfloat16)`, which upstream calls next and transformers forbids for such
  a model, keeps the device and drops the dtype: unpacked parameters were loaded as bfloat16;
- the timestep encoder takes its compute dtype from its first parameter, which is uint8 when
  packed; it is then set to bfloat16.

Source of the two faults: OpenRAL ADR-0046, where N1.7 ran this way on a card of 8 GB (3.3 GB at its
peak). Here it was tested on a CPU only, with the real classes of transformers, bitsandbytes and
diffusers but not with GR00T's own weights.
"""

from __future__ import annotations

import functools
import importlib
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from typing import Any

INSTALL = "uv pip install bitsandbytes"
ENCODER_MODULES = (
    "gr00t.model.modules.dit",  # N1.6, N1.7
    "gr00t.model.action_head.cross_attention_dit",  # N1.5
)
UNPACKED = ("lm_head", "embed_tokens")
"""Modules that stay in bfloat16: packed embeddings cannot be looked up."""


def main(words: Sequence[str]) -> int:
    """Make the replacements, then run the script as `python SCRIPT ARGUMENTS` would."""
    if not words or not os.path.isfile(words[0]):
        print(f"nf4: got {words[:1]}, expected the server's script first", file=sys.stderr)
        return 2
    sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
    try:
        torch, transformers, _ = map(
            importlib.import_module, ("torch", "transformers", "bitsandbytes")
        )
    except ImportError as error:
        print(f"nf4: {error}; in the server's environment: {INSTALL}", file=sys.stderr)
        return 1
    load_packed(transformers, torch.bfloat16)
    drop_dtype_of_packed(transformers.modeling_utils.PreTrainedModel, torch)
    patched = [pin_timestep_encoder(name, torch.bfloat16) for name in ENCODER_MODULES]
    if not any(patched):
        print(f"nf4: no TimestepEncoder in {' or '.join(ENCODER_MODULES)}", file=sys.stderr)
        return 1
    print("nf4: models are loaded with 4-bit weights (NF4)", flush=True)
    sys.argv = list(words)
    runpy.run_path(words[0], run_name="__main__")
    return 0


def load_packed(transformers: Any, compute_dtype: Any) -> None:
    """Make AutoModel load with NF4 unless the caller passes a quantization of its own."""
    load: Callable[..., Any] = transformers.AutoModel.from_pretrained

    @functools.wraps(load)
    def packed(*arguments: Any, **options: Any) -> Any:
        if options.get("quantization_config") is None:
            options["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=compute_dtype,
                bnb_4bit_use_double_quant=True,
                llm_int8_skip_modules=list(UNPACKED),
            )
            if "dtype" not in options:  # the option's name since transformers 4.56
                options.setdefault("torch_dtype", compute_dtype)
        return load(*arguments, **options)

    transformers.AutoModel.from_pretrained = packed


def drop_dtype_of_packed(model_class: Any, torch: Any) -> None:
    """Make `model_class.to` move packed models without changing their floating dtype."""
    move: Callable[..., Any] = model_class.to

    def is_floating(value: Any) -> bool:
        return isinstance(value, torch.dtype) and bool(value.is_floating_point)

    @functools.wraps(move)
    def to(self: Any, *arguments: Any, **options: Any) -> Any:
        if getattr(self, "is_quantized", False) or getattr(self, "is_loaded_in_4bit", False):
            arguments = tuple(a for a in arguments if not is_floating(a))
            options = {name: value for name, value in options.items() if not is_floating(value)}
            if not arguments and not options:
                return self
        return move(self, *arguments, **options)

    model_class.to = to


def pin_timestep_encoder(module: str, compute_dtype: Any) -> bool:
    """Make the TimestepEncoder of `module` compute in `compute_dtype` if it is packed.

    Returns False if there is no such module or class.
    """
    try:
        encoder = importlib.import_module(module).TimestepEncoder
    except (ImportError, AttributeError):
        return False
    forward: Callable[..., Any] = encoder.forward

    @functools.wraps(forward)
    def pinned(self: Any, timesteps: Any) -> Any:
        if next(self.parameters()).dtype.is_floating_point:
            return forward(self, timesteps)
        return self.timestep_embedder(self.time_proj(timesteps).to(compute_dtype))

    encoder.forward = pinned
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
