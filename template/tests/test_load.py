"""Loading a pretrained model: what its architecture offers and what it lacks."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from conftest import GOOD, Project, build
from rich.console import Console

from finetune.config.load import load_config
from finetune.model.load import LFS_POINTER
from finetune.model.tiny import tiny_tokenizer
from finetune.run.saved_model import load_saved_model
from finetune.train import loop as training

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 2}
FEW = ["train.max_steps=1", "train.device=cpu"]


def saved(config: Any, name: str = "base") -> str:
    """A tiny model of this config in a folder, with a tokenizer."""
    tokenizer = tiny_tokenizer("tiny:bert", GOOD)
    config.vocab_size = len(tokenizer)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(name)
    tokenizer.save_pretrained(name)
    return name


@pytest.fixture
def deberta(project: Project) -> str:
    """A tiny DeBERTa, for which transformers has no attention but eager."""
    return saved(transformers.DebertaV2Config(**SIZES))


def test_auto_takes_the_attention_that_the_architecture_has(project: Project, deberta: str) -> None:
    """The log says which; a run of an architecture without sdpa is loaded, and trained further."""
    path = project.config("text-classification", model={"name": deberta})
    log = io.StringIO()
    assert training.train(load_config(path, FEW), console=Console(file=log, width=200))
    assert "on cpu in fp32, attention eager" in log.getvalue()
    assert load_saved_model(Path("runs/config/best")).model.config._attn_implementation == "eager"
    further = build(load_config(path, ["continue_from=runs/config", "run.name=further", *FEW]))
    assert further.model.config._attn_implementation == "eager"


def test_an_adapter_is_loaded_onto_a_base_without_sdpa(project: Project, deberta: str) -> None:
    project.train(project.config("text-classification", model={"name": deberta}, method={"type": "lora"}), *FEW)
    assert load_saved_model(Path("runs/config/best")).model.config._attn_implementation == "eager"


@pytest.mark.parametrize("before", [[], ["continue_from=runs/config", "run.name=further"]])
def test_sdpa_is_refused_where_the_architecture_lacks_it(
    project: Project, deberta: str, before: list[str], refused: Callable[..., str]
) -> None:
    path = project.config("text-classification", model={"name": deberta})
    if before:
        project.train(path, *FEW)
    message = refused("train", path, "model.attention=sdpa", *before, *FEW)
    assert message == "model.attention: the architecture of 'base' has no sdpa: set it to auto, or to eager"


def test_a_run_of_an_earlier_version_is_loaded(project: Project) -> None:
    """It names sdpa, the default then, for itself and for its base model."""
    path = project.config("text-classification", method={"type": "lora"})
    project.train(path, *FEW)
    state = Path("runs/config/best/finetune.json")
    state.write_text(state.read_text().replace('"attention": "auto"', '"attention": "sdpa"'))
    assert json.loads(state.read_text())["base"]["attention"] == "sdpa"
    assert load_saved_model(Path("runs/config/best")).model.config._attn_implementation == "sdpa"


def test_an_architecture_without_a_limit_of_positions(project: Project) -> None:
    """XLNet says so with -1."""
    base = saved(transformers.XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16))
    setup = build(load_config(project.config("text-classification", model={"name": base, "max_length": 5000})))
    assert setup.model.config.max_position_embeddings == -1


def test_files_that_cannot_be_read_are_refused(project: Project, refused: Callable[..., str]) -> None:
    """transformers has an error of another class for each of them."""
    path = project.config("text-classification", model={"name": "base"})
    for name, content, reason in (
        ("model.safetensors", b"<html>", "the folder 'base' cannot be loaded (SafetensorError: "),
        ("model.safetensors", f"{LFS_POINTER.decode()}v1\noid sha256:0".encode(), "is a pointer of Git LFS"),
        ("tokenizer.json", f"{LFS_POINTER.decode()}v1\noid sha256:0".encode(), "is a pointer of Git LFS"),
        ("tokenizer.json", b'{"version": "1.0"}', "the folder 'base' cannot be loaded (KeyError: 'added_tokens')"),
        ("config.json", b"[1]", "the folder 'base' cannot be loaded"),
        ("config.json", b'{"model_type": "bert", "hidden_size": "16"}', "cannot be loaded (Strict"),
        ("config.json", b'{"model_type": "bert", "hidden_act": "no"}', "cannot be loaded (KeyError: 'no')"),
    ):
        saved(transformers.BertConfig(**SIZES))
        Path("base", name).write_bytes(content)
        assert reason in refused("train", path, *FEW)
    assert not Path("runs/config").exists()


@pytest.mark.parametrize("config", [transformers.BertConfig(**SIZES), transformers.RobertaConfig(**SIZES)])
def test_a_model_without_the_files_of_its_tokenizer_is_refused(
    config: Any, project: Project, refused: Callable[..., str]
) -> None:
    """transformers makes a tokenizer without a vocabulary, to which every text is the same."""
    for file in Path(saved(config)).glob("*token*"):
        file.unlink()
    path = project.config("text-classification", model={"name": "base"})
    assert "'base' has no vocabulary of a tokenizer" in refused("train", path, *FEW)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_no_file_of_a_model_chooses_an_attention_kernel(method: str, project: Project) -> None:
    """transformers would download and run the one that a config.json names."""
    saved(transformers.BertConfig(**SIZES))
    path = project.config("text-classification", model={"name": "base"}, method={"type": method})
    for further in ([], ["continue_from=runs/config", "run.name=further"]):
        for file in (Path("base/config.json"), Path("runs/config/best/config.json")):
            if file.exists():
                named = {"_attn_implementation": "kernels-community/flash-attn"}
                file.write_text(json.dumps(json.loads(file.read_text()) | named))
        project.train(path, *FEW, *further)
    assert load_saved_model(Path("runs/config/best")).model.config._attn_implementation == "sdpa"


def test_a_run_in_the_place_of_a_model_is_refused(project: Project, refused: Callable[..., str]) -> None:
    project.train(project.config("text-classification", method={"type": "lora"}), *FEW)
    path = project.config("text-classification", "other")
    assert "is the folder of a run: name runs/config/best" in refused("train", path, "model.name=runs/config")
    assert "holds an adapter, not a whole model" in refused("train", path, "model.name=runs/config/best")
