"""Configs, overrides and .env files that no parser expects: each is read, or refused in a sentence with its place."""

import os
import re
import time
from pathlib import Path

import pytest
from conftest import Project
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetune.cli import main
from finetune.config.load import load_config
from finetune.env_file import load_env_file
from finetune.errors import UserError

HEAD = "task: {type: text-classification}\nmodel: {name: tiny:bert}\ndata:\n  train: [a.csv, b.csv]\n"
ALIASES = "".join(
    f"{name}: &{name} [{','.join([f'*{last}'] * 10)}]\n" for last, name in zip("abcdefg", "bcdefgh", strict=True)
)
REFUSED = {
    "a date that is none": ("  path: !!timestamp abc", "x.yaml:5: 'data.path' has the tag 'tag:yaml.org,2002:timesta"),
    "a date": ("  path: !!timestamp 2024-01-01", "x.yaml:5: 'data.path' has the tag"),
    "a set": ("  columns: !!set {a, b}", "x.yaml:5: 'data.columns' has the tag"),
    "code": ("  path: !!python/object/apply:os.system [ls]", "x.yaml:5: 'data.path' has the tag"),
    "no switch": ("  header: !!bool maybe", "x.yaml:5: 'data.header' is no value (unknown name 'maybe'): write"),
    "no number": ("  sheet: !!int ''", "x.yaml:5: 'data.sheet' is no value (string index out of range): write"),
    "a tag on a key": ("  !!merge a: b", "x.yaml:5: a key must be a word"),
    "an alias of itself": ("  columns: &a {x: *a}", "x.yaml:5: 'data.columns.x.x"),
    "a root of itself": ("  where: {a: &a [*a]}", "x.yaml:5: 'data.where.a.0.0"),
    "many aliases": (f"a: &a [{','.join('x' * 10)}]\n{ALIASES}", "more than 100,000 values, those that aliases repeat"),
    "deep lists": (f"  path: {'[' * 5000}", "x.yaml:5: this is not YAML (nested too deeply): write plain keys"),
    "deep and closed": (f"  path: {'[' * 120}{']' * 120}", "in more than 100 levels"),
    "deep tables": (f"  path: {'{a: ' * 5000}", "x.yaml:5: this is not YAML (nested too deeply): write plain keys"),
    "beyond Unicode": ('  path: "\\U00110000"', "x.yaml:5: this is not YAML (chr() arg not in range(0x110000)): write"),
    "far beyond Unicode": ('  path: "\\UFFFFFFFF"', "x.yaml:5: this is not YAML ("),
    "half a character": ('  path: "\\ud800"', "x.yaml:5: 'data.path' holds half of a surrogate pair: write whole"),
    "half a key": ('  where: {"\\ud800": a}', "x.yaml:5: 'data.where' holds half of a surrogate pair: write whole"),
    "an escaped NUL": ('  sheet: "\\0"', "x.yaml:5: 'data.sheet' holds the NUL character: write whole characters"),
    "a NUL": ("  sheet: \0", "x.yaml:5: this is not YAML: the NUL character: take it out"),
    "a control character": ("  sheet: \1", "x.yaml:5: this is not YAML: the control character 0x01: take it out"),
    "too many digits": (f"train: {{epochs: {'9' * 5000}}}", "x.yaml:5: 'train.epochs' is no value (Exceeds the limit"),
    "400 digits": (f"train: {{epochs: {'9' * 400}}}", "x.yaml:5: epochs is a number of more than 64 bits: write a"),
    "400 digits, a fraction": (f"optim:\n  lr: {'9' * 400}", "x.yaml:6: 'optim.lr' is 9999"),
    "65 bits": ("train: {max_steps: 9223372036854775808}", "x.yaml:5: max_steps is a number of more than 64 bits"),
    "infinity": ("optim: {lr: .inf}", "x.yaml:5: 'optim.lr' is Infinity: input should be a finite number"),
    "a switch for a number": ("optim:\n  lr: true", "x.yaml:6: lr is true: write a number"),
    "counts that overflow": (
        "  where: {a: 'x{99999999999999999999}'}",
        "where.a is not a regular expression (the repe",
    ),
    "nested counts": ("  where: {a: '(((x{100}){100}){100})'}", "ask for more than 100,000 repetitions): correct it"),
    "a deep pattern": (
        f"  where: {{a: '{'(' * 5000}{')' * 5000}'}}",
        "where.a is not a regular expression (nested too",
    ),
    "a long pattern": (f"  where: {{a: {'x' * 100_001}}}", "where.a is not a regular expression (more than 100,000"),
    "a codec of bytes": ("  encoding: hex", "x.yaml:5: encoding is 'hex': name a text encoding"),
}


def refusal(path: Path, *overrides: str) -> str:
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        load_config(path, list(overrides))
    assert time.process_time() - started < 9
    assert len(str(caught.value)) < 1500
    return str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_config_is_refused_with_its_place(name: str, project: Project) -> None:
    text, told = REFUSED[name]
    assert told in refusal(project.write("x.yaml", f"{HEAD}{text}\n"))


def test_what_is_no_text_file_is_refused(project: Project) -> None:
    os.mkfifo("pipe.yaml")
    Path("folder.yaml").mkdir()
    files = {
        "pipe.yaml": "cannot be read (a named pipe or device, no regular file): check the path of the config",
        "folder.yaml": "cannot be read (a folder, no regular file): check the path of the config",
        "/dev/zero": "cannot be read (a named pipe or device, no regular file)",
        "nul\0.yaml": "cannot be read (embedded null byte)",
        f"{'long' * 100}.yaml": "cannot be read (File name too long)",
        str(project.write("big.yaml", HEAD + "#" * 2**19)): "has 524,377 bytes, and a config at most 524,288",
        str(project.write("utf16.yaml", HEAD.encode("utf-16"))): ":1: is not UTF-8 text: save the config as UTF-8",
        str(project.write("utf16le.yaml", HEAD.encode("utf-16-le"))): ":1: this is not YAML: the NUL character",
        str(project.write("binary.yaml", b"a: b\nc: \xff\xfe")): ":2: is not UTF-8 text",
        str(project.write("empty.yaml", "")): ":1: a config is a mapping with keys",
    }
    for name, told in files.items():
        assert told in refusal(Path(name)), name
    assert load_config(project.write("mark.yaml", HEAD.encode("utf-8-sig"))).data.train == ("a.csv", "b.csv")


def test_characters_in_two_halves_are_read(project: Project) -> None:
    """JSON, which is YAML as well, writes an emoji as a surrogate pair."""
    assert load_config(project.write("x.yaml", HEAD + '  sheet: "\\ud83d\\ude00"\n')).data.sheet == "\U0001f600"


def test_an_alias_repeats_a_value(project: Project) -> None:
    text = "  where: &a {x: y}\n  labels: *a\n"
    assert load_config(project.write("x.yaml", HEAD + text)).data.labels == {"x": "y"}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train=true", "'train' is true, but has keys of its own: write train.epochs and others"),
        ("train=[1]", "'train' is [1], but has keys of its own"),
        ("model=tiny:bert", "'model' is \"tiny:bert\", but has keys of its own: write model.name and others"),
        ("method=lora", "'method' is \"lora\", but has keys of its own: write method.type and others"),
        ("train.lr=", "unknown key 'train.lr'"),
        ("=x", "write an override as key.sub=value"),
        ("a..b=1", "write an override as key.sub=value"),
        ("train.epochs=1e999", "'train.epochs' is Infinity"),
        ("train.epochs=true", "epochs is true: write a number"),
        ("task.class_weights.x=true", "class_weights.x is true: write a number"),
        ("train.epochs=[1]", "'train.epochs' is [1]: input should be a valid integer"),
        ("train.epochs.x=1", "'train.epochs' is {\"x\": 1}: input should be a valid integer"),
        ("data.train.5=c.csv", "a list of 2 items has no item '5': items count from 0"),
        ("data.train.x=c.csv", "a list of 2 items has no item 'x'"),
        ("data.where.a=\udcff", "is not text in the encoding of this terminal"),
        ('data.sheet="\\ud800"', "'data.sheet' holds half of a surrogate pair"),
        ("data.sheet=\0", "the value is not YAML"),
        ("data.sheet=[&a [*a]]", "or an alias within what it repeats"),
        (f"data.sheet={'[' * 5000}", "the value is not YAML (nested too deeply): put it in quotes"),
        (f"{'a.' * 500}b=1", "the key has more than 100 parts"),
    ],
)
def test_a_wrong_override_is_refused_with_its_place(override: str, told: str, project: Project) -> None:
    sentence = refusal(project.write("x.yaml", HEAD), override)
    assert sentence.startswith("argument '")
    assert told in sentence


def test_an_item_of_a_list_is_replaced(project: Project) -> None:
    assert load_config(project.write("x.yaml", HEAD), ["data.train.1=c.csv"]).data.train == ("a.csv", "c.csv")


def test_the_command_line_answers_with_a_sentence(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(project.write("x.yaml", HEAD)), "train=true"]) == 2
    assert capsys.readouterr().err.startswith("error: argument 'train=true': 'train' is true")


YAML = st.recursive(
    st.sampled_from(["true", "~", ".nan", "1e999", "-0x1", "9" * 400, "'", '"', "&a x", "*a", "!!bool x", "!!float y",
                     "!!timestamp z", "|", "? k", '"\\ud800"', '"\\x00"', "\u2028", "\x85", "<<", "tiny:bert", "a.csv"])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    | st.lists(st.tuples(st.sampled_from(["type", "name", "train", "a", "0", "*a", "<<"]), inner), max_size=3).map(
        lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
    ),
    max_leaves=6,
)  # fmt: skip
KEYS = ["task", "task.type", "task.class_weights", "model", "model.name", "method", "method.type", "data", "data.train",
        "data.columns", "data.where", "data.labels", "data.where.a", "train", "train.epochs", "train.compile",
        "optim.lr", "run", "run.name", "continual", "stages", "stages.0.name", "continue_from", "x", ""]  # fmt: skip
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_refused(path: Path, *overrides: str) -> None:
    """Read a config as the command line does; anything but a config or a sentence with its place is a failure."""
    try:
        config = load_config(path, list(overrides))
    except UserError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert type(config).model_validate_json(config.model_dump_json()) == config  # as a run keeps it
    assert not sentence or re.match(rf"({re.escape(str(path))}(:\d+)?|argument '.*'): .+", sentence, re.DOTALL)


@settings(FAST, max_examples=250)
@given(key=st.sampled_from(KEYS), value=YAML)
@example(key="method", value="{}")
def test_any_override_is_read_or_refused(key: str, value: str, project: Project) -> None:
    read_or_refused(project.write("x.yaml", HEAD), f"{key}={value}")


@settings(FAST, max_examples=250)
@given(key=st.sampled_from(KEYS[:-1]), value=YAML)
def test_any_value_in_a_file_is_read_or_refused(key: str, value: str, project: Project) -> None:
    *sections, name = key.split(".")
    text = "".join(f"{'  ' * depth}{section}:\n" for depth, section in enumerate(sections))
    lines = f"{text}{'  ' * len(sections)}{name}: {value}\n"
    read_or_refused(project.write("x.yaml", re.sub(rf"(?m)^{key.split('.')[0]}:.*\n( .*\n)*", "", HEAD) + lines))


@settings(FAST, max_examples=250)
@given(
    place=st.integers(0, len(HEAD)),
    lost=st.integers(0, 9),
    piece=st.sampled_from([*"[]{}:,#&*!|>'\"%@`\t\n\r\0-?\\", "\ufeff", "\ud800", "- ", ": ", "&a ", "*a", "!!set "])
    | st.text(max_size=3),
)
def test_a_damaged_config_is_read_or_refused(place: int, lost: int, piece: str, project: Project) -> None:
    text = HEAD[:place] + piece + HEAD[place + lost :]
    read_or_refused(project.write("x.yaml", text.encode("utf-8", "surrogatepass")))


@settings(FAST, max_examples=150)
@given(text=st.text(st.sampled_from("aA1=${}'\"\\#\n\r\t \0:=\u2028é"), max_size=20))
@example(text="=")
@example(text="''=x")
def test_any_env_file_is_read_or_refused(text: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.write(".env", text)
    before = dict(os.environ)
    sentence = ""
    try:
        load_env_file(path)
    except UserError as error:
        sentence = str(error)
    finally:
        for name in os.environ.keys() - before:
            del os.environ[name]
    assert not sentence or re.match(rf"{re.escape(str(path))}:\d+: .+", sentence)
