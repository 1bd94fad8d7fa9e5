"""`finetune push` against a Hub imitated on loopback: what arrives in one commit, what is refused in a sentence."""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, constants

from finetune.cli import main

NAME = "org/model"


class Hub(ThreadingHTTPServer):
    """The addresses that huggingface_hub asks to create a model and to change it; weights go to a storage (LFS)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] | None = None
        """What the model holds; None where there is no model."""
        self.private = False
        self.stored: dict[str, bytes] = {}
        """Weights by their SHA-256."""
        self.commits = 0
        self.refuses: dict[str, int] = {}
        """Status that is answered at a part of an address."""
        self.asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.refuse():
            return
        if self.server.files is None:
            self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [{"rfilename": name} for name in self.server.files]
        self.answer(200, {"id": NAME, "private": self.server.private, "siblings": siblings})

    def do_PUT(self) -> None:
        content = self.body()
        if self.refuse():
            return
        self.server.stored[hashlib.sha256(content).hexdigest()] = content
        self.answer(200, {})

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = self.body()
        if self.refuse():
            return
        match self.path.split("?")[0]:
            case "/api/validate-yaml":
                problems = ["license must be one of [mit, ...]"] * ("license: unheard" in json.loads(body)["content"])
                in_words = self.headers["Accept"] == "text/plain"
                answer = "\n".join(problems) if in_words else {"errors": [{"message": one} for one in problems]}
                self.answer(400 if problems else 200, answer)
            case "/api/repos/create":
                wanted = json.loads(body)
                self.server.files, self.server.private = (
                    {},
                    wanted.get("visibility") == "private" or wanted.get("private", False),
                )
                self.answer(200, {"url": f"{self.server.address}/{NAME}"})
            case "/api/models/org/model/preupload/main":
                modes = [
                    {"path": file["path"], "uploadMode": self.mode(file["path"]), "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
                self.answer(200, {"files": modes})
            case "/org/model.git/info/lfs/objects/batch":
                objects = [
                    {**one, "actions": {"upload": {"href": f"{self.server.address}/store"}}}
                    for one in json.loads(body)["objects"]
                ]
                self.answer(200, {"objects": objects, "transfer": "basic"})
            case "/api/models/org/model/commit/main":
                self.commit([json.loads(line) for line in body.splitlines()])
                self.answer(200, {"commitUrl": f"{self.server.address}/{NAME}/commit/1", "commitOid": "1" * 40})

    @staticmethod
    def mode(name: str) -> str:
        return "lfs" if name.endswith((".safetensors", ".onnx")) else "regular"

    def commit(self, operations: list[dict[str, Any]]) -> None:
        assert self.server.files is not None
        self.server.commits += 1
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.stored[value["oid"]]
            elif operation["key"] == "deletedFile":
                del self.server.files[value["path"]]

    def refuse(self) -> bool:
        for part, status in self.server.refuses.items():
            if part in self.path:
                self.answer(status, {"error": "no"})
                return True
        return False

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, finished: Callable[[str], None]) -> Iterator[Hub]:
    """A Hub without models, a token for it, and a run."""
    finished("text-classification")
    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield server
    server.shutdown()
    server.server_close()


def test_the_export_arrives_in_one_commit(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "latest", NAME, "--private", "--license", "mit"]) == 0
    assert f"uploaded: {hub.address}/{NAME}" in capsys.readouterr().out
    assert main(["export", "latest", "new", "--license", "mit"]) == 0
    assert (hub.private, hub.commits) == (True, 1)
    local = {path.name: path.read_bytes() for path in Path("new").iterdir() if path.name != "manifest.json"}
    assert hub.files is not None
    assert hub.files.keys() == local.keys()
    assert {name for name in local if hub.files[name] != local[name]} == {"README.md"}
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.license == "mit"
    assert 'model="org/model"' in card.text
    assert not [path for path in Path("runs/config").iterdir() if path.name.startswith(".push")]


def test_a_dry_run_asks_nothing(hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", "latest", NAME, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert hub.asked == []
    assert "model.safetensors" in shown
    assert "# org/model" in shown
    assert f"nothing was uploaded to {NAME}" in shown


def test_the_commands_of_a_pushed_chat_model_fetch_it_first(
    hub: Hub, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("runs")
    finished("chat")
    assert main(["push", "latest", NAME, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "\nhf download org/model --local-dir ../model\npython convert_hf_to_gguf.py ../model --outfile" in shown
    assert "\nvllm serve org/model\n" in shown
    assert "\nollama create model\n" in shown


def test_a_second_push_takes_the_place_of_the_first(hub: Hub) -> None:
    hub.files = {"model-00001-of-00002.safetensors": b"old", "adapter_config.json": b"{}", "notes.txt": b"kept"}
    assert main(["push", "latest", NAME]) == 0
    assert {"model.safetensors", "notes.txt"} <= hub.files.keys()
    assert not {"model-00001-of-00002.safetensors", "adapter_config.json"} & hub.files.keys()
    assert "/api/repos/create" not in hub.asked


@pytest.mark.parametrize(
    ("refuses", "sentence"),
    [
        ({"create": 403}, "push: the Hub does not let you write to 'org/model' (status 403): log in with a token that"),
        ({"commit": 401}, "push: the Hub does not let you write to 'org/model' (status 401): log in with a token that"),
        ({"preupload": 500}, "push: the Hub refused 'org/model' ("),
        ({"store": 403}, "push: the upload to 'org/model' failed ("),
    ],
)
def test_what_the_hub_refuses_is_told(
    refuses: dict[str, int], sentence: str, hub: Hub, refused: Callable[..., str]
) -> None:
    hub.refuses = refuses
    assert refused("push", "runs/config", NAME).startswith(sentence)
    assert not hub.files


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model"], "push: 'model' is not a name on the Hub: write ORG/NAME"),
        (["org/a model"], "push: 'org/a model' is not a name on the Hub: write ORG/NAME"),
        ([NAME, "--license", "unheard"], "push: the Hub refuses the model card (license must be one of"),
        ([NAME, "--adapter"], "--adapter: method.type is full, which has no adapter"),
    ],
)
def test_wrong_input_is_told(arguments: list[str], sentence: str, hub: Hub, refused: Callable[..., str]) -> None:
    assert sentence in refused("push", "runs/config", *arguments)
    assert hub.files is None


def test_a_public_model_does_not_become_a_private_one_in_silence(hub: Hub, refused: Callable[..., str]) -> None:
    hub.files = {}
    assert "is public already" in refused("push", "runs/config", NAME, "--private")
    assert hub.commits == 0


def test_no_token_and_no_network_are_told(
    hub: Hub, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    assert "http://127.0.0.1:9 cannot be reached" in refused("push", "runs/config", NAME)
    monkeypatch.delenv("HF_TOKEN")
    assert "you are not logged in to the Hub" in refused("push", "runs/config", NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused("push", "runs/config", NAME)
