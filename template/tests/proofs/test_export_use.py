"""What an export says about its use is true: the code of its card, its generation settings, the script beside ONNX."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PHRASES, TASKS, WRITING, Project, weights_that_matter, with_prices
from transformers import AutoModelForCausalLM, AutoTokenizer, BartConfig, BartForConditionalGeneration

from finetune.cli import main
from finetune.export import onnx as export_onnx
from finetune.model.tiny import tiny_tokenizer
from finetune.predict import Predictor
from finetune.run.folder import RunFolder

MISSING = [name for name in export_onnx.PACKAGES if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"pip install {' '.join(MISSING)}, which are optional")
PAIRS: dict[str, tuple[str, str | None]] = {
    "ranking": ("a query", "a document"),
    "retrieval": ("a query", None),
}
WITHOUT_TORCH = """
import runpy, sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "finetune", "huggingface_hub"]))  # cannot be imported
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def trained(project: Project, task: str, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Predictor:
    """A run whose predictions are not all the same."""
    weights_that_matter(monkeypatch)
    config = project.config(task, train={"max_steps": 3, "device": "cpu"}, optim={"lr": 0.01})
    project.train(config, *overrides)
    return Predictor(RunFolder(Path("runs/config")))


@pytest.mark.parametrize("task", TASKS)
def test_the_code_of_the_card_says_what_predict_says(
    task: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if task == "retrieval":
        pytest.importorskip("sentence_transformers")
    predictor = trained(project, task, monkeypatch)
    assert main(["export", "latest", "new"]) == 0
    code = re.findall(r"```python\n(.*?)```", Path("new/README.md").read_text(), re.DOTALL)[0]
    exec(code, names := {})  # type: ignore[var-annotated]
    answer, (record,) = names["answer"], predictor.predict_texts(*texts_of(task))
    match task:
        case "text-classification":
            found = {one["label"]: one["score"] for one in answer[0]}
            assert found == pytest.approx(record["probabilities"], abs=1e-5)
        case "multi-label-classification":
            assert {*names["labels"][0]} == {*record["prediction"]}
        case "regression":
            assert answer[0][0]["score"] == pytest.approx(record["prediction"], rel=1e-5)
        case "ranking":
            assert answer[0]["score"] == pytest.approx(record["score"], rel=1e-5)
        case "retrieval":
            assert names["queries"][0].tolist() == pytest.approx(record["embedding"], abs=1e-6)
            assert answer.shape == (1, 2)
        case "token-classification":
            assert {one["entity_group"] for one in answer} <= {"PER", "LOC", "ORG"}
        case "chat":
            assert answer[0]["generated_text"][-1]["content"].strip() == record["prediction"]
        case "text-generation":
            assert answer[0]["generated_text"].strip() == record["prediction"]
        case _:
            assert answer[0].strip() == record["prediction"]


def texts_of(task: str) -> tuple[list[str], str | None]:
    """The text of the card, and its partner."""
    first, second = PAIRS.get(task, ("a text", None))
    return [first], second


def test_a_decoder_decodes_as_it_was_told_to(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ("task.generation.max_new_tokens=7", "task.generation.beams=3")
    predictor = trained(project, "text-generation", monkeypatch, *overrides)
    assert main(["export", "latest", "new"]) == 0
    model, tokenizer = AutoModelForCausalLM.from_pretrained("new"), AutoTokenizer.from_pretrained("new")
    inputs = tokenizer("lamp\n", return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]
    (record,) = predictor.predict_texts(["lamp"])
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == record["prediction"]
    settings = model.generation_config
    assert (settings.max_new_tokens, settings.num_beams, settings.do_sample) == (7, 3, False)


@needs_onnx
@pytest.mark.parametrize("task", TASKS)
def test_the_script_runs_without_torch(task: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = trained(project, task, monkeypatch)
    assert main(["export", "latest", "new", "--format", "onnx"]) == 0
    for text in ("Ada Byron lives in Turin .", "poor , very poor " * 20):
        partner = "a room" if task == "ranking" else None
        found = by_script(text, *([partner] if partner else []))
        (record,) = predictor.predict_texts([text], partner)
        if task == "token-classification":
            words, tags = zip(*found, strict=True)
            assert list(words) == text.split()[: len(words)]
            assert len(words) > 4
            if len(words) == len(record["tags"]):  # the script reads the first window of a long text
                assert list(tags) == record["tags"]
        elif task == "retrieval":
            assert found == pytest.approx(record["embedding"], abs=1e-5)
        elif task in ("regression", "ranking"):
            # A prediction near 0 is a difference of larger numbers: it has their rounding.
            assert found == pytest.approx(record["score" if task == "ranking" else "prediction"], rel=1e-4, abs=1e-4)
        else:
            assert found == record["prediction"]
            assert task in WRITING or found


@needs_onnx
@pytest.mark.parametrize(
    ("task", "overflow"), [("regression", "head_tail"), ("text-classification", "windows"), ("regression", "windows")]
)
def test_the_script_reads_long_texts_as_predict_does(
    task: str, overflow: str, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the card and the export of safetensors say that other programs do not."""
    predictor = trained(project, task, monkeypatch, f"model.overflow={overflow}", "model.max_length=8")
    assert main(["export", "latest", "plain"]) == 0
    assert f"model.overflow is {overflow}, which other programs do not have" in " ".join(
        capsys.readouterr().out.split()
    )
    assert "the code above reads their beginning only" in Path("plain/README.md").read_text()
    assert main(["export", "latest", "new", "--format", "onnx"]) == 0
    assert "`predict.py` read them, by `overflow.py`" in Path("new/README.md").read_text()
    texts = ["good", "poor , very poor , and then good after all", "so so and so on to the end of all good things"]
    for text, record in zip(texts, predictor.predict_texts(texts), strict=True):
        expected = record["prediction"]
        assert by_script(text) == (pytest.approx(expected, rel=1e-4) if task == "regression" else expected)


@needs_onnx
@pytest.mark.parametrize(("task", "model"), [("regression", "tiny:gpt2"), ("text-classification", "tiny:bert")])
def test_the_script_reads_tabular_features(
    task: str, model: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_prices(project, task)
    features = "data.features={price: number, brand: category}"
    trained(project, task, monkeypatch, features, f"model.name={model}")
    assert main(["export", "latest", "new", "--format", "onnx"]) == 0
    rows: list[dict[str, Any]] = [
        *({"text": "good", "price": 3.5, "brand": "a"}, {"text": "good", "price": 70, "brand": "b"}),
        {"text": "good", "price": None, "brand": "c"},
    ]
    predictor = Predictor(RunFolder(Path("runs/config")))
    for row, record in zip(rows, predictor.predict_rows(rows), strict=True):
        cells = [f"{name}={row[name]}" for name in ("price", "brand") if row[name] is not None]
        expected = record["prediction"]
        assert by_script("good", *cells) == (pytest.approx(expected, rel=1e-4) if task == "regression" else expected)
    assert "input `features`" in Path("new/README.md").read_text()


def by_script(*texts: str) -> Any:
    """What the script in the folder `new` prints."""
    command = [sys.executable, "-I", "-c", WITHOUT_TORCH, "new/predict.py", *texts]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@needs_onnx
def test_the_script_follows_the_generation_config_of_the_base_model(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forced first and last tokens and tokens that are never generated; what it does not follow is said."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer("tiny:t5", [text for pair in PHRASES for text in pair], False)
    config = BartConfig(
        **{"vocab_size": len(tokenizer), "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "init_std": 0.5},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
        **{"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None},
        **{"decoder_start_token_id": tokenizer.eos_token_id, "max_position_embeddings": 128},
    )
    model = BartForConditionalGeneration(config).eval()
    likely = model.generate(**tokenizer("good day", return_tensors="pt"), max_new_tokens=6)[0].tolist()
    never = [token for token in likely[1:] if token not in tokenizer.all_special_ids][:1]
    settings = model.generation_config
    settings.forced_bos_token_id = len(tokenizer) - 1
    settings.forced_eos_token_id = tokenizer.eos_token_id
    settings.bad_words_ids, settings.no_repeat_ngram_size = [never], 40
    for part in (model, tokenizer):
        part.save_pretrained("base")
    project.train(project.config("translation", model={"name": "base"}, optim={"lr": 1e-9}, train={"max_steps": 1}))
    predictor = Predictor(RunFolder(Path("runs/config")))
    assert main(["export", "latest", "new", "--format", "onnx"]) == 0
    assert "predict.py decodes greedily: it does not follow no_repeat_ngram_size 40" in capsys.readouterr().out
    decoding = json.loads(Path("new/finetune.json").read_text())["decoding"]
    assert decoding["start"] == [tokenizer.eos_token_id, len(tokenizer) - 1]
    assert decoding["never"] == never
    for text in ("good day", "the red house"):
        assert by_script(text) == predictor.predict_texts([text])[0]["prediction"]
