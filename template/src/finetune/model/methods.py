"""Which weights are trained: all, the head, or the head and a few that are added to the body, mostly through peft.

Whatever the method, the head is trained and saved whole. What a method adds is saved without the body.
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
from .layers import KEYS, MLP_OUTPUT, VALUES, find_in_layers, in_modules, linears_of
from .quantization import prepare_quantized
from .soft_prompts import hide_prompt, token_options

WEIGHTS_FILE = "adapter_model.safetensors"  # the name that peft gives it
PeftMethod = Lora | QLora | AdaLora | Ia3 | Prefix | Prompt


def is_peft(method: AnyMethod) -> bool:
    """Whether the method adds weights to a body that stays as it was, which need not be saved with every model."""
    return not isinstance(method, Full | Head)


def apply_method(method: AnyMethod, model: Any, head: Sequence[str], total_steps: int = 1) -> Any:
    """Freeze what the method does not train, add what it trains beside the modules `head`; returns the model to use.

    `total_steps` is the length of the training, for a method that changes in its course. Raises UserError where the
    method and the architecture do not go together.
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
            for name, parameter in model.named_parameters():
                if "ranknum" in name:  # AdaLoRA's divisor: a constant, which peft 0.21 would train, but does not save
                    parameter.requires_grad_(False)
            return model


def peft_config(method: PeftMethod, model: Any, head: Sequence[str], total_steps: int) -> Any:
    """The method in peft's words. Targets are full names of layers of the body, so that heads stay whole."""
    import peft

    common: dict[str, Any] = {
        "task_type": _task_type(model),
        "modules_to_save": [*head],
    }
    low_rank = _low_rank(method, model) if isinstance(method, Lora | QLora | AdaLora) else {}
    match method:
        case Lora() | QLora():
            return peft.LoraConfig(r=method.r, **low_rank, **common)
        case AdaLora():
            total_steps = max(2, total_steps)  # the last cut needs a step before it to weigh the ranks
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
            keys, values, mlp = (find_in_layers(model, names, "ia3") for names in (KEYS, VALUES, MLP_OUTPUT))
            targets = [*{**keys, **values, **mlp}]  # once each, also where one matrix makes keys and values
            return peft.IA3Config(
                target_modules=targets,
                feedforward_modules=[*mlp],
                fan_in_fan_out=_transposed(model, targets),
                **common,
            )
        case Prefix():
            return peft.PrefixTuningConfig(**token_options(method, model), **common)
        case Prompt():
            return peft.PromptTuningConfig(**token_options(method, model), **common)


def save_adapter(method: AnyMethod, model: Any, folder: Path, weights: dict[str, Tensor]) -> None:
    """Write what the method has added, and the head: `weights`, all that differs from the model it started from."""
    if not isinstance(method, Adapter):
        with _all_ranks(method, model) as config:
            config.save_pretrained(folder)
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(contiguous, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def load_adapter(method: AnyMethod, model: Any, folder: Path) -> None:
    """Read it back into a model that `apply_method` has made.

    Raises KeyError, OSError or SafetensorError if it is not what such a model needs.
    """
    weights = load_file(folder / WEIGHTS_FILE)
    differing = adapter_weights(method, model).keys() ^ weights.keys()
    if differing:
        raise KeyError(min(differing))
    if isinstance(method, Adapter):
        model.load_state_dict(weights, strict=False)
    else:
        import peft

        peft.set_peft_model_state_dict(model, weights)


def can_be_merged(method: AnyMethod) -> bool:
    """Whether an ordinary model, of the same layers, can compute what the method has learnt."""
    return isinstance(method, Full | Head | Lora | QLora | AdaLora | Ia3)


def merge(method: AnyMethod, model: Any) -> Any:
    """An ordinary model that computes the same, made in place. Raises UserError if the method does not allow that."""
    match method:
        case Full() | Head():
            return model
        case Lora() | QLora() | AdaLora() | Ia3():
            _unwrap_head(model)
            return model.merge_and_unload()
    raise UserError(f"method.type: what {method.type} adds cannot be computed into the weights of an ordinary model")


def adapter_weights(method: AnyMethod, model: Any) -> dict[str, Tensor]:
    """What the method has added, and the head, by the names that they have in its file."""
    if isinstance(method, Adapter):
        return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    import peft

    with _all_ranks(method, model):
        return dict(peft.get_peft_model_state_dict(model, save_embedding_layers=False))


@contextmanager
def _all_ranks(method: AnyMethod, model: Any) -> Iterator[Any]:
    """peft's config, in which AdaLoRA has not cut ranks.

    Cut ranks are zeros in the weights. peft would leave them out, and sums over fewer ranks round in another way.
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
    # peft 0.21 does it as well, but for IA3 it stumbles over heads of more than one layer.
    from peft.utils import ModulesToSaveWrapper

    base = model.get_base_model()
    for name, module in [*base.named_modules()]:
        if isinstance(module, ModulesToSaveWrapper):
            base.set_submodule(name, module.modules_to_save[model.active_adapter])


def _task_type(model: Any) -> str:
    for ending, task_type in (("ForTokenClassification", "TOKEN_CLS"), ("ForSequenceClassification", "SEQ_CLS")):
        if type(model).__name__.endswith(ending):
            return task_type
    return "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"


def _transposed(model: Any, targets: Sequence[str]) -> bool:
    """Whether the matrices are stored as GPT-2 does."""
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
    linears = linears_of(model, method.type)
    if method.targets is None:
        return [*linears]
    chosen = {target: [name for name in linears if f".{name}".endswith(f".{target}")] for target in method.targets}
    for target, found in chosen.items():
        if not found:
            known = ", ".join(sorted(set(linears.values())))
            raise UserError(f"method.targets: the body has no linear layer '{target}': choose among {known}")
    return sorted({name for found in chosen.values() for name in found})
