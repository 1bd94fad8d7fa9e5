"""Methods on generative tasks: a saved or exported model predicts and generates the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import WRITING, Project, needs, weights_that_matter
from method_checks import ADDED, ADDING
from rich.console import Console
from torch import Tensor

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.batching import Padding
from finetune.generate import generate
from finetune.model.forward import forward
from finetune.model.size import memory, parameter_counts
from finetune.run.saved_model import load_saved_model, save_model
from finetune.train import loop as training

CELLS = [(task, method) for task in WRITING for method in ["full", *ADDING]]


@pytest.fixture(autouse=True)
def _weights_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)


def set_up(project: Project, task: str, method: str, *overrides: str) -> tuple[Any, training.Setup]:
    train = {"device": "cpu", "clip_norm": None, "max_steps": 3, "batch_size": 3}
    path = project.config(task, method={"type": method}, train=train, optim={"lr": 0.01, "warmup": 0})
    config = load_config(path, list(overrides))
    training.set_seed(config.train.seed)
    return config, training.build(config)


def logits(setup: training.Setup, model: Any) -> Tensor:
    """Of all training examples in one batch."""
    features = setup.train.features
    batch = Padding(setup.tokenizer, setup.task.batch_labels).make_batch(features, range(len(features)))
    with torch.no_grad():
        return forward(model.eval(), setup.task, batch, precision="fp32")


def written(setup: training.Setup, model: Any, **changes: Any) -> list[str]:
    """What the model makes of the prompts of the training examples, all in one batch."""
    assert setup.task.generation
    settings = setup.task.generation.model_copy(update={"max_new_tokens": 4, **changes})
    prompts = [feature.prompt for feature in setup.train.features]
    ends = setup.task.stop_tokens
    return generate(model.eval(), setup.tokenizer, prompts, settings, ends, budget=10**6, precision="fp32")


@pytest.mark.parametrize(("task", "method"), CELLS)
def test_trains_only_its_own_weights_and_saves_what_it_trained(task: str, method: str, project: Project) -> None:
    config, setup = set_up(project, task, method)
    before = {name: parameter.detach().clone() for name, parameter in setup.model.named_parameters()}
    for _ in range(2):
        training.optimizer_step(config, setup, range(3))
    changed = {n for n, parameter in setup.model.named_parameters() if not torch.equal(parameter, before[n])}
    norms = ("norm", "ln_") if method == "adapter" else ()
    assert changed
    assert all(any(mark in name for mark in (ADDED[method], *norms)) for name in changed)
    save_model(Path("saved"), config, setup)
    learnt = logits(setup, setup.model)
    loaded = load_saved_model(Path("saved"))
    assert torch.equal(logits(setup, loaded.model), learnt)
    assert written(setup, loaded.model) == written(setup, setup.model)


@pytest.mark.parametrize("task", WRITING)
def test_head_is_refused(task: str, project: Project, refused: Callable[..., str]) -> None:
    path = project.config(task, method={"type": "head"})
    assert "method.type is head, but a generative model has no new head" in refused("train", path)


@needs("export")
@pytest.mark.parametrize(("task", "method"), [("text-generation", "lora"), ("translation", "ia3"), ("chat", "adalora")])
def test_export_writes_the_same_with_plain_transformers(task: str, method: str, project: Project) -> None:
    config, setup = set_up(project, task, method)
    assert training.train(config, console=Console(quiet=True))
    assert main(["export", "runs/config", "plain"]) == 0
    trained = load_saved_model(Path("runs/config/best")).model.double()
    plain = getattr(transformers, setup.task.settings.auto_model).from_pretrained("plain").double()
    # In fp64 what is left is the rounding of merged weights to the fp32 of their file, 3e-5.
    torch.testing.assert_close(logits(setup, plain), logits(setup, trained), rtol=1e-3, atol=1e-3)
    assert written(setup, plain) == written(setup, trained)


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt", "adapter"])
@pytest.mark.parametrize("task", ["text-generation", "translation"])
def test_beams_do_not_depend_on_the_batch(task: str, method: str, project: Project) -> None:
    _, setup = set_up(project, task, method)
    together = written(setup, setup.model.double(), beams=2)
    setup.train.features = setup.train.features[1:]
    assert written(setup, setup.model, beams=2) == together[1:]


@pytest.mark.parametrize("task", ["text-generation", "translation"])
def test_a_weight_that_two_modules_share_is_counted_and_kept_once(task: str, project: Project) -> None:
    _, setup = set_up(project, task, "lora")
    table = setup.model.get_input_embeddings().weight
    assert setup.model.get_output_embeddings().weight is table
    total = parameter_counts(setup.model)[1]
    storages = {p.data_ptr(): p.nbytes for p in setup.model.state_dict().values()}
    assert memory(setup.model, 2)["weights"] == sum(storages.values()) == total * 4
    assert sum(tensor.shape == table.shape for tensor in setup.base.weights.values()) == 1
