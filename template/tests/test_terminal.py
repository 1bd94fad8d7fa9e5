"""What a terminal shows: any encoding, the result last, words beside their tags; and the file .env."""

import errno
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Project, needs
from rich.console import Console

from finetune import console, optional
from finetune.cli import main
from finetune.console import print_indented, print_table
from finetune.env_file import load_env_file
from finetune.errors import UserError


class Terminal(io.TextIOWrapper):
    """Standard output in an encoding, of a terminal or of a pipe."""

    def __init__(self, encoding: str, *, interactive: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
        self.interactive = interactive

    def isatty(self) -> bool:
        return self.interactive

    def shown(self) -> str:
        """All that was written."""
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command writes on a standard output of some encoding."""

    def run(*arguments: str, encoding: str = "utf-8", interactive: bool = False) -> str:
        terminal = Terminal(encoding, interactive=interactive)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", terminal)
            assert main(arguments) == 0
        return terminal.shown()

    return run


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk"])
def test_nothing_fails_for_the_encoding(encoding: str, project: Project, output: Callable[..., str]) -> None:
    rows = [{"text": f"文本 {n} → ☺", "label": label} for n in range(4) for label in ("好评👍", "naïve")]
    project.write("标签.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    files = {"train": "标签.jsonl", "validation": "标签.jsonl", "test": "标签.jsonl"}
    path = project.config("text-classification", name="配置", data=files, train={"max_steps": 1})
    commands = [
        ["train", str(path)],
        ["evaluate", "latest"],
        ["predict", "latest", "标签.jsonl"],
        ["doctor"],
        ["schema"],
        ["--help"],
        *([["report", "latest"]] if optional.is_there("report") else []),
        *([["check-data", str(path)], ["check-data", str(path), "--json"]] if optional.is_there("check_data") else []),
    ]
    for command in commands:
        shown = output(*command, encoding=encoding)
        if "--json" in command:
            assert "好评👍" in json.dumps(json.loads(shown), ensure_ascii=False), "JSON loses nothing"
    record = json.loads(output("predict", "latest", "--text", "文本 ☺", encoding=encoding))
    assert set(record["probabilities"]) == {"好评👍", "naïve"}
    assert "好评👍" in output("predict", "latest", "--text", "文本 ☺")


def test_the_result_is_shown_last(finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished("token-classification")
    capsys.readouterr()
    assert main(["evaluate", "latest"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    start = next(number for number, line in enumerate(lines) if line.startswith("test: "))
    assert lines.index("Tokens, O included") < start
    evaluation = json.loads(Path("runs/config/evaluation-test.json").read_text())
    others = [name for name in evaluation["metrics"] if name != "f1"]
    shown = ["f1", *(["95"] if evaluation["interval"] else []), *others]
    table = lines[start + 1 : start + 3 + len(shown)]
    assert table[0].startswith("this model   always O")
    assert [line.split()[0] for line in table[2:]] == shown
    end = lines[start + 3 + len(shown) :]
    result = f"Result: f1 {evaluation['metrics']['f1']:.4f} (always O: 0.0000; each word's most frequent tag: "
    assert " ".join(end).startswith(result)
    end = end[next(number for number, line in enumerate(end) if f"Loss {evaluation['loss']:.4f}." in line) + 1 :]
    assert [line.split(":")[0] for line in end] == (["report"] if optional.is_there("report") else [])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_under_a_heading_is_wrapped_below_it(terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=30, force_terminal=terminal, color_system=None, emoji=False)
    print_indented(console, "memory: [bold]1.8 GB[/] plus activations, in :smile:")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in shown.splitlines()]
    text = "  memory: 1.8 GB plus activations, in :smile:"
    assert lines == (["  memory: 1.8 GB plus", "  activations, in :smile:"] if terminal else [text])


def test_a_table_cuts_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of a script without blanks nor a long word: where the terminal is narrow, it goes on in the next line."""
    console = Console(width=40)
    texts = ["没问题，我们会把茶壶包成礼物，明天上午送到您的公司。" * 2, "https://example.org/" + 60 * "x"]
    print_table(console, ["text", "score"], [[text, 0.5] for text in texts])
    shown = "".join(capsys.readouterr().out.split())
    for text in texts:
        assert text in shown.replace("0.5000", "")


def test_words_stand_beside_their_tags(
    finished: Callable[[str], None], output: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished("token-classification")
    monkeypatch.setenv("TERM", "dumb")  # without bold letters
    text = ("predict", "runs/config", "--text", "Ada lives in Turin")
    record = json.loads(output(*text))
    assert record["words"] == ["Ada", "lives", "in", "Turin"]
    rows = [line.split() for line in output(*text, interactive=True).splitlines() if line.strip()]
    assert rows[0] == ["word", "tag", "probability"]
    triples = zip(record["words"], record["tags"], record["probabilities"], strict=True)
    assert rows[2:6] == [[word, tag, f"{share:.4f}"] for word, tag, share in triples]
    assert rows[6] == ["entity", "label", "probability", "start", "end"]
    assert [row[0] for row in rows[8:]] == [word for span in record["prediction"] for word in span["text"].split()[:1]]


def test_a_terminal_shows_four_digits_and_a_pipe_all(
    finished: Callable[[str], None], output: Callable[..., str]
) -> None:
    finished("regression")
    text = ("predict", "runs/config", "--text", "so so")
    exact, shown = (json.loads(output(*text, interactive=interactive))["prediction"] for interactive in (False, True))
    assert exact != shown == round(exact, 4)


def test_what_takes_long_shows_a_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for what is over at once, not on a pipe, and for several processes only that of the first."""

    def shown(work: float, *, interactive: bool = True, total: int | None = 10) -> str:
        terminal, clock = Terminal("utf-8", interactive=interactive), itertools.count(0, work)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal)
            patched.setenv("TERM", "xterm")
            patched.setattr(console, "monotonic", lambda: next(clock))
            with console.progress("reading [a].jsonl", total) as advance:
                for _ in range(4):
                    advance(2)
        return terminal.shown()

    assert "reading [a].jsonl" in (bar := shown(0.7))
    assert "80%" in bar
    assert bar.endswith("\x1b[1A\x1b[2K"), "it leaves no line behind"
    assert "8" in shown(0.7, total=None)
    assert shown(0.1) == shown(0.7, interactive=False) == ""
    monkeypatch.setenv("RANK", "1")
    assert shown(0.7) == ""


@needs("report")
@pytest.mark.parametrize(
    ("validation", "test", "command"),
    [
        (None, None, "runs/config --data FILE"),
        ("validation.jsonl", None, "runs/config --split validation"),
        ("validation.jsonl", "validation.jsonl", "runs/config --split test"),
    ],
)
def test_the_command_that_a_report_names_works(
    validation: str | None, test: str | None, command: str, project: Project, refused: Callable[..., str]
) -> None:
    data = {"train": "train.jsonl", "validation": validation, "test": test}
    project.train(project.config("text-classification", data=data, train={"max_steps": 1}))
    assert main(["report", "latest"]) == 0
    page = Path("runs/config/report/index.html").read_text()
    assert f"run <code>python -m finetune evaluate {command}</code>" in " ".join(page.split())
    assert main(["evaluate", *command.replace("FILE", "train.jsonl").split()]) == 0
    if validation and not test:
        assert "or take --split validation" in refused("evaluate", "runs/config")


def test_variables_come_from_the_file_env(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "SET": "before"})
    project.write(
        ".env",
        b"\xef\xbb\xbf# a comment\r\n\r\nFIRST='a b'\r\nexport SECOND=${FIRST}c # more\r\nSET=after\r\nNONE=\r\n",
    )
    assert main(["schema"]) == 0
    assert [os.environ[name] for name in ("FIRST", "SECOND", "SET", "NONE")] == ["a b", "a bc", "before", ""]


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\n\nsecret word\n", 3), ("A\n", 1), ("A=1\nB='secret\n", 2), ("=secret\n", 1), (b"A=\xff", 1)],
)
def test_a_broken_line_of_env_is_named_and_not_shown(
    text: str | bytes, line: int, project: Project, refused: Callable[..., str]
) -> None:
    project.write(".env", text)
    sentence = refused("doctor")
    assert sentence.startswith(f".env:{line}: ")
    assert "secret" not in sentence
    with pytest.raises(UserError):
        load_env_file()


UNREADABLE = {
    "a folder": ".env: is a folder: rename it; .env is the file of environment variables",
    "a named pipe": ".env: is no regular file: rename it; .env is the file of environment variables",
    "not allowed": ".env: cannot be read (Permission denied): allow reading it, or remove it",
    "not UTF-8": ".env:2: is no text in UTF-8: save the file in that encoding",
    "half of UTF-16": ".env:1: is no text in UTF-8: save the file in that encoding",
    "NUL": ".env:2: has a NUL character, as binary files do: save the file as text in UTF-8",
}


@pytest.mark.parametrize("verb", [["schema"], ["serve", "latest"], ["train", "config.yaml"]])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_env_that_cannot_be_read_is_one_sentence(
    kind: str, verb: list[str], project: Project, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"not UTF-8": b"A=1\nB=secret\xb0\n", "half of UTF-16": b"\xff\xfeA", "NUL": b"A=1\nB=\0secret\n"}
    if kind == "a folder":
        Path(".env").mkdir()
    elif kind == "a named pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("Windows has no named pipes in folders")
        os.mkfifo(".env")
    else:
        project.write(".env", contents.get(kind, b"A=1\n"))
    if kind == "not allowed":  # whoever may read everything would not be refused

        def read_bytes(path: Path) -> bytes:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert refused(*verb) == UNREADABLE[kind]
    assert not Path("runs").exists()


def test_a_virtual_environment_of_that_name_is_no_file_of_variables(project: Project) -> None:
    project.write(".env/pyvenv.cfg", "home = /usr/bin\n")
    assert main(["schema"]) == 0


def test_env_in_utf_16_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PowerShell writes it."""
    monkeypatch.setattr(os, "environ", {**os.environ})
    project.write(".env", "FIRST=a\r\n".encode("utf-16"))
    assert main(["schema"]) == 0
    assert os.environ["FIRST"] == "a"


def test_env_is_read_before_the_hub_is_imported(project: Project) -> None:
    project.write(".env", "HF_ENDPOINT=https://mirror.example\n")
    code = (
        "import sys, finetune.cli; assert 'huggingface_hub' not in sys.modules; finetune.cli.main(['schema'])\n"
        "from huggingface_hub import constants; sys.exit(constants.ENDPOINT != 'https://mirror.example')"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    variables.pop("HF_ENDPOINT", None)
    done = subprocess.run([sys.executable, "-c", code], env=variables, stdout=subprocess.DEVNULL)
    assert done.returncode == 0
