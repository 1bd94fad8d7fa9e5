"""Command lines of all verbs, input files of `predict`, and answers of `ft-template new`."""

import contextlib
import io
import json
import random
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from .mutations import mutated
from .runs import ROWS, trained
from .target import ACCEPTED, REFUSED, Target

VERBS = ("train", "evaluate", "predict", "fetch", "doctor", "schema", "report", "export", "check-data", "init-data",
         "plan", "monitor", "serve", "push", "search", "mine", "compare", "errors", "explain",
         "sweep", "track", "x", "")  # fmt: skip
"""Names of commands. Where the arguments are right, the work itself is left out."""
WORDS = ("--help", "-h", "--version", "--resume", "--split", "test", "--data", "--text", "a", "--text-pair", "--output",
         "--to", "--config", "--revision", "--days", "--clean", "--port", "--host", "--device", "cpu", "--precision",
         "--min-confidence", "--onnx", "--input", "--format", "--once", "--trust-remote-code", "--payload-limit",
         "auto", "configs/x.yaml", "missing.yaml", "runs/x", "latest", ".", "..", "/", "/dev/null", "data.jsonl", "",
         " ", "-", "--", "--=", "-x", "--port=99999", "--min-confidence=nan", "--days=-1", "a=b", "train.epochs=1", "=",
         "model=[", "\udcff", "\x1b[2J", "x" * 5000, "~", "*.csv", "[b]", "1e999", "9" * 400, "nan", "-1", "0.5", "[/]",
         "\u202e", "{", "@x", "$HOME", "run.name=..", "data.train=missing.jsonl", "model.name=../x", "--query",
         "--rerank", "--top", "--json", "--count", "--corpus")  # fmt: skip
CONFIG = {"task": {"type": "text-classification"}, "model": {"name": "tiny:bert"}, "data": {"train": "data.jsonl"}}


def help_line() -> bytes:
    return json.dumps(["--help"]).encode()


def line(random_: random.Random) -> bytes:
    words = [random_.choice(VERBS)] + [random_.choice(WORDS) for _ in range(random_.randint(0, 5))]
    return json.dumps(words).encode()


@contextlib.contextmanager
def without_work() -> Iterator[None]:
    """Nothing takes the place of what a command does when its arguments are accepted."""
    from finetune import doctor, evaluate
    from finetune.hub import fetch
    from finetune.serving.server import Server
    from finetune.train import loop

    works: list[tuple[Any, str]] = [(loop, "train"), (evaluate, "evaluate"), (fetch, "fetch"),
                                    (fetch, "fetch_for_config"), (doctor, "diagnose"), (doctor, "clean"),
                                    (Server, "run")]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for owner, name in works:
            stack.enter_context(patch.object(owner, name))
        stack.enter_context(patch("sys.stdin", io.TextIOWrapper(io.BytesIO())))
        yield


def run_line(content: bytes, folder: Path) -> str:
    """Run the command in this process: exit code 0 or 2, and for 2 a sentence."""
    from finetune.cli import main

    (folder / "configs").mkdir()
    (folder / "configs" / "x.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS["text-classification"]))
    said, errors = io.StringIO(), io.StringIO()
    with (
        without_work(),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(errors),
    ):
        code = main(json.loads(content))
    assert code in (0, 1, 2), f"exit code {code}"
    assert code != 2 or errors.getvalue().strip(), "it refuses without a word"
    assert "Traceback" not in errors.getvalue(), errors.getvalue()
    return ACCEPTED if code == 0 else REFUSED


# ------------------------------------------------------------------------------------------------------------- predict

INPUTS = {
    "jsonl": (".jsonl", b'{"text": "a fine day"}\n{"text": "dull, \\u4f60", "id": 7}\n'),
    "json": (".json", b'[{"text": "a fine day"}, {"text": "dull"}]'),
    "csv": (".csv", b'text,id\na fine day,1\n"dull, and\nlong",2\n'),
    "tsv": (".tsv", b"text\tid\na fine day\t1\ndull\t2\n"),
}
INPUT_PIECES = [
    *(b'"', b"'", b",", b"\t", b"\n", b"\r", b"\0", b"[", b"]", b"{", b"}", b":", b"\\", b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"\x80", b"\xed\xa0\x80", b"\\ud800", b"NaN", b"1e999", b"9" * 400, b"[" * 500, b"a" * 5000, b"null", b"text"),
    *(b"{}", b'{"text": ""}\n', b'{"text": null}\n', b'{"text": "a"}\n', b"prediction", b"probability", b"=1+1"),
]  # fmt: skip


def input_of(form: str) -> bytes:
    return INPUTS[form][1]


def damaged_input(form: str, random_: random.Random) -> bytes:
    return mutated(INPUTS[form][1], INPUT_PIECES, random_)


@cache
def predictor() -> Any:
    """The predictor of a run, which answers without computing: what it answers is not the matter here."""
    from finetune.predict import Predictor

    loaded = Predictor(trained("text-classification"))
    known = loaded.predict_texts(["a"])[0]

    def predict(rows: Any) -> Any:
        loaded.task.parse(rows, labelled=False)
        return [{name: value for name, value in known.items() if name != "text"} for _ in rows]

    loaded.predict = predict  # type: ignore[method-assign]
    return loaded


def predict_file(form: str, content: bytes, folder: Path) -> str:
    """Predict a file; what is written can be read, and has a prediction for each of its rows."""
    from finetune import predict as module
    from finetune.data.rows import read_rows
    from finetune.errors import UserError

    known, suffix = predictor(), INPUTS[form][0]
    path, output = folder / f"data{suffix}", folder / f"out{suffix}"
    path.write_bytes(content)
    try:
        with patch.object(module, "Predictor", lambda *_, **__: known):
            module.predict_to_file(trained("text-classification"), path, output)
    except UserError as error:
        if not any(str(one) in str(error) for one in (path, output)) or output.exists():
            raise AssertionError(f"it has written, or does not name the file: {error}") from error
        return REFUSED
    rows, written = read_rows(path, known.columns), read_rows(output, known.columns)
    assert [row.values for row in rows] == [row.values for row in written], "other rows than those of the input"
    assert all("prediction" in row.original for row in written), "a row without a prediction"
    return ACCEPTED


# ------------------------------------------------------------------------------------------------------------- answers

ANSWERS = {"project_name": "Demo Project", "author": "Ada", "language": "en", "environment": "none"}
FORMS = {
    "json": json.dumps({"default_context": ANSWERS}, indent=1).encode(),
    "yaml": b"# answers\nproject_name: Demo Project\nenvironment: none\n",
    "toml": b'[default_context]\nproject_name = "Demo Project"\nenvironment = "none"\n',
}
ANSWER_PIECES = [
    *(piece.encode() for piece in "[]{}:,#&*!|>'\"%@`?-~\t\n\r\\\0=."),
    *(b"{{ 7*7 }}", b"{% raw %}", b"{{cookiecutter}}", b"../..", b"/etc/passwd", b"a" * 5000, b"9" * 5000, b"\xff\xfe"),
    *(b"\\ud800", b"\xed\xa0\x80", b"[" * 3000, b"{a: " * 2000, b"&a [*a]", b"!!bool x", b"!!timestamp 1", b"nan",
    b"\x1b"),
    *(b"true", b"null", b"2001-99-99", b'"""', b"default_context", b"project_name", b"_extensions", b"__prompts__",
    b"$(id)"),
]  # fmt: skip


def answers_of(form: str) -> bytes:
    return FORMS[form]


def damaged_answers(form: str, random_: random.Random) -> bytes:
    return mutated(FORMS[form], ANSWER_PIECES, random_)


def complete_answers(form: str, content: bytes, folder: Path) -> str:
    """Read and complete answers, as `validate` and `new` do before they write."""
    from ft_template.answers.complete import complete
    from ft_template.answers.read import read_answers
    from ft_template.errors import UserError
    from ft_template.template import bundled

    path = folder / f"answers.{form}"
    path.write_bytes(content)
    try:
        completed = complete(bundled(), read_answers(path))
    except UserError as error:
        if not all(error.messages.values()):
            raise AssertionError("an error without a message") from error
        return REFUSED
    slug = str(completed["project_slug"])
    assert slug not in ("", ".", ".."), completed
    assert not set(slug) & set("/\\\0"), completed
    return ACCEPTED


TARGETS = [
    Target("command", help_line, line, run_line),
    *(Target(f"predict/{form}", partial(input_of, form), partial(damaged_input, form), partial(predict_file, form))
      for form in INPUTS),
    *(Target(f"answers/{form}", partial(answers_of, form), partial(damaged_answers, form),
             partial(complete_answers, form)) for form in FORMS),
]  # fmt: skip
