"""Files of labelling tools: doccano, Label Studio, Prodigy, spaCy and brat."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, build
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import Notice
from finetune.data.forms.all_forms import FORMS
from finetune.data.readers.brat import read_brat
from finetune.data.rows import Columns, read_rows
from finetune.dataset import columns_of
from finetune.errors import UserError
from finetune.tasks import make_task

TAGS, TEXTS, MANY = "token-classification", "text-classification", "multi-label-classification"
TEXT = "Ada met 王小明 in Turin."
SPANS = [(0, 3, "PER"), (8, 11, "PER"), (15, 20, "LOC")]
OBJECTS = [{"start": start, "end": end, "label": label} for start, end, label in SPANS]
TRIPLES = [list(span) for span in SPANS]


def studio(*results: dict[str, Any], text: str = TEXT, **annotation: Any) -> dict[str, Any]:
    """A task of Label Studio with one annotation."""
    result = [{"value": value, "from_name": "label", "to_name": "text"} for value in results]
    return {
        "id": 7,
        "data": {"text": text},
        "annotations": [{"id": 1, "result": result, **annotation}],
        "predictions": [],
    }


def studio_spans(text: str = TEXT) -> list[dict[str, Any]]:
    return [{"start": s, "end": e, "text": text[s:e], "labels": [label]} for s, e, label in SPANS]


EXPORTED = {"annotation_id": 4, "annotator": 1, "lead_time": 2.5, "id": 9}
ENTITIES: dict[str, Any] = {
    "doccano": {"id": 1, "text": TEXT, "label": TRIPLES, "Comments": []},
    "doccano, earlier": {"id": 1, "data": TEXT, "labels": TRIPLES},
    "doccano with relations": {
        "text": TEXT,
        "entities": [{"id": 5, "label": label, "start_offset": s, "end_offset": e} for s, e, label in SPANS],
        "relations": [],
    },
    "Label Studio": studio(*studio_spans()),
    "Label Studio's JSON-MIN": {"text": TEXT, "ner": studio_spans(), **EXPORTED},
    "Prodigy": {
        "text": TEXT,
        "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}],
        "spans": [{**span, "token_start": 0, "token_end": 0} for span in OBJECTS],
        "answer": "accept",
        "_input_hash": 1,
    },
    "spaCy": [TEXT, {"entities": TRIPLES}],
    "spaCy, objects": {"text": TEXT, "entities": TRIPLES},
    "spaCy, documents": {"text": TEXT, "ents": OBJECTS, "tokens": [{"id": 0, "start": 0, "end": 3}]},
    "spaCy's training JSON": {"id": 1, "raw": TEXT, "entities": TRIPLES},
}
ONE_LABEL: dict[str, Any] = {
    "doccano": {"id": 1, "text": TEXT, "label": ["pos"]},
    "Label Studio": studio({"choices": ["pos"]}),
    "Label Studio's JSON-MIN": {"text": TEXT, "sentiment": {"choices": ["pos"]}, **EXPORTED},
    "Prodigy": {"text": TEXT, "options": [{"id": "pos"}], "accept": ["pos"], "answer": "accept"},
    "Prodigy, one label": {"text": TEXT, "label": "pos", "answer": "accept"},
    "spaCy": [TEXT, {"cats": {"pos": 1.0, "neg": 0.0}}],
    "spaCy's training JSON": {"raw": TEXT, "cats": [{"label": "pos", "value": 1}, {"label": "neg", "value": 0}]},
}
LABELS: dict[str, Any] = {
    "doccano": {"id": 1, "text": TEXT, "label": ["a", "b"]},
    "Label Studio": studio({"choices": ["a"]}, {"choices": ["b"]}),
    "Label Studio's JSON-MIN": {"text": TEXT, "topics": {"choices": ["a", "b"]}, **EXPORTED},
    "Prodigy": {"text": TEXT, "options": [{"id": "a"}], "accept": ["a", "b"], "answer": "accept"},
    "spaCy": {"text": TEXT, "cats": {"a": 1, "b": 0.9, "c": 0.1}},
    "spaCy's training JSON": {
        "raw": TEXT,
        "cats": [{"label": label, "value": score} for label, score in (("a", 1.0), ("b", 0.9), ("c", 0))],
    },
}
CASES = [
    *((TAGS, name, value, {"text": TEXT, "entities": OBJECTS}) for name, value in ENTITIES.items()),
    *((TEXTS, name, value, {"text": TEXT, "label": "pos"}) for name, value in ONE_LABEL.items()),
    *((MANY, name, value, {"text": TEXT, "labels": ["a", "b"]}) for name, value in LABELS.items()),
    ("regression", "Label Studio", studio({"rating": 4}), {"text": TEXT, "label": 4}),
]
TARGET: dict[str, Any] = {"source": TEXT, "target": "Ada met him."}


def columns(task: str, labelled: bool = True) -> Columns:
    """The columns of a task without a config for files."""
    settings = load_config_of(task)
    return columns_of(make_task(settings.task), settings.data, labelled)


def load_config_of(task: str) -> Any:
    Path("any.yaml").write_text(f"task: {{type: {task}}}\nmodel: {{name: 'tiny:bert'}}\ndata: {{train: x.jsonl}}\n")
    return load_config(Path("any.yaml"), [])


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
@pytest.mark.parametrize(
    ("task", "name", "value", "expected"), CASES, ids=lambda one: one if isinstance(one, str) else ""
)
def test_each_form_becomes_the_columns_of_the_task(
    task: str, name: str, value: Any, expected: dict[str, Any], ending: str, project: Project
) -> None:
    path = project.write(f"x{ending}", json.dumps([value] if ending == ".json" else value))
    with pytest.warns(Notice, match=rf"x{ending}: read as {name.split(',')[0].split(' with')[0]}"):
        [row] = read_rows(path, columns(task))
    assert row.values == expected
    assert row.original == (value if isinstance(value, dict) else {"text": value[0], **value[1]})
    with pytest.warns(Notice):
        [row] = read_rows(path, columns(task, labelled=False))
    assert row.values == {"text": TEXT}


def test_a_first_example_without_entities_does_not_hide_the_form(project: Project) -> None:
    path = project.write("x.jsonl", '{"text": "Nothing", "entities": []}\n' + json.dumps(ENTITIES["spaCy, objects"]))
    with pytest.warns(Notice, match="read as spaCy"):
        assert [len(row.values["entities"]) for row in read_rows(path, columns(TAGS))] == [0, 3]


def test_own_columns_are_no_form(project: Project) -> None:
    own = [
        (TAGS, {"text": TEXT, "entities": OBJECTS, "label": []}),
        (TAGS, {"tokens": ["a"], "tags": ["O"], "text": "a", "spans": []}),
        (TEXTS, {"text": TEXT, "label": "pos", "answer": "forty-two"}),
        (MANY, {"text": TEXT, "labels": ["a"], "label": ["b"]}),
    ]
    for task, value in own:
        assert read_rows(project.write("x.jsonl", json.dumps(value)), columns(task))[0].original == value


@pytest.mark.parametrize(
    ("task", "values", "told"),
    [
        (
            TAGS,
            [{**ENTITIES["Prodigy"], "answer": answer} for answer in ("reject", "accept", "ignore")],
            "2 examples left",
        ),
        (TEXTS, [{**ONE_LABEL["Prodigy"], "answer": answer} for answer in ("reject", "accept")], "1 example left out"),
        (
            TEXTS,
            [{**ONE_LABEL["doccano"], "label": []}, ONE_LABEL["doccano"]],
            "1 example left out, which were not annot",
        ),
        (TAGS, [studio(was_cancelled=True), studio(*studio_spans())], "1 example left out, which were not annotated"),
    ],
)
def test_what_was_not_accepted_is_left_out_and_counted(
    task: str, values: list[Any], told: str, project: Project
) -> None:
    path = project.write("x.json", json.dumps(values))
    with pytest.warns(Notice) as notices:
        assert len(read_rows(path, columns(task))) == 1
    assert told in str(notices[-1].message)
    with pytest.warns(Notice):
        assert len(read_rows(path, columns(task, labelled=False))) == len(values), "what is predicted is not left out"


def test_of_several_annotators_the_ground_truth_is_read(project: Project) -> None:
    task = studio({"choices": ["neg"]})
    task["annotations"].append({"result": [{"value": {"choices": ["pos"]}}], "ground_truth": True})
    with pytest.warns(Notice) as notices:
        [row] = read_rows(project.write("x.json", json.dumps([task])), columns(TEXTS))
    assert row.values["label"] == "pos"
    assert any("of several annotations of a task, the ground truth is read" in str(one.message) for one in notices)


def test_offsets_of_a_browser_are_moved(project: Project) -> None:
    """In UTF-16 an emoji counts twice."""
    text = "👍🏽 Ada"
    path = project.write(
        "x.json", json.dumps([studio({"start": 5, "end": 8, "text": "Ada", "labels": ["PER"]}, text=text)])
    )
    with pytest.warns(Notice):
        assert read_rows(path, columns(TAGS))[0].values["entities"] == [{"start": 3, "end": 6, "label": "PER"}]


BAD: dict[str, tuple[str, list[Any], str]] = {
    "mixed": (TAGS, [ENTITIES["doccano"], ENTITIES["Prodigy"]], "x.json:3: no value in column 'entities'"),
    "mixed spans": (
        TAGS,
        [ENTITIES["spaCy, objects"], {"text": "a", "entities": ["b"]}],
        "x.json:3: 'b' is no span as",
    ),
    "no list": (TAGS, [ENTITIES["doccano"], {"text": "a", "label": "b"}], "x.json:3: 'b' is no list of spans"),
    "no text": (TAGS, [ENTITIES["doccano"], {"text": 5, "label": []}], "x.json:3: text is 5: write it as a string"),
    "two tags": (TAGS, [studio({"start": 0, "end": 3, "labels": ["A", "B"]})], "x.json:2: the span 0-3 has the labels"),
    "moved span": (
        TAGS,
        [studio({"start": 0, "end": 3, "text": "met", "labels": ["A"]})],
        "0-3 is 'Ada' in the text and",
    ),
    "two labels": (
        TEXTS,
        [{**LABELS["doccano"]}],
        "x.json:2: the text has 2 labels, ['a', 'b']: set task.type to multi",
    ),
    "no scores": (MANY, [LABELS["spaCy"], {"text": "a", "cats": 1}], "x.json:3: cats is 1: write the score of each"),
    "no values": (
        MANY,
        [LABELS["spaCy's training JSON"], {"raw": "a", "cats": [{"label": "b"}]}],
        "x.json:3: cats is [{",
    ),
    "other texts": (TEXTS, [{**studio({"choices": ["a"]}), "data": {"a": "b", "c": "d"}}], "has no text (found: a, c)"),
    "none left": (
        TEXTS,
        [{**ONE_LABEL["Prodigy"], "answer": "reject"}],
        "1 example left out, which were not accepted: none",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_named(kind: str, project: Project) -> None:
    task, values, sentence = BAD[kind]
    path = project.write("x.json", "[\n" + ",\n".join(map(json.dumps, values)) + "]")
    with pytest.raises(UserError) as refusal, pytest.warns(Notice):
        read_rows(path, columns(task))
    assert sentence in str(refusal.value)


def test_a_file_of_a_tool_is_learnt_and_predicted(
    finished: Callable[[str], None], project: Project, refused: Callable[..., str]
) -> None:
    project.write("x.jsonl", json.dumps(ENTITIES["doccano"]))
    files = ["data.train=x.jsonl", "data.validation=null", "data.test=null"]
    with pytest.warns(Notice, match="read as doccano"):
        assert build(load_config(project.config(TAGS), files)).task.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    finished(TAGS)
    assert main(["predict", "latest", "x.jsonl", "--output", "out.jsonl"]) == 0
    predicted = json.loads(Path("out.jsonl").read_text())
    assert isinstance(predicted.pop("prediction"), list)
    assert predicted == ENTITIES["doccano"]
    project.write("x.jsonl", json.dumps({"text": TEXT, "label": [[0, 2, "PER"]]}))
    with (
        pytest.raises(UserError, match=r"x.jsonl:1: entity 0-2 'Ad' \(PER\) cuts the word 'Ada'"),
        pytest.warns(Notice),
    ):
        build(load_config(project.config(TAGS), files))


@pytest.mark.parametrize("task", ["translation", "summarization"])
@pytest.mark.parametrize("key", ["label", "labels"])
def test_doccano_gives_texts_to_generate(task: str, key: str, project: Project) -> None:
    values: list[dict[str, Any]] = [
        {"id": 1, "text": TEXT, key: []},
        {"id": 2, "text": TEXT, key: [TARGET["target"]], "Comments": []},
    ]
    path = project.write("x.jsonl", "\n".join(map(json.dumps, values)))
    with pytest.warns(Notice) as notices:
        [row] = read_rows(path, columns(task))
    assert (row.values, row.original) == (TARGET, values[1])
    told = [str(one.message).removeprefix(f"{path}: ") for one in notices]
    assert told == ["read as doccano", "1 example left out, which were not annotated"]
    path.write_text(json.dumps({**values[1], key: ["a", "b"]}))
    with pytest.raises(UserError, match=r"x.jsonl:1: the text has 2 targets, .*: keep one"), pytest.warns(Notice):
        read_rows(path, columns(task))
    path.write_text(json.dumps({"text": TEXT, "summary": TARGET["target"], key: ["politics"]}))
    with pytest.warns(Notice, match="columns 'text' and 'summary' are read as source and target"):
        [row] = read_rows(path, columns("summarization"))


# ----------------------------------------------------------------------------------------------- spaCy's training JSON

NER = ["U-PER", "O", "B-PER", "L-PER", "O", "U-LOC", "O"]
WORDS = ["Ada", "met", "王", "小明", "in", "Turin", "."]


def paragraph(tags: list[Any] | None = None, **members: Any) -> dict[str, Any]:
    """A paragraph of two sentences, as `spacy convert` writes it."""
    tokens = [{"id": n, "orth": word, "tag": "X"} for n, word in enumerate(WORDS)]
    for token, tag in zip(tokens, tags or [], strict=False):
        token["ner"] = tag
    return {"raw": None, "sentences": [{"tokens": tokens[:3]}, {"tokens": tokens[3:], "brackets": []}], **members}


@pytest.mark.parametrize("form", ["documents.json", "document.json", "documents.jsonl"])
def test_the_paragraphs_of_spacy_are_examples(form: str, project: Project) -> None:
    paragraphs = [paragraph(NER), paragraph(["O"] * 7), paragraph(["-"] * 7), paragraph()]
    documents = [{"id": 5, "paragraphs": paragraphs[:2]}, {"id": 6, "paragraphs": paragraphs[2:]}]
    content = {
        "documents.json": json.dumps(documents, indent=1),
        "document.json": json.dumps({"id": 5, "paragraphs": paragraphs}),
        "documents.jsonl": "\n".join(map(json.dumps, documents)),
    }[form]
    path = project.write(form, content)
    with pytest.warns(Notice) as notices:
        rows = read_rows(path, columns(TAGS))
    assert [row.values for row in rows] == [{"tokens": WORDS, "tags": tags} for tags in (NER, ["O"] * 7)]
    told = [str(one.message) for one in notices]
    assert f"{path}: read as spaCy's training JSON" in told
    assert f"{path}: 2 examples left out, which were not annotated" in told
    if form == "documents.jsonl":
        assert [row.place for row in rows] == [f"{path}:1: paragraph {number}" for number in (1, 2)]
        assert rows[1].original == {"id": 5, **paragraphs[1]}
    with pytest.warns(Notice):
        assert len(read_rows(path, columns(TAGS, labelled=False))) == 4


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        (TAGS, paragraph(raw=TEXT, entities=TRIPLES), {"text": TEXT, "entities": OBJECTS}),
        (TAGS, paragraph(NER, raw=TEXT, entities=TRIPLES), {"tokens": WORDS, "tags": NER}),
        (TEXTS, paragraph(raw=TEXT, cats=[{"label": "pos", "value": 1}]), {"text": TEXT, "label": "pos"}),
    ],
)
def test_each_part_of_a_paragraph_is_read(task: str, value: Any, expected: Any, project: Project) -> None:
    path = project.write("x.json", json.dumps([{"id": 1, "paragraphs": [value]}]))
    with pytest.warns(Notice, match="read as spaCy's training JSON"):
        [row] = read_rows(path, columns(task))
    assert row.values == expected


def test_a_paragraph_with_words_that_nobody_tagged_is_named(project: Project) -> None:
    path = project.write("x.jsonl", json.dumps({"paragraphs": [paragraph(NER), paragraph([*NER[:-1], "-"])]}))
    with pytest.raises(UserError, match=r"x.jsonl:1: paragraph 2: no value in column 'tags'"), pytest.warns(Notice):
        read_rows(path, columns(TAGS))


def test_paragraphs_of_spacy_are_learnt_predicted_and_read_again(
    project: Project, finished: Callable[[str], None]
) -> None:
    path = project.write("x.json", json.dumps([{"id": 5, "paragraphs": [paragraph(NER), paragraph(NER)]}]))
    finished(TAGS)
    assert main(["predict", "latest", "x.json", "--output", "out.json"]) == 0
    with pytest.warns(Notice):
        rows, again = (read_rows(Path(name), columns(TAGS)) for name in (path, "out.json"))
    assert [row.values for row in again] == [row.values for row in rows]
    assert all(len(row.original["prediction"]) == 7 and row.original["id"] == 5 for row in again)
    documents = [[{"orth": f"{word}{number}", "ner": "U-PER"} for word in "abcd"] for number in range(10)]
    many = [{"paragraphs": [{"sentences": [{"tokens": [token]}]} for token in tokens]} for tokens in documents]
    project.write("many.json", json.dumps(many))
    assert main(["init-data", "many.json", "--config", str(project.config(TAGS))]) == 0
    with pytest.warns(Notice):
        assert len(read_rows(Path("data/many/train.json"), columns(TAGS))) == 32


# ---------------------------------------------------------------------------------------------------------------- brat


def brat(project: Project, annotations: str, text: str = TEXT) -> Path:
    """A folder with one document."""
    project.write("notes/a/doc.txt", text)
    return project.write("notes/a/doc.ann", annotations).parent.parent


def test_brat_gives_a_document_with_its_entities(project: Project) -> None:
    lines = [f"T{n}\t{label} {s} {e}\t{TEXT[s:e]}" for n, (s, e, label) in enumerate(SPANS, start=1)]
    folder = brat(
        project, "\n".join([*lines, "R1\tmeets Arg1:T1 Arg2:T2", "#1\tAnnotatorNotes T1\tsure", "A1\tX T1", ""])
    )
    [record] = read_brat(folder, columns(TAGS))
    assert record.value == {"file": "a/doc.txt", "text": TEXT, "entities": OBJECTS}
    assert record.place == f"{folder}/a/doc.txt:1"
    [record] = read_brat(folder, columns(TAGS, labelled=False))
    assert record.value["entities"] == []


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        ("T1\tPER 0 3;8 11\tAda 王小明", "doc.ann:1: 'T1\\tPER 0 3;8 11\\tAda 王小明' has several parts"),
        ("\nT1\tPER 0\tAda", "doc.ann:2: 'T1\\tPER 0\\tAda' is no entity as brat writes it"),
        ("T1\tPER 1 4\tAda", "doc.ann:1: 1-4 is 'da ' in doc.txt and 'Ada' here"),
    ],
)
def test_what_brat_cannot_mean_is_named(annotations: str, sentence: str, project: Project) -> None:
    with pytest.raises(UserError) as refusal:
        list(read_brat(brat(project, annotations), columns(TAGS)))
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(("ending", "other"), [(".txt", ".ann"), (".ann", ".txt")])
def test_half_a_document_of_brat_is_refused(ending: str, other: str, project: Project) -> None:
    folder = brat(project, "")
    (folder / "a" / f"doc{other}").unlink()
    with pytest.raises(UserError, match=rf"doc{ending}: has no .* beside it \(doc{other}\)"):
        list(read_brat(folder, columns(TAGS)))


# ------------------------------------------------------------------------------------------------------------- mutated

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 30), st.floats(), st.sampled_from(["", "Ada", "PER", TEXT])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["text", "label", "start", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw: Any, value: Any) -> Any:
    """A value in which something, at any depth, is another one or missing."""
    if not value or not isinstance(value, list | dict) or draw(st.integers(0, 3)) == 0:
        return draw(VALUES)
    changed = value.copy()
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    if draw(st.integers(0, 4)) == 0:
        del changed[key]
    else:
        changed[key] = draw(mutated(value[key]))
    return changed


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_mutated_forms_are_read_or_refused_in_one_sentence(data: Any, project: Project) -> None:
    task, _, value, _ = data.draw(st.sampled_from(CASES))
    other = data.draw(mutated(value))
    path = project.write(
        "x.json", "[\n" + ",\n".join(map(json.dumps, data.draw(st.permutations([value, other])))) + "]"
    )
    learner = make_task(load_config_of(task).task)
    refusal = None
    try:
        for row in read_rows(path, columns(task)):
            learner.example(row)
    except UserError as error:
        refusal = str(error)
    assert refusal is None or refusal.startswith("x.json") or str(path) in refusal


def test_every_form_has_a_file() -> None:
    named = {(task, name.split(",")[0].split(" with")[0]) for task, name, _, _ in CASES}
    known = {(task, form.name) for task in (TAGS, TEXTS, MANY, "regression") for form in FORMS[task] if not form.bound}
    assert known <= named
