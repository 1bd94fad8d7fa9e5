"""The model of a config without its weights: on the meta device, where tensors have a shape and no memory."""

from typing import Any

import torch
import transformers

from ..config.config import Config
from ..config.methods import Lora, QLora, soft_prompt_tokens
from ..dataset import Examples, new_task
from ..model.cpu_attention import use_cpu_attention
from ..model.first_token import compute_first_token_only
from ..model.freezing import freeze_parts
from ..model.layers import head_modules
from ..model.load import load_model_config, load_tokenizer, on_meta
from ..model.methods import apply_method
from ..model.requirements import require_architecture
from ..model.tabular_head import join_features
from ..model.tiny import is_tiny, tiny_config
from ..train.start import starting_point


def make_skeleton(config: Config) -> tuple[Any, torch.dtype | None]:
    """The model with the task's head and the method applied, and the number format of its checkpoint, if it says so.

    The head has the labels of the training data. Of `qlora` it is the model before quantization. Raises UserError as a
    training would.
    """
    examples, start = Examples(config, new_task(config), config.data.train), starting_point(config)
    task = start.make_task()
    start.fit_task(task, examples)
    options = task.model_options()
    if is_tiny(config.model.name):
        tokenizer = load_tokenizer(config.model, task, examples)
        length = config.model.max_length + soft_prompt_tokens(config.method)
        options |= {"pad_token_id": tokenizer.pad_token_id, "attn_implementation": config.model.attn_implementation}
        model_config, stored = tiny_config(config.model.name, tokenizer, length, **options), None
    else:
        model_config = load_model_config(config.model, **options)
        stored = model_config.dtype
        if model_config.pad_token_id is None:
            model_config.pad_token_id = 0
    require_architecture(config.task, model_config, config.model.name)
    method = config.method
    if isinstance(method, QLora):
        method = Lora(type="lora", r=method.r, alpha=method.alpha, dropout=method.dropout, targets=method.targets)
    model = on_meta(getattr(transformers, config.task.auto_model), model_config, config.model)
    with torch.device("meta"):
        if task.tabular:
            join_features(model, task.tabular.columns)
        model = apply_method(method, model, head_modules(model) if config.task.new_head else []).train()
    compute_first_token_only(model)
    if config.model.attention == "auto" and config.train.device == "cpu":
        use_cpu_attention(model)
    freeze_parts(config, model)
    return model, stored
