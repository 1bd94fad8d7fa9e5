"""The command line, as a user meets it: verbs, files that come out, exit codes."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import FILES, ROOT, TASKS, WRITING, Project
from pyarrow import Table
from pyarrow.parquet import write_table

from finetune.cli import cli, main
from finetune.console import make_console
from finetune.data.rows import READERS
from finetune.predict import WRITERS


@pytest.fixture(params=TASKS)
def trained(request: pytest.FixtureRequest, finished: Callable[[str], None]) -> str:
    """A project with a short run of each task."""
    task: str = request.param
    finished(task)
    return task


def test_a_run_leaves_these_files(trained: str) -> None:
    run = Path("runs/config")
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints", "best", "report"),
        "evaluation-validation.json",
    }
    assert {path.name for path in (run / "best").iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("finetune.json", "manifest.json"),
        *(["generation_config.json"] if trained in WRITING else []),
        *(["chat_template.jinja"] if trained == "chat" else []),
    }
    assert list((run / "tensorboard").glob("events.*"))
    assert (run / "report" / "index.html").is_file()
    evaluation = json.loads((run / "evaluation-validation.json").read_text())
    assert list(evaluation) == [
        *("format", "task", "split", "data", "examples", "truncated", "loss", "headline", "lower_is_better", "metrics"),
        *("baseline", "tables", "matrices", "scatters", "notes"),
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
        **{task: {"prediction"} for task in WRITING},
    }[trained]
    for line, original in zip(lines, source, strict=True):
        record = json.loads(line)
        assert json.loads(original).items() <= record.items()
        assert record.keys() - json.loads(original).keys() == added


@pytest.mark.parametrize("ending", [ending for ending in READERS if ending not in (".conll", ".txt")])
def test_every_format_can_be_predicted(ending: str, project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    texts = ["a fine day", 'say "hi", twice']
    name = f"unlabelled{ending}"
    match ending:
        case ".csv":
            project.write(name, 'id,text\n1,a fine day\n2,"say ""hi"", twice"\n')
        case ".tsv":
            project.write(name, 'id\ttext\n1\ta fine day\n2\tsay "hi", twice\n')
        case ".parquet":
            write_table(Table.from_pylist([{"text": text} for text in texts]), name)
        case ".json":
            project.write(name, json.dumps([{"text": text} for text in texts]))
        case ".jsonl":
            project.write(name, "".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert set(WRITERS) == set(READERS) - {".txt"}
    assert main(["predict", "latest", name, "--output", f"out/out{ending}"]) == 0
    output = Path(f"out/out{ending}")
    if ending == ".csv":
        rows = list(csv.DictReader(output.read_text().splitlines()))
        assert [row["text"] for row in rows] == texts
        assert set(rows[0]) == {"id", "text", "prediction", "probability", "probability_bad", "probability_good"}
    assert main(["predict", "latest", str(output), "--output", f"again{ending}"]) == 0, "output must read as input"


def test_an_evaluation_is_printed_with_all_metrics(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    project.write("one.jsonl", (project.folder / "train.jsonl").read_text().splitlines()[0])
    assert main(["evaluate", "latest", "--data", "one.jsonl", "--split", "one"]) == 0
    printed = capsys.readouterr().out
    assert "one: 1 example of one.jsonl" in printed
    assert "1 example of one.jsonl" in Path("runs/config/report/index.html").read_text()
    metrics = json.loads(Path("runs/config/evaluation-one.json").read_text())["metrics"]
    assert len(metrics) > 3
    assert all(re.search(rf"^ *{name} +{value:.4f} +\d\.\d{{4}} *$", printed, re.M) for name, value in metrics.items())


def test_a_terminal_shows_what_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    """rich would make an emoji of the line number."""
    for stream in (False, True):
        make_console(stderr=stream).print("train.jsonl:100: wrong")
    assert [*capsys.readouterr()] == ["train.jsonl:100: wrong\n"] * 2


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


def test_single_texts(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished("text-classification")
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "a fine day", "--text", "sad"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(record) for record in records] == [{"prediction", "probability", "probabilities"}] * 2


def test_single_sentence_is_split_into_words(
    finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("token-classification")
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "Ada lives in Turin"]) == 0
    assert len(json.loads(capsys.readouterr().out)["prediction"]) == 4


def test_ranking_needs_a_file(finished: Callable[[str], None], refused: Callable[..., str]) -> None:
    finished("ranking")
    assert "needs query and document: put them into a file" in refused("predict", "latest", "--text", "tea")


def test_pairs_train_and_predict(project: Project) -> None:
    rows = [{"text": a, "text_pair": b, "label": int(a == b)} for a in ("one", "two") for b in ("one", "two")]
    project.write("pairs.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    path = project.config("text-classification", data={"train": "pairs.jsonl", "validation": "pairs.jsonl"})
    project.train(path, "data.test=null", "train.max_steps=1")
    assert main(["predict", "latest", "--text", "one", "--text-pair", "two"]) == 0


def test_encoder_decoders_take_texts_and_pairs_together(project: Project) -> None:
    """They classify at the last end token, and transformers' batches must have as many of them in every row."""
    pairs = [("one", None), ("two </s> texts", None), ("one", "two"), ("two", "three and more"), ("three", None)]
    rows = [{"text": text, "text_pair": partner} for text, partner in pairs]
    lines = [json.dumps({**row, "label": number % 2}) + "\n" for number, row in enumerate(rows)]
    project.write("mixed.jsonl", "".join(lines))
    data = {"train": "mixed.jsonl", "validation": "mixed.jsonl", "test": None}
    project.train(project.config("text-classification", data=data, model={"name": "tiny:t5"}), "train.max_steps=1")
    assert main(["evaluate", "latest", "--split", "validation"]) == 0


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


def test_local_folder_as_a_start(project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    second = project.config("text-classification", name="second", model={"name": "runs/config/best"})
    project.train(second)
    other_task = project.config("token-classification", name="third", model={"name": "runs/config/best"})
    project.train(other_task)


def test_text_longer_than_the_model_reads(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    path = project.config("text-classification", model={"name": "runs/config/best", "max_length": 500})
    assert "500 exceeds the maximum of 32 tokens" in refused("train", path)


def test_damaged_run_is_refused(finished: Callable[[str], None], refused: Callable[..., str]) -> None:
    finished("text-classification")
    Path("runs/config/best/finetune.json").unlink()
    assert "there is no finetuned model yet" in refused("evaluate", "runs/config")


def test_report_can_be_written_again(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    shutil.rmtree("runs/config/report")
    assert main(["report", "latest"]) == 0
    assert Path("runs/config/report/index.html").is_file()


def test_doctor_finds_all_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dance"], ["train"]])
def test_usage_errors_end_with_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_options_may_stand_anywhere() -> None:
    def parsed(verb: str, *arguments: str) -> dict[str, object]:
        return cli.commands[verb].make_context(verb, list(arguments)).params

    expected = {"config": Path("x.yaml"), "overrides": ("a=1", "b=2"), "resume": True}
    assert parsed("train", "x.yaml", "a=1", "--resume", "b=2") == expected
    assert parsed("train", "--resume", "x.yaml", "a=1", "b=2") == expected
    assert parsed("predict", "latest", "--output", "o", "in") == parsed("predict", "latest", "in", "--output", "o")


def test_module_starts_without_torch() -> None:
    """`--help` must not wait for torch."""
    code = "import sys; sys.argv = ['finetune', '--help']; import finetune.cli as c\ntry: c.main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"  # noqa: E501
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", stdout=subprocess.DEVNULL).returncode == 0
