"""The questions in a pseudo-terminal: arrow keys, numbers, and error messages while the user types."""

import os
import re
import select
import signal
import struct
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest
from front_end import COMMAND, ENVIRONMENT, ft_template, names
from ft_template.answers import prompts, suggest
from ft_template.system.machine import inspect_machine

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are those of Unix", allow_module_level=True)

import fcntl
import pty
import termios

DOWN, ENTER, CTRL_C, CTRL_U = "\x1b[B", "\r", "\x03", "\x15"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
CURSOR = b"\x1b[6n"


class Terminal:
    """Runs the command in a pseudo-terminal and types into it."""

    def __init__(self, *arguments: str, cwd: Path, term: str = "xterm-256color", columns: int = 120) -> None:
        self.number, self.screen = pty.fork()
        if self.number == 0:
            os.chdir(cwd)
            command = [*COMMAND, "new", *arguments]
            os.execve(command[0], command, ENVIRONMENT | {"TERM": term, "LC_ALL": "C.UTF-8"})
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        self.shown = ""
        self.raw = b""

    def read(self, seconds: float) -> bool:
        """Whether more has come."""
        if not select.select([self.screen], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.screen, 65536)
        except OSError:  # the other side has ended
            return False
        if CURSOR in data:
            os.write(self.screen, b"\x1b[1;1R")
        self.raw += data
        self.shown = " ".join(ESCAPES.sub(" ", self.raw.decode("utf-8", "replace")).split())
        return bool(data)

    def expect(self, words: str) -> None:
        end = time.monotonic() + 300  # only a hang takes as long
        while not appears(words, self.shown):
            assert time.monotonic() < end, f"{words!r} is not in {self.shown!r}"
            self.read(0.2)

    def type(self, words: str, keys: str) -> None:
        """Wait until something is shown, then type; what was shown is not looked at again."""
        self.expect(words)
        self.raw, self.shown = b"", ""
        os.write(self.screen, keys.encode())

    def end(self) -> int:
        while self.read(30):
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        os.close(self.screen)
        return code


def appears(words: str, shown: str) -> bool:
    """Whether a text was shown. A character that stood in its place already is not sent again: two may be missing."""
    plain, seen = ("".join(text.split()) for text in (words, shown))
    return any(
        "".join(character for number, character in enumerate(plain) if number not in missing) in seen
        for count in range(3)
        for missing in combinations(range(len(plain)), count)
    )


REST = [
    ("in one line", ENTER),
    ("Author, for", "Ada" + ENTER),
    ("Language of your texts", ENTER),
]


def test_arrow_keys_numbers_and_faults_as_one_types(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.txt").touch()
    terminal = Terminal(cwd=tmp_path)
    terminal.type("Display name of the project", "Mood {{")
    terminal.type("template expression", CTRL_U + "Torch" + ENTER)
    terminal.type("letters, digits, hyphens", ENTER)
    terminal.type("is the name of a package", "taken")
    terminal.type("taken exists already", CTRL_U + "mood" + ENTER)
    for words, keys in REST:
        terminal.type(words, keys)
    terminal.type("10. summarization", DOWN * 6 + ENTER)  # from text-classification to text-generation
    terminal.expect("adapter: bottleneck adapters")
    assert "head: the last layer" not in terminal.shown, "it does not go with text-generation"
    machine = inspect_machine(tmp_path)
    suggestion = suggest.method(machine, "openai-community/gpt2")
    assert suggestion is not None
    assert suggestion.reason in terminal.shown
    terminal.type("adapter: bottleneck adapters", "2" + ENTER)
    terminal.type("Base model", ENTER)
    terminal.type("PyTorch build", "3" + ENTER)
    terminal.type("Python environment of the project", "3" + ENTER)
    terminal.type("Editors", ENTER)
    terminal.type("Add a Jupyter notebook", ENTER)
    terminal.type("Add a Dockerfile", ENTER)
    terminal.type("Licence", ENTER)
    terminal.expect("base_model openai-community/gpt2")
    terminal.type(f"Create the project in {tmp_path / 'mood'}?", ENTER)
    terminal.expect("In a terminal")

    assert terminal.end() == 0
    config = (tmp_path / "mood/configs/train.yaml").read_text()
    assert "type: text-generation" in config
    assert "type: lora" in config
    pyproject = (tmp_path / "mood/pyproject.toml").read_text()
    assert 'accelerator = "cpu"' in pyproject
    assert '"Ada"' in pyproject
    assert not (tmp_path / "mood/.venv").exists()
    assert not (tmp_path / "mood/.vscode").exists()


def test_a_dumb_terminal_gets_lines_and_numbers(tmp_path: Path) -> None:
    answers = ("author=Ada", "language=en", "base_model=tiny:bert", "method=lora", "license=MIT")
    given = [f"--set={answer}" for answer in answers]
    set_already = ("--set=editor=both", "--set=description=D")
    terminal = Terminal(*given, *set_already, cwd=tmp_path, term="dumb")
    terminal.type("Display name of the project", "A{{b" + ENTER)
    terminal.type("template expression", "Mood" + ENTER)
    terminal.type("letters, digits, hyphens", ENTER)
    terminal.type("9 summarization", "4" + ENTER)
    terminal.type("PyTorch build", "7" + ENTER)
    terminal.type("not in the range", ENTER)
    terminal.type("Python environment", "3" + ENTER)
    terminal.type("Add a Jupyter notebook", "1" + ENTER)
    terminal.type("Add a Dockerfile", "1" + ENTER)
    terminal.type("Create the project in", ENTER)
    terminal.expect("In a terminal")

    assert terminal.end() == 0
    assert b"\x1b[6n" not in terminal.raw
    assert "type: token-classification" in (tmp_path / "mood/configs/train.yaml").read_text()
    assert (tmp_path / "mood/.vscode").is_dir()
    assert (tmp_path / "mood/deploy/Dockerfile").is_file()
    assert (tmp_path / "mood/notebooks/explore.ipynb").is_file()


GIVEN = {
    "description": "D",
    "author": "Ada",
    "language": "en",
    "method": "lora",
    "accelerator": "cpu",
    "environment": "none",
    "editor": "pycharm",
    "include_notebook": "no",
    "include_deploy": "no",
    "license": "MIT",
}


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_one_can_go_back_and_change_an_answer(tmp_path: Path, term: str) -> None:
    """What depends on the changed answer follows, what the user chose otherwise is offered again."""
    back = "<" if term != "dumb" else "<" + ENTER  # in a list the key is enough where keys are read
    chosen = "4" + ENTER
    terminal = Terminal(*(f"--set={name}={answer}" for name, answer in GIVEN.items()), cwd=tmp_path, term=term)
    terminal.type("Display name of the project", "<" + ENTER)  # nothing is before it
    terminal.type("Display name of the project", "Mood" + ENTER)
    terminal.type("letters, digits, hyphens", "<" + ENTER)
    terminal.type("Display name of the project", "Tone" + ENTER)
    terminal.type("letters, digits, hyphens", ENTER)
    terminal.type("summarization", chosen)
    terminal.type("Base model", "./mine" + ENTER)
    terminal.expect("project_slug tone")
    terminal.type("Create the project in", back)
    terminal.type("Base model", "<" + ENTER)
    terminal.type("summarization", ENTER)  # token-classification is still chosen
    terminal.type("Base model", ENTER)
    terminal.expect("base_model ./mine")
    terminal.type("Create the project in", ENTER)
    terminal.expect("In a terminal")

    assert terminal.end() == 0
    config = (tmp_path / "tone/configs/train.yaml").read_text()
    assert "type: token-classification" in config
    assert "./mine" in config


def test_the_name_is_asked_for_a_given_folder_and_the_slug_follows(tmp_path: Path) -> None:
    terminal = Terminal("tone-of-news", *(f"--set={name}={answer}" for name, answer in GIVEN.items()), cwd=tmp_path)
    terminal.expect("tone-of-news")
    terminal.type("Display name of the project", "The Tone of News" + ENTER)
    terminal.type("the-tone-of-news", ENTER)
    terminal.type("summarization", ENTER)
    terminal.type("Base model", ENTER)
    terminal.expect("project_name The Tone of News")
    terminal.type(f"Create the project in {tmp_path / 'tone-of-news'}?", ENTER)
    terminal.expect("In a terminal")

    assert terminal.end() == 0
    assert (tmp_path / "tone-of-news/.idea/the-tone-of-news.iml").is_file()


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_messages_are_whole_at_80_columns(tmp_path: Path, term: str) -> None:
    terminal = Terminal(cwd=tmp_path, term=term, columns=80)
    terminal.type("Display name of the project", "Mood" + ENTER)
    terminal.type("letters, digits, hyphens", "微调" + ENTER)
    terminal.expect("with a letter or digit first and last.")
    os.write(terminal.screen, CTRL_C.encode())
    terminal.expect("nothing was created")

    assert terminal.end() == 130
    if term == "dumb":  # elsewhere lines are drawn by moving the cursor
        lines = terminal.raw.decode("utf-8", "replace").replace("Answer [mood]: ", "").splitlines()
        assert max(map(len, lines)) <= 80


def test_chinese_is_wrapped_by_the_columns_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "41")

    assert prompts._wrap("微调" * 15).splitlines() == ["微调" * 10, "微调" * 5]


def test_a_folder_that_is_taken_is_refused_before_the_questions(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").touch()
    for arguments in (["thesis"], ["--set=project_slug=thesis"]):
        terminal = Terminal(*arguments, cwd=tmp_path)
        terminal.expect("thesis exists already")
        assert terminal.end() == 4
        assert "Display name of the project" not in terminal.shown


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
@pytest.mark.parametrize("how", ["keys", "SIGTERM"])
def test_who_stops_at_a_question_has_nothing(tmp_path: Path, term: str, how: str) -> None:
    terminal = Terminal(cwd=tmp_path, term=term)
    terminal.type("Display name of the project", "Mood" + ENTER)
    terminal.expect("letters, digits, hyphens")
    time.sleep(0.2)  # the question is shown a moment before keys are read
    if how == "keys":
        os.write(terminal.screen, CTRL_C.encode())
    else:
        os.kill(terminal.number, signal.SIGTERM)
    terminal.expect("nothing was created")

    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
    assert names(tmp_path) == set()


def test_what_is_wrong_already_is_said_before_the_questions(tmp_path: Path) -> None:
    terminal = Terminal("--set=task=poetry", cwd=tmp_path)
    terminal.expect("task 'poetry' is not one of the choices")

    assert terminal.end() == 3
    assert "Display name of the project" not in terminal.shown


@pytest.mark.parametrize("flag", ["--no-input", "--json"])
def test_nothing_is_asked_where_that_is_not_wanted(tmp_path: Path, flag: str) -> None:
    terminal = Terminal(flag, "--set=environment=none", cwd=tmp_path)

    assert terminal.end() == 0
    assert "Display name of the project" not in terminal.shown
    assert (tmp_path / "my-project/pyproject.toml").is_file()


def test_without_a_terminal_defaults_are_taken(tmp_path: Path) -> None:
    run = ft_template("new", "--set", "environment=none", "--dry-run", cwd=tmp_path)

    assert run.returncode == 0
    assert "Display name of the project" not in run.stdout + run.stderr
