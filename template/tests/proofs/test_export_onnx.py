"""ONNX export: onnxruntime computes what the model does, and what cannot be exported is refused in a sentence.

Each conversion takes seconds, so every model here is converted once.
"""

import importlib.util
import json
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from conftest import BAD, GOOD, Project, weights_that_matter

from finetune import packages
from finetune.cli import main
from finetune.config.load import load_config
from finetune.export import onnx as export_onnx
from finetune.export.onnx_cache import write_decoder, write_encoder_decoder
from finetune.model.onnx_model import OnnxModel
from finetune.model.tiny import tiny_tokenizer
from finetune.run.folder import RunFolder
from finetune.run.saved_model import SavedModel, load_saved_model
from finetune.tasks import make_task
from finetune.tasks.settings import TextClassification

MISSING = [name for name in export_onnx.PACKAGES if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"pip install {' '.join(MISSING)}, which are optional")
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "initializer_range": 0.5}
ARCHITECTURES = {
    "DistilBert": {"dim": 32, "hidden_dim": 48, "n_heads": 2, "n_layers": 1, "initializer_range": 0.5},
    "Roberta": {**SHAPE, "num_hidden_layers": 1},
    "ModernBert": {**SHAPE, "num_hidden_layers": 2, "global_attn_every_n_layers": 2, "local_attention": 4},
    "DebertaV2": {**SHAPE, "num_hidden_layers": 1, "relative_attention": True, "position_buckets": 4,
                  "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "type_vocab_size": 0},
}  # fmt: skip
"""Those beside BERT, whose sizes have names of their own; the heads in turn, for each is converted the same way."""


def texts(tokenizer: Any, *lengths: int) -> dict[str, torch.Tensor]:
    """Padded inputs of uneven lengths, of tokens in the order of the vocabulary."""
    rows = [torch.arange(5, 5 + length) for length in lengths]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()}
    inputs["token_type_ids"] = torch.zeros_like(ids)
    return {name: inputs[name] for name in inputs if name in tokenizer.model_input_names}


def assert_same_logits(path: Path, model: Any, tokenizer: Any, temperature: float = 1.0) -> None:
    """Batches of 1 and of 3 texts, where something is read; the graph divides by the temperature."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for inputs in (texts(tokenizer, 9), texts(tokenizer, 2, 12, 5)):
        with torch.no_grad():
            expected = model.eval()(**inputs).logits / temperature
        found = torch.from_numpy(session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})[0])
        if expected.ndim == 3:
            expected, found = (logits[inputs["attention_mask"].bool()] for logits in (expected, found))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def exported(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SavedModel]:
    """Train a few steps, export the run into the folder `onnx`, and return what was exported."""
    weights_that_matter(monkeypatch)

    def export(task: str, method: str) -> SavedModel:
        train = {"max_steps": 2, "device": "cpu"}
        project.train(project.config(task, method={"type": method}, train=train, optim={"lr": 0.01}))
        assert main(["export", "runs/config", "onnx", "--format", "onnx"]) == 0
        return load_saved_model(Path("runs/config/best"))

    return export


@needs_onnx
@pytest.mark.parametrize(("task", "method"), [("text-classification", "lora"), ("text-generation", "prefix")])
def test_export_parity_onnx(
    task: str, method: str, exported: Callable[..., SavedModel], capsys: pytest.CaptureFixture[str]
) -> None:
    finetuned = exported(task, method)
    slow = "the ONNX model has no key-value cache: the virtual tokens of prefix take its place"
    assert (slow in capsys.readouterr().out) == (method == "prefix")
    temperature = getattr(finetuned.task, "temperature", 1.0)
    assert_same_logits(Path("onnx/model.onnx"), finetuned.model, finetuned.tokenizer, temperature)
    assert b"site-packages" not in Path("onnx/model.onnx").read_bytes()  # no paths of this machine
    config = transformers.AutoConfig.from_pretrained("onnx")
    assert config.id2label == finetuned.model.config.id2label
    tokenizer = transformers.AutoTokenizer.from_pretrained("onnx")
    assert tokenizer("a fine day")["input_ids"] == finetuned.tokenizer("a fine day")["input_ids"]
    known = json.loads(Path("onnx/finetune.json").read_text())
    state, decoding = finetuned.task.state(), {}
    if task == "text-generation":
        state["frequencies"] = {}  # the tokens of the training data are not given away
        decoding = {"decoding": {"prompt": ["", state["separator"]], "never": [], "max_new_tokens": 9}}
    else:
        state["temperature"] = 1.0  # that of the run is in the graph
    settings = finetuned.task.settings.model_dump()
    assert known == {"task": settings, "max_length": 32, "state": state, **decoding}
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("onnx.")]


@needs_onnx
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_has_parity(name: str, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("tiny:bert", [*GOOD, *BAD], False)
    vocabulary = {"vocab_size": len(tokenizer), "max_position_embeddings": 40, "pad_token_id": 0, "num_labels": 3}
    config = getattr(transformers, f"{name}Config")(**ARCHITECTURES[name], **vocabulary)
    head = ("SequenceClassification", "TokenClassification")[list(ARCHITECTURES).index(name) % 2]
    model = getattr(transformers, f"AutoModelFor{head}").from_config(config)
    export_onnx.write_logits(tmp_path, make_task(TextClassification(type="text-classification")), model, tokenizer)
    assert_same_logits(tmp_path / "model.onnx", model, tokenizer)


SMALL = {"vocab_size": 60, "max_position_embeddings": 40, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
DECODER = {"num_hidden_layers": 2, "num_key_value_heads": 1, **SHAPE}
BOTH = {
    **{"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "init_std": 0.5},
    **{"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_start_token_id": 2},
}
GENERATORS = {
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.5},
    "Llama": DECODER,
    "Qwen2": DECODER,
    "Qwen3": {**DECODER, "head_dim": 8},
    "Gemma2": {**DECODER, "head_dim": 8, "sliding_window": 4},
    "Bart": {**BOTH, "forced_eos_token_id": 2},
    "Marian": BOTH,
    "MBart": {**BOTH, "forced_bos_token_id": 7},
    "M2M100": BOTH,
    "Pegasus": BOTH,
    "T5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
           "decoder_start_token_id": 0},
}  # fmt: skip
"""Two layers each, for a graph might mix them up; T5 with more of them in the decoder."""


@needs_onnx
@pytest.mark.parametrize("name", GENERATORS)
def test_a_cache_changes_no_logits(name: str, tmp_path: Path) -> None:
    """After a start of several tokens and after single ones; batches of 1 and 3 texts of uneven lengths.

    A decoder reads them padded on the left. The whole text is what torch reads without a cache.
    """
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer("tiny:bert", [*GOOD, *BAD], False)
    config = getattr(transformers, f"{name}Config")(**{**SMALL, "vocab_size": len(tokenizer), **GENERATORS[name]})
    both = config.is_encoder_decoder
    model = getattr(transformers, f"AutoModelFor{'Seq2SeqLM' if both else 'CausalLM'}").from_config(config).eval()
    (write_encoder_decoder if both else write_decoder)(tmp_path, model, tokenizer)
    exported = OnnxModel(tmp_path, config)
    for lengths in ((6,), (2, 9, 5)):
        inputs = texts(tokenizer, *lengths)
        inputs = {name: inputs[name] if both else inputs[name].flip(1) for name in ("input_ids", "attention_mask")}
        target = torch.full((len(lengths), 2), 7) if both else inputs["input_ids"]
        past, new = None, target
        for token in range(8, 13):
            if both:
                whole = {**inputs, "decoder_input_ids": target}
                found = exported(past, **{**whole, "decoder_input_ids": new})
            else:
                mask = (torch.cat([inputs["input_ids"], target[:, inputs["input_ids"].shape[1] :]], 1) != 0).long()
                whole = {"input_ids": target, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(0)}
                found = exported(past, input_ids=new, attention_mask=mask)
            with torch.no_grad():
                expected = model(**whole, use_cache=False).logits[:, -new.shape[1] :]
            read = ... if both else whole["attention_mask"][:, -new.shape[1] :].bool()
            torch.testing.assert_close(found.logits[read], expected[read], rtol=1e-4, atol=1e-4)
            past, new = found.past, torch.full((len(lengths), 1), token)
            target = torch.cat([target, new], 1)


def fake_conversion(monkeypatch: pytest.MonkeyPatch, convert: Callable[..., Any]) -> None:
    """Let the packages seem to be there, and the conversion be another one."""
    monkeypatch.setattr(packages, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(torch.onnx, "export", convert)


def test_a_file_that_computes_otherwise_is_refused_and_leaves_nothing(
    finished: Callable[[str], None], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by a nan, which is neither more nor less than anything."""
    graph = SimpleNamespace(all_nodes=list)
    program = SimpleNamespace(model=SimpleNamespace(graph=graph), save=lambda path: path.write_text("a graph"))
    fake_conversion(monkeypatch, lambda *_, **__: program)
    wrong = SimpleNamespace(logits=torch.tensor([torch.nan, 0]))
    monkeypatch.setattr(export_onnx, "load_exported", lambda *_: lambda **_: wrong)
    finished("text-classification")
    sentence = refused("export", "latest", "new", "--format", "onnx")
    assert sentence.startswith("--format onnx: the logits of the converted model differ by up to nan of ")
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("new")]


def test_what_torch_cannot_convert_is_refused_and_leaves_nothing(
    finished: Callable[[str], None], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*_: Any, **__: Any) -> None:
        raise torch.onnx.errors.OnnxExporterError("no such operator\nand much more")

    fake_conversion(monkeypatch, convert)
    finished("text-classification")
    sentence = "--format onnx: torch cannot convert this bert model (no such operator): export it as safetensors"
    assert refused("export", "latest", "new", "--format", "onnx") == sentence
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("new")]


def test_refused_without_the_packages(
    finished: Callable[[str], None], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "onnxscript" else ModuleSpec(name, None))
    finished("text-classification")
    assert refused("export", "latest", "new", "--format", "onnx") == (
        "--format onnx: needs onnxscript: pip install -c constraints.txt onnx onnxruntime onnxscript"
    )


def test_virtual_tokens_of_an_encoder_decoder_are_refused(project: Project, refused: Callable[..., str]) -> None:
    for method in ("prefix", "prompt"):
        config = load_config(project.config("translation", method, method={"type": method}))
        RunFolder(config.run_folder).create(config, {})
        sentence = refused("export", f"runs/{method}", "new", "--format", "onnx")
        assert sentence == (
            f"--format onnx: an encoder-decoder with virtual tokens ({method}) is not converted: export it with "
            f"--adapter"
        )


def test_what_the_task_has_learnt_lies_beside_safetensors_too(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    assert main(["export", "latest", "new"]) == 0
    known = json.loads(Path("new/finetune.json").read_text())
    task = load_saved_model(Path("runs/config/best")).task
    state = {**task.state(), "temperature": 1.0}  # that of the run is in the weights
    assert known == {"task": task.settings.model_dump(), "max_length": 32, "state": state}
    assert known["state"]["labels"] == ["bad", "good"]
