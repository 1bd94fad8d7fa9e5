"""Entities in plain text: words by offsets, spans to tags and back, and spans that fit no words."""

import csv
import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
import pyarrow.parquet
import pytest
from conftest import Project, build, needs
from seqeval.metrics import f1_score

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.tasks.entities import Entity, EntityError, bridge, entities_of, read_entities, split_words, tags_of
from finetune.tasks.settings import TokenClassification
from finetune.tasks.token_classification import Example, Prediction, TokenClassificationTask

TEXT = "Ada Byron lives in Turin."
ROWS = [
    (TEXT, [(0, 9, "PER"), (19, 24, "LOC")]),
    ("The train to New York leaves at noon.", [(13, 21, "LOC")]),
    ("Ada's mother (in Turin) hired Ada.", [(0, 3, "PER"), (17, 22, "LOC"), (30, 33, "PER")]),
    ("Nothing happened!", []),
]


def objects(*spans: tuple[int, int, str]) -> list[dict[str, Any]]:
    """Spans as the column `entities` has them."""
    return [Entity(*span)._asdict() for span in spans]


def new_task() -> TokenClassificationTask:
    return TokenClassificationTask(TokenClassification(type="token-classification"))


def example(text: str, *spans: tuple[int, int, str]) -> Example:
    values = {"text": text, "entities": objects(*spans)}
    return new_task().example(Row("x.jsonl:1", values, values))


@pytest.fixture
def spans(project: Project) -> Path:
    """The rows as a data file, and the config of a training on it."""
    lines = [json.dumps({"text": text, "entities": objects(*entities)}) for text, entities in ROWS]
    project.write("spans.jsonl", "".join(f"{line}\n" for line in lines))
    data = dict.fromkeys(("train", "validation", "test"), "spans.jsonl")
    return project.config("token-classification", data=data, train={"device": "cpu", "epochs": 1})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Paris. Paris", ["Paris", ".", "Paris"]),
        ("(“Oslo”),\nB2B", ["(", "“", "Oslo", "”", ")", ",", "B2B"]),
        ("Ada's Coca-Cola d'Alba", ["Ada", "'", "s", "Coca", "-", "Cola", "d", "'", "Alba"]),
        ("我在北京。2024年", ["我", "在", "北", "京", "。", "2024", "年"]),
        ("東京タワーへabc", ["東", "京", "タ", "ワ", "ー", "へ", "abc"]),
        ("파리는 도시", ["파", "리", "는", "도", "시"]),
        ("ที่ไทย", ["ที่", "ไ", "ท", "ย"]),
        ("Zu\u0308rich नमस्ते שָׁלוֹם", ["Zu\u0308rich", "नमस्ते", "שָׁלוֹם"]),
        ("می\u200cرود", ["می\u200cرود"]),
        ("👩\u200d👩\u200d👧👍🏽🇩🇪🇫🇷", ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "🇫🇷"]),
        ("\u200fa\u00ad\u200b\r\n\ufeff \ud83d", ["a"]),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in split_words(text)] == words


def test_tags_of_spans() -> None:
    found = example("Ada Byron Turin. 王小明在北京", (0, 3, "A"), (4, 9, "A"), (17, 20, "PER"), (21, 23, "LOC"))
    assert found.tags == ["B-A", "B-A", "O", "O", "B-PER", "I-PER", "I-PER", "O", "B-LOC", "I-LOC"]


PIECES = [
    *("Paris", "don't", "B2B", "2,500.00", "王小明", "東京タワー", "ไทย", "e\u0301te\u0301", "\u0301"),
    *("👩\u200d👩\u200d👧🏽", "🇩🇪🇫🇷", "שָׁלוֹם", "نص", "नमस्ते", "...", "(", "—"),
    *(" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u200b", "\u200f", "\u2066"),
]


def test_random_spans_survive_the_tags() -> None:
    draw = random.Random(4)
    seen = 0
    for _ in range(500):
        text = "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 25)))
        words = split_words(text)
        edges = sorted(draw.sample(range(len(words) + 1), k=min(len(words) + 1, draw.randint(0, 9))))
        drawn = [
            Entity(words[first][0], words[end - 1][1], draw.choice("AB"))
            for first, end in pairwise(edges)
            if draw.random() < 0.7
        ]
        shuffled = draw.sample(drawn, len(drawn))
        found = read_entities([entity._asdict() for entity in shuffled], text, words, "x:1")
        assert entities_of(tags_of(found, words), words) == drawn
        borders = zip([0, *(end for _, end in words)], [*(start for start, _ in words), len(text)], strict=True)
        between = "".join(text[end:start] for end, start in borders)
        assert all(one.isspace() or category(one) in ("Cc", "Cf") for one in between)
        seen += len(drawn)
    assert seen > 1000


@pytest.mark.parametrize(
    ("spans", "sentence"),
    [
        ([(19, 23, "LOC")], "entity 19-23 'Turi' (LOC) cuts the word 'Turin', 19-24: correct"),
        ([(20, 24, "LOC")], "entity 20-24 'urin' (LOC) cuts the word 'Turin', 19-24: correct"),
        ([(18, 24, "LOC")], "entity 18-24 ' Turin' (LOC) begins or ends with white space: make it 19-24"),
        ([(19, 24, "LOC"), (0, 10, "PER")], "entity 0-10 'Ada Byron ' (PER) begins or ends with white space: make"),
        ([(3, 4, "PER")], "entity 3-4 ' ' (PER) holds no word: take it out"),
        ([(19, 26, "LOC")], "entity 19-26 (LOC) is no part of the text: start has to be below end, and both within"),
        ([(-6, -1, "LOC")], "entity -6--1 (LOC) is no part of the text"),
        ([(4, 4, "PER")], "entity 4-4 (PER) is no part of the text"),
        ([(9, 0, "PER")], "entity 9-0 (PER) is no part of the text"),
        ([(4, 9, "PER"), (0, 9, "ORG")], "entities 0-9 (ORG) and 4-9 (PER) overlap, but a word has one tag: keep one"),
        ([(0, 3, "PER"), (0, 3, "PER")], "entities 0-3 (PER) and 0-3 (PER) overlap"),
    ],
)  # fmt: skip
def test_spans_that_fit_no_words_are_refused(spans: list[tuple[int, int, str]], sentence: str) -> None:
    with pytest.raises(EntityError) as refusal:
        example(TEXT, *spans)
    assert str(refusal.value).startswith(f"x.jsonl:1: {sentence}")
    assert "\n" not in str(refusal.value)


def test_all_misplaced_spans_of_a_row_are_known() -> None:
    with pytest.raises(EntityError) as refusal:
        example(TEXT, (0, 2, "PER"), (19, 23, "LOC"), (22, 24, "LOC"))
    assert [place.split(" (")[0] for place in refusal.value.places] == [
        "x.jsonl:1: entity 0-2 'Ad'",
        "x.jsonl:1: entity 19-23 'Turi'",
        "x.jsonl:1: entity 22-24 'in'",
        "x.jsonl:1: entities 19-23",
    ]


@pytest.mark.parametrize(
    ("entities", "sentence"),
    [
        ("Turin", "entities must be a list such as"),
        (5, "entities must be a list such as"),
        ([[0, 3, "PER"]], "an entity is [0, 3, 'PER']: write it as an object"),
        ([{"start": 0, "label": "PER"}], "end of an entity is None: write a whole number"),
        ([{"start": False, "end": 3, "label": "PER"}], "start of an entity is False: write a whole number"),
        ([{"start": 0, "end": 3.0, "label": "PER"}], "end of an entity is 3.0: write a whole number"),
        ([{"start": "0", "end": 3, "label": "PER"}], "start of an entity is '0': write a whole number"),
        ([{"start": 0, "end": 3, "label": " "}], "label of the entity 0-3 is ' ': write its type"),
        ([{"start": 0, "end": 3, "label": 7}], "label of the entity 0-3 is 7: write its type"),
    ],
)
def test_other_forms_are_refused(entities: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=r"^x.jsonl:7: ") as refusal:
        new_task().example(Row("x.jsonl:7", {"text": TEXT, "entities": entities}, {}))
    assert sentence in str(refusal.value)


def test_training_refuses_a_cut_word_before_it_writes(project: Project, refused: Callable[..., str]) -> None:
    rows = [{"text": TEXT, "entities": objects((0, 3, "PER"))}, {"text": TEXT, "entities": objects((0, 2, "PER"))}]
    project.write("cut.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert refused("train", project.config("token-classification"), "data.train=cut.jsonl") == (
        "cut.jsonl:2: entity 0-2 'Ad' (PER) cuts the word 'Ada', 0-3: correct start and end"
    )
    assert not list(project.folder.glob("runs/*/config.json"))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"text": TEXT},
            "x.jsonl:1: no value in column 'entities' (found: text): fill it in, or name the right column in",
        ),
        ({"text": TEXT, "tokens": ["Ada"]}, "x.jsonl:1: no value in column 'entities'"),
        ({"tokens": ["Ada"]}, "x.jsonl:1: no value in column 'tags'"),
        ({"sentence": TEXT}, "x.jsonl:1: no value in column 'tokens'"),
        ({"text": "\u200b", "entities": []}, "x.jsonl:1: text has no visible character"),
    ],
)
def test_a_row_without_its_columns_is_refused(
    row: dict[str, Any], sentence: str, project: Project, refused: Callable[..., str]
) -> None:
    project.write("x.jsonl", json.dumps(row))
    assert refused("train", project.config("token-classification"), "data.train=x.jsonl").startswith(sentence)


def test_a_misspelt_column_of_the_text_is_named(project: Project, refused: Callable[..., str]) -> None:
    project.write("x.csv", f'sentence,spans\n"{TEXT}",[]\n')
    config = project.config("token-classification", data={"columns": {"text": "sentense"}})
    assert refused("train", config, "data.train=x.csv").startswith(
        "x.csv:1: no column 'sentense' (found: sentence, spa"
    )


def test_a_plain_text_file_is_not_read_as_one_sentence(project: Project, refused: Callable[..., str]) -> None:
    project.write("x.txt", TEXT)
    assert "x.txt: a .txt file is one text" in refused(
        "train", project.config("token-classification"), "data.train=x.txt"
    )


def test_given_words_come_before_the_text() -> None:
    values = {
        "tokens": ["Ada", "Turin."],
        "tags": ["B-PER", "O"],
        "text": "Ada Turin.",
        "entities": objects((0, 1, "X")),
    }
    assert new_task().example(Row("x:1", values, values)) == Example(["Ada", "Turin."], ["B-PER", "O"])


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.parquet", "x.csv", "x.tsv"])
def test_every_format_with_columns_is_read(name: str, project: Project) -> None:
    rows = [{"sentence": text, "spans": objects(*entities)} for text, entities in ROWS]
    write_rows(Path(name), rows)
    data = {
        **dict.fromkeys(("train", "validation", "test"), name),
        "columns": {"text": "sentence", "entities": "spans"},
    }
    setup = build(load_config(project.config("token-classification", data=data)))
    task = setup.task
    assert [task.to_rows(one)[0]["entities"] for one in setup.train.examples] == [row["spans"] for row in rows]
    assert [task.summary(one).texts for one in setup.train.examples] == [(text,) for text, _ in ROWS]
    assert task.summary(setup.train.examples[1]).answer == "New York (LOC)"


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """A data file in the format of its ending; in a table, lists are JSON."""
    match path.suffix:
        case ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        case ".json":
            path.write_text(json.dumps(rows))
        case ".jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        case ".tsv":
            path.write_text("".join("\t".join(line) + "\n" for line in table(rows)))
        case _:
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(table(rows))


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [*rows[0]],
        *([value if isinstance(value, str) else json.dumps(value) for value in row.values()] for row in rows),
    ]


def test_where_chooses_by_the_text(spans: Path) -> None:
    chosen = build(load_config(spans, ["data.where={text: Turin}"])).train.examples
    assert [one.text for one in chosen] == [ROWS[0][0], ROWS[2][0]]


def test_an_example_and_its_rows_are_inverse() -> None:
    for text, entities in ROWS:
        one = example(text, *entities)
        [row] = new_task().to_rows(one)
        assert new_task().example(Row("x:1", row, row)) == one


def test_records_are_spans_with_the_least_probability() -> None:
    one = example("Ada Byron, 王小明.", (0, 9, "PER"))
    tags = ["B-PER", "I-PER", "O", "I-LOC", "I-LOC", "B-LOC", "O"]  # I- after O begins an entity, as in seqeval
    prediction = Prediction(tags, [0.9, 0.8, 1, 0.7, 0.75, 0.6, 1])
    [record] = new_task().records([one], [prediction])
    assert record == {
        "prediction": [
            {"start": 0, "end": 9, "label": "PER", "text": "Ada Byron", "probability": 0.8},
            {"start": 11, "end": 13, "label": "LOC", "text": "王小", "probability": 0.7},
            {"start": 13, "end": 14, "label": "LOC", "text": "明", "probability": 0.6},
        ]
    }


def test_a_mark_that_touches_an_entity_does_not_cut_it() -> None:
    words = split_words("Ada J. Byron, Oslo / Rome - Bath.")
    tags = ["B-PER", "I-PER", "O", "I-PER", "O", "B-LOC", "O", "I-LOC", "O", "I-PER", "O"]
    bridged = [*tags[:2], "I-PER", *tags[3:]]
    assert bridge(tags, words) == bridged
    assert bridge(bridged, words) == bridged


def test_metrics_are_those_of_the_words() -> None:
    task, examples = new_task(), [example(text, *entities) for text, entities in ROWS]
    task.fit(examples)
    guess = [["B-PER"] + ["O"] * (len(one.tokens) - 1) for one in examples]
    scores = task.score(examples, [Prediction(tags, [1.0] * len(tags)) for tags in guess])
    assert scores.metrics["f1"] == pytest.approx(f1_score([one.tags for one in examples], guess))
    by_word = task.baselines(examples, [])["each word's most frequent tag"]
    assert by_word[1].tags == ["O", "O", "O", "B-LOC", "I-LOC", "O", "O", "O", "O"]


def test_long_texts_go_through_windows_and_come_back_as_spans(spans: Path, project: Project) -> None:
    text = " ".join(f"Ada met Byron in Turin, day {day}." for day in range(40))
    cities = [Entity(i, i + 5, "LOC") for i in range(len(text)) if text.startswith("Turin", i)]
    project.write("long.jsonl", json.dumps({"text": text, "entities": [city._asdict() for city in cities]}))
    setup = build(
        load_config(spans, ["data.train=long.jsonl", "data.validation=null", "data.test=null", "model.max_length=16"])
    )
    task, features = setup.task, setup.train.features
    assert len(features) > 10
    right = [np.eye(len(task.labels))[[label for label in feature.labels if label >= 0]] for feature in features]
    records = task.records(setup.train.examples, task.predictions(setup.train.examples, features, right))
    assert [Entity(one["start"], one["end"], one["label"]) for one in records[0]["prediction"]] == cities


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_a_file_of_texts_is_predicted_whatever_its_entities_are(
    name: str, finished: Callable[[str], None], project: Project
) -> None:
    finished("token-classification")  # trained on given words
    rows: list[dict[str, Any]] = [{"text": text, "entities": objects((1, 2, "other"))} for text, _ in ROWS]
    write_rows(Path(name), rows)
    out = Path("out").with_suffix(Path(name).suffix)
    assert main(["predict", "latest", name, "--output", str(out)]) == 0
    match out.suffix:
        case ".parquet":
            predicted = pyarrow.parquet.read_table(out).to_pylist()
        case ".json":
            predicted = json.loads(out.read_text())
        case ".jsonl":
            predicted = [json.loads(line) for line in out.read_text().splitlines()]
        case _:
            with out.open(newline="") as file:
                predicted = [
                    {key: value if key == "text" else json.loads(value) for key, value in row.items()}
                    for row in csv.DictReader(file)
                ]
    assert [{key: row[key] for key in ("text", "entities")} for row in predicted] == rows
    for row in predicted:
        assert isinstance(row["prediction"], list)
        for span in row["prediction"]:
            assert row["text"][span["start"] : span["end"]] == span["text"]
            assert 0 <= span["probability"] <= 1
            assert span["label"] in ("PER", "LOC", "ORG")


def test_a_file_without_entities_is_predicted(finished: Callable[[str], None], project: Project) -> None:
    finished("token-classification")
    project.write("rows.jsonl", json.dumps({"text": TEXT}))
    assert main(["predict", "latest", "rows.jsonl"]) == 0


def test_evaluation_reads_texts_and_their_entities(finished: Callable[[str], None], spans: Path) -> None:
    finished("token-classification")
    assert main(["evaluate", "latest", "--data", "spans.jsonl"]) == 0
    evaluation = json.loads(next(Path("runs").glob("*/evaluation-test.json")).read_text())
    support = {row[0]: row[-1] for row in evaluation["tables"][0]["rows"]}
    assert (support["PER"], support["LOC"]) == (3, 3)


@needs("check_data")
def test_check_data_finds_all_misplaced_spans_with_their_lines(spans: Path, project: Project) -> None:
    from finetune.check_data.check import check_data

    rows = [
        {"text": "Ada sees Oslo today.", "entities": objects((0, 2, "PER"), (8, 13, "LOC"))},
        {"text": "Ada sees Oslo again.", "entities": objects((0, 3, "PER"), (0, 13, "ORG"))},
        {"text": "Ada   Byron lives in Turin.", "entities": objects((0, 11, "PER"))},
    ]
    project.write("bad.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    document = check_data(load_config(spans, ["data.validation=bad.jsonl", "data.test=null"]))
    findings = {finding["kind"]: finding for finding in document["findings"]}
    finding = findings["misplaced-entities"]
    assert (finding["severity"], finding["split"], finding["count"]) == ("alarm", "validation", 3)
    assert finding["message"].startswith("3 problems in validation with the offsets of entities")
    assert [place.split(" (")[0] for place in finding["places"]] == [
        "bad.jsonl:1: entity 0-2 'Ad'",
        "bad.jsonl:1: entity 8-13 ' Oslo'",
        "bad.jsonl:2: entities 0-3",
    ]
    # The other row is checked: it repeats a text of train, with a different label.
    assert document["splits"]["validation"]["rows"] == 1
    assert findings["leak-other-answer"]["places"] == [
        "bad.jsonl:3 (Ada   Byron (PER)) = spans.jsonl:1 (Ada Byron (PER), Turin (LOC))"
    ]


@needs("check_data")
def test_check_data_of_misplaced_spans_alone_refuses_them(
    spans: Path, project: Project, refused: Callable[..., str]
) -> None:
    project.write("bad.jsonl", json.dumps({"text": TEXT, "entities": objects((0, 2, "PER"))}))
    assert refused("check-data", spans, "data.train=bad.jsonl").startswith("bad.jsonl:1: entity 0-2 'Ad' (PER) cuts")
