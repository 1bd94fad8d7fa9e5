"""Loading a pretrained model: what its architecture offers and what it lacks."""

import io
import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import BAD, GOOD, Project, build
from rich.console import Console
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoTokenizer

from finetune.config.config import Model
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.files import write_manifest
from finetune.model import load as loading
from finetune.model.cpu_attention import CPU_ATTENTION
from finetune.model.folder_checks import LFS_POINTER
from finetune.model.layers import unwrap_model
from finetune.model.load import load_tokenizer
from finetune.model.requirements import require_max_length
from finetune.model.tiny import tiny_tokenizer
from finetune.run.saved_model import load_saved_model
from finetune.tasks import make_task
from finetune.train import loop as training

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 2}
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2}  # fmt: skip
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


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_training_on_a_cpu_takes_its_attention(project: Project, method: str) -> None:
    """Also one that goes on from an earlier run."""
    path = project.config("text-classification", method={"type": method}, train={"device": "cpu"})
    project.train(path, *FEW)
    for overrides in ([], ["continue_from=runs/config", "run.name=further"]):
        model = unwrap_model(build(load_config(path, [*FEW, *overrides])).model)
        assert model.config._attn_implementation == CPU_ATTENTION


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


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (transformers.MptConfig(d_model=16, n_heads=2, n_layers=1, max_seq_len=24), 24),
        (transformers.LEDConfig(**BART, max_encoder_position_embeddings=24, attention_window=2), 24),
        (transformers.XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16), 0),
    ],
)
def test_limits_of_positions_have_several_names(config: Any, limit: int) -> None:
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    require_max_length(model, Model(name="it", max_length=limit or 5000), 0)
    if limit:
        with pytest.raises(UserError, match=f"exceeds the maximum of {limit} tokens of 'it': lower it to {limit}"):
            require_max_length(model, Model(name="it", max_length=limit + 1), 0)


@pytest.mark.parametrize("key", ["max_target_length", "generation.max_new_tokens"])
def test_targets_fit_the_decoder(project: Project, key: str, refused: Callable[..., str]) -> None:
    tokenizer = tiny_tokenizer("tiny:t5", GOOD)
    config = transformers.BartConfig(**BART, max_position_embeddings=40, vocab_size=len(tokenizer))
    transformers.BartForConditionalGeneration(config).save_pretrained("base")
    tokenizer.save_pretrained("base")
    path = project.config("translation", model={"name": "base"})
    lengths = ["task.max_target_length=40", "task.generation.max_new_tokens=40"]
    build(load_config(path, lengths))
    message = refused("train", path, *lengths, f"task.{key}=41")
    assert message == f"task.{key}: 41 exceeds the maximum of 40 tokens that 'base' generates: lower it to 40"


def sentencepiece_model(path: str, kind: str) -> None:
    """A vocabulary of a model of this kind, in the format of sentencepiece."""
    special = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1} if kind == "t5" else {}
    SentencePieceTrainer.train(
        sentence_iterator=iter([*GOOD, *BAD]),
        model_prefix=path,
        vocab_size=60,
        model_type="bpe" if kind == "llama" else "unigram",
        hard_vocab_limit=False,
        minloglevel=2,
        **special,
    )


@pytest.mark.parametrize(
    ("kind", "file", "task"),
    [
        ("t5", "spiece.model", "translation"),
        ("camembert", "sentencepiece.bpe.model", "text-classification"),
        ("llama", "tokenizer.model", "text-generation"),
        ("marian", "source.spm", "translation"),
    ],
)
def test_a_tokenizer_of_sentencepiece_alone_is_loaded(kind: str, file: str, task: str, project: Project) -> None:
    """A folder with nothing but the file of sentencepiece and, for Marian, its numbers."""
    base = Path("base")
    base.mkdir()
    sentencepiece_model("pieces", kind)
    pieces = SentencePieceProcessor(model_file="pieces.model")
    shutil.copy("pieces.model", base / file)
    if kind == "marian":
        shutil.copy("pieces.model", base / "target.spm")
        names = ["</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, len(pieces))), "<pad>"]
        (base / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    if kind == "llama":
        (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    (base / "config.json").write_text(json.dumps({"model_type": kind}))
    config = load_config(project.config(task, model={"name": "base"}))
    tokenizer = load_tokenizer(config.model, make_task(config.task), [])
    ids = tokenizer(GOOD[1])["input_ids"]
    tokens = [token for token in tokenizer.convert_ids_to_tokens(ids) if token not in tokenizer.all_special_tokens]
    assert tokens == pieces.encode(GOOD[1], out_type=str)
    assert tokenizer.decode(ids, skip_special_tokens=True) == GOOD[1]
    tokenizer.save_pretrained("saved")  # as every trained model is
    assert AutoTokenizer.from_pretrained("saved")(GOOD[1])["input_ids"] == ids


def test_a_tokenizer_of_tiktoken_alone_is_loaded(project: Project) -> None:
    base = Path("base")
    base.mkdir()
    tokens = [*(bytes([i]) for i in range(256)), b"fi"]
    ranks = "".join(f"{b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    (base / "tiktoken.model").write_text(ranks)
    (base / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 0}))
    (base / "tokenizer_config.json").write_text(json.dumps({"eos_token": "!"}))
    config = load_config(project.config("text-generation", model={"name": "base"}))
    tokenizer = load_tokenizer(config.model, make_task(config.task), [])
    assert tokenizer("a fine")["input_ids"] == [ord("a"), ord(" "), 256, ord("n"), ord("e")]


def test_an_architecture_that_does_not_fit_is_refused_before_its_tokenizer(
    project: Project, refused: Callable[..., str]
) -> None:
    """The tokenizer of TAPAS would fail on a text without a table."""
    Path("base").mkdir()
    Path("base/config.json").write_text('{"model_type": "tapas"}')
    message = refused("train", project.config("text-classification", model={"name": "base"}))
    assert message.startswith(
        "model.name: 'base' is a tapas model, which reads a table as well: choose an encoder such"
    )


def test_a_missing_package_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("TimmWrapperModel requires the timm library\nbut it was not found")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", missing)
    with pytest.raises(UserError) as error:
        loading.load_pretrained(transformers.AutoConfig, Model(name="base"))
    sentence = "'base' needs a package that is not installed (TimmWrapperModel requires the timm library): install it"
    assert str(error.value) == f"model.name: {sentence}"


def test_files_that_cannot_be_read_are_refused(project: Project, refused: Callable[..., str]) -> None:
    """transformers has an error of another class for each of them."""
    path = project.config("text-classification", model={"name": "base"})
    for name, content, reason in (
        ("model.safetensors", b"<html>", "base/model.safetensors: is damaged or cut (Error while deserializing"),
        ("model.safetensors", LFS_POINTER + b"v1\noid sha256:0", "base/model.safetensors: is a pointer of Git LFS"),
        ("tokenizer.json", LFS_POINTER + b"v1\noid sha256:0", "base/tokenizer.json: is a pointer of Git LFS"),
        ("tokenizer.json", b'{"version": "1.0"}', "the folder 'base' cannot be loaded (KeyError: 'added_tokens')"),
        ("config.json", b"[1]", "base/config.json: holds no JSON object"),
        ("config.json", b'{"model_type": "bert", "hidden_size": "16"}', "base/config.json: hidden_size: expected int"),
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
                if file.parent.name == "best":
                    write_manifest(file.parent)  # as who makes a run can
        project.train(path, *FEW, *further)
    assert load_saved_model(Path("runs/config/best")).model.config._attn_implementation == "sdpa"


def test_a_run_in_the_place_of_a_model_is_refused(project: Project, refused: Callable[..., str]) -> None:
    project.train(project.config("text-classification", method={"type": "lora"}), *FEW)
    path = project.config("text-classification", "other")
    assert "is the folder of a run: name runs/config/best" in refused("train", path, "model.name=runs/config")
    assert "holds an adapter, not a whole model" in refused("train", path, "model.name=runs/config/best")
