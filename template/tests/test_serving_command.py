"""The command `finetune serve`: its mistakes, and a process that is told to stop."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from conftest import ROOT
from test_serving import call

from finetune import packages
from finetune.errors import UserError
from finetune.run.folder import RunFolder
from finetune.serving.limits import Limits
from finetune.serving.model import Source
from finetune.serving.server import Server, bind

RUN = "runs/config"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY", raising=False)


def test_an_address_that_cannot_be_used(finished: Any, refused: Callable[..., str]) -> None:
    finished("text-classification")
    assert refused("serve", RUN, "--host", "0.0.0.0").endswith("set an API key in the variable API_KEY")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused("serve", RUN, "--port", port).endswith("choose another port, or 0 for a free one")


def test_replies_do_not_wait_for_acknowledgements() -> None:
    """asyncio switches Nagle's algorithm off only for a socket that names its protocol."""
    with bind("127.0.0.1", 0) as opened:
        assert opened.proto == socket.IPPROTO_TCP


def test_options_that_do_not_fit_the_task(finished: Any, refused: Callable[..., str]) -> None:
    finished("chat")
    assert "generates token after token" in refused("serve", RUN, "--onnx", "folder")
    assert "have no probability" in refused("serve", RUN, "--min-confidence", "0.9")


def test_its_packages_are_missing(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    assert refused("serve", RUN).endswith("pip install -c constraints.txt fastapi uvicorn prometheus-client")


def test_a_model_that_cannot_be_loaded_ends_the_server(finished: Any) -> None:
    pytest.importorskip("onnxruntime")
    finished("text-classification")
    run = RunFolder(Path(RUN))
    server = Server(Source(run, run.config(), onnx=Path("nothing")), Limits(), None, lambda: None)
    with pytest.raises(UserError, match="holds no ONNX export"):
        server.run([bind("127.0.0.1", 0)])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_process_drains_on_sigterm(finished: Any) -> None:
    finished("text-classification")
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune", "serve", RUN, "--port", "0", "--max-client-batch-size", "3"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith(f"serving {RUN} at http://127.0.0.1:")
        port = int(line.split(":")[2].split("/")[0])
        row = {"text": "a fine day"}
        assert call(port, "/v1/predict", {"rows": [row] * 3})[0] == 200
        assert call(port, "/v1/predict", {"rows": [row] * 4})[0] == 413
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert err == ""
    assert "a fine day" not in out
