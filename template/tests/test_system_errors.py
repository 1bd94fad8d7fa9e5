"""Errors of the system: one sentence with path, reason and remedy, exit code 2; what was there before is as it was."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project, needs

from finetune import cli, system_errors
from finetune.cli import main
from finetune.system_errors import hide_in_threads, naming, sentence_of

RUN = "runs/config"
FEW = ["train.epochs=1", "train.device=cpu"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x"), "no space left on the disk: free some, then run the command again"),
        (OSError(errno.ENOSPC, "x", "a/b"), "a/b: no space left on the disk: free some"),
        (OSError(errno.EDQUOT, "x", "a/b"), "a/b: the disk quota is used up"),
        (OSError(errno.EROFS, "x", "a/b"), "a/b: the file system is read-only: name another place"),
        (OSError(errno.EMFILE, "x"), "too many open files: raise the limit (ulimit -n)"),
        (OSError(errno.EACCES, "x", "a/b"), "a/b: permission denied: change the permissions"),
        (OSError(errno.ENOENT, "x", "a/b"), "a/b: no such file or folder: put it back"),
        (OSError(errno.ENOENT, "x", "a", None, "b/c"), "b/c: no such file or folder"),
        (OSError(errno.ENAMETOOLONG, "x", "a/" + "n" * 256), ": a name in it has 256 bytes, more than 255: choose"),
        (OSError(errno.ENAMETOOLONG, "x", "a/" * 3000), ": the path is too long: choose a shorter name"),
        (OSError(errno.ENOMEM, "x"), "out of memory: close other programs"),
        (MemoryError(), "out of memory: close other programs"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (Exception("File too large (os error 27)"), "the file would be larger than the system allows"),
        (OSError("Error writing bytes. Detail: [errno 28] No space left on device"), "no space left on the disk"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"), "no space left"),
    ],
)
def test_an_error_of_the_system_is_a_sentence(error: Exception, said: str) -> None:
    assert said in str(sentence_of(error))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "without a path"),
        OSError(errno.EACCES, "without a path"),
        OSError(errno.EBADF, "of a closed file", "a/b"),
        OSError(errno.EINVAL, "of a wrong argument", "a/b"),
        OSError("without a number"),
        OSError(errno.ENOENT, "in the program", system_errors.__file__),
        OSError(errno.ENOENT, "in a package", os.path.join(sys.prefix, "lib", "x")),
        FileNotFoundError(errno.ENOENT, "of a handle", 3),
        ValueError("no space left on the disk"),
        RuntimeError("a shape is wrong"),
    ],
)
def test_an_error_of_the_program_keeps_its_traceback(
    error: Exception, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sentence_of(error) is None
    monkeypatch.setattr(cli, "load_env_file", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        main(["doctor"])


@pytest.mark.parametrize(("path", "said"), [("a/" + "n" * 300, "a name in it has 300 bytes"), ("a", "no such file")])
def test_a_path_that_windows_does_not_allow_is_told(path: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_errors, "WINDOWS", True)
    assert said in str(sentence_of(FileNotFoundError(errno.ENOENT, "x", path)))
    long = "C:" + 40 * "\\folder"
    assert "and Windows allows 259: move the project" in str(sentence_of(FileNotFoundError(errno.ENOENT, "x", long)))


def test_what_a_library_raises_gets_the_path_that_is_written() -> None:
    for error in (OSError(errno.ENOSPC, "x"), Exception("No space left on device (os error 28)")):
        with pytest.raises(OSError, match=".") as named, naming(Path("a/b")):
            raise error
        assert str(sentence_of(named.value)).startswith("a/b: no space left")
    with pytest.raises(OSError, match=".") as own, naming(Path("a/b")):
        raise OSError(errno.EACCES, "x", "other")
    assert own.value.filename == "other"
    with pytest.raises(ValueError, match="not of the system"), naming(Path("a/b")):
        raise ValueError("not of the system")


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
        self.calls, self.number, self.error = 0, 0, errno.ENOSPC
        for name in self.FUNCTIONS:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.number:
                raise OSError(self.error, os.strerror(self.error))
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
    pytest.param(["export", RUN, "exported"], id="export", marks=needs("export")),
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
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_fault_at_any_call_is_told_and_leaves_what_was_there(
    number: int, command: list[str], quickly_finished: Project, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert main(command) == 0
    before = contents()
    with monkeypatch.context() as patched:
        fault = Fault(patched)
        assert main(command) == 0
        assert contents() == before
        calls, fault.error, refusals = fault.calls, number, 0
        for fault.number in range(1, calls + 1):
            fault.calls = 0
            capsys.readouterr()
            code = main(command)
            shown = capsys.readouterr().err.splitlines()
            assert contents() == before
            assert code == 0 or (code, len(shown), shown[0][:7]) == (2, 1, "error: ")
            refusals += code == 2
        assert refusals


@pytest.mark.parametrize("size", [0, 100, 3_000, 200_000, 2_000_000, 3_400_000])
def test_a_training_on_a_full_disk_is_told_and_resumed(size: int, project: Project, refused: Callable[..., str]) -> None:
    config = project.config("text-classification")
    assert main(["train", str(config), *FEW, "run.name=whole"]) == 0
    weights = Path("runs/whole/best/model.safetensors").read_bytes()
    with largest_file(size):
        said = refused("train", config, *FEW, "run.name=cut", "model.max_length=31")
    assert "larger than the system allows" in said or "no space left" in said
    assert not list(Path("runs").rglob("*.tmp"))
    resume = ["--resume", "auto"] if Path("runs/cut").exists() else []
    assert main(["train", str(config), *FEW, "run.name=cut", *resume]) in (0, 2)
    assert Path("runs/whole/best/model.safetensors").read_bytes() == weights


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "finetune", *arguments]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_standard_output_that_takes_nothing_is_told(project: Project) -> None:
    with open("/dev/full", "w") as full:
        ended = run("schema", stdout=full)
    assert ended.returncode == 2
    sentence = "no space left on the disk: free some, then run the command again (a training with --resume)"
    assert ended.stderr == f"error: {sentence}\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_has_read_enough_ends_the_command_in_silence(project: Project) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ended = run("schema", stdout=closed)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such handles")
def test_a_command_without_standard_output_runs(project: Project) -> None:
    ended = run("schema", preexec_fn=lambda: os.close(1))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_only_errors_of_the_program_are_shown_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    monkeypatch.setattr("threading.excepthook", shown.append)
    hide_in_threads()

    class Failed:
        exc_value: BaseException | None = OSError(errno.ENOSPC, "x")

    import threading

    for hook in (threading.excepthook, sys.unraisablehook):
        hook(Failed())  # type: ignore[arg-type]
        assert not shown
        other = Failed()
        other.exc_value = ValueError("x")
        hook(other)  # type: ignore[arg-type]
        assert shown == [other]
        shown.clear()


@pytest.mark.parametrize("output", ["folder.jsonl", "file/x.jsonl", "n" * 300 + ".jsonl", "a/" * 2100 + "x.jsonl"])
def test_an_output_that_cannot_be_is_told(
    output: str, quickly_finished: Project, refused: Callable[..., str]
) -> None:
    Path("folder.jsonl").mkdir()
    Path("file").write_text("x")
    said = refused("predict", RUN, "validation.jsonl", "--output", output)
    assert said.startswith(f"{output.rstrip('/')}: ") or "cannot be written" in said
