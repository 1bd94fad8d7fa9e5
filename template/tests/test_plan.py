"""`finetune plan`: memory per GPU and communication per step, without weights."""

import json
from typing import Any

import pytest
import torch
from conftest import TASKS, WRITING, Project
from transformers import BertConfig

from finetune.cli import main
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.model import forward as passes
from finetune.model.size import memory, parameter_counts
from finetune.plan.plan import Plan, make_plan
from finetune.train import loop as training
from finetune.train.optim import state_bytes

LONG = [{"text": "a fine day and a grim day , " * 8, "label": label} for label in ("good", "bad")] * 4
METHODS = ["full", "head", "lora", "adalora", "ia3", "prefix", "prompt", "adapter"]


@pytest.fixture(autouse=True)
def _large_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU takes micro-batches as large as a GPU does."""
    monkeypatch.setattr(passes, "CPU_TOKENS", 10**6)


def planned(project: Project, *overrides: str, task: str = "text-classification", gpus: int = 1) -> Plan:
    return make_plan(load_config(project.config(task), list(overrides)), gpus)


@pytest.mark.parametrize("task", TASKS)
def test_weights_gradients_and_optimizer_state_are_those_of_the_training(project: Project, task: str) -> None:
    config = load_config(project.config(task), ["train.device=cpu"])
    plan, setup = make_plan(config, 1), training.build(config)
    needed = memory(setup.model, state_bytes(config.optim, setup.model))
    assert (plan.trainable, plan.parameters) == parameter_counts(setup.model)
    assert [plan.memory[part] for part in ("weights", "gradients", "optimizer state")] == [*needed.values()]
    assert plan.memory["activations"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_method_counts(project: Project, method: str) -> None:
    config = load_config(project.config("text-classification"), [f"method.type={method}", "train.device=cpu"])
    plan, setup = make_plan(config, 1), training.build(config)
    assert (plan.trainable, plan.parameters) == parameter_counts(setup.model)


def saved_bytes(setup: Any, rows: list[int]) -> int:
    """What a real forward pass saves."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*setup.model.parameters(), *setup.model.buffers())}
    saved = {}

    def save(tensor: torch.Tensor) -> torch.Tensor:
        if (storage := tensor.untyped_storage()).data_ptr() not in own:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    batch = setup.batching.make_batch(setup.train.features, rows)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        logits = training.forward(setup.model, setup.task, batch, setup.precision)
        setup.task.loss(logits, batch.labels)
    return sum(size for size, _ in saved.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "head", "lora"])
def test_activations_are_what_a_forward_pass_saves(project: Project, method: str, precision: str) -> None:
    project.write("long.jsonl", "".join(json.dumps(row) + "\n" for row in LONG))
    overrides = ["data.train=long.jsonl", "model.max_length=32", "train.batch_size=8", f"method.type={method}"]
    overrides += ["train.device=cpu", f"train.precision={precision}"]
    config = load_config(project.config("text-classification"), overrides)
    plan, setup = make_plan(config, 1), training.build(config)
    assert plan.micro_batch == (8, 32)
    logits_and_gradient = 2 * 8 * 2 * 4
    activations = plan.memory["activations"] + plan.memory["logits"] - logits_and_gradient
    assert activations == pytest.approx(saved_bytes(setup, [*range(8)]), rel=0.01)


def test_a_gpu_keeps_no_attention_matrix_and_masks_of_a_byte(project: Project) -> None:
    """In attention with dropout the CPU has no fused kernel. The head reads all tokens of the last layer."""
    longer = ["model.max_length=512", "train.precision=fp32"]
    task = "token-classification"
    cpu, gpu = (planned(project, *longer, f"train.device={device}", task=task) for device in ("cpu", "cuda"))
    assert gpu.memory["activations"] < cpu.memory["activations"] / 2
    half = planned(project, "model.max_length=256", "train.precision=fp32", task=task)
    masks = 2 * 4 * 512 * 512 * 4  # of the padding, in each layer once, not for each head
    assert gpu.memory["activations"] - masks / 2 == pytest.approx(2 * half.memory["activations"], rel=0.01)


def test_gradient_accumulation_bounds_the_activations(project: Project) -> None:
    settings = ["train.batch_size=64", "model.max_length=64", "train.precision=fp32"]
    whole, parts = (planned(project, *settings, f"train.micro_batch_tokens={tokens}") for tokens in (4096, 1024))
    assert (whole.micro_batch, whole.micro_batches) == ((64, 64), 1)
    assert (parts.micro_batch, parts.micro_batches) == ((16, 64), 4)
    assert parts.memory["activations"] == pytest.approx(whole.memory["activations"] / 4, rel=0.05)


def test_replicas_send_each_gradient_twice_and_share_the_examples(project: Project) -> None:
    plan = planned(project, "train.batch_size=64", gpus=4)
    assert plan.parallel == "ddp"
    assert plan.micro_batch[0] * plan.micro_batches == 16
    assert plan.communication == {"all-reduce of gradients": round(2 * 3 / 4 * plan.trainable * 4)}


def test_shards_need_a_part_of_the_memory_and_send_weights_in_each_micro_batch(project: Project) -> None:
    accumulated = ["train.batch_size=64", "model.max_length=64", "train.micro_batch_tokens=512", "train.precision=fp32"]
    replicas = planned(project, *accumulated, gpus=4)
    shards = planned(project, *accumulated, "train.parallel=fsdp", gpus=4)
    for part in ("weights", "gradients", "optimizer state"):
        assert shards.memory[part] == -(-replicas.memory[part] // 4)
    size, micro_batches = replicas.memory["weights"], shards.micro_batches
    assert micro_batches == 2
    assert shards.communication == {
        "all-gather of weights": round(2 * 3 / 4 * size * micro_batches),
        "reduce-scatter of gradients": round(3 / 4 * size * micro_batches),
    }
    assert 0 < shards.memory["gathered layers"] <= size
    half = planned(project, *accumulated, "train.parallel=fsdp", "train.precision=bf16", gpus=4)
    linears = 2 * 4 * sum(4 * [128 * 128 + 128] + [2 * 128 * 512 + 512 + 128])  # of the two layers, in fp32
    gathered = round(2 * 3 / 4 * (size - linears // 2) * micro_batches)
    assert half.communication == {**shards.communication, "all-gather of weights": gathered}
    assert shards.memory["gathered layers"] - half.memory["gathered layers"] == linears // 2
    compiled = planned(project, *accumulated, "train.parallel=fsdp", "train.compile=true", gpus=4)
    assert compiled.communication == shards.communication


def test_embeddings_are_kept_in_half_precision_if_the_checkpoint_is(project: Project) -> None:
    """As keep_frozen does; the config of the checkpoint says so."""
    planned_in = {}
    for dtype in ("float32", "bfloat16"):
        BertConfig(
            vocab_size=1000, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, dtype=dtype
        ).save_pretrained("base")
        planned_in[dtype] = planned(project, "model.name=base", "method.type=lora").memory["weights"]
    tables = (1000 + 512 + 2) * 128
    assert planned_in["float32"] - planned_in["bfloat16"] == 2 * tables


def test_the_base_model_of_qlora_is_an_eighth(project: Project) -> None:
    """Of a model folder with nothing but its config."""
    BertConfig(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=2).save_pretrained(
        "base"
    )
    fp32 = ("model.name=base", "model.dtype=fp32")
    lora, qlora = (planned(project, *fp32, f"method.type={name}") for name in ("lora", "qlora"))
    quantized = 4 * (4 * 128 * 128 + 2 * 128 * 512)  # the matrices of the layers
    assert lora.memory["weights"] - qlora.memory["weights"] == pytest.approx(quantized * (4 - 0.516), rel=1e-3)
    assert qlora.memory["activations"] < lora.memory["activations"] / 2
    half = planned(project, "model.name=base", "method.type=lora")
    assert lora.memory["weights"] - half.memory["weights"] == pytest.approx(quantized * 2, rel=0.05)
    checkpointed = planned(project, *fp32, "method.type=lora", "train.activation_checkpointing=true")
    assert checkpointed.memory["activations"] == qlora.memory["activations"]


@pytest.mark.parametrize("task", WRITING)
def test_logits_over_the_vocabulary_count(project: Project, task: str) -> None:
    plan = planned(project, "model.max_length=64", task=task)
    rows, _ = plan.micro_batch
    config = load_config(project.config(task), [])
    tokens = getattr(config.task, "max_target_length", 64)
    vocabulary = 300  # at least the bytes
    assert plan.memory["logits"] > 3 * rows * tokens * vocabulary * 4


def test_the_command(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(project.config("text-classification"))
    assert main(["plan", config, "--gpus", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["total"] == sum(document["memory"].values())
    assert (document["gpus"], document["parallel"], document["complete"]) == (2, "ddp", True)

    assert main(["plan", config, "--gpus", "2", "--tokens", "16"]) == 0
    shown = capsys.readouterr().out
    assert "of 16 tokens" in shown
    assert "all-reduce of gradients" in shown
    assert "fits on a GPU of 16 GiB" in shown


def test_wrong_input(project: Project) -> None:
    config = project.config("text-classification")
    with pytest.raises(UserError, match="there is no folder"):
        make_plan(load_config(config, ["model.name=./missing"]), 1)
    assert main(["plan", str(config), "--gpus", "0"]) == 2
    assert main(["plan", "missing.yaml"]) == 2
