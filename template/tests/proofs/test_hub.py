"""The Hub, imitated on loopback: each reason why a model cannot be downloaded has its own message."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import constants

from finetune import hub_client as hub
from finetune.errors import UserError
from finetune.hub_client import require_on_hub

ERRORS = {"gated": (403, "GatedRepo"), "unknown": (401, "RepoNotFound"), "old": (404, "RevisionNotFound")}


class Hub(BaseHTTPRequestHandler):
    """Answers with the errors of the real one; it tells the reason in a header."""

    def do_GET(self) -> None:
        name = self.path.split("/")[4]
        status, reason = ERRORS.get(name, (200, ""))
        body = b'{"id": "org/fine", "siblings": []}'
        self.send_response(status)
        if reason:
            self.send_header("X-Error-Code", reason)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield use(monkeypatch, server.server_port)
    server.shutdown()


def use(monkeypatch: pytest.MonkeyPatch, port: int) -> str:
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(hub, "HfApi", lambda make=hub.HfApi: make(endpoint=address))
    return address


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("org/gated", "is gated: accept its terms"),
        ("org/unknown", "is neither a local folder nor a public model"),
        ("org/old", "has no revision 'v9'"),
    ],
)
def test_reasons_are_told(name: str, sentence: str, endpoint: str) -> None:
    with pytest.raises(UserError, match=sentence):
        require_on_hub(name, "v9")


def test_a_model_that_is_there_passes(endpoint: str) -> None:
    require_on_hub("org/fine", None)


def test_no_network_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    address = use(monkeypatch, 9)  # nobody answers there
    with pytest.raises(UserError, match=f"{address} cannot be reached"):
        require_on_hub("org/fine", None)
