"""Cache of the tokenized training data: made once, then mapped by every training that reads the same.

The name of an entry is a checksum of all that its content depends on: the data files, the tokenizer, the sections
`task`, `model` and `data` of the config, what the task knew before, and the versions. An entry is written atomically;
its checksums are verified at each start, and a damaged one is made anew.
"""

import gc
import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from . import __version__
from .config.config import Config
from .console import counted
from .data.files import checksum, parts_of
from .data.places import Places, PlaceWriter
from .data.store import ColumnWriter, FeatureStore, write_features
from .dataset import Examples, Split, size_of, unit_starts
from .errors import UserError
from .files import is_valid, publish, sha256_of
from .system_errors import naming
from .tasks.base import Task

FORMAT = 1
"""Version of an entry's files."""
CONTENT = "content.json"
NOT_READ = {"name", "revision", "attention", "trust_remote_code"}
"""Keys of the section `model` that do not change how a text is tokenized, beside the tokenizer itself."""

T = TypeVar("T")
Fit = Callable[[Task[Any, Any], Sequence[Any]], None]


class FeatureCache:
    """The training split of a config, as an entry of the cache."""

    def __init__(
        self, folder: Path, config: Config, task: Task[Any, Any], tokenizer: Any, examples: Examples, fit: Fit
    ) -> None:
        """`task` is what the training starts from; `fit` lets it learn the labels from the examples."""
        self.folder, self.config, self.task, self.tokenizer = folder, config, task, tokenizer
        self.examples, self._fit = examples, fit

    def make(self) -> str:
        """Write the entry unless it is there; returns its name. Raises UserError for what is wrong in the data."""
        name = self._name()
        self.folder.mkdir(parents=True, exist_ok=True)
        with naming(self.folder):
            (self.folder / ".gitignore").write_text("*\n")
        entry = self.folder / name
        with FileLock(self.folder / f"{name}.lock"), without_gc():  # another training may be at it
            if not is_valid(entry):
                publish(entry, self._write)
        os.utime(entry)
        return name

    def open(self, name: str) -> Split:
        """The split of an entry; the task then knows what it has learnt from it."""
        entry = self.folder / name
        content = json.loads((entry / CONTENT).read_text(encoding="utf-8"))
        self.task.load_state(content["state"])
        self.task.read_tokenizer(self.tokenizer)
        features = FeatureStore(entry, content["types"])
        starts = unit_starts(self.task, features.examples, content["examples"])
        places = Places(entry, content["types"], content["places"], self.examples.paths)
        self.examples.known_size = content["examples"]
        return Split(self.examples, features, starts, features.tokens, content["truncated"], content["size"], places)

    def _name(self) -> str:
        config = self.config.model_dump(mode="json", include={"task", "model", "data"})
        files = {"train", "validation", "test"}
        depends_on = {
            "format": FORMAT,
            "versions": [__version__, *map(version, ("transformers", "tokenizers"))],
            "task": config["task"],
            "model": {key: value for key, value in config["model"].items() if key not in NOT_READ},
            "data": {key: value for key, value in config["data"].items() if key not in files},
            "known": self.task.state(),
            "tokenizer": fingerprint(self.tokenizer),
            "files": [[path.as_posix(), checksum(path)] for path in self.examples.paths],  # a path may hold the label
        }
        return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]

    def _write(self, target: Path) -> None:
        before = _stamps(self.examples.paths)
        self._fit(self.task, self.examples)
        columns = ColumnWriter(target)
        places = PlaceWriter(columns, self.examples.paths)
        truncated = count = 0
        for chunk in ahead(self.examples.chunks("tokenizing")):
            encoded = self.task.encode(chunk.examples, self.tokenizer, self.config.model.max_length)
            for feature in encoded.features:
                feature.example += count
            write_features(columns, encoded.features)
            places.add(chunk.places)
            count += len(chunk.examples)
            truncated += encoded.truncated
        features = FeatureStore(target, columns.types)
        self.task.fit_features(features)
        for path, stamp in _stamps(self.examples.paths).items():
            if stamp != before.get(path):
                raise UserError(f"{path}: has changed while it was read: start again when it is complete")
        size = size_of(self.task, self.examples, len(features))
        left_out = counted(self.examples.left_out, "invalid row")
        content = {
            "types": columns.types,
            "examples": count,
            "size": f"{size} ({left_out} left out)" if self.examples.left_out else size,
            "truncated": truncated,
            "places": places.kinds,
            "state": self.task.state(),
        }
        (target / CONTENT).write_text(json.dumps(content), encoding="utf-8")


def ahead(parts: Iterator[T]) -> Iterator[T]:
    """The parts of an iterator; while one is used, a thread makes the next. The tokenizer computes without the GIL."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = thread.submit(next, parts, None)
            yield part


@contextmanager
def without_gc() -> Iterator[None]:
    """Without the search for cycles among objects, which made tokenizing 15 % slower and finds none there."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def fingerprint(tokenizer: Any) -> str:
    """A checksum of the tokenizer's files, and of its code."""
    with tempfile.TemporaryDirectory() as folder, naming(Path(folder)):
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        files.append(Path(inspect.getfile(type(tokenizer))))
        return "".join(map(sha256_of, files))


def _stamps(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change of each file."""
    stats = {part: part.stat() for path in paths for part in parts_of(path)}
    return {part: (stat.st_size, stat.st_mtime_ns) for part, stat in stats.items()}
