"""Frozen weights in half precision: the same logits bit for bit, loaded without a whole copy in fp32, everywhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from architectures import tiny_config
from conftest import GOOD, Project, assert_resumes_to_the_bit, build, needs, weights_that_matter
from method_checks import ADDING
from torch import Tensor

from finetune.cli import main
from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.model import load as loading
from finetune.model.forward import forward
from finetune.model.frozen import keep_frozen
from finetune.model.layers import find_layers, is_linear
from finetune.model.tiny import tiny_tokenizer
from finetune.run.saved_model import load_saved_model
from finetune.train import loop as training

BF16, FP32 = torch.bfloat16, torch.float32
SHORT = {"chat": ["task.generation.max_new_tokens=3"]}
ARCHITECTURES = [
    *(
        ("AutoModelForTokenClassification", kind)
        for kind in ("albert", "bert", "deberta-v2", "distilbert", "modernbert")
    ),
    *(("AutoModelForCausalLM", kind) for kind in ("gemma3_text", "gpt2", "llama", "mamba", "mixtral", "qwen3")),
    *(("AutoModelForSeq2SeqLM", kind) for kind in ("bart", "marian", "seamless_m4t", "t5")),
]


@pytest.fixture(autouse=True)
def _weights_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)


def logits(model: Any, head: str = "") -> Tensor:
    """Under autocast to bf16."""
    ids = torch.arange(5, 29).reshape(2, 12)
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(12) < torch.tensor([[12], [7]])).long()}
    if head == "AutoModelForSeq2SeqLM":
        inputs["decoder_input_ids"] = ids[:, :5]
    with torch.no_grad(), torch.autocast("cpu", BF16):
        result: Tensor = model(**inputs).logits
    return result


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize(("head", "kind"), ARCHITECTURES)
def test_logits_are_the_same_to_the_bit(head: str, kind: str, rounded: bool) -> None:
    """Also of a checkpoint in half precision, whose embeddings are kept so, and where embeddings are scaled (Gemma)."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer("tiny:bert", GOOD)
    tokenizer.eos_token = tokenizer.sep_token
    model = getattr(transformers, head).from_config(tiny_config(kind, tokenizer)).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(getattr(module, "bias", None), torch.nn.Parameter):
            torch.nn.init.normal_(module.bias)
    if rounded:
        model.to(BF16).float()
    before = logits(model, head)
    keep_frozen(model, [], "bf16")
    linears = [module for layer in find_layers(model).values() for module in layer.modules() if is_linear(module)]
    assert linears
    assert {parameter.dtype for linear in linears for parameter in linear.parameters(recurse=False)} == {BF16}
    assert {parameter.dtype for name, parameter in model.named_parameters() if "norm" in name.lower()} <= {FP32}
    table = model.get_input_embeddings().weight
    assert table.dtype == (BF16 if rounded and kind not in ("bart", "gemma3_text", "seamless_m4t") else FP32)
    assert torch.equal(logits(model, head), before)


def formats(model: Any) -> dict[tuple[bool, torch.dtype], int]:
    """Parameters by whether they are trained, and by number format."""
    found: dict[tuple[bool, torch.dtype], int] = {}
    for parameter in model.parameters():
        key = parameter.requires_grad, parameter.dtype
        found[key] = found.get(key, 0) + parameter.numel()
    return found


def config_of(project: Project, task: str, method: str, *overrides: str) -> Config:
    train = {"device": "cpu", "precision": "bf16", "max_steps": 3, "batch_size": 2, "eval_every": 2, "log_every": 1}
    path = project.config(task, method={"type": method}, train=train, optim={"lr": 0.01, "warmup": 0})
    return load_config(path, list(overrides))


@pytest.mark.parametrize(
    ("task", "method"), [*(("text-classification", method) for method in ADDING), ("chat", "lora")]
)
def test_a_training_is_the_same_to_the_bit(task: str, method: str, project: Project) -> None:
    """Losses, gradient norms and what is saved; what is trained, and the optimizer, are in fp32."""
    records, found = [], []
    for dtype in ("fp32", "auto"):
        config = config_of(project, task, method, f"model.dtype={dtype}", f"run.name={dtype}")
        setup = build(config)
        found.append(formats(setup.model))
        training.optimizer_step(config, setup, [0, 1])
        assert {t.dtype for state in setup.optimizer.state.values() for t in state.values()} == {FP32}
        project.train(Path("config.yaml"), f"model.dtype={dtype}", f"run.name={dtype}", *SHORT.get(task, []))
        times = ("examples_per_second", "tokens_per_second", "seconds")
        records.append([{k: v for k, v in line.items() if k not in times} for line in project.metrics(dtype)])
    assert {key for key in found[0] if key[1] == BF16} == set()
    assert {trained for trained, dtype in found[1] if dtype == BF16} == {False}
    assert found[1][False, BF16] > found[1][False, FP32]
    assert sum(found[1].values()) == sum(found[0].values())
    assert records[1] == records[0]
    weights = [Path("runs", name, "best/adapter_model.safetensors").read_bytes() for name in ("fp32", "auto")]
    assert weights[0] == weights[1]


@pytest.fixture
def pretrained(project: Project) -> Path:
    """A checkpoint in fp32 in the folder `base`, whose norms and biases do not fit into half precision."""
    setup = build(load_config(project.config("text-classification", train={"device": "cpu"})))
    for parameter in setup.model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
    setup.model.bert.save_pretrained("base")
    setup.tokenizer.save_pretrained("base")
    train = {"device": "cpu", "precision": "bf16", "max_steps": 2}
    return project.config(
        "text-classification", method={"type": "lora"}, model={"name": "base"}, train=train, optim={"lr": 0.01}
    )


def test_a_checkpoint_is_loaded_in_half_precision(pretrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it comes from transformers: matrices of the layers in bf16, all else in fp32 and not rounded."""
    arrived: list[Any] = []
    require = loading.require_pretrained_weights
    monkeypatch.setattr(
        loading,
        "require_pretrained_weights",
        lambda model, *more: (arrived.append(formats(model)), require(model, *more)),
    )
    half, whole = (build(load_config(pretrained, [f"model.dtype={dtype}"])) for dtype in ("bf16", "fp32"))
    assert arrived[0][True, BF16] > arrived[0][True, FP32]
    assert {dtype for _, dtype in arrived[1]} == {FP32}
    assert transformers.BertForSequenceClassification._keep_in_fp32_modules_strict is None
    expected = whole.model.state_dict()
    for name, tensor in half.model.state_dict().items():
        if "lora_A" not in name:  # peft starts it in the format of the layer
            assert torch.equal(tensor, expected[name].to(tensor.dtype)), name
    half.model.load_state_dict(expected)
    batch = half.batching.make_batch(half.train.features, range(4))
    found = [forward(setup.model.eval(), setup.task, batch, "bf16") for setup in (half, whole)]
    assert torch.equal(*found)


@needs("export")
def test_a_saved_run(pretrained: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded as it was trained, in fp32 where it computes in fp32, and exported from the weights in fp32."""
    project.train(pretrained, "task.calibration=none")  # else the export is divided by the temperature
    config = load_config(pretrained)
    best = Path("runs/config/best")
    half, whole = load_saved_model(best, config.train), load_saved_model(best)
    in_fp32 = load_saved_model(best, config.train.model_copy(update={"precision": "fp32"}))
    assert formats(half.model)[False, BF16] > formats(half.model)[False, FP32]
    assert {dtype for _, dtype in formats(whole.model)} == {dtype for _, dtype in formats(in_fp32.model)} == {FP32}
    assert torch.equal(logits(half.model), logits(whole.model))
    assert main(["evaluate", "runs/config", "--split", "test"]) == 0
    evaluation = json.loads(Path("runs/config/evaluation-test.json").read_text())
    assert evaluation["loss"] == project.metrics("config")[-1]["loss"]
    assert main(["export", "runs/config", "plain"]) == 0
    merged = transformers.AutoModelForSequenceClassification.from_pretrained("plain", dtype=torch.float32)
    whole.model.merge_and_unload()
    for name, tensor in whole.model.get_base_model().state_dict().items():
        assert torch.equal(tensor, merged.state_dict()[name]), name


def test_resume_is_bit_exact(pretrained: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = {"max_steps": 6, "eval_every": 3, "device": "cpu", "precision": "bf16", "log_every": 3, "batch_size": 2}
    path = project.config("text-classification", method={"type": "lora"}, model={"name": "base"}, train=longer)
    assert_resumes_to_the_bit(project, path, 4, monkeypatch)


@needs("continual")
@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_further_training_keeps_the_format(precision: str, pretrained: Path, project: Project) -> None:
    project.train(pretrained)
    setup = build(
        load_config(pretrained, ["run.name=more", "continue_from=runs/config", f"train.precision={precision}"])
    )
    assert setup.precision == ("bf16" if precision == "bf16" else "fp32"), "a probe decides for so small a model"
    assert ((False, BF16) in formats(setup.model)) == (setup.precision == "bf16")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["method={type: full}"], "method.type is full, which trains all weights, and small updates are lost in half"),
        (["method={type: head}"], "method.type is head, whose saved model holds the whole body in fp32"),
        (["method={type: qlora}"], "method.type is qlora, which quantizes the body to 4 bits"),
        (["train.precision=fp32"], "train.precision is fp32: set both to the same format, or model.dtype to auto"),
    ],
)
def test_what_half_precision_is_not_for(
    overrides: list[str], sentence: str, pretrained: Path, refused: Callable[..., str]
) -> None:
    said = refused("train", pretrained, "model.dtype=bf16", *overrides)
    assert f"model.dtype is bf16, but {sentence}" in said
