"""Words and paths in configs and arguments mean what is written: yes and no, dates, Windows paths, patterns."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Project

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.config.yaml_lines import parse_override

HEAD = "task: {type: text-classification}\nmodel: {name: tiny:bert}\ndata:\n  train: train.csv\n"


def loaded(project: Project, *overrides: str, text: str = "") -> Config:
    return load_config(project.write("x.yaml", HEAD + text), list(overrides))


WORDS = ["yes", "no", "on", "off", "y", "n", "Yes", "NO", "true", "false", "True", "null", "~", "010", "0x1F", "1_000",
         "2024", "007", "1:30", "2024-01-01", "1.50", "1e5", "2e-3", ".5", "-5", "=", "5%"]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_a_label_as_it_is_written(word: str, project: Project) -> None:
    in_file = loaded(project, text=f"  where: {{label: {word}, {word}: x}}\n")
    assert in_file.data.where == {"label": word, word: "x"}
    assert loaded(project, f"data.where={{label: {word}}}").data.where == {"label": word}
    assert loaded(project, f"data.where.label={word}").data.where == {"label": word}
    weights = loaded(project, f"task.class_weights={{{word}: 3, other: 1}}").task.class_weights  # type: ignore[union-attr]
    assert weights == {word: 3.0, "other": 1.0}
    assert loaded(project, f"data.train=[{word}, b.csv]").data.train == (word, "b.csv")


@pytest.mark.parametrize("word", ["yes", "on", "2024-01-01", "010", "1:30"])
def test_a_word_is_a_column_as_it_is_written(word: str, project: Project) -> None:
    assert loaded(project, f"data.columns={{text: {word}, label: 3}}").data.columns == {"text": word, "label": 3}


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.compile=true", True),
        ("train.compile=yes", True),
        ("train.compile=off", False),
        ("train.compile=False", False),
        ("train.epochs=010", 10),
        ("train.epochs=1_000", 1000),
        ("train.epochs=+5", 5),
        ("train.max_steps=null", None),
        ("train.max_steps=~", None),
        ("train.max_steps=", None),
        ("train.eval_every=epoch", "epoch"),
        ("train.eval_every=5", 5),
        ("train.clip_norm=1e-1", 0.1),
        ("train.clip_norm=.5", 0.5),
        ("train.clip_norm=2.", 2.0),
    ],
)
def test_numbers_and_switches_are_read_as_such(override: str, value: Any, project: Project) -> None:
    key = override.partition("=")[0].partition(".")[2]
    read = getattr(loaded(project, override).train, key)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("name", ["2024", "1e5", "2024-01-01", "1.50", "yes", "007"])
def test_a_name_may_look_like_something_else(name: str, project: Project) -> None:
    assert loaded(project, f"run.name={name}").run.name == name
    assert loaded(project, f"model.revision={name}").model.revision == name


@pytest.mark.parametrize(
    ("value", "files"),
    [
        (r"C:\data\x.csv", (r"C:\data\x.csv",)),
        (r"C:\Users\name\new\train.csv", (r"C:\Users\name\new\train.csv",)),
        (r"\\server\share\x.csv", (r"\\server\share\x.csv",)),
        (r"'D:\data\new.csv'", (r"D:\data\new.csv",)),
        (r'"D:\\data\\new.csv"', (r"D:\data\new.csv",)),
        ("[a.csv,b.csv]", ("a.csv", "b.csv")),
        (r"[C:\a.csv, D:\b.csv]", (r"C:\a.csv", r"D:\b.csv")),
        ("data/*.csv", ("data/*.csv",)),
        ("*.csv", ("*.csv",)),
        ("**/*.csv", ("**/*.csv",)),
        ("%TEMP%/x.csv", ("%TEMP%/x.csv",)),
        ("@x.csv", ("@x.csv",)),
        ("!x.csv", ("!x.csv",)),
        ("&x.csv", ("&x.csv",)),
        ("`x`.csv", ("`x`.csv",)),
        ("hf://datasets/org/name/x.parquet", ("hf://datasets/org/name/x.parquet",)),
        ("data/中文：x，y.csv", ("data/中文：x，y.csv",)),
    ],
)
def test_paths_and_patterns_are_taken_as_they_are_typed(value: str, files: tuple[str, ...], project: Project) -> None:
    assert loaded(project, f"data.train={value}").data.train == files


def test_a_text_in_braces_is_a_text_where_one_is_wanted(project: Project) -> None:
    assert parse_override("a.b={title}")[1].text == "{title}"
    path = project.config("translation")
    prefix = "translate English to German: "
    assert load_config(path, [f"task.prefix={prefix}"]).task.prefix == prefix  # type: ignore[union-attr]


ESCAPES = r"in double quotes \ begins an escape sequence: write the path with / or in single quotes"
LINES: dict[str, tuple[str, str]] = {
    "unknown escape": (
        r'  test: "D:\data\train.csv"',
        f"x.yaml:5: this is not YAML: found unknown escape character 'd': {ESCAPES}",
    ),
    "escape of a code point": (
        r'  test: "C:\Users\x.csv"',
        "x.yaml:5: this is not YAML: expected escape sequence of 8",
    ),
    "known escapes": (r'  test: "D:\new\train.csv"', f"x.yaml:5: 'data.test': {ESCAPES}"),
    "relative path": (r'  test: "data\train.csv"', f"x.yaml:5: 'data.test': {ESCAPES}"),
    "in a list": (r'  test: [a.csv, "data\new.csv"]', f"x.yaml:5: 'data.test.1': {ESCAPES}"),
    "run.dir": ("run:\n" + r'  dir: "E:\runs"', f"x.yaml:6: 'run.dir': {ESCAPES}"),
    "full-width colon behind a key": (
        "train：{epochs: 3}",
        "x.yaml:5: 'train：{epochs': write : in place of the full-width ：",
    ),
    "full-width colon alone": ("run:\n  name：x", "x.yaml:6: 'run': write : in place of the full-width ："),
    "full-width colon in braces": (
        "train: {epochs：3}",
        "x.yaml:5: 'train.epochs：3': write : in place of the full-width ：",
    ),
    "full-width comma": ("train: {epochs: 3，seed: 4}", "write , in place of the full-width ，"),
    "full-width quotes": ("run: {name: “x”}", "x.yaml:5: 'run.name': write \" in place of the full-width “"),
    "tab": (
        "train:\n\tepochs: 3",
        "x.yaml:6: this is not YAML: found character '\\t' that cannot start any token: indent with blanks",
    ),
    "tag": (
        "train: !x 3",
        "x.yaml:5: 'train' has the tag '!x': write a plain value",
    ),
    "key twice in a table": ("  where: {a: b, a: c}", "x.yaml:5: 'data.where.a' is given twice: keep one"),
    "list of numbers": (
        "train: {epochs: [1, 2]}",
        "x.yaml:5: 'train.epochs' is [1, 2]: input should be a valid integer",
    ),
}


@pytest.mark.parametrize("text", LINES)
def test_what_yaml_reads_otherwise_is_one_sentence(text: str, project: Project, refused: Callable[..., str]) -> None:
    lines, sentence = LINES[text]
    assert sentence in refused("train", project.write("x.yaml", f"{HEAD}{lines}\n"))


def test_a_config_of_full_width_punctuation_alone(project: Project, refused: Callable[..., str]) -> None:
    assert "write : in place of the full-width ：" in refused("train", project.write("x.yaml", "task：chat\n"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (r'data.train="C:\data\x.csv"', f"the value is not YAML: {ESCAPES}"),
        (r'data.train="C:\new.csv"', f"'data.train': {ESCAPES}"),
        ("data.where={a: b, a: c}", "'data.where.a' is given twice: keep one"),
        ("data.train=[*.csv]", "the value is not YAML: put it in quotes"),
        ("train.epochs=*", "'train.epochs' is \"*\": input should be a valid integer"),
    ],
)
def test_an_argument_that_cannot_be_read(
    override: str, sentence: str, project: Project, refused: Callable[..., str]
) -> None:
    assert sentence in refused("train", project.config("text-classification"), override)


def test_texts_in_double_quotes_keep_their_escapes(project: Project) -> None:
    path = project.config("text-generation")
    text = path.read_text().replace("type: text-generation", 'type: text-generation\n  separator: "\\n\\t→：“x”"')
    path.write_text(text, encoding="utf-8")
    assert load_config(path).task.separator == "\n\t→：“x”"  # type: ignore[union-attr]


FUSED = {  # lines of a config, and the number of the line with the key, the key and how to write it
    "task: {type:chat}": (1, "task.type:chat", "type: chat"),
    "data: {train:C:/x.csv}": (1, "data.train:C:/x.csv", "train: C:/x.csv"),
    'data: {train:"a b.csv"}': (1, 'data.train:"a b.csv"', 'train: "a b.csv"'),
    "data: {train: a.csv, columns: {text:5}}": (1, "data.columns.text:5", "text: 5"),
    "data: {train: a.csv, labels: {0:bad}}": (1, "data.labels.0:bad", "0: bad"),
    "data: {train: a.csv,\n  features: {price:number}}": (2, "data.features.price:number", "price: number"),
    "method: {type: lora, r:8}": (1, "method.r:8", "r: 8"),
    "optim: {lr:1e-3}": (1, "optim.lr:1e-3", "lr: 1e-3"),
    "train: {compile:true}": (1, "train.compile:true", "compile: true"),
    "stages: [{name: a, data: {train:x.csv}}]": (1, "stages.0.data.train:x.csv", "train: x.csv"),
    "stages: [name:first]": (1, 'stages.0\' is "name:first"', "name: first"),
    "task:\n  type:chat": (1, 'task\' is "type:chat"', "type: chat"),
    "data:\n  train:a.csv\n  test:b.csv": (1, 'data\' is "train:a.csv test:b.csv"', "train: a.csv"),
    "data:\n  train: a.csv\n  test:b.csv # c": (3, "", "test: b.csv"),
    "data:\n  train:a.csv\n  test: b.csv": (2, "", "train: a.csv"),
    "continue_from:runs/x": (1, "", "continue_from: runs/x"),
    "stages:\n- name:first\n  data: {train: a.csv}": (2, "", "name: first"),
}


@pytest.mark.parametrize("text", FUSED)
def test_a_missing_blank_after_a_colon_is_named(text: str, project: Project, refused: Callable[..., str]) -> None:
    line, key, pair = FUSED[text]
    model = "model: {name: tiny:bert}\n"
    told = refused("train", project.write("x.yaml", f"{text}\n{model}").name)
    assert told.startswith(f"x.yaml:{line}: '{key}" if key else f"x.yaml:{line}: this is not YAML: ")
    assert told.endswith(f": YAML needs a blank after the colon: write {pair}")


@pytest.mark.parametrize(
    "override", ["task={type:chat}", "task=type:chat", "data.columns={text:5}", "stages=[{name:a}]"]
)
def test_a_missing_blank_in_an_argument_is_named(override: str, project: Project, refused: Callable[..., str]) -> None:
    told = refused("train", project.config("text-classification"), override)
    key, value = override.rpartition("=")[2].strip("[{}]").split(":")
    assert told.startswith(f"argument '{override}': '{override.partition('=')[0]}")
    assert told.endswith(f": YAML needs a blank after the colon: write {key}: {value}")


def test_a_config_without_any_blank_and_one_with_a_path(project: Project, refused: Callable[..., str]) -> None:
    assert "write task: chat" in refused("train", project.write("x.yaml", "task:chat\n"))
    for path in ("C:/x.csv", "hf://datasets/org/x.csv"):
        told = refused("train", project.write("x.yaml", f"data: {path}\n{HEAD.partition('data')[0]}").name)
        assert told.startswith("x.yaml:1: 'data' is ")
        assert "blank" not in told


@pytest.mark.parametrize("override", ["data.columns={text}", "data.columns.text=", "data.columns={text: {}}"])
def test_a_key_is_named_as_it_is_written(override: str, project: Project, refused: Callable[..., str]) -> None:
    """Not with the name of a type that pydantic has tried."""
    assert "'data.columns.text' is " in refused("train", project.config("text-classification"), override)
