"""Download the files of a model from the Hub: resumable, and verified by size and checksum."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_url
from huggingface_hub.errors import HTTPError

# `hf_hub_download` discards a partial file after an interruption; `http_get` below it can resume one.
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, disable_progress_bars
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..errors import UserError
from ..hub_client import endpoint, hub_errors
from .manifest import Manifest, ManifestFile

RESUME = "run it again to resume the download"


def download(model: Manifest, folder: Path, place: str, console: Console) -> None:
    """Download all files of `model` into `folder`, which may have some of them already, complete or partial.

    Raises UserError about `place` for an error of the Hub or the disk; the partial download stays.
    """
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its lines would break the progress bar
    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=model.size, completed=downloaded_bytes(model, folder))
        for file in sorted(model.files, key=lambda file: file.size):
            progress.update(task, description=file.name)
            with hub_errors(place, model.name, model.revision, remedy=RESUME), disk_errors(folder):
                _download_file(model, file, folder / file.name, lambda count: progress.advance(task, count))


def downloaded_bytes(model: Manifest, folder: Path) -> int:
    """Size of the files of `model` in `folder`, as far as they are downloaded."""
    return sum(min(file.size, _size(folder / file.name)) for file in model.files)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the file system into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # an error of the connection, which `hub_errors` handles
            raise
        raise UserError(f"{folder}: cannot be written ({error.strerror}): fix that, then {RESUME}") from error


def _download_file(model: Manifest, file: ManifestFile, path: Path, advance: Callable[[int], Any]) -> None:
    if _is_intact(path, file):
        return
    if _size(path) >= file.size:
        path.unlink(missing_ok=True)
    while not path.exists() or _size(path) < file.size:
        before = _size(path)
        try:
            _transfer(model, file, path, advance)
        except (HTTPError, OSError):
            if _size(path) <= before:  # retry a broken connection only as long as it makes progress
                raise
    if not _is_intact(path, file):
        path.unlink()
        raise UserError(
            f"{file.name}: the download from {endpoint()} does not match its size and checksum: run it again, "
            f"and check HF_ENDPOINT and the proxy if that does not help"
        )


def _transfer(model: Manifest, file: ManifestFile, path: Path, advance: Callable[[int], Any]) -> None:
    url = hf_hub_url(model.name, file.name, revision=model.commit)
    # A compressed response could not be resumed.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with Partial(path, advance) as target:
        http_get(url, target, resume_size=target.tell(), headers=headers, expected_size=file.size)
        target.flush()
        os.fsync(target.fileno())


class Partial(BufferedWriter):
    """A file opened for appending, which reports the number of bytes written."""

    def __init__(self, path: Path, advance: Callable[[int], Any]) -> None:
        super().__init__(FileIO(path, "ab"))
        self.advance = advance

    def write(self, data: Any) -> int:
        """Append `data`."""
        written = super().write(data)
        self.advance(written)
        return written


def _is_intact(path: Path, file: ManifestFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        if file.sha256:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        # The checksum of a git blob covers a header and the content.
        header = b"blob %d\0" % file.size
        return file.git_sha1 in (None, hashlib.file_digest(content, lambda: hashlib.sha1(header)).hexdigest())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
