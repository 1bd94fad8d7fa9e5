"""Errors of the system: one sentence with path, reason and remedy, exit code 2; what was there before is as it was."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project

from finetune import cli, system_errors
from finetune.cli import main
from finetune.system_errors import hide_in_threads, naming, sentence_of


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
        with pytest.raises(OSError, match="a/b") as named, naming(Path("a/b")):
            raise error
        assert str(sentence_of(named.value)).startswith("a/b: no space left")
    with pytest.raises(OSError, match="other") as own, naming(Path("a/b")):
        raise OSError(errno.EACCES, "x", "other")
    assert own.value.filename == "other"
    with pytest.raises(ValueError, match="not of the system"), naming(Path("a/b")):
        raise ValueError("not of the system")


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

    for hook in (threading.excepthook, sys.unraisablehook):
        hook(Failed())  # type: ignore[arg-type]
        assert not shown
        other = Failed()
        other.exc_value = ValueError("x")
        hook(other)  # type: ignore[arg-type]
        assert shown == [other]
        shown.clear()
