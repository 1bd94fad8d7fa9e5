"""Fine-tuning methods: train all parameters, the head alone, or the head and an adapter on a frozen base model.

Most adapters come from peft. An adapter is saved together with the head, and without the base model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ..config.methods import AdaLora, Adapter, AnyMethod, Full, Head, Ia3, Lora, Prefix, Prompt, QLora
from ..errors import UserError
from .bottleneck import insert_adapters
from .layers import KEYS, MLP_OUTPUT, VALUES, find_linear_layers, in_modules, linear_layer_names
from .quantization import prepare_quantized
from .soft_prompts import hide_prompt, virtual_token_options
from .tabular_head import NAME, accept_features
from .tensor_checks import require_tensors

WEIGHTS_FILE = "adapter_model.safetensors"  # the name that peft gives it
PeftMethod = Lora | QLora | AdaLora | Ia3 | Prefix | Prompt


def is_peft(method: AnyMethod) -> bool:
    """Whether the method trains an adapter on a frozen base model, which is not saved with the adapter."""
    return not isinstance(method, Full | Head)


def apply_method(method: AnyMethod, model: Any, head: Sequence[str], total_steps: int = 1) -> Any:
    """Freeze parameters and insert adapters; the modules `head` stay trainable. Returns the model to use.

    `total_steps` is the length of the training, which AdaLoRA's rank allocation depends on. Raises UserError if the
    method does not support the architecture.
    """
    if isinstance(method, Full):
        return model
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(in_modules(name, head))
    match method:
        case Head():
            return model
        case Adapter():
            insert_adapters(model, method.width, method.dropout)
            return model
        case _:
            import peft

            if isinstance(method, QLora):
                model = prepare_quantized(model)
            model = peft.get_peft_model(model, peft_config(method, model, head, total_steps))
            if isinstance(method, Prompt) and _task_type(model.get_base_model()) == "CAUSAL_LM":
                hide_prompt(model)
            if hasattr(model.get_base_model(), NAME):
                accept_features(model)
            for name, parameter in model.named_parameters():
                if "ranknum" in name:  # a constant of AdaLoRA, which peft 0.21 makes trainable but does not save
                    parameter.requires_grad_(False)
            return model


def peft_config(method: PeftMethod, model: Any, head: Sequence[str], total_steps: int) -> Any:
    """The method as peft's config. Target modules are full names, so that no module of the head is targeted."""
    import peft

    common: dict[str, Any] = {
        "task_type": _task_type(model),
        "modules_to_save": [*head],
    }
    low_rank = _low_rank(method, model) if isinstance(method, Lora | QLora | AdaLora) else {}
    match method:
        case Lora() | QLora():
            return peft.LoraConfig(r=method.r, use_rslora=method.rank_stabilized, **low_rank, **common)
        case AdaLora():
            total_steps = max(2, total_steps)  # the last pruning needs a step before it to score the ranks
            begin, end = int(method.begin * total_steps), max(2, ceil(method.end * total_steps))
            return peft.AdaLoraConfig(
                init_r=method.init_r,
                target_r=method.target_r,
                total_step=total_steps,
                tinit=begin,
                tfinal=total_steps - end,
                **low_rank,
                **common,
            )
        case Ia3():
            keys, values, mlp = (find_linear_layers(model, names, "ia3") for names in (KEYS, VALUES, MLP_OUTPUT))
            targets = [*{**keys, **values, **mlp}]  # without duplicates where one matrix computes keys and values
            return peft.IA3Config(
                target_modules=targets,
                feedforward_modules=[*mlp],
                fan_in_fan_out=_transposed(model, targets),
                **common,
            )
        case Prefix():
            return peft.PrefixTuningConfig(**virtual_token_options(method, model), **common)
        case Prompt():
            return peft.PromptTuningConfig(**virtual_token_options(method, model), **common)


def save_adapter(method: AnyMethod, model: Any, target: Path, weights: dict[str, Tensor]) -> None:
    """Write the adapter's config and `weights`, which are those of the adapter and the head."""
    if not isinstance(method, Adapter):
        with _unpruned(method, model) as config:
            config.save_pretrained(target)
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(contiguous, target / WEIGHTS_FILE, metadata={"format": "pt"})


def load_adapter(method: AnyMethod, model: Any, folder: Path) -> None:
    """Load a saved adapter into a model that `apply_method` has prepared.

    Raises OSError or SafetensorError if the file is missing or damaged, and UserError if it has other weights, or one
    that is not finite.
    """
    weights = load_file(folder / WEIGHTS_FILE)
    require_tensors(folder / WEIGHTS_FILE, weights, adapter_weights(method, model), "train the run again")
    if isinstance(method, Adapter):
        model.load_state_dict(weights, strict=False)
    else:
        import peft

        peft.set_peft_model_state_dict(model, weights)


def can_be_merged(method: AnyMethod) -> bool:
    """Whether the adapter can be merged into the weights of the base model."""
    return isinstance(method, Full | Head | Lora | QLora | AdaLora | Ia3)


def has_virtual_tokens(method: AnyMethod) -> bool:
    """Whether the method adds virtual tokens before those of the text."""
    return isinstance(method, Prefix | Prompt)


def merge(method: AnyMethod, model: Any) -> Any:
    """Merge the adapter into the base model, in place. Raises UserError if the method does not allow that."""
    match method:
        case Full() | Head():
            return model
        case Lora() | QLora() | AdaLora() | Ia3():
            _unwrap_head(model)
            return model.merge_and_unload()
    raise UserError(
        f"method.type: {method.type} cannot be merged into the weights of the base model: export the run with --format "
        f"onnx{' (not for an encoder-decoder) or --adapter' * has_virtual_tokens(method)}, or train it with lora"
    )


def adapter_weights(method: AnyMethod, model: Any) -> dict[str, Tensor]:
    """The weights of the adapter and the head, by their names in the adapter file."""
    if isinstance(method, Adapter):
        return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    import peft

    with _unpruned(method, model):
        return dict(peft.get_peft_model_state_dict(model, save_embedding_layers=False))


@contextmanager
def _unpruned(method: AnyMethod, model: Any) -> Iterator[Any]:
    """peft's config without AdaLoRA's rank pattern, so that pruned ranks are saved as zeros.

    peft would leave them out, and sums over fewer ranks are rounded differently.
    """
    config = model.peft_config[model.active_adapter]
    if not isinstance(method, AdaLora):
        yield config
        return
    pattern, config.rank_pattern = config.rank_pattern, None
    try:
        yield config
    finally:
        config.rank_pattern = pattern


def _unwrap_head(model: Any) -> None:
    # peft 0.21 unwraps heads itself, but fails for IA3 if the head has several layers.
    from peft.utils import ModulesToSaveWrapper

    base = model.get_base_model()
    for name, module in [*base.named_modules()]:
        if isinstance(module, ModulesToSaveWrapper):
            base.set_submodule(name, module.modules_to_save[model.active_adapter])


def _task_type(model: Any) -> str:
    for ending, task_type in (("ForTokenClassification", "TOKEN_CLS"), ("ForSequenceClassification", "SEQ_CLS")):
        if type(model).__name__.endswith(ending):
            return task_type
    if model.config.is_encoder_decoder:
        return "SEQ_2_SEQ_LM"
    return "FEATURE_EXTRACTION" if model.base_model is model else "CAUSAL_LM"


def _transposed(model: Any, targets: Sequence[str]) -> bool:
    """Whether the weight matrices are stored transposed, as in GPT-2."""
    return any(isinstance(model.get_submodule(target), Conv1D) for target in targets)


def _low_rank(method: Lora | QLora | AdaLora, model: Any) -> dict[str, Any]:
    targets = _targets(method, model)
    return {
        "lora_alpha": method.alpha,
        "lora_dropout": method.dropout,
        "target_modules": targets,
        "fan_in_fan_out": _transposed(model, targets),
    }


def _targets(method: Lora | QLora | AdaLora, model: Any) -> list[str]:
    names = linear_layer_names(model, method.type)
    if method.targets is None:
        return [*names]
    chosen = {target: [name for name in names if f".{name}".endswith(f".{target}")] for target in method.targets}
    for target, found in chosen.items():
        if not found:
            known = ", ".join(sorted(set(names.values())))
            raise UserError(f"method.targets: the model has no linear layer '{target}': choose among {known}")
    return sorted({name for found in chosen.values() for name in found})
