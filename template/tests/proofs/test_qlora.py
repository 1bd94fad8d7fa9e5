"""QLoRA: refused in a sentence where it cannot run; where bitsandbytes is there, exact in all that it saves.

bitsandbytes also computes on a CPU, slowly, so that the tests that need it ask for no GPU.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import Project, needs, save_base_model, stop_after
from rich.console import Console

from finetune.cli import main
from finetune.config.load import load_config
from finetune.config.methods import QLora
from finetune.data.batching import Padding
from finetune.errors import UserError
from finetune.model import quantization
from finetune.model.layers import in_modules
from finetune.model.load import load_model
from finetune.model.size import memory, parameter_counts
from finetune.run import saved_model as finetuned
from finetune.run.saved_model import load_saved_model
from finetune.tasks import make_task
from finetune.tasks.text_classification import Example
from finetune.train import build as setting_up
from finetune.train import loop as training

HAS_BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
needs_bitsandbytes = pytest.mark.skipif(not HAS_BITSANDBYTES, reason="pip install bitsandbytes, which is optional")


@pytest.fixture
def base(project: Project) -> Path:
    """A config that trains the pretrained model in the folder `base` with QLoRA, on the CPU."""
    return project.config(
        "text-classification",
        model={**save_base_model(project, "text-classification"), "max_length": 16},
        method={"type": "qlora", "compute": "fp32"},
        train={"device": "cpu", "max_steps": 4, "batch_size": 2, "eval_every": 2},
        optim={"lr": 0.01, "warmup": 0},
    )


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is for GPUs run on this CPU, as it does there.

    For inference on a CPU with bf16 instructions bitsandbytes rounds the weights' scales to bf16, and computes in bf16.
    """
    for module in (setting_up, finetuned):
        monkeypatch.setattr(module, "require_quantization", lambda *_: None)
    if HAS_BITSANDBYTES:
        monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


def test_refused_without_a_gpu_before_anything_is_read(
    base: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setattr(setting_up, "Examples", lambda *_: pytest.fail("read the data first"))
    sentence = "method.type: qlora computes with 4-bit weights on a CUDA GPU, not on 'cpu': use lora"
    assert refused("train", base) == sentence


def test_refused_without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^method\.type: qlora needs a package .*: pip install bitsandbytes$"):
        quantization.require_quantization(QLora(type="qlora"), torch.device("cuda"))


def test_accepted_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "find_spec", lambda name: ModuleSpec(name, None))
    quantization.require_quantization(QLora(type="qlora"), torch.device("cuda"))


def test_refused_for_a_model_that_is_built_on_the_spot(project: Project, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", method={"type": "qlora"})
    assert "method.type is qlora, which quantizes a pretrained model, and model.name has random weights" in refused(
        "train", path
    )


def test_what_transformers_is_told(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body in 4 bits as the config says, the new head and pooler whole; without bitsandbytes, through a stub."""
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.0")
    told: dict[str, Any] = {}

    def from_pretrained(*_: Any, **options: Any) -> None:
        told.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", from_pretrained)
    config = load_config(base, ["method.quantization=fp4", "method.compute=fp16"])
    task = make_task(config.task)
    task.fit([Example("x", None, label) for label in "ab"])
    with pytest.raises(UserError, match="enough"):
        load_model(config.model, task, transformers.AutoTokenizer.from_pretrained("base"), config.method)
    options = told["quantization_config"]
    assert options.load_in_4bit
    assert options.bnb_4bit_quant_type == "fp4"
    assert options.bnb_4bit_use_double_quant
    assert options.bnb_4bit_compute_dtype == torch.float16
    assert options.llm_int8_skip_modules == ["bert.pooler.dense", "classifier"]
    assert told["dtype"] == torch.float32


def logits(setup: training.Setup, model: Any) -> torch.Tensor:
    """Of all training examples in one batch."""
    features = setup.train.features
    batch = Padding(setup.tokenizer, setup.task.batch_labels).make_batch(features, range(len(features)))
    with torch.no_grad():
        result: torch.Tensor = model.eval()(**batch.inputs).logits
    return result


@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
def test_trains_beside_4_bits_and_dequantizes(base: Path, project: Project) -> None:
    config = load_config(base)
    setup = training.build(config)
    weights = {name: p for name, p in setup.model.named_parameters() if hasattr(p, "quant_state")}
    assert len(weights) == 12  # the linear layers of two layers of BERT, and not the pooler and the classifier
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    for _ in range(3):
        training.optimizer_step(config, setup, range(3))
    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())
    of_the_head = [p for n, p in setup.model.named_parameters() if in_modules(n, setup.base.head) and p.requires_grad]
    assert [p.dtype for p in of_the_head] == [torch.float32] * 2
    finetuned.save_model(Path("saved"), config, setup)
    learnt = logits(setup, setup.model)
    assert torch.equal(logits(setup, load_saved_model(Path("saved")).model), learnt)


@needs("export")
@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
def test_exported_model_computes_the_same(base: Path, project: Project) -> None:
    project.train(base)
    assert main(["export", "runs/config", "plain"]) == 0
    setup = training.build(load_config(base))
    plain = transformers.AutoModelForSequenceClassification.from_pretrained("plain")
    learnt = logits(setup, load_saved_model(Path("runs/config/best")).model)
    torch.testing.assert_close(logits(setup, plain), learnt, rtol=1e-4, atol=1e-4)
    assert not hasattr(plain.config, "quantization_config")


@needs_bitsandbytes
def test_weights_that_gpt2_keeps_transposed_are_given_back_in_its_form(tmp_path: Path) -> None:
    auto = transformers.AutoModelForCausalLM
    config = transformers.GPT2Config(n_embd=64, n_layer=2, n_head=2, vocab_size=50, initializer_range=0.5)
    auto.from_config(config).save_pretrained(tmp_path)
    settings = quantization.quantization_config(QLora(type="qlora", compute="fp32"), auto, config)
    quantized = auto.from_pretrained(tmp_path, quantization_config=settings).eval()
    plain = quantization.dequantize(quantized, auto.from_pretrained(tmp_path)).eval()
    assert settings.llm_int8_skip_modules == ["lm_head"]
    ids = torch.arange(9)[None]
    torch.testing.assert_close(plain(input_ids=ids).logits, quantized(input_ids=ids).logits, rtol=1e-4, atol=1e-4)


@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
def test_resumed_run_equals_uninterrupted_one(base: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.train(base, "run.name=whole")
    with monkeypatch.context() as patched:
        stop_after(3, patched)
        assert not training.train(load_config(base, ["run.name=cut"]), console=Console(quiet=True))
    assert training.train(load_config(base, ["run.name=cut"]), resume=True, console=Console(quiet=True))
    for file in ("best/adapter_model.safetensors", "checkpoints/step-4/model.safetensors"):
        assert Path("runs/cut", file).read_bytes() == Path("runs/whole", file).read_bytes()


@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
def test_counts_and_memory(base: Path, project: Project) -> None:
    quantized = training.build(load_config(base)).model
    whole = training.build(load_config(base, ["method={type: lora}"])).model
    assert parameter_counts(quantized) == parameter_counts(whole)
    body = 2 * (4 * 128 * 128 + 2 * 128 * 512)
    saved = memory(whole, 2)["weights"] - memory(quantized, 2)["weights"]
    assert 0.99 * 3.5 * body - 12 * 2048 < saved < 3.5 * body  # from 32 bits to 4, less the scales
