"""The command line in depth: every format of file, pairs, other starts of a model, and what a terminal shows."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, build
from openpyxl import Workbook
from pyarrow import Table
from pyarrow.feather import write_feather
from pyarrow.parquet import write_table
from transformers import RobertaConfig, RobertaForSequenceClassification

from finetune.cli import cli, main
from finetune.config.config import Model
from finetune.config.load import load_config
from finetune.console import make_console
from finetune.data.readers.conll import CONLL
from finetune.data.rows import READERS
from finetune.data.writers import WRITERS
from finetune.errors import UserError
from finetune.model.requirements import require_max_length


@pytest.mark.parametrize("ending", [ending for ending in WRITERS if ending not in CONLL])
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
        case ".arrow" | ".feather":
            write_feather(Table.from_pylist([{"text": text} for text in texts]), name)
        case ".xlsx":
            book = Workbook()
            for text in ("text", *texts):
                book.worksheets[0].append([text])
            book.save(name)
        case ".json":
            project.write(name, json.dumps([{"text": text} for text in texts]))
        case ".jsonl":
            project.write(name, "".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert set(WRITERS) == {name for name in READERS if name.startswith(".")} - {".txt"}
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
    baselines = r"( +-?\d\.\d{4}){2}"  # a trivial and a learnt one
    assert all(re.search(rf"^ *{name} +{value:.4f}{baselines} *$", printed, re.M) for name, value in metrics.items())


def test_a_terminal_shows_what_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    """rich would make an emoji of the line number."""
    for stream in (False, True):
        make_console(stderr=stream).print("train.jsonl:100: wrong")
    assert [*capsys.readouterr()] == ["train.jsonl:100: wrong\n"] * 2


def test_single_texts(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished("text-classification")
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "a fine day", "--text", "sad"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(record) for record in records] == [{"prediction", "probability", "probabilities"}] * 2


def test_encoder_decoders_take_texts_and_pairs_together(project: Project) -> None:
    """They classify at the last end token, and transformers' batches must have as many of them in every row."""
    pairs = [("one", None), ("two </s> texts", None), ("one", "two"), ("two", "three and more"), ("three", None)]
    rows = [{"text": text, "text_pair": partner} for text, partner in pairs]
    lines = [json.dumps({**row, "label": number % 2}) + "\n" for number, row in enumerate(rows)]
    project.write("mixed.jsonl", "".join(lines))
    data = {"train": "mixed.jsonl", "validation": "mixed.jsonl", "test": None}
    project.train(project.config("text-classification", data=data, model={"name": "tiny:t5"}), "train.max_steps=1")
    assert main(["evaluate", "latest", "--split", "validation"]) == 0


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


def test_roberta_reads_fewer_tokens_than_it_has_positions() -> None:
    """Its position ids start after the padding index, 1: of 34 positions 32 are left."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=9, max_position_embeddings=34, pad_token_id=1, **sizes)
    model = RobertaForSequenceClassification(config)
    require_max_length(model, Model(name="roberta", max_length=32), 0)
    require_max_length(model, Model(name="roberta", max_length=30), 2)
    for max_length, added in ((33, 0), (30, 3)):
        with pytest.raises(UserError, match="exceeds the maximum of 32 tokens"):
            require_max_length(model, Model(name="roberta", max_length=max_length), added)


def test_options_may_stand_anywhere() -> None:
    def parsed(verb: str, *arguments: str) -> dict[str, object]:
        return cli.commands[verb].make_context(verb, list(arguments)).params

    expected = {"config": Path("x.yaml"), "overrides": ("a=1", "b=2"), "resume": True}
    assert parsed("train", "x.yaml", "a=1", "--resume", "b=2") == expected
    assert parsed("train", "--resume", "x.yaml", "a=1", "b=2") == expected
    assert parsed("predict", "latest", "--output", "o", "in") == parsed("predict", "latest", "in", "--output", "o")


@pytest.mark.parametrize("task", ["text-classification", "text-generation"])
def test_a_loaded_model_knows_the_padding_token(task: str, project: Project, finished: Callable[[str], None]) -> None:
    """Heads that look for the last token of a padded text need it."""
    finished(task)
    setup = build(load_config(project.config(task, name="second", model={"name": "runs/config/best"})))
    assert setup.model.config.pad_token_id == setup.tokenizer.pad_token_id is not None
