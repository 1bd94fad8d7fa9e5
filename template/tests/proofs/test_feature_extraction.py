"""The method `head`: what the body computes once and keeps is what it would compute in each step."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import architectures
import numpy as np
import pytest
import torch
import transformers
from conftest import Project
from rich.console import Console
from safetensors.torch import load_file
from test_architectures import encoded

from finetune.config.config import Model, Train
from finetune.config.load import load_config
from finetune.config.methods import Full, Head
from finetune.data.batching import Padding
from finetune.errors import UserError
from finetune.model import feature_extraction
from finetune.model.feature_extraction import extract_features
from finetune.model.forward import forward
from finetune.model.layers import head_modules
from finetune.model.load import load_model
from finetune.model.methods import apply_method
from finetune.model.requirements import require_architecture
from finetune.train import loop

CASES = [
    (head, kind)
    for head in ("AutoModelForSequenceClassification", "AutoModelForTokenClassification")
    for kind in architectures.architectures(head)
]
FP32 = (
    *("axk1", "deepseek_v2", "gpt_neo", "gpt_oss", "gptj", "hunyuan_v1_moe", "jamba", "minimax", "mistral4", "mixtral"),
    *("mpt", "mra", "openai_privacy_filter", "phimoe", "qwen2_moe", "qwen3_moe", "qwen3_next"),
)
"""Architectures that compute a part in fp32, or have no fp64 at all."""
WITHOUT_HEAD = ("perceiver",)
COMPUTED = ("modernvbert",)
"""Architectures a part of whose body has the name of a module of the head, and is trained."""


@pytest.mark.parametrize(("head", "kind"), CASES)
def test_kept_outputs_are_those_of_the_body(head: str, kind: str, tmp_path: Path) -> None:
    """In fp64, in batches with other padding than that of the batches that were kept; the body is not called again."""
    task, tokenizer, features = encoded(head)
    try:
        require_architecture(task.settings, architectures.config_of_type(kind), "it")
    except UserError:
        pytest.skip("is refused")
    if kind in WITHOUT_HEAD:
        pytest.skip("has no modules beside the body")
    if kind in architectures.MIX_PADDING:
        pytest.skip("mixes padding into a text, so that an output depends on the batch")
    if (package := architectures.PACKAGES.get(kind)) and not find_spec(package):
        pytest.skip(f"needs the package {package}")
    getattr(transformers, head).from_config(architectures.tiny_config(kind, tokenizer)).save_pretrained(tmp_path)
    model, new, _ = load_model(Model(name=str(tmp_path), max_length=64), task, tokenizer, Full())
    apply_method(Head(type="head"), model, head_modules(model, new)).eval()
    if kind not in FP32:
        model.double()

    padding = Padding(tokenizer, task.batch_labels)
    batches = [padding.make_batch(features, rows) for rows in ([0, 1], [0], [1])]
    expected = [loss_and_gradients(model, task, batch) for batch in batches]
    split: Any = SimpleNamespace(features=features, tokens=np.array([feature.tokens for feature in features]))
    kept = bool(extract_features(Train(micro_batch_tokens=1), model, task, padding, [split], "fp32"))
    assert kept == (model.base_model is not model and kind not in COMPUTED)
    if kept:
        for module in model.base_model.children():
            module.register_forward_pre_hook(lambda *_: pytest.fail("the body computes"))
    tolerance = 1e-5 if kind in FP32 else 1e-10
    for batch, values in zip(batches, expected, strict=True):
        again = loss_and_gradients(model.eval(), task, batch)
        torch.testing.assert_close(again, values, rtol=tolerance, atol=tolerance)


def loss_and_gradients(model: Any, task: Any, batch: Any) -> list[torch.Tensor]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = task.loss(forward(model, task, batch, precision="fp32"), batch.labels)
    return [loss.detach(), *torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)]


def trained_head(project: Project, name: str, *overrides: str) -> dict[str, torch.Tensor]:
    path = project.config("text-classification", name, train={"epochs": 3, "batch_size": 3, "device": "cpu"})
    project.train(path, "method.type=head", *overrides)
    return load_file(f"runs/{name}/best/model.safetensors")


def test_a_training_is_the_same_without_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dropout of the head draws the same random numbers; the body has none either way."""
    kept = trained_head(project, "kept")
    monkeypatch.setattr(feature_extraction, "LIMIT", 0)
    computed = trained_head(project, "computed")
    assert all(torch.allclose(kept[name], computed[name], rtol=0, atol=1e-6) for name in kept)
    losses = [[record.get("loss") for record in project.metrics(name)] for name in ("kept", "computed")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_packed_batch_is_computed(project: Project) -> None:
    config = load_config(
        project.config("token-classification"), ["method.type=head", "train.packing=true", "train.device=cpu"]
    )
    setup = loop.build(config)
    assert not extract_features(config.train, setup.model, setup.task, setup.batching, [setup.train], "fp32")
    assert loop.train(config, console=Console(quiet=True))
