"""Settings of the optimizer and of training: layer-wise rates, frozen layers, LoRA+, rsLoRA, noise on embeddings."""

import math
from collections.abc import Callable

import pytest
import torch
from conftest import Project, assert_resumes_to_the_bit, build, needs

from finetune.config.load import load_config
from finetune.model.embedding_noise import add_embedding_noise
from finetune.model.layers import unwrap_model
from finetune.model.size import parameter_counts
from finetune.train import loop as training


def depth_of(task: str, name: str) -> int:
    """How far a parameter of a tiny model is below the top."""
    parts = {
        "chat": {"wte": 4, "wpe": 4, "h.0.": 3, "h.1.": 2, "h.2.": 1},
        "translation": {"shared": 3, "block.0.": 2, "block.1.": 1},
    }[task]
    return next((depth for part, depth in parts.items() if part in name), 0)


@pytest.mark.parametrize("task", ["chat", "translation"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_each_stack_decays_from_its_own_top(task: str, method: str, project: Project) -> None:
    overrides = [f"method.type={method}", "optim.lr=0.016", "optim.layer_decay=0.5"]
    setup = build(load_config(project.config(task), overrides))
    names = {id(parameter): name for name, parameter in setup.model.named_parameters()}
    seen = set()
    for group in setup.optimizer.param_groups:
        for parameter in group["params"]:
            depth = depth_of(task, names[id(parameter)])
            assert group["initial_lr"] == 0.016 * 0.5**depth, names[id(parameter)]
            seen.add(depth)
    layers = {"chat": {1, 2, 3}, "translation": {1, 2}}[task]
    assert seen == (layers | {0, max(layers) + 1} if method == "full" else layers)


def test_the_log_shows_the_rate_above_the_layers(project: Project) -> None:
    path = project.config("text-classification", train={"max_steps": 2, "log_every": 1})
    project.train(path, "optim.layer_decay=0.5", "optim.lr=0.008", "optim.warmup=0", "optim.schedule=constant")
    assert {line["lr"] for line in project.metrics("config") if line["kind"] == "train"} == {0.008}


def test_frozen_layers_have_no_gradient_and_resume_to_the_bit(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    optim = {"frozen_layers": 1, "layer_decay": 0.9, "lr": 1e-3, "warmup": 0}
    loop = {"epochs": 9, "max_steps": 4, "batch_size": 2, "device": "cpu"}
    path = project.config("text-classification", train=loop, optim=optim)
    assert_resumes_to_the_bit(project, path, 2, monkeypatch)
    setup = build(load_config(path))
    frozen = [name for name, parameter in setup.model.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all("embeddings." in name or "layer.0." in name for name in frozen)


@needs("plan")
def test_the_plan_counts_frozen_layers(project: Project) -> None:
    from finetune.plan.plan import make_plan

    config = load_config(project.config("text-classification", optim={"frozen_layers": 2}))
    plan = make_plan(config, 1)
    assert (plan.trainable, plan.parameters) == parameter_counts(build(config).model)


@pytest.mark.parametrize(
    ("task", "settings", "told"),
    [
        ("text-classification", ["optim.frozen_layers=3"], "optim.frozen_layers is 3, but 'tiny:bert' has 2 layers"),
        ("chat", ["optim.frozen_layers=1"], "optim.frozen_layers is 1, but the output layer of 'tiny:gpt2' has the"),
        ("text-classification", ["optim.lora_plus=16"], "optim.lora_plus is set, but method.type is full, which has"),
        ("text-classification", ["train.neftune_alpha=5"], "train.neftune_alpha is set, but text-classification is"),
        ("translation", ["train.neftune_alpha=5"], "train.neftune_alpha is set, but translation is no task of a"),
        ("chat", ["train.neftune_alpha=5", "train.packing=true"], "neftune_alpha is set, but train.packing is true"),
    ],
)
def test_what_does_not_go_together(
    task: str, settings: list[str], told: str, project: Project, refused: Callable[..., str]
) -> None:
    assert told in refused("train", project.config(task), *settings)


@pytest.mark.parametrize("method", ["full", "prefix", "prompt"])
def test_noise_is_scaled_by_the_length_of_each_text(method: str, project: Project) -> None:
    """Jain et al. 2023, Algorithm 1; the padding of a text does not count, nor do soft prompts."""
    setup = build(
        load_config(project.config("chat", model={"name": "tiny:gpt2", "max_length": 64}), [f"method.type={method}"])
    )
    model = setup.model.double().train()
    add_embedding_noise(model, 3.0)
    embed = unwrap_model(model).get_input_embeddings()
    seen = []
    embed.register_forward_hook(lambda module, ids, output: seen.append(output - module.weight[ids[0]]))
    lengths = torch.tensor([7, 2])
    mask = (torch.arange(7) < lengths[:, None]).long()
    ids = torch.randint(3, 9, (2, 7))
    torch.manual_seed(0)
    model(input_ids=ids, attention_mask=mask)
    torch.manual_seed(0)
    drawn = 2 * torch.rand_like(seen[0]) - 1
    expected = drawn * (3.0 / (lengths * embed.embedding_dim).sqrt())[:, None, None]
    if method != "prompt":  # whose own tokens draw first
        assert torch.allclose(seen[0], expected, atol=1e-12)
    for row, length in enumerate(lengths.tolist()):
        assert 0.9 < seen[0][row].abs().max() * math.sqrt(length * embed.embedding_dim) / 3 <= 1


def test_noise_resumes_to_the_bit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = {"epochs": 9, "max_steps": 4, "batch_size": 2, "device": "cpu", "neftune_alpha": 5}
    assert_resumes_to_the_bit(project, project.config("chat", train=loop), 2, monkeypatch)


def test_lora_plus_and_rank_stabilization_learn(project: Project) -> None:
    """With a rank of 64, the update of the first step is larger by the ratio of the scales."""
    moved = []
    for stabilized in ("false", "true"):
        method = f"method={{type: lora, r: 64, alpha: 8, rank_stabilized: {stabilized}}}"
        config = load_config(project.config("text-classification", optim={"warmup": 0, "lr": 1e-3}), [method])
        setup = build(config)
        training.optimizer_step(config, setup, range(4))
        layer = next(module for module in setup.model.modules() if hasattr(module, "lora_A"))
        moved.append(layer.get_delta_weight("default").norm().item())
    assert moved[1] / moved[0] == pytest.approx(8, rel=0.05)  # sqrt(64)
