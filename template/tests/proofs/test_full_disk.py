"""A disk that is full, or fails at any call: a sentence, what was there before is as it was, and resuming works."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, needs

from finetune.cli import main

RUN = "runs/config"
FEW = ["train.epochs=1", "train.device=cpu"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process may have so many bytes, as on a disk that is full then."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Fault:
    """Lets the `number`-th call of functions of the module os fail, as a disk does."""

    FUNCTIONS = ("replace", "mkdir", "rename", "fsync", "open")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.number = 0, 0
        for name in self.FUNCTIONS:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments, **options)

        return call


def contents(folder: str = ".") -> dict[str, bytes]:
    """All files, but for what every command may leave: the cache of tokenized data."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.as_posix(): path.read_bytes() for path in paths}


COMMANDS = [
    pytest.param(["evaluate", RUN], id="evaluate"),
    pytest.param(["predict", RUN, "validation.jsonl"], id="predict"),
    pytest.param(["predict", RUN, "validation.jsonl", "--output", "out/put.jsonl"], id="predict --output"),
    pytest.param(["report", RUN], id="report", marks=needs("report")),
    pytest.param(["check-data", "config.yaml"], id="check-data", marks=needs("check_data")),
]


@pytest.fixture
def quickly_finished(project: Project, finished: Callable[[str], None]) -> Project:
    finished("text-classification")
    project.config("text-classification")
    return project


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told_and_leaves_what_was_there(
    command: list[str], quickly_finished: Project, refused: Callable[..., str]
) -> None:
    assert main(command) == 0
    before = contents()
    for size in (0, 10):
        with largest_file(size):
            said = refused(*command)
        assert "larger than the system allows" in said or "cannot be written (" in said
        assert contents() == before
    assert main(command) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_fault_at_any_call_is_told_and_leaves_what_was_there(
    command: list[str],
    quickly_finished: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(command) == 0
    before = contents()
    with monkeypatch.context() as patched:
        fault = Fault(patched)
        assert main(command) == 0
        assert contents() == before
        calls, refusals = fault.calls, 0
        for fault.number in range(1, calls + 1):
            fault.calls = 0
            capsys.readouterr()
            code = main(command)
            shown = capsys.readouterr().err.splitlines()
            assert contents() == before
            assert code == 0 or (code, len(shown), shown[0][:7]) == (2, 1, "error: ")
            refusals += code == 2
        assert refusals


@needs("export")
@pytest.mark.parametrize("size", [0, 100, 10_000, 1_000_000])
def test_an_export_on_a_full_disk_is_told_and_leaves_nothing(
    size: int, quickly_finished: Project, refused: Callable[..., str]
) -> None:
    before = contents()
    with largest_file(size):
        assert refused("export", RUN, "exported").startswith("exported: ")
    assert contents() == before
    assert not Path("exported").exists()
    assert main(["export", RUN, "exported"]) == 0


@pytest.mark.parametrize("size", [0, 100, 3_000, 200_000, 1_000_000, 2_000_000, 3_400_000])
def test_a_training_on_a_full_disk_is_told_and_resumed(
    size: int, project: Project, refused: Callable[..., str]
) -> None:
    """The sizes fail in the tokenized data, the log, the best model and the checkpoint."""
    config = project.config("text-classification")
    assert main(["train", str(config), *FEW, "run.name=whole"]) == 0
    shutil.rmtree("runs/.cache")
    with largest_file(size):
        said = refused("train", config, *FEW, "run.name=cut")
    assert "larger than the system allows" in said or "no space left" in said
    assert not [path for path in Path("runs").rglob("*") if path.name.endswith(".tmp")]
    assert main(["train", str(config), *FEW, "run.name=cut", "--resume", "auto"]) == 0
    weights = (Path(f"runs/{run}/best/model.safetensors").read_bytes() for run in ("whole", "cut"))
    assert next(weights) == next(weights)


@pytest.mark.parametrize("output", ["folder.jsonl", "file/x.jsonl", "n" * 300 + ".jsonl", "a/" * 2100 + "x.jsonl"])
def test_an_output_that_cannot_be_is_told(output: str, quickly_finished: Project, refused: Callable[..., str]) -> None:
    Path("folder.jsonl").mkdir()
    Path("file").write_text("x")
    said = refused("predict", RUN, "validation.jsonl", "--output", output)
    assert said.startswith(f"{output.rstrip('/')}: ") or "cannot be written" in said
