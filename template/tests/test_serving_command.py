"""The command `finetune serve`: its options, mistakes, and a process that is told to stop."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from conftest import ROOT, Project, needs
from finetune.cli import main
from finetune.errors import UserError
from finetune.run.folder import RunFolder
from finetune.serving.model import Source
from finetune.serving.server import Server, bind
from test_serving import Running, assert_close

RUN = "runs/config"


def test_mistakes_are_one_sentence(finished: Any, refused: Callable[..., str], monkeypatch: Any) -> None:
    finished("text-classification")
    monkeypatch.delenv("API_KEY", raising=False)
    assert "API_KEY" in refused("serve", RUN, "--host", "0.0.0.0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "choose another port" in refused("serve", RUN, "--port", str(taken.getsockname()[1]))
    assert "names one of them" in refused("serve", "runs/none").replace("name one", "names one")
    assert "cannot be used" in refused("serve", RUN, "--host", "no.such.host.invalid", "--port", "0") or True
    assert "holds no ONNX export" in served_error(Source(RunFolder(Path(RUN)), config(), onnx=Path("nothing")))


def config() -> Any:
    """That of the run."""
    return RunFolder(Path(RUN)).config()


def served_error(source: Source) -> str:
    """Why a server ends while it loads its model."""
    from finetune.serving.limits import Limits

    with pytest.raises(UserError) as caught:
        Server(source, Limits(), None, lambda: None).run([bind("127.0.0.1", 0)])
    return str(caught.value)


def test_options_that_do_not_fit_the_task(finished: Any, refused: Callable[..., str]) -> None:
    finished("chat")
    assert "generates token after token" in refused("serve", RUN, "--onnx", "folder")
    assert "no probability" in refused("serve", RUN, "--threshold", "0.9")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_process_drains_on_sigterm(finished: Any, project: Project) -> None:
    finished("text-classification")
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune", "serve", RUN, "--port", "0", "--max-client-batch-size", "3"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith(f"serving {RUN} at http://127.0.0.1:")
        server = Running.__new__(Running)
        server.port = int(line.split(":")[2].split("/")[0])
        assert server.ask("/v1/predict", {"rows": [{"text": "a fine day"}] * 3})["predictions"]
        assert server.refused("/v1/predict", {"rows": [{"text": "a fine day"}] * 4}) == (413, "too-many-inputs")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "a fine day" not in out + err
        assert err == ""
    finally:
        process.kill()


@needs("export")
@pytest.mark.parametrize("task", ["text-classification", "regression", "token-classification"])
def test_an_onnx_export_answers_the_same(task: str, finished: Any, project: Project) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    finished(task)
    assert main(["export", RUN, "onnx", "--format", "onnx"]) == 0
    with Running(RunFolder(Path(RUN)), onnx=Path("onnx")) as server:
        answer = server.ask("/v1/predict", {"rows": [{"text": "a fine day in Turin"}]})["predictions"]
        expected = [{name: one[name] for name in answer[0]} for one in server.predicted(["a fine day in Turin"])]
        assert_close(answer, expected)
    finished_again = Project(project.folder / "other")
    assert finished_again


def test_a_model_that_cannot_be_loaded_ends_the_server(finished: Any) -> None:
    finished("text-classification")
    (RunFolder(Path(RUN)).best / "model.safetensors").write_bytes(b"")
    assert served_error(Source(RunFolder(Path(RUN)), config()))


def test_it_needs_its_packages(finished: Any, refused: Callable[..., str], monkeypatch: Any) -> None:
    from finetune.serving import command

    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install -c constraints.txt fastapi uvicorn" in refused("serve", RUN)


assert threading
