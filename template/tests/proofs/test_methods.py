"""Methods: each trains its own parameters only, on every architecture, and saves all that it has trained."""

import copy
import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import TASKS, WRITING, Project, assert_resumes_to_the_bit, needs, weights_that_matter
from method_checks import (
    ADDED,
    ADDING,
    DISTILBERT,
    IDENTICAL_AT_FIRST,
    SIZES,
    check_saved_and_merged,
    learn_a_little,
    with_method,
)
from rich.console import Console

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.batching import Padding
from finetune.errors import UserError
from finetune.model.first_token import compute_first_token_only
from finetune.model.layers import head_modules, in_modules
from finetune.run.saved_model import load_saved_model, save_model
from finetune.train import loop as training

METHODS = ["full", "head", *ADDING]
REFUSED = {("token-classification", "prompt"), ("retrieval", "prompt"), ("retrieval", "head")}
CELLS = [(task, method) for task in TASKS if task not in WRITING for method in METHODS
         if (task, method) not in REFUSED]  # fmt: skip
"""Tasks whose models write are in test_methods_writing.py."""


@pytest.fixture(autouse=True)
def _weights_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)


def set_up(project: Project, task: str, method: str, *overrides: str) -> tuple[Any, training.Setup]:
    path = project.config(task, method={"type": method}, train={"device": "cpu", "clip_norm": None}, optim={"lr": 0.01})
    config = load_config(path, list(overrides))
    training.set_seed(config.train.seed)
    return config, training.build(config)


def logits(setup: training.Setup, model: Any) -> torch.Tensor:
    """Of all training examples in one batch, without dropout.

    By a copy, so that all weights begin in memory where kernels like them to: otherwise the last bits may differ. With
    the forward pass of the body's class: `head` keeps what it was for these texts in other batches.
    """
    features = setup.train.features
    model = copy.deepcopy(model).eval()
    vars(model.base_model).pop("forward", None)
    batch = Padding(setup.tokenizer, setup.task.batch_labels).make_batch(features, range(len(features)))
    with torch.no_grad():
        return setup.task.logits(model(**batch.inputs), batch.inputs)


# ---------------------------------------------------------------------------------------------------- tasks and methods


@pytest.mark.parametrize(("task", "method"), CELLS)
def test_frozen_unchanged(task: str, method: str, project: Project) -> None:
    """Nothing changes but what the method adds and the head, and that is what is saved."""
    config, setup = set_up(project, task, method, "optim.warmup=0")
    before = {name: parameter.detach().clone() for name, parameter in setup.model.named_parameters()}
    first = logits(setup, setup.model)
    for _ in range(2):
        training.optimizer_step(config, setup, range(3))
    changed = {n for n, parameter in setup.model.named_parameters() if not torch.equal(parameter, before[n])}
    of_the_head = {n for n in before if in_modules(n, setup.base.head) and "original_module" not in n}
    beside_it = changed - of_the_head
    if task == "ranking":  # its loss compares scores of a list, so it has no gradient but rounding for their bias
        of_the_head -= {name for name in of_the_head if "classifier." in name and name.endswith("bias")}
    assert of_the_head <= changed
    assert bool(beside_it) == (method != "head")
    norms = "LayerNorm" if method == "adapter" else ADDED[method]
    assert all(ADDED[method] in name or norms in name for name in beside_it)
    save_model(Path("saved"), config, setup)
    learnt = logits(setup, setup.model)
    assert not torch.equal(learnt, first)
    loaded = load_saved_model(Path("saved"))
    assert torch.equal(logits(setup, loaded.model), learnt)
    assert loaded.model.config.id2label == setup.model.config.id2label


def test_prompt_is_refused_for_words(project: Project, refused: Callable[..., str]) -> None:
    path = project.config("token-classification", method={"type": "prompt"})
    line = path.read_text().splitlines().index("  type: prompt") + 1
    assert refused("train", path).startswith(f"{path}:{line}: method.type is prompt, whose added tokens have no tags")


@pytest.mark.parametrize("method", ADDING)
def test_resume_bit_exact(method: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = {"epochs": 4, "batch_size": 2, "log_every": 3, "device": "cpu", "max_steps": 6, "eval_every": 3}
    added = {"dropout": 0.1} if method in ("lora", "adalora", "adapter") else {}
    optim = {"schedule": "plateau", "plateau_patience": 0, "lr": 0.01}
    path = project.config("text-classification", method={"type": method, **added}, train=loop, optim=optim)
    weights = assert_resumes_to_the_bit(project, path, 4, monkeypatch)
    assert weights == {
        "checkpoints/step-6/model.safetensors", "checkpoints/step-6/trainer.safetensors",
        "best/adapter_model.safetensors", "best/base/model.safetensors"
    }  # fmt: skip


@pytest.mark.parametrize("method", ADDING)
def test_accumulation_equals_full_batch(method: str, project: Project) -> None:
    """Also what a method adds to the loss counts once a step, not once a micro-batch."""
    found = []
    for budget in (12, 10**6):
        config, setup = set_up(project, "text-classification", method, f"train.micro_batch_tokens={budget}")
        setup.model.double().eval()
        gradients: list[torch.Tensor] = []
        setup.optimizer.register_step_pre_hook(
            lambda *_, setup=setup, gradients=gradients: gradients.extend(
                p.grad.clone() for p in setup.model.parameters() if p.grad is not None
            )
        )
        training.optimizer_step(config, setup, range(10))
        found.append(gradients)
    assert len(found[0]) >= 3
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_adalora_moves_ranks_to_where_they_help(project: Project) -> None:
    config, setup = set_up(project, "text-classification", "adalora", "train.epochs=8", "optim.warmup=0")
    assert setup.allocation
    totals = []
    for _ in range(setup.total_steps):
        training.optimizer_step(config, setup, range(3))
        totals.append(sum(setup.allocation.ranks().values()))
    ranks = setup.allocation.ranks().values()
    assert len(ranks) == 12  # query, key, value, output and two of the MLP, in two layers
    assert totals[0] == 12 * 12  # init_r everywhere
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == 12 * 8  # target_r on average
    assert len(set(ranks)) > 1
    assert len(set(totals)) > 5, "the budget falls step by step"


def test_adalora_keeps_directions_apart(project: Project) -> None:
    penalties = []
    for weight in (0, 100):
        options = (f"method.orthogonality={weight}", "optim.warmup=0", "train.epochs=10")
        config, setup = set_up(project, "text-classification", "adalora", *options)
        for _ in range(20):
            training.optimizer_step(config, setup, range(3))
        measure = type(setup.allocation)(setup.model, orthogonality=1.0)  # type: ignore[misc]
        penalties.append(float(measure.penalty().detach()))
    assert penalties[1] < 0.7 * penalties[0]


# ------------------------------------------------------------------------------------------------------- architectures

ENDS = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
RELATIVE = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
ARCHITECTURES = {
    "bert": lambda: transformers.BertConfig(**SIZES),
    "roberta": lambda: transformers.RobertaConfig(**SIZES),
    "distilbert": lambda: transformers.DistilBertConfig(**DISTILBERT),
    "modernbert": lambda: transformers.ModernBertConfig(**SIZES, **ENDS),
    "deberta-v2": lambda: transformers.DebertaV2Config(**SIZES, **RELATIVE),
}
REFUSED = {
    ("prefix", "distilbert"), ("prefix", "modernbert"), ("prefix", "deberta-v2"),
}  # fmt: skip
HEADS = [
    *(("text-classification", method) for method in ADDING),
    ("token-classification", "lora"),  # changes layers
    ("token-classification", "prefix"),  # adds tokens
]


def ordinary(architecture: str, task: str) -> Any:
    """A model with random weights, in fp64 where rounding would hide a fault."""
    kind = {"text-classification": "SequenceClassification", "token-classification": "TokenClassification"}[task]
    torch.manual_seed(0)
    auto = getattr(transformers, f"AutoModelFor{kind}")
    return auto.from_config(ARCHITECTURES[architecture](), dtype=torch.float64).eval()


def on_ids(model: Any, padding: int = 0) -> torch.Tensor:
    ids = torch.arange(5, 23).reshape(2, 9)
    mask = torch.ones_like(ids)
    ids, mask = (torch.nn.functional.pad(tensor, (0, padding)) for tensor in (ids, mask))
    result: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
    return result[:, :9] if result.ndim == 3 else result


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("task", "method"), HEADS)
def test_every_architecture(task: str, architecture: str, method: str, tmp_path: Path) -> None:
    """The head is whole and trained, padding changes nothing, what is loaded and what is merged computes the same."""
    base = ordinary(architecture, task)
    head = head_modules(base)
    if (method, architecture) in REFUSED:
        with pytest.raises(UserError, match=rf"^method\.type: {method} .*{architecture} model.*: use lora$"):
            with_method(method, base, head)
        return
    model = with_method(method, base, head)
    of_the_head = {name: parameter for name, parameter in model.named_parameters() if in_modules(name, head)}
    assert not [name for name in of_the_head if "lora" in name or "ia3" in name]
    frozen = {name for name, parameter in of_the_head.items() if not parameter.requires_grad}
    assert all("original_module" in name for name in frozen), "peft's copy of the head as it was"
    first = on_ids(model)
    assert torch.equal(first, on_ids(base)) == (method in IDENTICAL_AT_FIRST)
    learn_a_little(model, on_ids, rate=0.02)
    learnt = on_ids(model)
    assert (learnt - first).abs().max() > 1e-3
    torch.testing.assert_close(on_ids(model, padding=4), learnt, rtol=1e-6, atol=1e-6)
    check_saved_and_merged(method, base, head, model, on_ids, tmp_path)


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_pooler_that_the_checkpoint_lacks_is_trained(method: str, project: Project) -> None:
    save_base(project, pooler=False)
    _, setup = set_up(project, "text-classification", method, "model.name=base", "model.max_length=8")
    pooler = [p for name, p in setup.model.named_parameters() if ".pooler." in name and "original_module" not in name]
    assert len(pooler) == 2
    assert all(parameter.requires_grad for parameter in pooler)


def save_base(project: Project, pooler: bool = True) -> Any:
    """A pretrained model in the folder `base`: its body and a tokenizer."""
    _, setup = set_up(project, "text-classification", "full")
    body = setup.model.bert
    if not pooler:
        body.pooler = None
    body.save_pretrained("base")
    setup.tokenizer.save_pretrained("base")
    return setup


# --------------------------------------------------------------------------------------------------- saved and exported


@pytest.mark.parametrize("method", ["lora", "prompt", "adapter"])  # peft's two kinds, and our own
def test_a_named_base_is_not_saved_again(method: str, project: Project, refused: Callable[..., str]) -> None:
    save_base(project)
    path = project.config("text-classification", method={"type": method}, model={"name": "base", "max_length": 8})
    project.train(path, "train.max_steps=1")
    best = Path("runs/config/best")
    assert not (best / "base").exists()
    weights = (best / "adapter_model.safetensors").stat().st_size
    assert weights < 0.3 * Path("base/model.safetensors").stat().st_size
    assert main(["predict", "runs/config", "--text", "a fine day"]) == 0
    body = Path("base/model.safetensors")
    body.write_bytes(body.read_bytes()[:-1] + b"\x01")
    assert "the model in 'base', which is gone or has changed" in refused("predict", "runs/config", "--text", "a")
    shutil.rmtree("base")
    assert "the model in 'base', which is gone or has changed" in refused("predict", "runs/config", "--text", "a")


@needs("export")
@pytest.mark.parametrize(
    ("task", "method"), [(TASKS[0], "head"), (TASKS[0], "lora"), (TASKS[0], "adalora"), (TASKS[1], "ia3")]
)
def test_export_parity(task: str, method: str, project: Project, refused: Callable[..., str]) -> None:
    project.train(project.config(task, method={"type": method}, train={"max_steps": 3}, optim={"lr": 0.01}))
    assert main(["export", "runs/config", "plain"]) == 0
    assert not Path("plain/adapter_config.json").exists()
    _, setup = set_up(project, task, "full")
    finetuned = load_saved_model(Path("runs/config/best"))
    auto = getattr(transformers, setup.task.settings.auto_model)
    plain, info = auto.from_pretrained("plain", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert plain.config.id2label == dict(enumerate(setup.task.labels))
    expected = logits(setup, finetuned.model) / finetuned.task.temperature
    torch.testing.assert_close(logits(setup, plain), expected, rtol=1e-3, atol=1e-3)
    assert "plain: exists already" in refused("export", "runs/config", "plain")


@needs("export")
@pytest.mark.parametrize("method", ["prefix", "prompt", "adapter"])
def test_export_of_what_cannot_be_merged_is_refused(method: str, project: Project, refused: Callable[..., str]) -> None:
    project.train(project.config("text-classification", method={"type": method}, train={"max_steps": 1}))
    sentence = refused("export", "runs/config", "plain")
    assert f"{method} cannot be merged" in sentence
    assert "export the run with --format onnx" in sentence
    assert not Path("plain").exists()


@pytest.mark.parametrize(("steps", "end"), [(1, 0.7), (3, 0.2)])
def test_adalora_in_very_short_trainings(steps: int, end: float, project: Project) -> None:
    path = project.config("text-classification", method={"type": "adalora", "end": end}, train={"max_steps": steps})
    project.train(path)


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3", "prefix", "prompt"])
def test_peft_reads_the_files(method: str, project: Project) -> None:
    import peft

    config, setup = set_up(project, "text-classification", method, "optim.warmup=0")
    for _ in range(6):
        training.optimizer_step(config, setup, range(3))
    save_model(Path("saved"), config, setup)
    base = transformers.AutoModelForSequenceClassification.from_pretrained("saved/base")
    compute_first_token_only(base)  # as ours does, for equal bits
    assert torch.equal(logits(setup, peft.PeftModel.from_pretrained(base, "saved")), logits(setup, setup.model))


# ------------------------------------------------------------------------------------------------ what a user may write


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (
            {"type": "lora", "targets": ["querry"]},
            "method.targets: the model has no linear layer 'querry': choose among",
        ),
        ({"type": "adalora", "target_r": 12}, "method.target_r is 12 and method.init_r 12: adalora reduces ranks"),
        ({"type": "adalora", "begin": 0.8}, "method.begin is 0.8 and method.end 0.7: let begin come before end"),
        ({"type": "lora", "r": 0}, "'method.r' is 0: input should be greater than or equal to 1"),
        ({"type": "lora", "width": 3}, "unknown key 'method.width'"),
    ],
)
def test_mistakes(method: dict[str, Any], sentence: str, project: Project, refused: Callable[..., str]) -> None:
    assert sentence in refused("train", project.config("text-classification", method=method))


def test_targets_are_ends_of_names(project: Project) -> None:
    _, setup = set_up(project, "text-classification", "lora", "method.targets=[query, output.dense]")
    adapted = {
        name.split(".lora_A")[0].split("layer.")[1] for name, _ in setup.model.named_parameters() if "lora_A" in name
    }
    ends = ("attention.self.query", "attention.output.dense", "output.dense")
    assert adapted == {f"{layer}.{end}" for layer in (0, 1) for end in ends}


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_added_tokens_need_room(method: str, project: Project, refused: Callable[..., str]) -> None:
    save_base(project)  # which can read 32 tokens
    path = project.config("text-classification", method={"type": method, "tokens": 5}, model={"name": "base"})
    assert refused("train", path).endswith("of which the method takes 5: lower it to 27")
    project.train(path, "model.max_length=27", "train.max_steps=1")


def test_a_long_text_fits_beside_the_added_tokens_of_a_tiny_model(project: Project) -> None:
    project.write("train.jsonl", "".join(json.dumps({"text": "a " * 99, "label": label}) + "\n" for label in "xy"))
    for method in ("prefix", "prompt"):
        project.train(
            project.config("text-classification", method={"type": method}, data={"validation": None, "test": None})
        )


def test_the_start_names_counts_and_memory(project: Project) -> None:
    shown = Console(file=StringIO(), width=200)
    path = project.config("text-classification", method={"type": "adapter", "width": 16}, train={"max_steps": 1})
    assert training.train(load_config(path), console=shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    _, setup = set_up(project, "text-classification", "adapter", "method.width=16")
    adapters = 4 * (128 * 16 + 16 + 16 * 128 + 128)
    norms, head = 4 * 2 * 128, 2 * 128 + 2
    total = sum(parameter.numel() for parameter in setup.model.parameters())
    trained = adapters + norms + head
    assert f"trainable parameters: {trained:,} of {total:,}" in text
    weights, gradients, optimizer = (size / 10**6 for size in (4 * total, 4 * trained, 8 * trained))
    parts = f"(weights {weights:,.1f}, gradients {gradients:,.1f}, optimizer {optimizer:,.1f})"
    assert f"memory: {weights + gradients + optimizer:,.1f} MB plus activations {parts}\n" in text
    small = f"{gradients * 1000:,.1f} kB"
    assert f"weights: {weights - gradients:,.1f} MB frozen in fp32, {small} trained in fp32\n" in text
