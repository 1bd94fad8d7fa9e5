"""Export: the model card, generation settings, the adapter alone, and what is refused."""

import errno
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import TASKS, Project
from huggingface_hub import ModelCard
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast
from transformers.pipelines import check_task

from finetune import optional
from finetune.cli import main
from finetune.config.config import Config, Model
from finetune.config.load import load_config
from finetune.export import card as cards
from finetune.export import export as exporting
from finetune.export.ollama import write_modelfile
from finetune.files import write_manifest
from finetune.model.first_token import compute_first_token_only
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model


def exported(*options: str) -> ModelCard:
    """Export the latest run, and read its card as the Hub does."""
    assert main(["export", "latest", "new", *options]) == 0
    return ModelCard.load("new/README.md")


def test_the_card_tells_what_the_run_knows(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    card = exported("--license", "apache-2.0", "--language", "en", "--language", "fr")
    metadata = card.data.to_dict()
    assert (metadata["license"], metadata["language"]) == ("apache-2.0", ["en", "fr"])
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("transformers", "text-classification")
    assert "base_model" not in metadata  # it has random weights
    evaluation = json.loads(Path("runs/config/evaluation-validation.json").read_text())
    found = {result.metric_name: result for result in card.data.eval_results or []}
    assert {name: one.metric_value for name, one in found.items()} == pytest.approx(evaluation["metrics"], abs=1e-6)
    fingerprint = json.loads(Path("runs/config/environment.json").read_text())["data"]["validation.jsonl"]
    accuracy = found["accuracy"]
    assert (accuracy.dataset_name, accuracy.dataset_split) == ("validation.jsonl", "validation")
    assert accuracy.dataset_args == {"sha256": fingerprint}
    assert f"| validation.jsonl | {fingerprint} |" in card.text
    assert "| metric | this model | always 'bad' |" in card.text
    assert f"| accuracy | {evaluation['metrics']['accuracy']:.4f} |" in card.text
    assert "epochs: 2\n" in card.text  # differs from the default
    assert "clip_norm" not in card.text
    assert "`bad`, `good`" in card.text


def test_a_license_is_never_guessed(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished("text-classification")
    card = exported()
    assert "license" not in card.data.to_dict()
    assert "No license was named" in card.text
    assert "names no license: add --license" in capsys.readouterr().out


@pytest.mark.parametrize("task", TASKS)
def test_only_pipelines_of_this_transformers_are_named(task: str) -> None:
    if task in cards.PIPELINES:
        check_task(cards.PIPELINES[task])
    else:
        with pytest.raises(KeyError):
            check_task(task)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model(name="org/base", revision="a" * 40), {"name": "org/base", "revision": "a" * 40, "on_hub": True}),
        (Model(name="/home/someone/secret/base"), {"name": "base", "revision": None, "on_hub": False}),
    ],
)
def test_a_base_model_is_named_if_others_can_get_it(
    model: Model, expected: dict[str, Any], finished: Callable[[str], None], project: Project
) -> None:
    finished("text-classification")
    path = Path("runs/config/best/finetune.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "base": model.model_dump()}))
    write_manifest(path.parent)
    config: Config = load_config(project.config("text-classification")).model_copy(update={"model": model})
    run = RunFolder(Path("runs/config"))
    assert cards._base_model(run, config) == {**expected, "tiny": False}
    assert "secret" not in cards._changed(config)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--license", "MIT License"], "--license: 'MIT License' is not an identifier of the Hub"),
        (["--language", "English"], "--language: 'English' is not an ISO 639 code"),
        (["--int8"], "--int8: only an ONNX model is quantized: add --format onnx"),
        (["--adapter"], "--adapter: method.type is full, which has no adapter"),
        (["--adapter", "--format", "onnx"], "--adapter: an ONNX model holds the base model as well"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: list[str], sentence: str, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    assert sentence in refused("export", "runs/config", "new", *options)
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("new")]


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("train.jsonl", "train.jsonl: exists already: name a new folder"),
        ("link", "link: exists already: name a new folder"),
        ("train.jsonl/new", "train.jsonl/new: cannot be written ("),
        ("new" * 90, "cannot be written ("),
        ("runs/config/best/new", "runs/config/best/new: lies in runs/config/best, which a training replaces"),
        ("runs/config/checkpoints/new", "which a training replaces: name a folder elsewhere"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused(
    folder: str, sentence: str, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    Path("link").symlink_to("nowhere")
    before = sorted(Path.cwd().rglob("*"))
    assert sentence in refused("export", "runs/config", folder)
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_full_disk_leaves_nothing(
    finished: Callable[[str], None], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    finished("text-classification")
    monkeypatch.setattr(exporting, "write_card", full)  # the last file
    assert refused("export", "runs/config", "new").startswith("new: cannot be written ([Errno 28] No space left")
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("new")]


def test_odd_names_stay_what_they_are(project: Project) -> None:
    """Labels and a folder with signs of Markdown, YAML, Python and the shell."""
    labels = ["好|评", 'a: "b"', "it's *so*", "`c`", "a\nb", "yes"]
    project.write("odd.jsonl", "".join(json.dumps({"text": label, "label": label}) + "\n" for label in labels))
    config = project.config("text-classification", data=dict.fromkeys(("train", "validation", "test"), "odd.jsonl"))
    assert main(["train", str(config)]) == 0
    name = """it's a "new" one"""
    assert main(["export", "latest", name]) == 0
    text = Path(name, "README.md").read_text(encoding="utf-8")
    assert ModelCard(text).data.model_name == name
    assert """: `` `c` ``, `a b`, `a: "b"`, `it's *so*`, `yes`, `好|评`. Any other""" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, names := {})  # type: ignore[var-annotated]
    assert {one["label"] for one in names["answer"][0]} == {*labels}
    assert f"--model-id {shlex.quote(name)}" in text
    table = text[text.index("## Evaluation") :].split("\n\n")[2].splitlines()
    baselines = 1 + optional.is_there("baselines")
    assert {line.replace(r"\|", "").count("|") for line in table} == {3 + baselines}


def test_int8_needs_data_to_measure_it_on(
    project: Project, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "require_onnx", lambda: None)
    config = load_config(project.config("text-classification", data={"validation": None}))
    RunFolder(config.run_folder).create(config, {})
    sentence = refused("export", "runs/config", "new", "--format", "onnx", "--int8")
    assert sentence == "--int8: the drop of the metric is measured on data.validation, which is not set: set it"


def test_int8_needs_a_metric_that_is_measured_without_texts(
    project: Project, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "require_onnx", lambda: None)
    config = load_config(project.config("translation"))
    RunFolder(config.run_folder).create(config, {})
    sentence = refused("export", "runs/config", "new", "--format", "onnx", "--int8")
    assert sentence.startswith("--int8: bleu of generated texts is not measured with onnxruntime")


def test_the_script_is_left_out_where_it_cannot_read_a_text(
    finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    monkeypatch.setattr(exporting, "require_onnx", lambda: None)
    monkeypatch.setattr(exporting, "write_logits", lambda *_: None)
    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    text = exported("--format", "onnx").text
    assert not Path("new/predict.py").exists()
    assert "predict.py is left out: the tokenizer" in capsys.readouterr().out
    assert "predict.py" not in text
    assert "the tokenizer is loaded by transformers" in text


# ---------------------------------------------------------------------------------------------------------- the adapter


def test_peft_loads_the_adapter_alone(project: Project) -> None:
    import peft

    project.train(project.config("text-classification", method={"type": "lora"}, train={"max_steps": 2}))
    card = exported("--adapter")
    assert card.data.library_name == "peft"
    weights = {path.relative_to("new").as_posix() for path in Path("new").rglob("*.safetensors")}
    assert weights == {"adapter_model.safetensors", "base/model.safetensors"}  # a tiny model exists nowhere else
    described = json.loads(Path("new/adapter_config.json").read_text())
    assert described["base_model_name_or_path"] == "new/base"
    assert described["inference_mode"] is True
    base = AutoModelForSequenceClassification.from_pretrained("new/base", config=AutoConfig.from_pretrained("new"))
    compute_first_token_only(base)  # for the same rounding: of another number of rows a product differs in its last bit
    model = peft.PeftModel.from_pretrained(base, "new").eval()
    saved = load_saved_model(Path("runs/config/best"))
    inputs = saved.tokenizer("a fine day", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, saved.model.eval()(**inputs).logits)


def test_an_adapter_of_a_decoder_has_the_form_that_vllm_reads(project: Project) -> None:
    project.train(project.config("chat", method={"type": "lora", "r": 12}, train={"max_steps": 1}))
    path = Path("runs/config/best/finetune.json")  # as if the base model were one of the Hub
    description = json.loads(path.read_text())
    description["base"] |= {"name": "org/base", "revision": "a" * 40}
    path.write_text(json.dumps(description))
    config = Path("runs/config/config.json")
    config.write_text(config.read_text().replace("tiny:gpt2", "org/base"))
    shutil.rmtree("runs/config/best/base")
    write_manifest(path.parent)
    text = exported("--adapter").text  # the base model, which cannot be had here, is not needed
    described = json.loads(Path("new/adapter_config.json").read_text())
    # vLLM refuses modules_to_save and DoRA.
    assert described["base_model_name_or_path"] == "org/base"
    assert described["modules_to_save"] is None
    assert (described["use_dora"], described["bias"], described["r"]) == (False, "none", 12)
    assert (described["peft_type"], described["task_type"], described["revision"]) == ("LORA", "CAUSAL_LM", "a" * 40)
    assert "vllm serve org/base" in text
    assert "--enable-lora --max-lora-rank 16 --lora-modules new=new" in text


# --------------------------------------------------------------------------------------------------------------- Ollama


def modelfile(model_type: str, folder: Path) -> list[str]:
    generation = SimpleNamespace(max_new_tokens=9, temperature=0.5, top_p=0.9)
    saved: Any = SimpleNamespace(
        model=SimpleNamespace(config=SimpleNamespace(model_type=model_type)),
        task=SimpleNamespace(settings=SimpleNamespace(generation=generation), stop_tokens=[3, 4]),
        tokenizer=SimpleNamespace(convert_ids_to_tokens=lambda ids: [f"<|{number}|>" for number in ids]),
        max_length=64,
    )
    write_modelfile(folder, saved)
    return (folder / "Modelfile").read_text().splitlines()


def test_a_modelfile_imports_what_ollama_documents(tmp_path: Path) -> None:
    assert modelfile("qwen3", tmp_path) == [
        "FROM .",
        "PARAMETER num_ctx 64",
        "PARAMETER num_predict 9",
        "PARAMETER temperature 0.5",
        "PARAMETER top_p 0.9",
        'PARAMETER stop "<|3|>"',
        'PARAMETER stop "<|4|>"',
    ]
    assert modelfile("gpt2", tmp_path)[0] == "FROM ./model.gguf"


def test_the_card_of_a_chat_model_has_the_commands_that_serve_it(finished: Callable[[str], None]) -> None:
    finished("chat")
    text = exported().text
    assert "\nvllm serve new\n" in text
    assert "\npython convert_hf_to_gguf.py ../new --outfile ../new/model.gguf --outtype f16\n" in text
    assert "\nollama create new\n" in text
    assert "does not list gpt2" in text
    assert Path("new/Modelfile").read_text().startswith("FROM ./model.gguf\n")
