"""The index of a corpus in the folder of a run: vectors and documents on disk, brought up to date where they differ.

`RUN/index/<name of the corpus>/` holds `vectors.safetensors` (the vectors, the hashes of the texts and the places of
the documents' lines), `documents.jsonl`, `index.json` (model, corpus, sizes) and `manifest.json` (checksums).
"""

import json
import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..console import counted, notice, progress
from ..data.files import checksum
from ..errors import UserError
from ..files import Folder, damage, is_plain, make_folders, reads_content, recover
from ..run.records import Count, Typed, read_record
from .documents import Document, one_file, stream_documents
from .encoder import Encoder
from .top import top_rows

INDEX, VECTORS, DOCUMENTS, RECORD = "index", "vectors.safetensors", "documents.jsonl", "index.json"
FORMAT = 1
"""Version of the files."""
HASH = 16
"""Bytes of the hash of a text."""
CHUNK = 4096
"""Texts that are embedded together: of similar lengths in a batch, and in bounded memory."""
REMEDY = "remove the folder, and it is built again"


class Record(Typed):
    """index.json."""

    format: Count
    model: str
    corpus: str
    checksum: str
    documents: Count
    width: Count
    repeated: Count = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to bring an index up to date."""

    new: int
    removed: int
    kept: int
    repeated: int = 0
    """Rows of the corpus whose text another row has as well; they are indexed once."""
    reason: str = ""
    """Why an index that was there could not be used."""

    def __str__(self) -> str:
        said = f"{self.new:,} new, {self.removed:,} removed, {self.kept:,} kept"
        if self.repeated:
            said += f"; {counted(self.repeated, 'row repeats a text', 'rows repeat a text')}, which is indexed once"
        return said


class Index:
    """The vectors and documents of a corpus, which are read from disk where they are needed. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Open an index. Raises UserError if it is damaged."""
        if wrong := damage(folder, checksums=reads_content()):
            raise UserError(f"{folder}: {wrong}: {REMEDY}")
        self.folder = folder
        self.record: dict[str, Any] = read_record(Folder(folder), RECORD, Record, REMEDY)
        try:
            tensors = load_file(folder / VECTORS)  # mapped into memory
            with (folder / DOCUMENTS).open("rb") as file:
                self._documents = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.vectors: Tensor = tensors["vectors"]
            self.keys: NDArray[np.uint8] = tensors["keys"].numpy()
            self._starts: NDArray[np.int64] = tensors["starts"].numpy()
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UserError(f"{folder}: cannot be read ({error}): {REMEDY}") from error
        self._require_whole()

    def _require_whole(self) -> None:
        """Raise UserError unless the files belong together: checksums do not tell who has written them."""
        count, width = self.record["documents"], self.record["width"]
        fits = (
            self.record["format"] == FORMAT
            and self.vectors.dtype == torch.float16
            and self.vectors.shape == (count, width)
            and self.keys.dtype == np.uint8
            and self.keys.shape == (count, HASH)
            and self._starts.dtype == np.int64
            and self._starts.shape == (count + 1,)
        )
        if not fits:
            raise UserError(f"{self.folder}: its files do not belong together: {REMEDY}")

    def __len__(self) -> int:
        return len(self.keys)

    def search(self, vectors: NDArray[np.float32], top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest documents of each vector (queries, width): (queries, top) similarities and numbers, best first.

        The similarity is the product of the vectors, the cosine, of the vector that is stored in float16: it differs by
        less than 0.0005 from that of the vector that the model gave.
        """
        return top_rows(self.vectors, vectors, top)

    def document(self, number: int) -> Document:
        """The document of a row. Raises UserError if its line is damaged."""
        line = self._documents[int(self._starts[number]) : int(self._starts[number + 1])]
        try:
            content = json.loads(line)
            return Document(str(content["document"]), str(content["place"]), dict(content["columns"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{self.folder / DOCUMENTS}: line {number + 1} is damaged: {REMEDY}") from error

    def numbers(self) -> dict[bytes, int]:
        """The row of each text, by its hash."""
        return {key.tobytes(): number for number, key in enumerate(self.keys)}


def open_index(corpus: Path, encoder: Encoder, say: Callable[[str], None]) -> tuple[Index, Change]:
    """The index of a corpus, brought up to date if the corpus or the model has changed; `say` tells why it is rebuilt.

    Only texts that it does not have are embedded. A kill leaves the index as it was.
    Raises UserError for a corpus that cannot be read, and for a folder that cannot be written.
    """
    path, run = one_file(corpus), encoder.run
    name = index_name(path)
    folder = run.at(INDEX, name)
    content = checksum(path)
    found, reason = _usable(folder, encoder)
    if found and found.record["checksum"] == content and found.record["corpus"] == path.as_posix():
        return found, Change(0, 0, len(found), found.record["repeated"])
    try:
        make_folders(run.at(INDEX))
        with FileLock(run.at(INDEX, f".{name}.lock")).acquire(timeout=0):
            recover(folder)
            found, reason = _usable(folder, encoder)
            if reason:
                say(f"{folder}: {reason}: it is built again")
            change = _write(folder, path, content, encoder, found)
    except Timeout as error:
        raise UserError(f"{folder}: another process is writing this index: wait for it") from error
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}): change the permissions, or search in a copy of the run"
        ) from error
    return Index(folder), Change(change.new, change.removed, change.kept, change.repeated, reason)


def index_name(corpus: Path) -> str:
    """The name of the folder of a corpus: that of its file, as a plain name."""
    name = re.sub(r"[^\w.-]+", "_", corpus.name).strip("._")[:100]
    return name if is_plain(name) else f"corpus_{name}"


def text_key(text: str) -> bytes:
    """The hash of a text, by which an index knows it."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=HASH).digest()


def _usable(folder: Path, encoder: Encoder) -> tuple[Index | None, str]:
    """The index that is there, if the model has made it; or else why it cannot be used."""
    if not folder.exists():
        return None, ""
    try:
        index = Index(folder)
    except UserError as error:
        return None, str(error).removeprefix(f"{folder}: ").removesuffix(f": {REMEDY}")
    if index.record["model"] != encoder.fingerprint:
        return None, "is that of another model"
    return index, ""


def _write(folder: Path, path: Path, content: str, encoder: Encoder, old: Index | None) -> Change:
    """Write the index of a corpus, with the vectors of the old one for the texts that it has."""
    if old and old.record["corpus"] != path.as_posix():
        notice(f"{folder}: was the index of {old.record['corpus']}, and is now that of {path.as_posix()}")
    known = old.numbers() if old else {}
    change: list[Change] = []

    def write(target: Path) -> None:
        with (target / DOCUMENTS).open("wb") as file:
            built = _Building(file, encoder, known)
            with progress(f"indexing {path}") as advance:
                for document in stream_documents(path, encoder.config.data):
                    built.add(document)
                    advance(1)
                built.embed()
        vectors = built.vectors(old)
        keys = np.frombuffer(b"".join(built.rows), np.uint8).reshape(-1, HASH)
        tensors = {"vectors": vectors, "keys": torch.tensor(keys), "starts": torch.tensor(built.starts)}
        save_file(tensors, target / VECTORS)
        record = {
            "format": FORMAT,
            "model": encoder.fingerprint,
            "task": encoder.config.task.model_dump(),
            "max_length": encoder.config.model.max_length,
            "corpus": path.as_posix(),
            "checksum": content,
            "documents": len(vectors),
            "width": vectors.shape[1],
            "repeated": built.repeated,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (target / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
        kept = len(built.rows) - built.new
        change.append(Change(built.new, len(known) - kept, kept, built.repeated))

    Folder(folder.parent).publish(folder.name, write)
    return change[0]


class _Building:
    """The documents of a new index, one after the other."""

    def __init__(self, file: BinaryIO, encoder: Encoder, known: dict[bytes, int]) -> None:
        self._file, self._encoder, self._known = file, encoder, known
        self.rows: dict[bytes, int] = {}
        """The hash of each text, and its row in the old index; -1 for a new text."""
        self.starts = [0]
        self.repeated = 0
        self._waiting: list[str] = []
        self._embedded: list[NDArray[np.float16]] = []

    @property
    def new(self) -> int:
        """Texts that the old index does not have."""
        return sum(row < 0 for row in self.rows.values())

    def add(self, document: Document) -> None:
        """Write a document, unless its text is there already."""
        key = text_key(document.text)
        if key in self.rows:
            self.repeated += 1
            return
        self.rows[key] = self._known.get(key, -1)
        content = {"document": document.text, "place": document.place, "columns": document.columns}
        line = f"{json.dumps(content, ensure_ascii=False, default=str)}\n".encode()
        self.starts.append(self.starts[-1] + len(line))
        self._file.write(line)
        if self.rows[key] < 0:
            self._waiting.append(document.text)
            if len(self._waiting) == CHUNK:
                self.embed()

    def embed(self) -> None:
        """Embed the texts that wait for it."""
        if self._waiting:
            self._embedded.append(self._encoder.embed(self._waiting, "document").astype(np.float16))
            self._waiting = []

    def vectors(self, old: Index | None) -> Tensor:
        """(documents, width): the new vectors and those of the old index, in the order of the corpus."""
        before = np.fromiter(self.rows.values(), np.int64, len(self.rows))
        width = self._embedded[0].shape[1] if self._embedded else old.vectors.shape[1] if old else 0
        matrix = np.empty((len(before), width), np.float16)
        if old:
            kept = np.flatnonzero(before >= 0)
            matrix[kept] = old.vectors.numpy()[before[kept]]
        places, done = np.flatnonzero(before < 0), 0
        while self._embedded:  # each part is freed when it is copied
            part = self._embedded.pop(0)
            matrix[places[done : done + len(part)]] = part
            done += len(part)
        return torch.from_numpy(matrix)
