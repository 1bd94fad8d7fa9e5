"""GELU by its tanh approximation: one operation in place of transformers' eight, with the same results."""

from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from conftest import Project, build
from torch import nn

from finetune.config.load import load_config
from finetune.dataset import Examples, new_task
from finetune.model.fused_gelu import fuse_gelu
from finetune.run.saved_model import load_saved_model
from finetune.train.start import starting_point


def test_outputs_and_gradients_are_those_of_transformers() -> None:
    torch.manual_seed(0)
    size = {"vocab_size": 30, "n_embd": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.5}
    config = transformers.GPT2Config(**size, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    model = transformers.GPT2LMHeadModel(config).double()
    ids = torch.randint(30, (2, 9))

    def gradients() -> list[torch.Tensor]:
        return list(torch.autograd.grad(model(ids, labels=ids).loss, list(model.parameters())))

    expected = gradients()
    assert isinstance(fuse_gelu(model).transformer.h[1].mlp.act, nn.GELU)
    for found, wanted in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    assert model.config.activation_function == "gelu_new", "what is saved names the same function"


def test_models_are_made_and_loaded_with_it(project: Project, finished: Callable[[str], None]) -> None:
    config = load_config(project.config("text-generation"))
    finished("text-generation")
    task = new_task(config)
    start = starting_point(config)
    tokenizer = start.load_tokenizer(task, Examples(config, task, config.data.train))
    made = build(config).model
    for model in (made, start.make_skeleton(task, tokenizer), load_saved_model(Path("runs/config/best")).model):
        assert isinstance(model.transformer.h[0].mlp.act, nn.GELU)
