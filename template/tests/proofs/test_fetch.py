"""`finetune fetch` against a Hub imitated on loopback: whole or not, continued, checked, pinned, then used offline."""

import hashlib
import json
import re
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Project, as_hub, stop_after
from disk_faults import Fault
from filelock import FileLock
from huggingface_hub import constants
from rich.console import Console

from finetune import files
from finetune.cli import main
from finetune.config.config import Model
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.hub import download
from finetune.hub.manifest import find_manifest, read_manifest
from finetune.hub.pin import pin_revision
from finetune.run.saved_model import load_saved_model
from finetune.train import loop as training

COMMIT, OTHER = "1" * 40, "2" * 40
NAME = "org/model"
FOLDER = Path("models/org--model")
PARTIAL = Path("models/.org--model.part")
WEIGHTS = bytes(range(256)) * 40
BERT = {"config.json": b"{}", "tokenizer.json": b'{"a": 1}', "vocab.txt": b"a\nb\n", "model.safetensors": WEIGHTS}
MISSING_REPO, GATED, MISSING_REVISION = (401, "RepoNotFound"), (403, "GatedRepo"), (404, "RevisionNotFound")


class Hub(ThreadingHTTPServer):
    """The addresses that huggingface_hub asks: what a model holds, and its files, of which parts can be had."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = dict(BERT)
        self.revisions = {"main": COMMIT, COMMIT: COMMIT, OTHER: OTHER}
        self.refuses: dict[str, tuple[int, str]] = {}
        """What is answered to whoever asks for a model or a file of this name: status and code."""
        self.cuts: list[int] = []
        """Bytes after which the next answers with weights break off."""
        self.asked: list[tuple[str, str]] = []
        """File and range of each download."""
        self.names: list[str] = []
        """Every model that was asked about."""

    def about(self, commit: str) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, content in self.files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git}
            if name.endswith(".safetensors"):  # then git knows a pointer only
                sha256 = hashlib.sha256(content).hexdigest()
                sibling |= {"blobId": "0" * 40, "lfs": {"sha256": sha256, "size": len(content), "pointerSize": 134}}
            siblings.append(sibling)
        return {"id": NAME, "sha": commit, "siblings": siblings}


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if found := re.fullmatch(r"/api/models/(\w+/[\w.-]+)(?:/revision/([\w.%-]+))?(?:\?.*)?", self.path):
            self.describe(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/\w+/\w+/resolve/(\w+)/([\w.-]+)", self.path):
            self.give(found[1], found[2])
        else:
            self.answer(404, b"")

    def describe(self, name: str, revision: str) -> None:
        self.server.names.append(name)
        if refusal := self.server.refuses.get(name):
            self.answer(refusal[0], b"", {"X-Error-Code": refusal[1]})
        elif revision not in self.server.revisions:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            self.answer(200, json.dumps(self.server.about(self.server.revisions[revision])).encode())

    def give(self, commit: str, name: str) -> None:
        span = self.headers.get("Range", "")
        self.server.asked.append((name, span))
        if refusal := self.server.refuses.get(name):
            return self.answer(refusal[0], b"", {"X-Error-Code": refusal[1]})
        content = self.server.files[name]
        start = int(span.removeprefix("bytes=").removesuffix("-") or 0)
        about = {"ETag": '"x"', "X-Repo-Commit": commit}
        if start:
            about["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.server.cuts.pop(0) if name.endswith(".safetensors") and self.server.cuts else None
        return self.answer(206 if start else 200, content[start:], about, cut)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, project: Project) -> Iterator[Hub]:
    """A Hub with one model, in small pieces and without pauses between tries."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    with as_hub(Hub(), monkeypatch) as server:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "finetune-fetch.json"}


def weights_asked(hub: Hub) -> list[str]:
    return [span for name, span in hub.asked if name == "model.safetensors"]


def test_after_a_fault_at_any_call_the_download_goes_on(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        fault = Fault(patched)
        assert main(["fetch", NAME]) == 0
        calls = fault.calls
        assert calls > 1
        for fault.number in range(1, calls + 1):
            shutil.rmtree("models")
            fault.calls = 0
            capsys.readouterr()
            code = main(["fetch", NAME])
            shown = capsys.readouterr().err.splitlines()
            assert code == 0 or (code, len(shown), shown[0][:7]) == (2, 1, "error: "), shown
            fault.calls = calls
            assert main(["fetch", NAME]) == 0
            assert contents(FOLDER) == BERT
            assert not PARTIAL.exists()


def test_a_model_comes_whole(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", NAME]) == 0
    assert contents(FOLDER) == BERT
    description = json.loads((FOLDER / "finetune-fetch.json").read_text())
    assert (description["name"], description["commit"], description["revision"]) == (NAME, COMMIT, "main")
    assert {file["name"]: file["size"] for file in description["files"]} == {n: len(c) for n, c in BERT.items()}
    assert not PARTIAL.exists()
    out = capsys.readouterr().out
    assert f"commit {COMMIT}" in out
    assert "10.3 kB in 4 files" in out
    assert f'model:\n  name: {NAME}\n  revision: "{COMMIT}"\n' in out


def test_only_what_a_training_reads_comes(hub: Hub) -> None:
    others = (
        *(
            "pytorch_model.bin",
            "tf_model.h5",
            "model.onnx",
            "weights.pt",
            "modeling_x.py",
            "README.md",
            "x.safetensors",
        ),
        *("training_args.bin", "onnx/model.onnx", "../vocab.txt", "a/../../b.model", "vocab.py", ".gitattributes"),
    )
    hub.files |= dict.fromkeys(others, b"no")
    hub.files |= {
        "spiece.model": b"s",
        "merges.txt": b"m",
        "chat_template.jinja": b"c",
        "source.spm": b"p",
        "target_vocab.json": b"t",
    }
    assert main(["fetch", NAME]) == 0
    assert contents(FOLDER).keys() == {
        *BERT, "spiece.model", "merges.txt", "chat_template.jinja", "source.spm", "target_vocab.json",
    }  # fmt: skip


def test_shards_come_with_their_index(hub: Hub) -> None:
    del hub.files["model.safetensors"]
    shards = {f"model-0000{number}-of-00002.safetensors": WEIGHTS[number:] for number in (1, 2)}
    hub.files |= shards | {"consolidated.safetensors": WEIGHTS}
    hub.files["model.safetensors.index.json"] = json.dumps(
        {"weight_map": dict(zip("ab", shards, strict=True))}
    ).encode()
    assert main(["fetch", NAME]) == 0
    assert shards.items() <= contents(FOLDER).items()
    assert not (FOLDER / "consolidated.safetensors").exists()


def test_a_missing_shard_is_told(hub: Hub, refused: Callable[..., str]) -> None:
    hub.files["model-00001-of-00002.safetensors"] = hub.files.pop("model.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
    assert "lacks model-00002-of-00002.safetensors" in refused("fetch", NAME)
    assert not FOLDER.exists()


def test_a_cut_is_continued_at_once(hub: Hub) -> None:
    hub.cuts = [5000, 2000]
    assert main(["fetch", NAME]) == 0
    assert weights_asked(hub) == ["", "bytes=5000-", "bytes=7000-"]
    assert contents(FOLDER) == BERT


def test_a_reset_is_continued_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library tries again after a cut, but not after a reset."""
    transfer = download.http_get

    def reset(url: str, target: Any, **options: Any) -> None:
        if url.endswith(".safetensors") and options["resume_size"] == 0:
            target.write(WEIGHTS[:3000])
            raise OSError("connection reset")
        transfer(url, target, **options)

    monkeypatch.setattr(download, "http_get", reset)
    assert main(["fetch", NAME]) == 0
    assert weights_asked(hub) == ["bytes=3000-"]
    assert contents(FOLDER) == BERT


def test_what_came_before_a_failure_is_continued_by_the_next_call(hub: Hub, refused: Callable[..., str]) -> None:
    hub.cuts = [5000]
    refuse_after(hub, 1)
    assert "run it again to resume the download" in refused("fetch", NAME)
    assert not FOLDER.exists()
    assert (PARTIAL / "model.safetensors").read_bytes() == WEIGHTS[:5000]

    hub.refuses, hub.asked = {}, []
    assert main(["fetch", NAME]) == 0
    assert hub.asked == [("model.safetensors", "bytes=5000-")]
    assert contents(FOLDER) == BERT


def refuse_after(hub: Hub, answers: int) -> None:
    """Answer with an error of the server once it has given weights so often."""

    class Refuses(dict[str, tuple[int, str]]):
        def get(self, name: str, default: Any = None) -> Any:
            return (500, "") if name == "model.safetensors" and len(weights_asked(hub)) > answers else default

    hub.refuses = Refuses()


def test_ctrl_c_keeps_what_has_come(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    write = download.Partial.write

    def interrupted(self: Any, data: bytes) -> int:
        written = write(self, data)
        if self.tell() >= 3000:
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(download.Partial, "write", interrupted)
    assert main(["fetch", NAME]) == 130
    assert not FOLDER.exists()
    monkeypatch.setattr(download.Partial, "write", write)
    assert main(["fetch", NAME]) == 0
    assert weights_asked(hub) == ["", "bytes=3000-"]
    assert contents(FOLDER) == BERT


def test_parts_of_another_commit_are_not_continued(hub: Hub, refused: Callable[..., str]) -> None:
    hub.cuts = [5000]
    refuse_after(hub, 1)
    refused("fetch", NAME)
    hub.refuses, hub.asked = {}, []
    hub.files["model.safetensors"] = WEIGHTS[::-1]
    assert main(["fetch", NAME, "--revision", OTHER]) == 0
    assert weights_asked(hub) == [""]
    assert contents(FOLDER)["model.safetensors"] == WEIGHTS[::-1]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_wrong_bytes_are_refused(
    name: str, hub: Hub, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = hub.about(COMMIT)
    monkeypatch.setattr(hub, "about", lambda commit: told)
    right = hub.files[name]
    hub.files[name] = b"?" * len(right)
    assert f"{name}: the download from http://127.0.0.1" in refused("fetch", NAME)
    assert not FOLDER.exists()
    assert not (PARTIAL / name).exists(), "it must not be continued"
    hub.files[name] = right
    assert main(["fetch", NAME]) == 0
    assert contents(FOLDER) == BERT


def test_a_damaged_part_is_brought_again(hub: Hub, refused: Callable[..., str]) -> None:
    refuse_after(hub, 0)
    refused("fetch", NAME)
    (PARTIAL / "model.safetensors").write_bytes(b"x" * len(WEIGHTS))
    (PARTIAL / "vocab.txt").write_bytes(b"longer than it is")
    hub.refuses = {}
    assert main(["fetch", NAME]) == 0
    assert contents(FOLDER) == BERT


@pytest.mark.parametrize(
    ("name", "refusal", "sentence"),
    [
        ("org/gated", GATED, "MODEL: 'org/gated' is gated: accept its terms"),
        ("org/none", MISSING_REPO, "MODEL: 'org/none' is neither a local folder nor a public model on the Hub"),
        ("org/old", MISSING_REVISION, "MODEL: 'org/old' has no revision 'v9': correct the revision"),
        ("org/busy", (503, ""), "cannot be reached (Server error"),
        ("model.safetensors", GATED, "'org/model' is gated"),
    ],
)
def test_refusals_of_the_hub(
    name: str, refusal: tuple[int, str], sentence: str, hub: Hub, refused: Callable[..., str]
) -> None:
    hub.refuses[name] = refusal
    hub.revisions["v9"] = COMMIT
    assert sentence in refused("fetch", name if "/" in name else NAME, "--revision", "v9")
    assert not FOLDER.exists()


def test_models_that_cannot_be_fetched(hub: Hub, refused: Callable[..., str]) -> None:
    assert "'org/model' has no revision 'v9'" in refused("fetch", NAME, "--revision", "v9")
    assert "created locally: there is nothing to fetch" in refused("fetch", "tiny:bert")
    Path("local").mkdir()
    assert "'local' is a local folder" in refused("fetch", "local")
    assert "'https://x.org/a' is not a model name of the Hub" in refused("fetch", "https://x.org/a")
    assert "'a--b' is neither" in refused("fetch", "a--b")
    assert "name a MODEL such as" in refused("fetch")
    del hub.files["config.json"]
    assert "has no config.json" in refused("fetch", NAME)
    hub.files["pytorch_model.bin"] = hub.files.pop("model.safetensors")
    assert "choose a model with safetensors weights" in refused("fetch", NAME)
    assert not hub.asked
    assert not FOLDER.exists()


def test_no_network(hub: Hub, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers
    assert "http://127.0.0.1:9 cannot be reached" in refused("fetch", NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "cannot be downloaded while HF_HUB_OFFLINE is set" in refused("fetch", NAME)


def test_a_small_disk_is_told_before_anything_comes(
    hub: Hub, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(20_000, 10_000, 10_000))
    assert "models/org--model: needs 10.3 kB, and 10.0 kB are free" in refused("fetch", NAME).replace("\\", "/")
    assert not hub.asked
    assert not PARTIAL.exists()


def test_a_disk_that_fills_up_is_told(hub: Hub, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.Partial, "write", full)
    assert "cannot be written (No space left on device)" in refused("fetch", NAME)


def test_the_second_call_does_nothing(
    hub: Hub, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    assert main(["fetch", NAME]) == 0
    hub.asked.clear()
    assert main(["fetch", NAME]) == 0
    assert "is downloaded already" in capsys.readouterr().out
    assert not hub.asked
    hub.names.clear()
    assert main(["fetch", NAME, "--revision", COMMIT]) == 0
    assert not hub.names, "a commit that is here needs no network"

    assert "holds org/model at commit 111" in refused("fetch", NAME, "--revision", OTHER)
    (FOLDER / "vocab.txt").write_text("shorter")
    assert "vocab.txt: is missing or has changed" in refused("fetch", NAME)


def test_folders_of_others_stay_as_they_are(hub: Hub, refused: Callable[..., str]) -> None:
    Path("mine").mkdir()
    assert main(["fetch", NAME, "--to", "mine"]) == 0, "an empty folder is fine"
    Path("mine/finetune-fetch.json").unlink()
    assert "mine: exists, but was not fetched" in refused("fetch", NAME, "--to", "mine")
    Path("file").touch()
    assert "file: exists, but was not fetched" in refused("fetch", NAME, "--to", "file")
    assert "cannot be written" in refused("fetch", NAME, "--to", "file/model")
    assert contents(Path("mine")) == BERT


def test_another_folder_is_named_to_the_config(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", NAME, "--to", "else/where"]) == 0
    assert capsys.readouterr().out.endswith("model:\n  name: else/where\n")
    assert contents(Path("else/where")) == BERT


def test_two_at_once_are_refused(hub: Hub, refused: Callable[..., str]) -> None:
    Path("models").mkdir()
    with FileLock("models/.org--model.lock"):
        assert "another fetch is writing here" in refused("fetch", NAME)


def test_the_config_is_pinned(hub: Hub, project: Project, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", model={"name": NAME})
    before = path.read_text()
    assert "model.name is 'org/model', not 'org/other'" in refused("fetch", "org/other", "--config", path)
    assert "--to goes without --config" in refused("fetch", "--config", path, "--to", "x")
    assert main(["fetch", "--config", str(path)]) == 0
    pinned = before.replace(f"  name: {NAME}\n", f'  name: {NAME}\n  revision: "{COMMIT}"\n')
    assert path.read_text() == pinned
    hub.names.clear()
    assert main(["fetch", "--config", str(path)]) == 0
    assert path.read_text() == pinned
    assert not hub.names


def test_faults_of_a_config_are_told_at_its_place(hub: Hub, project: Project, refused: Callable[..., str]) -> None:
    tiny = project.config("text-classification")
    assert f"{tiny}: model.name: 'tiny:bert' is created locally" in refused("fetch", "--config", tiny)
    code = {"name": NAME, "revision": COMMIT, "trust_remote_code": True}
    assert "code is not downloaded" in refused("fetch", "--config", project.config("regression", model=code))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "model:\n  name: a   # why\n  max_length: 8\n",
            'model:\n  name: a   # why\n  revision: "C"\n  max_length: 8\n',
        ),
        ("model:\n  revision: main  # x\n  name: a\n", 'model:\n  revision: "C"  # x\n  name: a\n'),
        ("model:\n    name: a\n    revision:\nrun: {}\n", 'model:\n    name: a\n    revision: "C"\nrun: {}\n'),
        ("model:\n  revision: 'v1'\n  name: a", 'model:\n  revision: "C"\n  name: a'),
        ("model: {name: a, max_length: 8}  # x\n", 'model: {name: a, revision: "C", max_length: 8}  # x\n'),
        ("\ufeffmodel:\r\n  name: 'ä'\r\nrun:\r\n", "\ufeffmodel:\r\n  name: 'ä'\r\n  revision: \"C\"\r\nrun:\r\n"),
        ("run: {}\nmodel:\n  name: a", 'run: {}\nmodel:\n  name: a\n  revision: "C"'),
        ('{"model": {"name": "a"}}', '{"model": {"name": "a", revision: "C"}}'),
        # What a round trip through a parser and an emitter changes: null, comments, spaces, wrapped and nested lists.
        (
            "model:\n  name: a\n\n  # tokens\n  max_length: 8\ntrain:   {max_steps: null}   # x\n"
            "l: [a,\n  b]\ns:\n  - t\n",
            'model:\n  name: a\n  revision: "C"\n\n  # tokens\n  max_length: 8\ntrain:   {max_steps: null}   # x\n'
            "l: [a,\n  b]\ns:\n  - t\n",
        ),
    ],
)
def test_a_pin_changes_one_line(before: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(before.encode())
    pin_revision(path, "C")
    assert path.read_bytes() == after.encode()
    assert yaml.safe_load(after)["model"]["revision"] == "C"
    assert list(tmp_path.iterdir()) == [path]


def test_an_odd_layout_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("run: {name: &n a}\nmodel:\n  name: *n\n")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"write revision: .* under model yourself"):
        pin_revision(path, COMMIT)
    assert path.read_bytes() == before


def test_a_config_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "replace", refuse)
    path = tmp_path / "config.yaml"
    path.write_text("model:\n  name: a\n")
    with pytest.raises(UserError, match="cannot be written"):
        pin_revision(path, COMMIT)


@pytest.fixture
def offline(hub: Hub, project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a config whose model, a small BERT, has been fetched, and take the network away."""

    def make(*arguments: str, **sections: dict[str, Any]) -> Path:
        project.train(project.config("text-classification", name="base", train={"max_steps": 1}))
        hub.files = contents(Path("runs/base/best"))
        path = project.config("text-classification", model={"name": NAME}, **sections)
        assert main(["fetch", *(arguments or ("--config", str(path)))]) == 0
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.names.clear()
        return path

    return make


def base_of(run: str) -> dict[str, Any]:
    base: dict[str, Any] = json.loads(Path("runs", run, "best/finetune.json").read_text())["base"]
    return base


def test_a_fetched_model_trains_offline_and_resumes_exactly(
    offline: Callable[..., Path], hub: Hub, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = offline(train={"max_steps": 4, "epochs": 3})
    project.train(path)
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        assert not training.train(load_config(path, ["run.name=resumed"]), console=Console(quiet=True))
    assert training.train(load_config(path, ["run.name=resumed"]), resume=True, console=Console(quiet=True))
    whole, resumed = (Path("runs", run, "best/model.safetensors").read_bytes() for run in ("config", "resumed"))
    assert whole == resumed
    assert base_of("config") == base_of("resumed")
    assert base_of("config")["revision"] == COMMIT
    assert not hub.names


def test_what_was_learnt_on_a_fetched_model_finds_it_again(
    offline: Callable[..., Path], hub: Hub, project: Project
) -> None:
    """With a method that saves what it adds alone; the config is not pinned, yet the run remembers the commit."""
    project.train(offline(NAME, method={"type": "lora"}, train={"max_steps": 1}))
    assert base_of("config")["revision"] == COMMIT
    load_saved_model(Path("runs/config/best"))
    shutil.rmtree("models")
    with pytest.raises(UserError, match="'org/model' cannot be loaded"):
        load_saved_model(Path("runs/config/best"))


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"name": NAME}, True),
        ({"name": NAME, "revision": COMMIT}, True),
        ({"name": NAME, "revision": "main"}, True),
        ({"name": NAME, "revision": OTHER}, False),
        ({"name": NAME, "revision": COMMIT, "trust_remote_code": True}, False),
        ({"name": "org--model"}, False),
        ({"name": "./nowhere"}, False),
    ],
)
def test_the_loader_looks_for_name_and_revision(model: dict[str, Any], found: bool, hub: Hub) -> None:
    assert main(["fetch", NAME]) == 0
    assert find_manifest(Model(**model)) == (read_manifest(FOLDER) if found else None)
