"""Small projects to train in: a folder of their own, tiny models, tiny data, no network."""

import contextlib
import functools
import io
import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import HTTPServer
from pathlib import Path
from typing import Any, TypeVar

# Before torch and transformers read them: no hub, and no threads that wait for each other in so small a model.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
import yaml
from matplotlib.figure import Figure
from rich.console import Console

from finetune import optional
from finetune.cli import main
from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.console import quiet_libraries
from finetune.model import load as loading
from finetune.train import embedding_gradient
from finetune.train import loop as training

quiet_libraries()

QUIET = Console(quiet=True)
ROOT = Path(__file__).resolve().parent.parent
"""The project under test."""

GOOD = ["a fine day", "what a lovely song it was", "bright and warm", "they laughed a lot , and then some more", "glad"]
BAD = ["a grim day", "what a dreadful noise it was", "dark and cold", "they wept a lot , and then some more", "sad"]
SENTENCES = [
    ("Ada Byron lives in Turin .", "B-PER I-PER O O B-LOC O"),
    ("The train to New York leaves at noon from here .", "O O O B-LOC I-LOC O O O O O O"),
    ("Acme hired Ada .", "B-ORG O B-PER O"),
    ("Nothing happened .", "O O O"),
    ("Turin and Acme Works signed with Mr Byron , they said .", "B-LOC O B-ORG I-ORG O O O B-PER O O O O"),
]


TAGGED = [
    ("the invoice is wrong", ["billing"]),
    ("I cannot log in and the invoice is wrong", ["billing", "login"]),
    ("password forgotten , cannot log in", ["login"]),
    ("thank you all", []),
]
SCORED = [
    ("dreadful", 1.0),
    ("poor , very poor", 1.5),
    ("so so", 3.0),
    ("good", 4.0),
    ("very good indeed , all of it", 5),
]
LISTS = {
    "quiet room by the sea": [("a loud bar", 0), ("a quiet house at the beach with a room", 2), ("a room", 1)],
    "tea": [("green tea", 1), ("coffee", 0)],
    "something with horses": [("a farm with horses and more", 1), ("a harbour", 0), ("a bar", 0), ("riding", 1)],
}
ANSWERED = [
    ("quiet room by the sea", "a quiet house at the beach with a room", ["a loud bar"]),
    ("quiet room by the sea", "rooms with a view of the sea", []),
    ("tea", "green tea", ["coffee", "a loud bar"]),
    ("something hot to drink , please", "green tea", []),
    ("something with horses", "a farm with horses and more", ["a harbour"]),
]
COMPLETED = [
    ("scarf , red", "A red scarf of wool ."),
    ("lamp , small and green , for a desk", "This small lamp is green . It stands on a desk ."),
    ("mug", "A mug ."),
    ("chair , oak", "This chair is made of oak , and of nothing else ."),
]
DIALOGUES = [
    ["When do you open ?", "At nine ."],
    ["Hello", "Hello , how can I help ?", "Where is my parcel 7 ?", "Parcel 7 is on its way ."],
    ["Do you open on Sunday ?", "No , we are closed on Sunday , and on Monday too ."],
    ["Thank you", "You are welcome ."],
]
PHRASES = [
    ("good day", "guten Tag"),
    ("the red house", "das rote Haus"),
    ("where is the station , please ?", "wo ist bitte der Bahnhof ?"),
    ("thank you", "danke"),
    ("the house by the station", "das Haus am Bahnhof"),
]
NOTICES = [
    ("The library opens at nine today . The street is dry .", "The library opens at nine ."),
    ("It is warm . The pool is closed on Monday .", "The pool is closed ."),
    ("The club meets at noon . Bring a friend and something to eat .", "Club at noon ."),
    ("The water will be shut off . We are sorry .", "No water ."),
]
FILES = {
    "text-classification": ("train.jsonl", "validation.jsonl"),
    "multi-label-classification": ("tagged.jsonl", "tagged-validation.jsonl"),
    "regression": ("scored.jsonl", "scored-validation.jsonl"),
    "token-classification": ("train.conll", "validation.conll"),
    "ranking": ("lists.jsonl", "lists-validation.jsonl"),
    "retrieval": ("answered.jsonl", "answered-validation.jsonl"),
    "text-generation": ("completed.jsonl", "completed-validation.jsonl"),
    "chat": ("dialogues.jsonl", "dialogues-validation.jsonl"),
    "translation": ("phrases.jsonl", "phrases-validation.jsonl"),
    "summarization": ("notices.jsonl", "notices-validation.jsonl"),
}
"""Training and validation file of each task."""
TASKS = list(FILES)
TINY = {
    **dict.fromkeys(TASKS, "tiny:bert"),
    **{"text-generation": "tiny:gpt2", "chat": "tiny:gpt2", "translation": "tiny:t5", "summarization": "tiny:t5"},
}
"""The model built on the spot that fits each task."""
WRITING = [task for task in TASKS if TINY[task] != "tiny:bert"]
"""Tasks whose predictions are texts."""
METRICS = {
    "text-classification": ["accuracy", "f1_macro", "f1_micro", "f1_weighted", "mcc"],
    "multi-label-classification": [
        *("f1_micro", "f1_macro", "f1_weighted", "f1_samples", "exact_match", "hamming_loss"),
    ],
    "regression": ["r2", "rmse", "mae", "pearson", "spearman"],
    "token-classification": [
        *("f1", "precision", "recall", "f1_macro", "f1_strict", "token_accuracy", "token_f1_weighted"),
    ],
    "ranking": ["ndcg@10", "ndcg@3", "mrr", "map", "recall@1", "recall@3"],
    "retrieval": ["ndcg@10", "mrr@10", "recall@1", "recall@5", "recall@10"],
    "text-generation": ["perplexity", "token_accuracy"],
    "chat": ["perplexity", "token_accuracy"],
    "translation": ["bleu", "chrf", "perplexity", "token_accuracy"],
    "summarization": ["rougeL", "rouge1", "rouge2", "perplexity", "token_accuracy"],
}
"""The metrics of each task, the main one first."""


Server = TypeVar("Server", bound=HTTPServer)


def needs(*folders: str) -> pytest.MarkDecorator:
    """Skip a test of another part if it also uses an optional folder that the project has deleted."""
    return pytest.mark.skipif(not all(map(optional.is_there, folders)), reason=f"needs {' and '.join(folders)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the proofs: left out by default, run by `pytest -m proof`."""
    for item in items:
        if "proofs" in item.path.parts:
            item.add_marker(pytest.mark.proof)


class Project:
    """A folder with data and configs, which is the current folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str | bytes) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def config(self, task: str, name: str = "config", **sections: dict[str, Any]) -> Path:
        """A config of few and quick steps, with changes to its sections."""
        train, validation = FILES[task]
        values: dict[str, Any] = {
            "task": {"type": task, **({"generation": {"max_new_tokens": 9}} if task in WRITING else {})},
            "model": {"name": TINY[task], "max_length": 32},
            "data": {"train": train, "validation": validation, "test": validation},
            "train": {"epochs": 2, "batch_size": 4, "device": "auto"},
            "optim": {"lr": 1e-3},
        }
        for section, changes in sections.items():
            values[section] = {**values.get(section, {}), **changes}
        return self.write(f"{name}.yaml", yaml.safe_dump(values, sort_keys=False))

    def train(self, config: Path, *overrides: str) -> None:
        """Train to the end, without the evaluation and the report that the command line adds."""
        assert training.train(load_config(config, list(overrides)), console=QUIET)

    def metrics(self, run: str) -> list[dict[str, Any]]:
        """What a run has logged."""
        lines = (self.folder / "runs" / run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def _blank_picture() -> bytes:
    blank = io.BytesIO()
    Figure((1, 1)).savefig(blank, format="svg")
    return blank.getvalue()


@pytest.fixture(autouse=True)
def _pictures(request: pytest.FixtureRequest, _blank_picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write blank pictures, for most tests that write a report check something else.

    A test with usefixtures("drawn") gets real ones.
    """
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", lambda self, image, **options: image.write(_blank_picture))


@pytest.fixture(autouse=True)
def _rows_of_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny embedding tables have their gradient by rows, as large ones do."""
    monkeypatch.setattr(embedding_gradient, "SMALL", 0)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip fsync, which is slow; proofs/test_checkpoint.py checks that all that is written reaches the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def drawn() -> None:
    """Ask for pictures that show something."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with data for every task."""
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path)


@pytest.fixture(scope="session")
def _finished_projects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @functools.cache
    def finished_project(task: str) -> Path:
        project = filled(tmp_path_factory.mktemp(task))
        with contextlib.chdir(project.folder):
            assert main(["train", str(project.config(task))]) == 0
        return project.folder

    return finished_project


@pytest.fixture
def finished(project: Project, _finished_projects: Callable[[str], Path]) -> Callable[[str], None]:
    """Put a run of a task, as the command line leaves it, into the project; it is trained once and copied."""

    def put(task: str) -> None:
        shutil.copytree(_finished_projects(task) / "runs", project.folder / "runs", dirs_exist_ok=True)

    return put


def filled(folder: Path) -> Project:
    """A project with data for every task."""
    project = Project(folder)
    moods = [{"text": text, "label": label} for good, bad in zip(GOOD, BAD, strict=True)
             for text, label in ((good, "good"), (bad, "bad"))]  # fmt: skip
    lists = [{"query": query, "document": document, "label": label}
             for query, documents in LISTS.items() for document, label in documents]  # fmt: skip
    rows: dict[str, list[dict[str, Any]]] = {
        "text-classification": moods,
        "multi-label-classification": [{"text": text, "labels": labels} for text, labels in TAGGED],
        "regression": [{"text": text, "label": label} for text, label in SCORED],
        "ranking": lists,
        "retrieval": [
            {"query": query, "document": document, **({"negatives": others} if others else {})}
            for query, document, others in ANSWERED
        ],
        "text-generation": [{"prompt": prompt, "completion": completion} for prompt, completion in COMPLETED],
        "chat": [{"messages": messages(*turns)} for turns in DIALOGUES],
        "translation": [{"source": source, "target": target} for source, target in PHRASES],
        "summarization": [{"source": source, "target": target} for source, target in NOTICES],
    }
    for task, examples in rows.items():
        for name, some in zip(FILES[task], (examples, examples[: max(4, len(examples) // 2)]), strict=True):
            project.write(name, "".join(f"{json.dumps(example)}\n" for example in some))
    project.write("train.conll", conll(SENTENCES))
    project.write("validation.conll", conll(SENTENCES[:3]))
    return project


def with_prices(project: Project, task: str) -> None:
    """Give the rows of a task a number, which the first one lacks, and a category."""
    for path in map(project.folder.joinpath, FILES[task]):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        more = ({"price": number * 3.5 or None, "brand": "ab"[number % 2]} for number in range(len(rows)))
        path.write_text("".join(f"{json.dumps(row | extra)}\n" for row, extra in zip(rows, more, strict=True)))


def build(config: Config) -> training.Setup:
    """All that a training works with, from the seed of the config."""
    training.set_seed(config.train.seed)
    return training.build(config)


def save_base_model(project: Project, task: str) -> dict[str, Any]:
    """Save the task's tiny model as a pretrained one; returns the section `model` of a config that takes it."""
    longer = {"max_length": 64}  # room for virtual tokens
    setup = build(load_config(project.config(task, model={"name": TINY[task], **longer}, train={"device": "cpu"})))
    with torch.no_grad():
        for parameter in setup.model.parameters():
            parameter.mul_(4)  # weights that matter
    body = setup.model if task in WRITING else setup.model.base_model
    body.save_pretrained("base")
    setup.tokenizer.save_pretrained("base")
    return {"name": "base", "max_length": 32}


def messages(*turns: str) -> list[dict[str, str]]:
    """A dialogue of user and assistant in turn."""
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


def conll(sentences: list[tuple[str, str]]) -> str:
    """Sentences of words and tags in columns."""
    pairs = (zip(words.split(), tags.split(), strict=True) for words, tags in sentences)
    return "\n".join("".join(f"{word} {tag}\n" for word, tag in sentence) for sentence in pairs)


def weights_that_matter(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let tiny models start with weights of a scale that hides no mistake; 0.05 would. `changes` go into the config."""
    make = loading.tiny_config

    def tiny_config(*arguments: Any, **options: Any) -> Any:
        config = make(*arguments, **options)
        setattr(config, "initializer_factor" if config.model_type == "t5" else "initializer_range", 0.5)
        config.update(changes)
        return config

    monkeypatch.setattr(loading, "tiny_config", tiny_config)


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stop signal arrive in the course of a step."""
    stopped = threading.Event()
    taken = itertools.count(1)
    take = training.optimizer_step

    def optimizer_step(*arguments: Any) -> Any:
        if next(taken) == steps:
            stopped.set()
        return take(*arguments)

    monkeypatch.setattr(training, "optimizer_step", optimizer_step)
    monkeypatch.setattr(training, "stop_signal", lambda: contextlib.nullcontext(stopped))


def assert_resumes_to_the_bit(
    project: Project, config: Path, stop: int, monkeypatch: pytest.MonkeyPatch, logged_beyond: str = ""
) -> set[str]:
    """Train once in one go and once stopped in step `stop` and resumed; all weights and the log must be equal.

    `logged_beyond` stands at the end of the log when the run is resumed. Returns the names of the files of weights.
    """
    project.train(config, "run.name=whole")
    with monkeypatch.context() as patched:
        stop_after(stop, patched)
        assert not training.train(load_config(config, ["run.name=cut"]), console=QUIET)
    with Path("runs/cut/metrics.jsonl").open("a") as log:
        log.write(logged_beyond)
    assert training.train(load_config(config, ["run.name=cut"]), resume=True, console=QUIET)
    whole, cut = Path("runs/whole"), Path("runs/cut")
    names = {path.relative_to(whole).as_posix() for path in whole.rglob("*.safetensors")}
    assert [name for name in names if (whole / name).read_bytes() != (cut / name).read_bytes()] == []
    times = {"examples_per_second", "tokens_per_second", "seconds"}
    logs = ([{k: v for k, v in record.items() if k not in times} for record in project.metrics(run.name)]
            for run in (whole, cut))  # fmt: skip
    assert next(logs) == next(logs)
    return names


@contextlib.contextmanager
def as_hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve in a thread, as the Hub of huggingface_hub, which does not pause between tries."""
    from huggingface_hub import constants

    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    # Made of the endpoint when the library is imported.
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must end with exit code 2, and return its one sentence."""

    def run(*arguments: str | Path) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return run
