"""The pages for beginners: every command is run as it stands there, and what they say will be seen is looked for.

Each page has a project of its own: that of the English page has English texts, that of the Chinese page Chinese ones.
`python -m finetune` runs in copies of a process that has loaded torch (warm.py); test_check_run.py starts it afresh.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import warm
from tutorial import CHINESE, ENGLISH, PAGES, examples, steps

GENERATE = "cookiecutter gh:org/ft-template"
NOT_RUN = {
    "python -m pip install cookiecutter": "it is here already, and no test installs into the environment that runs it",
    "uvx cookiecutter gh:org/ft-template": "downloads cookiecutter; the same command without uvx is run",
    "pipx run cookiecutter gh:org/ft-template": "downloads cookiecutter; the same command without pipx is run",
    "python setup_env.py": "downloads PyTorch; test_end_to_end.py runs it",
    "python -m finetune fetch --config configs/train.yaml": "downloads 0.4 GB; test_fetch.py has a small Hub",
    "python -m finetune train configs/train.yaml": "needs that model, and minutes even on a GPU",
    "python -m finetune train configs/train.yaml method.type=lora optim.lr=3e-4 train.micro_batch_tokens=2048 "
    "run.name=lora-real": "the same",
}
INSTEAD = {
    GENERATE: "cookiecutter {repository}",  # test_ways.py fetches by gh:, too
    # As many validations as a page shows; test_demo.py trains longer.
    "python -m finetune train configs/demo.yaml": "{command} train.max_steps=60 train.eval_every=20",
    "python -m finetune train configs/demo.yaml train.epochs=1 run.name=slow optim.lr=1e-4": "{command} "
    "train.max_steps=10",
    'python -m finetune train configs/demo.yaml run.name=corrected "data.train=[data/demo/train.conll, '
    'data/corrected.jsonl]"': "{command} train.max_steps=60 train.eval_every=20",
    "python -m tensorboard.main --logdir runs": "{command} --port 0",  # 6006 may be taken
    "python -m finetune serve latest --open": "python -m finetune serve latest --port 0",  # without a browser
    "python -m finetune init-data reviews.csv": "python -m finetune init-data ../reviews.csv",  # beside the project
}
"""Commands of the English page that are run in another form."""
SERVERS = {
    "python -m tensorboard.main --logdir runs": "TensorBoard ",
    "python -m finetune serve latest --open": "serving ",
}
"""What runs until it is stopped, by what it says when it can be used."""
WRONG = {"python -m finetune train configs/demo.yaml optim.learning_rate=1e-4"}
"""What the page shows as a mistake."""
TYPED = {ENGLISH: ["My NER", "", "", "", "", "4"], CHINESE: ["My NER", "", "", "", "2", "4"]}
"""Answers to the first questions; at all others, Enter is pressed."""
COLUMNS = {ENGLISH: "review,stars", CHINESE: "评论,星级"}
"""Of reviews.csv."""
IN_CHINESE = {
    "Anna Holm of Norrgate Insurance flew to Kessmark on Friday.": "青山大学教授赵敏表示，东湖市的比赛推迟到明天。",
    "data/demo/train.conll": "data/demo/train.jsonl",
    "Find names in news": "识别新闻中的实体",
}
"""Arguments of the English page, and what stands there in the Chinese one."""
PROJECT = "my-ner"
PATIENCE = 900
"""Seconds for any one command: only what hangs takes so long, also on a busy machine."""


class Terminal:
    """PyCharm's terminal: `python` is the one with the packages, and the folder is the project once there is one."""

    def __init__(self, folder: Path, repository: Path, page: Path) -> None:
        self.folder, self.repository = folder, repository
        self.instead = {command if page == ENGLISH else in_chinese(command): form for command, form in INSTEAD.items()}
        self.answers = "".join(f"{answer}\n" for answer in TYPED[page] + 20 * [""])
        settings = folder / "settings.yaml"
        settings.write_text(f'replay_dir: "{folder.as_posix()}/replay"\n', encoding="utf-8")
        self.variables = {
            **os.environ,
            "PYTHONPATH": "src",
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "120",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "COOKIECUTTER_CONFIG": str(settings),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
            },
        }

    def run(self, command: str) -> str:
        """What a command of the page prints."""
        wording = self.instead.get(command, command).format(command=command, repository=self.repository.as_posix())
        program, *arguments = shlex.split(wording)
        if arguments[:2] == ["-m", "finetune"] and command not in SERVERS:
            code = 2 if command in WRONG else 0
            return warm.run(self.folder / PROJECT, *arguments[1:], code=code, COLUMNS=self.variables["COLUMNS"])
        python = {"python": [sys.executable], "cookiecutter": [sys.executable, "-m", "cookiecutter"]}
        process = subprocess.Popen(
            [*python.get(program, [program]), *arguments],
            cwd=self.folder / PROJECT if (self.folder / PROJECT).is_dir() else self.folder,
            env=self.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        if command in SERVERS:
            return self.start_and_stop(process, SERVERS[command])
        output, _ = process.communicate(self.answers if command == GENERATE else None, timeout=PATIENCE)
        assert process.returncode == 0, f"{command}\n{output}"
        return output

    @staticmethod
    def start_and_stop(process: "subprocess.Popen[str]", ready: str) -> str:
        assert process.stdout
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith(ready):
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert ready in output, output + rest
        return output


def comparable(line: str) -> str:
    """A line whatever its figures and blanks: they depend on the machine, and on how long the training was."""
    return re.sub(r"\b\d[\d,.]*", "0", " ".join(line.split()))


def missing(shown: str, printed: str) -> list[str]:
    """The lines of a block that do not begin a line of the output, in this order; `...` leaves something out."""
    lines = iter([comparable(line) for line in printed.splitlines()])
    wanted = [comparable(line) for line in shown.splitlines() if line != "..."]
    return [line for line in wanted if not any(found.startswith(line) for found in lines)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_prints_what_the_page_shows(page: Path, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "from zero"
    folder.mkdir()
    reviews = [COLUMNS[page], *(f"text {number},{number % 5 + 1}" for number in range(50))]
    (folder / "reviews.csv").write_text("\n".join(reviews), encoding="utf-8")
    terminal = Terminal(folder, repository, page)
    printed: dict[str, str] = defaultdict(str)
    for heading, commands, shown in steps(page):
        run = [command for command in commands if command not in NOT_RUN]
        printed[heading] += "\n".join(terminal.run(command) for command in run)
        if run or not commands:
            assert not missing(shown, printed[heading]), f"{heading}\n{printed[heading]}"

    # And what it says without a command.
    project = folder / PROJECT
    names = {path.stem for path in (project / ".idea" / "runConfigurations").iterdir()}
    pressed = re.findall(r"\*\*▶ ([^*]+)\*\*", page.read_text(encoding="utf-8"))
    assert {"Train", "Debug one batch"} <= set(pressed)
    assert {re.sub(r"\W", "_", name) for name in pressed} <= names
    for name in ("runs/demo/best", "runs/demo/report/index.html", "src/finetune/inference.py"):
        assert (project / name).exists()
    real = (project / "configs/train.yaml").read_text(encoding="utf-8")
    assert "data/reviews/train.csv" in real
    assert page == ENGLISH or "google-bert/bert-base-chinese" in real


def test_a_line_that_is_not_printed_is_missed() -> None:
    assert missing("step 1  f1 0.63\n...\nthe end", "step 200  f1 0.9 best\nand\nthe end of it") == []
    assert missing("the end\nstep 1", "step 1\nthe end") == ["step 0"]
    assert missing("f1 0.63", "loss 0.63") == ["f1 0"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_exceptions_are_commands_of_the_page(page: Path) -> None:
    typed = {command for _, commands, _ in steps(page) for command in commands}
    known = {*NOT_RUN, *INSTEAD, *SERVERS, *WRONG}
    assert typed >= (known if page == ENGLISH else set(map(in_chinese, known)))


def test_both_pages_have_the_same_steps() -> None:
    """The same commands in the same order, with as many outputs; arguments may be Chinese."""
    english, chinese = ([commands for _, commands, _ in steps(page)] for page in PAGES)
    assert [[in_chinese(command) for command in commands] for commands in english] == chinese
    assert (len(examples(ENGLISH)), len(examples(CHINESE))) == (10, 11)


def in_chinese(command: str) -> str:
    for argument, translation in IN_CHINESE.items():
        command = command.replace(argument, translation)
    return command
