"""What the tests of methods share."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from finetune.config.methods import AnyMethod
from finetune.model.methods import adapter_weights, apply_method, load_adapter, merge, save_adapter

METHOD: TypeAdapter[AnyMethod] = TypeAdapter(AnyMethod)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "num_labels": 3,
         "vocab_size": 50, "max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.5}  # fmt: skip
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 50, "num_labels": 3,
              "max_position_embeddings": 64, "initializer_range": 0.5}  # fmt: skip
"""Sizes of tiny encoders, of BERT and its kin and of DistilBERT."""
ADDING = ["lora", "adalora", "ia3", "prefix", "prompt", "adapter"]
"""Methods that keep the body and put something beside it."""
MERGING = ["lora", "adalora", "ia3"]
"""Those of them that can be computed into the body."""
IDENTICAL_AT_FIRST = [*MERGING, "adapter"]
ADDED = {"full": "", "lora": "lora_", "adalora": "lora_", "ia3": "ia3_l", "prefix": "prompt_encoder",
         "prompt": "prompt_encoder", "adapter": "adapter", "head": "nothing"}  # fmt: skip
"""What the names of the weights have in them that a method trains beside the head."""


def with_method(method: str, base: Any, head: list[str]) -> Any:
    """A copy of the base, in fp64, with a method applied."""
    return apply_method(METHOD.validate_python({"type": method}), copy.deepcopy(base), head).double().eval()


def learn_a_little(model: Any, logits: Callable[[Any], Tensor], rate: float) -> None:
    """Three steps on all that is trained, for AdaLoRA's three factors start small."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate)
    for _ in range(3):
        flat = logits(model).flatten(0, -2)
        F.cross_entropy(flat, torch.arange(len(flat)) % 3).backward()
        assert all(parameter.grad is not None for parameter in trained)
        optimizer.step()
        optimizer.zero_grad()


def check_saved_and_merged(
    method: str, base: Any, head: list[str], model: Any, logits: Callable[[Any], Tensor], folder: Path
) -> Any:
    """What is loaded computes the same to the bit, what is merged up to rounding; returns that, where there is one."""
    learnt = logits(model)
    settings = METHOD.validate_python({"type": method})
    save_adapter(settings, model, folder, adapter_weights(settings, model))
    loaded = with_method(method, base, head)
    load_adapter(settings, loaded, folder)
    assert torch.equal(logits(loaded), learnt)
    if method not in MERGING:
        return None
    plain = merge(settings, loaded)
    assert type(plain) is type(base)
    torch.testing.assert_close(logits(plain), learnt, rtol=1e-9, atol=1e-9)
    return plain
