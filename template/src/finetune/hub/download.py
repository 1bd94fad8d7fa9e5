"""Bring the files of a model from the Hub into a folder: continued where they broke off, and checked byte for byte."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HTTPError

# `hf_hub_download` throws away the part of a file that came before an interruption; its transfer can continue it.
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, disable_progress_bars
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..errors import UserError
from .client import hub_errors
from .manifest import Manifest, ManifestFile

AGAIN = "run it again, and it goes on from there"


def download(model: Manifest, folder: Path, place: str, console: Console) -> None:
    """Bring all files of `model` into `folder`, which may hold some of them, or parts of them.

    Raises UserError, about `place`, if the Hub or the disk refuses; what has come stays.
    """
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would write into the bar
    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=model.size, completed=bytes_there(model, folder))
        for file in sorted(model.files, key=lambda file: file.size):
            progress.update(task, description=file.name)
            with hub_errors(place, model.name, model.revision, remedy=AGAIN), disk_errors(folder):
                _bring(model, file, folder / file.name, lambda count: progress.advance(task, count))


def bytes_there(model: Manifest, folder: Path) -> int:
    """How much of `model` has come already."""
    return sum(min(file.size, _size(folder / file.name)) for file in model.files)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Tell what the file system refuses as a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # of the connection: the libraries above it know no number
            raise
        raise UserError(f"{folder}: cannot be written ({error.strerror}): mend that, then {AGAIN}") from error


def _bring(model: Manifest, file: ManifestFile, path: Path, moved: Callable[[int], Any]) -> None:
    if _is_intact(path, file):
        return
    if _size(path) >= file.size:
        path.unlink(missing_ok=True)
    while not path.exists() or _size(path) < file.size:
        before = _size(path)
        try:
            _transfer(model, file, path, moved)
        except (HTTPError, OSError):
            if _size(path) <= before:  # a line that breaks is worth another try as long as something comes
                raise
    if not _is_intact(path, file):
        path.unlink()
        raise UserError(
            f"{file.name}: what came from {constants.ENDPOINT} does not have the size and checksum given there: run it "
            f"again, and look at HF_ENDPOINT and the proxy if that does not help"
        )


def _transfer(model: Manifest, file: ManifestFile, path: Path, moved: Callable[[int], Any]) -> None:
    url = hf_hub_url(model.name, file.name, revision=model.commit)
    # A part of a compressed answer could not be continued.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with Partial(path, moved) as target:
        http_get(url, target, resume_size=target.tell(), headers=headers, expected_size=file.size)
        target.flush()
        os.fsync(target.fileno())


class Partial(BufferedWriter):
    """A file that grows at its end, and says by how much."""

    def __init__(self, path: Path, moved: Callable[[int], Any]) -> None:
        super().__init__(FileIO(path, "ab"))
        self.moved = moved

    def write(self, data: Any) -> int:
        """Append `data`."""
        written = super().write(data)
        self.moved(written)
        return written


def _is_intact(path: Path, file: ManifestFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        if file.sha256:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        # Git's checksum of a file begins with a header.
        start = b"blob %d\0" % file.size
        return file.git_sha1 in (None, hashlib.file_digest(content, lambda: hashlib.sha1(start)).hexdigest())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
