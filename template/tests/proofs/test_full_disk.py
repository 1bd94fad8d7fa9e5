"""A disk that is full, or fails at any call: a sentence, what was there before is as it was, and resuming works."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Project, needs
from disk_faults import Fault, contents, limited
from kills import LOCKS, left_by

from finetune.cli import main

RUN = "runs/config"
FEW = ["train.epochs=1", "train.device=cpu"]


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
        with limited("RLIMIT_FSIZE", size):
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


def closed_files() -> list[int]:
    """Numbers that the next files get which are opened."""
    listed = Path("/proc/self/fd")
    if not listed.is_dir():
        pytest.skip("only Linux lists the open files")
    return [number for number in range(200) if not (listed / str(number)).exists()]


REPEATED = [
    pytest.param(["monitor", RUN, "--input", "train.jsonl", "--once", "--window", "3"], ["runs/config/monitor"],
                 id="monitor", marks=needs("monitor")),
    pytest.param(["init-data", "train.jsonl", "--config", "forms.yaml", "--output", "data/new"],
                 ["data", "forms.yaml"], id="init-data", marks=needs("init_data")),
    pytest.param(["push", RUN, "org/name", "--dry-run"], [], id="push", marks=needs("export")),
]  # fmt: skip
"""Commands that change what they find: with what they leave."""


@pytest.mark.parametrize(("command", "leaves"), REPEATED)
def test_after_a_fault_at_any_call_the_command_is_repeated_as_if_nothing_had_been(
    command: list[str],
    leaves: list[str],
    quickly_finished: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("forms.yaml").write_text(Path("config.yaml").read_text())
    before = contents()

    def cleaned() -> None:
        for name in leaves:
            shutil.rmtree(name, ignore_errors=True)
        Path("forms.yaml").write_bytes(before["forms.yaml"])
        assert contents() == before

    with monkeypatch.context() as patched:
        fault = Fault(patched)
        assert main(command) == 0
        calls, whole = fault.calls, left_by(Path(), LOCKS)
        assert calls > 1
        for fault.number in range(1, calls + 1, max(1, calls // 20)):
            cleaned()
            fault.calls = 0
            capsys.readouterr()
            code = main(command)
            shown = capsys.readouterr().err.splitlines()
            assert code == 0 or (code, len(shown), shown[0][:7]) == (2, 1, "error: ")
            fault.calls = calls
            assert main(command) == 0
            assert left_by(Path(), LOCKS) == whole


@pytest.mark.parametrize("command", [*COMMANDS, *(pytest.param(*one.values[:1], id=one.id, marks=one.marks)
                                                  for one in REPEATED)])  # fmt: skip
def test_too_many_open_files_are_told(
    command: list[str], quickly_finished: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """With any number of files that may still be opened; the last one suffices."""
    Path("forms.yaml").write_text(Path("config.yaml").read_text())
    assert main(command) == 0
    codes = []
    for more in (0, 1, 2, 3, 5, 50):
        capsys.readouterr()
        with limited("RLIMIT_NOFILE", closed_files()[more]):
            codes.append(main(command))
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
        assert codes[-1] == 0 or shown.startswith("error: "), shown
    assert codes[0] == 2
    assert codes[-1] == 0


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 1.5 MB in memory, which only root can mount."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mounted, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_system_that_is_full_is_told_and_the_training_resumed(
    small_disk: Path, project: Project, refused: Callable[..., str]
) -> None:
    """Its best model fits, and no checkpoint; what is moved to a larger one is resumed."""
    config = project.config("text-classification")
    assert main(["train", str(config), *FEW, "run.name=whole"]) == 0
    said = refused("train", config, *FEW, "run.name=cut", f"run.dir={small_disk}")
    assert "no space left on the disk" in said
    assert not [path for path in small_disk.rglob("*") if path.name.endswith(".tmp")]
    if (small_disk / "cut").exists():
        shutil.copytree(small_disk / "cut", "runs/cut")
    assert main(["train", str(config), *FEW, "run.name=cut", "--resume", "auto"]) == 0
    weights = (Path(f"runs/{run}/best/model.safetensors").read_bytes() for run in ("whole", "cut"))
    assert next(weights) == next(weights)


@needs("export")
@pytest.mark.parametrize("size", [0, 100, 10_000, 1_000_000])
def test_an_export_on_a_full_disk_is_told_and_leaves_nothing(
    size: int, quickly_finished: Project, refused: Callable[..., str]
) -> None:
    before = contents()
    with limited("RLIMIT_FSIZE", size):
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
    with limited("RLIMIT_FSIZE", size):
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
