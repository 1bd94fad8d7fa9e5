"""FSDP2: each rank reads its shard of the weights from the files, and the model is that of one process, to the bit."""

import ctypes
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import architectures
import pytest
import torch
import transformers
from conftest import GOOD, Project, save_base_model
from method_checks import ADDING
from ranks import Found, both, config_of, in_two_processes, steps
from safetensors.torch import load_file, save_file
from torch import nn

from finetune.config.config import Config, Model
from finetune.config.methods import Full
from finetune.data.rows import Row
from finetune.distributed.world import World
from finetune.errors import UserError
from finetune.model import load as loading
from finetune.model.frozen import keep_frozen
from finetune.model.load import load_model
from finetune.model.tiny import tiny_tokenizer
from finetune.model.unread import to_meta, unread
from finetune.run.saved_model import TASKS
from finetune.tasks import make_task
from finetune.train import loop as training
from finetune.train.start import FreshStart

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes; this system has no fork")

FSDP = ["train.parallel=fsdp", "train.max_steps=3", "train.micro_batch_tokens=30"]
CLASSES = {task: head for head, task in architectures.HEADS.items()}
AS_STORED = [
    ("text-classification", "bert"),  # the pooler and the head are new
    ("token-classification", "deberta-v2"),
    ("token-classification", "modernbert"),
    ("text-generation", "gpt2"),  # tied, buffers
    ("text-generation", "llama"),
    ("text-generation", "gemma3_text"),  # a scale as a buffer
    ("text-generation", "diffllama"),  # draws random numbers when it is made
    ("text-generation", "recurrent_gemma"),  # a buffer in bf16 whatever the weights are
    ("text-generation", "qwen3"),
    ("translation", "t5"),
    ("translation", "marian"),  # positions are computed
]
LABELLED: dict[str, list[dict[str, Any]]] = {
    "text-classification": [{"text": "x", "label": label} for label in "ab"],
    "token-classification": [{"tokens": ["x"], "tags": ["B-X"]}, {"tokens": ["y"], "tags": ["O"]}],
}
CONVERTED = [("text-generation", "mixtral")]  # experts are merged on loading


def filled(model: Any) -> Any:
    """The model with all that is in the files."""
    for weight in model.parameters():
        if tensor := unread(weight):
            torch.utils.swap_tensors(weight, nn.Parameter(tensor.read().to(weight.dtype), weight.requires_grad))
    return model


def assert_equal(model: Any, other: Any) -> None:
    """Weights and buffers with their number formats, what is trained, ties, and the configs."""
    for kind in ("named_parameters", "named_buffers"):
        want, got = (dict(getattr(one, kind)(remove_duplicate=False)) for one in (other, model))
        assert got.keys() == want.keys()
        for name, tensor in want.items():
            assert (got[name].dtype, got[name].requires_grad) == (tensor.dtype, tensor.requires_grad), name
            assert torch.equal(got[name], tensor), name
        assert len({map(id, got.values())}) == len({map(id, want.values())})
    assert model.config.to_dict() == other.config.to_dict()
    assert model.config.name_or_path == other.config.name_or_path
    if model.can_generate():
        assert model.generation_config.to_dict() == other.generation_config.to_dict()


def loaded(folder: Path, name: str, to_shard: bool) -> tuple[Any, Any, torch.Tensor]:
    """A model for the task, what its head started from, and the state of the random numbers after it."""
    task = make_task(TASKS.validate_python({"type": name}))
    if rows := LABELLED.get(name):
        task.fit(task.parse([Row("it:1", row, row) for row in rows]))
    torch.manual_seed(1)
    model, poolers, head = load_model(
        Model(name=str(folder), max_length=16), task, tokenizer(), Full(), to_shard=to_shard
    )
    return model, (poolers, head), torch.get_rng_state()


@cache
def tokenizer() -> Any:
    found = tiny_tokenizer("tiny:bert", GOOD)
    found.eos_token = found.sep_token
    return found


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("task", "kind"), AS_STORED)
def test_weights_that_are_read_later_are_the_same(task: str, kind: str, stored: torch.dtype, tmp_path: Path) -> None:
    auto = transformers.AutoModel if "classification" in task else getattr(transformers, CLASSES[task])
    model = auto.from_config(architectures.tiny_config(kind, tokenizer())).to(stored)
    model.save_pretrained(tmp_path, max_shard_size="20KB")  # several files
    whole, new, random = loaded(tmp_path, task, to_shard=False)
    model, same, same_random = loaded(tmp_path, task, to_shard=True)
    left = [weight for weight in model.parameters() if unread(weight)]
    assert sum(weight.numel() for weight in left) > 0.3 * sum(weight.numel() for weight in whole.parameters())
    assert to_meta(model)
    assert all(weight.is_meta for weight in left)
    assert_equal(filled(model), whole)
    assert (same, torch.equal(same_random, random)) == (new, True)


@pytest.mark.parametrize(("task", "kind"), CONVERTED)
def test_a_checkpoint_that_is_converted_is_read_as_a_whole(task: str, kind: str, tmp_path: Path) -> None:
    auto = getattr(transformers, CLASSES[task])
    auto.from_config(architectures.tiny_config(kind, tokenizer())).save_pretrained(tmp_path)
    assert_read_as_a_whole(tmp_path, task)


@pytest.mark.parametrize("change", [0.0, 1.0])
def test_weights_that_should_be_tied_but_are_stored_twice_are_read_as_a_whole(change: float, tmp_path: Path) -> None:
    """transformers ties them only if they are equal."""
    model = transformers.AutoModelForCausalLM.from_config(architectures.tiny_config("gpt2", tokenizer()))
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["transformer.wte.weight"] + change
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_read_as_a_whole(tmp_path, "text-generation")


def assert_read_as_a_whole(folder: Path, task: str) -> None:
    whole, _, random = loaded(folder, task, to_shard=False)
    model, _, same_random = loaded(folder, task, to_shard=True)
    assert not to_meta(model)
    assert_equal(model, whole)
    assert torch.equal(same_random, random)


def started(config: Config, precision: Any, to_shard: bool) -> tuple[Any, list[str], Any]:
    """The model that a training starts from, the notes of the start, and what a saved model knows of its base."""
    training.set_seed(1)
    task = make_task(config.task)
    task.fit(task.parse([Row("it:1", row, row) for row in LABELLED["text-classification"]]))
    start = FreshStart(config)
    model, base = start.load_model(task, start.load_tokenizer(task, []), 9, precision, to_shard)
    assert not to_shard or any(weight.is_meta for weight in model.parameters()) or len(start.notes) == 2
    keep_frozen(model, base.head, precision)
    return filled(model), start.notes, base


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "head", *ADDING])
def test_the_method_is_applied_as_to_a_model_that_has_been_read(method: str, precision: str, project: Project) -> None:
    """With the number formats of frozen weights."""
    save_base_model(project, "text-classification")
    config = config_of(project, "text-classification", f"method={{type: {method}}}", "model.name=base")
    model, *rest = started(config, precision, to_shard=True)
    random = torch.get_rng_state()
    assert_equal(model, (whole := started(config, precision, to_shard=False))[0])
    assert rest == [*whole[1:]]
    assert torch.equal(torch.get_rng_state(), random)


def test_a_note_says_so_where_weights_are_read_as_a_whole(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    save_base_model(project, "text-classification")
    monkeypatch.setattr(loading, "_load_unread", lambda *_: None)
    _, notes, _ = started(config_of(project, "text-classification", "model.name=base"), "fp32", to_shard=True)
    assert notes[1] == "sharding: each process reads all weights first, for they are converted on loading"


def both_ways(world: World, configs: list[Config]) -> list[tuple[Found, Found]]:
    """Steps from weights that each process reads its shard of, and from weights that it reads as a whole."""
    load_unread, found = loading._load_unread, []
    for config in configs:
        shards = steps(world, config)
        loading._load_unread = lambda *_: None
        found.append((shards, steps(world, config)))
        loading._load_unread = load_unread
    return found


def test_training_is_the_same_to_the_bit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of unequal size, and none for some rank: the labels are three, the layer norms 32."""
    configs = []
    for task in ("text-classification", "text-generation", "translation"):
        save_base_model(project, task)
        Path("base").rename(task)
        for more in ([], ["method={type: lora}"], ["method={type: lora}", "train.precision=bf16"]):
            configs.append(config_of(project, task, f"model.name={task}", *more, *FSDP))
    for rank in both(both_ways, configs):
        for shards, whole in rank:
            assert [(s.loss, s.grad_norm) for s in shards[0]] == [(s.loss, s.grad_norm) for s in whole[0]]
            assert shards[1].keys() == whole[1].keys()
            assert all((weight == whole[1][name]).all() for name, weight in shards[1].items())


def memory_of_start(world: World, config: Config) -> int:
    """Bytes of memory that a process has taken at most, for building all."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free, but not returned, would be taken without being counted
    Path("/proc/self/clear_refs").write_text("5")  # begin to measure the peak

    def status(key: str) -> int:
        return 1024 * int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

    before = status("VmRSS")
    setup = training.build(config, world)
    assert not any(weight.is_meta for weight in setup.model.parameters())
    return status("VmHWM") - before


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures the peak of the memory")
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_no_process_holds_the_whole_model(stored: torch.dtype, project: Project) -> None:
    """Of 400 MB in fp32, because torch, the data and mapped pages of the file take some 80 MB, whatever the model."""
    model = save_base_model(project, "text-generation")
    config = transformers.AutoConfig.from_pretrained("base", n_embd=1024, n_layer=8, n_head=4, num_hidden_layers=8)
    with torch.device("meta"):
        shapes = {n: w.shape for n, w in transformers.AutoModelForCausalLM.from_config(config).state_dict().items()}
    del shapes["lm_head.weight"]  # tied
    weights = {name: torch.full(shape, 0.01, dtype=stored) for name, shape in shapes.items()}
    size = 4 * sum(weight.numel() for weight in weights.values())
    assert 390e6 < size < 430e6
    config.save_pretrained("base")
    save_file(weights, "base/model.safetensors", metadata={"format": "pt"})
    del weights
    taken = both(memory_of_start, config_of(project, "text-generation", f"model.name={model['name']}", *FSDP))
    assert max(taken) < 0.8 * size


def built(world: World, config: Config) -> bool:
    training.build(config, world)
    return True


@pytest.mark.parametrize("rank", [0, 1])
def test_rows_that_are_not_finite_stop_all_ranks(rank: int, project: Project) -> None:
    """Whichever rank reads them: the sentence is the same on both."""
    save_base_model(project, "text-classification")
    weights = load_file("base/model.safetensors")
    name = next(name for name in sorted(weights) if name.endswith("word_embeddings.weight"))
    weights[name][-rank, 0] = float("nan")
    save_file(weights, "base/model.safetensors", metadata={"format": "pt"})
    found = in_two_processes(built, config_of(project, "text-classification", "model.name=base", *FSDP))
    assert [type(error) for error in found] == [UserError, UserError]
    assert {*map(str, found)} == {
        f"base/model.safetensors: '{name}' has values that are NaN or infinite: copy it anew from where the model "
        f"comes from, or download the model with `finetune fetch`"
    }
