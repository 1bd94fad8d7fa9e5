"""Data files of the Hub, imitated on loopback: downloaded once, pinned to a commit, then used offline."""

import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import Project, as_hub, build
from huggingface_hub import constants

from finetune.config.load import load_config
from finetune.console import Notice
from finetune.data.files import files_of
from finetune.data.hub_files import hub_files
from finetune.errors import UserError

COMMIT, LATER = "1" * 40, "2" * 40
ROWS = b"text,label\nfine,good\ngrim,bad\n"
FOLDER = Path("data/hub/org--name")
OFF = ("data.validation=null", "data.test=null")
SOURCE = "hf://datasets/org/name/data/a.csv"


class Hub(ThreadingHTTPServer):
    """The addresses that huggingface_hub asks: what a dataset holds, and its files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files = {f"data/{name}.csv": ROWS.replace(b"fine", name.encode()) for name in "ab"}
        self.files |= {"README.md": b"", ".gitattributes": b"", "data/deep/c.csv": ROWS}
        self.revisions = {"main": COMMIT, "v1": LATER, "refs%2Fconvert%2Fparquet": LATER, COMMIT: COMMIT}
        self.asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        about = re.fullmatch(r"/api/datasets/(\w+/\w+)/revision/([\w.%]+)(?:\?.*)?", self.path)
        file = re.fullmatch(r"/datasets/org/name/resolve/(\w+)/(.+)", self.path)
        if about and about[1] != "org/name":
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif about and about[2] not in self.server.revisions:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif about:
            siblings = [{"rfilename": name} for name in self.server.files]
            commit = self.server.revisions[about[2]]
            self.answer(200, json.dumps({"id": "org/name", "sha": commit, "siblings": siblings}).encode())
        elif file and file[2] in self.server.files:
            self.answer(200, self.server.files[file[2]], {"ETag": '"x"', "X-Repo-Commit": file[1]})
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, project: Project) -> Iterator[Hub]:
    """A Hub with one dataset."""
    with as_hub(Hub(), monkeypatch) as server:
        yield server


def fetched(source: str) -> list[str]:
    with pytest.warns(Notice, match=rf"^{re.escape(source)}: pinned to commit [12]{{40}}: delete data/hub/org--name/"):
        return [path.as_posix() for path in files_of([source])]


def test_a_file_is_downloaded_once_and_then_read_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOLDER / COMMIT / "data/a.csv"
    assert fetched(SOURCE) == [path.as_posix()]
    assert path.read_bytes() == hub.files["data/a.csv"]
    hub.asked.clear()
    hub.revisions["main"] = LATER
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert files_of([SOURCE]) == [path], "the commit stays"
    assert hub.asked == []
    with pytest.raises(UserError, match=r"data/b\.csv: has not been downloaded yet, and HF_HUB_OFFLINE is set"):
        files_of([SOURCE.replace("a.csv", "b.csv")])


def test_a_later_version_is_taken_when_the_note_is_deleted(hub: Hub) -> None:
    fetched(SOURCE)
    hub.revisions["main"] = LATER
    (FOLDER / "main.json").unlink()
    assert fetched(SOURCE) == [f"{FOLDER.as_posix()}/{LATER}/data/a.csv"]


@pytest.mark.parametrize(
    ("address", "commit", "names"),
    [
        ("org/name/data/*.csv", COMMIT, ["data/a.csv", "data/b.csv"]),
        ("org/name/**/*.csv", COMMIT, ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("org/name/*/deep/?.csv", COMMIT, ["data/deep/c.csv"]),
        ("org/name@v1/data/a.csv", LATER, ["data/a.csv"]),
        (f"org/name@{COMMIT}/data/a.csv", COMMIT, ["data/a.csv"]),
        ("org/name@refs/convert/parquet/data/b.csv", LATER, ["data/b.csv"]),
    ],
)
@pytest.mark.usefixtures("hub")
def test_patterns_and_revisions(address: str, commit: str, names: list[str]) -> None:
    assert fetched(f"hf://datasets/{address}") == [f"{FOLDER.as_posix()}/{commit}/{name}" for name in names]


def test_a_path_of_the_command_line_has_one_slash(hub: Hub) -> None:
    fetched(SOURCE)
    assert files_of([Path(SOURCE)]) == files_of([SOURCE])


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("hf://datasets/org/name", "is no address of a data file: write hf://datasets/ORG/NAME/PATH"),
        ("hf://org/name/a.csv", "is no address of a data file"),
        ("hf://datasets/org/nowhere/a.csv", "'org/nowhere' is no public dataset on the Hub: check the spelling"),
        ("hf://datasets/org/name@v2/a.csv", "'org/name' has no revision 'v2'"),
        ("hf://datasets/org/name/a.csv", r"'org/name' has no such file at main \(found: data/a\.csv, data/b\.csv"),
        ("hf://datasets/org/name/*.csv", "'org/name' has no such file at main"),
    ],
)
@pytest.mark.usefixtures("hub")
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_what_is_not_there(source: str, sentence: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(source)}: {sentence}"):
        hub_files(source)


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be reached .*: check the network, set HF_ENDPOINT to a mirror"):
        hub_files(SOURCE)
    assert not FOLDER.exists()


@pytest.mark.parametrize("name", ["../../evil.csv", "/evil.csv", "a/../../../evil.csv", "C:/evil.csv", "..\\evil.csv"])
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_names_from_the_hub_stay_in_the_folder(name: str, hub: Hub) -> None:
    hub.files = {name: ROWS}
    for pattern in (name, "**/*.csv", "**"):
        with pytest.raises(UserError):
            hub_files(f"hf://datasets/org/name/{pattern}")
    assert not list(Path().rglob("*evil*"))
    assert not [request for request in hub.asked if "evil" in request]


def test_a_training_records_the_commit(hub: Hub, project: Project, refused: Callable[..., str]) -> None:
    config = project.config("text-classification")
    with pytest.warns(Notice, match="pinned to commit"):
        setup = build(load_config(config, ["data.train=hf://datasets/org/name/data/*.csv", *OFF]))
    assert [example.text for example in setup.train.examples] == ["a", "grim", "b", "grim"]
    project.train(config, "data.train=hf://datasets/org/name/data/*.csv", *OFF)
    recorded = json.loads(Path("runs/config/environment.json").read_text())["data"]
    assert [*recorded] == [f"{FOLDER.as_posix()}/{COMMIT}/data/{name}.csv" for name in "ab"]
    stored = json.loads(Path("runs/config/config.json").read_text())
    assert stored["data"]["train"] == "hf://datasets/org/name/data/*.csv"
    assert "no such file" in refused("train", config, "data.train=hf://datasets/org/name/c.csv", *OFF)
