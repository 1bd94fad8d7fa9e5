"""4-bit quantization for QLoRA (Dettmers et al. 2023), through bitsandbytes."""

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from ..config.methods import AnyMethod, QLora
from ..errors import UserError
from .layers import is_linear, linear_layer_names
from .size import quantization_state

COMPUTE = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def require_quantization(method: AnyMethod, device: torch.device) -> None:
    """Raise UserError if the method needs quantization and this machine does not support it."""
    if not isinstance(method, QLora):
        return
    if device.type != "cuda":
        raise UserError(f"method.type: qlora computes with 4-bit weights on a CUDA GPU, not on '{device}': use lora")
    if find_spec("bitsandbytes") is None:
        raise UserError("method.type: qlora needs a package that is not installed: pip install bitsandbytes")


def quantization_config(method: QLora, auto: Any, config: Any) -> Any:
    """The `quantization_config` of `auto.from_pretrained` for a model of this config.

    Only the linear layers inside the transformer layers are quantized; by default transformers quantizes new heads too.
    """
    with torch.device("meta"):
        skeleton = auto.from_config(config)
    quantized = linear_layer_names(skeleton, method.type)
    skipped = [name for name, module in skeleton.named_modules() if is_linear(module) and name not in quantized]
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method.quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=COMPUTE[method.compute],
        llm_int8_skip_modules=skipped,
    )


def prepare_quantized(model: Any) -> Any:
    """Freeze a quantized model; 4-bit weights are left out of its state dict.

    They cannot be loaded from a state dict, and are quantized again from the base model.
    """
    import peft

    model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    for module in model.modules():
        if quantization_state(getattr(module, "weight", None)):
            module.register_state_dict_post_hook(_without_weight)
            module.register_load_state_dict_pre_hook(_with_own_weight)
    return model


def dequantize(quantized: Any, model: Any) -> Any:
    """Copy the dequantized weights of `quantized` into `model`, the same one in full precision, and return it."""
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
