"""optim.embeddings: frozen token embeddings in full fine-tuning, which the optimizer and checkpoints leave out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import Project, assert_resumes_to_the_bit, build, needs, save_base_model, stop_after
from rich.console import Console
from safetensors.torch import load_file, save_file

from finetune.config.load import load_config
from finetune.model.size import parameter_counts
from finetune.train import loop as training

FROZEN = {"embeddings": "frozen", "warmup": 0}
TABLE = "embeddings.word_embeddings.weight"


def test_the_token_embeddings_alone_are_frozen(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(project.config("text-classification", optim=FROZEN))
    setup = build(config)
    before = {name: tensor.clone() for name, tensor in setup.model.state_dict().items()}
    training.optimizer_step(config, setup, range(8))
    same = {name for name, tensor in setup.model.named_parameters() if torch.equal(tensor, before[name])}
    assert same == {f"bert.{TABLE}"}
    trainable, total = parameter_counts(setup.model)
    assert total - trainable == before[f"bert.{TABLE}"].numel()
    assert len(setup.trainable) == len([*setup.model.parameters()]) - 1
    training.print_summary(config, setup, Console())
    assert f"trainable parameters: {trainable:,} of {total:,}" in capsys.readouterr().out


@needs("plan")
def test_the_plan_counts_them_as_frozen(project: Project) -> None:
    from finetune.plan.plan import make_plan

    config = load_config(project.config("text-classification", optim=FROZEN))
    plan = make_plan(config, 1)
    assert (plan.trainable, plan.parameters) == parameter_counts(build(config).model)


@pytest.mark.parametrize("task", ["chat", "translation"])
def test_tied_embeddings_are_refused(task: str, project: Project, refused: Callable[..., str]) -> None:
    path = project.config(task, optim=FROZEN)
    name = load_config(path).model.name
    assert refused("train", path) == (
        f"optim.embeddings is frozen, but the output layer of '{name}' has the same matrix (tied weights), and would "
        f"be frozen as well: set it to trained"
    )
    assert not Path("runs").exists() or not [*Path("runs").glob("[!.]*")]
    config = load_config(path, ["method.type=lora"])  # which freezes them anyway
    assert not build(config).model.get_input_embeddings().weight.requires_grad


def test_a_generative_model_without_tied_weights(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    save_base_model(project, "chat")
    model = transformers.AutoModelForCausalLM.from_pretrained("base", tie_word_embeddings=False)
    model.save_pretrained("base")
    assert {"lm_head.weight", "transformer.wte.weight"} <= load_file("base/model.safetensors").keys()
    path = project.config("chat", model={"name": "base", "max_length": 32}, optim=FROZEN)
    frozen = [name for name, p in build(load_config(path)).model.named_parameters() if not p.requires_grad]
    assert frozen == ["transformer.wte.weight"]


def test_resume_bit_exact_without_them(
    project: Project, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    """A checkpoint lacks them, the saved model has them, and another base model is refused."""
    loop = {"epochs": 9, "max_steps": 5, "batch_size": 2, "device": "cpu"}
    model: dict[str, Any] = save_base_model(project, "text-classification")
    path = project.config("text-classification", model=model, train=loop, optim=FROZEN)
    assert_resumes_to_the_bit(project, path, 3, monkeypatch)
    best = load_file("runs/cut/best/model.safetensors")
    saved = load_file("runs/cut/checkpoints/step-5/model.safetensors")
    assert best.keys() - saved.keys() == {f"bert.{TABLE}"}
    base = load_file("base/model.safetensors")
    assert torch.equal(best[f"bert.{TABLE}"], base[TABLE])

    with monkeypatch.context() as patched:
        stop_after(1, patched)
        assert not training.train(load_config(path), console=Console(quiet=True))
    save_file(base | {TABLE: base[TABLE] + 1e-3}, "base/model.safetensors", metadata={"format": "pt"})
    assert "holds what was learnt on top of the model 'base', which has changed since" in refused(
        "train", path, "--resume"
    )


@needs("continual")
def test_further_training_freezes_those_that_were_trained(project: Project) -> None:
    path = project.config("text-classification", train={"max_steps": 2, "device": "cpu"})
    project.train(path)
    project.train(path, "run.name=further", "continue_from=runs/config", "optim.embeddings=frozen", "optim.lr=0.1")
    first, further = (load_file(f"runs/{name}/best/model.safetensors") for name in ("config", "further"))
    changed = {name for name in first if not torch.equal(first[name], further[name])}
    assert first.keys() - changed == {f"bert.{TABLE}"}
