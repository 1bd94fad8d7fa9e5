"""Progress for Kubeflow Trainer: what its status server gets, and that no fault of the server touches the training."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, Project

from finetune.config.load import load_config
from finetune.console import make_console
from finetune.run import kubeflow
from finetune.run.kubeflow import VARIABLES, TrainJobStatus
from finetune.run.log import NullLog
from finetune.train.loop import train

PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/default/trainjobs/train/status"
TOKEN = "header.payload.signature"
TIMES = ("seconds", "examples_per_second", "tokens_per_second")


def make_certificate(folder: Path) -> Path:
    """A certificate of localhost that signs itself; its key is beside it."""
    if not shutil.which("openssl"):
        pytest.skip("makes a certificate with openssl, which is not installed")
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "keyUsage=digitalSignature,keyCertSign"]
    files = ["-keyout", folder / "tls.key", "-out", folder / "ca.crt"]
    subprocess.run(["openssl", *request, *names, *files], check=True, capture_output=True)
    return folder / "ca.crt"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeflow, "INTERVAL", 0.01)
    monkeypatch.setattr(kubeflow, "TIMEOUT", 0.5)


@contextmanager
def server(certificate: Path, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A status server: its address, and the path, headers and body of each request."""
    requests: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("tls.key"))
    with ThreadingHTTPServer(("localhost", 0), Handler) as served:
        served.socket = context.wrap_socket(served.socket, server_side=True)
        threading.Thread(target=served.serve_forever, args=[0.01], daemon=True).start()
        yield f"https://localhost:{served.server_port}{PATH}", requests
        served.shutdown()


def in_a_trainjob(monkeypatch: pytest.MonkeyPatch, url: str, certificate: Path, token: Path = Path("token")) -> None:
    Path("token").write_text(f"{TOKEN}\n")
    for name, value in zip(VARIABLES, (url, certificate, token), strict=True):
        monkeypatch.setenv(name, str(value))


def trained(project: Project, name: str) -> list[dict[str, Any]]:
    """The log of a training, without its times."""
    config = project.config("text-classification", name, train={"max_steps": 4, "eval_every": 2, "log_every": 1})
    assert train(load_config(config, []), console=make_console())
    return [{key: value for key, value in line.items() if key not in TIMES} for line in project.metrics(name)]


def test_a_training_sends_its_progress(project: Project, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(certificate) as (url, requests):
        in_a_trainjob(monkeypatch, url, certificate)
        lines = trained(project, "sent")
    assert requests
    for path, headers, body in requests:
        assert path == PATH
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Content-Type"] == "application/json"
        assert set(body) == {"trainerStatus"}
    statuses = [body["trainerStatus"] for _, _, body in requests]
    shares = [status["progressPercentage"] for status in statuses]
    assert shares == sorted(shares)
    last = statuses[-1]
    assert last["progressPercentage"] == 100
    assert last["estimatedRemainingSeconds"] == 0
    assert abs(datetime.now(UTC) - datetime.fromisoformat(last["lastUpdatedTime"])).total_seconds() < 60
    metrics = {metric["name"]: metric["value"] for metric in last["metrics"]}
    step, validation = lines[-2:]
    assert metrics["loss"] == str(step["loss"])
    assert metrics["lr"] == str(step["lr"])
    assert metrics["validation_loss"] == str(validation["loss"])
    assert metrics["validation_f1_macro"] == str(validation["f1_macro"])


def test_the_remaining_time_is_that_of_the_steps_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed training has not taken the steps of its checkpoint."""
    now = 100.0
    monkeypatch.setattr(kubeflow.time, "monotonic", lambda: now)
    job = TrainJobStatus(QUIET, total_steps=1000, done=500)
    first = job.message()["trainerStatus"]
    assert (first["progressPercentage"], first["metrics"]) == (50, [])
    assert "estimatedRemainingSeconds" not in first  # unknown
    now = 130.0
    job.advance(599)
    job.add({"loss": 0.5, "lr": float("nan")})
    job.add({"loss": 0.25})
    status = job.message()["trainerStatus"]
    assert (status["progressPercentage"], status["estimatedRemainingSeconds"]) == (59, round(30 / 99 * 401))
    assert status["metrics"] == [{"name": "loss", "value": "0.25"}, {"name": "lr", "value": "nan"}]


def test_only_the_main_rank_sends(certificate: Path, monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    with server(certificate) as (url, requests):
        in_a_trainjob(monkeypatch, url, certificate)
        log = NullLog()
        with log.live():
            log.advance(1)
            time.sleep(0.05)
        assert not requests


def test_outside_a_trainjob_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeflow.threading, "Thread", lambda **_: pytest.fail("a thread"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with TrainJobStatus(QUIET, 4, 0).sent():
        pass


@contextmanager
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("localhost", 0)) as listening:
        yield f"https://localhost:{listening.getsockname()[1]}{PATH}"


@contextmanager
def nobody() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.create_server(("localhost", 0)) as listening:
        port = listening.getsockname()[1]
    yield f"https://localhost:{port}{PATH}"


FAULTS = {
    "nobody listens": "ConnectionRefusedError",
    "no answer": "timed out",
    "refused": "403 Forbidden",
    "another CA": "CERTIFICATE_VERIFY_FAILED",
    "no token": "No such file",
    "no CA": "No such file",
    "no port": "nonnumeric port",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_changes_the_training(
    fault: str, project: Project, certificate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = trained(project, "alone")
    assert "Kubeflow" not in capsys.readouterr().out
    other = make_certificate(project.folder)
    with server(certificate, 403 if fault == "refused" else 200) as (answers, _), silent() as waits, nobody() as absent:
        url = {"nobody listens": absent, "no answer": waits, "no port": "https://localhost:port/"}.get(fault, answers)
        trusted = {"another CA": other, "no CA": Path("none.crt")}.get(fault, certificate)
        in_a_trainjob(monkeypatch, url, trusted, Path("none" if fault == "no token" else "token"))
        begun = time.monotonic()
        assert trained(project, "disturbed") == expected
        assert time.monotonic() - begun < 20
    said = capsys.readouterr().out
    assert said.count("Kubeflow gets no progress of the training, which continues") == 1
    assert FAULTS[fault] in said


def test_a_request_that_does_not_end_holds_up_the_end_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the look-up of a name, which has no timeout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kubeflow, "_post", lambda *_: time.sleep(30))
    in_a_trainjob(monkeypatch, "https://localhost/", Path("ca.crt"))
    job = TrainJobStatus(QUIET, 1000, 0)
    begun = time.monotonic()
    with job.sent():
        for step in range(1000):
            job.advance(step + 1)
            time.sleep(0.0001)
    assert time.monotonic() - begun < 10
