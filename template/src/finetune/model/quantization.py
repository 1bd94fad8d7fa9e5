"""Weights in 4 bits for QLoRA (Dettmers et al. 2023), through bitsandbytes: loaded, counted, and turned back."""

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from ..config.methods import AnyMethod, QLora
from ..errors import UserError
from .layers import is_linear, linears_of
from .size import quantization_state

COMPUTE = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def require_quantization(method: AnyMethod, device: torch.device) -> None:
    """Raises UserError if the method needs 4 bits and this machine cannot compute with them."""
    if not isinstance(method, QLora):
        return
    if device.type != "cuda":
        raise UserError(f"method.type: qlora computes with 4-bit weights on a CUDA GPU, not on '{device}': use lora")
    if find_spec("bitsandbytes") is None:
        raise UserError("method.type: qlora needs a package that is not installed: pip install bitsandbytes")


def quantization_of(method: QLora, auto: Any, config: Any) -> Any:
    """What `auto.from_pretrained` takes as `quantization_config` for a model of this config.

    The linear layers of the body are quantised, and nothing else: left to itself, transformers takes new heads too.
    """
    with torch.device("meta"):
        skeleton = auto.from_config(config)
    body = linears_of(skeleton, method.type)
    whole = [name for name, module in skeleton.named_modules() if is_linear(module) and name not in body]
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method.quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=COMPUTE[method.compute],
        llm_int8_skip_modules=whole,
    )


def prepare_quantized(model: Any) -> Any:
    """A frozen model whose layers are computed again in the backward pass; 4-bit weights leave its state dict.

    They cannot be loaded from one, and follow from the model that was quantised.
    """
    import peft

    model = peft.prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.modules():
        if quantization_state(getattr(module, "weight", None)):
            module.register_state_dict_post_hook(_without_weight)
            module.register_load_state_dict_pre_hook(_with_own_weight)
    return model


def dequantized(quantized: Any, model: Any) -> Any:
    """`model`, the same one in full precision, with the weights that the quantised one computes with."""
    from bitsandbytes.functional import dequantize_4bit

    for name, module in quantized.named_modules():
        if state := quantization_state(getattr(module, "weight", None)):
            target = model.get_submodule(name)
            weight = dequantize_4bit(module.weight.data, state)
            target.weight.data.copy_(weight.T if isinstance(target, Conv1D) else weight)
    return model


def _without_weight(_: Any, state: dict[str, Any], prefix: str, __: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}weight")]:
        del state[name]


def _with_own_weight(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state[f"{prefix}weight"] = module.weight.data
