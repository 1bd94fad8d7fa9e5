"""Activation checkpointing: the same gradients, in fp64 and with dropout, from fewer saved activations."""

import re

import pytest
import torch
import transformers
from architectures import tiny_config
from conftest import GOOD, TASKS, WRITING, Project, build, weights_that_matter
from method_checks import ADDING
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.model import feature_extraction
from finetune.model.activation_checkpointing import checkpoint_activations
from finetune.model.tiny import tiny_tokenizer
from finetune.train import loop as training

WINDOWS = ("model.max_length=8", "model.overflow=windows")
CASES = [
    *((task, "full", ()) for task in TASKS),
    *(("text-classification", method, ()) for method in ("head", *ADDING)),
    *(("text-generation", method, ()) for method in ADDING),
    *(("translation", method, ()) for method in ADDING),
    ("token-classification", "full", ("train.packing=true",)),
    ("chat", "lora", ("train.packing=true",)),
    ("text-classification", "lora", WINDOWS),
    ("regression", "full", WINDOWS),
]
ARCHITECTURES = [
    *(("AutoModelForTokenClassification", kind) for kind in ("albert", "bert", "deberta-v2", "modernbert")),
    *(("AutoModelForSequenceClassification", kind) for kind in ("gpt2", "llama", "qwen3_5_text")),
    *(("AutoModelForCausalLM", kind) for kind in ("gemma3_text", "mamba")),
    *(("AutoModelForSeq2SeqLM", kind) for kind in ("bart", "marian", "t5")),
]


@pytest.fixture(autouse=True)
def _weights_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """And `head` computes its body in each step: what it would have kept before is in fp32."""
    weights_that_matter(monkeypatch)
    monkeypatch.setattr(feature_extraction, "LIMIT", 0)


def config_of(project: Project, task: str, method: str, *overrides: str) -> Config:
    """On the CPU, texts of uneven lengths, several micro-batches of a step."""
    path = project.config(task, method={"type": method}, train={"device": "cpu", "micro_batch_tokens": 40})
    dropout = ["method.dropout=0.3"] if method in ("lora", "adalora", "adapter") else []
    short = ["task.generation.max_new_tokens=3"] if task in WRITING else []
    return load_config(path, [*short, *dropout, *overrides])


def step(config: Config) -> tuple[float, dict[str, Tensor], int]:
    """Loss and gradients of a step in fp64 with dropout, and the bytes that autograd saved outside of checkpoints."""
    setup = build(config)
    setup.model.double()
    gradients: dict[str, Tensor] = {}
    setup.optimizer.register_step_pre_hook(
        lambda *_: gradients.update(
            (name, p.grad.clone()) for name, p in setup.model.named_parameters() if p.grad is not None
        )
    )
    saved: dict[int, Tensor] = {}

    def save(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    torch.manual_seed(1)
    with saved_tensors_hooks(save, lambda tensor: tensor):
        told = training.optimizer_step(config, setup, range(3))
    return told.loss, gradients, sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def assert_same(recomputed: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
    assert gradients
    assert recomputed.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize(("task", "method", "overrides"), CASES)
def test_gradients_are_the_same(task: str, method: str, overrides: tuple[str, ...], project: Project) -> None:
    (loss, gradients, _), (same, recomputed, _) = (
        step(config_of(project, task, method, *overrides, f"train.activation_checkpointing={on}"))
        for on in ("false", "true")
    )
    assert same == loss
    assert_same(recomputed, gradients)


def test_activations_of_the_layers_are_not_kept(project: Project) -> None:
    sizes = [
        step(config_of(project, "text-classification", "full", f"train.activation_checkpointing={on}"))[2]
        for on in ("false", "true")
    ]
    assert sizes[1] < sizes[0] / 3


@pytest.mark.parametrize(("head", "kind"), ARCHITECTURES)
def test_every_family_of_architectures(head: str, kind: str) -> None:
    """Also where a layer would change a cache of keys and values or a state, or is used twice (ALBERT)."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer("tiny:bert", GOOD)
    tokenizer.eos_token = tokenizer.sep_token
    model = getattr(transformers, head).from_config(tiny_config(kind, tokenizer)).double().train()
    ids = torch.arange(5, 29).reshape(2, 12)
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(12) < torch.tensor([[12], [7]])).long()}
    if head == "AutoModelForSeq2SeqLM":
        inputs["decoder_input_ids"] = ids[:, :5]

    def gradients() -> dict[str, Tensor]:
        torch.manual_seed(1)
        model.zero_grad()
        model(**inputs).logits.square().mean().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients()
    checkpoint_activations(model)
    assert_same(gradients(), expected)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("squeezebert", "are not known"), ("big_bird", "draw random blocks that cannot be drawn again")],
)
def test_architectures_that_cannot_recompute_are_refused(kind: str, reason: str) -> None:
    tokenizer = tiny_tokenizer("tiny:bert", GOOD)
    model = transformers.AutoModelForSequenceClassification.from_config(tiny_config(kind, tokenizer))
    sentence = f"train.activation_checkpointing: the layers of a {kind} model {reason}: set it to false, and lower"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)} train.micro_batch_tokens if memory runs out$"):
        checkpoint_activations(model)
