"""Indexes of `search`: files from somebody else are refused in a sentence, and any corpus becomes an index or an error.

A case of `index/files` changes files of an intact index, and makes its manifest anew, as an attacker would.
"""

import base64
import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .mutations import mutated
from .run_folders import PIECES, nothing, with_other_values
from .target import ACCEPTED, REFUSED, Target

CORPUS = b'{"document": "green tea", "id": 1}\n{"document": "a red house"}\n{"document": "green tea"}\n'
FILES = ("documents.jsonl", "index.json", "vectors.safetensors")


def encoder(folder: Path) -> Any:
    """A stand-in: a vector for each text, without a model."""
    import numpy as np
    from finetune.config.config import Data
    from finetune.run.folder import RunFolder

    def embed(texts: Sequence[str], role: str) -> Any:
        lengths = [[len(text), 1.0] for text in texts]
        return np.array(lengths, np.float32) / np.linalg.norm(lengths, axis=1, keepdims=True).astype(np.float32)

    (folder / "run").mkdir(exist_ok=True)
    task = SimpleNamespace(model_dump=lambda: {"type": "retrieval"})
    config = SimpleNamespace(data=Data(train="x"), task=task, model=SimpleNamespace(max_length=32))
    return SimpleNamespace(run=RunFolder(folder / "run"), fingerprint="a", config=config, embed=embed)


def build(content: bytes, folder: Path) -> Any:
    from finetune.search.index import open_index

    corpus = folder / "corpus.jsonl"
    corpus.write_bytes(content)
    return open_index(corpus, encoder(folder), lambda _: None)[0]


def read_all(index: Any) -> None:
    import numpy as np

    _, numbers = index.search(np.array([[1.0] * index.vectors.shape[1]], np.float32), 5)
    assert len(numbers[0]) <= len(index)
    for number in range(len(index)):
        assert isinstance(index.document(number).text, str)


@cache
def intact() -> dict[str, bytes]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-index-"))
    index = build(CORPUS, folder)
    files = {name: (index.folder / name).read_bytes() for name in FILES}
    shutil.rmtree(folder, ignore_errors=True)
    return files


def changes(random_: random.Random) -> bytes:
    """Other contents of some files, in JSON by their names, in base64."""
    changed = {}
    for name in random_.sample(FILES, random_.choice((1, 1, 2))):
        content = intact()[name]
        if name == "index.json" and random_.random() < 0.7:
            content = with_other_values(content, random_)
        if name != "index.json" or random_.random() < 0.3:
            content = mutated(content, PIECES, random_)
        changed[name] = base64.b64encode(content).decode()
    return json.dumps(changed).encode()


def open_changed(content: bytes, folder: Path) -> str:
    from finetune.errors import UserError
    from finetune.files import write_manifest
    from finetune.search.index import Index

    changed = {name: base64.b64decode(encoded) for name, encoded in json.loads(content).items()}
    for name, whole in (intact() | changed).items():
        (folder / name).write_bytes(whole)
    write_manifest(folder)
    try:
        read_all(Index(folder))
    except UserError as error:
        if str(folder) not in str(error):
            raise AssertionError(f"no place: {error}") from error
        return REFUSED
    return ACCEPTED


def corpus() -> bytes:
    return CORPUS


def damaged_corpus(random_: random.Random) -> bytes:
    return mutated(CORPUS, [*PIECES, b'"document"', b"document", b'{"document": "a"}\n'], random_)


def index_corpus(content: bytes, folder: Path) -> str:
    """What cannot be read leaves no index; what can is all there."""
    from finetune.errors import UserError

    try:
        index = build(content, folder)
    except UserError as error:
        if "corpus.jsonl" not in str(error) or (folder / "run" / "index" / "corpus.jsonl").exists():
            raise AssertionError(f"no place, or a part of an index: {error}") from error
        return REFUSED
    read_all(index)
    assert len({index.document(number).text for number in range(len(index))}) == len(index), "a text twice"
    return ACCEPTED


TARGETS = [
    Target("index/files", nothing, changes, open_changed),
    Target("index/corpus", corpus, damaged_corpus, index_corpus),
]
