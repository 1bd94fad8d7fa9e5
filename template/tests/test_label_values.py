"""Labels as files hold them: numbers, booleans, lists in a cell, one-hot columns, and their names."""

import json
from typing import Any

import pytest
from conftest import Project, build
from hypothesis import given
from hypothesis import strategies as st

from finetune.config.load import load_config
from finetune.data.cells import list_in_cell
from finetune.data.label_values import label_name, labels_of, one_hot
from finetune.errors import UserError

TEXTS, MANY, TAGS = "text-classification", "multi-label-classification", "token-classification"
ALONE = ["data.validation=null", "data.test=null"]


def labels(project: Project, task: str, name: str, text: str, *overrides: str) -> list[Any]:
    """The labels of the examples of a training file."""
    project.write(name, text)
    setup = build(load_config(project.config(task), [f"data.train={name}", *ALONE, *overrides]))
    field = {TEXTS: "label", MANY: "labels", TAGS: "tags"}[task]
    return [getattr(example, field) for example in setup.train.examples]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0, "0"), (1.0, "1"), ("1.0", "1"), ("-2.", "-2"), (1.5, "1.5"), ("1.50", "1.50"), ("v1.0", "v1.0"),
        (True, "true"), ("True", "true"), ("FALSE", "false"), ("yes", "yes"), (" a b ", "a b"), ("", None),
        (None, None), (float("nan"), None), (["a"], None), ({"a": 1}, None), (1e20, "1" + 20 * "0"),
    ],
)  # fmt: skip
def test_a_label_is_the_same_text_whatever_its_type(value: Any, name: str | None) -> None:
    assert label_name(value) == name


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("['joy', 'anger']", ["joy", "anger"]), ('["joy", "anger"]', ["joy", "anger"]), ("[]", []), ("[ ]", []),
        ("['joy' 'anger'\n 'fear']", ["joy", "anger", "fear"]), ("('joy', 'anger')", ["joy", "anger"]),
        ("{'joy'}", ["joy"]), ("['it\\'s', \"don't\"]", ["it's", "don't"]), ("[0, 3]", ["0", "3"]),
        ("[0. 3.]", ["0", "3"]), ("[joy, anger]", ["joy", "anger"]), ('["\\u00e9"]', ["é"]), ("['a, b']", ["a, b"]),
        ("a|b, c", ["a", "b, c"]), ("a; b, c", ["a", "b, c"]), ("a, b", ["a", "b"]), ("a", ["a"]), ("", []),
        ("a||b|", ["a", "b"]), (["a", 1, True], ["a", "1", "true"]), (3, ["3"]), ("(a)", ["(a)"]),
    ],
)  # fmt: skip
def test_labels_of_a_cell_or_a_list(cell: Any, found: list[str]) -> None:
    assert labels_of(cell, "x:1") == found


@pytest.mark.parametrize(
    "cell", ["['joy'", "['a', ['b']]", "[None]x]", '[{"a": 1}]', [None], {"a": 1}, "['a' ... 'b']", "['a''b']"]
)
def test_what_is_no_list_of_labels_is_refused(cell: Any) -> None:
    with pytest.raises(UserError, match=r"^x:1: labels must be a list of strings, such as"):
        labels_of(cell, "x:1")


def test_a_known_label_is_not_divided() -> None:
    assert labels_of("food, drink", "x:1", ["food, drink"]) == ["food, drink"]


@given(words=st.lists(st.text(min_size=1, max_size=9), max_size=5))
def test_lists_as_python_prints_them_are_read_back(words: list[str]) -> None:
    assert list_in_cell(repr(words)) == words
    assert list_in_cell(json.dumps(words)) == words


@given(cell=st.text(alphabet="[]()'\" ,\\abn01.…\n|", max_size=40))
def test_any_cell_is_read_or_refused(cell: str) -> None:
    try:
        found = labels_of(cell, "x:1")
    except UserError:
        return
    assert all(isinstance(label, str) and label for label in found)


def test_reading_a_list_is_linear() -> None:
    """Ten times the text may not take a hundred times as long: these are seconds if it does."""
    for cell in (
        "[" + "'a' " * 200_000 + "x'",
        "[" + " " * 200_000 + "'",
        "['" + "\\" * 200_001 + "]",
        "[" * 200_000 + "]",
    ):
        list_in_cell(cell, bare=True)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json"])
def test_whole_numbers_and_booleans_agree_between_formats(name: str, project: Project) -> None:
    rows = [("fine", 1.0, True), ("grim", 0.0, False)]
    objects = [{"text": text, "label": number, "flag": flag} for text, number, flag in rows]
    text = {
        "x.csv": "text,label,flag\nfine,1.0,True\ngrim,0.0,False\n",
        "x.jsonl": "".join(f"{json.dumps(one)}\n" for one in objects),
        "x.json": json.dumps(objects),
    }[name]
    assert labels(project, TEXTS, name, text) == ["1", "0"]
    assert labels(project, TEXTS, name, text, "data.columns={label: flag}") == ["true", "false"]


def test_one_hot_columns_are_labels(project: Project) -> None:
    table = "text,toxic,obscene,threat\na,1,0,1.0\nb,0,,False\nc,true,1,0\n"
    found = labels(project, MANY, "x.csv", table, "data.columns={labels: [toxic, obscene, threat]}")
    assert found == [["toxic", "threat"], [], ["toxic", "obscene"]]


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.csv", "id,text,sad,glad\nr1,a,1,0\n"), ("x.jsonl", '{"text": "a", "sad": true, "glad": false}')],
)
def test_columns_of_1_and_0_are_named_with_the_line_to_add(name: str, text: str, project: Project) -> None:
    with pytest.raises(UserError, match=r'add columns: \{labels: \["sad", "glad"\]\} under data in the config'):
        labels(project, MANY, name, text)
    line = '{labels: ["sad", "glad"]}'
    assert labels(project, MANY, name, text, f"data.columns={line}") == [["sad"]]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": 1}, "x:1: no column 'b' (found: a): correct data.columns"),
        ({"a": 1, "b": 0.7}, "x:1: column 'b' is '0.7': write 1 where the label holds, else 0"),
        ({"a": 1, "b": [1]}, "x:1: column 'b' is '[1]': write 1"),
    ],
)
def test_wrong_one_hot_columns_are_named(value: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        one_hot(("a", "b"), value, "x:1")
    assert str(refusal.value).startswith(sentence)


def test_a_list_of_columns_is_for_labels_only(project: Project) -> None:
    with pytest.raises(UserError, match=r"data.columns.label is a list, which only labels can be"):
        labels(project, TEXTS, "x.csv", "text,label\na,b\n", "data.columns={label: [a, b]}")


@pytest.mark.parametrize(
    ("task", "name", "text", "names", "found"),
    [
        (TEXTS, "x.csv", "text,label\na,1.0\nb,0\nc,good\n", "[bad, good]", ["good", "bad", "good"]),
        (TEXTS, "x.csv", "text,label\na,True\nb,no\n", "{true: good, 'no': bad}", ["good", "bad"]),
        (MANY, "x.csv", 'text,labels\na,"0, 1"\nb,[1]\nc,\n', "[joy, fear]", [["joy", "fear"], ["fear"], []]),
        (MANY, "x.jsonl", '{"text": "a", "labels": [0, 1]}', "{0: joy, 1: fear}", [["joy", "fear"]]),
        (TAGS, "x.jsonl", '{"tokens": ["a", "b"], "tags": [1, 0]}', "[O, B-PER]", [["B-PER", "O"]]),
        (TAGS, "x.csv", "tokens,tags\na b,1 0\n\"['a', 'b']\",\"[1, 0]\"\n", "[O, B-PER]", 2 * [["B-PER", "O"]]),
    ],
)
def test_labels_have_the_names_of_the_config(
    task: str, name: str, text: str, names: str, found: list[Any], project: Project
) -> None:
    assert labels(project, task, name, text, f"data.labels={names}") == found


@pytest.mark.parametrize(
    ("task", "text", "names", "sentence"),
    [
        (TEXTS, "text,label\na,1\nb,2\n", "[bad, good]", "x.csv:3: label '2' has no name in data.labels (0, 1)"),
        (MANY, "text,labels\na,1|7\n", "[bad, good]", "x.csv:2: label '7' has no name in data.labels (0, 1)"),
        (
            TAGS,
            "tokens,tags\na b,1 0\n",
            "{}",
            "x.csv:2: the tags are numbers: name them in their order in data.labels",
        ),
    ],
)
def test_numbers_without_a_name_are_refused(task: str, text: str, names: str, sentence: str, project: Project) -> None:
    with pytest.raises(UserError) as refusal:
        labels(project, task, "x.csv", text, f"data.labels={names}")
    assert str(refusal.value).startswith(sentence)


def test_tokens_in_a_cell_may_be_a_printed_list(project: Project) -> None:
    table = "tokens,tags\n\"['New York', 'is']\",\"['B-LOC', 'O']\"\n[ Music ],O O B-X\n"
    assert labels(project, TAGS, "x.csv", table) == [["B-LOC", "O"], ["O", "O", "B-X"]]


def test_class_weights_are_by_the_same_names(project: Project) -> None:
    project.write("x.jsonl", '{"text": "a", "label": true}\n{"text": "b", "label": 1.0}\n')
    overrides = ["data.train=x.jsonl", *ALONE, "task.class_weights={'True': 3, '1.0': 2}"]
    task: Any = build(load_config(project.config(TEXTS), overrides)).task
    assert dict(zip(task.labels, task.weights, strict=True)) == {"1": 2, "true": 3}
