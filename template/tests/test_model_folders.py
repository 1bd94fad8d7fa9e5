"""Damaged model folders: each file that is not what its name says is named in one sentence, with the remedy."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import BAD, GOOD, Project
from safetensors.torch import load_file, save_file

from finetune.config.config import Model
from finetune.config.methods import Full
from finetune.errors import UserError
from finetune.model import load as loading
from finetune.model.load import load_model, load_tokenizer
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks import make_task
from finetune.tasks.settings import TextClassification

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
JSON_FILES = ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json",
              "special_tokens_map.json", "added_tokens.json")  # fmt: skip
FILES = (*JSON_FILES, "model.safetensors")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tiny_tokenizer("tiny:bert", [*GOOD, *BAD])
    config = transformers.BertConfig(**SIZES, vocab_size=len(tokenizer))
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def model(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound model folder, `base`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sound, "base")
    return Path("base")


def load() -> Any:
    """Load tokenizer and model as a training does."""
    task = make_task(TextClassification(type="text-classification"))
    task.labels = ["a", "b"]
    base = Model(name="base")
    tokenizer = load_tokenizer(base, task, [])
    return load_model(base, task, tokenizer, Full())[0]


def refusal() -> str:
    with pytest.raises(UserError) as error:
        load()
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def change(file: Path, **values: Any) -> None:
    found = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(found | values))


def test_a_sound_folder_is_loaded(model: Path) -> None:
    assert load().config.num_labels == 2


def test_a_layer_may_be_counted_from_the_end(model: Path) -> None:
    change(model / "config.json", vision_feature_layer=-2, vision_config={"select_layer": -1})
    assert load().config.vision_feature_layer == -2


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_with_content_is_named(name: str, model: Path) -> None:
    path = model / name
    for content, reason in ((b"", "is empty"), (POINTER, "is a pointer of Git LFS")):
        path.write_bytes(content)
        assert refusal().startswith(f"{path}: {reason}")
    path.unlink()
    path.symlink_to("nowhere")
    assert refusal().startswith(f"{path}: cannot be read (No such file or directory): copy it anew")
    path.unlink()
    path.symlink_to(name)
    assert refusal().startswith(f"{path}: cannot be read (Too many levels of symbolic links)")
    path.unlink()
    path.mkdir()
    assert refusal().startswith(f"{path}: cannot be read (a folder, no regular file): copy it anew")
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert refusal().startswith(f"{path}: cannot be read (a named pipe or device, no regular file)")
    path.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
        assert refusal().startswith(f"{path}: cannot be read (a named pipe or device, no regular file)")


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b"{", b"\xff\xfe\x00", b'{"a": ' * 100_000])
def test_what_is_no_json_object_is_named(content: bytes, name: str, model: Path) -> None:
    (model / name).write_bytes(content)
    said = refusal()
    assert said.startswith(f"{model / name}: ")
    assert "holds no JSON object" in said or "is damaged (" in said
    assert "copy it anew from where the model comes from" in said


def test_a_file_that_may_not_be_read_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refusing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "config.json":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refusing)
    assert refusal().startswith("base/config.json: cannot be read (Permission denied)")


OF_TOKENIZER = "correct tokenizer.json or tokenizer_config.json"


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("config.json", {"hidden_size": "16"}, "base/config.json: hidden_size: expected int, got str"),
        ("config.json", {"hidden_size": None}, "base/config.json: hidden_size: expected int, got NoneType"),
        ("config.json", {"hidden_dropout_prob": []}, "base/config.json: hidden_dropout_prob: "),
        ("config.json", {"num_hidden_layers": 10**12}, "base/config.json: num_hidden_layers is 1000000000000, which"),
        ("config.json", {"num_hidden_layers": -1}, "base/config.json: num_hidden_layers is -1"),
        ("config.json", {"num_attention_heads": -1}, "base/config.json: num_attention_heads is -1"),
        ("config.json", {"num_labels": 10**12}, "base/config.json: num_labels is 1000000000000"),
        ("config.json", {"hidden_dropout_prob": float("nan")}, "base/config.json: hidden_dropout_prob is nan"),
        ("config.json", {"hidden_dropout_prob": 1.5}, "base/config.json: hidden_dropout_prob is 1.5"),
        ("config.json", {"vocab_size": 10**9}, "base/config.json: describes a model of 16,"),
        ("config.json", {"vocab_size": 10**12}, "base/config.json: describes a model of 16,"),
        ("config.json", {"intermediate_size": 10**10}, "base/config.json: describes a model of 3"),
        ("config.json", {"vocab_size": 10**30}, "correct config.json"),
        ("config.json", {"vocab_size": -5}, "correct config.json"),
        ("config.json", {"model_type": "no-such-model"}, "correct config.json"),
        ("config.json", {"model_type": None}, "correct config.json"),
        ("config.json", {"intermediate_size": 17}, ".intermediate.dense.bias of 'base' has the shape [16]"),
        ("config.json", {"intermediate_size": 0}, "has the shape [16], but its config.json asks for [0]"),
        ("config.json", {"num_hidden_layers": 2}, "lacks 16 weights of the model"),
        ("tokenizer_config.json", {"pad_token": 3}, OF_TOKENIZER),
        ("tokenizer_config.json", {"added_tokens_decoder": []}, OF_TOKENIZER),
        ("tokenizer_config.json", {"padding_side": 1}, OF_TOKENIZER),
        ("tokenizer_config.json", {"unk_token": "", "cls_token": "x"}, OF_TOKENIZER),
        ("tokenizer.json", {"model": {}}, OF_TOKENIZER),
        ("tokenizer.json", {"added_tokens": 3}, OF_TOKENIZER),
        ("generation_config.json", {"eos_token_id": "x", "compile_config": 3}, ""),
    ],
)  # fmt: skip
def test_values_of_other_types_and_sizes_are_named(file: str, values: dict[str, Any], said: str, model: Path) -> None:
    change(model / file, **values)
    if said:
        assert said in refusal()
    else:  # it is not read for this model
        load()


def test_weights_that_are_cut_or_of_another_kind_are_named(model: Path) -> None:
    path = model / "model.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:100], whole[:7], b"<html>", (10**18).to_bytes(8, "little") + whole[8:]):
        path.write_bytes(content)
        assert refusal().startswith("base/model.safetensors: is damaged or cut (")
    path.unlink()
    assert refusal().startswith("base: lacks model.safetensors, or model.safetensors.index.json")


@pytest.mark.parametrize(("value", "dtype"), [("nan", torch.float32), ("inf", torch.float16), ("-inf", torch.bfloat16)])
def test_weights_that_are_not_finite_are_named(
    value: str, dtype: torch.dtype, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {name: weight.to(dtype) for name, weight in load_file(model / "model.safetensors").items()}
    name = max(weights)
    weights[name].view(-1)[-1] = float(value)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert refusal().startswith(f"base/model.safetensors: '{name}' has values that are NaN or infinite: copy it anew")
    monkeypatch.setenv("FINETUNE_NO_CHECKSUMS", "1")
    load()


def test_pickled_weights_are_refused_with_the_remedy(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(weights, model / "pytorch_model.bin")
    said = refusal()
    assert said.startswith("base/pytorch_model.bin: is the only form of the weights, and not read")
    assert "take a revision of the model with model.safetensors" in said


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({}, "weight_map does not name the file of each weight"),
        ({"weight_map": []}, "weight_map does not name the file of each weight"),
        ({"weight_map": {"a": 3}}, "weight_map does not name the file of each weight"),
        ({"weight_map": {"a": "../outside.safetensors"}}, "which is no .safetensors file of this folder"),
        ({"weight_map": {"a": "/etc/passwd"}}, "which is no .safetensors file of this folder"),
        ({"weight_map": {"a": "..\\outside.safetensors"}}, "which is no .safetensors file of this folder"),
        ({"weight_map": {"a": "shard-2.safetensors"}}, "is missing, but model.safetensors.index.json names it"),
    ],
)
def test_an_index_names_the_files_of_its_folder(index: dict[str, Any], said: str, model: Path) -> None:
    shutil.move(model / "model.safetensors", "outside.safetensors")
    change(model / "model.safetensors.index.json", **index)
    assert said in refusal()


def test_shards_are_loaded_and_one_that_is_cut_is_named(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = {key: f"shard-{number % 2}.safetensors" for number, key in enumerate(weights)}
    for file in {*names.values()}:
        save_file({key: weights[key] for key in weights if names[key] == file}, model / file, {"format": "pt"})
    change(model / "model.safetensors.index.json", metadata={}, weight_map=names)
    load()
    (model / "shard-1.safetensors").write_bytes((model / "shard-1.safetensors").read_bytes()[:-5])
    assert refusal().startswith("base/shard-1.safetensors: is damaged or cut")


@pytest.mark.parametrize("number", [5000, -1])
def test_a_tokenizer_larger_than_the_embeddings_is_refused(number: int, model: Path) -> None:
    """By the largest number of a token: a vocabulary may leave some out."""
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {"wide": number} if number > 0 else {f"w{token}": len(vocabulary) + token for token in range(9)}
    change(model / "tokenizer.json", **tokenizer)
    assert "but the model has" in refusal()


def test_files_in_the_cache_of_the_hub_are_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the Hub leads to the cache, whose files can be cut as well."""
    (model / "model.safetensors").write_bytes(b"<html>")
    monkeypatch.setattr("finetune.model.folder_checks.try_to_load_from_cache", lambda *_, **__: "base/config.json")
    error = loading._load_error("org/name", OSError("no file"))
    assert str(error).startswith("base/model.safetensors: is damaged or cut")


def test_every_verb_that_loads_a_model_says_it(project: Project, sound: Path, refused: Callable[..., str]) -> None:
    shutil.copytree(sound, "base")
    config = project.config("text-classification", model={"name": "base"}, train={"max_steps": 1, "device": "cpu"})
    (Path("base/tokenizer_config.json")).write_text("[]")
    for verb in ("train", "plan", "check-data"):
        assert refused(verb, config).startswith("base/tokenizer_config.json: holds no JSON object")
    assert not Path("runs/config").exists()
