"""The command line, as a user meets it: verbs, files that come out, exit codes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import FILES, ROOT, TASKS, WRITING, Project, needs
from transformers import AutoModelForSequenceClassification

from finetune import optional
from finetune.cli import main

UNLEARNT = ["token-classification", *WRITING]
"""Tasks without learnt baselines."""
WITH_PROBABILITIES = ["text-classification", "multi-label-classification", "token-classification"]
"""Tasks whose evaluations measure calibration."""


@pytest.fixture(params=TASKS)
def trained(request: pytest.FixtureRequest, finished: Callable[[str], None]) -> str:
    """A project with a short run of each task."""
    task: str = request.param
    finished(task)
    return task


def test_a_run_leaves_these_files(trained: str) -> None:
    run = Path("runs/config")
    [events] = run.glob("events.out.tfevents.*")
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "environment.json", "metrics.jsonl", "checkpoints", "best", events.name),
        *(["report"] if optional.is_there("report") else []),
        *("evaluation-validation.json", "evaluation-validation.safetensors"),
        *(["baselines.json"] if optional.is_there("baselines") and trained not in UNLEARNT else []),
    }
    assert {path.name for path in (run / "best").iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("finetune.json", "manifest.json"),
        *(["standardized_head.safetensors"] if trained == "regression" else []),
        *(["generation_config.json"] if trained in WRITING else []),
        *(["chat_template.jinja"] if trained == "chat" else []),
    }
    evaluation = json.loads((run / "evaluation-validation.json").read_text())
    assert list(evaluation) == [
        *(
            "format",
            "task",
            "split",
            "data",
            "fingerprint",
            "examples",
            "size",
            "truncated",
            "loss",
            "headline",
            "lower_is_better",
            "metrics",
            "interval",
        ),
        *("baseline", "tables", "matrices", "scatters", "curves"),
        *(["calibration"] if trained in WITH_PROBABILITIES and optional.is_there("calibration") else []),
        "notes",
    ]


def test_saved_model_scores_what_training_saw(trained: str, project: Project) -> None:
    evaluation = json.loads(Path("runs/config/evaluation-validation.json").read_text())
    validations = [record for record in project.metrics("config") if record["kind"] == "validation"]
    best = [record for record in validations if record["best"]][-1]
    assert evaluation["loss"] == pytest.approx(best["loss"], rel=1e-5)
    assert evaluation["metrics"][evaluation["headline"]] == best[evaluation["headline"]]


def test_predictions_have_the_format_of_the_input(trained: str, project: Project) -> None:
    name = FILES[trained][1]
    assert main(["predict", "runs/config", name]) == 0
    lines = Path("runs/config/predictions", name).read_text().splitlines()
    source = (project.folder / name).read_text().splitlines()
    assert len(lines) == len(source)
    if name.endswith(".conll"):
        words = [line.split() for line in lines if line]
        assert [f"{word} {tag}" for word, tag, _, _ in words] == [line for line in source if line]
        assert all(0 < float(share) <= 1 for *_, share in words)
        return
    added = {
        "text-classification": {"prediction", "probability", "probabilities"},
        "multi-label-classification": {"prediction", "probabilities"},
        "regression": {"prediction"},
        "ranking": {"score", "rank"},
        "retrieval": {"embedding"},
        **{task: {"prediction"} for task in WRITING},
    }[trained]
    for line, original in zip(lines, source, strict=True):
        record = json.loads(line)
        assert json.loads(original).items() <= record.items()
        assert record.keys() - json.loads(original).keys() == added


def test_probabilities_belong_to_the_labels(
    finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "a fine day"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["probabilities"]) == {"good", "bad"}
    assert sum(record["probabilities"].values()) == pytest.approx(1)
    assert (
        record["probability"] == max(record["probabilities"].values()) == record["probabilities"][record["prediction"]]
    )


def test_entities_of_a_single_text(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished("token-classification")
    capsys.readouterr()
    text = "(Ada lives in Turin.)"
    assert main(["predict", "latest", "--text", text]) == 0
    for span in json.loads(capsys.readouterr().out)["prediction"]:
        assert text[span["start"] : span["end"]] == span["text"]


def test_ranking_needs_a_document(finished: Callable[[str], None], refused: Callable[..., str]) -> None:
    finished("ranking")
    assert "give the document with --text-pair" in refused("predict", "latest", "--text", "tea")


def test_pairs_train_and_predict(project: Project) -> None:
    rows = [{"text": a, "text_pair": b, "label": int(a == b)} for a in ("one", "two") for b in ("one", "two")]
    project.write("pairs.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    path = project.config("text-classification", data={"train": "pairs.jsonl", "validation": "pairs.jsonl"})
    project.train(path, "data.test=null", "train.max_steps=1")
    assert main(["predict", "latest", "--text", "one", "--text-pair", "two"]) == 0


def test_wrong_arguments(finished: Callable[[str], None], refused: Callable[..., str]) -> None:
    assert "there is no run yet" in refused("evaluate", "latest")
    assert "runs/none: is not the folder of a run" in refused("evaluate", "runs/none")
    finished("text-classification")
    assert "data.dev is not set: name a file with --data" in refused("evaluate", "latest", "--split", "dev")
    assert "name a data file or give a --text" in refused("predict", "latest")
    assert "--text-pair goes with --text" in refused("predict", "latest", "validation.jsonl", "--text-pair", "x")
    assert "let its name end in .jsonl" in refused("predict", "latest", "validation.jsonl", "--output", "x.csv")
    assert "is the input itself" in refused("predict", "latest", "train.jsonl", "--output", "train.jsonl")
    assert "text is empty" in refused("predict", "latest", "--text", " ")
    assert "one of the two" in refused("predict", "latest", "train.jsonl", "--text", "x")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tiny:bret", "the tiny models are tiny:bert, tiny:gpt2, tiny:t5"),
        ("./nowhere", "there is no folder './nowhere'"),
        ("someone/unheard-of", "neither a local folder nor in the cache, and HF_HUB_OFFLINE is set"),
        ("empty", "the folder 'empty' cannot be loaded"),
    ],
)
def test_models_that_cannot_be_loaded(name: str, sentence: str, project: Project, refused: Callable[..., str]) -> None:
    Path("empty").mkdir()
    assert sentence in refused("train", project.config("text-classification"), f"model.name={name}")
    assert not Path("runs/config").exists()


def test_damaged_run_is_refused(finished: Callable[[str], None], refused: Callable[..., str]) -> None:
    finished("text-classification")
    Path("runs/config/best/finetune.json").unlink()
    assert "runs/config/best: finetune.json is missing: put back an intact copy" in refused("evaluate", "runs/config")
    shutil.rmtree("runs/config/best")
    assert "there is no finetuned model yet" in refused("evaluate", "runs/config")


@needs("report")
def test_report_can_be_written_again(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    page = Path("runs/config/report/index.html")
    before = page.read_text()
    shutil.rmtree("runs/config/report")
    assert main(["report", "latest"]) == 0
    assert page.read_text() == before
    assert main(["evaluate", "latest", "--data", "train.jsonl", "--split", "seen"]) == 0
    assert "of train.jsonl" in page.read_text()


def test_doctor_finds_all_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dance"], ["train"]])
def test_usage_errors_end_with_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_module_starts_without_torch() -> None:
    """`--help` must not wait for torch."""
    code = "import sys; sys.argv = ['finetune', '--help']; import finetune.cli as c\ntry: c.main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"  # noqa: E501
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", stdout=subprocess.DEVNULL).returncode == 0


@needs("check_data")
def test_check_data_finds_leakage(project: Project) -> None:
    """The validation data of the tests are a part of their training data."""
    assert main(["check-data", str(project.config("text-classification"))]) == 0
    document = json.loads(Path("runs/config-data/data-check.json").read_text())
    assert "leak" in {finding["kind"] for finding in document["findings"]}


@needs("report")
def test_a_report_shows_the_metrics(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    page = Path("runs/config/report/index.html").read_text()
    metrics = json.loads(Path("runs/config/evaluation-validation.json").read_text())["metrics"]
    assert f"{metrics['accuracy']:.4f}" in page
    assert "data:image/svg+xml;base64," in page


@needs("export")
def test_transformers_loads_an_exported_model(project: Project) -> None:
    project.train(project.config("text-classification", method={"type": "lora"}, train={"max_steps": 1}))
    assert main(["export", "runs/config", "plain"]) == 0
    model, info = AutoModelForSequenceClassification.from_pretrained("plain", output_loading_info=True)
    assert not info["missing_keys"]
    assert model.config.id2label == {0: "bad", 1: "good"}


def test_ctrl_c_in_an_import_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 raises a RuntimeError of it, while a class is made; any other is none."""

    def load(error: BaseException) -> None:
        raise RuntimeError("Error calling __set_name__") from error

    monkeypatch.setattr("finetune.cli.load_env_file", lambda: load(KeyboardInterrupt()))
    assert main(["schema"]) == 130
    monkeypatch.setattr("finetune.cli.load_env_file", lambda: load(ValueError()))
    with pytest.raises(RuntimeError):
        main(["schema"])
